//! What becomes of a message: whether it is meant for this server and well-formed, the rule about terms, once for all
//! messages to which it applies, and the rule of the role that it is for.

use alloc::boxed::Box;

use crate::identity::Incarnation;
use crate::message::{Envelope, Message};
use crate::outbox::Promise;
use crate::types::{NodeId, Payload, PeerSession, Round, SnapshotMeta, Term};

use super::{Raft, Role, Sender, Transition};

/// One piece of a snapshot, as it arrives.
pub(super) struct Chunk {
    pub(super) session: PeerSession,
    pub(super) meta: Box<SnapshotMeta>,
    pub(super) total_bytes: u64,
    pub(super) checksum: u32,
    pub(super) offset: u64,
    pub(super) data: Payload,
}

impl Raft {
    pub(super) fn on_receive(&mut self, envelope: Envelope) {
        let ignored = &mut self.server.ignored;
        if !is_addressed_to(self.server.out.identity(), &envelope) {
            ignored.misaddressed += 1;
        } else if self.refuses_other_cluster(&envelope) {
            // Nothing else in it means anything here.
        } else if !self.incarnations_match(&envelope) {
            self.server.ignored.fenced += 1;
        } else if self.server.out.is_silenced() || !self.boot_counts(&envelope) {
            // Another start of the sender's folder counts instead, or another copy of this server's own.
        } else if envelope.term.is_malformed() || !envelope.message.is_well_formed(envelope.term) {
            self.server.ignored.malformed += 1;
        } else {
            self.on_well_formed(envelope);
        }
    }

    /// Fails closed: where the log binds a data folder, no other one speaks for its server.
    fn incarnations_match(&self, envelope: &Envelope) -> bool {
        let mine = self.server.out.identity().incarnation;
        if envelope.to_incarnation.is_some_and(|meant| meant != mine) {
            return false;
        }
        let asks_to_join = matches!(envelope.message, Message::Hello);
        let known = self.server.folder_of(envelope.from);
        let known = known.or_else(|| self.folder_met(envelope.from));
        asks_to_join
            || known.is_none_or(|known| known == envelope.from_incarnation)
            || self.is_from_new_leader(envelope)
            || self.is_from_later_folder(envelope)
    }

    /// The data folder that a leader has heard from although no entry binds it yet.
    fn folder_met(&self, node: NodeId) -> Option<Incarnation> {
        match &self.role {
            Role::Leader(leader) => leader.folder_met(node),
            _ => None,
        }
    }

    /// Whether a campaign comes with more of the log than this server holds: from a folder that this log may not know
    /// yet. Without this server's vote, no server might be elected from which it could learn of that folder.
    ///
    /// It cannot be an earlier folder. What bound the later one is committed, so every later leader holds it. The
    /// earlier one, which was removed first, does not: its last entry is older than any log that knows its successor.
    fn is_from_later_folder(&self, envelope: &Envelope) -> bool {
        let (Message::PreVote { last, .. } | Message::Vote { last } | Message::TransferVote { last }) =
            &envelope.message
        else {
            return false;
        };
        *last > self.server.log.last()
    }

    /// Whether a message of a leader comes from one that this server does not know yet. That leader was elected by
    /// servers that know its folder. A lagging log may know an earlier one, and must not keep itself from catching up.
    ///
    /// It cannot be the earlier folder that speaks. The new one was bound after that one was lost, in the last term
    /// that the earlier one led or a later one, and leads in later terms only (see `joining`). So in a term that is not
    /// over for this server, one of the two leads at most.
    fn is_from_new_leader(&self, envelope: &Envelope) -> bool {
        let leads = matches!(
            envelope.message,
            Message::Append { .. } | Message::Heartbeat { .. } | Message::SnapshotChunk { .. }
        );
        let term = self.server.out.term();
        let is_new = envelope.term > term || (envelope.term == term && self.server.leader().is_none());
        leads && is_new
    }

    /// The messages to which the rule about terms does not apply come first: `Hello` and its reply, and pre-votes,
    /// whose terms ask about the future.
    fn on_well_formed(&mut self, envelope: Envelope) {
        let from = Sender::of(&envelope);
        let Envelope {
            cluster,
            term,
            message,
            to_incarnation: addressed_as,
            ..
        } = envelope;
        let server = &mut self.server;
        match (&mut self.role, message) {
            // A server without a disk's memory asks where it stands. Every server may say so, by what it has committed.
            (Role::Leader(leader), Message::Hello) => leader.on_hello(server, from),
            (_, Message::Hello) => {
                server.on_hello(from);
            }
            // The answer decides whether this server's start is a first one; it means nothing once that is decided.
            (Role::Joining(joining), Message::HelloReply { standing }) => {
                let next = joining.on_hello_reply(server, from, cluster, term, standing);
                self.carry_out(next);
            }
            // A server of this cluster took this one for a server of another one, before either knew better.
            (_, Message::HelloReply { .. } | Message::OtherCluster) => server.ignored.stale += 1,
            // A leader that is not a known member: it has added this server, which now knows whom to ask.
            (Role::Joining(joining), Message::Heartbeat { .. })
                if !server.log.membership().contains(from.node) =>
            {
                joining.on_heartbeat(server, from);
            }
            // Greetings say who speaks, whatever the term.
            (
                _,
                Message::Greeting {
                    heard,
                    lacks,
                    tick_micros,
                    settings,
                    ..
                },
            ) => self.on_greeting(from, addressed_as, (heard, lacks), (tick_micros, settings)),
            // A server that does not know yet whether its disk was lost must not take part: see `joining`.
            (Role::Joining(_), _) => server.ignored.stale += 1,
            // A pre-vote asks about a term that no server need be in. Answering it changes nothing.
            (_, Message::PreVote { ask, last }) => {
                let knows_me = server.is_known_to(addressed_as);
                self.on_pre_vote(from, knows_me, term, ask, last);
            }
            // A granted pre-vote comes from a voter that may be in an earlier term, so it is no stale message.
            (Role::Candidate(candidate), Message::PreVoteReply { ask, granted: true }) => {
                let next = candidate.on_pre_vote_granted(server, from, term, ask);
                self.carry_out(next);
            }
            (_, Message::PreVoteReply { granted: true, .. }) => server.ignored.stale += 1,
            (_, message) => self.on_termed(from, addressed_as, term, message),
        }
    }

    /// The rule about terms (paper, Figure 2, "Rules for Servers"; §5.1), once for all messages to which it applies.
    fn on_termed(&mut self, from: Sender, addressed_as: Option<Incarnation>, term: Term, message: Message) {
        let is_stale = term < self.server.out.term();
        let is_stale = plant!(
            is_stale,
            COUNTS_OLD_VOTES => is_stale && !matches!(message, Message::VoteReply { .. })
        );
        if is_stale {
            plant!(
                self.answer_earlier_term(from, message),
                OBEYS_STALE_LEADER => self.obey_or_answer(from, message)
            );
            return;
        }
        let confirms = matches!(
            message,
            Message::HeartbeatReply { .. } | Message::AppendReply { .. }
        );
        if term > self.server.out.term() && !(confirms && confirms_by_later_term()) {
            // Dissertation §4.2.3: while a server hears its leader, a campaign is no reason to leave the term, unless
            // that leader asked for it, which a `TransferVote` says.
            let is_sticky = matches!(message, Message::Vote { .. }) && self.role.hears_leader(&self.server);
            let is_sticky = plant!(is_sticky, FOLLOWS_ANY_CAMPAIGN => false);
            if is_sticky {
                self.server.ignored.sticky += 1;
                return;
            }
            self.server.set_term(term);
            self.carry_out(Transition::Follow(None).into());
        }
        self.dispatch(from, addressed_as, message);
    }

    /// A message of the present term, to the rule of the role that it is for.
    fn dispatch(&mut self, from: Sender, addressed_as: Option<Incarnation>, message: Message) {
        let server = &mut self.server;
        let knows_me = server.is_known_to(addressed_as);
        match (&mut self.role, message) {
            // A candidate of this term asks for this server's vote. A vote is given once in a term and is durable before
            // the answer leaves, so no two candidates get it.
            (_, Message::Vote { last }) => self.on_vote(from, knows_me, last, false),
            // The same, and the leader that this server hears wants it: stickiness does not count.
            (_, Message::TransferVote { last }) => self.on_vote(from, knows_me, last, true),
            // A voter's answer. Only the campaign of this very term counts it.
            (Role::Candidate(candidate), Message::VoteReply { granted }) => {
                let next = candidate.on_vote_reply(server, from, granted);
                self.carry_out(next);
            }
            // The leader of this term has handed over its whole log and asks this server to campaign.
            (Role::Follower(follower), Message::TimeoutNow) => {
                let next = follower.on_timeout_now(server, from);
                self.carry_out(next);
            }
            // Only the leader of this term sends these, and the term has one. So a candidate that receives one has lost.
            (
                _,
                message
                @ (Message::Append { .. } | Message::Heartbeat { .. } | Message::SnapshotChunk { .. }),
            ) => {
                self.on_leader_message(from, message);
            }
            // How far a peer's log is durable, or where it parts from the leader's. It counts for this leadership only:
            // the leader compares the session.
            (
                Role::Leader(leader),
                Message::AppendReply {
                    session,
                    round,
                    promise_micros,
                    outcome,
                },
            ) => {
                let next = leader.on_append_reply(server, from, (session, round), promise_micros, outcome);
                self.carry_out(next);
            }
            // A peer follows this leader in this round: what was asked before the round began may be answered.
            (
                Role::Leader(leader),
                Message::HeartbeatReply {
                    session,
                    round,
                    promise_micros,
                    level,
                    halted,
                    stalled,
                    wall_time,
                },
            ) => {
                let said = (promise_micros, (level, halted, stalled), wall_time);
                leader.on_heartbeat_reply(server, from, (session, round), said);
            }
            // How much of a snapshot a peer has stored; the next piece may leave.
            (
                Role::Leader(leader),
                Message::SnapshotReply {
                    session,
                    last,
                    received_bytes,
                },
            ) => leader.on_snapshot_reply(server, from, session, last, received_bytes),
            // Another server's clients want commands in the log. Each number is appended once at most.
            (
                Role::Leader(leader),
                Message::Forward {
                    boot,
                    floor,
                    commands,
                },
            ) => leader.on_forward(server, from, boot, floor, commands),
            // The leader refused commands of this server's clients, and will refuse every copy of them.
            (_, Message::ForwardRefused { boot, refused }) => server.on_forward_refused(from, boot, refused),
            // Another server's clients want to read. A read changes nothing, so it may be asked about again.
            (Role::Leader(leader), Message::ReadIndex { boot, request, mode }) => {
                leader.on_read_index(server, from, boot, request, mode);
            }
            // From which index on this server's reads may be answered, however late that is heard: nothing beyond it
            // was committed when they were asked.
            (
                _,
                Message::ReadIndexReply {
                    boot,
                    request,
                    outcome,
                },
            ) => server.on_read_index_reply(boot, request, outcome),
            // A refusal's only news is the term in its envelope, which has been taken in before.
            (_, Message::PreVoteReply { .. }) => {}
            // The role that asked, or that could answer, is over. A server that still needs the answer asks again.
            (
                _,
                Message::VoteReply { .. }
                | Message::TimeoutNow
                | Message::AppendReply { .. }
                | Message::HeartbeatReply { .. }
                | Message::SnapshotReply { .. }
                | Message::Forward { .. }
                | Message::ReadIndex { .. },
            ) => server.ignored.stale += 1,
            (
                _,
                Message::Hello
                | Message::HelloReply { .. }
                | Message::OtherCluster
                | Message::Greeting { .. }
                | Message::PreVote { .. },
            ) => {
                debug_assert!(
                    false,
                    "messages without the rule about terms are dispatched before it"
                );
            }
        }
    }

    /// A message that only the leader of a term sends.
    fn on_leader_message(&mut self, from: Sender, message: Message) {
        let is_follower = matches!(self.role, Role::Follower(_));
        if let Role::Candidate(_) = self.role {
            // §5.2: a candidate that hears from the leader of its term returns to following.
            self.carry_out(Transition::Follow(Some(from)).into());
        }
        let server = &mut self.server;
        let Role::Follower(follower) = &mut self.role else {
            // A second leader of this server's own term.
            server.ignored.contradicting += 1;
            return;
        };
        if is_follower && !follower.follow(server, from) {
            server.ignored.contradicting += 1;
            return;
        }
        debug_assert_eq!(
            server.leader(),
            Some(from.node),
            "the sender is the one leader of this term"
        );
        match message {
            Message::Append {
                session,
                round,
                prev,
                commit,
                entries,
            } => follower.on_append(server, from.node, (session, round), prev, commit, entries),
            Message::Heartbeat {
                session,
                round,
                commit,
            } => follower.on_heartbeat(server, from.node, (session, round), commit),
            Message::SnapshotChunk {
                session,
                meta,
                total_bytes,
                checksum,
                offset,
                data,
            } => {
                let chunk = Chunk {
                    session,
                    meta,
                    total_bytes,
                    checksum,
                    offset,
                    data,
                };
                follower.on_snapshot_chunk(server, from.node, chunk);
            }
            _ => debug_assert!(false, "other messages are not only the leader's"),
        }
    }

    /// Tells the server that sent a message of an earlier term which term it is. Without an answer, a partitioned server
    /// with a higher term would never be accepted again by a leader that does not know of it.
    fn answer_earlier_term(&mut self, from: Sender, message: Message) {
        self.server.ignored.stale += 1;
        unless_planted!(SILENT_TO_EARLIER_TERMS, self.say_which_term_it_is(from, message));
    }

    fn say_which_term_it_is(&mut self, from: Sender, message: Message) {
        let met = self.folder_met(from.node);
        match message {
            Message::Vote { .. } | Message::TransferVote { .. } => {
                let refusal = Message::VoteReply { granted: false };
                self.server.answer(from, Promise::Term, refusal);
            }
            Message::Append { session, round, .. } | Message::Heartbeat { session, round, .. }
                if confirms_by_later_term() =>
            {
                let reply = self.server.heartbeat_reply(session, round, 0);
                self.server.send(from.node, met, Promise::Term, reply);
            }
            // It names no session: the sender may lead again in the term of this answer, with sessions and rounds of
            // the same numbers, and would take it for a confirmation of what it asks now.
            Message::Append { .. } | Message::Heartbeat { .. } | Message::SnapshotChunk { .. } => {
                let (session, round) = (PeerSession::NONE, Round::new(0));
                let reply = self.server.heartbeat_reply(session, round, 0);
                self.server.send(from.node, met, Promise::Term, reply);
            }
            _ => {}
        }
    }

    /// What a planted bug does with a message of an earlier term.
    fn obey_or_answer(&mut self, from: Sender, message: Message) {
        if matches!(message, Message::TimeoutNow) && self.server.may_campaign() {
            self.carry_out(Transition::Campaign { in_transfer: true }.into());
        } else {
            self.answer_earlier_term(from, message);
        }
    }
}

fn is_addressed_to(me: &crate::types::Identity, envelope: &Envelope) -> bool {
    envelope.group == me.group && envelope.to == me.node && envelope.from != me.node
}

/// A planted bug that takes two places: an answer to an earlier term has to name what it answers, too.
fn confirms_by_later_term() -> bool {
    plant!(false, CONFIRMS_BY_LATER_TERM => true)
}
