use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use model::{Lsn, limits};

use super::format::{ALIGN, GROUP_HEADER_BYTES, GroupHeader, SegmentHeader, align};
use super::{LogId, Position, Recovered, segment_path, sequences};
use crate::durable;
use crate::error::{Error, Result};

/// Segments kept ready for recycling.
const SPARES: u64 = 2;

/// A segment that still holds records somebody may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    pub sequence: u64,
    pub bytes: u64,
    /// The greatest LSN in it; zero when it holds none.
    pub last_lsn: u64,
}

/// Appends groups. One owner, on a thread of its own.
#[derive(Debug)]
pub struct LogWriter {
    folder: PathBuf,
    log_id: LogId,
    file: File,
    path: PathBuf,
    segments: VecDeque<SegmentInfo>,
    at: u64,
    /// End of what a completed sync covers.
    durable: Position,
    /// The end that the last header written carries as durable.
    marked: Position,
    buffer: Vec<u8>,
    /// Bytes of a segment, unless one group needs more.
    segment_bytes: u64,
    /// Bytes that a new segment must leave free on the disk.
    reserve: u64,
}

impl LogWriter {
    /// Opens the log for writing behind what `recovered` found, in a fresh segment.
    /// Segments have `segment_bytes`, or more where one group needs it; new ones leave `reserve` bytes free on the disk.
    pub fn open(
        folder: PathBuf,
        log_id: LogId,
        recovered: &Recovered,
        segment_bytes: u64,
        reserve: u64,
    ) -> Result<Self> {
        let existing = sequences(&folder)?;
        let last_used = recovered.segments.last().map_or(0, |s| s.sequence);
        for sequence in &existing {
            let path = segment_path(&folder, *sequence);
            if *sequence > last_used {
                // its header never became durable: before a successor it would look like damage
                durable::remove(&path)?;
                continue;
            }
            let file = File::open(&path).map_err(Error::io("cannot open", &path))?;
            durable::sync_data(&file, &path)?;
        }
        let mut segments: VecDeque<SegmentInfo> = recovered.segments.iter().copied().collect();
        let sequence = existing.last().copied().unwrap_or(0).max(recovered.end.segment) + 1;
        let header = SegmentHeader { log_id, sequence, predecessor: recovered.end };
        let (file, path, bytes) = start_segment(&folder, &header, segment_bytes, reserve)?;
        segments.push_back(SegmentInfo { sequence, bytes, last_lsn: 0 });
        let durable = Position { segment: sequence, offset: ALIGN };
        let (marked, buffer) = (durable, Vec::new());
        let at = ALIGN;
        Ok(Self { folder, log_id, file, path, segments, at, durable, marked, buffer, segment_bytes, reserve })
    }

    /// Writes one group of (LSN, record body); not durable before [`LogWriter::sync`].
    pub fn append(&mut self, records: &[(Lsn, &[u8])]) -> Result<()> {
        let body_bytes: usize = records.iter().map(|(_, body)| body.len() + 12).sum();
        let total = align((GROUP_HEADER_BYTES + body_bytes) as u64);
        self.room_for(total)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.resize(GROUP_HEADER_BYTES, 0);
        for (lsn, body) in records {
            buffer.extend_from_slice(&lsn.0.to_le_bytes());
            buffer.extend_from_slice(&(body.len() as u32).to_le_bytes());
            buffer.extend_from_slice(body);
        }
        let current = self.segments.back_mut().expect("a segment is open");
        let header = GroupHeader {
            body_crc: crc32c::crc32c(&buffer[GROUP_HEADER_BYTES..]),
            body_bytes: body_bytes as u32,
            records: records.len() as u32,
            durable: self.durable,
            first_lsn: records.first().map_or(0, |(lsn, _)| lsn.0),
        };
        header.encode(&self.log_id, current.sequence, &mut buffer);
        // stale bytes behind the group would be judged as a torn group of this segment's past
        buffer.resize(total as usize, 0);
        durable::write_at(&self.file, &self.path, &buffer, self.at)?;
        self.at += total;
        self.marked = self.durable;
        if let Some((lsn, _)) = records.last() {
            current.last_lsn = lsn.0;
        }
        buffer.truncate(limits::LOG_GROUP_BYTES * 2);
        buffer.shrink_to(limits::LOG_GROUP_BYTES * 2);
        self.buffer = buffer;
        Ok(())
    }

    /// Makes every group written so far durable.
    pub fn sync(&mut self) -> Result<()> {
        durable::sync_data(&self.file, &self.path)?;
        self.durable = self.end();
        Ok(())
    }

    /// Whether groups were written since the last sync.
    pub fn is_dirty(&self) -> bool {
        self.durable != self.end()
    }

    /// Writes the durable mark in a group without records, if no header carries it yet.
    pub fn mark(&mut self) -> Result<()> {
        if self.marked != self.durable {
            self.append(&[])?;
            self.sync()?;
            // the mark's own group needs no mark
            self.marked = self.durable;
        }
        Ok(())
    }

    fn end(&self) -> Position {
        Position { segment: self.current(), offset: self.at }
    }

    fn current(&self) -> u64 {
        self.segments.back().expect("a segment is open").sequence
    }

    fn room_for(&mut self, total: u64) -> Result<()> {
        let capacity = self.segments.back().expect("a segment is open").bytes;
        if self.at + total <= capacity {
            return Ok(());
        }
        self.sync()?;
        let bytes = self.segment_bytes.max(align(total + ALIGN));
        let sequence = self.current() + 1;
        let header = SegmentHeader { log_id: self.log_id, sequence, predecessor: self.end() };
        let (file, path, bytes) = start_segment(&self.folder, &header, bytes, self.reserve)?;
        self.segments.push_back(SegmentInfo { sequence, bytes, last_lsn: 0 });
        (self.file, self.path, self.at) = (file, path, ALIGN);
        self.durable = self.end();
        self.marked = self.durable;
        Ok(())
    }

    /// Segments from the oldest on; the last one is being written.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentInfo> {
        self.segments.iter()
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }

    /// Frees the segments all of whose records are below `needed`, recycling a few.
    pub fn free_below(&mut self, needed: Lsn) -> Result<usize> {
        let mut freed = 0;
        while self.segments.len() > 1 && self.segments[0].last_lsn < needed.0 {
            let segment = self.segments.pop_front().expect("there are two");
            free(&self.folder, &segment, Some(self.segment_bytes))?;
            freed += 1;
        }
        Ok(freed)
    }
}

/// Frees the segments of a log that nobody writes, as far as all their records are below `needed`. Those that have
/// `spare_bytes` may stay as spares.
pub fn free_below(folder: &Path, segments: &mut Vec<SegmentInfo>, needed: Lsn, spare_bytes: Option<u64>) -> Result<()> {
    while let Some(first) = segments.first().filter(|s| s.last_lsn < needed.0) {
        free(folder, first, spare_bytes)?;
        segments.remove(0);
    }
    Ok(())
}

/// Makes a segment of `spare_bytes` a spare where there are fewer than [`SPARES`], else removes it.
fn free(folder: &Path, segment: &SegmentInfo, spare_bytes: Option<u64>) -> Result<()> {
    let path = segment_path(folder, segment.sequence);
    match (0..SPARES).map(|i| spare(folder, i)).find(|p| !p.exists()) {
        Some(spare) if spare_bytes == Some(segment.bytes) => durable::rename(&path, &spare),
        _ => durable::remove(&path),
    }
}

fn spare(folder: &Path, i: u64) -> PathBuf {
    folder.join(format!("spare.{i}"))
}

/// Takes a spare of this size or allocates, writes the header, and makes both name and header durable.
fn start_segment(folder: &Path, header: &SegmentHeader, bytes: u64, reserve: u64) -> Result<(File, PathBuf, u64)> {
    let path = segment_path(folder, header.sequence);
    let is_usable = |spare: &PathBuf| spare.metadata().is_ok_and(|file| file.len() == bytes);
    let file = match (0..SPARES).map(|i| spare(folder, i)).find(is_usable) {
        Some(spare) => {
            let file =
                OpenOptions::new().read(true).write(true).open(&spare).map_err(Error::io("cannot open", &spare))?;
            // the header first: under its new name the segment must never show its old one
            durable::write_at(&file, &spare, &header.encode(), 0)?;
            durable::sync_data(&file, &spare)?;
            durable::rename(&spare, &path)?;
            return Ok((file, path, bytes));
        }
        None => {
            if !durable::has_room(folder, bytes, reserve)? {
                return Err(Error::io("no room to allocate", &path)(std::io::ErrorKind::StorageFull.into()));
            }
            durable::allocate(&path, bytes).inspect_err(|_| drop(durable::remove(&path)))?
        }
    };
    durable::write_at(&file, &path, &header.encode(), 0)?;
    durable::sync_data(&file, &path)?;
    durable::sync_folder(folder)?;
    Ok((file, path, bytes))
}
