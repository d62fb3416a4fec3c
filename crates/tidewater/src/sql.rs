use anyhow::Result;
use clap::{Args, ValueEnum};
use comfy_table::Table;
use serde_json::{Value, json};

use crate::client::{Server, text};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

#[derive(Debug, Args)]
pub struct Options {
    /// The statement
    statement: String,
    #[command(flatten)]
    server: Server,
    /// Database of bare table names
    #[arg(long, default_value = "default")]
    database: String,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// `tidewater sql`
pub fn run(options: &Options) -> Result<()> {
    let statement = json!({"sql": options.statement});
    let headers = [("x-arc-database", options.database.as_str())];
    print(&options.server.ask("POST", "/api/v1/query", &headers, Some(&statement))?, options.format)
}

fn print(body: &Value, format: Format) -> Result<()> {
    let empty = Vec::new();
    let columns: Vec<String> = body["columns"].as_array().unwrap_or(&empty).iter().map(text).collect();
    let rows = body["data"].as_array().unwrap_or(&empty);
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(body)?),
        Format::Csv => {
            println!("{}", columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(","));
            for row in rows {
                let cells = row.as_array().unwrap_or(&empty).iter().map(|v| quoted(&text(v)));
                println!("{}", cells.collect::<Vec<_>>().join(","));
            }
        }
        Format::Table => {
            let mut table = Table::new();
            table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(&columns);
            for row in rows {
                table.add_row(row.as_array().unwrap_or(&empty).iter().map(text));
            }
            println!("{table}");
            println!("{} rows in {} ms", body["row_count"], body["execution_time_ms"]);
        }
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
