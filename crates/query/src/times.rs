//! SQL's `TIMESTAMP` is microseconds, as in DuckDB: from the first to the last day that has a name. The engine's own is
//! nanoseconds, of the years 1677 to 2262, and it takes what is compared with a time for one.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::catalog::{TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue, config::ConfigOptions};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, cast, col};
use datafusion::optimizer::AnalyzerRule;
use sqlparser::ast::{DataType as SqlType, TimezoneInfo};

use crate::casts;
use crate::functions::{is_text, naive, timestamp};

/// What `TIMESTAMP` and `TIMESTAMPTZ` name.
#[derive(Debug)]
pub struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let SqlType::Timestamp(None, zone) = sql_type else { return Ok(None) };
        let is_instant = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
        Ok(Some(Arc::new(Field::new("", if is_instant { timestamp() } else { naive() }, true))))
    }
}

/// Casts texts and dates that are compared with microseconds to microseconds, and gives every cast its meaning, before the
/// engine's own coercion.
#[derive(Debug)]
pub struct Comparisons;

impl AnalyzerRule for Comparisons {
    fn name(&self) -> &str {
        "comparisons_of_times"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(comparisons(expr, &schema)?.update_data(|e| name.restore(e)))
            })
        })?;
        Ok(plan.data)
    }
}

/// The same for one expression over columns of `schema`.
///
/// # Errors
/// The engine's.
pub fn comparisons(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|mut expr| {
        let is_other = compare(&mut expr, schema) | casts::cast(&mut expr, schema);
        Ok(Transformed::new_transformed(expr, is_other))
    })
}

/// A series of times, whose ends the engine takes as nanoseconds alone, with its values as microseconds.
#[derive(Debug)]
pub struct Series(pub Arc<TableFunction>);

impl TableFunctionImpl for Series {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let as_nanoseconds = |expr: &Expr| match expr {
            Expr::Literal(ScalarValue::TimestampMicrosecond(us, zone), metadata) => {
                let us = ScalarValue::TimestampMicrosecond(*us, zone.clone());
                let ns = us.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?;
                Ok(Expr::Literal(ns, metadata.clone()))
            }
            _ => Ok(expr.clone()),
        };
        let ends = args.exprs().iter().map(as_nanoseconds).collect::<Result<Vec<_>>>()?;
        let table = self.0.create_table_provider_with_args(TableFunctionArgs::new(&ends, args.session()))?;
        let schema = table.schema();
        let DataType::Timestamp(TimeUnit::Nanosecond, zone) = schema.field(0).data_type() else { return Ok(table) };
        let name = schema.field(0).name();
        let value = cast(col(name), DataType::Timestamp(TimeUnit::Microsecond, zone.clone())).alias(name);
        let plan = LogicalPlanBuilder::scan("series", provider_as_source(table), None)?.project([value])?.build()?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

fn compares(op: Operator) -> bool {
    use Operator::*;
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Casts the sides of one comparison; whether there was something to cast them to.
fn compare(expr: &mut Expr, schema: &DFSchema) -> bool {
    // what has no type yet is for the engine to judge
    let ty = |e: &Expr| e.get_type(schema).ok();
    let make = |e: &mut Expr, time: &DataType| {
        if ty(e).is_some_and(|ty| is_text(&ty) || ty == DataType::Date32 && *time != DataType::Date32) {
            *e = cast(std::mem::take(e), time.clone());
            casts::cast(e, schema);
        }
    };
    // of the first so many sides one is a time that all are made to, else a date
    let make_all = |mut sides: Vec<&mut Expr>, judges: usize| {
        let types: Vec<DataType> = sides[..judges].iter().filter_map(|e| ty(e)).collect();
        let time = types.iter().find(|t| matches!(t, DataType::Timestamp(TimeUnit::Microsecond, _)));
        let Some(time) = time.or_else(|| types.iter().find(|t| **t == DataType::Date32)) else { return false };
        sides.iter_mut().for_each(|e| make(e, time));
        true
    };
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => make_all(vec![left, right], 2),
        Expr::Between(Between { expr, low, high, .. }) => make_all(vec![expr, low, high], 3),
        Expr::InList(InList { expr, list, .. }) => make_all([&mut **expr].into_iter().chain(list).collect(), 1),
        _ => false,
    }
}
