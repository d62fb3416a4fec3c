use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{case, col, is_null, lit};
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, execute_stream,
};
use futures::{StreamExt, TryStreamExt, stream};
use model::column::{TIME, TIME_NS};
use store::points::Points;

/// `time_ns` with zero for null; no name of a column holds a dot in front.
const NS: &str = ".time_ns";
/// The order of the log among hot rows.
const SEQUENCE: &str = ".sequence";

/// The order of the rows of a `last` table: tags, `time`, `time_ns`, each ascending with null first.
#[derive(Debug, Clone)]
pub struct PointOrder {
    /// Names of the tags in the order of files.
    pub tags: Vec<String>,
    pub has_ns: bool,
}

impl PointOrder {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(String::as_str).chain([TIME]).chain(self.has_ns.then_some(NS))
    }

    fn ordering<'a>(&'a self, schema: &Schema, more: impl IntoIterator<Item = &'a str>) -> Result<LexOrdering> {
        let options = SortOptions { descending: false, nulls_first: true };
        let keys = self.names().chain(more).map(|name| Ok(PhysicalSortExpr { expr: col(name, schema)?, options }));
        LexOrdering::new(keys.collect::<Result<Vec<_>>>()?)
            .ok_or_else(|| DataFusionError::Internal("an order without keys".into()))
    }

    /// The columns of `rows` and, behind them, `time_ns` without nulls.
    fn with_ns(&self, rows: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if !self.has_ns {
            return Ok(rows);
        }
        let schema = rows.schema();
        let mut columns = schema
            .fields()
            .iter()
            .map(|f| Ok((col(f.name(), &schema)?, f.name().clone())))
            .collect::<Result<Vec<(Arc<dyn PhysicalExpr>, String)>>>()?;
        let ns = col(TIME_NS, &schema)?;
        let zero = lit(ScalarValue::Int16(Some(0)));
        columns.push((case(None, vec![(is_null(Arc::clone(&ns))?, zero)], Some(ns))?, NS.to_owned()));
        Ok(Arc::new(ProjectionExec::try_new(columns, rows)?))
    }

    /// One file, whose rows stand in the order of its sort key.
    pub fn file(&self, rows: Arc<dyn ExecutionPlan>, is_sorted: bool) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.with_ns(rows)?;
        match is_sorted {
            true => Ok(rows),
            // each point is there once, so that the sort need not be stable
            false => Ok(Arc::new(SortExec::new(self.ordering(&rows.schema(), [])?, rows))),
        }
    }

    /// Hot rows, which stand in the order of the log.
    pub fn hot(
        &self,
        batches: Vec<RecordBatch>,
        schema: &SchemaRef,
        predicate: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut fields = schema.fields().to_vec();
        fields.push(Arc::new(Field::new(SEQUENCE, DataType::UInt64, false)));
        let numbered = Arc::new(Schema::new(fields));
        let mut next = 0;
        let number = |batch: RecordBatch| {
            let numbers = UInt64Array::from_iter_values(next..next + batch.num_rows() as u64);
            next += batch.num_rows() as u64;
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(numbers) as ArrayRef);
            Ok(RecordBatch::try_new(Arc::clone(&numbered), columns)?)
        };
        let batches = batches.into_iter().map(number).collect::<Result<Vec<_>>>()?;
        let mut rows: Arc<dyn ExecutionPlan> =
            MemorySourceConfig::try_new_exec(&[batches], Arc::clone(&numbered), None)?;
        if let Some(predicate) = predicate {
            let predicate = reassign_expr_columns(Arc::clone(predicate), &numbered)?;
            rows = Arc::new(FilterExec::try_new(predicate, rows)?);
        }
        let rows = self.with_ns(rows)?;
        let ordering = self.ordering(&rows.schema(), [SEQUENCE])?;
        let sorted: Arc<dyn ExecutionPlan> = Arc::new(SortExec::new(ordering, rows));
        let schema = sorted.schema();
        let kept = schema.fields().iter().filter(|f| f.name() != SEQUENCE);
        let kept = kept.map(|f| Ok((col(f.name(), &schema)?, f.name().clone()))).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(kept, sorted)?))
    }

    /// Runs of one group, in the order of the log, as one; of equal rows the earlier run's are first.
    pub fn merged(&self, mut runs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if runs.len() == 1 {
            return Ok(runs.remove(0));
        }
        let ordering = self.ordering(&runs[0].schema(), [])?;
        let runs = UnionExec::try_new(runs)?;
        // without it equal rows come from their runs by turns
        Ok(Arc::new(SortPreservingMergeExec::new(ordering, runs).with_round_robin_repartition(false)))
    }
}

/// One row a point of sorted versions. No predicate on fields and no limit may pass below: the version
/// that they let through would not be the point.
#[derive(Debug)]
pub struct PointsExec {
    order: PointOrder,
    /// Points of one group are in no other.
    groups: Vec<Arc<dyn ExecutionPlan>>,
    /// Positions of the columns that are asked for.
    output: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl PointsExec {
    pub fn try_new(
        order: PointOrder,
        groups: Vec<Arc<dyn ExecutionPlan>>,
        output: Vec<usize>,
        partitions: usize,
    ) -> Result<Self> {
        let schema = Arc::new(groups[0].schema().project(&output)?);
        let count = partitions.clamp(1, groups.len());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(count),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { order, groups, output, properties: Arc::new(properties) })
    }
}

impl DisplayAs for PointsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PointsExec: groups={}, order=[{}]",
            self.groups.len(),
            self.order.names().collect::<Vec<_>>().join(", ")
        )
    }
}

impl ExecutionPlan for PointsExec {
    fn name(&self) -> &'static str {
        "PointsExec"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(self.properties.eq_properties.schema())
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// None that a rule may change: each group stands in the order that it needs.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
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

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let count = self.properties.output_partitioning().partition_count();
        let groups: Vec<_> = self.groups.iter().skip(partition).step_by(count).cloned().collect();
        let schema = groups[0].schema();
        let keys = self.order.tags.iter().map(String::as_str).chain([TIME]);
        let keys = keys.map(|name| Ok(schema.index_of(name)?)).collect::<Result<Vec<_>>>()?;
        let ns = self.order.has_ns.then(|| schema.index_of(NS)).transpose()?;
        let output = self.output.clone();
        let rows = stream::iter(groups).map(move |group| {
            let mut points = Points::new(keys.clone(), ns);
            let versions = execute_stream(group, Arc::clone(&context))?;
            let whole = versions.map_ok(Some).chain(stream::once(async { Ok(None) })).map(move |batch| match batch? {
                Some(batch) => points.push(&batch).map_err(|e| DataFusionError::External(e.into())),
                None => Ok(points.finish().into_iter().collect()),
            });
            Ok::<_, DataFusionError>(whole.map_ok(|batches| stream::iter(batches).map(Ok)).try_flatten())
        });
        let rows = rows.try_flatten().and_then(move |batch| {
            let projected = batch.project(&output).map_err(DataFusionError::from);
            async move { projected }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
