use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Bytes};
use model::{Code, ColumnType, DatabaseName, ItemName, Permission, TableMode};
use serde::Deserialize;
use serde_json::{Value, json};
use store::View;
use store::jobs::{Asked, Handle};
use store::view::{Database, Table};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Segments};
use crate::jobs::{self, Waiting};
use crate::state::{Shared, blocking};
use crate::time::rfc3339;

fn tables<'a>(view: &'a View, database: &'a Database) -> impl Iterator<Item = &'a Table> {
    database.tables.values().filter_map(|id| view.tables.get(id)).map(AsRef::as_ref)
}

/// The tables that a caller may know of.
fn seen<'a>(view: &'a View, database: &'a Database, caller: &'a Caller) -> impl Iterator<Item = &'a Table> {
    tables(view, database).filter(|t| caller.may_see(Some(&database.name), Some(&t.info.name)))
}

fn found<'a>(view: &'a View, name: &str) -> Result<&'a Database, ApiError> {
    let database = view.database(name).map(AsRef::as_ref);
    database.ok_or_else(|| ApiError::new(Code::DatabaseNotFound, format!("database {name:?} does not exist")))
}

/// `GET /api/v1/databases`
pub async fn list(Extract(state): Extract<Shared>, caller: Caller) -> Json<Value> {
    let view = state.store.view();
    let seen = view.databases.values().filter(|d| caller.access.sees(&d.name));
    let databases: Vec<Value> = seen.map(|d| describe(&view, d, &caller)).collect();
    Json(json!({"count": databases.len(), "databases": databases}))
}

fn describe(view: &View, database: &Database, caller: &Caller) -> Value {
    json!({
        "name": &*database.name,
        "measurement_count": seen(view, database, caller).count(),
        "created_at": rfc3339(database.created_us),
    })
}

/// `GET /api/v1/databases/{name}`
pub async fn one(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(name): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    caller.check_sees(&name)?;
    let view = state.store.view();
    Ok(Json(describe(&view, found(&view, &name)?, &caller)))
}

/// `GET /api/v1/databases/{name}/measurements`
pub async fn measurements_of(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(name): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    caller.check_sees(&name)?;
    let view = state.store.view();
    let database = found(&view, &name)?;
    let list: Vec<Value> = seen(&view, database, &caller)
        .map(|t| {
            json!({
                "name": &*t.info.name,
                "mode": t.info.mode.as_str(),
                "file_count": t.files.len(),
                "row_count": t.file_rows + t.hot.rows() as u64,
            })
        })
        .collect();
    Ok(Json(json!({"database": &*database.name, "count": list.len(), "measurements": list})))
}

/// `POST /api/v1/databases`
pub async fn create(Extract(state): Extract<Shared>, caller: Caller, body: Bytes) -> Result<Response, ApiError> {
    let body: Value = serde_json::from_slice(&body).map_err(|e| {
        ApiError::new(Code::InvalidBody, format!("the body is not JSON of the form {{\"name\": …}}: {e}"))
    })?;
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    let database = DatabaseName::new(&name)?;
    caller.check_all(Permission::Admin, &name)?;
    let store = std::sync::Arc::clone(&state.store);
    let created_us = blocking(move || Ok(store.create_database(database)?)).await?;
    let body = json!({"name": name, "measurement_count": 0, "created_at": rfc3339(created_us)});
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `GET /api/v1/measurements?database=`
pub async fn measurements(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(params): Params<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let started = Instant::now();
    let view = state.store.view();
    let wanted: Vec<&Database> = match params.get("database").filter(|d| !d.is_empty()) {
        Some(name) => {
            caller.check_sees(name)?;
            vec![found(&view, name)?]
        }
        None => view.databases.values().map(AsRef::as_ref).collect(),
    };
    let mut list = Vec::new();
    for database in wanted {
        let may_read = |t: &&Table| caller.access.may(Permission::Read, &database.name, &t.info.name);
        for table in tables(&view, database).filter(may_read) {
            let bytes: u64 = table.files.iter().map(|f| f.bytes).sum();
            list.push(json!({
                "database": &*database.name,
                "measurement": &*table.info.name,
                "file_count": table.files.len(),
                "row_count": table.file_rows + table.hot.rows() as u64,
                "total_size_mb": bytes as f64 / f64::from(1 << 20),
                "storage_path": format!("{}{}", database.path, table.info.path),
            }));
        }
    }
    let elapsed = started.elapsed().as_secs_f64() * 1e3;
    Ok(Json(json!({"success": true, "count": list.len(), "measurements": list, "execution_time_ms": elapsed})))
}

/// What must be said before something goes for good.
#[derive(Debug, Default, Deserialize)]
pub struct Confirm {
    #[serde(default)]
    confirm: bool,
}

impl Confirm {
    fn check(&self, what: &str) -> Result<(), ApiError> {
        let message = format!("{what} goes with all its rows: send ?confirm=true to drop it");
        if self.confirm { Ok(()) } else { Err(ApiError::new(Code::InvalidParameter, message)) }
    }
}

fn found_table(view: &View, database: &str, measurement: &str) -> Result<Arc<Table>, ApiError> {
    found(view, database)?;
    view.table(database, measurement).cloned().ok_or_else(|| {
        ApiError::new(Code::TableNotFound, format!("measurement {measurement:?} does not exist in {database:?}"))
    })
}

/// `DELETE /api/v1/databases/{name}?confirm=true`
pub async fn drop_database(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(name): Segments<String>,
    Params(confirm): Params<Confirm>,
) -> Result<Json<Value>, ApiError> {
    caller.check_all(Permission::Admin, &name)?;
    let id = found(&state.store.view(), &name)?.id;
    confirm.check(&format!("database {name:?}"))?;
    blocking(move || Ok(state.store.drop_database(id)?)).await?;
    Ok(Json(json!({"success": true, "message": format!("database {name:?} is dropped")})))
}

/// `DELETE /api/v1/databases/{name}/measurements/{measurement}?confirm=true`
pub async fn drop_table(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments((name, measurement)): Segments<(String, String)>,
    Params(confirm): Params<Confirm>,
) -> Result<Json<Value>, ApiError> {
    caller.check(Permission::Admin, &name, &measurement)?;
    let table = found_table(&state.store.view(), &name, &measurement)?;
    confirm.check(&format!("measurement {measurement:?}"))?;
    blocking(move || Ok(state.store.drop_table(table.info.id)?)).await?;
    Ok(Json(json!({"success": true, "message": format!("measurement {measurement:?} is dropped")})))
}

/// The new name of a measurement.
#[derive(Debug, Deserialize)]
pub struct Rename {
    name: String,
}

/// `POST /api/v1/databases/{name}/measurements/{measurement}/rename`
pub async fn rename(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments((name, measurement)): Segments<(String, String)>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    caller.check(Permission::Admin, &name, &measurement)?;
    let rename: Rename = serde_json::from_slice(&body)
        .map_err(|e| ApiError::new(Code::InvalidBody, format!("the body is not of the form {{\"name\": …}}: {e}")))?;
    let wanted = ItemName::new("table", &rename.name)?;
    caller.check(Permission::Admin, &name, &rename.name)?;
    let table = found_table(&state.store.view(), &name, &measurement)?;
    blocking(move || Ok(state.store.rename_table(table.info.id, wanted)?)).await?;
    Ok(Json(json!({"success": true, "database": name, "measurement": rename.name})))
}

/// The new type of a column.
#[derive(Debug, Deserialize)]
pub struct Retype {
    column: String,
    #[serde(rename = "type")]
    ty: String,
}

/// `POST /api/v1/databases/{name}/measurements/{measurement}/retype`, a job
pub async fn retype(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments((name, measurement)): Segments<(String, String)>,
    Params(waiting): Params<Waiting>,
    body: Bytes,
) -> Result<Response, ApiError> {
    caller.check(Permission::Admin, &name, &measurement)?;
    let retype: Retype = serde_json::from_slice(&body).map_err(|e| {
        ApiError::new(Code::InvalidBody, format!("the body is not of the form {{\"column\": …, \"type\": …}}: {e}"))
    })?;
    let ty = match retype.ty.to_ascii_lowercase().as_str() {
        "float64" | "double" | "float" => ColumnType::Float64,
        "string" | "varchar" | "utf8" | "text" => ColumnType::Utf8,
        other => {
            let message = format!("type {other:?} is neither float64 nor string");
            return Err(ApiError::new(Code::InvalidParameter, message));
        }
    };
    let table = found_table(&state.store.view(), &name, &measurement)?;
    let asked = Asked {
        kind: "retype",
        database: Some(name),
        measurement: Some(measurement),
        detail: json!({"column": retype.column, "type": retype.ty}),
        owner: caller.name.to_string(),
    };
    let owned = Arc::clone(&state);
    let work = move |job: &Handle| {
        let done = owned.store.retype(table.info.id, &retype.column, ty, job)?;
        Ok(json!({"success": true, "rewritten_files": done.files, "rewritten_rows": done.rows}))
    };
    jobs::run(&state, asked, waiting.at_once, work).await
}

/// Which rows a measurement keeps.
#[derive(Debug, Deserialize)]
pub struct Mode {
    mode: String,
}

/// `PUT /api/v1/databases/{name}/measurements/{measurement}`, a job
pub async fn set_mode(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments((name, measurement)): Segments<(String, String)>,
    Params(waiting): Params<Waiting>,
    body: Bytes,
) -> Result<Response, ApiError> {
    caller.check(Permission::Admin, &name, &measurement)?;
    let wanted: Mode = serde_json::from_slice(&body)
        .map_err(|e| ApiError::new(Code::InvalidBody, format!("the body is not of the form {{\"mode\": …}}: {e}")))?;
    let mode = TableMode::parse(&wanted.mode).ok_or_else(|| {
        let message =
            format!("mode {:?} is neither \"append\" (every row) nor \"last\" (one row a point)", wanted.mode);
        ApiError::new(Code::InvalidParameter, message)
    })?;
    let table = found_table(&state.store.view(), &name, &measurement)?;
    let asked = Asked {
        kind: "mode",
        database: Some(name),
        measurement: Some(measurement),
        detail: json!({"mode": wanted.mode}),
        owner: caller.name.to_string(),
    };
    let owned = Arc::clone(&state);
    let work = move |job: &Handle| {
        let done = owned.store.set_mode(table.info.id, mode, job)?;
        Ok(json!({"success": true, "mode": mode.as_str(), "rewritten_files": done.files, "rewritten_rows": done.rows}))
    };
    jobs::run(&state, asked, waiting.at_once, work).await
}
