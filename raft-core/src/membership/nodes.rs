//! A small set of servers, stored as a sorted array. Every acknowledgement reads the progress of all voters, so the ids
//! should stand next to each other in memory.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Deref;

use crate::types::NodeId;

/// A set of servers, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(from = "BTreeSet<NodeId>", into = "BTreeSet<NodeId>")
)]
pub(crate) struct Nodes(Vec<NodeId>);

impl Nodes {
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.0.contains(&node)
    }

    /// Adds the server; returns whether it was not in the set.
    pub(super) fn insert(&mut self, node: NodeId) -> bool {
        match self.0.binary_search(&node) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, node);
                true
            }
        }
    }

    /// Removes the server; returns whether it was in the set.
    pub(super) fn remove(&mut self, node: NodeId) -> bool {
        let found = self.0.binary_search(&node);
        found.map(|place| self.0.remove(place)).is_ok()
    }

    pub(super) fn retain(&mut self, stays: impl FnMut(&NodeId) -> bool) {
        self.0.retain(stays);
    }

    /// Returns the number of servers that are in both sets.
    pub(super) fn shared_with(&self, other: &Self) -> usize {
        self.0.iter().filter(|&&node| other.contains(node)).count()
    }
}

impl Deref for Nodes {
    type Target = [NodeId];

    fn deref(&self) -> &[NodeId] {
        &self.0
    }
}

impl FromIterator<NodeId> for Nodes {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        nodes.into_iter().collect::<BTreeSet<NodeId>>().into()
    }
}

impl From<BTreeSet<NodeId>> for Nodes {
    fn from(nodes: BTreeSet<NodeId>) -> Self {
        Self(nodes.into_iter().collect())
    }
}

impl From<Nodes> for BTreeSet<NodeId> {
    fn from(nodes: Nodes) -> Self {
        nodes.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Compares the set with the one of the standard library.
        #[test]
        fn servers_are_kept_once_and_in_order(
            begin in proptest::collection::vec(0_u64..8, 0..8),
            steps in proptest::collection::vec((0_u64..8, proptest::bool::ANY), 0..20),
            other in proptest::collection::btree_set(0_u64..8, 0..8),
        ) {
            let mut set: BTreeSet<NodeId> = begin.iter().copied().map(NodeId::new).collect();
            let mut nodes: Nodes = begin.into_iter().map(NodeId::new).collect();
            for (node, inserts) in steps {
                let node = NodeId::new(node);
                proptest::prop_assert_eq!(nodes.contains(node), set.contains(&node));
                if inserts {
                    proptest::prop_assert_eq!(nodes.insert(node), set.insert(node));
                } else {
                    proptest::prop_assert_eq!(nodes.remove(node), set.remove(&node));
                }
                proptest::prop_assert!(nodes.iter().eq(&set));
            }
            let other: BTreeSet<NodeId> = other.into_iter().map(NodeId::new).collect();
            proptest::prop_assert_eq!(nodes.shared_with(&other.clone().into()), set.intersection(&other).count());
            nodes.retain(|node| other.contains(node));
            set.retain(|node| other.contains(node));
            proptest::prop_assert_eq!(BTreeSet::from(nodes), set);
        }
    }
}
