//! The service: the ledger of views, the store beneath it, and the servers and clients around it.
//!
//! A person protects a picture and decides who may view it, and how often. The picture's key is split between the file
//! and the ledger, and the ledger is replicated. So each view is counted once, everywhere, even while servers crash.
//!
//! # Two halves
//!
//! Without features, this crate is pure or synchronous, and does not depend on tokio:
//!
//! | module | what it is |
//! |---|---|
//! | [`ledger`] | the state machine of [`raft_core::Replica`]: names, objects, grants, views, the audit chain |
//! | [`store`] | a server's durable state: a log that is written once, group commit, and poisoning after a failed write |
//! | [`codec`] | the ledger's commands and snapshots as bytes, with golden files in `tests/golden` |
//! | [`cluster_key`] | the one secret that the servers share, and everything derived from it |
//!
//! The feature `tokio` (on by default) adds the shell around them: settings, TLS, links between servers, the server's
//! loop, HTTP for clients, the client's library, and the programs `server` and `client`.
//!
//! # The path of a command through the ledger
//!
//! ```
//! use lsb_core::{ClusterId, UnixSeconds};
//! use node::ledger::{Action, Command, Genesis, Ledger, Outcome, encode_command};
//! use raft_core::replica::StateMachine;
//! use raft_core::{Index, LogId, Term};
//!
//! let mut ledger = Ledger::new();
//! let genesis = Genesis { cluster: ClusterId::from_bytes([7; 16]), denied_picture_hash: [1; 32] };
//! let command = Command { time: UnixSeconds(1_700_000_000), action: Action::Genesis(genesis) };
//! let at = LogId::new(Term::new(1), Index::FIRST);
//! assert_eq!(ledger.apply(at, &encode_command(&command)), Ok(Outcome::Begun));
//! // Malformed bytes change nothing, and get an answer that says so.
//! let before = ledger.state_hash();
//! assert!(matches!(ledger.apply(at, b"\0garbage"), Ok(Outcome::Refused(_))));
//! assert_eq!(ledger.state_hash(), before);
//! ```
//!
//! # What it does not promise
//!
//! * A viewer can keep what they saw. Releases are counted; they cannot be taken back.
//! * Servers that hold the cluster key are trusted. See `SECURITY.md` for the whole threat model.
//! * Not here yet: changing or revoking policies, further devices, leases, viewing peer to peer, metrics, backups, and
//!   adding or removing servers.

/// Whether this bug of the bank is on: the constant `false` unless the crate is built with its bank of planted bugs.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::$bug.is_on()
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

mod atomic_files;
pub mod cluster_key;
pub mod codec;
pub mod ledger;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod store;

#[cfg(feature = "tokio")]
pub mod api;
#[cfg(feature = "tokio")]
pub mod client;
#[cfg(feature = "tokio")]
pub mod decoding;
#[cfg(feature = "tokio")]
mod http;
#[cfg(feature = "tokio")]
mod listen;
#[cfg(feature = "tokio")]
pub mod logging;
#[cfg(feature = "tokio")]
mod rates;
#[cfg(feature = "tokio")]
pub mod server;
#[cfg(feature = "tokio")]
pub mod settings;
#[cfg(feature = "tokio")]
mod tls;
#[cfg(feature = "tokio")]
mod transport;

/// Formats an error and its causes on one line, without repeating causes that a message already contains.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
