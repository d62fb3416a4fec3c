//! InfluxDB line protocol: `measurement[,tag=value…] field=value[,…] [timestamp]`, a line a row.
//!
//! Grammar and escapes as InfluxDB documents them: `\,` `\=` `\ ` in names and tags, `\"` and `\\`
//! in strings, any other backslash stands for itself; a quoted string may span lines.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use model::time::{Instant, Precision};
use model::{Batch, Role, limits};

use crate::column::Value;
use crate::rows::{Cell, RowError, Rows};
use crate::{DecodeError, Fault, ItemError};

/// The good lines as batches, and every bad one.
#[derive(Debug)]
pub struct Decoded {
    pub batches: Vec<Batch>,
    /// The first [`limits::REPORTED_LINES`] bad lines.
    pub errors: Vec<ItemError>,
    /// How many lines were bad in all.
    pub bad: usize,
    /// How many lines held a point.
    pub lines: usize,
}

/// Decodes a body. `now_us` (UTC microseconds) is the time of lines without a timestamp.
///
/// # Errors
/// Only for bounds of the whole request; bad lines are listed in the result.
pub fn decode(body: &[u8], precision: Precision, now_us: i64) -> Result<Decoded, DecodeError> {
    decode_piece(body, precision, now_us, 1, true).map(|(decoded, _)| decoded)
}

/// As [`decode`] for a piece of a file that begins with the line of a number; says how many bytes were used. Unless
/// it is the last piece, a line that reaches its end may go on behind it and is left.
pub(crate) fn decode_piece(
    body: &[u8],
    precision: Precision,
    now_us: i64,
    first: u32,
    is_last: bool,
) -> Result<(Decoded, usize), DecodeError> {
    let mut rows = Rows::default();
    let mut out = Decoded { batches: Vec::new(), errors: Vec::new(), bad: 0, lines: 0 };
    let mut line = Line::default();
    let (mut at, mut number) = (0, first);
    while at < body.len() {
        let start = at;
        let parsed = line.parse(body, &mut at);
        // a text that is not closed may be so behind the piece: its line ends where the next begins
        let is_open = matches!(parsed, Err(Fault::Unterminated(_))) || at == body.len() && body[at - 1] != b'\n';
        if is_open && !is_last {
            at = start;
            break;
        }
        if !matches!(parsed, Ok(false)) {
            out.lines += 1;
        }
        let result = match parsed {
            Ok(false) => Ok(()),
            Ok(true) => line.store(&mut rows, precision, now_us, number),
            Err(fault) => Err(RowError::Row(fault)),
        };
        if let Err(error) = result {
            error.note(number, &mut out.bad, &mut out.errors)?;
        }
        number += newlines(&body[start..at]);
    }
    out.batches = rows.finish()?;
    Ok((out, at))
}

pub(crate) fn newlines(bytes: &[u8]) -> u32 {
    memchr::memchr_iter(b'\n', bytes).count() as u32
}

/// A parsed line: spans of the body, or owned text where an escape was removed.
#[derive(Default)]
struct Line<'a> {
    table: Cow<'a, str>,
    cells: Vec<(Cow<'a, str>, Role, Raw<'a>)>,
    tags: usize,
    time: Option<&'a str>,
}

#[derive(Clone, Debug)]
enum Raw<'a> {
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
}

impl<'a> Line<'a> {
    /// Parses one line and moves `at` behind its newline; false when the line is blank or a comment.
    fn parse(&mut self, body: &'a [u8], at: &mut usize) -> Result<bool, Fault> {
        while matches!(body.get(*at), Some(b' ' | b'\t' | b'\r')) {
            *at += 1;
        }
        match body.get(*at) {
            None => return Ok(false),
            Some(b'\n') => {
                *at += 1;
                return Ok(false);
            }
            Some(b'#') => {
                *at = end_of_line(body, *at);
                return Ok(false);
            }
            Some(_) => {}
        }
        self.cells.clear();
        self.time = None;
        let mut scan = Scanner { body, at: *at };
        let parsed = self.point(&mut scan);
        *at = match &parsed {
            // a stray quote may have swallowed good lines: each is tried on its own
            Err(_) => end_of_line(body, *at),
            Ok(()) => scan.at,
        };
        parsed.map(|()| true)
    }

    fn point(&mut self, scan: &mut Scanner<'a>) -> Result<(), Fault> {
        self.table = scan.name(IN_TABLE)?;
        if self.table.is_empty() {
            return Err(Fault::NoTable);
        }
        while scan.eat(b',') {
            let key = scan.name(IN_KEY)?;
            if key.is_empty() || !scan.eat(b'=') {
                return Err(Fault::Empty { what: "tag name or its =", near: key.into_owned() });
            }
            let value = scan.name(IN_KEY)?;
            if scan.body.get(scan.at).is_some_and(|b| is_control(*b)) {
                return Err(Fault::Control(key.into_owned()));
            }
            if value.is_empty() {
                return Err(Fault::Empty { what: "value of tag", near: key.into_owned() });
            }
            if value.len() > limits::STRING_VALUE_BYTES {
                return Err(Fault::LongValue(value.len()));
            }
            self.cells.push((key, Role::Tag, Raw::Text(value)));
        }
        self.tags = self.cells.len();
        scan.spaces();
        if scan.at_end() {
            return Err(Fault::NoField);
        }
        loop {
            let key = scan.name(IN_KEY)?;
            if key.is_empty() || !scan.eat(b'=') {
                return Err(Fault::Empty { what: "field name or its =", near: key.into_owned() });
            }
            let value = scan.field_value(&key)?;
            let key = self.away_from_tags(key);
            self.cells.push((key, Role::Field, value));
            if !scan.eat(b',') {
                break;
            }
        }
        scan.spaces();
        if !scan.at_end() {
            self.time = Some(scan.word()?);
            scan.spaces();
        }
        if !scan.at_end() {
            return Err(Fault::Trailing(scan.word()?.chars().take(100).collect()));
        }
        scan.at = (scan.at + 1).min(scan.body.len());
        Ok(())
    }

    /// A field named as a tag of the same line is stored as `<name>_value`.
    fn away_from_tags(&self, key: Cow<'a, str>) -> Cow<'a, str> {
        if self.cells[..self.tags].iter().any(|(tag, ..)| tag.eq_ignore_ascii_case(&key)) {
            Cow::Owned(format!("{key}_value"))
        } else {
            key
        }
    }

    fn store(&self, rows: &mut Rows, precision: Precision, now_us: i64, number: u32) -> Result<(), RowError> {
        let at = match self.time {
            // as InfluxDB does: the server's time counts in the unit of the request
            None => Instant { us: precision.floor(now_us), ns: 0 },
            Some(text) => {
                let value: i64 = text.parse().map_err(|_| Fault::Timestamp(text.chars().take(100).collect()))?;
                precision.instant(value).map_err(Fault::from)?
            }
        };
        let mut small: [Cell<'_>; 32] = [("", Role::None, Value::Bool(false)); 32];
        if self.cells.len() <= small.len() {
            for (slot, (name, role, raw)) in small.iter_mut().zip(&self.cells) {
                *slot = (name, *role, raw.value());
            }
            rows.add(&self.table, &small[..self.cells.len()], at, number)
        } else {
            let cells: Vec<Cell<'_>> = self.cells.iter().map(|(n, r, v)| (&**n, *r, v.value())).collect();
            rows.add(&self.table, &cells, at, number)
        }
    }
}

impl Raw<'_> {
    fn value(&self) -> Value<'_> {
        match self {
            Raw::Text(v) => Value::Str(v),
            Raw::Bool(v) => Value::Bool(*v),
            Raw::Int(v) => Value::Int(*v),
            Raw::UInt(v) => Value::UInt(*v),
            Raw::Float(v) => Value::Float(*v),
        }
    }
}

const IN_TABLE: u8 = 1;
const IN_KEY: u8 = 2;

/// Which bytes end a name: bit `IN_TABLE` comma and white space, bit `IN_KEY` also `=` and control characters.
static ENDS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if is_control(byte) {
            table[byte as usize] = IN_KEY;
        }
        byte += 1;
    }
    table[b',' as usize] = IN_TABLE | IN_KEY;
    table[b' ' as usize] = IN_TABLE | IN_KEY;
    table[b'\n' as usize] = IN_TABLE | IN_KEY;
    table[b'\\' as usize] = IN_TABLE | IN_KEY;
    table[b'=' as usize] = IN_KEY;
    table
};

/// What no tag holds. Tabs are text; `\r` and `\n` end lines.
const fn is_control(byte: u8) -> bool {
    byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0x7f
}

struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.body.get(self.at) == Some(&byte);
        self.at += found as usize;
        found
    }

    fn spaces(&mut self) {
        while matches!(self.body.get(self.at), Some(b' ' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn at_end(&self) -> bool {
        matches!(self.body.get(self.at), None | Some(b'\n'))
    }

    /// A measurement, key or tag value up to its unescaped end.
    #[inline]
    fn name(&mut self, ends: u8) -> Result<Cow<'a, str>, Fault> {
        let start = self.at;
        let mut escaped = false;
        while let Some(byte) = self.body.get(self.at) {
            if ENDS[*byte as usize] & ends != 0 {
                if *byte != b'\\' {
                    break;
                }
                if matches!(self.body.get(self.at + 1), Some(b',' | b'=' | b' ')) {
                    escaped = true;
                    self.at += 1;
                }
            }
            self.at += 1;
        }
        let mut end = self.at.min(self.body.len());
        if self.body[start..end].last() == Some(&b'\r') && self.at_end() {
            end -= 1;
        }
        let text = utf8(&self.body[start..end], "a name or tag")?;
        Ok(if escaped { Cow::Owned(unescape(text, b",= ")) } else { Cow::Borrowed(text) })
    }

    fn word(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        while !matches!(self.body.get(self.at), None | Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        utf8(&self.body[start..self.at], "a timestamp")
    }

    #[inline]
    fn field_value(&mut self, key: &str) -> Result<Raw<'a>, Fault> {
        if self.eat(b'"') {
            return self.quoted(key);
        }
        let start = self.at;
        while !matches!(self.body.get(self.at), None | Some(b',' | b' ' | b'\r' | b'\n')) {
            self.at += 1;
        }
        let text = &self.body[start..self.at];
        number(text).ok_or_else(|| Fault::Value {
            field: key.to_owned(),
            value: String::from_utf8_lossy(text).chars().take(100).collect(),
        })
    }

    fn quoted(&mut self, key: &str) -> Result<Raw<'a>, Fault> {
        let start = self.at;
        let mut escaped = false;
        loop {
            match memchr2(b'"', b'\\', &self.body[self.at..]) {
                None => return Err(Fault::Unterminated(key.to_owned())),
                Some(n) if self.body[self.at + n] == b'\\' => {
                    escaped = true;
                    self.at = (self.at + n + 2).min(self.body.len());
                }
                Some(n) => {
                    self.at += n + 1;
                    break;
                }
            }
        }
        let bytes = &self.body[start..self.at - 1];
        if bytes.len() > limits::STRING_VALUE_BYTES {
            return Err(Fault::LongValue(bytes.len()));
        }
        let text = utf8(bytes, "a string")?;
        Ok(Raw::Text(if escaped { Cow::Owned(unescape(text, b"\"\\")) } else { Cow::Borrowed(text) }))
    }
}

fn end_of_line(body: &[u8], from: usize) -> usize {
    memchr(b'\n', &body[from..]).map_or(body.len(), |n| from + n + 1)
}

fn utf8<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Utf8(what))
}

/// Removes a backslash that stands before one of `specials`.
fn unescape(text: &str, specials: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let special = |n: &char| n.is_ascii() && specials.contains(&(*n as u8));
        match chars.peek() {
            Some(next) if c == '\\' && special(next) => {
                out.push(*next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

#[inline]
fn number<'a>(text: &[u8]) -> Option<Raw<'a>> {
    let (last, head) = text.split_last()?;
    match last {
        b'i' => std::str::from_utf8(head).ok()?.parse().ok().map(Raw::Int),
        b'u' => std::str::from_utf8(head).ok()?.parse().ok().map(Raw::UInt),
        b'0'..=b'9' | b'.' => fast_float2::parse::<f64, _>(text).ok().filter(|v| v.is_finite()).map(Raw::Float),
        _ => match text {
            b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(Raw::Bool(true)),
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(Raw::Bool(false)),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests;
