use std::fs;
use std::path::{Path, PathBuf};

use super::format::{ALIGN, SegmentHeader};
use super::{Damage, LogId, Position, recover, segment_path, sequences};
use crate::durable;
use crate::error::{Error, Result};

/// What `tidewater repair log` did.
#[derive(Debug)]
pub struct RepairReport {
    pub damage: Option<Damage>,
    /// Copies of every segment from the damage on; nothing of it is deleted.
    pub kept: Vec<PathBuf>,
    /// Records before the damage, which stay.
    pub records_kept: u64,
    /// The greatest LSN that stays.
    pub last_lsn: u64,
    /// Bytes from the damage to the end of the log: what may be lost lies in them.
    pub bytes_cut: u64,
}

/// Cuts the log at the first damage and keeps the cut bytes aside in `log/damaged-…`.
///
/// # Errors
/// I/O errors. A log without damage is left alone.
pub fn repair(folder: &Path, log_id: &LogId) -> Result<RepairReport> {
    let found = recover(folder, log_id, |_, _| Ok(()))?;
    let Some(damage) = found.damage.clone() else {
        return Ok(RepairReport {
            damage: None,
            kept: Vec::new(),
            records_kept: found.records,
            last_lsn: found.last_lsn,
            bytes_cut: 0,
        });
    };
    let all = sequences(folder)?;
    let first = all
        .iter()
        .copied()
        .find(|s| segment_path(folder, *s) == damage.file)
        .ok_or_else(|| Error::Log("the damaged segment is gone".into()))?;
    let aside = folder.join(format!("damaged-{first:016x}"));
    durable::create_folders(&aside)?;
    let mut report = RepairReport { damage: None, kept: Vec::new(), records_kept: 0, last_lsn: 0, bytes_cut: 0 };
    for sequence in all.iter().copied().filter(|s| *s >= first) {
        let path = segment_path(folder, sequence);
        let copy = aside.join(path.file_name().expect("a segment has a name"));
        let bytes = fs::read(&path).map_err(Error::io("cannot read", &path))?;
        durable::write_file(&copy, &bytes, 0o600)?;
        let from = if sequence == first { damage.offset.min(bytes.len() as u64) } else { 0 };
        report.bytes_cut += bytes.len() as u64 - from;
        report.kept.push(copy);
    }
    for sequence in all.iter().copied().filter(|s| *s > first) {
        let path = segment_path(folder, sequence);
        fs::remove_file(&path).map_err(Error::io("cannot remove", &path))?;
    }
    seal_at(folder, log_id, first, damage.offset, all.last().copied().unwrap_or(first) + 1)?;
    let after = recover(folder, log_id, |_, _| Ok(()))?;
    if let Some(left) = after.damage {
        return Err(Error::Log(format!("still damaged after the cut: {left}")));
    }
    Ok(RepairReport { damage: Some(damage), records_kept: after.records, last_lsn: after.last_lsn, ..report })
}

/// Ends segment `first` at `offset` by a successor whose header says so.
fn seal_at(folder: &Path, log_id: &LogId, first: u64, offset: u64, successor: u64) -> Result<()> {
    let path = segment_path(folder, first);
    if offset < ALIGN {
        // not even the segment's own header is readable
        fs::remove_file(&path).map_err(Error::io("cannot remove", &path))?;
        return durable::sync_folder(folder);
    }
    let predecessor = Position { segment: first, offset };
    let header = SegmentHeader { log_id: *log_id, sequence: successor, predecessor };
    durable::write_file(&segment_path(folder, successor), &header.encode(), 0o600)
}
