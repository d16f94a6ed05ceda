//! The state machine of one server: what it knows, the way in, and the way out. What becomes of a message, and what
//! each role does with an input, stands in modules of their own.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::action::{Action, Rejection, TransferOutcome};
use crate::config::{Config, Setup};
use crate::entries::Entries;
use crate::input::Input;
use crate::log::Log;
use crate::message::Message;
use crate::outbox::{Outbox, Promise};
use crate::restore::{RestoreError, Restored, restore_log};
use crate::status::{Ignored, RoleName};
use crate::trace::Trace;
use crate::types::{
    Entry, EntryBody, Identity, Incarnation, Index, LogId, NodeId, Payload, ProposalId, ReadId, SnapshotMeta,
    Term, Tick, Ticket,
};

mod apply;
mod election;
mod follower;
mod forwarding;
mod invariants;
mod joining;
mod leader;
mod leadership_transfer;
mod lease;
mod peers;
mod progress;
mod reads;
mod receive;
mod reconfiguration;
mod replication;
mod snapshot;
mod stalled_disk;
mod view;
mod witness;

use election::Candidate;
use follower::Follower;
use forwarding::Forwarding;
use joining::Joining;
use leader::Leader;

/// This part of [`Limits::tail_bytes`](crate::Limits::tail_bytes) is kept though no peer is known to want it: the next
/// leader may find one that does.
const SPARE_PART: usize = 32;

/// One server of one consensus group.
///
/// # How to drive it
///
/// Build it from what the disk holds ([`Raft::new`]), then for ever: advance time ([`Input::Tick`]), feed what happened
/// ([`Raft::step`]), as much as is at hand, and carry out what is asked for ([`Raft::drain`]), in its order. Sleep
/// until something happens or [`Raft::next_deadline`] is due. A host that carries out one action before it looks at the
/// next says so in [`Options`](crate::Options), and need report neither writes nor applies (but for an installed
/// snapshot).
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
/// * No input makes it panic. What breaks the rules is dropped and counted
///   ([`Status::ignored`](crate::Status::ignored)).
/// * Nothing that depends on a write leaves before the write was reported durable.
/// * Every proposal and every read ends in exactly one outcome, provided that time goes on, that disks do, and that the
///   server hears from a later leader. What a leader has taken in waits for a disk that hangs, its own or those of a
///   quorum, for as long as it hangs. What became of a deposed leader's proposals is decided by what the next leaders
///   commit in their places; one that stays cut off cannot learn it. A host that cannot wait takes a proposal for
///   [unknown](Action::Unknown) after a time of its own.
#[derive(Debug)]
pub struct Raft {
    config: Config,
    jitter: ChaCha8Rng,
    now: Tick,
    role: Role,
    log: Log,
    out: Outbox,
    commit: Option<Index>,
    applied: Option<Index>,
    /// The last entry of the [`Action::Apply`] that the host is working on.
    applying: Option<Index>,
    /// A snapshot that arrived and is being made durable.
    installing: Option<(Ticket, SnapshotMeta)>,
    /// Proposals of ours that are in the log, in its order.
    proposals: VecDeque<Proposal>,
    /// Proposals of ours that another leader made us cut off. They are not lost yet: whoever still holds one of them
    /// may win a later election and commit it (paper, Figure 8).
    overtaken: Vec<Proposal>,
    /// Reads that are confirmed and wait for the state machine, in the order of their indexes.
    confirmed_reads: VecDeque<(ReadId, Index)>,
    /// What was passed on to a leader elsewhere.
    forwarding: Forwarding,
    /// Numbers requests for entries and snapshot transfers.
    next_request: u64,
    ignored: Ignored,
    /// How many more election timeouts this server lets pass before it campaigns.
    yields_left: u32,
    failed: bool,
}

#[derive(Debug)]
enum Role {
    Joining(Joining),
    Follower(Follower),
    Candidate(Candidate),
    Leader(Leader),
}

/// A proposal of ours in the log.
#[derive(Debug)]
struct Proposal {
    id: ProposalId,
    at: LogId,
}

impl Raft {
    /// A server as its disk describes it.
    ///
    /// # Errors
    ///
    /// Settings that contradict each other, and a disk that contradicts itself.
    pub fn new(setup: Setup) -> Result<Self, RestoreError> {
        setup.config.validate()?;
        let Restored { log, discarded } = restore_log(&setup)?;
        let Setup {
            identity,
            config,
            durable,
            ..
        } = setup;
        let disk_is_empty = durable.is_empty();
        let mut hard_state = durable.hard_state;
        if planted!(FORGETS_VOTE_AT_RESTART) {
            hard_state.vote = None;
        }
        let covered = log.snapshot().map(|meta| meta.last.index);
        let applied = match covered {
            _ if planted!(RESTORES_APPLIED_FROM_COMMIT) => durable.commit.max(covered),
            Some(_) if planted!(REPLAYS_FROM_LOG_START) => log.first_index().previous(),
            covered => covered,
        };
        let mut raft = Self {
            jitter: jitter(config.seed, &identity),
            yields_left: config.options.yields,
            config,
            now: Tick::new(0),
            role: Role::Follower(Follower::default()),
            out: Outbox::new(identity, hard_state, log.last_index()),
            // What a snapshot covers was applied somewhere, so it is committed, hint or no hint.
            commit: durable.commit.max(covered),
            applied,
            applying: None,
            installing: None,
            proposals: VecDeque::new(),
            overtaken: Vec::new(),
            confirmed_reads: VecDeque::new(),
            forwarding: Forwarding::default(),
            next_request: 1,
            ignored: Ignored::default(),
            failed: false,
            log,
        };
        if discarded && !planted!(LEAVES_OLD_LOG) {
            raft.out.log_truncated(Index::FIRST);
        }
        if disk_is_empty {
            raft.begin_joining();
        } else {
            raft.become_follower(None);
            raft.wait_out_forgotten_leases();
        }
        raft.maybe_apply();
        Ok(raft)
    }

    /// Takes in one thing that happened.
    pub fn step(&mut self, input: Input) {
        if self.failed {
            self.refuse(input);
            return;
        }
        match input {
            Input::Tick(ticks) => self.on_tick(ticks),
            Input::Receive(envelope) => self.on_receive(envelope),
            Input::Propose { id, payload } => self.on_propose(id, payload),
            Input::Read { id, mode } => self.on_read(id, mode),
            Input::Campaign => self.on_campaign(),
            Input::Transfer { to } => self.on_transfer(to),
            Input::ChangeMembership { id, expect, change } => self.on_change_membership(id, expect, change),
            Input::Persisted(ticket) => self.on_persisted(ticket),
            Input::PersistFailed => self.on_persist_failed(),
            Input::Applied(index) => self.on_applied(index),
            Input::EntriesLoaded { ticket, entries } => self.on_entries_loaded(ticket, entries),
            Input::SnapshotTaken { last } => self.on_snapshot_taken(last),
            Input::SnapshotPiece {
                ticket,
                last,
                total_bytes,
                checksum,
                offset,
                data,
            } => {
                self.on_snapshot_piece(ticket, last, total_bytes, checksum, offset, data);
            }
            Input::SnapshotAborted { ticket } => self.on_snapshot_aborted(ticket),
            Input::SnapshotStored {
                from,
                last,
                received_bytes,
            } => {
                self.on_snapshot_stored(from, last, received_bytes);
            }
            Input::SnapshotReady { from, meta } => self.on_snapshot_ready(from, meta),
            Input::Unreachable(peer) => self.on_unreachable(peer),
        }
        debug_assert_eq!(self.check_invariants(), Ok(()), "an invariant broke");
    }

    /// Hands out everything that is to be done, in order. Appends to peers and the write of what is new are made
    /// here, and what is to be applied at once, so that many inputs share one of each.
    pub fn drain(&mut self, into: &mut Vec<Action>) {
        if !self.failed {
            loop {
                match &self.role {
                    Role::Leader(_) => self.replicate(),
                    _ => self.forward(),
                }
                // What is durable at once may elect a leader, or commit a configuration that another follows: that is
                // to be written too.
                match self.out.flush(&mut self.log, self.now) {
                    Some(ticket) if self.config.options.persists_at_once => self.on_persisted(ticket),
                    _ => break,
                }
            }
            if self.config.options.applies_at_once {
                self.apply();
            }
            self.evict();
        }
        self.out.take(into);
    }

    /// Lets go of entries in memory. Only what is not durable or not applied must stay; the rest is there for slow
    /// peers, of which only a leader knows.
    fn evict(&mut self) {
        let limit = self.config.limits.tail_bytes;
        let spare = limit / SPARE_PART;
        // Not with every entry, but when it is worth it.
        if self.log.tail_bytes() <= spare + spare / 8 {
            return;
        }
        let settled = if planted!(EVICTS_UNAPPLIED) {
            self.out.durable_index()
        } else {
            self.applied.min(self.out.durable_index())
        };
        let wanted_by_nobody = match &self.role {
            Role::Leader(leader) => leader.peers().map(|(_, peer)| peer.matched()).min(),
            _ => None,
        };
        self.log
            .evict(settled.min(wanted_by_nobody.unwrap_or(settled)), spare);
        self.log.evict(settled, limit);
    }

    /// How many ticks have passed since this boot.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// When time next matters: until then, ticks change nothing. `None` when it does not matter at all.
    pub fn next_deadline(&self) -> Option<Tick> {
        if self.failed {
            return None;
        }
        let of_role = match &self.role {
            Role::Joining(joining) => Some(joining.hello_at()),
            Role::Follower(follower) => {
                let waits = follower.leader().is_some() || self.may_campaign();
                waits.then(|| follower.campaign_at())
            }
            Role::Candidate(candidate) => Some(candidate.retry_at()),
            Role::Leader(leader) => Some(leader.deadline()),
        };
        let of_forwarding = self.forwarding_deadline();
        of_role.into_iter().chain(of_forwarding).min()
    }

    fn me(&self) -> NodeId {
        self.out.identity().node
    }

    fn is_voter(&self) -> bool {
        self.log.membership().is_voter(self.me())
    }

    fn role_name(&self) -> RoleName {
        match &self.role {
            Role::Joining(_) => RoleName::Joining,
            Role::Follower(_) => RoleName::Follower,
            Role::Candidate(candidate) => candidate.role_name(),
            Role::Leader(_) => RoleName::Leader,
        }
    }

    fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(follower) => follower.leader(),
            Role::Leader(_) => Some(self.me()),
            Role::Joining(_) | Role::Candidate(_) => None,
        }
    }

    /// A fresh wait before campaigning. §5.2: randomised, so that split votes are rare and resolved quickly.
    fn draw_election_timeout(&mut self) -> Tick {
        let timing = &self.config.timing;
        let span = if planted!(SAME_TIMEOUTS) {
            1
        } else {
            timing.election_timeout_max_ticks - timing.election_timeout_min_ticks + 1
        };
        let drawn = ((u128::from(self.jitter.next_u64()) * u128::from(span)) >> 64) as u64;
        self.after(timing.election_timeout_min_ticks.saturating_add(drawn))
    }

    fn after(&self, ticks: u64) -> Tick {
        Tick::new(self.now.value().saturating_add(ticks))
    }

    fn next_request_ticket(&mut self) -> Ticket {
        let ticket = Ticket::new(self.next_request);
        self.next_request += 1;
        ticket
    }

    /// The data folder of a peer, as far as it is known.
    fn incarnation_of(&self, node: NodeId) -> Option<Incarnation> {
        let bound = || self.log.membership().incarnation(node);
        match &self.role {
            Role::Leader(leader) => bound().or_else(|| leader.peer(node)?.incarnation),
            Role::Follower(follower) => follower.folder_of_leader(node).or_else(bound),
            Role::Candidate(_) | Role::Joining(_) => bound(),
        }
    }

    fn send(&mut self, to: NodeId, promise: Promise, message: Message) {
        let incarnation = self.incarnation_of(to);
        self.out.send(to, incarnation, promise, message);
    }

    fn on_tick(&mut self, ticks: u64) {
        self.now = self.after(ticks);
        match &self.role {
            Role::Joining(_) => self.joining_tick(),
            Role::Follower(_) => self.follower_tick(),
            Role::Candidate(_) => self.candidate_tick(),
            Role::Leader(_) => self.leader_tick(),
        }
        self.forwarding_tick();
    }

    fn on_persisted(&mut self, ticket: Ticket) {
        if !self.out.persisted(ticket) {
            return;
        }
        if matches!(self.role, Role::Candidate(_)) && !planted!(COUNTS_ON_REPLIES_ONLY) {
            self.count_votes();
        }
        if !planted!(COMMITS_ON_ACKS_ONLY) {
            self.maybe_commit();
        }
        self.maybe_apply();
    }

    fn on_persist_failed(&mut self) {
        self.failed = true;
        self.out.fall_silent();
        self.end_snapshot_transfers();
        self.end_handover(TransferOutcome::Rejected(Rejection::Failed));
        self.fail_reads(Rejection::Failed);
        for (id, _) in self.confirmed_reads.drain(..) {
            self.out.push(Action::ReadRejected {
                id,
                reason: Rejection::Failed,
            });
        }
        for proposal in self.proposals.drain(..).chain(self.overtaken.drain(..)) {
            self.out.push(Action::Unknown { id: proposal.id });
        }
        self.give_up_all_forwarded();
        self.fail_forwarded_reads(Rejection::Failed);
        if matches!(self.role, Role::Leader(_) | Role::Candidate(_)) {
            self.become_follower(None);
        }
    }

    /// A server whose disk failed answers its own clients and nobody else.
    fn refuse(&mut self, input: Input) {
        match input {
            Input::Propose { id, payload } => self.reject(id, Rejection::Failed, payload),
            Input::Read { id, .. } => self.out.push(Action::ReadRejected {
                id,
                reason: Rejection::Failed,
            }),
            Input::Transfer { to } => self.end_transfer(to, TransferOutcome::Rejected(Rejection::Failed)),
            Input::ChangeMembership { id, change, .. } => {
                self.reject_change(id, Rejection::Failed.into(), change);
            }
            Input::Tick(ticks) => self.now = self.after(ticks),
            _ => {}
        }
    }

    fn reject(&mut self, id: ProposalId, reason: Rejection, payload: Payload) {
        self.out.push(Action::Rejected { id, reason, payload });
    }

    fn trace(&mut self, step: Trace) {
        if self.config.options.trace {
            self.out.push(Action::Trace(step));
        }
    }

    fn set_term(&mut self, term: Term) {
        self.out.set_term(term);
        self.trace(Trace::TermChanged { term });
    }

    fn role_changed(&mut self) {
        let role = self.role_name();
        self.out.push(Action::RoleChanged {
            role,
            term: self.out.term(),
        });
    }

    /// Appends to the log and has it written. A configuration is in force from here on (paper §6).
    fn append(&mut self, entry: Entry) {
        let before = self.log.membership_id();
        let at = entry.id;
        self.greet(&entry);
        self.log.append(entry);
        self.trace(Trace::Appended { at });
        if self.log.membership_id() != before {
            self.membership_changed();
        }
    }

    /// Appends what a leader sent, in the pieces between configurations, each of which is in force before the next
    /// entry comes.
    fn extend(&mut self, mut entries: Entries) {
        let sets = |entry: &Entry| matches!(entry.body, EntryBody::Membership(_));
        while let Some(place) = entries.iter().position(sets) {
            let rest = entries.part(place + 1..entries.len());
            self.extend_within_configuration(entries.part(0..place + 1));
            entries = rest;
        }
        self.extend_within_configuration(entries);
    }

    /// Appends entries of which at most the last sets a configuration.
    fn extend_within_configuration(&mut self, entries: Entries) {
        let before = self.log.membership_id();
        for entry in &entries {
            self.greet(entry);
            self.trace(Trace::Appended { at: entry.id });
        }
        self.log.extend(entries);
        if self.log.membership_id() != before {
            self.membership_changed();
        }
    }

    /// Notes what an entry that is about to be appended means for those who wait for it, and that it is to be written.
    fn greet(&mut self, entry: &Entry) {
        if let Some(place) = self.overtaken.iter().position(|proposal| proposal.at == entry.id) {
            // Its entry survived elsewhere and comes back, so it may be done after all.
            self.proposals.push_back(self.overtaken.swap_remove(place));
        }
        if let EntryBody::Forwarded(forwarded) = &entry.body {
            self.recognise(&forwarded.origin, entry.id);
        }
        self.out.entry_appended(entry.id.index);
    }

    fn membership_changed(&mut self) {
        self.follow_membership();
        self.maybe_give_up_proposals();
        self.out.push(Action::MembershipChanged {
            at: self.log.membership_id(),
        });
    }
}

/// The stream that election timeouts are drawn from: the same for the same seed, another one on every server and boot.
fn jitter(seed: u64, identity: &Identity) -> ChaCha8Rng {
    let mut key = [0; 32];
    let words = [seed, identity.node.value(), identity.boot, identity.group.value()];
    for (part, word) in key.chunks_exact_mut(8).zip(words) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
