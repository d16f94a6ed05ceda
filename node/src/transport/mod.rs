//! Links between servers.
//!
//! ```text
//!   this server                                        a peer
//!   shell ──► Link (bounded queue) ──► dialled TLS stream ──► accepted there ──► its inbox ──► its shell
//!   shell ◄── inbox (bounded)      ◄── accepted TLS stream ◄── dialled there
//! ```
//!
//! Each server dials every peer and sends on the stream that it dialled; frames flow one way on each stream, after a
//! [`Greeting`] in both directions. Addresses say where to dial, and the greeting says who answered: a server keeps its
//! id when it moves to another port. A message for a peer without a link, or with a full queue, is dropped, which Raft
//! is made for; nothing here ever blocks the shell.

mod accept;
mod backoff;
mod dial;
mod frame;
mod greeting;

pub(crate) use greeting::Greeting;
use greeting::GreetingError;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{Envelope, NodeId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::rustls::{ClientConfig, CommonState, ServerConfig};

use crate::cluster_key::ClusterKey;
use crate::settings::Address;
use crate::tls::Authority;

/// Messages that wait for one peer's socket. More only happens when the peer is slow, and then fresh ones are worth
/// more.
const LINK_QUEUE_MESSAGES: usize = 512;

/// How long a connection may take to be made, encrypted and greeted.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one frame may take to leave before the link is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What all links of this server share.
pub(crate) struct Transport {
    /// What this server says about itself.
    pub(crate) greeting: Greeting,
    /// To check who a peer claims to be.
    pub(crate) key: ClusterKey,
    /// The file that the key is from, for messages to people.
    pub(crate) key_path: PathBuf,
    /// To check who a peer claims to be.
    pub(crate) authority: Authority,
    /// How to accept.
    pub(crate) accept: Arc<ServerConfig>,
    /// How to dial.
    pub(crate) dial: Arc<ClientConfig>,
    /// The longest pause between two attempts to reach a peer.
    pub(crate) longest_pause: Duration,
    /// Where messages from peers go.
    pub(crate) inbox: mpsc::Sender<Envelope>,
    /// Where news of links go.
    pub(crate) events: mpsc::Sender<LinkEvent>,
}

impl Transport {
    /// Starts to accept and to dial, on the current runtime, until that is shut down.
    pub(crate) fn start(self, listener: TcpListener, peers: &[Address]) {
        let transport = Arc::new(self);
        tokio::spawn(accept::accept(Arc::clone(&transport), listener, peers.len()));
        for peer in peers {
            tokio::spawn(dial::keep_linked(Arc::clone(&transport), peer.clone()));
        }
    }

    /// Whoever greets as a server must show the very certificate that the cluster key gives to that server.
    fn check_certificate(&self, greeting: &Greeting, connection: &CommonState) -> Result<(), GreetingError> {
        let expected = self.authority.consensus_certificate(&self.key, greeting.node());
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        match (expected, shown) {
            (Ok(expected), Some(shown)) if expected == *shown => Ok(()),
            _ => Err(GreetingError::Certificate {
                server: greeting.name(),
            }),
        }
    }

    /// What a person is told when the two ends of a connection hold different cluster keys.
    fn foreign_cluster(&self, other: &str) -> String {
        format!(
            "{other} and this server ({}, {}) do not belong to the same cluster: their cluster keys differ. Copy the key file of one \
             server to all the others (this server's is {}), then restart them",
            self.greeting.server_id,
            self.greeting.address,
            self.key_path.display()
        )
    }
}

/// News of a link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A dialled connection is open.
    Up {
        /// Who answered.
        peer: Greeting,
        /// Where to put messages for it.
        link: Link,
    },
    /// It is closed.
    Down {
        /// Who it led to.
        node: NodeId,
        /// Which link it was: a newer one may have taken its place already.
        serial: u64,
    },
    /// Somebody dialled this server, and is who it says.
    Met {
        /// Who.
        peer: Greeting,
    },
}

/// The near end of a link: a bounded queue.
#[derive(Debug)]
pub(crate) struct Link {
    serial: u64,
    queue: mpsc::Sender<Envelope>,
}

/// All links, by the peer at their far end.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: HashMap<NodeId, Link>,
}

impl Links {
    /// Takes note of news. Returns the peer that cannot be reached any more, if that is the news.
    pub(crate) fn note(&mut self, event: LinkEvent) -> Option<NodeId> {
        match event {
            LinkEvent::Up { peer, link } => {
                self.links.insert(peer.node(), link);
                None
            }
            LinkEvent::Down { node, serial } => self
                .links
                .get(&node)
                .is_some_and(|link| link.serial == serial)
                .then(|| {
                    self.links.remove(&node);
                    node
                }),
            LinkEvent::Met { .. } => None,
        }
    }

    /// Queues a message, or drops it.
    pub(crate) fn send(&mut self, envelope: Envelope) {
        let name = envelope.message.name();
        let Some(link) = self.links.get(&envelope.to) else {
            return tracing::trace!("dropped a {name}: there is no link to the peer");
        };
        if link.queue.try_send(envelope).is_err() {
            tracing::debug!("dropped a {name}: the peer's queue is full, or its link has just ended");
        }
    }

    /// How many peers can be reached.
    pub(crate) fn count(&self) -> usize {
        self.links.len()
    }
}
