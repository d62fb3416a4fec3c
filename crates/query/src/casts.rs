//! Casts of and to texts, and of floats to integers, mean what they mean in DuckDB, whether somebody wrote them or a value
//! stands where a text is wanted.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{AggregateFunction, Cast, TryCast};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF};

use crate::functions::{ROUNDED, to_cast, to_text};

/// Gives one expression its meaning, before the engine's own coercion; whether it was another.
pub fn cast(expr: &mut Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Cast(Cast { expr: of, field }) => cast_of(of, field.data_type(), false, schema),
        Expr::TryCast(TryCast { expr: of, field }) => cast_of(of, field.data_type(), true, schema),
        Expr::ScalarFunction(function) => {
            let make = match function.name() {
                "concat" => part,
                "concat_ws" => text,
                _ => return false,
            };
            function.args.iter_mut().fold(false, |is_other, arg| make(arg, schema) | is_other)
        }
        Expr::AggregateFunction(AggregateFunction { func, params }) if func.name() == "string_agg" => {
            params.args.first_mut().is_some_and(|arg| text(arg, schema))
        }
        _ => false,
    }
}

fn cast_of(of: &mut Expr, to: &DataType, is_tried: bool, schema: &DFSchema) -> bool {
    // floats are rounded once
    let is_rounded = matches!(of, Expr::ScalarFunction(function) if function.name() == ROUNDED);
    put(of, schema, |from| to_cast(from, to, is_tried).filter(|function| !is_rounded || function.name() != ROUNDED))
}

fn text(of: &mut Expr, schema: &DFSchema) -> bool {
    put(of, schema, to_text)
}

/// The same of a part of a longer text, where lists are put together as lists.
fn part(of: &mut Expr, schema: &DFSchema) -> bool {
    put(of, schema, |from| to_text(from).filter(|_| !from.is_list()))
}

/// Puts a function of an expression in its place, where its type asks for one.
fn put(of: &mut Expr, schema: &DFSchema, function: impl Fn(&DataType) -> Option<Arc<ScalarUDF>>) -> bool {
    // what has no type yet is for the engine to judge
    let Some(function) = of.get_type(schema).ok().and_then(|from| function(&from)) else { return false };
    *of = function.call(vec![std::mem::take(of)]);
    true
}
