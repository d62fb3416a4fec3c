use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::auth::Peer;
use crate::routes;
use crate::state::{Shared, count};

/// Answers requests on `listener` until `stop` resolves, then lets those on their way finish.
///
/// axum's own loop sets no timeout for request heads, so the connections are served here.
pub async fn serve(listener: TcpListener, state: Shared, stop: impl Future<Output = ()>) {
    let app = routes::router(Arc::clone(&state));
    let graceful = GracefulShutdown::new();
    let seats = Arc::new(Semaphore::new(state.config.max_connections));
    tokio::pin!(stop);
    loop {
        let seat = Arc::clone(&seats).acquire_owned();
        let Ok(seat) = seat.await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer): (_, SocketAddr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of descriptors: pausing lets some close
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let service = tower::service_fn(move |request| {
            let mut request = routes::normalised(request);
            request.extensions_mut().insert(Peer(peer));
            app.clone().oneshot(request)
        });
        let service = TowerToHyperService::new(service);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(state.config.read_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        let counted = Arc::clone(&state);
        count(&counted.counters.connections, 1);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            counted.counters.connections.fetch_sub(1, Ordering::Relaxed);
            drop(seat);
        });
    }
    drop(listener);
    let patience = state.config.shutdown_timeout;
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = patience.as_secs(), "some requests did not finish in time and were cut");
    }
}
