//! L10: what waits for a disk waits no longer than the disk takes.
//!
//! A lost wake-up is easily overlooked: a later write, or a retransmitted message, does what was forgotten. So every
//! server is checked when it is told that a write is durable. It must then have sent every answer that waited for that
//! write, and must have drawn the conclusions that follow from it.

use raft_core::{NodeId, Term};

use super::{Judgement, Oracle, violated};

/// The kind of answer that a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `HeartbeatReply`.
    Heartbeat,
    /// `AppendReply`.
    Append,
    /// `PreVoteReply`.
    PreVote,
    /// `VoteReply`.
    Vote,
}

/// An answer that is owed to a peer, and waits for a write.
#[derive(Clone, Copy, Debug)]
struct Owed {
    to: NodeId,
    answer: Answer,
    term: Term,
    ticket: u64,
}

/// What one server owes, and what it has been told of its disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakeups {
    /// The last write that it waits for.
    issued: u64,
    /// It is told that everything up to this ticket is durable.
    told: u64,
    owed: Vec<Owed>,
}

impl Wakeups {
    /// It hands out a write that it waits for.
    pub(crate) fn issued(&mut self, ticket: u64) {
        self.issued = ticket;
    }

    /// Whether everything that it has written is durable, and it has been told so.
    pub(crate) const fn is_up_to_date(&self) -> bool {
        self.told >= self.issued
    }

    /// It received a request, and has not answered in the same step.
    pub(crate) fn owes(&mut self, to: NodeId, answer: Answer, term: Term) {
        self.owed.push(Owed {
            to,
            answer,
            term,
            ticket: self.issued,
        });
    }

    /// Whether an answer is owed.
    pub(crate) fn owes_an_answer(&self) -> bool {
        !self.owed.is_empty()
    }

    /// It is told that everything up to this write is durable.
    pub(crate) fn told(&mut self, ticket: u64) {
        self.told = self.told.max(ticket);
    }

    /// It answers. One answer may settle several requests.
    pub(crate) fn answers(&mut self, to: NodeId, answer: Answer) {
        self.owed.retain(|owed| owed.to != to || owed.answer != answer);
    }

    /// L10: no answer is still owed that only waited for what is now durable. An answer that was owed in an earlier
    /// term is of no use to any server.
    pub(crate) fn judge(&mut self, node: NodeId, term: Term) -> Judgement {
        self.owed.retain(|owed| owed.term == term);
        match self.owed.iter().find(|owed| owed.ticket <= self.told) {
            None => Ok(()),
            Some(Owed {
                to, answer, ticket, ..
            }) => violated(
                Oracle::L10,
                format!(
                    "server {node} owes {to} an answer ({answer:?}) that waits for write {ticket}, but has been told that {} is durable",
                    self.told
                ),
            ),
        }
    }
}

/// L10: a server that was told of a durable write has drawn this conclusion from it.
pub(crate) fn concluded(node: NodeId, what: &'static str, has_concluded: bool) -> Judgement {
    match has_concluded {
        true => Ok(()),
        false => violated(
            Oracle::L10,
            format!("server {node} has been told that its write is durable, but {what}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{node, reports};
    use super::*;

    #[test]
    fn l10_reports_an_answer_that_its_write_does_not_release() {
        let term = Term::new(3);
        let mut wakeups = Wakeups::default();
        wakeups.issued(7);
        wakeups.owes(node(2), Answer::Append, term);
        wakeups.told(6);
        assert_eq!(
            wakeups.judge(node(1), term),
            Ok(()),
            "it waits for the next write"
        );
        wakeups.told(7);
        reports(Oracle::L10, wakeups.judge(node(1), term));
        let mut answered = wakeups.clone();
        answered.answers(node(2), Answer::Append);
        assert_eq!(answered.judge(node(1), term), Ok(()));
        assert_eq!(
            wakeups.judge(node(1), Term::new(4)),
            Ok(()),
            "the term has passed"
        );
    }

    #[test]
    fn l10_reports_an_answer_that_waits_for_no_write_at_all() {
        let mut wakeups = Wakeups::default();
        wakeups.issued(7);
        wakeups.told(7);
        wakeups.owes(node(2), Answer::Heartbeat, Term::new(3));
        reports(Oracle::L10, wakeups.judge(node(1), Term::new(3)));
    }

    #[test]
    fn l10_reports_a_conclusion_that_was_not_drawn() {
        assert_eq!(concluded(node(1), "has not applied it", true), Ok(()));
        reports(Oracle::L10, concluded(node(1), "has not applied it", false));
    }
}
