//! L6, L8 and L9: healthy followers catch up, an idle cluster sends only heartbeats, and faults cause few elections.

use raft_core::{Index, NodeId};

use super::{Judgement, Oracle, count, violated};
use crate::nanos::Nanos;

/// A healthy follower that lags its leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lagging {
    applied: Option<Index>,
    /// The largest amount of a snapshot that had arrived, over all transfers.
    piece_end: u64,
    moved_at: Nanos,
}

impl Lagging {
    /// What it had applied when it last made progress.
    pub(crate) const fn applied(&self) -> Option<Index> {
        self.applied
    }
}

/// L6: a healthy follower that lags its leader makes progress, again and again. Progress means that it applies an
/// entry, or that more of a snapshot arrives than ever did since it last applied one. A transfer that begins again is
/// no progress, so this also finds a follower that is sent one snapshot after another and completes none.
pub(crate) fn catches_up(
    lag: &mut Option<Lagging>,
    node: NodeId,
    (applied, committed): (Option<Index>, Option<Index>),
    piece_end: u64,
    (now, patience): (Nanos, Nanos),
) -> Judgement {
    if applied >= committed {
        *lag = None;
        return Ok(());
    }
    let begun = Lagging {
        applied,
        piece_end,
        moved_at: now,
    };
    match lag {
        Some(earlier) if earlier.applied == applied && earlier.piece_end >= piece_end => {
            let stalled_for = now.since(earlier.moved_at);
            if stalled_for > patience {
                let message = format!(
                    "server {node} has applied {} of {}, and has made no progress for {stalled_for}",
                    count(applied),
                    count(committed)
                );
                return violated(Oracle::L6, message);
            }
        }
        _ => *lag = Some(begun),
    }
    Ok(())
}

/// L8: between servers with nothing to replicate only heartbeats pass...
pub(crate) fn is_heartbeat(from: NodeId, to: NodeId, name: &'static str, idle_for: Nanos) -> Judgement {
    if matches!(name, "Heartbeat" | "HeartbeatReply") {
        return Ok(());
    }
    let message = format!("server {from} sends {name} to {to}, although nothing has happened for {idle_for}");
    violated(Oracle::L8, message)
}

/// ...and those no more often than the settings say. A clock may be fast by a quarter.
pub(crate) fn heartbeats_keep_the_interval(
    to: NodeId,
    beats: u64,
    lasted: Nanos,
    interval: Nanos,
) -> Judgement {
    let allowed = lasted.value() * 5 / 4 / interval.value().max(1) + 2;
    if beats <= allowed {
        return Ok(());
    }
    let message = format!(
        "server {to} was sent {beats} heartbeats in {lasted}, but should be sent one every {interval}"
    );
    violated(Oracle::L8, message)
}

/// How many elections one disruption of the cluster may cause: one, and a few more for bad luck. The chance that more
/// votes than that are split is below one in a million runs.
const ELECTIONS_PER_DISRUPTION: u64 = 3;

/// How many more elections a whole run may have through bad luck.
const ELECTIONS_BESIDES: u64 = 6;

/// L9: in good weather a run has few elections for each beginning and each end of a fault.
pub(crate) fn elections_are_few(terms: u64, disruptions: u64) -> Judgement {
    let allowed = ELECTIONS_PER_DISRUPTION * disruptions + ELECTIONS_BESIDES;
    if terms <= allowed {
        return Ok(());
    }
    let message = format!(
        "{terms} terms have begun, although the weather is good and there were only {disruptions} disruptions"
    );
    violated(Oracle::L9, message)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, node, reports};
    use super::*;

    #[test]
    fn l6_reports_a_follower_that_makes_no_progress() {
        let patience = Nanos::from_secs(1);
        let mut lag = None;
        let mut survey = |secs, applied, piece_end| {
            let progress = (Index::new(applied), Some(at(9)));
            catches_up(
                &mut lag,
                node(2),
                progress,
                piece_end,
                (Nanos::from_secs(secs), patience),
            )
        };
        assert_eq!(survey(1, 4, 0), Ok(()));
        assert_eq!(survey(2, 4, 0), Ok(()));
        assert_eq!(survey(3, 5, 0), Ok(()), "it has applied something");
        assert_eq!(survey(5, 5, 100), Ok(()), "a snapshot arrives");
        assert_eq!(survey(6, 5, 40), Ok(()));
        reports(Oracle::L6, survey(7, 5, 90));
        assert_eq!(survey(8, 9, 90), Ok(()), "it has everything");
    }

    #[test]
    fn l8_reports_chatter_between_servers_with_nothing_to_do() {
        let idle = Nanos::from_millis(300);
        assert_eq!(is_heartbeat(node(1), node(2), "Heartbeat", idle), Ok(()));
        reports(Oracle::L8, is_heartbeat(node(1), node(2), "Append", idle));
        let beats = |beats| {
            heartbeats_keep_the_interval(node(2), beats, Nanos::from_millis(150), Nanos::from_millis(50))
        };
        assert_eq!(beats(5), Ok(()));
        reports(Oracle::L8, beats(6));
    }

    #[test]
    fn l9_reports_more_elections_than_faults_explain() {
        assert_eq!(elections_are_few(12, 2), Ok(()));
        reports(Oracle::L9, elections_are_few(13, 2));
    }
}
