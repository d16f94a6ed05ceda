//! L1 and L2: what must happen once the faults are over.

use raft_core::{Index, NodeId, RoleName, Vitals};

use super::{Judgement, Oracle, violated};
use crate::nanos::Nanos;

/// A server of the healed core; without vitals it is not even running.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
    pub(crate) vitals: Option<Vitals>,
    /// Whether its program does not understand what it would have to apply next.
    pub(crate) is_stuck: bool,
    /// Whether it would have to take a snapshot next that its program does not understand.
    pub(crate) is_cut_off: bool,
}

/// What keeps the core from having converged, if anything. It has converged when all servers know one leader, have
/// committed and applied everything, and have nothing in flight.
pub(crate) fn obstacle(core: &[Member], committed: Option<Index>) -> Option<String> {
    let term = core
        .iter()
        .filter_map(|member| member.vitals)
        .map(|vitals| vitals.term)
        .max()?;
    let leads = |member: &&Member| {
        member
            .vitals
            .is_some_and(|vitals| vitals.role == RoleName::Leader && vitals.term == term)
    };
    let Some(leader) = core.iter().find(leads) else {
        return Some(format!("no server of the core leads term {term}"));
    };
    for member in core {
        let node = member.node;
        let Some(vitals) = member.vitals else {
            return Some(format!("server {node} is not running"));
        };
        if vitals.leader != Some(leader.node) || vitals.term != term {
            return Some(format!(
                "server {node} does not follow {}, the leader of term {term}",
                leader.node
            ));
        }
        if member.is_cut_off {
            continue;
        }
        // A server that has halted holds the log like the others, and applies no more of it.
        if vitals.applied != committed && !member.is_stuck {
            return Some(format!(
                "server {node} has applied {:?} of {committed:?}",
                vitals.applied
            ));
        }
        if vitals.last.map(|last| last.index) != committed {
            return Some(format!(
                "server {node} has {:?} in its log beyond {committed:?}",
                vitals.last
            ));
        }
    }
    None
}

/// L1: the core must have converged by now.
pub(crate) fn converged_in_time(obstacle: Option<String>, healed: Nanos, now: Nanos) -> Judgement {
    match obstacle {
        None => Ok(()),
        Some(obstacle) => violated(
            Oracle::L1,
            format!(
                "{} after the heal the core has not converged: {obstacle}",
                now.since(healed)
            ),
        ),
    }
}

/// L2: every client must have been served by now. The refusal is what one of those that wait was told last.
pub(crate) fn served_in_time(
    waiting: usize,
    refusal: impl FnOnce() -> Option<String>,
    converged: Nanos,
    now: Nanos,
) -> Judgement {
    if waiting == 0 {
        return Ok(());
    }
    let mut message = format!(
        "{} after the core converged {waiting} fresh operations are still waiting",
        now.since(converged)
    );
    if let Some(refusal) = refusal() {
        message.push_str("; ");
        message.push_str(&refusal);
    }
    violated(Oracle::L2, message)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, id, node, reports, vitals};
    use super::*;

    fn member(number: u64, role: RoleName, leader: u64, applied: u64) -> Member {
        let vitals = Vitals {
            leader: Some(node(leader)),
            applied: Index::new(applied),
            ..vitals(role, 2, Some(id(2, 5)), applied)
        };
        Member {
            node: node(number),
            vitals: Some(vitals),
            is_stuck: false,
            is_cut_off: false,
        }
    }

    #[test]
    fn l1_reports_a_core_without_a_leader_lagging_or_down() {
        let leader = member(1, RoleName::Leader, 1, 5);
        let judge = |core: &[Member]| {
            converged_in_time(obstacle(core, Some(at(5))), Nanos::ZERO, Nanos::from_secs(9))
        };
        assert_eq!(judge(&[leader, member(2, RoleName::Follower, 1, 5)]), Ok(()));
        reports(Oracle::L1, judge(&[member(2, RoleName::Follower, 1, 5)]));
        reports(Oracle::L1, judge(&[leader, member(2, RoleName::Follower, 3, 5)]));
        let lagging = member(2, RoleName::Follower, 1, 4);
        reports(Oracle::L1, judge(&[leader, lagging]));
        let halted = Member {
            is_stuck: true,
            ..lagging
        };
        assert_eq!(judge(&[leader, halted]), Ok(()));
        reports(
            Oracle::L1,
            judge(&[
                leader,
                Member {
                    node: node(2),
                    vitals: None,
                    is_stuck: false,
                    is_cut_off: false,
                },
            ]),
        );
    }

    #[test]
    fn l2_reports_clients_that_are_still_waiting() {
        let judge = |waiting, refusal: Option<&str>| {
            let refusal = refusal.map(str::to_owned);
            served_in_time(waiting, || refusal, Nanos::ZERO, Nanos::from_secs(9))
        };
        assert_eq!(judge(0, Some("refused")), Ok(()));
        reports(Oracle::L2, judge(1, None));
        let told = judge(1, Some("attempt 4 was rejected: too large")).expect_err("one waits");
        assert!(told.message.ends_with("; attempt 4 was rejected: too large"));
    }
}
