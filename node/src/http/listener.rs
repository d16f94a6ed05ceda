//! Accepts clients, plain on loopback and over TLS elsewhere, with limits on their number and on slow ones.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tower::ServiceExt;

use super::callers::{Caller, Callers};
use super::patience::Patient;
use super::turned_away::{Limit, RECENT, TurnedAway};

/// The time limit of the handshake, and then of each request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest header, and the most that is read ahead of a body.
const BUFFER_BYTES: usize = 32 << 10;

/// The answer to a client for which there is no place. It is written without waiting, and before any handshake.
const NO_PLACE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 75\r\n\r\n\
    {\"error\":\"BUSY\",\"message\":\"this server serves as many clients as it can\"}\n\n";

/// Serves at most so many clients until told to stop, then until requests in progress are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections: usize,
    app: super::App,
    mut stopping: watch::Receiver<bool>,
) {
    let tls = tls.map(TlsAcceptor::from);
    let callers = Arc::new(Callers::at_most(connections));
    let turned_away = Arc::clone(&app.0.turned_away);
    let router = app.router();
    let mut tasks = JoinSet::new();
    let mut summary = tokio::time::interval(RECENT);
    loop {
        let accepted = tokio::select! {
            () = told_to_stop(&mut stopping) => break,
            Some(_) = tasks.join_next() => continue,
            _ = summary.tick() => {
                summarize(&turned_away);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (socket, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely the system is out of file descriptors or of memory, which come back.
                tracing::warn!("cannot accept a client: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some((seat, in_place_of_another)) = callers.admit(from.ip()) else {
            turned_away.count(Limit::Connections);
            let _ = socket.try_write(NO_PLACE.as_bytes());
            continue;
        };
        if in_place_of_another {
            turned_away.count(Limit::Connections);
        }
        if let Err(error) = crate::listen::tune(&socket) {
            tracing::debug!("a client disconnected at once: {error}");
        }
        let (tls, router, stopping) = (tls.clone(), router.clone(), stopping.clone());
        let (number, caller, slow) = (seat.number(), seat.caller(), Arc::clone(&turned_away));
        let task = tasks.spawn(async move {
            let _seat = seat;
            if let Err(Slow) = serve_client(socket, tls, router, caller, stopping).await {
                slow.count(Limit::Slow);
            }
        });
        callers.fill(number, task);
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Strangers are counted, and told of in one line a minute.
fn summarize(turned_away: &TurnedAway) {
    if let Some(recent) = turned_away.recent() {
        tracing::info!("turned away in the last two minutes: {recent}");
    }
}

/// A client took too long for its handshake, or to read an answer.
struct Slow;

async fn serve_client(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    caller: Arc<Caller>,
    stopping: watch::Receiver<bool>,
) -> Result<(), Slow> {
    let socket = Patient::new(socket);
    let Some(acceptor) = tls else {
        return serve_connection(socket, router, caller, stopping).await;
    };
    match timeout(HEADER_TIMEOUT, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => serve_connection(stream, router, caller, stopping).await,
        Ok(Err(error)) => {
            tracing::debug!("a client's encrypted handshake failed: {error}");
            Ok(())
        }
        Err(_) => Err(Slow),
    }
}

/// Answers the requests of one connection.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    caller: Arc<Caller>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Slow> {
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Arc::clone(&caller));
        request
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to_stop(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::debug!("a client's connection broke: {error}");
            let cause =
                std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
            // A header's deadline also ends connections that are idle, which is nobody's fault.
            let unread = cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut);
            if unread { Err(Slow) } else { Ok(()) }
        }
    }
}

/// Waits until the server is told to stop, or until its owner is gone.
async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_without_a_place_is_whole() {
        let (head, body) = NO_PLACE.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        let body: crate::api::ErrorBody = serde_json::from_str(body).unwrap();
        assert_eq!(body.error, "BUSY");
    }
}
