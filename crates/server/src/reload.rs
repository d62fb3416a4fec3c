//! Settings that change while the server runs.

use axum::Json;
use axum::extract::State as Extract;
use model::Code;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::{Shared, State, blocking};

/// What became of reading the settings again.
#[derive(Debug, Default, Clone)]
pub struct Reloaded {
    /// Keys whose new values hold now.
    pub applied: Vec<String>,
    /// Keys whose new values hold after the next start.
    pub after_restart: Vec<String>,
}

type Again = dyn Fn(&State) -> Result<Reloaded, String> + Send + Sync;

/// How the settings are read again; the binary knows where they come from.
pub struct Reload(Box<Again>);

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reload")
    }
}

impl Reload {
    pub fn new(again: impl Fn(&State) -> Result<Reloaded, String> + Send + Sync + 'static) -> Self {
        Self(Box::new(again))
    }
}

/// Reads file and environment again and lets hold what can.
///
/// # Errors
/// A setting is unknown or out of range, by name; nothing has changed then.
pub fn again(state: &State) -> Result<Reloaded, String> {
    let outcome = (state.reload.0)(state);
    match &outcome {
        Ok(done) => {
            tracing::info!(applied = ?done.applied, after_restart = ?done.after_restart, "settings were read again")
        }
        Err(error) => tracing::error!(error, "settings were not read again: the old ones hold"),
    }
    outcome
}

/// `POST /api/v1/config/reload`
pub async fn reload(Extract(state): Extract<Shared>) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        let done = again(&state).map_err(|error| ApiError::new(Code::InvalidParameter, error))?;
        Ok(Json(json!({"success": true, "applied": done.applied, "after_restart": done.after_restart})))
    })
    .await
}
