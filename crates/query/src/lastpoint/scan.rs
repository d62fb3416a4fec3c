use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, StringViewArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::{Column, binary, lit};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, execute_stream,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use model::column::TIME;
use parking_lot::Mutex;
use store::view::DataFile;
use tokio::task::JoinSet;

use super::latest::{Latest, Question, true_rows};
use crate::distinct::values_of;
use crate::provider::{TableScan, union};

/// A table of which a query asks only for the latest rows of each series.
#[derive(Debug)]
pub struct LatestScan {
    pub table: Arc<TableScan>,
    /// Columns of the table that name a series; none: the table is one series.
    pub keys: Vec<usize>,
    pub time: usize,
    /// The latest row is wanted for which each of these holds, besides the latest of all.
    pub needs: Vec<Expr>,
    /// Rows for which these are not true do not count.
    pub filters: Vec<Expr>,
}

#[async_trait]
impl TableProvider for LatestScan {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.table.schema();
        let logical = DFSchema::try_from(Arc::clone(&schema))?;
        let physical = |e: Expr| state.create_physical_expr(e, &logical);
        let filter = conjunction(self.filters.iter().cloned()).map(&physical).transpose()?;
        let needs = self.needs.iter().cloned().map(physical).collect::<Result<Vec<_>>>()?;
        let output: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let plan = LatestExec::new(&self.table, self, output, filter, &needs)?;
        Ok(Arc::new(plan))
    }
}

/// Reads hot rows and files, newest first. A file older than every series' latest row is read for
/// its keys alone, and skipped when it holds no series that is still missing.
#[derive(Debug, Clone)]
pub struct LatestExec {
    table: Arc<TableScan>,
    /// Columns of the table that are read: output, keys, time and what predicates need.
    wanted: Vec<usize>,
    /// Columns of the table that show whether a file has a new series: keys, then the filter's.
    key_columns: Vec<usize>,
    key_count: usize,
    question: Question,
    /// Over the table's schema.
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// Positions of the output in `wanted`.
    output: Vec<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// Rows that are read in one go.
#[derive(Debug, Clone)]
enum Part {
    Hot,
    /// The rows of a file from an instant on, or before it; without one all of them.
    File(Arc<DataFile>, Option<Side>),
}

/// One side of an instant (UTC microseconds).
#[derive(Debug, Clone, Copy)]
enum Side {
    From(i64),
    Before(i64),
}

impl Part {
    /// The newest instant that it may hold.
    fn newest(&self) -> i64 {
        match self {
            Part::Hot => i64::MAX,
            Part::File(file, Some(Side::Before(end))) => file.time_max.min(end - 1),
            Part::File(file, _) => file.time_max,
        }
    }
}

/// A file of more rows is read in two parts: merged files hold many rows of each series, sorted by series, so that the
/// newest of them is everywhere in the file.
const DIVIDED_ROWS: u64 = 65_536;
/// Which part of a file's span its newest rows are.
const NEWEST_SHARE: i64 = 64;

/// What became of one part.
enum Read {
    Skipped,
    Rows(Box<Latest>),
    /// Memory ran short: the part and all after it are passed on whole.
    Overflow,
}

impl LatestExec {
    fn new(
        table: &Arc<TableScan>,
        asked: &LatestScan,
        output: Vec<usize>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        needs: &[Arc<dyn PhysicalExpr>],
    ) -> Result<Self> {
        let schema = table.schema();
        let mut wanted = output.clone();
        wanted.extend(&asked.keys);
        wanted.push(asked.time);
        let predicates = needs.iter().chain(&filter);
        wanted.extend(predicates.flat_map(collect_columns).map(|c| c.index()));
        wanted.sort_unstable();
        wanted.dedup();
        let mut key_columns = asked.keys.clone();
        for column in filter.iter().flat_map(collect_columns) {
            if !key_columns.contains(&column.index()) {
                key_columns.push(column.index());
            }
        }
        let at = |column: &usize| wanted.binary_search(column).unwrap_or_default();
        let read = Arc::new(schema.project(&wanted)?);
        let mut all_needs = vec![None];
        for need in needs {
            all_needs.push(Some(reassign_expr_columns(Arc::clone(need), &read)?));
        }
        let question = Question { keys: asked.keys.iter().map(at).collect(), time: at(&asked.time), needs: all_needs };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema.project(&output)?)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self {
            table: Arc::clone(table),
            output: output.iter().map(at).collect(),
            key_count: asked.keys.len(),
            wanted,
            key_columns,
            question,
            filter,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The table's ordinary scan of the same columns: more rows, the same answers above.
    pub fn whole(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<usize> = self.output.iter().map(|at| self.wanted[*at]).collect();
        let plan = self.rest(&self.parts()?, &columns, 1, true)?;
        Ok(Arc::new(CoalescePartitionsExec::new(plan)))
    }

    /// Hot rows, then what files hold, the newest first.
    fn parts(&self) -> Result<Vec<Part>> {
        let mut parts: Vec<Part> = self.table.has_hot().then_some(Part::Hot).into_iter().collect();
        for file in self.table.prune(self.filter.as_ref())? {
            let span = file.time_max.saturating_sub(file.time_min);
            if file.rows < DIVIDED_ROWS || span < NEWEST_SHARE {
                parts.push(Part::File(file, None));
                continue;
            }
            let at = file.time_max - span / NEWEST_SHARE;
            parts.extend([Side::From(at), Side::Before(at)].map(|side| Part::File(Arc::clone(&file), Some(side))));
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.newest()));
        Ok(parts)
    }

    /// What the rows of a part have to be, over the table's schema.
    fn condition(&self, side: Option<Side>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(side) = side else { return Ok(self.filter.clone()) };
        let schema = self.table.schema();
        let (op, at) = match side {
            Side::From(at) => (Operator::GtEq, at),
            Side::Before(at) => (Operator::Lt, at),
        };
        let time = schema.index_of(TIME)?;
        let instant = ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into()));
        let instant = lit(instant.cast_to(schema.field(time).data_type())?);
        let within = binary(Arc::new(Column::new(TIME, time)), op, instant, &schema)?;
        Ok(Some(match &self.filter {
            Some(filter) => binary(within, Operator::And, Arc::clone(filter), &schema)?,
            None => within,
        }))
    }

    /// The rows of `parts`, and more of files of which only one part is among them where `is_exact` is false.
    fn rest(
        &self,
        parts: &[Part],
        columns: &Vec<usize>,
        partitions: usize,
        is_exact: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut whole: Vec<Arc<DataFile>> = Vec::new();
        let mut divided: Vec<(Arc<DataFile>, Side)> = Vec::new();
        let mut with_hot = false;
        for part in parts {
            match part {
                Part::Hot => with_hot = true,
                Part::File(file, None) => whole.push(Arc::clone(file)),
                // both parts of a file are the file
                Part::File(file, Some(side)) => match divided.iter().position(|(known, _)| known.id == file.id) {
                    Some(at) => whole.push(divided.swap_remove(at).0),
                    None => divided.push((Arc::clone(file), *side)),
                },
            }
        }
        let hot = if with_hot { self.table.hot_chunks(None)? } else { Vec::new() };
        let plan = |files: &[Arc<DataFile>], hot: &[_], filter| {
            self.table.rows_plan(files, hot, filter, Some(columns), None, partitions)
        };
        let mut plans = Vec::new();
        if with_hot || !whole.is_empty() || divided.is_empty() {
            plans.push(plan(&whole, &hot, self.filter.clone())?);
        }
        for (file, side) in divided {
            let condition = self.condition(Some(side))?;
            let mut columns_and_time = columns.clone();
            let time = self.table.schema().index_of(TIME)?;
            if is_exact && !columns.contains(&time) {
                columns_and_time.push(time);
            }
            let rows =
                self.table.rows_plan(&[file], &[], condition.clone(), Some(&columns_and_time), None, partitions)?;
            plans.push(match condition.filter(|_| is_exact) {
                None => rows,
                Some(condition) => {
                    let condition = reassign_expr_columns(condition, &rows.schema())?;
                    let rows: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(condition, rows)?);
                    let schema = rows.schema();
                    let kept = (0..columns.len()).map(|at| {
                        let name = schema.field(at).name().clone();
                        (Arc::new(Column::new(&name, at)) as Arc<dyn PhysicalExpr>, name)
                    });
                    Arc::new(ProjectionExec::try_new(kept.collect::<Vec<_>>(), rows)?)
                }
            });
        }
        union(plans)
    }

    /// The rows of one part for which the filter is true, unpacked by as many threads.
    fn filtered(
        &self,
        part: &Part,
        columns: &Vec<usize>,
        context: &Arc<TaskContext>,
        threads: usize,
    ) -> Result<impl Stream<Item = Result<RecordBatch>> + Unpin + use<>> {
        let plan = self.rest(std::slice::from_ref(part), columns, 1, false)?;
        let plan = plan.repartitioned(threads, context.session_config().options())?.unwrap_or(plan);
        let side = if let Part::File(_, side) = part { *side } else { None };
        let filter = self.condition(side)?.map(|f| reassign_expr_columns(f, &plan.schema())).transpose()?;
        let batches = execute_stream(plan, Arc::clone(context))?;
        Ok(batches.map(move |batch| match (&filter, batch?) {
            (Some(filter), batch) => Ok(filter_record_batch(&batch, &true_rows(filter, &batch)?)?),
            (None, batch) => Ok(batch),
        }))
    }

    /// Reads parts in waves of as many as there are threads; returns what was found and the parts
    /// that did not fit into memory.
    async fn read_all(&self, context: &Arc<TaskContext>, held: &MemoryReservation) -> Result<(Latest, Vec<Part>)> {
        let schema = self.table.schema().project(&self.wanted)?;
        let latest = Arc::new(Mutex::new(Latest::new(self.question.clone(), &schema)?));
        let mut parts = self.parts()?;
        let skipped = MetricBuilder::new(&self.metrics).counter("files_skipped", 0);
        let threads = context.session_config().target_partitions();
        let mut done = 0;
        'parts: while done < parts.len() {
            let horizon = latest.lock().horizon();
            let wave = &parts[done..done + wave(&parts[done..], threads)];
            let share = threads.div_ceil(wave.len());
            let mut tasks = JoinSet::new();
            for (i, part) in wave.iter().cloned().enumerate() {
                let (exec, latest, context) = (self.clone(), Arc::clone(&latest), Arc::clone(context));
                let held = held.new_empty();
                tasks.spawn(async move { (i, exec.read(part, horizon, &latest, &context, share, held).await) });
            }
            let mut found: Vec<Option<Read>> = wave.iter().map(|_| None).collect();
            while let Some(joined) = tasks.join_next().await {
                let (i, read) = joined.map_err(|e| DataFusionError::Internal(e.to_string()))?;
                found[i] = Some(read?);
            }
            for read in found {
                match read {
                    Some(Read::Skipped) => {
                        skipped.add(1);
                        done += 1;
                    }
                    Some(Read::Rows(rows)) if held.try_grow(rows.bytes()).is_ok() => {
                        let mut latest = latest.lock();
                        rows.finish()?.iter().try_for_each(|b| latest.absorb(b))?;
                        held.resize(latest.bytes());
                        done += 1;
                    }
                    _ => break 'parts,
                }
            }
        }
        let latest = Arc::into_inner(latest).map(Mutex::into_inner);
        let latest = latest.ok_or_else(|| DataFusionError::Internal("a part is still read".into()))?;
        Ok((latest, parts.split_off(done)))
    }

    async fn read(
        &self,
        part: Part,
        horizon: Option<i64>,
        known: &Mutex<Latest>,
        context: &Arc<TaskContext>,
        threads: usize,
        held: MemoryReservation,
    ) -> Result<Read> {
        if let Part::File(file, _) = &part
            && horizon.is_some_and(|h| part.newest() < h)
            && !self.has_new_series(file, known, context, threads).await?
        {
            return Ok(Read::Skipped);
        }
        let schema = self.table.schema().project(&self.wanted)?;
        let mut found = Latest::new(self.question.clone(), &schema)?;
        let mut batches = self.filtered(&part, &self.wanted, context, threads)?;
        while let Some(batch) = batches.try_next().await? {
            found.absorb(&batch)?;
            if held.try_resize(found.bytes()).is_err() {
                return Ok(Read::Overflow);
            }
        }
        Ok(Read::Rows(Box::new(found)))
    }

    /// The values of a single key of text that a file has, if its dictionaries tell them.
    async fn key_values(&self, file: &Arc<DataFile>) -> Result<Option<RecordBatch>> {
        let [key] = self.key_columns[..self.key_count] else { return Ok(None) };
        if !self.table.is_text_of_rows(key) {
            return Ok(None);
        }
        let values = values_of(&self.table, file, key).await?;
        let schema = Arc::new(self.table.schema().project(&[key])?);
        let batch = |values: HashSet<Option<String>>| {
            let column: StringViewArray = values.into_iter().collect();
            RecordBatch::try_new(schema, vec![Arc::new(column)])
        };
        Ok(values.map(batch).transpose()?)
    }

    /// Of a file in two parts both are looked at: what the newer one has is known.
    async fn has_new_series(
        &self,
        file: &Arc<DataFile>,
        known: &Mutex<Latest>,
        context: &Arc<TaskContext>,
        threads: usize,
    ) -> Result<bool> {
        if let Some(values) = self.key_values(file).await? {
            let is_new = known.lock().has_new_group(&values)?;
            // what is new may not pass the filter: then its rows tell
            if !is_new || self.filter.is_none() {
                return Ok(is_new);
            }
        }
        let keys: Vec<usize> = (0..self.key_count).collect();
        let mut batches = self.filtered(&Part::File(Arc::clone(file), None), &self.key_columns, context, threads)?;
        while let Some(batch) = batches.try_next().await? {
            if known.lock().has_new_group(&batch.project(&keys)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How many of the next parts are read at once: as many as there are threads, but no older part of a file together
/// with its newer one, which may show that it need not be read.
fn wave(parts: &[Part], threads: usize) -> usize {
    let is_after_its_newer = |at: usize| match &parts[at] {
        Part::File(file, Some(Side::Before(_))) => {
            parts[..at].iter().any(|p| matches!(p, Part::File(newer, _) if newer.id == file.id))
        }
        _ => false,
    };
    let most = threads.clamp(1, parts.len());
    (1..most).find(|at| is_after_its_newer(*at)).unwrap_or(most)
}

impl DisplayAs for LatestExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.table.schema();
        let keys: Vec<&str> =
            self.question.keys.iter().map(|at| schema.field(self.wanted[*at]).name().as_str()).collect();
        write!(f, "LatestExec: by=[{}], needs={}", keys.join(", "), self.question.needs.len())
    }
}

impl ExecutionPlan for LatestExec {
    fn name(&self) -> &'static str {
        "LatestExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.filter.iter().chain(self.question.needs.iter().flatten()) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let exec = self.clone();
        let held = MemoryConsumer::new("LatestExec").register(context.memory_pool());
        let schema = self.schema();
        let found = async move {
            let (latest, rest) = exec.read_all(&context, &held).await?;
            let rows = latest.finish()?.into_iter().map(|b| Ok(b.project(&exec.output)?));
            let rows = stream::iter(rows.collect::<Vec<Result<_>>>());
            if rest.is_empty() {
                return Ok::<_, DataFusionError>(rows.chain(stream::empty().boxed()));
            }
            let columns: Vec<usize> = exec.output.iter().map(|at| exec.wanted[*at]).collect();
            let plan = exec.rest(&rest, &columns, context.session_config().target_partitions(), true)?;
            let plan = Arc::new(CoalescePartitionsExec::new(plan));
            Ok(rows.chain(execute_stream(plan, context)?.boxed()))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(found).try_flatten())))
    }
}
