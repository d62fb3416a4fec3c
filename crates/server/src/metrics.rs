use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State as Extract};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::histogram::{self, BOUNDS_US, Histogram};
use model::{Stage, limits};
use serde_json::{Map, Value, json};
use store::View;

use crate::auth::{self, Caller, Peer};
use crate::error::ApiError;
use crate::routes::routes;
use crate::state::{Shared, State, blocking};
use crate::time::rfc3339;
use crate::{cache, queries};

/// Requests of each route.
#[derive(Debug)]
pub struct Routes(Vec<RouteCounts>);

/// Requests of one route, by the class of their status.
#[derive(Debug, Default)]
pub struct RouteCounts {
    /// 2xx or 3xx, 4xx, 5xx.
    classes: [AtomicU64; 3],
    took: Histogram,
}

const CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];

impl Default for Routes {
    fn default() -> Self {
        Self(routes().iter().map(|_| RouteCounts::default()).collect())
    }
}

impl Routes {
    pub fn get(&self, at: usize) -> Option<&RouteCounts> {
        self.0.get(at)
    }

    /// Requests of some routes, by their paths, and how many of them failed.
    pub fn totals(&self, is_meant: impl Fn(&str) -> bool) -> (u64, u64) {
        let meant = routes().iter().zip(&self.0).filter(|(route, _)| is_meant(route.path));
        let of = |class: &AtomicU64| class.load(Ordering::Relaxed);
        meant.fold((0, 0), |(all, failed), (_, seen)| {
            let [fine, refused, broken] = seen.classes.each_ref().map(of);
            (all + fine + refused + broken, failed + refused + broken)
        })
    }
}

impl RouteCounts {
    pub fn note(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() >= 400) + usize::from(status.as_u16() >= 500);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.took.note(took);
    }
}

/// One name of `/metrics` with all its values.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    /// Labels as they are printed, without braces.
    values: Vec<(String, Shown)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

enum Shown {
    Number(f64),
    Times(histogram::Seen),
}

/// Name, meaning, value.
pub type Metric = (&'static str, &'static str, f64);

/// `GET /metrics`: Prometheus text, with Arc's names where they mean the same; JSON for who accepts nothing else.
/// What tells of databases by name is for tokens without scopes.
pub async fn prometheus(Extract(state): Extract<Shared>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let wants_json = parts.headers.get(header::ACCEPT).is_some_and(|v| v.as_bytes() == b"application/json");
    let named = sees_names(&state, &parts).await;
    blocking(move || {
        let families = families(&state, named);
        if wants_json {
            return Ok(Json(object(&state, &families)).into_response());
        }
        Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text(&families)).into_response())
    })
    .await
}

/// Whether who asks may know the names of databases: a public page has to look at the token itself.
async fn sees_names(state: &Shared, parts: &Parts) -> bool {
    if let Some(caller) = parts.extensions.get::<Caller>() {
        return caller.access.is_unscoped();
    }
    if state.auth.tokens().is_err() {
        return true;
    }
    let (headers, query) = (&parts.headers, parts.uri.query());
    let Some(peer) = parts.extensions.get::<Peer>().filter(|_| auth::has_token(headers, query)) else {
        return false;
    };
    auth::identify(state, headers, query, peer.0.ip()).await.is_ok_and(|token| token.access.is_unscoped())
}

/// `GET /api/v1/metrics`
pub async fn json(Extract(state): Extract<Shared>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let named = caller.access.is_unscoped();
    blocking(move || Ok(Json(object(&state, &families(&state, named))))).await
}

/// `GET /api/v1/metrics/memory`: memory by purpose, and what the process holds.
pub async fn memory(Extract(state): Extract<Shared>) -> Json<Value> {
    let shared = state.store.shared();
    let (answers, footers) = (state.engine.cache().stats(), state.engine.footers());
    Json(json!({
        "timestamp": rfc3339(state.clock.now_us()),
        "memory": {
            "resident_bytes": resident_bytes(),
            "hot_bytes": shared.hot_bytes(),
            "hot_budget_bytes": shared.config.hot_budget_bytes,
            "queries_common_bytes": state.engine.common_memory_used(),
            "result_cache_bytes": answers.bytes,
            "result_cache_budget_bytes": answers.max_bytes,
            "footer_cache_bytes": footers.bytes,
            "footer_cache_budget_bytes": footers.max_bytes,
            "bodies_bytes": state.room.used(),
            "bodies_budget_bytes": state.config().body_budget_bytes,
        },
        "runtime": {
            "threads": threads(),
            "open_fds": open_descriptors(),
            "cpu_seconds_total": process_cpu_seconds(),
            "connections": state.counters.connections.load(Ordering::Relaxed),
        },
    }))
}

/// `GET /api/v1/metrics/endpoints`: every route that was asked, in Arc's groups.
pub async fn endpoints(Extract(state): Extract<Shared>) -> Json<Value> {
    let mut groups: BTreeMap<&str, Vec<Value>> =
        ["http", "ingestion", "query", "storage", "compaction", "auth"].map(|g| (g, Vec::new())).into();
    for (route, seen) in routes().iter().zip(&state.counters.routes.0) {
        let took = seen.took.seen();
        if took.count() == 0 {
            continue;
        }
        let [fine, refused, failed] = [0, 1, 2].map(|class| seen.classes[class].load(Ordering::Relaxed));
        groups.entry(group(route.path)).or_default().push(json!({
            "method": route.method.as_str(),
            "path": route.path,
            "requests": took.count(),
            "success": fine,
            "client_errors": refused,
            "server_errors": failed,
            "average_ms": took.average_us() / 1e3,
            "p50_ms": upper_ms(took.quantile_us(0.5)),
            "p99_ms": upper_ms(took.quantile_us(0.99)),
        }));
    }
    let mut body = json!(groups);
    body["timestamp"] = rfc3339(state.clock.now_us()).into();
    Json(body)
}

/// The end of a bucket in milliseconds; none beyond the last.
fn upper_ms(us: u64) -> Option<f64> {
    (us != u64::MAX).then_some(us as f64 / 1e3)
}

fn group(path: &str) -> &'static str {
    match path.trim_start_matches("/api/").split('/').nth(1).unwrap_or_default() {
        _ if path.contains("write") => "ingestion",
        "auth" | "audit" | "governance" => "auth",
        "compaction" => "compaction",
        "databases" | "delete" | "retention" | "backup" => "storage",
        _ if path.contains("quer") || path.contains("measurements") || path.contains("cache") => "query",
        _ => "http",
    }
}

fn text(families: &[Family]) -> String {
    let mut out = String::with_capacity(32 << 10);
    for Family { name, help, kind, values } in families.iter().filter(|f| !f.values.is_empty()) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, shown) in values {
            let comma = if labels.is_empty() { "" } else { "," };
            let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            match shown {
                Shown::Number(value) => drop(writeln!(out, "{name}{braced} {value}")),
                Shown::Times(seen) => {
                    let mut passed = 0;
                    for (count, bound) in seen.counts.iter().zip(BOUNDS_US) {
                        passed += count;
                        let le = bound as f64 / 1e6;
                        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{le}\"}} {passed}");
                    }
                    let (count, sum) = (seen.count(), seen.sum_ns as f64 / 1e9);
                    let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
                    let _ = writeln!(out, "{name}_sum{braced} {sum}\n{name}_count{braced} {count}");
                }
            }
        }
    }
    out
}

/// Names with their values; with labels an object of them.
fn object(state: &State, families: &[Family]) -> Value {
    let value = |shown: &Shown| match shown {
        Shown::Number(value) => json!(value),
        Shown::Times(seen) => json!({"count": seen.count(), "sum_seconds": seen.sum_ns as f64 / 1e9}),
    };
    let mut all = Map::new();
    all.insert("timestamp".into(), rfc3339(state.clock.now_us()).into());
    for family in families {
        let shown = match family.values.as_slice() {
            [(labels, one)] if labels.is_empty() => value(one),
            many => many.iter().map(|(labels, one)| (labels.clone(), value(one))).collect(),
        };
        all.insert(family.name.to_owned(), shown);
    }
    Value::Object(all)
}

fn families(state: &State, named: bool) -> Vec<Family> {
    let view = state.store.view();
    let mut all = Vec::new();
    let (cache_counters, cache_gauges) = cache::metrics(state);
    let listed = [
        (Kind::Counter, counters_of_http(state)),
        (Kind::Counter, counters_of_store(state)),
        (Kind::Counter, counters_of_queries(state)),
        (Kind::Counter, cache_counters.to_vec()),
        (Kind::Gauge, gauges(state, &view)),
        (Kind::Gauge, cache_gauges.to_vec()),
    ];
    for (kind, metrics) in listed {
        all.extend(metrics.into_iter().map(|(name, help, value)| Family {
            name,
            help,
            kind,
            values: vec![(String::new(), Shown::Number(value))],
        }));
    }
    all.extend(stages(state));
    all.extend(requests(state));
    all.extend(tasks(state));
    if named {
        all.extend(databases(&view));
    }
    all
}

fn read(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

fn counters_of_http(state: &State) -> Vec<Metric> {
    let http = &state.counters;
    let (_, _, tokens) = state.auth.cache_stats();
    vec![
        ("arc_http_requests_total", "Requests answered.", read(&http.requests)),
        ("arc_http_requests_success_total", "Requests answered with 2xx.", read(&http.succeeded)),
        ("arc_http_requests_error_total", "Requests answered with anything else.", read(&http.failed)),
        ("tidewater_http_turned_away_total", "Connections that found no seat.", read(&http.turned_away)),
        ("tidewater_http_too_slow_total", "Connections closed because they did not get on.", read(&http.too_slow)),
        ("arc_ingest_bytes_total", "Bytes of write bodies as they came.", read(&http.write_bytes)),
        ("arc_ingest_batches_total", "Write requests.", read(&http.write_requests)),
        ("arc_ingest_errors_total", "Write requests refused, in whole or in part.", read(&http.write_errors)),
        ("arc_msgpack_records_total", "Rows decoded from MessagePack.", read(&http.msgpack_rows)),
        ("arc_lineprotocol_records_total", "Lines of line protocol.", read(&http.lines)),
        ("tidewater_lineprotocol_bad_lines_total", "Lines that were not understood.", read(&http.bad_lines)),
        ("tidewater_tle_records_total", "Element sets of satellites.", read(&http.orbits)),
        ("arc_auth_requests_total", "Requests that asked for a token.", read(&http.auth_requests)),
        ("arc_auth_cache_hits_total", "Tokens found in the cache.", tokens.hits as f64),
        ("arc_auth_cache_misses_total", "Tokens looked up.", tokens.misses as f64),
        ("tidewater_auth_cache_evictions_total", "Tokens that gave way in the cache.", tokens.evictions as f64),
        ("tidewater_auth_failures_total", "Requests without a valid token.", read(&http.auth_failures)),
        ("tidewater_audit_dropped_total", "Audit events that came too fast.", state.audit.dropped() as f64),
        ("process_cpu_seconds_total", "User and system CPU time.", process_cpu_seconds()),
    ]
}

fn counters_of_store(state: &State) -> Vec<Metric> {
    let store = state.store.counters();
    let shared = state.store.shared();
    let compaction = shared.compaction.lock();
    vec![
        ("arc_ingest_records_total", "Rows made durable and visible.", read(&store.rows)),
        ("arc_buffer_flushes_total", "Flushes of a table.", read(&store.flushes)),
        ("arc_buffer_flush_failures_total", "Flushes that failed and were tried again.", read(&store.flush_failures)),
        ("arc_buffer_records_written_total", "Rows written to files.", read(&store.flushed_rows)),
        ("tidewater_files_written_total", "Parquet files written.", read(&store.flushed_files)),
        ("arc_storage_write_bytes_total", "Bytes of Parquet files written.", read(&store.flushed_bytes)),
        ("tidewater_log_records_total", "Records of the log.", read(&store.records)),
        ("tidewater_log_groups_total", "Group commits of the log.", read(&store.groups)),
        ("tidewater_log_syncs_total", "Calls of fdatasync on the log.", read(&store.syncs)),
        ("tidewater_log_written_bytes_total", "Bytes of records written to the log.", read(&store.log_bytes)),
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
    ]
}

fn counters_of_queries(state: &State) -> Vec<Metric> {
    let (http, pool) = (&state.counters, state.engine.pool().totals());
    vec![
        ("arc_query_requests_total", "Queries.", read(&http.query_requests)),
        ("arc_query_errors_total", "Queries that failed.", read(&http.query_errors)),
        ("arc_query_rows_total", "Rows of answers.", read(&http.query_rows)),
        ("arc_db_queries_total", "Queries that had a slot.", pool.executed as f64),
        ("arc_query_timeouts_total", "Queries that their deadline ended.", pool.timed_out as f64),
        ("tidewater_query_queued_total", "Queries that waited for a slot.", pool.queued as f64),
        ("tidewater_query_turned_away_total", "Queries refused because the queue was full.", pool.turned_away as f64),
        ("tidewater_query_wait_seconds_total", "Time that queries waited.", pool.waited.as_secs_f64()),
        ("tidewater_query_run_seconds_total", "Time that queries had a slot.", pool.ran.as_secs_f64()),
        ("tidewater_query_slots_replaced_total", "Slots replaced after their query broke.", pool.replaced as f64),
    ]
}

fn gauges(state: &State, view: &View) -> Vec<Metric> {
    let (http, store, shared) = (&state.counters, state.store.counters(), state.store.shared());
    let now_us = state.clock.now_us();
    let healthy = f64::from(u8::from(queries::probe(state)["healthy"] == true));
    let ready = f64::from(u8::from(state.store.check_ready().is_ok()));
    let (cached, _, _) = state.auth.cache_stats();
    let unflushed: usize = view.tables.values().map(|t| t.hot.rows()).sum();
    let oldest_us = shared.hot_tables.lock().values().min().copied();
    let files: usize = view.tables.values().map(|t| t.files.len()).sum();
    let bytes: u64 = view.tables.values().flat_map(|t| t.files.iter()).map(|f| f.bytes).sum();
    let free = store::durable::free_bytes(&shared.config.root).map_or(f64::NAN, |b| b as f64);
    let footers = state.engine.footers();
    let locks = state.store.locks().map_or(f64::NAN, |l| l.len() as f64);
    let quarantined = shared.compaction.lock().quarantined.len() as f64;
    let pool = state.engine.pool();
    vec![
        ("tidewater_ready", "Whether writes are accepted.", ready),
        ("arc_uptime_seconds", "Seconds since the start.", (now_us - state.started_us) as f64 / 1e6),
        ("arc_buffer_records_buffered", "Rows that no file holds yet.", unflushed as f64),
        (
            "tidewater_unflushed_age_seconds",
            "Age of the oldest of them.",
            oldest_us.map_or(0.0, |since| (now_us - since).max(0) as f64 / 1e6),
        ),
        ("tidewater_hot_bytes", "Bytes reserved for rows that no file holds.", shared.hot_bytes() as f64),
        ("tidewater_hot_budget_bytes", "Most bytes that may be reserved so.", shared.config.hot_budget_bytes as f64),
        ("tidewater_failing_tables", "Tables whose last flush failed.", shared.failing.lock().len() as f64),
        ("tidewater_log_bytes", "Bytes of the log on disk.", read(&shared.log_bytes)),
        ("tidewater_side_log_bytes", "Bytes of the side log on disk.", read(&shared.side_bytes)),
        ("tidewater_disk_free_bytes", "Bytes free on the disk of the data folder.", free),
        ("tidewater_disk_min_free_bytes", "Writes stop below it.", shared.config.min_free_bytes as f64),
        ("tidewater_files", "Live Parquet files.", files as f64),
        ("tidewater_file_bytes", "Bytes of live Parquet files.", bytes as f64),
        ("tidewater_quarantined_files", "Damaged files left out of merges.", quarantined),
        ("tidewater_snapshot", "Newest catalog snapshot.", view.snapshot as f64),
        ("tidewater_published_lsn", "Newest visible record.", view.published.0 as f64),
        ("tidewater_databases", "Databases.", view.databases.len() as f64),
        ("tidewater_tables", "Tables.", view.tables.len() as f64),
        ("tidewater_locks", "Locks of jobs that replace files.", locks),
        ("tidewater_last_flush_timestamp_seconds", "When rows last became files.", read(&store.last_flush_us) / 1e6),
        ("tidewater_query_slots", "Queries that may run at once.", pool.size() as f64),
        ("tidewater_query_waiting", "Queries that wait for a slot.", pool.waiting() as f64),
        ("tidewater_query_running", "Queries that run.", pool.running() as f64),
        ("tidewater_query_pool_healthy", "Whether the last probe query succeeded.", healthy),
        ("tidewater_footer_cache_bytes", "Memory of kept ends of Parquet files.", footers.bytes as f64),
        ("tidewater_footer_cache_entries", "Kept ends of Parquet files.", footers.entries as f64),
        ("tidewater_auth_cache_entries", "Tokens in the cache.", cached as f64),
        ("tidewater_http_connections", "Open connections.", read(&http.connections)),
        ("tidewater_http_body_bytes", "Memory of request bodies on their way.", state.room.used() as f64),
        ("tidewater_memory_budget_bytes", "memory.budget", state.config().memory_budget_bytes as f64),
        ("process_resident_memory_bytes", "Resident memory.", resident_bytes()),
        ("process_open_fds", "Open descriptors.", open_descriptors()),
        ("process_threads", "Threads.", threads()),
        ("tidewater_cores", "Cores that the process may use.", cores()),
        ("process_start_time_seconds", "When the process began.", state.started_us as f64 / 1e6),
    ]
}

fn stages(state: &State) -> [Family; 1] {
    let stages = &state.store.shared().stages;
    let values = Stage::ALL.iter().map(|s| (format!("stage=\"{}\"", s.as_str()), Shown::Times(stages.of(*s).seen())));
    let (name, help) = ("tidewater_stage_seconds", "How long each step of writes and queries takes.");
    [Family { name, help, kind: Kind::Histogram, values: values.collect() }]
}

fn requests(state: &State) -> [Family; 2] {
    let (mut counts, mut times) = (Vec::new(), Vec::new());
    for (route, seen) in routes().iter().zip(&state.counters.routes.0) {
        let labels = format!("method=\"{}\",path=\"{}\"", route.method, route.path);
        for (class, count) in CLASSES.iter().zip(&seen.classes).filter(|(_, c)| c.load(Ordering::Relaxed) > 0) {
            counts.push((format!("{labels},status=\"{class}\""), Shown::Number(read(count))));
        }
        let took = seen.took.seen();
        if took.count() > 0 {
            times.push((labels, Shown::Times(took)));
        }
    }
    let help = "Requests by route and class of status.";
    let counts = Family { name: "tidewater_http_requests_total", help, kind: Kind::Counter, values: counts };
    let help = "Time to the head of the answer, by route.";
    [counts, Family { name: "tidewater_http_request_seconds", help, kind: Kind::Histogram, values: times }]
}

fn tasks(state: &State) -> [Family; 3] {
    let statuses = state.supervisor.statuses();
    let of = |value: fn(&store::supervisor::Status) -> f64| -> Vec<(String, Shown)> {
        statuses.iter().map(|t| (format!("task=\"{}\"", t.name), Shown::Number(value(t)))).collect()
    };
    let jobs = state.store.jobs().counts().unwrap_or_default();
    let jobs = jobs.into_iter().map(|(name, count)| (format!("state=\"{name}\""), Shown::Number(count as f64)));
    [
        Family {
            name: "tidewater_task_failures_total",
            help: "Runs of a background task that failed.",
            kind: Kind::Counter,
            values: of(|t| t.failures as f64),
        },
        Family {
            name: "tidewater_task_consecutive_errors",
            help: "Failures of a background task since its last success.",
            kind: Kind::Gauge,
            values: of(|t| f64::from(t.consecutive_errors)),
        },
        Family {
            name: "tidewater_jobs",
            help: "Jobs that requests started, of those that are remembered.",
            kind: Kind::Gauge,
            values: jobs.collect(),
        },
    ]
}

/// The largest databases by name, the rest as one.
fn databases(view: &View) -> [Family; 4] {
    const OTHERS: &str = "(others)";
    let mut all: Vec<(&str, [f64; 4])> = view
        .databases
        .values()
        .map(|database| {
            let mut sums = [0.0; 4];
            for table in database.tables.values().filter_map(|id| view.tables.get(id)) {
                sums[0] += (table.file_rows as usize + table.hot.rows()) as f64;
                sums[1] += table.files.len() as f64;
                sums[2] += table.files.iter().map(|f| f.bytes as f64).sum::<f64>();
                sums[3] += table.hot.rows() as f64;
            }
            (&*database.name, sums)
        })
        .collect();
    all.sort_by(|a, b| b.1[2].total_cmp(&a.1[2]).then(a.0.cmp(b.0)));
    if all.len() > limits::METRIC_DATABASES {
        let rest = all.split_off(limits::METRIC_DATABASES);
        let sums = rest.iter().fold([0.0; 4], |sum, (_, of)| std::array::from_fn(|i| sum[i] + of[i]));
        all.push((OTHERS, sums));
    }
    let names = [
        ("tidewater_database_rows", "Rows of a database; of tables that keep one row a point, their versions."),
        ("tidewater_database_files", "Live files of a database."),
        ("tidewater_database_bytes", "Bytes of its live files."),
        ("tidewater_database_unflushed_rows", "Rows of it that no file holds yet."),
    ];
    std::array::from_fn(|i| Family {
        name: names[i].0,
        help: names[i].1,
        kind: Kind::Gauge,
        values: all.iter().map(|(name, sums)| (format!("database=\"{name}\""), Shown::Number(sums[i]))).collect(),
    })
}

pub fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0.0);
    pages * 4096.0
}

pub fn open_descriptors() -> f64 {
    std::fs::read_dir("/proc/self/fd").map_or(0.0, |d| d.count() as f64)
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64)
}

fn threads() -> f64 {
    std::fs::read_dir("/proc/self/task").map_or(0.0, |d| d.count() as f64)
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
