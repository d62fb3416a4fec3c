use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as PlanResult;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as PlannerStatement;
use futures::StreamExt;
use model::{Access, Permission, fold};
use object_store::local::LocalFileSystem;
use sqlparser::ast::Statement;
use store::{Store, View};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::filter::SqlFilter;
use crate::lastpoint::Lastpoint;
use crate::provider::{STORE_URL, TableScan};
use crate::syntax::{Kind, Parsed, parse};
use crate::{Error, functions, guard, names};

/// Batches that wait between the engine and the wire.
const STREAM_BATCHES: usize = 4;
const CATALOG: &str = "tidewater";

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
    /// Waiting and running together.
    pub timeout: Duration,
}

/// Which rows a query reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// Files and hot rows.
    Newest,
    /// Files alone: what an outside reader of the catalog sees.
    Committed,
}

/// One statement and who asks it.
#[derive(Debug, Clone)]
pub struct Request {
    pub sql: String,
    /// Bare table names belong to it.
    pub database: String,
    pub mode: ReadMode,
    pub access: Arc<Access>,
}

impl Request {
    /// A statement of the server itself.
    pub fn of_server(sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            database: "default".into(),
            mode: ReadMode::Newest,
            access: Arc::new(Access::full()),
        }
    }
}

/// Answers SQL over the store's Views.
pub struct Engine {
    store: Arc<Store>,
    config: EngineConfig,
    runtime: Option<tokio::runtime::Runtime>,
    base: SessionState,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
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
    batches: mpsc::Receiver<Result<RecordBatch, Error>>,
    task: tokio::task::JoinHandle<()>,
    deadline: Instant,
    timeout: Duration,
}

impl QueryStream {
    /// The next batch; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        match tokio::time::timeout_at(self.deadline.into(), self.batches.recv()).await {
            Ok(batch) => batch,
            Err(_) => {
                self.task.abort();
                Some(Err(Error::Timeout { seconds: self.timeout.as_secs() }))
            }
        }
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What one statement may look at.
#[derive(Debug)]
struct Scope {
    view: Arc<View>,
    database: String,
    mode: ReadMode,
    access: Arc<Access>,
}

impl Request {
    fn scope(&self, view: Arc<View>) -> Arc<Scope> {
        Arc::new(Scope { view, database: self.database.clone(), mode: self.mode, access: Arc::clone(&self.access) })
    }
}

impl Scope {
    /// # Errors
    /// The table is out of the caller's reach, be it there or not.
    fn check(&self, database: &str, table: &str) -> Result<(), Error> {
        match self.access.may(Permission::Read, database, table) {
            true => Ok(()),
            false => Err(Error::Forbidden { database: database.to_owned(), table: table.to_owned() }),
        }
    }
}

struct Planned {
    schema: SchemaRef,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<datafusion::execution::TaskContext>,
    hot_rows: usize,
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
        let slots = Arc::new(Semaphore::new(config.slots));
        Ok(Self { store, config, runtime: Some(runtime), base, slots, waiting: AtomicUsize::new(0) })
    }

    /// Queries that wait for a slot.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Queries that run.
    pub fn running(&self) -> usize {
        self.config.slots - self.slots.available_permits()
    }

    /// Answers one statement.
    ///
    /// # Errors
    /// The statement is refused or fails, before its first rows; later failures come with the rows.
    pub async fn query(&self, request: Request) -> Result<QueryStream, Error> {
        self.start(parse(&request.sql)?, &request).await
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
        let parsed = crate::syntax::parse_window(sql, window)?;
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::Internal("the engine has stopped".into()))?;
        runtime.block_on(async {
            let request = Request {
                sql: String::new(),
                database: database.to_owned(),
                mode: ReadMode::Newest,
                access: Arc::clone(access),
            };
            let mut stream = self.start(parsed, &request).await?;
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
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::Internal("the engine has stopped".into()))?;
        runtime.block_on(async {
            let mut stream = self.query(Request::of_server("SELECT 1")).await?;
            let mut rows = 0;
            while let Some(batch) = stream.next().await {
                rows += batch?.num_rows();
            }
            if rows == 1 { Ok(()) } else { Err(Error::Internal(format!("the probe query gave {rows} rows"))) }
        })
    }

    async fn start(&self, parsed: Parsed, request: &Request) -> Result<QueryStream, Error> {
        let deadline = Instant::now() + self.config.timeout;
        let slot = self.slot(deadline).await?;
        let view = self.store.view();
        let snapshot = view.snapshot;
        let (send, batches) = mpsc::channel(STREAM_BATCHES);
        let (planned_send, planned) = tokio::sync::oneshot::channel();
        let scope = request.scope(view);
        let state = self.session(&scope);
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::Internal("the engine has stopped".into()))?;
        let task = runtime.spawn(async move {
            let outcome = answer(parsed, state, &scope).await;
            run(outcome, planned_send, send, slot).await;
        });
        let mut stream = QueryStream {
            schema: Arc::new(Schema::empty()),
            snapshot,
            hot_rows: 0,
            batches,
            task,
            deadline,
            timeout: self.config.timeout,
        };
        match tokio::time::timeout_at(deadline.into(), planned).await {
            Ok(Ok(Ok((schema, hot_rows)))) => {
                stream.schema = schema;
                stream.hot_rows = hot_rows;
                Ok(stream)
            }
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) => Err(Error::Internal("the query's task ended while planning".into())),
            Err(_) => Err(Error::Timeout { seconds: self.config.timeout.as_secs() }),
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
        let scope = request.scope(self.store.view());
        let planned = answer(parse(sql)?, self.session(&scope), &scope).await?;
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

    async fn slot(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(permit);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.config.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::QueueFull);
        }
        let _leave = Leave(&self.waiting);
        match tokio::time::timeout_at(deadline.into(), Arc::clone(&self.slots).acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| Error::Internal("the engine has stopped".into())),
            Err(_) => Err(Error::Timeout { seconds: self.config.timeout.as_secs() }),
        }
    }

    fn session(&self, scope: &Arc<Scope>) -> SessionState {
        let config = self.base.config().clone().with_default_catalog_and_schema(CATALOG, fold(&scope.database));
        let catalogs = Arc::new(ViewCatalog(Arc::clone(scope)));
        SessionStateBuilder::new_from_existing(self.base.clone())
            .with_config(config)
            .with_catalog_list(catalogs)
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

/// Leaves the queue however the wait ends.
struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn base_state(store: &Store, config: &EngineConfig) -> Result<SessionState, Error> {
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![config.temp_folder.clone()]))
        .with_max_temp_directory_size(config.temp_bytes);
    let pool = TrackConsumersPool::new(
        FairSpillPool::new(config.memory_bytes),
        std::num::NonZeroUsize::new(3).expect("three is not zero"),
    );
    let runtime: Arc<RuntimeEnv> = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
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
    let context = SessionContext::new_with_config_rt(session, runtime);
    functions::register(&context);
    context.add_optimizer_rule(Arc::new(Lastpoint));
    Ok(context.state())
}

fn url_of_store() -> Result<url::Url, Error> {
    url::Url::parse(STORE_URL).map_err(|e| Error::Internal(e.to_string()))
}

/// What the planning task tells the waiting caller.
type PlannedReply = Result<(SchemaRef, usize), Error>;

async fn run(
    outcome: Result<Planned, Error>,
    reply: tokio::sync::oneshot::Sender<PlannedReply>,
    send: mpsc::Sender<Result<RecordBatch, Error>>,
    _slot: OwnedSemaphorePermit,
) {
    let planned = match outcome {
        Ok(planned) => planned,
        Err(error) => {
            let _ = reply.send(Err(error));
            return;
        }
    };
    let mut stream = match execute_stream(planned.plan, planned.context) {
        Ok(stream) => stream,
        Err(error) => {
            let _ = reply.send(Err(error.into()));
            return;
        }
    };
    // the first batch is awaited before anything is answered: most failures come before it
    let first = stream.next().await;
    if let Some(Err(error)) = first {
        let _ = reply.send(Err(error.into()));
        return;
    }
    if reply.send(Ok((Arc::clone(&planned.schema), planned.hot_rows))).is_err() {
        return;
    }
    let mut next = first;
    while let Some(batch) = next {
        let batch = batch.map_err(Error::from).and_then(|b| renamed(&planned.schema, b));
        let failed = batch.is_err();
        if send.send(batch).await.is_err() || failed {
            return;
        }
        next = stream.next().await;
    }
}

fn renamed(schema: &SchemaRef, batch: RecordBatch) -> Result<RecordBatch, Error> {
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|e| Error::Internal(e.to_string()))
}

async fn answer(parsed: Parsed, state: SessionState, scope: &Scope) -> Result<Planned, Error> {
    match parsed.kind {
        Kind::ShowDatabases => {
            let seen = scope.view.databases.values().filter(|d| scope.access.sees(&d.name));
            let names = seen.map(|d| Some(d.name.to_string())).collect::<StringArray>();
            table(&state, vec![("database", Arc::new(names))])
        }
        Kind::ShowTables { database: named } => show_tables(&state, scope, named.as_deref().unwrap_or(&scope.database)),
        Kind::Query(statement) => plan(*statement, &state, scope, &parsed.aliases).await,
        Kind::DescribeTable(name) => describe_table(&state, scope, &name),
        Kind::Describe(query) => {
            let planned = plan(*query, &state, scope, &parsed.aliases).await?;
            let columns = planned.schema.fields().iter().map(|f| (f.name().clone(), shown_type(f.data_type())));
            table(&state, described(columns.collect()))
        }
        Kind::Explain { query, analyze: _ } => {
            let planned = plan(*query, &state, scope, &parsed.aliases).await?;
            let text = displayable(planned.plan.as_ref()).indent(true).to_string();
            let kind: ArrayRef = Arc::new(StringArray::from(vec!["physical_plan"]));
            table(&state, vec![("explain_key", kind), ("explain_value", Arc::new(StringArray::from(vec![text])))])
        }
    }
}

/// A finished answer as a plan.
fn table(state: &SessionState, columns: Vec<(&str, ArrayRef)>) -> Result<Planned, Error> {
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, a)| a).collect())
        .map_err(|e| Error::Internal(e.to_string()))?;
    let plan =
        datafusion::catalog::memory::MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&schema), None)?;
    Ok(Planned { schema, plan, context: state.task_ctx(), hot_rows: 0 })
}

fn show_tables(state: &SessionState, scope: &Scope, database: &str) -> Result<Planned, Error> {
    let view = &scope.view;
    if !scope.access.sees(database) {
        return Err(Error::Forbidden { database: database.to_owned(), table: "*".into() });
    }
    let Some(found) = view.database(database) else {
        return Err(Error::TableNotFound { table: format!("{database}.*"), nearest: None });
    };
    let is_seen = |t: &&Arc<store::view::Table>| scope.access.may(Permission::Read, database, &t.info.name);
    let tables: Vec<_> = found.tables.values().filter_map(|id| view.tables.get(id)).filter(is_seen).collect();
    let text = |f: &dyn Fn(&store::view::Table) -> String| -> ArrayRef {
        Arc::new(tables.iter().map(|t| Some(f(t))).collect::<StringArray>())
    };
    let files: ArrayRef =
        Arc::new(tables.iter().map(|t| t.files.len() as i64).collect::<datafusion::arrow::array::Int64Array>());
    let sizes: ArrayRef = Arc::new(
        tables
            .iter()
            .map(|t| t.files.iter().map(|f| f.bytes).sum::<u64>() as f64 / f64::from(1 << 20))
            .collect::<datafusion::arrow::array::Float64Array>(),
    );
    table(
        state,
        vec![
            ("database", text(&|_| found.name.to_string())),
            ("table_name", text(&|t| t.info.name.to_string())),
            ("storage_path", text(&|t| format!("{}{}", found.path, t.info.path))),
            ("file_count", files),
            ("total_size_mb", sizes),
        ],
    )
}

/// `DESCRIBE`, in DuckDB's columns.
fn described(columns: Vec<(String, String)>) -> Vec<(&'static str, ArrayRef)> {
    let (names, types): (Vec<String>, Vec<String>) = columns.into_iter().unzip();
    let rows = names.len();
    let text = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
    let nothing = || Arc::new(StringArray::new_null(rows)) as ArrayRef;
    vec![
        ("column_name", text(names)),
        ("column_type", text(types)),
        ("null", text(vec!["YES".into(); rows])),
        ("key", nothing()),
        ("default", nothing()),
        ("extra", nothing()),
    ]
}

/// `DESCRIBE table`: its columns with what tags and fields are, and whether it keeps every row (`append`) or one
/// a point (`last`).
fn describe_table(state: &SessionState, scope: &Scope, name: &[String]) -> Result<Planned, Error> {
    let (owner, wanted) = match name {
        [wanted] => (scope.database.as_str(), wanted),
        [owner, wanted] => (owner.as_str(), wanted),
        _ => return Err(Error::Invalid(format!("{:?} is no name of a table", name.join(".")))),
    };
    scope.check(owner, wanted)?;
    let Some(found) = scope.view.table(owner, wanted) else {
        return Err(not_found(scope, owner, wanted, name.len() > 1));
    };
    let known = found.info.schema.columns();
    let mut columns = described(known.iter().map(|c| (c.name.to_string(), shown_type(&c.ty.arrow()))).collect());
    let roles = known.iter().map(|c| Some(c.role.as_str())).collect::<StringArray>();
    columns.push(("role", Arc::new(roles)));
    let mode = found.info.mode.as_str();
    columns.push(("mode", Arc::new(StringArray::from(vec![mode; known.len()]))));
    table(state, columns)
}

/// DuckDB's name of a type.
fn shown_type(ty: &DataType) -> String {
    match ty {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "UTINYINT".into(),
        DataType::UInt16 => "USMALLINT".into(),
        DataType::UInt32 => "UINTEGER".into(),
        DataType::UInt64 => "UBIGINT".into(),
        DataType::Float16 | DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BLOB".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".into(),
        DataType::Timestamp(TimeUnit::Second, None) => "TIMESTAMP_S".into(),
        DataType::Timestamp(TimeUnit::Millisecond, None) => "TIMESTAMP_MS".into(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP".into(),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => "TIMESTAMP_NS".into(),
        DataType::Decimal128(38, 0) => "HUGEINT".into(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            format!("DECIMAL({p},{s})")
        }
        DataType::Decimal256(p, s) => format!("DECIMAL({p},{s})"),
        DataType::Dictionary(_, value) => shown_type(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("{}[]", shown_type(item.data_type()))
        }
        DataType::Struct(fields) => {
            let shown: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.name(), shown_type(f.data_type()))).collect();
            format!("STRUCT({})", shown.join(", "))
        }
        DataType::Null => "\"NULL\"".into(),
        other => other.to_string(),
    }
}

async fn plan(
    statement: Statement,
    state: &SessionState,
    scope: &Scope,
    aliases: &HashMap<String, String>,
) -> Result<Planned, Error> {
    let statement = PlannerStatement::Statement(Box::new(statement));
    let mut stored = HashMap::new();
    let mut hot_rows = 0;
    for reference in state.resolve_table_references(&statement)? {
        let owner = reference.schema().unwrap_or(&scope.database);
        let may_be_function = reference.schema().is_none() && guard::TABLE_FUNCTIONS.contains(&reference.table());
        if may_be_function && scope.check(owner, reference.table()).is_err() {
            continue;
        }
        scope.check(owner, reference.table())?;
        let Some(table) = scope.view.table(owner, reference.table()) else {
            if may_be_function {
                continue;
            }
            return Err(not_found(scope, owner, reference.table(), reference.schema().is_some()));
        };
        if scope.mode == ReadMode::Newest {
            hot_rows += table.hot.rows();
        }
        for column in table.info.schema.columns() {
            stored.entry(fold(&column.name)).or_insert_with(|| column.name.to_string());
        }
    }
    let logical = state.statement_to_plan(statement).await?;
    let plan = yielding(state.create_physical_plan(&logical).await?)?;
    let fields: Vec<Field> = plan
        .schema()
        .fields()
        .iter()
        .map(|f| {
            let name = names::shown(f.name(), aliases, &stored).to_owned();
            Field::new(name, f.data_type().clone(), true)
        })
        .collect();
    Ok(Planned { schema: Arc::new(Schema::new(fields)), plan, context: state.task_ctx(), hot_rows })
}

/// A join can make millions of batches from one of its input's, and the engine gives its thread
/// back only where leaves are read: without this a cancelled join would run to its end.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, Error> {
    let wrapped = plan.transform_up(|node| {
        let multiplies = node.name().contains("Join") || node.name().contains("Unnest");
        Ok(match multiplies {
            true => Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>),
            false => Transformed::no(node),
        })
    })?;
    Ok(wrapped.data)
}

fn not_found(scope: &Scope, database: &str, table: &str, qualified: bool) -> Error {
    let known = scope.view.database(database);
    let wanted = fold(table);
    let nearest = known.and_then(|d| {
        let names = d.tables.values().filter_map(|id| scope.view.tables.get(id)).map(|t| t.info.name.to_string());
        names
            .filter(|n| scope.access.may(Permission::Read, database, n))
            .map(|n| (strsim::damerau_levenshtein(&fold(&n), &wanted), n))
            .filter(|(distance, n)| *distance <= 2.max(n.len() / 3))
            .min()
            .map(|(_, n)| n)
    });
    let table = if qualified || known.is_none() { format!("{database}.{table}") } else { table.to_owned() };
    Error::TableNotFound { table, nearest }
}

/// The databases of one View as the planner looks names up.
#[derive(Debug)]
struct ViewCatalog(Arc<Scope>);

impl CatalogProviderList for ViewCatalog {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.into()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(ViewCatalog(Arc::clone(&self.0))) as _)
    }
}

impl CatalogProvider for ViewCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.0.view.databases.keys().map(|k| k.to_string()).filter(|k| self.0.access.sees(k)).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let database = Arc::clone(self.0.view.database(name)?);
        Some(Arc::new(DatabaseSchema { scope: Arc::clone(&self.0), database }))
    }
}

#[derive(Debug)]
struct DatabaseSchema {
    scope: Arc<Scope>,
    database: Arc<store::view::Database>,
}

#[async_trait]
impl SchemaProvider for DatabaseSchema {
    fn table_names(&self) -> Vec<String> {
        let may = |name: &String| self.scope.access.may(Permission::Read, &self.database.name, name);
        self.database.tables.keys().map(|k| k.to_string()).filter(may).collect()
    }

    /// However a statement names a table, its plan gets it here: nothing else decides who may read it.
    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        let view = &self.scope.view;
        let id = self.database.tables.get(fold(name).as_str());
        let Some(table) = id.and_then(|id| view.tables.get(id)) else { return Ok(None) };
        self.scope
            .check(&self.database.name, name)
            .map_err(|e| datafusion::error::DataFusionError::External(Box::new(e)))?;
        let folder = format!("{}{}", self.database.path, table.info.path);
        let scan = TableScan::new(Arc::clone(table), folder, self.scope.mode == ReadMode::Newest);
        Ok(Some(Arc::new(scan)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.database.tables.contains_key(fold(name).as_str())
    }
}
