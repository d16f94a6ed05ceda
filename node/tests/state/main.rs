//! What a server keeps: its key, the ledger, and the store with core and ledger on it. Nothing here needs tokio.
#![expect(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

mod cluster_key;
mod codec;
mod disk;
mod first_view;
mod kill;
mod ledger;
mod replica;
mod samples;
mod store;
