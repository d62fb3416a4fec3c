//! Line protocol in pieces that end with a line.

use std::io::Read;

use model::Batch;
use model::time::Precision;

use super::{ImportError, PIECE_BYTES};
use crate::line_protocol;

/// The longest line: some strings of the longest kind.
const LINE_BYTES: usize = 64 << 20;

/// The points of a file in pieces.
pub struct Pieces<R> {
    input: R,
    precision: Precision,
    now_us: i64,
    /// Read, and not decoded yet.
    rest: Vec<u8>,
    line: u32,
    is_over: bool,
}

impl<R: Read> Pieces<R> {
    pub fn open(input: R, precision: Precision, now_us: i64) -> Self {
        Self { input, precision, now_us, rest: Vec::new(), line: 1, is_over: false }
    }

    fn piece(&mut self) -> Result<Vec<Batch>, ImportError> {
        loop {
            let wanted = if self.rest.len() < PIECE_BYTES { PIECE_BYTES } else { self.rest.len() * 2 };
            let missing = (wanted - self.rest.len()) as u64;
            let read = self.input.by_ref().take(missing).read_to_end(&mut self.rest)?;
            let is_last = (read as u64) < missing;
            let piece = line_protocol::decode_piece(&self.rest, self.precision, self.now_us, self.line, is_last);
            let (decoded, used) = piece.map_err(|e| ImportError::File(e.to_string()))?;
            if let Some(error) = decoded.errors.first() {
                return Err(ImportError::Line { line: error.number.into(), reason: error.reason.clone() });
            }
            if used == 0 && !is_last {
                if self.rest.len() > LINE_BYTES {
                    let reason = format!("it has more than {LINE_BYTES} bytes, or a quote in it is not closed");
                    return Err(ImportError::Line { line: self.line.into(), reason });
                }
                continue; // a line is longer than what was read
            }
            self.line += line_protocol::newlines(&self.rest[..used]);
            self.rest.drain(..used);
            self.is_over = is_last;
            return Ok(decoded.batches);
        }
    }
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = Result<Vec<Batch>, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let piece = self.piece();
        self.is_over |= piece.is_err();
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Gives out a few bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(buffer.len()).min(7);
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn pieces_end_with_lines_and_texts_may_go_over_them() {
        // ten bytes short of a piece, so that the text with the newline lies across its end
        let filler = format!("# {}\n", "x".repeat(PIECE_BYTES - 60));
        let text = format!("{filler}cpu,host=a v=1i 1\ncpu,host=b s=\"one\ntwo\",v=2i 2\ncpu,host=c v=3i 3");
        let pieces = Pieces::open(Slow(text.as_bytes()), Precision::Nanosecond, 0);
        let batches: Vec<Batch> = pieces.collect::<Result<Vec<_>, _>>().unwrap().into_iter().flatten().collect();
        let lines: Vec<u32> = batches.iter().flat_map(|b| b.origin.clone()).collect();
        assert_eq!(lines, [2, 3, 5]);
    }

    #[test]
    fn the_first_bad_line_ends_the_import_with_its_number() {
        let text = "cpu v=1\n\ncpu v=\ncpu v=2\n";
        let error = Pieces::open(text.as_bytes(), Precision::Nanosecond, 0).next().unwrap().unwrap_err();
        assert!(error.to_string().starts_with("line 3: "), "{error}");
    }
}
