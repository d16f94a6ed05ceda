//! S22: which disks a server may start from, and what it must have read from them.

use raft_core::{HardState, LogId, NodeId};

use super::{Judgement, Oracle, violated};
use crate::disk::Image;

/// S22: a server was started from this disk, with this log and hard state. A rotten record must keep it from starting.
/// Everything else that the disk holds must be there: a log that ends early forgets what was promised.
pub(crate) fn started(node: NodeId, image: &Image, last: Option<LogId>, hard_state: HardState) -> Judgement {
    if let Some(rot) = image.rot() {
        let message = format!("server {node} starts from a disk on which {rot} has rotted");
        return violated(Oracle::S22, message);
    }
    // Between a crash and this start a snapshot may lie beside a log that it replaces (paper §7).
    let covered = image.snapshot_last();
    let first = image.entries().next().map(|entry| entry.id.index);
    let continues = covered.is_none_or(|covered| {
        first == Some(covered.index.next())
            || image
                .entry(covered.index)
                .is_some_and(|entry| entry.id == covered)
    });
    let expected = image.entries().last().filter(|_| continues).map(|entry| entry.id);
    let expected = expected.or(covered);
    // A start completes the identity of the cluster, and may make a longer promise to leaders than the disk knows of.
    let promised = |state: HardState| {
        let HardState {
            term,
            vote,
            vote_boot,
            admitted,
            silenced,
            ..
        } = state;
        (term, vote, vote_boot, admitted, silenced)
    };
    let is_remembered = promised(hard_state) == promised(image.hard_state)
        && hard_state.promise_micros >= image.hard_state.promise_micros;
    if last != expected || !is_remembered {
        let message = format!(
            "server {node} starts with {last:?} and {hard_state:?}, but its disk holds {expected:?} and {:?}",
            image.hard_state
        );
        return violated(Oracle::S22, message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{command, id, node, persist, reports};
    use super::*;
    use crate::disk::Disk;
    use crate::nanos::Nanos;
    use crate::random::{Domain, Seed};
    use crate::schedule::{DiskWeather, Record};

    fn disk() -> Disk {
        let mut disk = Disk::new(Seed(1), 1);
        let write = persist(vec![command(1, 1, "a"), command(1, 2, "b"), command(1, 3, "c")]);
        let ticket = write.ticket;
        disk.issue(Nanos::ZERO, &DiskWeather::default(), write, None);
        disk.synced(Nanos::ZERO, &DiskWeather::default(), ticket);
        disk
    }

    #[test]
    fn s22_reports_a_start_from_a_rotten_record_and_a_log_that_ends_early() {
        let mut disk = disk();
        let none = HardState::default();
        assert_eq!(started(node(1), disk.durable(), Some(id(1, 3)), none), Ok(()));
        reports(
            Oracle::S22,
            started(node(1), disk.durable(), Some(id(1, 2)), none),
        );
        let voted = HardState {
            term: raft_core::Term::new(1),
            vote: None,
            ..HardState::default()
        };
        reports(
            Oracle::S22,
            started(node(1), disk.durable(), Some(id(1, 3)), voted),
        );
        let mut draws = Seed(1).careful(Domain::Nemesis, 0, 0, 0);
        disk.corrupt(Record::Entry, &mut draws)
            .expect("there are entries");
        assert!(disk.durable().recover().is_err());
        for last in 1..=3 {
            reports(
                Oracle::S22,
                started(node(1), disk.durable(), Some(id(1, last)), none),
            );
        }
    }
}
