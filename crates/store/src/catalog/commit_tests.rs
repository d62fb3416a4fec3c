//! What becomes of jobs that the catalog's thread is given: together, too fast, too late, in vain.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use model::{Clock, ColumnId, DatabaseName, ItemName, Lsn, ManualClock, TableId, TableMode};
use rusqlite::Connection;

use super::tests::{NOW, block, config, open, request, rows};
use super::{Aside, Conversion, FlushedTable, Job, Replacement, ReplacementKind, Target, locks};
use crate::{Error, Store};

fn name(text: &str) -> DatabaseName {
    DatabaseName::new(text).unwrap()
}

fn id(store: &Store, table: &str) -> TableId {
    store.view().table("db", table).unwrap().info.id
}

fn ids(store: &Store, table: &str) -> Vec<u64> {
    store.view().table("db", table).unwrap().files.iter().map(|f| f.id).collect()
}

fn conversion(table: TableId, token: u64) -> Conversion {
    let (target, ended, files, seen) = (Target::Mode(TableMode::Last), Vec::new(), Vec::new(), [].into());
    Conversion { table, target, ended, files, seen, token }
}

fn replacement(table: TableId, ended: Vec<u64>, kind: ReplacementKind, token: u64) -> Replacement {
    let (files, columns, also, job) = (Vec::new(), Vec::new(), None, "job".to_owned());
    Replacement { table, ended, files, kind, columns, also, token, job }
}

#[test]
fn jobs_of_a_commit_that_cannot_begin_hear_why_and_the_next_commit_works() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    ["t", "u"].iter().for_each(|table| drop(store.write(request(table, &[NOW])).unwrap()));
    store.flush().unwrap();
    store.write(request("t", &[NOW + 1])).unwrap();
    let (table, database) = (id(&store, "t"), store.view().database("db").unwrap().id);
    let other = Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    other.execute_batch("PRAGMA legacy_alter_table = ON; ALTER TABLE ducklake_snapshot RENAME TO gone").unwrap();
    let new_name = ItemName::new("table", "new").unwrap();
    let flushed = FlushedTable { table, expected: Lsn(1), to: Lsn(2), files: Vec::new(), columns: Vec::new() };
    let replacements = vec![replacement(table, ids(&store, "t"), ReplacementKind::Merge, 1)];
    let conversion = conversion(table, 1);
    let outcomes = [
        ("create", store.create_database(name("other")).map(drop)),
        ("define", store.write(request("v", &[NOW])).map(drop)),
        ("drop", store.drop_table(table)),
        ("drop database", store.drop_database(database)),
        ("rename", store.rename_table(table, new_name)),
        ("expire", store.expire(NOW)),
        ("replace", store.committer.wait(|reply| Job::Replace { replacements, reply })),
        ("convert", store.committer.wait(|reply| Job::Convert { conversion, reply })),
        ("flush", store.committer.wait(|reply| Job::Flush { table: flushed, reply })),
        ("aside", store.committer.aside(|_| Ok(()))),
    ];
    for (what, outcome) in outcomes {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("ducklake_snapshot"), "{what}: {error}");
        assert_eq!(error.code(), model::Code::Internal, "{what}");
    }
    assert!(store.flush().is_err());
    other.execute_batch("ALTER TABLE gone RENAME TO ducklake_snapshot").unwrap();
    store.create_database(name("other")).unwrap();
    store.flush().unwrap();
    store.write(request("v", &[NOW])).unwrap();
    assert_eq!((rows(&store, "t"), rows(&store, "u"), rows(&store, "v")), (Some(2), Some(1), Some(1)));
}

#[test]
fn a_job_that_fails_takes_no_other_of_its_commit_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[NOW])).unwrap();
    store.flush().unwrap();
    let opened = gate(&store);
    let before = store.view().snapshot;
    let create = |text| queue(&store, |reply| Job::CreateDatabase { database: name(text), reply });
    let (created, twice) = (create("one"), create("ONE"));
    let replacements = vec![replacement(id(&store, "t"), ids(&store, "t"), ReplacementKind::Merge, 77)];
    let replaced = queue::<()>(&store, |reply| Job::Replace { replacements, reply });
    let also = create("two");
    drop(opened);
    assert_eq!(created.recv().unwrap().unwrap(), NOW);
    assert!(matches!(twice.recv().unwrap(), Err(Error::DatabaseExists(name)) if name == "ONE"));
    assert!(matches!(replaced.recv().unwrap(), Err(Error::LockLost(77))));
    assert_eq!(also.recv().unwrap().unwrap(), NOW);
    let view = store.view();
    assert_eq!(view.snapshot, before + 1, "they shared one commit");
    assert_eq!(ids(&store, "t").len(), 1);
    drop(store);
    let view = open(folder.path()).view();
    assert!(view.database("one").is_some() && view.database("two").is_some());
}

/// Queues a job; its outcome comes later.
fn queue<T>(store: &Store, job: impl FnOnce(SyncSender<crate::Result<T>>) -> Job) -> Receiver<crate::Result<T>> {
    let (reply, outcome) = sync_channel(1);
    store.committer.submit(job(reply)).unwrap();
    outcome
}

/// Keeps the catalog's thread until it is dropped: jobs that are queued meanwhile are one commit.
fn gate(store: &Store) -> Sender<()> {
    let (open, gate) = channel::<()>();
    let (begin, begun) = channel();
    let work = Aside::new(move |_| {
        begin.send(()).unwrap();
        let _ = gate.recv();
        Ok(())
    });
    drop(queue(store, |reply| Job::Aside { work, reply }));
    // no later job is of its commit
    begun.recv().unwrap();
    open
}

#[test]
fn a_commit_that_sqlite_undoes_by_itself_fails_as_a_whole_and_the_next_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let before = store.view().snapshot;
    let opened = gate(&store);
    let create = |text| queue(&store, |reply| Job::CreateDatabase { database: name(text), reply });
    let one = create("one");
    let work = Aside::new(|lake| {
        // as SQLite may on a full disk
        lake.connection.execute_batch("ROLLBACK")?;
        Err(Error::io("cannot write", "catalog.sqlite".as_ref())(std::io::ErrorKind::StorageFull.into()))
    });
    let undone = queue::<()>(&store, |reply| Job::Aside { work, reply });
    let two = create("two");
    drop(opened);
    let outcomes = [one.recv().unwrap().map(drop), undone.recv().unwrap(), two.recv().unwrap().map(drop)];
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().code(), model::Code::DiskFull);
    }
    assert_eq!(store.view().snapshot, before);
    store.create_database(name("one")).unwrap();
    drop(store);
    let view = open(folder.path()).view();
    assert!(view.database("one").is_some() && view.database("two").is_none() && view.snapshot == before + 1);
}

#[test]
fn past_the_burst_commits_come_at_their_rate_and_are_shared() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.commits_per_second = 1;
    let store = Store::open(config, Arc::new(ManualClock::at(NOW))).unwrap();
    let began = Instant::now();
    (0..100).for_each(|i| assert_eq!(store.create_database(name(&format!("d{i}"))).unwrap(), NOW));
    let (burst, before) = (began.elapsed(), store.view().snapshot);
    assert!(burst < Duration::from_secs(50), "a burst does not wait: {burst:?}");
    std::thread::scope(|scope| {
        let store = &store;
        (0..40).for_each(|i| drop(scope.spawn(move || store.create_database(name(&format!("e{i}"))).unwrap())));
    });
    // a second, a commit
    let may = began.elapsed().as_secs_f64().ceil() as u64 + 1;
    let snapshots = store.view().snapshot - before;
    assert!(snapshots < 40 && snapshots <= may, "{snapshots} snapshots, {burst:?} for the burst");
    // what makes no snapshot waits for no turn
    let began = Instant::now();
    (0..50).for_each(|_| drop(store.locks().unwrap()));
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(store.view().databases.len(), 140);
}

#[test]
fn what_a_job_has_committed_is_known_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for time in [NOW, NOW + 1] {
        store.write(request("t", &[time])).unwrap();
        store.flush().unwrap();
    }
    let info = Arc::clone(&store.view().table("db", "t").unwrap().info);
    let done = || store.committer.aside(|lake| lake.job("job")).unwrap();
    assert_eq!(done(), None);
    for (file, commits) in ids(&store, "t").into_iter().zip(1..) {
        let held = store.hold(&info, (NOW, NOW + 1), "job").unwrap();
        let kind = ReplacementKind::Delete { rows: 1, touches: false };
        let replacements = vec![replacement(info.id, vec![file], kind, held.token())];
        store.committer.wait(|reply| Job::Replace { replacements, reply }).unwrap();
        held.spend();
        assert_eq!(done(), Some((commits, commits)));
    }
    store.committer.aside(|lake| lake.forget_job("job")).unwrap();
    assert_eq!((done(), rows(&store, "t")), (None, Some(0)));
}

#[test]
fn a_column_that_a_file_holds_by_now_keeps_its_type() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[NOW])).unwrap();
    let column = || store.view().table("db", "t").unwrap().info.schema.find("v").unwrap().clone();
    let id = column().id;
    store.flush().unwrap();
    // as a request asks that was resolved before the flush
    let changes =
        vec![model::schema::Change::Replace { from: id, ty: model::ColumnType::Float64, role: column().role }];
    let wants = vec![super::Want { table: ItemName::new("table", "t").unwrap(), mode: TableMode::Append, changes }];
    store.committer.wait(|reply| Job::Define { database: name("db"), wants, reply }).unwrap();
    assert_eq!((column().id, column().ty, column().persisted), (id, model::ColumnType::Int64, true));
}

#[test]
fn a_dropped_table_gives_its_memory_back_and_its_flush_fails() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("kept", &[NOW])).unwrap();
    let kept = store.shared().hot_bytes();
    store.write(request("t", &[NOW])).unwrap();
    let in_its_way = block(&store, "t");
    assert!(store.flush().is_err());
    std::fs::remove_file(&in_its_way).unwrap();
    store.write(request("t", &[NOW])).unwrap();
    store.write(request("kept", &[NOW])).unwrap();
    let kept_now = store.view().table("db", "kept").unwrap().hot.bytes();
    let table = id(&store, "t");
    assert!(store.shared().hot_bytes() > kept_now && kept > 0);
    store.drop_table(table).unwrap();
    store.drop_table(table).expect("it has ended already");
    assert_eq!(store.shared().hot_bytes(), kept_now);
    let flushed = FlushedTable { table, expected: Lsn(0), to: Lsn(2), files: Vec::new(), columns: Vec::new() };
    let error = store.committer.wait(|reply| Job::Flush { table: flushed, reply }).unwrap_err();
    assert!(error.to_string().contains("ended while it was flushed"), "{error}");
    store.flush().unwrap();
    assert_eq!((rows(&store, "t"), rows(&store, "kept"), store.shared().hot_bytes()), (None, Some(2), 0));
}

#[test]
fn a_name_is_given_once_and_who_meant_the_old_one_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    ["t", "u"].iter().for_each(|table| drop(store.write(request(table, &[NOW])).unwrap()));
    let table = id(&store, "t");
    let rename = |to: &str| store.rename_table(table, ItemName::new("table", to).unwrap());
    assert!(matches!(rename("U"), Err(Error::NameTaken(name)) if name == "U"));
    let mut late = request("t", &[NOW + 1]);
    let crate::Resolution::Ready(resolved) = store.resolve(&mut late, &mut Vec::new()).unwrap() else {
        panic!("the table exists");
    };
    rename("T").expect("its own name, spelt otherwise");
    let (send, outcome) = sync_channel(1);
    store.submit(resolved, None, None, move |o| send.send(o).unwrap()).unwrap();
    assert!(matches!(outcome.recv().unwrap(), crate::Outcome::Stale));
    rename("moved").unwrap();
    assert_eq!((rows(&store, "t"), rows(&store, "MOVED")), (None, Some(1)));
    store.write(request("t", &[NOW])).unwrap();
    assert_ne!(id(&store, "t"), table);
    store.drop_table(table).unwrap();
    let error = rename("again").unwrap_err().to_string();
    assert!(error.contains("has ended"), "{error}");
    drop(store);
    let store = open(folder.path());
    assert_eq!((rows(&store, "t"), rows(&store, "moved")), (Some(1), None));
}

#[test]
fn files_that_ended_meanwhile_are_replaced_by_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let store = Store::open(config(folder.path()), Arc::new(clock.clone())).unwrap();
    store.write(request("t", &[NOW])).unwrap();
    store.flush().unwrap();
    let info = Arc::clone(&store.view().table("db", "t").unwrap().info);
    let (table, first) = (info.id, ids(&store, "t"));
    let replace = |ended: Vec<u64>, kind| {
        let held = store.hold(&info, (NOW, NOW), "job").unwrap();
        let replacements = vec![replacement(table, ended, kind, held.token())];
        store.committer.wait(|reply| Job::Replace { replacements, reply })
    };
    let range = (NOW, NOW + 1);
    let is_churn = |outcome| matches!(outcome, Err(Error::Churn(name)) if name == "t");
    assert!(is_churn(replace(Vec::new(), ReplacementKind::Import { epoch: info.epoch + 1, range })));
    let output = |rows, epoch| ReplacementKind::Output { rows, fresh: 0, epoch, range };
    assert!(is_churn(replace(first.clone(), output(1, info.epoch + 1))));
    assert_eq!(ids(&store, "t"), first);
    let error = replace(vec![first[0] + 50], ReplacementKind::Merge).unwrap_err().to_string();
    assert!(error.contains("has ended meanwhile"), "{error}");
    replace(first.clone(), output(0, info.epoch + 1)).expect("a window without rows makes no column");
    assert_eq!((rows(&store, "t"), clock.now_us()), (Some(0), NOW));
    let error = replace(first, ReplacementKind::Merge).unwrap_err().to_string();
    assert!(error.contains("has ended meanwhile"), "{error}");
    assert!(store.locks().unwrap().is_empty(), "each gave its lock back, or the commit ended it");
}

#[test]
fn a_conversion_waits_for_what_is_sealed_and_for_versions_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let last = |time| {
        let mut last = request("t", &[time]);
        last.mode = TableMode::Last;
        store.write(last).unwrap();
    };
    last(NOW);
    let info = Arc::clone(&store.view().table("db", "t").unwrap().info);
    let convert = |mode| {
        let held = store.hold(&info, (i64::MIN, i64::MAX), "job").unwrap();
        let seen = ids(&store, "t").into_iter().collect();
        let conversion = Conversion { target: Target::Mode(mode), seen, ..conversion(info.id, held.token()) };
        store.committer.wait(|reply| Job::Convert { conversion, reply })
    };
    assert!(matches!(convert(TableMode::Append), Err(Error::Churn(_))), "a version is in memory");
    let in_its_way = block(&store, "t");
    assert!(store.flush().is_err());
    assert!(matches!(convert(TableMode::Last), Err(Error::Churn(_))), "a generation is sealed");
    std::fs::remove_file(in_its_way).unwrap();
    store.flush().unwrap();
    let epoch = || store.view().table("db", "t").unwrap().info.epoch;
    let before = epoch();
    convert(TableMode::Append).unwrap();
    assert_eq!((epoch(), store.view().table("db", "t").unwrap().info.mode), (before + 1, TableMode::Append));
    store.write(request("t", &[NOW + 1])).unwrap();
    convert(TableMode::Last).expect("rows in memory may become points");
    assert_eq!(store.view().table("db", "t").unwrap().info.mode, TableMode::Last);
    let gone = store.committer.wait(|reply| Job::Convert { conversion: conversion(TableId(99), 1), reply });
    assert!(gone.unwrap_err().to_string().contains("table 99 has ended"));
}

#[test]
fn hot_rows_follow_a_column_that_gave_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[NOW, NOW + 1])).unwrap();
    let table = id(&store, "t");
    let column = || store.view().table("db", "t").unwrap().info.schema.find("v").unwrap().clone();
    let holds = |id: ColumnId| store.view().table("db", "t").unwrap().hot.active.columns().contains(&id);
    let old = column();
    assert!(!old.persisted && holds(old.id));
    let reserved = store.committer.aside(move |lake| lake.reserve_column(table)).unwrap();
    let another = store.committer.aside(move |lake| lake.reserve_column(table)).unwrap();
    assert!(another > reserved && reserved > old.id, "an id is reserved for one");
    let to = model::Column { id: reserved, ty: model::ColumnType::Utf8, ..old.clone() };
    let info = Arc::clone(&store.view().table("db", "t").unwrap().info);
    let held = store.hold(&info, (i64::MIN, i64::MAX), "job").unwrap();
    let target = Target::Type { from: old.id, to: to.clone() };
    let conversion = Conversion { target, ..conversion(table, held.token()) };
    store.committer.wait(|reply| Job::Convert { conversion, reply }).unwrap();
    assert_eq!(column(), to);
    assert!(holds(reserved) && !holds(old.id));
    drop(held);
    drop(store);
    let store = open(folder.path());
    let info = Arc::clone(&store.view().table("db", "t").unwrap().info);
    assert_eq!((rows(&store, "t"), &**info.casts), (Some(2), &[(old.id, reserved, model::ColumnType::Utf8)][..]));
    assert!(store.view().table("db", "t").unwrap().hot.active.columns().contains(&reserved));
}

#[test]
fn a_lock_that_is_renewed_stays_and_one_that_is_not_goes() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let store = Store::open(config(folder.path()), Arc::new(clock.clone())).unwrap();
    store.write(request("t", &[NOW])).unwrap();
    let info = Arc::clone(&store.view().table("db", "t").unwrap().info);
    let held = store.hold(&info, (1, 5), "job").unwrap();
    let [lock] = &store.locks().unwrap()[..] else { panic!("one lock") };
    let (wanted, now) = (&lock.wanted, clock.boot_us());
    assert_eq!((lock.token, wanted.table, wanted.from_us, wanted.to_us), (held.token(), info.id, 1, 5));
    assert_eq!((&wanted.owner, &wanted.job[..]), (&store.shared().instance, "job"));
    assert_eq!((lock.acquired_us, lock.expires_us), (now, now + locks::TTL_US));
    clock.advance_us(locks::TTL_US - 1);
    store.renew_locks().unwrap();
    clock.advance_us(locks::TTL_US - 1);
    assert_eq!((store.clean_up_locks().unwrap(), store.locks().unwrap().len()), (0, 1));
    clock.advance_us(1);
    assert_eq!((store.clean_up_locks().unwrap(), store.locks().unwrap().len()), (1, 0));
    let others = [(1, 5), (6, 9)].map(|range| store.hold(&info, range, "next").unwrap());
    assert!(others[1].token() > others[0].token() && others[0].token() > held.token());
    drop(held);
    assert_eq!(store.clean_up_locks().unwrap(), 0);
    assert_eq!(store.locks().unwrap().len(), 2, "it gives back its own alone");
    drop(others);
    assert!(store.locks().unwrap().is_empty());
    assert!(store.live(TableId(99)).unwrap_err().to_string().contains("table 99 has ended"));
    assert_eq!(store.live(info.id).unwrap().info.id, info.id);
}

#[test]
fn a_table_gets_as_many_columns_as_it_may_have_and_not_one_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut widest = request("t", &[NOW]);
    let of = |number: usize| model::BatchColumn {
        name: format!("f{number}").into(),
        ..widest.batches[0].columns[0].clone()
    };
    // the time is one
    let columns: Vec<_> = (1..model::limits::TABLE_COLUMNS).map(of).collect();
    widest.batches[0].columns = columns;
    store.write(widest).unwrap();
    let count = || store.view().table("db", "t").unwrap().info.schema.columns().len();
    assert_eq!(count(), model::limits::TABLE_COLUMNS);
    // as two requests ask that were resolved at one time
    let (ty, role) = (model::ColumnType::Int64, model::Role::Field);
    let changes = vec![model::schema::Change::Add { name: "more".into(), ty, role, provisional: false }];
    let wants = vec![super::Want { table: ItemName::new("table", "t").unwrap(), mode: TableMode::Append, changes }];
    let error = store.committer.wait(|reply| Job::Define { database: name("db"), wants, reply }).unwrap_err();
    assert!(error.to_string().contains("more than 2000 columns"), "{error}");
    assert_eq!(count(), model::limits::TABLE_COLUMNS);
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.view().table("db", "t").unwrap().info.schema.columns().len(), model::limits::TABLE_COLUMNS);
}
