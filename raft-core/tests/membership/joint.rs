//! Sets that are replaced through a joint configuration.

use super::*;
use raft_core::Event;

// §6, §4.3: while joint, an entry is committed by a majority of both halves, and the leader then leaves it.
#[test]
fn sets_are_replaced_through_a_joint_configuration() {
    let mut scene = leader_with_learner();
    change(&mut scene, 2, replace(&[1, 4], &[3]));
    assert_eq!(members(&scene), [vec![1, 4], vec![1, 2, 3], vec![3]]);
    // 1 and 4 are all of the new half; of the old one, 1 is alone.
    accept_in(&mut scene, 4, 3, at(2, 4));
    assert_eq!(scene.commit(), 3);
    let actions = scene.accept(2, at(2, 4));
    assert_eq!(scene.commit(), 4);
    assert_eq!(done(&actions), [(2, id(2, 4))]);
    assert_eq!(members(&scene), [vec![1, 4], vec![], vec![3]]);
    assert_eq!(scene.raft.membership_id(), at(2, 5));
    // The new half alone commits that.
    scene.accept(2, at(2, 5));
    scene.accept(3, at(2, 5));
    assert_eq!(scene.commit(), 4);
    accept_in(&mut scene, 4, 3, at(2, 5));
    assert_eq!(scene.commit(), 5);
}

#[test]
fn learners_alone_are_replaced_at_once() {
    let mut scene = leader_with_learner();
    change(&mut scene, 2, replace(&[1, 2, 3], &[5, 6]));
    assert_eq!(members(&scene), [vec![1, 2, 3], vec![], vec![5, 6]]);
}

#[test]
fn nothing_else_changes_in_a_joint_configuration() {
    let mut scene = leader_with_learner();
    change(&mut scene, 2, replace(&[1, 2, 4], &[]));
    let refused = change(&mut scene, 3, Change::AddLearner(node(5)));
    let reason = ChangeRejection::InProgress { current: at(2, 4) };
    assert_eq!(refusals(&refused), [(3, reason)]);
}

// §6: a crash inside a joint configuration. The new leader needs the votes of both halves, and finishes the change.
#[test]
fn a_new_leader_leaves_the_joint_configuration_of_an_earlier_one() {
    // A leader made it; a test outside the crate cannot build a joint configuration by itself.
    let mut leading = leader_with_learner();
    change(&mut leading, 2, replace(&[1, 4], &[]));
    let joint = leading.raft.membership().clone();
    let mut scene = follower_with(3, vec![sets(1, 2, joint)]);
    scene.step(Event::Campaign);
    scene.grant(4);
    assert_eq!(
        scene.role(),
        RoleName::PreCandidate,
        "a majority of the old half is missing"
    );
    scene.grant(2);
    scene.grant(2);
    assert_eq!(
        scene.role(),
        RoleName::Candidate,
        "a majority of the new half is missing"
    );
    scene.grant(4);
    assert_eq!((scene.role(), scene.term()), (RoleName::Leader, 2));
    accept_in(&mut scene, 2, 1, at(2, 3));
    assert_eq!(scene.raft.vitals().last, at(2, 3), "it waits for the commit");
    accept_in(&mut scene, 4, 3, at(2, 3));
    assert_eq!(members(&scene), [vec![1, 4], vec![], vec![]]);
    assert_eq!(scene.raft.membership_id(), at(2, 4));
}

// A new leader may know already that the joint configuration is committed. Then no step of its own commits it, and it is
// left all the same.
#[test]
fn a_new_leader_leaves_a_joint_configuration_that_it_knows_to_be_committed() {
    let mut leading = leader_with_learner();
    change(&mut leading, 2, replace(&[1, 4], &[]));
    let joint = leading.raft.membership().clone();
    let mut scene = follower_with(3, vec![sets(1, 2, joint)]);
    scene.receive(2, 1, heartbeat(at(1, 2)));
    assert_eq!(scene.commit(), 2, "the joint configuration is committed");
    // The former leader falls silent.
    scene.tick(20);
    scene.step(Event::Campaign);
    for voter in [4, 2, 4, 2] {
        scene.grant(voter);
    }
    assert_eq!(scene.role(), RoleName::Leader);
    accept_in(&mut scene, 2, 1, at(2, 3));
    accept_in(&mut scene, 4, 3, at(2, 3));
    assert_eq!(scene.commit(), 3);
    assert_eq!(members(&scene), [vec![1, 4], vec![], vec![]]);
    assert_eq!(scene.raft.membership_id(), at(2, 4));
}

// An active quorum, and one that confirms a read, needs voters of both halves.
#[test]
fn reads_and_check_quorum_need_both_halves() {
    let mut scene = leader_with_learner();
    change(&mut scene, 2, replace(&[1, 4], &[]));
    scene.read(1);
    let round = Round::new(1);
    let ready = |actions: &[Action]| {
        actions
            .iter()
            .any(|action| matches!(action, Action::ReadReady { .. }))
    };
    let (session, term) = (PeerSession::new(3), scene.term());
    let reply = Message::HeartbeatReply {
        session,
        round,
        promise_micros: 0,
        level: raft_core::Level::ZERO,
        halted: false,
        stalled: false,
        wall_time: None,
    };
    assert!(!ready(&scene.receive(4, term, reply)));
    let session = PeerSession::new(1);
    assert!(ready(&scene.receive(
        2,
        term,
        Message::HeartbeatReply {
            session,
            round,
            promise_micros: 0,
            level: raft_core::Level::ZERO,
            halted: false,
            stalled: false,
            wall_time: None,
        }
    )));
    // Server 4 goes on answering, and no server of the old half does.
    for _ in 0..13 {
        let round = Round::new(0);
        let session = PeerSession::new(3);
        scene.receive(
            4,
            2,
            Message::HeartbeatReply {
                session,
                round,
                promise_micros: 0,
                level: raft_core::Level::ZERO,
                halted: false,
                stalled: false,
                wall_time: None,
            },
        );
        scene.tick(1);
    }
    assert_eq!(scene.role(), RoleName::Follower);
}

// §7: a snapshot carries the configuration in force at its end, with both halves.
#[test]
fn a_snapshot_carries_both_halves() {
    let mut scene = leader_with_learner();
    change(&mut scene, 2, replace(&[1, 4], &[2]));
    accept_in(&mut scene, 4, 3, at(2, 4));
    scene.accept(2, at(2, 4));
    assert_eq!(scene.applied(), 4);
    scene.step(Input::SnapshotTaken { last: id(2, 4) });
    let meta = scene.raft.snapshot().expect("it was taken");
    let halves =
        [&meta.membership].map(|m| (numbers(m.voters()), numbers(m.outgoing()), numbers(m.learners())));
    assert_eq!(halves, [(vec![1, 4], vec![1, 2, 3], vec![2])]);
    assert_eq!(meta.membership_id, at(2, 4));
}
