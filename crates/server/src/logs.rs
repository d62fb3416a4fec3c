//! The last messages of the server's own log, for whoever cannot reach its standard error.

use std::collections::VecDeque;

use axum::Json;
use axum::extract::State as Extract;
use model::{Code, limits};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::extract::Params;
use crate::state::Shared;
use crate::time::rfc3339;

/// Messages and minutes that a client gets unless it asks for others, and the most that it may ask for.
const LISTED: usize = 100;
const MOST_LISTED: usize = 1_000;
const MINUTES: i64 = 60;
const MOST_MINUTES: i64 = 1_440;

/// From the most severe on.
pub const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// UTC microseconds.
    pub at_us: i64,
    /// One of [`LEVELS`].
    pub level: &'static str,
    /// The part of the server that says it.
    pub component: &'static str,
    pub text: String,
}

/// The last [`limits::LOG_MESSAGES`] messages.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Message>>);

impl Recent {
    pub fn push(&self, mut message: Message) {
        if message.text.len() > limits::LOG_MESSAGE_BYTES {
            let boundary = |at: &usize| message.text.is_char_boundary(*at);
            let end = (0..=limits::LOG_MESSAGE_BYTES).rev().find(boundary).unwrap_or(0);
            message.text.truncate(end);
            message.text.push('…');
        }
        let mut messages = self.0.lock();
        if messages.len() >= limits::LOG_MESSAGES {
            messages.pop_front();
        }
        messages.push_back(message);
    }

    /// Newest first, not older than `since_us`, of these levels.
    fn list(&self, since_us: i64, levels: &[&str], limit: usize) -> Vec<Message> {
        let messages = self.0.lock();
        let wanted = messages.iter().rev().filter(|m| m.at_us >= since_us && levels.contains(&m.level));
        wanted.take(limit).cloned().collect()
    }
}

/// Which messages a client wants to see.
#[derive(Debug, Deserialize)]
pub struct Filter {
    limit: Option<usize>,
    level: Option<String>,
    since_minutes: Option<i64>,
}

/// `GET /api/v1/logs?limit=&level=&since_minutes=`, newest first; a level stands for those more severe, too.
pub async fn list(Extract(state): Extract<Shared>, Params(filter): Params<Filter>) -> Result<Json<Value>, ApiError> {
    let bad = |text: String| ApiError::new(Code::InvalidParameter, text);
    let limit = filter.limit.unwrap_or(LISTED);
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(bad(format!("limit is {limit}; it must be 1 to {MOST_LISTED}")));
    }
    let minutes = filter.since_minutes.unwrap_or(MINUTES);
    if !(1..=MOST_MINUTES).contains(&minutes) {
        return Err(bad(format!("since_minutes is {minutes}; it must be 1 to {MOST_MINUTES}")));
    }
    let wanted = filter.level.filter(|l| !l.is_empty()).map(|l| l.to_ascii_lowercase());
    let most = match &wanted {
        None => LEVELS.len() - 1,
        Some(wanted) => {
            let known = LEVELS.iter().position(|l| l == wanted || (wanted == "warning" && *l == "warn"));
            known.ok_or_else(|| bad(format!("level {wanted:?} is none of {}", LEVELS.join(", "))))?
        }
    };
    let now_us = state.clock.now_us();
    let messages = state.logs.list(now_us - minutes * 60_000_000, &LEVELS[..=most], limit);
    let logs: Vec<Value> = messages
        .iter()
        .map(|m| json!({"timestamp": rfc3339(m.at_us), "level": m.level, "component": m.component, "message": m.text}))
        .collect();
    Ok(Json(json!({
        "timestamp": rfc3339(now_us),
        "count": logs.len(),
        "limit": limit,
        "level_filter": wanted,
        "since_minutes": minutes,
        "logs": logs,
    })))
}
