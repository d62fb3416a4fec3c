//! Requests that must not be stored twice: key → hash of the body and the answer that was given.
//!
//! A key travels in the log record of its request, so that it is durable with the rows. Before a log
//! segment is freed, keys move to `server.sqlite`; inserting one again changes nothing, so the two
//! need no common commit.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use model::limits;
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use crate::error::Result;
use crate::meta;
use crate::record::IdempotencyKey;

/// Keys moved to the database in one transaction.
const BATCH: usize = 5_000;
/// Bytes of all answers together.
const ANSWER_BYTES: usize = 256 << 20;

/// The answer that a remembered request got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// The same request: its answer's body, empty for a plain 204.
    Same(Vec<u8>),
    /// The same key with another body.
    Other,
}

/// Keys of the last 24 hours, bounded in number and bytes; the oldest leave first.
#[derive(Debug)]
pub struct Keys {
    inner: Mutex<Inner>,
    database: Mutex<Connection>,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<[u8; 32], ([u8; 32], Vec<u8>)>,
    /// Key and time of arrival (UTC microseconds), oldest first.
    order: VecDeque<([u8; 32], i64)>,
    answer_bytes: usize,
    /// Keys that only the log holds.
    unsaved: VecDeque<(IdempotencyKey, i64)>,
}

impl Keys {
    /// Opens `server.sqlite` (0600) and reads the keys that are still young at `now_us`.
    pub fn open(path: &Path, now_us: i64) -> Result<Self> {
        let database = meta::open(
            path,
            "CREATE TABLE IF NOT EXISTS idempotency (key BLOB PRIMARY KEY, body BLOB NOT NULL, answer BLOB NOT NULL,
             at_us INTEGER NOT NULL) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (at_us);",
        )?;
        let mut inner = Inner::default();
        {
            let mut statement = database
                .prepare("SELECT key, body, answer, at_us FROM idempotency WHERE at_us > ? ORDER BY at_us LIMIT ?")?;
            let mut rows = statement.query(params![oldest(now_us), limits::IDEMPOTENCY_KEYS])?;
            while let Some(row) = rows.next()? {
                inner.insert(&IdempotencyKey { key: row.get(0)?, body: row.get(1)?, answer: row.get(2)? }, row.get(3)?);
            }
        }
        Ok(Self { inner: Mutex::new(inner), database: Mutex::new(database) })
    }

    /// What is known of a key.
    pub fn find(&self, key: &[u8; 32], body: &[u8; 32]) -> Option<Remembered> {
        let inner = self.inner.lock();
        let (known, answer) = inner.known.get(key)?;
        Some(if known == body { Remembered::Same(answer.clone()) } else { Remembered::Other })
    }

    /// Remembers a request that was appended to the log.
    pub fn remember(&self, key: IdempotencyKey, now_us: i64) {
        let mut inner = self.inner.lock();
        if inner.insert(&key, now_us) {
            inner.unsaved.push_back((key, now_us));
        }
        inner.forget_old(now_us);
    }

    /// Moves every key that only the log holds to the database; then segments may be freed.
    pub fn save(&self, now_us: i64) -> Result<()> {
        let database = self.database.lock();
        loop {
            let batch: Vec<_> = {
                let inner = self.inner.lock();
                inner.unsaved.iter().take(BATCH).cloned().collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let transaction = database.unchecked_transaction()?;
            for (key, at_us) in &batch {
                transaction
                    .prepare_cached("INSERT OR IGNORE INTO idempotency VALUES (?, ?, ?, ?)")?
                    .execute(params![key.key, key.body, key.answer, at_us])?;
            }
            transaction.execute("DELETE FROM idempotency WHERE at_us <= ?", [oldest(now_us)])?;
            transaction.commit()?;
            self.inner.lock().unsaved.drain(..batch.len());
        }
    }
}

impl Inner {
    /// False when the key is known already.
    fn insert(&mut self, key: &IdempotencyKey, at_us: i64) -> bool {
        if self.known.contains_key(&key.key) {
            return false;
        }
        self.answer_bytes += key.answer.len();
        self.known.insert(key.key, (key.body, key.answer.clone()));
        self.order.push_back((key.key, at_us));
        true
    }

    fn forget_old(&mut self, now_us: i64) {
        while let Some((key, at_us)) = self.order.front().copied() {
            let full = self.order.len() > limits::IDEMPOTENCY_KEYS || self.answer_bytes > ANSWER_BYTES;
            if !full && at_us > oldest(now_us) {
                return;
            }
            self.order.pop_front();
            if let Some((_, answer)) = self.known.remove(&key) {
                self.answer_bytes -= answer.len();
            }
        }
    }
}

fn oldest(now_us: i64) -> i64 {
    now_us - limits::IDEMPOTENCY_SECONDS * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000;

    fn key(n: u8) -> IdempotencyKey {
        IdempotencyKey { key: [n; 32], body: [n + 1; 32], answer: vec![n] }
    }

    #[test]
    fn a_key_is_kept_for_a_day_also_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sqlite");
        let keys = Keys::open(&path, NOW).unwrap();
        keys.remember(key(1), NOW);
        assert_eq!(keys.find(&[1; 32], &[2; 32]), Some(Remembered::Same(vec![1])));
        assert_eq!(keys.find(&[1; 32], &[9; 32]), Some(Remembered::Other));
        keys.save(NOW).unwrap();
        drop(keys);
        let keys = Keys::open(&path, NOW + 3_600_000_000).unwrap();
        assert_eq!(keys.find(&[1; 32], &[2; 32]), Some(Remembered::Same(vec![1])));
        keys.remember(key(5), NOW + 25 * 3_600_000_000);
        assert_eq!(keys.find(&[1; 32], &[2; 32]), None);
        assert!(Keys::open(&path, NOW + 25 * 3_600_000_000).unwrap().find(&[1; 32], &[2; 32]).is_none());
    }

    #[test]
    fn saving_twice_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sqlite");
        for _ in 0..2 {
            let keys = Keys::open(&path, NOW).unwrap();
            keys.remember(key(1), NOW);
            keys.save(NOW).unwrap();
            keys.save(NOW).unwrap();
        }
        let count: i64 =
            Connection::open(&path).unwrap().query_row("SELECT count(*) FROM idempotency", [], |r| r.get(0)).unwrap();
        assert_eq!(count, 1);
    }
}
