//! C10: what times commands may carry, seen from outside: the checker knows what every wall clock shows.

use raft_core::{Membership, NodeId, WallTime};

use super::{Judgement, Oracle, violated};

/// C10: a leader lets commands carry this time. It is within the bound, and within what the leader may be mistaken by, of
/// the median of all voters' clocks; of the middle two of an even number, and in both halves of a joint configuration.
pub(crate) fn stamps(
    node: NodeId,
    stamp: WallTime,
    membership: &Membership,
    bound_micros: u64,
    error_micros: u64,
    shows: impl Fn(NodeId) -> Option<WallTime>,
) -> Judgement {
    let halves = [
        membership.voters().collect::<Vec<_>>(),
        membership.outgoing().collect(),
    ];
    for half in halves {
        let mut clocks: Vec<u64> = half
            .iter()
            .filter_map(|&voter| shows(voter))
            .map(WallTime::value)
            .collect();
        clocks.sort_unstable();
        let middle = [clocks.len().saturating_sub(1) / 2, clocks.len() / 2];
        for median in middle.into_iter().filter_map(|place| clocks.get(place)) {
            let off = median.abs_diff(stamp.value());
            if off > bound_micros.saturating_add(error_micros) {
                let message = format!(
                    "server {node} lets commands carry a time that is {off} µs from the median of the clocks of {half:?}; \
                     {bound_micros} µs are allowed, and {error_micros} µs of error"
                );
                return violated(Oracle::C10, message);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{node, reports, three};
    use super::*;

    fn judge(stamp: u64, clocks: [u64; 3]) -> Judgement {
        let shows = |node: NodeId| clocks.get(node.value() as usize - 1).copied().map(WallTime::new);
        stamps(node(1), WallTime::new(stamp), &three(), 100, 10, shows)
    }

    #[test]
    fn c10_reports_a_time_that_is_far_from_the_median_of_the_clocks() {
        for stamp in [890, 1_000, 1_110] {
            assert_eq!(judge(stamp, [stamp, 1_000, 9_999]), Ok(()), "{stamp}");
            assert_eq!(judge(stamp, [1_000, 0, 9_999]), Ok(()), "{stamp}");
        }
        for stamp in [889, 1_111, u64::MAX, 0] {
            reports(Oracle::C10, judge(stamp, [1_000, 0, 9_999]));
        }
        reports(Oracle::C10, judge(1_000, [1_000, 9_000, 9_999]));
    }
}
