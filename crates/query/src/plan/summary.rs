use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::collect;
use sqlparser::ast::{CastKind, DataType as SqlType, Expr, Ident, SelectItem, Statement, TableFactor, Value};

use super::{Planned, Scope, plan, shown_type, table};
use crate::Error;
use crate::syntax::{Ask, Kind, call, parse, select_of};

/// Figures of one column, in the order of the answer's columns behind name and type; those from the fourth on are of
/// numbers alone.
const FIGURES: usize = 9;

/// `SUMMARIZE`: one pass of aggregates over the answer, then a row a column, named as DuckDB names them.
pub(super) async fn of(
    query: Statement,
    state: &SessionState,
    scope: &Scope,
    aliases: &HashMap<String, String>,
) -> Result<Planned, Error> {
    let described = plan(query.clone(), state, scope, aliases).await?;
    let (shown, inner) = (described.schema, described.plan.schema());
    let figures = inner.fields().iter().flat_map(|f| figures(f.name(), f.data_type()));
    let figures = figures.chain([call("count", vec![Expr::value(Value::Number("1".into(), false))])]).collect();
    let aggregated = plan(over(query, figures)?, state, scope, aliases).await?;
    let batches = collect(aggregated.plan, aggregated.context).await?;
    let row = batches.iter().find(|b| b.num_rows() == 1);
    let row = row.ok_or_else(|| Error::Internal("an aggregate of everything gave no row".into()))?;
    let count = |array: &ArrayRef| -> Result<i64, Error> {
        let array = cast(array, &DataType::Int64).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(array.as_primitive::<Int64Type>().value(0))
    };
    let all = count(row.column(row.num_columns() - 1))?;
    let text = |place: usize| -> Result<ArrayRef, Error> {
        let values = (0..shown.fields().len()).map(|i| {
            let array = cast(row.column(i * FIGURES + place), &DataType::Utf8);
            let array = array.map_err(|e| Error::Internal(e.to_string()))?;
            Ok(array.is_valid(0).then(|| array.as_string::<i32>().value(0).to_owned()))
        });
        Ok(Arc::new(values.collect::<Result<StringArray, Error>>()?))
    };
    let counts = |place: usize| {
        (0..shown.fields().len()).map(|i| count(row.column(i * FIGURES + place))).collect::<Result<Vec<_>, _>>()
    };
    let filled = counts(8)?;
    let nulls = filled.iter().map(|n| if all == 0 { None } else { Some((all - n) as f64 * 100.0 / all as f64) });
    let nulls = nulls.map(|p| p.map(|p| (p * 100.0).round() / 100.0)).collect::<Float64Array>();
    let names = shown.fields().iter().map(|f| Some(f.name().clone())).collect::<StringArray>();
    let types = shown.fields().iter().map(|f| Some(shown_type(f.data_type()))).collect::<StringArray>();
    table(
        state,
        vec![
            ("column_name", Arc::new(names)),
            ("column_type", Arc::new(types)),
            ("min", text(0)?),
            ("max", text(1)?),
            ("approx_unique", Arc::new(Int64Array::from(counts(2)?))),
            ("avg", text(3)?),
            ("std", text(4)?),
            ("q25", text(5)?),
            ("q50", text(6)?),
            ("q75", text(7)?),
            ("count", Arc::new(Int64Array::from(vec![all; shown.fields().len()]))),
            ("null_percentage", Arc::new(nulls)),
        ],
    )
}

/// Minimum, maximum, distinct values, average, deviation, three quartiles, and values that are there.
fn figures(name: &str, ty: &DataType) -> [Expr; FIGURES] {
    let column = || Expr::Identifier(Ident::with_quote('"', name));
    let text = |expr| Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: SqlType::Varchar(None),
        array: false,
        format: None,
    };
    let number = |expr: Expr| if ty.is_numeric() { text(expr) } else { Expr::value(Value::Null) };
    let quartile = |share: &str| {
        let share = Expr::value(Value::Number(share.into(), false));
        number(call("approx_percentile_cont", vec![column(), share]))
    };
    let is_ordered = !ty.is_nested();
    let extreme = |name: &str| if is_ordered { text(call(name, vec![column()])) } else { Expr::value(Value::Null) };
    // the engine counts distinct integers and texts; of other types their text
    let counted = if ty.is_integer() || ty.is_string() { column() } else { text(column()) };
    let distinct = match is_ordered {
        true => call("approx_distinct", vec![counted]),
        false => Expr::value(Value::Number("0".into(), false)),
    };
    [
        extreme("min"),
        extreme("max"),
        distinct,
        number(call("avg", vec![column()])),
        number(call("stddev", vec![column()])),
        quartile("0.25"),
        quartile("0.5"),
        quartile("0.75"),
        call("count", vec![column()]),
    ]
}

/// `SELECT figures FROM (query) AS s`; the query has passed the guard already.
fn over(query: Statement, figures: Vec<Expr>) -> Result<Statement, Error> {
    let lost = || Error::Internal("a subquery is no subquery".into());
    let Kind::Query(mut frame) = parse(&Ask::sql("SELECT 1 FROM (SELECT 1) AS s"))?.kind else { return Err(lost()) };
    let select = select_of(&mut frame)?;
    let (Statement::Query(inner), Some(TableFactor::Derived { subquery, .. })) =
        (query, select.from.first_mut().map(|f| &mut f.relation))
    else {
        return Err(lost());
    };
    *subquery = inner;
    let named = |(i, expr)| SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', format!("f{i}")) };
    select.projection = figures.into_iter().enumerate().map(named).collect();
    Ok(*frame)
}
