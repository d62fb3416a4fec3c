//! Queries on their way and those that ended: what lists, cancels and slow-query logs show.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use datafusion::physical_plan::ExecutionPlan;
use model::limits;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Error;
use crate::pool::Priority;

/// Who asks a query.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The token's id; none for the server itself.
    pub id: Option<i64>,
    pub name: Arc<str>,
    pub address: Option<String>,
}

impl Owner {
    pub fn server() -> Self {
        Self { id: None, name: "server".into(), address: None }
    }
}

/// Where a query is, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Waiting,
    Running,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

impl Phase {
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Running => "running",
            Phase::Completed => "completed",
            Phase::Failed => "failed",
            Phase::Cancelled => "cancelled",
            Phase::TimedOut => "timeout",
        }
    }
}

/// One query. Durations are in microseconds.
#[derive(Debug)]
pub struct Query {
    pub id: String,
    /// Cut to [`limits::LISTED_SQL_BYTES`].
    pub sql: String,
    pub database: String,
    pub owner: Owner,
    pub priority: Priority,
    /// UTC microseconds.
    pub started_us: i64,
    began: Instant,
    seen: Mutex<Seen>,
    rows: AtomicU64,
    /// Gone with the query.
    plan: OnceLock<Weak<dyn ExecutionPlan>>,
    is_cancelled: AtomicBool,
    cancel: Notify,
}

/// What is known of a query so far.
#[derive(Debug, Clone)]
pub struct Seen {
    pub phase: Phase,
    pub wait_us: u64,
    pub plan_us: u64,
    /// Until its first rows.
    pub first_us: u64,
    /// From its arrival to its end, once it has ended.
    pub total_us: Option<u64>,
    pub rows: u64,
    /// Rows that left files and memory so far.
    pub rows_read: u64,
    /// The most memory that it reserved at once, in bytes.
    pub peak_bytes: usize,
    pub error: Option<String>,
    /// Of slow queries alone.
    pub plan: Option<String>,
}

impl Query {
    pub fn seen(&self) -> Seen {
        let mut seen = self.seen.lock().clone();
        seen.rows = self.rows.load(Ordering::Relaxed);
        if let Some(plan) = self.plan.get().and_then(Weak::upgrade) {
            seen.rows_read = rows_read(&plan);
        }
        seen
    }

    pub fn elapsed_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock());
    }

    /// A slot was found.
    pub(crate) fn started(&self) {
        let wait_us = self.elapsed_us();
        self.note(|seen| (seen.phase, seen.wait_us) = (Phase::Running, wait_us));
    }

    /// The plan is made.
    pub(crate) fn planned(&self, plan: Option<&Arc<dyn ExecutionPlan>>) {
        if let Some(plan) = plan {
            self.plan.get_or_init(|| Arc::downgrade(plan));
        }
        let at = self.elapsed_us();
        self.note(|seen| seen.plan_us = at - seen.wait_us);
    }

    /// The first rows are there.
    pub(crate) fn came(&self) {
        let first_us = self.elapsed_us();
        self.note(|seen| seen.first_us = first_us);
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::SeqCst)
    }

    /// Waits until somebody cancels the query.
    pub(crate) async fn cancelled(&self) {
        let notified = self.cancel.notified();
        if !self.is_cancelled() {
            notified.await;
        }
    }
}

/// Rows that left the leaves of a plan so far.
pub(crate) fn rows_read(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    match plan.children().as_slice() {
        [] => plan.metrics().and_then(|m| m.output_rows()).unwrap_or(0) as u64,
        inputs => inputs.iter().map(|input| rows_read(input)).sum(),
    }
}

/// What became of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    Now,
    EndedBefore,
    Unknown,
}

/// Queries on their way, and the last that ended.
#[derive(Debug, Default)]
pub struct Registry {
    live: Mutex<HashMap<String, Arc<Query>>>,
    ended: Mutex<VecDeque<Arc<Query>>>,
}

impl Registry {
    pub(crate) fn begin(
        &self,
        sql: &str,
        database: &str,
        owner: Owner,
        priority: Priority,
        started_us: i64,
    ) -> Arc<Query> {
        let mut cut = sql.len().min(limits::LISTED_SQL_BYTES);
        while !sql.is_char_boundary(cut) {
            cut -= 1;
        }
        let query = Arc::new(Query {
            id: store::random::uuid(),
            sql: sql[..cut].to_owned(),
            database: database.to_owned(),
            owner,
            priority,
            started_us,
            began: Instant::now(),
            seen: Mutex::new(Seen {
                phase: Phase::Waiting,
                wait_us: 0,
                plan_us: 0,
                first_us: 0,
                total_us: None,
                rows: 0,
                rows_read: 0,
                peak_bytes: 0,
                error: None,
                plan: None,
            }),
            rows: AtomicU64::new(0),
            plan: OnceLock::new(),
            is_cancelled: AtomicBool::new(false),
            cancel: Notify::new(),
        });
        self.live.lock().insert(query.id.clone(), Arc::clone(&query));
        query
    }

    /// Moves a query to those that ended; a slow one is logged with its phases and plan.
    pub(crate) fn end(&self, query: &Arc<Query>, outcome: Result<(), &Error>, is_slow: bool) {
        if self.live.lock().remove(&query.id).is_none() {
            return;
        }
        let total = query.began.elapsed();
        query.note(|seen| {
            seen.total_us = Some(total.as_micros() as u64);
            seen.phase = match outcome {
                Ok(()) => Phase::Completed,
                Err(Error::Cancelled) => Phase::Cancelled,
                Err(Error::Timeout { .. }) => Phase::TimedOut,
                Err(_) => Phase::Failed,
            };
            seen.error = outcome.err().map(ToString::to_string);
        });
        if is_slow {
            let seen = query.seen();
            tracing::warn!(
                query_id = query.id,
                sql = query.sql,
                token = &*query.owner.name,
                status = seen.phase.as_str(),
                total_ms = total.as_millis() as u64,
                wait_us = seen.wait_us,
                plan_us = seen.plan_us,
                first_us = seen.first_us,
                rows = seen.rows,
                peak_bytes = seen.peak_bytes,
                plan = seen.plan.unwrap_or_default(),
                "slow query"
            );
        }
        let mut ended = self.ended.lock();
        while ended.len() >= limits::QUERY_HISTORY {
            ended.pop_front();
        }
        ended.push_back(Arc::clone(query));
    }

    /// Oldest first.
    pub fn live(&self) -> Vec<Arc<Query>> {
        let mut live: Vec<_> = self.live.lock().values().cloned().collect();
        live.sort_by_key(|q| (q.started_us, q.id.clone()));
        live
    }

    /// Newest first.
    pub fn ended(&self) -> Vec<Arc<Query>> {
        self.ended.lock().iter().rev().cloned().collect()
    }

    pub fn get(&self, id: &str) -> Option<Arc<Query>> {
        let live = self.live.lock().get(id).cloned();
        live.or_else(|| self.ended.lock().iter().find(|q| q.id == id).cloned())
    }

    /// The query ends at its next step, wherever it is.
    pub fn cancel(&self, id: &str) -> Cancelled {
        let live = self.live.lock().get(id).cloned();
        match live {
            Some(query) => {
                query.is_cancelled.store(true, Ordering::SeqCst);
                query.cancel.notify_waiters();
                Cancelled::Now
            }
            None if self.ended.lock().iter().any(|q| q.id == id) => Cancelled::EndedBefore,
            None => Cancelled::Unknown,
        }
    }
}
