//! Changes of the configuration: paper §6; dissertation chapter 4.

mod support;

use std::collections::BTreeSet;

use raft_core::{
    Action, AppendOutcome, Change, ChangeError, ChangeRejection, Entry, EntryBody, Incarnation, Input, LogId,
    Membership, Message, NodeId, ProposalId, Rejection, RoleName, Round, Session, Tick,
};
use support::Cluster;
use support::scene::{
    Scene, append, appends, at, entries, heartbeat, id, index, kinds, node, sent, sent_to, setup, voters,
};

fn change(scene: &mut Scene, proposal: u64, change: Change) -> Vec<Action> {
    scene.step(Input::ChangeMembership {
        id: ProposalId::new(proposal),
        expect: None,
        change,
    })
}

fn set(numbers: &[u64]) -> BTreeSet<NodeId> {
    numbers.iter().copied().map(node).collect()
}

fn replace(voters: &[u64], learners: &[u64]) -> Change {
    Change::Replace {
        voters: set(voters),
        learners: set(learners),
    }
}

fn refusals(actions: &[Action]) -> Vec<(u64, ChangeRejection)> {
    let refusals = actions.iter().filter_map(|action| match action {
        Action::ChangeRejected { id, reason, .. } => Some((id.value(), *reason)),
        _ => None,
    });
    refusals.collect()
}

fn done(actions: &[Action]) -> Vec<(u64, LogId)> {
    let done = actions.iter().filter_map(|action| match action {
        Action::Done { id, at } => Some((id.value(), *at)),
        _ => None,
    });
    done.collect()
}

fn numbers(nodes: impl Iterator<Item = NodeId>) -> Vec<u64> {
    nodes.map(NodeId::value).collect()
}

/// Voters, outgoing voters and learners in force.
fn members(scene: &Scene) -> [Vec<u64>; 3] {
    let membership = scene.raft.membership();
    [
        numbers(membership.voters()),
        numbers(membership.outgoing()),
        numbers(membership.learners()),
    ]
}

/// The peer, in this session, acknowledges the log up to here.
fn accept_in(scene: &mut Scene, from: u64, session: u64, last: Option<LogId>) -> Vec<Action> {
    let (session, round, term) = (Session::new(session), Round::new(0), scene.term());
    let outcome = AppendOutcome::Accepted { last };
    let reply = Message::AppendReply {
        session,
        round,
        outcome,
    };
    scene.receive(from, term, reply)
}

/// A leader in term 2 whose no-op at 1 is committed, and held by everybody.
fn leader(count: u64) -> Scene {
    let mut scene = Scene::leader(count, 2, &[]);
    for peer in 2..=count {
        scene.accept(peer, at(2, 1));
    }
    assert_eq!(scene.commit(), 1);
    scene
}

/// The same leader after server 4 was added as a learner at position 2 and holds everything, with the binding at 3.
fn leader_with_learner() -> Scene {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::AddLearner(node(4)));
    scene.accept(2, at(2, 2));
    accept_in(&mut scene, 4, 3, at(2, 2));
    assert_eq!(scene.raft.membership_id(), at(2, 3), "server 4 is bound");
    for (peer, session) in [(2, 1), (3, 2), (4, 3)] {
        accept_in(&mut scene, peer, session, at(2, 3));
    }
    assert_eq!(scene.commit(), 3);
    scene
}

/// An entry that sets a configuration.
fn sets(term: u64, position: u64, membership: Membership) -> Entry {
    Entry {
        id: id(term, position),
        body: EntryBody::Membership(membership.into()),
    }
}

/// Server 1 of three as a follower in term 1, with these entries in its log behind one that is committed.
fn follower_with(count: u64, behind: Vec<Entry>) -> Scene {
    let mut setup = setup(count, 1, &[1]);
    setup.durable.commit = Some(index(1));
    setup.durable.entries.extend(behind);
    Scene::new(setup).expect("the disk is sound")
}

// §6: a server uses the latest configuration in its log, committed or not.
#[test]
fn a_configuration_is_in_force_when_it_is_appended() {
    let mut scene = leader(3);
    let actions = change(&mut scene, 7, Change::AddLearner(node(4)));
    assert_eq!(members(&scene), [vec![1, 2, 3], vec![], vec![4]]);
    assert!(actions.contains(&Action::MembershipChanged { at: at(2, 2) }));
    assert_eq!(appends(2, &actions), [(at(2, 1), vec![2])]);
    assert_eq!(
        appends(4, &actions),
        [(at(2, 2), vec![])],
        "server 4 is asked what it has"
    );
    assert_eq!(done(&scene.accept(2, at(2, 2))), [(7, id(2, 2))]);
}

// §4.2.1: learners are fed and count nowhere.
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
    let mut scene = Scene::new(setup).expect("the disk is sound");
    assert_eq!(scene.raft.next_deadline(), None);
    scene.tick(50);
    scene.step(Input::Campaign);
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

// One that does not answer, or whose last round took too long, would hold up the others.
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
                |action| matches!(action, Action::ChangeRejected { change, .. } if *change == change_to),
            );
            assert!(handed_back);
        }
    };
    refused(&mut scene, None);
    // The first round brings what was there at the beginning, and takes longer than an election timeout.
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
    // The second round is quick, though more has come in the meantime.
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

// The bug of 2015 drawn out: with four voters, leader 1 appends a change that nobody gets; leader 2 commits another with 2, 3
// and 4; then 1 leads again. Its next change must not be made from the configuration that only it holds.
#[test]
fn the_bug_of_2015_cannot_happen() {
    // Server 1 removed server 3 in term 2 by itself, and comes back to lead term 4 by the votes of 2 and 4, which hold nothing.
    let mut removed = voters(4);
    removed = Membership::of_voters(removed.voters().filter(|&voter| voter != node(3)));
    let mut setup = setup(4, 3, &[1]);
    setup.durable.commit = Some(index(1));
    setup.durable.entries.push(sets(2, 2, removed));
    let mut scene = Scene::new(setup).expect("the disk is sound");
    scene.step(Input::Campaign);
    scene.grant(2);
    scene.grant(2);
    assert_eq!((scene.role(), scene.term()), (RoleName::Leader, 4));
    assert_eq!(members(&scene)[0], [1, 2, 4]);
    // It may not act on it before the cluster has agreed to something of its term, and with it to that configuration.
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
    // Committed by a majority of the newest.
    scene.accept(2, at(2, 4));
    assert_eq!(scene.commit(), 1);
    scene.accept(3, at(2, 4));
    assert_eq!(scene.commit(), 4);
}

// Two leaders with two uncommitted configurations: the one that loses falls back to what was before (§6).
#[test]
fn a_configuration_that_is_cut_off_is_taken_back() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Remove(node(3)));
    assert_eq!(members(&scene)[0], [1, 2]);
    let other = voters(3).bind([]);
    let theirs = Membership::of_voters(other.voters().chain([node(4)]));
    let actions = scene.receive(3, 3, append(at(2, 1), vec![sets(3, 2, theirs)], 1));
    assert_eq!(members(&scene)[0], [1, 2, 3, 4]);
    assert!(actions.contains(&Action::MembershipChanged { at: None }));
    let actions = scene.receive(3, 3, append(at(3, 2), Vec::new(), 2));
    assert!(actions.contains(&Action::Superseded {
        id: ProposalId::new(1)
    }));
    // And a third leader, that never heard of it, takes it back as well, if it is not committed.
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
        refusals(&scene.step(Input::ChangeMembership { id, expect, change }))
    };
    let reason = ChangeRejection::Outdated { current };
    assert_eq!(with(2, at(2, 2)), [(2, reason)]);
    assert_eq!(with(3, current), []);
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
    scene.step(Input::PersistFailed);
    let reason = ChangeRejection::Refused(Rejection::Failed);
    assert_eq!(
        refusals(&change(&mut scene, 2, Change::Remove(node(2)))),
        [(2, reason)]
    );
}

#[test]
fn no_change_while_leadership_is_handed_over() {
    let mut scene = leader(3);
    scene.step(Input::Transfer { to: node(2) });
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
    let mut scene = Scene::new(setup).expect("the disk is sound");
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
fn a_change_that_makes_no_sense_is_handed_back() {
    let mut scene = leader(1);
    let reason = ChangeRejection::Impossible(ChangeError::NoVoters);
    assert_eq!(
        refusals(&change(&mut scene, 1, Change::Remove(node(1)))),
        [(1, reason)]
    );
    assert_eq!(scene.raft.vitals().last, at(2, 1));
}

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

// §6: a crash inside a joint configuration. The new leader needs the votes of both halves, and finishes what was begun.
#[test]
fn a_new_leader_leaves_the_joint_configuration_of_an_earlier_one() {
    // What a leader made of it; a test outside the crate cannot make one of nothing.
    let mut leading = leader_with_learner();
    change(&mut leading, 2, replace(&[1, 4], &[]));
    let joint = leading.raft.membership().clone();
    let mut scene = follower_with(3, vec![sets(1, 2, joint)]);
    scene.step(Input::Campaign);
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

// Only voters of both halves make a quorum that a leader hears, or that confirms a read.
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
    let (session, term) = (Session::new(3), scene.term());
    let reply = Message::HeartbeatReply { session, round };
    assert!(!ready(&scene.receive(4, term, reply)));
    let session = Session::new(1);
    assert!(ready(&scene.receive(
        2,
        term,
        Message::HeartbeatReply { session, round }
    )));
    // Server 4 goes on answering, and of the old half nobody does.
    for _ in 0..13 {
        let round = Round::new(0);
        let session = Session::new(3);
        scene.receive(4, 2, Message::HeartbeatReply { session, round });
        scene.tick(1);
    }
    assert_eq!(scene.role(), RoleName::Follower);
}

// §4.2.2: the leader that is removed counts itself nowhere, steps down when the removal is committed, and
// names a successor (§3.10): the one that holds most.
#[test]
fn a_removed_leader_hands_over_and_steps_down() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Remove(node(1)));
    scene.propose(2, b"behind");
    scene.accept(2, at(2, 2));
    assert_eq!((scene.commit(), scene.role()), (1, RoleName::Leader));
    let actions = scene.accept(3, at(2, 3));
    assert_eq!((scene.commit(), scene.role()), (2, RoleName::Follower));
    assert_eq!(sent_to(3, &actions), [Message::TimeoutNow]);
    assert!(
        sent_to(2, &actions)
            .iter()
            .all(|message| *message != Message::TimeoutNow)
    );
    assert_eq!(done(&actions), [(1, id(2, 2))]);
    // Nobody will tell it what becomes of the other one.
    let unknown = Action::Unknown {
        id: ProposalId::new(2),
    };
    assert!(actions.contains(&unknown));
}

#[test]
fn a_demoted_leader_steps_down_as_well() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Demote(node(1)));
    for peer in [2, 3] {
        scene.accept(peer, at(2, 2));
    }
    assert_eq!(scene.role(), RoleName::Follower);
    assert_eq!(scene.raft.next_deadline(), None, "a learner does not campaign");
}

// §4.2.2: a server whose removal is not known to be committed may be needed to get it committed.
#[test]
fn a_server_outside_its_latest_uncommitted_configuration_campaigns() {
    let without = Membership::of_voters([2, 3].map(node));
    let mut scene = follower_with(3, vec![sets(1, 2, without)]);
    assert!(scene.raft.next_deadline().is_some());
    scene.tick(20);
    assert_eq!(scene.role(), RoleName::PreCandidate);
    // Its own vote does not count.
    scene.grant(2);
    assert_eq!(scene.role(), RoleName::PreCandidate);
    scene.grant(3);
    scene.grant(2);
    scene.grant(3);
    assert_eq!((scene.role(), scene.term()), (RoleName::Leader, 2));
    // It leads until the configuration without it is committed.
    scene.accept(2, at(2, 3));
    assert_eq!(scene.role(), RoleName::Leader);
    scene.accept(3, at(2, 3));
    assert_eq!((scene.role(), scene.commit()), (RoleName::Follower, 3));
}

// §4.2.2, S19: and it stops once it knows.
#[test]
fn a_server_that_knows_that_it_was_removed_keeps_silent() {
    let without = Membership::of_voters([2, 3].map(node));
    let mut scene = follower_with(3, vec![sets(1, 2, without)]);
    scene.receive(2, 1, heartbeat(at(1, 2)));
    assert_eq!(scene.commit(), 2);
    assert_eq!(scene.raft.next_deadline(), None);
    let mut actions = scene.tick(100);
    actions.extend(scene.step(Input::Campaign));
    actions.extend(scene.receive(2, 1, Message::TimeoutNow));
    assert_eq!(sent(&actions), []);
    assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 1));
    // It still votes (§4.2.2).
    let actions = scene.receive(3, 5, Message::Vote { last: at(1, 2) });
    assert!(sent(&actions).contains(&(3, Message::VoteReply { granted: true })));
}

/// The round of the heartbeats to this peer among the actions.
fn heartbeats(to: u64, actions: &[Action]) -> Vec<(u64, Option<LogId>)> {
    let beats = sent_to(to, actions)
        .into_iter()
        .filter_map(|message| match message {
            Message::Heartbeat { round, commit, .. } => Some((round.value(), commit)),
            _ => None,
        });
    beats.collect()
}

// A removed peer is fed until it knows that its removal is committed: it would campaign otherwise.
#[test]
fn a_removed_peer_is_fed_until_it_knows() {
    let mut scene = leader(3);
    let actions = change(&mut scene, 1, Change::Remove(node(3)));
    assert_eq!(
        appends(3, &actions),
        [(at(2, 1), vec![2])],
        "its removal is sent to it"
    );
    scene.accept(2, at(2, 2));
    scene.accept(3, at(2, 2));
    assert_eq!(scene.commit(), 2);
    let mut actions = scene.tick(2);
    actions.retain(|action| matches!(action, Action::Send(_)));
    assert_eq!(heartbeats(3, &actions), [(1, at(2, 2))]);
    assert!(scene.raft.progress(node(3)).is_some());
    // An answer to what was said before is not enough.
    let (session, term) = (scene.session(3), scene.term());
    let round = Round::new(0);
    scene.receive(3, term, Message::HeartbeatReply { session, round });
    assert_eq!(heartbeats(3, &scene.tick(2)).len(), 1);
    let round = Round::new(1);
    scene.receive(3, term, Message::HeartbeatReply { session, round });
    assert_eq!(sent_to(3, &scene.tick(2)), []);
    assert_eq!(scene.raft.progress(node(3)), None);
}

// Or for ten election timeouts.
#[test]
fn a_removed_peer_that_does_not_answer_is_given_up() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Remove(node(3)));
    let mut fed = 0;
    for _ in 0..300 {
        let actions = scene.tick(1);
        fed += heartbeats(3, &actions).len();
        let (session, round) = (Session::new(1), Round::new(0));
        scene.receive(2, 2, Message::HeartbeatReply { session, round });
    }
    assert_eq!(fed, 99, "for 200 ticks, one in two");
    assert_eq!(scene.raft.progress(node(3)), None);
    assert_eq!(scene.raft.now(), Tick::new(300));
}

// Whoever is removed counts no longer, whatever it answers.
#[test]
fn a_removed_peer_does_not_count() {
    let mut scene = leader(5);
    change(&mut scene, 1, Change::Remove(node(5)));
    scene.accept(5, at(2, 2));
    scene.accept(4, at(2, 2));
    assert_eq!(scene.commit(), 1, "two of four");
    scene.accept(3, at(2, 2));
    assert_eq!(scene.commit(), 2);
}

// What it acknowledged before it left says nothing about the folder that comes back.
#[test]
fn a_peer_that_comes_back_starts_a_new_session() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Remove(node(3)));
    scene.accept(2, at(2, 2));
    scene.accept(3, at(2, 2));
    change(&mut scene, 2, Change::AddLearner(node(3)));
    let progress = scene.raft.progress(node(3)).expect("it is a member");
    assert_eq!(progress.matched, None);
    scene.accept(3, at(2, 3));
    assert_eq!(
        scene.raft.progress(node(3)).expect("it is a member").matched,
        None
    );
    // The new folder answers in the new session, and is bound.
    scene.accept(2, at(2, 3));
    let reply = |session| Message::HeartbeatReply {
        session: Session::new(session),
        round: Round::new(0),
    };
    let mut envelope = scene.envelope(3, 2, reply(3));
    envelope.from_incarnation = Incarnation::new(33);
    scene.step(Input::Receive(envelope));
    assert_eq!(
        scene.raft.membership().incarnation(node(3)),
        Some(Incarnation::new(33))
    );
}

// A snapshot that is on its way to a peer ends when the peer does.
#[test]
fn a_snapshot_to_a_removed_peer_ends() {
    let mut setup = setup(3, 1, &[]);
    setup.durable.snapshot = Some(support::scene::snapshot(1, 5, 3));
    let mut scene = Scene::new(setup).expect("the disk is sound");
    scene.win();
    scene.accept(2, at(2, 6));
    let mut actions = scene.reject(3, at(1, 5), None);
    let begun = |actions: &[Action]| {
        actions
            .iter()
            .filter(|a| matches!(a, Action::SendSnapshot { .. }))
            .count()
    };
    let ended = |actions: &[Action]| {
        actions
            .iter()
            .filter(|a| matches!(a, Action::SnapshotEnded { .. }))
            .count()
    };
    assert_eq!((begun(&actions), ended(&actions)), (1, 0));
    change(&mut scene, 1, Change::Remove(node(3)));
    scene.accept(2, at(2, 7));
    actions = change(&mut scene, 2, Change::AddLearner(node(3)));
    assert_eq!(ended(&actions), 1, "it comes back in another session");
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

// What no leader makes is not believed.
#[test]
fn a_configuration_that_no_leader_makes_is_malformed() {
    let mut scene = Scene::follower(3, 1, &[]);
    let nobody = sets(1, 1, Membership::default());
    assert_eq!(scene.receive(2, 1, append(None, vec![nobody], 0)), []);
    assert_eq!(scene.raft.status().ignored.malformed, 1);
}

/// Lets the leader make this change, and waits for it.
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

// A new server knows nobody and has nothing. It is called by the leader that adds it, asks where it stands, is bound,
// admitted and fed, with a snapshot where that is needed, and then votes.
#[test]
fn a_new_server_joins_as_a_learner() {
    for with_snapshot in [false, true] {
        let mut cluster = match with_snapshot {
            true => Cluster::with_snapshots(3, 4, 1),
            false => Cluster::new(3),
        };
        for number in 0..10 {
            write(&mut cluster, &[number]);
        }
        cluster.start_new(4);
        cluster.tick(30);
        assert_eq!(cluster.role(4), RoleName::Joining, "nobody has added it");
        make(&mut cluster, &Change::AddLearner(node(4)));
        cluster.tick(30);
        assert_eq!(cluster.role(4), RoleName::Follower);
        assert_eq!(cluster.journal(4).len(), 10);
        assert_eq!(cluster.server(4).installed > 0, with_snapshot);
        make(&mut cluster, &Change::Promote(node(4)));
        assert_eq!(voters_of(&mut cluster, 4), [1, 2, 3, 4]);
        // With it, three of four: one may fail.
        let failing = cluster.leader().expect("somebody leads");
        cluster.isolate(failing);
        cluster.tick(60);
        write(&mut cluster, b"without the old leader");
        assert_eq!(cluster.journal(4).len(), 11);
    }
}

// A server that has never joined takes no part before its binding is committed. No quorum may come to need it for that:
// found by the model, in which the removal of a healthy server stopped a cluster for good.
#[test]
fn no_quorum_comes_to_depend_on_a_server_that_has_never_joined() {
    let mut setup = setup(3, 1, &[]);
    let known = [1, 3].map(|number| (node(number), Incarnation::new(number)));
    setup.bootstrap = Membership::of_voters([1, 2, 3].map(node)).bind(known);
    let mut scene = Scene::new(setup).expect("the disk is sound");
    scene.win();
    scene.accept(3, at(2, 1));
    let reason = ChangeRejection::NotJoined { node: node(2) };
    for (proposal, without) in [(1, Change::Remove(node(3))), (2, replace(&[1, 2], &[]))] {
        assert_eq!(
            refusals(&change(&mut scene, proposal, without)),
            [(proposal, reason)]
        );
    }
    // Learners change no quorum, and the one that never came may go.
    assert_eq!(refusals(&change(&mut scene, 3, Change::AddLearner(node(4)))), []);
    scene.accept(3, at(2, 2));
    assert_eq!(refusals(&change(&mut scene, 4, Change::Remove(node(2)))), []);
}

// From one server to three, and back to another one.
#[test]
fn a_cluster_grows_from_one_and_moves_house() {
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

// A whole cluster is replaced by another one, under load.
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
    let new = cluster.leader().expect("somebody leads");
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

// A leader that crashes at any moment of a joint change: whoever leads next finishes it, or nobody ever heard of it.
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
            cluster.step(envelope.to.value(), raft_core::replica::Input::Receive(envelope));
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
        "nobody has added it again"
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

// A server that was removed while it was out of reach never learns of it, and disturbs nobody when it comes back (§4.2.3).
#[test]
fn a_removed_server_that_knows_nothing_disturbs_nobody() {
    let mut cluster = Cluster::new(4);
    let leader = cluster.elect();
    cluster.tick(20);
    let gone = leader % 4 + 1;
    cluster.isolate(gone);
    make(&mut cluster, &Change::Remove(node(gone)));
    cluster.tick(400);
    let leader = cluster.leader().expect("somebody leads");
    let term = cluster.server(leader).replica.raft().vitals().term;
    cluster.heal();
    cluster.tick(200);
    assert_eq!(cluster.leader(), Some(leader));
    assert_eq!(cluster.server(leader).replica.raft().vitals().term, term);
    write(&mut cluster, b"undisturbed");
}

// The leader that removed them may be gone before they know; the next one tells them.
#[test]
fn a_new_leader_takes_leave_of_those_that_its_predecessor_removed() {
    let without = Membership::of_voters([1, 2].map(node)).bind([(node(1), Incarnation::new(1))]);
    let mut scene = follower_with(3, vec![sets(1, 2, without)]);
    scene.count = 2;
    let actions = scene.win();
    assert!(kinds(&actions).contains(&(3, "Append")) && kinds(&actions).contains(&(3, "Heartbeat")));
    let actions = scene.accept(2, at(2, 3));
    assert_eq!(scene.commit(), 3);
    assert!(
        kinds(&actions)
            .iter()
            .all(|(to, kind)| (*to, *kind) != (3, "Vote"))
    );
    // It answers from the folder that the log knew.
    let mut stranger = scene.envelope(3, 2, heartbeat(None));
    stranger.from_incarnation = Incarnation::new(33);
    scene.step(Input::Receive(stranger));
    assert_eq!(scene.raft.status().ignored.fenced, 1);
    accept_in(&mut scene, 3, 2, at(2, 3));
    assert_eq!(heartbeats(3, &scene.tick(2)), [(1, at(2, 3))]);
}
