//! The service: the ledger of views, the store beneath it, and the servers and clients around it.

pub mod cluster_key;
pub mod codec;
pub mod ledger;
pub mod store;
