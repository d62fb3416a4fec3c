use std::collections::HashMap;

use sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, TimezoneInfo, Value,
};

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
        Expr::Identifier(name) => identifier(&name.value),
        Expr::CompoundIdentifier(parts) => parts.last().map(|p| identifier(&p.value)).unwrap_or_default(),
        Expr::Nested(inner) => render(inner),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => {
            format!("CAST('{}' AS BOOLEAN)", if value.value == Value::Boolean(true) { 't' } else { 'f' })
        }
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", render(left), render(right)),
        Expr::Function(function) => render_function(function),
        Expr::Cast { kind: CastKind::TryCast, expr, data_type, .. } => {
            format!("TRY_CAST({} AS {})", render(expr), render_type(data_type))
        }
        Expr::Cast { expr, data_type, .. } => format!("CAST({} AS {})", render(expr), render_type(data_type)),
        other => other.to_string(),
    }
}

/// Words that DuckDB writes in quotes where they name a column inside an expression.
const QUOTED: [&str; 24] = [
    "time",
    "timestamp",
    "interval",
    "values",
    "row",
    "position",
    "precision",
    "bit",
    "char",
    "character",
    "dec",
    "decimal",
    "float",
    "int",
    "integer",
    "real",
    "smallint",
    "bigint",
    "boolean",
    "varchar",
    "numeric",
    "map",
    "struct",
    "columns",
];

fn identifier(name: &str) -> String {
    if QUOTED.contains(&name) { format!("\"{name}\"") } else { name.to_owned() }
}

/// DuckDB's one name of a type that has several.
fn render_type(ty: &DataType) -> String {
    match ty {
        DataType::Text | DataType::String(_) | DataType::Varchar(_) | DataType::Char(_) => "VARCHAR".into(),
        DataType::Int(_) | DataType::Int4(_) | DataType::Int32 | DataType::Integer(_) => "INTEGER".into(),
        DataType::Int8(_) | DataType::Int64 | DataType::BigInt(_) => "BIGINT".into(),
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 => "DOUBLE".into(),
        DataType::Real | DataType::Float4 | DataType::Float(_) => "FLOAT".into(),
        DataType::Bool => "BOOLEAN".into(),
        DataType::HugeInt | DataType::UBigInt | DataType::USmallInt | DataType::UTinyInt => format!("\"{ty}\""),
        DataType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => "TIMESTAMP WITH TIME ZONE".into(),
        DataType::Datetime(_) => "TIMESTAMP".into(),
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
