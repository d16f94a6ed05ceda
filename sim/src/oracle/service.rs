//! C11: a server in good order serves. It turns nothing away without a reason, and leaves nothing unknown.

use raft_core::{NodeId, Rejection};

use super::{Judgement, Oracle, violated};

/// A limit of so much is not reached by the clients of a run, which are few, nor by their commands, which are small.
const GENEROUS: usize = 10_000;

/// How a request ended that was not served.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unserved {
    Rejected(Rejection),
    Superseded,
    Unknown,
}

/// C11: a server that was healthy together with its leader and a quorum, for as long as the request took and for a while
/// before, had a reason not to serve it.
///
/// `may_ask_leader`: it does not lead, and forwards nothing. A limit that a schedule draws small is a reason.
pub(crate) fn has_a_reason(
    node: NodeId,
    attempt: u64,
    may_ask_leader: bool,
    unserved: Unserved,
) -> Judgement {
    let is_fair = match unserved {
        Unserved::Rejected(Rejection::NotLeader { .. }) => may_ask_leader,
        Unserved::Rejected(Rejection::Busy { limit, .. }) => limit < GENEROUS,
        // Leadership is being handed over, which an operator or a wrong clock may want, or the program is too old.
        Unserved::Rejected(Rejection::Transferring { .. } | Rejection::Halted(_)) => true,
        Unserved::Rejected(_) | Unserved::Superseded | Unserved::Unknown => false,
    };
    if is_fair {
        return Ok(());
    }
    let how = match unserved {
        Unserved::Rejected(reason) => format!("is rejected: {reason}"),
        Unserved::Superseded => "is superseded".to_owned(),
        Unserved::Unknown => "ends as unknown".to_owned(),
    };
    let message =
        format!("attempt {attempt} {how}, although server {node}, its leader and a quorum are in good order");
    violated(Oracle::C11, message)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{node, reports};
    use super::*;
    use raft_core::Waiting;

    #[test]
    fn c11_reports_a_request_that_is_turned_away_without_a_reason() {
        let judge = |may_ask_leader, unserved| has_a_reason(node(1), 7, may_ask_leader, unserved);
        let not_leader = Unserved::Rejected(Rejection::NotLeader {
            leader: Some(node(2)),
        });
        assert_eq!(judge(true, not_leader), Ok(()));
        reports(Oracle::C11, judge(false, not_leader));
        let busy = |limit| {
            let what = Waiting::Proposals;
            Unserved::Rejected(Rejection::Busy { what, limit })
        };
        assert_eq!(judge(false, busy(2)), Ok(()), "the schedule wants it so");
        reports(Oracle::C11, judge(false, busy(65_536)));
        let handing_over = Unserved::Rejected(Rejection::Transferring { to: node(2) });
        assert_eq!(judge(false, handing_over), Ok(()));
        reports(Oracle::C11, judge(true, Unserved::Unknown));
        reports(Oracle::C11, judge(true, Unserved::Superseded));
    }
}
