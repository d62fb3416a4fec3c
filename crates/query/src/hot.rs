use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// Hot rows with the exact count and bounds of time that the store keeps of them: an answer made of
/// these alone reads no row.
#[derive(Debug)]
pub struct HotExec {
    /// The rows in memory.
    pub rows: Arc<dyn ExecutionPlan>,
    statistics: Arc<Statistics>,
}

impl HotExec {
    pub fn new(rows: Arc<dyn ExecutionPlan>, statistics: Statistics) -> Self {
        Self { rows, statistics: Arc::new(statistics) }
    }
}

impl DisplayAs for HotExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HotExec: ")?;
        self.rows.fmt_as(kind, f)
    }
}

impl ExecutionPlan for HotExec {
    fn name(&self) -> &'static str {
        "HotExec"
    }

    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.rows.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.rows.apply_expressions(f)
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

    fn repartitioned(&self, partitions: usize, config: &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let divided = self.rows.repartitioned(partitions, config)?;
        let statistics = Arc::clone(&self.statistics);
        Ok(divided.map(|rows| Arc::new(Self { rows, statistics }) as Arc<dyn ExecutionPlan>))
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match args.partition() {
            None => Ok(Arc::clone(&self.statistics)),
            Some(_) => self.rows.statistics_from_inputs(inputs, args),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.rows.execute(partition, context)
    }
}
