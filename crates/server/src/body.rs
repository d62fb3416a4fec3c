//! Bodies of requests: whole, bounded, and within the memory that all of them share.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use http_body_util::BodyExt as _;
use model::{Code, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use crate::listen::watch::TooSlow;
use crate::state::State;

const UNIT_BYTES: u64 = 1 << 10;
/// Bodies up to this length are short.
pub const SHORT_BYTES: u64 = 64 << 10;
/// What a body of unknown length takes at a time.
const STEP_BYTES: u64 = 64 << 10;

/// The memory of bodies on their way.
#[derive(Debug)]
pub struct Room {
    units: Arc<Semaphore>,
    all: u32,
}

/// A body's part of it; dropping it gives it back.
#[derive(Debug, Default)]
pub struct Taken(Option<OwnedSemaphorePermit>);

impl Room {
    pub fn new(bytes: u64) -> Self {
        let all = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).max(1);
        Self { units: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Bytes that bodies hold now.
    pub fn used(&self) -> u64 {
        (self.all as u64).saturating_sub(self.units.available_permits() as u64) * UNIT_BYTES
    }

    /// Waits until so many bytes more are free; whoever wants more than there is waits to be alone.
    ///
    /// # Errors
    /// `overloaded` after `patience`.
    pub async fn take(&self, taken: &mut Taken, bytes: u64, patience: Duration) -> Result<(), ApiError> {
        let held = taken.0.as_ref().map_or(0, |p| p.num_permits() as u64);
        let wanted = bytes.div_ceil(UNIT_BYTES).min(u64::from(self.all) - held) as u32;
        let units = || Arc::clone(&self.units);
        let permit = match units().try_acquire_many_owned(wanted) {
            Ok(permit) => permit,
            Err(_) => match tokio::time::timeout(patience, units().acquire_many_owned(wanted)).await {
                Ok(Ok(permit)) => permit,
                _ => {
                    let all = u64::from(self.all) * UNIT_BYTES;
                    return Err(ApiError::new(Code::Overloaded, format!("bodies on their way fill their {all} bytes")));
                }
            },
        };
        match &mut taken.0 {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

/// A body and the memory that it holds.
#[derive(Debug)]
pub struct Whole {
    pub bytes: Bytes,
    pub taken: Taken,
}

/// A payload, which its route reads; a short one has come already.
#[derive(Debug)]
pub enum Payload {
    Whole(Arc<Whole>),
    Coming(Body),
}

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Ok(match request.extensions().get::<Arc<Whole>>() {
            Some(whole) => Payload::Whole(Arc::clone(whole)),
            None => Payload::Coming(request.into_body()),
        })
    }
}

impl Payload {
    /// All of it.
    ///
    /// # Errors
    /// As [`whole`].
    pub async fn read(self, state: &State, max: u64) -> Result<Arc<Whole>, ApiError> {
        match self {
            Payload::Whole(whole) if whole.bytes.len() as u64 > max => Err(too_large(max)),
            Payload::Whole(whole) => Ok(whole),
            Payload::Coming(body) => whole(state, body, max).await.map(Arc::new),
        }
    }
}

/// Whether a body is known to be short. An answer that does not wait for the body ends the connection, and a client
/// that sends its next request meanwhile would get none: short bodies are read before anything is answered.
pub fn is_short(body: &Body) -> bool {
    body.size_hint().upper().is_some_and(|n| n <= SHORT_BYTES)
}

/// Takes a body that nobody will read off the wire, as far as `max` bytes, so that its client hears the answer.
pub async fn discard(mut body: Body, max: u64) {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, |d| d.len() as u64);
        if length > max {
            return;
        }
    }
}

fn too_large(max: u64) -> ApiError {
    ApiError::new(Code::PayloadTooLarge, format!("the body has more than {max} bytes; split it"))
}

/// Reads a body of at most `max` bytes, a known length at once.
///
/// # Errors
/// `payload_too_large`, `request_timeout`, `overloaded`, or `invalid_body` when it ends early.
pub async fn whole(state: &State, mut body: Body, max: u64) -> Result<Whole, ApiError> {
    let patience = state.config().write_wait;
    let hint = body.size_hint();
    if hint.lower() > max {
        discard(body, max.saturating_add(limits::DISCARDED_BYTES)).await;
        return Err(too_large(max));
    }
    let mut taken = Taken::default();
    let mut room = hint.exact().unwrap_or(0);
    if room > 0 {
        state.room.take(&mut taken, room, patience).await?;
    }
    let mut parts: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        length += data.len() as u64;
        if length > max {
            discard(body, limits::DISCARDED_BYTES).await;
            return Err(too_large(max));
        }
        if length > room {
            let more = (length - room).max(STEP_BYTES);
            state.room.take(&mut taken, more, patience).await?;
            room += more;
        }
        parts.push(data);
    }
    let bytes = match parts.len() {
        0 | 1 => parts.pop().unwrap_or_default(),
        _ => {
            let mut whole = Vec::with_capacity(length as usize);
            parts.drain(..).for_each(|part| whole.extend_from_slice(&part));
            whole.into()
        }
    };
    Ok(Whole { bytes, taken })
}

/// Why a body did not come whole.
pub fn broken(error: axum::Error) -> ApiError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(slow) = error.downcast_ref::<TooSlow>() {
            return ApiError::new(Code::RequestTimeout, slow.to_string());
        }
        cause = error.source();
    }
    ApiError::new(Code::InvalidBody, format!("the body ended early: {error}"))
}
