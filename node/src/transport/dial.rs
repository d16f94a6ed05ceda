//! The dialling end of a link: dials one address as long as the server runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use raft_core::Envelope;
use raft_core::codec::encode_envelope;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::backoff::Backoff;
use super::greeting::{Greeting, GreetingError};
use super::{HANDSHAKE_TIMEOUT, LINK_QUEUE_MESSAGES, Link, LinkEvent, Transport, WRITE_TIMEOUT, frame};
use crate::settings::Address;
use crate::tls;

/// Numbers the links of this process, so that the end of an old link is not taken for the end of its successor.
static SERIAL: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    #[error("no answer within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error("the encrypted handshake failed: {0}")]
    Handshake(#[source] std::io::Error),
    #[error("{0}")]
    ForeignCluster(String),
    #[error(transparent)]
    Greeting(#[from] GreetingError),
}

/// Dials the address again and again, and reports each connection that is established.
pub(super) async fn keep_linked(transport: Arc<Transport>, peer: Address) {
    let mut backoff = Backoff::up_to(transport.longest_pause);
    let mut complained: Option<String> = None;
    loop {
        let connected = timeout(HANDSHAKE_TIMEOUT, connect(&transport, &peer)).await;
        match connected.unwrap_or(Err(DialError::Timeout)) {
            Ok((stream, greeting)) => {
                backoff.reset();
                complained = None;
                let name = greeting.name();
                tracing::info!("linked to {name}");
                match carry(&transport, stream, greeting).await {
                    Ok(()) => tracing::info!("{name} closed the link"),
                    Err(error) => tracing::info!("the link to {name} broke: {error}"),
                }
            }
            Err(error) => complain(&peer, &error, &mut complained),
        }
        let random = getrandom::u64().unwrap_or_default();
        tokio::time::sleep(backoff.pause(random)).await;
    }
}

/// Logs each kind of failure once, and not once per attempt.
fn complain(peer: &Address, error: &DialError, complained: &mut Option<String>) {
    let message = error.to_string();
    if complained.as_ref() == Some(&message) {
        tracing::debug!("peer {peer}: {message}");
        return;
    }
    match error {
        // A server that has not started yet, or was stopped, is an everyday event.
        DialError::Connect(_) | DialError::Timeout | DialError::Greeting(GreetingError::Broken(_)) => {
            tracing::info!("peer {peer}: {message}; trying again until it answers");
        }
        DialError::Handshake(_) | DialError::ForeignCluster(_) | DialError::Greeting(_) => {
            tracing::warn!("peer {peer}: {message}");
        }
    }
    *complained = Some(message);
}

async fn connect(
    transport: &Transport,
    peer: &Address,
) -> Result<(TlsStream<TcpStream>, Greeting), DialError> {
    let socket = TcpStream::connect(peer.consensus())
        .await
        .map_err(DialError::Connect)?;
    crate::listen::tune(&socket).map_err(DialError::Connect)?;
    let connector = TlsConnector::from(Arc::clone(&transport.dial));
    let mut stream = connector
        .connect(tls::consensus_name(), socket)
        .await
        .map_err(|error| {
            if tls::is_foreign_cluster(&error) {
                DialError::ForeignCluster(transport.foreign_cluster(&format!("the server at {peer}")))
            } else {
                DialError::Handshake(error)
            }
        })?;
    transport.greeting.send(&mut stream).await?;
    let greeting = Greeting::receive(&mut stream).await?;
    transport.greeting.check(&greeting)?;
    transport.check_certificate(&greeting, stream.get_ref().1)?;
    if let Ok(address) = stream.get_ref().0.peer_addr() {
        transport.remember(address.ip());
    }
    Ok((stream, greeting))
}

/// Carries messages until the connection ends.
async fn carry(transport: &Transport, stream: TlsStream<TcpStream>, peer: Greeting) -> std::io::Result<()> {
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let node = peer.node();
    let (queue, mut messages) = mpsc::channel(LINK_QUEUE_MESSAGES);
    let up = LinkEvent::Up {
        peer,
        link: Link { serial, queue },
    };
    if transport.events.send(up).await.is_err() {
        return Ok(());
    }
    let (mut reader, writer) = tokio::io::split(stream);
    let mut writer = BufWriter::with_capacity(64 << 10, writer);
    let mut unexpected = [0; 1];
    let outcome = loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(message) => {
                    if let Err(error) = write_all_waiting(&mut writer, message, &mut messages).await {
                        break Err(error);
                    }
                }
                // The shell dropped the link, because a newer one replaced it.
                None => break Ok(()),
            },
            // Nothing is sent in this direction after the greeting; only the end of the connection can arrive.
            read = reader.read(&mut unexpected) => match read {
                Ok(0) => break Ok(()),
                Ok(_) => break Err(std::io::Error::other("the peer sent bytes where none belong")),
                Err(error) => break Err(error),
            },
        }
    };
    // Without the shell, the event is of no use.
    let _ = transport.events.send(LinkEvent::Down { node, serial }).await;
    outcome
}

/// Writes everything that waits, then flushes once: small messages share a packet and an encryption.
async fn write_all_waiting(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    first: Envelope,
    waiting: &mut mpsc::Receiver<Envelope>,
) -> std::io::Result<()> {
    let mut next = Some(first);
    while let Some(message) = next {
        within(WRITE_TIMEOUT, frame::write(writer, &encode_envelope(&message))).await?;
        next = waiting.try_recv().ok();
    }
    within(WRITE_TIMEOUT, writer.flush()).await
}

async fn within(limit: Duration, work: impl Future<Output = std::io::Result<()>>) -> std::io::Result<()> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}
