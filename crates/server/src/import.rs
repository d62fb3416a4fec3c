//! Files in: CSV, Parquet, line protocol and element sets, each in one commit.
//!
//! A file is first put on disk, without a name, so that it can be read more than once in bounded memory: CSV is read
//! for its types and then for its rows, and an import begins again when a table changes under it.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::{HeaderMap, header};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, TryStreamExt};
use model::time::Precision;
use model::{Batch, Code, ColumnType, DatabaseName, ItemName, Permission, TableMode, fold, limits};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::import::ImportedTable;
use store::jobs::{Asked, Handle};
use wire::import::{ImportError, TimeFormat, csv, lines, parquet};
use wire::{inflate, tle};

use crate::auth::Caller;
use crate::body::{Payload, broken};
use crate::error::ApiError;
use crate::extract::Params;
use crate::jobs;
use crate::state::{Shared, State, blocking, count};
use crate::time::rfc3339;
use crate::write;

/// Bytes of an upload that are written in one go.
const SPOOLED_BYTES: usize = 1 << 20;
/// Bytes of an upload after which the disk is looked at again.
const DISK_BYTES: u64 = 64 << 20;

/// Bytes of element sets that are read at once: every object that is tracked is a hundredth of it.
const TLE_BYTES: u64 = 64 << 20;

/// What the routes have done since the start.
#[derive(Debug, Default)]
pub struct Counters {
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// How a file is to be read.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Wanted {
    db: Option<String>,
    measurement: Option<String>,
    time_column: Option<String>,
    #[serde(default)]
    time_format: String,
    delimiter: Option<String>,
    #[serde(default)]
    skip_rows: usize,
    /// Columns with commas between.
    #[serde(default)]
    tags: String,
    #[serde(default)]
    precision: String,
    /// Of tables that do not exist yet: `append` or `last`.
    mode: Option<TableMode>,
    /// The same file again is not imported again.
    #[serde(default)]
    idempotent: bool,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Parquet,
    Lines,
    Tle,
}

/// `POST /api/v1/import/csv`, `/parquet`, `/lp` and `/tle`
pub fn file(
    format: Format,
) -> impl Fn(Extract<Shared>, Caller, Params<Wanted>, HeaderMap, Payload) -> BoxFuture<'static, Answer> + Clone {
    move |Extract(state), caller, Params(wanted), headers, body| {
        Box::pin(async move { import(&state, caller, wanted, &headers, body, format).await })
    }
}

type Answer = Result<Json<Value>, ApiError>;

/// `GET /api/v1/import/stats`
pub async fn stats(Extract(state): Extract<Shared>) -> Json<Value> {
    let (requests, errors) =
        state.counters.routes.totals(|path| path.starts_with("/api/v1/import/") && !path.ends_with("stats"));
    Json(json!({"status": "ok", "stats": {
        "total_requests": requests,
        "total_records": state.imports.rows.load(Ordering::Relaxed),
        "total_bytes": state.imports.bytes.load(Ordering::Relaxed),
        "total_errors": errors,
    }}))
}

async fn import(
    state: &Shared,
    caller: Caller,
    wanted: Wanted,
    headers: &HeaderMap,
    body: Payload,
    format: Format,
) -> Answer {
    let began = Instant::now();
    let plan = Plan::of(wanted, headers, format)?;
    if let Some(measurement) = &plan.measurement {
        caller.check(Permission::Write, plan.database.as_str(), measurement.as_str())?;
    }
    let turn = tokio::time::timeout(state.config().write_wait, state.importing.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        let most = limits::IMPORTS;
        return Err(ApiError::new(
            Code::Overloaded,
            format!("{most} imports are on their way; try again when one has ended"),
        ));
    };
    let upload = Upload::read(state, headers, body, &plan).await?;
    count(&state.imports.bytes, upload.bytes);
    let name = plan.wanted.idempotent.then(|| format!("import-{}", hex(&upload.hash)));
    // a twin waits for the first and then finds what it did
    let _twin = match &name {
        Some(_) => Some(state.in_flight.take(upload.hash).await),
        None => None,
    };
    if let Some(name) = name.clone() {
        let store = Arc::clone(&state.store);
        if let Some(rows) = blocking(move || Ok(store.imported(&name)?)).await? {
            let mut result = plan.result(&[], &[], began);
            (result["rows_imported"], result["rows_known"], result["duplicate"]) = (0.into(), rows.into(), true.into());
            return Ok(Json(json!({"status": "ok", "result": result})));
        }
    }
    let asked = Asked {
        kind: "import",
        database: Some(plan.database.to_string()),
        measurement: plan.measurement.as_ref().map(ItemName::to_string),
        detail: json!({"format": plan.name(), "bytes": upload.bytes}),
        owner: caller.name.to_string(),
    };
    let owned = Arc::clone(state);
    let (id, task) = jobs::begin(state, &asked, move |job| {
        let done = plan.run(&owned, &caller, &upload, job, name)?;
        let mut result = plan.result(&done.tables, &done.columns, began);
        done.told.into_iter().for_each(|(field, value)| result[field] = value);
        Ok(result)
    })?;
    let mut result = task.await.map_err(|e| ApiError::new(Code::Internal, e.to_string()))??;
    count(&state.imports.rows, result["rows_imported"].as_u64().unwrap_or(0));
    result["job_id"] = id.into();
    Ok(Json(json!({"status": "ok", "result": result})))
}

/// What a request asks for, checked.
#[derive(Debug, Clone)]
struct Plan {
    format: Format,
    database: DatabaseName,
    /// Of line protocol: the only one that is imported.
    measurement: Option<ItemName>,
    time_column: String,
    time_format: TimeFormat,
    delimiter: u8,
    precision: Precision,
    tags: Vec<String>,
    wanted: Wanted,
}

impl Plan {
    fn of(wanted: Wanted, headers: &HeaderMap, format: Format) -> Result<Self, ApiError> {
        let bad = |text: String| ApiError::new(Code::InvalidParameter, text);
        let named = headers.get("x-arc-database").map(|v| v.to_str().unwrap_or("\u{7f}")).filter(|v| !v.is_empty());
        let named = named
            .or(wanted.db.as_deref())
            .ok_or_else(|| bad("the database is missing: name it in x-arc-database or db".into()))?;
        let orbits = (format == Format::Tle).then(|| write::orbits(headers)).transpose()?;
        let named_table = wanted.measurement.as_deref().filter(|m| !m.is_empty());
        let named_table = named_table.or(orbits.as_ref().map(ItemName::as_str));
        if named_table.is_none() && format != Format::Lines {
            return Err(bad("\"measurement\" is missing: name the measurement that the rows go to".into()));
        }
        let delimiter = match wanted.delimiter.as_deref().unwrap_or(",") {
            "\\t" | "tab" => b'\t',
            text => match text.as_bytes() {
                [one] if !matches!(one, b'"' | b'\n' | b'\r') => *one,
                _ => return Err(bad(format!("delimiter {text:?} is not one character, like , ; | or \\t"))),
            },
        };
        let unknown = || {
            format!(
                "time_format {:?} is unknown; use epoch_s, epoch_ms, epoch_us, epoch_ns, or none",
                wanted.time_format
            )
        };
        let precision = match wanted.precision.as_str() {
            "" => Precision::Nanosecond,
            text => Precision::parse(text)
                .ok_or_else(|| bad(format!("precision {text:?} is unknown; use ns, us, ms, s, m or h")))?,
        };
        let tags = wanted.tags.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
        Ok(Self {
            format,
            database: DatabaseName::new(named)?,
            measurement: named_table.map(|m| ItemName::new("table", m)).transpose()?,
            time_column: wanted.time_column.clone().filter(|c| !c.is_empty()).unwrap_or_else(|| "time".into()),
            time_format: TimeFormat::parse(&wanted.time_format).ok_or_else(|| bad(unknown()))?,
            delimiter,
            precision,
            tags: tags.collect(),
            wanted,
        })
    }

    fn name(&self) -> &'static str {
        match self.format {
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::Lines => "lp",
            Format::Tle => "tle",
        }
    }

    /// Arc's account of an import.
    fn result(&self, tables: &[ImportedTable], columns: &[String], began: Instant) -> Value {
        let time = |us: Option<i64>| us.map(rfc3339);
        let rows: u64 = tables.iter().map(|t| t.rows).sum();
        let mut result = json!({
            "database": self.database.as_str(),
            "rows_imported": rows,
            "partitions_created": tables.iter().map(|t| t.files).sum::<usize>(),
            "time_range_min": time(tables.iter().map(|t| t.time.0).min()),
            "time_range_max": time(tables.iter().map(|t| t.time.1).max()),
            "duration_ms": began.elapsed().as_millis() as u64,
        });
        match self.format {
            Format::Lines => {
                result["measurements"] = tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().into();
                result["precision"] =
                    if self.wanted.precision.is_empty() { "ns" } else { &self.wanted.precision }.into();
            }
            Format::Tle => result["measurement"] = self.measurement.as_ref().map(ItemName::as_str).into(),
            _ => {
                result["measurement"] = self.measurement.as_ref().map(ItemName::as_str).into();
                result["columns"] = columns.into();
            }
        }
        result
    }

    /// Imports the file; begins again when a table changes under it.
    fn run(
        &self,
        state: &State,
        caller: &Caller,
        upload: &Upload,
        job: &Handle,
        name: Option<String>,
    ) -> Result<Done, ApiError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.attempt(state, caller, upload, job, name.as_deref()) {
                Err(error) if error.code == Code::SchemaChurn && attempt < limits::RESOLVE_ATTEMPTS => {}
                other => return other,
            }
        }
    }

    fn attempt(
        &self,
        state: &State,
        caller: &Caller,
        upload: &Upload,
        job: &Handle,
        name: Option<&str>,
    ) -> Result<Done, ApiError> {
        let read = AtomicU64::new(0);
        let Source { pieces, columns, total, told } = self.source(state, upload, &read)?;
        let mode = self.wanted.mode.unwrap_or(TableMode::Append);
        let mut import = state.store.import(self.database.clone(), mode);
        let mut rows = 0;
        for piece in pieces {
            let done = if self.format == Format::Parquet { rows } else { read.load(Ordering::Relaxed) as usize };
            job.step(done, total as usize)?;
            let mut batches = piece.map_err(failed)?;
            if self.format == Format::Lines {
                batches.retain(|b| self.measurement.as_ref().is_none_or(|m| fold(m.as_str()) == fold(&b.table)));
                for batch in &batches {
                    caller.check(Permission::Write, self.database.as_str(), &batch.table)?;
                }
            }
            rows += batches.iter().map(Batch::rows).sum::<usize>();
            import.add(batches)?;
        }
        if rows == 0 {
            return Err(ApiError::new(Code::InvalidBody, "the file holds no row that is to be imported"));
        }
        job.step(total as usize, total as usize)?;
        Ok(Done { tables: import.commit(job, name)?, columns, told })
    }

    /// The rows of the file, as its format has them; `read` counts the bytes that were read of it.
    fn source<'a>(&self, state: &State, upload: &Upload, read: &'a AtomicU64) -> Result<Source<'a>, ApiError> {
        let max = state.config().max_import_bytes;
        let table = self.measurement.as_ref().map_or("", ItemName::as_str);
        let file = || upload.rewound().map_err(|e| failed(ImportError::Io(e)));
        let input = || {
            let input = inflate::reader(Counting { inner: file()?, read }, max);
            input.map_err(|e| failed(ImportError::Io(e)))
        };
        let (time_column, time_format, tags) = (self.time_column.clone(), self.time_format, self.tags.clone());
        let named = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect();
        match self.format {
            Format::Csv => {
                let (delimiter, skip_rows) = (self.delimiter, self.wanted.skip_rows);
                let options = csv::Options { delimiter, skip_rows, time_column, time_format, tags };
                let view = state.store.view();
                let known = view.table(self.database.as_str(), table);
                let is_text = |column: &str| {
                    let columns = known.map_or(&[][..], |t| t.info.schema.columns());
                    columns.iter().any(|c| fold(&c.name) == fold(column) && c.ty == ColumnType::Utf8)
                };
                let columns = csv::Columns::read(input()?, &options, is_text).map_err(failed)?;
                let names = named(&mut columns.names());
                let pieces = csv::Pieces::open(input()?, columns, options, table).map_err(failed)?;
                // once for the types, once for the rows
                Ok(Source { pieces: Box::new(pieces), columns: names, total: upload.bytes * 2, told: Vec::new() })
            }
            Format::Parquet => {
                let options = parquet::Options { time_column, time_format, tags };
                let pieces = parquet::Pieces::open(file()?, options, table).map_err(failed)?;
                let (columns, total) = (named(&mut pieces.names()), pieces.rows());
                Ok(Source { pieces: Box::new(pieces), columns, total, told: Vec::new() })
            }
            Format::Lines => {
                let pieces = lines::Pieces::open(input()?, self.precision, state.clock.now_us());
                Ok(Source { pieces: Box::new(pieces), columns: Vec::new(), total: upload.bytes, told: Vec::new() })
            }
            Format::Tle => {
                let mut bytes = Vec::new();
                let read = input()?.take(TLE_BYTES + 1).read_to_end(&mut bytes);
                read.map_err(|e| failed(ImportError::Io(e)))?;
                if bytes.len() as u64 > TLE_BYTES {
                    let text = format!("the file has more than {} MiB of element sets; split it", TLE_BYTES >> 20);
                    return Err(ApiError::new(Code::PayloadTooLarge, text));
                }
                let decoded = tle::decode(&bytes, table)?;
                let warnings = decoded.errors.iter().map(|e| format!("line {}: {}", e.number, e.reason));
                let told = [
                    ("satellite_count", decoded.satellites.into()),
                    ("entries_refused", decoded.bad.into()),
                    ("parse_warnings", warnings.collect::<Vec<_>>().into()),
                ];
                let pieces = Box::new(std::iter::once(Ok(decoded.batches)));
                Ok(Source { pieces, columns: Vec::new(), total: upload.bytes, told: told.into() })
            }
        }
    }
}

/// A file that is read.
struct Source<'a> {
    pieces: Box<dyn Iterator<Item = Result<Vec<Batch>, ImportError>> + 'a>,
    columns: Vec<String>,
    /// What progress is counted to: bytes that are read, of Parquet rows.
    total: u64,
    /// What the answer tells beside.
    told: Vec<(&'static str, Value)>,
}

/// What an import did.
struct Done {
    tables: Vec<ImportedTable>,
    columns: Vec<String>,
    told: Vec<(&'static str, Value)>,
}

fn failed(error: ImportError) -> ApiError {
    let message = error.to_string();
    match error {
        ImportError::Cell { line, column, value, .. } => ApiError::new(Code::InvalidLines, message)
            .with("line", line.into())
            .with("column", column.into())
            .with("value", value.into()),
        ImportError::Line { line, .. } => ApiError::new(Code::InvalidLines, message).with("line", line.into()),
        ImportError::File(_) => ApiError::new(Code::InvalidBody, message),
        ImportError::Io(e)
            if matches!(
                e.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput
            ) =>
        {
            ApiError::new(Code::InvalidBody, message)
        }
        ImportError::Io(_) => ApiError::new(Code::Internal, message),
    }
}

/// A file on disk that has no name: it is gone with whoever holds it, also when the process is killed.
#[derive(Debug)]
struct Upload {
    file: File,
    bytes: u64,
    /// Of its bytes and of how they are to be read.
    hash: [u8; 32],
}

impl Upload {
    /// The part `file` of a form, or a whole body of another type.
    async fn read(state: &Shared, headers: &HeaderMap, body: Payload, plan: &Plan) -> Result<Self, ApiError> {
        let body = match body {
            Payload::Whole(whole) => Body::from(whole.bytes.clone()),
            Payload::Coming(body) => body,
        };
        let bytes = body.into_data_stream();
        let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let Ok(boundary) = multer::parse_boundary(kind) else {
            return Self::spool(state, bytes.map_err(broken), plan).await;
        };
        let mut form = multer::Multipart::new(bytes, boundary);
        loop {
            let Some(part) = form.next_field().await.map_err(no_form)? else {
                let text = "the form has no part named \"file\"";
                return Err(ApiError::new(Code::InvalidBody, text));
            };
            if part.name() == Some("file") {
                return Self::spool(state, part.map_err(no_form), plan).await;
            }
        }
    }

    async fn spool(
        state: &Shared,
        bytes: impl Stream<Item = Result<Bytes, ApiError>>,
        plan: &Plan,
    ) -> Result<Self, ApiError> {
        let max = state.config().max_import_bytes;
        let folder = state.store.shared().layout.tmp();
        let full = |e: io::Error| match e.kind() {
            io::ErrorKind::StorageFull => {
                ApiError::new(Code::DiskFull, format!("the upload does not fit on the disk: {e}"))
            }
            _ => ApiError::new(Code::Internal, format!("the upload cannot be put on disk: {e}")),
        };
        let mut file = blocking(move || tempfile::tempfile_in(folder).map_err(full)).await?;
        // only who asks for it is known by it
        let is_known = plan.wanted.idempotent;
        let mut hasher = Sha256::new();
        // the same bytes read in another way are another import
        hasher.update(format!("{}\0{:?}\0", plan.database, (plan.name(), &plan.measurement, &plan.wanted)));
        let (mut length, mut looked_at) = (0u64, 0u64);
        // what waits to be written, so that few calls write much
        let (mut waiting, mut waiting_bytes) = (Vec::new(), 0);
        let mut bytes = std::pin::pin!(bytes);
        state.store.shared().check_disk()?;
        loop {
            let chunk = bytes.next().await.transpose()?;
            let is_over = chunk.is_none();
            if let Some(chunk) = chunk {
                length += chunk.len() as u64;
                waiting_bytes += chunk.len();
                waiting.push(chunk);
            }
            if length > max {
                let text = format!("the file has more than {max} bytes (import.max_size); split it");
                return Err(ApiError::new(Code::PayloadTooLarge, text));
            }
            if length - looked_at > DISK_BYTES {
                looked_at = length;
                state.store.shared().check_disk()?;
            }
            if is_over || waiting_bytes >= SPOOLED_BYTES {
                let chunks: Vec<Bytes> = std::mem::take(&mut waiting);
                waiting_bytes = 0;
                (file, hasher) = blocking(move || {
                    for chunk in chunks {
                        if is_known {
                            hasher.update(&chunk);
                        }
                        file.write_all(&chunk).map_err(full)?;
                    }
                    Ok((file, hasher))
                })
                .await?;
            }
            if is_over {
                break;
            }
        }
        if length == 0 {
            return Err(ApiError::new(Code::InvalidBody, "the file is empty"));
        }
        Ok(Self { file, bytes: length, hash: hasher.finalize().into() })
    }

    /// The file from its begin; one reader at a time.
    fn rewound(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }
}

fn no_form(error: multer::Error) -> ApiError {
    match error {
        multer::Error::StreamReadFailed(error) => match error.downcast::<axum::Error>() {
            Ok(error) => broken(*error),
            Err(error) => ApiError::new(Code::InvalidBody, format!("the body ended early: {error}")),
        },
        error => ApiError::new(Code::InvalidBody, format!("the body is no form: {error}")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Counts what is read.
struct Counting<'a> {
    inner: File,
    read: &'a AtomicU64,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
