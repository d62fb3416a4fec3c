use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use model::{Code, Permission, fold, limits};
use serde::Deserialize;
use serde_json::{Value, json};
use store::compact::{Merged, Scope, Tier};
use store::jobs::{Asked, Handle};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Params;
use crate::jobs;
use crate::state::Shared;
use crate::time::rfc3339;

/// Merges that `/history` shows unless it is asked for another number.
const HISTORY: usize = 10;

fn describe(merged: &Merged) -> Value {
    json!({
        "database": merged.database,
        "measurement": merged.table,
        "tier": merged.tier.as_str(),
        "partition_path": merged.folder,
        "status": if merged.error.is_none() { "completed" } else { "failed" },
        "started_at": rfc3339(merged.started_us),
        "completed_at": rfc3339(merged.finished_us),
        "files": merged.files,
        "rows": merged.rows,
        "bytes_before": merged.bytes_before,
        "bytes_after": merged.bytes_after,
        "error": merged.error,
    })
}

fn is_seen(caller: &Caller, merged: &Merged) -> bool {
    caller.may_see(Some(&merged.database), Some(&merged.table))
}

/// `GET /api/v1/compaction/status`
pub async fn status(Extract(state): Extract<Shared>, caller: Caller) -> Json<Value> {
    let shared = state.store.shared();
    let seen = shared.compaction.lock();
    let task = state.supervisor.status("compaction");
    let task = task.as_ref();
    let scheduler = json!({
        "enabled": shared.config.merge_interval_ms > 0,
        "running": seen.running,
        "paused": seen.paused,
        "schedule": format!("every {} ms", shared.config.merge_interval_ms),
        "next_run": task.and_then(|t| t.next_run_us).filter(|_| !seen.paused).map(rfc3339),
    });
    let schedulers: serde_json::Map<String, Value> =
        Tier::ALL.iter().map(|t| (t.as_str().to_owned(), scheduler.clone())).collect();
    Json(json!({
        "manager": {
            "active_jobs": u8::from(seen.running),
            "total_completed": seen.completed,
            "total_failed": seen.failed,
            "consecutive_errors": task.map_or(0, |t| t.consecutive_errors),
            "last_error": task.and_then(|t| t.last_error.as_ref()).filter(|_| caller.access.is_unscoped()),
            "last_run": task.and_then(|t| t.last_run_us).map(rfc3339),
            "runs": seen.runs,
        },
        "schedulers": schedulers,
    }))
}

/// `GET /api/v1/compaction/stats`
pub async fn stats(Extract(state): Extract<Shared>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let (_, recent) = state.store.jobs().merges(HISTORY)?;
    let seen = state.store.shared().compaction.lock();
    let saved = seen.bytes_before.saturating_sub(seen.bytes_after);
    Ok(Json(json!({
        "total_jobs_completed": seen.completed,
        "total_jobs_failed": seen.failed,
        "total_files_compacted": seen.files,
        "total_rows_compacted": seen.rows,
        "total_bytes_saved": saved,
        "total_bytes_saved_mb": saved as f64 / f64::from(1 << 20),
        "cycle_running": seen.running,
        "current_cycle_id": seen.running.then_some(seen.runs + 1),
        "quarantined_files": caller.access.is_unscoped().then_some(&seen.quarantined),
        "recent_jobs": recent.iter().filter(|m| is_seen(&caller, m)).map(describe).collect::<Vec<_>>(),
        "tiers": Tier::ALL.map(Tier::as_str),
    })))
}

/// `GET /api/v1/compaction/candidates`: what a run would merge now.
pub async fn candidates(Extract(state): Extract<Shared>, caller: Caller) -> Json<Value> {
    let found: Vec<Value> = state
        .store
        .compaction_candidates(&Scope::default())
        .iter()
        .filter(|c| caller.may_see(Some(&c.database), Some(&c.name)))
        .map(|c| {
            json!({
                "database": &*c.database,
                "measurement": &*c.name,
                "partition_path": c.interval.folder(),
                "file_count": c.inputs.len(),
                "bytes": c.bytes(),
                "tier": c.tier.as_str(),
            })
        })
        .collect();
    Json(json!({"count": found.len(), "candidates": found}))
}

/// How many merges a client wants to see.
#[derive(Debug, Deserialize)]
pub struct Page {
    limit: Option<usize>,
}

/// `GET /api/v1/compaction/history`, newest first, over restarts
pub async fn history(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Result<Json<Value>, ApiError> {
    let limit = page.limit.unwrap_or(HISTORY).min(limits::COMPACTION_HISTORY);
    let (total, merges) = state.store.jobs().merges(limit)?;
    let merges = merges.iter().filter(|m| is_seen(&caller, m));
    Ok(Json(json!({"total_jobs": total, "recent_jobs": merges.map(describe).collect::<Vec<_>>()})))
}

/// What a run may be cut down to.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    tier: Option<String>,
    database: Option<String>,
    measurement: Option<String>,
    wait: Option<bool>,
}

/// `POST /api/v1/compaction/trigger`
pub async fn trigger(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(wanted): Params<Wanted>,
) -> Result<Response, ApiError> {
    match &wanted.database {
        Some(database) => {
            caller.check(Permission::Admin, database, wanted.measurement.as_deref().unwrap_or("*"))?;
        }
        None => caller.check_all(Permission::Admin, "*")?,
    }
    let tiers = match wanted.tier.as_deref().filter(|t| !t.is_empty()) {
        None => Tier::ALL.to_vec(),
        Some(list) => list.split(',').map(|name| tier(name.trim())).collect::<Result<_, _>>()?,
    };
    let view = state.store.view();
    if let Some(database) = &wanted.database
        && view.database(database).is_none()
    {
        return Err(ApiError::new(Code::DatabaseNotFound, format!("database {database:?} does not exist")));
    }
    drop(view);
    let (database, table) = (wanted.database.as_deref().map(fold), wanted.measurement.as_deref().map(fold));
    let names: Vec<&str> = tiers.iter().map(|t| t.as_str()).collect();
    let Some(running) = state.store.start_compaction() else {
        return Err(ApiError::new(Code::AlreadyRunning, "a compaction run is under way; ask again when it is done"));
    };
    let cycle = state.store.shared().compaction.lock().runs;
    let asked = Asked {
        kind: "compaction",
        database: wanted.database.clone(),
        measurement: wanted.measurement.clone(),
        detail: json!({"tiers": names}),
        owner: caller.name.to_string(),
    };
    let body = json!({
        "message": "compaction was started", "status": "running", "tiers": names, "cycle_id": cycle,
        "database": wanted.database, "measurement": wanted.measurement,
    });
    let (owned, mut done) = (Arc::clone(&state), body.clone());
    let work = move |job: &Handle| {
        let merges = owned.store.compact(running, &Scope { tiers, database, table, bytes_per_s: None }, job)?;
        (done["status"], done["merges"]) = ("completed".into(), merges.into());
        Ok(done)
    };
    let waits = wanted.wait.unwrap_or(false);
    let answer = jobs::run(&state, asked, !waits, work).await?;
    // clients of Arc expect 200 for a run that has only begun
    Ok(if waits { answer } else { Json(body).into_response() })
}

fn tier(name: &str) -> Result<Tier, ApiError> {
    let known = Tier::ALL.map(Tier::as_str).join(", ");
    Tier::parse(name).ok_or_else(|| ApiError::new(Code::InvalidParameter, format!("tier {name:?} is none of {known}")))
}

/// `POST /api/v1/compaction/pause`: the merge at hand ends, no other begins.
pub async fn pause(Extract(state): Extract<Shared>) -> Json<Value> {
    set_paused(&state, true)
}

/// `POST /api/v1/compaction/resume`
pub async fn resume(Extract(state): Extract<Shared>) -> Json<Value> {
    set_paused(&state, false)
}

fn set_paused(state: &Arc<crate::state::State>, paused: bool) -> Json<Value> {
    state.store.shared().compaction.lock().paused = paused;
    Json(json!({"success": true, "paused": paused}))
}
