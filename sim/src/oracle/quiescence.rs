//! L6, L8 and L9: followers in good order catch up, a cluster with nothing to do does nothing, and faults cost few
//! elections.

use raft_core::{Index, NodeId};

use super::{Judgement, Oracle, count, violated};
use crate::nanos::Nanos;

/// A follower in good order that is behind its leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    applied: Option<Index>,
    /// How much of a snapshot had arrived, of whichever came furthest.
    piece_end: u64,
    moved_at: Nanos,
}

impl Behind {
    /// What it had applied when it last came closer.
    pub(crate) const fn applied(&self) -> Option<Index> {
        self.applied
    }
}

/// L6: a follower that is behind a leader it is in good order with comes closer, again and again: it applies something,
/// or more of a snapshot arrives than ever did since it last applied something. A transfer that begins anew is no
/// progress, so a follower that is sent one snapshot after another and completes none is found as well.
pub(crate) fn catches_up(
    behind: &mut Option<Behind>,
    node: NodeId,
    (applied, committed): (Option<Index>, Option<Index>),
    piece_end: u64,
    (now, patience): (Nanos, Nanos),
) -> Judgement {
    if applied >= committed {
        *behind = None;
        return Ok(());
    }
    let begun = Behind {
        applied,
        piece_end,
        moved_at: now,
    };
    match behind {
        Some(earlier) if earlier.applied == applied && earlier.piece_end >= piece_end => {
            let stands_still = now.since(earlier.moved_at);
            if stands_still > patience {
                let message = format!(
                    "server {node} has applied {} of {}, and has come no closer for {stands_still}",
                    count(applied),
                    count(committed)
                );
                return violated(Oracle::L6, message);
            }
        }
        _ => *behind = Some(begun),
    }
    Ok(())
}

/// L8: between servers that have nothing to tell each other only heartbeats pass...
pub(crate) fn is_heartbeat(from: NodeId, to: NodeId, name: &'static str, idle_for: Nanos) -> Judgement {
    if matches!(name, "Heartbeat" | "HeartbeatReply") {
        return Ok(());
    }
    let message = format!("server {from} sends {name} to {to}, when nothing has happened for {idle_for}");
    violated(Oracle::L8, message)
}

/// ...and those no more often than the settings say. A clock may be fast by a quarter.
pub(crate) fn beats_in_time(to: NodeId, beats: u64, lasted: Nanos, interval: Nanos) -> Judgement {
    let allowed = lasted.value() * 5 / 4 / interval.value().max(1) + 2;
    if beats <= allowed {
        return Ok(());
    }
    let message = format!(
        "server {to} was sent {beats} heartbeats in {lasted}, and there should be one every {interval}"
    );
    violated(Oracle::L8, message)
}

/// What a blow to the cluster may cost in elections: one, and for bad luck a few more. The chance that more votes than
/// that are split is below one in a million runs.
const ELECTIONS_PER_BLOW: u64 = 3;

/// What bad luck a whole run may have besides.
const ELECTIONS_BESIDES: u64 = 6;

/// L9: where the weather is good, a run has few elections for each beginning and each end of a fault.
pub(crate) fn elections_are_few(terms: u64, blows: u64) -> Judgement {
    let allowed = ELECTIONS_PER_BLOW * blows + ELECTIONS_BESIDES;
    if terms <= allowed {
        return Ok(());
    }
    let message =
        format!("{terms} terms have begun, and the weather is good and only {blows} blows were struck");
    violated(Oracle::L9, message)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, node, reports};
    use super::*;

    #[test]
    fn l6_reports_a_follower_that_comes_no_closer() {
        let patience = Nanos::from_secs(1);
        let mut behind = None;
        let mut survey = |secs, applied, piece_end| {
            let progress = (Index::new(applied), Some(at(9)));
            catches_up(
                &mut behind,
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
        let beats = |beats| beats_in_time(node(2), beats, Nanos::from_millis(150), Nanos::from_millis(50));
        assert_eq!(beats(5), Ok(()));
        reports(Oracle::L8, beats(6));
    }

    #[test]
    fn l9_reports_more_elections_than_faults_explain() {
        assert_eq!(elections_are_few(12, 2), Ok(()));
        reports(Oracle::L9, elections_are_few(13, 2));
    }
}
