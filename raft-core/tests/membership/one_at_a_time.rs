//! When a change is accepted, and when it is refused: one at a time, by a leader that knows what is committed.

use super::*;
use raft_core::Event;
use raft_core::Notice;

// Dissertation §4.1, corrected 2015: before an entry of its own term is committed, a leader cannot know which
// configuration is the last committed one.
#[test]
fn no_change_before_an_entry_of_the_own_term_is_committed() {
    let mut scene = Scene::leader(3, 2, &[1]);
    assert_eq!(
        refusals(&change(&mut scene, 1, Change::Remove(node(3)))),
        [(1, ChangeRejection::NotReady)]
    );
    scene.accept(2, at(1, 1));
    assert_eq!(refusals(&change(&mut scene, 2, Change::Remove(node(3)))).len(), 1);
    scene.accept(2, at(2, 2));
    assert_eq!(refusals(&change(&mut scene, 3, Change::Remove(node(3)))), []);
}

// The bug of 2015 step by step: with four voters, leader 1 appends a change that reaches no other; leader 2 commits
// another with 2, 3 and 4; then 1 leads again. Its next change must not start from the configuration that only it
// holds.
#[test]
fn the_bug_of_2015_cannot_happen() {
    // Server 1 alone removed server 3 in term 2, and wins term 4 with the votes of 2 and 4, which hold nothing.
    let mut removed = voters(4);
    removed = Membership::of_voters(removed.voters().filter(|&voter| voter != node(3)));
    let mut setup = setup(4, 3, &[1]);
    setup.durable.commit = Some(index(1));
    setup.durable.entries.push(sets(2, 2, removed));
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.step(Event::Campaign);
    scene.grant(2);
    scene.grant(2);
    assert_eq!((scene.role(), scene.term()), (RoleName::Leader, 4));
    assert_eq!(members(&scene)[0], [1, 2, 4]);
    // It may not act on it before an entry of its own term is committed, and with it that configuration.
    let reason = ChangeRejection::NotReady;
    assert_eq!(
        refusals(&change(&mut scene, 1, Change::Remove(node(2)))),
        [(1, reason)]
    );
    assert_eq!(scene.raft.vitals().last, at(4, 3));
    scene.accept(2, at(4, 3));
    assert_eq!(scene.commit(), 3);
}

// §4.1: one uncommitted configuration at a time.
#[test]
fn one_change_at_a_time() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Remove(node(3)));
    let reason = ChangeRejection::InProgress { current: at(2, 2) };
    let second = change(&mut scene, 2, Change::AddLearner(node(4)));
    assert_eq!(refusals(&second), [(2, reason)]);
    scene.accept(2, at(2, 2));
    assert_eq!(refusals(&change(&mut scene, 3, Change::AddLearner(node(4)))), []);
}

// A new leader may inherit two uncommitted configurations, of two leaders: it adds no third.
#[test]
fn a_leader_may_inherit_two_uncommitted_configurations() {
    let four = Membership::of_voters([1, 2, 3, 4].map(node));
    let five = Membership::of_voters([1, 2, 3, 4, 5].map(node));
    let mut scene = follower_with(3, vec![sets(1, 2, four), sets(1, 3, five)]);
    assert_eq!(members(&scene)[0], [1, 2, 3, 4, 5]);
    scene.count = 5;
    scene.win();
    assert_eq!(refusals(&change(&mut scene, 1, Change::Remove(node(5)))).len(), 1);
    // Committed by a majority of the newest configuration.
    scene.accept(2, at(2, 4));
    assert_eq!(scene.commit(), 1);
    scene.accept(3, at(2, 4));
    assert_eq!(scene.commit(), 4);
}

// Two leaders with two uncommitted configurations: the one that loses falls back to what was before (§6).
#[test]
fn a_truncated_configuration_is_revoked() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Remove(node(3)));
    assert_eq!(members(&scene)[0], [1, 2]);
    let other = voters(3).bind([]);
    let theirs = Membership::of_voters(other.voters().chain([node(4)]));
    let actions = scene.receive(3, 3, append(at(2, 1), vec![sets(3, 2, theirs)], 1));
    assert_eq!(members(&scene)[0], [1, 2, 3, 4]);
    assert!(actions.contains(&Action::Notice(Notice::MembershipChanged { at: None })));
    let actions = scene.receive(3, 3, append(at(3, 2), Vec::new(), 2));
    assert!(actions.contains(&Action::Notice(Notice::Superseded {
        id: ProposalId::new(1)
    })));
    // A third leader that never held it revokes it as well, if it is not committed.
    let mut scene = leader(3);
    change(&mut scene, 1, Change::AddLearner(node(4)));
    scene.receive(2, 3, append(at(2, 1), entries(1, &[3]), 1));
    assert_eq!(members(&scene), [vec![1, 2, 3], vec![], vec![]]);
}

#[test]
fn a_change_of_another_configuration_than_expected_is_refused() {
    let mut scene = leader_with_learner();
    let current = scene.raft.membership_id();
    let mut with = |proposal, expect| {
        let id = ProposalId::new(proposal);
        let change = Change::Remove(node(4));
        refusals(&scene.step(Event::ChangeMembership {
            id,
            expect,
            change,
            force: false,
        }))
    };
    let reason = ChangeRejection::Outdated { current };
    assert_eq!(with(2, Expected::This(at(2, 2))), [(2, reason)]);
    assert_eq!(
        with(3, Expected::This(None)),
        [(3, reason)],
        "not that of the beginning"
    );
    assert_eq!(with(4, Expected::This(current)), []);
}

#[test]
fn a_change_elsewhere_is_handed_back_with_the_leaders_name() {
    let mut scene = Scene::follower(3, 1, &[1]);
    scene.receive(3, 1, heartbeat(None));
    let leader = Some(node(3));
    let reason = ChangeRejection::Refused(Rejection::NotLeader { leader });
    assert_eq!(
        refusals(&change(&mut scene, 1, Change::Remove(node(2)))),
        [(1, reason)]
    );
    scene.step(Event::PersistFailed);
    let reason = ChangeRejection::Refused(Rejection::Failed);
    assert_eq!(
        refusals(&change(&mut scene, 2, Change::Remove(node(2)))),
        [(2, reason)]
    );
}

#[test]
fn no_change_while_leadership_is_handed_over() {
    let mut scene = leader(3);
    scene.step(Event::Transfer { to: node(2) });
    let reason = Rejection::Transferring { to: node(2) }.into();
    assert_eq!(
        refusals(&change(&mut scene, 1, Change::Remove(node(3)))),
        [(1, reason)]
    );
}

#[test]
fn changes_without_an_outcome_count_as_proposals() {
    let mut setup = setup(3, 1, &[]);
    setup.config.limits.proposals = 1;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene.accept(2, at(2, 1));
    scene.propose(1, b"one");
    let what = raft_core::Waiting::Proposals;
    let reason = Rejection::Busy { what, limit: 1 }.into();
    assert_eq!(
        refusals(&change(&mut scene, 2, Change::Remove(node(3)))),
        [(2, reason)]
    );
}

#[test]
fn an_invalid_change_is_handed_back() {
    let mut scene = leader(1);
    let reason = ChangeRejection::Impossible(ChangeError::NoVoters);
    assert_eq!(
        refusals(&change(&mut scene, 1, Change::Remove(node(1)))),
        [(1, reason)]
    );
    assert_eq!(scene.raft.vitals().last, at(2, 1));
}

// A configuration that no leader makes is malformed.
#[test]
fn a_configuration_that_no_leader_makes_is_malformed() {
    let mut scene = Scene::follower(3, 1, &[]);
    let no_voters = sets(1, 1, Membership::default());
    assert_eq!(scene.receive(2, 1, append(None, vec![no_voters], 0)), []);
    assert_eq!(scene.raft.status().ignored.malformed, 1);
}

// A server that has never joined takes no part before its binding is committed. No quorum may come to need it for that.
// Found by the model: the removal of a healthy server stopped a cluster for good.
#[test]
fn no_quorum_comes_to_depend_on_a_server_that_has_never_joined() {
    let mut setup = setup(3, 1, &[]);
    let known = [1, 3].map(|number| (node(number), Incarnation::new(number)));
    setup.bootstrap = Membership::of_voters([1, 2, 3].map(node)).bind(known);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene.accept(3, at(2, 1));
    let reason = ChangeRejection::NotJoined { node: node(2) };
    for (proposal, without) in [(1, Change::Remove(node(3))), (2, replace(&[1, 2], &[]))] {
        assert_eq!(
            refusals(&change(&mut scene, proposal, without)),
            [(proposal, reason)]
        );
    }
    // Learners change no quorum, and one that never joined may be removed.
    assert_eq!(refusals(&change(&mut scene, 3, Change::AddLearner(node(4)))), []);
    scene.accept(3, at(2, 2));
    assert_eq!(refusals(&change(&mut scene, 4, Change::Remove(node(2)))), []);
}

// Two leaders may have set configurations at the same index. The one of the earlier term is another one.
#[test]
fn a_configuration_is_expected_by_its_term_and_its_index() {
    let mut scene = leader_with_learner();
    let current = scene.raft.membership_id().expect("the learner is bound");
    let expect = Expected::This(at(current.term.value() - 1, current.index.value()));
    let id = ProposalId::new(9);
    let change = Change::Remove(node(4));
    let actions = scene.step(Event::ChangeMembership {
        id,
        expect,
        change,
        force: false,
    });
    let reason = ChangeRejection::Outdated {
        current: Some(current),
    };
    assert_eq!(refusals(&actions), [(9, reason)]);
}
