use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use model::Lsn;

use super::format::{ALIGN, GROUP_HEADER_BYTES, GroupHeader, SegmentHeader, align};
use super::{LogId, Position, SegmentInfo, segment_path, sequences};
use crate::error::{Error, Result};

/// Unreadable bytes behind everything that was known durable: an interrupted write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    pub at: Position,
    pub file: PathBuf,
    /// Bytes of the first torn group as far as its header tells; zero when that is unreadable too.
    pub bytes: u64,
}

/// Unreadable bytes in what was known durable: acknowledged rows may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    pub offset: u64,
    pub reason: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at offset {}: {}", self.file.display(), self.offset, self.reason)
    }
}

/// What a log folder holds.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Segments with their greatest LSN, oldest first.
    pub segments: Vec<SegmentInfo>,
    /// Where valid groups end.
    pub end: Position,
    pub last_lsn: u64,
    pub records: u64,
    pub torn: Option<Torn>,
    pub damage: Option<Damage>,
}

/// Reads every valid record in order and hands it to `each`.
///
/// # Errors
/// I/O errors, a log of another id, or what `each` returns. Damage is reported in the result.
pub fn recover(folder: &Path, log_id: &LogId, mut each: impl FnMut(Lsn, &[u8]) -> Result<()>) -> Result<Recovered> {
    let mut out = Recovered::default();
    let found = sequences(folder)?;
    let headers = found.iter().map(|s| read_header(folder, *s)).collect::<Result<Vec<_>>>()?;
    let mut greatest_mark = Position::default();
    for (i, sequence) in found.iter().enumerate() {
        let path = segment_path(folder, *sequence);
        let is_last = headers[i + 1..].iter().all(Option::is_none);
        let Some(header) = headers[i].filter(|h| h.sequence == *sequence) else {
            // a segment is used only after its own header is durable
            let is_used = || Ok::<_, Error>(later_marks(&read_all(&path)?, *sequence, log_id, 0).next().is_some());
            if !is_last || is_used()? {
                let reason = "the segment header is unreadable".to_owned();
                out.damage.get_or_insert(Damage { file: path, offset: 0, reason });
            }
            continue;
        };
        if header.log_id != *log_id {
            return Err(Error::Log(format!("{} belongs to another log", path.display())));
        }
        let bytes = read_all(&path)?;
        // a later process may have written down where this segment ends
        let fixed_end = headers[i + 1..]
            .iter()
            .flatten()
            .find(|h| h.predecessor.segment == *sequence)
            .map(|h| h.predecessor.offset);
        let stop = read_segment(&bytes, *sequence, log_id, fixed_end, &mut out, &mut greatest_mark, &mut each)?;
        out.end = Position { segment: *sequence, offset: stop.offset };
        if stop.clean {
            continue;
        }
        let later: Vec<Position> = later_marks(&bytes, *sequence, log_id, stop.offset).collect();
        let mark = later.iter().copied().max().unwrap_or_default().max(greatest_mark);
        if fixed_end.is_some() || out.end < mark {
            let reason = "a group known to be durable does not match its checksum".to_owned();
            out.damage.get_or_insert(Damage { file: path.clone(), offset: stop.offset, reason });
        } else if stop.bytes > 0 || !later.is_empty() {
            out.torn = Some(Torn { at: out.end, file: path.clone(), bytes: stop.bytes });
        }
        if !is_last && fixed_end.is_none() {
            let reason = "the segment ends early although another follows".to_owned();
            out.damage.get_or_insert(Damage { file: path, offset: stop.offset, reason });
        }
    }
    Ok(out)
}

/// Reads the records of the oldest full segment past number `after`; returns its number and last LSN.
/// `None` when only the segment in use is left, or when it does not read to its end.
///
/// # Errors
/// I/O errors, or what `each` returns.
pub fn read_oldest(
    folder: &Path,
    log_id: &LogId,
    after: Option<u64>,
    mut each: impl FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<Option<(u64, Lsn)>> {
    let found = sequences(folder)?;
    let Some(pair) = found.windows(2).find(|pair| after.is_none_or(|after| pair[0] > after)) else { return Ok(None) };
    let Some(successor) = read_header(folder, pair[1])? else { return Ok(None) };
    let bytes = read_all(&segment_path(folder, pair[0]))?;
    let end = (successor.predecessor.segment == pair[0]).then_some(successor.predecessor.offset);
    let (mut out, mut mark) = (Recovered::default(), Position::default());
    let stop = read_segment(&bytes, pair[0], log_id, end, &mut out, &mut mark, &mut each)?;
    Ok(stop.clean.then_some((pair[0], Lsn(out.last_lsn))))
}

struct Stop {
    offset: u64,
    /// The segment ended where it should: at its written end or in bytes that were never a group.
    clean: bool,
    bytes: u64,
}

fn read_segment(
    bytes: &[u8],
    sequence: u64,
    log_id: &LogId,
    fixed_end: Option<u64>,
    out: &mut Recovered,
    mark: &mut Position,
    each: &mut impl FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<Stop> {
    let mut info = SegmentInfo { sequence, bytes: bytes.len() as u64, last_lsn: 0 };
    let mut at = ALIGN;
    let stop = loop {
        if fixed_end == Some(at) {
            break Stop { offset: at, clean: true, bytes: 0 };
        }
        let Some(rest) = bytes.get(at as usize..).filter(|r| !r.is_empty()) else {
            break Stop { offset: at, clean: fixed_end.is_none(), bytes: 0 };
        };
        let Some(header) = GroupHeader::decode(rest, log_id, sequence) else {
            break Stop { offset: at, clean: false, bytes: 0 };
        };
        *mark = (*mark).max(header.durable);
        let body = rest.get(GROUP_HEADER_BYTES..header.total_bytes() as usize);
        let Some(body) = body.filter(|b| crc32c::crc32c(b) == header.body_crc) else {
            break Stop { offset: at, clean: false, bytes: header.total_bytes() };
        };
        read_group(body, &mut info, out, each)?;
        at += align(header.total_bytes());
    };
    out.last_lsn = out.last_lsn.max(info.last_lsn);
    out.segments.push(info);
    Ok(stop)
}

fn read_group(
    mut body: &[u8],
    info: &mut SegmentInfo,
    out: &mut Recovered,
    each: &mut impl FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<()> {
    while !body.is_empty() {
        let short = || Error::Log("a group's record lengths exceed it although its checksum holds".into());
        let lsn = u64::from_le_bytes(body.get(..8).ok_or_else(short)?.try_into().expect("8 bytes"));
        let bytes = u32::from_le_bytes(body.get(8..12).ok_or_else(short)?.try_into().expect("4 bytes")) as usize;
        let record = body.get(12..12 + bytes).ok_or_else(short)?;
        each(Lsn(lsn), record)?;
        info.last_lsn = lsn;
        out.records += 1;
        body = &body[12 + bytes..];
    }
    Ok(())
}

/// Durable marks of intact headers behind `from`: they tell damage from a torn tail.
fn later_marks<'a>(
    bytes: &'a [u8],
    sequence: u64,
    log_id: &'a LogId,
    from: u64,
) -> impl Iterator<Item = Position> + 'a {
    (from..bytes.len() as u64)
        .step_by(ALIGN as usize)
        .filter_map(move |at| GroupHeader::decode(&bytes[at as usize..], log_id, sequence))
        .map(|h| h.durable)
}

pub(super) fn read_header(folder: &Path, sequence: u64) -> Result<Option<SegmentHeader>> {
    let path = segment_path(folder, sequence);
    let mut bytes = Vec::with_capacity(ALIGN as usize);
    let file = File::open(&path).map_err(Error::io("cannot open", &path))?;
    file.take(ALIGN).read_to_end(&mut bytes).map_err(Error::io("cannot read", &path))?;
    if let Some(version) = SegmentHeader::other_version(&bytes) {
        let path = path.display();
        return Err(Error::Log(format!("{path} is of log version {version}, which this server does not read")));
    }
    Ok(SegmentHeader::decode(&bytes))
}

fn read_all(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::io("cannot read", path))
}
