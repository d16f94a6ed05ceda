//! A server whose disk stalls. Ours.

mod support;

use raft_core::{Action, Event, Message, RoleName};
use support::scene::{Scene, at, heartbeat, kinds, sent_to, writes};

/// A leader of three in term 2 whose no-op is committed, whose peers answer, and whose disk stalls with one entry from
/// now on.
fn leader() -> Scene {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.prompt = false;
    scene.propose(1, b"owed");
    scene
}

/// Lets ticks pass in which the given peers hold everything and acknowledge it.
fn pass(scene: &mut Scene, ticks: u64, peers: &[u64]) -> Vec<Action> {
    let mut actions = Vec::new();
    for _ in 0..ticks {
        actions.extend(scene.step(Event::Tick(1)));
        for &peer in peers {
            if scene.role() == RoleName::Leader {
                actions.extend(scene.accept(peer, at(2, 2)));
            }
        }
    }
    actions
}

#[test]
fn the_status_says_for_how_long_a_write_has_been_owed() {
    let mut scene = Scene::follower(3, 2, &[]);
    scene.prompt = false;
    let owed = writes(&scene.append(2, None, &[2], 0));
    let [write] = owed.as_slice() else {
        panic!("{owed:?}")
    };
    for ticks in 0..5 {
        assert_eq!(scene.raft.status().durable_lag_ticks, ticks);
        scene.tick(1);
    }
    scene.step(Event::Persisted(write.ticket));
    assert_eq!(scene.raft.status().durable_lag_ticks, 0);
}

#[test]
fn a_leader_whose_disk_stalls_hands_over_leadership() {
    let mut scene = leader();
    let actions = pass(&mut scene, 20, &[2]);
    assert_eq!(scene.role(), RoleName::Leader, "it may be slow merely");
    assert!(!kinds(&actions).contains(&(2, "TimeoutNow")));
    let actions = pass(&mut scene, 4, &[2]);
    assert_eq!(scene.role(), RoleName::Follower);
    assert_eq!(sent_to(2, &actions).last(), Some(&Message::TimeoutNow));
    assert!(!kinds(&actions).contains(&(3, "TimeoutNow")), "3 holds less");
}

// A cluster of one has no other server to hand over to, nor has one whose other servers are silent: its leader steps
// down for want of an active quorum instead.
#[test]
fn a_leader_whose_disk_stalls_stays_if_no_other_server_answers() {
    let mut single = Scene::leader(1, 2, &[]);
    single.prompt = false;
    single.propose(1, b"owed");
    single.tick(40);
    assert_eq!(single.role(), RoleName::Leader);
}

#[test]
fn a_server_whose_disk_stalls_does_not_campaign() {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.prompt = false;
    scene.append(2, None, &[2], 0);
    for _ in 0..25 {
        scene.step(Event::Tick(1));
        scene.receive(2, 2, heartbeat(None));
    }
    scene.tick(60);
    assert_eq!(scene.role(), RoleName::Follower);
    assert_eq!(scene.term(), 2);
}

// Nor does a candidate begin again once its first campaign has failed: it could not vote for itself.
#[test]
fn a_candidate_whose_disk_stalls_stops_campaigning() {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.prompt = false;
    scene.step(Event::Campaign);
    scene.grant(2);
    assert_eq!(scene.role(), RoleName::Candidate);
    let mut roles = Vec::new();
    for _ in 0..60 {
        scene.tick(1);
        roles.push(scene.role());
    }
    roles.dedup();
    assert_eq!(
        roles,
        [RoleName::Candidate, RoleName::PreCandidate, RoleName::Follower]
    );
}
