use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{Code, Permission, TableId};
use serde::Deserialize;
use serde_json::{Value, json};
use store::jobs::{Asked, Handle};
use store::rewrite::Deleted;
use store::view::Table;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Params;
use crate::jobs::{self, Waiting};
use crate::state::{Shared, blocking};
use crate::time;

/// `POST /api/v1/delete`
#[derive(Debug, Deserialize)]
pub struct Request {
    database: Option<String>,
    measurement: Option<String>,
    #[serde(rename = "where")]
    condition: Option<String>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    confirm: bool,
}

/// `POST /api/v1/delete`: rows for which the condition is true go, in one commit.
pub async fn rows(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(waiting): Params<Waiting>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: Request = serde_json::from_slice(&body)
        .map_err(|e| ApiError::new(Code::InvalidBody, format!("the body is no delete request: {e}")))?;
    let needed = |field: &str, value: Option<String>| {
        value.filter(|v| !v.trim().is_empty()).ok_or_else(|| {
            let message = format!("{field:?} is missing: name database, measurement and where");
            ApiError::new(Code::InvalidParameter, message)
        })
    };
    let database = needed("database", request.database)?;
    let measurement = needed("measurement", request.measurement)?;
    let condition = needed("where", request.condition)?;
    let (dry_run, confirm) = (request.dry_run, request.confirm);
    caller.check(Permission::Delete, &database, &measurement)?;
    let table = table(&state, &database, &measurement)?;
    let limits = Limits { most: state.config().delete_max_rows, unconfirmed: state.config().delete_threshold, confirm };
    let asked = Asked {
        kind: "delete",
        detail: json!({"where": condition, "confirm": confirm}),
        database: Some(database),
        measurement: Some(measurement),
        owner: caller.name.to_string(),
    };
    let began = Instant::now();
    let owned = Arc::clone(&state);
    let work = move |job: &Handle| {
        let deleted = run(&owned, &table, &condition, dry_run, job, limits)?;
        Ok(json!({
            "success": true,
            "deleted_count": deleted.rows,
            "affected_files": deleted.files.len(),
            "rewritten_files": deleted.rewritten,
            "execution_time_ms": began.elapsed().as_secs_f64() * 1e3,
            "dry_run": dry_run,
            "files_processed": deleted.files,
        }))
    };
    if dry_run {
        return Ok(Json(blocking(move || work(&Handle::of_server("dry run"))).await?).into_response());
    }
    jobs::run(&state, asked, waiting.at_once, work).await
}

/// `GET /api/v1/delete/config`
pub async fn config(Extract(state): Extract<Shared>) -> Json<Value> {
    Json(json!({
        "enabled": true,
        "confirmation_threshold": state.config().delete_threshold,
        "max_rows_per_delete": state.config().delete_max_rows,
        "implementation": "rewrite-based",
        "performance_impact": {
            "delete_operations": "files whose statistics decide are kept or dropped unread; the others are rewritten",
            "write_operations": "none",
            "query_operations": "none",
        },
    }))
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Zero: no bound.
    most: u64,
    unconfirmed: u64,
    confirm: bool,
}

impl Limits {
    fn check(self, rows: u64) -> Result<(), store::Error> {
        if self.most > 0 && rows > self.most {
            let most = self.most;
            let text = format!("{rows} rows match and delete.max_rows_per_delete is {most}; narrow the condition");
            return Err(store::Error::Refused(text));
        }
        if !self.confirm && rows > self.unconfirmed {
            let least = self.unconfirmed;
            let text = format!(
                "{rows} rows match, more than delete.confirmation_threshold {least}; send \"confirm\": true to delete them"
            );
            return Err(store::Error::Refused(text));
        }
        Ok(())
    }
}

fn table(state: &Shared, database: &str, measurement: &str) -> Result<Arc<Table>, ApiError> {
    let view = state.store.view();
    if view.database(database).is_none() {
        return Err(ApiError::new(Code::DatabaseNotFound, format!("database {database:?} does not exist")));
    }
    view.table(database, measurement).cloned().ok_or_else(|| {
        ApiError::new(Code::TableNotFound, format!("measurement {measurement:?} does not exist in {database:?}"))
    })
}

fn run(
    state: &Shared,
    table: &Arc<Table>,
    condition: &str,
    dry_run: bool,
    job: &Handle,
    limits: Limits,
) -> Result<Deleted, ApiError> {
    let filter = state.engine.row_filter(table, condition)?;
    let allow = |rows| if dry_run { Ok(()) } else { limits.check(rows) };
    Ok(state.store.delete_rows(table.info.id, &filter, dry_run, job, allow)?)
}

/// Where InfluxDB's clients say which database.
#[derive(Debug, Deserialize)]
pub struct Bucket {
    bucket: Option<String>,
}

/// What InfluxDB's clients send.
#[derive(Debug, Deserialize)]
pub struct InfluxRequest {
    start: String,
    stop: String,
    predicate: Option<String>,
}

/// `POST /api/v2/delete`: both ends of the time range are included, as in InfluxDB.
pub async fn influx(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(bucket): Params<Bucket>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: InfluxRequest = serde_json::from_slice(&body)
        .map_err(|e| ApiError::new(Code::InvalidBody, format!("the body is no delete request: {e}")))?;
    let name = bucket.bucket.ok_or_else(|| ApiError::new(Code::InvalidParameter, "the parameter bucket is missing"))?;
    let [start, stop] =
        [("start", &request.start), ("stop", &request.stop)].map(|(field, text)| time::parse(field, text).map(literal));
    let (start, stop) = (start?, stop?);
    let predicate = Predicate::parse(request.predicate.as_deref().unwrap_or_default())?;
    caller.check(Permission::Delete, &name, predicate.measurement.as_deref().unwrap_or("*"))?;
    let tables: Vec<Arc<Table>> = match &predicate.measurement {
        Some(measurement) => vec![table(&state, &name, measurement)?],
        None => {
            let view = state.store.view();
            let database = view
                .database(&name)
                .ok_or_else(|| ApiError::new(Code::DatabaseNotFound, format!("bucket {name:?} does not exist")))?;
            let ids: Vec<TableId> = database.tables.values().copied().collect();
            ids.iter().filter_map(|id| view.tables.get(id).cloned()).collect()
        }
    };
    let most = state.config().delete_max_rows;
    let limits = Limits { most, unconfirmed: u64::MAX, confirm: true };
    let asked = Asked {
        kind: "delete",
        detail: json!({"start": request.start, "stop": request.stop, "predicate": request.predicate}),
        database: Some(name),
        measurement: predicate.measurement.clone(),
        owner: caller.name.to_string(),
    };
    let owned = Arc::clone(&state);
    let work = move |job: &Handle| {
        let mut rows = 0;
        for table in tables {
            // a tag that a table lacks equals nothing in it
            if predicate.tags.iter().any(|(tag, _)| table.info.schema.find(tag).is_none()) {
                continue;
            }
            let mut condition = format!("time >= {start} AND time <= {stop}");
            for (tag, value) in &predicate.tags {
                condition += &format!(" AND \"{}\" = '{}'", tag.replace('"', "\"\""), value.replace('\'', "''"));
            }
            rows += run(&owned, &table, &condition, false, job, limits)?.rows;
        }
        Ok(json!({"deleted_count": rows}))
    };
    let answer = jobs::run(&state, asked, false, work).await?;
    Ok(if answer.status() == StatusCode::OK { StatusCode::NO_CONTENT.into_response() } else { answer })
}

/// A time literal to the microsecond, so that statistics of files are judged by it.
fn literal(us: i64) -> String {
    format!("TIMESTAMP '{}'", chrono::DateTime::from_timestamp_micros(us).unwrap_or_default().format("%F %T%.6f"))
}

/// InfluxDB's delete predicate: equalities joined by AND.
#[derive(Debug, Default, PartialEq)]
struct Predicate {
    measurement: Option<String>,
    tags: Vec<(String, String)>,
}

impl Predicate {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let bad = || {
            let message = format!(
                "predicate {text:?}: only key=\"value\" joined by AND is understood; for anything else use POST /api/v1/delete"
            );
            ApiError::new(Code::InvalidParameter, message)
        };
        let mut out = Predicate::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=').ok_or_else(bad)?;
            let key = key.trim().trim_matches('"').to_owned();
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or_else(bad)?;
            let (value, after) = after[1..].split_once(quote).ok_or_else(bad)?;
            if key.is_empty() || key.contains(['!', '<', '>', ' ', '(', '~']) {
                return Err(bad());
            }
            match key.as_str() {
                "_measurement" => out.measurement = Some(value.to_owned()),
                _ => out.tags.push((key, value.to_owned())),
            }
            rest = after.trim();
            if !rest.is_empty() {
                let is_and = rest.get(..4).is_some_and(|w| w.eq_ignore_ascii_case("and "));
                rest = if is_and { rest[4..].trim() } else { return Err(bad()) };
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates_are_equalities_joined_by_and() {
        let parsed = Predicate::parse(r#"_measurement="cpu" AND host='a b' and "rack" = "x=1""#).unwrap();
        assert_eq!(parsed.measurement.as_deref(), Some("cpu"));
        assert_eq!(parsed.tags, [("host".into(), "a b".into()), ("rack".into(), "x=1".into())]);
        assert_eq!(Predicate::parse(" ").unwrap(), Predicate::default());
        for bad in ["host", "host=a", "a='1' OR b='2'", "a!='1'", "a='1' AND", "a='1' b='2'", "(a='1')"] {
            assert!(Predicate::parse(bad).is_err(), "{bad}");
        }
    }
}
