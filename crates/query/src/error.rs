use model::Code;

/// Why a query is refused or fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("syntax error: {0}")]
    Syntax(String),
    #[error("{what} is not supported; {instead}")]
    Unsupported { what: String, instead: String },
    #[error("the SQL text has {got} bytes; at most {max} are allowed", max = model::limits::SQL_BYTES)]
    TooLong { got: usize },
    #[error("table {table:?} does not exist{}", hint(.nearest))]
    TableNotFound { table: String, nearest: Option<String> },
    #[error("Permission denied: read on {database}.{table} required")]
    Forbidden { database: String, table: String },
    #[error("{0}")]
    Invalid(String),
    #[error("the query ran longer than {seconds} s")]
    Timeout { seconds: u64 },
    #[error("the answer has more than {most} rows, which is this token's limit a query; ask for fewer")]
    TooManyRows { most: u64 },
    #[error("the query would read {bytes} bytes of files, and this token may read {most} a query; narrow the time")]
    ScanTooLarge { bytes: u64, most: u64 },
    #[error("the query was cancelled")]
    Cancelled,
    #[error("the query needs more memory than its share: {0}")]
    Memory(String),
    #[error("too many queries wait; try again in a second")]
    QueueFull,
    #[error("internal error: {0}")]
    Internal(String),
    #[error(transparent)]
    Store(#[from] store::Error),
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default()
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Error::Syntax(_) => Code::SyntaxError,
            Error::Unsupported { .. } => Code::Unsupported,
            Error::TooLong { .. } | Error::Invalid(_) => Code::InvalidQuery,
            Error::TableNotFound { .. } => Code::TableNotFound,
            Error::Forbidden { .. } => Code::Forbidden,
            Error::Timeout { .. } => Code::QueryTimeout,
            Error::TooManyRows { .. } => Code::RowLimit,
            Error::ScanTooLarge { .. } => Code::ScanLimit,
            Error::Cancelled => Code::Cancelled,
            Error::Memory(_) => Code::MemoryLimit,
            Error::QueueFull => Code::QueueFull,
            Error::Internal(_) => Code::Internal,
            Error::Store(error) => error.code(),
        }
    }
}
