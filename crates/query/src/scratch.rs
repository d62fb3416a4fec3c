use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes files without a name: they are gone with whoever holds them, also when the process is killed.
#[derive(Debug)]
pub(crate) struct Scratches {
    folder: PathBuf,
    used: Arc<AtomicU64>,
    max_bytes: u64,
}

/// A file of bytes that come back soon.
#[derive(Debug)]
pub struct Scratch {
    file: std::fs::File,
    bytes: u64,
    used: Arc<AtomicU64>,
    max_bytes: u64,
}

impl Scratches {
    pub fn new(folder: PathBuf, max_bytes: u64) -> Self {
        Self { folder, used: Arc::default(), max_bytes }
    }

    pub fn file(&self) -> io::Result<Scratch> {
        let file = tempfile::tempfile_in(&self.folder)?;
        Ok(Scratch { file, bytes: 0, used: Arc::clone(&self.used), max_bytes: self.max_bytes })
    }
}

impl Scratch {
    /// Adds bytes and says where they begin.
    ///
    /// # Errors
    /// The disk, or the bound that all such files share, is full.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let len = bytes.len() as u64;
        let before = self.used.fetch_add(len, Ordering::Relaxed);
        let fits = match before + len <= self.max_bytes {
            true => self.file.write_all_at(bytes, self.bytes),
            false => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "answers that wait have {} bytes on disk, which is the bound (query.temp_bytes)",
                    self.max_bytes
                ),
            )),
        };
        match fits {
            Ok(()) => {
                self.bytes += len;
                Ok(self.bytes - len)
            }
            Err(error) => {
                self.used.fetch_sub(len, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// # Errors
    /// Fewer bytes are there, or the disk fails.
    pub fn get(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_within_a_bound_that_all_share() {
        let folder = tempfile::tempdir().unwrap();
        let scratches = Scratches::new(folder.path().to_owned(), 10);
        let (mut first, mut second) = (scratches.file().unwrap(), scratches.file().unwrap());
        assert_eq!((first.put(b"abc").unwrap(), second.put(b"defg").unwrap(), first.put(b"hij").unwrap()), (0, 0, 3));
        assert_eq!(second.put(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        let mut bytes = [0; 3];
        first.get(3, &mut bytes).unwrap();
        assert_eq!(&bytes, b"hij");
        drop(first);
        second.put(b"xxxxxx").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "they have no name");
    }
}
