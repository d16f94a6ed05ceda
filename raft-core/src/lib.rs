//! A pure Raft state machine: ticks, messages and completions go in; an ordered list of duties comes out.
//!
//! There is no clock, no thread, no socket, no file and no hidden randomness in this crate, and `#![no_std]` says so to
//! the compiler. The same inputs and the same seed give the same duties on every machine. So one thread can run a
//! whole cluster, partition it, crash it and replay it. That is how it is tested: see the `sim` crate beside it.
//!
//! # Two ways to embed it
//!
//! * [`Replica`] is a server with your [`StateMachine`](replica::StateMachine): it applies, answers, and takes, sends
//!   and installs snapshots. You persist, send, and load entries. With [`sessions::Sessions`] around your machine, a
//!   request that a client sends twice is applied once.
//! * [`Raft`] is the protocol alone, for hosts that do all of this themselves.
//!
//! # A cluster in forty lines
//!
//! Three servers in one loop, with a state machine of twenty lines. Local variables stand for the disk and the network
//! of a real host.
//!
//! ```
//! use raft_core::replica::{Output, Replica, SnapshotError, StateMachine};
//! use raft_core::*;
//!
//! /// The state machine: a sum.
//! struct Sum(u64);
//!
//! impl StateMachine for Sum {
//!     type Response = u64;
//!     type Query = ();
//!     type Answer = u64;
//!     fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<u64, Halt> {
//!         self.0 += u64::from(command.first().copied().unwrap_or(0));
//!         Ok(self.0)
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
//! let mut servers: Vec<Replica<Sum>> = (1..=3_u32)
//!     .map(|drawn| {
//!         let number = u64::from(drawn);
//!         let identity = Identity {
//!             group: GroupId::new(1),
//!             node: NodeId::new(number),
//!             incarnation: Incarnation::new(number),
//!             boot: Boot::new(1, drawn),
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
//!         server.step(Event::Tick(1));
//!         if !asked && server.raft().vitals().role == RoleName::Leader {
//!             server.step(Event::Propose { id: ProposalId::new(7), payload: vec![42].into() });
//!             asked = true;
//!         }
//!         let mut outputs = Vec::new();
//!         server.drain(&mut outputs);
//!         for output in outputs {
//!             match output {
//!                 // A real host writes `persist` to its disk first, and syncs it.
//!                 Output::Persist(persist) => server.step(Event::Persisted(persist.ticket)),
//!                 // And the bytes of a snapshot, on another thread. This cluster ends before it takes one.
//!                 Output::WriteSnapshot { last, bytes } => drop((last, bytes)),
//!                 Output::DiscardSnapshot { .. } => {}
//!                 Output::Send(envelope) => wire.push(envelope),
//!                 Output::Done { id, response, .. } => told = Some((id, response)),
//!                 // A real host reads its store. A log this short is always in memory.
//!                 Output::LoadEntries(LoadEntries { ticket, .. }) => {
//!                     server.step(Event::EntriesLoaded { ticket, entries: Entries::default() });
//!                 }
//!                 // Answers to requests that this host does not make, and news.
//!                 Output::Changed { .. } | Output::Answered { .. } | Output::Notice(_) => {}
//!                 Output::SnapshotInstalled { .. } | Output::SnapshotRefused { .. } => {}
//!             }
//!         }
//!     }
//!     for envelope in wire.drain(..) {
//!         servers[envelope.to.value() as usize - 1].step(Event::Receive(envelope));
//!     }
//! }
//! assert_eq!(told, Some((ProposalId::new(7), 42)));
//! # Ok::<(), RestoreError>(())
//! ```
//!
//! # The order of duties
//!
//! A vote, an acknowledgement, a message of a new term: each promises that this server will remember something. The
//! core holds such a message until the host has reported ([`Event::Persisted`]) that what it promises is durable. A
//! host may therefore send whatever it is handed at once, and write at its leisure, several writes under one sync. A
//! host that writes before it goes on says so ([`Options::persists_at_once`]), and gets every duty that depends on a
//! write after it.
//!
//! # A start, and a restart
//!
//! * Once, when the data folder is made: draw an [`Incarnation`] at random, and keep it there.
//! * At every start: increment [`Identity::boot`] and make that durable, then read the store's contents as a
//!   [`Durable`], and the bytes of its snapshot. [`Durable::write`] is the contract of a store in code: what each
//!   [`Persist`] changes.
//! * [`Setup::bootstrap`] is the configuration that a new cluster begins with. A server that is added to a running
//!   cluster gets an empty one, and an empty folder.
//! * A server with an empty disk asks before it takes part ([`RoleName::Joining`]); disks that contradict themselves
//!   are refused ([`RestoreError`]).
//! * The state machine begins at the snapshot, and every entry after it is applied again.
//!
//! # Upgrades
//!
//! Servers of a cluster are not replaced all at once. A new kind of command belongs to a [`Level`]; the leader raises
//! the level of the log when every member's program goes that far ([`Config::level`]). A program that meets what it
//! does not understand halts before it ([`Halted`]). `docs/versions.md` in the repository says what an operator does.
//!
//! # Time
//!
//! The host counts ticks; the defaults of [`Timing`] are for ticks of 100 ms. Nothing has to be called on every tick:
//! [`Raft::next_deadline`] says when time next matters.
//!
//! # What is off unless asked for
//!
//! [`Options`] switches on lease reads, forwarding of requests to the leader, priority, witnesses, hosts that write or
//! apply before they go on, and a [`Trace`] of every step. Of the Cargo features, `codec` gives messages and durable
//! values bytes with a version, `serde` makes them serializable for tools, and `planted-bugs` builds in the bank of
//! mistakes that measures tests and simulations; none is on by default.
//!
//! # Examples
//!
//! The folder `examples` of the repository has a cluster over another transport (UDP), another store (one file), and
//! `simulate`, which finds a bug in a lock service; `node` is the same library under tokio, with TLS and a
//! durable store.
//!
//! # What it does not promise
//!
//! * Servers are trusted: a peer's bytes cannot make a server panic, but a peer that lies can break the protocol. Use
//!   a transport that authenticates its peers and knows the address of each [`NodeId`]: the library keeps none.
//! * The serde encoding of an [`Envelope`] or an [`Entry`] carries no version. The feature `codec` has bytes that do, and
//!   `docs/versions.md` in the repository says what may change when.
//! * A majority that loses its disks at once loses what was committed. [`RoleName::Joining`] says what is detected, and
//!   [`Recovery`] lets an operator decide to continue with a survivor.
//! * A server that is removed while it is unreachable, for longer than leaders keep sending to removed servers, does
//!   not learn of its removal. It asks for votes in vain from then on; stop it, or wipe its folder.
//! * An entry that one server and a witness acknowledged is held by that one server only: see
//!   [`Membership::with_witnesses`].
//! * Lease reads are only as safe as the clocks: [`Options::lease`] says what they assume.
//! * A time that [`Raft::stamp`] returns is only as right as most of the voters' wall clocks.
//! * [`Replica`] makes a snapshot in one piece, in memory, and keeps the latest one there to send it. A host whose
//!   state is too large for that drives [`Raft`], which never sees the bytes.
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

/// A rule, and after the arrow the mistake that a planted bug makes of it. The rule stands first and is the whole value
/// in every build without the bank.
macro_rules! plant {
    ($rule:expr, $bug:ident => $mistake:expr $(,)?) => {
        if planted!($bug) { $mistake } else { $rule }
    };
}

/// A step of a rule that a planted bug leaves out.
macro_rules! unless_planted {
    ($bug:ident, $step:expr $(,)?) => {
        if !planted!($bug) {
            $step
        }
    };
}

mod action;
mod clock;
#[cfg(feature = "codec")]
pub mod codec;
mod config;
mod entries;
mod founding;
mod identity;
mod input;
mod level;
mod log;
mod membership;
mod message;
mod outbox;
mod payload;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod queue;
mod quorum;
mod raft;
mod recovery;
pub mod replica;
mod restore;
pub mod sessions;
mod status;
mod trace;
mod types;

pub use action::{
    Action, Ailment, ChangeRejection, LoadEntries, Notice, Persist, Rejection, TransferOutcome, Waiting,
};
pub use clock::{ClockError, ClockOffset, Clocks, MedianTime, WallTime};
pub use config::{Config, ConfigError, Durable, Lease, Limits, Options, Setup, Snapshots, Timing};
pub use entries::Entries;
pub use identity::{Boot, ClusterId, Incarnation};
pub use input::{Event, Expected, Input, ReadMode};
pub use level::{Halt, Halted, Level};
pub use membership::{Change, ChangeError, Membership};
pub use message::{AppendOutcome, Envelope, Message, ReadOutcome, Refusal, Standing};
pub use raft::Raft;
pub use recovery::{Recovery, RecoveryError};
pub use replica::Replica;
pub use restore::RestoreError;
pub use status::{Feeding, Greeted, Ignored, Limited, PeerStatus, RoleName, Status, Vitals};
pub use trace::Trace;
pub use types::{
    Entry, EntryBody, Forwarded, GroupId, HardState, Identity, Index, LogId, NodeId, Origin, Payload,
    PeerSession, ProposalId, ReadId, Round, SnapshotMeta, Term, Tick, Ticket,
};
