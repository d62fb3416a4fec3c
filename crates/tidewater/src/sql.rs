use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use comfy_table::Table;
use serde_json::{Value, json};

use crate::serve::token_file;

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
    #[arg(long, env = "TIDEWATER_URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    #[arg(long, env = "TIDEWATER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Folder of a local server, whose token file is read
    #[arg(long, default_value = "./data/tidewater")]
    folder: PathBuf,
    /// Database of bare table names
    #[arg(long, default_value = "default")]
    database: String,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// `tidewater sql`
pub fn run(options: &Options) -> Result<()> {
    let file = token_file(&options.folder);
    let token = options.token.clone().or_else(|| read_token(&file));
    let answer = ask(&options.url, token.as_deref(), &options.database, &options.statement)?;
    if answer.status == 401 {
        let tried = match (&options.token, &token) {
            (Some(_), _) => "--token or TIDEWATER_TOKEN was refused".to_owned(),
            (None, Some(_)) => format!("the token of {} was refused", file.display()),
            (None, None) => format!("no --token, no TIDEWATER_TOKEN, and no {}", file.display()),
        };
        bail!("{} asks for a token: {tried}", options.url);
    }
    if answer.status != 200 {
        bail!("{}", answer.body["error"].as_str().unwrap_or("the server refused without a reason"));
    }
    print(&answer.body, options.format)
}

fn read_token(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok().map(|t| t.trim().to_owned())
}

/// A server's answer to a statement.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// Sends one statement to `/api/v1/query`.
pub fn ask(url: &str, token: Option<&str>, database: &str, statement: &str) -> Result<Answer> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent
        .post(format!("{}/api/v1/query", url.trim_end_matches('/')))
        .header("content-type", "application/json")
        .header("x-arc-database", database);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = json!({"sql": statement}).to_string();
    let mut response = request.send(body).with_context(|| format!("cannot reach {url}"))?;
    let text = response.body_mut().with_config().limit(1 << 30).read_to_string().context("the answer was cut")?;
    let body = serde_json::from_str(&text).unwrap_or(json!({"error": text}));
    Ok(Answer { status: response.status().as_u16(), body })
}

fn print(body: &Value, format: Format) -> Result<()> {
    let empty = Vec::new();
    let columns: Vec<String> = body["columns"].as_array().unwrap_or(&empty).iter().map(plain).collect();
    let rows = body["data"].as_array().unwrap_or(&empty);
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(body)?),
        Format::Csv => {
            println!("{}", columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(","));
            for row in rows {
                let cells = row.as_array().unwrap_or(&empty).iter().map(|v| quoted(&plain(v)));
                println!("{}", cells.collect::<Vec<_>>().join(","));
            }
        }
        Format::Table => {
            let mut table = Table::new();
            table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(&columns);
            for row in rows {
                table.add_row(row.as_array().unwrap_or(&empty).iter().map(plain));
            }
            println!("{table}");
            println!("{} rows in {} ms", body["row_count"], body["execution_time_ms"]);
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
