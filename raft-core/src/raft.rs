//! One server: what every role shares ([`Server`]), the role that it plays, the way in (`step`), the way out (`drain`),
//! and the one place where the role changes (`enter`).
//!
//! A rule belongs to the role that carries it out: `impl Follower`, `impl Candidate`, `impl Leader`. It gets the
//! [`Server`] beside its own data, so a follower's rule cannot touch a leader's peers. A rule that ends its role does
//! not change it: it returns the [`Transition`].

use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::action::{Action, Notice, TransferOutcome};
use crate::config::Setup;
use crate::identity::{Boot, Incarnation};
use crate::input::{Event, Expected, Input, ReadMode};
use crate::membership::Change;
use crate::message::Envelope;
use crate::restore::{RestoreError, restore_log};
use crate::status::RoleName;
use crate::types::{Index, NodeId, Payload, ProposalId, ReadId, Tick};

mod apply;
mod boots;
mod cluster;
mod compaction;
mod configuration;
mod election;
mod follower;
mod forwarding;
mod halting;
mod invariants;
mod joining;
mod leader;
mod persisted;
mod receive;
mod server;
mod stalled_disk;
mod view;
mod waiting;
mod witness;

use election::Candidate;
use follower::Follower;
use joining::Joining;
use leader::Leader;
use leader::reads::Reader;
use server::Server;
pub(crate) use server::drawn_stream;

/// This part of [`Limits::tail_bytes`](crate::Limits::tail_bytes) stays in memory although no known peer needs it: the
/// next leader may find one that does.
const SPARE_PART: usize = 32;

/// One server of one consensus group.
///
/// # How to drive it
///
/// Build it from what the disk holds ([`Raft::new`]). Then, for ever: advance time ([`Event::Tick`]), feed what happened
/// ([`Raft::step`]), as much as is at hand, and carry out the actions ([`Raft::drain`]) in their order. Sleep until
/// something happens or [`Raft::next_deadline`] is due. A host that carries out one action before it looks at the next
/// says so in [`Options`](crate::Options). It then reports neither writes nor applies, except for an installed
/// snapshot.
///
/// ```text
///            messages, ticks, proposals, completions
///                            │ step
///                            ▼
///                 ┌─────────────────────┐   Send       ┌───────────┐
///                 │        Raft         ├─────────────▶│ transport │
///                 │  roles · log · held │   Persist    ├───────────┤
///                 │  messages           ├─────────────▶│   store   ├─┐
///                 │                     │   Apply      ├───────────┤ │ Persisted, EntriesLoaded,
///                 │                     ├─────────────▶│ machine   ├─┤ Applied
///                 └─────────────────────┘              └───────────┘ │
///                            ▲                                       │
///                            └───────────────────────────────────────┘
/// ```
///
/// # What it promises
///
/// * The same setup and the same inputs give the same actions, on every machine.
/// * No input makes it panic. Input that breaks the rules is dropped and counted
///   ([`Status::ignored`](crate::Status::ignored)).
/// * A message that depends on a write leaves only after that write was reported durable.
/// * Every proposal and every read ends in exactly one outcome, provided that time advances, disks answer, and the
///   server hears from a later leader. What a leader has accepted waits for as long as its own disk, or those of a
///   quorum, hang. The outcome of a deposed leader's proposals depends on what the next leaders commit in their places;
///   a server that stays partitioned cannot learn it. A host that cannot wait may treat a proposal as
///   [unknown](Notice::Unknown) after a time of its own.
#[derive(Debug)]
pub struct Raft {
    server: Server,
    role: Role,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a server has one role, and every step looks at it: a box would only add a pointer to follow"
)]
enum Role {
    Joining(Joining),
    Follower(Follower),
    Candidate(Candidate),
    Leader(Leader),
}

impl Role {
    fn name(&self) -> RoleName {
        match self {
            Self::Joining(_) => RoleName::Joining,
            Self::Follower(_) => RoleName::Follower,
            Self::Candidate(candidate) => candidate.role_name(),
            Self::Leader(_) => RoleName::Leader,
        }
    }

    /// When a leader was last heard: the time outlives each change between following and campaigning.
    fn heard_at(&self) -> Option<Tick> {
        match self {
            Self::Follower(follower) => follower.heard_at(),
            Self::Candidate(candidate) => candidate.heard_at(),
            Self::Joining(_) | Self::Leader(_) => None,
        }
    }
}

/// The server that a message comes from, the data folder from which it speaks, and its start on that folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sender {
    node: NodeId,
    incarnation: Incarnation,
    boot: Boot,
}

impl Sender {
    fn of(envelope: &Envelope) -> Self {
        Self {
            node: envelope.from,
            incarnation: envelope.from_incarnation,
            boot: envelope.from_boot,
        }
    }
}

/// What a rule makes of the role: it stays, or a transition ends it. Rules pass a transition up with `?`, so that none
/// runs for a role that is over.
type Next = ControlFlow<Transition>;

/// The role stays as it is.
const STAY: Next = ControlFlow::Continue(());

/// How a role ends. [`Raft::enter`] carries it out.
#[derive(Clone, Copy, Debug)]
enum Transition {
    /// Follow this leader, or the one that will send heartbeats.
    Follow(Option<Sender>),
    /// Follow, and first wait out the leases that this server may have confirmed before it forgot them.
    FollowAfterStart,
    /// Ask whether an election could be won (dissertation §9.6).
    PreCampaign,
    /// Ask for votes in the next term (paper §5.2). In a transfer the present leader wants it (dissertation §3.10).
    Campaign { in_transfer: bool },
    /// Lead the current term.
    Lead,
}

impl From<Transition> for Next {
    fn from(transition: Transition) -> Self {
        Self::Break(transition)
    }
}

impl Raft {
    /// Builds a server from what its disk holds.
    ///
    /// # Errors
    ///
    /// Settings that contradict each other, and a disk that contradicts itself.
    pub fn new(setup: Setup) -> Result<Self, RestoreError> {
        setup.config.validate()?;
        let restored = restore_log(&setup)?;
        let disk_is_empty = setup.durable.is_empty();
        let server = Server::new(setup, restored);
        let mut raft = Self {
            role: Role::Joining(Joining::new(&server)),
            server,
        };
        if disk_is_empty {
            raft.server.role_changed(RoleName::Joining);
            let next = raft.tick_role();
            raft.carry_out(next);
        } else {
            raft.carry_out(Transition::FollowAfterStart.into());
        }
        raft.server.maybe_apply();
        Ok(raft)
    }

    /// Takes in one thing that happened.
    pub fn step(&mut self, input: impl Into<Input>) {
        let input = input.into();
        if self.server.failed {
            self.refuse(input);
            return;
        }
        match input {
            Input::Event(event) => self.on_event(event),
            Input::Read { id, mode } => self.on_read(id, mode),
            Input::Applied(index) => self.server.on_applied(index),
            Input::Halted { at, needs } => self.on_halted(at, needs),
            Input::SnapshotTaken { .. }
            | Input::SnapshotPiece { .. }
            | Input::SnapshotAborted { .. }
            | Input::SnapshotStored { .. }
            | Input::SnapshotReady { .. } => self.on_snapshot_input(input),
        }
        debug_assert_eq!(self.check_invariants(), Ok(()), "an invariant broke");
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Tick(ticks) => self.on_tick(ticks),
            Event::WallTime(shown) => self.server.on_wall_time(shown),
            Event::Receive(envelope) => self.on_receive(envelope),
            Event::Propose { id, payload } => self.on_propose(id, payload),
            Event::Campaign => self.on_campaign(),
            Event::Transfer { to } => self.on_transfer(to),
            Event::ChangeMembership {
                id,
                expect,
                change,
                force,
            } => self.on_change_membership(id, (expect, force), change),
            Event::Persisted(ticket) => self.on_persisted(ticket),
            Event::PersistFailed => self.on_persist_failed(),
            Event::EntriesLoaded { ticket, entries } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_entries_loaded(&mut self.server, ticket, entries);
                }
            }
            Event::Unreachable(peer) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_unreachable(peer);
                }
            }
        }
    }

    /// Hands out the actions in order. Appends to peers, the write of new entries, and what hosts apply at once are
    /// made here, so that many inputs share one of each.
    pub fn drain(&mut self, into: &mut Vec<Action>) {
        if !self.server.failed {
            loop {
                match &mut self.role {
                    Role::Leader(leader) => leader.replicate(&mut self.server),
                    _ => self.server.forward(),
                }
                // A write that is durable at once may elect a leader, or commit a configuration that another one
                // follows. That is to be written too.
                match self.server.flush() {
                    Some(ticket) if self.server.config.options.persists_at_once => self.on_persisted(ticket),
                    _ => break,
                }
            }
            if self.server.config.options.applies_at_once {
                self.server.apply();
            }
            self.evict();
        }
        self.server.out.take(into);
    }

    /// Evicts entries from memory. Those that are not durable or not applied must stay; a leader keeps others for slow
    /// peers as well.
    fn evict(&mut self) {
        let server = &mut self.server;
        let limit = server.config.limits.tail_bytes;
        let spare = limit / SPARE_PART;
        // Not with every entry: only when it is worth it.
        if server.log.tail_bytes() <= spare + spare / 8 {
            return;
        }
        let settled = plant!(
            server.no_more_needed().min(server.out.durable_index()),
            EVICTS_UNAPPLIED => server.out.durable_index()
        );
        let matched_by_all = match &self.role {
            Role::Leader(leader) => leader.matched_by_all(),
            _ => None,
        };
        server
            .log
            .evict(settled.min(matched_by_all.unwrap_or(settled)), spare);
        let before = server.log.tail_bytes();
        server.log.evict(settled, limit);
        server.limited.tail_bytes += u64::from(server.log.tail_bytes() < before);
    }

    /// How many ticks have passed since this boot.
    pub fn now(&self) -> Tick {
        self.server.now
    }

    /// The tick at which time next matters: until then, ticks change nothing. `None` while time does not matter at all.
    pub fn next_deadline(&self) -> Option<Tick> {
        if self.server.failed {
            return None;
        }
        let of_role = match &self.role {
            Role::Joining(joining) => Some(joining.deadline()),
            Role::Follower(follower) => follower.deadline(&self.server),
            Role::Candidate(candidate) => Some(candidate.deadline()),
            Role::Leader(leader) => Some(leader.deadline()),
        };
        let of_forwarding = self.server.forwarding_deadline();
        of_role.into_iter().chain(of_forwarding).min()
    }

    /// Carries out what a rule made of the role. A transition may lead to the next one: a single voter wins each stage
    /// of its campaign at once.
    fn carry_out(&mut self, mut next: Next) {
        while let ControlFlow::Break(transition) = next {
            next = self.enter(transition);
        }
    }

    /// Ends the present role and begins the next one: the only place where the role of a running server changes.
    fn enter(&mut self, transition: Transition) -> Next {
        let heard_at = self.role.heard_at();
        let (role, leader) = match transition {
            Transition::Follow(leader) => (Role::Follower(self.begin_following(leader)), leader),
            Transition::FollowAfterStart => (Role::Follower(self.begin_following(None)), None),
            Transition::PreCampaign => (
                Role::Candidate(Candidate::ask_first(&mut self.server, heard_at)),
                None,
            ),
            Transition::Campaign { in_transfer } => {
                let candidate = Candidate::campaign(&mut self.server, in_transfer, heard_at);
                (Role::Candidate(candidate), None)
            }
            Transition::Lead => {
                let leader = Leader::new(&self.server);
                (Role::Leader(leader), Some(self.server.sender()))
            }
        };
        self.role = role;
        self.server.role_changed(self.role.name());
        self.server.set_leader(leader);
        self.assert_begun();
        let server = &mut self.server;
        match &mut self.role {
            Role::Follower(follower) => {
                if matches!(transition, Transition::FollowAfterStart) {
                    follower.wait_out_forgotten_leases(server);
                }
                // A leader that its committed removal ended will not learn what becomes of its proposals.
                server.maybe_give_up_proposals();
                STAY
            }
            Role::Candidate(candidate) => candidate.begin(server),
            Role::Leader(leader) => leader.begin(server),
            Role::Joining(_) => STAY,
        }
    }

    fn begin_following(&mut self, leader: Option<Sender>) -> Follower {
        let heard_at = leader.map_or(self.role.heard_at(), |_| Some(self.server.now));
        if let Role::Leader(leader) = &mut self.role {
            leader.step_down(&mut self.server);
        }
        self.server.out.withdraw_requests();
        Follower::new(heard_at, self.server.draw_election_timeout())
    }

    fn on_tick(&mut self, ticks: u64) {
        self.server.advance(ticks);
        let next = self.tick_role();
        self.carry_out(next);
        self.server.forwarding_tick();
    }

    fn tick_role(&mut self) -> Next {
        let server = &mut self.server;
        match &mut self.role {
            Role::Joining(joining) => joining.tick(server),
            Role::Follower(follower) => follower.tick(server),
            Role::Candidate(candidate) => candidate.tick(server),
            Role::Leader(leader) => leader.tick(server),
        }
    }

    fn on_propose(&mut self, id: ProposalId, payload: Payload) {
        if let Err(reason) = self.check_halted() {
            self.server.reject(id, reason, payload);
            return;
        }
        match &mut self.role {
            Role::Leader(leader) => leader.on_propose(&mut self.server, id, payload),
            _ => self.server.forward_proposal(id, payload),
        }
    }

    fn on_read(&mut self, id: ReadId, mode: ReadMode) {
        let outcome = self.check_halted().and_then(|()| match &mut self.role {
            Role::Leader(leader) => leader.read(&mut self.server, Reader::Client(id), mode),
            _ => self.server.forward_read(id, mode),
        });
        if let Err(reason) = outcome {
            self.server.limited.note(&reason);
            self.server.out.push(Notice::ReadRejected { id, reason });
        }
    }

    /// Only a follower need be asked to campaign: a candidate does, a leader has won, and a joining server may not.
    fn on_campaign(&mut self) {
        if let Role::Follower(follower) = &mut self.role {
            let next = follower.on_campaign(&mut self.server);
            self.carry_out(next);
        }
    }

    fn on_transfer(&mut self, to: NodeId) {
        match &mut self.role {
            Role::Leader(leader) => leader.on_transfer(&mut self.server, to),
            _ => {
                let reason = self.server.not_leader();
                self.server.end_transfer(to, TransferOutcome::Rejected(reason));
            }
        }
    }

    fn on_change_membership(&mut self, id: ProposalId, how: (Expected, bool), change: Change) {
        if let Err(reason) = self.check_halted() {
            self.server.reject_change(id, reason.into(), change);
            return;
        }
        match &mut self.role {
            Role::Leader(leader) => leader.on_change_membership(&mut self.server, id, how, change),
            _ => {
                let reason = self.server.not_leader();
                self.server.reject_change(id, reason.into(), change);
            }
        }
    }

    /// What the host says of snapshots. A server takes its own in any role; a leader sends them, a follower receives
    /// them.
    fn on_snapshot_input(&mut self, input: Input) {
        let server = &mut self.server;
        match (&mut self.role, input) {
            (Role::Leader(leader), Input::SnapshotTaken { last }) => {
                let needed = leader.first_needed(server);
                server.on_snapshot_taken(last, needed);
            }
            (_, Input::SnapshotTaken { last }) => server.on_snapshot_taken(last, None),
            (Role::Leader(leader), Input::SnapshotAborted { ticket }) => {
                leader.on_snapshot_aborted(server, ticket);
            }
            (
                Role::Leader(leader),
                Input::SnapshotPiece {
                    ticket,
                    last,
                    total_bytes,
                    checksum,
                    offset,
                    data,
                },
            ) => leader.on_snapshot_piece(server, ticket, last, total_bytes, checksum, offset, data),
            (
                Role::Follower(follower),
                Input::SnapshotStored {
                    from,
                    last,
                    received_bytes,
                },
            ) => follower.on_snapshot_stored(server, from, last, received_bytes),
            (Role::Follower(follower), Input::SnapshotReady { from, meta }) => {
                follower.on_snapshot_ready(server, from, meta);
            }
            // The transfer that this belongs to ended with the role.
            _ => {}
        }
    }

    /// Whether the host has been told to bring the state machine to exactly this entry, and has not reported it yet.
    pub(crate) fn is_applying(&self, last: Index) -> bool {
        self.server.applying == Some(last)
    }
}
