use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::time::parse_duration;
use model::{Code, Permission};
use serde_json::{Map, Value, json};

use crate::auth::tokens::{Token, Wanted};
use crate::auth::{self, Caller, Peer};
use crate::error::ApiError;
use crate::extract::Segments;
use crate::jobs::body_or_default;
use crate::state::{Shared, blocking};
use crate::time;

/// Arc's words.
const UNKNOWN: &str = "Token not found";

fn unknown() -> ApiError {
    ApiError::new(Code::NotFound, UNKNOWN)
}

/// Runs work on the stored tokens away from the threads that serve connections.
async fn stored<T: Send + 'static>(
    state: &Shared,
    work: impl FnOnce(&Shared, &auth::tokens::Tokens) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let state = Arc::clone(state);
    blocking(move || work(&state, state.auth.tokens()?)).await
}

/// `base` with what a client sent: a field that it left out stays. `now_us` in UTC microseconds.
fn merged(mut base: Wanted, sent: &Map<String, Value>, now_us: i64) -> Result<Wanted, ApiError> {
    let bad = |field: &str, wanted: &str| {
        ApiError::new(Code::InvalidParameter, format!("{field} must be {wanted}, not {}", sent[field]))
    };
    let texts = |field: &str, value: &Value| -> Result<Vec<String>, ApiError> {
        let list: Option<Vec<String>> = match value {
            Value::Null => Some(Vec::new()),
            Value::String(text) => {
                Some(text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect())
            }
            Value::Array(list) => list.iter().map(|v| v.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        list.ok_or_else(|| bad(field, "a list of texts"))
    };
    for (field, value) in sent {
        match (field.as_str(), value) {
            ("name", Value::String(text)) => base.name = text.trim().to_owned(),
            ("description", Value::String(text)) => base.description = Some(text.clone()),
            ("description", Value::Null) => base.description = None,
            ("name" | "description", _) => return Err(bad(field, "a text")),
            ("permissions", value) => {
                let named = texts(field, value)?;
                let known = named.iter().map(|n| Permission::parse(n));
                base.permissions =
                    known.collect::<Option<_>>().ok_or_else(|| bad(field, "of read, write, delete and admin"))?;
            }
            ("scopes", value) => base.scopes = texts(field, value)?,
            ("enabled", Value::Bool(enabled)) => base.enabled = *enabled,
            ("enabled", _) => return Err(bad(field, "true or false")),
            ("expires_in" | "expires_at", Value::Null) => base.expires_us = None,
            ("expires_in" | "expires_at", Value::String(text)) if text.is_empty() => base.expires_us = None,
            ("expires_in", Value::String(text)) => {
                let span = parse_duration(text).filter(|us| *us > 0);
                let span = span.ok_or_else(|| bad(field, "a duration such as 24h, 90m or 30d"))?;
                base.expires_us = Some(now_us.saturating_add(span));
            }
            ("expires_at", Value::String(text)) => base.expires_us = Some(time::parse(field, text)?),
            ("expires_in" | "expires_at", _) => return Err(bad(field, "a text or null")),
            _ => {}
        }
    }
    Ok(base)
}

fn fields(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    serde_json::from_slice(body).map_err(|e| ApiError::new(Code::InvalidBody, format!("the body is no token: {e}")))
}

/// `GET /api/v1/auth/verify`: who the token of this request is.
pub async fn verify(Extract(state): Extract<Shared>, request: Request) -> Response {
    let from = Peer::address(&request);
    if state.auth.tokens().is_err() {
        let all = Permission::ALL.map(Permission::as_str);
        return Json(json!({"valid": true, "token_info": null, "permissions": all})).into_response();
    }
    match auth::identify(&state, request.headers(), request.uri().query(), from).await {
        Ok(token) => {
            let info = token.describe();
            let permissions = info["permissions"].clone();
            Json(json!({"valid": true, "token_info": info, "permissions": permissions})).into_response()
        }
        Err(error) => error.with("valid", false.into()).into_response(),
    }
}

/// `GET /api/v1/auth/tokens`
pub async fn list(Extract(state): Extract<Shared>) -> Result<Json<Value>, ApiError> {
    let all = stored(&state, |state, tokens| {
        state.auth.save()?;
        tokens.list()
    })
    .await?;
    let all: Vec<Value> = all.iter().map(Token::describe).collect();
    Ok(Json(json!({"success": true, "count": all.len(), "tokens": all})))
}

/// `POST /api/v1/auth/tokens`: the answer is the only place where the token's text ever stands.
pub async fn create(Extract(state): Extract<Shared>, body: Bytes) -> Result<Response, ApiError> {
    let sent = fields(&body)?;
    let base = Wanted { permissions: vec![Permission::Read, Permission::Write], enabled: true, ..Wanted::default() };
    let now_us = state.clock.now_us();
    let mut sent = sent;
    // Arc: null or absent is read and write, an empty list is nothing
    if sent.get("permissions").is_some_and(Value::is_null) {
        sent.remove("permissions");
    }
    let wanted = merged(base, &sent, now_us)?;
    let body = stored(&state, move |_, tokens| {
        let (id, text) = tokens.create(&wanted, None, now_us)?;
        let info = tokens.get(id)?.ok_or_else(unknown)?.describe();
        let message = "keep this token: it is not shown again";
        Ok(json!({"success": true, "token": text, "message": message, "id": id, "token_info": info}))
    })
    .await?;
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `GET /api/v1/auth/tokens/{id}`
pub async fn one(Extract(state): Extract<Shared>, Segments(id): Segments<i64>) -> Result<Json<Value>, ApiError> {
    let token = stored(&state, move |state, tokens| {
        state.auth.save()?;
        tokens.get(id)?.ok_or_else(unknown)
    })
    .await?;
    Ok(Json(json!({"success": true, "token": token.describe()})))
}

/// `GET /api/v1/auth/tokens/{id}/permissions`: what the token may do, a row a scope.
pub async fn permissions(
    Extract(state): Extract<Shared>,
    Segments(id): Segments<i64>,
) -> Result<Json<Value>, ApiError> {
    let token = stored(&state, move |_, tokens| tokens.get(id)?.ok_or_else(unknown)).await?;
    let held: Vec<&str> = token.permissions.iter().map(|p| p.as_str()).collect();
    let row = |scope: &str| json!({"database": scope, "permissions": held, "source": "token"});
    let rows: Vec<Value> = match token.scopes.as_slice() {
        [] => vec![row("*")],
        scopes => scopes.iter().map(|s| row(s)).collect(),
    };
    Ok(Json(json!({"success": true, "permissions": rows, "rbac_enabled": false})))
}

/// `PATCH /api/v1/auth/tokens/{id}`: a field that is left out stays; `expires_in` null or empty clears the end.
pub async fn update(
    Extract(state): Extract<Shared>,
    Segments(id): Segments<i64>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let sent = fields(&body)?;
    let now_us = state.clock.now_us();
    let token = stored(&state, move |state, tokens| {
        let known = tokens.get(id)?.ok_or_else(unknown)?;
        let wanted = merged(Wanted::from(&known), &sent, now_us)?;
        if !tokens.update(id, &wanted)? {
            return Err(unknown());
        }
        state.auth.forget(id);
        tokens.get(id)?.ok_or_else(unknown)
    })
    .await?;
    Ok(Json(json!({"success": true, "message": "the token is changed", "token": token.describe()})))
}

/// `DELETE /api/v1/auth/tokens/{id}`
pub async fn delete(Extract(state): Extract<Shared>, Segments(id): Segments<i64>) -> Result<Json<Value>, ApiError> {
    stored(&state, move |state, tokens| {
        let deleted = tokens.delete(id)?;
        state.auth.forget(id);
        state.governance.remove(id)?;
        if deleted { Ok(()) } else { Err(unknown()) }
    })
    .await?;
    Ok(Json(json!({"success": true, "message": "the token is deleted", "token_id": id})))
}

/// `POST /api/v1/auth/tokens/{id}/rotate`: a new secret; with `{"overlap": "1h"}` the old one stays good so long.
pub async fn rotate(
    Extract(state): Extract<Shared>,
    Segments(id): Segments<i64>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let sent: Map<String, Value> = body_or_default(&body)?;
    let bad = || ApiError::new(Code::InvalidParameter, "overlap must be a duration such as 10m or 24h");
    let overlap = match sent.get("overlap") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(parse_duration(text).filter(|us| *us > 0).ok_or_else(bad)?),
        Some(_) => return Err(bad()),
    };
    let until_us = overlap.map(|span| state.clock.now_us().saturating_add(span));
    let text = stored(&state, move |state, tokens| {
        let text = tokens.rotate(id, until_us)?;
        state.auth.forget(id);
        text.ok_or_else(unknown)
    })
    .await?;
    let message = match until_us {
        Some(until) => format!("the old token is good until {}", time::rfc3339(until)),
        None => "the old token has stopped".into(),
    };
    Ok(Json(json!({"success": true, "new_token": text, "message": message})))
}

/// `POST /api/v1/auth/tokens/{id}/revoke`
pub async fn revoke(Extract(state): Extract<Shared>, Segments(id): Segments<i64>) -> Result<Json<Value>, ApiError> {
    stored(&state, move |state, tokens| {
        let known = tokens.get(id)?.ok_or_else(unknown)?;
        tokens.update(id, &Wanted { enabled: false, ..Wanted::from(&known) })?;
        state.auth.forget(id);
        Ok(())
    })
    .await?;
    Ok(Json(json!({"success": true, "message": "the token has stopped"})))
}

/// `GET /api/v1/auth/cache/stats`
pub async fn cache_stats(Extract(state): Extract<Shared>) -> Json<Value> {
    let (size, most, counts) = state.auth.cache_stats();
    Json(json!({"success": true, "stats": {
        "cache_size": size,
        "max_cache_size": most,
        "cache_ttl_seconds": state.auth.cache_ttl().as_secs_f64(),
        "utilization_percent": size as f64 * 100.0 / most.max(1) as f64,
        "total_requests": counts.hits + counts.misses,
        "cache_hits": counts.hits,
        "cache_misses": counts.misses,
        "cache_evictions": counts.evictions,
        "cache_expirations": counts.expirations,
        "hit_rate_percent": counts.hit_rate_percent(),
    }}))
}

/// `POST /api/v1/auth/cache/invalidate`
pub async fn invalidate(Extract(state): Extract<Shared>, caller: Caller) -> Json<Value> {
    let cleared = state.auth.clear_cache();
    tracing::info!(by = &*caller.name, cleared, "the token cache was cleared");
    Json(json!({"success": true, "message": "the cache is empty", "cleared": cleared}))
}
