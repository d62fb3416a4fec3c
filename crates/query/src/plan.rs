use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::SchemaError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::sql::parser::Statement as PlannerStatement;
use model::{Access, Permission, Role, fold, limits};
use sqlparser::ast::Statement;
use store::View;

use crate::cache::{Identity, Key, Reads};
use crate::checked::Files;
use crate::engine::{CATALOG, ReadMode};
use crate::functions::MOST_BYTES;
use crate::lastpoint::LatestExec;
use crate::provider::TableScan;
use crate::syntax::{Kind, Parsed, inline_alias};
use crate::{Error, gapfill, guard, names};

/// `information_schema`: what the caller may see, as tables.
mod information;
/// `SUMMARIZE`: figures of each column.
mod summary;

/// What one statement may look at.
#[derive(Debug)]
pub struct Scope {
    pub view: Arc<View>,
    /// Bare table names belong to it.
    pub database: String,
    pub mode: ReadMode,
    pub access: Arc<Access>,
    /// The key of a statement whose answer may be kept.
    pub statement: Option<Key>,
    pub reads: Arc<Reads>,
    pub files: Arc<Files>,
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

    /// The databases of which the caller may see something.
    fn databases(&self) -> impl Iterator<Item = &Arc<store::view::Database>> {
        self.view.databases.values().filter(|d| self.access.sees(&d.name))
    }

    /// The tables of a database that the caller may read.
    fn tables_of(&self, database: &str) -> Vec<&Arc<store::view::Table>> {
        let Some(found) = self.view.database(database) else { return Vec::new() };
        let tables = found.tables.values().filter_map(|id| self.view.tables.get(id));
        tables.filter(|t| self.access.may(Permission::Read, database, &t.info.name)).collect()
    }
}

/// A statement that is ready to run.
pub struct Planned {
    /// Names as the user knows them.
    pub schema: SchemaRef,
    pub plan: Arc<dyn ExecutionPlan>,
    pub context: Arc<TaskContext>,
    pub hot_rows: usize,
    /// Of an answer that may be kept.
    pub identity: Option<Identity>,
}

/// Plans what was parsed.
///
/// # Errors
/// The statement is refused, or names what is not there or out of the caller's reach.
pub async fn answer(parsed: Parsed, state: SessionState, scope: &Scope) -> Result<Planned, Error> {
    match parsed.kind {
        Kind::ShowDatabases => {
            let names = scope.databases().map(|d| Some(d.name.to_string())).collect::<StringArray>();
            table(&state, vec![("database", Arc::new(names))])
        }
        Kind::ShowTables { database: named } => show_tables(&state, scope, named.as_deref().unwrap_or(&scope.database)),
        Kind::Query(statement) => plan(*statement, &state, scope, &parsed.aliases).await,
        Kind::DescribeTable(name) => describe_table(&state, scope, &name),
        Kind::ShowKeys { role, table } => show_keys(&state, scope, role, table.as_deref()),
        Kind::Summarize(query) => summary::of(*query, &state, scope, &parsed.aliases).await,
        Kind::Estimate(query) => {
            let planned = plan(*query, &state, scope, &parsed.aliases).await?;
            let rows = estimated_rows(&planned.plan)?;
            table(&state, vec![("estimated_rows", Arc::new(Int64Array::from(vec![rows as i64])))])
        }
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

/// Columns by their names.
fn batch_of(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, Error> {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|e| Error::Internal(e.to_string()))
}

/// A finished answer as a plan.
fn table(state: &SessionState, columns: Vec<(&str, ArrayRef)>) -> Result<Planned, Error> {
    let batch = batch_of(columns)?;
    let schema = batch.schema();
    let plan =
        datafusion::catalog::memory::MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&schema), None)?;
    Ok(Planned { schema, plan, context: state.task_ctx(), hot_rows: 0, identity: None })
}

fn show_tables(state: &SessionState, scope: &Scope, database: &str) -> Result<Planned, Error> {
    let view = &scope.view;
    if !scope.access.sees(database) {
        return Err(Error::Forbidden { database: database.to_owned(), table: "*".into() });
    }
    let found = view.database(database);
    // the one that everybody has is made by its first row
    if found.is_none() && !database.eq_ignore_ascii_case("default") {
        return Err(Error::TableNotFound { table: format!("{database}.*"), nearest: None });
    }
    let (name, path) = found.map_or(("", ""), |found| (&*found.name, &*found.path));
    let tables = scope.tables_of(database);
    let text = |f: &dyn Fn(&store::view::Table) -> String| -> ArrayRef {
        Arc::new(tables.iter().map(|t| Some(f(t))).collect::<StringArray>())
    };
    let files: ArrayRef = Arc::new(tables.iter().map(|t| t.files.len() as i64).collect::<Int64Array>());
    let sizes: ArrayRef = Arc::new(
        tables
            .iter()
            .map(|t| t.files.iter().map(|f| f.bytes).sum::<u64>() as f64 / f64::from(1 << 20))
            .collect::<Float64Array>(),
    );
    table(
        state,
        vec![
            ("database", text(&|_| name.to_owned())),
            ("table_name", text(&|t| t.info.name.to_string())),
            ("storage_path", text(&|t| format!("{path}{}", t.info.path))),
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

/// The table of the caller that a statement names by its parts.
fn named_table<'a>(scope: &'a Scope, name: &[String]) -> Result<&'a Arc<store::view::Table>, Error> {
    let (owner, wanted) = match name {
        [wanted] => (scope.database.as_str(), wanted),
        [owner, wanted] => (owner.as_str(), wanted),
        _ => return Err(Error::Invalid(format!("{:?} is no name of a table", name.join(".")))),
    };
    scope.check(owner, wanted)?;
    scope.view.table(owner, wanted).ok_or_else(|| not_found(scope, owner, wanted, name.len() > 1))
}

/// `SHOW TAG KEYS | FIELD KEYS [FROM table]`.
fn show_keys(state: &SessionState, scope: &Scope, role: Role, name: Option<&[String]>) -> Result<Planned, Error> {
    let tables = match name {
        Some(name) => vec![named_table(scope, name)?],
        None => scope.tables_of(&scope.database),
    };
    let is_key = |c: &&model::Column| match role {
        // columnar MessagePack does not say which of its columns are tags: what is no tag is a field
        Role::Field => matches!(c.role, Role::Field | Role::None),
        other => c.role == other,
    };
    let keys = || tables.iter().flat_map(|t| t.info.schema.columns().iter().filter(is_key).map(move |c| (t, c)));
    let text = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
    let name = if role == Role::Tag { "tag_key" } else { "field_key" };
    let mut columns = vec![
        ("measurement", text(keys().map(|(t, _)| t.info.name.to_string()).collect())),
        (name, text(keys().map(|(_, c)| c.name.to_string()).collect())),
    ];
    if role != Role::Tag {
        columns.push(("field_type", text(keys().map(|(_, c)| shown_type(&c.ty.arrow())).collect())));
    }
    table(state, columns)
}

/// How many rows a plan gives at most, as statistics have it; where they know nothing of an operator, what goes into
/// it.
fn estimated_rows(plan: &Arc<dyn ExecutionPlan>) -> Result<usize, Error> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())?;
    let rows = match statistics.num_rows.get_value() {
        Some(rows) => *rows,
        None => {
            plan.children().into_iter().try_fold(0, |most, input| Ok::<_, Error>(estimated_rows(input)?.max(most)))?
        }
    };
    // a limit that was pushed into what reads
    Ok(plan.fetch().map_or(rows, |fetch| rows.min(fetch)))
}

/// `DESCRIBE table`: its columns with what tags and fields are, and whether it keeps every row (`append`) or one
/// a point (`last`).
fn describe_table(state: &SessionState, scope: &Scope, name: &[String]) -> Result<Planned, Error> {
    let found = named_table(scope, name)?;
    let known = found.info.schema.columns();
    let mut columns = described(known.iter().map(|c| (c.name.to_string(), shown_type(&c.ty.arrow()))).collect());
    let roles = known.iter().map(|c| Some(c.role.as_str())).collect::<StringArray>();
    columns.push(("role", Arc::new(roles)));
    let mode = found.info.mode.as_str();
    columns.push(("mode", Arc::new(StringArray::from(vec![mode; known.len()]))));
    table(state, columns)
}

/// DuckDB's name of a type.
pub(crate) fn shown_type(ty: &DataType) -> String {
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
    let references = PlannerStatement::Statement(Box::new(statement.clone()));
    let mut stored = HashMap::new();
    let mut hot_rows = 0;
    let (mut tables, mut is_lasting) = (Vec::new(), true);
    for reference in state.resolve_table_references(&references)? {
        let owner = reference.schema().unwrap_or(&scope.database);
        if information::is_meant(&scope.view, owner) {
            is_lasting = false;
            continue;
        }
        let may_be_function = reference.schema().is_none() && guard::TABLE_FUNCTIONS.contains(&reference.table());
        if may_be_function && scope.check(owner, reference.table()).is_err() {
            is_lasting = false;
            continue;
        }
        scope.check(owner, reference.table())?;
        let Some(table) = scope.view.table(owner, reference.table()) else {
            if may_be_function {
                // its arguments may say now()
                is_lasting = false;
                continue;
            }
            return Err(not_found(scope, owner, reference.table(), reference.schema().is_some()));
        };
        tables.push((owner.to_owned(), reference.table().to_owned()));
        if scope.mode == ReadMode::Newest {
            hot_rows += table.hot.rows();
        }
        for column in table.info.schema.columns() {
            stored.entry(fold(&column.name)).or_insert_with(|| column.name.to_string());
        }
    }
    let logical = gapfill::fill(logical(statement, state).await?, state)?;
    is_lasting = is_lasting && !changes_by_itself(&logical)?;
    let logical = state.optimize(&logical)?;
    let state = with_room_for_constants(&logical, state)?;
    let state = &*state;
    let plan = yielding(state.query_planner().create_physical_plan(&logical, state).await?)?;
    let fields: Vec<Field> = plan
        .schema()
        .fields()
        .iter()
        .map(|f| {
            let name = names::shown(f.name(), aliases, &stored).to_owned();
            Field::new(name, f.data_type().clone(), true)
        })
        .collect();
    let identity = scope.statement.filter(|_| is_lasting).and_then(|statement| {
        // a search for the newest rows decides as it goes what it reads
        let reads = (!reads_as_it_goes(&plan)).then_some(&*scope.reads);
        Identity::new(statement, tables, &scope.view, scope.mode, reads)
    });
    Ok(Planned { schema: Arc::new(Schema::new(fields)), plan, context: state.task_ctx(), hot_rows, identity })
}

/// The state for a plan: a constant may stand in every row, so that with a long one the batches are short.
fn with_room_for_constants<'a>(plan: &LogicalPlan, state: &'a SessionState) -> Result<Cow<'a, SessionState>, Error> {
    let mut longest = 1;
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Literal(value, _) = expr {
                    longest = longest.max(value.size());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    // each thread has a batch
    let rows = (MOST_BYTES / state.config().target_partitions() / longest).max(1);
    if rows >= state.config().batch_size() {
        return Ok(Cow::Borrowed(state));
    }
    let mut state = state.clone();
    *state.config_mut() = state.config().clone().with_batch_size(rows);
    Ok(Cow::Owned(state))
}

/// The plan of a statement; what the planner knows as no column may be an alias of the same SELECT.
async fn logical(mut statement: Statement, state: &SessionState) -> Result<LogicalPlan, Error> {
    for _ in 0..limits::SQL_DEPTH {
        let planned = state.statement_to_plan(PlannerStatement::Statement(Box::new(statement.clone()))).await;
        let error = match planned {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let DataFusionError::SchemaError(unknown, _) = error.find_root() else { return Err(error.into()) };
        let SchemaError::FieldNotFound { field, .. } = unknown.as_ref() else { return Err(error.into()) };
        if field.relation.is_some() || !inline_alias(&mut statement, &field.name) {
            return Err(error.into());
        }
    }
    Err(Error::Invalid("aliases of one SELECT name each other too often".into()))
}

/// Whether the same rows may give another answer later: `now()`, `random()` and their like.
fn changes_by_itself(plan: &LogicalPlan) -> Result<bool, Error> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            let is_changing = |e: &Expr| {
                Ok(matches!(e, Expr::ScalarFunction(f) if f.func.signature().volatility != Volatility::Immutable))
            };
            found = found || expr.exists(is_changing)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

fn reads_as_it_goes(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<LatestExec>() || plan.children().into_iter().any(reads_as_it_goes)
}

/// A join or the filling of gaps can make millions of batches from one of its input's, and the engine gives its thread
/// back only where leaves are read: without this a cancelled join would run to its end.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, Error> {
    let wrapped = plan.transform_up(|node| {
        let multiplies = ["Join", "Unnest", "GapFill"].iter().any(|part| node.name().contains(part));
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
pub struct ViewCatalog(pub Arc<Scope>);

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
        if information::is_meant(&self.0.view, name) {
            return Some(Arc::new(information::Information(Arc::clone(&self.0))));
        }
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
        let with_hot = self.scope.mode == ReadMode::Newest;
        let (reads, files) = (Arc::clone(&self.scope.reads), Arc::clone(&self.scope.files));
        let scan = TableScan::recorded(Arc::clone(table), folder, with_hot, reads, files);
        Ok(Some(Arc::new(scan)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.database.tables.contains_key(fold(name).as_str())
    }
}
