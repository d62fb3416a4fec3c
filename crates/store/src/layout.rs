//! Where things lie under the server's folder, and who may use it.
//!
//! ```text
//! LOCK            held while a server runs; names it
//! log/            segments of the log
//! catalog.sqlite  the DuckLake catalog and the tables that commit with it (0640)
//! server.sqlite   everything secret or private (0600)
//! data/           {slug}-{database_id}/{slug}-{table_id}/YYYY/MM/DD/HH/{name}.parquet
//! tmp/            spill files; emptied at start
//! catalog.copy    the catalog as it was a minute ago (0600)
//! catalog.mark    the snapshot that the catalog has reached
//! catalog.repairing  a repair of the catalog is not finished
//! RESTORING       a restore is not finished: no server opens the folder
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::limits;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::durable;
use crate::error::{Error, Result};

/// Version of everything below the folder; a newer one is refused.
pub const FORMAT_VERSION: u64 = 5;

/// Stands in a folder while a backup is restored into it.
pub const RESTORING: &str = "RESTORING";

#[derive(Debug, Clone)]
pub struct Layout {
    pub root: PathBuf,
}

impl Layout {
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// What old segments of the log still hold for small tables.
    pub fn side(&self) -> PathBuf {
        self.log().join("side")
    }

    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub fn catalog(&self) -> PathBuf {
        self.root.join("catalog.sqlite")
    }

    /// The catalog as it was a little while ago.
    pub fn catalog_copy(&self) -> PathBuf {
        self.root.join("catalog.copy")
    }

    /// Stands while a repair of the catalog is not finished.
    pub fn catalog_repairing(&self) -> PathBuf {
        self.root.join("catalog.repairing")
    }

    /// Says how far the catalog has come.
    pub fn catalog_mark(&self) -> PathBuf {
        self.root.join("catalog.mark")
    }

    /// Whether a server has kept anything below the folder.
    ///
    /// # Errors
    /// The folder of the log cannot be read.
    pub fn is_used(&self) -> Result<bool> {
        let has_log = self.log().exists() && !crate::log::sequences(&self.log())?.is_empty();
        Ok(has_log || self.catalog_mark().exists() || !self.unknown_files(&[]).is_empty())
    }

    /// Files of our making below the data folder that are not `known` by their path there.
    pub fn unknown_files(&self, known: &[String]) -> Vec<PathBuf> {
        let known: std::collections::HashSet<&str> = known.iter().map(String::as_str).collect();
        let root = self.data();
        let (mut folders, mut unknown) = (vec![root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    folders.push(path);
                    continue;
                }
                let relative = path.strip_prefix(&root).ok().and_then(Path::to_str).unwrap_or_default();
                let ours = path.extension().is_some_and(|e| e == "parquet" || e == "tmp");
                if ours && !known.contains(relative) {
                    unknown.push(path);
                }
            }
        }
        unknown
    }

    pub fn server_db(&self) -> PathBuf {
        self.root.join("server.sqlite")
    }

    /// Creates the folders; spill files of an earlier process go.
    pub fn prepare(&self) -> Result<()> {
        durable::create_folders(&self.root)?;
        for folder in [self.log(), self.data()] {
            durable::create_folders(&folder)?;
        }
        if self.tmp().exists() {
            fs::remove_dir_all(self.tmp()).map_err(Error::io("cannot empty", &self.tmp()))?;
        }
        durable::create_folders(&self.tmp())?;
        // readers of the catalog may belong to another account: log and spilled rows are not theirs
        for private in [self.log(), self.tmp()] {
            let mode = fs::Permissions::from_mode(0o700);
            fs::set_permissions(&private, mode).map_err(Error::io("cannot set permissions of", &private))?;
        }
        Ok(())
    }
}

const SLUG: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A name as one path component: percent-encoded, cut to [`limits::SLUG_BYTES`] bytes, never a
/// hidden file. The id behind it makes it unique.
pub fn slug(name: &str) -> String {
    let encoded = utf8_percent_encode(name, SLUG).to_string();
    let mut cut = encoded.len().min(limits::SLUG_BYTES);
    // a percent triple is not cut in two
    if let Some(percent) = encoded[..cut].rfind('%').filter(|p| p + 3 > cut) {
        cut = percent;
    }
    let slug = &encoded[..cut];
    slug.strip_prefix('.').map_or_else(|| slug.to_owned(), |rest| format!("%2E{rest}"))
}

/// How long a server that ends may keep the next one waiting: kill -9 returns before the process has given back what it
/// had, which takes the longer the more memory that was.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Held for the life of a server: no second one opens the folder.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Waits for a server that is ending.
    ///
    /// # Errors
    /// [`Error::InUse`] names the holder when another process has the folder.
    pub fn acquire(root: &Path) -> Result<Self> {
        let path = root.join("LOCK");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&path)
            .map_err(Error::io("cannot open", &path))?;
        let deadline = Instant::now() + PATIENCE;
        while !lock(&file, libc::LOCK_EX) {
            if Instant::now() >= deadline {
                return Err(Error::InUse { path: root.to_owned(), holder: named_in(&file) });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        file.set_len(0).map_err(Error::io("cannot write", &path))?;
        write!(file, "process {} on {}", std::process::id(), host.trim()).map_err(Error::io("cannot write", &path))?;
        Ok(Self { _file: file })
    }

    /// Who holds the folder now, if somebody does.
    pub fn holder(root: &Path) -> Option<String> {
        let file = File::open(root.join("LOCK")).ok()?;
        (!lock(&file, libc::LOCK_SH)).then(|| named_in(&file))
    }
}

/// The holder that the file names.
fn named_in(mut file: &File) -> String {
    let mut holder = String::new();
    let _ = file.read_to_string(&mut holder);
    holder.trim().to_owned()
}

/// Takes a lock on an open file, if nobody's is in the way.
#[expect(unsafe_code, reason = "flock has no safe binding in the tree")]
fn lock(file: &File, how: libc::c_int) -> bool {
    // SAFETY: the descriptor is open for the call; the function touches no memory of ours
    unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_one_short_path_component() {
        assert_eq!(slug("cpu-load_1.x"), "cpu-load_1.x");
        assert_eq!(slug("../etc"), "%2E.%2Fetc");
        assert_eq!(slug(".."), "%2E.");
        let long = slug(&"é".repeat(200));
        assert!(long.len() <= limits::SLUG_BYTES && long.len().is_multiple_of(3), "{long}");
    }

    #[test]
    fn a_second_server_on_the_folder_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::acquire(folder.path()).unwrap();
        let error = FolderLock::acquire(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        FolderLock::acquire(folder.path()).unwrap();
    }
}
