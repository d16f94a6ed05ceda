//! S24: what waits and what is in flight stays within its limits.

use raft_core::{NodeId, PeerStatus};

use super::{Judgement, Oracle, violated};

/// S24: appends to one peer that are not answered yet.
pub(crate) fn window_holds(leader: NodeId, peer: &PeerStatus, limit: u64) -> Judgement {
    let inflight = peer.inflight_messages as u64;
    if inflight <= limit {
        return Ok(());
    }
    let message = format!(
        "server {leader} has {inflight} appends in flight to {}; the limit is {limit}",
        peer.node
    );
    violated(Oracle::S24, message)
}

/// S24: at most two snapshots are being written, one taken and one that arrived, and as many are written and not named.
pub(crate) fn snapshots_are_few(node: NodeId, (writing, unnamed): (usize, usize)) -> Judgement {
    if writing <= 2 && unnamed <= 2 {
        return Ok(());
    }
    let message =
        format!("server {node} writes {writing} snapshots, and has {unnamed} that are written and not named");
    violated(Oracle::S24, message)
}

/// S24: commands that a leader has appended and that are not committed yet. They stay within the limit, unless a single
/// one exceeds it: [`raft_core::Limits::uncommitted_bytes`]. The sizes are those of the commands that the leader has
/// appended in its term and not committed, by [`raft_core::Entry::cost_bytes`].
pub(crate) fn log_is_bounded(
    leader: NodeId,
    uncommitted_bytes: usize,
    limit: u64,
    sizes: impl Iterator<Item = usize>,
) -> Judgement {
    if uncommitted_bytes as u64 <= limit {
        return Ok(());
    }
    let (count, largest) = sizes.fold((0, 0), |(count, largest), size| (count + 1, size.max(largest)));
    if count == 1 && uncommitted_bytes == largest {
        return Ok(());
    }
    let message = format!(
        "server {leader} has {uncommitted_bytes} uncommitted bytes in its log, of {count} commands; the limit is \
         {limit}, unless it is a single one (the largest counts {largest})"
    );
    violated(Oracle::S24, message)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, node, reports};
    use super::*;
    use raft_core::Feeding;

    #[test]
    fn s24_reports_a_window_and_a_log_beyond_their_limits() {
        let peer = |inflight_messages| PeerStatus {
            node: node(2),
            matched: None,
            next: at(1),
            feeding: Feeding::Replicate,
            inflight_messages,
            snapshot_bytes: None,
            silent_ticks: 0,
            level: None,
            is_halted: false,
            is_stalled: false,
        };
        assert_eq!(window_holds(node(1), &peer(3), 3), Ok(()));
        reports(Oracle::S24, window_holds(node(1), &peer(4), 3));
        let judge = |bytes, sizes: &[usize]| log_is_bounded(node(1), bytes, 100, sizes.iter().copied());
        assert_eq!(judge(100, &[50, 50]), Ok(()));
        reports(Oracle::S24, judge(101, &[50, 51]));
        // A single command may be larger than the limit, but none may join it, nor may it count for more than it is.
        assert_eq!(judge(181, &[181]), Ok(()));
        reports(Oracle::S24, judge(214, &[181, 33]));
        reports(Oracle::S24, judge(214, &[181]));
    }
}
