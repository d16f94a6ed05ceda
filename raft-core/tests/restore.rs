//! The contents of a disk that a server accepts at its start, and those that a crash may leave.

mod support;

use raft_core::{
    Durable, EntryBody, HardState, Incarnation, Index, Membership, Persist, Raft, RestoreError, Setup,
    SnapshotMeta, Term, Ticket,
};
use support::scene::{Scene, at, entries, entry, id, index, node, outcomes, setup, snapshot, voters, writes};

/// The reason why a server refuses to start from a disk.
fn refusal(setup: Setup) -> RestoreError {
    Raft::new(setup).expect_err("this disk contradicts itself")
}

// Paper, Figure 2: term, vote and log are read back as they were written.
#[test]
fn term_vote_and_log_survive_a_restart() {
    let mut setup = setup(3, 5, &[1, 1, 4]);
    setup.durable.hard_state.vote = Some(node(2));
    let scene = Scene::new(setup).expect("the disk is valid");
    assert_eq!((scene.term(), scene.vote()), (5, Some(2)));
    assert_eq!(scene.log(), [1, 1, 4]);
    assert_eq!(scene.commit(), 0);
}

// The stored commit index is a hint; what a snapshot covers was committed, hint or no hint.
#[test]
fn commit_is_restored_as_the_larger_of_hint_and_snapshot() {
    let mut hinted = setup(3, 1, &[1, 1, 1]);
    hinted.durable.commit = Index::new(2);
    let scene = Scene::new(hinted.clone()).expect("the disk is valid");
    assert_eq!((scene.commit(), scene.applied()), (2, 2));
    hinted.durable.snapshot = Some(snapshot(1, 3, 3));
    let scene = Scene::new(hinted).expect("the disk is valid");
    assert_eq!((scene.commit(), scene.applied()), (3, 3));
}

#[test]
fn a_gap_between_entries_is_refused() {
    let mut broken = setup(3, 1, &[1, 1, 1]);
    broken.durable.entries.remove(1);
    let (previous, next) = (id(1, 1), id(1, 3));
    assert_eq!(refusal(broken), RestoreError::Gap { previous, next });
}

#[test]
fn terms_that_fall_along_the_log_are_refused() {
    let (previous, next) = (id(2, 1), id(1, 2));
    assert_eq!(
        refusal(setup(3, 2, &[2, 1])),
        RestoreError::Gap { previous, next }
    );
}

#[test]
fn a_log_without_its_beginning_is_refused() {
    let mut broken = setup(3, 1, &[1, 1, 1]);
    broken.durable.entries.remove(0);
    assert_eq!(refusal(broken), RestoreError::Headless { first: id(1, 2) });
}

#[test]
fn a_log_that_begins_beyond_the_snapshots_end_is_refused() {
    let mut broken = setup(3, 1, &[1, 1, 1, 1]);
    broken.durable.snapshot = Some(snapshot(1, 2, 3));
    broken.durable.entries.drain(..3);
    let (previous, next) = (id(1, 2), id(1, 4));
    assert_eq!(refusal(broken), RestoreError::Gap { previous, next });
}

#[test]
fn a_log_of_an_earlier_term_than_the_snapshot_before_it_is_refused() {
    let mut broken = setup(3, 2, &[1, 1, 1]);
    broken.durable.snapshot = Some(snapshot(2, 2, 3));
    broken.durable.entries.drain(..2);
    let (previous, next) = (id(2, 2), id(1, 3));
    assert_eq!(refusal(broken), RestoreError::Gap { previous, next });
}

#[test]
fn an_entry_of_a_later_term_than_the_stored_one_is_refused() {
    let (entry, term) = (id(3, 2), Term::new(2));
    assert_eq!(
        refusal(setup(3, 2, &[1, 3])),
        RestoreError::TermTooLate { entry, term }
    );
}

#[test]
fn a_commit_index_beyond_the_log_is_refused() {
    let mut broken = setup(3, 1, &[1, 1]);
    broken.durable.commit = Index::new(3);
    let (commit, last) = (index(3), at(1, 2));
    assert_eq!(refusal(broken), RestoreError::CommitTooLate { commit, last });
}

// A disk with entries that no leader makes is refused: no peer would accept them.
#[test]
fn entries_that_no_leader_makes_are_refused() {
    let entry = id(0, 1);
    assert_eq!(refusal(setup(3, 2, &[0, 1])), RestoreError::Impossible { entry });

    let no_voters = Membership::default();
    let both = voters(3).with_witnesses([node(1), node(2)]);
    for membership in [no_voters, both] {
        let mut broken = setup(3, 2, &[1, 2]);
        broken.durable.entries[1].body = EntryBody::Membership(membership.into());
        let entry = id(2, 2);
        assert_eq!(refusal(broken), RestoreError::Impossible { entry });
    }
}

#[test]
fn snapshots_that_no_server_takes_are_refused() {
    let of = |meta: SnapshotMeta| {
        let mut broken = setup(3, 2, &[]);
        broken.durable.snapshot = Some(meta);
        matches!(refusal(broken), RestoreError::Snapshot(_))
    };
    assert!(of(snapshot(0, 2, 3)), "its last entry is of no term");
    assert!(of(SnapshotMeta {
        membership: Membership::default().into(),
        ..snapshot(1, 2, 3)
    }));
    assert!(of(SnapshotMeta {
        membership: voters(3).with_witnesses([node(1), node(2)]).into(),
        ..snapshot(1, 2, 3)
    }));
    assert!(of(SnapshotMeta {
        membership_id: at(1, 3),
        ..snapshot(1, 2, 3)
    }));
}

// Another folder's identity beside this server's log: all other servers drop its messages, and its operator must be
// able to see why.
#[test]
fn another_folder_than_the_bound_one_is_fenced() {
    let mut setup = setup(3, 1, &[1]);
    assert!(
        !Scene::new(setup.clone())
            .expect("the disk is valid")
            .raft
            .status()
            .fenced
    );
    setup.identity.incarnation = Incarnation::new(9);
    assert!(Scene::new(setup).expect("the disk is valid").raft.status().fenced);
}

// A number near the end of its range would overflow sooner or later; no honest cluster reaches it.
#[test]
fn terms_and_positions_near_the_end_of_their_range_are_refused() {
    let mut term_too_large = setup(1, u64::MAX, &[1]);
    term_too_large.durable.commit = None;
    assert!(Raft::new(term_too_large).is_err());

    let mut position_too_large = setup(1, 2, &[1, 2]);
    position_too_large.durable.snapshot = Some(snapshot(1, u64::MAX, 1));
    assert!(Raft::new(position_too_large).is_err());
}

// Paper §7: a log that holds the snapshot's last entry is kept, with the entries after it.
#[test]
fn a_log_that_holds_the_snapshots_last_entry_is_kept() {
    let mut torn = setup(3, 2, &[1, 1, 2, 2]);
    torn.durable.snapshot = Some(snapshot(1, 2, 3));
    let scene = Scene::new(torn).expect("the disk is valid");
    assert_eq!(scene.raft.vitals().last, at(2, 4));
    assert_eq!(scene.raft.log_id(index(2)), at(1, 2));
    assert_eq!(scene.raft.log_id(index(3)), at(2, 3));
    assert_eq!(scene.applied(), 2);
}

// A compaction that a crash interrupted leaves entries that the snapshot covers: they do no harm.
#[test]
fn a_log_that_begins_right_after_the_snapshot_is_kept() {
    let mut compacted = setup(3, 2, &[1, 1, 2]);
    compacted.durable.snapshot = Some(snapshot(1, 2, 3));
    compacted.durable.entries.drain(..2);
    let scene = Scene::new(compacted).expect("the disk is valid");
    assert_eq!(scene.log(), [2]);
    assert_eq!(scene.raft.vitals().last, at(2, 3));
}

/// A disk on which a snapshot arrived, and the crash came before the log in its place was removed.
fn torn_install(log: &[u64]) -> Setup {
    let mut torn = setup(3, 3, log);
    torn.durable.snapshot = Some(snapshot(3, 4, 3));
    torn
}

// Paper §7: a log that conflicts with the snapshot is discarded. It must be removed from the disk as well, before
// anything is appended: a store that keeps discarded entries would return them at the next start, among later ones.
#[test]
fn a_log_that_conflicts_with_the_snapshot_is_removed_from_the_disk_before_anything_is_appended() {
    for log in [&[1_u64, 1, 2, 2, 2, 2] as &[u64], &[1, 1], &[1, 1, 3]] {
        let scene = Scene::new(torn_install(log)).expect("a crash may leave this");
        assert_eq!(scene.raft.vitals().last, at(3, 4));
        let writes = writes(&scene.opening);
        assert_eq!(writes.len(), 1, "{log:?}: {writes:?}");
        assert_eq!(writes[0].truncate_from, Some(Index::FIRST));
        assert!(writes[0].entries.is_empty());
    }
}

#[test]
fn acknowledged_entries_after_a_torn_install_survive_the_next_crash() {
    let mut disk = support::Disk {
        durable: torn_install(&[1, 1, 2, 2, 2, 2]).durable,
        ..support::Disk::default()
    };
    let mut setup = setup(3, 3, &[]);
    setup.durable = disk.durable.clone();
    let mut scene = Scene::new(setup.clone()).expect("a crash may leave this");
    let mut actions = core::mem::take(&mut scene.opening);
    actions.extend(scene.append(3, at(3, 4), &[3], 4));
    assert_eq!(outcomes(&actions).len(), 1);
    for write in writes(&actions) {
        disk.write(&write);
    }
    disk.durable.snapshot = Some(snapshot(3, 4, 3));
    setup.durable = disk.durable;
    let scene = Scene::new(setup).expect("what was written makes sense");
    assert_eq!(scene.raft.vitals().last, at(3, 5));
}

// Paper §6: the configuration after a restart is the last one in the log, else the snapshot's.
#[test]
fn the_configuration_is_the_last_in_the_log_else_the_snapshots() {
    let mut restored = setup(3, 2, &[1, 1, 2]);
    restored.durable.snapshot = Some(snapshot(1, 2, 5));
    let scene = Scene::new(restored.clone()).expect("the disk is valid");
    assert_eq!(scene.raft.membership().voters().count(), 5);
    restored.durable.entries[2].body = EntryBody::Membership(voters(4).into());
    let scene = Scene::new(restored).expect("the disk is valid");
    assert_eq!(scene.raft.membership().voters().count(), 4);
    assert_eq!(scene.raft.membership_id(), at(2, 3));
}

// A server with an empty disk first asks whether it ever held anything; with any other disk it takes part at once.
#[test]
fn only_an_empty_disk_joins() {
    assert!(Durable::default().is_empty());
    let voted = Scene::follower(3, 1, &[]);
    assert_eq!(voted.role(), raft_core::RoleName::Follower);
}

// Entries that were durable before the restart count towards a quorum after it.
#[test]
fn entries_that_were_durable_before_the_restart_are_durable_after_it() {
    let mut scene = Scene::follower(1, 1, &[1, 1]);
    assert_eq!(scene.raft.vitals().durable, Index::new(2));
    scene.win();
    assert_eq!(scene.commit(), 3);
}

/// A write of nothing.
fn nothing() -> Persist {
    Persist {
        ticket: Ticket::new(1),
        hard_state: None,
        snapshot: None,
        truncate_from: None,
        entries: raft_core::Entries::default(),
        commit: None,
        compact_to: None,
        sync: false,
    }
}

// A write changes each part of a disk in the order of its fields, and leaves the parts that it does not name.
#[test]
fn a_disk_holds_every_part_that_was_written_to_it() {
    let mut disk = setup(3, 5, &[1, 1, 4]).durable;
    let before = disk.clone();
    disk.write(&nothing());
    assert_eq!(disk, before);
    let hard_state = HardState {
        term: Term::new(7),
        vote: Some(node(2)),
        ..HardState::default()
    };
    disk.write(&Persist {
        hard_state: Some(Box::new(hard_state)),
        snapshot: Some(Box::new(snapshot(1, 2, 3))),
        truncate_from: Some(index(3)),
        entries: entries(2, &[6, 7]).into(),
        commit: Some(index(3)),
        compact_to: Some(index(1)),
        ..nothing()
    });
    assert_eq!(
        disk,
        Durable {
            hard_state,
            snapshot: Some(snapshot(1, 2, 3)),
            entries: vec![entry(1, 2), entry(6, 3), entry(7, 4)],
            commit: Some(index(3)),
        }
    );
}

#[test]
fn a_disk_is_read_within_a_limit_and_at_least_one_entry_at_a_time() {
    let disk = setup(3, 1, &[1; 5]).durable;
    let cost = entry(1, 1).cost_bytes();
    let read = |first, last, max_bytes| disk.load(index(first), index(last), max_bytes).to_vec();
    assert_eq!(read(2, 4, usize::MAX), entries(1, &[1; 3]));
    assert_eq!(read(2, 4, 2 * cost), entries(1, &[1; 2]));
    assert_eq!(read(2, 4, 2 * cost - 1), entries(1, &[1]));
    assert_eq!(read(2, 4, 0), entries(1, &[1]));
    assert_eq!(read(5, 9, usize::MAX), entries(4, &[1]));
    assert_eq!(read(6, 9, usize::MAX), []);
}
