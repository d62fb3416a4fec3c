use model::limits;

use crate::DecodeError;
use crate::column::Value;

/// What stands at the reader's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    Nil,
    Bool,
    Int,
    Float,
    Str,
    Bin,
    Array,
    Map,
    Ext,
}

impl Token {
    pub fn as_str(self) -> &'static str {
        match self {
            Token::Nil => "nil",
            Token::Bool => "a boolean",
            Token::Int => "an integer",
            Token::Float => "a float",
            Token::Str => "a string",
            Token::Bin => "binary",
            Token::Array => "an array",
            Token::Map => "a map",
            Token::Ext => "an extension",
        }
    }
}

/// A cursor over a MessagePack body (format: the MessagePack specification of 2017).
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// Another cursor on the same body.
    pub fn at(&self, at: usize) -> Reader<'a> {
        Reader { body: self.body, at }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn is_empty(&self) -> bool {
        self.at == self.body.len()
    }

    pub fn error(&self, reason: impl Into<String>) -> DecodeError {
        DecodeError::Msgpack { at: self.at, reason: reason.into() }
    }

    fn end(&self) -> DecodeError {
        self.error("the body ends in the middle of a value")
    }

    pub fn peek(&self) -> Result<Token, DecodeError> {
        Ok(match *self.body.get(self.at).ok_or_else(|| self.end())? {
            0xc0 => Token::Nil,
            0xc2 | 0xc3 => Token::Bool,
            0x00..=0x7f | 0xe0..=0xff | 0xcc..=0xd3 => Token::Int,
            0xca | 0xcb => Token::Float,
            0xa0..=0xbf | 0xd9..=0xdb => Token::Str,
            0xc4..=0xc6 => Token::Bin,
            0x90..=0x9f | 0xdc | 0xdd => Token::Array,
            0x80..=0x8f | 0xde | 0xdf => Token::Map,
            0xc7..=0xc9 | 0xd4..=0xd8 => Token::Ext,
            0xc1 => return Err(self.error("byte 0xc1 is never used")),
        })
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.body.get(self.at..self.at + N).ok_or_else(|| self.end())?;
        self.at += N;
        Ok(bytes.try_into().expect("the slice has N bytes"))
    }

    #[inline]
    fn slice(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(n).ok_or_else(|| self.end())?;
        let bytes = self.body.get(self.at..end).ok_or_else(|| self.end())?;
        self.at = end;
        Ok(bytes)
    }

    /// The number of items of an array: never more than bytes are left.
    pub fn array(&mut self) -> Result<usize, DecodeError> {
        let n = match self.take::<1>()?[0] {
            m @ 0x90..=0x9f => (m & 0x0f) as usize,
            0xdc => u16::from_be_bytes(self.take()?) as usize,
            0xdd => u32::from_be_bytes(self.take()?) as usize,
            _ => return Err(self.error("an array was expected")),
        };
        self.declared(n, 1)
    }

    /// The number of entries of a map.
    pub fn map(&mut self) -> Result<usize, DecodeError> {
        let n = match self.take::<1>()?[0] {
            m @ 0x80..=0x8f => (m & 0x0f) as usize,
            0xde => u16::from_be_bytes(self.take()?) as usize,
            0xdf => u32::from_be_bytes(self.take()?) as usize,
            _ => return Err(self.error("a map was expected")),
        };
        self.declared(n, 2)
    }

    fn declared(&self, n: usize, least: usize) -> Result<usize, DecodeError> {
        if n > (self.body.len() - self.at) / least {
            return Err(self.error("a length exceeds the body"));
        }
        Ok(n)
    }

    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        match self.peek()? {
            Token::Str => self.string(),
            other => Err(self.error(format!("a string was expected, not {}", other.as_str()))),
        }
    }

    #[inline]
    fn string(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.string_bytes()?;
        // replaced bytes would make one name of two
        std::str::from_utf8(bytes).map_err(|_| self.error("a string is not UTF-8"))
    }

    #[inline]
    fn string_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = match self.take::<1>()?[0] {
            m @ 0xa0..=0xbf => (m & 0x1f) as usize,
            0xd9 => self.take::<1>()?[0] as usize,
            0xda => u16::from_be_bytes(self.take()?) as usize,
            0xdb => u32::from_be_bytes(self.take()?) as usize,
            _ => return Err(self.error("a string was expected")),
        };
        self.slice(n)
    }

    /// A scalar; none for nil. Integers up to `i64::MAX` come as `Int`.
    #[inline]
    pub fn value(&mut self) -> Result<Option<Value<'a>>, DecodeError> {
        let marker = *self.body.get(self.at).ok_or_else(|| self.end())?;
        if matches!(marker, 0xa0..=0xbf | 0xd9..=0xdb) {
            return self.string().map(|text| Some(Value::Str(text)));
        }
        self.at += 1;
        Ok(Some(match marker {
            0xcb => Value::Float(f64::from_be_bytes(self.take()?)),
            0xca => Value::Float(f64::from(f32::from_be_bytes(self.take()?))),
            0x00..=0x7f => Value::Int(marker as i64),
            0xe0..=0xff => Value::Int(marker as i8 as i64),
            0xcc => Value::Int(self.take::<1>()?[0] as i64),
            0xcd => Value::Int(u16::from_be_bytes(self.take()?) as i64),
            0xce => Value::Int(u32::from_be_bytes(self.take()?) as i64),
            0xcf => {
                let v = u64::from_be_bytes(self.take()?);
                i64::try_from(v).map_or(Value::UInt(v), Value::Int)
            }
            0xd0 => Value::Int(i8::from_be_bytes(self.take()?) as i64),
            0xd1 => Value::Int(i16::from_be_bytes(self.take()?) as i64),
            0xd2 => Value::Int(i32::from_be_bytes(self.take()?) as i64),
            0xd3 => Value::Int(i64::from_be_bytes(self.take()?)),
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc0 => return Ok(None),
            _ => {
                self.at -= 1;
                let found = self.peek()?.as_str();
                return Err(
                    self.error(format!("a value is {found}; only numbers, booleans, strings and nil are stored"))
                );
            }
        }))
    }

    /// Reads up to `most` consecutive float64 values at once; returns how many came.
    #[inline]
    pub fn floats(&mut self, into: &mut Vec<f64>, most: usize) -> usize {
        let run = self.body[self.at..]
            .chunks_exact(9)
            .take(most)
            .take_while(|c| c[0] == 0xcb)
            .map(|c| f64::from_be_bytes(c[1..].try_into().expect("a chunk has nine bytes")));
        let before = into.len();
        into.extend(run);
        let n = into.len() - before;
        self.at += n * 9;
        n
    }

    /// Passes over one value, however it is nested, within the bound of depth.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        let mut left = vec![1usize];
        while let Some(top) = left.last_mut() {
            if *top == 0 {
                left.pop();
                continue;
            }
            *top -= 1;
            let inner = match self.peek()? {
                Token::Array => self.array()?,
                Token::Map => self.map()? * 2,
                Token::Str => self.string_bytes().map(|_| 0)?,
                Token::Bin | Token::Ext => self.skip_opaque()?,
                _ => self.value().map(|_| 0)?,
            };
            if inner > 0 {
                if left.len() == limits::MSGPACK_DEPTH {
                    return Err(self.error(format!("nested deeper than {}", limits::MSGPACK_DEPTH)));
                }
                left.push(inner);
            }
        }
        Ok(())
    }

    fn skip_opaque(&mut self) -> Result<usize, DecodeError> {
        let n = match self.take::<1>()?[0] {
            0xc4 => self.take::<1>()?[0] as usize,
            0xc5 => u16::from_be_bytes(self.take()?) as usize,
            0xc6 => u32::from_be_bytes(self.take()?) as usize,
            0xc7 => self.take::<1>()?[0] as usize + 1,
            0xc8 => u16::from_be_bytes(self.take()?) as usize + 1,
            0xc9 => (u32::from_be_bytes(self.take()?) as usize).saturating_add(1),
            m @ 0xd4..=0xd8 => (1 << (m - 0xd4)) + 1,
            _ => return Err(self.error("binary or an extension was expected")),
        };
        self.slice(n).map(|_| 0)
    }
}
