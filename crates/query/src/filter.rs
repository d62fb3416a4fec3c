use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNode;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use model::ColumnId;
use model::column::TIME;
use sqlparser::ast::{Expr as SqlExpr, ExprWithAlias, Query, Visit, Visitor};
use store::rewrite::{Judged, RowFilter};
use store::view::Table;

use crate::provider::TableScan;
use crate::{Error, syntax, times};

/// A condition over one table, as `WHERE` takes it, with SQL's three-valued logic.
#[derive(Debug)]
pub struct SqlFilter {
    /// Over the table's columns as the engine sees them.
    condition: Arc<dyn PhysicalExpr>,
    /// Over the columns that it reads, in the order of `columns`.
    narrow: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    columns: Vec<ColumnId>,
    /// True for rows that the condition does not mean; only where no NULL can come between.
    survives: Option<Arc<dyn PhysicalExpr>>,
}

impl SqlFilter {
    /// # Errors
    /// The text is no condition over this table alone: syntax, an unknown column, a subquery, an
    /// aggregate, a function that answers anew for each row.
    pub(crate) fn new(state: &SessionState, table: &Arc<Table>, text: &str) -> Result<Self, Error> {
        let parsed = syntax::parse_condition(text)?;
        if let ControlFlow::Break(()) = parsed.visit(&mut Subqueries) {
            return Err(Error::Unsupported {
                what: "a subquery in a condition".into(),
                instead: "ask for the values first and name them".into(),
            });
        }
        let scan = TableScan::new(Arc::clone(table), String::new(), false);
        let schema = datafusion::catalog::TableProvider::schema(&scan);
        let logical = DFSchema::try_from(Arc::clone(&schema))?;
        let expr = state.create_logical_expr_from_sql_expr(ExprWithAlias { expr: parsed, alias: None }, &logical)?;
        let gathers = |e: &Expr| Ok(matches!(e, Expr::AggregateFunction(_) | Expr::WindowFunction(_)));
        if expr.exists(gathers)? {
            return Err(Error::Unsupported {
                what: "an aggregate or window function in a condition".into(),
                instead: "a condition is about one row".into(),
            });
        }
        if expr.is_volatile() {
            return Err(Error::Unsupported {
                what: "a function that answers anew for each row".into(),
                instead: "a condition must mean the same rows each time it is read".into(),
            });
        }
        // now() is one instant, in statistics and rows alike
        let instant = state.execution_props().query_execution_start_time;
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(logical.clone()))
            .with_config_options(Arc::clone(state.config_options()))
            .with_query_execution_start_time(instant)
            .build();
        let simplifier = ExprSimplifier::new(context);
        let expr = times::comparisons(expr, &logical)?.data;
        let expr = simplifier.simplify(simplifier.coerce(expr, &logical)?)?;
        let physical = |expr: Expr| Ok::<_, Error>(state.create_physical_expr(expr, &logical)?);
        let condition = physical(expr.clone())?;
        let mut read: Vec<usize> = collect_columns(&condition).iter().map(|c| c.index()).collect();
        read.sort_unstable();
        let narrow_schema = Arc::new(schema.project(&read).map_err(|e| Error::Internal(e.to_string()))?);
        let narrow = reassign_expr_columns(Arc::clone(&condition), &narrow_schema)?;
        let is_boolean = narrow.data_type(&narrow_schema)? == datafusion::arrow::datatypes::DataType::Boolean;
        if !is_boolean {
            return Err(Error::Unsupported {
                what: format!("a condition that is {}, not true or false", narrow.data_type(&narrow_schema)?),
                instead: "compare it with something".into(),
            });
        }
        let of_time = narrow_schema.fields().iter().all(|f| f.name() == TIME);
        let survives = if of_time { Some(physical(!expr)?) } else { None };
        let stored = table.info.schema.columns();
        let columns = read.iter().map(|at| stored[*at].id).collect();
        Ok(Self { condition, narrow, schema: narrow_schema, columns, survives })
    }
}

struct Subqueries;

impl Visitor for Subqueries {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<()> {
        match expr {
            SqlExpr::Subquery(_) | SqlExpr::Exists { .. } | SqlExpr::InSubquery { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn refused(error: impl std::fmt::Display) -> store::Error {
    store::Error::Refused(format!("the condition cannot be evaluated: {error}"))
}

impl RowFilter for SqlFilter {
    fn judge(&self, table: &Arc<Table>) -> store::Result<Vec<Judged>> {
        let scan = TableScan::new(Arc::clone(table), String::new(), false);
        let ids = |condition: &Arc<dyn PhysicalExpr>| -> store::Result<HashSet<u64>> {
            Ok(scan.prune(Some(condition)).map_err(refused)?.iter().map(|f| f.id).collect())
        };
        let may_match = ids(&self.condition)?;
        let may_survive = self.survives.as_ref().map(ids).transpose()?;
        let judge = |file: u64| match &may_survive {
            _ if !may_match.contains(&file) => Judged::Kept,
            Some(survivors) if !survivors.contains(&file) => Judged::Whole,
            _ => Judged::Read,
        };
        Ok(table.files.iter().map(|f| judge(f.id)).collect())
    }

    fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    fn mask(&self, batch: &RecordBatch) -> store::Result<BooleanArray> {
        let arrays = batch.columns().iter().zip(self.schema.fields());
        let arrays = arrays.map(|(array, field)| cast(array, field.data_type())).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let schema: Arc<Schema> = Arc::clone(&self.schema);
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options)?;
        let value = self.narrow.evaluate(&batch).map_err(refused)?;
        let array = value.into_array(batch.num_rows()).map_err(refused)?;
        Ok(as_boolean_array(&array).map_err(refused)?.clone())
    }
}
