use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{Code, Permission};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::jobs::{Asked, Handle};
use store::retention::{Execution, Policy, Settings};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Segments};
use crate::jobs::{self, Waiting};
use crate::state::{Shared, State, blocking};
use crate::time::rfc3339;

/// Executions that a client gets unless it asks for another number.
const EXECUTIONS: usize = 50;

fn describe(state: &State, policy: &Policy) -> Value {
    let Settings { name, database, measurement, retention_days, buffer_days, is_active, .. } = &policy.settings;
    let Settings { schedule, timezone, jitter_seconds, .. } = &policy.settings;
    let every_us = state.config().retention_every.as_micros() as i64;
    let next_us = policy.next_us(every_us, state.clock.now_us()).ok().flatten();
    let last = policy.last.as_ref();
    json!({
        "id": policy.id,
        "name": name,
        "database": database,
        "measurement": measurement,
        "retention_days": retention_days,
        "buffer_days": buffer_days,
        "is_active": is_active,
        "schedule": schedule,
        "timezone": timezone,
        "jitter_seconds": jitter_seconds,
        "next_execution_time": next_us.map(rfc3339),
        "last_execution_time": last.map(|e| rfc3339(e.started_us)),
        "last_execution_status": last.map(|e| &e.status),
        "last_deleted_count": last.map(|e| e.deleted_rows),
        "created_at": rfc3339(policy.created_us),
        "updated_at": rfc3339(policy.updated_us),
    })
}

fn describe_run(execution: &Execution) -> Value {
    json!({
        "id": execution.id,
        "policy_id": execution.policy,
        "execution_time": rfc3339(execution.started_us),
        "status": execution.status,
        "deleted_count": execution.deleted_rows,
        "cutoff_date": rfc3339(execution.cutoff_us),
        "execution_duration_ms": execution.duration_ms,
        "error_message": execution.error,
    })
}

fn unknown(id: i64) -> ApiError {
    ApiError::new(Code::NotFound, format!("retention policy {id} does not exist"))
}

/// The fields of a body; a policy may stand alone or under `policy`.
fn fields(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let bad = |text: String| ApiError::new(Code::InvalidBody, format!("the body is no retention policy: {text}"));
    match serde_json::from_slice(body).map_err(|e| bad(e.to_string()))? {
        Value::Object(mut all) => match all.remove("policy") {
            Some(Value::Object(inner)) => Ok(inner),
            _ => Ok(all),
        },
        _ => Err(bad("it is not an object".into())),
    }
}

/// `base` with what a client sent: a field that it left out stays.
fn merged(mut base: Settings, sent: &Map<String, Value>) -> Result<Settings, ApiError> {
    let bad = |field: &str, wanted: &str| {
        ApiError::new(Code::InvalidParameter, format!("{field} must be {wanted}, not {}", sent[field]))
    };
    for (field, value) in sent {
        match (field.as_str(), value) {
            ("name", Value::String(text)) => base.name = text.clone(),
            ("database", Value::String(text)) => base.database = text.clone(),
            ("measurement", Value::Null) => base.measurement = None,
            ("measurement", Value::String(text)) => base.measurement = Some(text.clone()).filter(|t| !t.is_empty()),
            ("schedule", Value::Null) => base.schedule = None,
            ("schedule", Value::String(text)) => base.schedule = Some(text.clone()).filter(|t| !t.is_empty()),
            ("timezone", Value::String(text)) => base.timezone = text.clone(),
            ("name" | "database" | "measurement" | "schedule" | "timezone", _) => return Err(bad(field, "a text")),
            ("jitter_seconds", value) => {
                base.jitter_seconds = value.as_i64().ok_or_else(|| bad(field, "a whole number"))?
            }
            ("retention_days", value) => {
                base.retention_days = value.as_i64().ok_or_else(|| bad(field, "a whole number"))?
            }
            ("buffer_days", value) => base.buffer_days = value.as_i64().ok_or_else(|| bad(field, "a whole number"))?,
            ("is_active", Value::Bool(active)) => base.is_active = *active,
            ("is_active", _) => return Err(bad(field, "true or false")),
            _ => {}
        }
    }
    Ok(base)
}

/// The policy, as far as the caller may know of it.
fn policy(state: &Shared, caller: &Caller, id: i64) -> Result<Policy, ApiError> {
    let policy = state.store.policies().get(id)?.filter(|p| is_seen(caller, p));
    policy.ok_or_else(|| unknown(id))
}

fn is_seen(caller: &Caller, policy: &Policy) -> bool {
    caller.may_see(Some(&policy.settings.database), policy.settings.measurement.as_deref())
}

/// # Errors
/// The caller is no admin of every table that the policy means.
fn check(caller: &Caller, settings: &Settings) -> Result<(), ApiError> {
    caller.check(Permission::Admin, &settings.database, settings.measurement.as_deref().unwrap_or("*"))
}

/// The policy, and what may be a mistake in it.
fn answer(state: &Shared, caller: &Caller, id: i64) -> Result<Value, ApiError> {
    let policy = policy(state, caller, id)?;
    let mut body = describe(state, &policy);
    if state.store.view().database(&policy.settings.database).is_none() {
        body["warning"] = format!("database {:?} does not exist yet", policy.settings.database).into();
    }
    Ok(body)
}

/// `GET /api/v1/retention`
pub async fn list(Extract(state): Extract<Shared>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let all = state.store.policies().list()?;
    Ok(Json(all.iter().filter(|p| is_seen(&caller, p)).map(|policy| describe(&state, policy)).collect()))
}

/// `POST /api/v1/retention`
pub async fn create(Extract(state): Extract<Shared>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let settings = merged(Settings::default(), &fields(&body)?)?;
    check(&caller, &settings)?;
    let id = state.store.policies().create(&settings, state.clock.now_us())?;
    Ok((StatusCode::CREATED, Json(answer(&state, &caller, id)?)).into_response())
}

/// `GET /api/v1/retention/{id}`
pub async fn one(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(answer(&state, &caller, id)?))
}

/// `PUT /api/v1/retention/{id}`: a field that is left out stays as it is.
pub async fn update(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let before = policy(&state, &caller, id)?.settings;
    check(&caller, &before)?;
    let settings = merged(before, &fields(&body)?)?;
    check(&caller, &settings)?;
    if !state.store.policies().update(id, &settings, state.clock.now_us())? {
        return Err(unknown(id));
    }
    Ok(Json(answer(&state, &caller, id)?))
}

/// `DELETE /api/v1/retention/{id}`
pub async fn delete(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
) -> Result<Json<Value>, ApiError> {
    check(&caller, &policy(&state, &caller, id)?.settings)?;
    if !state.store.policies().delete(id)? {
        return Err(unknown(id));
    }
    Ok(Json(json!({"success": true, "message": "the policy is deleted; rows stay as they are"})))
}

/// How a run is asked for.
#[derive(Debug, Default, Deserialize)]
pub struct Run {
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    confirm: bool,
}

/// `POST /api/v1/retention/{id}/execute`
pub async fn execute(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
    Params(waiting): Params<Waiting>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let run: Run = jobs::body_or_default(&body)?;
    let policy = policy(&state, &caller, id)?;
    check(&caller, &policy.settings)?;
    if !policy.settings.is_active {
        return Err(ApiError::new(Code::InvalidParameter, "the policy is not active; set is_active first"));
    }
    if !run.dry_run && !run.confirm {
        let text = "a run deletes rows for good: send \"confirm\": true, or \"dry_run\": true to count them";
        return Err(ApiError::new(Code::InvalidParameter, text));
    }
    let began = Instant::now();
    let asked = Asked {
        kind: "retention",
        database: Some(policy.settings.database.clone()),
        measurement: policy.settings.measurement.clone(),
        detail: json!({"policy_id": policy.id, "policy_name": policy.settings.name}),
        owner: caller.name.to_string(),
    };
    let owned = Arc::clone(&state);
    let work = move |_: &Handle| {
        let outcome = owned.store.run_retention(&policy, run.dry_run, run.confirm)?;
        Ok(json!({
            "policy_id": policy.id,
            "policy_name": policy.settings.name,
            "deleted_count": outcome.rows,
            "files_deleted": outcome.files,
            "execution_time_ms": began.elapsed().as_secs_f64() * 1e3,
            "dry_run": run.dry_run,
            "cutoff_date": rfc3339(outcome.cutoff_us),
            "affected_measurements": outcome.tables,
        }))
    };
    if run.dry_run {
        return Ok(Json(blocking(move || work(&Handle::of_server("dry run"))).await?).into_response());
    }
    jobs::run(&state, asked, waiting.at_once, work).await
}

/// How many runs a client wants to see.
#[derive(Debug, Deserialize)]
pub struct Page {
    limit: Option<usize>,
}

/// `GET /api/v1/retention/{id}/executions`, newest first
pub async fn executions(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
    Params(page): Params<Page>,
) -> Result<Json<Value>, ApiError> {
    policy(&state, &caller, id)?;
    let limit = page.limit.unwrap_or(EXECUTIONS).min(model::limits::RETENTION_EXECUTIONS);
    let runs = state.store.policies().executions(id, limit)?;
    Ok(Json(json!({"policy_id": id, "executions": runs.iter().map(describe_run).collect::<Vec<_>>()})))
}
