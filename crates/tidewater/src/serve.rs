use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use model::{Clock, SystemClock};
use query::continuous::Continuum;
use query::{Bounds, Engine, EngineConfig};
use sd_notify::NotifyState;
use server::audit::Audit;
use server::auth::tokens::Tokens;
use server::auth::{Auth, AuthConfig};
use server::backup::Backups;
use server::body::Room;
use server::governance::Governance;
use server::listen::Timeouts;
use server::listen::tls::Tls;
use server::reload::{Reload, Reloaded};
use server::{ServerConfig, State};
use store::compact::{self, Scope};
use store::jobs::Handle;
use store::scrub::Scrub;
use store::supervisor::Supervisor;
use store::{Durability, Store, StoreConfig};
use tokio::net::TcpListener;

use crate::Sources;
use crate::logging::{self, Logging};
use crate::settings::{self, Settings};
use crate::token;

/// How long a clean stop flushes; the rest stays in the log.
const FLUSH_PATIENCE: Duration = Duration::from_secs(25);
/// How often it is looked for tables that are due.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// How often the last use of tokens and the audit log are written; whoever asks for them gets them written first.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How often the locks of running jobs are renewed.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How often it is looked whether certificate or key have changed.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(5);
/// How often snapshots are expired at least.
const EXPIRY_EVERY: Duration = Duration::from_secs(30);

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    pub url: String,
    pub token: Option<String>,
    state: Arc<State>,
    /// The threads of connections, and those of requests.
    runtime: tokio::runtime::Runtime,
    work: tokio::runtime::Runtime,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    accepting: tokio::task::JoinHandle<()>,
}

/// How a server is started, beside its settings.
#[derive(Debug, Default)]
pub struct Start {
    /// Where the settings come from, should they be read again.
    pub sources: Sources,
    /// Whether an address that others reach may go without tokens or TLS.
    pub insecure: bool,
    /// Absent: the server keeps silent.
    pub logging: Option<Logging>,
}

/// `tidewater serve`
pub fn run(settings: &Settings, sources: Sources, insecure: bool) -> Result<()> {
    let logging = Some(logging::start(settings));
    spare_memory(settings);
    let running = start(settings, Start { sources, insecure, logging })?;
    notify(&[NotifyState::Ready]);
    let signal = running.runtime.block_on(running.signals())?;
    notify(&[NotifyState::Stopping]);
    tracing::info!(signal, "stopping");
    running.stop();
    Ok(())
}

/// With a small budget the allocator must give pages back at once and take none in advance, or a thousand
/// connections cost half the budget again. It reads its options before `main`: the process begins anew with them.
fn spare_memory(settings: &Settings) {
    use std::os::unix::process::CommandExt as _;
    const OPTIONS: [(&str, &str); 2] = [("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ARENA_EAGER_COMMIT", "0")];
    let is_set = OPTIONS.iter().any(|(name, _)| std::env::var_os(name).is_some());
    if is_set || memory_budget(settings) >= SPARING_BYTES {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).envs(OPTIONS).exec();
    tracing::warn!(%error, "the allocator keeps its habits: memory may pass a small memory.budget");
}

/// Tells systemd, where it started the server and wants to know.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

async fn stop_signal() -> Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

/// Starts everything in order, a log line each.
pub fn start(settings: &Settings, start: Start) -> Result<Running> {
    let config = server_config(settings)?;
    check_exposure(settings, &config, start.insecure)?;
    let tls = if config.is_tls {
        let [certificate, key] = tls_files(settings);
        Some(Arc::new(Tls::open(&certificate, &key).map_err(anyhow::Error::msg)?))
    } else {
        None
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let or_cores = |key: &str, factor: usize| match settings.integer(key) as usize {
        0 => cores * factor,
        n => n,
    };
    let budget = config.memory_budget_bytes;
    let store = timed("store", || {
        Store::open(store_config(settings, budget), Arc::clone(&clock)).context("cannot open the store")
    })?;
    let store = Arc::new(store);
    let engine = timed("query", || {
        let config = EngineConfig {
            memory_bytes: (budget / 10 * 4) as usize,
            temp_folder: root(settings).join("tmp"),
            temp_bytes: settings.bytes("query.temp_bytes"),
            slots: or_cores("database.max_connections", 2),
            queue: settings.integer("query.queue") as usize,
            threads: or_cores("database.thread_count", 1),
            bounds: query_bounds(settings),
            cache_bytes: (budget / 100 * settings.integer("cache.percent")) as usize,
            cache_result_bytes: settings.bytes("cache.max_result_size") as usize,
        };
        Engine::new(Arc::clone(&store), config).context("cannot start the query engine")
    })?;
    let engine = Arc::new(engine);
    let continuum = Arc::new(Continuum::new(Arc::clone(&store), Arc::clone(&engine)));
    let now_us = clock.now_us();
    let (tokens, token) = if settings.flag("auth.enabled") {
        let tokens = Tokens::open(&root(settings)).context("cannot open the tokens")?;
        let token = token::bootstrap(&tokens, &root(settings), now_us)?;
        (Some(tokens), token)
    } else {
        (None, None)
    };
    let kept_us = settings.integer("audit.retention_days") as i64 * 86_400_000_000;
    let audit = Audit::open(&root(settings).join("server.sqlite"), kept_us).context("cannot open the audit log")?;
    let governance =
        Governance::open(&root(settings).join("server.sqlite"), now_us).context("cannot open the limits")?;
    let address = (config.host, config.port);
    let threads = or_cores("server.threads", 1);
    let named = |name: &str| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
    };
    let (runtime, work) = (named("net")?, named("work")?);
    let listener = timed("http", || {
        runtime
            .block_on(TcpListener::bind(address))
            .with_context(|| format!("cannot listen on {}:{} (server.host, server.port)", address.0, address.1))
    })?;
    let scheme = if config.is_tls { "https" } else { "http" };
    let url = format!("{scheme}://{}", listener.local_addr()?);
    let started_us = clock.now_us();
    let supervisor = Supervisor::new(Arc::clone(&clock));
    timed("tasks", || {
        start_tasks(&supervisor, &store, &engine, &continuum, settings).context("cannot start the background tasks")
    })?;
    let state = Arc::new(State {
        store,
        supervisor,
        engine,
        continuum,
        clock,
        auth: Auth::new(tokens, auth_config(settings)),
        audit,
        governance,
        room: Room::new(config.body_budget_bytes),
        decoders: tokio::sync::Semaphore::new(cores),
        live: ArcSwap::from_pointee(config),
        reload: reload(settings, start.sources, start.logging.clone()),
        backups: Backups::new(settings.text("backup.local_path").into(), settings.flag("backup.enabled")),
        tls,
        seats: Default::default(),
        work: server::Work::new(threads, work.handle().clone()),
        logs: start.logging.map(|l| l.recent).unwrap_or_default(),
        started_us,
        counters: Default::default(),
        samples: Default::default(),
        in_flight: Default::default(),
        importing: tokio::sync::Semaphore::new(model::limits::IMPORTS),
        imports: Default::default(),
    });
    let sampled = Arc::downgrade(&state);
    state.supervisor.spawn("metrics", state.config().sample_every, move |now| {
        if let Some(state) = sampled.upgrade() {
            state.samples.take(&state, now);
        }
        Ok(())
    })?;
    let kept = Arc::downgrade(&state);
    state.supervisor.spawn("access-log", SAVE_EVERY, move |now| match kept.upgrade() {
        Some(state) => save(&state, now),
        None => Ok(()),
    })?;
    if let Some(tls) = state.tls.clone() {
        state.supervisor.spawn("certificates", CERTIFICATES_EVERY, move |_| match tls.follow() {
            Ok(false) => Ok(()),
            Ok(true) => {
                tracing::info!("certificate and key were read again");
                Ok(())
            }
            Err(error) => Err(store::Error::Parameter(error)),
        })?;
    }
    if let Some(every) = sd_notify::watchdog_enabled() {
        state.supervisor.spawn("watchdog", every / 2, |_| {
            notify(&[NotifyState::Watchdog]);
            Ok(())
        })?;
    }
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let accepting = runtime.spawn(server::serve(listener, Arc::clone(&state), async move {
        let _ = stopped.await;
    }));
    tracing::info!(url, version = env!("CARGO_PKG_VERSION"), "ready");
    Ok(Running { url, token, state, runtime, work, stop: Some(stop), accepting })
}

/// Writes who came last, what was done and what was used.
fn save(state: &State, now_us: i64) -> store::Result<()> {
    state.auth.save().and(state.audit.save(now_us)).and(state.governance.save(now_us))
}

/// Every background task, in the order of their start.
fn start_tasks(
    supervisor: &Supervisor,
    store: &Arc<Store>,
    engine: &Arc<Engine>,
    continuum: &Arc<Continuum>,
    settings: &Settings,
) -> Result<()> {
    let own = || Arc::clone(store);
    let shared = store.shared();
    let working = own();
    supervisor.spawn("write-service", Duration::from_secs(1), move |_| working.tend())?;
    let working = own();
    supervisor.spawn("flush", FLUSH_EVERY, move |_| {
        working.flush_due();
        Ok(())
    })?;
    let working = own();
    supervisor.spawn("locks", RENEW_EVERY, move |_| working.renew_locks())?;
    let working = own();
    let expiry = EXPIRY_EVERY.min(Duration::from_millis(shared.config.snapshot_age_ms));
    supervisor.spawn("expiry", expiry, move |now| working.expire(now))?;
    let working = own();
    supervisor.spawn("catalog-copy", settings.seconds("catalog.copy_interval"), move |_| working.copy_catalog())?;
    let working = own();
    let bytes_per_s = settings.integer("compaction.max_mb_per_second") << 20;
    let scope = Scope { bytes_per_s: (bytes_per_s > 0).then_some(bytes_per_s), ..Scope::default() };
    supervisor.spawn("compaction", Duration::from_millis(shared.config.merge_interval_ms), move |_| {
        compact::yield_to_others();
        match working.start_compaction() {
            Some(running) => working.compact(running, &scope, &Handle::of_server("compaction")).map(drop),
            None => Ok(()), // one that was asked for is under way
        }
    })?;
    let mb_per_s = settings.integer("scrub.mb_per_second");
    if mb_per_s > 0 {
        let working = own();
        let every_us = settings.integer("scrub.interval") as i64 * 1_000_000;
        let mut scrub = Scrub::new(mb_per_s << 20, every_us);
        supervisor.spawn("scrub", Duration::from_secs(1), move |now| scrub.run_once(&working, now))?;
    }
    if settings.flag("continuous_queries.enabled") {
        let working = Arc::clone(continuum);
        supervisor.spawn(
            "continuous-queries",
            settings.milliseconds("continuous_queries.check_interval_ms"),
            move |now| match working.run_due(now) {
                Ok(_) => Ok(()),
                Err(error) => Err(refused(error)),
            },
        )?;
    }
    let probed = Arc::clone(engine);
    let every = settings.seconds("database.health_check_interval");
    supervisor.spawn("health-probe", every, move |_| probed.probe().map_err(refused))?;
    if settings.flag("retention.enabled") {
        let working = own();
        let every_us = settings.integer("retention.interval") as i64 * 1_000_000;
        supervisor.spawn("retention", settings.milliseconds("retention.check_interval_ms"), move |_| {
            working.run_due_retention(every_us).map(drop)
        })?;
    }
    Ok(())
}

/// A query's failure as the supervisor knows failures.
fn refused(error: query::Error) -> store::Error {
    match error {
        query::Error::Store(error) => error,
        other => store::Error::Refused(other.to_string()),
    }
}

/// Runs one service's start and logs its name, state and milliseconds.
fn timed<T>(service: &str, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let outcome = start();
    let ms = began.elapsed().as_millis() as u64;
    match &outcome {
        Ok(_) => tracing::info!(service, state = "started", ms),
        Err(error) => tracing::error!(service, state = "failed", ms, error = format!("{error:#}")),
    }
    outcome
}

impl Running {
    /// Waits for SIGTERM or Ctrl-C; SIGHUP reads the settings again meanwhile.
    async fn signals(&self) -> Result<&'static str> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        let stop = stop_signal();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                signal = &mut stop => return signal,
                _ = hangup.recv() => {
                    let state = Arc::clone(&self.state);
                    // its outcome is logged there
                    let _ = tokio::task::spawn_blocking(move || server::reload::again(&state)).await;
                }
            }
        }
    }

    /// Waits so long for SIGTERM or Ctrl-C; whether one came.
    pub fn signalled_within(&self, patience: Duration) -> Result<bool> {
        self.runtime.block_on(async {
            match tokio::time::timeout(patience, stop_signal()).await {
                Ok(signal) => signal.map(|_| true),
                Err(_) => Ok(false),
            }
        })
    }

    /// Finishes requests on their way, flushes, closes; the process may exit afterwards.
    pub fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.runtime.block_on(&mut self.accepting);
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        self.work.shutdown_timeout(Duration::from_secs(5));
        self.state.supervisor.stop();
        if let Err(error) = save(&self.state, self.state.clock.now_us()) {
            tracing::warn!(%error, "the last entries of the audit log and of usage are lost");
        }
        let Some(State { store, engine, continuum, .. }) = Arc::into_inner(self.state) else {
            tracing::warn!("a request still holds the server; its rows are in the log");
            return;
        };
        drop((continuum, engine));
        // queries that were cut may take a moment to let go
        let began = Instant::now();
        let mut store = store;
        loop {
            match Arc::try_unwrap(store) {
                Ok(store) => return store.close(FLUSH_PATIENCE),
                Err(shared) if began.elapsed() < Duration::from_secs(5) => {
                    store = shared;
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(_) => return tracing::warn!("a query still holds the store; its rows are in the log"),
            }
        }
    }
}

/// Between two looks at whether the queries have let go.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A memory budget below this is small.
const SPARING_BYTES: u64 = 1 << 30;
/// Memory of request bodies at least.
const LEAST_BODY_BYTES: u64 = 32 << 20;
/// Disk space held in reserve at most.
const MAX_BALLAST_BYTES: u64 = 256 << 20;

pub fn root(settings: &Settings) -> PathBuf {
    settings.text("storage.local_path").into()
}

fn store_config(settings: &Settings, budget: u64) -> StoreConfig {
    let mut config = StoreConfig::new(root(settings), (budget / 10 * 3) as usize);
    config.max_buffer_age_ms = settings.integer("ingest.max_buffer_age_ms");
    config.max_quiet_age_ms = settings.integer("ingest.max_quiet_age_ms");
    config.log_max_bytes = settings.bytes("log.max_bytes");
    config.commits_per_second = settings.integer("catalog.commits_per_second") as u32;
    config.snapshot_age_ms = settings.integer("catalog.snapshot_age_ms");
    config.file_grace_ms = settings.integer("catalog.file_grace_ms");
    config.merge_interval_ms =
        if settings.flag("compaction.enabled") { settings.integer("compaction.interval_ms") } else { 0 };
    config.merge_min_files = settings.integer("compaction.min_files") as usize;
    config.merge_target_bytes = settings.bytes("compaction.target_size");
    config.durability = Durability::parse(settings.text("ingest.durability")).unwrap_or(Durability::Power);
    match settings.bytes("storage.min_free_bytes") {
        0 => fit_to_disk(&mut config),
        bytes => config.min_free_bytes = bytes,
    }
    config.ballast_bytes = (config.min_free_bytes / 2).min(MAX_BALLAST_BYTES);
    config
}

/// On a disk where the usual free space would be more than a twentieth of it, a twentieth must do,
/// and hot rows get half of that.
fn fit_to_disk(config: &mut StoreConfig) {
    let existing = config.root.ancestors().find(|p| p.exists());
    let Some(Ok(total)) = existing.map(store::durable::total_bytes) else { return };
    let share = total / 20;
    if config.min_free_bytes > share {
        config.min_free_bytes = share;
        config.hot_budget_bytes = config.hot_budget_bytes.min((share / 2) as usize);
        config.flush_bytes = config.hot_budget_bytes / 4;
    }
}

fn memory_budget(settings: &Settings) -> u64 {
    match settings.bytes("memory.budget") {
        0 => settings::default_memory_budget(),
        n => n,
    }
}

fn query_bounds(settings: &Settings) -> Bounds {
    let slow = Some(settings.milliseconds("query.slow_query_threshold_ms")).filter(|d| !d.is_zero());
    Bounds { timeout: settings.seconds("query.timeout"), slow }
}

fn tls_files(settings: &Settings) -> [PathBuf; 2] {
    ["server.tls_cert_file", "server.tls_key_file"].map(|key| settings.text(key).into())
}

/// # Errors
/// Others reach the address, and tokens or TLS are off.
fn check_exposure(settings: &Settings, config: &ServerConfig, insecure: bool) -> Result<()> {
    let missing = match (settings.flag("auth.enabled"), config.is_tls) {
        _ if config.host.is_loopback() || insecure => return Ok(()),
        (true, true) => return Ok(()),
        (true, false) => "server.tls_enabled is false: tokens and data would travel in the clear",
        (false, _) => "auth.enabled is false: whoever reaches it could read and delete everything",
    };
    anyhow::bail!(
        "server.host = {} is reached by others, and {missing}. Turn it on, listen on 127.0.0.1 behind a proxy that \
         speaks TLS, or say --insecure",
        config.host
    )
}

/// Reads the settings from where they came from and lets hold what is live, all of it or nothing.
fn reload(settings: &Settings, sources: Sources, logging: Option<Logging>) -> Reload {
    let current = Mutex::new(settings.clone());
    Reload::new(move |state| {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        let read = Settings::load(sources.config.as_deref(), &sources.set).map_err(|e| format!("{e:#}"))?;
        let (live, later): (Vec<_>, Vec<_>) = read.changed_from(&current).partition(|s| s.live);
        let mut next = current.clone();
        live.iter().for_each(|s| next.take_from(&read, s.key));
        let config = server_config(&next).map_err(|e| format!("{e:#}"))?;
        let mut applied: Vec<String> = live.iter().map(|s| s.key.to_owned()).collect();
        if let Some(tls) = &state.tls {
            let [certificate, key] = tls_files(&next);
            if tls.refresh(&certificate, &key)? {
                applied.push("certificate".into());
            }
        }
        state.live.store(Arc::new(config));
        state.engine.set_bounds(query_bounds(&next));
        if live.iter().any(|s| s.key == "auth.max_failures_per_minute") {
            state.auth.limit_failures(auth_config(&next).failures_per_minute);
        }
        if let Some(logging) = logging.as_ref().filter(|_| live.iter().any(|s| s.key == "log.level")) {
            logging.set_level(&next);
        }
        *current = next;
        Ok(Reloaded { applied, after_restart: later.iter().map(|s| s.key.to_owned()).collect() })
    })
}

fn auth_config(settings: &Settings) -> AuthConfig {
    AuthConfig {
        cache_ttl: settings.seconds("auth.cache_ttl"),
        max_cache_size: settings.integer("auth.max_cache_size") as usize,
        failures_per_minute: settings.integer("auth.max_failures_per_minute") as u32,
    }
}

fn server_config(settings: &Settings) -> Result<ServerConfig> {
    let host: IpAddr = settings
        .text("server.host")
        .parse()
        .with_context(|| format!("server.host = {:?} is no IP address", settings.text("server.host")))?;
    let named = settings.text("server.cors_origins");
    let listed = named.split(',').map(str::trim).filter(|o| !o.is_empty() && *o != "none");
    let cors_origins = listed
        .map(|o| o.parse().with_context(|| format!("server.cors_origins: {o:?} is no origin")))
        .collect::<Result<_>>()?;
    let memory_budget_bytes = memory_budget(settings);
    let body_budget_bytes = match settings.bytes("server.max_body_bytes_in_flight") {
        0 => (memory_budget_bytes / 20).max(LEAST_BODY_BYTES),
        n => n,
    };
    let every = settings.seconds("metrics.timeseries_interval_seconds");
    Ok(ServerConfig {
        host,
        port: settings.integer("server.port") as u16,
        // a body that long cannot decode to the quarter of the hot budget that a request may take
        max_payload_bytes: settings.bytes("server.max_payload_size").min(memory_budget_bytes / 10 * 3),
        max_import_bytes: settings.bytes("import.max_size"),
        max_header_bytes: settings.bytes("server.max_header_size") as usize,
        memory_budget_bytes,
        body_budget_bytes,
        timeouts: Timeouts {
            first_byte: settings.seconds("server.first_byte_timeout"),
            head: settings.seconds("server.read_timeout"),
            idle: settings.seconds("server.idle_timeout"),
            write: settings.seconds("server.write_timeout"),
        },
        read_timeout: settings.seconds("server.read_timeout"),
        shutdown_timeout: settings.seconds("server.shutdown_timeout"),
        max_connections: settings.integer("server.max_connections") as usize,
        max_connections_per_address: settings.integer("server.max_connections_per_address") as usize,
        is_tls: settings.flag("server.tls_enabled"),
        retention_every: settings.seconds("retention.interval"),
        sample_every: every,
        samples: (settings.integer("metrics.timeseries_retention_minutes") * 60 / every.as_secs().max(1)) as usize,
        cors_origins,
        metrics_public: settings.flag("metrics.public"),
        delete_max_rows: settings.integer("delete.max_rows_per_delete"),
        delete_threshold: settings.integer("delete.confirmation_threshold"),
        sync_wait: settings.milliseconds("server.sync_wait_ms"),
        write_wait: settings.milliseconds("ingest.write_wait_ms"),
    })
}
