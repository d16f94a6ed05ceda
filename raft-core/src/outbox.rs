//! The way out, and the order persist → send: a message that promises what is not durable yet waits until it is.
//!
//! A vote, an acknowledgement or any message of a new term promises that this server will remember something. The
//! outbox knows which write makes it remember, and holds the message until the host reports that write as durable. A
//! host cannot send too early, because it has nothing to send.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::action::{Action, Persist};
use crate::entries::Entries;
use crate::identity::{Boot, ClusterId, Incarnation};
use crate::level::Level;
use crate::log::Log;
use crate::message::{AppendOutcome, Envelope, Message};
use crate::queue::Ends;
use crate::types::{HardState, Identity, Index, NodeId, SnapshotMeta, Term, Tick, Ticket};

/// Tickets count from 1, so that "everything up to 0 is durable" holds at the start.
const NOTHING: u64 = 0;

#[derive(Debug)]
pub(crate) struct Outbox {
    identity: Identity,
    hard_state: HardState,
    actions: Vec<Action>,
    held: Vec<Held>,
    /// The ticket of the write that is being gathered.
    next_ticket: u64,
    /// Everything up to this ticket is durable.
    durable_ticket: u64,
    /// The write that makes the current term durable, and the one that makes the vote durable.
    term_ticket: u64,
    vote_ticket: u64,
    /// The write that makes the present promise to leaders durable.
    promise_ticket: u64,
    /// Writes handed out and not yet durable, with the end of the log as each leaves it.
    writes: VecDeque<Write>,
    gathering: Gathering,
    /// How far the log of this server is durable.
    durable_index: Option<Index>,
}

#[derive(Debug)]
struct Held {
    ticket: u64,
    envelope: Envelope,
}

impl Held {
    /// Whether the other message, which will leave at the same time, supersedes this one. A server with a stalled disk is
    /// asked again and again, and its answers must not pile up.
    fn is_superseded_by(&self, other: &Envelope) -> bool {
        self.envelope.to == other.to
            && self.envelope.to_incarnation == other.to_incarnation
            && self.envelope.term == other.term
            && supersedes(&other.message, &self.envelope.message)
    }
}

/// Whether this reply supersedes an earlier one to the same peer.
fn supersedes(answer: &Message, earlier: &Message) -> bool {
    match (answer, earlier) {
        (
            Message::AppendReply {
                session,
                outcome: AppendOutcome::Accepted { last },
                ..
            },
            Message::AppendReply {
                session: earlier_session,
                outcome: AppendOutcome::Accepted { last: earlier_last },
                ..
            },
        ) => session == earlier_session && last >= earlier_last,
        (
            Message::AppendReply {
                session,
                outcome: AppendOutcome::Rejected { .. },
                ..
            },
            Message::AppendReply {
                session: earlier_session,
                outcome: AppendOutcome::Rejected { .. },
                ..
            },
        ) => session == earlier_session,
        (
            Message::HeartbeatReply { session, round, .. },
            Message::HeartbeatReply {
                session: earlier_session,
                round: earlier_round,
                ..
            },
        ) => session == earlier_session && round >= earlier_round,
        (
            Message::Hello
            | Message::HelloReply { .. }
            | Message::OtherCluster
            | Message::VoteReply { .. }
            | Message::PreVoteReply { .. }
            | Message::SnapshotReply { .. }
            | Message::ForwardRefused { .. }
            | Message::ReadIndexReply { .. },
            _,
        ) => answer == earlier,
        _ => false,
    }
}

#[derive(Debug)]
struct Write {
    ticket: u64,
    last: Option<Index>,
    /// When it was handed out, if a message or an apply waits for it.
    asked_at: Option<Tick>,
}

/// What the next [`Persist`] will say.
#[derive(Debug, Default)]
struct Gathering {
    hard_state: bool,
    snapshot: Option<Box<SnapshotMeta>>,
    truncate_from: Option<Index>,
    entries_from: Option<Index>,
    commit: Option<Index>,
    compact_to: Option<Index>,
}

/// What must be durable before a message may leave. The term in its envelope always must.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Promise {
    /// Nothing beyond the term.
    Term,
    /// The vote.
    Vote,
    /// The log up to here.
    Log(Option<Index>),
}

impl Outbox {
    pub(crate) fn new(identity: Identity, hard_state: HardState, durable_index: Option<Index>) -> Self {
        Self {
            identity,
            hard_state,
            actions: Vec::new(),
            held: Vec::new(),
            next_ticket: NOTHING + 1,
            durable_ticket: NOTHING,
            term_ticket: NOTHING,
            vote_ticket: NOTHING,
            promise_ticket: NOTHING,
            writes: VecDeque::new(),
            gathering: Gathering::default(),
            durable_index,
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn hard_state(&self) -> HardState {
        self.hard_state
    }

    pub(crate) fn term(&self) -> Term {
        self.hard_state.term
    }

    /// How far the log of this server is durable.
    pub(crate) fn durable_index(&self) -> Option<Index> {
        self.durable_index
    }

    /// Whether the current term is durable, so that what promises nothing else leaves at once.
    pub(crate) fn term_is_durable(&self) -> bool {
        self.term_ticket <= self.durable_ticket
    }

    /// Whether the vote of the current term, if there is one, is durable.
    pub(crate) fn vote_is_durable(&self) -> bool {
        self.vote_ticket <= self.durable_ticket
    }

    /// Whether this write is durable.
    pub(crate) fn is_durable(&self, ticket: Ticket) -> bool {
        ticket.value() <= self.durable_ticket
    }

    /// The ticket that the next write will have.
    pub(crate) fn next_ticket(&self) -> Ticket {
        Ticket::new(self.next_ticket)
    }

    pub(crate) fn push(&mut self, action: impl Into<Action>) {
        self.actions.push(action.into());
    }

    pub(crate) fn set_term(&mut self, term: Term) {
        debug_assert!(term > self.hard_state.term, "terms only grow");
        let vote = plant!(None, KEEPS_VOTE_ACROSS_TERMS => self.hard_state.vote);
        self.hard_state = HardState {
            term,
            vote,
            ..self.hard_state
        };
        self.gathering.hard_state = true;
        self.term_ticket = self.next_ticket;
        self.vote_ticket = self.next_ticket;
    }

    /// Whether the vote of this term is still free, or was given to this boot of the candidate.
    pub(crate) fn may_vote_for(&self, candidate: NodeId, boot: Boot) -> bool {
        let HardState { vote, vote_boot, .. } = self.hard_state;
        vote.is_none_or(|vote| vote == candidate && vote_boot == boot)
    }

    pub(crate) fn set_vote(&mut self, candidate: NodeId, boot: Boot) {
        debug_assert!(
            self.hard_state.vote.is_none_or(|vote| vote == candidate),
            "a vote is given once in a term"
        );
        if self.hard_state.vote.is_none() {
            self.hard_state.vote = Some(candidate);
            self.hard_state.vote_boot = boot;
            unless_planted!(VOTE_NOT_WRITTEN, self.gathering.hard_state = true);
            self.vote_ticket = self.next_ticket;
        }
    }

    /// For how long this server durably promises to withhold its vote, in microseconds. Until a longer promise is
    /// durable, nothing is promised: a start waits out what the disk says.
    pub(crate) fn promise_micros(&self) -> u64 {
        let is_durable = self.promise_ticket <= self.durable_ticket;
        if is_durable {
            self.hard_state.promise_micros
        } else {
            0
        }
    }

    /// Makes the promise longer, and has that written.
    pub(crate) fn raise_promise(&mut self, micros: u64) {
        if micros > self.hard_state.promise_micros {
            self.hard_state.promise_micros = micros;
            self.gathering.hard_state = true;
            self.promise_ticket = self.next_ticket;
        }
    }

    /// Makes the promise shorter: every longer one has run out. The next write takes it along.
    pub(crate) fn lower_promise(&mut self, micros: u64) {
        self.hard_state.promise_micros = self.hard_state.promise_micros.min(micros);
    }

    /// Notes which cluster this server belongs to, and has that written: the log says it only as long as the commit index
    /// is known, and a start may not know it.
    pub(crate) fn set_cluster(&mut self, cluster: ClusterId) {
        self.hard_state.cluster = cluster;
        self.gathering.hard_state = true;
    }

    /// Notes that this data folder must not speak for this server any more: it went back, or there is another copy.
    pub(crate) fn silence(&mut self) {
        self.hard_state.silenced = true;
        unless_planted!(SILENCE_NOT_WRITTEN, self.gathering.hard_state = true);
        self.held.clear();
    }

    /// Whether this server keeps silent, whatever it is asked.
    pub(crate) fn is_silenced(&self) -> bool {
        plant!(self.hard_state.silenced, SPEAKS_ALTHOUGH_SILENCED => false)
    }

    /// Notes that a program of this level works on the folder, and has that written.
    pub(crate) fn raise_level(&mut self, level: Level) {
        if level > self.hard_state.level {
            self.hard_state.level = level;
            self.gathering.hard_state = true;
        }
    }

    /// Notes that this data folder was admitted to a cluster that existed before it. Whatever is sent in the new term
    /// waits until this is durable.
    pub(crate) fn set_admitted(&mut self) {
        self.hard_state.admitted = true;
        self.gathering.hard_state = true;
        self.term_ticket = self.next_ticket;
        self.vote_ticket = self.next_ticket;
    }

    /// Notes that the log has a new entry to write at this index.
    pub(crate) fn entry_appended(&mut self, at: Index) {
        self.gathering.entries_from.get_or_insert(at);
    }

    /// Notes that the log was truncated here. What was durable or being written beyond does not count any more.
    pub(crate) fn log_truncated(&mut self, from: Index) {
        let keep = from.previous();
        unless_planted!(
            DURABLE_BEYOND_TRUNCATION,
            self.durable_index = self.durable_index.min(keep)
        );
        for write in &mut self.writes {
            unless_planted!(WRITE_BEYOND_TRUNCATION, write.last = write.last.min(keep));
        }
        let gathering = &mut self.gathering;
        if gathering.entries_from.is_some_and(|first| first >= from) {
            gathering.entries_from = None;
        }
        gathering.truncate_from = Some(gathering.truncate_from.map_or(from, |earlier| earlier.min(from)));
    }

    pub(crate) fn snapshot_to_persist(&mut self, meta: SnapshotMeta) {
        self.gathering.snapshot = Some(Box::new(meta));
    }

    pub(crate) fn commit_advanced(&mut self, commit: Option<Index>) {
        self.gathering.commit = commit;
    }

    pub(crate) fn log_compacted(&mut self, to: Index) {
        self.gathering.compact_to = Some(to);
    }

    /// Sends a message as soon as what it promises is durable. A message that promises a part of the log is sent after
    /// that part was appended.
    pub(crate) fn send(
        &mut self,
        to: NodeId,
        to_incarnation: Option<Incarnation>,
        promise: Promise,
        message: Message,
    ) {
        if self.is_silenced() {
            return;
        }
        let envelope = Envelope {
            group: self.identity.group,
            cluster: self.hard_state.cluster,
            from: self.identity.node,
            from_incarnation: self.identity.incarnation,
            from_boot: self.identity.boot,
            to,
            to_incarnation,
            term: self.hard_state.term,
            message,
        };
        let of_term = plant!(self.term_ticket, TERM_BEFORE_DURABLE => NOTHING);
        let ticket = of_term.max(match promise {
            Promise::Term => NOTHING,
            Promise::Vote => self.vote_ticket,
            Promise::Log(last) => self.ticket_of_log(last),
        });
        if ticket <= self.durable_ticket {
            self.actions.push(Action::Send(envelope));
            return;
        }
        let superseded =
            |earlier: &&mut Held| earlier.ticket == ticket && earlier.is_superseded_by(&envelope);
        match self.held.iter_mut().find(superseded) {
            Some(earlier) => earlier.envelope = envelope,
            None => self.held.push(Held { ticket, envelope }),
        }
    }

    /// The write that makes the log durable up to `last`.
    fn ticket_of_log(&self, last: Option<Index>) -> u64 {
        let is_durable = last <= self.durable_index;
        let is_durable = plant!(is_durable, WAITS_FOR_NEXT_WRITE => false);
        if is_durable {
            return NOTHING;
        }
        let write = self.writes.iter().find(|write| write.last >= last);
        write.map_or(self.next_ticket, |write| write.ticket)
    }

    /// Notes that every write up to `ticket` is durable, and releases the messages that waited for it. Returns false for
    /// a ticket that was never handed out or was reported before.
    pub(crate) fn persisted(&mut self, ticket: Ticket) -> bool {
        let ticket = ticket.value();
        if ticket <= self.durable_ticket || ticket >= self.next_ticket {
            return false;
        }
        self.durable_ticket = ticket;
        while let Some(write) = self.writes.take_front_if(|write| write.ticket <= ticket) {
            self.durable_index = self.durable_index.max(write.last);
        }
        if self.held.is_empty() {
            return true;
        }
        let term = self.hard_state.term;
        // A promise of an earlier term is of no use to its recipient now. Within a term, a vote and an acknowledgement
        // stay true: only an entry of a later term's leader can take the place of one of this term.
        let is_due = |held: &mut Held| plant!(held.ticket <= ticket, RELEASES_EVERYTHING => true);
        let is_current = |envelope: &Envelope| plant!(envelope.term == term, RELEASES_OLD_TERMS => true);
        let released = self.held.extract_if(.., is_due).map(|held| held.envelope);
        let current = released.filter(is_current);
        self.actions.extend(current.map(Action::Send));
        true
    }

    /// Drops requests for votes that still wait: the campaign is over.
    pub(crate) fn withdraw_requests(&mut self) {
        self.held.retain(|held| {
            !matches!(
                held.envelope.message,
                Message::Vote { .. } | Message::PreVote { .. } | Message::TransferVote { .. }
            )
        });
    }

    /// Discards all messages and writes: the disk failed, and this server sends no more.
    pub(crate) fn discard_messages_and_writes(&mut self) {
        self.held.clear();
        self.writes.clear();
        self.gathering = Gathering::default();
        self.actions
            .retain(|action| !matches!(action, Action::Send(_) | Action::Persist(_)));
    }

    /// When the oldest write was handed out that a message or an apply waits for and that is not durable yet.
    pub(crate) fn oldest_write(&self) -> Option<Tick> {
        self.writes.iter().find_map(|write| write.asked_at)
    }

    /// Turns what has been gathered into one write.
    pub(crate) fn flush(&mut self, log: &mut Log, now: Tick) -> Option<Ticket> {
        let gathering = &self.gathering;
        let sync = gathering.hard_state
            || gathering.snapshot.is_some()
            || gathering.truncate_from.is_some()
            || gathering.entries_from.is_some();
        if !sync && gathering.compact_to.is_none() {
            // A commit index alone is a hint that the next write takes along.
            return None;
        }
        let gathering = core::mem::take(&mut self.gathering);
        let entries = match (gathering.entries_from, log.last_index()) {
            (Some(first), Some(last)) => log.slice(first, last, usize::MAX),
            _ => Entries::default(),
        };
        let truncate_from = gathering.truncate_from;
        let truncate_from = plant!(
            truncate_from,
            TRUNCATION_NOT_WRITTEN => truncate_from.filter(|_| entries.is_empty())
        );
        let ticket = Ticket::new(self.next_ticket);
        self.next_ticket += 1;
        self.writes.push_back(Write {
            ticket: ticket.value(),
            last: log.last_index(),
            asked_at: sync.then_some(now),
        });
        self.actions.push(Action::Persist(Persist {
            ticket,
            hard_state: gathering.hard_state.then(|| Box::new(self.hard_state)),
            snapshot: gathering.snapshot,
            truncate_from,
            entries,
            commit: gathering.commit,
            compact_to: gathering.compact_to,
            sync,
        }));
        Some(ticket)
    }

    /// Hands all actions over, and keeps the emptied buffer for the next ones.
    pub(crate) fn take(&mut self, into: &mut Vec<Action>) {
        let actions = core::mem::take(&mut self.actions);
        self.actions = plant!(actions, WRITES_LAST => writes_last(actions));
        if into.is_empty() {
            core::mem::swap(&mut self.actions, into);
        } else {
            into.append(&mut self.actions);
        }
    }
}

/// The order in which a planted bug hands actions out.
fn writes_last(mut actions: Vec<Action>) -> Vec<Action> {
    actions.sort_by_key(|action| matches!(action, Action::Persist(_)));
    actions
}
