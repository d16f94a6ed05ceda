//! The simulator: its runs, its schedules and its command. The bank of planted bugs is a program of its own
//! (`bugs.rs`), since it needs another build.

mod codec;
#[cfg(feature = "command")]
mod command;
mod detection;
mod determinism;
mod files;
mod history;
#[cfg(feature = "node")]
mod ledger;
mod oracles;
mod runs;
mod scenarios;
mod seeds;
mod stability;
#[cfg(feature = "node")]
mod store;
