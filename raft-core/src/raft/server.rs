//! What every role of a server shares: settings, time, the log, the way out, and the clients that wait.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::action::{ChangeRejection, Notice, Rejection, TransferOutcome};
use crate::clock::Reading;
use crate::config::{Config, Setup};
use crate::entries::Entries;
use crate::identity::{ClusterId, Incarnation};
use crate::level::Halted;
use crate::log::Log;
use crate::membership::Change;
use crate::message::Message;
use crate::outbox::{Outbox, Promise};
use crate::queue::Ends;
use crate::restore::Restored;
use crate::status::{Ignored, Limited, RoleName};
use crate::trace::Trace;
use crate::types::{
    Entry, EntryBody, Identity, Index, NodeId, Payload, ProposalId, ReadId, SnapshotMeta, Term, Tick, Ticket,
};

use super::Sender;
use super::boots::Boots;
use super::forwarding::Forwarding;
use super::leader::clocks::HandoverPause;
use super::waiting::Proposal;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: Config,
    jitter: ChaCha8Rng,
    pub(super) now: Tick,
    /// What the host's wall clock showed when it was last given.
    pub(super) clock: Option<Reading>,
    /// When this server last handed over its leadership because that clock is wrong.
    pub(super) clock_pause: HandoverPause,
    /// Until then, this server withholds its vote from every candidate that no leader asked to campaign: an earlier boot
    /// may have promised that to a leader whose lease still holds.
    pub(super) withholds_until: Tick,
    /// The leader of the current term, if it is known: this server itself while it leads.
    leader: Option<Sender>,
    pub(super) log: Log,
    pub(super) out: Outbox,
    pub(super) commit: Option<Index>,
    pub(super) applied: Option<Index>,
    /// The last entry of the [`Apply`](crate::Action::Apply) that the host is working on.
    pub(super) applying: Option<Index>,
    /// A snapshot that arrived and is being made durable.
    pub(super) installing: Option<(Ticket, SnapshotMeta)>,
    /// This server's proposals whose entries are in the log, in its order.
    pub(super) proposals: VecDeque<Proposal>,
    /// This server's proposals whose entries were truncated by another leader. They are not lost yet: a server that
    /// still holds such an entry may win a later election and commit it (paper, Figure 8).
    pub(super) truncated: Vec<Proposal>,
    /// Reads that are confirmed and wait for the state machine, in the order of their indexes.
    pub(super) confirmed_reads: VecDeque<(ReadId, Index)>,
    /// Requests that were forwarded to the leader.
    pub(super) forwarding: Forwarding,
    /// Numbers requests for entries and snapshot transfers.
    next_request: u64,
    pub(super) ignored: Ignored,
    /// The last server of another cluster that was heard from, and its cluster.
    pub(super) stranger: Option<(NodeId, ClusterId)>,
    /// The starts of the other members that were heard.
    pub(super) boots: Boots,
    /// How many more election timeouts this server lets pass before it campaigns.
    pub(super) yields_left: u32,
    /// Where this server has halted: see `halting`.
    pub(super) halted: Option<Halted>,
    pub(super) failed: bool,
    pub(super) limited: Limited,
}

impl Server {
    pub(super) fn new(setup: Setup, restored: Restored) -> Self {
        let Restored { log, discarded } = restored;
        let Setup {
            identity,
            config,
            durable,
            bootstrap,
        } = setup;
        let mut hard_state = durable.hard_state;
        if hard_state.cluster.is_unknown() {
            hard_state.cluster.founding = bootstrap.digest();
        }
        hard_state.vote = plant!(hard_state.vote, FORGETS_VOTE_AT_RESTART => None);
        let covered = log.snapshot().map(|meta| meta.last.index);
        let applied = covered;
        let applied = plant!(applied, RESTORES_APPLIED_FROM_COMMIT => durable.commit.max(covered));
        let applied = plant!(applied, REPLAYS_FROM_LOG_START => covered.and(log.first_index().previous()));
        let mut server = Self {
            jitter: drawn_stream(config.seed, &identity, 0),
            yields_left: config.options.yields,
            config,
            now: Tick::new(0),
            clock: None,
            clock_pause: HandoverPause::default(),
            withholds_until: Tick::new(0),
            leader: None,
            out: Outbox::new(identity, hard_state, log.last_index()),
            // What a snapshot covers was applied somewhere, so it is committed, with the hint or without it.
            commit: durable.commit.max(covered),
            applied,
            applying: None,
            installing: None,
            proposals: VecDeque::new(),
            truncated: Vec::new(),
            confirmed_reads: VecDeque::new(),
            forwarding: Forwarding::default(),
            next_request: 1,
            ignored: Ignored::default(),
            stranger: None,
            boots: Boots::default(),
            halted: None,
            failed: false,
            limited: Limited::default(),
            log,
        };
        if discarded {
            unless_planted!(LEAVES_OLD_LOG, server.out.log_truncated(Index::FIRST));
        }
        server.learn_cluster();
        server.learn_level();
        server
    }

    pub(super) fn me(&self) -> NodeId {
        self.out.identity().node
    }

    /// The data folder of this server.
    pub(super) fn incarnation(&self) -> Incarnation {
        self.out.identity().incarnation
    }

    /// This server as others see it.
    pub(super) fn sender(&self) -> Sender {
        let Identity {
            node,
            incarnation,
            boot,
            ..
        } = *self.out.identity();
        Sender {
            node,
            incarnation,
            boot,
        }
    }

    pub(super) fn leader(&self) -> Option<NodeId> {
        self.leader.map(|leader| leader.node)
    }

    /// Notes who leads the current term, and tells the host if that is news.
    pub(super) fn set_leader(&mut self, leader: Option<Sender>) {
        let before = self.leader();
        self.leader = leader;
        let leader = self.leader();
        if leader != before {
            let term = self.out.term();
            self.out.push(Notice::LeaderChanged { leader, term });
        }
    }

    pub(super) fn voted_for_itself(&self) -> bool {
        self.out.hard_state().vote == Some(self.me())
    }

    /// The rejection of a request that only a leader takes.
    pub(super) fn not_leader(&self) -> Rejection {
        Rejection::NotLeader {
            leader: self.leader(),
        }
    }

    /// Draws a fresh election timeout. §5.2: randomised, so that split votes are rare and resolved quickly.
    pub(super) fn draw_election_timeout(&mut self) -> Tick {
        let timing = &self.config.timing;
        let span = timing.election_timeout_max_ticks - timing.election_timeout_min_ticks + 1;
        let span = plant!(span, SAME_TIMEOUTS => 1);
        let drawn = ((u128::from(self.jitter.next_u64()) * u128::from(span)) >> 64) as u64;
        self.after(timing.election_timeout_min_ticks.saturating_add(drawn))
    }

    pub(super) fn advance(&mut self, ticks: u64) {
        self.now = self.after(ticks);
    }

    pub(super) fn after(&self, ticks: u64) -> Tick {
        Tick::new(self.now.value().saturating_add(ticks))
    }

    /// For how many ticks this has been so.
    pub(super) fn ticks_since(&self, then: Tick) -> u64 {
        self.now.value() - then.value()
    }

    /// Whether a leader that was heard then is still to be protected: within the shortest election timeout (paper §6,
    /// dissertation §4.2.3).
    pub(super) fn is_recent(&self, heard_at: Option<Tick>) -> bool {
        let patience = self.config.timing.election_timeout_min_ticks;
        heard_at.is_some_and(|heard_at| self.ticks_since(heard_at) < patience)
    }

    pub(super) fn next_request_ticket(&mut self) -> Ticket {
        let ticket = Ticket::new(self.next_request);
        self.next_request += 1;
        ticket
    }

    /// The data folder that speaks for a server: the one from which it leads, else the one that the log binds.
    pub(super) fn folder_of(&self, node: NodeId) -> Option<Incarnation> {
        match self.leader {
            Some(leader) if leader.node == node => Some(leader.incarnation),
            _ => self.log.membership().incarnation(node),
        }
    }

    /// Sends a message to the folder that is known to speak for its recipient. `met` is the folder that a leader has
    /// heard from although no entry binds it yet.
    pub(super) fn send(&mut self, to: NodeId, met: Option<Incarnation>, promise: Promise, message: Message) {
        let incarnation = self.folder_of(to).or(met);
        self.out.send(to, incarnation, promise, message);
    }

    /// Answers exactly the folder that asked, which may be a later one than the log knows.
    pub(super) fn answer(&mut self, to: Sender, promise: Promise, message: Message) {
        self.out.send(to.node, Some(to.incarnation), promise, message);
    }

    /// Makes one write of what has been gathered since the last one.
    pub(super) fn flush(&mut self) -> Option<Ticket> {
        self.out.flush(&mut self.log, self.now)
    }

    pub(super) fn reject(&mut self, id: ProposalId, reason: Rejection, payload: Payload) {
        self.limited.note(&reason);
        self.out.push(Notice::Rejected { id, reason, payload });
    }

    pub(super) fn reject_change(&mut self, id: ProposalId, reason: ChangeRejection, change: Change) {
        if let ChangeRejection::Refused(reason) = &reason {
            self.limited.note(reason);
        }
        self.out.push(Notice::ChangeRejected { id, reason, change });
    }

    pub(super) fn end_transfer(&mut self, to: NodeId, outcome: TransferOutcome) {
        self.out.push(Notice::TransferEnded { to, outcome });
    }

    pub(super) fn trace(&mut self, step: Trace) {
        if self.config.options.trace {
            self.out.push(Notice::Trace(step));
        }
    }

    pub(super) fn set_term(&mut self, term: Term) {
        if !self.withholds_vote() {
            self.out.lower_promise(self.config.promise_micros());
        }
        self.out.set_term(term);
        self.trace(Trace::TermChanged { term });
    }

    pub(super) fn role_changed(&mut self, role: RoleName) {
        let term = self.out.term();
        self.out.push(Notice::RoleChanged { role, term });
    }

    /// Appends an entry to the log and has it written. Returns whether it set a configuration, which is in force from
    /// here on (paper §6).
    pub(super) fn append(&mut self, entry: Entry) -> bool {
        let before = self.log.membership_id();
        let at = entry.id;
        self.note_appended(&entry);
        self.log.append(entry);
        self.trace(Trace::Appended { at });
        self.log.membership_id() != before
    }

    /// Appends a leader's entries, in the pieces between configurations, each of which is in force before the next
    /// entry is looked at.
    pub(super) fn extend(&mut self, mut entries: Entries) {
        let sets = |entry: &Entry| matches!(entry.body, EntryBody::Membership(_));
        while let Some(place) = entries.iter().position(sets) {
            let rest = entries.part(place + 1..entries.len());
            self.extend_within_configuration(entries.part(0..place + 1));
            entries = rest;
        }
        self.extend_within_configuration(entries);
    }

    /// Appends entries of which at most the last one sets a configuration.
    fn extend_within_configuration(&mut self, entries: Entries) {
        let before = self.log.membership_id();
        for entry in &entries {
            self.note_appended(entry);
            self.trace(Trace::Appended { at: entry.id });
        }
        self.log.extend(entries);
        if self.log.membership_id() != before {
            self.membership_changed();
        }
    }

    /// Notes what an entry that is about to be appended means for the clients that wait for it, and that it is to be
    /// written.
    fn note_appended(&mut self, entry: &Entry) {
        if let Some(place) = self.truncated.iter().position(|proposal| proposal.at == entry.id) {
            // Its entry survived on another server and is back, so it may be done after all.
            self.proposals.push_back(self.truncated.swap_remove(place));
        }
        if let EntryBody::Forwarded(forwarded) = &entry.body {
            self.recognise(&forwarded.origin, entry.id);
        }
        self.out.entry_appended(entry.id.index);
    }

    /// Truncates the log. §5.3: an entry that conflicts with the leader's is not committed and never will be.
    pub(super) fn truncate(&mut self, from: Index) {
        debug_assert!(Some(from) > self.commit, "what is committed is never truncated");
        let before = self.log.membership_id();
        self.log.truncate(from);
        self.trace(Trace::Truncated { from });
        self.out.log_truncated(from);
        unless_planted!(DONE_BY_INDEX, self.truncate_proposals(from));
        if self.log.membership_id() != before {
            self.membership_changed();
        }
    }

    fn truncate_proposals(&mut self, from: Index) {
        while let Some(proposal) = self.proposals.take_back_if(|proposal| proposal.at.index >= from) {
            plant!(
                self.truncated.push(proposal),
                SUPERSEDED_AT_TRUNCATION => self.out.push(Notice::Superseded { id: proposal.id })
            );
        }
    }
}

/// A stream of draws: the same for the same seed, another one on every server and boot, and for each number. Election
/// timeouts are drawn from number 0.
pub(crate) fn drawn_stream(seed: u64, identity: &Identity, number: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    let words = [
        seed,
        identity.node.value(),
        u64::from(identity.boot.counter),
        identity.group.value(),
    ];
    for (part, word) in key.chunks_exact_mut(8).zip(words) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    let mut stream = ChaCha8Rng::from_seed(key);
    stream.set_stream(number);
    stream
}
