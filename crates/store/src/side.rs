//! The side log: what small or failing tables still need of an old segment, so that the segment can
//! go. A quiet table's one row would otherwise keep a gigabyte of log.
//!
//! It is a log of its own in `log/side`, of the same format and log id. Its records are those of the
//! main log with the same LSNs, cut down to the tables that had not flushed them. Replay reads it
//! before the main log and ignores what comes again.

use std::sync::atomic::Ordering;

use model::{Lsn, limits};

use crate::durable;
use crate::error::Result;
use crate::log::{self, LogWriter, Recovered};
use crate::record::{self, Part};
use crate::shared::{Counters, Shared};

/// Owned by the flush thread.
#[derive(Debug, Default)]
pub struct SideLog {
    /// What earlier processes left, until the first copy of this one.
    recovered: Recovered,
    writer: Option<LogWriter>,
    /// Everything up to here that some table needs stands in the side log or in hot rows' own flush.
    covered: Lsn,
    /// The last segment that was copied: it stays until the log thread frees it.
    copied: Option<u64>,
}

impl SideLog {
    /// Reads what an earlier process copied, oldest first, and hands it to `each`.
    ///
    /// # Errors
    /// As [`log::recover`].
    pub fn recover(shared: &Shared, each: impl FnMut(Lsn, &[u8]) -> Result<()>) -> Result<Recovered> {
        if !shared.layout.side().exists() {
            return Ok(Recovered::default());
        }
        log::recover(&shared.layout.side(), &shared.log_id, each)
    }

    /// Goes on behind what was recovered.
    pub fn resume(recovered: Recovered) -> Self {
        Self { recovered, ..Self::default() }
    }

    /// Records of the main log up to here are not needed for the sake of hot rows.
    pub fn covered(&self) -> Lsn {
        self.covered
    }

    /// Copies what tables still need of the oldest full segment that was not copied yet.
    ///
    /// # Errors
    /// I/O errors; the segment stays and nothing is lost.
    pub fn copy_oldest(&mut self, shared: &Shared) -> Result<()> {
        let view = shared.view();
        let needs = |part: &Part, lsn: Lsn| view.tables.get(&part.table).is_some_and(|t| lsn > t.flushed);
        let mut records: Vec<(Lsn, Vec<u8>)> = Vec::new();
        let read = log::read_oldest(&shared.layout.log(), &shared.log_id, self.copied, |lsn, body| {
            let (mut parts, _) = record::decode(body)?;
            parts.retain(|p| needs(p, lsn));
            if !parts.is_empty() {
                records.push((lsn, record::encode(&parts, None)));
            }
            Ok(())
        })?;
        // a record that is not applied yet is in no View's hot rows: wait
        let Some((segment, last)) = read.filter(|(_, last)| *last <= view.published) else { return Ok(()) };
        if !records.is_empty() {
            let writer = self.writer(shared)?;
            for group in records.chunks(limits::LOG_GROUP_RECORDS) {
                let group: Vec<(Lsn, &[u8])> = group.iter().map(|(lsn, body)| (*lsn, &body[..])).collect();
                writer.append(&group)?;
            }
            writer.sync()?;
        }
        Counters::add(&shared.counters.side_records, records.len() as u64);
        self.covered = self.covered.max(last);
        self.copied = Some(segment);
        Ok(())
    }

    /// Frees side segments that no hot row needs.
    pub fn free_below(&mut self, needed: Lsn, shared: &Shared) {
        let (freed, bytes) = match &mut self.writer {
            Some(writer) => (writer.free_below(needed).map(drop), writer.bytes()),
            None => {
                let freed = log::free_below(&shared.layout.side(), &mut self.recovered.segments, needed, None);
                (freed, self.recovered.segments.iter().map(|s| s.bytes).sum())
            }
        };
        if let Err(error) = freed {
            tracing::warn!(%error, "a segment of the side log could not be freed; tried again");
        }
        shared.side_bytes.store(bytes, Ordering::Relaxed);
    }

    fn writer(&mut self, shared: &Shared) -> Result<&mut LogWriter> {
        if self.writer.is_none() {
            durable::create_folders(&shared.layout.side())?;
            // what it copies makes room: it may take the last of the disk
            let (folder, segment) = (shared.layout.side(), shared.config.log_segment_bytes);
            self.writer = Some(LogWriter::open(folder, shared.log_id, &self.recovered, segment, 0)?);
        }
        Ok(self.writer.as_mut().expect("opened above"))
    }
}
