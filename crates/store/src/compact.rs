//! Many small files to few large ones, so that queries stay fast however rows arrive.
//!
//! A file belongs to the narrowest of hour, day, month or year that holds all its rows. Within one
//! interval small files are merged when there are enough of them, or when the interval is over, and
//! never with a file much larger than all others together: each row is rewritten a logarithmic
//! number of times. When the folder as a whole has many files, wider intervals are merged before they are over. [`crate::merge`] does the work; one commit swaps the files.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::{Lsn, TableId, TableMode, limits};

use crate::catalog::{Committer, Job, Replacement, ReplacementKind};
use crate::error::{Error, Result};
use crate::flush::table_folder;
use crate::hold::Held;
use crate::jobs::Handle;
use crate::merge::{MergeError, merge};
use crate::seal::Interval;
use crate::shared::Shared;
use crate::view::{DataFile, Table, View};
use crate::{durable, failpoint, file};

/// Late rows are awaited so long after an interval's end before it counts as over (microseconds).
const SETTLED_US: i64 = 3_600_000_000;
/// A merge may hold so many times the bytes of a file that is large enough.
const MERGE_TARGETS: u64 = 4;
/// A bounded merge is followed by a pause of an hour at most (microseconds).
const MAX_PAUSE_US: i64 = 3_600_000_000;
/// The largest input may be so many times the others together.
const LARGEST_SHARE: u64 = 4;

/// The width of the interval that a merge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    Hourly,
    Daily,
    Monthly,
    Yearly,
}

/// The narrowest interval that holds both instants.
pub(crate) fn interval_of((from, to): (i64, i64)) -> Interval {
    let mut widths = Tier::ALL.into_iter().map(|tier| (tier.interval(from), tier.interval(to)));
    widths.find(|(a, b)| a == b).map_or(Interval::Any, |(interval, _)| interval)
}

impl Tier {
    pub const ALL: [Tier; 4] = [Tier::Hourly, Tier::Daily, Tier::Monthly, Tier::Yearly];

    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Hourly => "hourly",
            Tier::Daily => "daily",
            Tier::Monthly => "monthly",
            Tier::Yearly => "yearly",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == text)
    }

    fn interval(self, us: i64) -> Interval {
        match self {
            Tier::Hourly => Interval::hour(us),
            Tier::Daily => Interval::day(us),
            Tier::Monthly => Interval::month(us),
            Tier::Yearly => Interval::year(us),
        }
    }
}

/// What one run looks at.
#[derive(Debug, Clone)]
pub struct Scope {
    pub tiers: Vec<Tier>,
    /// Folded names; `None` is all.
    pub database: Option<String>,
    pub table: Option<String>,
    /// Input that merges take on average; the run ends where it would be more.
    pub bytes_per_s: Option<u64>,
}

impl Default for Scope {
    fn default() -> Self {
        Self { tiers: Tier::ALL.into(), database: None, table: None, bytes_per_s: None }
    }
}

/// Files of one table and interval that ought to be one.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub table: TableId,
    pub database: Arc<str>,
    pub name: Arc<str>,
    pub tier: Tier,
    pub interval: Interval,
    /// In LSN order.
    pub inputs: Vec<Arc<DataFile>>,
}

impl Candidate {
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().map(|f| f.bytes).sum()
    }
}

/// What became of one candidate. Instants are UTC microseconds.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Merged {
    pub database: String,
    pub table: String,
    pub tier: Tier,
    pub folder: String,
    pub started_us: i64,
    pub finished_us: i64,
    pub files: usize,
    pub rows: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub error: Option<String>,
}

/// What `/api/v1/compaction` shows.
#[derive(Debug, Clone, Default)]
pub struct Compaction {
    pub running: bool,
    pub paused: bool,
    pub runs: u64,
    pub completed: u64,
    pub failed: u64,
    pub files: u64,
    pub rows: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Damaged inputs by file id: never deleted, left out of every merge.
    pub quarantined: BTreeSet<u64>,
    /// When merges that are bounded in bytes may go on, UTC microseconds.
    pub resume_us: i64,
}

impl Compaction {
    fn record(&mut self, merged: &Merged) {
        match &merged.error {
            Some(_) => self.failed += 1,
            None => {
                self.completed += 1;
                self.files += merged.files as u64;
                self.rows += merged.rows;
                self.bytes_before += merged.bytes_before;
                self.bytes_after += merged.bytes_after;
            }
        }
    }
}

/// What ought to be merged at `now_us`; no file is named twice.
pub fn candidates(shared: &Shared, view: &View, scope: &Scope, now_us: i64) -> Vec<Candidate> {
    let quarantined = shared.compaction.lock().quarantined.clone();
    let is_pressed = view.tables.values().map(|t| t.files.len()).sum::<usize>() > limits::LIVE_FILES / 2;
    let mut found = Vec::new();
    for (folded, database) in &view.databases {
        if scope.database.as_deref().is_some_and(|wanted| *wanted != **folded) {
            continue;
        }
        for (name, id) in &database.tables {
            let wanted = scope.table.as_deref().is_none_or(|wanted| *wanted == **name);
            let Some(table) = view.tables.get(id).filter(|_| wanted) else { continue };
            let mut taken: HashSet<u64> = HashSet::new();
            for tier in &scope.tiers {
                for (interval, inputs) in groups(shared, table, *tier, now_us, is_pressed, &quarantined, &taken) {
                    taken.extend(inputs.iter().map(|f| f.id));
                    let (database, name) = (Arc::clone(&database.name), Arc::clone(&table.info.name));
                    found.push(Candidate { table: *id, database, name, tier: *tier, interval, inputs });
                }
            }
        }
    }
    found
}

fn groups(
    shared: &Shared,
    table: &Table,
    tier: Tier,
    now_us: i64,
    is_pressed: bool,
    quarantined: &BTreeSet<u64>,
    taken: &HashSet<u64>,
) -> Vec<(Interval, Vec<Arc<DataFile>>)> {
    let config = &shared.config;
    // what a continuous query wrote stays its own
    let mut by_interval: HashMap<(Interval, u64), Vec<Arc<DataFile>>> = HashMap::new();
    for file in &table.files {
        let interval = tier.interval(file.time_min);
        let is_free = !quarantined.contains(&file.id) && !taken.contains(&file.id);
        if is_free && file.bytes < config.merge_target_bytes && interval == tier.interval(file.time_max) {
            by_interval.entry((interval, file.producer)).or_default().push(Arc::clone(file));
        }
    }
    // where thousands of tables make the files, each must do with half as many, also across hours
    let least = if is_pressed { (config.merge_min_files / 2).max(2) } else { config.merge_min_files };
    let mut found = Vec::new();
    for ((interval, _), mut files) in by_interval {
        let is_over = now_us >= interval.end_us().saturating_add(SETTLED_US);
        if files.len() < 2 || (tier != Tier::Hourly && !is_over && !is_pressed) {
            continue;
        }
        files.sort_by_key(|f| (f.bytes, f.id));
        let total: u64 = files.iter().map(|f| f.bytes).sum();
        let largest = files[files.len() - 1].bytes;
        if largest > (total - largest).saturating_mul(LARGEST_SHARE) {
            files.pop(); // it is rewritten when the others have grown
        }
        if files.len() < 2 || !(is_over || files.len() >= least) {
            continue;
        }
        files.sort_by_key(|f| (f.lsn_min, f.id));
        let mut batch: Vec<Arc<DataFile>> = Vec::new();
        let mut bytes = 0;
        for file in files {
            let is_full = bytes + file.bytes > config.merge_target_bytes * MERGE_TARGETS;
            if is_full || batch.len() == limits::MERGED_FILES {
                found.push((interval.clone(), std::mem::take(&mut batch)));
                bytes = 0;
            }
            bytes += file.bytes;
            batch.push(file);
        }
        found.push((interval, batch));
    }
    found.retain(|(_, inputs)| inputs.len() >= 2 && keeps_order(table, inputs));
    found
}

/// Whether a merge leaves the versions of each point of a `last` table in their order: no other file
/// that overlaps the inputs in time may stand between them in the log.
fn keeps_order(table: &Table, inputs: &[Arc<DataFile>]) -> bool {
    if table.info.mode == TableMode::Append {
        return true;
    }
    let (from, to) = hull(inputs);
    let first = inputs.iter().map(|f| f.lsn_min).min().unwrap_or(Lsn(0));
    let last = inputs.iter().map(|f| f.lsn_max).max().unwrap_or(Lsn(0));
    let is_between = |f: &DataFile| f.lsn_max >= first && f.lsn_min <= last && f.time_max >= from && f.time_min <= to;
    table.files.iter().all(|f| inputs.iter().any(|i| i.id == f.id) || !is_between(f))
}

/// Merges what ought to be merged; a failure of one table stops no other. `note` hears of each merge.
///
/// # Errors
/// The last failure that was not a damaged input (those are quarantined).
pub fn run_once(
    shared: &Arc<Shared>,
    committer: &Arc<Committer>,
    scope: &Scope,
    job: &Handle,
    note: &dyn Fn(&Merged),
) -> Result<usize> {
    failpoint::hit("compact.run");
    let mut outcome = Ok(0);
    let found = candidates(shared, &shared.view(), scope, shared.clock.now_us());
    for (at, candidate) in found.iter().enumerate() {
        if shared.compaction.lock().paused {
            break;
        }
        job.step(at, found.len())?;
        if let Err(error) = check_room(shared, candidate) {
            outcome = Err(error); // a smaller one may find some
            continue;
        }
        let started_us = shared.clock.now_us();
        if let Some(rate) = scope.bytes_per_s {
            let pause_us = (u128::from(candidate.bytes()) * 1_000_000 / u128::from(rate.max(1))) as i64;
            let mut state = shared.compaction.lock();
            // a clock that was set back does not stop merges for longer than they would have paused
            if (started_us..started_us + MAX_PAUSE_US).contains(&(state.resume_us - 1)) {
                break;
            }
            state.resume_us = started_us.saturating_add(pause_us);
        }
        let done = run(shared, committer, candidate, job);
        let error = match &done {
            Ok(None) => continue,
            Ok(Some(_)) => None,
            Err(MergeError::Input(file, error)) => {
                shared.compaction.lock().quarantined.insert(*file);
                let path = candidate.inputs.iter().find(|f| f.id == *file).map_or("", |f| &*f.path);
                tracing::error!(path, table = %candidate.name, %error, "a damaged file is left out of every merge");
                Some(format!("file {path}: {error}"))
            }
            Err(MergeError::Other(error)) => {
                tracing::warn!(table = %candidate.name, %error, "a merge failed; its inputs stay as they are");
                Some(error.to_string())
            }
        };
        let merged = Merged {
            database: candidate.database.to_string(),
            table: candidate.name.to_string(),
            tier: candidate.tier,
            folder: candidate.interval.folder(),
            started_us,
            finished_us: shared.clock.now_us(),
            files: candidate.inputs.len(),
            rows: candidate.inputs.iter().map(|f| f.rows).sum(),
            bytes_before: candidate.bytes(),
            bytes_after: done.as_ref().map_or(0, |bytes| bytes.unwrap_or(0)),
            error,
        };
        shared.compaction.lock().record(&merged);
        note(&merged);
        match done {
            Ok(_) => outcome = outcome.map(|n| n + 1),
            Err(MergeError::Input(..)) => {}
            Err(MergeError::Other(error)) => outcome = Err(error),
        }
    }
    outcome
}

/// The last of the room is for those who make some.
fn check_room(shared: &Shared, candidate: &Candidate) -> Result<()> {
    let root = &shared.layout.root;
    if durable::has_room(root, candidate.bytes(), shared.config.min_free_bytes)? {
        return Ok(());
    }
    Err(Error::io("no room to merge files in", root)(io::ErrorKind::StorageFull.into()))
}

/// Merges one candidate and commits it; returns the bytes of the output, none when another job has
/// its hands on the table.
fn run(
    shared: &Arc<Shared>,
    committer: &Arc<Committer>,
    candidate: &Candidate,
    job: &Handle,
) -> Result<Option<u64>, MergeError> {
    let Some(info) = shared.view().tables.get(&candidate.table).map(|t| Arc::clone(&t.info)) else { return Ok(None) };
    let held = match Held::take(shared, committer, &info, hull(&candidate.inputs), &job.name, Duration::ZERO) {
        Ok(held) => held,
        Err(Error::Locked { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let view = shared.view();
    let Some(table) = view.tables.get(&candidate.table) else { return Ok(None) };
    if !candidate.inputs.iter().all(|input| table.files.iter().any(|f| f.id == input.id)) {
        return Ok(None); // a delete took one of them since
    }
    let folder = table_folder(shared, &view, &table.info)?;
    let (schema, mode) = (Arc::clone(&table.info.schema), table.info.mode);
    drop(view);
    let last = candidate.inputs.iter().map(|f| f.lsn_max).max().unwrap_or_default();
    let name = file::fresh_name(&candidate.interval.folder(), last);
    let merged = merge(&folder, &name, &schema, &candidate.inputs, &[], None, mode)?;
    failpoint::hit("compact.output_written");
    let (path, bytes) = (folder.join(&merged.path), merged.bytes);
    let replacement = Replacement {
        table: candidate.table,
        ended: candidate.inputs.iter().map(|f| f.id).collect(),
        files: vec![merged],
        kind: ReplacementKind::Merge,
        columns: Vec::new(),
        also: None,
        token: held.token(),
        job: job.name.clone(),
    };
    let committed = committer.wait(|reply| Job::Replace { replacements: vec![replacement], reply });
    if committed.is_err() {
        durable::discard(&[path]);
    }
    committed?;
    held.spend();
    failpoint::hit("compact.swapped");
    Ok(Some(bytes))
}

/// Lets other threads go before the calling one, as background merges do: where cores are short it gets a
/// third of the time that each of these gets.
#[expect(unsafe_code, reason = "std has no setpriority")]
pub fn yield_to_others() {
    const NICENESS: libc::c_int = 5;
    // Linux gives each thread a niceness of its own; where it is the process's, none is asked for
    if cfg!(target_os = "linux") {
        // SAFETY: the call takes numbers alone; zero names the calling thread
        let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    }
}

/// First and last instant of files.
pub(crate) fn hull(files: &[Arc<DataFile>]) -> (i64, i64) {
    let from = files.iter().map(|f| f.time_min).min().unwrap_or(i64::MAX);
    let to = files.iter().map(|f| f.time_max).max().unwrap_or(i64::MIN);
    (from, to)
}

/// The right to merge files, held by one at a time.
#[derive(Debug)]
pub struct Running(Arc<Shared>);

impl Running {
    pub(crate) fn start(shared: &Arc<Shared>) -> Option<Self> {
        let mut state = shared.compaction.lock();
        if state.running {
            return None;
        }
        state.running = true;
        state.runs += 1;
        Some(Self(Arc::clone(shared)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.compaction.lock().running = false;
    }
}

#[cfg(test)]
mod tests;
