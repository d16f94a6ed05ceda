//! A seeded, deterministic simulator for state machines replicated by [`raft_core`]: thousands of ways to fail, each of
//! them repeatable.
//!
//! One thread, one seed, one event queue. The simulator runs the *shipping* [`raft_core::Replica`] of every server with
//! your state machine in it, on a simulated network, disk and clock, against clients that check their answers. It
//! loses, delays, duplicates, reorders and damages messages. It cuts links in one direction or both, and breaks
//! connections. It kills processes between any two of their duties and in the middle of a write. It pauses processes,
//! bends clocks, and lets disks lose unsynced writes, lie and rot. It changes the membership and hands leadership over.
//! After every single event it checks the rules of Raft, exactly. A seed names a run, which replays event by event on
//! every machine.
//!
//! # Simulate your state machine
//!
//! Say how to make a fresh machine and what clients ask of it; the rest is drawn from the seed.
//!
//! ```
//! use raft_core::{Halt, LogId};
//! use raft_core::replica::{SnapshotError, StateMachine};
//!
//! /// Adds numbers up.
//! struct Sum(u64);
//!
//! impl StateMachine for Sum {
//!     type Response = u64;
//!     type Query = ();
//!     type Answer = u64;
//!
//!     fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<u64, Halt> {
//!         let number = command.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
//!         self.0 = self.0.wrapping_add(number);
//!         Ok(self.0)
//!     }
//!     fn query(&self, (): ()) -> u64 {
//!         self.0
//!     }
//!     fn snapshot(&self) -> Vec<u8> {
//!         self.0.to_le_bytes().to_vec()
//!     }
//!     fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
//!         let bytes = snapshot.first_chunk().ok_or(SnapshotError("eight bytes make a sum".into()))?;
//!         Ok(Self(u64::from_le_bytes(*bytes)))
//!     }
//! }
//!
//! struct Adding;
//!
//! impl sim::Workload for Adding {
//!     type Machine = Sum;
//!
//!     fn machine(&self, _plan: &sim::schedule::WorkloadPlan) -> Sum {
//!         Sum(0)
//!     }
//!     fn command(&self, call: &sim::Call) -> Vec<u8> {
//!         call.attempt.to_le_bytes().to_vec()
//!     }
//!     fn query(&self, _choice: u64) {}
//! }
//!
//! assert!(sim::sweep(sim::Profile::Swarm, 0..20, &Adding)?.is_none());
//! # Ok::<(), sim::ScheduleError>(())
//! ```
//!
//! # How the parts fit
//!
//! | | |
//! |---|---|
//! | [`Schedule`] | everything about one run, as data: cluster, settings, weather, faults, operations, expectation. TOML in files |
//! | [`Profile`] | turns a seed into a schedule |
//! | [`run`], [`replay`], [`record`] | turn a schedule into a [`Report`]; `replay` also reports every event, and `record` what clients saw |
//! | [`film`](recording::film) | a run recorded for people to read: every event, its cause, and the state of every server after it |
//! | [`sweep`] | many seeds, until one finds something |
//! | [`Canary`] | a mistake made on purpose, which every campaign must find |
//! | [`fuzz`] | a search that mutates the schedules that led to new situations |
//! | [`shrink`] | reduces a failing schedule to the few faults and operations that make it fail |
//! | [`Oracle`] | what is checked: safety (S), what clients see (C), liveness after the faults (L), the store on its disk (D) |
//! | [`Probe`] | a counted kind of event; faults can strike on it, and a schedule can require it |
//! | [`Codec`] | messages as bytes, to be damaged; [`CoreCodec`] unless you have your own |
//! | [`Workload`] | your state machine and what clients ask of it; [`kv`] is that of the program `sim` |
//! | [`store`] | a store of one server on a simulated disk of sectors, judged apart from any cluster |
//! | [`main`], [`Command`] | the whole command, for one workload or several |
//! | [`WithSessions`] | the same with clients that repeat their requests in sessions, and an oracle for it |
//!
//! Randomness is keyed, not streamed: every draw is named by its purpose, place and time. Removing one fault from a
//! schedule leaves all other draws as they were, so failing schedules shrink.
//!
//! A workload whose commands have more than a kilobyte, whose machine recognises repeated requests, or that knows what
//! the answers must be, says so in [`Workload`]'s other methods. `examples/simulate.rs` finds a bug in an example
//! machine.
//!
//! [`main`] makes a program of a workload: the whole `sim` command with your machine. `docs/simulate-your-own.md` in the
//! repository goes through it step by step.
//!
//! Without default features this library depends on `raft-core`, `rand_chacha`, `serde`, `toml` and `thiserror`. The
//! feature `command` adds [`main`] and the program `sim`. `docs/simulate.md`, `docs/model.md` and `docs/oracles.md` in
//! the repository explain the command lines, the model, and every oracle.
//!
//! # What it does not promise
//!
//! A run that passes shows that *these* events in *this* order violated no rule. Disks hold values and not bytes here,
//! so a store is tested apart, on a simulated disk of bytes ([`store`]). Messages are bytes only in the
//! schedules that ask for it ([`encode_messages`](schedule::Knobs::encode_messages)). Where disks lose more than the
//! fault budget allows ([`schedule::Class`]), Raft promises
//! little, and so little is judged.
#![forbid(unsafe_code)]
#![deny(
    clippy::float_arithmetic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

/// Whether this bug of the bank is on: the constant `false` unless the crate is built with its bank of planted bugs.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($($bug:ident)::+) => {
        $crate::planted::$($bug)::+.is_on()
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($($bug:ident)::+) => {
        false
    };
}

mod canary;
mod clock;
mod codec;
#[cfg(feature = "command")]
mod command;
mod coverage;
mod disk;
pub mod fuzz;
mod generate;
mod hash;
mod history;
pub mod kv;
mod linearizability;
mod nanos;
mod network;
mod oracle;
mod places;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod queue;
pub mod random;
pub mod recording;
mod report;
pub mod schedule;
pub mod sessions;
mod shrink;
pub mod store;
mod sweep;
mod unoptimised;
mod wall;
mod witness;
mod workload;
mod world;

pub use canary::{Canary, Sighting};
pub use codec::{Codec, CoreCodec, Undecodable};
#[cfg(feature = "command")]
pub use command::{Command, main};
pub use coverage::{Coverage, Probe};
pub use generate::Profile;
pub use history::{Happened, HistoryEvent};
pub use linearizability::{Model, Opinion, Request, linearizable};
pub use nanos::{Nanos, NanosError};
pub use oracle::{Oracle, Violation};
pub use report::{Place, Report, TraceEvent, Verdict};
pub use schedule::{Schedule, ScheduleError};
pub use sessions::WithSessions;
pub use shrink::{Shrunk, shrink};
pub use sweep::{Found, sweep};
pub use workload::{Applied, Asks, Call, Concluded, Heard, Retry, SessionCall, Sizes, Told, Workload};
pub use world::{record, replay, run};
