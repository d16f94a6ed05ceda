//! Changes of the configuration (dissertation chapter 4): of one server at a time, and by joint consensus for
//! everything else. This file says what a change makes of a configuration; `raft/leader/reconfiguration.rs` says when a leader
//! may make it.

use alloc::collections::BTreeSet;

use super::{Membership, Nodes};
use crate::types::NodeId;

/// A change of the configuration in force.
///
/// A new server is added as a learner, is sent the log, and is promoted when it has caught up. So no quorum waits for a
/// server whose log is empty (dissertation §4.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Change {
    /// Adds a learner: a member that is sent the log and counts for no quorum.
    AddLearner(NodeId),
    /// Adds a learner that is a witness: it is sent terms, indexes and configurations, and no commands. It remains a
    /// witness for as long as it is a member.
    AddWitness(NodeId),
    /// Promotes a learner that has caught up to a voter (dissertation §4.1, §4.2.1).
    Promote(NodeId),
    /// Demotes a voter to a learner.
    Demote(NodeId),
    /// Removes a member (dissertation §4.1). When it is added again, it may have another data folder.
    Remove(NodeId),
    /// Replaces the sets of voters and learners through a joint configuration (dissertation §4.3). The change is
    /// decided when the joint configuration is committed. The leader of that time then appends the new configuration
    /// alone, which leaves the joint one.
    Replace {
        /// The new voters. Each must be a voter already, or a learner that has caught up.
        voters: BTreeSet<NodeId>,
        /// The new learners.
        learners: BTreeSet<NodeId>,
    },
}

/// Why a change cannot be made to the configuration in force. The caller is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ChangeError {
    /// The server to add is a member already.
    #[error("server {node} is already a member")]
    AlreadyMember {
        /// The server.
        node: NodeId,
    },
    /// The server to remove is not a member.
    #[error("server {node} is not a member")]
    NotMember {
        /// The server.
        node: NodeId,
    },
    /// The server to promote is not a learner. Only learners become voters, so that no quorum waits for a server whose
    /// log is empty.
    #[error(
        "server {node} is not a learner; add it as a learner and let it catch up before it becomes a voter"
    )]
    NotLearner {
        /// The server.
        node: NodeId,
    },
    /// The server to demote is not a voter.
    #[error("server {node} is not a voter")]
    NotVoter {
        /// The server.
        node: NodeId,
    },
    /// A server is in both sets. A voter counts for quorums and a learner does not.
    #[error("server {node} cannot be both a voter and a learner")]
    VoterAndLearner {
        /// The server.
        node: NodeId,
    },
    /// The new configuration has no voter. Such a cluster could never commit anything again, not even a change back.
    #[error("the new configuration has no voter; it needs at least one")]
    NoVoters,
    /// The new configuration has too many witnesses. A quorum of servers without the commands could decide, and too few
    /// servers could lead.
    #[error(
        "witnesses must be fewer than half of the voters; use Replace to change other voters in the same step"
    )]
    TooManyWitnesses,
    /// The new configuration equals the one in force.
    #[error("the change leaves the configuration as it is")]
    NoChange,
}

impl Membership {
    /// Returns the configuration that the change makes of this one, which must not be joint.
    pub(crate) fn changed(&self, change: &Change) -> Result<Self, ChangeError> {
        debug_assert!(
            !self.is_joint(),
            "a joint configuration must be left before the next change"
        );
        let mut changed = self.clone();
        match *change {
            Change::AddLearner(node) | Change::AddWitness(node) if self.contains(node) => {
                return Err(ChangeError::AlreadyMember { node });
            }
            Change::AddLearner(node) => {
                changed.learners.insert(node);
            }
            Change::AddWitness(node) => {
                changed.learners.insert(node);
                changed.witnesses.insert(node);
            }
            Change::Promote(node) => {
                if !changed.learners.remove(node) {
                    return Err(ChangeError::NotLearner { node });
                }
                changed.voters.insert(node);
            }
            Change::Demote(node) => {
                if !changed.voters.remove(node) {
                    return Err(ChangeError::NotVoter { node });
                }
                changed.learners.insert(node);
            }
            Change::Remove(node) => {
                if !changed.voters.remove(node) && !changed.learners.remove(node) {
                    return Err(ChangeError::NotMember { node });
                }
            }
            Change::Replace {
                ref voters,
                ref learners,
            } => {
                if let Some(&node) = voters.intersection(learners).next() {
                    return Err(ChangeError::VoterAndLearner { node });
                }
                if let Some(&node) = voters.iter().find(|&&node| !self.contains(node)) {
                    return Err(ChangeError::NotLearner { node });
                }
                // §4.3: while voters come and go, both halves must agree. Learners count nowhere and need no agreement.
                let becomes_joint = plant!(
                    !self.voters.iter().eq(voters),
                    REPLACES_AT_ONCE => false
                );
                if becomes_joint {
                    changed.outgoing = self.voters.clone();
                }
                changed.voters = voters.clone().into();
                changed.learners = learners.clone().into();
            }
        }
        changed.forget_non_members();
        if changed.voters.is_empty() {
            return Err(ChangeError::NoVoters);
        }
        let has_too_many_witnesses = plant!(!changed.witnesses_are_few(), ANY_NUMBER_OF_WITNESSES => false);
        if has_too_many_witnesses {
            return Err(ChangeError::TooManyWitnesses);
        }
        if changed == *self {
            return Err(ChangeError::NoChange);
        }
        Ok(changed)
    }

    /// Returns the configuration that follows a joint one: its incoming half alone (dissertation §4.3).
    pub(crate) fn left(&self) -> Self {
        let mut left = self.clone();
        left.outgoing = Nodes::default();
        left.forget_non_members();
        left
    }

    /// Removes the marks and bindings of servers that are not members any more. A server that is added again may have
    /// another data folder, and may be a witness or not.
    fn forget_non_members(&mut self) {
        let mut witnesses = core::mem::take(&mut self.witnesses);
        witnesses.retain(|&node| self.contains(node));
        self.witnesses = witnesses;
        let mut incarnations = core::mem::take(&mut self.incarnations);
        incarnations.retain(|&node, _| self.contains(node));
        self.incarnations = incarnations;
    }

    /// Returns whether a correct leader can have made this configuration.
    pub(crate) fn is_well_formed(&self) -> bool {
        !self.voters.is_empty()
            && self.voters.shared_with(&self.learners) == 0
            && self.witnesses.iter().all(|&node| self.contains(node))
            && self.witnesses_are_few()
            && self.incarnations.keys().all(|&node| self.contains(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Incarnation;
    use alloc::vec::Vec;

    const SERVERS: u32 = 5;

    fn set<S: FromIterator<NodeId>>(mask: u32) -> S {
        (0..SERVERS)
            .filter(|bit| mask >> bit & 1 == 1)
            .map(|bit| NodeId::new(u64::from(bit) + 1))
            .collect()
    }

    fn simple(voters: u32, learners: u32) -> Membership {
        Membership {
            voters: set(voters),
            learners: set(learners & !voters),
            ..Membership::default()
        }
    }

    fn changes_of(node: NodeId) -> [Change; 4] {
        [
            Change::AddLearner(node),
            Change::Promote(node),
            Change::Demote(node),
            Change::Remove(node),
        ]
    }

    /// Returns whether every quorum of one configuration shares a server with every quorum of the other. Tries all
    /// pairs.
    fn quorums_intersect(one: &Membership, other: &Membership) -> bool {
        let quorums = |membership: &Membership| -> Vec<u32> {
            let agree = |mask: u32| move |node: NodeId| mask >> (node.value() - 1) & 1 == 1;
            (0..1 << SERVERS)
                .filter(|&mask| membership.has_quorum(agree(mask)))
                .collect()
        };
        let others = quorums(other);
        quorums(one)
            .iter()
            .all(|one| others.iter().all(|other| one & other != 0))
    }

    /// Dissertation §4.1: for a change of one server, any majority of the old and any of the new configuration overlap.
    /// Tries all configurations of up to five servers and all changes of each.
    #[test]
    fn a_change_of_one_server_keeps_quorums_overlapping() {
        let mut made = 0;
        for (voters, learners) in (1..32).flat_map(|voters| (0..32).map(move |learners| (voters, learners))) {
            let old = simple(voters, learners);
            for change in (1..=5).flat_map(|node| changes_of(NodeId::new(node))) {
                if let Ok(new) = old.changed(&change) {
                    made += 1;
                    assert!(!new.is_joint() && new.is_well_formed());
                    assert!(quorums_intersect(&old, &new), "{change:?} of {old:?}");
                }
            }
        }
        assert!(made > 5_000, "{made}");
    }

    /// Dissertation §4.3: a joint configuration overlaps with what was before and with what comes after it.
    #[test]
    fn a_joint_configuration_overlaps_with_both_its_neighbours() {
        for (from, to) in (1..32).flat_map(|from| (1..32).map(move |to| (from, to))) {
            let old = simple(from, 31);
            let (voters, learners) = (set(to), set(!to & from));
            let change = Change::Replace { voters, learners };
            let Ok(joint) = old.changed(&change) else {
                assert_eq!((from, old.changed(&change)), (to, Err(ChangeError::NoChange)));
                continue;
            };
            assert_eq!(joint.is_joint(), from != to);
            let new = joint.left();
            assert!(!new.is_joint() && new.is_well_formed() && joint.is_well_formed());
            assert_eq!(
                (new.voters.clone(), new.learners.clone()),
                (set(to), set(!to & from))
            );
            assert!(quorums_intersect(&old, &joint) && quorums_intersect(&joint, &new));
        }
    }

    #[test]
    fn an_invalid_change_is_rejected() {
        let old = simple(0b00011, 0b00100);
        let node = NodeId::new;
        let replace = |voters, learners| Change::Replace {
            voters: set(voters),
            learners: set(learners),
        };
        let rejected = [
            (
                Change::AddLearner(node(1)),
                ChangeError::AlreadyMember { node: node(1) },
            ),
            (
                Change::AddLearner(node(3)),
                ChangeError::AlreadyMember { node: node(3) },
            ),
            (
                Change::Promote(node(1)),
                ChangeError::NotLearner { node: node(1) },
            ),
            (
                Change::Promote(node(4)),
                ChangeError::NotLearner { node: node(4) },
            ),
            (Change::Demote(node(3)), ChangeError::NotVoter { node: node(3) }),
            (Change::Remove(node(4)), ChangeError::NotMember { node: node(4) }),
            (
                replace(0b011, 0b010),
                ChangeError::VoterAndLearner { node: node(2) },
            ),
            (replace(0b1011, 0), ChangeError::NotLearner { node: node(4) }),
            (replace(0, 0b011), ChangeError::NoVoters),
            (replace(0b011, 0b100), ChangeError::NoChange),
        ];
        for (change, error) in rejected {
            assert_eq!(old.changed(&change), Err(error), "{change:?}");
        }
        let alone = simple(1, 0);
        for change in [Change::Remove(node(1)), Change::Demote(node(1))] {
            assert_eq!(alone.changed(&change), Err(ChangeError::NoVoters));
        }
    }

    #[test]
    fn a_removed_server_is_not_bound_to_a_data_folder() {
        let folder = Incarnation::new(7);
        let bound = simple(0b111, 0).bind((1..=3).map(|node| (NodeId::new(node), folder)));
        let third = NodeId::new(3);
        let removed = bound
            .changed(&Change::Remove(third))
            .expect("server 3 is a member");
        assert_eq!(removed.incarnation(third), None);
        let demoted = bound
            .changed(&Change::Demote(third))
            .expect("server 3 is a voter");
        assert_eq!(demoted.incarnation(third), Some(folder));
        let (voters, learners) = (set(0b11), set(0));
        let joint = bound
            .changed(&Change::Replace { voters, learners })
            .expect("the change is valid");
        assert_eq!(joint.incarnation(third), Some(folder), "server 3 still votes");
        assert_eq!(joint.left().incarnation(third), None);
    }

    #[test]
    fn a_configuration_that_no_leader_makes_is_malformed() {
        assert!(!Membership::default().is_well_formed());
        assert!(!simple(0, 0b1).is_well_formed());
        let mut both = simple(0b1, 0b10);
        both.learners = set(0b1);
        assert!(!both.is_well_formed());
        let mut bound_to_non_member = simple(0b1, 0);
        bound_to_non_member
            .incarnations
            .insert(NodeId::new(9), Incarnation::new(9));
        assert!(!bound_to_non_member.is_well_formed());
    }
}
