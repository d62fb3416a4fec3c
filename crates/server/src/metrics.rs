use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State as Extract;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::state::{Shared, State};
use crate::{cache, queries};

/// `GET /metrics`: Prometheus text, with Arc's names where they mean the same.
pub async fn prometheus(Extract(state): Extract<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], render(&state)).into_response()
}

fn render(state: &State) -> String {
    let mut out = String::with_capacity(8 << 10);
    let read = |c: &AtomicU64| c.load(Ordering::Relaxed) as f64;
    let http = &state.counters;
    let store = state.store.counters();
    let view = state.store.view();
    let shared = state.store.shared();
    let compaction = shared.compaction.lock();
    let pool = state.engine.pool().totals();
    let healthy = f64::from(u8::from(queries::probe(state)["healthy"] == true));
    let (cached, _, tokens) = state.auth.cache_stats();
    let uptime = (state.clock.now_us() - state.started_us) as f64 / 1e6;
    let counters: &[(&str, &str, f64)] = &[
        ("arc_http_requests_total", "Requests answered.", read(&http.requests)),
        ("arc_http_requests_success_total", "Requests answered with 2xx.", read(&http.succeeded)),
        ("arc_http_requests_error_total", "Requests answered with anything else.", read(&http.failed)),
        ("arc_ingest_records_total", "Rows made durable and visible.", read(&store.rows)),
        ("arc_ingest_bytes_total", "Bytes of write bodies as they came.", read(&http.write_bytes)),
        ("arc_ingest_batches_total", "Write requests.", read(&http.write_requests)),
        ("arc_ingest_errors_total", "Write requests refused, in whole or in part.", read(&http.write_errors)),
        ("arc_msgpack_records_total", "Rows decoded from MessagePack.", read(&http.msgpack_rows)),
        ("arc_lineprotocol_records_total", "Lines of line protocol.", read(&http.lines)),
        ("tidewater_lineprotocol_bad_lines_total", "Lines that were not understood.", read(&http.bad_lines)),
        ("arc_buffer_flushes_total", "Flushes of a table.", read(&store.flushes)),
        ("arc_buffer_flush_failures_total", "Flushes that failed and were tried again.", read(&store.flush_failures)),
        ("arc_buffer_records_written_total", "Rows written to files.", read(&store.flushed_rows)),
        ("tidewater_files_written_total", "Parquet files written.", read(&store.flushed_files)),
        ("arc_storage_write_bytes_total", "Bytes of Parquet files written.", read(&store.flushed_bytes)),
        ("tidewater_log_records_total", "Records of the log.", read(&store.records)),
        ("tidewater_log_groups_total", "Group commits of the log.", read(&store.groups)),
        ("tidewater_log_syncs_total", "Calls of fdatasync on the log.", read(&store.syncs)),
        ("tidewater_log_bytes_total", "Bytes of records written to the log.", read(&store.log_bytes)),
        ("arc_wal_recovery_records_total", "Records replayed at start.", read(&store.replayed_records)),
        ("tidewater_log_torn_tails_total", "Interrupted writes cut at start.", read(&store.torn_tails)),
        ("tidewater_orphans_removed_total", "Unfinished files removed at start.", read(&store.orphans_removed)),
        ("tidewater_snapshots_expired_total", "Catalog snapshots expired.", read(&store.snapshots_expired)),
        ("tidewater_files_removed_total", "Replaced files removed from disk.", read(&store.files_removed)),
        ("arc_compaction_jobs_success_total", "Merges of files.", compaction.completed as f64),
        ("arc_compaction_jobs_failed_total", "Merges that failed.", compaction.failed as f64),
        ("arc_compaction_files_compacted_total", "Files that merges took in.", compaction.files as f64),
        ("tidewater_compaction_rows_total", "Rows that merges rewrote.", compaction.rows as f64),
        ("tidewater_scrubbed_bytes_total", "Bytes read against checksums.", read(&store.scrubbed_bytes)),
        ("tidewater_side_log_records_total", "Records of old segments copied aside.", read(&store.side_records)),
        ("tidewater_ballast_given_up_total", "Times the reserve on disk was given up.", read(&store.ballast_given_up)),
        ("arc_query_requests_total", "Queries.", read(&http.query_requests)),
        ("arc_query_errors_total", "Queries that failed.", read(&http.query_errors)),
        ("arc_query_rows_total", "Rows of answers.", read(&http.query_rows)),
        ("arc_auth_requests_total", "Requests that asked for a token.", read(&http.auth_requests)),
        ("arc_auth_cache_hits_total", "Tokens found in the cache.", tokens.hits as f64),
        ("arc_auth_cache_misses_total", "Tokens looked up.", tokens.misses as f64),
        ("tidewater_auth_cache_evictions_total", "Tokens that gave way in the cache.", tokens.evictions as f64),
        ("tidewater_audit_dropped_total", "Audit events that came too fast.", state.audit.dropped() as f64),
        ("arc_db_queries_total", "Queries that had a slot.", pool.executed as f64),
        ("arc_query_timeouts_total", "Queries that their deadline ended.", pool.timed_out as f64),
        ("tidewater_query_queued_total", "Queries that waited for a slot.", pool.queued as f64),
        ("tidewater_query_turned_away_total", "Queries refused because the queue was full.", pool.turned_away as f64),
        ("tidewater_query_wait_seconds_total", "Time that queries waited.", pool.waited.as_secs_f64()),
        ("tidewater_query_run_seconds_total", "Time that queries had a slot.", pool.ran.as_secs_f64()),
        ("tidewater_query_slots_replaced_total", "Slots replaced after their query broke.", pool.replaced as f64),
        ("tidewater_auth_failures_total", "Requests without a valid token.", read(&http.auth_failures)),
        ("process_cpu_seconds_total", "User and system CPU time.", process_cpu_seconds()),
    ];
    let gauges: &[(&str, &str, f64)] = &[
        ("tidewater_query_slots", "Queries that may run at once.", state.engine.pool().size() as f64),
        ("tidewater_query_pool_healthy", "Whether the last probe query succeeded.", healthy),
        ("tidewater_auth_cache_entries", "Tokens in the cache.", cached as f64),
        ("arc_uptime_seconds", "Seconds since the start.", uptime),
        ("tidewater_hot_bytes", "Bytes reserved for rows that no file holds.", shared.hot_bytes() as f64),
        ("tidewater_hot_budget_bytes", "Most bytes that may be reserved so.", shared.config.hot_budget_bytes as f64),
        ("tidewater_log_bytes", "Bytes of the log on disk.", read(&shared.log_bytes)),
        ("tidewater_quarantined_files", "Damaged files left out of merges.", compaction.quarantined.len() as f64),
        ("tidewater_side_log_bytes", "Bytes of the side log on disk.", read(&shared.side_bytes)),
        ("tidewater_snapshot", "Newest catalog snapshot.", view.snapshot as f64),
        ("tidewater_published_lsn", "Newest visible record.", view.published.0 as f64),
        ("tidewater_databases", "Databases.", view.databases.len() as f64),
        ("tidewater_tables", "Tables.", view.tables.len() as f64),
        ("tidewater_last_flush_timestamp_seconds", "When rows last became files.", read(&store.last_flush_us) / 1e6),
        ("tidewater_query_waiting", "Queries that wait for a slot.", state.engine.pool().waiting() as f64),
        ("tidewater_query_running", "Queries that run.", state.engine.pool().running() as f64),
        ("tidewater_http_connections", "Open connections.", read(&http.connections)),
        ("process_resident_memory_bytes", "Resident memory.", resident_bytes()),
        ("process_open_fds", "Open descriptors.", open_descriptors()),
    ];
    let (cache_counters, cache_gauges) = cache::metrics(state);
    let lists =
        [("counter", counters), ("gauge", gauges), ("counter", &cache_counters[..]), ("gauge", &cache_gauges[..])];
    for (kind, list) in lists {
        for (name, help, value) in list {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    }
    out
}

pub fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0.0);
    pages * 4096.0
}

pub fn open_descriptors() -> f64 {
    std::fs::read_dir("/proc/self/fd").map_or(0.0, |d| d.count() as f64)
}

#[expect(unsafe_code, reason = "std has no getrusage")]
pub fn process_cpu_seconds() -> f64 {
    // SAFETY: zero is a valid value of this plain C struct
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` outlives the call
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } != 0 {
        return 0.0;
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
