//! Disk space kept in reserve: given up to flush, catalog and expiry when everything else is full,
//! because only they can make room; taken back when there is room again.

use std::path::PathBuf;

use crate::durable;
use crate::error::Result;

/// A preallocated file.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    /// Takes nothing yet: [`Ballast::rebuild`] does.
    pub fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    fn is_held(&self) -> bool {
        self.path.exists()
    }

    /// Gives the space up; false when it was given up already.
    pub fn give_up(&self) -> bool {
        durable::remove(&self.path).is_ok()
    }

    /// Takes the space again when more than `min_free` bytes are left beside it.
    pub fn rebuild(&self, free: u64, min_free: u64) -> Result<()> {
        if self.is_held() || self.bytes == 0 || free < min_free.saturating_add(self.bytes) {
            return Ok(());
        }
        let taken = durable::allocate(&self.path, self.bytes).map(drop);
        if taken.is_err() {
            let _ = durable::remove(&self.path);
        }
        taken
    }
}
