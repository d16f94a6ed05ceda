//! The simulator: its runs, its schedules and its command. The bank of planted bugs is a program of its own
//! (`bugs.rs`), since it needs another build.

mod clients;
mod codec;
#[cfg(feature = "command")]
mod command;
mod detection;
mod determinism;
mod files;
mod history;
mod oracles;
mod runs;
mod scenarios;
mod seeds;
mod stability;
mod store;
