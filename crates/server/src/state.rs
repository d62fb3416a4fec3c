use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use model::{Clock, Code};
use query::Engine;
use query::continuous::Continuum;
use store::Store;
use store::supervisor::Supervisor;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::audit::Audit;
use crate::auth::Auth;
use crate::backup::Backups;
use crate::body::Room;
use crate::config::ServerConfig;
use crate::error::ApiError;
use crate::governance::Governance;
use crate::import::Counters as Imports;
use crate::listen::tls::Tls;
use crate::listen::{Seats, Work};
use crate::logs::Recent;
use crate::metrics::Routes;
use crate::reload::Reload;
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
    pub audit: Audit,
    pub governance: Governance,
    /// What holds for requests that come from now on.
    pub live: ArcSwap<ServerConfig>,
    /// Reads the settings again.
    pub reload: Reload,
    pub backups: Backups,
    /// Absent: the server speaks plain HTTP.
    pub tls: Option<Arc<Tls>>,
    pub seats: Seats,
    pub work: Work,
    pub room: Room,
    /// Large bodies that are decoded at once.
    pub decoders: Semaphore,
    pub logs: Arc<Recent>,
    pub started_us: i64,
    pub counters: HttpCounters,
    pub samples: Samples,
    pub in_flight: Turns,
    /// Imports that run at once, and what they have done.
    pub importing: Semaphore,
    pub imports: Imports,
}

impl State {
    /// The settings as they are now.
    pub fn config(&self) -> arc_swap::Guard<Arc<ServerConfig>> {
        self.live.load()
    }
}

/// Work of which one at a time is done per key: a twin waits for the first and then finds what it did.
#[derive(Debug, Default)]
pub struct Turns(parking_lot::Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>);

/// Held while the work is on its way.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    key: [u8; 32],
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until no twin is on its way.
    pub async fn take(&self, key: [u8; 32]) -> Turn<'_> {
        let lock = Arc::clone(self.0.lock().entry(key).or_default());
        // made before the wait: a caller that gives up cleans up too
        let mut turn = Turn { turns: self, key, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut turns = self.turns.0.lock();
        // the map's own handle is the last one: nobody waits
        if turns.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            turns.remove(&self.key);
        }
    }
}

pub type Shared = Arc<State>;

/// What `/metrics` shows of HTTP; all only rise, but for `connections`.
#[derive(Debug, Default)]
pub struct HttpCounters {
    pub requests: AtomicU64,
    pub succeeded: AtomicU64,
    pub failed: AtomicU64,
    pub connections: AtomicU64,
    /// Connections that found no seat, and those that were too slow.
    pub turned_away: AtomicU64,
    pub too_slow: AtomicU64,
    pub write_requests: AtomicU64,
    pub write_errors: AtomicU64,
    pub write_bytes: AtomicU64,
    pub msgpack_rows: AtomicU64,
    pub lines: AtomicU64,
    pub line_bytes: AtomicU64,
    pub bad_lines: AtomicU64,
    /// Element sets of satellites.
    pub orbits: AtomicU64,
    pub query_requests: AtomicU64,
    pub query_errors: AtomicU64,
    pub query_rows: AtomicU64,
    pub auth_requests: AtomicU64,
    pub auth_failures: AtomicU64,
    pub routes: Routes,
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
