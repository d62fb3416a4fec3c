use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request, State as Extract};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use model::Code;
use query::pool::Priority;
use query::running::Owner;
use query::{Ask, Params as Bound, QueryStream, ReadMode, Selection};
use serde::Deserialize;
use serde_json::{Value, json};
use wire::encode::Format;

use crate::answer::{Form, respond};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Segments};
use crate::state::{Shared, State, count};

/// Rows that `GET /api/v1/query/{measurement}` gives unless it is asked for others, and the most it gives.
const ROWS: u64 = 100;
const MOST_ROWS: u64 = 1_000_000;

/// A statement as clients send it; other fields are ignored.
#[derive(Debug, Deserialize)]
struct Body {
    #[serde(alias = "q")]
    sql: Option<String>,
    #[serde(alias = "database")]
    db: Option<String>,
    format: Option<String>,
    limit: Option<u64>,
    params: Option<Value>,
}

impl Body {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(body).map_err(|e| {
            ApiError::new(Code::InvalidBody, format!("the body is not JSON of the form {{\"sql\": \"…\"}}: {e}"))
        })
    }

    fn request(self, state: &State, caller: &Caller, headers: &HeaderMap) -> Result<query::Request, ApiError> {
        let sql = self.sql.unwrap_or_default();
        if sql.trim().is_empty() {
            return Err(ApiError::new(Code::InvalidQuery, "the field \"sql\" is missing or empty"));
        }
        let params = match self.params {
            None | Some(Value::Null) => Bound::None,
            Some(Value::Array(values)) => Bound::Listed(values),
            Some(Value::Object(values)) => Bound::Named(values.into_iter().collect()),
            Some(_) => {
                let message = "params is neither a list, for ? and $1, nor an object, for $name";
                return Err(ApiError::new(Code::InvalidParameter, message));
            }
        };
        request(state, caller, headers, Ask::bound(sql, params, self.limit), self.db)
    }
}

/// What the engine is asked, with the caller's rights and limits.
fn request(
    state: &State,
    caller: &Caller,
    headers: &HeaderMap,
    ask: Ask,
    database: Option<String>,
) -> Result<query::Request, ApiError> {
    let named = headers.get("x-arc-database").and_then(|v| v.to_str().ok()).filter(|h| !h.is_empty());
    let database = named.map(str::to_owned).or(database).unwrap_or_else(|| "default".into());
    model::DatabaseName::new(&database)?;
    Ok(query::Request {
        ask,
        database,
        mode: read_mode(headers)?,
        access: Arc::clone(&caller.access),
        owner: Owner { id: caller.id, name: Arc::clone(&caller.name), address: Some(caller.address.to_string()) },
        priority: priority(headers)?,
        limits: state.governance.admit(caller.id, state.clock.now_us())?,
        use_cache: headers.get(header::CACHE_CONTROL).is_none_or(|v| v.as_bytes() != b"no-cache"),
    })
}

/// Counts what a query comes to.
fn counted(state: &State, outcome: Result<QueryStream, query::Error>) -> Result<QueryStream, ApiError> {
    outcome.map_err(|error| {
        count(&state.counters.query_requests, 1);
        count(&state.counters.query_errors, 1);
        error.into()
    })
}

fn priority(headers: &HeaderMap) -> Result<Priority, ApiError> {
    let Some(value) = headers.get("x-tidewater-priority") else { return Ok(Priority::Interactive) };
    let known = value.to_str().ok().and_then(Priority::parse);
    let message = "x-tidewater-priority is neither interactive nor background";
    known.ok_or_else(|| ApiError::new(Code::InvalidParameter, message))
}

fn read_mode(headers: &HeaderMap) -> Result<ReadMode, ApiError> {
    match headers.get("x-tidewater-read").map(|v| v.to_str().unwrap_or_default()) {
        None | Some("newest") => Ok(ReadMode::Newest),
        Some("committed") => Ok(ReadMode::Committed),
        Some(_) => Err(ApiError::new(Code::InvalidParameter, "x-tidewater-read is neither newest nor committed")),
    }
}

/// Arc's query envelope carries its keys in errors too.
fn envelope(error: ApiError) -> ApiError {
    error.with("columns", Value::Null).with("data", Value::Null).with("row_count", Value::from(0))
}

/// A statement as it came, and who sent it.
#[derive(Debug)]
pub struct Sent {
    state: Shared,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
}

impl FromRequest<Shared> for Sent {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, state).await?;
        let headers = parts.headers.clone();
        let body = Bytes::from_request(Request::from_parts(parts, body), state).await;
        let body = body.map_err(|e| ApiError::new(Code::InvalidBody, e.body_text()))?;
        Ok(Self { state: Shared::clone(state), caller, headers, body })
    }
}

impl Sent {
    /// Its answer, in the form that a route stands for or its field `format` or header `Accept` names.
    async fn answer(self, format: Option<Format>) -> Result<Response, ApiError> {
        let began = Instant::now();
        let Self { state, caller, headers, body } = self;
        let body = Body::read(&body)?;
        let form = Form::asked(format, body.format.as_deref(), &headers)?.limited(body.limit);
        let request = body.request(&state, &caller, &headers)?;
        let stream = counted(&state, state.engine.query(request).await)?;
        respond(&state, stream, form, began).await
    }
}

/// `POST /api/v1/query`: the JSON envelope, unless another format is asked for.
pub async fn any(sent: Sent) -> Result<Response, ApiError> {
    sent.answer(None).await.map_err(envelope)
}

/// `POST /api/v1/query/arrow`: an Arrow IPC stream.
pub async fn arrow(sent: Sent) -> Result<Response, ApiError> {
    sent.answer(Some(Format::Arrow)).await
}

/// `POST /api/v1/query/msgpack`: the envelope with `data` by columns.
pub async fn msgpack(sent: Sent) -> Result<Response, ApiError> {
    sent.answer(Some(Format::Msgpack)).await
}

/// `POST /api/v1/query/stream`: CSV, as Arc's Python edition has it.
pub async fn csv(sent: Sent) -> Result<Response, ApiError> {
    sent.answer(Some(Format::Csv)).await
}

/// `POST /api/v1/query/estimate`: how many rows a statement would give, from statistics.
pub async fn estimate(Sent { state, caller, headers, body }: Sent) -> Result<Json<Value>, ApiError> {
    let began = Instant::now();
    let failed = |error: ApiError| error.with("estimated_rows", Value::Null).with("warning_level", "error".into());
    let rows = async {
        let request = Body::read(&body)?.request(&state, &caller, &headers)?;
        let mut stream = counted(&state, state.engine.estimate(request).await)?;
        let batch = stream.next().await.ok_or_else(|| ApiError::new(Code::Internal, "an estimate without a row"))??;
        Ok(batch.column(0).as_primitive::<Int64Type>().value(0))
    };
    let rows = rows.await.map_err(failed)?;
    let (level, message) = match rows {
        ..=10_000 => ("none", None),
        10_001..=100_000 => ("low", Some("more than 10 000 rows")),
        100_001..=1_000_000 => ("medium", Some("more than 100 000 rows: narrow the time or add a LIMIT")),
        _ => ("high", Some("more than 1 000 000 rows: narrow the time, add a LIMIT, or ask for Arrow or Parquet")),
    };
    let ms = began.elapsed().as_secs_f64() * 1e3;
    Ok(Json(json!({
        "success": true,
        "estimated_rows": rows,
        "warning_level": level,
        "warning_message": message,
        "execution_time_ms": ms,
    })))
}

/// Which rows of a measurement a client wants.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    database: Option<String>,
    limit: Option<u64>,
    offset: u64,
    order_by: Option<String>,
    r#where: Option<String>,
    columns: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    format: Option<String>,
}

async fn rows_of(
    state: &Shared,
    caller: &Caller,
    headers: &HeaderMap,
    table: String,
    wanted: Wanted,
    format: Option<Format>,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let limit = wanted.limit.unwrap_or(ROWS);
    if limit > MOST_ROWS {
        let message = format!("limit is {limit}; at most {MOST_ROWS} rows come so: use POST /api/v1/query");
        return Err(ApiError::new(Code::InvalidParameter, message));
    }
    let form = Form::asked(format, wanted.format.as_deref(), headers)?;
    let given = |text: Option<String>| text.filter(|t| !t.trim().is_empty());
    let selection = Selection {
        table,
        columns: given(wanted.columns),
        condition: given(wanted.r#where),
        from: given(wanted.start_time),
        to: given(wanted.end_time),
        order_by: given(wanted.order_by).or_else(|| Some("time DESC".into())),
        limit,
        offset: wanted.offset,
    };
    let request = request(state, caller, headers, Ask::rows(selection), wanted.database)?;
    let stream = counted(state, state.engine.query(request).await)?;
    respond(state, stream, form, began).await
}

/// `GET /api/v1/query/{measurement}`: its newest rows, or those that the parameters name.
pub async fn rows(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(table): Segments<String>,
    Params(wanted): Params<Wanted>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    rows_of(&state, &caller, &headers, table, wanted, None).await.map_err(envelope)
}

/// `GET /api/v1/query/{measurement}/csv`: the same as CSV.
pub async fn rows_as_csv(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(table): Segments<String>,
    Params(wanted): Params<Wanted>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    rows_of(&state, &caller, &headers, table, wanted, Some(Format::Csv)).await
}

/// `POST /api/v3/query_sql`: InfluxDB 3's SQL over HTTP.
pub async fn v3_post(Sent { state, caller, headers, body }: Sent) -> Result<Response, ApiError> {
    let body = serde_json::from_slice(&body).map_err(|e| {
        ApiError::new(Code::InvalidBody, format!("the body is not JSON of the form {{\"db\": …, \"q\": …}}: {e}"))
    })?;
    v3(state, caller, headers, body).await
}

/// `GET /api/v3/query_sql?db=&q=&format=`
pub async fn v3_get(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(mut given): Params<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let params = given.remove("params").map(|text| serde_json::from_str(&text));
    let params = params.transpose().map_err(|e| {
        ApiError::new(Code::InvalidParameter, format!("params is not JSON of the form {{\"name\": value}}: {e}"))
    })?;
    let (sql, db, format) = (given.remove("q"), given.remove("db"), given.remove("format"));
    v3(state, caller, headers, Body { sql, db, format, limit: None, params }).await
}

async fn v3(state: Shared, caller: Caller, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let began = Instant::now();
    let format = match body.format.as_deref() {
        None | Some("json") => Format::JsonArray,
        Some("jsonl" | "json_lines") => Format::JsonLines,
        Some("csv") => Format::Csv,
        Some("parquet") => Format::Parquet,
        Some(other) => {
            let message = format!("format {other:?} is none of json, jsonl, csv, parquet");
            return Err(ApiError::new(Code::InvalidParameter, message));
        }
    };
    if body.sql.as_ref().is_none_or(|q| q.trim().is_empty()) {
        return Err(ApiError::new(Code::InvalidParameter, "the parameter \"q\" is missing"));
    }
    let form = Form::of(format, &headers)?;
    let request = body.request(&state, &caller, &headers)?;
    let stream = counted(&state, state.engine.query(request).await)?;
    respond(&state, stream, form, began).await
}
