use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::time::parse_duration;
use model::{Code, Lsn, Permission, limits};
use query::continuous::Done;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::continuous::{Continuous, Definition, Execution, Mark, Settled};
use store::jobs::{Asked, Handle};
use store::retention::Settings;
use wire::encode::json::Objects;
use wire::encode::{EncodeError, Encoder, Ending};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Segments};
use crate::jobs::{self, Waiting};
use crate::state::{Shared, blocking};
use crate::time::{self, rfc3339};

/// How long late rows make a window be computed again, unless the client says.
const LOOK_BACK_US: i64 = 86_400_000_000;
/// Executions that a client gets unless it asks for another number.
const EXECUTIONS: usize = 50;
/// Rows that a dry run shows.
const SHOWN_ROWS: usize = 1_000;

fn seconds(us: i64) -> String {
    if us % 1_000_000 == 0 { format!("{}s", us / 1_000_000) } else { format!("{}ms", us / 1_000) }
}

fn describe(query: &Continuous) -> Value {
    let d = &query.definition;
    let last = query.last.as_ref();
    json!({
        "id": query.id,
        "name": d.name,
        "description": d.description,
        "database": d.database,
        "source_measurement": d.source_measurement,
        "destination_measurement": d.destination_measurement,
        "query": d.query,
        "interval": d.interval,
        "bucket": seconds(d.bucket_us),
        "lag": seconds(d.lag_us),
        "look_back": seconds(d.look_back_us),
        "tag_columns": d.tag_columns,
        "retention_days": d.retention_days,
        "delete_source_after_days": d.delete_source_after_days,
        "is_active": d.is_active,
        "last_processed_time": query.mark.map(|m| rfc3339(m.processed_us)),
        "last_execution_time": last.map(|e| rfc3339(e.started_us)),
        "last_execution_status": last.map(|e| &e.status),
        "last_records_written": last.map(|e| e.rows),
        "created_at": rfc3339(query.created_us),
        "updated_at": rfc3339(query.updated_us),
    })
}

fn describe_run(run: &Execution) -> Value {
    json!({
        "id": run.id,
        "query_id": run.query,
        "execution_id": run.name,
        "execution_time": rfc3339(run.started_us),
        "status": run.status,
        "start_time": rfc3339(run.from_us),
        "end_time": rfc3339(run.to_us),
        "records_read": null,
        "records_written": run.rows,
        "execution_duration_seconds": run.duration_ms / 1e3,
        "error_message": run.error,
    })
}

fn unknown(id: i64) -> ApiError {
    ApiError::new(Code::NotFound, format!("continuous query {id} does not exist"))
}

/// The query, as far as the caller may know of it.
async fn found(state: &Shared, caller: &Caller, id: i64) -> Result<Continuous, ApiError> {
    let owned = Arc::clone(state);
    let query = blocking(move || Ok(owned.store.continuous_query(id)?)).await?;
    query.filter(|q| is_seen(caller, q)).ok_or_else(|| unknown(id))
}

fn is_seen(caller: &Caller, query: &Continuous) -> bool {
    let d = &query.definition;
    caller.access.may(Permission::Admin, &d.database, &d.destination_measurement)
}

/// # Errors
/// The caller may not do what the query would do; what it reads is checked on its plan.
fn check(caller: &Caller, definition: &Definition) -> Result<(), ApiError> {
    caller.check(Permission::Admin, &definition.database, &definition.destination_measurement)?;
    if definition.delete_source_after_days.is_some() {
        caller.check(Permission::Delete, &definition.database, &definition.source_measurement)?;
    }
    Ok(())
}

fn body_fields(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let bad = |text: String| ApiError::new(Code::InvalidBody, format!("the body is no continuous query: {text}"));
    match serde_json::from_slice(body).map_err(|e| bad(e.to_string()))? {
        Value::Object(all) => Ok(all),
        _ => Err(bad("it is not an object".into())),
    }
}

/// `base` with what a client sent: a field that it left out stays.
fn merged(mut base: Definition, sent: &Map<String, Value>) -> Result<Definition, ApiError> {
    let bad = |field: &str, wanted: &str| {
        ApiError::new(Code::InvalidParameter, format!("{field} must be {wanted}, not {}", sent[field]))
    };
    let span = |field: &str, value: &Value| match value {
        Value::String(text) if matches!(text.trim(), "0" | "0s") => Ok(0),
        Value::String(text) => {
            parse_duration(text).ok_or_else(|| bad(field, "a duration such as 30s, 5m, 1h30m, 1d, PT5M or 5 minutes"))
        }
        _ => Err(bad(field, "a duration such as 30s, 5m, 1h30m, 1d, PT5M or 5 minutes")),
    };
    let days = |field: &str, value: &Value| match value {
        Value::Null => Ok(None),
        other => other.as_i64().map(Some).ok_or_else(|| bad(field, "a whole number of days or null")),
    };
    for (field, value) in sent {
        match (field.as_str(), value) {
            ("name", Value::String(text)) => base.name = text.clone(),
            ("description", Value::String(text)) => base.description = Some(text.clone()),
            ("description", Value::Null) => base.description = None,
            ("database", Value::String(text)) => base.database = text.clone(),
            ("source_measurement", Value::String(text)) => base.source_measurement = text.clone(),
            ("destination_measurement", Value::String(text)) => base.destination_measurement = text.clone(),
            ("query", Value::String(text)) => base.query = text.clone(),
            ("name" | "description" | "database" | "source_measurement" | "destination_measurement" | "query", _) => {
                return Err(bad(field, "a text"));
            }
            ("interval", value) => {
                base.interval_us = span(field, value)?;
                base.interval = value.as_str().unwrap_or_default().to_owned();
                if !sent.contains_key("bucket") {
                    base.bucket_us = base.interval_us;
                }
            }
            ("bucket", value) => base.bucket_us = span(field, value)?,
            ("lag", value) => base.lag_us = span(field, value)?,
            ("look_back", value) => base.look_back_us = span(field, value)?,
            ("tag_columns", Value::Null) => base.tag_columns.clear(),
            ("tag_columns", Value::Array(names)) => {
                let names: Option<Vec<String>> = names.iter().map(|n| n.as_str().map(str::to_owned)).collect();
                base.tag_columns = names.ok_or_else(|| bad(field, "a list of names"))?;
            }
            ("tag_columns", _) => return Err(bad(field, "a list of names")),
            ("retention_days", value) => base.retention_days = days(field, value)?,
            ("delete_source_after_days", value) => base.delete_source_after_days = days(field, value)?,
            ("is_active", Value::Bool(active)) => base.is_active = *active,
            ("is_active", _) => return Err(bad(field, "true or false")),
            _ => {}
        }
    }
    Ok(base)
}

/// The name of the policy that `retention_days` makes.
fn policy_name(definition: &Definition) -> String {
    format!("continuous query {}", definition.name)
}

/// Makes, changes or removes the destination's retention policy.
fn keep_policy(state: &Shared, before: Option<&Definition>, now: Option<&Definition>) -> Result<(), ApiError> {
    let policies = state.store.policies();
    let now_us = state.clock.now_us();
    let known = match before {
        Some(before) => policies.list()?.into_iter().find(|p| p.settings.name == policy_name(before)),
        None => None,
    };
    let wanted = now.and_then(|d| {
        Some(Settings {
            name: policy_name(d),
            database: d.database.clone(),
            measurement: Some(d.destination_measurement.clone()),
            retention_days: d.retention_days?,
            buffer_days: 0,
            ..Settings::default()
        })
    });
    match (known, wanted) {
        (Some(known), Some(wanted)) => drop(policies.update(known.id, &wanted, now_us)?),
        (Some(known), None) => drop(policies.delete(known.id)?),
        (None, Some(wanted)) => drop(policies.create(&wanted, now_us)?),
        (None, None) => {}
    }
    Ok(())
}

/// `GET /api/v1/continuous_queries?database=&is_active=`
pub async fn list(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(params): Params<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let owned = Arc::clone(&state);
    let all = blocking(move || Ok(owned.store.continuous_queries()?)).await?;
    let is_wanted = |q: &&Continuous| {
        let seen = is_seen(&caller, q);
        let database = params.get("database").filter(|d| !d.is_empty());
        let active = params.get("is_active").filter(|a| !a.is_empty());
        seen && database.is_none_or(|d| d.eq_ignore_ascii_case(&q.definition.database))
            && active.is_none_or(|a| matches!(a.as_str(), "true" | "1") == q.definition.is_active)
    };
    Ok(Json(all.iter().filter(is_wanted).map(describe).collect()))
}

/// `POST /api/v1/continuous_queries`
pub async fn create(Extract(state): Extract<Shared>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let sent = body_fields(&body)?;
    let needed = ["name", "database", "source_measurement", "destination_measurement", "query", "interval"];
    if let Some(missing) = needed.iter().find(|f| sent.get(**f).is_none_or(|v| v.as_str() == Some(""))) {
        return Err(ApiError::new(
            Code::InvalidParameter,
            format!("{missing} is missing; needed are {}", needed.join(", ")),
        ));
    }
    let empty = Definition {
        name: String::new(),
        description: None,
        database: String::new(),
        source_measurement: String::new(),
        destination_measurement: String::new(),
        query: String::new(),
        interval: String::new(),
        interval_us: 0,
        bucket_us: 0,
        lag_us: 0,
        look_back_us: LOOK_BACK_US,
        tag_columns: Vec::new(),
        retention_days: None,
        delete_source_after_days: None,
        is_active: true,
    };
    let definition = merged(empty, &sent)?;
    check(&caller, &definition)?;
    let (owned, access) = (Arc::clone(&state), Arc::clone(&caller.access));
    let id = blocking(move || {
        let sources = owned.continuum.check(&definition, &access)?;
        let id = owned.store.create_continuous_query(&definition, sources)?;
        keep_policy(&owned, None, Some(&definition))?;
        Ok(id)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(describe(&found(&state, &caller, id).await?))).into_response())
}

/// `GET /api/v1/continuous_queries/{id}`
pub async fn one(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(describe(&found(&state, &caller, id).await?)))
}

/// `PUT /api/v1/continuous_queries/{id}`: a field that is left out stays as it is.
/// `last_processed_time` moves the mark.
pub async fn update(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let sent = body_fields(&body)?;
    let moved = match sent.get("last_processed_time") {
        Some(Value::String(text)) => Some(time::parse("last_processed_time", text)?),
        _ => None,
    };
    let before = found(&state, &caller, id).await?;
    check(&caller, &before.definition)?;
    let definition = merged(before.definition.clone(), &sent)?;
    check(&caller, &definition)?;
    let (owned, access) = (Arc::clone(&state), Arc::clone(&caller.access));
    blocking(move || {
        let sources = owned.continuum.check(&definition, &access)?;
        if !owned.store.update_continuous_query(id, &definition, sources)? {
            return Err(unknown(id));
        }
        keep_policy(&owned, Some(&before.definition), Some(&definition))?;
        if let Some(processed_us) = moved {
            let processed_lsn = before.mark.map_or(Lsn(0), |m| m.processed_lsn);
            let mark =
                Mark { processed_us: processed_us - processed_us.rem_euclid(definition.bucket_us), processed_lsn };
            owned.store.settle_windows(id, Settled { mark, done: None })?;
        }
        owned.continuum.look_again(id);
        Ok(())
    })
    .await?;
    Ok(Json(describe(&found(&state, &caller, id).await?)))
}

/// `DELETE /api/v1/continuous_queries/{id}`: what it wrote stays.
pub async fn delete(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
) -> Result<Json<Value>, ApiError> {
    let before = found(&state, &caller, id).await?;
    blocking(move || {
        keep_policy(&state, Some(&before.definition), None)?;
        if !state.store.delete_continuous_query(id)? {
            return Err(unknown(id));
        }
        Ok(Json(json!({"success": true, "message": "the query is deleted; what it wrote stays"})))
    })
    .await
}

/// What a run did, or would do.
fn describe_outcome(
    query: &Continuous,
    name: &str,
    status: &str,
    range: (i64, i64),
    rows: u64,
    began: Instant,
    executed_us: i64,
) -> Value {
    json!({
        "query_id": query.id,
        "query_name": query.definition.name,
        "execution_id": name,
        "status": status,
        "start_time": rfc3339(range.0),
        "end_time": rfc3339(range.1),
        "records_read": null,
        "records_written": rows,
        "execution_time_seconds": began.elapsed().as_secs_f64(),
        "destination_measurement": query.definition.destination_measurement,
        "dry_run": status == "dry_run",
        "executed_at": rfc3339(executed_us),
    })
}

/// How a run is asked for.
#[derive(Debug, Default, Deserialize)]
pub struct Run {
    start_time: Option<String>,
    end_time: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// `POST /api/v1/continuous_queries/{id}/execute`: with times a backfill of whole windows, without
/// them what a scheduled run would do now.
pub async fn execute(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
    Params(waiting): Params<Waiting>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let run: Run = jobs::body_or_default(&body)?;
    let instant = |field: &str, text: Option<&String>| text.map(|t| time::parse(field, t)).transpose();
    let from = instant("start_time", run.start_time.as_ref())?;
    let to = instant("end_time", run.end_time.as_ref())?;
    let query = found(&state, &caller, id).await?;
    if !query.definition.is_active {
        return Err(ApiError::new(Code::InvalidParameter, "the query is not active; set is_active first"));
    }
    let now_us = state.clock.now_us();
    let range = state.continuum.range(&query, from, to, now_us)?;
    if run.dry_run {
        return preview(&state, query, range).await;
    }
    let asked = (from.is_some() || to.is_some()).then_some(range);
    let name = format!("cq-exec-{}", &store::random::uuid()[..8]);
    let record = Asked {
        kind: "continuous_query",
        database: Some(query.definition.database.clone()),
        measurement: Some(query.definition.destination_measurement.clone()),
        detail: json!({"query_id": id, "query_name": query.definition.name, "execution_id": name,
            "start_time": rfc3339(range.0), "end_time": rfc3339(range.1)}),
        owner: caller.name.to_string(),
    };
    let began = Instant::now();
    let owned = Arc::clone(&state);
    let work = move |job: &Handle| {
        let done = owned.continuum.execute(id, asked, &name, job)?;
        let Done { range, rows, .. } = done.unwrap_or(Done { name: name.clone(), range, rows: 0 });
        Ok(describe_outcome(&query, &name, "completed", range, rows, began, now_us))
    };
    jobs::run(&state, record, waiting.at_once, work).await
}

async fn preview(state: &Shared, query: Continuous, range: (i64, i64)) -> Result<Response, ApiError> {
    let began = Instant::now();
    let owned = Arc::clone(state);
    let definition = query.definition.clone();
    let (_, batches) = blocking(move || Ok(owned.continuum.preview(&definition, range)?)).await?;
    let rows: usize = batches.iter().map(|b| b.num_rows()).sum();
    let (mut text, mut left, mut objects) = (Vec::new(), SHOWN_ROWS, Objects::array());
    let internal = |e: EncodeError| ApiError::new(Code::Internal, e.to_string());
    objects.begin(&mut text).map_err(internal)?;
    for batch in &batches {
        let shown = batch.slice(0, left.min(batch.num_rows()));
        left -= shown.num_rows();
        objects.batch(&mut text, &shown).map_err(internal)?;
    }
    objects.end(&mut text, &Ending::default()).map_err(internal)?;
    let shown: Value = serde_json::from_slice(&text).map_err(|e| ApiError::new(Code::Internal, e.to_string()))?;
    let name = format!("cq-dry-{}", &store::random::uuid()[..8]);
    let now_us = state.clock.now_us();
    let mut body = describe_outcome(&query, &name, "dry_run", range, rows as u64, began, now_us);
    body["executed_query"] = json!(query.definition.query);
    body["rows"] = shown;
    Ok(Json(body).into_response())
}

/// How many runs a client wants to see.
#[derive(Debug, Deserialize)]
pub struct Page {
    limit: Option<usize>,
}

/// `GET /api/v1/continuous_queries/{id}/executions`, newest first
pub async fn executions(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<i64>,
    Params(page): Params<Page>,
) -> Result<Json<Value>, ApiError> {
    found(&state, &caller, id).await?;
    let limit = page.limit.unwrap_or(EXECUTIONS).min(limits::CONTINUOUS_EXECUTIONS);
    let runs = state.store.queries().executions(id, limit)?;
    Ok(Json(json!({"query_id": id, "executions": runs.iter().map(describe_run).collect::<Vec<_>>()})))
}

/// `GET /api/v1/schedulers`
pub async fn schedulers(Extract(state): Extract<Shared>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let owned = Arc::clone(&state);
    let queries = blocking(move || Ok(owned.store.continuous_queries()?)).await?;
    let active: Vec<Value> = queries
        .iter()
        .filter(|q| q.definition.is_active && is_seen(&caller, q))
        .map(|q| json!({"id": q.id, "name": q.definition.name, "interval": q.definition.interval}))
        .collect();
    let policies: Vec<Value> = state
        .store
        .policies()
        .list()?
        .iter()
        .filter(|p| p.settings.is_active)
        .filter(|p| caller.may_see(Some(&p.settings.database), p.settings.measurement.as_deref()))
        .map(|p| json!({"id": p.id, "name": p.settings.name}))
        .collect();
    let scheduler = |task: &str, jobs: Vec<Value>| match state.supervisor.status(task) {
        Some(status) => json!({
            "running": true, "license_valid": true, "job_count": jobs.len(), "jobs": jobs,
            "last_run": status.last_run_us.map(rfc3339), "next_run": status.next_run_us.map(rfc3339),
            "last_error": status.last_error.filter(|_| caller.access.is_unscoped()),
        }),
        None => json!({"enabled": false, "reason": format!("{task}.enabled is false")}),
    };
    Ok(Json(json!({
        "cq_scheduler": scheduler("continuous-queries", active),
        "retention_scheduler": scheduler("retention", policies),
    })))
}

/// `POST /api/v1/schedulers/cq/reload`: edits take effect by themselves; every query is looked at now.
pub async fn reload(Extract(state): Extract<Shared>) -> Result<Json<Value>, ApiError> {
    let owned = Arc::clone(&state);
    let queries = blocking(move || Ok(owned.store.continuous_queries()?)).await?;
    queries.iter().for_each(|q| state.continuum.look_again(q.id));
    Ok(Json(json!({"success": true, "job_count": queries.iter().filter(|q| q.definition.is_active).count()})))
}

/// `POST /api/v1/schedulers/retention/trigger`: runs every active policy now.
pub async fn trigger_retention(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(waiting): Params<Waiting>,
) -> Result<Response, ApiError> {
    let asked = Asked {
        kind: "retention",
        database: None,
        measurement: None,
        detail: json!({"policies": "active"}),
        owner: caller.name.to_string(),
    };
    let owned = Arc::clone(&state);
    let work = move |_: &Handle| Ok(json!({"success": true, "policies": owned.store.run_due_retention(0)?}));
    jobs::run(&state, asked, waiting.at_once, work).await
}
