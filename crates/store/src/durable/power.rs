//! A fault door for tests: with `TIDEWATER_FAULT_DOOR=power` what was written or removed and not
//! synced is only in this process's memory, so that kill -9 is a loss of power after which nothing
//! unsynced is on the disk. Without the variable every call is one load.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::Mutex;

#[derive(Default)]
struct Unsynced {
    /// Inode → writes in order.
    writes: HashMap<u64, Vec<(u64, Vec<u8>)>>,
    /// Folder → names removed from it.
    removals: HashMap<PathBuf, Vec<PathBuf>>,
}

static DOOR: OnceLock<Option<Mutex<Unsynced>>> = OnceLock::new();

fn door() -> Option<&'static Mutex<Unsynced>> {
    let open = || (std::env::var("TIDEWATER_FAULT_DOOR").as_deref() == Ok("power")).then(Mutex::default);
    DOOR.get_or_init(open).as_ref()
}

pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let Some(door) = door() else { return file.write_all_at(bytes, offset) };
    let inode = file.metadata()?.ino();
    door.lock().writes.entry(inode).or_default().push((offset, bytes.to_vec()));
    Ok(())
}

/// Lets the writes to `file` through; syncing it is the caller's.
pub fn settle(file: &File) -> io::Result<()> {
    let Some(door) = door() else { return Ok(()) };
    let writes = door.lock().writes.remove(&file.metadata()?.ino());
    writes.into_iter().flatten().try_for_each(|(offset, bytes)| file.write_all_at(&bytes, offset))
}

pub fn remove(path: &Path) -> io::Result<()> {
    let Some(door) = door() else { return fs::remove_file(path) };
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    door.lock().removals.entry(folder).or_default().push(path.to_owned());
    Ok(())
}

/// Lets the removals in `folder` through; syncing it is the caller's.
pub fn settle_folder(folder: &Path) -> io::Result<()> {
    let Some(door) = door() else { return Ok(()) };
    let removals = door.lock().removals.remove(folder);
    removals.into_iter().flatten().try_for_each(fs::remove_file)
}
