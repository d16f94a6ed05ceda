//! A replica that takes one snapshot after another, faster than they are handed out to be written.

mod support;

use raft_core::{Config, Event, Limits, Payload, ProposalId, Snapshots};
use support::Cluster;

#[test]
fn a_snapshot_taken_before_the_last_one_was_handed_out_leaves_both_with_their_bytes() {
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
    while !cluster.server(leader).writes.is_empty() {
        cluster.write_one(leader);
    }
    cluster.server(leader).slow_disk = false;
    assert_eq!(cluster.journal(leader).len(), 20);
    cluster.crash(leader);
    cluster.restart(leader);
    assert!(!cluster.journal(leader).is_empty(), "the snapshot was restored");
}
