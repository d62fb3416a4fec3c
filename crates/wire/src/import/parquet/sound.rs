//! Files whose lengths and counts are compared with the bytes that there are, before the decoder believes them.
//!
//! Headers of Parquet are structs of Thrift's compact protocol. The decoder skips what it does not know as often as a
//! list says, also behind the end of the file and where elements take no bytes, and takes a field for what it should be
//! whatever it says it is: a few bytes would keep it for hours.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// The length of a footer and the magic bytes, at the end of a file.
const END_BYTES: u64 = 8;

/// Deepest nesting of structs and lists; those of Parquet have fewer than ten.
const DEPTH: u8 = 64;

/// A Parquet file, and its length.
#[derive(Debug)]
pub struct SoundFile(File, u64);

fn lies(at: u64, error: &io::Error) -> ParquetError {
    ParquetError::General(format!("the header at byte {at} contradicts itself: {error}"))
}

fn at(file: &File, start: u64) -> io::Result<BufReader<File>> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(start))?;
    Ok(BufReader::new(file))
}

impl SoundFile {
    /// # Errors
    /// Its footer contradicts itself, or cannot be read.
    pub fn new(file: File) -> Result<Self> {
        let length = file.len();
        if let Some(end) = length.checked_sub(END_BYTES) {
            let mut last = [0; END_BYTES as usize];
            at(&file, end)?.read_exact(&mut last)?;
            let bytes = u32::from_le_bytes([last[0], last[1], last[2], last[3]]);
            // whatever else is wrong with a file is the decoder's to say
            if let Some(start) = end.checked_sub(bytes.into()).filter(|_| last.ends_with(b"PAR1")) {
                walk(at(&file, start)?, bytes.into(), &ANY).map_err(|e| lies(start, &e))?;
            }
        }
        Ok(Self(file, length))
    }
}

impl Length for SoundFile {
    fn len(&self) -> u64 {
        self.1
    }
}

/// Bytes of which there are more: where they end is an error.
pub struct Endless(BufReader<File>);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

impl ChunkReader for SoundFile {
    type T = Endless;

    /// The decoder asks for the header of a page, and for the last bytes of the file.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let left = self.len().saturating_sub(start);
        if left > END_BYTES {
            walk(at(&self.0, start)?, left, &PAGE).map_err(|e| lies(start, &e))?;
        }
        Ok(Endless(at(&self.0, start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF(format!("bytes {start} and {length} more are behind the end")));
        }
        self.0.get_bytes(start, length)
    }
}

/// Types of Thrift's compact protocol, see <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Fields by number, from 1: what they are, and of a struct its fields.
struct Fields(&'static [(u8, &'static Fields)]);

/// What is said of no field.
static ANY: Fields = Fields(&[]);
const NUMBER: (u8, &Fields) = (I32, &ANY);
const LONG_NUMBER: (u8, &Fields) = (I64, &ANY);
const BYTES: (u8, &Fields) = (BINARY, &ANY);
const BOOLEAN: (u8, &Fields) = (TRUE, &ANY);
/// Headers of pages, see <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.
static PAGE: Fields = Fields(&[
    NUMBER,
    NUMBER,
    NUMBER,
    NUMBER,
    (STRUCT, &DATA_PAGE),
    (STRUCT, &ANY),
    (STRUCT, &DICTIONARY_PAGE),
    (STRUCT, &DATA_PAGE_V2),
]);
static DATA_PAGE: Fields = Fields(&[NUMBER, NUMBER, NUMBER, NUMBER, (STRUCT, &STATISTICS)]);
static DICTIONARY_PAGE: Fields = Fields(&[NUMBER, NUMBER, BOOLEAN]);
static DATA_PAGE_V2: Fields = Fields(&[NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, BOOLEAN, (STRUCT, &STATISTICS)]);
static STATISTICS: Fields = Fields(&[BYTES, BYTES, LONG_NUMBER, LONG_NUMBER, BYTES, BYTES, BOOLEAN, BOOLEAN]);

/// Walks one struct, which has at most `left` bytes.
///
/// # Errors
/// It has more than that, a field that is not what it should be, or what no header of Parquet has.
fn walk(input: impl Read, left: u64, fields: &Fields) -> io::Result<()> {
    Walk { input, left }.value(STRUCT, fields, DEPTH)
}

struct Walk<R> {
    input: R,
    left: u64,
}

impl<R: Read> Walk<R> {
    fn value(&mut self, kind: u8, fields: &Fields, depth: u8) -> io::Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| io::Error::other("it is nested too deeply"))?;
        match kind {
            // the kind is the value
            TRUE | FALSE => Ok(()),
            BYTE => self.skip(1),
            I16 | I32 | I64 => self.varint().map(|_| ()),
            DOUBLE => self.skip(8),
            BINARY => self.varint().and_then(|bytes| self.skip(bytes)),
            LIST | SET => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                self.elements(count, &[head & 15], depth)
            }
            MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                self.elements(count, &[kinds >> 4, kinds & 15], depth)
            }
            STRUCT => self.fields(fields, depth),
            UUID => self.skip(16),
            kind => Err(io::Error::other(format!("there is no type {kind}"))),
        }
    }

    fn fields(&mut self, known: &Fields, depth: u8) -> io::Result<()> {
        let mut number = 0;
        loop {
            let head = self.byte()?;
            let kind = head & 15;
            if kind == 0 {
                return Ok(());
            }
            number = match u64::from(head >> 4) {
                // zigzag: the numbers of Parquet's fields are positive
                0 => self.varint()? >> 1,
                more => number + more,
            };
            let field = known.0.iter().zip(1..).find(|(_, at)| *at == number).map(|(field, _)| field);
            if let Some((right, _)) = field
                && *right != if kind == FALSE { TRUE } else { kind }
            {
                return Err(io::Error::other(format!("field {number} has type {kind}, not {right}")));
            }
            self.value(kind, field.map_or(&ANY, |(_, inner)| inner), depth)?;
        }
    }

    fn elements(&mut self, count: u64, kinds: &[u8], depth: u8) -> io::Result<()> {
        if count > self.left {
            return Err(io::Error::other(format!("{count} elements in {} bytes", self.left)));
        }
        for _ in 0..count {
            for kind in kinds {
                if matches!(*kind, TRUE | FALSE) {
                    // the decoder takes them for elements of no bytes
                    return Err(io::Error::other("a list of booleans"));
                }
                self.value(*kind, &ANY, depth)?;
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.input.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(io::Error::other("a number of more than ten bytes"))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        match io::copy(&mut self.input.by_ref().take(bytes), &mut io::sink())? {
            skipped if skipped == bytes => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_believed_is_compared_with_what_is_there() {
        let walked = |bytes: &[u8]| walk(bytes, bytes.len() as u64, &ANY).map_err(|e| e.to_string());
        // field 1: an integer; 2: a list of three bytes; 3: a map of text to a struct; 4: true
        assert_eq!(walked(b"\x15\x02\x19\x33abc\x1b\x01\x8c\x01k\x00\x11\x00"), Ok(()));
        for (bytes, says) in [
            (&b"\x19\xf7\xff\xff\xff\xff\x07\x00"[..], "2147483647 elements in 1 bytes"),
            (b"\x1b\xff\xff\xff\xff\x07\x77\x00", "2147483647 elements"),
            (b"\x19\x31aaa\x00", "booleans"),
            (b"\x1b\x01\x22\x00", "booleans"),
            (b"\x18\x05ab", "end of file"),
            (b"\x15", "end of file"),
            (b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "ten bytes"),
            (b"\x1e\x00", "type 14"),
            (&[0x1c; 100], "deeply"),
        ] {
            let error = walked(bytes).unwrap_err();
            assert!(error.contains(says), "{bytes:?}: {error}");
        }
        // field 5 is a struct whose first field is a number; 7 has a boolean as its third
        let page = |bytes: &[u8]| walk(bytes, bytes.len() as u64, &PAGE).map_err(|e| e.to_string());
        assert_eq!(page(b"\x15\x00\x4c\x15\x02\x00\x2c\x32\x00\x00"), Ok(()));
        for bytes in [&b"\x18\x00\x00"[..], b"\x5c\x18\x00\x00\x00", b"\x7c\x35\x02\x00\x00", b"\x05\x0a\x02\x00"] {
            let error = page(bytes).unwrap_err();
            assert!(error.contains("has type"), "{bytes:?}: {error}");
        }
    }
}
