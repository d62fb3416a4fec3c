//! Backups of the whole folder, with Arc's routes and fields.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{TimeZone, Utc};
use model::{Code, limits};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use store::backup::{self, Manifest, Progress, Wanted};
use store::jobs::{Asked, Handle};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Segments;
use crate::jobs::{self, body_or_default};
use crate::state::{Shared, State, blocking};
use crate::time::rfc3339;

/// Where backups go, and the one that is on its way or was last.
#[derive(Debug)]
pub struct Backups {
    folder: PathBuf,
    enabled: bool,
    last: Mutex<Option<Arc<Work>>>,
}

/// A backup or restore from its begin on.
#[derive(Debug)]
struct Work {
    operation: &'static str,
    id: String,
    folder: PathBuf,
    started_us: i64,
    progress: Progress,
    /// When it ended, and why it failed.
    ended: Mutex<Option<(i64, Option<String>)>>,
}

impl Work {
    fn end(&self, state: &State, error: Option<String>) {
        *self.ended.lock() = Some((state.clock.now_us(), error));
    }

    fn describe(&self) -> Value {
        let ended = self.ended.lock().clone();
        let status = match &ended {
            None => "running",
            Some((_, None)) => "completed",
            Some((_, Some(_))) => "failed",
        };
        let p = &self.progress;
        json!({
            "operation": self.operation,
            "backup_id": self.id,
            "status": status,
            "folder": self.folder.display().to_string(),
            "total_files": p.total_files.load(Relaxed),
            "processed_files": p.processed_files.load(Relaxed),
            "skipped_files": 0,
            "reused_files": p.reused_files.load(Relaxed),
            "total_bytes": p.total_bytes.load(Relaxed),
            "processed_bytes": p.processed_bytes.load(Relaxed),
            "started_at": rfc3339(self.started_us),
            "completed_at": ended.as_ref().map(|(at, _)| rfc3339(*at)),
            "error": ended.and_then(|(_, error)| error),
        })
    }
}

impl Backups {
    pub fn new(folder: PathBuf, enabled: bool) -> Self {
        Self { folder, enabled, last: Mutex::default() }
    }

    /// # Errors
    /// Backups over HTTP are switched off.
    fn check(&self) -> Result<(), ApiError> {
        let off = || ApiError::new(Code::NotFound, "backup.enabled is false: there are no backups over HTTP");
        if self.enabled { Ok(()) } else { Err(off()) }
    }

    /// Takes the only place; the caller must end what it gets.
    fn begin(&self, operation: &'static str, id: String, folder: PathBuf, now_us: i64) -> Result<Arc<Work>, ApiError> {
        let mut last = self.last.lock();
        if let Some(running) = last.as_ref().filter(|w| w.ended.lock().is_none()) {
            let message = format!("{} {} is on its way; ask /api/v1/backup/status", running.operation, running.id);
            let error = ApiError::new(Code::AlreadyRunning, message).with("status", "running".into());
            return Err(error.with("operation", running.operation.into()));
        }
        let (progress, ended) = Default::default();
        let work = Arc::new(Work { operation, id, folder, started_us: now_us, progress, ended });
        *last = Some(Arc::clone(&work));
        Ok(work)
    }

    /// The folder of a finished backup.
    ///
    /// # Errors
    /// There is no such backup, or the text is no id.
    fn find(&self, id: &str) -> Result<PathBuf, ApiError> {
        self.check()?;
        let unknown = || ApiError::new(Code::NotFound, format!("backup {id:?} does not exist"));
        let is_id = id.starts_with("backup-") && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let folder = self.folder.join(id);
        if is_id && folder.is_dir() { Ok(folder) } else { Err(unknown()) }
    }
}

/// `backup-YYYYMMDD-HHMMSS-<8 hexadecimal digits>`
fn new_id(now_us: i64) -> String {
    let now = Utc.timestamp_micros(now_us).single().unwrap_or_default();
    format!("backup-{}-{}", now.format("%Y%m%d-%H%M%S"), &store::random::uuid()[..8])
}

/// What `POST /api/v1/backup` may say.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Ask {
    include_metadata: bool,
    /// Settings come from file and environment, which are not the server's to copy.
    include_config: bool,
    /// An absolute path that does not exist yet, instead of one below `backup.local_path`.
    path: Option<String>,
    /// The id or absolute path of an earlier backup.
    against: Option<String>,
    /// Copies where hard links would do.
    copy: bool,
}

impl Default for Ask {
    fn default() -> Self {
        Self { include_metadata: true, include_config: true, path: None, against: None, copy: false }
    }
}

fn absolute(field: &str, text: &str) -> Result<PathBuf, ApiError> {
    let path = PathBuf::from(text);
    let plain = path.components().all(|c| !matches!(c, std::path::Component::ParentDir));
    if path.is_absolute() && plain {
        return Ok(path);
    }
    Err(ApiError::new(Code::InvalidParameter, format!("{field} {text:?} must be an absolute path without \"..\"")))
}

/// `POST /api/v1/backup`: 202; its progress is at `/api/v1/backup/status`.
pub async fn create(Extract(state): Extract<Shared>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    state.backups.check()?;
    let ask: Ask = body_or_default(&body)?;
    let now_us = state.clock.now_us();
    let id = new_id(now_us);
    let folder = match &ask.path {
        Some(path) => absolute("path", path)?,
        None => state.backups.folder.join(&id),
    };
    let against = match ask.against.as_deref() {
        None => None,
        Some(known) if known.starts_with("backup-") => Some(state.backups.find(known)?),
        Some(path) => Some(absolute("against", path)?),
    };
    let wanted = Wanted { folder: folder.clone(), against, include_metadata: ask.include_metadata, copy: ask.copy };
    let work = state.backups.begin("backup", id.clone(), folder, now_us)?;
    let detail = json!({"backup_id": id, "folder": work.folder.display().to_string()});
    let asked = Asked { kind: "backup", database: None, measurement: None, detail, owner: caller.name.to_string() };
    start(&state, work, &asked, move |state, work, job| {
        let made = state.store.backup(&work.id, &wanted, &work.progress, job)?;
        Ok(
            json!({"backup_id": made.backup_id, "total_files": made.total_files, "total_size_bytes": made.total_size_bytes}),
        )
    })
}

/// What `POST /api/v1/backup/restore` may say.
#[derive(Debug, Deserialize)]
pub struct Again {
    backup_id: String,
    /// An absolute path: an empty folder, or one that does not exist yet.
    path: Option<String>,
    #[serde(default)]
    confirm: bool,
}

/// `POST /api/v1/backup/restore`: into an empty folder of the server's disk, verified; a server is then started on
/// it. The folder of a running server is never written over.
pub async fn restore(Extract(state): Extract<Shared>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    state.backups.check()?;
    let ask: Again = serde_json::from_slice(&body).map_err(|e| {
        ApiError::new(
            Code::InvalidBody,
            format!("the body is not of the form {{\"backup_id\": …, \"confirm\": true}}: {e}"),
        )
    })?;
    if !ask.confirm {
        return Err(ApiError::new(Code::InvalidParameter, "send \"confirm\": true to restore"));
    }
    let backup = state.backups.find(&ask.backup_id)?;
    let folder = match &ask.path {
        Some(path) => absolute("path", path)?,
        None => state.backups.folder.join(ask.backup_id.replacen("backup-", "restored-", 1)),
    };
    let work = state.backups.begin("restore", ask.backup_id, folder.clone(), state.clock.now_us())?;
    let detail = json!({"backup_id": work.id, "folder": folder.display().to_string()});
    let asked = Asked { kind: "restore", database: None, measurement: None, detail, owner: caller.name.to_string() };
    start(&state, work, &asked, move |_, work, _| {
        let made = backup::restore(&backup, &folder, &work.progress)?;
        Ok(json!({"backup_id": work.id, "total_files": made.files, "total_size_bytes": made.bytes}))
    })
}

/// Runs the work as a job that nobody waits for.
fn start(
    state: &Shared,
    work: Arc<Work>,
    asked: &Asked,
    run: impl FnOnce(&State, &Work, &Handle) -> Result<Value, store::Error> + Send + 'static,
) -> Result<Response, ApiError> {
    let (owned, running) = (Arc::clone(state), Arc::clone(&work));
    let begun = jobs::begin(state, asked, move |job| Ok(run(&owned, &running, job)?));
    let (job, task) = begun.inspect_err(|error| work.end(state, Some(error.message.clone())))?;
    let body = json!({
        "message": format!("the {} has begun", work.operation), "status": "running", "backup_id": work.id,
        "job_id": job, "folder": work.folder.display().to_string(),
    });
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let error = match task.await {
            Ok(outcome) => outcome.err().map(|e| e.message),
            Err(cut) => Some(cut.to_string()),
        };
        if let Some(error) = &error {
            tracing::error!(error, operation = work.operation, id = work.id, "it failed; nothing of it is left");
        }
        work.end(&state, error);
    });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

fn summary(manifest: &Manifest) -> Value {
    json!({
        "backup_id": manifest.backup_id,
        "created_at": rfc3339(manifest.created_us),
        "backup_type": manifest.backup_type,
        "total_files": manifest.total_files,
        "total_size_bytes": manifest.total_size_bytes,
        "database_count": manifest.databases.len(),
    })
}

/// `GET /api/v1/backup`, newest first
pub async fn list(Extract(state): Extract<Shared>) -> Result<Json<Value>, ApiError> {
    state.backups.check()?;
    blocking(move || {
        let mut found: Vec<Manifest> =
            finished(&state.backups.folder).iter().filter_map(|f| backup::read_manifest(f).ok()).collect();
        found.sort_by_key(|m| std::cmp::Reverse(m.created_us));
        let backups: Vec<Value> = found.iter().map(summary).collect();
        Ok(Json(json!({"count": backups.len(), "backups": backups})))
    })
    .await
}

/// Folders with the name of a finished backup, the newest of them.
fn finished(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_backup = |name: &str| name.starts_with("backup-") && !name.contains('.');
    let mut found: Vec<PathBuf> =
        entries.filter(|e| e.file_name().to_str().is_some_and(is_backup)).map(|e| e.path()).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(limits::LISTED_BACKUPS);
    found
}

/// `GET /api/v1/backup/status`: the backup or restore that is on its way or was last.
pub async fn status(Extract(state): Extract<Shared>) -> Result<Json<Value>, ApiError> {
    state.backups.check()?;
    let last = state.backups.last.lock().clone();
    Ok(Json(last.map_or_else(|| json!({"status": "idle"}), |work| work.describe())))
}

/// `GET /api/v1/backup/{id}`
pub async fn one(Extract(state): Extract<Shared>, Segments(id): Segments<String>) -> Result<Json<Value>, ApiError> {
    let folder = state.backups.find(&id)?;
    blocking(move || {
        let manifest = backup::read_manifest(&folder)?;
        let mut body = summary(&manifest);
        body["version"] = manifest.version.into();
        body["databases"] = json!(manifest.databases);
        body["snapshot"] = manifest.snapshot.into();
        body["against"] = json!(manifest.against);
        body["has_metadata"] = manifest.has_metadata.into();
        body["has_config"] = false.into();
        Ok(Json(body))
    })
    .await
}

/// `DELETE /api/v1/backup/{id}`: others that share files with it stay whole.
pub async fn delete(Extract(state): Extract<Shared>, Segments(id): Segments<String>) -> Result<Json<Value>, ApiError> {
    let folder = state.backups.find(&id)?;
    let busy = state.backups.last.lock().as_ref().is_some_and(|w| w.id == id && w.ended.lock().is_none());
    if busy {
        return Err(ApiError::new(Code::AlreadyRunning, format!("backup {id} is in use")));
    }
    blocking(move || {
        // under another name first: what is half removed must not be listed
        let gone = folder.with_extension("removed");
        store::durable::rename(&folder, &gone)?;
        std::fs::remove_dir_all(&gone).map_err(store::Error::io("cannot remove", &gone))?;
        Ok(Json(json!({"success": true, "message": "the backup is removed", "backup_id": id})))
    })
    .await
}
