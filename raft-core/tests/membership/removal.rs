//! Removed servers, and how they learn of their removal.

use super::*;
use raft_core::Event;
use raft_core::Notice;

// §4.2.2: the leader that is removed does not count itself, steps down when the removal is committed, and names a
// successor (§3.10): the peer with the longest log.
#[test]
fn a_removed_leader_hands_over_and_steps_down() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Remove(node(1)));
    scene.propose(2, b"after");
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
    // No server will tell it what becomes of the other one.
    let unknown = Action::Notice(Notice::Unknown {
        id: ProposalId::new(2),
    });
    assert!(actions.contains(&unknown));
}

// A proposal that is committed together with the removal has an outcome like any other.
#[test]
fn a_removed_leader_answers_for_what_was_committed_with_its_removal() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Remove(node(1)));
    scene.propose(2, b"with it");
    scene.accept(2, at(2, 3));
    let actions = scene.accept(3, at(2, 3));
    assert_eq!((scene.commit(), scene.role()), (3, RoleName::Follower));
    assert_eq!(done(&actions), [(1, id(2, 2)), (2, id(2, 3))]);
}

// A removal that is in the log may be revoked: proposals become unknown when it is committed, and no sooner.
#[test]
fn an_uncommitted_removal_gives_up_no_proposals() {
    let mut setup = setup(3, 1, &[1]);
    setup.durable.commit = Some(index(1));
    setup.config.options.forwarding = true;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.receive(2, 2, heartbeat(None));
    scene.propose(7, b"forwarded");
    let (with_4, without_1) = ([1, 2, 3, 4], [2, 3, 4]);
    let configurations = vec![
        sets(2, 2, Membership::of_voters(with_4.map(node))),
        sets(2, 3, Membership::of_voters(without_1.map(node))),
    ];
    let unknown = Action::Notice(Notice::Unknown {
        id: ProposalId::new(7),
    });
    let actions = scene.receive(2, 2, append(at(1, 1), configurations, 2));
    assert_eq!(scene.commit(), 2, "the first one is committed, the second is not");
    assert!(!actions.contains(&unknown));
    let actions = scene.receive(2, 2, heartbeat(at(2, 3)));
    assert_eq!(scene.commit(), 3);
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

// §4.2.2: a server whose removal is not known to be committed may be needed to commit it.
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
fn a_server_that_knows_of_its_removal_keeps_silent() {
    let without = Membership::of_voters([2, 3].map(node));
    let mut scene = follower_with(3, vec![sets(1, 2, without)]);
    scene.receive(2, 1, heartbeat(at(1, 2)));
    assert_eq!(scene.commit(), 2);
    let mut actions = scene.tick(100);
    assert_eq!(
        (scene.raft.vitals().leader, scene.raft.next_deadline()),
        (None, None),
        "it hears no leader, and waits for nothing"
    );
    actions.extend(scene.step(Event::Campaign));
    actions.extend(scene.receive(2, 1, Message::TimeoutNow));
    assert_eq!(sent(&actions), []);
    assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 1));
    // It still votes (§4.2.2).
    let actions = scene.receive(3, 5, Message::Vote { last: at(1, 2) });
    assert!(sent(&actions).contains(&(3, Message::VoteReply { granted: true })));
}

// A removed peer is sent entries until it knows that its removal is committed: it would campaign otherwise.
#[test]
fn a_removed_peer_is_sent_entries_until_it_knows() {
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
    // A reply to an earlier heartbeat is not enough.
    let (session, term) = (scene.session(3), scene.term());
    let round = Round::new(0);
    scene.receive(
        3,
        term,
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
    assert_eq!(heartbeats(3, &scene.tick(2)).len(), 1);
    let round = Round::new(1);
    scene.receive(
        3,
        term,
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
    assert_eq!(sent_to(3, &scene.tick(2)), []);
    assert_eq!(scene.raft.progress(node(3)), None);
}

// Or for ten election timeouts.
#[test]
fn a_removed_peer_that_does_not_answer_is_forgotten() {
    let mut scene = leader(3);
    change(&mut scene, 1, Change::Remove(node(3)));
    let mut fed = 0;
    for _ in 0..300 {
        let actions = scene.tick(1);
        fed += heartbeats(3, &actions).len();
        let (session, round) = (PeerSession::new(1), Round::new(0));
        scene.receive(
            2,
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
    }
    assert_eq!(fed, 99, "for 200 ticks, one in two");
    assert_eq!(scene.raft.progress(node(3)), None);
    assert_eq!(scene.raft.now(), Tick::new(300));
}

// A removed peer no longer counts, whatever it answers.
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

// Acknowledgements from before the removal say nothing about the folder that returns.
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
        session: PeerSession::new(session),
        round: Round::new(0),
        promise_micros: 0,
        level: raft_core::Level::ZERO,
        halted: false,
        stalled: false,
        wall_time: None,
    };
    let mut envelope = scene.envelope(3, 2, reply(3));
    envelope.from_incarnation = Incarnation::new(33);
    scene.step(Event::Receive(envelope));
    assert_eq!(
        scene.raft.membership().incarnation(node(3)),
        Some(Incarnation::new(33))
    );
}

// The transfer of a snapshot to a peer ends when the leader forgets the peer.
#[test]
fn a_snapshot_to_a_removed_peer_ends() {
    let mut setup = setup(3, 1, &[]);
    setup.durable.snapshot = Some(support::scene::snapshot(1, 5, 3));
    let mut scene = Scene::new(setup).expect("the disk is valid");
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

// The leader that removed them may fail before they know; the next leader tells them.
#[test]
fn a_new_leader_tells_the_servers_that_its_predecessor_removed() {
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
    // It answers from the folder that the log names.
    let mut stranger = scene.envelope(3, 2, heartbeat(None));
    stranger.from_incarnation = Incarnation::new(33);
    scene.step(Event::Receive(stranger));
    assert_eq!(scene.raft.status().ignored.fenced, 1);
    accept_in(&mut scene, 3, 2, at(2, 3));
    assert_eq!(heartbeats(3, &scene.tick(2)), [(1, at(2, 3))]);
}

// Found by review: a heartbeat cannot name an entry that a snapshot covers. A peer that was not told is not forgotten.
#[test]
fn a_removed_peer_is_told_of_a_later_entry_when_a_snapshot_covers_its_removal() {
    let mut setup = setup(3, 1, &[]);
    setup.config.snapshots.keep_entries = 0;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene.accept(2, at(2, 1));
    scene.accept(3, at(2, 1));
    change(&mut scene, 1, Change::Remove(node(3)));
    scene.propose(7, b"after its removal");
    scene.accept(2, at(2, 3));
    scene.step(Input::SnapshotTaken { last: id(2, 3) });
    let knows = |scene: &Scene| scene.raft.status().peers.iter().any(|peer| peer.node == node(3));
    let answers = |scene: &mut Scene, last, told| {
        scene.accept(3, last);
        let [(round, commit)] = heartbeats(3, &scene.tick(2))[..] else {
            panic!("one heartbeat")
        };
        assert_eq!(commit, told);
        let (session, round) = (scene.session(3), Round::new(round));
        scene.receive(
            3,
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
        scene.tick(2);
        knows(scene)
    };
    assert!(answers(&mut scene, at(2, 2), None));
    assert!(!answers(&mut scene, at(2, 3), at(2, 3)));
}

// Found by simulation: in a smaller configuration a waiting read may be confirmed already, and the remaining servers
// may have nothing more to send. A leader that removed its only peer left a read without an answer for ever.
#[test]
fn a_read_is_confirmed_when_a_smaller_configuration_needs_no_further_answer() {
    let mut scene = Scene::leader(2, 2, &[]);
    scene.accept(2, at(2, 1));
    let ready = |actions: &[Action]| {
        actions
            .iter()
            .any(|action| matches!(action, Action::ReadReady { .. }))
    };
    assert!(!ready(&scene.read(7)));
    assert!(ready(&change(&mut scene, 1, Change::Remove(node(2)))));
}

#[test]
fn an_entry_is_committed_when_a_smaller_configuration_needs_no_further_copy() {
    let mut scene = Scene::leader(4, 2, &[]);
    for peer in 2..=4 {
        scene.accept(peer, at(2, 1));
    }
    scene.propose(7, b"on two of four");
    scene.accept(2, at(2, 2));
    assert_eq!(scene.commit(), 1);
    change(&mut scene, 1, Change::Remove(node(4)));
    assert_eq!(scene.commit(), 2);
}

// A server that was partitioned may learn of its removal by a snapshot instead of an entry.
#[test]
fn a_server_that_learns_of_its_removal_by_a_snapshot_keeps_silent() {
    let mut scene = follower_with(3, vec![]);
    let meta = raft_core::SnapshotMeta {
        last: id(1, 5),
        membership: Membership::of_voters([2, 3].map(node)).into(),
        membership_id: at(1, 4),
        withheld: false,
        level: raft_core::Level::ZERO,
        cluster: scene.raft.status().cluster,
    };
    scene.receive(2, 1, heartbeat(at(1, 1)));
    scene.step(Input::SnapshotReady { from: node(2), meta });
    assert_eq!(scene.applied(), 5);
    let mut actions = scene.tick(100);
    actions.extend(scene.step(Event::Campaign));
    actions.extend(scene.receive(2, 1, Message::TimeoutNow));
    assert_eq!(sent(&actions), []);
    assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 1));
}
