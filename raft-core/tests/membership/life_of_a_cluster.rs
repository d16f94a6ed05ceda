//! Whole clusters that grow, shrink, move, and crash meanwhile.

use super::*;
use raft_core::Event;

/// Proposes this change to the leader, and waits for it.
fn make(cluster: &mut Cluster, change: &Change) {
    for _ in 0..50 {
        let leader = cluster.elect();
        let proposal = cluster.change(leader, change.clone());
        cluster.tick(15);
        if cluster.server(leader).changed.contains_key(&proposal) {
            return;
        }
    }
    panic!(
        "{change:?} is not made: {:?}",
        cluster
            .servers
            .values()
            .map(|s| &s.changes_rejected)
            .collect::<Vec<_>>()
    );
}

fn write(cluster: &mut Cluster, command: &[u8]) {
    let leader = cluster.elect();
    let proposal = cluster.propose(leader, command);
    cluster.tick(10);
    assert!(cluster.server(leader).done.contains_key(&proposal));
}

fn voters_of(cluster: &mut Cluster, id: u64) -> Vec<u64> {
    numbers(cluster.server(id).replica.raft().membership().voters())
}

// A new server knows no other and holds nothing. It is called by the leader that adds it, asks for its standing, is
// bound, admitted and sent the log, with a snapshot where that is needed, and then votes.
#[test]
fn a_new_server_joins_as_a_learner() {
    for with_snapshot in [false, true] {
        let mut cluster = if with_snapshot {
            Cluster::with_snapshots(3, 4, 1)
        } else {
            Cluster::new(3)
        };
        for number in 0..10 {
            write(&mut cluster, &[number]);
        }
        cluster.start_new(4);
        cluster.tick(30);
        assert_eq!(cluster.role(4), RoleName::Joining, "no leader has added it");
        make(&mut cluster, &Change::AddLearner(node(4)));
        cluster.tick(30);
        assert_eq!(cluster.role(4), RoleName::Follower);
        assert_eq!(cluster.journal(4).len(), 10);
        assert_eq!(cluster.server(4).installed > 0, with_snapshot);
        make(&mut cluster, &Change::Promote(node(4)));
        assert_eq!(voters_of(&mut cluster, 4), [1, 2, 3, 4]);
        // With it, three of four answer: one may fail.
        let failing = cluster.leader().expect("there is a leader");
        cluster.isolate(failing);
        cluster.tick(60);
        write(&mut cluster, b"without the old leader");
        assert_eq!(cluster.journal(4).len(), 11);
    }
}

// From one server to three, and then to a single other server.
#[test]
fn a_cluster_grows_from_one_server_and_moves_to_another() {
    let mut cluster = Cluster::new(1);
    write(&mut cluster, b"alone");
    for id in [2, 3] {
        cluster.start_new(id);
        make(&mut cluster, &Change::AddLearner(node(id)));
        cluster.tick(10);
        make(&mut cluster, &Change::Promote(node(id)));
    }
    assert_eq!(voters_of(&mut cluster, 3), [1, 2, 3]);
    write(&mut cluster, b"together");
    for id in [1, 2] {
        make(&mut cluster, &Change::Remove(node(id)));
        cluster.tick(60);
        assert_eq!(cluster.role(id), RoleName::Follower);
        cluster.crash(id);
    }
    assert_eq!(cluster.leader(), Some(3));
    write(&mut cluster, b"elsewhere");
    assert_eq!(cluster.journal(3).len(), 3);
}

// All servers of a cluster are replaced by others, under load.
#[test]
fn all_servers_are_replaced_at_once() {
    let mut cluster = Cluster::new(3);
    write(&mut cluster, b"old");
    for id in 4..=6 {
        cluster.start_new(id);
        make(&mut cluster, &Change::AddLearner(node(id)));
    }
    cluster.tick(30);
    let old = cluster.elect();
    make(&mut cluster, &replace(&[4, 5, 6], &[]));
    cluster.tick(30);
    let new = cluster.leader().expect("there is a leader");
    assert!(new > 3 && cluster.role(old) == RoleName::Follower);
    for id in 1..=3 {
        assert_eq!(
            cluster.server(id).replica.raft().next_deadline(),
            None,
            "{id} knows and is silent"
        );
        cluster.crash(id);
    }
    write(&mut cluster, b"new");
    for id in 4..=6 {
        assert_eq!(
            (cluster.journal(id).len(), voters_of(&mut cluster, id)),
            (2, vec![4, 5, 6])
        );
    }
}

// A leader that crashes at any moment of a joint change: the next leader finishes it, or it never reached any server.
#[test]
fn a_crash_at_any_moment_of_a_joint_change_leaves_a_simple_configuration() {
    let (mut finished, mut taken_back) = (0, 0);
    for messages in 0..60 {
        let mut cluster = Cluster::new(3);
        for id in [4, 5] {
            cluster.start_new(id);
            make(&mut cluster, &Change::AddLearner(node(id)));
        }
        cluster.tick(30);
        let leader = cluster.elect();
        cluster.change(leader, replace(&[leader, 4, 5], &[]));
        for _ in 0..messages {
            let Some(envelope) = cluster.wire.pop_front() else {
                break;
            };
            cluster.step(envelope.to.value(), Event::Receive(envelope));
        }
        cluster.crash(leader);
        cluster.wire.clear();
        cluster.tick(100);
        cluster.restart(leader);
        cluster.tick(60);
        let now = cluster.elect();
        cluster.tick(30);
        let membership = cluster.server(now).replica.raft().membership().clone();
        assert!(!membership.is_joint(), "{messages}");
        match numbers(membership.voters()) {
            voters if voters == [1, 2, 3] => taken_back += 1,
            _ => finished += 1,
        }
        write(&mut cluster, b"afterwards");
    }
    assert!(finished > 0 && taken_back > 0, "{finished}, {taken_back}");
}

// A server whose disk was lost is fenced, until it is removed and added again.
#[test]
fn a_lost_disk_is_admitted_again_after_removal_and_addition() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.tick(20);
    write(&mut cluster, b"before");
    let wiped = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.crash(wiped);
    cluster.start(wiped, support::Disk::default(), 1, 77);
    cluster.tick(50);
    assert_eq!(cluster.role(wiped), RoleName::Joining);
    make(&mut cluster, &Change::Remove(node(wiped)));
    cluster.tick(20);
    assert_eq!(
        cluster.role(wiped),
        RoleName::Joining,
        "no leader has added it again"
    );
    make(&mut cluster, &Change::AddLearner(node(wiped)));
    cluster.tick(30);
    assert_eq!(cluster.role(wiped), RoleName::Follower);
    make(&mut cluster, &Change::Promote(node(wiped)));
    cluster.tick(10);
    for id in 1..=3 {
        let raft = cluster.server(id).replica.raft();
        assert_eq!(
            raft.membership().incarnation(node(wiped)),
            Some(Incarnation::new(77))
        );
    }
    assert_eq!(cluster.journal(wiped).len(), 1);
}

// A server that was removed while it was unreachable never learns of it, and disturbs no other when it returns
// (§4.2.3).
#[test]
fn a_removed_server_that_does_not_know_of_its_removal_disturbs_no_other() {
    let mut cluster = Cluster::new(4);
    let leader = cluster.elect();
    cluster.tick(20);
    let gone = leader % 4 + 1;
    cluster.isolate(gone);
    make(&mut cluster, &Change::Remove(node(gone)));
    cluster.tick(400);
    let leader = cluster.leader().expect("there is a leader");
    let term = cluster.server(leader).replica.raft().vitals().term;
    cluster.heal();
    cluster.tick(200);
    assert_eq!(cluster.leader(), Some(leader));
    assert_eq!(cluster.server(leader).replica.raft().vitals().term, term);
    write(&mut cluster, b"undisturbed");
}
