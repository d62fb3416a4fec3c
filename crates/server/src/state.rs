use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Clock, Code};
use query::Engine;
use query::continuous::Continuum;
use store::Store;
use store::supervisor::Supervisor;

use crate::auth::Auth;
use crate::config::ServerConfig;
use crate::error::ApiError;
use crate::samples::Samples;

/// What every handler shares.
#[derive(Debug)]
pub struct State {
    pub store: Arc<Store>,
    pub supervisor: Supervisor,
    pub engine: Arc<Engine>,
    pub continuum: Arc<Continuum>,
    pub clock: Arc<dyn Clock>,
    pub auth: Auth,
    pub config: ServerConfig,
    pub started_us: i64,
    pub counters: HttpCounters,
    pub samples: Samples,
    pub in_flight: InFlight,
}

/// Keyed requests on their way: a twin waits for the first.
pub type InFlight = parking_lot::Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>;

pub type Shared = Arc<State>;

/// What `/metrics` shows of HTTP; all only rise, but for `connections`.
#[derive(Debug, Default)]
pub struct HttpCounters {
    pub requests: AtomicU64,
    pub succeeded: AtomicU64,
    pub failed: AtomicU64,
    pub connections: AtomicU64,
    pub write_requests: AtomicU64,
    pub write_errors: AtomicU64,
    pub write_bytes: AtomicU64,
    pub msgpack_rows: AtomicU64,
    pub lines: AtomicU64,
    pub bad_lines: AtomicU64,
    pub query_requests: AtomicU64,
    pub query_errors: AtomicU64,
    pub query_rows: AtomicU64,
    pub auth_failures: AtomicU64,
}

/// Runs what blocks its thread away from the threads that serve connections.
///
/// # Errors
/// The work's own, or `internal` when it panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(ApiError::new(Code::Internal, panic.to_string())))
}

pub fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
