//! Servers are numbered from 1, and their places in lists from 0.

use raft_core::NodeId;

/// Returns the place of a server in lists of servers.
pub(crate) fn place_of(node: NodeId) -> usize {
    usize::try_from(node.value())
        .unwrap_or(usize::MAX)
        .wrapping_sub(1)
}

/// Returns the server at this place.
pub(crate) const fn node_at(place: usize) -> NodeId {
    NodeId::new(place as u64 + 1)
}
