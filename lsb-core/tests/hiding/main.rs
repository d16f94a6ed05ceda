//! Envelopes in pictures: the bits, the layout, the modes, what is sealed, and what tampering does.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../fixtures/mod.rs"]
mod fixtures;

mod bits;
mod capacity;
mod envelope;
mod label;
mod layers;
mod layouts;
mod modes;
mod names;
mod preamble;
mod seal;
mod sealed;
#[cfg(feature = "serde")]
mod serialisation;
mod tampering;
mod vectors;
