use std::io;
use std::path::{Path, PathBuf};

use model::{Code, FitError};

/// Why the store refuses or fails. [`Error::code`] is stable; the text names the thing and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("table {table:?}: {error}")]
    Fit { table: String, rows: Vec<usize>, error: Box<FitError> },
    /// A row of an import, by its number there.
    #[error("line {number}: {reason}")]
    Row { number: u32, reason: String, code: Code },
    #[error(transparent)]
    Name(#[from] model::name::NameError),
    #[error("table {0:?} changes faster than this write can follow; try again")]
    Churn(String),
    #[error("hot rows fill their {budget} bytes; try again in a second")]
    HotFull { budget: usize },
    #[error("the request decodes to {bytes} bytes; at most {max} fit (a quarter of the memory for hot rows); split it")]
    RequestTooLarge { bytes: usize, max: usize },
    #[error("table {0:?} cannot be flushed and has its share of memory; see the server's log, then write again")]
    TableStuck(String),
    #[error("the write queue is full; try again in a second")]
    QueueFull,
    #[error("writes are not accepted: {0}")]
    WritesUnavailable(String),
    #[error("the disk has {free} bytes free, below storage.min_free_bytes {min}; free space, then write again")]
    DiskFull { free: u64, min: u64 },
    #[error("the server has {max} tables already", max = model::limits::TABLES)]
    Tables,
    #[error("database {0:?} exists already")]
    DatabaseExists(String),
    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("catalog: {0}")]
    Catalog(#[from] rusqlite::Error),
    #[error("catalog: {0}")]
    Inconsistent(String),
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("folder {path} is in use by {holder}; stop that server first")]
    InUse { path: PathBuf, holder: String },
    #[error("folder {path} has format version {found}; this server understands up to {max}")]
    Format { path: PathBuf, found: u64, max: u64 },
    #[error("log: {0}")]
    Log(String),
    /// A filter that cannot be evaluated, or a delete that its caller refused.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Parameter(String),
    #[error("lock {0} was lost to another job; nothing was changed, try again")]
    LockLost(u64),
    #[error("table {table:?} is in the hands of {job} ({owner}); try again when that has ended")]
    Locked { table: String, job: String, owner: String },
    #[error("{0} jobs are on their way; try again when one has ended")]
    Busy(usize),
    #[error("the job was cancelled; nothing was changed")]
    Cancelled,
    #[error("{0} is on its way already; wait for its end")]
    Running(&'static str),
    #[error("damaged: {0}")]
    Damaged(String),
    #[error("folder {0} is half restored; run `tidewater restore` into it again, or remove it")]
    HalfRestored(PathBuf),
    #[error("the name {0:?} is taken")]
    NameTaken(String),
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Error::Fit { error, .. } => error.code(),
            Error::Row { code, .. } => *code,
            Error::Name(_) => Code::InvalidName,
            Error::Churn(_) => Code::SchemaChurn,
            Error::HotFull { .. } | Error::QueueFull | Error::Busy(_) => Code::Overloaded,
            Error::RequestTooLarge { .. } => Code::PayloadTooLarge,
            Error::WritesUnavailable(_) | Error::TableStuck(_) => Code::WriteServiceUnavailable,
            Error::DiskFull { .. } => Code::DiskFull,
            Error::Tables => Code::TableLimit,
            Error::Refused(_) => Code::InvalidQuery,
            Error::Parameter(_) => Code::InvalidParameter,
            Error::NameTaken(_) => Code::NameTaken,
            Error::LockLost(_) | Error::Locked { .. } => Code::Locked,
            Error::Cancelled => Code::Cancelled,
            Error::Running(_) => Code::AlreadyRunning,
            Error::DatabaseExists(_) => Code::DatabaseExists,
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => Code::DiskFull,
            Error::Catalog(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => Code::DiskFull,
            Error::Parquet(e) if is_of_full_disk(e) => Code::DiskFull,
            Error::Arrow(e) if is_of_full_disk(e) => Code::DiskFull,
            _ => Code::Internal,
        }
    }

    /// Wraps an I/O error with what was tried on which path; for `map_err`.
    pub fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { what, path: path.to_owned(), source }
    }
}

/// Whether an error was, at its root, that the disk is full.
fn is_of_full_disk(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|error| error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::StorageFull))
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
