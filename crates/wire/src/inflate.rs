//! Decompression through one capped reader: no other code of the product inflates anything.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use model::limits;

use crate::DecodeError;

/// Decompresses a body. The magic bytes of gzip and zstd decide, whatever the header says (clients
/// send wrong headers); `encoding` is the `Content-Encoding` header and matters for deflate.
/// Several members or frames in a row are read as one.
///
/// # Errors
/// `TooLarge` and `Bomb` past `max` bytes; `Compression` for a broken or truncated stream;
/// `Encoding` for a header that names something else.
pub fn inflate<'a>(body: &'a [u8], encoding: Option<&str>, max: u64) -> Result<Cow<'a, [u8]>, DecodeError> {
    if body.len() as u64 > max {
        return Err(DecodeError::TooLarge { got: body.len() as u64, max });
    }
    let named = encoding.map(|e| e.trim().to_ascii_lowercase()).unwrap_or_default();
    match (body, named.as_str()) {
        ([], _) => Err(DecodeError::Empty),
        ([0x1f, 0x8b, ..], _) => members("gzip", body, max, read_gzip).map(Cow::Owned),
        ([0x28, 0xb5, 0x2f, 0xfd, ..], _) => members("zstd", body, max, read_zstd).map(Cow::Owned),
        (_, "deflate") => members("deflate", body, max, read_deflate).map(Cow::Owned),
        (_, "" | "identity" | "gzip" | "x-gzip" | "zstd") => Ok(Cow::Borrowed(body)),
        _ => Err(DecodeError::Encoding(named)),
    }
}

type Member = fn(&mut &[u8], &mut Vec<u8>, u64) -> io::Result<()>;

fn members(encoding: &'static str, body: &[u8], max: u64, member: Member) -> Result<Vec<u8>, DecodeError> {
    let mut rest = body;
    let mut out = Vec::with_capacity((body.len() * 4).min(max as usize).min(8 << 20));
    for _ in 0..limits::INFLATE_MEMBERS {
        if rest.is_empty() {
            return Ok(out);
        }
        let before = rest.len();
        // one byte more than allowed tells a full body from a bomb
        let room = (max + 1).saturating_sub(out.len() as u64);
        member(&mut rest, &mut out, room).map_err(|e| DecodeError::Compression { encoding, reason: e.to_string() })?;
        if out.len() as u64 > max {
            return Err(DecodeError::Bomb { max });
        }
        if rest.len() == before {
            return Err(DecodeError::Compression { encoding, reason: "no progress".into() });
        }
    }
    Err(DecodeError::Compression { encoding, reason: format!("more than {} members", limits::INFLATE_MEMBERS) })
}

#[expect(clippy::disallowed_methods, reason = "this is the door to decompression")]
fn read_gzip(rest: &mut &[u8], out: &mut Vec<u8>, room: u64) -> io::Result<()> {
    flate2::bufread::GzDecoder::new(&mut *rest).take(room).read_to_end(out).map(|_| ())
}

#[expect(clippy::disallowed_methods, reason = "this is the door to decompression")]
fn read_zstd(rest: &mut &[u8], out: &mut Vec<u8>, room: u64) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut *rest)?.single_frame();
    decoder.window_log_max(27)?;
    decoder.take(room).read_to_end(out).map(|_| ())
}

#[expect(clippy::disallowed_methods, reason = "this is the door to decompression")]
fn read_deflate(rest: &mut &[u8], out: &mut Vec<u8>, room: u64) -> io::Result<()> {
    // HTTP's deflate is zlib-wrapped; some clients send it bare
    let wrapped = rest.len() >= 2 && rest[0] & 0x0f == 8 && u16::from_be_bytes([rest[0], rest[1]]).is_multiple_of(31);
    if wrapped {
        flate2::bufread::ZlibDecoder::new(&mut *rest).take(room).read_to_end(out)?;
    } else {
        flate2::bufread::DeflateDecoder::new(&mut *rest).take(room).read_to_end(out)?;
    }
    rest.fill_buf().map(|_| ())
}

/// A file as it is inside gzip or zstd, whose magic bytes decide; at most `max` bytes come out, one more is an error.
///
/// # Errors
/// It cannot be read, or is no whole stream.
#[expect(clippy::disallowed_methods, reason = "this is the door to decompression")]
pub fn reader<'a>(input: impl Read + 'a, max: u64) -> io::Result<Box<dyn Read + 'a>> {
    let mut input = io::BufReader::with_capacity(1 << 20, input);
    let inner: Box<dyn Read + 'a> = match input.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
        _ => Box::new(input),
    };
    Ok(Box::new(Capped { inner, left: max, max }))
}

/// Ends with an error where more comes than may.
struct Capped<R> {
    inner: R,
    left: u64,
    max: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            let text = format!("it decompresses to more than {} bytes", self.max);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        };
        self.left = left;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const MAX: u64 = 1 << 20;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        w.write_all(data).unwrap();
        w.finish().unwrap()
    }

    #[test]
    fn every_encoding_is_read_whatever_the_header_says() {
        let data = b"cpu,host=a v=1".repeat(100);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&data).unwrap();
        let zstd = zstd::encode_all(&data[..], 1).unwrap();
        let bodies = [
            (gzip(&data), Some("gzip")),
            (gzip(&data), None),
            (zstd.clone(), Some("zstd")),
            (zstd, Some("gzip")),
            (zlib.finish().unwrap(), Some("deflate")),
            (data.clone(), Some("identity")),
            (data.clone(), Some("gzip")),
        ];
        for (body, header) in bodies {
            assert_eq!(&*inflate(&body, header, MAX).unwrap(), &data[..], "{header:?}");
        }
        assert!(matches!(inflate(&data, Some("br"), MAX), Err(DecodeError::Encoding(_))));
    }

    #[test]
    fn several_members_are_one_body() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(&*inflate(&two, None, MAX).unwrap(), b"one two");
        let two = [zstd::encode_all(&b"one "[..], 1).unwrap(), zstd::encode_all(&b"two"[..], 1).unwrap()].concat();
        assert_eq!(&*inflate(&two, None, MAX).unwrap(), b"one two");
    }

    #[test]
    fn a_bomb_stops_at_the_bound_and_a_cut_stream_is_an_error() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert!(matches!(inflate(&bomb, None, MAX), Err(DecodeError::Bomb { max: MAX })));
        let bomb = zstd::encode_all(&vec![0; 8 << 20][..], 1).unwrap();
        assert!(matches!(inflate(&bomb, None, MAX), Err(DecodeError::Bomb { .. })));
        let mut cut = gzip(b"some text that is long enough to be cut");
        cut.truncate(cut.len() - 9);
        assert!(matches!(inflate(&cut, None, MAX), Err(DecodeError::Compression { encoding: "gzip", .. })));
        let exact = gzip(&vec![1; MAX as usize]);
        assert_eq!(inflate(&exact, None, MAX).unwrap().len(), MAX as usize);
    }
}
