//! Majority arithmetic, apart from the protocol so that it can be checked exhaustively.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::types::{Index, NodeId};

/// Voters counted without an allocation; larger clusters than this are possible and merely slower.
const INLINE: usize = 9;

/// Whether more than half of the voters agree. No voters are no majority.
pub(crate) fn majority(voters: &BTreeSet<NodeId>, agrees: &mut impl FnMut(NodeId) -> bool) -> bool {
    let agreeing = voters.iter().filter(|&&voter| agrees(voter)).count();
    agreeing > voters.len() / 2
}

/// The highest position that more than half of the voters have reached (paper §5.3, §5.4.2).
pub(crate) fn majority_index(
    voters: &BTreeSet<NodeId>,
    reached: &mut impl FnMut(NodeId) -> Option<Index>,
) -> Option<Index> {
    let mut inline = [None; INLINE];
    let mut spilled = Vec::new();
    let positions: &mut [Option<Index>] = if voters.len() <= INLINE {
        &mut inline[..voters.len()]
    } else {
        spilled.resize(voters.len(), None);
        &mut spilled
    };
    for (position, &voter) in positions.iter_mut().zip(voters) {
        *position = reached(voter);
    }
    positions.sort_unstable();
    // Sorted upwards, everybody from here to the end is at least this far, and they are a majority.
    let weakest_of_majority = positions.len().checked_sub(1)? / 2;
    positions[weakest_of_majority]
}
