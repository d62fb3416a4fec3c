//! Files whose lengths and counts are compared with the bytes that there are, before the decoder believes them.
//!
//! Headers of Parquet are structs of Thrift's compact protocol. The decoder skips what it does not know as often as a
//! list says, also behind the end of the file and where elements take no bytes: a few bytes would keep it for hours.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// The length of a footer and the magic bytes, at the end of a file.
const END_BYTES: u64 = 8;

/// Deepest nesting of structs and lists; those of Parquet have fewer than ten.
const DEPTH: u8 = 64;

/// A Parquet file.
#[derive(Debug)]
pub struct SoundFile(File);

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
                walk(at(&file, start)?, bytes.into()).map_err(|e| lies(start, &e))?;
            }
        }
        Ok(Self(file))
    }
}

impl Length for SoundFile {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for SoundFile {
    type T = BufReader<File>;

    /// The decoder asks for the header of a page, and for the last bytes of the file.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let left = self.len().saturating_sub(start);
        if left > END_BYTES {
            walk(at(&self.0, start)?, left).map_err(|e| lies(start, &e))?;
        }
        Ok(at(&self.0, start)?)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF(format!("bytes {start} and {length} more are behind the end")));
        }
        self.0.get_bytes(start, length)
    }
}

/// Walks one struct, which has at most `left` bytes.
///
/// # Errors
/// It has more than that, or what no header of Parquet has.
fn walk(input: impl Read, left: u64) -> io::Result<()> {
    Walk { input, left }.value(STRUCT, DEPTH)
}

/// See <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.
const STRUCT: u8 = 12;

struct Walk<R> {
    input: R,
    left: u64,
}

impl<R: Read> Walk<R> {
    fn value(&mut self, kind: u8, depth: u8) -> io::Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| io::Error::other("it is nested too deeply"))?;
        match kind {
            // the kind is the value
            1 | 2 => Ok(()),
            3 => self.skip(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.skip(8),
            8 => self.varint().and_then(|bytes| self.skip(bytes)),
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                self.elements(count, &[head & 15], depth)
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                self.elements(count, &[kinds >> 4, kinds & 15], depth)
            }
            STRUCT => loop {
                let head = self.byte()?;
                if head & 15 == 0 {
                    return Ok(());
                }
                if head >> 4 == 0 {
                    self.varint()?; // the number of the field
                }
                self.value(head & 15, depth)?;
            },
            13 => self.skip(16),
            kind => Err(io::Error::other(format!("there is no type {kind}"))),
        }
    }

    fn elements(&mut self, count: u64, kinds: &[u8], depth: u8) -> io::Result<()> {
        if count > self.left {
            return Err(io::Error::other(format!("{count} elements in {} bytes", self.left)));
        }
        for _ in 0..count {
            for kind in kinds {
                if matches!(kind, 1 | 2) {
                    // the decoder takes them for elements of no bytes
                    return Err(io::Error::other("a list of booleans"));
                }
                self.value(*kind, depth)?;
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
        let walked = |bytes: &[u8]| walk(bytes, bytes.len() as u64).map_err(|e| e.to_string());
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
    }
}
