use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment, Sort as SortExpr, WindowFunction};
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, Filter, LogicalPlan, Operator, Sort, TableScan as Scan};
use datafusion::optimizer::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use model::column::TIME;

use super::scan::LatestScan;
use crate::provider::table_of;

/// The needs of one question besides the latest row of all: a bit each in a word.
const MAX_NEEDS: usize = 63;

/// Puts a [`LatestScan`] below what asks only for the latest rows of each series.
#[derive(Debug)]
pub struct Lastpoint;

impl OptimizerRule for Lastpoint {
    fn name(&self) -> &str {
        "lastpoint"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let changed = match &plan {
            LogicalPlan::Filter(filter) => first_of_ranked(filter)?,
            LogicalPlan::Aggregate(aggregate) => last_of_groups(aggregate)?,
            LogicalPlan::Sort(sort) => newest_one(sort)?,
            _ => None,
        };
        Ok(changed.map_or_else(|| Transformed::no(plan), Transformed::yes))
    }
}

/// What is asked of the rows below a node, in that node's input columns.
#[derive(Debug, Clone)]
struct Asked {
    keys: Vec<Expr>,
    time: Expr,
    needs: Vec<Expr>,
    filters: Vec<Expr>,
}

impl Asked {
    /// The same question in other columns.
    fn map(&self, column: &dyn Fn(&Column) -> Result<Expr>) -> Result<Self> {
        let one = |e: &Expr| {
            let mapped = e.clone().transform(|e| match e {
                Expr::Column(c) => Ok(Transformed::yes(column(&c)?)),
                other => Ok(Transformed::no(other)),
            });
            mapped.map(|t| t.data)
        };
        let all = |list: &[Expr]| list.iter().map(one).collect::<Result<Vec<_>>>();
        Ok(Self {
            keys: all(&self.keys)?,
            time: one(&self.time)?,
            needs: all(&self.needs)?,
            filters: all(&self.filters)?,
        })
    }
}

/// `row_number() OVER (PARTITION BY keys ORDER BY time DESC) = 1`, also `rank` and `dense_rank`.
fn first_of_ranked(filter: &Filter) -> Result<Option<LogicalPlan>> {
    let ranked = split_conjunction(&filter.predicate).into_iter().find_map(is_first);
    let Some(rank) = ranked else { return Ok(None) };
    let Some(input) = below_window(&filter.input, rank)? else { return Ok(None) };
    Ok(Some(LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?)))
}

/// The column that a predicate says is the first.
fn is_first(predicate: &Expr) -> Option<&Column> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = predicate else { return None };
    let (Expr::Column(column), Expr::Literal(value, _)) = (left.as_ref(), right.as_ref()) else { return None };
    let number = match value {
        ScalarValue::UInt64(Some(n)) => i64::try_from(*n).ok()?,
        ScalarValue::Int64(Some(n)) => *n,
        _ => return None,
    };
    matches!((op, number), (Operator::Eq | Operator::LtEq, 1) | (Operator::Lt, 2)).then_some(column)
}

/// Finds the window that makes `rank` and asks for less below it.
fn below_window(plan: &LogicalPlan, rank: &Column) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Window(window) => {
            let mut spec: Option<(&Vec<Expr>, &Vec<SortExpr>)> = None;
            for expr in &window.window_expr {
                let Some(found) = ranking(expr) else { return Ok(None) };
                if spec.is_some_and(|s| s != found) {
                    return Ok(None);
                }
                spec = Some(found);
            }
            let made_here = window.input.schema().index_of_column(rank).is_err();
            let Some((keys, order)) = spec.filter(|_| made_here) else { return Ok(None) };
            let Some(newest) = order.first().filter(|s| !s.asc) else { return Ok(None) };
            let asked = Asked { keys: keys.clone(), time: newest.expr.clone(), needs: Vec::new(), filters: Vec::new() };
            replaced(plan, reduced(&window.input, asked)?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let below = Column::from(alias.input.schema().qualified_field(alias.schema.index_of_column(rank)?));
            replaced(plan, below_window(&alias.input, &below)?)
        }
        LogicalPlan::Projection(projection) => {
            let made = projection.expr[projection.schema.index_of_column(rank)?].clone().unalias();
            let Expr::Column(below) = made else { return Ok(None) };
            replaced(plan, below_window(&projection.input, &below)?)
        }
        LogicalPlan::Filter(filter) => replaced(plan, below_window(&filter.input, rank)?),
        _ => Ok(None),
    }
}

/// Partition and order of a ranking function.
fn ranking(expr: &Expr) -> Option<(&Vec<Expr>, &Vec<SortExpr>)> {
    let inner = match expr {
        Expr::Alias(alias) => &alias.expr,
        other => other,
    };
    let Expr::WindowFunction(function) = inner else { return None };
    let WindowFunction { fun, params } = function.as_ref();
    let known = matches!(fun.name(), "row_number" | "rank" | "dense_rank");
    (known && params.filter.is_none()).then_some((&params.partition_by, &params.order_by))
}

/// Aggregates by tags that look at the row of greatest time alone.
fn last_of_groups(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let Aggregate { input, group_expr, aggr_expr, schema: _, .. } = aggregate;
    let mut time = None;
    let mut needs = Vec::new();
    for expr in aggr_expr {
        let Some((of, need)) = looks_at_last(expr, group_expr) else { return Ok(None) };
        if time.as_ref().is_some_and(|t| *t != of) {
            return Ok(None);
        }
        time = Some(of);
        needs.extend(need);
    }
    needs.dedup();
    let Some(time) = time.filter(|_| needs.len() <= MAX_NEEDS) else { return Ok(None) };
    // the greatest time of a whole table is known without reading a row
    if group_expr.is_empty() && needs.is_empty() && !matches!(input.as_ref(), LogicalPlan::Filter(_)) {
        return Ok(None);
    }
    let asked = Asked { keys: group_expr.clone(), time, needs, filters: Vec::new() };
    let Some(input) = reduced(input, asked)? else { return Ok(None) };
    let changed = Aggregate::try_new_with_schema(
        Arc::new(input),
        group_expr.clone(),
        aggr_expr.clone(),
        Arc::clone(&aggregate.schema),
    )?;
    Ok(Some(LogicalPlan::Aggregate(changed)))
}

/// The column by which an aggregate takes the greatest row, and for which rows it does.
fn looks_at_last(expr: &Expr, groups: &[Expr]) -> Option<(Expr, Option<Expr>)> {
    let inner = match expr {
        Expr::Alias(alias) => &alias.expr,
        other => other,
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = inner else { return None };
    let argument = params.args.first()?;
    // within a group the grouping columns do not order anything
    let order = params.order_by.iter().find(|s| !groups.contains(&s.expr));
    let (time, ignores_nulls) = match (func.name(), order) {
        ("max", _) => (argument.clone(), false),
        ("first_value", Some(order)) if !order.asc => {
            (order.expr.clone(), params.null_treatment == Some(NullTreatment::IgnoreNulls))
        }
        ("last_value", Some(order)) if order.asc => {
            (order.expr.clone(), params.null_treatment == Some(NullTreatment::IgnoreNulls))
        }
        _ => return None,
    };
    let not_null = ignores_nulls.then(|| argument.clone().is_not_null());
    let need = conjunction(not_null.into_iter().chain(params.filter.as_deref().cloned()));
    Some((time, need))
}

/// `ORDER BY time DESC LIMIT 1`.
fn newest_one(sort: &Sort) -> Result<Option<LogicalPlan>> {
    let (Some(first), Some(1)) = (sort.expr.first().filter(|s| !s.asc), sort.fetch) else { return Ok(None) };
    let asked = Asked { keys: Vec::new(), time: first.expr.clone(), needs: Vec::new(), filters: Vec::new() };
    let Some(input) = reduced(&sort.input, asked)? else { return Ok(None) };
    Ok(Some(LogicalPlan::Sort(Sort { expr: sort.expr.clone(), input: Arc::new(input), fetch: sort.fetch })))
}

/// The plan with the table below replaced; none where something between changes which rows there are.
fn reduced(plan: &LogicalPlan, mut asked: Asked) -> Result<Option<LogicalPlan>> {
    let is_plain = asked.keys.iter().chain([&asked.time]).all(|e| matches!(e, Expr::Column(_)));
    if !is_plain || asked.filters.iter().chain(&asked.needs).any(depends) {
        return Ok(None);
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let asked = asked.map(&|c| Ok(projection.expr[projection.schema.index_of_column(c)?].clone().unalias()))?;
            replaced(plan, reduced(&projection.input, asked)?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = alias.input.schema();
            let asked = asked
                .map(&|c| Ok(Expr::Column(Column::from(input.qualified_field(alias.schema.index_of_column(c)?)))))?;
            replaced(plan, reduced(&alias.input, asked)?)
        }
        LogicalPlan::Filter(filter) => {
            asked.filters.push(filter.predicate.clone());
            replaced(plan, reduced(&filter.input, asked)?)
        }
        LogicalPlan::TableScan(scan) => replaced_table(scan, asked),
        _ => Ok(None),
    }
}

/// Whether a predicate says something else each time or looks elsewhere.
fn depends(expr: &Expr) -> bool {
    expr.is_volatile()
        || expr.exists(|e| Ok(matches!(e, Expr::OuterReferenceColumn(..)) || e.contains_outer())).unwrap_or(true)
}

fn replaced_table(scan: &Scan, asked: Asked) -> Result<Option<LogicalPlan>> {
    let Some(table) = table_of(scan) else { return Ok(None) };
    let schema = datafusion::catalog::TableProvider::schema(table.as_ref());
    let position = |e: &Expr| match e {
        Expr::Column(column) => schema.index_of(&column.name).ok(),
        _ => None,
    };
    let keys: Option<Vec<usize>> = asked.keys.iter().map(position).collect();
    let (Some(keys), Some(time)) = (keys, position(&asked.time)) else { return Ok(None) };
    // the newest version of a point is not the point
    if scan.fetch.is_some() || schema.field(time).name() != TIME || table.has_versions() {
        return Ok(None);
    }
    let plain = |list: Vec<Expr>| list.into_iter().map(unnormalize_col).collect::<Vec<_>>();
    let latest = LatestScan { table, keys, time, needs: plain(asked.needs), filters: plain(asked.filters) };
    let source = provider_as_source(Arc::new(latest));
    Ok(Some(LogicalPlan::TableScan(Scan { source, ..scan.clone() })))
}

fn replaced(plan: &LogicalPlan, input: Option<LogicalPlan>) -> Result<Option<LogicalPlan>> {
    input.map(|input| plan.with_new_exprs(plan.expressions(), vec![input])).transpose()
}
