use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderValue;

/// What the HTTP server is told at start.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub host: IpAddr,
    pub port: u16,
    /// Longest body, compressed and decompressed, in bytes.
    pub max_payload_bytes: u64,
    /// For the head of a request, and between two parts of a body.
    pub read_timeout: Duration,
    /// How long a stop waits for requests on their way.
    pub shutdown_timeout: Duration,
    /// Connections open at once.
    pub max_connections: usize,
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
