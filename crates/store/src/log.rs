//! The log: accepted requests, durable before they are answered.
//!
//! # Layout
//! `log/{sequence:016x}.seg`, allocated whole ([`model::limits::LOG_SEGMENT_BYTES`], or larger for
//! one large group) and recycled through `log/spare`. Integers are little-endian.
//! ```text
//! segment := header (512 bytes), group*
//! header  := "TWLOG001", log id [16], sequence u64, predecessor u64, predecessor end u64, crc32c u32
//! group   := at a multiple of 512: "TWGR", header crc u32, body crc u32, body bytes u32, records u32,
//!            durable segment u64, durable end u64, first lsn u64, body
//! body    := (lsn u64, bytes u32, record body)*
//! ```
//! The header crc covers log id, segment and the header's fields; the body crc covers the body and
//! is itself covered by the header crc. Stale bytes of a recycled segment therefore never parse.
//!
//! # Operations
//! A group holds every request that waited; one fdatasync makes it durable. A group that fails is
//! followed by nothing: the process ends with status 74. A segment and the folder are synced before
//! a successor is used. A group without records carries the durable mark when the log falls silent.
//!
//! # Recovery
//! Groups are read in order until one does not parse. If that place lies at or after the greatest
//! durable mark of any intact header, it is the torn tail: cut, kept aside, counted. If it lies
//! before, acknowledged rows are damaged: [`Recovered::damage`] says where, and writes stay refused
//! until `tidewater repair log`. A new process never writes behind old groups: it starts a fresh
//! segment whose header records where its predecessor ends.

use std::path::{Path, PathBuf};

mod format;
mod recover;
mod repair;
mod writer;

pub use recover::{Damage, Recovered, Torn, read_oldest, recover};
pub use repair::{RepairReport, repair};
pub use writer::{LogWriter, SegmentInfo, free_below};

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// Identifies one log; stands in every segment and in the catalog.
pub type LogId = [u8; 16];

fn segment_path(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:016x}.seg"))
}

/// The log that the segments in `folder` belong to, by the first whose header is whole.
pub(crate) fn id_of(folder: &Path) -> crate::error::Result<Option<LogId>> {
    for sequence in sequences(folder)? {
        if let Some(header) = recover::read_header(folder, sequence)? {
            return Ok(Some(header.log_id));
        }
    }
    Ok(None)
}

/// Sequences of the segments in `folder`, rising.
pub(crate) fn sequences(folder: &Path) -> crate::error::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(crate::Error::io("cannot list", folder))? {
        let entry = entry.map_err(crate::Error::io("cannot list", folder))?;
        let name = entry.file_name();
        if let Some(hex) = name.to_str().and_then(|n| n.strip_suffix(".seg"))
            && let Ok(sequence) = u64::from_str_radix(hex, 16)
        {
            found.push(sequence);
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod layout_tests;
#[cfg(test)]
mod tests;
