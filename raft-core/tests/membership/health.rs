//! A change leads to voters of which a quorum is healthy, unless it is forced.

use super::*;
use raft_core::{Ailment, Level, Trace};

const SHORTEST: u64 = 10;
const LONGEST: u64 = 20;

/// A leader of `count` in term 2 that has heard servers 2 to `heard`, and has committed its no-op.
fn leader_that_heard(count: u64, heard: u64) -> Scene {
    let mut scene = Scene::leader(count, 2, &[]);
    for peer in 2..=heard {
        scene.accept(peer, at(2, 1));
    }
    assert_eq!(scene.commit(), 1);
    scene
}

fn unhealthy(node_id: u64, ailment: Ailment, (healthy, voters): (usize, usize)) -> ChangeRejection {
    ChangeRejection::NoHealthyQuorum {
        node: node(node_id),
        ailment,
        healthy,
        voters,
    }
}

fn only_refusal(actions: &[Action]) -> Option<ChangeRejection> {
    refusals(actions).into_iter().next().map(|(_, reason)| reason)
}

/// Lets time pass in which these servers answer.
fn hear(scene: &mut Scene, peers: &[u64], ticks: u64) {
    for _ in 0..ticks {
        scene.tick(1);
        for &peer in peers {
            let last = scene.raft.progress(node(peer)).and_then(|peer| peer.matched);
            let last = last.and_then(|last| scene.raft.log_id(last));
            scene.accept(peer, last);
        }
    }
}

fn says(scene: &Scene, peer: u64, halted: bool, stalled: bool) -> Message {
    Message::HeartbeatReply {
        session: scene.session(peer),
        round: Round::new(0),
        promise_micros: 0,
        level: Level::ZERO,
        halted,
        stalled,
        wall_time: None,
    }
}

// The case that people meet: of three servers one is dead, and the operator removes the wrong one of the others.
#[test]
fn a_healthy_server_is_not_removed_while_another_one_is_dead() {
    let mut scene = leader_that_heard(3, 3);
    hear(&mut scene, &[2], SHORTEST + 5);
    let ailment = Ailment::Silent { ticks: SHORTEST + 5 };
    let reason = unhealthy(3, ailment, (1, 2));
    assert_eq!(
        only_refusal(&change(&mut scene, 1, Change::Remove(node(2)))),
        Some(reason)
    );
    assert_eq!(members(&scene), [vec![1, 2, 3], vec![], vec![]]);
    assert_eq!(
        refusals(&change(&mut scene, 2, Change::Remove(node(3)))),
        [],
        "the dead one may go"
    );
    assert_eq!(members(&scene), [vec![1, 2], vec![], vec![]]);
}

// What the leader itself does counts as little as what the dead server was.
#[test]
fn a_leader_does_not_remove_itself_from_a_quorum_that_is_dead() {
    let mut scene = leader_that_heard(3, 3);
    hear(&mut scene, &[2], SHORTEST + 1);
    let reason = unhealthy(3, Ailment::Silent { ticks: SHORTEST + 1 }, (1, 2));
    for wanted in [
        Change::Remove(node(1)),
        Change::Demote(node(1)),
        replace(&[2, 3], &[]),
    ] {
        assert_eq!(only_refusal(&change(&mut scene, 1, wanted)), Some(reason));
    }
}

// Every kind of change is judged, also one that leaves the voters as they are: it could not be committed.
#[test]
fn every_kind_of_change_needs_a_healthy_quorum() {
    let wanted = [
        Change::AddLearner(node(9)),
        Change::AddWitness(node(9)),
        Change::Promote(node(4)),
        Change::Remove(node(4)),
        Change::Remove(node(3)),
        Change::Demote(node(2)),
        replace(&[1, 2], &[]),
        replace(&[1, 2, 3, 4], &[]),
    ];
    for wanted in wanted {
        let mut scene = leader_with_learner();
        for peer in [2, 3] {
            let said = says(&scene, peer, true, false);
            scene.receive(peer, 2, said);
        }
        let reason = only_refusal(&change(&mut scene, 9, wanted.clone()));
        assert!(
            matches!(
                reason,
                Some(ChangeRejection::NoHealthyQuorum {
                    ailment: Ailment::Halted,
                    ..
                })
            ),
            "{wanted:?}: {reason:?}"
        );
    }
}

// §4.3: while the configuration is joint, the voters that leave decide as well.
#[test]
fn both_halves_of_a_joint_configuration_need_a_healthy_quorum() {
    // Of five, 4 and 5 are dead. The three that remain could go on alone, and so could they with 4.
    let mut scene = leader_that_heard(5, 5);
    hear(&mut scene, &[2, 3], SHORTEST + 1);
    let silent = Ailment::Silent { ticks: SHORTEST + 1 };
    assert_eq!(
        only_refusal(&change(&mut scene, 1, replace(&[1, 4, 5], &[]))),
        Some(unhealthy(4, silent, (1, 3))),
        "the half that comes, which is the configuration after it"
    );
    assert_eq!(
        only_refusal(&change(&mut scene, 2, replace(&[1, 2, 4], &[]))),
        None,
        "two of three, and three of five"
    );
    assert_eq!(members(&scene)[1], [1, 2, 3, 4, 5]);
}

// A new leader knows of no peer yet, whatever earlier leaders knew.
#[test]
fn what_an_earlier_leader_heard_does_not_count() {
    let mut scene = leader_that_heard(3, 2);
    let wanted = Change::Remove(node(2));
    let refused = change(&mut scene, 1, wanted.clone());
    assert_eq!(only_refusal(&refused), Some(ChangeRejection::NotReady));
    hear(&mut scene, &[2], SHORTEST + 1);
    let silent = Ailment::Silent { ticks: SHORTEST + 1 };
    let refused = change(&mut scene, 2, wanted.clone());
    assert_eq!(only_refusal(&refused), Some(unhealthy(3, silent, (1, 2))));
    scene.accept(3, at(2, 1));
    assert_eq!(refusals(&change(&mut scene, 3, wanted)), []);
}

#[test]
fn a_voter_that_halted_or_whose_disk_stalls_is_not_healthy() {
    for (halted, stalled, ailment) in [
        (true, false, Ailment::Halted),
        (false, true, Ailment::Stalled),
        (true, true, Ailment::Halted),
    ] {
        let mut scene = leader_that_heard(3, 3);
        let said = says(&scene, 3, halted, stalled);
        scene.receive(3, 2, said);
        let status = scene.raft.progress(node(3)).expect("it is a peer");
        assert_eq!((status.is_halted, status.is_stalled), (halted, stalled));
        let refused = change(&mut scene, 1, Change::Remove(node(2)));
        assert_eq!(only_refusal(&refused), Some(unhealthy(3, ailment, (1, 2))));
        let said = says(&scene, 3, false, false);
        scene.receive(3, 2, said);
        assert_eq!(refusals(&change(&mut scene, 2, Change::Remove(node(2)))), []);
    }
}

// A leader with such a disk does not count itself either.
#[test]
fn a_leader_whose_disk_stalls_is_not_healthy() {
    let mut scene = leader_that_heard(3, 3);
    scene.prompt = false;
    scene.propose(7, b"waits");
    let said = says(&scene, 2, true, false);
    scene.receive(2, 2, said);
    for _ in 0..=LONGEST {
        scene.step(Event::Tick(1));
        let (two, three) = (says(&scene, 2, true, false), says(&scene, 3, true, false));
        scene.receive(2, 2, two);
        scene.receive(3, 2, three);
        if scene.role() != RoleName::Leader {
            return;
        }
    }
    assert!(matches!(
        only_refusal(&change(&mut scene, 1, Change::AddLearner(node(4)))),
        Some(ChangeRejection::NoHealthyQuorum { node: who, ailment: Ailment::Stalled, healthy: 0, .. }) if who == node(1)
    ));
}

// A server says so itself, in its answers to heartbeats.
#[test]
fn a_server_says_that_its_disk_stalls() {
    let mut scene = Scene::follower(3, 2, &[]);
    let stalled = |actions: &[Action]| {
        sent(actions).into_iter().find_map(|(_, message)| match message {
            Message::HeartbeatReply { stalled, .. } => Some(stalled),
            _ => None,
        })
    };
    assert_eq!(stalled(&scene.receive(2, 2, heartbeat(None))), Some(false));
    scene.prompt = false;
    scene.append(2, None, &[2], 0);
    for _ in 0..=LONGEST {
        scene.tick(1);
        scene.receive(2, 2, heartbeat(None));
    }
    assert_eq!(stalled(&scene.receive(2, 2, heartbeat(None))), Some(true));
}

// Who knows better than the leader can force it, and the trace says that it was needed. Other rules hold all the same.
#[test]
fn a_forced_change_is_made_without_a_healthy_quorum() {
    let forced = |scene: &mut Scene, change| {
        scene.step(Event::ChangeMembership {
            id: ProposalId::new(1),
            expect: Expected::Any,
            change,
            force: true,
        })
    };
    let traced = |actions: &[Action]| -> Vec<LogId> {
        let traced = actions.iter().filter_map(|action| match action {
            Action::Notice(Notice::Trace(Trace::ChangeForced { at })) => Some(*at),
            _ => None,
        });
        traced.collect()
    };
    let mut setup = setup(3, 1, &[]);
    setup.config.options.trace = true;
    let mut scene = Scene::new(setup.clone()).expect("the disk is valid");
    scene.win();
    scene.accept(2, at(2, 1));
    let actions = forced(&mut scene, Change::Remove(node(2)));
    assert_eq!((refusals(&actions), traced(&actions)), (vec![], vec![id(2, 2)]));
    assert_eq!(members(&scene), [vec![1, 3], vec![], vec![]]);

    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    let refused = forced(&mut scene, Change::Remove(node(2)));
    assert_eq!(
        only_refusal(&refused),
        Some(ChangeRejection::NotReady),
        "nothing is committed"
    );
    scene.accept(2, at(2, 1));
    scene.accept(3, at(2, 1));
    let actions = forced(&mut scene, Change::Remove(node(2)));
    assert_eq!(
        (refusals(&actions), traced(&actions)),
        (vec![], vec![]),
        "it was not needed"
    );
}

// A joint configuration is left in any case: staying would help no server.
#[test]
fn leaving_a_joint_configuration_needs_no_healthy_quorum() {
    let mut scene = leader_that_heard(5, 5);
    change(&mut scene, 1, replace(&[1, 2, 3], &[]));
    hear(&mut scene, &[2, 3], SHORTEST + 1);
    assert_eq!(
        members(&scene)[1],
        [1, 2, 3, 4, 5],
        "4 and 5 are silent, and it is not committed"
    );
    for peer in [2, 3] {
        scene.accept(peer, at(2, 2));
    }
    assert_eq!(members(&scene), [vec![1, 2, 3], vec![], vec![]]);
}

// The whole story with real servers: the cluster goes on, and does so with the dead server removed.
#[test]
fn a_cluster_keeps_its_leader_when_an_operator_removes_the_wrong_server() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.tick(10);
    let (healthy, dead) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.crash(dead);
    cluster.tick(100);
    let wrong = cluster.change(leader, Change::Remove(node(healthy)));
    cluster.tick(300);
    assert!(cluster.server(leader).changes_rejected.contains_key(&wrong));
    assert_eq!(cluster.leader(), Some(leader));
    let right = cluster.change(leader, Change::Remove(node(dead)));
    cluster.tick(30);
    assert!(cluster.server(leader).changed.contains_key(&right));
    let last = cluster.change(leader, Change::Remove(node(healthy)));
    cluster.tick(30);
    assert!(
        cluster.server(leader).changed.contains_key(&last),
        "one server is a quorum of one"
    );
}
