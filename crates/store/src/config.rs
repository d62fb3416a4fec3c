use std::path::PathBuf;

use model::limits;

/// How a store is opened. Sizes in bytes, times in milliseconds.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    pub root: PathBuf,
    /// Hot rows of all tables together; a request may take a quarter of it.
    pub hot_budget_bytes: usize,
    /// Age after which a table with at least [`StoreConfig::busy_bytes`] hot is flushed.
    pub max_buffer_age_ms: u64,
    /// Age after which any other table is flushed.
    pub max_quiet_age_ms: u64,
    pub busy_bytes: usize,
    /// Hot bytes of one table after which it is flushed whatever its age.
    pub flush_bytes: usize,
    /// Bytes of a segment of the log, allocated whole; more where one request needs it.
    pub log_segment_bytes: u64,
    /// Log length past which the tables that hold its oldest segment are flushed.
    pub log_max_bytes: u64,
    /// Writes stop with 507 below this much free space.
    pub min_free_bytes: u64,
    /// Disk space held in reserve for flush, catalog and expiry.
    pub ballast_bytes: u64,
    /// Catalog commits a second on average; those of a hundred seconds may come at once.
    pub commits_per_second: u32,
    /// Age after which catalog snapshots expire.
    pub snapshot_age_ms: u64,
    /// Removed files stay on disk so long after they left the catalog: a reader may have asked before.
    pub file_grace_ms: u64,
    /// How often compaction looks for work; 0: only when asked.
    pub merge_interval_ms: u64,
    /// Small files of the current hour that are worth a merge.
    pub merge_min_files: usize,
    /// A file of this size is not merged again.
    pub merge_target_bytes: u64,
    /// What a write gets when it does not say: fdatasync before the answer, or not.
    pub durability: Durability,
}

impl StoreConfig {
    /// Defaults for a folder, with `hot_budget_bytes` of memory for hot rows.
    pub fn new(root: impl Into<PathBuf>, hot_budget_bytes: usize) -> Self {
        Self {
            root: root.into(),
            hot_budget_bytes,
            max_buffer_age_ms: 10_000,
            max_quiet_age_ms: 600_000,
            busy_bytes: 4 << 20,
            flush_bytes: hot_budget_bytes / 4,
            log_segment_bytes: limits::LOG_SEGMENT_BYTES,
            log_max_bytes: 1 << 30,
            min_free_bytes: hot_budget_bytes as u64 + (512 << 20),
            ballast_bytes: 0,
            commits_per_second: 4,
            snapshot_age_ms: 300_000,
            file_grace_ms: 900_000,
            merge_interval_ms: 0,
            merge_min_files: 10,
            merge_target_bytes: 128 << 20,
            durability: Durability::Power,
        }
    }
}

/// What holds when a write is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// fdatasynced: survives power loss.
    Power,
    /// Written: survives the end of the process; synced within 100 ms.
    Process,
}

impl Durability {
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Power => "power",
            Durability::Process => "process",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Durability::Power, Durability::Process].into_iter().find(|d| d.as_str() == text)
    }
}
