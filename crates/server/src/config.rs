use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderValue;

use crate::listen::Timeouts;

/// What the HTTP server is told at start.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub host: IpAddr,
    pub port: u16,
    /// Longest body, compressed and decompressed, in bytes.
    pub max_payload_bytes: u64,
    /// Longest file of an import, as it comes and as it is inside gzip or zstd, in bytes.
    pub max_import_bytes: u64,
    /// Longest head of a request, in bytes.
    pub max_header_bytes: usize,
    /// Memory of the whole server, in bytes.
    pub memory_budget_bytes: u64,
    /// Bodies on their way together, in bytes.
    pub body_budget_bytes: u64,
    /// How long a connection may take, but for bodies.
    pub timeouts: Timeouts,
    /// How long a body may take; longer the more of it has come ([`crate::listen::watch::BODY_BYTES_PER_S`]).
    pub read_timeout: Duration,
    /// How long a stop waits for requests on their way.
    pub shutdown_timeout: Duration,
    /// Connections open at once, in all and of one address; zero: as many as in all.
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    /// Whether answers tell browsers to come by TLS alone.
    pub is_tls: bool,
    /// How long a writer waits for room in memory before it is told to come again.
    pub write_wait: Duration,
    /// How long a request waits for the job that it started.
    pub sync_wait: Duration,
    /// From one run of a retention policy to the next, where the policy does not say.
    pub retention_every: Duration,
    /// From one health probe or sample of the server's own numbers to the next, and how many samples are kept.
    pub sample_every: Duration,
    pub samples: usize,
    /// Origins whose pages may ask from a browser; `*`: any.
    pub cors_origins: Vec<HeaderValue>,
    /// Whether `/metrics` asks for no token.
    pub metrics_public: bool,
    /// Rows that one delete may take; zero: no bound.
    pub delete_max_rows: u64,
    /// Rows above which a delete must be confirmed.
    pub delete_threshold: u64,
}
