use std::io::{self, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context, Result, ensure};
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

/// Bytes of statements from a pipe or a file at most.
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
        return print(&body, options.format, &Shown::WHOLE);
    }
    if io::stdin().is_terminal() {
        return prompt::run(server, &options.database, options.format, stopped.as_ref().map(|s| &*s.folder));
    }
    let script = script(io::stdin().lock())?;
    let run = |statement| print(&ask(server, &options.database, statement)?, options.format, &Shown::WHOLE);
    words::whole_script(&script).into_iter().try_for_each(run)
}

/// Statements of a file or a pipe: all of them, or none.
fn script(input: impl io::Read) -> Result<String> {
    let mut text = String::new();
    input.take(SCRIPT_BYTES + 1).read_to_string(&mut text).context("the statements are no text")?;
    ensure!(text.len() as u64 <= SCRIPT_BYTES, "there are more than {} MiB of statements", SCRIPT_BYTES >> 20);
    Ok(text)
}

/// How much of an answer is shown.
struct Shown {
    /// Rows of a table.
    rows: usize,
    has_time: bool,
}

impl Shown {
    const WHOLE: Shown = Shown { rows: usize::MAX, has_time: true };
}

fn ask(server: &Server, database: &str, statement: &str) -> Result<Value> {
    server.ask("POST", "/api/v1/query", &[("x-arc-database", database)], Some(&json!({"sql": statement})))
}

/// Prints an answer.
fn print(body: &Value, format: Format, shown: &Shown) -> Result<()> {
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
            for (at, row) in rows.iter().take(shown.rows).enumerate() {
                writeln!(out, "-- row {}", at + 1)?;
                for (name, value) in columns.iter().zip(cells(row)) {
                    writeln!(out, "{name:>width$}  {}", cell(&value))?;
                }
            }
        }
        Format::Table => {
            let types = body["types"].as_array().unwrap_or(&empty);
            let is_number = |at: usize| types.get(at).and_then(Value::as_str).is_some_and(is_number);
            let mut table = Table::new();
            table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(columns.iter().map(|c| Cell::new(c).add_attribute(Attribute::Bold)));
            for row in rows.iter().take(shown.rows) {
                table.add_row(cells(row).iter().enumerate().map(|(at, value)| {
                    let cell = Cell::new(cell(value));
                    let cell = if is_number(at) { cell.set_alignment(CellAlignment::Right) } else { cell };
                    if value.is_null() { cell.add_attribute(Attribute::Dim) } else { cell }
                }));
            }
            writeln!(out, "{table}")?;
        }
    }
    if matches!(format, Format::Table | Format::Vertical) {
        let hidden = rows.len().saturating_sub(shown.rows);
        if hidden > 0 {
            writeln!(out, "… {hidden} more rows: \\format csv shows all, `tidewater export` writes them to a file")?;
        }
        let rows = body["row_count"].as_u64().unwrap_or(rows.len() as u64);
        let took = if shown.has_time { format!(" in {} ms", body["execution_time_ms"]) } else { String::new() };
        writeln!(out, "{rows} row{}{took}", if rows == 1 { "" } else { "s" })?;
    }
    Ok(())
}

/// Whether an answer's word for a type is one of numbers.
fn is_number(ty: &str) -> bool {
    ["int", "uint", "float", "decimal"].iter().any(|t| ty.starts_with(t))
}

fn cell(value: &Value) -> String {
    if value.is_null() { "NULL".into() } else { text(value) }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
