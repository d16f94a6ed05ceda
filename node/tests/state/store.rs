//! The store: what it keeps, what survives a crash, and how it reports a disk that lies.

use std::collections::BTreeMap;

use crate::disk::MemoryDisk;
use node::store::{Disk, NewFolder, Opened, Store, StoreError, StoreOptions};
use raft_core::{
    Entries, Entry, EntryBody, GroupId, HardState, Incarnation, Index, LogId, Membership, NodeId, Payload,
    Persist, SnapshotMeta, Term, Ticket,
};

const SMALL: StoreOptions = StoreOptions {
    segment_bytes: 32 << 10,
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
    let crashed = disk.after_crash(|| false);
    assert_eq!(open(&crashed).unwrap().1.durable.entries.len(), 0);
    store.persist(&[append(1, 4..=4)]).unwrap();
    let crashed = disk.after_crash(|| false);
    assert_eq!(open(&crashed).unwrap().1.durable.entries.len(), 4);
}

/// The names of the segments, in order.
fn segments(disk: &MemoryDisk) -> Vec<String> {
    let names = disk.names().unwrap();
    names
        .into_iter()
        .filter(|name| name.starts_with("log-"))
        .collect()
}

#[test]
fn a_segment_may_have_any_size() {
    // From "a segment for each batch" to "all batches in one".
    for segment_bytes in [0, 1, 10_000, 100_001, 1 << 20] {
        let disk = MemoryDisk::default();
        let options = StoreOptions { segment_bytes };
        let open =
            |disk: &MemoryDisk| Store::create_or_open_on(disk.clone(), &new_folder(), options).unwrap();
        let (mut store, _) = open(&disk);
        for round in 0..40 {
            let persist = append(1, round * 5 + 1..=round * 5 + 5);
            store.persist(&[persist]).unwrap();
        }
        let crashed = disk.after_crash(|| false);
        drop(store);
        for disk in [disk, crashed] {
            for _ in 0..2 {
                let (store, opened) = open(&disk);
                assert_eq!(opened.durable.entries.len(), 200, "segments of {segment_bytes}");
                let read = store.load_entries(index(1), index(200), usize::MAX).unwrap();
                assert_eq!(read, opened.durable.entries);
            }
        }
    }
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    let large = Persist {
        entries: vec![entry(1, 1, 100_000), entry(1, 2, 10)].into(),
        ..nothing()
    };
    store.persist(std::slice::from_ref(&large)).unwrap();
    store.persist(&[append(1, 3..=9)]).unwrap();
    drop(store);
    let (_store, opened) = open(&disk).unwrap();
    assert_eq!(opened.durable.entries[..2], *large.entries);
    assert_eq!(opened.durable.entries.len(), 9);
}

#[test]
fn segments_come_free_when_their_entries_are_compacted() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    for round in 0..500_u64 {
        let first = round * 10 + 1;
        let mut persist = append(1, first..=first + 9);
        persist.compact_to = Index::new(first.saturating_sub(20));
        store.persist(&[persist]).unwrap();
        let bytes: usize = disk.names().unwrap().iter().map(|name| disk.length(name)).sum();
        assert!(bytes <= 4 * (32 << 10) + 1024, "{bytes} bytes in round {round}");
    }
    let names = segments(&disk);
    assert!(
        names.last().unwrap().as_str() > "log-0000000000000010",
        "{names:?}"
    );
    drop(store);
    let (store, opened) = open(&disk).unwrap();
    assert_eq!(opened.durable.entries.first().unwrap().id.index, index(4972));
    let read = store.load_entries(index(4972), index(5000), usize::MAX).unwrap();
    assert_eq!(read, opened.durable.entries);
}

#[test]
fn a_command_costs_one_write_of_two_sectors_at_most_and_one_sync() {
    let disk = MemoryDisk::default();
    let options = StoreOptions {
        segment_bytes: 1 << 20,
    };
    let (mut store, _) = Store::create_or_open_on(disk.clone(), &new_folder(), options).unwrap();
    // The spare is filled first.
    for at in 1..=8 {
        store.persist(&[append(1, at..=at)]).unwrap();
    }
    let (bytes, syncs) = (disk.bytes_written(), disk.syncs());
    for at in 9..=108 {
        let write = Persist {
            entries: vec![entry(1, at, 158)].into(),
            commit: Index::new(at - 1),
            ..nothing()
        };
        let hint = Persist {
            commit: Index::new(at),
            sync: false,
            ..nothing()
        };
        store.persist(&[write]).unwrap();
        store.persist(&[hint]).unwrap();
    }
    assert_eq!(disk.bytes_written() - bytes, 100 * 512);
    assert_eq!(disk.syncs() - syncs, 100);
}

#[test]
fn a_full_disk_is_waited_for_and_loses_nothing() {
    for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded] {
        let disk = MemoryDisk::default();
        let (mut store, _) = open(&disk).unwrap();
        disk.run_out(Some(kind.into()));
        let mut acknowledged = 0;
        let refused = loop {
            let persist = append(1, acknowledged + 1..=acknowledged + 5);
            match store.persist(&[persist]) {
                Ok(()) => acknowledged += 5,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::NoRoom { .. }), "{refused:?}");
        assert!(
            acknowledged > 50,
            "the segment that is there is used: {acknowledged}"
        );

        // Votes have space of their own.
        let vote = Persist {
            hard_state: Some(Box::new(HardState {
                term: Term::new(7),
                vote: Some(NodeId::new(2)),
                ..HardState::default()
            })),
            ..nothing()
        };
        store.persist(&[vote]).unwrap();
        let more = append(7, acknowledged + 1..=acknowledged + 5);
        assert!(matches!(
            store.persist(std::slice::from_ref(&more)),
            Err(StoreError::NoRoom { .. })
        ));
        let crashed = disk.after_crash(|| false);
        let (_store, opened) = open(&crashed).unwrap();
        assert_eq!(opened.durable.entries.len() as u64, acknowledged);
        assert_eq!(opened.durable.hard_state.term, Term::new(7));

        disk.run_out(None);
        store.persist(&[more]).unwrap();
        drop(store);
        let (_store, opened) = open(&disk).unwrap();
        assert_eq!(opened.durable.entries.len() as u64, acknowledged + 5);
    }
}

#[cfg(unix)]
#[test]
fn a_process_without_descriptors_is_waited_for() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    let too_many_open_files = 24;
    disk.run_out(Some(std::io::Error::from_raw_os_error(too_many_open_files)));
    let mut at = 0;
    while store.persist(&[append(1, at + 1..=at + 1)]).is_ok() {
        at += 1;
    }
    let next = append(1, at + 1..=at + 1);
    assert!(matches!(
        store.persist(std::slice::from_ref(&next)),
        Err(StoreError::NoRoom { .. })
    ));
    disk.run_out(None);
    store.persist(&[next]).unwrap();
}

#[test]
fn an_entry_that_does_not_follow_the_last_one_is_refused_and_harms_nothing() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    store.persist(&[append(1, 1..=3)]).unwrap();
    assert!(matches!(
        store.persist(&[append(1, 5..=6)]),
        Err(StoreError::NotNext { last: 3, found: 5 })
    ));
    store.persist(&[append(1, 4..=6)]).unwrap();
    drop(store);
    assert_eq!(open(&disk).unwrap().1.durable.entries.len(), 6);
}

/// With a disk whose sync does not return, another thread still reads what was written.
#[test]
fn a_read_never_waits_for_a_sync() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    store.persist(&[append(1, 1..=20)]).unwrap();
    let reader = store.reader();
    let gate = disk.hold_syncs();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| store.persist(&[append(1, 21..=22)]));
        gate.wait_until_held();
        let read = reader.load_entries(index(1), index(20), usize::MAX).unwrap();
        assert_eq!(read.len(), 20);
        assert!(!writer.is_finished(), "the sync still waits");
        gate.open();
        writer.join().unwrap().unwrap();
    });
    let read = reader.load_entries(index(1), index(22), usize::MAX).unwrap();
    assert_eq!(read.len(), 22);
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
        for survivors in 0..16 {
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
    assert!(crashes > 800, "only {crashes} crashes were tried");
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
        disk.fail_after(Some(round % 60));
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

/// What is compared of an open folder: everything but the count of starts.
type Compared = (
    HardState,
    Vec<Entry>,
    Option<Index>,
    Option<SnapshotMeta>,
    Option<Payload>,
    Membership,
);

fn comparable(opened: Opened) -> Compared {
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

/// What was written before the last batch of [`written`].
fn without_the_last_batch(expected: &Compared) -> Compared {
    let mut lost = expected.clone();
    lost.0.silenced = true;
    lost.1.retain(|entry| entry.id.index <= index(12));
    lost
}

/// What a changed folder may come to: the right data; the data without the last batch, said so; or an error that names
/// the file.
#[derive(Debug, Default)]
struct Outcomes {
    same: u32,
    silenced: u32,
    errors: u32,
}

/// Samples densely; with the variable `EVERY_BYTE` set it takes every byte, which needs some minutes.
fn every_flip_is_harmless_or_reported(clean: bool, step: usize) {
    let original = written(clean);
    let expected = comparable(open(&original.copy()).unwrap().1);
    let shorter = without_the_last_batch(&expected);
    let mut silenced = expected.clone();
    silenced.0.silenced = true;
    let mut outcomes: BTreeMap<String, Outcomes> = BTreeMap::new();
    for name in original.names().unwrap() {
        let bytes = original.read(&name);
        let mut offset = 0;
        while offset < bytes.len() {
            let disk = original.copy();
            disk.change_byte(&name, offset, 1 << (offset % 8));
            let outcome = outcomes.entry(name.clone()).or_default();
            match open(&disk) {
                Ok((store, opened)) => match opened.lost_end.clone() {
                    None => {
                        assert_eq!(comparable(opened), expected, "{name}, byte {offset}: wrong data");
                        outcome.same += 1;
                    }
                    Some(damage) => {
                        assert!(!clean, "byte {offset}: a clean stop states the end");
                        assert_eq!(damage.file, name);
                        let found = comparable(opened);
                        // The sector after the end belongs to a batch that may have been there.
                        let after = usize::try_from(damage.offset).unwrap() >= original.used_bytes(&name);
                        let right = if after { &silenced } else { &shorter };
                        assert_eq!(found, *right, "{name}, byte {offset}: wrong data");
                        outcome.silenced += 1;
                        drop(store);
                        let again = open(&disk).unwrap().1;
                        assert!(again.durable.hard_state.silenced, "the loss is not forgotten");
                    }
                },
                Err(StoreError::Damaged { damage, .. }) => {
                    assert_eq!(damage.file, name, "byte {offset}");
                    outcome.errors += 1;
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
    println!("clean stop: {clean}; outcomes by file: {outcomes:?}");
    let of = |prefix: &str| {
        let found = outcomes.iter().find(|(name, _)| name.starts_with(prefix));
        found.unwrap().1
    };
    assert!(of("identity").same == 0 && of("snapshot").same == 0);
    assert!(of("log-").errors > 0 && of("log-").same > 0);
    assert!(of("spare").errors == 0 && of("spare").silenced == 0);
    assert_eq!(of("log-").silenced > 0, !clean);
}

#[test]
fn a_flipped_byte_after_a_clean_stop_is_harmless_or_reported() {
    every_flip_is_harmless_or_reported(true, 3);
}

#[test]
fn a_flipped_byte_after_a_crash_is_harmless_or_reported() {
    every_flip_is_harmless_or_reported(false, 3);
}

/// Zeros from any byte on, as far as no mark covers it: a batch is there wholly or not at all.
#[test]
fn every_prefix_of_a_log_is_a_torn_end() {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    let name = segments(&disk).pop().unwrap();
    let first = disk.used_bytes(&name);
    let mut ends = vec![(first, 0)];
    for at in 1..=6_u64 {
        // Without a sync there is no mark but the start's.
        let persist = Persist {
            sync: false,
            entries: vec![entry(1, at, 300 * usize::try_from(at).unwrap())].into(),
            ..nothing()
        };
        store.persist(&[persist]).unwrap();
        ends.push((disk.used_bytes(&name), at));
    }
    let original = disk.copy();
    let end = original.used_bytes(&name);
    for cut in first..=end {
        let disk = original.copy();
        disk.blank(&name, cut);
        let (_store, opened) = open(&disk).unwrap_or_else(|error| panic!("cut at {cut}: {error:?}"));
        let expected = ends.iter().rev().find(|(bytes, _)| *bytes <= cut).unwrap().1;
        assert_eq!(opened.durable.entries.len() as u64, expected, "cut at {cut}");
    }
    // Before the start there is a mark.
    for cut in (0..first).step_by(13) {
        let disk = original.copy();
        disk.blank(&name, cut);
        assert!(
            matches!(
                open(&disk),
                Err(StoreError::Damaged { .. } | StoreError::RolledBack { .. })
            ),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_missing_or_shortened_file_is_reported() {
    for clean in [true, false] {
        let original = written(clean);
        for name in original.names().unwrap() {
            if name == "spare" {
                continue;
            }
            let disk = original.copy();
            disk.remove(&name).unwrap();
            assert!(
                matches!(open(&disk), Err(StoreError::Damaged { .. })),
                "{name} removed"
            );
            for part in 0..20 {
                let disk = original.copy();
                disk.truncate(&name, original.length(&name) * part / 20);
                match open(&disk) {
                    Err(StoreError::Damaged { damage, .. }) => assert_eq!(damage.file, name),
                    other => panic!("{name} shortened to {part}/20: {other:?}"),
                }
            }
        }
    }
}

/// A log of several segments, abandoned.
fn long_log() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    for round in 0..60 {
        let first = round * 10 + 1;
        store.persist(&[append(1, first..=first + 9)]).unwrap();
    }
    let disk = disk.copy();
    assert!(segments(&disk).len() > 2);
    disk
}

#[test]
fn a_missing_segment_is_reported_wherever_it_was() {
    let original = long_log();
    let names = segments(&original);
    for name in &names {
        let disk = original.copy();
        disk.remove(name).unwrap();
        match open(&disk) {
            Err(StoreError::Damaged { damage, .. }) => {
                assert!(names.contains(&damage.file), "{name} is missing: {damage}");
            }
            // The log ends before what the file `identity` knows.
            Err(StoreError::RolledBack { .. }) if names.last() == Some(name) => {}
            other => panic!("{name} is missing: {other:?}"),
        }
    }
}

#[test]
fn a_file_that_went_back_by_itself_is_reported() {
    let disk = MemoryDisk::default();
    drop(open(&disk).unwrap());
    let old = disk.copy();
    let (mut store, _) = open(&disk).unwrap();
    store.persist(&[append(1, 1..=9)]).unwrap();
    drop(store);
    drop(open(&disk).unwrap());
    for name in ["identity".to_owned(), segments(&disk).pop().unwrap()] {
        let disk = disk.copy();
        disk.replace(&name, &old.read(&name));
        match open(&disk) {
            Err(StoreError::RolledBack { file, .. }) => assert_eq!(file, name),
            other => panic!("an old {name}: {other:?}"),
        }
    }
}

#[test]
fn a_folder_of_the_former_format_is_refused_with_what_to_do() {
    for name in ["data", "journal"] {
        let disk = MemoryDisk::default();
        drop(disk.create(name).unwrap());
        let error = open(&disk).unwrap_err();
        assert!(matches!(error, StoreError::FormerFormat { .. }));
        assert!(error.to_string().contains("go back to the earlier version"));
        assert_eq!(disk.names().unwrap(), [name], "it is left as it was");
    }
}

/// The file, without the sectors of zeros, as lines of `name offset bytes`.
fn drawn(disk: &MemoryDisk, name: &str) -> String {
    let bytes = disk.read(name);
    let sectors = bytes.chunks(512).enumerate();
    let written = sectors.filter(|(_, sector)| sector.iter().any(|&byte| byte != 0));
    written.fold(String::new(), |mut text, (number, sector)| {
        use std::fmt::Write;
        write!(text, "{name} {} ", number * 512).unwrap();
        sector.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
        text
    })
}

/// With `BLESS=1` a missing file is written. An existing one is never rewritten: another format is a file of its own.
#[test]
fn a_folder_has_its_golden_bytes_and_is_read_from_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/store_v3.txt");
    let disk = written(true);
    let names: Vec<String> = disk.names().unwrap();
    let kept = names.iter().filter(|name| *name != "spare");
    let text: String = kept.map(|name| drawn(&disk, name)).collect();
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    if golden.is_empty() && std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
        return;
    }
    assert!(text == golden, "the bytes of a folder have changed:\n{text}");

    let copy = MemoryDisk::default();
    for line in golden.lines() {
        let [name, offset, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("a line has three parts: {line}");
        };
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        copy.write(name, offset.parse().unwrap(), &bytes);
    }
    for name in segments(&disk) {
        copy.extend(&name, disk.length(&name));
    }
    assert_eq!(
        comparable(open(&copy).unwrap().1),
        comparable(open(&disk).unwrap().1)
    );
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
