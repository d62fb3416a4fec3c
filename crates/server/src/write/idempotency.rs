use axum::http::HeaderMap;
use model::{Code, DatabaseName, limits};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::record::IdempotencyKey;
use wire::ItemError;

use super::{Dialect, Written, durability_of};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::state::State;

/// The key of a request that asks to be stored once: hash of token, route, database and the client's
/// key, beside the hash of what it means (the body and how it is read).
pub fn key(
    caller: &Caller,
    headers: &HeaderMap,
    database: &DatabaseName,
    dialect: Dialect<'_>,
    body: &[u8],
) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    if value.is_empty() || value.len() > limits::IDEMPOTENCY_KEY_BYTES {
        let message = format!("Idempotency-Key has 1 to {} bytes", limits::IDEMPOTENCY_KEY_BYTES);
        return Err(ApiError::new(Code::InvalidParameter, message));
    }
    let route = match dialect {
        Dialect::Msgpack => "msgpack".to_owned(),
        Dialect::LineProtocol { mode, .. } => format!("lines {mode:?}"),
        Dialect::Tle { table } => format!("orbits {}", model::fold(table)),
    };
    let token = caller.id.unwrap_or_default().to_le_bytes();
    let hash = |parts: &[&[u8]]| -> [u8; 32] {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    };
    let folded = model::fold(database.as_str());
    Ok(Some(IdempotencyKey {
        key: hash(&[&token, route.as_bytes(), folded.as_bytes(), value.as_bytes()]),
        body: hash(&[format!("{dialect:?}").as_bytes(), body]),
        answer: Vec::new(),
    }))
}

/// The answer as it lies in the record: nothing for a plain 204, at most
/// [`limits::IDEMPOTENCY_ANSWER_BYTES`] bytes; the last named lines give way.
pub fn compact(written: &Written) -> Vec<u8> {
    if written.bad == 0 {
        return Vec::new();
    }
    let mut kept = written.errors.len();
    loop {
        let lines: Vec<Value> = written.errors[..kept].iter().map(|e| json!([e.number, e.reason])).collect();
        let text = json!({"bad": written.bad, "rows": written.rows, "lines": lines}).to_string();
        if text.len() <= limits::IDEMPOTENCY_ANSWER_BYTES || kept == 0 {
            return text.into_bytes();
        }
        kept /= 2;
    }
}

/// The answer of a request that was stored before.
pub fn recall(state: &State, answer: &[u8]) -> Result<Written, ApiError> {
    let durability = durability_of(state, None);
    if answer.is_empty() {
        return Ok(Written { durability, errors: Vec::new(), bad: 0, rows: 0 });
    }
    let kept: Value = serde_json::from_slice(answer).map_err(|e| ApiError::new(Code::Internal, e.to_string()))?;
    let number = |v: &Value| v.as_u64().unwrap_or_default() as usize;
    let errors = kept["lines"].as_array().into_iter().flatten().map(|line| ItemError {
        number: number(&line[0]) as u32,
        reason: line[1].as_str().unwrap_or_default().to_owned(),
    });
    Ok(Written { durability, errors: errors.collect(), bad: number(&kept["bad"]), rows: number(&kept["rows"]) })
}
