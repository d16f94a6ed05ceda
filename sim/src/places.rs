//! Servers are numbered from 1, and stand in lists from place 0.

use raft_core::NodeId;

/// The place of a server in the list of servers.
pub(crate) fn place_of(node: NodeId) -> usize {
    usize::try_from(node.value())
        .unwrap_or(usize::MAX)
        .wrapping_sub(1)
}

/// The server at this place.
pub(crate) const fn node_at(place: usize) -> NodeId {
    NodeId::new(place as u64 + 1)
}
