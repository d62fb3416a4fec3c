//! DuckDB's functions that are others put together: each is a line of SQL whose `$1`, `$2` … are the arguments.
//!
//! They are expanded in the syntax tree, behind the guard, and before the planner sees anything.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use sqlparser::ast::{BinaryOperator, Expr, Function, FunctionArguments, Value, VisitMut, VisitorMut};

use super::{also, condition, rewrite};

/// Name, number of arguments, what it means.
const MACROS: &[(&str, usize, &str)] = &[
    ("version", 0, concat!("'Tidewater ", env!("CARGO_PKG_VERSION"), "'")),
    // numbers
    ("add", 2, "$1 + $2"),
    ("subtract", 2, "$1 - $2"),
    ("multiply", 2, "$1 * $2"),
    ("divide", 2, "$1 // $2"),
    ("mod", 2, "$1 % $2"),
    ("fmod", 2, "CAST($1 AS DOUBLE) - floor(CAST($1 AS DOUBLE) / $2) * $2"),
    ("ceiling", 1, "ceil($1)"),
    (
        "sign",
        1,
        "CAST(coalesce(nullif(signum($1), CAST('NaN' AS DOUBLE)), CASE WHEN $1 IS NOT NULL THEN 0 END) AS TINYINT)",
    ),
    ("isinf", 1, "abs(CAST($1 AS DOUBLE)) = CAST('Infinity' AS DOUBLE)"),
    ("xor", 2, "($1 | $2) - ($1 & $2)"),
    ("even", 1, "CASE WHEN $1 >= 0 THEN ceil($1 / 2) * 2 ELSE floor($1 / 2) * 2 END"),
    ("round_even", 2, "tw_rounded($1 * power(10.0, $2)) / power(10.0, $2)"),
    ("if", 3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
    ("iff", 3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
    // text
    ("lcase", 1, "lower($1)"),
    ("ucase", 1, "upper($1)"),
    ("strlen", 1, "CAST(octet_length($1) AS BIGINT)"),
    ("prefix", 2, "starts_with($1, $2)"),
    ("suffix", 2, "ends_with($1, $2)"),
    ("unicode", 1, "CASE $1 WHEN '' THEN -1 ELSE ascii($1) END"),
    ("ord", 1, "CASE $1 WHEN '' THEN -1 ELSE ascii($1) END"),
    ("editdist3", 2, "levenshtein($1, $2)"),
    ("sha256", 1, "encode(digest($1, 'sha256'), 'hex')"),
    ("length", 1, "tw_length($1)"),
    ("len", 1, "tw_length($1)"),
    ("string_split", 2, "CASE $1 WHEN '' THEN make_array('') ELSE string_to_array($1, nullif($2, '')) END"),
    ("str_split", 2, "CASE $1 WHEN '' THEN make_array('') ELSE string_to_array($1, nullif($2, '')) END"),
    ("split", 2, "CASE $1 WHEN '' THEN make_array('') ELSE string_to_array($1, nullif($2, '')) END"),
    ("regexp_matches", 2, "regexp_like($1, $2)"),
    (
        "split_part",
        3,
        "CASE WHEN $2 = '' AND $1 <> '' THEN coalesce(string_to_array($1, nullif($2, ''))[$3], '') ELSE split_part($1, $2, $3) END",
    ),
    ("regexp_extract", 2, "CASE WHEN $1 IS NOT NULL THEN coalesce((regexp_match($1, '(' || $2 || ')'))[1], '') END"),
    (
        "regexp_extract",
        3,
        "CASE WHEN $1 IS NOT NULL THEN coalesce((regexp_match($1, '(' || $2 || ')'))[$3 + 1], '') END",
    ),
    ("regexp_full_match", 2, "regexp_like($1, '^(?s:' || $2 || ')$')"),
    // time
    ("year", 1, "date_part('year', $1)"),
    ("quarter", 1, "date_part('quarter', $1)"),
    ("month", 1, "date_part('month', $1)"),
    ("week", 1, "date_part('week', $1)"),
    ("weekofyear", 1, "date_part('week', $1)"),
    ("day", 1, "date_part('day', $1)"),
    ("dayofmonth", 1, "date_part('day', $1)"),
    ("dayofweek", 1, "date_part('dow', $1)"),
    ("weekday", 1, "date_part('dow', $1)"),
    ("isodow", 1, "date_part('isodow', $1)"),
    ("dayofyear", 1, "date_part('doy', $1)"),
    ("hour", 1, "date_part('hour', $1)"),
    ("minute", 1, "date_part('minute', $1)"),
    ("second", 1, "date_part('second', $1)"),
    ("millisecond", 1, "date_part('millisecond', $1)"),
    ("microsecond", 1, "date_part('microsecond', $1)"),
    ("nanosecond", 1, "date_part('microsecond', $1) * 1000"),
    ("isoyear", 1, "date_part('isoyear', $1)"),
    ("decade", 1, "date_part('decade', $1)"),
    ("century", 1, "date_part('century', $1)"),
    ("yearweek", 1, "date_part('isoyear', $1) * 100 + date_part('week', $1)"),
    ("dayname", 1, "to_char($1, '%A')"),
    ("monthname", 1, "to_char($1, '%B')"),
    ("last_day", 1, "CAST(date_trunc('month', $1) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE)"),
    ("datediff", 3, "date_diff($1, $2, $3)"),
    ("datesub", 3, "date_sub($1, $2, $3)"),
    ("timezone", 2, "tw_at_time_zone($2, $1)"),
    ("age", 1, "age(current_date, $1)"),
    ("julian", 1, "date_part('epoch', $1) / 86400 + 2440588"),
    ("to_years", 1, "tw_times(INTERVAL '1 year', $1)"),
    ("to_quarters", 1, "tw_times(INTERVAL '3 months', $1)"),
    ("to_months", 1, "tw_times(INTERVAL '1 month', $1)"),
    ("to_weeks", 1, "tw_times(INTERVAL '7 days', $1)"),
    ("to_days", 1, "tw_times(INTERVAL '1 day', $1)"),
    ("to_hours", 1, "tw_times(INTERVAL '1 hour', $1)"),
    ("to_minutes", 1, "tw_times(INTERVAL '1 minute', $1)"),
    ("to_seconds", 1, "tw_times(INTERVAL '1 second', $1)"),
    ("to_milliseconds", 1, "tw_times(INTERVAL '1 millisecond', $1)"),
    ("to_microseconds", 1, "tw_times(INTERVAL '1 microsecond', $1)"),
    // lists
    ("list_unique", 1, "CAST(array_length(array_distinct($1)) AS BIGINT)"),
    ("list_reverse_sort", 1, "array_sort($1, 'DESC')"),
    ("list_min", 1, "array_min($1)"),
    ("list_first", 1, "($1)[1]"),
    ("list_last", 1, "($1)[-1]"),
    // aggregates
    ("increase", 2, "tw_increase(named_struct('time', $2, 'value', CAST($1 AS DOUBLE)))"),
    ("rate", 2, "tw_rate(named_struct('time', $2, 'value', CAST($1 AS DOUBLE)))"),
    ("delta", 2, "tw_delta(named_struct('time', $2, 'value', CAST($1 AS DOUBLE)))"),
    ("derivative", 2, "tw_derivative(named_struct('time', $2, 'value', CAST($1 AS DOUBLE)))"),
    ("variance", 1, "var_samp($1)"),
    ("sem", 1, "stddev_pop($1) / sqrt(count($1))"),
    ("fsum", 1, "sum(CAST($1 AS DOUBLE))"),
    ("kahan_sum", 1, "sum(CAST($1 AS DOUBLE))"),
    ("sumkahan", 1, "sum(CAST($1 AS DOUBLE))"),
    ("favg", 1, "avg(CAST($1 AS DOUBLE))"),
    ("count_if", 1, "count(CASE WHEN $1 THEN 1 END)"),
    ("countif", 1, "count(CASE WHEN $1 THEN 1 END)"),
    ("every", 1, "bool_and($1)"),
    ("list", 1, "array_agg($1)"),
    ("group_concat", 1, "string_agg($1, ',')"),
    ("group_concat", 2, "string_agg($1, $2)"),
    ("listagg", 1, "string_agg($1, ',')"),
    ("listagg", 2, "string_agg($1, $2)"),
    ("string_agg", 1, "string_agg($1, ',')"),
    ("quantile_cont", 2, "tw_quantile_cont($1, $2)"),
    ("quantile", 2, "quantile_disc($1, $2)"),
    ("approx_quantile", 2, "approx_percentile_cont($1, $2)"),
    ("approx_count_distinct", 1, "approx_distinct(tw_text($1))"),
    ("max", 2, "array_slice(array_agg($1 ORDER BY $1 DESC) FILTER (WHERE $1 IS NOT NULL), 1, $2)"),
    ("min", 2, "array_slice(array_agg($1 ORDER BY $1) FILTER (WHERE $1 IS NOT NULL), 1, $2)"),
    (
        "arg_max",
        3,
        "array_slice(array_agg($1 ORDER BY $2 DESC) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL), 1, $3)",
    ),
    ("arg_min", 3, "array_slice(array_agg($1 ORDER BY $2) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL), 1, $3)"),
    (
        "skewness",
        1,
        "CASE WHEN count($1) > 2 THEN sqrt(CAST(count($1) AS DOUBLE) * (count($1) - 1)) / (count($1) - 2) \
         * (sum(power(CAST($1 AS DOUBLE), 3)) / count($1) - 3 * avg(CAST($1 AS DOUBLE)) * sum(power(CAST($1 AS DOUBLE), 2)) / count($1) \
         + 2 * power(avg(CAST($1 AS DOUBLE)), 3)) / power(stddev_pop(CAST($1 AS DOUBLE)), 3) END",
    ),
    (
        "kurtosis",
        1,
        "CASE WHEN count($1) > 3 THEN (count($1) - 1.0) * ((count($1) + 1) * ((sum(power(CAST($1 AS DOUBLE), 4)) \
         - 4 * sum(power(CAST($1 AS DOUBLE), 3)) * avg(CAST($1 AS DOUBLE)) + 6 * sum(power(CAST($1 AS DOUBLE), 2)) \
         * power(avg(CAST($1 AS DOUBLE)), 2) - 3 * count($1) * power(avg(CAST($1 AS DOUBLE)), 4)) / count($1)) \
         / power(var_pop(CAST($1 AS DOUBLE)), 2) - 3.0 * (count($1) - 1)) / ((count($1) - 2.0) * (count($1) - 3)) END",
    ),
];

/// What a call with OVER means where that is not the aggregate over a window: from the row before to this one.
const OVER_ROWS: &[(&str, usize, &str)] = &[
    (
        "increase",
        2,
        "CASE WHEN $1 >= lag($1) THEN CAST($1 AS DOUBLE) - lag($1) WHEN $1 < lag($1) THEN CAST($1 AS DOUBLE) END",
    ),
    (
        "rate",
        2,
        "CASE WHEN $1 >= lag($1) THEN CAST($1 AS DOUBLE) - lag($1) WHEN $1 < lag($1) THEN CAST($1 AS DOUBLE) END \
         / nullif(epoch_us($2) - lag(epoch_us($2)), 0) * 1000000",
    ),
    ("delta", 2, "CAST($1 AS DOUBLE) - lag($1)"),
    ("derivative", 2, "(CAST($1 AS DOUBLE) - lag($1)) / nullif(epoch_us($2) - lag(epoch_us($2)), 0) * 1000000"),
];

/// Aggregates that macros are made of: a macro's FILTER, OVER and ORDER BY belong to each of them. `lag` stands for
/// those of [`OVER_ROWS`].
const AGGREGATES: [&str; 19] = [
    "lag",
    "tw_increase",
    "tw_rate",
    "tw_delta",
    "tw_derivative",
    "array_agg",
    "string_agg",
    "tw_quantile_cont",
    "sum",
    "avg",
    "count",
    "var_samp",
    "var_pop",
    "stddev_pop",
    "bool_and",
    "quantile_disc",
    "approx_percentile_cont",
    "approx_distinct",
    "first_value",
];

/// The bucket `$2` where there is a value `$1` for it.
pub(super) static BUCKET_OF_VALUE: LazyLock<Expr> = LazyLock::new(|| parsed("CASE WHEN $1 IS NOT NULL THEN $2 END"));

/// The value `$1` of the bucket `$2`, else what lies on the line from `$3` at `$4` to `$5` at `$6`.
pub(super) static ON_THE_LINE: LazyLock<Expr> = LazyLock::new(|| {
    parsed(
        "coalesce(CAST($1 AS DOUBLE), CAST($3 AS DOUBLE) + (CAST($5 AS DOUBLE) - $3) \
         * CAST(epoch_us($2) - epoch_us($4) AS DOUBLE) / nullif(epoch_us($6) - epoch_us($4), 0))",
    )
});

type Bodies = HashMap<(&'static str, usize), Expr>;

static PARSED: LazyLock<Bodies> = LazyLock::new(|| bodies(MACROS));
static PARSED_OVER_ROWS: LazyLock<Bodies> = LazyLock::new(|| bodies(OVER_ROWS));

fn bodies(macros: &[(&'static str, usize, &str)]) -> Bodies {
    macros.iter().map(|(name, arity, text)| ((*name, *arity), parsed(text))).collect()
}

fn parsed(text: &str) -> Expr {
    let mut body = condition(text).unwrap_or_else(|e| panic!("macro {text}: {e}"));
    let _ = body.visit(&mut Rewritten);
    body
}

/// A body with its arguments.
pub(super) fn filled(body: &Expr, args: &[Expr]) -> Expr {
    let mut body = body.clone();
    let _ = body.visit(&mut Filler { args, call: None, grown: 0, aggregates: 0 });
    Expr::Nested(Box::new(body))
}

/// The rewrites of every statement, for bodies.
struct Rewritten;

impl VisitorMut for Rewritten {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        rewrite(expr);
        ControlFlow::Continue(())
    }
}

/// What a call means, and by how many bytes of text it grew; none: it is no macro.
pub(super) fn expand(function: &Function) -> Option<(Expr, usize)> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let name = function.name.to_string();
    let key = (name.as_str(), list.args.len());
    let over_rows = function.over.as_ref().and_then(|_| PARSED_OVER_ROWS.get(&key));
    let body = over_rows.or_else(|| PARSED.get(&key))?;
    let args = super::arguments(function);
    if args.len() != list.args.len() {
        return None; // a star, or a name
    }
    let mut body = body.clone();
    let mut filler = Filler { args: &args, call: Some(function), grown: 0, aggregates: 0 };
    let _ = body.visit(&mut filler);
    let (grown, aggregates) = (filler.grown, filler.aggregates);
    let asks_aggregate = function.filter.is_some() || function.over.is_some() || !list.clauses.is_empty();
    if asks_aggregate && aggregates == 0 {
        return None; // it is none: the planner says so
    }
    Some((Expr::Nested(Box::new(body)), grown))
}

struct Filler<'a> {
    args: &'a [Expr],
    /// Whose FILTER, OVER and ORDER BY are handed on.
    call: Option<&'a Function>,
    grown: usize,
    aggregates: usize,
}

impl VisitorMut for Filler<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Value(value) => {
                let Value::Placeholder(place) = &value.value else { return ControlFlow::Continue(()) };
                let index = place.trim_start_matches('$').parse::<usize>().unwrap_or(0);
                if let Some(arg) = index.checked_sub(1).and_then(|i| self.args.get(i)) {
                    self.grown += arg.to_string().len();
                    *expr = Expr::Nested(Box::new(arg.clone()));
                }
            }
            Expr::Function(inner) if AGGREGATES.contains(&inner.name.to_string().as_str()) => {
                self.aggregates += 1;
                let Some(call) = self.call else { return ControlFlow::Continue(()) };
                if let Some(filter) = &call.filter {
                    also(&mut inner.filter, (**filter).clone());
                }
                inner.over.clone_from(&call.over);
                let (FunctionArguments::List(own), FunctionArguments::List(of_call)) = (&mut inner.args, &call.args)
                else {
                    return ControlFlow::Continue(());
                };
                own.duplicate_treatment = own.duplicate_treatment.or(of_call.duplicate_treatment);
                own.clauses.extend(of_call.clauses.iter().cloned());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Whether a comparison: its operands' order of size matters.
pub(super) fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator as Op;
    matches!(op, Op::Gt | Op::Lt | Op::GtEq | Op::LtEq | Op::Eq | Op::NotEq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_macro_parses_and_names_no_argument_that_it_has_not() {
        assert_eq!(PARSED.len(), MACROS.len(), "no name stands twice with as many arguments");
        assert_eq!(PARSED_OVER_ROWS.len(), OVER_ROWS.len());
        for (name, arity, text) in MACROS.iter().chain(OVER_ROWS) {
            for place in text.split('$').skip(1) {
                let digits: String = place.chars().take_while(char::is_ascii_digit).collect();
                // the end of a regular expression is none
                let index = digits.parse::<usize>().ok();
                assert!(index.is_none_or(|i| (1..=*arity).contains(&i)), "{name}: ${digits}");
            }
        }
    }
}
