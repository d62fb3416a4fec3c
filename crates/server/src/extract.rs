//! Parameters of requests, refused in the words that every other refusal uses.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use model::Code;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The query string.
#[derive(Debug)]
pub struct Params<T>(pub T);

/// The names and numbers in the path.
#[derive(Debug)]
pub struct Segments<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let read = Query::try_from_uri(&parts.uri);
        read.map(|Query(value)| Self(value)).map_err(|e| ApiError::new(Code::InvalidParameter, e.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path(value)| Self(value)).map_err(|e| ApiError::new(Code::InvalidParameter, e.body_text()))
    }
}
