use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::FunctionRegistry as _;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use model::{Access, Stage, fold};
use object_store::local::LocalFileSystem;
use parking_lot::RwLock;
use store::{Store, View, failpoint};
use tokio::sync::{mpsc, oneshot};

use crate::cache::{Answer, Cache, Flight, Identity, Key, Met, Turn, bytes_of, statement_key};
use crate::checked::Files;
use crate::distinct::Distinct;
use crate::filter::SqlFilter;
use crate::functions::Operators;
use crate::gapfill::Planner;
use crate::lastpoint::Lastpoint;
use crate::memory::{Common, QueryMemory};
use crate::plan::{Planned, Scope, ViewCatalog, answer};
use crate::pool::{Ended, Pool, Priority, Slot};
use crate::provider::STORE_URL;
use crate::running::{Owner, Query, Registry, Seen, rows_read};
use crate::scratch::{Scratch, Scratches};
use crate::syntax::{Ask, Kind, Parsed, parse};
use crate::{Error, functions, times};

/// Batches that wait between the engine and the wire.
const STREAM_BATCHES: usize = 4;
pub(crate) const CATALOG: &str = "tidewater";
/// How long a probe may wait and run.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds of the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Memory of all queries together, in bytes.
    pub memory_bytes: usize,
    /// Where queries spill, and how much of it they may fill together.
    pub temp_folder: PathBuf,
    pub temp_bytes: u64,
    /// Queries that run at once.
    pub slots: usize,
    /// Queries that may wait for a slot.
    pub queue: usize,
    /// Threads, and partitions of one query.
    pub threads: usize,
    pub bounds: Bounds,
    /// Memory of kept answers, and of one of them, in bytes; zero: none is kept.
    pub cache_bytes: usize,
    pub cache_result_bytes: usize,
}

/// Bounds of queries that may change while the engine runs.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Waiting and running together.
    pub timeout: Duration,
    /// A query that takes longer is logged with its plan; none: never.
    pub slow: Option<Duration>,
}

/// What is kept of the ends of Parquet files, so that they are read once.
#[derive(Debug, Clone, Copy)]
pub struct Footers {
    pub entries: usize,
    pub bytes: usize,
    pub max_bytes: usize,
}

/// Which rows a query reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// Files and hot rows.
    Newest,
    /// Files alone: what an outside reader of the catalog sees.
    Committed,
}

/// What one query may cost; none: as much as it likes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Rows of its answer.
    pub rows: Option<u64>,
    /// Bytes of the files that it reads.
    pub scan_bytes: Option<u64>,
    /// Where it is shorter than the engine's.
    pub timeout: Option<Duration>,
}

/// One statement and who asks it.
#[derive(Debug, Clone)]
pub struct Request {
    pub ask: Ask,
    /// Bare table names belong to it.
    pub database: String,
    pub mode: ReadMode,
    pub access: Arc<Access>,
    pub owner: Owner,
    pub priority: Priority,
    pub limits: Limits,
    /// Whether an answer that was computed before will do: it is the one that would be computed now.
    pub use_cache: bool,
}

impl Request {
    /// A statement of the server itself.
    pub fn of_server(sql: &str) -> Self {
        Self {
            ask: Ask::sql(sql),
            database: "default".into(),
            mode: ReadMode::Newest,
            access: Arc::new(Access::full()),
            owner: Owner::server(),
            priority: Priority::Interactive,
            limits: Limits::default(),
            use_cache: false,
        }
    }

    fn scope(&self, view: Arc<View>, statement: Option<Key>, files: &Arc<Files>) -> Arc<Scope> {
        let (database, access, files) = (self.database.clone(), Arc::clone(&self.access), Arc::clone(files));
        Arc::new(Scope { view, database, mode: self.mode, access, statement, reads: Arc::default(), files })
    }

    fn key(&self, parsed: &Parsed) -> Option<Key> {
        match &parsed.kind {
            Kind::Query(statement) => {
                let text = statement.to_string();
                Some(statement_key(&text, &parsed.aliases, &self.database, self.mode, &self.access))
            }
            _ => None,
        }
    }
}

/// Answers SQL over the store's Views.
pub struct Engine {
    store: Arc<Store>,
    config: EngineConfig,
    bounds: RwLock<Bounds>,
    runtime: Option<tokio::runtime::Runtime>,
    base: SessionState,
    files: Arc<Files>,
    memory: Arc<Common>,
    pool: Arc<Pool>,
    registry: Arc<Registry>,
    cache: Arc<Cache>,
    scratches: Scratches,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A query from its arrival to its end: whatever drops it, it leaves the list of those on their way.
#[derive(Debug)]
struct Live {
    registry: Arc<Registry>,
    query: Arc<Query>,
    slow: Option<Duration>,
    memory: Option<Arc<QueryMemory>>,
    plan: Option<Arc<dyn ExecutionPlan>>,
    is_over: bool,
}

impl Live {
    fn end(&mut self, outcome: Result<(), &Error>) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let is_slow = self.slow.is_some_and(|slow| u128::from(self.query.elapsed_us()) >= slow.as_micros());
        let plan = self.plan.as_ref().filter(|_| is_slow);
        let plan = plan.map(|p| DisplayableExecutionPlan::with_metrics(p.as_ref()).indent(true).to_string());
        let peak_bytes = self.memory.as_ref().map_or(0, |m| m.peak());
        let read = self.plan.as_ref().map_or(0, rows_read);
        self.query.note(|seen| (seen.plan, seen.peak_bytes, seen.rows_read) = (plan, peak_bytes, read));
        self.registry.end(&self.query, outcome, is_slow);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end(Err(&Error::Cancelled));
    }
}

/// An answer on its way. Dropping it stops the work.
#[derive(Debug)]
pub struct QueryStream {
    /// Names as the user knows them; types are the engine's.
    pub schema: SchemaRef,
    /// Snapshot of the catalog that the answer reads.
    pub snapshot: u64,
    /// Rows of the tables read that no file holds.
    pub hot_rows: usize,
    /// Whether the answer was there already.
    pub met: Met,
    rows: Rows,
    max_rows: Option<u64>,
    deadline: Instant,
    timeout: Duration,
    pool: Arc<Pool>,
    live: Live,
}

/// Where the rows of an answer come from.
#[derive(Debug)]
enum Rows {
    Computed { batches: mpsc::Receiver<Result<RecordBatch, Error>>, task: tokio::task::JoinHandle<()> },
    Kept { answer: Arc<Answer>, next: usize },
}

impl QueryStream {
    /// The id by which the query is listed and cancelled.
    pub fn id(&self) -> &str {
        &self.live.query.id
    }

    /// The id of the token that asks.
    pub fn token(&self) -> Option<i64> {
        self.live.query.owner.id
    }

    /// What is known of the query so far.
    pub fn seen(&self) -> Seen {
        self.live.query.seen()
    }

    /// Counts rows on their way out.
    fn passed(&mut self, batch: RecordBatch) -> Result<RecordBatch, Error> {
        self.live.query.add_rows(batch.num_rows());
        match self.max_rows {
            Some(most) if self.live.query.rows() > most => {
                let error = Error::TooManyRows { most };
                self.stop();
                self.live.end(Err(&error));
                Err(error)
            }
            _ => Ok(batch),
        }
    }

    /// The next batch; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        let (batches, task) = match &mut self.rows {
            Rows::Computed { batches, task } => (batches, task),
            Rows::Kept { answer, next } => {
                let batch = answer.batches.get(*next).cloned();
                *next += 1;
                if batch.is_none() {
                    self.live.end(Ok(()));
                }
                return batch.map(|batch| self.passed(batch));
            }
        };
        let received = bounded(&self.live.query, self.deadline, self.timeout, batches.recv()).await;
        let outcome = match received {
            Ok(Some(Ok(batch))) => return Some(self.passed(batch)),
            Ok(Some(Err(error))) | Err(error) => Err(error),
            // rows that end because the task broke are no answer
            Ok(None) => match task.await {
                Err(error) if error.is_panic() => Err(Error::Internal("the query's task panicked".into())),
                _ => Ok(()),
            },
        };
        if matches!(outcome, Err(Error::Timeout { .. })) {
            self.pool.timed_out();
        }
        self.stop();
        self.live.end(outcome.as_ref().copied());
        outcome.err().map(Err)
    }

    fn stop(&self) {
        if let Rows::Computed { task, .. } = &self.rows {
            task.abort();
        }
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What comes of `work` unless the deadline or somebody's cancel comes first.
async fn bounded<T>(
    query: &Query,
    deadline: Instant,
    timeout: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = query.cancelled() => Err(Error::Cancelled),
        done = tokio::time::timeout_at(deadline.into(), work) => {
            done.map_err(|_| Error::Timeout { seconds: timeout.as_secs() })
        }
    }
}

impl Engine {
    pub fn new(store: Arc<Store>, config: EngineConfig) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads)
            .thread_name("query")
            .enable_time()
            .build()
            .map_err(|e| Error::Internal(format!("cannot start the query threads: {e}")))?;
        let base = base_state(&store, &config)?;
        let environment = base.runtime_env();
        let files = Arc::new(Files {
            store: environment.object_store(ObjectStoreUrl::parse(STORE_URL)?)?,
            cache: environment.cache_manager.get_file_metadata_cache(),
        });
        let memory = Common::new(config.memory_bytes, config.slots);
        let pool = Arc::new(Pool::new(config.slots, config.queue));
        let cache = Arc::new(Cache::new(config.cache_bytes, config.cache_result_bytes));
        let (bounds, registry) = (RwLock::new(config.bounds), Arc::default());
        let scratches = Scratches::new(config.temp_folder.clone(), config.temp_bytes);
        Ok(Self {
            store,
            config,
            bounds,
            runtime: Some(runtime),
            base,
            files,
            memory,
            pool,
            registry,
            cache,
            scratches,
        })
    }

    /// Bounds of the queries that come from now on.
    pub fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.write() = bounds;
    }

    /// The cache of footers.
    pub fn footers(&self) -> Footers {
        let cache = self.base.runtime_env().cache_manager.get_file_metadata_cache();
        let entries = cache.list_entries();
        let bytes = entries.values().map(|e| e.size_bytes).sum();
        Footers { entries: entries.len(), bytes, max_bytes: cache.cache_limit() }
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub fn queries(&self) -> &Registry {
        &self.registry
    }

    /// Bytes that queries hold beyond what each has for itself.
    pub fn common_memory_used(&self) -> usize {
        self.memory.used()
    }

    /// Answers one statement.
    ///
    /// # Errors
    /// The statement is refused or fails, before its first rows; later failures come with the rows.
    pub async fn query(&self, request: Request) -> Result<QueryStream, Error> {
        let live = self.begin(&request);
        self.start(live, || parse(&request.ask), &request).await
    }

    /// How many rows a query would give, from statistics: one row of one number. Nothing is read for it.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn estimate(&self, request: Request) -> Result<QueryStream, Error> {
        let live = self.begin(&request);
        self.start(live, || parse(&request.ask)?.estimated(), &request).await
    }

    /// A file for bytes of an answer that must wait; all such files share a bound.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scratch(&self) -> std::io::Result<Scratch> {
        self.scratches.file()
    }

    /// Runs a continuous query over one window (UTC microseconds, to the first instant after it) with the rights of
    /// `access` and gathers its rows; blocks its thread.
    ///
    /// # Errors
    /// As [`Engine::query`]; a placeholder is missing, or more than
    /// [`model::limits::CONTINUOUS_ROWS`] rows come.
    pub fn collect_window(
        &self,
        sql: &str,
        database: &str,
        window: (i64, i64),
        access: &Arc<Access>,
    ) -> Result<(SchemaRef, Vec<RecordBatch>), Error> {
        let request = Request {
            database: database.to_owned(),
            access: Arc::clone(access),
            priority: Priority::Background,
            ..Request::of_server(sql)
        };
        self.runtime()?.block_on(async {
            let live = self.begin(&request);
            let mut stream = self.start(live, || crate::syntax::parse_window(sql, window), &request).await?;
            let (mut batches, mut rows) = (Vec::new(), 0);
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                rows += batch.num_rows();
                if rows > model::limits::CONTINUOUS_ROWS {
                    return Err(Error::Invalid(format!("more than {} rows come", model::limits::CONTINUOUS_ROWS)));
                }
                batches.push(batch);
            }
            Ok((Arc::clone(&stream.schema), batches))
        })
    }

    /// Runs a query of nothing through a slot, as any query goes; blocks its thread.
    ///
    /// # Errors
    /// No slot came free in time, or the engine gave another answer.
    pub fn probe(&self) -> Result<(), Error> {
        failpoint::check("pool", "probe")?;
        let limits = Limits { timeout: Some(PROBE_TIMEOUT), ..Limits::default() };
        let request = Request { limits, ..Request::of_server("SELECT 1") };
        self.runtime()?.block_on(async {
            let mut stream = self.query(request).await?;
            let mut rows = 0;
            while let Some(batch) = stream.next().await {
                rows += batch?.num_rows();
            }
            if rows == 1 { Ok(()) } else { Err(Error::Internal(format!("the probe query gave {rows} rows"))) }
        })
    }

    fn runtime(&self) -> Result<&tokio::runtime::Runtime, Error> {
        self.runtime.as_ref().ok_or_else(|| Error::Internal("the engine has stopped".into()))
    }

    fn begin(&self, request: &Request) -> Live {
        let now_us = self.store.shared().clock.now_us();
        let query =
            self.registry.begin(request.ask.text(), &request.database, request.owner.clone(), request.priority, now_us);
        let registry = Arc::clone(&self.registry);
        Live { registry, query, slow: self.bounds.read().slow, memory: None, plan: None, is_over: false }
    }

    /// Waits for a slot, plans, and runs to the first rows: one deadline over all of it.
    async fn start(
        &self,
        mut live: Live,
        parsed: impl FnOnce() -> Result<Parsed, Error>,
        request: &Request,
    ) -> Result<QueryStream, Error> {
        let longest = self.bounds.read().timeout;
        let timeout = request.limits.timeout.unwrap_or(longest).min(longest);
        let deadline = Instant::now() + timeout;
        let query = Arc::clone(&live.query);
        let outcome = async {
            let parsed = parsed()?;
            let view = self.store.view();
            let statement = if request.use_cache && self.cache.is_on() { request.key(&parsed) } else { None };
            let kept = statement.and_then(|key| self.cache.find(&key, &view, request.mode));
            if let Some((answer, hot_rows)) = kept {
                query.started();
                query.came();
                let (schema, snapshot) = (Arc::clone(&answer.schema), view.snapshot);
                let rows = Rows::Kept { answer, next: 0 };
                return Ok((schema, hot_rows, snapshot, Met::Hit, rows));
            }
            let owner = request.owner.id.unwrap_or_default();
            let waiting = self.pool.enter(owner, request.priority, &query.id);
            let slot = bounded(&query, deadline, timeout, waiting).await??;
            query.started();
            self.store.shared().stages.of(Stage::QueueWait).note(Duration::from_micros(query.seen().wait_us));
            // what was written while the query waited is seen
            let view = self.store.view();
            let snapshot = view.snapshot;
            let memory = self.memory.query();
            live.memory = Some(Arc::clone(&memory));
            let scope = request.scope(view, statement, &self.files);
            let state = self.session(&scope, memory);
            let (send, batches) = mpsc::channel(STREAM_BATCHES);
            let (reply, ready) = oneshot::channel();
            let (cache, shared) = (Arc::clone(&self.cache), Arc::clone(self.store.shared()));
            let task = Task { query: Arc::clone(&query), slot, reply, send, cache, shared };
            let hangs = failpoint::hangs("pool", "query");
            let max_scan = request.limits.scan_bytes;
            let task = Aborting(Some(self.runtime()?.spawn(async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                let outcome = answer(parsed, state, &scope).await;
                let bytes = scope.reads.bytes();
                task.run(match max_scan {
                    Some(most) if bytes > most => Err(Error::ScanTooLarge { bytes, most }),
                    _ => outcome,
                })
                .await;
            })));
            let ready = bounded(&query, deadline, timeout, ready).await?;
            let ready = ready.map_err(|_| Error::Internal("the query's task ended while planning".into()))??;
            live.plan = Some(ready.plan);
            Ok(match ready.answer {
                Some(answer) => {
                    let schema = Arc::clone(&answer.schema);
                    (schema, ready.hot_rows, snapshot, Met::Hit, Rows::Kept { answer, next: 0 })
                }
                None => {
                    let rows = Rows::Computed { batches, task: task.keep() };
                    (ready.schema, ready.hot_rows, snapshot, ready.met, rows)
                }
            })
        };
        match outcome.await {
            Ok((schema, hot_rows, snapshot, met, rows)) => {
                let pool = Arc::clone(&self.pool);
                let max_rows = request.limits.rows;
                Ok(QueryStream { schema, snapshot, hot_rows, met, rows, max_rows, deadline, timeout, pool, live })
            }
            Err(error) => {
                if matches!(error, Error::Timeout { .. }) {
                    self.pool.timed_out();
                }
                live.end(Err(&error));
                Err(error)
            }
        }
    }

    /// The physical plan of one query and what it runs in.
    #[cfg(test)]
    pub async fn planned(
        &self,
        sql: &str,
        database: &str,
        mode: ReadMode,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<datafusion::execution::TaskContext>), Error> {
        let request = Request { database: database.to_owned(), mode, ..Request::of_server(sql) };
        let scope = request.scope(self.store.view(), None, &self.files);
        let planned = answer(parse(&request.ask)?, self.session(&scope, self.memory.query()), &scope).await?;
        Ok((planned.plan, planned.context))
    }

    /// Which rows of a table a condition means.
    ///
    /// # Errors
    /// As [`SqlFilter`] says.
    pub fn row_filter(&self, table: &Arc<store::view::Table>, condition: &str) -> Result<SqlFilter, Error> {
        let mut state = self.base.clone();
        let options = Arc::clone(state.config_options());
        state.execution_props_mut().mark_start_execution(options); // now() is this instant
        SqlFilter::new(&state, table, condition)
    }

    fn session(&self, scope: &Arc<Scope>, memory: Arc<QueryMemory>) -> SessionState {
        let config = self.base.config().clone().with_default_catalog_and_schema(CATALOG, fold(&scope.database));
        let runtime = RuntimeEnv { memory_pool: memory, ..RuntimeEnv::clone(self.base.runtime_env()) };
        SessionStateBuilder::new_from_existing(self.base.clone())
            .with_config(config)
            .with_runtime_env(Arc::new(runtime))
            .with_catalog_list(Arc::new(ViewCatalog(Arc::clone(scope))))
            .build()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A task that ends with whoever waits for it.
struct Aborting(Option<tokio::task::JoinHandle<()>>);

impl Aborting {
    fn keep(mut self) -> tokio::task::JoinHandle<()> {
        self.0.take().expect("it is taken once")
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

fn base_state(store: &Store, config: &EngineConfig) -> Result<SessionState, Error> {
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![config.temp_folder.clone()]))
        .with_max_temp_directory_size(config.temp_bytes);
    let runtime: Arc<RuntimeEnv> = RuntimeEnvBuilder::new()
        .with_disk_manager_builder(disk)
        .with_metadata_cache_limit((config.memory_bytes / 10).min(64 << 20))
        .build_arc()?;
    let files = LocalFileSystem::new_with_prefix(store.data_folder()).map_err(|e| Error::Internal(e.to_string()))?;
    let url = url_of_store()?;
    runtime.register_object_store(&url, Arc::new(files));
    let mut session = SessionConfig::new()
        .with_target_partitions(config.threads)
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false);
    let options = session.options_mut();
    options.sql_parser.default_null_ordering = "nulls_last".into();
    options.sql_parser.dialect = datafusion::config::Dialect::DuckDB;
    options.sql_parser.enable_ident_normalization = true;
    options.sql_parser.map_string_types_to_utf8view = true;
    options.execution.time_zone = Some("UTC".into());
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.collect_statistics = true;
    let mut context = SessionContext::new_with_config_rt(session, runtime);
    context.register_expr_planner(Arc::new(Operators))?;
    functions::register(&context)?;
    for name in ["generate_series", "range"] {
        context.register_udtf(name, Arc::new(times::Series(context.table_function(name)?)));
    }
    context.add_optimizer_rule(Arc::new(Lastpoint));
    context.add_optimizer_rule(Arc::new(Distinct));
    let mut builder = SessionStateBuilder::new_from_existing(context.state())
        .with_type_planner(Arc::new(times::Types))
        .with_query_planner(Arc::new(Planner));
    // before the engine's coercion of types
    builder.analyzer().get_or_insert_default().rules.insert(0, Arc::new(times::Comparisons));
    Ok(builder.build())
}

fn url_of_store() -> Result<url::Url, Error> {
    url::Url::parse(STORE_URL).map_err(|e| Error::Internal(e.to_string()))
}

/// What the caller learns before the first rows.
struct Ready {
    schema: SchemaRef,
    hot_rows: usize,
    plan: Arc<dyn ExecutionPlan>,
    met: Met,
    answer: Option<Arc<Answer>>,
}

/// A planned query on the engine's threads.
struct Task {
    query: Arc<Query>,
    slot: Slot,
    reply: oneshot::Sender<Result<Ready, Error>>,
    send: mpsc::Sender<Result<RecordBatch, Error>>,
    cache: Arc<Cache>,
    shared: Arc<store::Shared>,
}

impl Task {
    async fn run(mut self, outcome: Result<Planned, Error>) {
        self.query.planned(outcome.as_ref().ok().map(|planned| &planned.plan));
        self.shared.stages.of(Stage::Plan).note(Duration::from_micros(self.query.seen().plan_us));
        let planned = match outcome {
            Ok(planned) => planned,
            Err(error) => return self.refuse(error),
        };
        let turn = self.turn(planned.identity.as_ref()).await;
        let (met, mut gathered) = match turn {
            Some(Turn::Found(answer)) => return self.found(planned, answer),
            Some(Turn::Compute(flight)) => (Met::Miss, Some(Gathered::new(flight, &self.cache))),
            Some(Turn::Wait(_)) => (Met::Miss, None),
            None => (Met::Bypass, None),
        };
        let mut stream = match execute_stream(Arc::clone(&planned.plan), Arc::clone(&planned.context)) {
            Ok(stream) => stream,
            Err(error) => return self.refuse(error.into()),
        };
        let mut scanning = Scanning { shared: Arc::clone(&self.shared), took: Duration::ZERO };
        // the first batch is awaited before anything is answered: most failures come before it
        let mut next = match scanning.timed(stream.next()).await {
            Some(Err(error)) => return self.refuse(error.into()),
            first => first,
        };
        self.query.came();
        let Planned { schema, hot_rows, plan, .. } = planned;
        let Self { mut slot, reply, send, .. } = self;
        if reply.send(Ok(Ready { schema: Arc::clone(&schema), hot_rows, plan, met, answer: None })).is_err() {
            return;
        }
        while let Some(batch) = next {
            if let Err(error) = failpoint::check("pool", "rows") {
                let _ = send.send(Err(error.into())).await;
                return;
            }
            let batch = batch.map_err(Error::from).and_then(|b| renamed(&schema, b));
            let failed = batch.as_ref().err().map(how);
            if let Ok(batch) = &batch {
                gathered = gathered.and_then(|g| g.with(batch));
            }
            // nobody waits for a client that reads slowly
            if send.capacity() == 0
                && let Some(gathered) = &mut gathered
            {
                gathered.flight.release();
            }
            if send.send(batch).await.is_err() {
                return;
            }
            if let Some(how) = failed {
                return slot.ended(how);
            }
            next = scanning.timed(stream.next()).await;
        }
        // kept before the client sees the end: when it asks again, the answer is there
        if let Some(gathered) = gathered {
            gathered.keep(&schema);
        }
        slot.ended(Ended::Well);
    }

    /// What the cache says, after a wait for whoever computes the answer already. None: it is not asked.
    async fn turn(&self, identity: Option<&Identity>) -> Option<Turn> {
        let Some(identity) = identity else {
            self.cache.bypassed();
            return None;
        };
        let turn = self.cache.turn(identity);
        let Turn::Wait(mut landed) = turn else { return Some(turn) };
        let _ = landed.changed().await;
        Some(self.cache.turn(identity))
    }

    fn found(self, planned: Planned, answer: Arc<Answer>) {
        self.query.came();
        let Planned { schema, hot_rows, plan, .. } = planned;
        let Self { mut slot, reply, .. } = self;
        let _ = reply.send(Ok(Ready { schema, hot_rows, plan, met: Met::Hit, answer: Some(answer) }));
        slot.ended(Ended::Well);
    }

    fn refuse(&mut self, error: Error) {
        self.slot.ended(how(&error));
        let (reply, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.reply, reply).send(Err(error));
    }
}

/// Time spent reading and computing; noted at the end of it, whichever that is.
struct Scanning {
    shared: Arc<store::Shared>,
    took: Duration,
}

impl Scanning {
    async fn timed<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.took += began.elapsed();
        done
    }
}

impl Drop for Scanning {
    fn drop(&mut self) {
        self.shared.stages.of(Stage::Scan).note(self.took);
    }
}

/// Rows of an answer that may be kept, while they are not too many.
struct Gathered {
    cache: Arc<Cache>,
    flight: Flight,
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl Gathered {
    fn new(flight: Flight, cache: &Arc<Cache>) -> Self {
        Self { cache: Arc::clone(cache), flight, batches: Vec::new(), bytes: 0 }
    }

    fn with(mut self, batch: &RecordBatch) -> Option<Self> {
        // slices are counted whole here: what is far too large ends early, the rest is measured when it is kept
        self.bytes += bytes_of(batch);
        self.batches.push(batch.clone());
        (self.bytes <= 4 * self.cache.max_result_bytes()).then_some(self)
    }

    fn keep(self, schema: &SchemaRef) {
        match Answer::new(schema, &self.batches) {
            Ok(answer) => self.cache.keep(self.flight, answer),
            Err(error) => tracing::warn!(%error, "an answer could not be kept"),
        }
    }
}

/// Whose fault an error is.
fn how(error: &Error) -> Ended {
    if matches!(error, Error::Internal(_)) { Ended::Broken } else { Ended::Refused }
}

fn renamed(schema: &SchemaRef, batch: RecordBatch) -> Result<RecordBatch, Error> {
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|e| Error::Internal(e.to_string()))
}
