//! The greeting: what two servers tell each other before anything else.

use lsb_core::ClusterId;
use raft_core::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::frame;
use crate::settings::Address;

/// The version of the protocol between servers. Two servers must agree on it.
pub(super) const PROTOCOL_VERSION: u32 = 1;

const GREETING_LIMIT_BYTES: usize = 4 << 10;

/// A server's identity.
///
/// It is written as JSON, unlike everything after it, so that two versions that agree on nothing else can still tell
/// people who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// The version of the protocol between servers.
    pub(crate) protocol: u32,
    /// The program's version, for people.
    pub(crate) program: String,
    /// The cluster, by the identifier that its key implies.
    pub(crate) cluster: String,
    /// The server's id in consensus.
    pub(crate) node: u64,
    /// Its data folder's incarnation.
    pub(crate) incarnation: u64,
    /// The server's name, for people.
    pub(crate) server_id: String,
    /// The address where it serves clients.
    pub(crate) address: String,
}

/// Why a greeting does not begin a link. The peer is wrong, or the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetingError {
    /// The connection broke, or the frame is malformed.
    #[error("the connection broke during the greeting: {0}")]
    Broken(#[from] std::io::Error),
    /// The bytes are not a greeting.
    #[error("the peer does not speak the protocol of servers: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version of the program.
    #[error(
        "{server} runs version {program}, whose protocol {theirs} differs from ours ({PROTOCOL_VERSION}); run the same version everywhere"
    )]
    Version {
        /// The peer.
        server: String,
        /// Its program.
        program: String,
        /// Its protocol.
        theirs: u32,
    },
    /// The address leads back to this server.
    #[error("this address leads back to this server itself; list only the others")]
    Oneself,
    /// Two data folders claim the same place in the cluster.
    #[error(
        "{server} claims to be this server: its data folder is a copy of this one, or both were made for the same address. \
         Stop one of the two and start it with a new, empty data folder"
    )]
    Twin {
        /// The peer.
        server: String,
    },
    /// The certificate does not belong to the server that the peer claims to be.
    #[error("{server} shows a certificate that is not its own")]
    Certificate {
        /// The peer.
        server: String,
    },
}

impl Greeting {
    /// Makes this server's greeting.
    pub(crate) fn new(
        cluster: ClusterId,
        node: NodeId,
        incarnation: Incarnation,
        server_id: &str,
        address: &Address,
    ) -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: cluster.to_string(),
            node: node.value(),
            incarnation: incarnation.value(),
            server_id: server_id.to_owned(),
            address: address.to_string(),
        }
    }

    /// Returns the server's id in consensus.
    pub(crate) fn node(&self) -> NodeId {
        NodeId::new(self.node)
    }

    /// Returns the server's name for messages to people.
    pub(super) fn name(&self) -> String {
        format!(
            "server {} ({})",
            self.server_id.escape_debug(),
            self.address.escape_debug()
        )
    }

    pub(super) async fn send(&self, stream: &mut (impl AsyncWrite + Unpin)) -> Result<(), GreetingError> {
        frame::write(stream, &serde_json::to_vec(self)?).await?;
        stream.flush().await?;
        Ok(())
    }

    pub(super) async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, GreetingError> {
        let frame = frame::read(stream, GREETING_LIMIT_BYTES).await?;
        let frame = frame.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))?;
        Ok(serde_json::from_slice(&frame)?)
    }

    /// Checks whether the server that greets like `self` can link to a peer that greets like this.
    pub(super) fn check(&self, peer: &Self) -> Result<(), GreetingError> {
        if peer.protocol != PROTOCOL_VERSION {
            return Err(GreetingError::Version {
                server: peer.name(),
                program: peer.program.escape_debug().to_string(),
                theirs: peer.protocol,
            });
        }
        if peer.node == self.node {
            let oneself = peer.incarnation == self.incarnation && peer.address == self.address;
            return Err(if oneself {
                GreetingError::Oneself
            } else {
                GreetingError::Twin { server: peer.name() }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(node: u64, incarnation: u64) -> Greeting {
        Greeting {
            protocol: PROTOCOL_VERSION,
            program: "0.1.0".into(),
            cluster: "c".into(),
            node,
            incarnation,
            server_id: format!("server{node}"),
            address: format!("127.0.0.1:{node}"),
        }
    }

    #[test]
    fn only_another_server_of_the_same_version_is_greeted_back() {
        let own = greeting(1, 7);
        assert!(own.check(&greeting(2, 7)).is_ok());
        assert!(matches!(own.check(&own), Err(GreetingError::Oneself)));
        assert!(matches!(
            own.check(&greeting(1, 8)),
            Err(GreetingError::Twin { .. })
        ));
        let newer = Greeting {
            protocol: PROTOCOL_VERSION + 1,
            ..greeting(2, 7)
        };
        assert!(matches!(own.check(&newer), Err(GreetingError::Version { .. })));
    }

    #[tokio::test]
    async fn a_greeting_survives_the_wire_and_garbage_is_an_error() {
        let mut bytes = Vec::new();
        greeting(1, 7).send(&mut bytes).await.unwrap();
        assert_eq!(
            Greeting::receive(&mut bytes.as_slice()).await.unwrap(),
            greeting(1, 7)
        );
        assert!(
            Greeting::receive(&mut b"GET / HTTP/1.1\r\n\r\n".as_slice())
                .await
                .is_err()
        );
        assert!(Greeting::receive(&mut b"\0\0\0\x02{}".as_slice()).await.is_err());
        assert!(Greeting::receive(&mut b"".as_slice()).await.is_err());
    }
}
