//! C4 and L4: what a lease rests on (dissertation §6.4.1), seen from outside.
//!
//! A leader that answers on its lease believes that a quorum is bound to it: none of these servers votes for another
//! candidate before the shortest election timeout has passed on its own clock. The leader can conclude that only from
//! replies and from its own clock. The checker sees both sides, so it finds a lease that counts too far even if it does
//! not lead to a second leader.

use raft_core::{Membership, NodeId, Term};

use super::{Judgement, Oracle, violated};

/// Why a server withholds its vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cause {
    /// It has just started, and may have heard a leader before.
    #[default]
    Started,
    /// It has just been admitted, and may have heard a leader with its former disk.
    Admitted,
    /// It has heard this leader.
    Heard(NodeId, Term),
    /// Nothing binds it: its leader has asked it to campaign, and no longer relies on it.
    Released,
}

/// What binds one server, by its own clock. Changing the leader that it follows does not release it: only time does, or
/// that leader itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bond {
    cause: Cause,
    since: u64,
}

impl Bond {
    /// It hears the leader that it follows.
    pub(crate) fn hears(&mut self, leader: NodeId, term: Term, ticks: u64) {
        *self = Self {
            cause: Cause::Heard(leader, term),
            since: ticks,
        };
    }

    /// It is admitted, and takes part from now on.
    pub(crate) fn is_admitted(&mut self, ticks: u64) {
        *self = Self {
            cause: Cause::Admitted,
            since: ticks,
        };
    }

    /// Its leader tells it to campaign.
    pub(crate) const fn is_released(&mut self) {
        self.cause = Cause::Released;
    }

    const fn is_over(self, ticks: u64, shortest: u64) -> bool {
        ticks.saturating_sub(self.since) >= shortest
    }

    /// Whether it withholds its vote from every candidate except this leader now.
    pub(crate) fn binds_to(self, leader: NodeId, term: Term, ticks: u64, shortest: u64) -> bool {
        let is_its = match self.cause {
            Cause::Started | Cause::Admitted => true,
            Cause::Heard(heard, heard_in) => (heard, heard_in) == (leader, term),
            Cause::Released => false,
        };
        is_its && !self.is_over(ticks, shortest)
    }

    /// L4: with leases, a server does not vote before its bond is over, in any term, unless the leader itself asked for
    /// it. A server that takes part for the first time has heard no leader.
    pub(crate) fn may_vote(self, node: NodeId, candidate: NodeId, ticks: u64, shortest: u64) -> Judgement {
        let why = match self.cause {
            _ if self.is_over(ticks, shortest) => return Ok(()),
            Cause::Admitted | Cause::Released => return Ok(()),
            Cause::Heard(leader, term) => format!("it heard {leader}, the leader of term {term}"),
            Cause::Started => "it started".to_owned(),
        };
        let message = format!(
            "server {node} votes for {candidate} {} ticks after {why}, and leases rest on {shortest}",
            ticks.saturating_sub(self.since)
        );
        violated(Oracle::L4, message)
    }
}

/// C4: a leader answers this attempt on its lease, so a quorum is bound to it.
pub(crate) fn has_lease(
    (node, term): (NodeId, Term),
    attempt: u64,
    membership: &Membership,
    is_bound: impl Fn(NodeId) -> bool,
) -> Judgement {
    if membership.has_quorum(|voter| voter == node || is_bound(voter)) {
        return Ok(());
    }
    let message = format!(
        "server {node} answers attempt {attempt} on its lease of term {term}, but no quorum is bound to it any more"
    );
    violated(Oracle::C4, message)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{node, reports, three};
    use super::*;

    const SHORTEST: u64 = 15;

    fn heard(ticks: u64) -> Bond {
        let mut bond = Bond::default();
        bond.hears(node(1), Term::new(4), ticks);
        bond
    }

    #[test]
    fn c4_reports_a_lease_that_outlives_what_binds_its_quorum() {
        let judge = |leader: (NodeId, Term), ticks| {
            has_lease(leader, 7, &three(), |voter| {
                voter == node(2) && heard(100).binds_to(leader.0, leader.1, ticks, SHORTEST)
            })
        };
        assert_eq!(judge((node(1), Term::new(4)), 114), Ok(()));
        reports(Oracle::C4, judge((node(1), Term::new(4)), 115));
        reports(Oracle::C4, judge((node(3), Term::new(4)), 114));
        reports(Oracle::C4, judge((node(1), Term::new(3)), 114));
    }

    #[test]
    fn a_server_that_has_just_started_or_was_admitted_withholds_its_vote() {
        let mut bond = Bond::default();
        assert!(bond.binds_to(node(3), Term::new(9), 14, SHORTEST));
        assert!(!bond.binds_to(node(3), Term::new(9), 15, SHORTEST));
        bond.is_admitted(100);
        assert!(bond.binds_to(node(3), Term::new(9), 114, SHORTEST));
        assert!(!bond.binds_to(node(3), Term::new(9), 115, SHORTEST));
    }

    #[test]
    fn l4_reports_a_vote_on_which_a_lease_may_rest() {
        reports(Oracle::L4, heard(100).may_vote(node(2), node(3), 114, SHORTEST));
        assert_eq!(heard(100).may_vote(node(2), node(3), 115, SHORTEST), Ok(()));
        reports(
            Oracle::L4,
            Bond::default().may_vote(node(2), node(3), 14, SHORTEST),
        );
        let (mut admitted, mut released) = (heard(100), heard(100));
        admitted.is_admitted(101);
        released.is_released();
        for bond in [admitted, released] {
            assert_eq!(bond.may_vote(node(2), node(3), 102, SHORTEST), Ok(()));
        }
        assert!(!released.binds_to(node(1), Term::new(4), 102, SHORTEST));
    }
}
