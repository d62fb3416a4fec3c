use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::schema::Change;
use model::{
    Code, Column, ColumnId, ColumnType, DatabaseId, DatabaseName, ItemName, Lsn, Role, Stage, TableId, TableMode,
    TableSchema, fold, limits,
};

use super::lake::{Draft, Lake};
use super::locks;
use crate::error::{Error, Result};
use crate::fatal;
use crate::file::NewDataFile;
use crate::shared::Shared;
use crate::view::{DataFile, Database, Table, TableInfo, View};

/// Seconds of `catalog.commits_per_second` that a burst may use at once.
const BURST_S: f64 = 100.0;
const QUEUE: usize = 1_024;

/// What a request needs before it can be resolved.
#[derive(Debug, Clone)]
pub struct Want {
    pub table: ItemName,
    /// For a table that does not exist yet.
    pub mode: TableMode,
    pub changes: Vec<Change>,
}

/// Files of one table's flush, durable and unknown to the catalog.
#[derive(Debug)]
pub struct FlushedTable {
    pub table: TableId,
    pub expected: Lsn,
    pub to: Lsn,
    pub files: Vec<NewDataFile>,
    pub columns: Vec<ColumnId>,
}

/// Files of one table that others take over from.
#[derive(Debug)]
pub struct Replacement {
    pub table: TableId,
    pub ended: Vec<u64>,
    pub files: Vec<NewDataFile>,
    /// What becomes of their rows.
    pub kind: ReplacementKind,
    /// Columns whose types the new files fix.
    pub columns: Vec<ColumnId>,
    /// Done in the same commit.
    pub also: Option<Aside>,
    /// The fencing token of the lock under which this was made; the commit ends it.
    pub token: u64,
    /// The job whose record this commit belongs to.
    pub job: String,
}

/// What a commit that ends files means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplacementKind {
    /// Every row is in one of the new files.
    Merge,
    /// So many rows are in none of them; continuous queries may have to know.
    Delete { rows: u64, touches: bool },
    /// The first `fresh` files hold `rows` new rows of a continuous query in a range of time (to the
    /// first instant after it), for a table of this epoch; the others are what was left of the ended.
    Output { rows: u64, fresh: usize, epoch: u64, range: (i64, i64) },
    /// The files hold rows in a range of time (both ends included) that came past the log, for a table of this
    /// epoch: later than all that it has flushed.
    Import { epoch: u64, range: (i64, i64) },
}

/// What becomes of a whole table, with the files in which it has.
#[derive(Debug)]
pub struct Conversion {
    pub table: TableId,
    pub target: Target,
    pub ended: Vec<u64>,
    pub files: Vec<NewDataFile>,
    /// Every file that was looked at: the others may hold the old column.
    pub seen: HashSet<u64>,
    pub token: u64,
}

/// What a rewrite of all files makes true of their table.
#[derive(Debug)]
pub enum Target {
    /// A column has another type, under a reserved id.
    Type {
        from: ColumnId,
        to: Column,
    },
    Mode(TableMode),
}

type Reply<T> = SyncSender<Result<T>>;

/// One piece of work for the catalog.
#[derive(Debug)]
pub enum Job {
    Define {
        database: DatabaseName,
        wants: Vec<Want>,
        reply: Reply<()>,
    },
    CreateDatabase {
        database: DatabaseName,
        reply: Reply<i64>,
    },
    DropTable {
        table: TableId,
        reply: Reply<()>,
    },
    DropDatabase {
        database: DatabaseId,
        reply: Reply<()>,
    },
    RenameTable {
        table: TableId,
        name: ItemName,
        reply: Reply<()>,
    },
    Convert {
        conversion: Conversion,
        reply: Reply<()>,
    },
    Flush {
        table: FlushedTable,
        reply: Reply<()>,
    },
    /// All of them, or none.
    Replace {
        replacements: Vec<Replacement>,
        reply: Reply<()>,
    },
    Expire {
        oldest_us: i64,
        reply: Reply<usize>,
    },
    /// Changes that no View shows, in the transaction that all who wait share.
    Aside {
        work: Aside,
        reply: Reply<()>,
    },
}

/// Work on the catalog that no View shows.
pub struct Aside(Box<AsideWork>);

type AsideWork = dyn FnOnce(&Lake) -> Result<()> + Send;

impl Aside {
    pub fn new(work: impl FnOnce(&Lake) -> Result<()> + Send + 'static) -> Self {
        Self(Box::new(work))
    }
}

impl std::fmt::Debug for Aside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aside")
    }
}

/// Hands jobs to the catalog's thread.
#[derive(Debug)]
pub struct Committer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<Lake>>,
}

impl Committer {
    pub fn start(lake: Lake, shared: Arc<Shared>) -> Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let tokens = f64::from(shared.config.commits_per_second.max(1)) * BURST_S;
        let worker = Worker { lake, shared, jobs, tokens, refilled: Instant::now() };
        let thread = std::thread::Builder::new()
            .name("catalog".into())
            .spawn(move || worker.run())
            .map_err(Error::io("cannot start thread", "catalog".as_ref()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues a job; its reply comes over its own channel.
    pub fn submit(&self, job: Job) -> Result<()> {
        let queue = self.queue.as_ref().ok_or(Error::QueueFull)?;
        match queue.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(job)) => queue.send(job).map_err(|_| Error::QueueFull),
            Err(TrySendError::Disconnected(_)) => Err(Error::QueueFull),
        }
    }

    /// Queues a job and waits for its outcome; blocks the thread.
    pub fn wait<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T> {
        let (reply, answer) = sync_channel(1);
        self.submit(job(reply))?;
        answer.recv().map_err(|_| Error::Inconsistent("the catalog's thread has ended".into()))?
    }

    /// Runs `work` on the catalog's connection and gives its result once it is committed.
    pub fn aside<T: Send + 'static>(&self, work: impl FnOnce(&Lake) -> Result<T> + Send + 'static) -> Result<T> {
        let (send, value) = sync_channel(1);
        let work = Aside::new(move |lake| {
            let _ = send.try_send(work(lake)?);
            Ok(())
        });
        self.wait(|reply| Job::Aside { work, reply })?;
        value.recv().map_err(|_| Error::Inconsistent("work on the catalog left no answer".into()))
    }

    /// Ends the thread and gives the connection back.
    pub fn stop(mut self) -> Option<Lake> {
        self.end()
    }

    fn end(&mut self) -> Option<Lake> {
        self.queue = None;
        self.thread.take().and_then(|t| t.join().ok())
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker {
    lake: Lake,
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    tokens: f64,
    refilled: Instant,
}

/// Sends a job's outcome once the commit stands.
type Answer = Box<dyn FnOnce(Result<()>)>;

impl Worker {
    fn run(mut self) -> Lake {
        while let Ok(first) = self.jobs.recv() {
            let batch = self.gather(first);
            self.commit(batch);
        }
        self.lake
    }

    /// Takes a commit token, gathering whoever else waits meanwhile.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut batch = vec![first];
        loop {
            while batch.len() < limits::CATALOG_SHARED_JOBS {
                match self.jobs.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
            let elapsed = self.refilled.elapsed().as_secs_f64();
            self.refilled = Instant::now();
            let rate = f64::from(self.shared.config.commits_per_second.max(1));
            self.tokens = (self.tokens + elapsed * rate).min(rate * BURST_S);
            // only snapshots cost a token
            if batch.iter().all(|job| matches!(job, Job::Aside { .. })) {
                return batch;
            }
            if self.tokens >= 1.0 || batch.len() >= limits::CATALOG_SHARED_JOBS {
                self.tokens = (self.tokens - 1.0).max(0.0);
                return batch;
            }
            let wait = Duration::from_secs_f64((1.0 - self.tokens) / rate);
            match self.jobs.recv_timeout(wait) {
                Ok(job) => batch.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return batch,
            }
        }
    }

    fn commit(&mut self, batch: Vec<Job>) {
        let shared = Arc::clone(&self.shared);
        shared.make_room_to_commit();
        // held to the swap: a seal in between could write a column that is about to give way
        let _schema = shared.schema.lock();
        let mut draft = match self.lake.begin() {
            Ok(draft) => draft,
            Err(error) => return fail_all(batch.into_iter(), &error),
        };
        let mut working = View::clone(&self.shared.view());
        let mut done: Vec<(Effects, Answer)> = Vec::with_capacity(batch.len());
        let mut batch = batch.into_iter();
        while let Some(job) = batch.next() {
            let saved = (draft.clone(), working.clone());
            if let Err(error) = self.lake.execute_batch("SAVEPOINT participant") {
                refuse(job, error);
                continue;
            }
            let (outcome, answer) = self.apply(job, &mut draft, &mut working);
            match outcome {
                Ok(effects) => {
                    let _ = self.lake.execute_batch("RELEASE participant");
                    done.push((effects, answer));
                }
                Err(error) if self.lake.connection.is_autocommit() => {
                    // on a full disk SQLite may undo all that the transaction has done
                    self.shared.give_up_ballast(&error);
                    fail_done(done, &error);
                    fail_all(batch, &error);
                    answer(Err(error));
                    return;
                }
                Err(error) => {
                    let _ = self.lake.execute_batch("ROLLBACK TO participant; RELEASE participant");
                    (draft, working) = saved;
                    answer(Err(error));
                }
            }
        }
        let finished = if draft.is_empty() { Ok(()) } else { self.lake.finish(&draft, self.shared.clock.now_us()) };
        if let Err(error) = finished {
            let _ = self.lake.execute_batch("ROLLBACK");
            return fail_done(done, &error);
        }
        crate::failpoint::hit("catalog.commit.before");
        let began = Instant::now();
        if let Err(error) = self.lake.execute_batch("COMMIT") {
            // SQLite may have rolled back by itself
            let is_undone = self.lake.connection.is_autocommit() || self.lake.execute_batch("ROLLBACK").is_ok();
            if !is_undone || error.code() != Code::DiskFull {
                // the outcome is unknown: only a new start can tell
                fatal::exit_io("catalog COMMIT", &error);
            }
            // nothing was committed: the jobs failed, no more
            self.shared.give_up_ballast(&error);
            return fail_done(done, &error);
        }
        crate::failpoint::hit("catalog.commit.after");
        if !draft.is_empty() {
            self.lake.note_reached(&draft);
        }
        shared.stages.of(Stage::Commit).since(began);
        let snapshot = if draft.is_empty() { None } else { Some(draft.snapshot) };
        let answers = fatal::or_abort("publishing a committed catalog change", || {
            let mut answers = Vec::with_capacity(done.len());
            self.shared.publish(|view| {
                for (effects, answer) in done {
                    effects.into_iter().for_each(|effect| effect(view));
                    answers.push(answer);
                }
                if let Some(snapshot) = snapshot {
                    view.snapshot = snapshot;
                }
            });
            answers
        });
        answers.into_iter().for_each(|answer| answer(Ok(())));
    }

    fn apply(&self, job: Job, draft: &mut Draft, working: &mut View) -> (Result<Effects>, Answer) {
        match job {
            Job::Define { database, wants, reply } => {
                (self.define(draft, working, &database, &wants), done_with(reply, ()))
            }
            Job::CreateDatabase { database, reply } => {
                let now = self.shared.clock.now_us();
                let outcome = match working.database(database.as_str()) {
                    Some(_) => Err(Error::DatabaseExists(database.to_string())),
                    None => self.define(draft, working, &database, &[]),
                };
                (outcome, done_with(reply, now))
            }
            Job::DropTable { table, reply } => (self.drop_table(draft, working, table), done_with(reply, ())),
            Job::DropDatabase { database, reply } => {
                (self.drop_database(draft, working, database), done_with(reply, ()))
            }
            Job::RenameTable { table, name, reply } => {
                (self.rename_table(draft, working, table, &name), done_with(reply, ()))
            }
            Job::Convert { conversion, reply } => (self.convert(draft, working, conversion), done_with(reply, ())),
            Job::Flush { table, reply } => (self.flush(draft, working, table), done_with(reply, ())),
            Job::Replace { replacements, reply } => {
                let all = replacements.into_iter().map(|replacement| self.replace(draft, working, replacement));
                (
                    all.collect::<Result<Vec<_>>>().map(|effects| effects.into_iter().flatten().collect()),
                    done_with(reply, ()),
                )
            }
            Job::Expire { oldest_us, reply } => {
                without_effects(self.lake.expire(oldest_us, self.shared.clock.now_us()), reply)
            }
            Job::Aside { work, reply } => without_effects((work.0)(&self.lake), reply),
        }
    }

    /// Creates what is missing of a database, its tables and their columns.
    fn define(
        &self,
        draft: &mut Draft,
        working: &mut View,
        database: &DatabaseName,
        wants: &[Want],
    ) -> Result<Effects> {
        let mut effects: Effects = Vec::new();
        if working.database(database.as_str()).is_none() {
            let created = Arc::new(self.lake.create_database(draft, database.as_str(), self.shared.clock.now_us())?);
            apply_to(working, &mut effects, move |view| {
                view.databases.insert(fold(&created.name).into(), Arc::clone(&created));
            });
        }
        for want in wants {
            let owner = working.database(database.as_str()).cloned();
            let owner = owner.ok_or_else(|| Error::Inconsistent("a database vanished while it was made".into()))?;
            let known = working.table(database.as_str(), want.table.as_str()).map(|t| Arc::clone(&t.info));
            let info = match known {
                Some(info) => info,
                None => self.create_table(draft, working, &mut effects, &owner, want)?,
            };
            let changed = self.change_columns(draft, &info, &want.changes)?;
            if let Some(changed) = changed {
                let changed = Arc::new(changed);
                apply_to(working, &mut effects, move |view| replace_info(view, &changed));
            }
        }
        Ok(effects)
    }

    fn create_table(
        &self,
        draft: &mut Draft,
        working: &mut View,
        effects: &mut Effects,
        owner: &Arc<Database>,
        want: &Want,
    ) -> Result<Arc<TableInfo>> {
        if working.tables.len() >= limits::TABLES {
            return Err(Error::Tables);
        }
        let (id, path) = self.lake.create_table(draft, owner, want.table.as_str(), want.mode)?;
        let info = Arc::new(TableInfo {
            id,
            database: owner.id,
            name: want.table.shared(),
            path: path.into(),
            mode: want.mode,
            schema: Arc::new(TableSchema::new(Vec::new())),
            casts: Arc::default(),
            epoch: 0,
        });
        let database = fold(&owner.name);
        let added = Arc::clone(&info);
        apply_to(working, effects, move |view| {
            if let Some(database) = view.databases.get_mut(database.as_str()) {
                Arc::make_mut(database).tables.insert(fold(&added.name).into(), added.id);
            }
            let info = Arc::clone(&added);
            let table =
                Table { info, files: imbl::Vector::new(), file_rows: 0, hot: Default::default(), flushed: Lsn(0) };
            view.tables.insert(added.id, Arc::new(table));
        });
        Ok(info)
    }

    /// The table as it is after `changes`; `None` when somebody else made them all already.
    fn change_columns(&self, draft: &mut Draft, info: &TableInfo, changes: &[Change]) -> Result<Option<TableInfo>> {
        let mut columns = info.schema.columns().to_vec();
        let mut casts = Vec::clone(&info.casts);
        let mut epoch = info.epoch;
        let before = (columns.clone(), casts.len());
        for change in changes {
            match change {
                Change::Add { name, ty, role, provisional } => {
                    if columns.iter().any(|c| c.name.eq_ignore_ascii_case(name)) {
                        continue;
                    }
                    let id = self.lake.next_column_id(info.id)?;
                    let (name, persisted) = (Arc::clone(name), false);
                    let column = Column { id, name, ty: *ty, role: *role, provisional: *provisional, persisted };
                    self.lake.add_column(draft, info.id, &column)?;
                    columns.push(column);
                }
                Change::Replace { from, ty, role } => {
                    let Some(at) = columns.iter().position(|c| c.id == *from) else { continue };
                    let old = columns[at].clone();
                    if old.persisted && !old.provisional {
                        continue; // a file holds it by now: the next resolve refuses the rows
                    }
                    columns.remove(at);
                    let id = self.lake.next_column_id(info.id)?;
                    let column = Column { id, ty: *ty, role: *role, provisional: false, persisted: false, ..old };
                    self.lake.end_column(draft, info.id, *from, id)?;
                    self.lake.add_column(draft, info.id, &column)?;
                    casts.push((*from, id, *ty));
                    columns.push(column);
                    epoch += 1;
                }
                Change::SetRole { column, role } => {
                    if let Some(known) = columns.iter_mut().find(|c| c.id == *column && c.role == Role::None) {
                        self.lake.set_role(info.id, *column, *role)?;
                        known.role = *role;
                        epoch += 1;
                    }
                }
            }
        }
        if columns.len() > limits::TABLE_COLUMNS {
            let error = Box::new(model::FitError::Columns);
            return Err(Error::Fit { table: info.name.to_string(), rows: Vec::new(), error });
        }
        if (&columns, casts.len()) == (&before.0, before.1) {
            return Ok(None);
        }
        let schema = Arc::new(TableSchema::new(columns));
        Ok(Some(TableInfo { schema, casts: Arc::new(casts), epoch, ..info.clone() }))
    }

    fn drop_table(&self, draft: &mut Draft, working: &mut View, table: TableId) -> Result<Effects> {
        let mut effects: Effects = Vec::new();
        if working.tables.contains_key(&table) {
            self.lake.drop_table(draft, table)?;
            let shared = Arc::clone(&self.shared);
            effects.push(Box::new({
                let shared = Arc::clone(&shared);
                // a flush of it that is under way fails: nobody else gives its memory back
                move |view| shared.release(view.tables.get(&table).map_or(0, |t| t.hot.bytes()))
            }));
            apply_to(working, &mut effects, move |view| {
                let Some(gone) = view.tables.remove(&table) else { return };
                shared.retire(gone.files.iter().cloned());
                if let Some(database) = view.edit_database(gone.info.database) {
                    database.tables.remove(fold(&gone.info.name).as_str());
                }
            });
        }
        Ok(effects)
    }

    fn drop_database(&self, draft: &mut Draft, working: &mut View, database: DatabaseId) -> Result<Effects> {
        let mut effects: Effects = Vec::new();
        let Some(known) = working.databases.values().find(|d| d.id == database).cloned() else { return Ok(effects) };
        for table in known.tables.values() {
            effects.extend(self.drop_table(draft, working, *table)?);
        }
        self.lake.drop_database(draft, database)?;
        let key = fold(&known.name);
        apply_to(working, &mut effects, move |view| {
            view.databases.remove(key.as_str());
        });
        Ok(effects)
    }

    fn rename_table(&self, draft: &mut Draft, working: &mut View, table: TableId, name: &ItemName) -> Result<Effects> {
        let known = working.tables.get(&table).cloned();
        let known = known.ok_or_else(|| Error::Inconsistent(format!("table {table} has ended")))?;
        let owner = working.databases.values().find(|d| d.id == known.info.database);
        let taken = owner.and_then(|d| d.tables.get(fold(name.as_str()).as_str()));
        if taken.is_some_and(|id| *id != table) {
            return Err(Error::NameTaken(name.to_string()));
        }
        self.lake.rename_table(draft, table, name.as_str())?;
        let (before, after) = (fold(&known.info.name), name.shared());
        let mut effects: Effects = Vec::new();
        apply_to(working, &mut effects, move |view| {
            let Some(table) = view.edit(table) else { return };
            // requests on their way are resolved again: they meant a table of the old name
            let epoch = table.info.epoch + 1;
            let info = TableInfo { name: Arc::clone(&after), epoch, ..TableInfo::clone(&table.info) };
            let (id, database) = (info.id, info.database);
            table.info = Arc::new(info);
            if let Some(database) = view.edit_database(database) {
                database.tables.remove(before.as_str());
                database.tables.insert(fold(&after).into(), id);
            }
        });
        Ok(effects)
    }

    fn convert(&self, draft: &mut Draft, working: &mut View, conversion: Conversion) -> Result<Effects> {
        let Conversion { table: id, target, ended, files, seen, token } = conversion;
        let table = working.tables.get(&id).cloned();
        let table = table.ok_or_else(|| Error::Inconsistent(format!("table {id} has ended")))?;
        // a sealed generation will be a file of the old column, unless this is tried again
        if table.hot.sealed.is_some() || table.files.iter().any(|f| !seen.contains(&f.id)) {
            return Err(Error::Churn(table.info.name.to_string()));
        }
        // versions in memory would become rows of their own
        if matches!(target, Target::Mode(TableMode::Append)) && table.hot.rows() > 0 {
            return Err(Error::Churn(table.info.name.to_string()));
        }
        locks::fence(&self.lake.connection, token)?;
        self.lake.end_files(draft, id, &ended, ReplacementKind::Merge)?;
        let mut info = TableInfo { epoch: table.info.epoch + 1, ..TableInfo::clone(&table.info) };
        match target {
            Target::Type { from, to } => {
                self.lake.take_over(draft, id, from, &to)?;
                let mut columns = table.info.schema.columns().to_vec();
                columns.retain(|c| c.id != from);
                let mut casts = Vec::clone(&table.info.casts);
                casts.push((from, to.id, to.ty));
                columns.push(to);
                columns.sort_by_key(|c| c.id);
                (info.schema, info.casts) = (Arc::new(TableSchema::new(columns)), Arc::new(casts));
            }
            Target::Mode(mode) => {
                self.lake.set_mode(id, mode)?;
                info.mode = mode;
            }
        }
        let info = Arc::new(info);
        let added = self.add_files(draft, id, &files, |_| 0)?;
        let ended: HashSet<u64> = ended.into_iter().collect();
        let shared = Arc::clone(&self.shared);
        let mut effects: Effects = Vec::new();
        apply_to(working, &mut effects, move |view| {
            replace_info(view, &info);
            exchange(view, &shared, id, &ended, &added);
        });
        Ok(effects)
    }

    /// Adds files that one job made; `new_rows` says how many rows of each are in no other file.
    fn add_files(
        &self,
        draft: &mut Draft,
        table: TableId,
        files: &[NewDataFile],
        new_rows: impl Fn(&NewDataFile) -> u64,
    ) -> Result<Vec<Arc<DataFile>>> {
        let mut added = Vec::with_capacity(files.len());
        let mut run = None;
        for file in files {
            let id = self.lake.add_file(draft, table, file, run, new_rows(file))?;
            run.get_or_insert(id);
            added.push(Arc::new(DataFile {
                id,
                path: file.path.as_str().into(),
                rows: file.rows,
                bytes: file.bytes,
                crc32c: file.crc32c,
                blocks: Some(file.blocks.clone()),
                lsn_min: file.lsn_min,
                lsn_max: file.lsn_max,
                run: run.unwrap_or(id),
                producer: file.producer,
                time_min: file.time_min,
                time_max: file.time_max,
                sort_key: file.sort_key.clone(),
                bounds: file.bounds.clone(),
            }));
        }
        Ok(added)
    }

    fn replace(&self, draft: &mut Draft, working: &mut View, replacement: Replacement) -> Result<Effects> {
        let Replacement { table: id, ended, mut files, kind, columns, also, token, job } = replacement;
        locks::fence(&self.lake.connection, token)?;
        let Some(table) = working.tables.get(&id).cloned() else {
            return Err(Error::Inconsistent(format!("table {id} ended while its files were merged")));
        };
        let gone: Vec<&Arc<DataFile>> = table.files.iter().filter(|f| ended.contains(&f.id)).collect();
        let hull = gone.iter().map(|f| (f.time_min, f.time_max)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        self.lake.end_files(draft, id, &ended, kind)?;
        let mut fresh = 0;
        match kind {
            ReplacementKind::Merge => {}
            ReplacementKind::Delete { rows, touches } => {
                self.lake.record_job(&job, rows)?;
                if let Some(hull) = hull.filter(|_| touches) {
                    self.lake.touch(id, hull)?;
                }
            }
            ReplacementKind::Output { rows, fresh: new, epoch, range } => {
                if rows > 0 && table.info.epoch != epoch {
                    return Err(Error::Churn(table.info.name.to_string()));
                }
                fresh = new;
                self.lake.record_job(&job, rows)?;
                self.lake.touch(id, (range.0, range.1 - 1))?;
                self.lake.persist_columns(id, &columns)?;
            }
            ReplacementKind::Import { epoch, range } => {
                if table.info.epoch != epoch {
                    return Err(Error::Churn(table.info.name.to_string()));
                }
                let last = table.files.iter().map(|f| f.lsn_max).max().unwrap_or_default().max(table.flushed);
                files.iter_mut().for_each(|file| (file.lsn_min, file.lsn_max) = (last, last));
                self.lake.record_job(&job, files.iter().map(|f| f.rows).sum())?;
                self.lake.touch(id, range)?;
                self.lake.persist_columns(id, &columns)?;
            }
        }
        if let Some(also) = also {
            (also.0)(&self.lake)?;
        }
        let new = &files[..fresh];
        let mut added = self.add_files(draft, id, new, |file| file.rows)?;
        if matches!(kind, ReplacementKind::Import { .. }) {
            // parts of one import may hold versions of one point: no two of its files are one run
            for file in &files {
                added.extend(self.add_files(draft, id, std::slice::from_ref(file), |file| file.rows)?);
            }
            files.clear();
        }
        let left = &files[fresh.min(files.len())..];
        added.extend(self.add_files(draft, id, left, |_| 0)?);
        let ended: HashSet<u64> = ended.into_iter().collect();
        let shared = Arc::clone(&self.shared);
        let mut effects: Effects = Vec::new();
        apply_to(working, &mut effects, move |view| {
            exchange(view, &shared, id, &ended, &added);
            let Some(table) = view.edit(id) else { return };
            if !columns.is_empty() {
                table.info = Arc::new(table.info.with_persisted(&columns));
            }
        });
        Ok(effects)
    }

    fn flush(&self, draft: &mut Draft, working: &mut View, flushed: FlushedTable) -> Result<Effects> {
        if !working.tables.contains_key(&flushed.table) {
            return Err(Error::Inconsistent(format!("table {} ended while it was flushed", flushed.table)));
        }
        let added = self.add_files(draft, flushed.table, &flushed.files, |file| file.rows)?;
        self.lake.persist_columns(flushed.table, &flushed.columns)?;
        self.lake.move_watermark(&super::hex(&self.shared.log_id), flushed.table, flushed.expected, flushed.to)?;
        let mut effects: Effects = Vec::new();
        apply_to(working, &mut effects, move |view| put_flushed(view, flushed.table, flushed.to, &added));
        Ok(effects)
    }
}

/// Changes to put into the live View once they are committed.
type Effects = Vec<Box<dyn Fn(&mut View)>>;

/// Applies a change to the working copy now and to the live View after COMMIT.
fn apply_to(working: &mut View, effects: &mut Effects, change: impl Fn(&mut View) + 'static) {
    change(working);
    effects.push(Box::new(change));
}

/// Puts files in the place of the sealed generation.
pub(crate) fn put_flushed(view: &mut View, table: TableId, to: Lsn, added: &[Arc<DataFile>]) {
    let Some(table) = view.edit(table) else { return };
    table.file_rows += added.iter().map(|f| f.rows).sum::<u64>();
    added.iter().for_each(|f| table.files.push_back(Arc::clone(f)));
    table.hot.sealed = None;
    table.flushed = to;
}

/// Puts files in the place of others.
fn exchange(view: &mut View, shared: &Shared, table: TableId, ended: &HashSet<u64>, added: &[Arc<DataFile>]) {
    let Some(table) = view.edit(table) else { return };
    let (gone, mut left): (imbl::Vector<_>, imbl::Vector<_>) =
        table.files.iter().cloned().partition(|f| ended.contains(&f.id));
    left.extend(added.iter().cloned());
    table.file_rows = left.iter().map(|f| f.rows).sum();
    table.files = left;
    shared.retire(gone);
}

/// Puts a new schema in place; hot rows of a column that gave way move to its successor.
fn replace_info(view: &mut View, info: &Arc<TableInfo>) {
    if let Some(table) = view.edit(info.id) {
        let moved: Vec<(ColumnId, ColumnId, ColumnType)> =
            info.casts.iter().filter(|c| !table.info.casts.contains(c)).copied().collect();
        if !moved.is_empty() {
            table.hot = table.hot.with_columns_moved(&moved);
        }
        // a seal may have marked columns meanwhile
        table.info = Arc::clone(info);
    }
}

/// A job that changes nothing that a View shows.
fn without_effects<T: Default + 'static>(outcome: Result<T>, reply: Reply<T>) -> (Result<Effects>, Answer) {
    match outcome {
        Ok(value) => (Ok(Vec::new()), done_with(reply, value)),
        Err(error) => (Err(error), done_with(reply, T::default())),
    }
}

fn done_with<T: 'static>(reply: Reply<T>, value: T) -> Answer {
    Box::new(move |outcome| {
        let _ = reply.try_send(outcome.map(|()| value));
    })
}

/// What each participant of a failed commit is told; a full disk keeps its code.
fn share_of(error: &Error) -> Error {
    match error.code() {
        Code::DiskFull => Error::io("cannot commit", "catalog.sqlite".as_ref())(io::ErrorKind::StorageFull.into()),
        _ => Error::Inconsistent(error.to_string()),
    }
}

fn fail_done(done: Vec<(Effects, Answer)>, error: &Error) {
    done.into_iter().for_each(|(_, answer)| answer(Err(share_of(error))));
}

fn fail_all(batch: impl Iterator<Item = Job>, error: &Error) {
    batch.for_each(|job| refuse(job, share_of(error)));
}

fn refuse(job: Job, error: Error) {
    match job {
        Job::Define { reply, .. }
        | Job::DropTable { reply, .. }
        | Job::DropDatabase { reply, .. }
        | Job::RenameTable { reply, .. }
        | Job::Convert { reply, .. }
        | Job::Flush { reply, .. }
        | Job::Replace { reply, .. }
        | Job::Aside { reply, .. } => {
            let _ = reply.try_send(Err(error));
        }
        Job::CreateDatabase { reply, .. } => {
            let _ = reply.try_send(Err(error));
        }
        Job::Expire { reply, .. } => {
            let _ = reply.try_send(Err(error));
        }
    }
}
