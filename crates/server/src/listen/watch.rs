//! How long a connection may keep its seat without getting on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Timeouts;

const NEVER: u64 = u64::MAX;

/// What a connection is doing. Instants are milliseconds since its begin; [`NEVER`]: not now.
#[derive(Debug)]
pub struct Activity {
    began: Instant,
    /// Requests in the service, or whose answers are on their way.
    busy: AtomicU32,
    answered: AtomicU32,
    idle_since: AtomicU64,
    /// The first byte of a request whose head is not whole yet.
    head_since: AtomicU64,
    /// The client takes no bytes of its answer.
    stalled_since: AtomicU64,
}

impl Activity {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            busy: AtomicU32::new(0),
            answered: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(NEVER),
            stalled_since: AtomicU64::new(NEVER),
        })
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// A head is whole: until the answer has gone, the client waits for the server.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.busy.fetch_add(1, Relaxed);
        self.head_since.store(NEVER, Relaxed);
        InFlight(Arc::clone(self))
    }

    fn read(&self) {
        if self.busy.load(Relaxed) == 0 && self.head_since.load(Relaxed) == NEVER {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    fn wrote(&self, went: bool) {
        if went {
            self.stalled_since.store(NEVER, Relaxed);
        } else if self.stalled_since.load(Relaxed) == NEVER {
            self.stalled_since.store(self.now(), Relaxed);
        }
    }

    /// When the connection must have got on, and what it will have been too slow for.
    fn deadline(&self, timeouts: &Timeouts) -> Option<(Instant, &'static str)> {
        let (since, patience, what) = match self.stalled_since.load(Relaxed) {
            NEVER if self.busy.load(Relaxed) > 0 => return None,
            NEVER => match (self.head_since.load(Relaxed), self.answered.load(Relaxed)) {
                (NEVER, 0) => (0, timeouts.first_byte, "the first byte of a request"),
                (NEVER, _) => (self.idle_since.load(Relaxed), timeouts.idle, "the next request"),
                (since, _) => (since, timeouts.head, "the head of a request"),
            },
            since => (since, timeouts.write, "an answer to be taken"),
        };
        Some((self.began + Duration::from_millis(since) + patience, what))
    }
}

/// A request on its way; dropped with the last byte of its answer.
#[derive(Debug)]
pub struct InFlight(Arc<Activity>);

impl InFlight {
    /// The answer's body, which ends the request when it is dropped.
    pub fn until_sent(self, body: Body) -> Answering {
        Answering { body, _request: self }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Relaxed);
        self.0.answered.fetch_add(1, Relaxed);
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer on its way.
#[derive(Debug)]
pub struct Answering {
    body: Body,
    _request: InFlight,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that notes what it does.
#[derive(Debug)]
pub struct Watched<S> {
    pub socket: S,
    pub activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.wrote(outcome.is_ready());
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.note(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_flush(cx);
        self.note(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Ends when the connection was too slow. It must be polled after the connection and by the same task, which
/// alone moves the [`Activity`].
#[derive(Debug)]
pub struct Overdue {
    activity: Arc<Activity>,
    timeouts: Timeouts,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Overdue {
    pub fn new(activity: Arc<Activity>, timeouts: Timeouts) -> Self {
        Self { activity, timeouts, alarm: None }
    }
}

impl Future for Overdue {
    type Output = &'static str;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'static str> {
        loop {
            let Some((deadline, what)) = self.activity.deadline(&self.timeouts) else { return Poll::Pending };
            if Instant::now() >= deadline {
                return Poll::Ready(what);
            }
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            // an alarm that comes too early only looks again
            if alarm.deadline() > deadline || alarm.is_elapsed() {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(cx));
        }
    }
}

/// A body that must come at [`BODY_BYTES_PER_S`] at least, after a first patience.
struct Paced<B> {
    body: B,
    began: Instant,
    patience: Duration,
    received: u64,
    /// Most bodies are there before they are asked for.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// The slowest pace of a body on average.
pub const BODY_BYTES_PER_S: u64 = 1 << 10;

/// A body came too slowly.
#[derive(Debug, thiserror::Error)]
#[error(
    "the body came too slowly: {received} bytes in {seconds} s; at least {BODY_BYTES_PER_S} bytes a second are asked for"
)]
pub struct TooSlow {
    received: u64,
    seconds: u64,
}

/// The body with a bound on its time: `patience`, and a second more for each [`BODY_BYTES_PER_S`].
pub fn paced<B>(body: B, patience: Duration) -> Body
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
{
    if body.is_end_stream() {
        return Body::empty();
    }
    Body::new(Paced { body, began: Instant::now(), patience, received: 0, alarm: None })
}

impl<B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin> HttpBody for Paced<B> {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.received += frame.data_ref().map_or(0, |d| d.len() as u64);
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(other) => return Poll::Ready(other.map(|r| r.map_err(Into::into))),
            Poll::Pending => {}
        }
        loop {
            let earned = Duration::from_secs(this.received / BODY_BYTES_PER_S);
            let deadline = this.began + this.patience + earned;
            if Instant::now() >= deadline {
                let error = TooSlow { received: this.received, seconds: this.began.elapsed().as_secs() };
                return Poll::Ready(Some(Err(error.into())));
            }
            let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if alarm.is_elapsed() {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(cx));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
