//! The main paths, end to end.

mod support;

use raft_core::RoleName;
use support::{Cluster, Disk};

#[test]
fn a_cluster_elects_commits_and_reads() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let proposal = cluster.propose(leader, b"one");
    cluster.deliver();
    assert_eq!(cluster.server(leader).done[&proposal].1, 1);
    let read = cluster.read(leader);
    cluster.deliver();
    assert_eq!(cluster.server(leader).answered[&read], 1);
    cluster.tick(5);
    for id in 1..=3 {
        assert_eq!(cluster.journal(id), [b"one".to_vec()]);
    }
}

#[test]
fn a_single_server_is_a_cluster() {
    let mut cluster = Cluster::new(1);
    let leader = cluster.elect();
    let proposal = cluster.propose(leader, b"alone");
    let read = cluster.read(leader);
    assert!(cluster.server(leader).done.contains_key(&proposal));
    assert_eq!(cluster.server(leader).answered[&read], 1);
}

#[test]
fn a_new_leader_takes_over_and_the_old_one_rejoins() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.propose(old, b"one");
    cluster.deliver();
    cluster.crash(old);
    let new = cluster.elect();
    assert_ne!(old, new);
    cluster.propose(new, b"two");
    cluster.deliver();
    cluster.restart(old);
    cluster.tick(10);
    assert_eq!(cluster.journal(old), [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(cluster.role(old), RoleName::Follower);
}

#[test]
fn a_deposed_leaders_proposal_is_superseded() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.isolate(old);
    let lost = cluster.propose(old, b"lost");
    cluster.tick(60);
    let new = cluster.leader().expect("the others elect");
    assert_ne!(old, new);
    cluster.propose(new, b"kept");
    cluster.deliver();
    cluster.heal();
    cluster.tick(30);
    assert!(cluster.server(old).superseded.contains(&lost));
    assert_eq!(cluster.journal(old), [b"kept".to_vec()]);
}

#[test]
fn a_lagging_peer_gets_a_snapshot() {
    let mut cluster = Cluster::with_snapshots(3, 10, 2);
    let leader = cluster.elect();
    let lagging = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.crash(lagging);
    for number in 0_u32..50 {
        cluster.propose(leader, &number.to_be_bytes());
        cluster.deliver();
    }
    cluster.restart(lagging);
    cluster.tick(20);
    assert!(cluster.server(lagging).installed > 0);
    assert_eq!(cluster.journal(lagging), cluster.journal(leader));
    cluster.crash(lagging);
    cluster.restart(lagging);
    cluster.tick(20);
    assert_eq!(cluster.journal(lagging), cluster.journal(leader));
}

#[test]
fn two_of_three_start_and_the_third_is_admitted_later() {
    let mut cluster = Cluster::new(3);
    cluster.crash(3);
    let leader = cluster.elect();
    cluster.propose(leader, b"early");
    cluster.deliver();
    cluster.restart(3);
    cluster.tick(30);
    assert_eq!(cluster.role(3), RoleName::Follower);
    assert_eq!(cluster.journal(3), [b"early".to_vec()]);
}

#[test]
fn a_server_that_lost_its_disk_is_fenced() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.tick(10);
    let wiped = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.crash(wiped);
    cluster.start(wiped, Disk::default(), 1, 77);
    cluster.tick(50);
    assert_eq!(cluster.role(wiped), RoleName::Joining);
    assert!(cluster.server(wiped).replica.raft().status().fenced);
    let proposal = cluster.propose(leader, b"goes on");
    cluster.deliver();
    assert!(cluster.server(leader).done.contains_key(&proposal));
}
