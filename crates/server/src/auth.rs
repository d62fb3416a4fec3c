use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use model::Code;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::ApiError;
use crate::state::{Shared, count};

/// Who asks, as records of jobs name them.
pub const ADMIN: &str = "admin";

/// Paths that need no token.
const PUBLIC: [&str; 4] = ["/health", "/ready", "/ping", "/metrics"];

/// The one admin token, as its hash.
#[derive(Debug)]
pub struct Auth {
    hash: Option<[u8; 32]>,
}

impl Auth {
    /// `None` opens everything.
    pub fn new(token: Option<&str>) -> Self {
        Self { hash: token.map(|t| Sha256::digest(t.as_bytes()).into()) }
    }

    /// Compares in constant time.
    pub fn accepts(&self, token: &str) -> bool {
        match &self.hash {
            None => true,
            Some(hash) => Sha256::digest(token.as_bytes()).as_slice().ct_eq(hash).into(),
        }
    }
}

/// The token of a request in any of the forms that clients send.
fn token(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    if let Some(value) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) {
        let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
        return match scheme.to_ascii_lowercase().as_str() {
            "bearer" | "token" => Some(rest.trim().to_owned()),
            // InfluxDB 1 clients send the token as the password
            "basic" => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
                String::from_utf8(decoded).ok()?.split_once(':').map(|(_, password)| password.to_owned())
            }
            _ => Some(value.trim().to_owned()),
        };
    }
    if let Some(value) = headers.get("x-api-key").and_then(|v| v.to_str().ok()) {
        return Some(value.trim().to_owned());
    }
    let pair = query?.split('&').find_map(|pair| pair.strip_prefix("p="))?;
    percent_encoding::percent_decode_str(&pair.replace('+', " ")).decode_utf8().ok().map(|t| t.into_owned())
}

/// Lets in who has the token, and everybody to the public paths.
pub async fn require(Extract(state): Extract<Shared>, request: Request, next: Next) -> Response {
    if PUBLIC.contains(&request.uri().path()) || state.auth.hash.is_none() {
        return next.run(request).await;
    }
    let error = match token(request.headers(), request.uri().query()) {
        Some(token) if state.auth.accepts(&token) => return next.run(request).await,
        Some(_) => "Invalid or expired token",
        None => "Authentication required",
    };
    count(&state.counters.auth_failures, 1);
    ApiError::new(Code::Unauthorized, error).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_token_is_read() {
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            token(&headers, None)
        };
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("authorization", "Token secret"),
            ("authorization", "secret"),
            ("authorization", "Basic dXNlcjpzZWNyZXQ="),
            ("x-api-key", "secret"),
        ] {
            assert_eq!(with(name, value).as_deref(), Some("secret"), "{value}");
        }
        assert_eq!(token(&HeaderMap::new(), Some("u=x&p=sec%2Bret")).as_deref(), Some("sec+ret"));
        assert_eq!(token(&HeaderMap::new(), Some("db=x")), None);
    }

    #[test]
    fn only_the_token_itself_is_accepted() {
        let auth = Auth::new(Some("secret"));
        assert!(auth.accepts("secret") && !auth.accepts("secret ") && !auth.accepts(""));
        assert!(Auth::new(None).accepts("anything"));
    }
}
