//! S2, S3 and S6: what may be done to a log, judged on every write that a server issues.

use raft_core::{Entry, NodeId, Persist, RoleName, Term, Vitals};

use super::facts::Facts;
use super::{Judgement, LogView, Oracle, violated};
use crate::disk::Image;

/// S2, S3 and S6: a server issues a write. `before` and `after` are its vitals around the step.
pub(crate) fn issued(
    facts: &mut Facts,
    node: NodeId,
    before: &Vitals,
    after: &Vitals,
    persist: &Persist,
    log: &impl LogView,
    disk: &Image,
) -> Judgement {
    if let Some(from) = persist.truncate_from {
        if before.role == RoleName::Leader && after.role == RoleName::Leader && before.term == after.term {
            let message = format!(
                "server {node}, leader of term {}, truncates its log from {from}",
                after.term
            );
            return violated(Oracle::S2, message);
        }
        // Discarding a log after a snapshot that covers everything committed does not count as a truncation.
        let written = persist.snapshot.as_ref().map(|meta| meta.last.index);
        let covered = written.max(disk.snapshot_last().map(|last| last.index));
        if Some(from) <= before.commit && before.commit > covered {
            let message = format!(
                "server {node} truncates its log from {from}, but has committed {:?}",
                before.commit
            );
            return violated(Oracle::S6, message);
        }
    }
    learn_all(facts, &persist.entries, |first| {
        first
            .id
            .index
            .previous()
            .map_or(Some(None), |prev| log.log_id(prev).map(|prev| Some(prev.term)))
    })
}

/// S6: no snapshot contradicts what is committed. Judged after the step's commits, as a server may commit, apply and
/// take a snapshot in one step.
pub(crate) fn snapshot_issued(facts: &Facts, node: NodeId, persist: &Persist) -> Judgement {
    if let Some(meta) = &persist.snapshot
        && facts
            .committed(meta.last.index)
            .is_none_or(|committed| committed.id != meta.last)
    {
        let message = format!(
            "server {node} has a snapshot up to {}, which is not committed",
            meta.last
        );
        return violated(Oracle::S6, message);
    }
    Ok(())
}

/// S3: a server starts from this disk.
pub(crate) fn restored(facts: &mut Facts, image: &Image) -> Judgement {
    let mut prev = match image.entries().next() {
        Some(first) if first.id.index.previous().is_none() => Some(None),
        Some(first) => image
            .snapshot_last()
            .filter(|last| last.index.next() == first.id.index)
            .map(|last| Some(last.term)),
        None => None,
    };
    for entry in image.entries() {
        facts.learn(entry, prev)?;
        prev = Some(Some(entry.id.term));
    }
    Ok(())
}

/// S2: a leader's log only grows.
pub(crate) fn leader_grows(node: NodeId, before: &Vitals, after: &Vitals) -> Judgement {
    let leads =
        before.role == RoleName::Leader && after.role == RoleName::Leader && before.term == after.term;
    if leads && after.last < before.last {
        return violated(
            Oracle::S2,
            format!(
                "the log of server {node}, leader of term {}, became shorter",
                after.term
            ),
        );
    }
    Ok(())
}

fn learn_all(
    facts: &mut Facts,
    entries: &[Entry],
    prev_term: impl Fn(&Entry) -> Option<Option<Term>>,
) -> Judgement {
    let Some(first) = entries.first() else {
        return Ok(());
    };
    let mut prev = prev_term(first);
    for entry in entries {
        facts.learn(entry, prev)?;
        prev = Some(Some(entry.id.term));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Terms, at, command, facts, id, node, persist, reports, three, vitals};
    use super::*;
    use raft_core::SnapshotMeta;

    #[test]
    fn s2_reports_a_leader_that_truncates_or_loses_entries() {
        let mut known = facts(&[command(1, 1, "a"), command(1, 2, "b")], 0);
        let leader = vitals(RoleName::Leader, 1, Some(id(1, 2)), 0);
        let shorter = vitals(RoleName::Leader, 1, Some(id(1, 1)), 0);
        let mut write = persist(vec![]);
        write.truncate_from = Some(at(2));
        let log = Terms(vec![1]);
        reports(
            Oracle::S2,
            issued(
                &mut known,
                node(1),
                &leader,
                &shorter,
                &write,
                &log,
                &Image::default(),
            ),
        );
        reports(Oracle::S2, leader_grows(node(1), &leader, &shorter));
        let stepped_down = vitals(RoleName::Follower, 2, Some(id(1, 1)), 0);
        assert_eq!(
            issued(
                &mut known,
                node(1),
                &leader,
                &stepped_down,
                &write,
                &log,
                &Image::default()
            ),
            Ok(())
        );
        assert_eq!(leader_grows(node(1), &leader, &stepped_down), Ok(()));
    }

    #[test]
    fn s6_reports_the_truncation_of_a_committed_entry() {
        let mut known = facts(&[command(1, 1, "a"), command(1, 2, "b")], 1);
        let follower = vitals(RoleName::Follower, 2, Some(id(1, 2)), 1);
        let mut write = persist(vec![]);
        write.truncate_from = Some(at(2));
        assert_eq!(
            issued(
                &mut known,
                node(1),
                &follower,
                &follower,
                &write,
                &Terms(vec![1]),
                &Image::default()
            ),
            Ok(())
        );
        write.truncate_from = Some(at(1));
        reports(
            Oracle::S6,
            issued(
                &mut known,
                node(1),
                &follower,
                &follower,
                &write,
                &Terms(vec![]),
                &Image::default(),
            ),
        );
    }

    #[test]
    fn s6_reports_a_snapshot_that_contradicts_what_is_committed() {
        let known = facts(&[command(1, 1, "a"), command(1, 2, "b")], 2);
        let up_to = |last| SnapshotMeta {
            cluster: raft_core::ClusterId::UNKNOWN,
            last,
            membership: three().into(),
            membership_id: None,
            withheld: false,
            level: raft_core::Level::ZERO,
        };
        let mut write = persist(vec![]);
        write.snapshot = Some(Box::new(up_to(id(1, 2))));
        assert_eq!(snapshot_issued(&known, node(1), &write), Ok(()));
        write.snapshot = Some(Box::new(up_to(id(2, 2))));
        reports(Oracle::S6, snapshot_issued(&known, node(1), &write));
        write.snapshot = Some(Box::new(up_to(id(1, 3))));
        reports(Oracle::S6, snapshot_issued(&known, node(1), &write));
    }

    #[test]
    fn s3_reports_an_entry_that_follows_another_one_elsewhere() {
        let mut known = facts(&[command(1, 1, "a"), command(2, 2, "b")], 0);
        let follower = vitals(RoleName::Follower, 3, Some(id(2, 2)), 0);
        let write = persist(vec![command(2, 2, "b")]);
        assert_eq!(
            issued(
                &mut known,
                node(2),
                &follower,
                &follower,
                &write,
                &Terms(vec![1, 2]),
                &Image::default(),
            ),
            Ok(())
        );
        reports(
            Oracle::S3,
            issued(
                &mut known,
                node(2),
                &follower,
                &follower,
                &write,
                &Terms(vec![2, 2]),
                &Image::default(),
            ),
        );
    }

    #[test]
    fn s3_reports_a_disk_with_another_entry_of_the_same_name() {
        let mut known = facts(&[command(1, 1, "a")], 0);
        let mut image = Image::default();
        image.write(&persist(vec![command(1, 1, "z")]), None, usize::MAX);
        reports(Oracle::S3, restored(&mut known, &image));
    }
}
