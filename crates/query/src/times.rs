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

/// What `TIMESTAMP` and `TIMESTAMPTZ` name.
#[derive(Debug)]
pub struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let SqlType::Timestamp(None, zone) = sql_type else { return Ok(None) };
        let zone = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone).then(|| "UTC".into());
        Ok(Some(Arc::new(Field::new("", DataType::Timestamp(TimeUnit::Microsecond, zone), true))))
    }
}

/// Casts texts and dates that are compared with microseconds to microseconds, before the engine's own coercion.
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
                Ok(expr.transform_up(|e| Ok(compared(e, &schema)))?.update_data(|e| name.restore(e)))
            })
        })?;
        Ok(plan.data)
    }
}

/// The same for a condition that is in no plan.
///
/// # Errors
/// The engine's.
pub fn comparisons(condition: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(condition.transform_up(|e| Ok(compared(e, schema)))?.data)
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

fn compared(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    // what has no type yet is for the engine to judge
    let ty = |e: &Expr| e.get_type(schema).ok();
    let unit = |sides: &[&Expr]| {
        let is_time = |t: &DataType| matches!(t, DataType::Timestamp(TimeUnit::Microsecond, _));
        sides.iter().filter_map(|e| ty(e)).find(is_time)
    };
    let as_time = |e: Expr, unit: &DataType| match ty(&e) {
        Some(DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Date32) => cast(e, unit.clone()),
        _ => e,
    };
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            let sides = match unit(&[&*left, &*right]) {
                Some(unit) => [left, right].map(|side| Box::new(as_time(*side, &unit))),
                None => [left, right],
            };
            let [left, right] = sides;
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let sides = match unit(&[&*expr, &*low, &*high]) {
                Some(unit) => [expr, low, high].map(|side| Box::new(as_time(*side, &unit))),
                None => [expr, low, high],
            };
            let [expr, low, high] = sides;
            Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let list = match unit(&[&*expr]) {
                Some(unit) => list.into_iter().map(|e| as_time(e, &unit)).collect(),
                None => list,
            };
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        other => Transformed::no(other),
    }
}
