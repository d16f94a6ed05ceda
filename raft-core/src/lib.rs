//! A pure Raft state machine: ticks, messages and completions go in; an ordered list of duties comes out.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod action;
mod config;
mod input;
mod log;
mod membership;
mod message;
mod outbox;
mod quorum;
mod raft;
pub mod replica;
mod restore;
mod status;
mod types;

pub use action::{Action, Persist, Rejection, Waiting};
pub use config::{Config, ConfigError, Durable, Limits, Setup, Snapshots, Timing};
pub use input::Input;
pub use membership::Membership;
pub use message::{AppendOutcome, Envelope, Message, Standing};
pub use raft::Raft;
pub use replica::Replica;
pub use restore::RestoreError;
pub use status::{Feeding, Ignored, PeerStatus, RoleName, Status, Vitals};
pub use types::{
    Entry, EntryBody, GroupId, HardState, Identity, Incarnation, Index, LogId, NodeId, Payload, ProposalId,
    ReadId, Round, Session, SnapshotMeta, Term, Tick, Ticket,
};
