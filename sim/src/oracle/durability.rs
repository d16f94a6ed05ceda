//! S12 and S13: what a message promises must be on the disk, judged at the moment the message is put on the wire.

use std::collections::BTreeMap;

use raft_core::{AppendOutcome, Envelope, Message, NodeId, Term};

use super::commit::covers;
use super::facts::Facts;
use super::{Judgement, Oracle, violated};
use crate::disk::Image;

/// Every vote that ever was on the wire.
#[derive(Default)]
pub(crate) struct Promises {
    votes: BTreeMap<(Term, NodeId), NodeId>,
}

impl Promises {
    /// S12 and S13: a server sends this; `image` is its durable image. The earlier votes of a server with a faulty disk
    /// are the fault budget's to judge.
    pub(crate) fn sent(
        &mut self,
        facts: &Facts,
        envelope: &Envelope,
        image: &Image,
        is_faulty: bool,
    ) -> Judgement {
        let (from, term) = (envelope.from, envelope.term);
        if image.hard_state.term < term {
            let message = format!(
                "server {from} sends {} of term {term}, but its disk knows term {}",
                envelope.message.name(),
                image.hard_state.term
            );
            return violated(Oracle::S13, message);
        }
        if is_faulty {
            self.votes.remove(&(term, from));
        }
        match &envelope.message {
            // A candidate's request says that it has voted for itself.
            Message::Vote { .. } | Message::TransferVote { .. } => self.voted(term, from, from, image),
            Message::VoteReply { granted: true, .. } => self.voted(term, from, envelope.to, image),
            Message::AppendReply {
                outcome: AppendOutcome::Accepted { last: Some(last) },
                ..
            } if !covers(facts, image, *last) => {
                let held = image
                    .log_id(last.index)
                    .map_or("nothing".to_owned(), |held| held.to_string());
                let message = format!("server {from} acknowledges {last}, but its disk has {held} there");
                violated(Oracle::S13, message)
            }
            _ => Ok(()),
        }
    }

    /// S13: what a leader sends to a witness is on its own disk. Otherwise a crash could leave an entry on witnesses
    /// only, and no server that may lead would hold it.
    pub(crate) fn sent_to_witness(facts: &Facts, envelope: &Envelope, image: &Image) -> Judgement {
        let Message::Append { entries, .. } = &envelope.message else {
            return Ok(());
        };
        match entries.last() {
            Some(entry) if !covers(facts, image, entry.id) => {
                let (from, to, last) = (envelope.from, envelope.to, entry.id);
                let message =
                    format!("server {from} sends the witness {to} {last}, but its own disk does not hold it");
                violated(Oracle::S13, message)
            }
            _ => Ok(()),
        }
    }

    /// The candidate for which a server has voted in this term, on the wire.
    pub(crate) fn vote(&self, term: Term, voter: NodeId) -> Option<NodeId> {
        self.votes.get(&(term, voter)).copied()
    }

    fn voted(&mut self, term: Term, voter: NodeId, candidate: NodeId, image: &Image) -> Judgement {
        let first = *self.votes.entry((term, voter)).or_insert(candidate);
        if first != candidate {
            let message = format!(
                "server {voter} votes for {candidate} in term {term}, but it has already voted for {first}"
            );
            return violated(Oracle::S12, message);
        }
        if image.hard_state.term != term || image.hard_state.vote != Some(candidate) {
            let on_disk = image.hard_state;
            let message =
                format!("server {voter} votes for {candidate} in term {term}, but its disk has {on_disk:?}");
            return violated(Oracle::S12, message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{command, facts, id, node, persist, reports};
    use super::*;
    use raft_core::{GroupId, HardState, Incarnation, PeerSession, Round};

    fn envelope(term: u64, to: u64, message: Message) -> Envelope {
        Envelope {
            group: GroupId::new(1),
            cluster: raft_core::ClusterId::UNKNOWN,
            from_boot: raft_core::Boot::new(1, 1),
            from: node(1),
            from_incarnation: Incarnation::new(1),
            to: node(to),
            to_incarnation: None,
            term: Term::new(term),
            message,
        }
    }

    fn image(term: u64, vote: Option<u64>) -> Image {
        let mut write = persist(vec![command(1, 1, "a")]);
        write.hard_state = Some(Box::new(HardState {
            term: Term::new(term),
            vote: vote.map(node),
            ..HardState::default()
        }));
        let mut image = Image::default();
        image.write(&write, None, usize::MAX);
        image
    }

    fn granted() -> Message {
        Message::VoteReply { granted: true }
    }

    #[test]
    fn s12_reports_a_second_vote_and_a_vote_that_is_not_on_the_disk() {
        let facts = facts(&[], 0);
        let mut promises = Promises::default();
        assert_eq!(
            promises.sent(&facts, &envelope(2, 3, granted()), &image(2, Some(3)), false),
            Ok(())
        );
        assert_eq!(
            promises.sent(&facts, &envelope(2, 3, granted()), &image(2, Some(3)), false),
            Ok(())
        );
        reports(
            Oracle::S12,
            promises.sent(&facts, &envelope(2, 2, granted()), &image(2, Some(2)), false),
        );
        reports(
            Oracle::S12,
            promises.sent(&facts, &envelope(3, 2, granted()), &image(3, None), false),
        );
        let request = envelope(4, 2, Message::Vote { last: None });
        reports(
            Oracle::S12,
            promises.sent(&facts, &request, &image(4, Some(2)), false),
        );
    }

    #[test]
    fn s13_reports_a_term_and_an_acknowledgement_that_are_not_on_the_disk() {
        let facts = facts(&[], 0);
        let mut promises = Promises::default();
        let heartbeat = Message::HeartbeatReply {
            session: PeerSession::new(1),
            round: Round::new(1),
            promise_micros: 0,
            level: raft_core::Level::ZERO,
            halted: false,
            stalled: false,
            wall_time: None,
        };
        reports(
            Oracle::S13,
            promises.sent(&facts, &envelope(3, 2, heartbeat.clone()), &image(2, None), false),
        );
        assert_eq!(
            promises.sent(&facts, &envelope(2, 2, heartbeat), &image(2, None), false),
            Ok(())
        );
        let accepted = |last| Message::AppendReply {
            session: PeerSession::new(1),
            round: Round::new(1),
            outcome: AppendOutcome::Accepted { last: Some(last) },
            promise_micros: 0,
        };
        assert_eq!(
            promises.sent(
                &facts,
                &envelope(2, 2, accepted(id(1, 1))),
                &image(2, None),
                false
            ),
            Ok(())
        );
        reports(
            Oracle::S13,
            promises.sent(
                &facts,
                &envelope(2, 2, accepted(id(1, 2))),
                &image(2, None),
                false,
            ),
        );
        reports(
            Oracle::S13,
            promises.sent(
                &facts,
                &envelope(2, 2, accepted(id(2, 1))),
                &image(2, None),
                false,
            ),
        );
    }

    #[test]
    fn s13_reports_entries_sent_to_a_witness_before_the_leader_has_them_on_disk() {
        let facts = facts(&[], 0);
        let append = |index| Message::Append {
            session: PeerSession::new(1),
            round: Round::new(1),
            prev: None,
            commit: None,
            entries: vec![command(1, index, "a")].into(),
        };
        let judge = |message| Promises::sent_to_witness(&facts, &envelope(2, 2, message), &image(2, None));
        assert_eq!(judge(append(1)), Ok(()));
        reports(Oracle::S13, judge(append(2)));
    }
}
