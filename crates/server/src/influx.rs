use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use model::{Code, DatabaseName, Permission};
use serde_json::{Value, json};
use store::View;
use store::view::Database;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Params;
use crate::state::{Shared, blocking};

const HINT: &str = "send SQL to /api/v1/query instead; docs/migrate-influxdb.md shows how";

/// `GET` and `POST /query`: the few InfluxQL statements that clients send before they write.
pub async fn query(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(mut params): Params<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    if let Ok(form) = std::str::from_utf8(&body) {
        for pair in form.split('&') {
            if let Some((name, value)) = pair.split_once('=') {
                let value =
                    percent_encoding::percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
                params.entry(name.to_owned()).or_insert(value);
            }
        }
    }
    let text = params.get("q").map(|q| q.trim().trim_end_matches(';').trim()).unwrap_or_default();
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create", "database", _, ..] => {
            let name = text.split_whitespace().nth(2).unwrap_or_default().trim_matches('"');
            let name = DatabaseName::new(name)?;
            if state.store.view().database(name.as_str()).is_some() && caller.access.sees(name.as_str()) {
                return Ok(results(None));
            }
            // a first write would make it too
            caller.check_all(Permission::Write, name.as_str())?;
            let store = std::sync::Arc::clone(&state.store);
            match blocking(move || Ok(store.create_database(name))).await? {
                Ok(_) | Err(store::Error::DatabaseExists(_)) => Ok(results(None)),
                Err(error) => Err(error.into()),
            }
        }
        ["show", "databases"] => {
            let view = state.store.view();
            Ok(results(Some(("databases", seen(&view, &caller).map(|d| d.name.to_string()).collect()))))
        }
        ["show", "measurements", ..] => {
            let header = headers.get("x-arc-database").and_then(|v| v.to_str().ok());
            let on = text.split_whitespace().nth(3).filter(|_| words.get(2) == Some(&"on"));
            let name = on.map(|d| d.trim_matches('"')).or(params.get("db").map(String::as_str)).or(header);
            let view = state.store.view();
            caller.check_sees(name.unwrap_or("default"))?;
            let tables = view.database(name.unwrap_or("default")).map(|d| {
                let names = d.tables.values().filter_map(|id| view.tables.get(id)).map(|t| t.info.name.to_string());
                names.filter(|n| caller.may_see(Some(&d.name), Some(n))).collect()
            });
            Ok(results(tables.filter(|t: &Vec<String>| !t.is_empty()).map(|t| ("measurements", t))))
        }
        [] => Err(ApiError::new(Code::InvalidParameter, "missing required parameter \"q\"")),
        _ => Err(ApiError::new(Code::Unsupported, format!("InfluxQL is not supported; {HINT}"))),
    }
}

/// The databases that a caller may know of.
fn seen<'a>(view: &'a View, caller: &'a Caller) -> impl Iterator<Item = &'a Arc<Database>> {
    view.databases.values().filter(|d| caller.access.sees(&d.name))
}

/// InfluxDB 1's answer: one statement, at most one series of names.
fn results(series: Option<(&str, Vec<String>)>) -> Response {
    let mut result = json!({"statement_id": 0});
    if let Some((name, values)) = series {
        let rows: Vec<Value> = values.into_iter().map(|v| json!([v])).collect();
        result["series"] = json!([{"name": name, "columns": ["name"], "values": rows}]);
    }
    ([("x-influxdb-version", crate::health::INFLUXDB_VERSION)], axum::Json(json!({"results": [result]})))
        .into_response()
}

/// `POST /api/v2/query`
pub async fn flux() -> Response {
    not_here("Flux is not supported")
}

/// Creating or changing buckets.
pub async fn bucket_changes() -> Response {
    not_here("a bucket is a database and appears with the first write, or by POST /api/v1/databases")
}

fn not_here(what: &str) -> Response {
    let error = ApiError::new(Code::Unsupported, format!("{what}; {HINT}"));
    let error = error.with("message", json!(format!("{what}; {HINT}")));
    let mut response = error.into_response();
    *response.status_mut() = axum::http::StatusCode::NOT_IMPLEMENTED;
    response
}

/// `GET /api/v2/buckets`: the databases as buckets.
pub async fn buckets(Extract(state): Extract<Shared>, caller: Caller) -> Response {
    let view = state.store.view();
    let list: Vec<Value> = seen(&view, &caller)
        .map(|d| json!({"id": format!("{:016x}", d.id.0), "orgID": "0000000000000001", "type": "user", "name": &*d.name, "retentionRules": []}))
        .collect();
    axum::Json(json!({"links": {"self": "/api/v2/buckets"}, "buckets": list})).into_response()
}
