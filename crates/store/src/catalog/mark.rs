//! How far the catalog has come, in a file of its own: a catalog that went back, because its journal is damaged or an
//! older file took its place, would take newer data files for leftovers and answer without their rows.
//!
//! ```text
//! instance [16], snapshot u64, crc32c u32
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::durable;
use crate::error::{Error, Result};
use crate::layout::Layout;

const BYTES: usize = 28;

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    path: PathBuf,
    instance: [u8; 16],
}

impl Mark {
    pub fn open(layout: &Layout, instance: [u8; 16]) -> Result<Self> {
        let path = layout.catalog_mark();
        let is_new = !path.exists();
        let file = durable::allocate(&path, BYTES as u64)?;
        if is_new {
            durable::sync_folder(&layout.root)?;
        }
        Ok(Self { file, path, instance })
    }

    /// Notes, durably, that a snapshot is committed. What fails here loses nothing but the check.
    pub fn set(&self, snapshot: u64) {
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(&self.instance);
        bytes[16..24].copy_from_slice(&snapshot.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        let written = durable::write_at(&self.file, &self.path, &bytes, 0)
            .and_then(|()| durable::sync_data(&self.file, &self.path));
        if let Err(error) = written {
            tracing::error!(%error, "a start cannot tell whether the catalog went back behind this commit");
        }
    }
}

/// The snapshot that a catalog of this instance has had at least; 0 when nothing says so.
pub(super) fn read(path: &Path, instance: &[u8; 16]) -> Result<u64> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io("cannot read", path)(error)),
    };
    let Some(bytes) = bytes.get(..BYTES) else { return Ok(0) };
    let sum = u32::from_le_bytes(bytes[24..].try_into().expect("4 bytes"));
    let is_ours = sum == crc32c::crc32c(&bytes[..24]) && bytes[..16] == instance[..];
    Ok(if is_ours { u64::from_le_bytes(bytes[16..24].try_into().expect("8 bytes")) } else { 0 })
}
