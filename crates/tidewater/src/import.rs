//! `tidewater import`: files to a server, each in one commit.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use model::pattern::matches;
use serde_json::Value;

use crate::client::{Server, text};
use crate::progress;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Parquet,
    /// Line protocol
    Lp,
    /// Two-line element sets of satellites
    Tle,
}

#[derive(Debug, Args)]
pub struct Options {
    /// Files, folders of files, or patterns with *; files may be packed by gzip or zstd
    #[arg(required = true)]
    paths: Vec<String>,
    #[arg(long, default_value = "default")]
    database: String,
    /// Where rows of CSV and Parquet go [default: the name of the file]; of line protocol the only one that is taken
    #[arg(long)]
    measurement: Option<String>,
    /// What the files are [default: by their names: .csv, .tsv, .parquet, .lp, .tle, with .gz or .zst behind]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Columns that are tags, with commas between
    #[arg(long, default_value = "")]
    tags: String,
    #[arg(long, default_value = "time")]
    time_column: String,
    /// epoch_s, epoch_ms, epoch_us or epoch_ns [default: by the size of the number, or a text]
    #[arg(long, default_value = "")]
    time_format: String,
    /// Between the cells of a CSV file [default: a comma, of .tsv a tab]
    #[arg(long)]
    delimiter: Option<String>,
    /// Lines of a CSV file before its header
    #[arg(long, default_value_t = 0)]
    skip_rows: usize,
    /// Unit of the times of line protocol: ns, us, ms or s
    #[arg(long, default_value = "ns")]
    precision: String,
    /// For measurements that do not exist yet: append, or last (one row a point)
    #[arg(long, default_value = "append")]
    mode: String,
    /// Files on their way at once; the server takes two
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
    /// Import files that were imported before once more
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    server: Server,
}

/// One file and what it is.
#[derive(Debug, Clone)]
struct Source {
    path: PathBuf,
    bytes: u64,
    format: Format,
}

/// `tidewater import`
pub fn run(options: &Options) -> Result<()> {
    let sources = sources(options)?;
    let (count, bytes) = (sources.len(), sources.iter().map(|s| s.bytes).sum());
    let bar = bar(bytes);
    let began = Instant::now();
    let waiting = Mutex::new(VecDeque::from(sources));
    let (rows, failed) = (Mutex::new(0u64), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..usize::from(options.jobs).min(count) {
            scope.spawn(|| {
                while let Some(source) = next(&waiting) {
                    match send(options, &source, &bar) {
                        Ok(result) => {
                            bar.println(line(&source, &result));
                            *locked(&rows) += result["rows_imported"].as_u64().unwrap_or(0);
                            bar.set_message(format!("{} rows", locked(&rows)));
                        }
                        Err(error) => locked(&failed).push(format!("{}: {error:#}", source.path.display())),
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    let rows = *locked(&rows);
    println!(
        "{rows} rows of {count} files in {seconds:.1} s: {:.0} rows/s, {:.1} MB/s",
        rows as f64 / seconds,
        bytes as f64 / 1e6 / seconds
    );
    let failed = locked(&failed);
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{} of {count} files were not imported; nothing of them is there:\n{}", failed.len(), failed.join("\n"))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn next(waiting: &Mutex<VecDeque<Source>>) -> Option<Source> {
    locked(waiting).pop_front()
}

fn line(source: &Source, result: &Value) -> String {
    let into = match &result["measurements"] {
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(", "),
        _ => text(&result["measurement"]),
    };
    match result["duplicate"] == true {
        true => format!("{}: was imported before ({} rows)", source.path.display(), result["rows_known"]),
        false => format!("{}: {} rows into {into}", source.path.display(), result["rows_imported"]),
    }
}

fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes).with_message("0 rows");
    let style = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {msg} {eta} left";
    bar.with_style(progress::style(style))
}

/// The files that the paths mean, in their order; those of a folder by name.
fn sources(options: &Options) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for named in &options.paths {
        let path = Path::new(named);
        if path.is_dir() {
            let before = found.len();
            folder(path, options, &mut found)?;
            if found.len() == before {
                bail!("{named} holds no file whose name says what it is: .csv, .tsv, .parquet, .lp, .tle");
            }
        } else if named.contains('*') && !path.exists() {
            pattern(path, options, &mut found)?;
        } else {
            found.push(source(path, options)?);
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut entries = listed.map(|e| Ok(e?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

fn folder(path: &Path, options: &Options, found: &mut Vec<Source>) -> Result<()> {
    for entry in entries(path)? {
        if entry.is_dir() {
            folder(&entry, options, found)?;
        } else if format_of(&entry).is_some() {
            found.push(source(&entry, options)?);
        }
    }
    Ok(())
}

/// Files of one folder whose names a pattern means.
fn pattern(path: &Path, options: &Options, found: &mut Vec<Source>) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = |path: &Path| path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
    let wanted = name(path);
    let meant: Vec<PathBuf> =
        entries(parent)?.into_iter().filter(|e| e.is_file() && matches(&wanted, &name(e))).collect();
    if meant.is_empty() {
        bail!("no file is meant by {}; * may stand in the last part of a path", path.display());
    }
    found.extend(meant.iter().map(|e| source(e, options)).collect::<Result<Vec<_>>>()?);
    Ok(())
}

fn source(path: &Path, options: &Options) -> Result<Source> {
    let of_file = || format!("cannot read {}", path.display());
    let bytes = std::fs::metadata(path).with_context(of_file)?.len();
    let format = options
        .format
        .or_else(|| format_of(path))
        .with_context(|| format!("the name of {} does not say what it is; say it with --format", path.display()))?;
    Ok(Source { path: path.to_owned(), bytes, format })
}

/// The name without what says how the file is packed.
fn unpacked(path: &Path) -> PathBuf {
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz" | "zst") => path.with_extension(""),
        _ => path.to_owned(),
    }
}

fn format_of(path: &Path) -> Option<Format> {
    match unpacked(path).extension()?.to_str()? {
        "csv" | "tsv" => Some(Format::Csv),
        "parquet" => Some(Format::Parquet),
        "lp" | "line" => Some(Format::Lp),
        "tle" => Some(Format::Tle),
        _ => None,
    }
}

/// Sends one file and waits until it is durable.
fn send(options: &Options, source: &Source, bar: &ProgressBar) -> Result<Value> {
    let name = unpacked(&source.path);
    let stem = name.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let is_tabbed = name.extension().is_some_and(|e| e == "tsv");
    let delimiter = options.delimiter.as_deref().unwrap_or(if is_tabbed { "\\t" } else { "," });
    let measurement = options.measurement.as_deref();
    let (kind, mut params) = match source.format {
        Format::Csv => ("csv", vec![("delimiter", delimiter.to_owned()), ("skip_rows", options.skip_rows.to_string())]),
        Format::Parquet => ("parquet", Vec::new()),
        Format::Lp => ("lp", vec![("precision", options.precision.clone())]),
        Format::Tle => ("tle", Vec::new()),
    };
    let has_columns = matches!(source.format, Format::Csv | Format::Parquet);
    let measurement = measurement.or(has_columns.then_some(stem));
    params.extend(measurement.map(|m| ("measurement", m.to_owned())));
    if has_columns {
        let columns =
            [("tags", &options.tags), ("time_column", &options.time_column), ("time_format", &options.time_format)];
        params.extend(columns.map(|(name, value)| (name, value.clone())));
    }
    params.extend([("mode", options.mode.clone()), ("idempotent", (!options.again).to_string())]);
    let file = File::open(&source.path).with_context(|| format!("cannot read {}", source.path.display()))?;
    let before = bar.position();
    let body = Watched { inner: file, bar: bar.clone() };
    let headers = [("x-arc-database", options.database.as_str()), ("content-type", "application/octet-stream")];
    let answer = options.server.send(&format!("/api/v1/import/{kind}"), &params, &headers, body, source.bytes);
    if answer.is_err() {
        // what was refused before its end is done with, too
        bar.inc(source.bytes.saturating_sub(bar.position().saturating_sub(before)));
    }
    Ok(answer?["result"].clone())
}

/// Moves the bar with what is read.
struct Watched {
    inner: File,
    bar: ProgressBar,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bar.inc(read as u64);
        Ok(read)
    }
}
