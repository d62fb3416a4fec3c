use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use datafusion::arrow::compute::{SortOptions, concat_batches, take};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::exec_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexRequirement, OrderingRequirements, PhysicalExpr, PhysicalSortRequirement,
};
use datafusion::physical_plan::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, stream};
use model::limits;

use super::{Buckets, too_many};

/// Rows of one batch that is handed on.
const BATCH_ROWS: usize = 8_192;

/// Hands groups on with the buckets that they lack. It takes its input group by group in the order of time, holds one
/// batch of it at a time, and gives its thread back with each batch.
#[derive(Debug, Clone)]
pub struct GapFillExec {
    input: Arc<dyn ExecutionPlan>,
    buckets: Buckets,
    properties: Arc<PlanProperties>,
}

impl GapFillExec {
    /// `schema` is the input's, but that nothing behind the groups need be there.
    pub fn new(input: Arc<dyn ExecutionPlan>, buckets: Buckets, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, buckets, properties: Arc::new(properties) }
    }

    fn over(&self, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self::new(children.remove(0), self.buckets, self.schema()))
    }
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GapFillExec: {:?}", self.buckets)
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &'static str {
        "GapFillExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let schema = self.input.schema();
        let options = SortOptions { descending: false, nulls_first: false };
        let keys = self.buckets.keys().chain([self.buckets.time]).map(|at| {
            let column = Arc::new(Column::new(schema.field(at).name(), at)) as Arc<dyn PhysicalExpr>;
            PhysicalSortRequirement::new(column, Some(options))
        });
        vec![LexRequirement::new(keys).map(OrderingRequirements::new)]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.over(children))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.over(children))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let input = self.input.execute(0, context)?;
        let filling = Filling::new(self.buckets, Arc::clone(&schema))?;
        let rows = stream::try_unfold((input, filling, false), |(mut input, mut filling, mut is_over)| async move {
            loop {
                if let Some(batch) = filling.next(is_over)? {
                    return Ok(Some((batch, (input, filling, is_over))));
                }
                if is_over {
                    return Ok(None);
                }
                match input.next().await {
                    Some(batch) => filling.push(&batch?)?,
                    None => is_over = true,
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Where the filling stands.
struct Filling {
    buckets: Buckets,
    schema: SchemaRef,
    converter: RowConverter,
    /// The row before and the rows that came last.
    rows: RecordBatch,
    keys: Option<Rows>,
    times: TimestampMicrosecondArray,
    /// The first of them that has not been handed on.
    at: usize,
    /// A row of the group that is being filled; none: nothing has come yet.
    group: Option<usize>,
    /// The bucket that this group has next; none: it cannot have one.
    next: Option<i64>,
    /// Buckets that were added to it.
    added: usize,
}

/// A row to be handed on: its group's, and what it takes of the input, if anything.
struct Row {
    group: u32,
    source: Option<u32>,
    bucket: Option<i64>,
}

impl Filling {
    fn new(buckets: Buckets, schema: SchemaRef) -> Result<Self> {
        let fields = buckets.keys().map(|at| SortField::new(schema.field(at).data_type().clone())).collect();
        Ok(Self {
            buckets,
            converter: RowConverter::new(fields)?,
            rows: RecordBatch::new_empty(Arc::clone(&schema)),
            schema,
            keys: None,
            times: TimestampMicrosecondArray::new_null(0),
            at: 0,
            group: None,
            next: None,
            added: 0,
        })
    }

    /// Takes the next rows of the input; those before have been handed on.
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let before = match self.group {
            Some(group) => self.rows.slice(group, 1),
            None => RecordBatch::new_empty(Arc::clone(&self.schema)),
        };
        self.at = before.num_rows();
        self.group = self.group.map(|_| 0);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?;
        self.rows = concat_batches(&self.schema, [&before, &batch])?;
        let columns: Vec<ArrayRef> = self.buckets.keys().map(|at| Arc::clone(self.rows.column(at))).collect();
        self.keys = (!columns.is_empty()).then(|| self.converter.convert_columns(&columns)).transpose()?;
        self.times = self.rows.column(self.buckets.time).as_primitive::<TimestampMicrosecondType>().clone();
        Ok(())
    }

    /// The next rows; none: there are none before more of the input comes.
    fn next(&mut self, is_over: bool) -> Result<Option<RecordBatch>> {
        let mut rows: Vec<Row> = Vec::new();
        while rows.len() < BATCH_ROWS {
            match self.step(is_over)? {
                Some(row) => rows.push(row),
                None => break,
            }
        }
        if rows.is_empty() { Ok(None) } else { self.batch(&rows).map(Some) }
    }

    fn step(&mut self, is_over: bool) -> Result<Option<Row>> {
        let has_row = self.at < self.rows.num_rows();
        let is_same = match (self.group, &self.keys) {
            (None, _) => false,
            (Some(group), Some(keys)) if has_row => keys.row(group) == keys.row(self.at),
            _ => true,
        };
        if !has_row && !is_over {
            return Ok(None);
        }
        if has_row && is_same {
            let bucket = self.times.is_valid(self.at).then(|| self.times.value(self.at));
            return match (self.next, bucket) {
                (Some(next), Some(bucket)) if next < bucket => {
                    // said before the first of them is handed on
                    let missing = self.buckets.steps.between(next, bucket);
                    if self.added as u64 + missing > limits::GAPFILL_BUCKETS as u64 + 1 {
                        return exec_err!("{}", too_many());
                    }
                    self.add(next).map(Some)
                }
                _ => Ok(Some(self.take(bucket))),
            };
        }
        // the group has no more rows, or there was none
        if let (Some(next), Some(finish)) = (self.next, self.buckets.finish)
            && next < finish
        {
            return self.add(next).map(Some);
        }
        if has_row {
            self.group = Some(self.at);
            self.added = 0;
            let first = self.times.is_valid(self.at).then(|| self.times.value(self.at));
            self.next = first.map(|first| self.buckets.start.map_or(first, |start| start.min(first)));
            return self.step(is_over);
        }
        // without a row at all one group is known: that of everything
        if self.group.is_none() && self.next.is_none() && self.buckets.groups == 1 && self.added == 0 {
            self.next = self.buckets.start.filter(|_| self.buckets.finish.is_some());
            return if self.next.is_some() { self.step(is_over) } else { Ok(None) };
        }
        Ok(None)
    }

    fn add(&mut self, bucket: i64) -> Result<Row> {
        self.added += 1;
        if self.added > limits::GAPFILL_BUCKETS {
            return exec_err!("{}", too_many());
        }
        self.next = self.buckets.steps.after(bucket);
        Ok(Row { group: self.group.unwrap_or_default() as u32, source: None, bucket: Some(bucket) })
    }

    fn take(&mut self, bucket: Option<i64>) -> Row {
        let row = self.at;
        self.at += 1;
        self.group = Some(row);
        self.next = bucket.map_or(self.next, |bucket| self.buckets.steps.after(bucket));
        Row { group: row as u32, source: Some(row as u32), bucket }
    }

    fn batch(&self, rows: &[Row]) -> Result<RecordBatch> {
        let groups: UInt32Array = rows.iter().map(|r| Some(r.group)).collect();
        let sources: UInt32Array = rows.iter().map(|r| r.source).collect();
        let column = |(at, values): (usize, &ArrayRef)| -> Result<ArrayRef> {
            if at == self.buckets.time {
                let DataType::Timestamp(_, zone) = values.data_type() else {
                    return exec_err!("buckets are no times but {}", values.data_type());
                };
                let times: TimestampMicrosecondArray = rows.iter().map(|r| r.bucket).collect();
                return Ok(Arc::new(times.with_timezone_opt(zone.clone())));
            }
            let of = if at < self.buckets.groups { &groups } else { &sources };
            Ok(take(values, of, None)?)
        };
        let columns = self.rows.columns().iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
