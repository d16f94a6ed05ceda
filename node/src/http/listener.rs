//! Accepts clients, plain on loopback and over TLS elsewhere, with limits on their number and on slow ones.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// The most clients that are connected at a time. More wait in the backlog.
const CONNECTIONS: usize = 1024;

/// The time limit of the handshake, and then of each request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves clients until told to stop, then until requests in progress are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let tls = tls.map(TlsAcceptor::from);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = told_to_stop(&mut stopping) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((socket, permit)) = accepted else {
            continue;
        };
        let (tls, router, stopping) = (tls.clone(), router.clone(), stopping.clone());
        connections.spawn(async move {
            let _permit = permit;
            match tls {
                None => serve_connection(socket, router, stopping).await,
                Some(acceptor) => match timeout(HEADER_TIMEOUT, acceptor.accept(socket)).await {
                    Ok(Ok(stream)) => serve_connection(stream, router, stopping).await,
                    Ok(Err(error)) => tracing::debug!("a client's encrypted handshake failed: {error}"),
                    Err(_) => tracing::debug!("a client did not finish its handshake in time"),
                },
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((socket, _)) => {
            if let Err(error) = crate::listen::tune(&socket) {
                tracing::debug!("a client disconnected at once: {error}");
            }
            Some((socket, permit))
        }
        Err(error) => {
            // Most likely the process is out of file descriptors, which come back when connections end.
            tracing::warn!("cannot accept a client: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Answers the requests of one connection.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to_stop(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a client's connection broke: {error}");
    }
}

/// Waits until the server is told to stop, or until its owner is gone.
async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
