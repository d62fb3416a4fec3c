//! Buckets that have no rows, as rows: `GROUP BY time_bucket_gapfill(width, time)`.
//!
//! [`fill`] puts a [`GapFill`] above the aggregate that groups by such buckets (and above its HAVING); it hands each
//! group on with every bucket from where the query begins to where it ends. What the aggregates would say of the
//! buckets that it adds is NULL. Where a query begins and ends is what the function's third and fourth arguments
//! say, else what the WHERE below the aggregate says of the same column, else the group's own first and last bucket.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ScalarValue};
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Expr, Extension, LogicalPlan, Operator, UserDefinedLogicalNode,
    UserDefinedLogicalNodeCore,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use model::limits;

use crate::Error;
use crate::functions::{Steps, timestamp};
use crate::syntax::GAPFILL;

/// The rows that are added.
mod exec;

use exec::GapFillExec;

/// Which buckets there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
struct Buckets {
    /// The column of the buckets; the other columns of the groups stand before and behind it.
    time: usize,
    /// The columns of the groups, which come first.
    groups: usize,
    steps: Steps,
    /// The first bucket; none: the first that a group has.
    start: Option<i64>,
    /// No bucket begins there or later; none: the last that a group has.
    finish: Option<i64>,
}

impl Buckets {
    /// The columns that name a group, but for its bucket.
    fn keys(self) -> impl Iterator<Item = usize> {
        (0..self.groups).filter(move |at| *at != self.time)
    }
}

/// The node that adds what is missing.
#[derive(Debug, PartialEq, Eq, Hash)]
struct GapFill {
    input: LogicalPlan,
    buckets: Buckets,
    /// The input's, but that nothing behind the groups need be there.
    schema: DFSchemaRef,
}

impl PartialOrd for GapFill {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.input, &self.buckets).partial_cmp(&(&other.input, &other.buckets))
    }
}

impl GapFill {
    fn new(input: LogicalPlan, buckets: Buckets) -> Result<Self> {
        let fields = input.schema().iter().enumerate().map(|(at, (qualifier, field))| {
            let is_open = field.is_nullable() || at >= buckets.groups;
            (qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(is_open)))
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), input.schema().metadata().clone())?;
        Ok(Self { input, buckets, schema: Arc::new(schema) })
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        "GapFill"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GapFill: {:?}", self.buckets)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Self::new(inputs.remove(0), self.buckets)
    }
}

/// The plan with its gaps filled.
///
/// # Errors
/// `time_bucket_gapfill` stands elsewhere than in GROUP BY, its width or bounds are no constants, or it would make
/// more buckets than [`limits::GAPFILL_BUCKETS`].
pub fn fill(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan, Error> {
    let (mut failed, mut has_gaps) = (None, false);
    let filled = plan.transform_up_with_subqueries(|node| {
        Ok(match node {
            LogicalPlan::Aggregate(aggregate) => match buckets(&aggregate, state) {
                Ok(None) => Transformed::no(LogicalPlan::Aggregate(aggregate)),
                Ok(Some(buckets)) => {
                    has_gaps = true;
                    Transformed::yes(extension(LogicalPlan::Aggregate(aggregate), buckets)?)
                }
                Err(error) => {
                    failed.get_or_insert(error);
                    Transformed::no(LogicalPlan::Aggregate(aggregate))
                }
            },
            // HAVING asks for what there is, not for what is added
            LogicalPlan::Filter(mut filter) => match gap_fill(&filter.input) {
                None => Transformed::no(LogicalPlan::Filter(filter)),
                Some(GapFill { input, buckets, .. }) => {
                    let buckets = *buckets;
                    filter.input = Arc::new(input.clone());
                    Transformed::yes(extension(LogicalPlan::Filter(filter), buckets)?)
                }
            },
            // what was always there below may be NULL now
            other if has_gaps => Transformed::yes(other.recompute_schema()?),
            other => Transformed::no(other),
        })
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    filled.data.apply_with_subqueries(|node| {
        if !matches!(node, LogicalPlan::Aggregate(_)) {
            node.apply_expressions(|expr| {
                if expr.exists(|e| Ok(call(e).is_some()))? {
                    failed =
                        Some(Error::Invalid(format!("{GAPFILL} is a group: write it in GROUP BY as it is selected")));
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    failed.map_or(Ok(filled.data), Err)
}

fn extension(input: LogicalPlan, buckets: Buckets) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(GapFill::new(input, buckets)?) }))
}

fn gap_fill(plan: &LogicalPlan) -> Option<&GapFill> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    extension.node.as_any().downcast_ref()
}

/// The arguments of the function where an expression is a call of it.
fn call(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::ScalarFunction(function) if function.func.name() == GAPFILL => Some(&function.args),
        _ => None,
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// Which buckets an aggregate asks for; none: it does not.
fn buckets(aggregate: &Aggregate, state: &SessionState) -> Result<Option<Buckets>, Error> {
    let mut all = aggregate.group_expr.iter().enumerate().filter_map(|(i, e)| Some((i, call(unaliased(e))?)));
    let is_hidden = || aggregate.group_expr.iter().any(|e| e.exists(|e| Ok(call(e).is_some())).unwrap_or(false));
    let Some((time, args)) = all.next() else {
        return match is_hidden() {
            true => {
                Err(Error::Invalid(format!("{GAPFILL} is a group of its own: no part of another, no grouping set")))
            }
            false => Ok(None),
        };
    };
    if all.next().is_some() {
        return Err(Error::Invalid(format!("{GAPFILL} stands more than once in GROUP BY")));
    }
    let constant = |expr: &Expr| -> Result<ScalarValue, Error> {
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder()
                .with_query_execution_start_time(state.execution_props().query_execution_start_time)
                .build(),
        );
        match simplifier.simplify(expr.clone())? {
            Expr::Literal(value, _) => Ok(value),
            _ => Err(Error::Invalid(format!("an argument of {GAPFILL} is no constant: {expr}"))),
        }
    };
    let instant = |expr: &Expr| match constant(expr)?.cast_to(&timestamp())? {
        ScalarValue::TimestampMicrosecond(at, _) => Ok::<_, Error>(at),
        _ => Ok(None),
    };
    let steps = Steps::of(&constant(&args[0])?)?;
    let (mut start, mut finish) = match args {
        [_, _, start, finish] => (instant(start)?, instant(finish)?),
        _ => (None, None),
    };
    if let Expr::Column(column) = &args[1] {
        let said = bounds(&aggregate.input, column, &|e| instant(e).ok().flatten());
        (start, finish) = (start.or(said.0), finish.or(said.1));
    }
    let buckets =
        Buckets { time, groups: aggregate.group_expr.len(), steps, start: start.map(|at| steps.bucket(at)), finish };
    if let (Some(start), Some(finish)) = (buckets.start, finish)
        && steps.between(start, finish) > limits::GAPFILL_BUCKETS as u64
    {
        return Err(Error::Invalid(too_many()));
    }
    Ok(Some(buckets))
}

fn too_many() -> String {
    format!("{GAPFILL} fills at most {} buckets of a group; widen them, or narrow the time", limits::GAPFILL_BUCKETS)
}

/// The first instant and the one after the last that the filters of a plan let through in a column.
fn bounds(plan: &LogicalPlan, column: &Column, instant: &dyn Fn(&Expr) -> Option<i64>) -> (Option<i64>, Option<i64>) {
    let below = match plan {
        LogicalPlan::Filter(filter) => {
            let (mut start, mut finish): (Option<i64>, Option<i64>) = bounds(&filter.input, column, instant);
            for condition in split_conjunction(&filter.predicate) {
                let (from, to) = bound(condition, column, instant);
                start = start.max(from);
                finish = match (finish, to) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            return (start, finish);
        }
        LogicalPlan::Sort(sort) => Some((&sort.input, column.clone())),
        LogicalPlan::SubqueryAlias(alias) => {
            let at = alias.schema.index_of_column(column).ok();
            at.map(|at| (&alias.input, Column::from(alias.input.schema().qualified_field(at))))
        }
        LogicalPlan::Projection(projection) => {
            projection.schema.index_of_column(column).ok().and_then(|at| match projection.expr[at].clone().unalias() {
                Expr::Column(below) => Some((&projection.input, below)),
                _ => None,
            })
        }
        _ => None,
    };
    below.map_or((None, None), |(input, column)| bounds(input, &column, instant))
}

/// What one condition says of a column, as [`bounds`].
fn bound(condition: &Expr, column: &Column, instant: &dyn Fn(&Expr) -> Option<i64>) -> (Option<i64>, Option<i64>) {
    let is_it = |expr: &Expr| matches!(expr, Expr::Column(c) if c == column);
    let after = |at: Option<i64>| at.and_then(|at| at.checked_add(1));
    match condition {
        Expr::Between(Between { expr, negated: false, low, high }) if is_it(expr) => {
            (instant(low), after(instant(high)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, other) = match (is_it(left), is_it(right)) {
                (true, false) => (Some(*op), right),
                (false, true) => (op.swap(), left),
                _ => return (None, None),
            };
            match op {
                Some(Operator::GtEq) => (instant(other), None),
                Some(Operator::Gt) => (after(instant(other)), None),
                Some(Operator::Lt) => (None, instant(other)),
                Some(Operator::LtEq) => (None, after(instant(other))),
                Some(Operator::Eq) => (instant(other), after(instant(other))),
                _ => (None, None),
            }
        }
        _ => (None, None),
    }
}

/// Plans what the engine plans, and [`GapFill`].
#[derive(Debug)]
pub struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Planner)]);
        planner.create_physical_plan(plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for Planner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(GapFill { buckets, schema, .. }) = node.as_any().downcast_ref() else { return Ok(None) };
        let schema = Arc::clone(schema.inner());
        Ok(Some(Arc::new(GapFillExec::new(Arc::clone(&inputs[0]), *buckets, schema))))
    }
}
