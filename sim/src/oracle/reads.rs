//! C4: a linearizable read that only its leader's quorum has to confirm (ReadIndex; paper §8, dissertation §6.4).
//!
//! C2 sees a stale answer only if some client already knows of a later entry. Here every read is judged by how it was
//! confirmed. It reflects everything that was committed when it arrived, and since then a quorum has answered its
//! leader as their leader. A read that is answered at once, on a lease (dissertation §6.4.1), instead requires that no
//! other leader has been elected since; `leases` checks what the lease itself rests on. A forwarded read is judged at
//! the server to which it was forwarded.

use raft_core::{Index, Membership, NodeId, Round, Term};

use super::{Judgement, Oracle, count, violated};
use crate::places::place_of;

/// What confirms a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// A quorum's answers.
    Quorum,
    /// A quorum's answers, or a lease.
    Lease,
    /// The leader to which the read is forwarded.
    Leader,
}

/// A read that a server has accepted and not answered.
#[derive(Clone, Copy, Debug)]
struct Pending {
    read: u64,
    basis: Basis,
    /// The number of the event in which it arrived.
    arrived: u64,
    /// The last position that was committed then, anywhere.
    committed: Option<Index>,
    /// Whether a quorum has answered since.
    confirmed: bool,
}

/// The reads of one server, and which peers have answered it when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pending: Vec<Pending>,
    /// The event in which the leader first sent a message of each read round.
    began: Vec<(Round, u64)>,
    /// For each peer: the latest event whose message it has answered.
    answered: [Option<u64>; super::stability::PLACES],
}

impl Reads {
    /// The server becomes the leader, and no peer has answered it yet.
    pub(crate) fn becomes_leader(&mut self) {
        self.began.clear();
        self.answered = Default::default();
    }

    /// A read arrives, and perhaps again: all copies are judged by the first.
    pub(crate) fn arrives(&mut self, read: u64, basis: Basis, event: u64, committed: Option<Index>) {
        if self.pending.iter().any(|pending| pending.read == read) {
            return;
        }
        self.pending.push(Pending {
            read,
            basis,
            arrived: event,
            committed,
            confirmed: false,
        });
    }

    /// A read was rejected.
    pub(crate) fn ends(&mut self, read: u64) {
        self.pending.retain(|pending| pending.read != read);
    }

    /// The leader sends a message of this read round.
    pub(crate) fn sends(&mut self, round: Round, event: u64) {
        if self.began.last().is_none_or(|(latest, _)| *latest < round) {
            self.began.push((round, event));
        }
    }

    /// A peer's answer of this read round, and of the leader's term, has reached the leader.
    pub(crate) fn is_answered(&mut self, node: NodeId, by: usize, round: Round, membership: &Membership) {
        // Nearly always the latest round is answered. A round that has not begun was answered in another leadership.
        let Some(&(_, event)) = self.began.iter().rev().find(|(began, _)| *began == round) else {
            return;
        };
        let Some(answered) = self.answered.get_mut(by) else {
            return;
        };
        if *answered >= Some(event) {
            return;
        }
        *answered = Some(event);
        for pending in self.pending.iter_mut().filter(|pending| !pending.confirmed) {
            pending.confirmed = confirms(node, &self.answered, membership, pending.arrived);
        }
    }

    /// Whether this read, answered in this event, rests on nothing but a lease.
    pub(crate) fn rests_on_lease(&self, read: u64, event: u64) -> bool {
        self.pending
            .iter()
            .any(|pending| (pending.read, pending.basis, pending.arrived) == (read, Basis::Lease, event))
    }

    /// C4: the server answers a read as of this position, in this event. It believes that it leads term `led`, and
    /// `latest` is the latest term that any server has won.
    pub(crate) fn answers(
        &mut self,
        node: NodeId,
        (read, index, event): (u64, Index, u64),
        (led, latest): (Term, Term),
        membership: &Membership,
    ) -> Judgement {
        let Some(pending) = self.pending.iter().find(|pending| pending.read == read) else {
            return Ok(());
        };
        if Some(index) < pending.committed {
            let message = format!(
                "server {node} answers attempt {read} as of {index}, but {} was committed when it arrived",
                count(pending.committed)
            );
            return violated(Oracle::C4, message);
        }
        if pending.basis == Basis::Lease && event == pending.arrived {
            if latest > led {
                let message = format!(
                    "server {node} answers attempt {read} on its lease of term {led}, but term {latest} has a leader"
                );
                return violated(Oracle::C4, message);
            }
            return Ok(());
        }
        // A read that was confirmed by a lease may have to wait for the state machine.
        let needs_quorum = pending.basis == Basis::Quorum;
        if needs_quorum && !pending.confirmed && !confirms(node, &self.answered, membership, pending.arrived)
        {
            let message = format!(
                "server {node} answers attempt {read}, but no quorum has confirmed it as leader since the read arrived"
            );
            return violated(Oracle::C4, message);
        }
        Ok(())
    }
}

/// Whether a quorum has answered what the leader sent in this event or later.
fn confirms(
    node: NodeId,
    answered: &[Option<u64>; super::stability::PLACES],
    membership: &Membership,
    arrived: u64,
) -> bool {
    membership.has_quorum(|voter| {
        voter == node || answered.get(place_of(voter)).copied().flatten() >= Some(arrived)
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, node, reports, three};
    use super::*;

    fn read(committed: Option<Index>, arrived: u64) -> Reads {
        let mut reads = Reads::default();
        reads.becomes_leader();
        reads.sends(Round::new(1), 10);
        reads.arrives(7, Basis::Quorum, arrived, committed);
        reads
    }

    #[test]
    fn c4_reports_a_read_that_no_quorum_has_confirmed_since_it_arrived() {
        let answer =
            |mut reads: Reads| reads.answers(node(1), (7, at(5), 20), (Term::new(1), Term::new(1)), &three());
        reports(Oracle::C4, answer(read(None, 10)));
        let mut confirmed = read(None, 10);
        confirmed.is_answered(node(1), 2, Round::new(1), &three());
        assert_eq!(answer(confirmed), Ok(()));
        let mut foreign = read(None, 10);
        foreign.is_answered(node(1), 2, Round::new(2), &three());
        reports(Oracle::C4, answer(foreign));
        let mut earlier = read(None, 11);
        earlier.is_answered(node(1), 2, Round::new(1), &three());
        reports(Oracle::C4, answer(earlier.clone()));
        earlier.sends(Round::new(2), 11);
        earlier.is_answered(node(1), 1, Round::new(2), &three());
        earlier.becomes_leader();
        assert_eq!(answer(earlier), Ok(()), "what was confirmed stays confirmed");
    }

    #[test]
    fn c4_reports_a_read_that_misses_what_was_committed_when_it_arrived() {
        let confirmed = |committed| {
            let mut reads = read(committed, 10);
            reads.is_answered(node(1), 2, Round::new(1), &three());
            reads
        };
        let answer =
            |mut reads: Reads| reads.answers(node(1), (7, at(5), 20), (Term::new(1), Term::new(1)), &three());
        assert_eq!(answer(confirmed(Some(at(5)))), Ok(()));
        reports(Oracle::C4, answer(confirmed(Some(at(6)))));
    }

    #[test]
    fn c4_reports_a_lease_that_has_expired() {
        let answer = |basis, event, latest| {
            let mut reads = Reads::default();
            reads.arrives(7, basis, 10, None);
            reads.answers(
                node(1),
                (7, at(5), event),
                (Term::new(1), Term::new(latest)),
                &three(),
            )
        };
        assert_eq!(answer(Basis::Lease, 10, 1), Ok(()));
        reports(Oracle::C4, answer(Basis::Lease, 10, 2));
        assert_eq!(answer(Basis::Leader, 11, 2), Ok(()));
    }
}
