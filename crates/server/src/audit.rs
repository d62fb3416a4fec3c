//! Who changed what, and who was turned away: `server.sqlite`, written in batches.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State as Extract;
use model::limits;
use parking_lot::Mutex;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::extract::Params;
use crate::state::{Shared, blocking};
use crate::time::{self, rfc3339};

/// Events that a client gets unless it asks for another number, and the most it may ask for.
const LISTED: usize = 100;
const MOST_LISTED: usize = 10_000;

/// One action of an administrator, or one refused request.
#[derive(Debug, Clone)]
pub struct Event {
    /// UTC microseconds.
    pub at_us: i64,
    pub kind: &'static str,
    /// The token's name.
    pub actor: Option<String>,
    pub method: String,
    pub path: String,
    pub database: Option<String>,
    pub measurement: Option<String>,
    pub status: u16,
    pub address: String,
    pub agent: Option<String>,
    pub duration_us: i64,
    pub detail: Option<String>,
}

/// The audit log of one folder.
#[derive(Debug)]
pub struct Audit {
    waiting: Mutex<VecDeque<Event>>,
    dropped: AtomicU64,
    database: Mutex<Connection>,
    kept_us: i64,
}

impl Audit {
    /// Opens `server.sqlite`; events are kept for `kept_us` microseconds.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, kept_us: i64) -> store::Result<Self> {
        let database = store::meta::open(
            path,
            "CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL,
               kind TEXT NOT NULL, actor TEXT, method TEXT NOT NULL, path TEXT NOT NULL, database TEXT,
               measurement TEXT, status INTEGER NOT NULL, address TEXT NOT NULL, agent TEXT,
               duration_us INTEGER NOT NULL, detail TEXT);
             CREATE INDEX IF NOT EXISTS audit_by_age ON audit (at_us);",
        )?;
        Ok(Self { waiting: Mutex::default(), dropped: AtomicU64::new(0), database: Mutex::new(database), kept_us })
    }

    /// Takes an event; it is on disk after the next [`Audit::save`].
    pub fn record(&self, event: Event) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= limits::AUDIT_WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back(event);
    }

    /// Events that came faster than they could be written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits and removes what is too old (`now_us` in UTC microseconds).
    ///
    /// # Errors
    /// The file cannot be written; the events wait on.
    pub fn save(&self, now_us: i64) -> store::Result<()> {
        let database = self.database.lock();
        let batch: Vec<Event> = self.waiting.lock().iter().cloned().collect();
        let transaction = database.unchecked_transaction()?;
        for e in &batch {
            transaction
                .prepare_cached("INSERT INTO audit VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    e.at_us,
                    e.kind,
                    e.actor,
                    e.method,
                    e.path,
                    e.database,
                    e.measurement,
                    e.status,
                    e.address,
                    e.agent,
                    e.duration_us,
                    e.detail
                ])?;
        }
        transaction.execute("DELETE FROM audit WHERE at_us < ?", [now_us - self.kept_us])?;
        let most = "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?";
        transaction.execute(most, [limits::AUDIT_EVENTS as i64])?;
        transaction.commit()?;
        self.waiting.lock().drain(..batch.len());
        Ok(())
    }

    fn list(&self, filter: &Filter) -> Result<Vec<Value>, ApiError> {
        let mut conditions = vec!["1".to_owned()];
        let mut values: Vec<Sql> = Vec::new();
        let texts = [("kind", &filter.event_type), ("actor", &filter.actor), ("database", &filter.database)];
        for (column, wanted) in texts {
            if let Some(wanted) = wanted.as_ref().filter(|w| !w.is_empty()) {
                conditions.push(format!("{column} = ?"));
                values.push(Sql::Text(wanted.clone()));
            }
        }
        for (field, sign, wanted) in [("since", ">=", &filter.since), ("until", "<", &filter.until)] {
            if let Some(wanted) = wanted.as_ref().filter(|w| !w.is_empty()) {
                conditions.push(format!("at_us {sign} ?"));
                values.push(Sql::Integer(time::parse(field, wanted)?));
            }
        }
        let limit = filter.limit.unwrap_or(LISTED).min(MOST_LISTED);
        let offset = filter.offset.unwrap_or(0);
        let query = format!(
            "SELECT * FROM audit WHERE {} ORDER BY id DESC LIMIT {limit} OFFSET {offset}",
            conditions.join(" AND ")
        );
        let failed = |e| ApiError::from(store::Error::from(e));
        let database = self.database.lock();
        let mut statement = database.prepare(&query).map_err(failed)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), |r| {
            Ok(json!({
                "id": r.get::<_, i64>("id")?,
                "timestamp": rfc3339(r.get("at_us")?),
                "event_type": r.get::<_, String>("kind")?,
                "actor": r.get::<_, Option<String>>("actor")?,
                "method": r.get::<_, String>("method")?,
                "path": r.get::<_, String>("path")?,
                "database": r.get::<_, Option<String>>("database")?,
                "measurement": r.get::<_, Option<String>>("measurement")?,
                "status_code": r.get::<_, u16>("status")?,
                "ip_address": r.get::<_, String>("address")?,
                "user_agent": r.get::<_, Option<String>>("agent")?,
                "duration_ms": r.get::<_, i64>("duration_us")? as f64 / 1e3,
                "detail": r.get::<_, Option<String>>("detail")?,
            }))
        });
        rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
    }

    fn counts(&self, since_us: i64) -> Result<Map<String, Value>, ApiError> {
        let failed = |e| ApiError::from(store::Error::from(e));
        let database = self.database.lock();
        let query = "SELECT kind, count(*) FROM audit WHERE at_us >= ? GROUP BY kind ORDER BY kind";
        let mut statement = database.prepare(query).map_err(failed)?;
        let rows = statement.query_map([since_us], |r| Ok((r.get(0)?, Value::from(r.get::<_, i64>(1)?))));
        rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
    }
}

/// Which events a client wants to see.
#[derive(Debug, Default, Deserialize)]
pub struct Filter {
    event_type: Option<String>,
    actor: Option<String>,
    database: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    offset: Option<usize>,
}

/// `GET /api/v1/audit/logs`, newest first
pub async fn logs(Extract(state): Extract<Shared>, Params(filter): Params<Filter>) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        state.audit.save(state.clock.now_us())?;
        let data = state.audit.list(&filter)?;
        Ok(Json(json!({"success": true, "count": data.len(), "data": data})))
    })
    .await
}

/// `GET /api/v1/audit/stats?since=`: how many of each kind, over the last day unless it is said.
pub async fn stats(Extract(state): Extract<Shared>, Params(filter): Params<Filter>) -> Result<Json<Value>, ApiError> {
    let since_us = match filter.since.as_ref().filter(|s| !s.is_empty()) {
        Some(text) => time::parse("since", text)?,
        None => state.clock.now_us() - 86_400_000_000,
    };
    blocking(move || {
        state.audit.save(state.clock.now_us())?;
        let counts = state.audit.counts(since_us)?;
        let total: i64 = counts.values().filter_map(Value::as_i64).sum();
        let data = json!({
            "since": rfc3339(since_us), "total": total, "by_event_type": counts, "dropped": state.audit.dropped(),
        });
        Ok(Json(json!({"success": true, "data": data})))
    })
    .await
}
