//! A pure Raft state machine: ticks, messages and completions go in; an ordered list of duties comes out.
//!
//! There is no clock, no thread, no socket, no file and no hidden randomness in this crate, and `#![no_std]` says so to
//! the compiler. The same inputs and the same seed give the same duties on every machine, so a cluster can be run
//! in one thread, cut, crashed and replayed. That is how it is tested: see the `sim` crate beside it.
//!
//! # Two ways to embed it
//!
//! * [`Replica`] is a server with your [`StateMachine`](replica::StateMachine): it applies, answers, and takes, sends
//!   and installs snapshots. You persist, send, and load entries. With [`sessions::Sessions`] around your machine, what a
//!   client sends twice is applied once.
//! * [`Raft`] is the protocol alone, for hosts that want those for themselves.
//!
//! # A cluster in forty lines
//!
//! ```
//! use raft_core::replica::{Input, Output, Replica, SnapshotError, StateMachine};
//! use raft_core::*;
//!
//! /// The state machine: a sum.
//! struct Sum(u64);
//!
//! impl StateMachine for Sum {
//!     type Response = u64;
//!     type Query = ();
//!     type Answer = u64;
//!     fn apply(&mut self, _at: LogId, command: &[u8]) -> u64 {
//!         self.0 += u64::from(command.first().copied().unwrap_or(0));
//!         self.0
//!     }
//!     fn query(&self, (): ()) -> u64 {
//!         self.0
//!     }
//!     fn snapshot(&self) -> Vec<u8> {
//!         self.0.to_be_bytes().to_vec()
//!     }
//!     fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
//!         let bytes = snapshot.try_into().map_err(|_| SnapshotError("a sum has eight bytes".into()))?;
//!         Ok(Sum(u64::from_be_bytes(bytes)))
//!     }
//! }
//!
//! let members: Vec<NodeId> = (1..=3).map(NodeId::new).collect();
//! let mut servers: Vec<Replica<Sum>> = (1..=3)
//!     .map(|number| {
//!         let identity = Identity {
//!             group: GroupId::new(1),
//!             node: NodeId::new(number),
//!             incarnation: Incarnation::new(number),
//!             boot: 1,
//!         };
//!         let bootstrap = Membership::of_voters(members.clone());
//!         let setup = Setup { identity, config: Config::default(), bootstrap, durable: Durable::default() };
//!         Replica::new(setup, Sum(0), None)
//!     })
//!     .collect::<Result<_, _>>()?;
//!
//! let (mut wire, mut told, mut asked) = (Vec::new(), None, false);
//! while told.is_none() {
//!     for server in &mut servers {
//!         server.step(Input::Tick(1));
//!         if !asked && server.raft().vitals().role == RoleName::Leader {
//!             server.step(Input::Propose { id: ProposalId::new(7), command: vec![42].into() });
//!             asked = true;
//!         }
//!         let mut outputs = Vec::new();
//!         server.drain(&mut outputs);
//!         for output in outputs {
//!             match output {
//!                 // A real host writes `persist` to its disk first, and syncs it.
//!                 Output::Persist { persist, .. } => server.step(Input::Persisted(persist.ticket)),
//!                 Output::Send(envelope) => wire.push(envelope),
//!                 Output::Done { id, response, .. } => told = Some((id, response)),
//!                 _ => {}
//!             }
//!         }
//!     }
//!     for envelope in wire.drain(..) {
//!         servers[envelope.to.value() as usize - 1].step(Input::Receive(envelope));
//!     }
//! }
//! assert_eq!(told, Some((ProposalId::new(7), 42)));
//! # Ok::<(), RestoreError>(())
//! ```
//!
//! # The order of duties
//!
//! A vote, an acknowledgement, a message of a new term: each promises that this server will remember something. The
//! core holds such a message until the host has reported ([`Input::Persisted`]) that what it promises is durable. A host
//! may therefore send whatever it is handed at once, and write at its leisure, several writes under one sync. A host that writes before
//! it goes on says so ([`Options::persists_at_once`]), and finds behind each write what depends on it.
//!
//! # Where to look
//!
//! | what | file |
//! |---|---|
//! | the way in, the way out | `raft.rs` |
//! | what becomes of a message, the rule about terms | `raft/receive.rs` |
//! | who may win an election | `raft/election.rs` |
//! | what a follower accepts | `raft/follower.rs` |
//! | proposals, heartbeats, stepping down | `raft/leader.rs` |
//! | changes of the configuration | `membership/change.rs`, `raft/reconfiguration.rs` |
//! | handing leadership over | `raft/leadership_transfer.rs` |
//! | how a lagging follower catches up | `raft/replication.rs`, `raft/progress.rs`, `raft/snapshot.rs` |
//! | when an entry counts as committed, and is applied | `raft/apply.rs` |
//! | linearizable reads | `raft/reads.rs`, on a lease `raft/lease.rs` |
//! | requests to servers that do not lead | `raft/forwarding.rs` |
//! | servers that hold no commands | `raft/witness.rs` |
//! | a disk that does not answer | `raft/stalled_disk.rs` |
//! | the first start, and lost disks | `raft/joining.rs` |
//! | what waits for the disk | `outbox.rs` |
//! | what a disk must look like at a start | `restore.rs` |
//! | the last resort when a majority is gone for good | `recovery.rs` |
//! | client sessions, around any state machine | `sessions.rs` |
//!
//! # What is off unless asked for
//!
//! [`Options`] has it: lease reads, requests to servers that do not lead, priority, witnesses, and a [`Trace`] of every step.
//!
//! # What it does not promise
//!
//! * Servers are trusted: a peer's bytes cannot make a server panic, but a peer that lies can break the protocol. Use
//!   a transport that knows who speaks.
//! * A majority that loses its disks at once loses what was committed. See `raft/joining.rs` for what is detected, and [`Recovery`] for
//!   how somebody may decide to go on with what is left.
//! * A server that is removed while it is out of reach, for longer than anybody takes leave of it, does not learn of it.
//!   It asks for votes in vain from then on; stop it, or wipe it.
//! * An entry that one server and a witness acknowledged is held by that one server only. See `raft/witness.rs`.
//! * Lease reads are as good as the clocks: [`Options::lease`] says what they assume.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

/// Whether this bug of the bank is on: the constant `false` unless the crate is built with its bank of planted bugs.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::$bug.is_on()
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($bug:ident) => {
        $crate::never()
    };
}
/// A call, not the literal: lints would simplify the conditions that hold a switch.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
const fn never() -> bool {
    false
}

mod action;
mod config;
mod entries;
mod input;
mod log;
mod membership;
mod message;
mod outbox;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod quorum;
mod raft;
mod recovery;
pub mod replica;
mod restore;
pub mod sessions;
mod status;
mod trace;
mod types;

pub use action::{Action, ChangeRejection, Persist, Rejection, TransferOutcome, Waiting};
pub use config::{Config, ConfigError, Durable, Lease, Limits, Options, Setup, Snapshots, Timing};
pub use entries::Entries;
pub use input::{Expected, Input, ReadMode};
pub use membership::{Change, ChangeError, Membership};
pub use message::{AppendOutcome, Envelope, Message, ReadOutcome, Refusal, Standing};
pub use raft::Raft;
pub use recovery::{Recovery, RecoveryError};
pub use replica::Replica;
pub use restore::RestoreError;
pub use status::{Feeding, Ignored, PeerStatus, RoleName, Status, Vitals};
pub use trace::Trace;
pub use types::{
    Entry, EntryBody, Forwarded, GroupId, HardState, Identity, Incarnation, Index, LogId, NodeId, Origin,
    Payload, PeerSession, ProposalId, ReadId, Round, SnapshotMeta, Term, Tick, Ticket,
};
