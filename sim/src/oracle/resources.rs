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

/// S24: entries that a leader has appended and that are not committed yet.
pub(crate) fn log_is_bounded(leader: NodeId, uncommitted_bytes: usize, limit: u64) -> Judgement {
    if uncommitted_bytes as u64 <= limit {
        return Ok(());
    }
    let message =
        format!("server {leader} has {uncommitted_bytes} uncommitted bytes in its log; the limit is {limit}");
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
        };
        assert_eq!(window_holds(node(1), &peer(3), 3), Ok(()));
        reports(Oracle::S24, window_holds(node(1), &peer(4), 3));
        assert_eq!(log_is_bounded(node(1), 100, 100), Ok(()));
        reports(Oracle::S24, log_is_bounded(node(1), 101, 100));
    }
}
