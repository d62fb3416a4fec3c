use std::io::{self, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::client::{Server, text};
use crate::stopped::Stopped;

/// What is typed.
mod assist;
/// Lines of points.
mod chart;
/// The loop.
mod prompt;
/// Pieces of SQL.
mod words;

/// Bytes of statements from a pipe at most.
const SCRIPT_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    /// A line each column
    Vertical,
    Csv,
    Json,
}

impl Format {
    const NAMES: [&'static str; 4] = ["table", "vertical", "csv", "json"];
}

/// What the prompt understands beside SQL: name, what it needs, what it does.
const COMMANDS: [(&str, &str, &str); 11] = [
    ("\\d", "[measurement]", "columns of a measurement, or every measurement of every database"),
    ("\\dt", "", "measurements of this database"),
    ("\\l", "", "databases"),
    ("\\c", "database", "use another database"),
    ("\\chart", "[statement]", "the last answer, or this one's, as a chart over its column of times"),
    ("\\watch", "[seconds]", "the last statement again and again, until Ctrl-C"),
    ("\\format", "table|vertical|csv|json", "how answers are shown"),
    ("\\timing", "[on|off]", "say how long statements take"),
    ("\\i", "file", "run the statements of a file"),
    ("\\?", "", "this list"),
    ("\\q", "", "leave; Ctrl-D does so, too"),
];

#[derive(Debug, Args)]
pub struct Options {
    /// The statement [default: a prompt; statements from a pipe are run]
    statement: Option<String>,
    #[command(flatten)]
    server: Server,
    /// Database of bare table names
    #[arg(long, default_value = "default")]
    database: String,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// `tidewater sql`: asks a server, or reads the folder that `--folder` names when no server holds it.
pub fn run(options: &Options) -> Result<()> {
    let stopped = Stopped::meant(&options.server)?;
    let server = stopped.as_ref().map_or(&options.server, |stopped| &stopped.server);
    if let Some(statement) = &options.statement {
        let body = ask(server, &options.database, statement)?;
        return print(&body, options.format, None);
    }
    if io::stdin().is_terminal() {
        return prompt::run(server, &options.database, options.format, stopped.as_ref().map(|s| &*s.folder));
    }
    let mut script = String::new();
    io::stdin().lock().take(SCRIPT_BYTES).read_to_string(&mut script).context("the statements are no text")?;
    let (mut statements, rest) = words::statements(&script);
    statements.extend((!rest.is_empty()).then_some(rest));
    statements
        .into_iter()
        .try_for_each(|statement| print(&ask(server, &options.database, statement)?, options.format, None))
}

fn ask(server: &Server, database: &str, statement: &str) -> Result<Value> {
    server.ask("POST", "/api/v1/query", &[("x-arc-database", database)], Some(&json!({"sql": statement})))
}

/// Prints an answer; of a table so many rows at most.
fn print(body: &Value, format: Format, most: Option<usize>) -> Result<()> {
    let mut out = io::stdout().lock();
    let empty = Vec::new();
    let columns: Vec<String> = body["columns"].as_array().unwrap_or(&empty).iter().map(text).collect();
    let rows = body["data"].as_array().unwrap_or(&empty);
    let cells = |row: &Value| row.as_array().cloned().unwrap_or_default();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(body)?)?,
        Format::Csv => {
            writeln!(out, "{}", columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(","))?;
            for row in rows {
                writeln!(out, "{}", cells(row).iter().map(|v| quoted(&text(v))).collect::<Vec<_>>().join(","))?;
            }
        }
        Format::Vertical => {
            let width = columns.iter().map(|c| c.chars().count()).max().unwrap_or(0);
            for (at, row) in rows.iter().take(most.unwrap_or(usize::MAX)).enumerate() {
                writeln!(out, "-- row {}", at + 1)?;
                for (name, value) in columns.iter().zip(cells(row)) {
                    writeln!(out, "{name:>width$}  {}", shown(&value))?;
                }
            }
        }
        Format::Table => {
            let types = body["types"].as_array().unwrap_or(&empty);
            let is_number = |at: usize| {
                let name = types.get(at).and_then(Value::as_str).unwrap_or_default();
                ["int", "uint", "float", "decimal"].iter().any(|t| name.starts_with(t))
            };
            let mut table = Table::new();
            table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(columns.iter().map(|c| Cell::new(c).add_attribute(Attribute::Bold)));
            for row in rows.iter().take(most.unwrap_or(usize::MAX)) {
                table.add_row(cells(row).iter().enumerate().map(|(at, value)| {
                    let cell = Cell::new(shown(value));
                    let cell = if is_number(at) { cell.set_alignment(CellAlignment::Right) } else { cell };
                    if value.is_null() { cell.add_attribute(Attribute::Dim) } else { cell }
                }));
            }
            writeln!(out, "{table}")?;
        }
    }
    if matches!(format, Format::Table | Format::Vertical) {
        if let Some(hidden) = most.map(|most| rows.len().saturating_sub(most)).filter(|hidden| *hidden > 0) {
            writeln!(out, "… {hidden} more rows: \\format csv shows all, `tidewater export` writes them to a file")?;
        }
        let rows = body["row_count"].as_u64().unwrap_or(rows.len() as u64);
        writeln!(out, "{rows} row{} in {} ms", if rows == 1 { "" } else { "s" }, body["execution_time_ms"])?;
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    if value.is_null() { "NULL".into() } else { text(value) }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
