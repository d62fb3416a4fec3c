//! The cache of answers, with the names of Arc's Python edition.

use axum::Json;
use axum::extract::State as Extract;
use query::cache::Stats;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::metrics::Metric;
use crate::state::{Shared, State};
use crate::time::rfc3339;

/// Entries that statistics list.
const LISTED: usize = 20;

fn hit_rate_percent(stats: &Stats) -> f64 {
    let asked = stats.hits + stats.misses;
    if asked == 0 { 0.0 } else { stats.hits as f64 * 100.0 / asked as f64 }
}

/// `GET /api/v1/cache/stats`
pub async fn stats(Extract(state): Extract<Shared>, caller: Caller) -> Json<Value> {
    let cache = state.engine.cache();
    let stats = cache.stats();
    let footers = state.engine.footers();
    let mb = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let recent = if caller.access.is_unscoped() { cache.recent(LISTED) } else { Vec::new() };
    let entries: Vec<Value> = recent
        .into_iter()
        .map(|(key, rows, columns, bytes)| {
            json!({"key_hash": key, "row_count": rows, "columns": columns, "bytes": bytes})
        })
        .collect();
    Json(json!({
        "enabled": cache.is_on(),
        // what is found is never stale, so nothing expires
        "ttl_seconds": null,
        "max_size_mb": mb(stats.max_bytes),
        "max_result_size_mb": mb(stats.max_result_bytes),
        "current_size": stats.entries,
        "current_size_mb": mb(stats.bytes),
        "current_size_bytes": stats.bytes,
        "utilization_percent": stats.bytes as f64 * 100.0 / stats.max_bytes.max(1) as f64,
        "metrics": {
            "total_requests": stats.hits + stats.misses,
            "hits": stats.hits,
            "misses": stats.misses,
            "bypasses": stats.bypasses,
            "hit_rate_percent": hit_rate_percent(&stats),
            "evictions": stats.evictions,
            "expirations": 0,
            "turned_away": stats.turned_away,
        },
        "entries": entries,
        "footers": {"entries": footers.entries, "bytes": footers.bytes, "max_bytes": footers.max_bytes},
    }))
}

/// `GET /api/v1/cache/health`
pub async fn health(Extract(state): Extract<Shared>) -> Json<Value> {
    let stats = state.engine.cache().stats();
    Json(json!({
        "healthy": stats.bytes <= stats.max_bytes,
        "hit_rate_percent": hit_rate_percent(&stats),
        "current_size": stats.entries,
        "total_requests": stats.hits + stats.misses,
        "warnings": [],
        "timestamp": rfc3339(state.clock.now_us()),
    }))
}

/// `POST` or `DELETE /api/v1/cache/clear`
pub async fn clear(Extract(state): Extract<Shared>) -> Json<Value> {
    let cleared = state.engine.cache().clear();
    Json(json!({"success": true, "message": "the cache is empty", "cleared": cleared}))
}

/// Counters and gauges for `/metrics`.
pub fn metrics(state: &State) -> ([Metric; 4], [Metric; 2]) {
    let stats = state.engine.cache().stats();
    (
        [
            ("tidewater_query_cache_hits_total", "Answers that were there already.", stats.hits as f64),
            ("tidewater_query_cache_misses_total", "Answers that were computed and may be kept.", stats.misses as f64),
            ("tidewater_query_cache_bypasses_total", "Answers that are never kept.", stats.bypasses as f64),
            ("tidewater_query_cache_evictions_total", "Answers that gave way to others.", stats.evictions as f64),
        ],
        [
            ("tidewater_query_cache_bytes", "Memory of kept answers.", stats.bytes as f64),
            ("tidewater_query_cache_entries", "Kept answers.", stats.entries as f64),
        ],
    )
}
