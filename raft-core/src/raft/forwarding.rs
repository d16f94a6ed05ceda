//! Proposals and reads of clients that asked a server which does not lead: it forwards them, and answers its clients
//! itself. The leader's side is in `leader/intake.rs`.
//!
//! A forwarded command's entry names the server that it came from ([`Origin`]). That server recognises the entry when it
//! arrives like any other, and answers when it has applied it. The network may lose and repeat messages: a command is
//! sent again until it is seen, refused, or given up, but only ever **to the leader of one term**. That leader
//! remembers, for as long as it leads, which commands it has appended and which it has refused. So a command enters the
//! log once at most, and three outcomes are certain:
//!
//! * *rejected*: the leader refused it, and will refuse every copy of it; or it was never sent;
//! * *done*: as for any proposal;
//! * *superseded*: an entry of a later term is committed, and the command is not among those before it. Leaders of
//!   later terms ignore what was sent in an earlier one.
//!
//! The other cases, a snapshot that covers entries, or no progress at all, end as *unknown*.
//!
//! Reads are forwarded as requests for a read index (dissertation §6.4, last paragraph). They change nothing, so they
//! may be repeated as often as need be and to any leader.

mod reads;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::action::{Notice, Rejection, Waiting};
use crate::identity::Boot;
use crate::message::{Message, Refusal};
use crate::outbox::Promise;
use crate::queue::Ends;
use crate::types::{Entry, LogId, NodeId, Origin, Payload, ProposalId, Term, Tick};

use super::Sender;
use super::server::Server;
use super::waiting::Proposal;
pub(super) use reads::ForwardedReads;

/// For how many of the longest election timeouts a client's request waits for this server to hear from a leader.
const PATIENCE_TIMEOUTS: u64 = 4;

/// The requests that this server has forwarded, or is about to.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// Numbers commands and requests, from 1.
    last_number: u64,
    /// Commands that have not been seen in the log, in the order of their numbers, and so of the terms in which they
    /// were sent. Those that were not sent yet come last.
    proposals: VecDeque<Forwarded>,
    bytes: usize,
    reads: Vec<ForwardedReads>,
}

#[derive(Debug)]
struct Forwarded {
    number: u64,
    id: ProposalId,
    payload: Payload,
    /// The term to whose leader it was sent; no other leader may ever get it.
    sent_in: Option<Term>,
    /// When it is to be sent, for the first time or again.
    send_at: Tick,
    gives_up_at: Tick,
}

impl Forwarded {
    /// What it counts for against limits in bytes, here as in the leader's log.
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

    /// Checks that the oldest command comes first, by every measure by which commands are taken out, and that the bytes
    /// are those of the commands that wait: what is not given back when a command ends is never given back.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let costs = self.proposals.iter().map(Forwarded::cost_bytes);
        if costs.sum::<usize>() != self.bytes {
            return Err("the bytes of forwarded commands are not the sum of those that wait");
        }
        let unsent_last = |forwarded: &Forwarded| (forwarded.sent_in.is_none(), forwarded.sent_in);
        let in_order = self.proposals.iter().is_sorted_by(|one, other| {
            one.number < other.number
                && unsent_last(one) <= unsent_last(other)
                && one.gives_up_at <= other.gives_up_at
        });
        if in_order {
            Ok(())
        } else {
            Err("forwarded commands are not in the order in which they came")
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
        let taken = self.proposals.take_front_if(|forwarded| wanted(forwarded))?;
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
        unless_planted!(
            KEEPS_FORWARDING_COSTS,
            self.bytes = self.bytes.saturating_sub(taken.cost_bytes())
        );
        Some(taken)
    }
}

impl Server {
    /// Accepts a command to forward, if a leader is known and forwarding is on.
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

    /// The leader to which clients' requests are forwarded. A witness has no state machine that could answer them, and a
    /// server outside the configuration might never hear what becomes of them.
    fn leader_to_ask(&self) -> Result<NodeId, Rejection> {
        let hears_outcomes = !self.is_outside();
        let hears_outcomes = plant!(hears_outcomes, FORWARDS_FROM_OUTSIDE => true);
        let may_forward = self.config.options.forwarding && hears_outcomes && !self.is_witness();
        self.leader()
            .filter(|&node| may_forward && node != self.me())
            .ok_or(self.not_leader())
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
            self.send(leader, None, Promise::Term, message);
        }
        self.ask_for_read_index(leader);
    }

    /// Returns the leader to which requests may leave now. Each is sent again and again, so they would pile up while a
    /// disk stalls: they leave only once the term is durable.
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

    /// The tick at which time next matters to forwarded requests.
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

    /// Gives up what has waited for too long: every wait ends.
    pub(super) fn forwarding_tick(&mut self) {
        if self.forwarding.is_idle() {
            return;
        }
        let now = self.now;
        self.give_up_forwarded(|forwarded| now >= forwarded.gives_up_at);
        self.give_up_reads();
    }

    /// Ends commands that have no better outcome, from the oldest on. One that was never sent is handed back.
    fn give_up_forwarded(&mut self, given_up: impl Fn(&Forwarded) -> bool) {
        let reason = self.not_leader();
        while let Some(Forwarded {
            id, payload, sent_in, ..
        }) = self.forwarding.take_first_if(&given_up)
        {
            match sent_in {
                Some(_) => self.out.push(Notice::Unknown { id }),
                None => self.reject(id, reason, payload),
            }
        }
    }

    /// Gives up all forwarded commands: this server will not hear what becomes of them.
    pub(super) fn give_up_all_forwarded(&mut self) {
        self.give_up_forwarded(|_| true);
    }

    /// Recognises a forwarded command in the log. If this server forwarded it, it is a proposal like others from here
    /// on.
    pub(super) fn recognise(&mut self, origin: &Origin, at: LogId) {
        let me = self.out.identity();
        if origin.node != me.node || origin.incarnation != me.incarnation || origin.boot != me.boot {
            return;
        }
        if let Some(Forwarded { id, .. }) = self.forwarding.take_numbered(origin.number, |_| true) {
            self.proposals.push_back(Proposal { id, at });
        }
    }

    /// Ends commands that were sent in an earlier term than that of a committed entry and are not in the log: they never
    /// will be, as the head of this module says.
    pub(super) fn settle_forwarded(&mut self, committed: Term) {
        let never = |forwarded: &Forwarded| forwarded.sent_in.is_some_and(|sent_in| sent_in < committed);
        while let Some(Forwarded { id, .. }) = self.forwarding.take_first_if(never) {
            self.out.push(Notice::Superseded { id });
        }
    }

    /// Ends commands that a snapshot may cover: one that ends in this term has taken the place of the log.
    pub(super) fn cover_forwarded(&mut self, last: Term) {
        let covered = |forwarded: &Forwarded| forwarded.sent_in.is_some_and(|sent_in| sent_in <= last);
        while let Some(Forwarded { id, .. }) = self.forwarding.take_first_if(covered) {
            self.out.push(Notice::Unknown { id });
        }
    }

    pub(super) fn on_forward_refused(&mut self, from: Sender, boot: Boot, refused: Vec<(u64, Refusal)>) {
        let term = self.out.term();
        if self.leader() != Some(from.node) || boot != self.out.identity().boot {
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

    /// The commands that were not sent to any leader yet, with their clients.
    pub(super) fn take_unsent(&mut self) -> Vec<(ProposalId, Payload)> {
        let sent = |forwarded: &Forwarded| forwarded.sent_in.is_some();
        let sent = self.forwarding.proposals.partition_point(sent);
        let unsent = self.forwarding.proposals.split_off(sent);
        for forwarded in &unsent {
            self.forwarding.bytes = self.forwarding.bytes.saturating_sub(forwarded.cost_bytes());
        }
        let client = |forwarded: Forwarded| (forwarded.id, forwarded.payload);
        unsent.into_iter().map(client).collect()
    }
}
