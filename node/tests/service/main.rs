//! The service as people run it: the built programs, as processes, on real sockets and files.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod commands;
mod failover;
mod first_start;
mod harness;
mod http;
mod metadata;
mod mistakes;
mod offline;
mod outputs;
