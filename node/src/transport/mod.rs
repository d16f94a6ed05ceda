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
//! tolerates. Nothing here ever blocks the shell.

mod accept;
mod backoff;
mod dial;
mod frame;
mod greeting;
mod places;

pub(crate) use greeting::Greeting;
use greeting::GreetingError;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raft_core::{Envelope, NodeId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::rustls::{ClientConfig, CommonState, ServerConfig};

use crate::cluster_key::ClusterKey;
use crate::settings::Address;
use crate::tls::Authority;

/// The most messages that wait for one peer's socket. More wait only if the peer is slow, and then new messages are
/// worth more.
const LINK_QUEUE_MESSAGES: usize = 512;

/// The time limit for connecting, encrypting and greeting.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many accepted connections there are at most, beside those of members.
pub(crate) const MOST_ACCEPTED_STRANGERS: u64 = places::STRANGERS as u64 + 1;

/// How many addresses of members are remembered.
const MOST_KNOWN_ADDRESSES: usize = 1024;

/// The time limit for sending one frame, after which the link is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The state that all links of this server share.
pub(crate) struct Transport {
    /// This server's greeting.
    pub(crate) greeting: Greeting,
    /// The key, to verify a peer's identity.
    pub(crate) key: ClusterKey,
    /// The file that the key is from, for messages to people.
    pub(crate) key_path: PathBuf,
    /// The authority, to verify a peer's identity.
    pub(crate) authority: Authority,
    /// The configuration for accepting.
    pub(crate) accept: Arc<ServerConfig>,
    /// The configuration for dialling.
    pub(crate) dial: Arc<ClientConfig>,
    /// The longest pause between two attempts to reach a peer.
    pub(crate) longest_pause: Duration,
    /// The receiver of messages from peers.
    pub(crate) inbox: mpsc::Sender<Envelope>,
    /// The receiver of link events.
    pub(crate) events: mpsc::Sender<LinkEvent>,
    /// Where members were met: by their addresses in the settings, by dialling them, or because they proved themselves.
    pub(crate) known: Mutex<HashSet<IpAddr>>,
}

impl Transport {
    /// Starts to accept and to dial, on the current runtime, until that is shut down.
    pub(crate) fn start(self, listener: TcpListener, peers: &[Address]) {
        let transport = Arc::new(self);
        for ip in peers.iter().filter_map(Address::ip) {
            transport.remember(ip);
        }
        tokio::spawn(accept::accept(Arc::clone(&transport), listener));
        for peer in peers {
            tokio::spawn(dial::keep_linked(Arc::clone(&transport), peer.clone()));
        }
    }

    /// Whether a member was met at this address.
    fn is_known(&self, ip: IpAddr) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&ip.to_canonical())
    }

    /// Takes note of an address where a member was met.
    fn remember(&self, ip: IpAddr) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Only members get here, and an operator who moves them around restarts this server now and then.
        if known.len() < MOST_KNOWN_ADDRESSES {
            known.insert(ip.to_canonical());
        }
    }

    /// Checks that a peer shows the very certificate that the cluster key gives to the server that it claims to be.
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

    /// Returns the message for people when the two ends of a connection hold different cluster keys.
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

/// An event of a link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A dialled connection is open.
    Up {
        /// The peer that answered.
        peer: Greeting,
        /// The queue for its messages.
        link: Link,
    },
    /// A dialled connection is closed.
    Down {
        /// The peer that it led to.
        node: NodeId,
        /// The link's number: a newer one may have replaced it already.
        serial: u64,
    },
    /// A peer has dialled this server, and its identity is verified.
    Met {
        /// The peer.
        peer: Greeting,
    },
}

/// The sending end of a link: a bounded queue.
#[derive(Debug)]
pub(crate) struct Link {
    serial: u64,
    queue: mpsc::Sender<Envelope>,
}

/// All links, by peer.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: HashMap<NodeId, Link>,
}

impl Links {
    /// Takes note of an event. Returns the peer that has become unreachable, if that is the event.
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

    /// Returns how many peers are linked.
    pub(crate) fn count(&self) -> usize {
        self.links.len()
    }
}
