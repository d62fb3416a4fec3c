//! One job at a time over a range of a table: compaction holds the hull of its inputs, a delete the
//! whole table, retention what is older than its cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::TableId;

use crate::catalog::Committer;
use crate::catalog::locks::{self, Lock, Wanted};
use crate::error::{Error, Result};
use crate::shared::Shared;
use crate::view::TableInfo;

/// How long a job waits for another to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a job that waits looks again, should it miss a word of the holder.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A lock; dropping it gives it back.
#[derive(Debug)]
pub struct Held {
    lock: Lock,
    shared: Arc<Shared>,
    committer: Arc<Committer>,
    is_spent: bool,
}

impl Held {
    /// Takes the range (UTC microseconds, both ends included), waiting at most so long for others.
    ///
    /// # Errors
    /// [`Error::Locked`] names who holds it.
    pub fn take(
        shared: &Arc<Shared>,
        committer: &Arc<Committer>,
        table: &TableInfo,
        (from_us, to_us): (i64, i64),
        job: &str,
        patience: Duration,
    ) -> Result<Self> {
        let deadline = Instant::now() + patience;
        let wanted = Wanted { table: table.id, from_us, to_us, owner: shared.instance.clone(), job: job.to_owned() };
        loop {
            let (asked, now_us) = (wanted.clone(), shared.clock.boot_us());
            let taken = committer.aside(move |lake| locks::acquire(&lake.connection, &asked, now_us))?;
            let holder = match taken {
                Ok(lock) => {
                    let (shared, committer) = (Arc::clone(shared), Arc::clone(committer));
                    return Ok(Self { lock, shared, committer, is_spent: false });
                }
                Err(holder) => holder.wanted,
            };
            let mut freed = shared.lock_freed.0.lock();
            let now = Instant::now();
            if now >= deadline {
                return Err(Error::Locked { table: table.name.to_string(), job: holder.job, owner: holder.owner });
            }
            shared.lock_freed.1.wait_for(&mut freed, LOOK_AGAIN.min(deadline - now));
        }
    }

    pub fn token(&self) -> u64 {
        self.lock.token
    }

    /// The commit has ended it.
    pub fn spend(mut self) {
        self.is_spent = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_spent {
            let (token, owner) = (self.lock.token, self.lock.wanted.owner.clone());
            if let Err(error) = self.committer.aside(move |lake| locks::release(&lake.connection, token, &owner)) {
                tracing::warn!(%error, token, "a lock could not be given back; it expires by itself");
            }
        }
        drop(self.shared.lock_freed.0.lock());
        self.shared.lock_freed.1.notify_all();
    }
}

impl crate::Store {
    /// Every lock with whether it has expired; its instants are on the clock that counts since boot.
    pub fn locks(&self) -> Result<Vec<Lock>> {
        self.committer.aside(|lake| locks::list(&lake.connection))
    }

    /// Removes expired locks; returns how many.
    pub fn clean_up_locks(&self) -> Result<usize> {
        let now_us = self.shared().clock.boot_us();
        self.committer.aside(move |lake| locks::clean_up(&lake.connection, now_us))
    }

    /// Renews the locks of this process: one that is not renewed for two minutes may be taken over.
    pub fn renew_locks(&self) -> Result<()> {
        let (owner, now_us) = (self.shared().instance.clone(), self.shared().clock.boot_us());
        self.committer.aside(move |lake| locks::renew(&lake.connection, &owner, now_us)).map(drop)
    }

    pub(crate) fn hold(&self, table: &TableInfo, range: (i64, i64), job: &str) -> Result<Held> {
        Held::take(self.shared(), &self.committer, table, range, job, PATIENCE)
    }

    /// The table as the newest View has it.
    pub(crate) fn live(&self, id: TableId) -> Result<Arc<crate::view::Table>> {
        let view = self.view();
        view.tables.get(&id).cloned().ok_or_else(|| Error::Inconsistent(format!("table {id} has ended")))
    }
}
