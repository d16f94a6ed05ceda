//! The service under simulation: its ledger as a workload of [`sim`], and its store on a simulated disk of sectors.
//!
//! This is what any embedder writes. It uses the public entry of `sim` and nothing else, and the program `node-sim` is
//! [`sim::Command`] with both.

#![forbid(unsafe_code)]
#![deny(
    clippy::float_arithmetic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

mod ledger;
mod store;

pub use ledger::Ledger;
pub use store::ShippingStore;
