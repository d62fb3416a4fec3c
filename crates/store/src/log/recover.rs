use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
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
            let is_used = || Ok::<_, Error>(later_mark(&mut Segment::open(&path)?, *sequence, log_id, 0)?.is_some());
            if !is_last || is_used()? {
                let reason = "the segment header is unreadable".to_owned();
                out.damage.get_or_insert(Damage { file: path, offset: 0, reason });
            }
            continue;
        };
        if header.log_id != *log_id {
            return Err(Error::Log(format!("{} belongs to another log", path.display())));
        }
        let mut segment = Segment::open(&path)?;
        // a later process may have written down where this segment ends
        let fixed_end = headers[i + 1..]
            .iter()
            .flatten()
            .find(|h| h.predecessor.segment == *sequence)
            .map(|h| h.predecessor.offset);
        let stop = read_segment(&mut segment, *sequence, log_id, fixed_end, &mut out, &mut greatest_mark, &mut each)?;
        out.end = Position { segment: *sequence, offset: stop.offset };
        if stop.clean {
            continue;
        }
        let later = later_mark(&mut segment, *sequence, log_id, stop.offset)?;
        let mark = later.unwrap_or_default().max(greatest_mark);
        if fixed_end.is_some() || out.end < mark {
            let reason = "a group known to be durable does not match its checksum".to_owned();
            out.damage.get_or_insert(Damage { file: path.clone(), offset: stop.offset, reason });
        } else if later.is_some() {
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
    let mut segment = Segment::open(&segment_path(folder, pair[0]))?;
    let end = (successor.predecessor.segment == pair[0]).then_some(successor.predecessor.offset);
    let (mut out, mut mark) = (Recovered::default(), Position::default());
    let stop = read_segment(&mut segment, pair[0], log_id, end, &mut out, &mut mark, &mut each)?;
    Ok(stop.clean.then_some((pair[0], Lsn(out.last_lsn))))
}

struct Stop {
    offset: u64,
    /// The segment ended where it should: at its written end or in bytes that were never a group.
    clean: bool,
    bytes: u64,
}

fn read_segment(
    segment: &mut Segment,
    sequence: u64,
    log_id: &LogId,
    fixed_end: Option<u64>,
    out: &mut Recovered,
    mark: &mut Position,
    each: &mut impl FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<Stop> {
    let mut info = SegmentInfo { sequence, bytes: segment.length, last_lsn: 0 };
    let mut at = ALIGN;
    let stop = loop {
        if fixed_end == Some(at) {
            break Stop { offset: at, clean: true, bytes: 0 };
        }
        if at >= segment.length {
            break Stop { offset: at, clean: fixed_end.is_none(), bytes: 0 };
        }
        let Some(header) = segment.group_at(at, log_id, sequence)? else {
            break Stop { offset: at, clean: false, bytes: 0 };
        };
        *mark = (*mark).max(header.durable);
        let body = segment.get(at + GROUP_HEADER_BYTES as u64..at + header.total_bytes())?;
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

/// The greatest durable mark of intact headers from `from` on: it tells damage from a torn tail.
fn later_mark(segment: &mut Segment, sequence: u64, log_id: &LogId, from: u64) -> Result<Option<Position>> {
    let mut greatest = None;
    for at in (from..segment.length).step_by(ALIGN as usize) {
        greatest = greatest.max(segment.group_at(at, log_id, sequence)?.map(|header| header.durable));
    }
    Ok(greatest)
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

/// A segment's bytes, of which so many are in memory: segments are allocated whole, and most of one may never have been
/// written.
struct Segment {
    file: File,
    path: PathBuf,
    length: u64,
    /// What is in memory, and where it begins.
    window: Vec<u8>,
    begin: u64,
}

const WINDOW_BYTES: u64 = 256 << 10;

impl Segment {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("cannot open", path))?;
        let length = file.metadata().map_err(Error::io("cannot read", path))?.len();
        Ok(Self { file, path: path.to_owned(), length, window: Vec::new(), begin: 0 })
    }

    /// These bytes; none where the segment ends before they do.
    fn get(&mut self, range: Range<u64>) -> Result<Option<&[u8]>> {
        if range.end > self.length {
            return Ok(None);
        }
        if range.start < self.begin || self.begin + (self.window.len() as u64) < range.end {
            let count = (range.end - range.start).max(WINDOW_BYTES).min(self.length - range.start);
            self.window.resize(count as usize, 0);
            self.begin = range.start;
            self.file.read_exact_at(&mut self.window, range.start).map_err(Error::io("cannot read", &self.path))?;
        }
        Ok(Some(&self.window[(range.start - self.begin) as usize..(range.end - self.begin) as usize]))
    }

    fn group_at(&mut self, at: u64, log_id: &LogId, sequence: u64) -> Result<Option<GroupHeader>> {
        let header = self.get(at..at + GROUP_HEADER_BYTES as u64)?;
        Ok(header.and_then(|bytes| GroupHeader::decode(bytes, log_id, sequence)))
    }
}
