//! Reads live files again, at a low rate, against the checksum that was taken when they were written:
//! a disk that rots is noticed while another copy may still exist.

use model::TableId;

use crate::error::{Error, Result};
use crate::file::checksum;
use crate::flush::table_folder;
use crate::shared::Counters;
use crate::store::Store;

/// Where the scrub stands.
#[derive(Debug)]
pub struct Scrub {
    bytes_a_run: u64,
    every_us: i64,
    /// The last file that was read.
    after: (TableId, u64),
    /// Bytes that were read beyond what the runs so far allow.
    debt: u64,
    round_us: Option<i64>,
}

impl Scrub {
    /// A scrub that reads so many bytes a run, and begins a round over all files so often at most.
    pub fn new(bytes_a_run: u64, every_us: i64) -> Self {
        Self { bytes_a_run, every_us, after: (TableId(0), 0), debt: 0, round_us: None }
    }

    /// Reads the next files.
    ///
    /// # Errors
    /// A file is not what was written: it is quarantined, never removed, and the next run goes on
    /// behind it.
    pub fn run_once(&mut self, store: &Store, now_us: i64) -> Result<()> {
        if self.debt > self.bytes_a_run {
            self.debt -= self.bytes_a_run;
            return Ok(());
        }
        if self.after == (TableId(0), 0) {
            if self.round_us.is_some_and(|began| (0..self.every_us).contains(&(now_us - began))) {
                return Ok(());
            }
            self.round_us = Some(now_us);
        }
        let mut read = self.debt;
        while read < self.bytes_a_run {
            // the View keeps the file on disk
            let view = store.view();
            let files = view.tables.values().flat_map(|t| t.files.iter().map(move |f| (t, f)));
            let next = files.map(|(t, f)| ((t.info.id, f.id), t, f)).filter(|(at, ..)| *at > self.after);
            let Some((at, table, file)) = next.min_by_key(|(at, ..)| *at) else {
                self.after = (TableId(0), 0);
                self.debt = 0;
                return Ok(());
            };
            self.after = at;
            read += file.bytes.max(1);
            self.debt = read.saturating_sub(self.bytes_a_run);
            let path = table_folder(store.shared(), &view, &table.info)?.join(&*file.path);
            let found = checksum(&path);
            Counters::add(&store.shared().counters.scrubbed_bytes, file.bytes);
            let fault = match found {
                Ok(sums) if sums.crc32c == file.crc32c => continue,
                Ok(sums) => format!("its checksum is {:08x} and was {:08x}", sums.crc32c, file.crc32c),
                Err(error) => error.to_string(),
            };
            store.shared().compaction.lock().quarantined.insert(file.id);
            let (path, table) = (&*file.path, &*table.info.name);
            tracing::error!(path, table, fault, "a file is not what was written; it is left out of every merge");
            return Err(Error::Inconsistent(format!("file {path} of {table:?} is damaged: {fault}")));
        }
        Ok(())
    }
}
