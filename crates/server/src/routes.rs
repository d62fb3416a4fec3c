use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State as Extract};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, get, post};
use http_body_util::BodyExt;
use model::Code;

use crate::error::ApiError;
use crate::state::{Shared, count};
use crate::{
    auth, compaction, continuous, databases, delete, health, influx, jobs, metrics, query, retention, samples, write,
};

/// Bodies up to this length are read before anything is answered.
const SHORT_BODY_BYTES: u64 = 64 << 10;

/// Every route of the server.
pub fn router(state: Shared) -> Router {
    Router::new()
        .route("/api/v1/write/msgpack", post(write::msgpack))
        .route("/api/v1/write/line-protocol", post(write::line_protocol))
        .route("/api/v1/write/line-protocol/flush", post(write::flush))
        .route("/write", post(write::influx_v1))
        .route("/api/v2/write", post(write::influx_v2))
        .route("/api/v3/write_lp", post(write::influx_v3))
        .route("/query", get(influx::query).post(influx::query))
        .route("/api/v2/query", post(influx::flux))
        .route("/api/v2/buckets", get(influx::buckets).post(influx::bucket_changes))
        .route("/api/v3/query_sql", get(query::v3_get).post(query::v3_post))
        .route("/api/v1/query", post(query::json))
        .route("/api/v1/query/arrow", post(query::arrow))
        .route("/api/v1/measurements", get(databases::measurements))
        .route("/api/v1/databases", get(databases::list).post(databases::create))
        .route("/api/v1/databases/{name}", get(databases::one).delete(databases::drop_database))
        .route(
            "/api/v1/databases/{name}/measurements/{measurement}",
            routing::delete(databases::drop_table).put(databases::set_mode),
        )
        .route("/api/v1/databases/{name}/measurements/{measurement}/rename", post(databases::rename))
        .route("/api/v1/databases/{name}/measurements/{measurement}/retype", post(databases::retype))
        .route("/api/v1/databases/{name}/measurements", get(databases::measurements_of))
        .route("/api/v1/delete", post(delete::rows))
        .route("/api/v1/delete/config", get(delete::config))
        .route("/api/v2/delete", post(delete::influx))
        .route("/api/v1/retention", get(retention::list).post(retention::create))
        .route("/api/v1/retention/", get(retention::list).post(retention::create))
        .route("/api/v1/retention/{id}", get(retention::one).put(retention::update).delete(retention::delete))
        .route("/api/v1/retention/{id}/execute", post(retention::execute))
        .route("/api/v1/retention/{id}/executions", get(retention::executions))
        .route("/api/v1/continuous_queries", get(continuous::list).post(continuous::create))
        .route("/api/v1/continuous_queries/", get(continuous::list).post(continuous::create))
        .route(
            "/api/v1/continuous_queries/{id}",
            get(continuous::one).put(continuous::update).delete(continuous::delete),
        )
        .route("/api/v1/continuous_queries/{id}/execute", post(continuous::execute))
        .route("/api/v1/continuous_queries/{id}/executions", get(continuous::executions))
        .route("/api/v1/schedulers", get(continuous::schedulers))
        .route("/api/v1/schedulers/cq/reload", post(continuous::reload))
        .route("/api/v1/schedulers/retention/trigger", post(continuous::trigger_retention))
        .route("/api/v1/compaction/status", get(compaction::status))
        .route("/api/v1/compaction/stats", get(compaction::stats))
        .route("/api/v1/compaction/candidates", get(compaction::candidates))
        .route("/api/v1/compaction/history", get(compaction::history))
        .route("/api/v1/compaction/trigger", post(compaction::trigger))
        .route("/api/v1/compaction/pause", post(compaction::pause))
        .route("/api/v1/compaction/resume", post(compaction::resume))
        .route("/api/v1/jobs", get(jobs::list))
        .route("/api/v1/jobs/{id}", get(jobs::one))
        .route("/api/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/api/v1/delete/history", get(jobs::deletes))
        .route("/api/v1/compaction/jobs", get(jobs::compactions))
        .route("/api/v1/compaction/locks", get(jobs::locks))
        .route("/api/v1/compaction/locks/cleanup", post(jobs::clean_up_locks))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/ping", get(health::ping).head(health::ping))
        .route("/metrics", get(metrics::prometheus))
        .route("/api/v1/metrics/timeseries/{type}", get(samples::timeseries))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        // bodies are bounded where they are read, with the bound named in the error
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(state.clone(), auth::require))
        .layer(middleware::from_fn_with_state(state.clone(), account))
        .with_state(state)
}

/// The text that arcli takes as "this feature is not here".
async fn unknown(method: Method, uri: Uri) -> ApiError {
    ApiError::new(Code::NotFound, format!("Cannot {method} {}", uri.path()))
}

/// A request whose short body has arrived: an answer that does not wait for the body would end the connection,
/// and a client that sends its next request meanwhile would get none.
async fn arrived(request: Request) -> Result<Request, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if !length.is_some_and(|n: u64| (1..=SHORT_BODY_BYTES).contains(&n)) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await;
    let body = body.map_err(|e| ApiError::new(Code::InvalidBody, format!("the body ended early: {e}")))?;
    Ok(Request::from_parts(parts, Body::from(body.to_bytes())))
}

/// Counts the request and gives it an id, which its answer carries.
async fn account(Extract(state): Extract<Shared>, request: Request, next: Next) -> Response {
    count(&state.counters.requests, 1);
    let id = request
        .headers()
        .get("x-request-id")
        .filter(|v| v.len() <= 64)
        .cloned()
        .or_else(|| HeaderValue::from_str(&store::random::uuid()).ok());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match arrived(request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let status = response.status();
    let counter = if status.is_success() { &state.counters.succeeded } else { &state.counters.failed };
    count(counter, 1);
    if let Some(id) = id {
        if !status.is_success() {
            tracing::info!(%method, path, status = status.as_u16(), request_id = id.to_str().unwrap_or_default(), "refused");
        }
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
