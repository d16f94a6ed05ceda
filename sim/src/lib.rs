//! A seeded, deterministic simulator for state machines replicated by [`raft_core`]: thousands of ways to fail, the
//! same way every time.
//!
//! One thread, one seed, one event queue. The simulator runs the *shipping* [`raft_core::Replica`] of every server with
//! your state machine in it, on a simulated network, disk and clock, against clients that check what they are told. It
//! loses, delays, repeats and reorders messages, cuts links one way and both, breaks connections, damages bytes, kills
//! processes between any two of their duties and in the middle of a write, lets disks lose what was not synced and
//! worse, pauses processes, bends clocks; and after every single event it checks the rules of Raft, exactly. A seed
//! names a run: it replays event by event on every machine.
//!
//! # Simulate your state machine
//!
//! Say what a fresh machine is and what clients do to it; the rest is drawn from the seed.
//!
//! ```
//! use raft_core::LogId;
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
//!     fn apply(&mut self, _at: LogId, command: &[u8]) -> u64 {
//!         let number = command.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
//!         self.0 = self.0.wrapping_add(number);
//!         self.0
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
//! # How it hangs together
//!
//! | | |
//! |---|---|
//! | [`Schedule`] | everything about one run, as data: cluster, settings, weather, faults, operations, expectation. TOML in files |
//! | [`Profile`] | a seed gives a schedule |
//! | [`run`], [`replay`], [`record`] | a schedule gives a [`Report`]; `replay` tells every event on the way, `record` what clients saw |
//! | [`film`](recording::film) | a run written down for people to look at: every event, its cause, and how everybody stood after it |
//! | [`sweep`] | many seeds, until one finds something |
//! | [`Canary`] | a mistake made on purpose, which every campaign must find |
//! | [`fuzz`] | a search that changes the schedules which led to something new |
//! | [`shrink`] | a failing schedule gives the few faults and operations that make it fail |
//! | [`Oracle`] | what is checked: safety (S), what clients see (C), liveness after the faults (L) |
//! | [`Probe`] | what happened, counted; faults can strike on it, and a schedule can require it |
//! | [`Codec`] | your messages as bytes, to be damaged |
//! | [`Workload`] | your state machine and what clients say to it; [`kv`] and the ledger are those of the `sim` command |
//! | [`WithSessions`] | the same with clients that repeat their requests in sessions, and an oracle for it |
//!
//! Randomness is keyed, not streamed: every draw is named by what it is for, and where and when. Taking one fault out
//! of a schedule leaves the weather of everything else as it was, so failing schedules shrink.
//!
//! Clients whose requests the machine recognises when they are repeated, and workloads that know what the answers must
//! be, say so in [`Workload`]'s other methods. `examples/simulate.rs` in the repository finds a bug in somebody else's
//! machine.
//!
//! Without default features this library depends on `raft-core`, `rand_chacha`, `serde`, `toml` and `thiserror`. The
//! feature `command` adds the `sim` command, and `node` the service's ledger as a workload and its frames as a codec;
//! `docs/simulate.md`, `docs/model.md` and `docs/oracles.md` in the repository explain the command lines, the model,
//! and every oracle.
//!
//! # What it does not promise
//!
//! A run that passes shows that *these* events in *this* order did no harm. Disks hold values and not bytes, so the
//! real store has tests of its own; messages are bytes only where the workload has a [`Codec`]. Membership does not
//! change yet. Where disks lose more than the fault budget allows ([`schedule::Class`]), little is promised, and so
//! little is judged.
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
mod coverage;
mod disk;
pub mod fuzz;
mod generate;
mod hash;
mod history;
pub mod kv;
#[cfg(feature = "node")]
pub mod ledger;
mod linearizability;
mod nanos;
mod network;
#[cfg(feature = "node")]
mod node_codec;
mod oracle;
mod places;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod queue;
mod random;
pub mod recording;
mod report;
pub mod schedule;
pub mod sessions;
mod shrink;
#[cfg(feature = "node")]
pub mod store;
mod sweep;
mod witness;
mod workload;
mod world;

pub use canary::{Canary, Sighting};
pub use codec::{Codec, Undecodable};
pub use coverage::{Coverage, Probe};
pub use generate::Profile;
pub use history::{Happened, HistoryEvent};
pub use linearizability::{Opinion, linearizable};
pub use nanos::{Nanos, NanosError};
#[cfg(feature = "node")]
pub use node_codec::NodeCodec;
pub use oracle::{Oracle, Violation};
pub use report::{Place, Report, TraceEvent, Verdict};
pub use schedule::{Schedule, ScheduleError};
pub use sessions::WithSessions;
pub use shrink::{Shrunk, shrink};
pub use sweep::{Found, sweep};
pub use workload::{Applied, Call, Concluded, Heard, Retry, SessionCall, Workload};
pub use world::{record, replay, run};
