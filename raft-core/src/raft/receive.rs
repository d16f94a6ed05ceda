//! What becomes of a message: whether it is meant for this server and makes sense, and the rule about terms, once for
//! all messages to which it applies.

use crate::message::{Envelope, Message};
use crate::outbox::Promise;
use crate::types::{Incarnation, NodeId, PeerSession, Round, Term};

use super::{Raft, Role};

impl Raft {
    pub(super) fn on_receive(&mut self, envelope: Envelope) {
        if !self.is_addressed_here(&envelope) {
            self.ignored.misaddressed += 1;
            return;
        }
        if !self.incarnations_match(&envelope) {
            self.ignored.fenced += 1;
            return;
        }
        if envelope.term.is_malformed() || !envelope.message.is_well_formed(envelope.term) {
            self.ignored.malformed += 1;
            return;
        }
        let Envelope {
            from,
            from_incarnation,
            term,
            message,
            ..
        } = envelope;
        match (&self.role, message) {
            (_, Message::Hello) => self.on_hello(from, from_incarnation),
            (_, Message::HelloReply { standing }) => self.on_hello_reply(from, term, standing),
            (Role::Joining(_), Message::Heartbeat { .. }) if !self.log.membership().contains(from) => {
                self.on_called(from);
            }
            // Whoever does not know yet whether its disk was lost must not take part: see `joining`.
            (Role::Joining(_), _) => self.ignored.stale += 1,
            (_, Message::PreVote { ask, last }) => {
                self.on_pre_vote(from, from_incarnation, term, ask, last);
            }
            (_, Message::PreVoteReply { ask, granted: true }) => self.on_pre_vote_granted(from, term, ask),
            (_, message) => self.on_termed(from, from_incarnation, term, message),
        }
    }

    fn is_addressed_here(&self, envelope: &Envelope) -> bool {
        let me = self.out.identity();
        envelope.group == me.group && envelope.to == me.node && envelope.from != me.node
    }

    /// Fails closed: where the log knows a data folder, no other one speaks for its server.
    fn incarnations_match(&self, envelope: &Envelope) -> bool {
        let mine = self.out.identity().incarnation;
        if envelope.to_incarnation.is_some_and(|meant| meant != mine) {
            return false;
        }
        let asks_to_join = matches!(envelope.message, Message::Hello);
        let known = self.incarnation_of(envelope.from);
        asks_to_join
            || known.is_none_or(|known| known == envelope.from_incarnation)
            || self.is_said_by_an_unknown_leader(envelope)
            || self.is_asked_by_a_later_folder(envelope)
    }

    /// Whoever asks for votes with more of the log than this server holds may have a folder that this log does not know
    /// yet. Without this vote, nobody might be elected from whom this server could learn of it.
    ///
    /// It cannot be an earlier folder. What bound the later one is committed, so whoever is elected from then on holds
    /// it, and the earlier one, which was removed first, is not: its last entry is older than any log that knows its
    /// successor.
    fn is_asked_by_a_later_folder(&self, envelope: &Envelope) -> bool {
        let (Message::PreVote { last, .. } | Message::Vote { last } | Message::TransferVote { last }) =
            &envelope.message
        else {
            return false;
        };
        *last > self.log.last()
    }

    /// Whoever leads was elected by those who know its folder. A log that is behind may know an earlier one, and must
    /// not keep itself from catching up.
    ///
    /// It cannot be the earlier folder that speaks. The new one was bound after that one was lost, in a term at or
    /// behind the last one that it led, and leads in later terms only (see `take_part_after`). So in a term that is not
    /// over for this server, one of the two leads at most.
    fn is_said_by_an_unknown_leader(&self, envelope: &Envelope) -> bool {
        let leads = matches!(
            envelope.message,
            Message::Append { .. } | Message::Heartbeat { .. } | Message::SnapshotChunk { .. }
        );
        let term = self.out.term();
        let is_unknown = envelope.term > term || (envelope.term == term && self.leader().is_none());
        leads && is_unknown
    }

    /// The rule about terms (paper, Figure 2, "Rules for Servers"; §5.1), once for all messages to which it applies.
    fn on_termed(&mut self, from: NodeId, incarnation: Incarnation, term: Term, message: Message) {
        let is_old_vote = matches!(message, Message::VoteReply { .. });
        if term < self.out.term() && !(planted!(COUNTS_OLD_VOTES) && is_old_vote) {
            if planted!(OBEYS_STALE_LEADER) && matches!(message, Message::TimeoutNow) && self.may_campaign() {
                let last = self.log.last();
                self.become_candidate(&Message::TransferVote { last });
                return;
            }
            self.answer_earlier_term(from, incarnation, message);
            return;
        }
        let confirms = matches!(
            message,
            Message::HeartbeatReply { .. } | Message::AppendReply { .. }
        );
        if term > self.out.term() && !(confirms && confirms_by_later_term()) {
            // Dissertation §4.2.3: while a leader makes itself heard, a campaign is no reason to move on, unless that
            // leader asked for it, which a `TransferVote` says.
            if matches!(message, Message::Vote { .. })
                && self.hears_a_leader()
                && !planted!(FOLLOWS_ANY_CAMPAIGN)
            {
                self.ignored.sticky += 1;
                return;
            }
            self.set_term(term);
            self.become_follower(None);
        }
        self.dispatch(from, incarnation, message);
    }

    /// A message of the present term, to the rule that it is for.
    fn dispatch(&mut self, from: NodeId, incarnation: Incarnation, message: Message) {
        match message {
            Message::Vote { last } => self.on_vote(from, incarnation, last, false),
            Message::TransferVote { last } => self.on_vote(from, incarnation, last, true),
            Message::TimeoutNow => self.on_timeout_now(from),
            Message::VoteReply { granted } => self.on_vote_reply(from, granted),
            Message::Append {
                session,
                round,
                prev,
                commit,
                entries,
            } => {
                if self.follow(from, incarnation) {
                    self.on_append(from, session, round, prev, commit, entries);
                }
            }
            Message::AppendReply {
                session,
                round,
                outcome,
            } => {
                self.on_append_reply(from, incarnation, session, round, outcome);
            }
            Message::Heartbeat {
                session,
                round,
                commit,
            } => {
                if self.follow(from, incarnation) {
                    self.on_heartbeat(from, session, round, commit);
                }
            }
            Message::HeartbeatReply { session, round } => {
                self.on_heartbeat_reply(from, incarnation, session, round);
            }
            Message::SnapshotChunk {
                session,
                meta,
                total_bytes,
                checksum,
                offset,
                data,
            } => {
                if self.follow(from, incarnation) {
                    self.on_snapshot_chunk(from, session, *meta, total_bytes, checksum, offset, data);
                }
            }
            Message::SnapshotReply {
                session,
                last,
                received_bytes,
            } => {
                self.on_snapshot_reply(from, incarnation, session, last, received_bytes);
            }
            Message::Forward {
                boot,
                floor,
                commands,
            } => self.on_forward(from, incarnation, boot, floor, commands),
            Message::ForwardRefused { boot, refused } => self.on_forward_refused(from, boot, refused),
            Message::ReadIndex { boot, request, mode } => self.on_read_index(from, boot, request, mode),
            Message::ReadIndexReply {
                boot,
                request,
                outcome,
            } => self.on_read_index_reply(boot, request, outcome),
            // A refusal's only news is the term in its envelope, which has been taken in before.
            Message::PreVoteReply { .. } => {}
            Message::Hello | Message::HelloReply { .. } | Message::PreVote { .. } => {
                debug_assert!(
                    false,
                    "messages without the rule about terms are dispatched before it"
                );
            }
        }
    }

    /// Tells a server that lags behind which term it is. Without an answer a partitioned server with a higher term
    /// would never be let in again by a leader that does not know of it.
    fn answer_earlier_term(&mut self, from: NodeId, incarnation: Incarnation, message: Message) {
        self.ignored.stale += 1;
        if planted!(SILENT_TO_EARLIER_TERMS) {
            return;
        }
        match message {
            Message::Vote { .. } | Message::TransferVote { .. } => {
                let refusal = Message::VoteReply { granted: false };
                self.out.send(from, Some(incarnation), Promise::Term, refusal);
            }
            Message::Append { session, round, .. } | Message::Heartbeat { session, round, .. }
                if confirms_by_later_term() =>
            {
                self.send(from, Promise::Term, Message::HeartbeatReply { session, round });
            }
            // It names no session: the sender may lead again in the term of this answer, with sessions and rounds of
            // the same numbers, and would take it for a confirmation of what it asks now.
            Message::Append { .. } | Message::Heartbeat { .. } | Message::SnapshotChunk { .. } => {
                let (session, round) = (PeerSession::NONE, Round::new(0));
                self.send(from, Promise::Term, Message::HeartbeatReply { session, round });
            }
            _ => {}
        }
    }
}

/// A planted bug that takes two: an answer to an earlier term has to name what it answers, too.
fn confirms_by_later_term() -> bool {
    planted!(CONFIRMS_BY_LATER_TERM)
}
