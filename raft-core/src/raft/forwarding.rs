//! Proposals and reads of clients that asked a server which does not lead: it passes them on, and answers its clients
//! itself.
//!
//! A forwarded command stands in the log under the name of the server that it came from ([`Origin`]), which so
//! recognises it when it arrives there like any other entry, and answers when it has applied it. The network may lose
//! and repeat: a command is sent again until it is seen, refused, or given up, but only ever **to the leader of one
//! term**, which remembers for as long as it leads what it has taken in and what it has refused. So a command enters
//! the log once at most, and three outcomes are certain:
//!
//! * *rejected*: the leader refused it, and will refuse every copy of it; or it was never sent;
//! * *done*: as for any proposal;
//! * *superseded*: an entry of a later term is committed, and the command is not among those before it. Leaders of
//!   later terms turn away what was sent in an earlier one.
//!
//! What is left, a snapshot that hides entries, or no progress at all, ends as *unknown*.
//!
//! Reads are passed on as requests for a read index (dissertation §6.4, last paragraph). They may be asked about as
//! often as need be and of any leader, for they change nothing.

mod intake;
mod reads;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::action::{Action, Rejection, Waiting};
use crate::message::{Message, Refusal};
use crate::outbox::Promise;
use crate::types::{Entry, LogId, NodeId, Origin, Payload, ProposalId, Term, Tick};

use super::{Proposal, Raft, Role};
pub(super) use intake::Intakes;
use reads::ForwardedReads;

/// How many of the longest election timeouts a client waits for the server that it asked to hear from a leader.
const PATIENCE_TIMEOUTS: u64 = 4;

/// What this server has passed on, or is about to.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// Numbers commands and requests, from 1.
    last_number: u64,
    /// Commands that have not been seen in the log, in the order of their numbers, and so of the terms in which they
    /// were sent: what was not sent yet stands behind all that was.
    proposals: VecDeque<Forwarded>,
    bytes: usize,
    reads: Vec<ForwardedReads>,
}

#[derive(Debug)]
struct Forwarded {
    number: u64,
    id: ProposalId,
    payload: Payload,
    /// The term whose leader it was sent to; no other leader may ever get it.
    sent_in: Option<Term>,
    /// When it is to be sent, for the first time or again.
    send_at: Tick,
    gives_up_at: Tick,
}

impl Forwarded {
    /// What it counts against limits in bytes, here as in the log of the leader.
    fn cost_bytes(&self) -> usize {
        Entry::cost_of_forwarded(self.payload.len())
    }

    /// Whether it may be sent to the leader of this term.
    fn may_go_in(&self, term: Term) -> bool {
        self.sent_in.is_none_or(|sent_in| sent_in == term)
    }
}

impl Forwarding {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// How many proposals have not been seen in the log.
    pub(super) fn waiting_proposals(&self) -> usize {
        self.proposals.len()
    }

    /// The oldest stand first, by every measure by which one is taken out.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let unsent_last = |forwarded: &Forwarded| (forwarded.sent_in.is_none(), forwarded.sent_in);
        let in_order = self.proposals.iter().is_sorted_by(|one, other| {
            one.number < other.number
                && unsent_last(one) <= unsent_last(other)
                && one.gives_up_at <= other.gives_up_at
        });
        if in_order {
            Ok(())
        } else {
            Err("what was passed on is not in the order in which it came")
        }
    }

    fn is_idle(&self) -> bool {
        self.proposals.is_empty() && self.reads.is_empty()
    }

    fn add(&mut self, forwarded: Forwarded) {
        self.bytes = self.bytes.saturating_add(forwarded.cost_bytes());
        self.proposals.push_back(forwarded);
    }

    /// Takes out the oldest command if it is wanted.
    fn take_first_if(&mut self, wanted: impl FnOnce(&Forwarded) -> bool) -> Option<Forwarded> {
        let taken = self.proposals.pop_front_if(|forwarded| wanted(forwarded))?;
        self.bytes = self.bytes.saturating_sub(taken.cost_bytes());
        Some(taken)
    }

    /// Takes out the command of this number if it is wanted.
    fn take_numbered(&mut self, number: u64, wanted: impl FnOnce(&Forwarded) -> bool) -> Option<Forwarded> {
        let by_number = |forwarded: &Forwarded| forwarded.number;
        let place = self.proposals.binary_search_by_key(&number, by_number).ok()?;
        if !self.proposals.get(place).is_some_and(wanted) {
            return None;
        }
        let taken = self.proposals.remove(place)?;
        self.bytes = self.bytes.saturating_sub(taken.cost_bytes());
        Some(taken)
    }
}

impl Raft {
    /// A command for a leader elsewhere, if there is one and clients may be helped.
    pub(super) fn forward_proposal(&mut self, id: ProposalId, payload: Payload) {
        if let Err(reason) = self.check_forward(&payload) {
            self.reject(id, reason, payload);
            return;
        }
        let (send_at, gives_up_at) = (self.now, self.patience_ends_at());
        let forwarding = &mut self.forwarding;
        let number = forwarding.next_number();
        let forwarded = Forwarded {
            number,
            id,
            payload,
            sent_in: None,
            send_at,
            gives_up_at,
        };
        forwarding.add(forwarded);
    }

    fn check_forward(&self, payload: &Payload) -> Result<(), Rejection> {
        let limits = &self.config.limits;
        self.leader_to_ask()?;
        let (size, limit) = (payload.len(), limits.message_bytes);
        if size > limit {
            return Err(Rejection::TooLarge { size, limit });
        }
        let (bytes, limit) = (self.forwarding.bytes, limits.uncommitted_bytes);
        if bytes > 0 && bytes.saturating_add(Entry::cost_of_forwarded(size)) > limit {
            let what = Waiting::UncommittedBytes;
            return Err(Rejection::Busy { what, limit });
        }
        self.check_room_for_proposal()
    }

    /// The leader that clients' requests are passed on to. A witness has no state machine that could answer them, and a
    /// server outside the configuration might never hear what became of them.
    fn leader_to_ask(&self) -> Result<NodeId, Rejection> {
        let leader = self.leader();
        let is_told = !self.is_outside() || planted!(FORWARDS_FROM_OUTSIDE);
        let may_forward = self.config.options.forwarding && is_told && !self.is_witness();
        leader
            .filter(|&node| may_forward && node != self.me())
            .ok_or(Rejection::NotLeader { leader })
    }

    fn patience_ends_at(&self) -> Tick {
        let longest = self.config.timing.election_timeout_max_ticks;
        self.after(longest.saturating_mul(PATIENCE_TIMEOUTS))
    }

    /// Once per drain: sends what is due.
    pub(super) fn forward(&mut self) {
        if self.forwarding.is_idle() {
            return;
        }
        let Some(leader) = self.leader_to_send_to() else {
            return;
        };
        for commands in self.due_forwards() {
            let boot = self.out.identity().boot;
            let floor = self.forwarding.proposals.front().map_or(0, |first| first.number);
            let message = Message::Forward {
                boot,
                floor,
                commands,
            };
            self.send(leader, Promise::Term, message);
        }
        self.ask_for_read_index(leader);
    }

    /// To whom what was taken in is passed on now. What would wait for a disk that stalls is not: it would be sent
    /// again and again.
    fn leader_to_send_to(&self) -> Option<NodeId> {
        self.leader_to_ask().ok().filter(|_| self.out.term_is_durable())
    }

    /// The commands that are due, by message.
    fn due_forwards(&mut self) -> Vec<Vec<(u64, Payload)>> {
        let (now, term) = (self.now, self.out.term());
        let again = self.after(self.config.timing.heartbeat_ticks);
        let limit = self.config.limits.message_bytes;
        let mut messages = Vec::new();
        let (mut commands, mut bytes) = (Vec::new(), 0_usize);
        for forwarded in &mut self.forwarding.proposals {
            if forwarded.send_at > now || !forwarded.may_go_in(term) {
                continue;
            }
            let cost = forwarded.cost_bytes();
            if bytes.saturating_add(cost) > limit && !commands.is_empty() {
                messages.push(core::mem::take(&mut commands));
                bytes = 0;
            }
            bytes = bytes.saturating_add(cost);
            forwarded.sent_in = Some(term);
            forwarded.send_at = again;
            commands.push((forwarded.number, forwarded.payload.clone()));
        }
        if !commands.is_empty() {
            messages.push(commands);
        }
        messages
    }

    /// When time next matters to what was passed on.
    pub(super) fn forwarding_deadline(&self) -> Option<Tick> {
        if self.forwarding.is_idle() {
            return None;
        }
        let term = self.out.term();
        let can_send = self.leader_to_send_to().is_some();
        let proposals = self.forwarding.proposals.iter().map(|forwarded| {
            if can_send && forwarded.may_go_in(term) {
                forwarded.send_at.min(forwarded.gives_up_at)
            } else {
                forwarded.gives_up_at
            }
        });
        let reads = self.forwarding.reads.iter();
        proposals.chain(reads.map(|reads| reads.deadline(can_send))).min()
    }

    /// Every wait ends.
    pub(super) fn forwarding_tick(&mut self) {
        if self.forwarding.is_idle() {
            return;
        }
        let now = self.now;
        self.give_up_forwarded(|forwarded| now >= forwarded.gives_up_at);
        self.give_up_reads();
    }

    /// Ends what has no better outcome, from the oldest on: what was never sent is handed back.
    fn give_up_forwarded(&mut self, given_up: impl Fn(&Forwarded) -> bool) {
        let leader = self.leader();
        while let Some(Forwarded {
            id, payload, sent_in, ..
        }) = self.forwarding.take_first_if(&given_up)
        {
            match sent_in {
                Some(_) => self.out.push(Action::Unknown { id }),
                None => self.reject(id, Rejection::NotLeader { leader }, payload),
            }
        }
    }

    /// This server will not hear what became of what it has passed on.
    pub(super) fn give_up_all_forwarded(&mut self) {
        self.give_up_forwarded(|_| true);
    }

    /// An entry has arrived that some server passed on; if it was this one, it is a proposal like others from here on.
    pub(super) fn recognise(&mut self, origin: &Origin, at: LogId) {
        let me = self.out.identity();
        if origin.node != me.node || origin.incarnation != me.incarnation || origin.boot != me.boot {
            return;
        }
        if let Some(Forwarded { id, .. }) = self.forwarding.take_numbered(origin.number, |_| true) {
            self.proposals.push_back(Proposal { id, at });
        }
    }

    /// What was sent in an earlier term than that of a committed entry, and is not in the log, never will be: see
    /// above.
    pub(super) fn settle_forwarded(&mut self, committed: Term) {
        let never = |forwarded: &Forwarded| forwarded.sent_in.is_some_and(|sent_in| sent_in < committed);
        while let Some(Forwarded { id, .. }) = self.forwarding.take_first_if(never) {
            self.out.push(Action::Superseded { id });
        }
    }

    /// A snapshot that ends in this term has taken the place of the log, and may hide what was sent in it or before.
    pub(super) fn hide_forwarded(&mut self, covered: Term) {
        let hidden = |forwarded: &Forwarded| forwarded.sent_in.is_some_and(|sent_in| sent_in <= covered);
        while let Some(Forwarded { id, .. }) = self.forwarding.take_first_if(hidden) {
            self.out.push(Action::Unknown { id });
        }
    }

    pub(super) fn on_forward_refused(&mut self, from: NodeId, boot: u64, refused: Vec<(u64, Refusal)>) {
        let term = self.out.term();
        if self.leader() != Some(from) || boot != self.out.identity().boot {
            self.ignored.stale += 1;
            return;
        }
        for (number, refusal) in refused {
            let is_meant = |forwarded: &Forwarded| forwarded.sent_in == Some(term);
            if let Some(Forwarded { id, payload, .. }) = self.forwarding.take_numbered(number, is_meant) {
                let reason = refusal.as_rejection(payload.len());
                self.reject(id, reason, payload);
            }
        }
    }

    /// Whoever becomes the leader itself takes in what it was about to pass on.
    pub(super) fn keep_what_was_not_forwarded(&mut self) {
        let sent = self
            .forwarding
            .proposals
            .partition_point(|forwarded| forwarded.sent_in.is_some());
        for forwarded in self.forwarding.proposals.split_off(sent) {
            self.forwarding.bytes = self.forwarding.bytes.saturating_sub(forwarded.cost_bytes());
            self.on_propose(forwarded.id, forwarded.payload);
        }
        self.read_what_was_forwarded();
    }
}
