//! Limits of single tokens: how often they may query, how many rows they may get, how much one query may cost.
//! Kept in `server.sqlite` with what was used, so that a restart is no way around them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::Code;
use parking_lot::Mutex;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Segments;
use crate::state::{Shared, blocking};
use crate::time::rfc3339;

const MINUTE_US: i64 = 60_000_000;
/// Minutes of usage that any limit looks back on.
const DAY_MINUTES: i64 = 1_440;

/// The limits of one token; zero: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub rate_limit_per_minute: u64,
    pub rate_limit_per_hour: u64,
    pub max_queries_per_hour: u64,
    pub max_queries_per_day: u64,
    pub max_rows_per_minute: u64,
    pub max_rows_per_hour: u64,
    pub max_rows_per_day: u64,
    pub max_rows_per_query: u64,
    pub max_scan_bytes_per_query: u64,
    pub max_scan_duration_sec: u64,
}

impl Limits {
    /// What a query of this token may cost.
    pub fn of_query(&self) -> query::Limits {
        let some = |n: u64| (n > 0).then_some(n);
        query::Limits {
            rows: some(self.max_rows_per_query),
            scan_bytes: some(self.max_scan_bytes_per_query),
            timeout: some(self.max_scan_duration_sec).map(Duration::from_secs),
        }
    }

    /// (minutes, most queries, most rows) of each window.
    fn windows(&self) -> [(i64, u64, u64); 3] {
        let least = |a: u64, b: u64| if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
        [
            (1, self.rate_limit_per_minute, self.max_rows_per_minute),
            (60, least(self.rate_limit_per_hour, self.max_queries_per_hour), self.max_rows_per_hour),
            (DAY_MINUTES, self.max_queries_per_day, self.max_rows_per_day),
        ]
    }
}

#[derive(Debug, Clone)]
struct Policy {
    limits: Limits,
    created_us: i64,
    updated_us: i64,
}

/// What a token has used: minute since 1970 → (queries, rows).
type Usage = BTreeMap<i64, (u64, u64)>;

#[derive(Debug, Default)]
struct Inner {
    policies: HashMap<i64, Policy>,
    /// Of tokens with a policy.
    used: HashMap<i64, Usage>,
    /// Minutes whose usage is not written yet: (token, minute).
    unsaved: std::collections::BTreeSet<(i64, i64)>,
}

/// The limits of one folder's tokens.
#[derive(Debug)]
pub struct Governance {
    inner: Mutex<Inner>,
    database: Mutex<Connection>,
}

impl Governance {
    /// Opens `server.sqlite` and reads the policies and what was used in the day before `now_us` (UTC microseconds).
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn open(path: &Path, now_us: i64) -> store::Result<Self> {
        let database = store::meta::open(
            path,
            "CREATE TABLE IF NOT EXISTS token_limits (token INTEGER PRIMARY KEY, limits TEXT NOT NULL,
               created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS token_usage (token INTEGER NOT NULL, minute INTEGER NOT NULL,
               queries INTEGER NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (token, minute)) WITHOUT ROWID;",
        )?;
        let mut inner = Inner::default();
        {
            let mut statement = database.prepare("SELECT token, limits, created_us, updated_us FROM token_limits")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let text: String = row.get(1)?;
                let limits = serde_json::from_str(&text)
                    .map_err(|e| store::Error::Inconsistent(format!("limits {text:?} of a token: {e}")))?;
                inner.policies.insert(row.get(0)?, Policy { limits, created_us: row.get(2)?, updated_us: row.get(3)? });
            }
            let since = now_us.div_euclid(MINUTE_US) - DAY_MINUTES;
            let mut statement =
                database.prepare("SELECT token, minute, queries, rows FROM token_usage WHERE minute > ?")?;
            let mut rows = statement.query([since])?;
            while let Some(row) = rows.next()? {
                inner.used.entry(row.get(0)?).or_default().insert(row.get(1)?, (row.get(2)?, row.get(3)?));
            }
        }
        Ok(Self { inner: Mutex::new(inner), database: Mutex::new(database) })
    }

    /// Counts a query of a token, and says what it may cost.
    ///
    /// # Errors
    /// `rate_limited`: a window is used up; with the seconds until it is not.
    pub fn admit(&self, token: Option<i64>, now_us: i64) -> Result<query::Limits, ApiError> {
        let mut inner = self.inner.lock();
        let Some((token, limits)) = token.and_then(|t| Some((t, inner.policies.get(&t)?.limits))) else {
            return Ok(query::Limits::default());
        };
        let minute = now_us.div_euclid(MINUTE_US);
        let used = inner.used.entry(token).or_default();
        *used = used.split_off(&(minute - DAY_MINUTES + 1));
        for (minutes, queries, rows) in limits.windows() {
            for (most, what, pick) in
                [(queries, "queries", (|u| u.0) as fn(&(u64, u64)) -> u64), (rows, "rows", |u| u.1)]
            {
                if most > 0
                    && let Some(free) = free_at(used, minute, minutes, most, pick)
                {
                    let window = match minutes {
                        1 => "minute",
                        60 => "hour",
                        _ => "day",
                    };
                    let seconds = ((free * MINUTE_US - now_us) / 1_000_000 + 1).max(1);
                    let message =
                        format!("this token's {most} {what} a {window} are used up; free again in {seconds} s");
                    return Err(ApiError::new(Code::RateLimited, message).after(seconds as u64));
                }
            }
        }
        used.entry(minute).or_default().0 += 1;
        inner.unsaved.insert((token, minute));
        Ok(limits.of_query())
    }

    /// Counts the rows that a token got.
    pub fn add_rows(&self, token: Option<i64>, rows: u64, now_us: i64) {
        let mut inner = self.inner.lock();
        let Some(token) = token.filter(|t| inner.policies.contains_key(t)) else { return };
        let minute = now_us.div_euclid(MINUTE_US);
        inner.used.entry(token).or_default().entry(minute).or_default().1 += rows;
        inner.unsaved.insert((token, minute));
    }

    /// Writes what was used since the last time.
    ///
    /// # Errors
    /// The file cannot be written; it is tried again at the next call.
    pub fn save(&self, now_us: i64) -> store::Result<()> {
        let database = self.database.lock();
        let batch: Vec<(i64, i64, (u64, u64))> = {
            let inner = self.inner.lock();
            let used = |(t, m): &(i64, i64)| Some((*t, *m, *inner.used.get(t)?.get(m)?));
            inner.unsaved.iter().filter_map(used).collect()
        };
        if batch.is_empty() {
            return Ok(());
        }
        let transaction = database.unchecked_transaction()?;
        for (token, minute, (queries, rows)) in &batch {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO token_usage VALUES (?, ?, ?, ?)")?
                .execute(params![token, minute, queries, rows])?;
        }
        let old = now_us.div_euclid(MINUTE_US) - DAY_MINUTES;
        transaction.execute("DELETE FROM token_usage WHERE minute <= ?", [old])?;
        transaction.commit()?;
        let mut inner = self.inner.lock();
        // what changed meanwhile stays to be written
        for (token, minute, written) in batch {
            if inner.used.get(&token).and_then(|u| u.get(&minute)).is_none_or(|now| *now == written) {
                inner.unsaved.remove(&(token, minute));
            }
        }
        Ok(())
    }

    /// Sets the limits of a token; what it has used stays.
    fn set(&self, token: i64, limits: Limits, now_us: i64) -> Result<(), ApiError> {
        let database = self.database.lock();
        let created_us = self.inner.lock().policies.get(&token).map_or(now_us, |p| p.created_us);
        let text = serde_json::to_string(&limits).map_err(|e| ApiError::new(Code::Internal, e.to_string()))?;
        database
            .execute(
                "INSERT OR REPLACE INTO token_limits VALUES (?, ?, ?, ?)",
                params![token, text, created_us, now_us],
            )
            .map_err(store::Error::from)?;
        self.inner.lock().policies.insert(token, Policy { limits, created_us, updated_us: now_us });
        Ok(())
    }

    /// False when the token has no limits. Also what is left of a token that is gone.
    pub fn remove(&self, token: i64) -> Result<bool, ApiError> {
        let database = self.database.lock();
        for table in ["token_limits", "token_usage"] {
            let query = format!("DELETE FROM {table} WHERE token = ?");
            database.execute(&query, [token]).map_err(store::Error::from)?;
        }
        let mut inner = self.inner.lock();
        inner.used.remove(&token);
        Ok(inner.policies.remove(&token).is_some())
    }

    fn get(&self, token: i64) -> Option<Policy> {
        self.inner.lock().policies.get(&token).cloned()
    }

    fn tokens(&self) -> Vec<i64> {
        let mut tokens: Vec<i64> = self.inner.lock().policies.keys().copied().collect();
        tokens.sort_unstable();
        tokens
    }

    /// (queries, rows) in the last so many minutes.
    fn used(&self, token: i64, now_us: i64, minutes: i64) -> (u64, u64) {
        let from = now_us.div_euclid(MINUTE_US) - minutes + 1;
        let inner = self.inner.lock();
        let used = inner.used.get(&token).into_iter().flat_map(|u| u.range(from..));
        used.fold((0, 0), |sum, (_, n)| (sum.0 + n.0, sum.1 + n.1))
    }
}

/// The minute in which a window of so many minutes has room again; none when it has room now.
fn free_at(used: &Usage, minute: i64, minutes: i64, most: u64, pick: fn(&(u64, u64)) -> u64) -> Option<i64> {
    let from = minute - minutes + 1;
    let mut sum: u64 = used.range(from..).map(|(_, n)| pick(n)).sum();
    if sum < most {
        return None;
    }
    for (at, n) in used.range(from..) {
        sum -= pick(n);
        if sum < most {
            return Some(at + minutes);
        }
    }
    Some(minute + minutes)
}

/// The policy of a token with the token's name.
async fn describe(state: &Shared, token: i64) -> Result<Value, ApiError> {
    let owned = Arc::clone(state);
    let known = blocking(move || owned.auth.tokens()?.get(token)).await?;
    let policy = state.governance.get(token).ok_or_else(|| unknown(token))?;
    let mut body = serde_json::to_value(policy.limits).map_err(|e| ApiError::new(Code::Internal, e.to_string()))?;
    body["id"] = token.into();
    body["token_id"] = token.into();
    body["token_name"] = known.map(|t| t.name.to_string()).into();
    body["created_at"] = rfc3339(policy.created_us).into();
    body["updated_at"] = rfc3339(policy.updated_us).into();
    Ok(body)
}

fn unknown(token: i64) -> ApiError {
    ApiError::new(Code::NotFound, format!("token {token} has no limits"))
}

/// `base` with the limits that a client sent.
fn merged(base: Limits, mut sent: Map<String, Value>) -> Result<Limits, ApiError> {
    let bad = |text: String| ApiError::new(Code::InvalidParameter, text);
    for known in ["token_id", "token_name", "id", "created_at", "updated_at"] {
        sent.remove(known);
    }
    let whole = serde_json::to_value(base).map_err(|e| bad(e.to_string()))?;
    let Value::Object(mut whole) = whole else { return Err(bad("limits are an object".into())) };
    for (field, value) in sent {
        if !value.is_u64() {
            return Err(bad(format!("{field} must be a whole number of at least zero (zero: no limit), not {value}")));
        }
        whole.insert(field, value);
    }
    serde_json::from_value(Value::Object(whole)).map_err(|e| bad(e.to_string()))
}

fn fields(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    serde_json::from_slice(body).map_err(|e| ApiError::new(Code::InvalidBody, format!("the body is no policy: {e}")))
}

async fn set(state: &Shared, token: i64, limits: Limits) -> Result<Value, ApiError> {
    let owned = Arc::clone(state);
    blocking(move || {
        if owned.auth.tokens()?.get(token)?.is_none() {
            return Err(ApiError::new(Code::NotFound, format!("token {token} does not exist")));
        }
        owned.governance.set(token, limits, owned.clock.now_us())
    })
    .await?;
    describe(state, token).await
}

/// `POST /api/v1/governance/policies`
pub async fn create(Extract(state): Extract<Shared>, body: Bytes) -> Result<Response, ApiError> {
    let sent = fields(&body)?;
    let missing = || ApiError::new(Code::InvalidParameter, "token_id is missing");
    let token = sent.get("token_id").and_then(Value::as_i64).ok_or_else(missing)?;
    if state.governance.get(token).is_some() {
        return Err(ApiError::new(Code::NameTaken, format!("token {token} has limits already; PUT changes them")));
    }
    let policy = set(&state, token, merged(Limits::default(), sent)?).await?;
    Ok((StatusCode::CREATED, Json(json!({"success": true, "policy": policy}))).into_response())
}

/// `GET /api/v1/governance/policies`
pub async fn list(Extract(state): Extract<Shared>) -> Result<Json<Value>, ApiError> {
    let mut policies = Vec::new();
    for token in state.governance.tokens() {
        policies.push(describe(&state, token).await?);
    }
    Ok(Json(json!({"success": true, "count": policies.len(), "policies": policies})))
}

/// `GET /api/v1/governance/policies/{token_id}`
pub async fn one(Extract(state): Extract<Shared>, Segments(token): Segments<i64>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"success": true, "policy": describe(&state, token).await?})))
}

/// `PUT /api/v1/governance/policies/{token_id}`: a limit that is left out stays.
pub async fn update(
    Extract(state): Extract<Shared>,
    Segments(token): Segments<i64>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let before = state.governance.get(token).ok_or_else(|| unknown(token))?.limits;
    let policy = set(&state, token, merged(before, fields(&body)?)?).await?;
    Ok(Json(json!({"success": true, "policy": policy})))
}

/// `DELETE /api/v1/governance/policies/{token_id}`
pub async fn delete(Extract(state): Extract<Shared>, Segments(token): Segments<i64>) -> Result<Json<Value>, ApiError> {
    let removed = blocking(move || state.governance.remove(token)).await?;
    if !removed {
        return Err(unknown(token));
    }
    Ok(Json(json!({"success": true, "message": "the token has no limits any more"})))
}

/// `GET /api/v1/governance/usage/{token_id}`: a token's own, or any for an admin of the server.
pub async fn usage(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Segments(token): Segments<i64>,
) -> Result<Json<Value>, ApiError> {
    let is_operator = caller.access.has(model::Permission::Admin) && caller.access.is_unscoped();
    if !is_operator && caller.id != Some(token) {
        return Err(unknown(token));
    }
    let limits = state.governance.get(token).ok_or_else(|| unknown(token))?.limits;
    let now_us = state.clock.now_us();
    let [minute, hour, day] = [1, 60, DAY_MINUTES].map(|m| state.governance.used(token, now_us, m));
    let left = |most: u64, used: u64| if most == 0 { Value::Null } else { most.saturating_sub(used).into() };
    let reset = |minutes: i64| rfc3339((now_us.div_euclid(MINUTE_US) + minutes) * MINUTE_US);
    Ok(Json(json!({"success": true, "usage": {
        "token_id": token,
        "queries_this_minute": minute.0,
        "queries_this_hour": hour.0,
        "queries_this_day": day.0,
        "rows_this_minute": minute.1,
        "rows_this_hour": hour.1,
        "rows_this_day": day.1,
        "hour_reset_at": reset(60),
        "day_reset_at": reset(DAY_MINUTES),
        "rate_limit_remaining_per_minute": left(limits.rate_limit_per_minute, minute.0),
        "rate_limit_remaining_per_hour": left(limits.rate_limit_per_hour, hour.0),
    }})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_slide_by_minutes_and_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sqlite");
        let start = 1_700_000_000 / 60 * 60 * 1_000_000;
        let governance = Governance::open(&path, start).unwrap();
        let limits = Limits { rate_limit_per_minute: 3, max_queries_per_hour: 5, ..Limits::default() };
        governance.set(7, limits, start).unwrap();
        let ask = |governance: &Governance, at: i64| governance.admit(Some(7), start + at * 1_000_000);
        assert!((0..3).all(|n| ask(&governance, n).is_ok()));
        let refused = ask(&governance, 10).unwrap_err();
        assert_eq!((refused.code, refused.message.contains("3 queries a minute")), (Code::RateLimited, true));
        assert!(governance.admit(Some(8), start).is_ok() && governance.admit(None, start).is_ok());
        assert!((0..2).all(|n| ask(&governance, 60 + n).is_ok()));
        assert!(ask(&governance, 119).unwrap_err().message.contains("5 queries a hour"));
        governance.save(start + 120_000_000).unwrap();
        drop(governance);
        let governance = Governance::open(&path, start + 121_000_000).unwrap();
        assert!(ask(&governance, 121).is_err());
        // the three of the first minute have left the hour
        assert!(ask(&governance, 3_600).is_ok());
        assert_eq!(governance.used(7, start + 3_600_000_000, 60).0, 3);
        assert!(governance.remove(7).unwrap() && ask(&governance, 3_601).is_ok());
    }

    #[test]
    fn rows_count_too() {
        let folder = tempfile::tempdir().unwrap();
        let governance = Governance::open(&folder.path().join("server.sqlite"), 0).unwrap();
        governance.set(1, Limits { max_rows_per_hour: 100, ..Limits::default() }, 0).unwrap();
        assert!(governance.admit(Some(1), 0).is_ok());
        governance.add_rows(Some(1), 100, 0);
        assert!(governance.admit(Some(1), 0).unwrap_err().message.contains("100 rows a hour"));
        assert!(governance.admit(Some(1), 3_600_000_000).is_ok());
    }
}
