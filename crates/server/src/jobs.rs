use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{Code, Permission, limits};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use store::jobs::{Asked, Handle, Record};
use store::supervisor::{Status, words};
use tokio::task::JoinHandle;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Segments};
use crate::state::{Shared, blocking};
use crate::time::rfc3339;

/// Jobs that a client gets unless it asks for another number.
const LISTED: usize = 50;

/// Runs work that a request asked for as a job. The answer is the work's own when it ends within
/// `server.sync_wait`, else 202 with the job's id; at once when the client asked for that.
///
/// # Errors
/// The work's own, or `overloaded` when too many jobs are on their way.
pub async fn run(
    state: &Shared,
    asked: Asked,
    at_once: bool,
    work: impl FnOnce(&Handle) -> Result<Value, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let (id, task) = begin(state, &asked, work)?;
    if !at_once && let Ok(done) = tokio::time::timeout(state.config().sync_wait, task).await {
        let mut body = done.map_err(|e| ApiError::new(Code::Internal, e.to_string()))??;
        body["job_id"] = id.into();
        return Ok(Json(body).into_response());
    }
    let body = json!({"success": true, "status": "running", "job_id": id, "location": format!("/api/v1/jobs/{id}")});
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// Begins work that a request asked for as a job: its id, and what will come of it, also when it panics.
///
/// # Errors
/// `overloaded` when too many jobs are on their way.
pub fn begin(
    state: &Shared,
    asked: &Asked,
    work: impl FnOnce(&Handle) -> Result<Value, ApiError> + Send + 'static,
) -> Result<(i64, JoinHandle<Result<Value, ApiError>>), ApiError> {
    let handle = state.store.jobs().begin(asked, state.clock.now_us())?;
    let (id, owned) = (handle.id, Arc::clone(state));
    let task = tokio::spawn(blocking(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&handle)));
        let outcome = outcome.unwrap_or_else(|panic| Err(ApiError::new(Code::Internal, words(&*panic))));
        let told = outcome.as_ref().map(Value::clone).map_err(|e| (e.code == Code::Cancelled, e.message.clone()));
        if let Err(error) = owned.store.end_job(&handle, told) {
            tracing::error!(%error, job = handle.id, "the end of a job could not be written; the next start settles it");
        }
        outcome
    }));
    Ok((id, task))
}

/// Whether a client waits for its job.
#[derive(Debug, Default, Deserialize)]
pub struct Waiting {
    #[serde(default, rename = "async")]
    pub at_once: bool,
}

fn describe_task(status: &Status, caller: &Caller) -> Value {
    json!({
        "name": status.name,
        "state": status.state(),
        "last_run": status.last_run_us.map(rfc3339),
        // it may name tables
        "last_error": status.last_error.as_ref().filter(|_| caller.access.is_unscoped()),
        "consecutive_errors": status.consecutive_errors,
        "next_run": status.next_run_us.map(rfc3339),
        "backoff_s": status.backoff_us() / 1_000_000,
        "runs": status.runs,
        "failures": status.failures,
        "duration_ms": status.duration_us as f64 / 1e3,
    })
}

fn describe(job: &Record) -> Value {
    let (done, total) = job.progress;
    json!({
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "database": job.database,
        "measurement": job.measurement,
        "request": job.detail,
        "owner": job.owner,
        "created_at": rfc3339(job.created_us),
        "finished_at": job.finished_us.map(rfc3339),
        "progress": {"done": done, "total": total},
        "result": job.result,
        "error": job.error,
    })
}

/// Which jobs a client wants to see.
#[derive(Debug, Deserialize)]
pub struct Page {
    kind: Option<String>,
    limit: Option<usize>,
}

fn is_seen(caller: &Caller, job: &Record) -> bool {
    *job.owner == *caller.name || caller.may_see(job.database.as_deref(), job.measurement.as_deref())
}

fn recent(state: &Shared, caller: &Caller, kind: Option<&str>, limit: Option<usize>) -> Result<Vec<Value>, ApiError> {
    let limit = limit.unwrap_or(LISTED).min(limits::LISTED_JOBS);
    let jobs = state.store.jobs().list(kind, limit)?;
    Ok(jobs.iter().filter(|j| is_seen(caller, j)).map(describe).collect())
}

/// `GET /api/v1/jobs`: every background task, and the last jobs that requests started.
pub async fn list(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Result<Json<Value>, ApiError> {
    let tasks: Vec<Value> = state.supervisor.statuses().iter().map(|t| describe_task(t, &caller)).collect();
    let jobs = recent(&state, &caller, page.kind.as_deref(), page.limit)?;
    Ok(Json(json!({"tasks": tasks, "jobs": jobs})))
}

fn unknown(id: i64) -> ApiError {
    ApiError::new(Code::NotFound, format!("job {id} does not exist"))
}

/// The job, as far as the caller may know of it.
fn seen(state: &Shared, caller: &Caller, id: i64) -> Result<Record, ApiError> {
    state.store.jobs().get(id)?.filter(|j| is_seen(caller, j)).ok_or_else(|| unknown(id))
}

/// `GET /api/v1/jobs/{id}`
pub async fn one(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(describe(&seen(&state, &caller, id)?)))
}

/// `POST /api/v1/jobs/{id}/cancel`: the job ends at its next step and leaves nothing behind.
pub async fn cancel(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
) -> Result<Json<Value>, ApiError> {
    let job = seen(&state, &caller, id)?;
    if *job.owner != *caller.name {
        let table = job.measurement.as_deref().unwrap_or("*");
        caller.check(Permission::Admin, job.database.as_deref().unwrap_or("*"), table)?;
    }
    if state.store.jobs().cancel(id) {
        return Ok(Json(json!({"success": true, "message": "the job ends at its next step"})));
    }
    let state = seen(&state, &caller, id)?.state;
    Err(ApiError::new(Code::InvalidParameter, format!("job {id} is {state} already")))
}

/// `GET /api/v1/delete/history`: who deleted what, newest first.
pub async fn deletes(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Result<Json<Value>, ApiError> {
    let deletes = recent(&state, &caller, Some("delete"), page.limit)?;
    Ok(Json(json!({"count": deletes.len(), "deletes": deletes})))
}

/// `GET /api/v1/compaction/jobs`: runs that were asked for.
pub async fn compactions(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Result<Json<Value>, ApiError> {
    let jobs = recent(&state, &caller, Some("compaction"), page.limit)?;
    Ok(Json(json!({"count": jobs.len(), "jobs": jobs})))
}

/// `GET /api/v1/compaction/locks`
pub async fn locks(Extract(state): Extract<Shared>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let owned = Arc::clone(&state);
    let locks = blocking(move || Ok(owned.store.locks()?)).await?;
    let (now_us, boot_us) = (state.clock.now_us(), state.clock.boot_us());
    let wall = |us: i64| rfc3339(now_us - (boot_us - us));
    let view = state.store.view();
    let describe = |lock: &store::catalog::locks::Lock| {
        let table = view.tables.get(&lock.wanted.table);
        let database = table.and_then(|t| view.database_of(&t.info));
        let bound = |us: i64| model::time::check(us).ok().map(rfc3339);
        json!({
            "token": lock.token,
            "database": database.map(|d| &*d.name),
            "measurement": table.map(|t| &*t.info.name),
            "from": bound(lock.wanted.from_us),
            "to": bound(lock.wanted.to_us),
            "owner": lock.wanted.owner,
            "job": lock.wanted.job,
            "acquired_at": wall(lock.acquired_us),
            "heartbeat_at": wall(lock.heartbeat_us),
            "expires_at": wall(lock.expires_us),
            "expired": lock.expires_us <= boot_us,
        })
    };
    let is_seen = |lock: &&store::catalog::locks::Lock| {
        let table = view.tables.get(&lock.wanted.table);
        let database = table.and_then(|t| view.database_of(&t.info));
        caller.may_see(database.map(|d| &*d.name), table.map(|t| &*t.info.name))
    };
    let locks: Vec<Value> = locks.iter().filter(is_seen).map(describe).collect();
    Ok(Json(json!({"count": locks.len(), "locks": locks})))
}

/// `POST /api/v1/compaction/locks/cleanup`: removes locks that were not renewed in time.
pub async fn clean_up_locks(Extract(state): Extract<Shared>) -> Result<Json<Value>, ApiError> {
    let removed = blocking(move || Ok(state.store.clean_up_locks()?)).await?;
    Ok(Json(json!({"success": true, "removed": removed})))
}

/// A JSON body that may be absent.
pub fn body_or_default<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    match body.is_empty() {
        true => Ok(T::default()),
        false => serde_json::from_slice(body).map_err(|e| ApiError::new(Code::InvalidBody, e.to_string())),
    }
}
