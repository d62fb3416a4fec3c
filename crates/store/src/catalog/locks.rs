//! Locks over time ranges of tables, in the catalog: two processes on one catalog never hold one
//! range both, and a commit whose lock was lost is refused by its fencing token.

use std::path::Path;

use model::TableId;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use crate::error::{Error, Result};

/// A lock that is not renewed for so long (microseconds) may be taken by another.
pub const TTL_US: i64 = 120_000_000;

/// What somebody wants to hold alone. Both ends of the range (UTC microseconds) are included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub table: TableId,
    pub from_us: i64,
    pub to_us: i64,
    /// The process.
    pub owner: String,
    /// What it is held for.
    pub job: String,
}

/// A lock that is held, or was when it was not renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The fencing token: a later lock has a greater one.
    pub token: u64,
    pub wanted: Wanted,
    pub acquired_us: i64,
    pub heartbeat_us: i64,
    pub expires_us: i64,
}

fn lock(row: &Row<'_>) -> rusqlite::Result<Lock> {
    Ok(Lock {
        token: row.get(0)?,
        wanted: Wanted {
            table: TableId(row.get(1)?),
            from_us: row.get(2)?,
            to_us: row.get(3)?,
            owner: row.get(4)?,
            job: row.get(5)?,
        },
        acquired_us: row.get(6)?,
        heartbeat_us: row.get(7)?,
        expires_us: row.get(8)?,
    })
}

/// Takes a lock; `Ok(Err(holder))` when some live lock overlaps. Expired ones that overlap are
/// stolen. The caller's transaction makes it so.
pub fn acquire(database: &Connection, wanted: &Wanted, now_us: i64) -> Result<Result<Lock, Box<Lock>>> {
    let Wanted { table, from_us, to_us, owner, job } = wanted;
    let overlaps = params![table.0, from_us, to_us, now_us];
    let holder = database
        .prepare_cached(
            "SELECT * FROM tw_lock WHERE table_id = ? AND to_us >= ? AND from_us <= ? AND expires_us > ? LIMIT 1",
        )?
        .query_row(overlaps, lock)
        .optional()?;
    if let Some(holder) = holder {
        return Ok(Err(Box::new(holder)));
    }
    let stolen = database
        .prepare_cached("DELETE FROM tw_lock WHERE table_id = ? AND to_us >= ? AND from_us <= ? AND expires_us <= ?")?
        .execute(overlaps)?;
    if stolen > 0 {
        crate::failpoint::hit("lock.stolen");
        tracing::warn!(table = table.0, job, "a lock that was not renewed is taken over");
    }
    database.prepare_cached("INSERT INTO tw_lock VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(params![
        table.0,
        from_us,
        to_us,
        owner,
        job,
        now_us,
        now_us,
        now_us + TTL_US
    ])?;
    let token = database.last_insert_rowid() as u64;
    let (acquired_us, heartbeat_us, expires_us) = (now_us, now_us, now_us + TTL_US);
    Ok(Ok(Lock { token, wanted: wanted.clone(), acquired_us, heartbeat_us, expires_us }))
}

/// Gives a lock back; false when it is not the owner's any more.
pub fn release(database: &Connection, token: u64, owner: &str) -> Result<bool> {
    let gone =
        database.prepare_cached("DELETE FROM tw_lock WHERE token = ? AND owner = ?")?.execute(params![token, owner])?;
    Ok(gone > 0)
}

/// Renews every lock of an owner; returns how many it holds.
pub fn renew(database: &Connection, owner: &str, now_us: i64) -> Result<usize> {
    let mut statement =
        database.prepare_cached("UPDATE tw_lock SET heartbeat_us = ?1, expires_us = ?1 + ?2 WHERE owner = ?3")?;
    Ok(statement.execute(params![now_us, TTL_US, owner])?)
}

/// Ends a lock together with the commit that it protects.
///
/// # Errors
/// Somebody took it over: the commit must not stand.
pub fn fence(database: &Connection, token: u64) -> Result<()> {
    match database.prepare_cached("DELETE FROM tw_lock WHERE token = ?")?.execute([token])? {
        1 => Ok(()),
        _ => Err(Error::LockLost(token)),
    }
}

/// Every lock, the oldest first.
pub fn list(database: &Connection) -> Result<Vec<Lock>> {
    let mut statement = database.prepare_cached("SELECT * FROM tw_lock ORDER BY token")?;
    let found = statement.query_map([], lock)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Removes locks that were not renewed; returns how many.
pub fn clean_up(database: &Connection, now_us: i64) -> Result<usize> {
    Ok(database.prepare_cached("DELETE FROM tw_lock WHERE expires_us <= ?")?.execute([now_us])?)
}

/// Removes the locks of processes that have ended: the caller alone has the folder.
pub(super) fn forget_others(database: &Connection) -> Result<usize> {
    Ok(database.execute("DELETE FROM tw_lock", [])?)
}

/// The locks of a catalog that another process may have open too.
#[derive(Debug)]
pub struct LockTable {
    database: Connection,
}

impl LockTable {
    /// Opens an existing catalog.
    pub fn open(catalog: &Path) -> Result<Self> {
        Ok(Self { database: super::connect(catalog)? })
    }

    /// Runs `work` in a transaction of its own.
    ///
    /// # Errors
    /// The work's own, or SQLite's; nothing is changed then.
    pub fn with<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write;

    use super::*;

    fn catalog(folder: &Path) -> std::path::PathBuf {
        let layout = crate::layout::Layout { root: folder.to_owned() };
        layout.prepare().unwrap();
        crate::catalog::open(&layout, 0).unwrap();
        layout.catalog()
    }

    fn wanted(owner: &str, from_us: i64, to_us: i64) -> Wanted {
        Wanted { table: TableId(1), from_us, to_us, owner: owner.into(), job: "test".into() }
    }

    #[test]
    fn m1_ranges_that_overlap_exclude_each_other_and_tokens_rise() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = LockTable::open(&catalog(folder.path())).unwrap();
        let mut take = |from, to, now| table.with(|db| acquire(db, &wanted("a", from, to), now)).unwrap();
        let first = take(0, 10, 100).unwrap();
        assert_eq!(take(10, 20, 101).unwrap_err().token, first.token);
        let second = take(11, 20, 101).unwrap();
        assert!(second.token > first.token);
        assert!(take(i64::MIN, i64::MAX, 102).is_err());
        // not renewed: it is stolen, and its commit is refused
        let third = take(0, 5, 100 + TTL_US).unwrap();
        assert!(third.token > second.token);
        assert!(matches!(table.with(|db| fence(db, first.token)), Err(Error::LockLost(_))));
        assert!(!table.with(|db| release(db, third.token, "b")).unwrap(), "only the owner releases");
        table.with(|db| fence(db, third.token)).unwrap();
        assert_eq!(table.with(|db| clean_up(db, 101 + TTL_US)).unwrap(), 1);
        assert!(table.with(list).unwrap().is_empty());
    }

    #[test]
    fn each_method_of_the_locks_fails_without_a_trace_and_then_works() {
        let folder = tempfile::tempdir().unwrap();
        let path = catalog(folder.path());
        let table = parking_lot::Mutex::new(LockTable::open(&path).unwrap());
        let at = std::cell::Cell::new(0);
        let tried = |writes, call: &dyn Fn() -> Result<()>| {
            crate::meta::trial::in_vain(&|with| with(&table.lock().database), &path, "tw_lock", writes, call);
        };
        let take = |owner: &str, now_us| {
            at.set(at.get() + 10);
            let wanted = wanted(owner, at.get(), at.get() + 5);
            table.lock().with(|db| acquire(db, &wanted, now_us))?.map_err(|_| Error::LockLost(0))
        };
        let held = take("a", 0).unwrap();
        tried(true, &|| take("a", 0).map(drop));
        tried(true, &|| table.lock().with(|db| release(db, u64::from(u32::MAX), "a")).map(drop));
        tried(true, &|| table.lock().with(|db| renew(db, "a", 1)).map(drop));
        tried(true, &|| table.lock().with(|db| clean_up(db, 0)).map(drop));
        tried(false, &|| table.lock().with(list).map(drop));
        // what is expired is stolen in one step, or not at all
        let stolen = wanted("b", held.wanted.from_us, held.wanted.to_us);
        tried(true, &|| table.lock().with(|db| acquire(db, &stolen, 10 * TTL_US)).map(drop));
        assert!(table.lock().with(|db| fence(db, held.token)).is_err());
        crate::meta::trial::opened_in_vain(|path| LockTable::open(path).map(drop));
    }

    #[test]
    fn a_lock_that_is_renewed_is_not_stolen() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = LockTable::open(&catalog(folder.path())).unwrap();
        let held = table.with(|db| acquire(db, &wanted("a", 0, 10), 0)).unwrap().unwrap();
        assert_eq!(table.with(|db| renew(db, "a", TTL_US - 1)).unwrap(), 1);
        assert!(table.with(|db| acquire(db, &wanted("b", 0, 10), TTL_US + 1)).unwrap().is_err());
        table.with(|db| fence(db, held.token)).unwrap();
    }

    /// The other process of the next test: takes and gives back ranges until it was refused and
    /// granted often enough, writing down what it held, between which counters of the one file.
    #[test]
    fn other_process() {
        let Ok(catalog) = std::env::var("TW_LOCK_CATALOG") else { return };
        let owner = std::env::var("TW_LOCK_OWNER").unwrap();
        contend(Path::new(&catalog), &owner, &mut std::io::stdout());
    }

    const GRANTS: usize = 300;

    fn contend(catalog: &Path, owner: &str, out: &mut impl Write) {
        let mut table = LockTable::open(catalog).unwrap();
        let (mut granted, mut at) = (0usize, owner.len() as i64);
        while granted < GRANTS {
            at = (at * 7 + 3) % 40;
            let wanted = wanted(owner, at, at + 9);
            let Ok(held) = table.with(|db| acquire(db, &wanted, 0)).unwrap() else { continue };
            // while it is held nobody else may have an overlapping one
            let others = table.with(list).unwrap();
            let overlaps = |l: &&Lock| l.wanted.from_us <= at + 9 && l.wanted.to_us >= at && l.token != held.token;
            assert_eq!(others.iter().find(overlaps), None, "{owner} holds {at}");
            granted += 1;
            writeln!(out, "token {}", held.token).unwrap();
            assert!(table.with(|db| release(db, held.token, owner)).unwrap());
        }
    }

    #[test]
    fn m1_two_processes_on_one_catalog_never_hold_one_range_both() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(folder.path());
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "catalog::locks::tests::other_process", "--nocapture"])
            .envs([("TW_LOCK_CATALOG", catalog.to_str().unwrap()), ("TW_LOCK_OWNER", "other")])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut mine = Vec::new();
        contend(&catalog, "mine", &mut mine);
        let theirs = child.wait_with_output().unwrap();
        assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stdout));
        let tokens = |text: &[u8]| -> Vec<u64> {
            let text = String::from_utf8_lossy(text).into_owned();
            text.split("token ").skip(1).filter_map(|t| t.split_whitespace().next()?.parse().ok()).collect()
        };
        let (mine, theirs) = (tokens(&mine), tokens(&theirs.stdout));
        assert_eq!((mine.len(), theirs.len()), (GRANTS, GRANTS));
        let all: BTreeSet<u64> = mine.iter().chain(&theirs).copied().collect();
        assert_eq!(all.len(), 2 * GRANTS, "no token is given twice");
        // a stale holder's commit is refused, whoever it is
        let mut table = LockTable::open(&catalog).unwrap();
        let stale = table.with(|db| acquire(db, &wanted("other", 0, 9), 0)).unwrap().unwrap();
        let taken = table.with(|db| acquire(db, &wanted("mine", 5, 14), TTL_US)).unwrap().unwrap();
        assert!(taken.token > stale.token);
        assert!(matches!(table.with(|db| fence(db, stale.token)), Err(Error::LockLost(_))));
    }

    /// Run by the next test in a process of its own.
    #[test]
    fn thief() {
        let Ok(catalog) = std::env::var("TW_LOCK_STOLEN_FROM") else { return };
        let mut table = LockTable::open(std::path::Path::new(&catalog)).unwrap();
        let _ = table.with(|db| acquire(db, &wanted("thief", 0, 9), TTL_US)).unwrap();
    }

    #[test]
    fn a_thief_that_dies_in_the_act_has_stolen_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(folder.path());
        let mut table = LockTable::open(&catalog).unwrap();
        let old = table.with(|db| acquire(db, &wanted("old", 0, 9), 0)).unwrap().unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "catalog::locks::tests::thief"])
            .envs([("TW_LOCK_STOLEN_FROM", catalog.to_str().unwrap()), ("TIDEWATER_FAILPOINT", "lock.stolen")])
            .output()
            .unwrap();
        assert!(!child.status.success(), "it ends at the failpoint");
        table.with(|db| fence(db, old.token)).expect("the old lock still stands");
        let next = table.with(|db| acquire(db, &wanted("next", 0, 9), TTL_US)).unwrap().unwrap();
        assert!(next.token > old.token);
    }
}
