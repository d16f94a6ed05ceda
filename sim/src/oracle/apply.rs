//! S15, S16 and S17: which commands each state machine has seen, by apply and by snapshot.

use std::collections::BTreeMap;

use raft_core::{Index, LogId, NodeId, SnapshotMeta};

use super::facts::Facts;
use super::levels::names_level;
use super::{Judgement, Oracle, violated};
use crate::hash::of_bytes;
use crate::witness::{History, chain_of};

/// The contents of all snapshots so far, keyed by the last entry that each covers.
#[derive(Default)]
pub(crate) struct Snapshots {
    contents: BTreeMap<Index, (NodeId, u64)>,
}

/// S15 and S16: a server's machine has applied everything up to `applied`.
pub(crate) fn applied(facts: &Facts, node: NodeId, applied: Option<Index>, history: History) -> Judgement {
    let Some(expected) = facts.history(applied) else {
        return violated(
            Oracle::S15,
            format!("server {node} has applied {applied:?}, which is not committed"),
        );
    };
    if history == expected {
        return Ok(());
    }
    if history.disordered || history.last != expected.last {
        let message = format!(
            "server {node} has applied up to {applied:?}; its machine's last command is {:?}, expected {:?}",
            history.last, expected.last
        );
        return violated(Oracle::S15, message);
    }
    violated(
        Oracle::S16,
        format!("server {node} has applied commands up to {applied:?} that differ from the committed ones"),
    )
}

impl Snapshots {
    /// S16 and S17: a server writes this snapshot, which is its own or comes from a leader.
    pub(crate) fn written(
        &mut self,
        facts: &Facts,
        node: NodeId,
        meta: &SnapshotMeta,
        bytes: &[u8],
    ) -> Judgement {
        let last = meta.last;
        names_level(facts, node, meta)?;
        let history = facts.history(Some(last.index));
        if history.map(|history| history.chain) != chain_of(bytes) {
            return violated(
                Oracle::S17,
                format!(
                    "the snapshot up to {last} of server {node} covers other commands than the committed ones"
                ),
            );
        }
        Self::has_membership(facts, node, meta)?;
        let content = of_bytes(bytes);
        let (first, known) = *self.contents.entry(last.index).or_insert((node, content));
        if known != content {
            let message = format!(
                "the machines of servers {first} and {node} differ after the same commands up to {last}"
            );
            return violated(Oracle::S16, message);
        }
        Ok(())
    }

    /// S17: a server has installed this snapshot, and its machine must be in the state that the snapshot describes.
    pub(crate) fn installed(
        &self,
        facts: &Facts,
        node: NodeId,
        meta: &SnapshotMeta,
        history: History,
    ) -> Judgement {
        // Entries after the snapshot may already be applied again when the installation is reported.
        if facts
            .committed(meta.last.index)
            .is_none_or(|committed| committed.id != meta.last)
        {
            return violated(
                Oracle::S17,
                format!(
                    "server {node} installs a snapshot up to {}, which is not committed",
                    meta.last
                ),
            );
        }
        let expected = facts
            .history(Some(meta.last.index))
            .and_then(|history| history.last);
        if history.last < expected {
            let message = format!(
                "server {node} installs a snapshot up to {}, and its machine has applied up to {:?}",
                meta.last, history.last
            );
            return violated(Oracle::S17, message);
        }
        Self::has_membership(facts, node, meta)
    }

    fn has_membership(facts: &Facts, node: NodeId, meta: &SnapshotMeta) -> Judgement {
        match facts.membership_at(meta.last.index) {
            Some((id, membership)) if id == meta.membership_id && *membership == *meta.membership => Ok(()),
            _ => {
                let message = format!(
                    "the snapshot up to {} of server {node} has a configuration that differs from the one in the log there",
                    meta.last
                );
                violated(Oracle::S17, message)
            }
        }
    }
}

/// S15: a server tells its host how far it has applied, no less and no more.
pub(crate) fn says_how_far(node: NodeId, up_to: LogId, applied: Option<Index>) -> Judgement {
    if Some(up_to.index) == applied {
        return Ok(());
    }
    let message = format!("server {node} says that it has applied up to {up_to}, and has up to {applied:?}");
    violated(Oracle::S15, message)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, command, facts, id, node, reports, three};
    use super::*;
    use crate::hash::of_bytes;
    use crate::witness::Witness;
    use raft_core::replica::StateMachine;

    fn known() -> Facts {
        facts(&[command(1, 1, "a"), command(1, 2, "b")], 2)
    }

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta {
            cluster: raft_core::ClusterId::UNKNOWN,
            last: id(1, index),
            membership: three().into(),
            membership_id: None,
            withheld: false,
            level: raft_core::Level::ZERO,
        }
    }

    #[test]
    fn s15_reports_a_command_that_is_skipped_repeated_or_early() {
        let facts = known();
        let first = History::default().after(id(1, 1), of_bytes(b"a"));
        let both = first.after(id(1, 2), of_bytes(b"b"));
        assert_eq!(applied(&facts, node(1), Some(at(2)), both), Ok(()));
        reports(Oracle::S15, applied(&facts, node(1), Some(at(2)), first));
        reports(Oracle::S15, applied(&facts, node(1), Some(at(1)), both));
        reports(Oracle::S15, applied(&facts, node(1), Some(at(3)), both));
        let repeated = both.after(id(1, 2), of_bytes(b"b"));
        reports(Oracle::S15, applied(&facts, node(1), Some(at(2)), repeated));
    }

    #[test]
    fn s16_reports_other_commands_and_machines_that_differ() {
        let facts = known();
        let other = History::default().after(id(1, 1), of_bytes(b"z"));
        reports(Oracle::S16, applied(&facts, node(1), Some(at(1)), other));
        let header = |tail: &[u8]| {
            let mut machine = Witness::alone(crate::kv::Store::default());
            machine.apply(id(1, 1), b"a").unwrap();
            [machine.snapshot().as_slice(), tail].concat()
        };
        let mut snapshots = Snapshots::default();
        assert_eq!(
            snapshots.written(&facts, node(1), &meta(1), &header(b"x")),
            Ok(())
        );
        reports(
            Oracle::S16,
            snapshots.written(&facts, node(2), &meta(1), &header(b"y")),
        );
    }

    #[test]
    fn s17_reports_a_snapshot_of_other_commands_or_with_another_configuration() {
        let facts = known();
        let mut machine = Witness::alone(crate::kv::Store::default());
        machine.apply(id(1, 1), b"a").unwrap();
        let mut snapshots = Snapshots::default();
        assert_eq!(
            snapshots.written(&facts, node(1), &meta(1), &machine.snapshot()),
            Ok(())
        );
        reports(
            Oracle::S17,
            snapshots.written(&facts, node(1), &meta(2), &machine.snapshot()),
        );
        let wrong = SnapshotMeta {
            cluster: raft_core::ClusterId::UNKNOWN,
            membership: raft_core::Membership::default().into(),
            ..meta(1)
        };
        reports(
            Oracle::S17,
            snapshots.written(&facts, node(1), &wrong, &machine.snapshot()),
        );
        reports(
            Oracle::S17,
            snapshots.installed(&facts, node(1), &wrong, machine.history()),
        );
        reports(
            Oracle::S17,
            snapshots.installed(&facts, node(1), &meta(2), machine.history()),
        );
        reports(
            Oracle::S17,
            snapshots.installed(&facts, node(1), &meta(3), machine.history()),
        );
    }
}
