//! The client's library: finds the leader, keeps the user's keys, and never loses or doubles a view.

mod cluster;
mod connection;
pub mod files;
mod keys;

pub use files::FileError;
pub use keys::KeyError;

use std::time::Duration;

use crate::api::ErrorBody;
use crate::settings::Address;
use crate::settings::servers_conf::ServersConfError;

/// Why a client could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The list of servers cannot be used.
    #[error(transparent)]
    ServersConf(#[from] ServersConfError),
    /// Servers answer, but none of them leads.
    #[error(
        "No leader elected yet: {answering} of {listed} servers answered for {} s, and none of them leads. Elections take a few seconds; a majority of the \
         servers must be running. Check with `client status`",
        waited.as_secs()
    )]
    NoLeader {
        /// How long it was waited for.
        waited: Duration,
        /// How many servers answered.
        answering: usize,
        /// How many there are.
        listed: usize,
    },
    /// No server answers at all.
    #[error(
        "Connection timeout: no server answered for {} s ({servers}). Check that the addresses in servers.conf are those of running servers, and that no \
         firewall is between",
        waited.as_secs()
    )]
    Unreachable {
        /// What became of each attempt.
        servers: String,
        /// How long it was tried.
        waited: Duration,
    },
    /// A server on another machine, and no way to check that it is the right one.
    #[error(
        "{address} is on another machine, and there is no certificate to check it by: copy authority.pem from a server's data folder and name it with --authority, or \
         accept an unprotected connection with --insecure"
    )]
    AuthorityMissing {
        /// The server.
        address: Address,
    },
    /// A server refused for good.
    #[error("{}{}", .0.message, .0.hint.as_ref().map(|hint| format!(". What to do: {hint}")).unwrap_or_default())]
    Refused(ErrorBody),
    /// A server's answer is not what this program understands.
    #[error("a server gave an answer that makes no sense: {0}. Run the same version of server and client")]
    Answer(#[source] serde_json::Error),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
}
