//! Members that are sent the log and do not count, until they have caught up.

use super::*;
use raft_core::Event;
use raft_core::Notice;

// §6: a server uses the latest configuration in its log, committed or not.
#[test]
fn a_configuration_is_in_force_when_it_is_appended() {
    let mut scene = leader(3);
    let actions = change(&mut scene, 7, Change::AddLearner(node(4)));
    assert_eq!(members(&scene), [vec![1, 2, 3], vec![], vec![4]]);
    assert!(actions.contains(&Action::Notice(Notice::MembershipChanged { at: at(2, 2) })));
    assert_eq!(appends(2, &actions), [(at(2, 1), vec![2])]);
    assert_eq!(
        appends(4, &actions),
        [(at(2, 2), vec![])],
        "server 4 is asked what it has"
    );
    assert_eq!(done(&scene.accept(2, at(2, 2))), [(7, id(2, 2))]);
}

// §4.2.1: learners are sent entries and do not count.
#[test]
fn a_learner_does_not_count() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::AddLearner(node(4)));
    accept_in(&mut scene, 4, 3, at(2, 2));
    assert_eq!(scene.commit(), 1);
    scene.accept(3, at(2, 2));
    assert_eq!(scene.commit(), 2);
}

#[test]
fn a_learner_neither_campaigns_nor_is_asked() {
    let learner = Membership::of_voters([node(2), node(3)]);
    let mut setup = setup(3, 1, &[1]);
    setup.bootstrap = learner;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    assert_eq!(scene.raft.next_deadline(), None);
    scene.tick(50);
    scene.step(Event::Campaign);
    assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 1));

    let mut leading = leader_with_learner();
    leading.receive(2, 3, heartbeat(None));
    leading.tick(30);
    let actions = leading.tick(30);
    assert!(kinds(&actions).contains(&(3, "PreVote")) && sent_to(4, &actions).is_empty());
}

// §4.2.1: a learner votes once it has caught up: here it holds everything.
#[test]
fn a_learner_that_has_caught_up_is_promoted() {
    let mut scene = leader_with_learner();
    change(&mut scene, 2, Change::Promote(node(4)));
    assert_eq!(members(&scene), [vec![1, 2, 3, 4], vec![], vec![]]);
    // Three of four are a majority now.
    scene.accept(2, at(2, 4));
    assert_eq!(scene.commit(), 3);
    assert_eq!(done(&accept_in(&mut scene, 4, 3, at(2, 4))), [(2, id(2, 4))]);
}

// As a voter, a learner that does not answer, or whose last catch-up round took too long, would hold up the others.
#[test]
fn a_learner_that_lags_is_not_promoted() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::AddLearner(node(4)));
    scene.accept(2, at(2, 2));
    let refused = |scene: &mut Scene, matched| {
        let node = node(4);
        let reason = ChangeRejection::NotCaughtUp { node, matched };
        for change_to in [Change::Promote(node), replace(&[1, 2, 4], &[])] {
            let actions = change(scene, 2, change_to.clone());
            assert_eq!(refusals(&actions), [(2, reason)]);
            let handed_back = actions.iter().any(
                |action| matches!(action, Action::Notice(Notice::ChangeRejected { change, .. }) if *change == change_to),
            );
            assert!(handed_back);
        }
    };
    refused(&mut scene, None);
    // The first catch-up round covers the entries of the beginning, and outlasts an election timeout.
    let hold_office = |scene: &mut Scene, ticks| {
        for _ in 0..ticks {
            scene.tick(1);
            let last = scene.raft.vitals().last;
            scene.accept(2, last);
        }
    };
    hold_office(&mut scene, 11);
    scene.propose(9, b"more");
    accept_in(&mut scene, 4, 3, at(2, 2));
    // It is bound now, at 4.
    scene.accept(2, at(2, 4));
    refused(&mut scene, Some(index(2)));
    // The second round is quick, though more entries were appended meanwhile.
    scene.propose(10, b"yet more");
    accept_in(&mut scene, 4, 3, at(2, 4));
    assert_eq!(refusals(&change(&mut scene, 3, Change::Promote(node(4)))), []);
    assert_eq!(members(&scene)[0], [1, 2, 3, 4]);
}

#[test]
fn a_learner_that_fell_silent_is_not_promoted() {
    let mut scene = leader_with_learner();
    for _ in 0..11 {
        scene.tick(1);
        scene.accept(2, at(2, 3));
    }
    let matched = Some(index(3));
    let reason = ChangeRejection::NotCaughtUp {
        node: node(4),
        matched,
    };
    assert_eq!(
        refusals(&change(&mut scene, 2, Change::Promote(node(4)))),
        [(2, reason)]
    );
}
