//! The service: the ledger of views, the store beneath it, and the servers and clients around it.

pub mod cluster_key;
pub mod codec;
pub mod ledger;
mod private_files;
pub mod store;

#[cfg(feature = "tokio")]
pub mod api;
#[cfg(feature = "tokio")]
pub mod client;
#[cfg(feature = "tokio")]
mod http;
#[cfg(feature = "tokio")]
mod listen;
#[cfg(feature = "tokio")]
pub mod server;
#[cfg(feature = "tokio")]
pub mod settings;
#[cfg(feature = "tokio")]
mod tls;
#[cfg(feature = "tokio")]
mod transport;

/// An error and its causes on one line, without what a message already says of its cause.
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
