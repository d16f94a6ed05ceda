//! Configurations of the cluster and their quorums (paper §6, dissertation chapter 4).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

mod change;
mod nodes;
#[cfg(test)]
mod tables;

pub use change::{Change, ChangeError};

use crate::identity::Incarnation;
use crate::quorum;
use crate::types::{Index, NodeId};
pub(crate) use nodes::Nodes;

/// A configuration of the cluster.
///
/// While `outgoing` is not empty the configuration is *joint* (paper §6): elections, commitment and reads need a
/// majority of the voters **and** a majority of the outgoing voters.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Membership {
    pub(crate) voters: Nodes,
    pub(crate) outgoing: Nodes,
    pub(crate) learners: Nodes,
    pub(crate) witnesses: Nodes,
    pub(crate) incarnations: BTreeMap<NodeId, Incarnation>,
}

impl Membership {
    /// Returns the simple configuration of these voters.
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            voters: voters.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Returns the configuration with these servers added as learners, except those that are voters. It is for a
    /// cluster that begins with learners; a running cluster adds them by [`Change::AddLearner`].
    #[must_use]
    pub fn with_learners(mut self, learners: impl IntoIterator<Item = NodeId>) -> Self {
        for node in learners {
            if !self.is_voter(node) {
                self.learners.insert(node);
            }
        }
        self
    }

    /// Returns the configuration with these members marked as witnesses, which hold no commands. Servers that are not
    /// members are ignored. A configuration whose witnesses are half of the voters or more is rejected.
    ///
    /// A witness votes and acknowledges like other voters, keeps only terms, indexes and configurations, and never
    /// leads. With it, two sites and a small third one survive the loss of any of the three. The price: an entry that
    /// one server and the witness acknowledged is held by that one server only. If that server is lost for good, the
    /// witness rightly denies its vote to every server that lacks the entry.
    #[must_use]
    pub fn with_witnesses(mut self, witnesses: impl IntoIterator<Item = NodeId>) -> Self {
        let marked: Vec<NodeId> = witnesses
            .into_iter()
            .filter(|&node| self.contains(node))
            .collect();
        for node in marked {
            self.witnesses.insert(node);
        }
        self
    }

    /// Returns the voters; the voters of the incoming half while the configuration is joint.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().copied()
    }

    /// Returns the voters of the outgoing half; none unless the configuration is joint.
    pub fn outgoing(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.outgoing.iter().copied()
    }

    /// Returns the learners: members that are sent the log and count for no quorum. While the configuration is joint,
    /// they include those outgoing voters that will be learners.
    pub fn learners(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.learners.iter().copied()
    }

    /// Returns every member once, in the order of the ids.
    pub fn members(&self) -> impl Iterator<Item = NodeId> {
        let all = self.voters().chain(self.outgoing()).chain(self.learners());
        all.collect::<BTreeSet<NodeId>>().into_iter()
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members().count()
    }

    /// Returns whether there are no members. That is so on a server that is to be added and has not heard from its
    /// cluster yet.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty() && self.outgoing.is_empty() && self.learners.is_empty()
    }

    /// Returns whether the configuration is joint, so that both halves must agree (paper §6).
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Returns whether the server is a voter of either half.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(node) || self.outgoing.contains(node)
    }

    /// Returns whether the server votes in the incoming half, which is the only one unless the configuration is joint.
    pub(crate) fn is_incoming_voter(&self, node: NodeId) -> bool {
        self.voters.contains(node)
    }

    /// Returns whether the server is a witness: a member that holds no commands. It counts like any other voter or
    /// learner, but never leads.
    pub fn is_witness(&self, node: NodeId) -> bool {
        self.witnesses.contains(node)
    }

    /// Returns the witnesses: the members that hold no commands.
    pub fn witnesses(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.witnesses.iter().copied()
    }

    /// Returns whether witnesses are fewer than half of the voters, in each half. Then every quorum contains a server
    /// that holds the commands, and elections can be won, since a majority of the voters may lead.
    pub(crate) fn witnesses_are_few(&self) -> bool {
        let are_few = |half: &Nodes| {
            let count = half.shared_with(&self.witnesses);
            count == 0 || 2 * count < half.len()
        };
        are_few(&self.voters) && are_few(&self.outgoing)
    }

    /// Returns whether the server is a voter or a learner.
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.contains(node)
    }

    /// Returns the incarnation that the log has bound to this member. A leader binds it at the member's first contact.
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.incarnations.get(&node).copied()
    }

    /// Returns the configuration with these members bound to these incarnations. A member that is bound already keeps
    /// its incarnation, and servers that are not members are ignored.
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

    /// Returns a digest of who is what in this configuration, whatever data folders it binds; 0 for no members. The
    /// digest is FNV-1a of 64 bits, folded to 32, the same on every machine and in every version of this crate: it goes
    /// into the log.
    pub(crate) fn digest(&self) -> u32 {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        if self.is_empty() {
            return 0;
        }
        let sets = [&self.voters, &self.outgoing, &self.learners, &self.witnesses];
        let words = sets
            .into_iter()
            .zip(1_u64..)
            .flat_map(|(set, kind)| set.iter().flat_map(move |node| [kind, node.value()]));
        let bytes = words.flat_map(u64::to_be_bytes);
        let digest = bytes.fold(OFFSET, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(PRIME)
        });
        (((digest >> 32) ^ digest) as u32).max(1)
    }

    /// Returns whether the servers for which `agrees` holds are a quorum: a majority of the voters and, while the
    /// configuration is joint, of the outgoing voters as well (paper §6).
    pub fn has_quorum(&self, mut agrees: impl FnMut(NodeId) -> bool) -> bool {
        plant!(
            quorum::majority(&self.voters, &mut agrees)
                && (self.outgoing.is_empty() || quorum::majority(&self.outgoing, &mut agrees)),
            AGREES_BY_ONE_HALF => quorum::majority(&self.voters, &mut agrees)
        )
    }

    /// Returns how many voters agree, and of how many, in the half of the configuration that is furthest from a majority.
    pub(crate) fn scarcest_half(&self, mut agrees: impl FnMut(NodeId) -> bool) -> (usize, usize) {
        let mut count = |half: &Nodes| (half.iter().filter(|&&node| agrees(node)).count(), half.len());
        let (incoming, outgoing) = (count(&self.voters), count(&self.outgoing));
        // Compared as fractions; an empty half lacks no vote.
        let is_scarcer = outgoing.1 > 0 && outgoing.0 * incoming.1 < incoming.0 * outgoing.1;
        if is_scarcer { outgoing } else { incoming }
    }

    /// Returns between which values the median of the voters' values lies, whatever the unknown ones are, in both halves of
    /// a joint configuration; `None` unless those of a quorum are known.
    pub(crate) fn median_range(&self, mut value: impl FnMut(NodeId) -> Option<i64>) -> Option<(i64, i64)> {
        let (least, most) = quorum::median_range(&self.voters, &mut value)?;
        if self.outgoing.is_empty() {
            return Some((least, most));
        }
        let (other_least, other_most) = quorum::median_range(&self.outgoing, &mut value)?;
        Some((least.min(other_least), most.max(other_most)))
    }

    /// Returns the highest index that a quorum has reached, given the index that each voter has reached.
    pub fn quorum_index(&self, mut reached: impl FnMut(NodeId) -> Option<Index>) -> Option<Index> {
        let incoming = plant!(
            quorum::majority_index(&self.voters, &mut reached),
            LEARNERS_COUNT => quorum::majority_index(&self.voters_and_learners(), &mut reached)
        );
        if self.outgoing.is_empty() {
            return incoming;
        }
        plant!(
            incoming.min(quorum::majority_index(&self.outgoing, &mut reached)),
            COMMITS_BY_ONE_HALF => incoming
        )
    }

    /// Returns the voters of the incoming half together with the learners, which a planted bug counts for commitment.
    fn voters_and_learners(&self) -> Nodes {
        self.voters().chain(self.learners()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half<S: FromIterator<NodeId>>(mask: u32) -> S {
        (0..7)
            .filter(|bit| mask >> bit & 1 == 1)
            .map(|bit| NodeId::new(bit + 1))
            .collect()
    }

    fn joint(voters: u32, outgoing: u32) -> Membership {
        Membership {
            voters: half(voters),
            outgoing: half(outgoing),
            ..Membership::default()
        }
    }

    /// The slow and obvious version: more than half of the voters, which must not be empty, and more than half of the
    /// outgoing voters if there are any.
    fn slow_quorum(membership: &Membership, agreeing: u32) -> bool {
        let agrees: BTreeSet<NodeId> = half(agreeing);
        let more_than_half =
            |half: &[NodeId]| 2 * half.iter().filter(|node| agrees.contains(node)).count() > half.len();
        more_than_half(&membership.voters)
            && (membership.outgoing.is_empty() || more_than_half(&membership.outgoing))
    }

    /// Paper §6: agreement needs separate majorities of both configurations. Tries all pairs of halves of up to five
    /// servers, with every set of servers that agree.
    #[test]
    fn a_joint_quorum_is_a_majority_of_both_halves() {
        for (voters, outgoing) in (0..32).flat_map(|voters| (0..32).map(move |outgoing| (voters, outgoing))) {
            let membership = joint(voters, outgoing);
            for agreeing in 0..32 {
                let agrees: BTreeSet<NodeId> = half(agreeing);
                assert_eq!(
                    membership.has_quorum(|node| agrees.contains(&node)),
                    slow_quorum(&membership, agreeing),
                    "{agrees:?} of {membership:?}"
                );
            }
        }
    }

    /// The index that a quorum has reached is the highest one for which the servers that reached it are a quorum. Tries
    /// configurations of seven servers, with every server at the indexes 0, 1 and 2.
    #[test]
    fn a_joint_quorum_index_is_the_highest_that_a_quorum_has_reached() {
        let memberships = [
            joint(0b111_1111, 0),
            joint(0b001_1111, 0b111_0000),
            joint(0b111, 0b111_1000),
            joint(0b1111, 0b1),
        ];
        for number in 0..3_u64.pow(7) {
            let positions: Vec<u64> = (0..7).map(|digit| number / 3_u64.pow(digit) % 3).collect();
            let of = |node: NodeId| positions[node.value() as usize - 1];
            for membership in &memberships {
                let slow = [2, 1]
                    .into_iter()
                    .find(|&at| membership.has_quorum(|node| of(node) >= at));
                let found = membership.quorum_index(|node| Index::new(of(node)));
                assert_eq!(
                    found,
                    slow.and_then(Index::new),
                    "{positions:?} of {membership:?}"
                );
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn two_quorums_of_one_configuration_share_a_server(
            voters in 1_u32..128, outgoing in 0_u32..128, one in 0_u32..128, other in 0_u32..128
        ) {
            let membership = joint(voters, outgoing);
            let (one, other): (BTreeSet<NodeId>, BTreeSet<NodeId>) = (half(one), half(other));
            if membership.has_quorum(|node| one.contains(&node)) && membership.has_quorum(|node| other.contains(&node)) {
                proptest::prop_assert!(one.intersection(&other).next().is_some());
            }
        }

        #[test]
        fn quorums_of_a_joint_configuration_share_a_server_with_those_of_each_half(
            voters in 1_u32..128, outgoing in 1_u32..128, one in 0_u32..128, other in 0_u32..128
        ) {
            let (one, other): (BTreeSet<NodeId>, BTreeSet<NodeId>) = (half(one), half(other));
            let both = joint(voters, outgoing).has_quorum(|node| one.contains(&node));
            for single in [joint(voters, 0), joint(outgoing, 0)] {
                if both && single.has_quorum(|node| other.contains(&node)) {
                    proptest::prop_assert!(one.intersection(&other).next().is_some());
                }
            }
        }
    }

    #[test]
    fn every_member_is_listed_once() {
        let mut membership = joint(0b011, 0b110);
        membership.learners = half(0b1000);
        let members: Vec<u64> = membership.members().map(NodeId::value).collect();
        assert_eq!((members, membership.len()), (alloc::vec![1, 2, 3, 4], 4));
        assert!(membership.is_joint() && !membership.is_empty());
        assert!(membership.is_voter(NodeId::new(3)) && !membership.is_voter(NodeId::new(4)));
        assert!(membership.contains(NodeId::new(4)) && !membership.contains(NodeId::new(5)));
    }

    #[test]
    fn only_members_are_bound_and_only_once() {
        let (first, second) = (Incarnation::new(7), Incarnation::new(8));
        let bound = joint(0b1, 0).bind([(NodeId::new(1), first), (NodeId::new(2), first)]);
        let bound = bound.bind([(NodeId::new(1), second)]);
        assert_eq!(bound.incarnation(NodeId::new(1)), Some(first));
        assert_eq!(bound.incarnation(NodeId::new(2)), None);
    }

    #[test]
    fn learners_count_nowhere() {
        let mut membership = joint(0b1, 0);
        membership.learners = half(0b1110);
        assert!(!membership.has_quorum(|node| node != NodeId::new(1)));
        assert_eq!(membership.quorum_index(|node| Index::new(node.value() - 1)), None);
    }
}
