//! The store: what it keeps, what survives a crash, and how it reports a disk that lies.

use std::collections::BTreeMap;

use crate::disk::MemoryDisk;
use node::store::{NewFolder, Opened, Store, StoreError, StoreOptions};
use raft_core::{
    Entries, Entry, EntryBody, GroupId, HardState, Incarnation, Index, LogId, Membership, NodeId, Payload,
    Persist, SnapshotMeta, Term, Ticket,
};

const SMALL: StoreOptions = StoreOptions {
    journal_bytes: 256 << 10,
};

/// The folder of server 1 of three.
pub(crate) fn new_folder() -> NewFolder {
    NewFolder {
        boot_nonce: 5,
        group: GroupId::new(7),
        node: NodeId::new(1),
        incarnation: Incarnation::new(11),
        bootstrap: Membership::of_voters([1, 2, 3].map(NodeId::new)),
    }
}

fn index(value: u64) -> Index {
    Index::new(value).unwrap()
}

fn entry(term: u64, at: u64, bytes: usize) -> Entry {
    let payload = vec![u8::try_from(at % 251).unwrap(); bytes];
    Entry {
        id: LogId::new(Term::new(term), index(at)),
        body: EntryBody::Command(Payload::from(payload)),
    }
}

fn nothing() -> Persist {
    Persist {
        ticket: Ticket::new(0),
        hard_state: None,
        snapshot: None,
        truncate_from: None,
        entries: Entries::default(),
        commit: None,
        compact_to: None,
        sync: true,
    }
}

fn append(term: u64, positions: std::ops::RangeInclusive<u64>) -> Persist {
    Persist {
        entries: positions.map(|at| entry(term, at, 100)).collect(),
        ..nothing()
    }
}

fn snapshot_at(at: u64) -> SnapshotMeta {
    SnapshotMeta {
        cluster: raft_core::ClusterId {
            founding: 3,
            nonce: 4,
        },
        last: LogId::new(Term::new(1), index(at)),
        membership: Membership::of_voters([1, 2, 3].map(NodeId::new)).into(),
        membership_id: None,
        withheld: false,
        level: raft_core::Level::new(5),
    }
}

fn open(disk: &MemoryDisk) -> Result<(Store<MemoryDisk>, Opened), StoreError> {
    Store::create_or_open_on(disk.clone(), &new_folder(), SMALL)
}

#[test]
fn a_new_folder_is_empty_and_starts_are_counted() {
    let disk = MemoryDisk::default();
    for boot in 1..4 {
        let (_store, opened) = open(&disk).unwrap();
        assert!(opened.durable.is_empty());
        assert_eq!(opened.identity.boot.counter, boot);
        assert_eq!(opened.identity.incarnation, Incarnation::new(11));
        assert_eq!(opened.bootstrap, new_folder().bootstrap);
    }
}

#[test]
fn a_folder_keeps_the_identity_it_was_made_with() {
    let disk = MemoryDisk::default();
    drop(open(&disk).unwrap());
    let other = NewFolder {
        node: NodeId::new(9),
        incarnation: Incarnation::new(99),
        ..new_folder()
    };
    let (_store, opened) = Store::create_or_open_on(disk, &other, SMALL).unwrap();
    assert_eq!(opened.identity.node, NodeId::new(1));
    assert_eq!(opened.identity.incarnation, Incarnation::new(11));
}

#[test]
fn a_folder_of_another_cluster_is_refused() {
    let disk = MemoryDisk::default();
    drop(open(&disk).unwrap());
    let other = NewFolder {
        boot_nonce: 5,
        group: GroupId::new(8),
        ..new_folder()
    };
    assert!(matches!(
        Store::create_or_open_on(disk, &other, SMALL),
        Err(StoreError::OtherCluster { .. })
    ));
}

#[test]
fn parts_of_a_persist_are_carried_out_in_order() {
    let disk = MemoryDisk::default();
    let hard_state = HardState {
        term: Term::new(3),
        vote: Some(NodeId::new(2)),
        admitted: true,
        ..HardState::default()
    };
    {
        let (mut store, _) = open(&disk).unwrap();
        store.persist(&[append(1, 1..=20)]).unwrap();
        let replace = Persist {
            hard_state: Some(Box::new(hard_state)),
            truncate_from: Some(index(11)),
            entries: vec![entry(3, 11, 10), entry(3, 12, 10)].into(),
            commit: Some(index(9)),
            ..nothing()
        };
        let snapshot = Persist {
            snapshot: Some(Box::new(snapshot_at(8))),
            compact_to: Some(index(5)),
            ..nothing()
        };
        let bytes = Payload::from(vec![5; 10_000]);
        store.snapshots().write(snapshot_at(8).last, &bytes).unwrap();
        store.persist(&[replace, snapshot]).unwrap();
        let loaded = store.load_entries(index(6), index(12), usize::MAX).unwrap();
        assert_eq!(loaded.len(), 7);
    }
    let (store, opened) = open(&disk).unwrap();
    assert_eq!(opened.durable.hard_state, hard_state);
    assert_eq!(opened.durable.commit, Some(index(9)));
    assert_eq!(opened.durable.snapshot, Some(snapshot_at(8)));
    assert_eq!(opened.snapshot, Some(Payload::from(vec![5; 10_000])));
    let expected: Vec<Entry> = (6..=10)
        .map(|at| entry(1, at, 100))
        .chain([entry(3, 11, 10), entry(3, 12, 10)])
        .collect();
    assert_eq!(opened.durable.entries, expected);

    assert_eq!(
        store.load_entries(index(6), index(12), 300).unwrap().len(),
        2,
        "132 bytes each, and no more than 300"
    );
    assert_eq!(
        store.load_entries(index(6), index(12), 0).unwrap().len(),
        1,
        "the first one always counts"
    );
    assert!(
        store.load_entries(index(3), index(12), 300).unwrap().is_empty(),
        "3 is compacted away"
    );
}

#[test]
fn a_later_snapshot_replaces_the_earlier_file() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    store.persist(&[append(1, 1..=9)]).unwrap();
    for at in 1..=5_u8 {
        let persist = Persist {
            snapshot: Some(Box::new(snapshot_at(at.into()))),
            sync: false,
            ..nothing()
        };
        let bytes = Payload::from(vec![at; 100]);
        store
            .snapshots()
            .write(snapshot_at(at.into()).last, &bytes)
            .unwrap();
        store.persist(&[persist]).unwrap();
    }
    // The earlier file is removed only once no crash can make it current again.
    let crashed = disk.after_crash(|| false);
    assert_eq!(
        open(&crashed).unwrap().1.snapshot,
        Some(Payload::from(vec![5; 100]))
    );
    drop(store);
    use node::store::Disk;
    assert_eq!(
        disk.names()
            .unwrap()
            .iter()
            .filter(|name| name.starts_with("snapshot"))
            .count(),
        1
    );
    assert_eq!(open(&disk).unwrap().1.snapshot, Some(Payload::from(vec![5; 100])));
}

fn snapshot_files(disk: &MemoryDisk) -> usize {
    use node::store::Disk;
    let names = disk.names().unwrap();
    names.iter().filter(|name| name.starts_with("snapshot")).count()
}

// A crash between the write of a snapshot and the write that names it, and one in the middle of the first.
#[test]
fn a_snapshot_that_was_written_and_not_named_is_removed_at_the_next_start() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    store.persist(&[append(1, 1..=9)]).unwrap();
    let bytes = Payload::from(vec![7; 100]);
    store.snapshots().write(snapshot_at(4).last, &bytes).unwrap();
    disk.fail_after(Some(1));
    store.snapshots().write(snapshot_at(5).last, &bytes).unwrap_err();
    disk.fail_after(None);
    let crashed = disk.after_crash(|| true);
    assert!(snapshot_files(&crashed) > 0);
    let (_store, opened) = open(&crashed).unwrap();
    assert_eq!((opened.durable.snapshot, opened.snapshot), (None, None));
    assert_eq!(opened.durable.entries.len(), 9);
    assert_eq!(snapshot_files(&crashed), 0);
}

#[test]
fn a_snapshot_cannot_be_named_before_it_is_written_and_a_discarded_one_leaves_no_file() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    store.persist(&[append(1, 1..=9)]).unwrap();
    let bytes = Payload::from(vec![7; 100]);
    store.snapshots().write(snapshot_at(4).last, &bytes).unwrap();
    assert_eq!(snapshot_files(&disk), 1);
    store.snapshots().discard(snapshot_at(4).last);
    assert_eq!(snapshot_files(&disk), 0);
    let persist = Persist {
        snapshot: Some(Box::new(snapshot_at(4))),
        ..nothing()
    };
    assert!(matches!(
        store.persist(&[persist]),
        Err(StoreError::SnapshotBytesMissing)
    ));
}

#[test]
fn what_is_not_synced_is_visible_and_becomes_durable_with_the_next_sync() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    let lazy = Persist {
        sync: false,
        ..append(1, 1..=3)
    };
    store.persist(&[lazy]).unwrap();
    assert_eq!(
        store.load_entries(index(1), index(3), usize::MAX).unwrap().len(),
        3
    );
    let crashed = disk.after_crash(|| true);
    assert_eq!(open(&crashed).unwrap().1.durable.entries.len(), 0);
    store.persist(&[append(1, 4..=4)]).unwrap();
    let crashed = disk.after_crash(|| false);
    assert_eq!(open(&crashed).unwrap().1.durable.entries.len(), 4);
}

#[test]
fn a_journal_may_have_any_size() {
    // From "a checkpoint before every transaction", over "no transaction fits", to "all of them fit".
    for journal_bytes in [0, 1, 10_000, 100_001, 1 << 20] {
        let disk = MemoryDisk::default();
        let options = StoreOptions { journal_bytes };
        let open =
            |disk: &MemoryDisk| Store::create_or_open_on(disk.clone(), &new_folder(), options).unwrap();
        let (mut store, _) = open(&disk);
        for round in 0..40 {
            let persist = append(1, round * 5 + 1..=round * 5 + 5);
            store.persist(&[persist]).unwrap();
        }
        let limit = journal_bytes + (200 << 10);
        assert!(
            disk.length("journal") as u64 <= limit,
            "no more than one transaction beyond {journal_bytes}"
        );
        let crashed = disk.after_crash(|| false);
        drop(store);
        for disk in [disk, crashed] {
            for _ in 0..2 {
                let (_store, opened) = open(&disk);
                assert_eq!(opened.durable.entries.len(), 200, "a journal of {journal_bytes}");
            }
        }
    }
}

/// A small generator, so that the tests need no crate for it and repeat exactly.
fn coin(state: &mut u64) -> bool {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 60 & 1 == 1
}

/// Runs a fixed history on a disk that fails after `operations`, and returns how many entries were acknowledged.
fn run_history(disk: &MemoryDisk) -> u64 {
    let Ok((mut store, _)) = open(disk) else { return 0 };
    let mut acknowledged = 0;
    for round in 0..12 {
        let first = round * 10 + 1;
        let mut persist = append(1, first..=first + 9);
        persist.commit = Index::new(first - 1);
        if round == 6 {
            let bytes = Payload::from(vec![6; 20_000]);
            if store.snapshots().write(snapshot_at(50).last, &bytes).is_err() {
                // Nothing was promised: the log goes on, on a disk that can.
                break;
            }
            persist.snapshot = Some(Box::new(snapshot_at(50)));
            persist.compact_to = Some(index(30));
        }
        if store.persist(&[persist]).is_err() {
            assert!(matches!(
                store.persist(&[nothing()]),
                Err(StoreError::Poisoned { .. })
            ));
            break;
        }
        acknowledged = first + 9;
    }
    acknowledged
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged() {
    let whole = MemoryDisk::default();
    assert_eq!(run_history(&whole), 120);
    let operations = whole.operations();
    let mut random = 1;
    let mut crashes = 0;
    for after in 0..operations {
        let disk = MemoryDisk::default();
        disk.fail_after(Some(after));
        let acknowledged = run_history(&disk);
        disk.fail_after(None);
        for survivors in 0..8 {
            let crashed = disk.after_crash(|| match survivors {
                0 => false,
                1 => true,
                _ => coin(&mut random),
            });
            let (_store, opened) =
                open(&crashed).unwrap_or_else(|error| panic!("crash after {after}: {error:?}"));
            let last = opened
                .durable
                .entries
                .last()
                .map_or(0, |entry| entry.id.index.value());
            assert!(
                last >= acknowledged,
                "crash after {after}: {acknowledged} were acknowledged, but {last} are left"
            );
            assert_eq!(last % 10, 0, "a transaction happens wholly or not at all");
            for found in &opened.durable.entries {
                assert_eq!(*found, entry(1, found.id.index.value(), 100));
            }
            assert_eq!(opened.durable.snapshot.is_some(), last >= 70);
            crashes += 1;
        }
    }
    assert!(crashes > 1600, "only {crashes} crashes were tried");
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing() {
    let disk = MemoryDisk::default();
    let (store, _) = open(&disk).unwrap();
    drop(store);
    let mut random = 5;
    let mut expected = 0;
    let mut disk = disk;
    for round in 0..200_u64 {
        disk.fail_after(Some(round % 150));
        let mut acknowledged = expected;
        if let Ok((mut store, opened)) = open(&disk) {
            let mut last = opened
                .durable
                .entries
                .last()
                .map_or(0, |entry| entry.id.index.value());
            while store.persist(&[append(1, last + 1..=last + 3)]).is_ok() {
                last += 3;
                acknowledged = last;
            }
        }
        disk.fail_after(None);
        disk = disk.after_crash(|| coin(&mut random));
        expected = expected.max(acknowledged);
        let last = open(&disk.copy())
            .unwrap()
            .1
            .durable
            .entries
            .last()
            .map_or(0, |entry| entry.id.index.value());
        assert!(
            last >= expected,
            "round {round}: {expected} were acknowledged, but {last} are left"
        );
        expected = last;
    }
    assert!(expected > 100);
}

/// A folder with entries, a snapshot, a commit index and a vote, closed cleanly or abandoned.
fn written(clean: bool) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    store.persist(&[append(1, 1..=12)]).unwrap();
    let persist = Persist {
        hard_state: Some(Box::new(HardState {
            term: Term::new(2),
            vote: Some(NodeId::new(3)),
            admitted: true,
            ..HardState::default()
        })),
        snapshot: Some(Box::new(snapshot_at(6))),
        commit: Some(index(9)),
        compact_to: Some(index(4)),
        ..nothing()
    };
    let bytes = Payload::from(vec![6; 3000]);
    store.snapshots().write(snapshot_at(6).last, &bytes).unwrap();
    store.persist(&[persist]).unwrap();
    store.persist(&[append(2, 13..=14)]).unwrap();
    if clean {
        drop(store);
        disk
    } else {
        disk.copy()
    }
}

fn comparable(
    opened: Opened,
) -> (
    HardState,
    Vec<Entry>,
    Option<Index>,
    Option<SnapshotMeta>,
    Option<Payload>,
    Membership,
) {
    let Opened {
        durable,
        snapshot,
        bootstrap,
        ..
    } = opened;
    (
        durable.hard_state,
        durable.entries,
        durable.commit,
        durable.snapshot,
        snapshot,
        bootstrap,
    )
}

/// Samples densely; with the variable `EVERY_BYTE` set it takes every byte, which needs some minutes.
fn every_flip_is_harmless_or_reported(clean: bool, step: usize) {
    use node::store::Disk;
    let original = written(clean);
    let expected = comparable(open(&original.copy()).unwrap().1);
    let mut outcomes: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for name in original.names().unwrap() {
        let bytes = original.read(&name);
        let mut offset = 0;
        while offset < bytes.len() {
            let disk = original.copy();
            disk.change_byte(&name, offset, 1 << (offset % 8));
            let outcome = outcomes.entry(name.clone()).or_default();
            match open(&disk) {
                Ok((_, opened)) => {
                    assert_eq!(comparable(opened), expected, "{name}, byte {offset}: wrong data");
                    outcome.0 += 1;
                }
                Err(StoreError::Damaged { damage, .. }) => {
                    assert_eq!(damage.file, name);
                    outcome.1 += 1;
                }
                Err(error) => panic!("{name}, byte {offset}: {error:?}"),
            }
            // Blank stretches behave alike, so they are sampled thinly.
            let blank = bytes[offset..].iter().take(512).all(|&byte| byte == 0);
            let every = std::env::var_os("EVERY_BYTE").is_some();
            offset += match (every, blank) {
                (true, _) => 1,
                (false, true) => 509,
                (false, false) => step,
            };
        }
    }
    println!("clean stop: {clean}; right data and errors by file: {outcomes:?}");
    assert!(outcomes["data"].1 > 0);
    assert!(
        outcomes
            .iter()
            .any(|(name, outcome)| name.starts_with("snapshot") && outcome.0 == 0)
    );
    assert!(clean || outcomes["journal"].1 > 0);
}

#[test]
fn a_flipped_byte_after_a_clean_stop_is_harmless_or_reported() {
    every_flip_is_harmless_or_reported(true, 11);
}

#[test]
fn a_flipped_byte_after_a_crash_is_harmless_or_reported() {
    every_flip_is_harmless_or_reported(false, 37);
}

#[test]
fn a_missing_or_shortened_file_is_reported() {
    use node::store::Disk;
    for clean in [true, false] {
        let original = written(clean);
        let expected = comparable(open(&original.copy()).unwrap().1);
        for name in original.names().unwrap() {
            let disk = original.copy();
            disk.remove(&name).unwrap();
            // Without `data` the folder is a new one, which the other servers must detect: its incarnation differs.
            assert!(
                name == "data" || matches!(open(&disk), Err(StoreError::Damaged { .. })),
                "{name} removed"
            );

            for part in 0..20 {
                let disk = original.copy();
                disk.truncate(&name, original.length(&name) * part / 20);
                match open(&disk) {
                    Ok((_, opened)) => assert_eq!(comparable(opened), expected, "{name} cut to {part}/20"),
                    Err(StoreError::Damaged { .. }) => {}
                    Err(error) => panic!("{name} cut to {part}/20: {error:?}"),
                }
            }
        }
    }
}

#[test]
fn a_second_server_in_the_same_folder_is_told_which() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::create_or_open(folder.path(), &new_folder()).unwrap();
    let error = Store::create_or_open(folder.path(), &new_folder()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    assert!(error.to_string().contains(&folder.path().display().to_string()));
    drop(first);
    assert!(Store::create_or_open(folder.path(), &new_folder()).is_ok());
}
