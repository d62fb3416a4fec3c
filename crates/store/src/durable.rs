//! The vocabulary of durability. Nothing else in the product calls fsync, rename or create.
//!
//! On Linux `fdatasync` is what [`sync_data`] calls. macOS would need `F_FULLFSYNC`: not yet.

mod power;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;

use crate::error::{Error, Result};

/// Makes the written bytes of `file` survive power loss.
#[expect(clippy::disallowed_methods, reason = "this is the door to durability")]
pub fn sync_data(file: &File, path: &Path) -> Result<()> {
    power::settle(file).and_then(|()| file.sync_data()).map_err(Error::io("cannot sync", path))
}

/// Makes names created, renamed or removed in `folder` survive power loss.
#[expect(clippy::disallowed_methods, reason = "this is the door to durability")]
pub fn sync_folder(folder: &Path) -> Result<()> {
    let synced = power::settle_folder(folder).and_then(|()| File::open(folder)).and_then(|f| f.sync_all());
    synced.map_err(Error::io("cannot sync folder", folder))
}

/// Creates `folder` and every missing parent, each name durable.
pub fn create_folders(folder: &Path) -> Result<()> {
    let mut missing = Vec::new();
    let mut at = Some(folder);
    while let Some(path) = at.filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
        missing.push(path);
        at = path.parent();
    }
    for path in missing.into_iter().rev() {
        match fs::create_dir(path) {
            Ok(()) => sync_folder(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("cannot create folder", path)(e)),
        }
    }
    Ok(())
}

/// Held while a folder gets its first file, and alone by whoever removes empty ones.
static FOLDERS: RwLock<()> = RwLock::new(());

/// Makes the folder of `file` and does `work`, which makes the file: nobody takes the folder away in between.
pub fn in_folder_of<T>(file: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let _kept = FOLDERS.read();
    create_folders(file.parent().unwrap_or(Path::new(".")))?;
    work()
}

/// Removes a folder, and those above it up to `root`, as far as they are empty.
pub fn remove_empty(root: &Path, folder: &Path) {
    let _alone = FOLDERS.write();
    let below = folder.ancestors().take_while(|at| at.starts_with(root) && *at != root);
    for folder in below {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => break, // it holds something
            _ => {}
        }
    }
}

/// Moves a synced file to its final name, durably.
#[expect(clippy::disallowed_methods, reason = "this is the door to durability")]
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io("cannot rename", from))?;
    sync_folder(to.parent().unwrap_or(Path::new(".")))
}

/// A file that gets its final name only when every byte is durable.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    /// Bytes written so far.
    at: u64,
    temporary: PathBuf,
    target: PathBuf,
    done: bool,
}

impl NewFile {
    /// Starts `target` under a temporary name beside it (`.tmp` appended, so no reader's glob sees it), in a folder
    /// that is made where it is missing.
    pub fn create(target: PathBuf, mode: u32) -> Result<Self> {
        let temporary = with_suffix(&target, ".tmp");
        let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary);
        let file = in_folder_of(&target, || open().map_err(Error::io("cannot create", &temporary)))?;
        Ok(Self { file, at: 0, temporary, target, done: false })
    }

    /// Syncs the bytes, gives the file its name and syncs the folder.
    pub fn commit(mut self) -> Result<()> {
        sync_data(&self.file, &self.temporary)?;
        rename(&self.temporary, &self.target)?;
        self.done = true;
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        power::write_at(&self.file, bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// The path with something behind its last name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a small file whole and durably.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut file = NewFile::create(path.to_owned(), mode)?;
    file.write_all(bytes).map_err(Error::io("cannot write", path))?;
    file.commit()
}

/// Opens or creates a file of exactly `bytes` bytes with its blocks allocated.
pub fn allocate(path: &Path, bytes: u64) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("cannot create", path))?;
    allocate_blocks(&file, bytes).map_err(Error::io("cannot allocate", path))?;
    Ok(file)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe binding of posix_fallocate is in the tree")]
fn allocate_blocks(file: &File, bytes: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open for the call; the function touches no memory of ours
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate_blocks(file: &File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)
}

/// Writes `bytes` at `offset`; durable only after [`sync_data`].
pub fn write_at(file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<()> {
    power::write_at(file, bytes, offset).map_err(Error::io("cannot write", path))
}

/// Removes a file; its name may come back after power loss until the folder is synced.
pub fn remove(path: &Path) -> Result<()> {
    power::remove(path).map_err(Error::io("cannot remove", path))
}

/// Removes what failed work has written; what stays is an orphan that the next start removes.
pub fn discard(paths: &[PathBuf]) {
    for path in paths {
        let _ = fs::remove_file(path);
    }
}

/// Bytes that an unprivileged process can still write on the file system of `path`.
pub fn free_bytes(path: &Path) -> Result<u64> {
    statvfs(path).map(|stat| stat.f_bavail * stat.f_frsize)
}

/// Whether so many bytes more leave at least `min_free` on the file system of `path`.
pub fn has_room(path: &Path, bytes: u64, min_free: u64) -> Result<bool> {
    Ok(free_bytes(path)? >= bytes.saturating_add(min_free))
}

/// Bytes of the file system of `path`.
pub fn total_bytes(path: &Path) -> Result<u64> {
    statvfs(path).map(|stat| stat.f_blocks * stat.f_frsize)
}

#[expect(unsafe_code, reason = "std has no statvfs")]
fn statvfs(path: &Path) -> Result<libc::statvfs> {
    use std::os::unix::ffi::OsStrExt;
    let c = std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|e| Error::io("cannot stat", path)(io::Error::other(e)))?;
    // SAFETY: zero is a valid value of this plain C struct
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `c` ends in NUL and `stat` outlives the call
    match unsafe { libc::statvfs(c.as_ptr(), &mut stat) } {
        0 => Ok(stat),
        _ => Err(Error::io("cannot stat", path)(io::Error::last_os_error())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_last_file_and_never_under_one_that_comes() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("table/2026/11");
        let come_and_go = |name: &str| {
            for _ in 0..500 {
                let file = folder.join(name);
                write_file(&file, b"x", 0o600).unwrap();
                remove(&file).unwrap();
                remove_empty(root.path(), &folder);
            }
        };
        std::thread::scope(|scope| {
            ["a", "b", "c"].iter().for_each(|name| drop(scope.spawn(|| come_and_go(name))));
        });
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "all of them are empty in the end");
        write_file(&folder.join("kept"), b"x", 0o600).unwrap();
        remove_empty(root.path(), &folder.join("gone"));
        assert!(folder.join("kept").exists() && root.path().exists());
    }
}
