use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use model::{Code, limits};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::auth::{Peer, network};
use crate::error::ApiError;
use crate::routes::{self, App};
use crate::state::{Shared, State, count};

/// Certificates.
pub mod tls;
/// How long a connection may take.
pub mod watch;

use watch::{Activity, Overdue, Watched};

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub first_byte: Duration,
    /// For the head of a request, from its first byte.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For a client to take the next bytes of its answer.
    pub write: Duration,
}

/// Connections open at once, by address.
#[derive(Debug, Default)]
pub struct Seats(Mutex<HashMap<IpAddr, usize>>);

/// The place of one connection.
#[derive(Debug)]
struct Seat {
    state: Shared,
    address: IpAddr,
    /// It found every seat taken: it may ask for health alone, once.
    guest: Option<(OwnedSemaphorePermit, Full)>,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy)]
enum Full {
    Server,
    Address,
}

impl Full {
    fn error(self, state: &State) -> ApiError {
        let config = state.config();
        match self {
            Full::Server => {
                let most = config.max_connections;
                ApiError::new(Code::Overloaded, format!("{most} connections are open; try again in a second"))
            }
            Full::Address => {
                let most = config.max_connections_per_address;
                let text =
                    format!("this address has {most} connections open; close some, or use them for more requests");
                ApiError::new(Code::RateLimited, text)
            }
        }
    }
}

impl Seats {
    /// A seat, or why there is none.
    fn take(&self, state: &Shared, address: IpAddr) -> Result<Seat, Full> {
        let address = network(address);
        let config = state.config();
        if state.counters.connections.load(Ordering::Relaxed) >= config.max_connections as u64 {
            return Err(Full::Server);
        }
        let mut by_address = self.0.lock();
        let open = by_address.entry(address).or_default();
        let most = config.max_connections_per_address;
        if most > 0 && *open >= most {
            return Err(Full::Address);
        }
        *open += 1;
        count(&state.counters.connections, 1);
        Ok(Seat { state: Shared::clone(state), address, guest: None })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.guest.is_some() {
            return;
        }
        self.state.counters.connections.fetch_sub(1, Ordering::Relaxed);
        let mut by_address = self.state.seats.0.lock();
        if let Some(open) = by_address.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Answers requests on `listener` until `stop` resolves, then lets those on their way finish.
///
/// axum's own loop bounds neither time nor number, so the connections are served here. A connection beyond the
/// bounds still gets `/health` and the other public routes, and a refusal with Retry-After for anything else.
pub async fn serve(listener: TcpListener, state: Shared, stop: impl Future<Output = ()>) {
    let app = App::new(Arc::clone(&state));
    let graceful = GracefulShutdown::new();
    let guests = Arc::new(Semaphore::new(limits::GUEST_CONNECTIONS));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of descriptors: pausing lets some close
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let seat = match state.seats.take(&state, peer.ip()) {
            Ok(seat) => seat,
            Err(full) => {
                count(&state.counters.turned_away, 1);
                let permit = tokio::select! {
                    permit = Arc::clone(&guests).acquire_owned() => permit,
                    () = &mut stop => break,
                };
                let Ok(permit) = permit else { break };
                Seat { state: Arc::clone(&state), address: network(peer.ip()), guest: Some((permit, full)) }
            }
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(greet(stream, peer, seat, app.clone(), graceful.watcher()));
    }
    drop(listener);
    let patience = state.config().shutdown_timeout;
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = patience.as_secs(), "some requests did not finish in time and were cut");
    }
}

/// What the threads of connections answer themselves, however much there is to do.
const QUICK: [&str; 3] = ["/health", "/ready", "/ping"];
/// Requests at a time, for each of these threads, up to which they answer all of them: another thread costs more than a
/// small request does. While there are more, what comes goes to the threads of requests, and connections wait for none.
const AT_ONCE: usize = 32;

/// Where requests are answered.
#[derive(Debug)]
pub struct Work {
    elsewhere: Handle,
    at_once: usize,
    now: AtomicUsize,
}

/// A request that is being answered, while it lives.
struct Turn<'a>(&'a AtomicUsize);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Work {
    /// On so many threads of connections, and `elsewhere`.
    pub fn new(threads: usize, elsewhere: Handle) -> Self {
        Self { elsewhere, at_once: AT_ONCE * threads, now: AtomicUsize::new(0) }
    }

    async fn answer(&self, app: App, request: hyper::Request<hyper::body::Incoming>) -> Response {
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        let _turn = Turn(&self.now);
        let is_here = before < self.at_once || QUICK.contains(&request.uri().path());
        // large, and moved to another thread perhaps
        let answer = Box::pin(app.answer(request));
        if is_here {
            return answer.await;
        }
        // dropped with its connection, it ends
        let mut task = JoinSet::new();
        task.spawn_on(answer, &self.elsewhere);
        match task.join_next().await {
            Some(Ok(response)) => response,
            _ => ApiError::new(Code::Internal, "the work on the request ended").into_response(),
        }
    }
}

/// Agrees on keys where the server speaks TLS, then serves the connection.
async fn greet(stream: TcpStream, peer: SocketAddr, seat: Seat, app: App, watcher: Watcher) {
    let state = Arc::clone(&seat.state);
    let Some(tls) = &state.tls else { return attend(stream, peer, seat, app, watcher).await };
    let patience = state.config().timeouts.first_byte;
    match tokio::time::timeout(patience, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => attend(stream, peer, seat, app, watcher).await,
        Ok(Err(error)) => tracing::debug!(%error, %peer, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

async fn attend<S>(socket: S, peer: SocketAddr, seat: Seat, app: App, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let state = Arc::clone(&seat.state);
    let config = state.config();
    let activity = Activity::new();
    let overdue = Overdue::new(Arc::clone(&activity), config.timeouts);
    let io = TokioIo::new(Watched { socket, activity: Arc::clone(&activity) });
    let full = seat.guest.as_ref().map(|(_, full)| *full);
    let service = tower::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let in_flight = activity.begin();
        let mut request = routes::normalised(request);
        request.extensions_mut().insert(Peer(peer));
        let refused = refusal(&state, &request, full);
        let (app, state) = (app.clone(), Arc::clone(&state));
        async move {
            let response = match refused {
                Some(error) => {
                    let mut response = error.into_response();
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    response
                }
                None => state.work.answer(app, request).await,
            };
            Ok::<_, std::convert::Infallible>(response.map(|body| in_flight.until_sent(body)))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(full.is_none())
        .max_headers(limits::HEADERS)
        .max_buf_size(config.max_header_bytes.max(READ_BUFFER_BYTES))
        .serve_connection(io, TowerToHyperService::new(service));
    tokio::select! {
        biased;
        ended = watcher.watch(connection) => if let Err(error) = ended {
            tracing::debug!(%error, %peer, "a connection ended early");
        },
        what = overdue => {
            count(&seat.state.counters.too_slow, 1);
            tracing::debug!(%peer, "a connection was closed: it took too long for {what}");
        }
    }
}

/// What a connection reads ahead at most.
const READ_BUFFER_BYTES: usize = 128 << 10;

/// Why a request is not even looked at.
fn refusal<B>(state: &State, request: &hyper::Request<B>, full: Option<Full>) -> Option<ApiError> {
    let most = state.config().max_header_bytes;
    let lengths = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let bytes = lengths.sum::<usize>() + request.uri().path_and_query().map_or(0, |p| p.as_str().len());
    if bytes > most {
        let text = format!("the head has {bytes} bytes; at most {most} are read (server.max_header_size)");
        return Some(ApiError::new(Code::HeadTooLarge, text));
    }
    full.filter(|_| !routes::is_public(request.method(), request.uri().path())).map(|full| full.error(state))
}
