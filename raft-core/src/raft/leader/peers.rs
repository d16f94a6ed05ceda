//! A leader's peers, in the order of their ids. They are few and every step looks at them, so they lie in one piece of
//! memory, and a loop can go by place while it uses the leader in between.

use alloc::vec::Vec;

use crate::types::NodeId;

use super::progress::Progress;

#[derive(Debug, Default)]
pub(super) struct Peers(Vec<(NodeId, Progress)>);

impl Peers {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The peer at this place, counted from 0.
    pub(super) fn nth(&self, place: usize) -> Option<(NodeId, &Progress)> {
        self.0.get(place).map(|(node, peer)| (*node, peer))
    }

    pub(super) fn nth_mut(&mut self, place: usize) -> Option<(NodeId, &mut Progress)> {
        self.0.get_mut(place).map(|(node, peer)| (*node, peer))
    }

    pub(super) fn get(&self, node: &NodeId) -> Option<&Progress> {
        self.0.iter().find(|(id, _)| id == node).map(|(_, peer)| peer)
    }

    pub(super) fn get_mut(&mut self, node: &NodeId) -> Option<&mut Progress> {
        self.0.iter_mut().find(|(id, _)| id == node).map(|(_, peer)| peer)
    }

    /// Adds a peer, or replaces an older one of the same id and returns that.
    pub(super) fn insert(&mut self, node: NodeId, peer: Progress) -> Option<Progress> {
        match self.0.binary_search_by_key(&node, |(id, _)| *id) {
            Ok(place) => Some(core::mem::replace(&mut self.0[place].1, peer)),
            Err(place) => {
                self.0.insert(place, (node, peer));
                None
            }
        }
    }

    /// Keeps the peers for which `stays` holds.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(NodeId, &mut Progress) -> bool) {
        self.0.retain_mut(|(node, peer)| stays(*node, peer));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Progress)> {
        self.0.iter().map(|(node, peer)| (*node, peer))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Progress)> {
        self.0.iter_mut().map(|(node, peer)| (*node, peer))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Progress> {
        self.0.iter_mut().map(|(_, peer)| peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Index, PeerSession, Tick};

    #[test]
    fn peers_are_found_by_id_and_by_place_in_the_order_of_their_ids() {
        let mut peers = Peers::default();
        let peer = |session| Progress::new(PeerSession::new(session), None, Index::FIRST, Tick::new(0));
        for id in [3_u32, 1, 5, 3] {
            peers.insert(NodeId::new(u64::from(id)), peer(id));
        }
        let former = peers.insert(NodeId::new(5), peer(9));
        assert_eq!(former.map(|peer| peer.session), Some(PeerSession::new(5)));
        let listed: Vec<u64> = peers.iter().map(|(node, _)| node.value()).collect();
        assert_eq!(listed, [1, 3, 5]);
        assert_eq!(peers.nth(1).map(|(node, _)| node), Some(NodeId::new(3)));
        assert!(peers.nth(3).is_none() && peers.get(&NodeId::new(2)).is_none());
        let replaced = peers.get(&NodeId::new(5)).map(|peer| peer.session);
        assert_eq!(replaced, Some(PeerSession::new(9)));
        peers.retain(|node, _| node != NodeId::new(3));
        assert_eq!(peers.values_mut().count(), 2);
        assert!(peers.get_mut(&NodeId::new(3)).is_none());
    }
}
