use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderName, HeaderValue, Method, Uri, header, uri};
use axum::response::Response;
use axum::routing::{self, MethodFilter};
use model::{Code, Permission};
use tower::{Layer as _, ServiceExt as _};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, Any, Cors, CorsLayer};

use crate::auth::{Gate, Needs};
use crate::error::ApiError;
use crate::import::Format;
use crate::listen::watch;
use crate::state::{Shared, count};
use crate::{
    audit, backup, cache, compaction, continuous, databases, delete, governance, health, import, influx, jobs, logs,
    metrics, openapi, queries, query, reload, retention, samples, tokens, write,
};

/// How long a browser may remember what it was allowed.
const PREFLIGHT: Duration = Duration::from_secs(600);

/// One line of the route table: from it come the router, its guards, `docs/api.md` and the tests of both.
#[derive(Debug, Clone)]
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub needs: Needs,
    pub doc: &'static str,
    /// Parameters of the query string: `name: type`, with commas between.
    pub params: &'static str,
    pub takes: Takes,
    /// Statuses of success with the types of their bodies; none: 200 with JSON.
    pub gives: Vec<(u16, &'static str)>,
}

/// The body that a route reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// An object of these fields: `name: type`; `!` behind a name: it must be there, `?` behind a type: or null.
    Json(&'static str),
    /// Data of this type, as long as `server.max_payload_size` allows.
    Payload(&'static str),
}

/// The route table while it is read: as a list, and as a router where there is a server.
struct Table {
    state: Option<Shared>,
    router: Router<Shared>,
    routes: Vec<Route>,
}

impl Table {
    fn on<H, T>(mut self, method: Method, path: &'static str, needs: Needs, doc: &'static str, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        if let Some(state) = &self.state {
            let filter = MethodFilter::try_from(method.clone()).expect("a method that routes know");
            let gate = Gate { state: Shared::clone(state), needs, route: Some(self.routes.len()) };
            let route = routing::on(filter, handler.layer(gate));
            // writes answer with next to nothing, and as often as they can
            let is_write = needs == Needs::Permission(Permission::Write);
            self.router = self.router.route(path, if is_write { route } else { route.layer(compression()) });
        }
        let (params, takes, gives) = ("", Takes::Nothing, Vec::new());
        self.routes.push(Route { method, path, needs, doc, params, takes, gives });
        self
    }

    fn last(&mut self) -> &mut Route {
        self.routes.last_mut().expect("what describes a route follows it")
    }

    fn params(mut self, params: &'static str) -> Self {
        self.last().params = params;
        self
    }

    fn json(mut self, fields: &'static str) -> Self {
        self.last().takes = Takes::Json(fields);
        self
    }

    fn payload(mut self, kind: &'static str) -> Self {
        self.last().takes = Takes::Payload(kind);
        self
    }

    fn gives(mut self, status: u16, kinds: &'static str) -> Self {
        self.last().gives.push((status, kinds));
        self
    }
}

/// Every route, in the order of `docs/api.md`.
pub fn routes() -> &'static [Route] {
    static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| table(None, true).routes);
    &ROUTES
}

/// Whether a path is answered without a token, in one of its spellings.
pub fn is_public(method: &Method, path: &str) -> bool {
    routes()
        .iter()
        .any(|r| r.needs == Needs::Nothing && r.path == path && (r.method == method || method == Method::HEAD))
}

fn table(state: Option<Shared>, metrics_public: bool) -> Table {
    const READ: Needs = Needs::Permission(Permission::Read);
    const WRITE: Needs = Needs::Permission(Permission::Write);
    const DELETE: Needs = Needs::Permission(Permission::Delete);
    const ADMIN: Needs = Needs::Permission(Permission::Admin);
    const PUBLIC: Needs = Needs::Nothing;
    const TOKEN: Needs = Needs::Token;
    const SERVER: Needs = Needs::Server;
    let [get, post, put, patch, delete] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let (get, post, put, patch, del) =
        (|| get.clone(), || post.clone(), || put.clone(), || patch.clone(), || delete.clone());
    let metrics = if metrics_public { PUBLIC } else { TOKEN };
    let (policies, policy) = ("/api/v1/retention", "/api/v1/retention/{id}");
    let (standing, one_standing) = ("/api/v1/continuous_queries", "/api/v1/continuous_queries/{id}");
    let (limits, one_limit) = ("/api/v1/governance/policies", "/api/v1/governance/policies/{id}");
    let measurement = "/api/v1/databases/{name}/measurements/{measurement}";
    const STATEMENT: &str = "sql!: string, db: string, format: string?, limit: integer?, params: any";
    const FORMATS: &str = "application/json application/jsonl text/csv application/msgpack \
                           application/vnd.apache.arrow.stream application/vnd.apache.parquet";
    const FILES: &str = "multipart/form-data";
    const CSV_PARAMS: &str = "db: string, measurement: string, time_column: string, time_format: string, delimiter: string, skip_rows: integer, tags: string, mode: string, idempotent: boolean";
    Table { state, router: Router::new(), routes: Vec::new() }
        // writing
        .on(post(), "/api/v1/write/msgpack", WRITE, "Write columnar or row MessagePack", write::msgpack)
        .payload("application/msgpack")
        .gives(204, "")
        .on(post(), "/api/v1/write/line-protocol", WRITE, "Write line protocol", write::line_protocol)
        .payload("text/plain")
        .params("precision: string")
        .gives(204, "")
        .on(post(), "/api/v1/write/line-protocol/flush", WRITE, "Turn every hot row into files now", write::flush)
        .on(post(), "/write", WRITE, "Write line protocol as InfluxDB 1", write::influx_v1)
        .payload("text/plain")
        .params("db: string, precision: string, rp: string, u: string, p: string")
        .gives(204, "")
        .on(post(), "/api/v2/write", WRITE, "Write line protocol as InfluxDB 2", write::influx_v2)
        .payload("text/plain")
        .params("bucket: string, org: string, precision: string")
        .gives(204, "")
        .on(post(), "/api/v3/write_lp", WRITE, "Write line protocol as InfluxDB 3", write::influx_v3)
        .payload("text/plain")
        .params("db: string, precision: string")
        .gives(204, "")
        .on(get(), "/api/v1/write/line-protocol/stats", TOKEN, "Show what line protocol brought", write::stats::lines)
        .on(get(), "/api/v1/write/line-protocol/health", TOKEN, "Show that line protocol is read", write::stats::line_health)
        .on(post(), "/api/v1/write/tle", WRITE, "Write two-line element sets of satellites", write::tle)
        .payload("text/plain")
        .gives(204, "")
        .on(get(), "/api/v1/write/tle/stats", TOKEN, "Show what element sets brought", write::stats::orbits)
        .on(get(), "/api/v1/write/msgpack/stats", TOKEN, "Show what MessagePack brought", write::stats::msgpack)
        .on(get(), "/api/v1/write/msgpack/spec", TOKEN, "Describe the MessagePack that is read", write::stats::msgpack_spec)
        // importing
        .on(post(), "/api/v1/import/csv", WRITE, "Import a CSV file in one commit", import::file(Format::Csv))
        .payload(FILES)
        .params(CSV_PARAMS)
        .on(post(), "/api/v1/import/parquet", WRITE, "Import a Parquet file in one commit", import::file(Format::Parquet))
        .payload(FILES)
        .params("db: string, measurement: string, time_column: string, time_format: string, tags: string, mode: string, idempotent: boolean")
        .on(post(), "/api/v1/import/lp", WRITE, "Import a file of line protocol in one commit", import::file(Format::Lines))
        .payload(FILES)
        .params("db: string, measurement: string, precision: string, mode: string, idempotent: boolean")
        .on(post(), "/api/v1/import/tle", WRITE, "Import a file of element sets in one commit", import::file(Format::Tle))
        .payload(FILES)
        .params("db: string, measurement: string, mode: string, idempotent: boolean")
        .on(get(), "/api/v1/import/stats", TOKEN, "Show what imports brought", import::stats)
        // querying
        .on(post(), "/api/v1/query", READ, "Query with SQL, answered as JSON or as `format` or `Accept` say", query::any)
        .json(STATEMENT)
        .gives(200, FORMATS)
        .on(post(), "/api/v1/query/arrow", READ, "Query with SQL, answered as an Arrow stream", query::arrow)
        .json(STATEMENT)
        .gives(200, "application/vnd.apache.arrow.stream")
        .on(post(), "/api/v1/query/msgpack", READ, "Query with SQL, answered as MessagePack by columns", query::msgpack)
        .json(STATEMENT)
        .gives(200, "application/msgpack")
        .on(post(), "/api/v1/query/stream", READ, "Query with SQL, answered as CSV", query::csv)
        .json(STATEMENT)
        .gives(200, "text/csv")
        .on(post(), "/api/v1/query/estimate", READ, "How many rows a statement would give, from statistics", query::estimate)
        .json(STATEMENT)
        .on(get(), "/api/v1/query/{measurement}", READ, "The newest rows of a measurement, or those that parameters name", query::rows)
        .params("database: string, limit: integer, offset: integer, order_by: string, where: string, columns: string, start_time: string, end_time: string, format: string")
        .gives(200, FORMATS)
        .on(get(), "/api/v1/query/{measurement}/csv", READ, "The same as CSV", query::rows_as_csv)
        .params("database: string, limit: integer, offset: integer, order_by: string, where: string, columns: string, start_time: string, end_time: string")
        .gives(200, "text/csv")
        .on(get(), "/api/v3/query_sql", READ, "Query with SQL as InfluxDB 3", query::v3_get)
        .params("db: string, q: string, format: string, params: string")
        .gives(200, "application/json[] application/jsonl text/csv application/vnd.apache.parquet")
        .on(post(), "/api/v3/query_sql", READ, "Query with SQL as InfluxDB 3", query::v3_post)
        .json("q!: string, db: string, format: string, params: any")
        .gives(200, "application/json[] application/jsonl text/csv application/vnd.apache.parquet")
        .on(get(), "/query", TOKEN, "What InfluxDB 1's clients ask before they write", influx::query)
        .params("q: string, db: string")
        .on(post(), "/query", TOKEN, "What InfluxDB 1's clients ask before they write", influx::query)
        .params("q: string, db: string")
        .on(post(), "/api/v2/query", TOKEN, "Flux: 501 with a hint", influx::flux)
        .gives(501, "application/json")
        .on(get(), "/api/v2/buckets", TOKEN, "Databases as buckets", influx::buckets)
        .on(post(), "/api/v2/buckets", TOKEN, "Making buckets: 501 with a hint", influx::bucket_changes)
        .gives(501, "application/json")
        .on(get(), "/api/v1/queries/active", TOKEN, "List queries on their way: one's own, an admin all", queries::active)
        .on(get(), "/api/v1/queries/history", TOKEN, "List queries that ended", queries::history)
        .params("limit: integer")
        .on(get(), "/api/v1/queries/{id}", TOKEN, "Show a query", queries::one)
        .on(del(), "/api/v1/queries/{id}", TOKEN, "Cancel a query", queries::cancel)
        .on(get(), "/api/v1/cache/stats", TOKEN, "Show the cache of answers", cache::stats)
        .on(get(), "/api/v1/cache/health", TOKEN, "Show whether it keeps to its bound", cache::health)
        .on(post(), "/api/v1/cache/clear", SERVER, "Empty the cache of answers", cache::clear)
        .on(del(), "/api/v1/cache/clear", SERVER, "Empty the cache of answers", cache::clear)
        // databases and measurements
        .on(get(), "/api/v1/measurements", READ, "List measurements", databases::measurements)
        .params("database: string")
        .on(get(), "/api/v1/databases", TOKEN, "List databases", databases::list)
        .on(post(), "/api/v1/databases", ADMIN, "Create a database", databases::create)
        .json("name!: string")
        .gives(201, "application/json")
        .on(get(), "/api/v1/databases/{name}", TOKEN, "Show a database", databases::one)
        .on(del(), "/api/v1/databases/{name}", ADMIN, "Drop a database", databases::drop_database)
        .params("confirm: boolean")
        .on(get(), "/api/v1/databases/{name}/measurements", TOKEN, "List its measurements", databases::measurements_of)
        .on(del(), measurement, ADMIN, "Drop a measurement", databases::drop_table)
        .params("confirm: boolean")
        .on(put(), measurement, ADMIN, "Set which rows a measurement keeps", databases::set_mode)
        .params("async: boolean")
        .json("mode!: string")
        .gives(202, "application/json")
        .on(post(), "/api/v1/databases/{name}/measurements/{measurement}/rename", ADMIN, "Rename a measurement", databases::rename)
        .json("name!: string")
        .on(post(), "/api/v1/databases/{name}/measurements/{measurement}/retype", ADMIN, "Change the type of a column", databases::retype)
        .params("async: boolean")
        .json("column!: string, type!: string")
        .gives(202, "application/json")
        // deleting rows
        .on(post(), "/api/v1/delete", DELETE, "Delete rows by a condition", delete::rows)
        .params("async: boolean")
        .json("database!: string, measurement!: string, where!: string, dry_run: boolean, confirm: boolean")
        .gives(202, "application/json")
        .on(get(), "/api/v1/delete/config", TOKEN, "Show the bounds of deletes", delete::config)
        .on(get(), "/api/v1/delete/history", TOKEN, "List deletes", jobs::deletes)
        .params("limit: integer")
        .on(post(), "/api/v2/delete", DELETE, "Delete rows as InfluxDB 2", delete::influx)
        .params("bucket: string, org: string")
        .json("start!: string, stop!: string, predicate: string")
        .gives(204, "")
        .gives(202, "application/json")
        // retention
        .on(get(), policies, TOKEN, "List retention policies", retention::list)
        .gives(200, "application/json[]")
        .on(get(), "/api/v1/retention/", TOKEN, "List retention policies", retention::list)
        .gives(200, "application/json[]")
        .on(post(), policies, ADMIN, "Create a retention policy", retention::create)
        .json("name!: string, database!: string, measurement: string?, retention_days!: integer, buffer_days: integer, is_active: boolean, schedule: string?, timezone: string, jitter_seconds: integer")
        .gives(201, "application/json")
        .on(post(), "/api/v1/retention/", ADMIN, "Create a retention policy", retention::create)
        .json("name!: string, database!: string, measurement: string?, retention_days!: integer, buffer_days: integer, is_active: boolean, schedule: string?, timezone: string, jitter_seconds: integer")
        .gives(201, "application/json")
        .on(get(), policy, TOKEN, "Show a retention policy", retention::one)
        .on(put(), policy, ADMIN, "Change a retention policy", retention::update)
        .json("name: string, database: string, measurement: string?, retention_days: integer, buffer_days: integer, is_active: boolean, schedule: string?, timezone: string, jitter_seconds: integer")
        .on(del(), policy, ADMIN, "Delete a retention policy", retention::delete)
        .on(post(), "/api/v1/retention/{id}/execute", ADMIN, "Run a retention policy", retention::execute)
        .params("async: boolean")
        .json("dry_run: boolean, confirm: boolean")
        .gives(202, "application/json")
        .on(get(), "/api/v1/retention/{id}/executions", TOKEN, "List its runs", retention::executions)
        .params("limit: integer")
        // continuous queries
        .on(get(), standing, ADMIN, "List continuous queries", continuous::list)
        .gives(200, "application/json[]")
        .params("database: string, is_active: boolean")
        .on(get(), "/api/v1/continuous_queries/", ADMIN, "List continuous queries", continuous::list)
        .gives(200, "application/json[]")
        .params("database: string, is_active: boolean")
        .on(post(), standing, ADMIN, "Create a continuous query", continuous::create)
        .json("name!: string, description: string?, database!: string, source_measurement!: string, destination_measurement!: string, query!: string, interval!: string, bucket: string, lag: string, look_back: string, tag_columns: [string]?, retention_days: integer?, delete_source_after_days: integer?, is_active: boolean")
        .gives(201, "application/json")
        .on(post(), "/api/v1/continuous_queries/", ADMIN, "Create a continuous query", continuous::create)
        .json("name!: string, description: string?, database!: string, source_measurement!: string, destination_measurement!: string, query!: string, interval!: string, bucket: string, lag: string, look_back: string, tag_columns: [string]?, retention_days: integer?, delete_source_after_days: integer?, is_active: boolean")
        .gives(201, "application/json")
        .on(get(), one_standing, ADMIN, "Show a continuous query", continuous::one)
        .on(put(), one_standing, ADMIN, "Change a continuous query", continuous::update)
        .json("name: string, description: string?, database: string, source_measurement: string, destination_measurement: string, query: string, interval: string, bucket: string, lag: string, look_back: string, tag_columns: [string]?, retention_days: integer?, delete_source_after_days: integer?, is_active: boolean, last_processed_time: string")
        .on(del(), one_standing, ADMIN, "Delete a continuous query", continuous::delete)
        .on(post(), "/api/v1/continuous_queries/{id}/execute", ADMIN, "Run a continuous query", continuous::execute)
        .params("async: boolean")
        .json("start_time: string, end_time: string, dry_run: boolean")
        .gives(202, "application/json")
        .on(get(), "/api/v1/continuous_queries/{id}/executions", ADMIN, "List its runs", continuous::executions)
        .params("limit: integer")
        .on(get(), "/api/v1/schedulers", TOKEN, "Show what is scheduled", continuous::schedulers)
        .on(post(), "/api/v1/schedulers/cq/reload", SERVER, "Look at every continuous query now", continuous::reload)
        .on(post(), "/api/v1/schedulers/retention/trigger", SERVER, "Run every active retention policy", continuous::trigger_retention)
        .params("async: boolean")
        .gives(202, "application/json")
        // compaction and jobs
        .on(get(), "/api/v1/compaction/status", TOKEN, "Show what compaction does", compaction::status)
        .on(get(), "/api/v1/compaction/stats", TOKEN, "Show what compaction has done", compaction::stats)
        .on(get(), "/api/v1/compaction/candidates", TOKEN, "List what would be merged now", compaction::candidates)
        .on(get(), "/api/v1/compaction/history", TOKEN, "List merges", compaction::history)
        .params("limit: integer")
        .on(get(), "/api/v1/compaction/jobs", TOKEN, "List runs that were asked for", jobs::compactions)
        .params("limit: integer")
        .on(post(), "/api/v1/compaction/trigger", ADMIN, "Compact now", compaction::trigger)
        .params("tier: string, database: string, measurement: string, wait: boolean")
        .gives(202, "application/json")
        .on(post(), "/api/v1/compaction/pause", SERVER, "Pause compaction", compaction::pause)
        .on(post(), "/api/v1/compaction/resume", SERVER, "Resume compaction", compaction::resume)
        .on(get(), "/api/v1/compaction/locks", TOKEN, "List locks", jobs::locks)
        .on(post(), "/api/v1/compaction/locks/cleanup", SERVER, "Remove expired locks", jobs::clean_up_locks)
        .on(get(), "/api/v1/jobs", TOKEN, "List background tasks and jobs", jobs::list)
        .params("kind: string, limit: integer")
        .on(get(), "/api/v1/jobs/{id}", TOKEN, "Show a job", jobs::one)
        .on(post(), "/api/v1/jobs/{id}/cancel", TOKEN, "Cancel a job: its owner or an admin of its table", jobs::cancel)
        // backups
        .on(post(), "/api/v1/backup", SERVER, "Take a backup", backup::create)
        .json("include_metadata: boolean, include_config: boolean, path: string?, against: string?, copy: boolean")
        .gives(202, "application/json")
        .on(get(), "/api/v1/backup", SERVER, "List backups", backup::list)
        .on(get(), "/api/v1/backup/status", SERVER, "Show how far a backup or restore is", backup::status)
        .on(get(), "/api/v1/backup/{id}", SERVER, "Show a backup", backup::one)
        .on(del(), "/api/v1/backup/{id}", SERVER, "Remove a backup", backup::delete)
        .on(post(), "/api/v1/backup/restore", SERVER, "Restore a backup into an empty folder", backup::restore)
        .json("backup_id!: string, confirm: boolean, path: string?")
        .gives(202, "application/json")
        // tokens and the audit log
        .on(get(), "/api/v1/auth/verify", PUBLIC, "Show whose token this is", tokens::verify)
        .on(get(), "/api/v1/auth/tokens", SERVER, "List tokens", tokens::list)
        .on(post(), "/api/v1/auth/tokens", SERVER, "Create a token", tokens::create)
        .json("name!: string, description: string?, permissions: [string]?, scopes: [string], expires_in: string?, expires_at: string?, enabled: boolean")
        .gives(201, "application/json")
        .on(get(), "/api/v1/auth/tokens/{id}", SERVER, "Show a token", tokens::one)
        .on(patch(), "/api/v1/auth/tokens/{id}", SERVER, "Change a token", tokens::update)
        .json("name: string, description: string?, permissions: [string]?, scopes: [string], expires_in: string?, expires_at: string?, enabled: boolean")
        .on(del(), "/api/v1/auth/tokens/{id}", SERVER, "Delete a token", tokens::delete)
        .on(post(), "/api/v1/auth/tokens/{id}/rotate", SERVER, "Give a token a new secret", tokens::rotate)
        .json("overlap: string?")
        .on(post(), "/api/v1/auth/tokens/{id}/revoke", SERVER, "Stop a token", tokens::revoke)
        .on(get(), "/api/v1/auth/tokens/{id}/permissions", SERVER, "Show what a token may do", tokens::permissions)
        .on(get(), "/api/v1/auth/cache/stats", SERVER, "Show the token cache", tokens::cache_stats)
        .on(post(), "/api/v1/auth/cache/invalidate", SERVER, "Empty the token cache", tokens::invalidate)
        .on(get(), "/api/v1/audit/logs", SERVER, "List admin actions and refused requests", audit::logs)
        .params("event_type: string, actor: string, database: string, since: string, until: string, limit: integer, offset: integer")
        .on(get(), "/api/v1/audit/stats", SERVER, "Count them by kind", audit::stats)
        .params("since: string")
        .on(get(), limits, SERVER, "List tokens with limits", governance::list)
        .on(post(), limits, SERVER, "Limit a token", governance::create)
        .json("token_id!: integer, rate_limit_per_minute: integer, rate_limit_per_hour: integer, max_queries_per_hour: integer, max_queries_per_day: integer, max_rows_per_minute: integer, max_rows_per_hour: integer, max_rows_per_day: integer, max_rows_per_query: integer, max_scan_bytes_per_query: integer, max_scan_duration_sec: integer")
        .gives(201, "application/json")
        .on(get(), one_limit, SERVER, "Show the limits of a token", governance::one)
        .on(put(), one_limit, SERVER, "Change the limits of a token", governance::update)
        .json("rate_limit_per_minute: integer, rate_limit_per_hour: integer, max_queries_per_hour: integer, max_queries_per_day: integer, max_rows_per_minute: integer, max_rows_per_hour: integer, max_rows_per_day: integer, max_rows_per_query: integer, max_scan_bytes_per_query: integer, max_scan_duration_sec: integer")
        .on(del(), one_limit, SERVER, "Take the limits off a token", governance::delete)
        .on(get(), "/api/v1/governance/usage/{id}", TOKEN, "Show what a token has used: one's own, an admin any", governance::usage)
        // health and metrics
        .on(get(), "/health", PUBLIC, "The process answers", health::health)
        .on(get(), "/ready", PUBLIC, "Everything that writes need works", health::ready)
        .on(get(), "/ping", PUBLIC, "What InfluxDB's clients ask first", health::ping)
        .gives(204, "")
        .on(get(), "/metrics", metrics, "Prometheus metrics", metrics::prometheus)
        .gives(200, "text/plain application/json")
        .on(get(), "/api/v1/metrics/query-pool", TOKEN, "Slots and queue of queries", queries::pool)
        .on(get(), "/api/v1/metrics/timeseries/{type}", TOKEN, "The server's own numbers over the last minutes", samples::timeseries)
        .params("duration_minutes: integer")
        .on(get(), "/openapi.json", PUBLIC, "This list, for machines", openapi::document)
        .on(get(), "/api/v1/metrics", TOKEN, "The server's own numbers as JSON", metrics::json)
        .on(get(), "/api/v1/metrics/endpoints", TOKEN, "Requests, statuses and times of each route", metrics::endpoints)
        .on(get(), "/api/v1/metrics/memory", TOKEN, "Memory by purpose, and what the process holds", metrics::memory)
        .on(get(), "/api/v1/logs", SERVER, "The server's last messages", logs::list)
        .params("limit: integer, level: string, since_minutes: integer")
        .on(post(), "/api/v1/config/reload", SERVER, "Read the settings again", reload::reload)
}

/// Every route of the server, and what stands before all of them.
#[derive(Debug, Clone)]
pub struct App(Arc<Doors>);

#[derive(Debug)]
struct Doors {
    state: Shared,
    routes: Router,
    /// The same for browsers.
    shared: Cors<Router>,
}

impl App {
    pub fn new(state: Shared) -> Self {
        let table = table(Some(Shared::clone(&state)), state.config().metrics_public);
        // who has no token learns of no path
        let unknown = unknown.layer(Gate { state: Shared::clone(&state), needs: Needs::Token, route: None });
        let router = table.router.fallback(unknown.clone()).method_not_allowed_fallback(unknown);
        let routes = router.with_state(Shared::clone(&state));
        Self(Arc::new(Doors { shared: cors(&state.config().cors_origins).layer(routes.clone()), routes, state }))
    }

    /// Answers a request, counts it and gives it an id, which its answer carries.
    pub async fn answer(self, request: hyper::Request<hyper::body::Incoming>) -> Response {
        let Doors { state, routes, shared } = &*self.0;
        count(&state.counters.requests, 1);
        let id = request.headers().get("x-request-id").filter(|v| v.len() <= 64).cloned();
        let id = id.or_else(|| HeaderValue::from_str(&store::random::uuid()).ok());
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (patience, is_tls) = {
            let config = state.config();
            (config.read_timeout, config.is_tls)
        };
        let request = request.map(|body| watch::paced(body, patience));
        // a browser says whose page asks
        let is_page = method == Method::OPTIONS || request.headers().contains_key(header::ORIGIN);
        let answered =
            if is_page { shared.clone().oneshot(request).await } else { routes.clone().oneshot(request).await };
        let Ok(mut response) = answered;
        let status = response.status();
        let headers = response.headers_mut();
        headers.reserve(HARDENED.len() + 2);
        for (name, value) in HARDENED {
            headers.insert(name, value);
        }
        if is_tls {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        let counter = if status.is_success() { &state.counters.succeeded } else { &state.counters.failed };
        count(counter, 1);
        if let Some(id) = id {
            if !status.is_success() {
                let id = id.to_str().unwrap_or_default();
                tracing::info!(%method, path = uri.path(), status = status.as_u16(), request_id = id, "refused");
            }
            headers.insert("x-request-id", id);
        }
        response
    }
}

/// Headers with which a browser takes an answer for data alone.
const HARDENED: [(HeaderName, HeaderValue); 6] = [
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_XSS_PROTECTION, HeaderValue::from_static("0")),
    (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("geolocation=(), microphone=(), camera=()"),
    ),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'")),
];

/// Answers by `Accept-Encoding`, as fast as it goes: what is asked on a network that is no bottleneck asks for none.
fn compression() -> CompressionLayer<impl Predicate> {
    // what is compressed in itself gains nothing
    let is_packed = NotForContentType::const_new("application/vnd.apache.parquet");
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(SizeAbove::new(1_024).and(is_packed))
}

/// A year of TLS alone.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Whose pages may ask from a browser. Tokens travel in headers that a page must set itself, never in cookies,
/// so that any origin is no danger.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let origins = match origins {
        [any] if any == "*" => AllowOrigin::any(),
        listed => AllowOrigin::list(listed.iter().cloned()),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS])
        .allow_headers([
            header::ORIGIN,
            header::CONTENT_TYPE,
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CONTENT_ENCODING,
            header::CACHE_CONTROL,
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("x-arc-database"),
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-tidewater-durability"),
            HeaderName::from_static("x-tidewater-priority"),
            HeaderName::from_static("x-tidewater-read"),
        ])
        .expose_headers(Any)
        .max_age(PREFLIGHT)
}

/// The request with its path in the one form that routes are matched in: no empty or dot segments, none of them
/// hidden by percent signs, small letters wherever no name stands.
pub fn normalised(mut request: hyper::Request<hyper::body::Incoming>) -> hyper::Request<hyper::body::Incoming> {
    let path = request.uri().path();
    if is_plain(path) {
        return request;
    }
    let normal = normal_path(path);
    if normal == path {
        return request;
    }
    let mut parts = request.uri().clone().into_parts();
    let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
    // what is no path any more stays as it came, and matches nothing
    if let Ok(path_and_query) = uri::PathAndQuery::try_from(format!("{normal}{query}")) {
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Whether a path shows at a glance that it has that form, as nearly every path does.
fn is_plain(path: &str) -> bool {
    let is_plain = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'_' | b'-');
    path.starts_with('/') && path.as_bytes().iter().all(is_plain) && !path.contains("//")
}

fn normal_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let under_databases = segments.get(2).is_some_and(|s| s.eq_ignore_ascii_case("databases"));
    let is_name = |at: usize| under_databases && matches!(at, 3 | 5);
    let mut normal = String::with_capacity(path.len());
    for (at, segment) in segments.iter().enumerate() {
        normal.push('/');
        if is_name(at) { normal.push_str(segment) } else { normal.push_str(&segment.to_ascii_lowercase()) }
    }
    if normal.is_empty() || path.ends_with('/') {
        normal.push('/');
    }
    normal
}

/// The text that arcli takes as "this feature is not here".
async fn unknown(method: Method, uri: Uri) -> ApiError {
    ApiError::new(Code::NotFound, format!("Cannot {method} {}", uri.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form() {
        for (path, wanted) in [
            ("/health", "/health"),
            ("//health", "/health"),
            ("/API/V1/Query", "/api/v1/query"),
            ("/api/v1/./query", "/api/v1/query"),
            ("/health/../api/v1/auth/tokens", "/api/v1/auth/tokens"),
            ("/health/%2e%2E/api//v1/auth/tokens", "/api/v1/auth/tokens"),
            ("/../../health", "/health"),
            ("/api/v1/databases/Prod/Measurements/Cpu.Total", "/api/v1/databases/Prod/measurements/Cpu.Total"),
            ("/api/v1/retention/", "/api/v1/retention/"),
            ("/", "/"),
        ] {
            assert_eq!(normal_path(path), wanted, "{path}");
            assert_eq!(normal_path(&normal_path(path)), wanted, "{path} twice");
            assert!(!is_plain(path) || path == wanted, "{path}");
        }
    }

    #[test]
    fn no_route_stands_twice_and_only_the_named_ones_are_public() {
        let all = routes();
        let mut names: Vec<String> = all.iter().map(|r| format!("{} {}", r.method, r.path)).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        let public: Vec<&str> = all.iter().filter(|r| r.needs == Needs::Nothing).map(|r| r.path).collect();
        assert_eq!(public, ["/api/v1/auth/verify", "/health", "/ready", "/ping", "/metrics", "/openapi.json"]);
        // what changes something asks for more than a token, unless the handler decides
        let lenient = all.iter().filter(|r| r.needs == Needs::Token && r.method != Method::GET).map(|r| r.path);
        let lenient: Vec<&str> = lenient.collect();
        assert_eq!(
            lenient,
            ["/query", "/api/v2/query", "/api/v2/buckets", "/api/v1/queries/{id}", "/api/v1/jobs/{id}/cancel"]
        );
    }
}
