//! The arithmetic of majorities, kept apart from the protocol so that it can be checked exhaustively.

use alloc::vec::Vec;

use crate::types::{Index, NodeId};

/// The number of voters that are counted without an allocation. Larger clusters work as well and are merely slower.
const INLINE: usize = 9;

/// Returns whether more than half of the voters agree; `false` if there are no voters.
pub(crate) fn majority(voters: &[NodeId], agrees: &mut impl FnMut(NodeId) -> bool) -> bool {
    let agreeing = voters.iter().filter(|&&voter| agrees(voter)).count();
    plant!(
        agreeing > voters.len() / 2,
        HALF_ELECTS => 2 * agreeing >= voters.len() && agreeing > 0
    )
}

/// Returns the highest index that more than half of the voters have reached (paper §5.3, §5.4.2).
pub(crate) fn majority_index(
    voters: &[NodeId],
    reached: &mut impl FnMut(NodeId) -> Option<Index>,
) -> Option<Index> {
    let mut inline = [0; INLINE];
    let mut spilled = Vec::new();
    let positions: &mut [u64] = if voters.len() <= INLINE {
        &mut inline[..voters.len()]
    } else {
        spilled.resize(voters.len(), 0);
        &mut spilled
    };
    for (position, &voter) in positions.iter_mut().zip(voters) {
        *position = Index::count(reached(voter));
    }
    positions.sort_unstable();
    // The positions are sorted upwards: the voters from this one to the end are a majority, and all are at least this
    // far.
    let weakest_of_majority = plant!(
        positions.len().checked_sub(1)? / 2,
        HALF_COMMITS => positions.len() / 2
    );
    Index::new(positions[weakest_of_majority])
}

/// Returns the least and the greatest value that the median of the voters' values may have, whatever the unknown ones are;
/// `None` unless more than half are known. The median of an even number lies between the middle two.
pub(crate) fn median_range(
    voters: &[NodeId],
    value: &mut impl FnMut(NodeId) -> Option<i64>,
) -> Option<(i64, i64)> {
    let mut inline = [0; INLINE];
    let mut spilled = Vec::new();
    let values: &mut [i64] = if voters.len() <= INLINE {
        &mut inline[..voters.len()]
    } else {
        spilled.resize(voters.len(), 0);
        &mut spilled
    };
    let mut known = 0;
    for (place, value) in values
        .iter_mut()
        .zip(voters.iter().filter_map(|&voter| value(voter)))
    {
        *place = value;
        known += 1;
    }
    let values = &mut values[..known];
    if known <= voters.len() / 2 {
        return None;
    }
    values.sort_unstable();
    // The lower middle if all unknown values are below the known ones, and the upper middle if all are above.
    let unknown = voters.len() - known;
    let (least, most) = plant!(
        ((voters.len() - 1) / 2 - unknown, voters.len() / 2),
        MEDIAN_OF_WHO_ANSWERS => (known / 2, known / 2)
    );
    Some((values[least], values[most]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(value: u64) -> Option<Index> {
        Index::new(value)
    }

    fn voters(count: u64) -> Vec<NodeId> {
        (1..=count).map(NodeId::new).collect()
    }

    /// The slow and obvious version: the highest index for which the voters that reached it are a majority.
    fn slow_majority_index(positions: &[u64]) -> Option<Index> {
        let reached_by = |at: u64| positions.iter().filter(|&&position| position >= at).count();
        let candidates = positions.iter().copied();
        let best = candidates
            .filter(|&at| at > 0 && 2 * reached_by(at) > positions.len())
            .max();
        best.and_then(index)
    }

    /// Returns all ways to give this many voters the indexes 0, 1 and 2.
    fn all_positions(count: u64) -> impl Iterator<Item = Vec<u64>> {
        (0..3_u64.pow(count as u32)).map(move |number| {
            (0..count)
                .map(|digit| number / 3_u64.pow(digit as u32) % 3)
                .collect()
        })
    }

    #[test]
    fn majority_and_index_agree_with_the_obvious_version_for_up_to_seven_voters() {
        for count in 0..=7 {
            let voters = voters(count);
            for positions in all_positions(count) {
                let of = |node: NodeId| positions[node.value() as usize - 1];
                let found = majority_index(&voters, &mut |node| index(of(node)));
                assert_eq!(found, slow_majority_index(&positions), "{positions:?}");
                let agreeing = positions.iter().filter(|&&position| position > 0).count();
                let found = majority(&voters, &mut |node| of(node) > 0);
                assert_eq!(found, 2 * agreeing > positions.len(), "{positions:?}");
                assert_eq!(
                    found,
                    slow_majority_index(&positions).is_some(),
                    "a majority has reached an index exactly if a majority agrees"
                );
            }
        }
    }

    /// The slow and obvious version: the medians with every unknown value as small and as large as can be.
    fn slow_median_range(values: &[Option<i64>]) -> Option<(i64, i64)> {
        let filled_with = |unknown: i64| {
            let mut filled: Vec<i64> = values.iter().map(|value| value.unwrap_or(unknown)).collect();
            filled.sort_unstable();
            filled
        };
        let known = values.iter().flatten().count();
        (2 * known > values.len()).then(|| {
            let (low, high) = (filled_with(i64::MIN), filled_with(i64::MAX));
            (low[(values.len() - 1) / 2], high[values.len() / 2])
        })
    }

    #[test]
    fn median_range_agrees_with_the_obvious_version_for_up_to_seven_voters() {
        for count in 0..=7 {
            let voters = voters(count);
            for positions in all_positions(count) {
                // 0 is unknown.
                let values: Vec<Option<i64>> = (positions.iter())
                    .map(|&position| (position > 0).then_some(position as i64))
                    .collect();
                let found = median_range(&voters, &mut |node| values[node.value() as usize - 1]);
                assert_eq!(found, slow_median_range(&values), "{values:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn median_range_agrees_with_the_obvious_version_for_any_cluster(
            values in proptest::collection::vec(proptest::option::of(-9_i64..9), 0..30)
        ) {
            let voters = voters(values.len() as u64);
            let found = median_range(&voters, &mut |node| values[node.value() as usize - 1]);
            proptest::prop_assert_eq!(found, slow_median_range(&values));
        }

        #[test]
        fn majority_index_agrees_with_the_obvious_version_for_any_cluster(
            positions in proptest::collection::vec(0_u64..20, 0..30)
        ) {
            let voters = voters(positions.len() as u64);
            let found = majority_index(&voters, &mut |node| index(positions[node.value() as usize - 1]));
            proptest::prop_assert_eq!(found, slow_majority_index(&positions));
        }
    }
}
