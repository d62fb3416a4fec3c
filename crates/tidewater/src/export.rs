//! `tidewater export`: answers and whole measurements to files, which `tidewater import` reads back.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::client::{Server, text};
use crate::progress;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Parquet,
    Csv,
    /// Line protocol, of measurements alone
    Lp,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Lp => "lp",
        }
    }
}

#[derive(Debug, Args)]
pub struct Options {
    /// The file to make; for more than one measurement the folder of the files
    target: PathBuf,
    /// A statement whose answer is written
    #[arg(long, conflicts_with = "measurement")]
    query: Option<String>,
    /// A measurement; may be repeated [default: every measurement of the database]
    #[arg(long)]
    measurement: Vec<String>,
    #[arg(long, default_value = "default")]
    database: String,
    /// [default: by the name of the file, else parquet]
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    server: Server,
}

/// `tidewater export`
pub fn run(options: &Options) -> Result<()> {
    let named = match options.target.extension().and_then(|e| e.to_str()) {
        Some("csv") => Some(Format::Csv),
        Some("lp" | "line") => Some(Format::Lp),
        Some("parquet") => Some(Format::Parquet),
        _ => None,
    };
    let format = options.format.or(named).unwrap_or(Format::Parquet);
    if let Some(query) = &options.query {
        if format == Format::Lp {
            bail!(
                "an answer has no tags and fields: write line protocol of measurements, or the answer as csv or parquet"
            );
        }
        return report(&options.target, answer(options, query, format, &options.target)?);
    }
    let measurements = match options.measurement.as_slice() {
        [] => measurements(options)?,
        named => named.to_vec(),
    };
    if let ([one], true) = (measurements.as_slice(), options.measurement.len() == 1) {
        return report(&options.target, measurement(options, one, format, &options.target)?);
    }
    std::fs::create_dir_all(&options.target).with_context(|| format!("cannot make {}", options.target.display()))?;
    for name in &measurements {
        let safe: String = name.chars().map(|c| if c == '/' || c == '\\' { '_' } else { c }).collect();
        let path = options.target.join(format!("{safe}.{}", format.as_str()));
        report(&path, measurement(options, name, format, &path)?)?;
    }
    println!("{} measurements", measurements.len());
    Ok(())
}

fn report(path: &Path, bytes: u64) -> Result<()> {
    println!("{}: {:.1} MB", path.display(), bytes as f64 / 1e6);
    Ok(())
}

fn measurements(options: &Options) -> Result<Vec<String>> {
    let tables = ask(options, &format!("SHOW TABLES FROM {}", quoted(&options.database)))?;
    Ok(tables.into_iter().filter_map(|row| row[1].as_str().map(str::to_owned)).collect())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The rows of a short answer.
fn ask(options: &Options, sql: &str) -> Result<Vec<Value>> {
    let headers = [("x-arc-database", options.database.as_str())];
    let answer = options.server.ask("POST", "/api/v1/query", &headers, Some(&json!({"sql": sql})))?;
    Ok(answer["data"].as_array().cloned().unwrap_or_default())
}

/// Writes a measurement in the order of its times.
fn measurement(options: &Options, name: &str, format: Format, target: &Path) -> Result<u64> {
    match format {
        Format::Lp => lines(options, name, target),
        _ => answer(options, &format!("SELECT * FROM {} ORDER BY time", quoted(name)), format, target),
    }
}

fn bar(target: &Path) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(target.display().to_string());
    let style = "{spinner} {msg} {bytes} {bytes_per_sec} {elapsed}";
    bar.with_style(progress::style(style))
}

/// Writes what a statement gives as the server encodes it.
fn answer(options: &Options, sql: &str, format: Format, target: &Path) -> Result<u64> {
    written(target, |out| {
        let mut rows = options.server.stream(&options.database, sql, format.as_str())?;
        Ok(io::copy(&mut rows, out).map(drop)?)
    })
}

/// Writes beside the target and gives it its name at the end: what is cut is never taken for whole.
fn written(target: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<u64> {
    let cannot = || format!("cannot write {}", target.display());
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    let bar = bar(target);
    let mut out = BufWriter::with_capacity(1 << 20, bar.wrap_write(&file));
    write(&mut out)?;
    out.flush().with_context(cannot)?;
    drop(out);
    let bytes = bar.position();
    bar.finish_and_clear();
    file.persist(target).with_context(cannot)?;
    Ok(bytes)
}

/// What a column is in line protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tag,
    Int,
    UInt,
    Float,
    Bool,
    Text,
}

fn lines(options: &Options, name: &str, target: &Path) -> Result<u64> {
    let described = ask(options, &format!("DESCRIBE {}", quoted(name)))?;
    let mut columns = Vec::new();
    let mut has_ns = false;
    for row in &described {
        let (column, ty, role) = (text(&row[0]), text(&row[1]), text(&row[6]));
        match column.as_str() {
            "time" => continue,
            "time_ns" => {
                has_ns = true;
                continue;
            }
            _ => {}
        }
        let kind = match (role.as_str(), ty.as_str()) {
            ("tag", _) => Kind::Tag,
            (_, "BIGINT") => Kind::Int,
            (_, "UBIGINT") => Kind::UInt,
            (_, "DOUBLE") => Kind::Float,
            (_, "BOOLEAN") => Kind::Bool,
            _ => Kind::Text,
        };
        columns.push((column, kind));
    }
    // tags stand first in a line
    columns.sort_by_key(|(_, kind)| *kind != Kind::Tag);
    // exact as texts: JSON has no number beyond a float's digits, and none that is not finite
    let shown = |(name, kind): &(String, Kind)| match kind {
        Kind::Float => format!("CAST({} AS VARCHAR) AS {}", quoted(name), quoted(name)),
        _ => quoted(name),
    };
    let ns = if has_ns { "epoch_us(time) * 1000 + coalesce(time_ns, 0)" } else { "epoch_us(time) * 1000" };
    let selected: Vec<String> = [format!("{ns} AS time")].into_iter().chain(columns.iter().map(shown)).collect();
    let sql = format!("SELECT {} FROM {} ORDER BY time", selected.join(", "), quoted(name));
    let head = escaped(name, &[',', ' ']);
    written(target, |out| {
        let rows = BufReader::with_capacity(1 << 20, options.server.stream(&options.database, &sql, "ndjson")?);
        let mut line = String::new();
        for row in rows.lines() {
            let row: Value = serde_json::from_str(&row?).context("the server's answer is no JSON")?;
            line.clear();
            line += &head;
            let mut fields = 0;
            for (name, kind) in &columns {
                let Some(value) = value(&row[name.as_str()], *kind) else { continue };
                line.push(match (kind, fields) {
                    (Kind::Tag, _) => ',',
                    (_, 0) => ' ',
                    _ => ',',
                });
                fields += usize::from(*kind != Kind::Tag);
                line += &escaped(name, &[',', '=', ' ']);
                line.push('=');
                line += &value;
            }
            if fields == 0 {
                continue; // a point without a field is none
            }
            writeln!(out, "{line} {}", row["time"])?;
        }
        Ok(())
    })
}

/// A value as line protocol writes it; none has no form there.
fn value(value: &Value, kind: Kind) -> Option<String> {
    Some(match (kind, value) {
        (_, Value::Null) => return None,
        (Kind::Tag, value) => escaped(&text(value), &[',', '=', ' ']),
        (Kind::Int, value) => format!("{value}i"),
        (Kind::UInt, value) => format!("{value}u"),
        (Kind::Float, value) => text(value).parse::<f64>().ok().filter(|v| v.is_finite())?.to_string(),
        (Kind::Bool, value) => value.to_string(),
        (Kind::Text, value) => format!("\"{}\"", text(value).replace('\\', "\\\\").replace('"', "\\\"")),
    })
}

fn escaped(text: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
