use std::collections::HashMap;

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

/// The name that DuckDB gives to an unnamed expression, or none where the planner's own is right
/// (a column) or where nobody would rely on it.
pub fn of_expression(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => None,
        other => Some(render(other)),
    }
}

fn render(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.clone()).unwrap_or_default(),
        Expr::Nested(inner) => render(inner),
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", render(left), render(right)),
        Expr::Function(function) => render_function(function),
        Expr::Cast { expr, data_type, .. } => format!("CAST({} AS {data_type})", render(expr)),
        other => other.to_string(),
    }
}

fn render_function(function: &Function) -> String {
    let name = function.name.to_string().to_ascii_lowercase();
    let FunctionArguments::List(list) = &function.args else { return format!("{name}()") };
    let star = |a: &FunctionArg| matches!(a, FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
    let filter = function.filter.as_ref().map(|f| format!(" FILTER (WHERE {})", render(f))).unwrap_or_default();
    let over = function.over.as_ref().map(|o| format!(" OVER {o}")).unwrap_or_default();
    if name == "count" && (list.args.is_empty() || list.args.iter().any(star)) {
        return format!("count_star(){filter}{over}");
    }
    let args: Vec<String> = list
        .args
        .iter()
        .map(|a| match a {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => render(e),
            other => other.to_string(),
        })
        .collect();
    let distinct = list.duplicate_treatment.map(|d| format!("{d} ")).unwrap_or_default();
    format!("{name}({distinct}{}){filter}{over}", args.join(", "))
}

/// The spelling of a result column: the alias as written, else the column as stored.
pub fn shown<'a>(name: &'a str, aliases: &'a HashMap<String, String>, stored: &'a HashMap<String, String>) -> &'a str {
    aliases.get(name).or_else(|| stored.get(name)).map_or(name, String::as_str)
}
