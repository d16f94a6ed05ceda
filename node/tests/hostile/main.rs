//! The service against strangers: each test reaches one limit of the table in `SECURITY.md`, from addresses of its own
//! (127.0.0.2 and on), and meanwhile a friend at 127.0.0.1 views a picture again and again.
//!
//! Linux routes all of 127.0.0.0/8 to this machine; elsewhere the other addresses would have to be set up first.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod attack;
mod connections;
mod friend;
#[path = "../service/harness.rs"]
#[expect(dead_code, reason = "the tests of the service use more of it")]
mod harness;
mod logs;
mod requests;
