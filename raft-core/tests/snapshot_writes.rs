//! The bytes of a snapshot are written beside the tickets: no entry waits for them, and nothing names them before they
//! are durable.

mod support;

use raft_core::replica::Input;
use raft_core::{Config, Event, Index, Limits, LogId, Payload, ProposalId, Snapshots};
use support::Cluster;

/// A leader of three servers, with a snapshot of its own that is being written.
fn leader_that_writes_a_snapshot() -> (Cluster, u64) {
    let mut cluster = Cluster::with_snapshots(3, 1_000, 2);
    let leader = cluster.elect();
    for number in 0..10_u8 {
        cluster.propose(leader, &[number]);
    }
    cluster.tick(1);
    cluster.server(leader).slow_snapshots = true;
    cluster.step(leader, Input::TakeSnapshot);
    assert_eq!(cluster.server(leader).snapshot_writes.len(), 1);
    (cluster, leader)
}

/// The last entry of the snapshot that the server's log goes by.
fn named_by(cluster: &mut Cluster, id: u64) -> Option<LogId> {
    let snapshot = cluster.server(id).replica.raft().snapshot();
    snapshot.map(|meta| meta.last)
}

fn first_index(cluster: &mut Cluster, id: u64) -> Index {
    cluster.server(id).replica.raft().first_index()
}

// A disk that takes its time for snapshots, on every server at once: NuRaft#371, dragonboat#325, restate#3060.
#[test]
fn entries_are_committed_while_every_server_writes_a_snapshot() {
    let mut cluster = Cluster::with_snapshots(3, 10, 2);
    let leader = cluster.elect();
    for id in 1..=3 {
        cluster.server(id).slow_snapshots = true;
    }
    let mut last = 0;
    for number in 0..60_u32 {
        last = cluster.propose(leader, &number.to_be_bytes());
        cluster.tick(1);
    }
    for id in 1..=3 {
        assert_eq!(
            cluster.server(id).snapshot_writes.len(),
            1,
            "server {id} writes one"
        );
    }
    cluster.tick(60);
    assert_eq!(cluster.leader(), Some(leader));
    assert!(cluster.server(leader).done.contains_key(&last));
    assert_eq!(
        cluster.server(leader).replica.raft().status().durable_lag_ticks,
        0
    );
}

#[test]
fn the_log_is_compacted_when_the_snapshot_is_written_and_not_before() {
    let (mut cluster, leader) = leader_that_writes_a_snapshot();
    cluster.tick(20);
    assert_eq!(first_index(&mut cluster, leader), Index::FIRST);
    assert_eq!(cluster.server(leader).replica.raft().snapshot(), None);
    cluster.write_snapshot(leader);
    assert!(first_index(&mut cluster, leader) > Index::FIRST);
    assert!(cluster.server(leader).disk.durable.snapshot.is_some());
}

#[test]
fn no_other_snapshot_is_taken_while_one_is_being_written() {
    let (mut cluster, leader) = leader_that_writes_a_snapshot();
    for number in 0..10_u8 {
        cluster.propose(leader, &[number]);
        cluster.tick(1);
        cluster.step(leader, Input::TakeSnapshot);
    }
    assert_eq!(cluster.server(leader).snapshot_writes.len(), 1);
    cluster.write_snapshot(leader);
    cluster.step(leader, Input::TakeSnapshot);
    assert_eq!(
        cluster.server(leader).snapshot_writes.len(),
        1,
        "now there may be another"
    );
}

// `Disk::write` of the tests finds the bytes of whatever is named, and every start drops the others.
#[test]
fn a_crash_between_a_snapshots_write_and_its_name_leaves_the_log_as_it_was() {
    let (mut cluster, leader) = leader_that_writes_a_snapshot();
    cluster.server(leader).slow_disk = true;
    cluster.write_snapshot(leader);
    assert_eq!(cluster.server(leader).disk.unnamed.len(), 1);
    cluster.crash(leader);
    cluster.restart(leader);
    assert_eq!(cluster.server(leader).disk.unnamed.len(), 0);
    assert_eq!(cluster.server(leader).replica.raft().snapshot(), None);
    assert_eq!(first_index(&mut cluster, leader), Index::FIRST);
    cluster.elect();
    cluster.tick(10);
    assert_eq!(cluster.journal(leader).len(), 10);
}

#[test]
fn a_snapshot_that_cannot_be_written_leaves_the_log_and_the_server_as_they_were() {
    let (mut cluster, leader) = leader_that_writes_a_snapshot();
    let (last, _) = cluster
        .server(leader)
        .snapshot_writes
        .pop_front()
        .expect("one waits");
    cluster.step(leader, Input::SnapshotNotWritten { last });
    assert_eq!(first_index(&mut cluster, leader), Index::FIRST);
    let id = cluster.propose(leader, b"more");
    cluster.tick(5);
    assert!(cluster.server(leader).done.contains_key(&id));
    cluster.server(leader).slow_snapshots = false;
    cluster.step(leader, Input::TakeSnapshot);
    assert!(first_index(&mut cluster, leader) > Index::FIRST);
}

#[test]
fn no_transfer_starts_from_a_snapshot_that_is_not_written() {
    let mut cluster = Cluster::with_snapshots(3, 1_000, 0);
    let leader = cluster.elect();
    let away = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.isolate(away);
    for number in 0..10_u8 {
        cluster.propose(leader, &[number]);
        cluster.tick(1);
    }
    cluster.step(leader, Input::TakeSnapshot);
    let named = named_by(&mut cluster, leader);
    for number in 0..10_u8 {
        cluster.propose(leader, &[number]);
        cluster.tick(1);
    }
    cluster.server(leader).slow_snapshots = true;
    cluster.step(leader, Input::TakeSnapshot);
    assert_eq!(cluster.server(leader).snapshot_writes.len(), 1);
    cluster.heal();
    cluster.tick(30);
    // It was sent the earlier snapshot, and the log after it.
    assert_eq!(cluster.server(away).installed, 1);
    assert_eq!(named_by(&mut cluster, leader), named);
    assert_eq!(cluster.journal(away).len(), 20);
}

#[test]
fn entries_that_become_durable_together_lead_to_one_snapshot_at_a_time() {
    let mut cluster = Cluster::with(
        1,
        Config {
            // One entry per apply, and a snapshot after each: several in a single drain.
            limits: Limits {
                apply_bytes: 1,
                ..Limits::default()
            },
            snapshots: Snapshots {
                every_entries: 1,
                keep_entries: 0,
                ..Snapshots::default()
            },
            ..Config::default()
        },
    );
    let leader = cluster.elect();
    cluster.server(leader).slow_disk = true;
    for id in 0..20 {
        let command = Payload::from(vec![id]);
        let id = ProposalId::new(1_000 + u64::from(id));
        cluster
            .server(leader)
            .replica
            .step(Event::Propose { id, payload: command });
    }
    cluster.drain(leader);
    // All twenty become durable, and so committed, at once.
    cluster.server(leader).slow_snapshots = true;
    while !cluster.server(leader).writes.is_empty() {
        cluster.write_one(leader);
    }
    assert_eq!(cluster.server(leader).snapshot_writes.len(), 1);
    cluster.write_snapshot(leader);
    cluster.server(leader).slow_disk = false;
    while !cluster.server(leader).writes.is_empty() {
        cluster.write_one(leader);
    }
    assert_eq!(cluster.journal(leader).len(), 20);
    cluster.crash(leader);
    cluster.restart(leader);
    assert!(!cluster.journal(leader).is_empty(), "the snapshot was restored");
}

/// Where each of three servers takes its snapshots, with one due after at most ten entries.
fn snapshots_of_three() -> Vec<std::collections::BTreeSet<u64>> {
    let mut cluster = Cluster::with_snapshots(3, 10, 2);
    let leader = cluster.elect();
    let mut taken = vec![std::collections::BTreeSet::new(); 3];
    for number in 0..120_u32 {
        cluster.propose(leader, &number.to_be_bytes());
        cluster.tick(1);
        for id in 1..=3 {
            let last = named_by(&mut cluster, id);
            taken[id as usize - 1].extend(last.map(|last| last.index.value()));
        }
    }
    taken
}

#[test]
fn servers_take_their_snapshots_at_different_entries() {
    let taken = snapshots_of_three();
    assert_ne!(taken[0], taken[1]);
    assert_ne!(taken[1], taken[2]);
    for of_server in &taken {
        let places: Vec<u64> = of_server.iter().copied().collect();
        // What is applied together is looked at together: a heartbeat may bring one entry more.
        assert!(
            places.windows(2).all(|two| (5..=11).contains(&(two[1] - two[0]))),
            "{places:?}"
        );
    }
    assert_eq!(
        taken,
        snapshots_of_three(),
        "the same seed draws the same moments"
    );
}

// 30 MB of state, and a thousand small entries a second: the default of earlier versions wrote it ten times a second.
#[test]
fn a_large_state_is_not_written_again_for_a_little_log() {
    let mut cluster = Cluster::with(
        1,
        Config {
            snapshots: Snapshots {
                log_bytes: 2_000,
                ..Snapshots::default()
            },
            ..Config::default()
        },
    );
    let leader = cluster.elect();
    let mut written = 0;
    let mut last = None;
    for _ in 0..100 {
        cluster.propose(leader, &[7; 968]);
        let now = cluster
            .server(leader)
            .replica
            .raft()
            .snapshot()
            .map(|meta| meta.last);
        written += u64::from(now != last);
        last = now;
    }
    // The state grows with every command. Written after every second one, it would be written fifty times.
    assert!((4..=9).contains(&written), "{written} snapshots of 100 commands");
}
