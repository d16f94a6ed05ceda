//! The accepting end of a link: accepts other servers and passes their messages to the shell.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use raft_core::codec::{DecodeError, DecodeLimits, decode_envelope};
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::greeting::{Greeting, GreetingError};
use super::places::{Admission, Place, Places};
use super::{HANDSHAKE_TIMEOUT, LinkEvent, Transport, frame};
use crate::tls;

/// How long attempts of servers of another cluster are not reported again.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// When a server of another cluster was last reported. Its identity is unknown, so all share one report.
type Complained = Arc<Mutex<Option<Instant>>>;

#[derive(Debug, thiserror::Error)]
enum AcceptError {
    #[error("no greeting within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error("the encrypted handshake failed: {0}")]
    Handshake(#[source] std::io::Error),
    #[error("{0}")]
    ForeignCluster(String),
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    #[error("a message does not decode: {0}")]
    Message(#[from] DecodeError),
    #[error("a message names another sender than the peer")]
    Impostor,
}

/// Accepts other servers as long as this one runs. It never waits for a connection to prove or to end, so that strangers
/// cannot keep members waiting: [`Places`] has the rules.
pub(super) async fn accept(transport: Arc<Transport>, listener: TcpListener) {
    let complained = Complained::default();
    let places = Arc::new(Places::default());
    loop {
        match listener.accept().await {
            Ok((socket, from)) => {
                let known = transport.is_known(from.ip());
                let Admission::Admitted(place) = places.admit(from.ip(), known, Instant::now()) else {
                    // Dropping the socket is the answer: a handshake would cost the time that is to be saved.
                    continue;
                };
                let (transport, complained) = (Arc::clone(&transport), Arc::clone(&complained));
                let number = place.number();
                let task =
                    tokio::spawn(async move { serve(&transport, socket, from, &complained, place).await });
                places.fill(number, task.abort_handle());
            }
            Err(error) => {
                // Most likely the system is out of file descriptors or of memory, which come back.
                tracing::warn!("cannot accept a connection from another server: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(
    transport: &Transport,
    socket: TcpStream,
    from: SocketAddr,
    complained: &Complained,
    place: Place,
) {
    let greeted = timeout(HANDSHAKE_TIMEOUT, greet(transport, socket, from)).await;
    let (stream, peer) = match greeted.unwrap_or(Err(AcceptError::Timeout)) {
        Ok(greeted) => greeted,
        Err(AcceptError::ForeignCluster(message)) => {
            let mut last = complained.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_none_or(|last| last.elapsed() >= COMPLAINT_PAUSE) {
                *last = Some(Instant::now());
                tracing::warn!("{message}");
            }
            return;
        }
        // The dialling side of this connection knows the whole reason and reports it. Strangers are a debugging matter:
        // each of them must not cost a line.
        Err(error) => return tracing::debug!("turned away a connection from {from}: {error}"),
    };
    place.prove(peer.node());
    transport.remember(from.ip());
    let name = peer.name();
    tracing::debug!("{name} is linked to this server");
    match receive(transport, stream, peer).await {
        Ok(()) => tracing::debug!("{name} closed its link to this server"),
        Err(error @ (AcceptError::Message(_) | AcceptError::Impostor)) => tracing::warn!("{name}: {error}"),
        Err(error) => tracing::debug!("{name}: {error}"),
    }
}

async fn greet(
    transport: &Transport,
    socket: TcpStream,
    from: SocketAddr,
) -> Result<(TlsStream<TcpStream>, Greeting), AcceptError> {
    crate::listen::tune(&socket)?;
    let acceptor = TlsAcceptor::from(Arc::clone(&transport.accept));
    let mut stream = acceptor.accept(socket).await.map_err(|error| {
        if tls::is_foreign_cluster(&error) {
            AcceptError::ForeignCluster(
                transport.foreign_cluster(&format!("a server that connected from {from}")),
            )
        } else {
            AcceptError::Handshake(error)
        }
    })?;
    let peer = Greeting::receive(&mut stream).await?;
    // The greeting is answered before it is judged, so that the other side can report who rejected it.
    transport.greeting.send(&mut stream).await?;
    transport.greeting.check(&peer)?;
    transport.check_certificate(&peer, stream.get_ref().1)?;
    Ok((stream, peer))
}

/// Passes messages on until the connection ends. A full inbox slows the sender down, which then drops stale messages.
async fn receive(
    transport: &Transport,
    stream: TlsStream<TcpStream>,
    peer: Greeting,
) -> Result<(), AcceptError> {
    let node = peer.node();
    if transport.events.send(LinkEvent::Met { peer }).await.is_err() {
        return Ok(());
    }
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    let limits = DecodeLimits::default();
    while let Some(bytes) = frame::read(&mut stream, limits.bytes).await? {
        let envelope = decode_envelope(&bytes, limits)?;
        if envelope.from != node {
            return Err(AcceptError::Impostor);
        }
        if transport.inbox.send(envelope).await.is_err() {
            break;
        }
    }
    Ok(())
}
