//! Another cluster on the same network, whose servers have the same ids: founded apart, founded with the same list after
//! disks were lost, or begun from a snapshot of this one. Whatever it says could be said by a server of this cluster, so
//! what it says here is what the cluster's own servers say, with that cluster's identity, folders, starts and terms.

use raft_core::{Boot, ClusterId, Envelope, HardState, Incarnation, NodeId, Term, Vitals};

use super::step::Given;
use super::{Phase, Simulation};
use crate::coverage::Probe;
use crate::oracle::{Judgement, Oracle, violated};
use crate::places::place_of;
use crate::random::{Domain, Draws};
use crate::workload::Workload;

/// How many of 10,000 messages the other cluster repeats.
const REPEATED_PERMYRIAD: u32 = 500;

impl<W: Workload> Simulation<'_, W> {
    /// S27: now and then, right before a message arrives, the other cluster says the same to its recipient.
    pub(super) fn hear_stranger(&mut self, cause: u64, envelope: &Envelope) -> Judgement {
        if !self.schedule.knobs.strangers || self.phase != Phase::Faulty {
            return Ok(());
        }
        let at = place_of(envelope.to);
        if !self
            .servers
            .get(at)
            .is_some_and(|server| server.is_running() && !server.is_busy())
        {
            return Ok(());
        }
        let mut draws = self.seed.careful(Domain::Strangers, at as u64, self.event, 0);
        if !draws.chance(REPEATED_PERMYRIAD) {
            return Ok(());
        }
        self.quiet.becomes_busy();
        // What is due by now is no answer to a stranger.
        self.step(at, None, Given::default())?;
        let Some((before, kept)) = self.stands(at) else {
            return Ok(());
        };
        let Some(cluster) = other_cluster(kept.cluster, &mut draws) else {
            return Ok(());
        };
        let said = disguised(envelope, cluster, &mut draws);
        self.hash_event(21, at as u64);
        self.tell_message(cause, said.to, "stranger", &said);
        self.happened(Probe::StrangerHeard, Some(at));
        let to = said.to;
        let input = raft_core::Event::Receive(said).into();
        self.step(at, Some(input), Given::default())?;
        match self.stands(at) {
            Some((after, holds)) => changes_nothing(to, (before, &kept), (after, &holds)),
            None => Ok(()),
        }
    }

    fn stands(&self, at: usize) -> Option<(Vitals, HardState)> {
        let server = self.servers.get(at).filter(|server| !server.is_busy())?;
        let raft = server.replica.as_ref()?.raft();
        Some((raft.vitals(), raft.hard_state()))
    }
}

/// The identity of another cluster, as far as a server of this identity can tell; `None` if it belongs to no cluster yet,
/// and hears any.
fn other_cluster(mine: ClusterId, draws: &mut Draws) -> Option<ClusterId> {
    if mine.is_unknown() {
        return None;
    }
    let nonce = mine.nonce ^ (1 << draws.below(32));
    let same_list = ClusterId {
        founding: mine.founding,
        nonce,
    };
    let other_list = ClusterId {
        founding: mine.founding ^ (1 << draws.below(32)),
        nonce: draws.pick(&[0, mine.nonce, nonce]).unwrap_or(0),
    };
    let is_same_list = mine.is_bound() && same_list.is_bound() && draws.chance(7_000);
    let cluster = if is_same_list { same_list } else { other_list };
    (!cluster.is_unknown()).then_some(cluster)
}

/// What a server of the other cluster says.
fn disguised(envelope: &Envelope, cluster: ClusterId, draws: &mut Draws) -> Envelope {
    let mut said = envelope.clone();
    said.cluster = cluster;
    said.term = Term::new(said.term.value() + draws.below(3));
    if draws.chance(5_000) {
        said.from_incarnation = Incarnation::new(draws.below(1 << 40));
    }
    if draws.chance(5_000) {
        said.from_boot = Boot::new(said.from_boot.counter + 1, said.from_boot.nonce ^ 1);
    }
    said
}

/// S27, after a server has heard the other cluster.
fn changes_nothing(node: NodeId, before: (Vitals, &HardState), after: (Vitals, &HardState)) -> Judgement {
    if before == after {
        return Ok(());
    }
    violated(
        Oracle::S27,
        format!(
            "server {node} heard another cluster, and what it stood for changed from {before:?} to {after:?}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    #[test]
    fn another_cluster_never_agrees_with_the_servers_own() {
        let bound = ClusterId {
            founding: 1,
            nonce: 1,
        };
        let unbound = ClusterId { nonce: 0, ..bound };
        for seed in 0..1_000 {
            for mine in [bound, unbound] {
                let mut draws = Seed(seed).careful(Domain::Strangers, 0, 0, 0);
                if let Some(other) = other_cluster(mine, &mut draws) {
                    assert!(!mine.agrees_with(other), "{mine:?} and {other:?}");
                }
            }
        }
        let mut draws = Seed(0).careful(Domain::Strangers, 0, 0, 0);
        assert_eq!(other_cluster(ClusterId::UNKNOWN, &mut draws), None);
    }

    #[test]
    fn s27_reports_a_server_that_another_cluster_changes() {
        let setup = raft_core::Setup {
            identity: raft_core::Identity {
                group: raft_core::GroupId::new(1),
                node: NodeId::new(1),
                incarnation: Incarnation::new(1),
                boot: Boot::new(1, 1),
            },
            config: raft_core::Config::default(),
            bootstrap: raft_core::Membership::of_voters([NodeId::new(1), NodeId::new(2)]),
            durable: raft_core::Durable::default(),
        };
        let raft = raft_core::Raft::new(setup).expect("an empty disk is valid");
        let (vitals, kept) = (raft.vitals(), raft.hard_state());
        let node = NodeId::new(1);
        assert_eq!(changes_nothing(node, (vitals, &kept), (vitals, &kept)), Ok(()));
        let voted = HardState {
            vote: Some(NodeId::new(2)),
            ..kept
        };
        let judgement = changes_nothing(node, (vitals, &kept), (vitals, &voted));
        assert_eq!(judgement.expect_err("a vote was given").oracle, Oracle::S27);
    }
}
