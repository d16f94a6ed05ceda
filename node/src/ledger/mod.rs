//! The ledger: who may view what, how often still, and what has happened. It is the state machine that the servers of a
//! cluster replicate.
//!
//! It is pure and deterministic: no clock, no randomness, no floating point, ordered maps only. Time is what the
//! commands carry, and never runs backwards. Everything is bounded, and the ledger's time decides what is removed, so
//! that it is removed everywhere at the same index. The limits are a part of what commands mean: changing one requires
//! a new version of the commands. Malformed bytes have an [`Outcome`] like everything else; before a command of a later
//! version the ledger halts.
//!
//! What a command means is in one file per subject: `enrol.rs`, `protect.rs`, `view.rs`, `first_view.rs`.
//!
//! The ledger decides and counts. It does not verify signatures, which is done once, before a request is proposed
//! ([`Signed::verify`](request::Signed)); and it never sees a share, only wrapped ones.

pub mod audit;
pub mod command;
mod enrol;
mod first_view;
mod outcomes;
mod protect;
pub mod query;
pub mod request;
mod snapshot;
mod state;
mod view;

use lsb_core::envelope::UserName;
use lsb_core::{ClusterId, PublicKey, UnixSeconds};
use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::{Halt, Index, LogId};

pub use self::command::{
    Action, Command, Denial, Genesis, GrantedView, Outcome, Refusal, Registration, decode_command,
    encode_command,
};
pub use self::outcomes::{MOST_OUTCOMES, MOST_OUTCOMES_PER_USER, OUTCOME_LIFETIME_SECONDS};
pub use self::query::{Answer, Query};
pub use self::snapshot::SNAPSHOT_VERSION;
pub use self::state::{MOST_OBJECTS, MOST_USERS};

use self::audit::BrokenChain;
use self::request::ViewRequest;
use self::state::State;
use crate::codec::CodecError;

/// The ledger of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ledger {
    state: State,
}

impl Ledger {
    /// Makes an empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a hash of the whole state: servers that have applied the same log up to the same index have the same
    /// hash.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        snapshot::hash(&self.state)
    }

    /// Returns the ledger's time.
    #[must_use]
    pub fn now(&self) -> UnixSeconds {
        self.state.now
    }

    /// Whether the key is a device of the user.
    #[must_use]
    pub fn is_device(&self, user: &UserName, key: &PublicKey) -> bool {
        self.state.is_device(user, key)
    }

    /// Whether the device belongs to the user, and the user is listed among the viewers of the object, whatever is left
    /// of the grant. Once this is so, it stays so.
    #[must_use]
    pub fn lists(&self, request: &ViewRequest) -> bool {
        let object = self.state.objects.get(&request.object);
        self.is_device(&request.user, &request.device)
            && object.is_some_and(|object| object.grants.contains_key(&request.user))
    }

    /// Recomputes the audit chain.
    ///
    /// # Errors
    ///
    /// [`BrokenChain`].
    pub fn verify_audit(&self) -> Result<(), BrokenChain> {
        self.state.audit.verify()
    }

    fn carry_out(&mut self, index: Index, action: Action) -> Result<Outcome, Refusal> {
        let state = &mut self.state;
        if let Action::Genesis(genesis) = action {
            return enrol::begin(state, index, genesis);
        }
        let expected = state.genesis.ok_or(Refusal::NotBegun)?.cluster;
        let found = cluster_of(&action, expected);
        if found != expected {
            return Err(Refusal::OtherCluster { found, expected });
        }
        match action {
            Action::Genesis(genesis) => enrol::begin(state, index, genesis),
            Action::Enrol(signed) => enrol::enrol(state, index, signed.request),
            Action::Protect(registration) => protect::protect(state, index, *registration),
            Action::View(signed) => Ok(view::view(state, index, &signed.request)),
            Action::Acknowledge(signed) => Ok(view::acknowledge(state, &signed.request)),
            Action::FirstView(signed) => first_view::first_view(state, index, &signed.request),
        }
    }
}

fn cluster_of(action: &Action, expected: ClusterId) -> ClusterId {
    match action {
        Action::Genesis(_) => expected,
        Action::Enrol(signed) => signed.request.cluster,
        Action::Protect(registration) => registration.cluster,
        Action::View(signed) => signed.request.cluster,
        Action::Acknowledge(signed) => signed.request.cluster,
        Action::FirstView(signed) => signed.request.view.cluster,
    }
}

impl StateMachine for Ledger {
    type Response = Outcome;
    type Query = Query;
    type Answer = Answer;

    /// Halts before a command of a later version: a newer program may have applied it on another server.
    fn apply(&mut self, at: LogId, command: &[u8]) -> Result<Outcome, Halt> {
        let Command { time, action } = match decode_command(command) {
            Ok(command) => command,
            Err(CodecError::Version { found, known }) if found > known => return Err(Halt { needs: None }),
            Err(_) => return Ok(Outcome::Refused(Refusal::NotACommand)),
        };
        self.state.advance(time);
        Ok(self.carry_out(at.index, action).unwrap_or_else(Outcome::Refused))
    }

    fn query(&self, query: Query) -> Answer {
        query::answer(&self.state, query)
    }

    fn snapshot(&self) -> Vec<u8> {
        snapshot::write(&self.state)
    }

    fn restore(&self, bytes: &[u8]) -> Result<Self, SnapshotError> {
        snapshot::read(bytes).map(|state| Self { state })
    }
}
