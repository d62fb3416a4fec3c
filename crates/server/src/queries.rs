//! Queries on their way and those that ended, and the pool they run in.

use std::time::Duration;

use axum::Json;
use axum::extract::State as Extract;
use model::{Code, Permission, limits};
use query::running::{Cancelled, Query};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{Params, Segments};
use crate::state::{Shared, State};
use crate::time::rfc3339;

/// Queries that a client gets unless it asks for another number.
const LISTED: usize = 100;

fn describe(query: &Query) -> Value {
    let seen = query.seen();
    let ms = |us: u64| us as f64 / 1e3;
    let total_us = seen.total_us.unwrap_or_else(|| query.elapsed_us());
    let end_us = seen.total_us.map(|us| query.started_us + us as i64);
    json!({
        "id": query.id,
        "sql": query.sql,
        "database": query.database,
        "token_id": query.owner.id,
        "token_name": &*query.owner.name,
        "remote_addr": query.owner.address,
        "priority": query.priority.as_str(),
        "status": seen.phase.as_str(),
        "start_time": rfc3339(query.started_us),
        "end_time": end_us.map(rfc3339),
        "duration_ms": ms(total_us),
        "wait_ms": ms(seen.wait_us),
        "plan_ms": ms(seen.plan_us),
        "first_rows_ms": ms(seen.first_us),
        "row_count": seen.rows,
        "rows_read": seen.rows_read,
        "peak_memory_bytes": seen.peak_bytes,
        "is_parallel": true,
        "error": seen.error,
        "plan": seen.plan,
    })
}

/// Whose queries a caller may see and cancel: all of them, or its own.
fn is_seen(caller: &Caller, query: &Query) -> bool {
    let is_operator = caller.access.has(Permission::Admin) && caller.access.is_unscoped();
    is_operator || (query.owner.id.is_some() && query.owner.id == caller.id)
}

/// How many queries a client wants to see.
#[derive(Debug, Deserialize)]
pub struct Page {
    limit: Option<usize>,
}

fn list(caller: &Caller, queries: &[std::sync::Arc<Query>], limit: usize) -> Json<Value> {
    let seen = queries.iter().filter(|q| is_seen(caller, q)).take(limit);
    let queries: Vec<Value> = seen.map(|q| describe(q)).collect();
    Json(json!({"success": true, "count": queries.len(), "queries": queries}))
}

/// `GET /api/v1/queries/active`, oldest first
pub async fn active(Extract(state): Extract<Shared>, caller: Caller) -> Json<Value> {
    list(&caller, &state.engine.queries().live(), usize::MAX)
}

/// `GET /api/v1/queries/history`, newest first
pub async fn history(Extract(state): Extract<Shared>, caller: Caller, Params(page): Params<Page>) -> Json<Value> {
    let limit = page.limit.unwrap_or(LISTED).min(limits::QUERY_HISTORY);
    list(&caller, &state.engine.queries().ended(), limit)
}

fn unknown(id: &str) -> ApiError {
    ApiError::new(Code::NotFound, format!("query {id:?} is not known: it ended long ago, or never was"))
}

/// `GET /api/v1/queries/{id}`
pub async fn one(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    let query = state.engine.queries().get(&id).filter(|q| is_seen(&caller, q)).ok_or_else(|| unknown(&id))?;
    Ok(Json(json!({"success": true, "query": describe(&query)})))
}

/// `DELETE /api/v1/queries/{id}`: the query ends at its next step, and its client is told.
pub async fn cancel(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    let queries = state.engine.queries();
    let query = queries.get(&id).filter(|q| is_seen(&caller, q)).ok_or_else(|| unknown(&id))?;
    match queries.cancel(&id) {
        Cancelled::Now => Ok(Json(json!({"success": true, "message": "the query is cancelled"}))),
        Cancelled::EndedBefore => {
            let message = format!("query {id} is {} already", query.seen().phase.as_str());
            Err(ApiError::new(Code::AlreadyEnded, message))
        }
        Cancelled::Unknown => Err(unknown(&id)),
    }
}

/// What the last probe of the pool said.
pub fn probe(state: &State) -> Value {
    let status = state.supervisor.status("health-probe");
    json!({
        "healthy": status.as_ref().is_none_or(|s| s.consecutive_errors == 0),
        "last_run": status.as_ref().and_then(|s| s.last_run_us).map(rfc3339),
        "next_run": status.as_ref().and_then(|s| s.next_run_us).map(rfc3339),
        "consecutive_errors": status.as_ref().map_or(0, |s| s.consecutive_errors),
        "backoff_s": status.as_ref().map_or(0, |s| s.backoff_us() / 1_000_000),
    })
}

/// `GET /api/v1/metrics/query-pool`: with the names of both of Arc's editions.
pub async fn pool(Extract(state): Extract<Shared>, caller: Caller) -> Json<Value> {
    let pool = state.engine.pool();
    let (totals, slots) = (pool.totals(), pool.slots());
    let running = slots.iter().filter(|s| s.current.is_some()).count();
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let average = |sum: Duration, count: u64| if count == 0 { 0.0 } else { ms(sum) / count as f64 };
    let now_us = state.clock.now_us();
    let may_see = |id: &String| state.engine.queries().get(id).is_some_and(|q| is_seen(&caller, &q));
    let connections: Vec<Value> = slots
        .iter()
        .map(|s| {
            json!({
                "connection_id": s.id,
                // one whose query broke is replaced at once
                "is_healthy": true,
                "total_queries": s.queries,
                "failed_queries": s.failures,
                "avg_execution_time_ms": average(s.ran, s.queries),
                "last_used": s.idle.map(|d| rfc3339(now_us - d.as_micros() as i64)),
                "current_query": s.current.as_ref().filter(|id| may_see(id)),
            })
        })
        .collect();
    Json(json!({
        "timestamp": rfc3339(now_us),
        "pool": {
            "pool_size": pool.size(),
            "active_connections": running,
            "idle_connections": pool.size() - running,
            "queue_depth": pool.waiting(),
            "total_queries_executed": totals.executed,
            "total_queries_queued": totals.queued,
            "total_queries_failed": totals.failed,
            "total_queries_timeout": totals.timed_out,
            "total_queries_turned_away": totals.turned_away,
            "connections_replaced": totals.replaced,
            "avg_wait_time_ms": average(totals.waited, totals.queued),
            "avg_execution_time_ms": average(totals.ran, totals.executed),
            "connections_open": pool.size(),
            "in_use": running,
            "idle": pool.size() - running,
            "queries_total": totals.executed,
            "query_errors_total": totals.failed,
            "memory_common_bytes": state.engine.common_memory_used(),
        },
        "health": probe(&state),
        "connections": connections,
    }))
}
