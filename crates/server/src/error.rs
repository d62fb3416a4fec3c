use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Code;
use serde_json::{Value, json};

/// A refused or failed request, on its way to the client.
#[derive(Debug)]
pub struct ApiError {
    pub code: Code,
    pub message: String,
    /// Fields beside `success`, `error` and `code`.
    pub extra: Vec<(&'static str, Value)>,
    /// Seconds that the client is told to wait, where it is known.
    retry_after: Option<u64>,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), extra: Vec::new(), retry_after: None }
    }

    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.extra.push((name, value));
        self
    }

    /// With the seconds after which the client may try again.
    pub fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The one place where a code becomes a status.
    pub fn status(&self) -> StatusCode {
        match self.code {
            Code::InvalidName
            | Code::InvalidParameter
            | Code::InvalidBody
            | Code::InvalidLines
            | Code::TypeConflict
            | Code::RoleConflict
            | Code::ColumnLimit
            | Code::TableLimit
            | Code::SyntaxError
            | Code::Unsupported
            | Code::InvalidQuery
            | Code::RowLimit
            | Code::ScanLimit
            | Code::UnsupportedEncoding => StatusCode::BAD_REQUEST,
            Code::Unauthorized => StatusCode::UNAUTHORIZED,
            Code::TooManyFailures | Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::TableNotFound | Code::DatabaseNotFound | Code::NotFound => StatusCode::NOT_FOUND,
            Code::DatabaseExists
            | Code::AlreadyRunning
            | Code::AlreadyEnded
            | Code::NameTaken
            | Code::Locked
            | Code::Cancelled => StatusCode::CONFLICT,
            Code::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Code::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Code::Overloaded
            | Code::SchemaChurn
            | Code::WriteServiceUnavailable
            | Code::ServiceUnavailable
            | Code::QueueFull => StatusCode::SERVICE_UNAVAILABLE,
            Code::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Code::QueryTimeout => StatusCode::GATEWAY_TIMEOUT,
            Code::MemoryLimit => StatusCode::SERVICE_UNAVAILABLE,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn body(&self) -> Value {
        let mut body = json!({"success": false, "error": self.message, "code": self.code.as_str()});
        for (name, value) in &self.extra {
            body[*name] = value.clone();
        }
        body
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), axum::Json(self.body())).into_response();
        if self.code.is_retryable() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after.unwrap_or(1)));
        }
        if self.code == Code::Unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        if error.code() == Code::Internal {
            tracing::error!(%error, "a request failed inside the store");
        }
        Self::new(error.code(), error.to_string())
    }
}

impl From<query::Error> for ApiError {
    fn from(error: query::Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<wire::DecodeError> for ApiError {
    fn from(error: wire::DecodeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<model::name::NameError> for ApiError {
    fn from(error: model::name::NameError) -> Self {
        Self::new(Code::InvalidName, error.to_string())
    }
}
