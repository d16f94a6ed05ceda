//! Who belongs to the cluster, and what a quorum of it is (paper §6, dissertation chapter 4).

use alloc::collections::{BTreeMap, BTreeSet};

use crate::quorum;
use crate::types::{Incarnation, Index, NodeId};

/// A configuration of the cluster.
///
/// While `outgoing` is not empty the configuration is *joint* (paper §6): elections, commitment and reads need a
/// majority of the voters **and** a majority of the outgoing voters.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Membership {
    voters: BTreeSet<NodeId>,
    outgoing: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    incarnations: BTreeMap<NodeId, Incarnation>,
}

impl Membership {
    /// The simple configuration of these voters.
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            voters: voters.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The voters; those of the incoming half while joint.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().copied()
    }

    /// The voters of the outgoing half; none unless joint.
    pub fn outgoing(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.outgoing.iter().copied()
    }

    /// Members that are sent the log and count nowhere.
    pub fn learners(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.learners.iter().copied()
    }

    /// Every member once, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = NodeId> {
        let all: BTreeSet<NodeId> = self
            .voters()
            .chain(self.outgoing())
            .chain(self.learners())
            .collect();
        all.into_iter()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members().count()
    }

    /// Whether there is no member at all, as before a server that joins has heard from its cluster.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty() && self.outgoing.is_empty() && self.learners.is_empty()
    }

    /// Whether both halves of a membership change must agree (paper §6).
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether the node votes, in either half.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Whether the node is a member in any role.
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.contains(&node)
    }

    /// The incarnation that the log has bound to this member, once its first contact is committed.
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.incarnations.get(&node).copied()
    }

    /// The same configuration with these members bound to these incarnations.
    #[must_use]
    pub fn bind(&self, known: impl IntoIterator<Item = (NodeId, Incarnation)>) -> Self {
        let mut bound = self.clone();
        for (node, incarnation) in known {
            if bound.contains(node) {
                bound.incarnations.entry(node).or_insert(incarnation);
            }
        }
        bound
    }

    /// Whether those for which `agrees` holds are a quorum: a majority of the voters, and of the outgoing ones while joint.
    pub fn has_quorum(&self, mut agrees: impl FnMut(NodeId) -> bool) -> bool {
        quorum::majority(&self.voters, &mut agrees)
            && (self.outgoing.is_empty() || quorum::majority(&self.outgoing, &mut agrees))
    }

    /// The highest position that a quorum has reached, given how far each voter is.
    pub fn quorum_index(&self, mut reached: impl FnMut(NodeId) -> Option<Index>) -> Option<Index> {
        let incoming = quorum::majority_index(&self.voters, &mut reached);
        if self.outgoing.is_empty() {
            return incoming;
        }
        incoming.min(quorum::majority_index(&self.outgoing, &mut reached))
    }
}
