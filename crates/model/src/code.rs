/// A stable error code. Clients may match on [`Code::as_str`]; texts may change, codes may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    InvalidName,
    InvalidParameter,
    InvalidBody,
    InvalidLines,
    TypeConflict,
    RoleConflict,
    ColumnLimit,
    TableLimit,
    PayloadTooLarge,
    HeadTooLarge,
    RequestTimeout,
    UnsupportedEncoding,
    IdempotencyMismatch,
    Overloaded,
    SchemaChurn,
    WriteServiceUnavailable,
    ServiceUnavailable,
    DiskFull,
    SyntaxError,
    Unsupported,
    InvalidQuery,
    TableNotFound,
    DatabaseNotFound,
    DatabaseExists,
    AlreadyRunning,
    AlreadyEnded,
    Locked,
    Cancelled,
    NameTaken,
    QueryTimeout,
    MemoryLimit,
    QueueFull,
    Unauthorized,
    TooManyFailures,
    RateLimited,
    RowLimit,
    ScanLimit,
    Forbidden,
    NotFound,
    Internal,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::InvalidName => "invalid_name",
            Code::InvalidParameter => "invalid_parameter",
            Code::InvalidBody => "invalid_body",
            Code::InvalidLines => "invalid_lines",
            Code::TypeConflict => "type_conflict",
            Code::RoleConflict => "role_conflict",
            Code::ColumnLimit => "column_limit",
            Code::TableLimit => "table_limit",
            Code::PayloadTooLarge => "payload_too_large",
            Code::HeadTooLarge => "head_too_large",
            Code::RequestTimeout => "request_timeout",
            Code::UnsupportedEncoding => "unsupported_encoding",
            Code::IdempotencyMismatch => "idempotency_mismatch",
            Code::Overloaded => "overloaded",
            Code::SchemaChurn => "schema_churn",
            Code::WriteServiceUnavailable => "write_service_unavailable",
            Code::ServiceUnavailable => "service_unavailable",
            Code::DiskFull => "disk_full",
            Code::SyntaxError => "syntax_error",
            Code::Unsupported => "unsupported",
            Code::InvalidQuery => "invalid_query",
            Code::TableNotFound => "table_not_found",
            Code::DatabaseNotFound => "database_not_found",
            Code::DatabaseExists => "database_exists",
            Code::AlreadyRunning => "already_running",
            Code::AlreadyEnded => "already_ended",
            Code::Locked => "locked",
            Code::Cancelled => "cancelled",
            Code::NameTaken => "name_taken",
            Code::QueryTimeout => "query_timeout",
            Code::MemoryLimit => "memory_limit",
            Code::QueueFull => "queue_full",
            Code::Unauthorized => "unauthorized",
            Code::TooManyFailures => "too_many_failures",
            Code::RateLimited => "rate_limited",
            Code::RowLimit => "row_limit",
            Code::ScanLimit => "scan_limit",
            Code::Forbidden => "forbidden",
            Code::NotFound => "not_found",
            Code::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later without a change.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Code::Overloaded
                | Code::SchemaChurn
                | Code::WriteServiceUnavailable
                | Code::ServiceUnavailable
                | Code::DiskFull
                | Code::Locked
                | Code::QueueFull
                | Code::QueryTimeout
                | Code::TooManyFailures
                | Code::RateLimited
        )
    }
}
