//! A server whose disk does not answer. Ours.

mod support;

use raft_core::{Action, Event, Message, RoleName};
use support::scene::{Scene, at, heartbeat, kinds, sent_to, writes};

/// A leader of three in term 2 whose no-op is committed, whose peers answer, and whose disk owes it an entry from now
/// on.
fn leader() -> Scene {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.prompt = false;
    scene.propose(1, b"owed");
    scene
}

/// Some ticks in which the given peers hold everything and say so.
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
fn a_leader_whose_disk_stalls_makes_room_for_one_that_answers() {
    let mut scene = leader();
    let actions = pass(&mut scene, 20, &[2]);
    assert_eq!(scene.role(), RoleName::Leader, "it may be slow merely");
    assert!(!kinds(&actions).contains(&(2, "TimeoutNow")));
    let actions = pass(&mut scene, 4, &[2]);
    assert_eq!(scene.role(), RoleName::Follower);
    assert_eq!(sent_to(2, &actions).last(), Some(&Message::TimeoutNow));
    assert!(!kinds(&actions).contains(&(3, "TimeoutNow")), "3 holds less");
}

// A cluster of one has nobody else, and nor has one whose others are silent: that one falls for want of a quorum
// instead.
#[test]
fn a_leader_whose_disk_stalls_stays_if_nobody_could_do_better() {
    let mut single = Scene::leader(1, 2, &[]);
    single.prompt = false;
    single.propose(1, b"owed");
    single.tick(40);
    assert_eq!(single.role(), RoleName::Leader);
}

#[test]
fn nobody_campaigns_whose_disk_stalls() {
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

// Nor does it ask again, once its first campaign has come to nothing: it could not vote for itself.
#[test]
fn a_candidate_whose_disk_stalls_gives_up() {
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
