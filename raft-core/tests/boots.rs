//! Which start of a data folder counts: tests of the rules in `raft/boots.rs`, by name.

mod support;

use raft_core::{
    Action, AppendOutcome, Boot, Config, Envelope, Event, Incarnation, Message, PeerSession, RoleName, Round,
    Term,
};
use support::Cluster;
use support::scene::{Scene, at, heartbeat, id, node, sent, setup, writes};

/// The message, from a start of this count and nonce.
fn from_start(scene: &Scene, from: u64, boot: Boot, term: u64, message: Message) -> Event {
    let mut envelope = scene.envelope(from, term, message);
    envelope.from_boot = boot;
    Event::Receive(envelope)
}

/// A server says that it drops what this one sends, since it has heard that start of its folder.
fn told(scene: &mut Scene, by: u64, heard: Boot) -> Vec<Action> {
    let greeting = Message::Greeting {
        heard: Some(heard),
        lacks: None,
        is_answer: true,
        tick_micros: 100_000,
        settings: 0,
    };
    let (term, mine) = (scene.term(), scene.raft.identity().incarnation);
    let mut envelope = scene.envelope(by, term, greeting);
    envelope.to_incarnation = Some(mine);
    scene.step(Event::Receive(envelope))
}

/// What the greetings since the last call say was heard instead, and to whom they went.
fn greetings(scene: &mut Scene) -> Vec<(u64, Option<Boot>, bool)> {
    let said = |envelope: Envelope| match envelope.message {
        Message::Greeting { heard, is_answer, .. } => (envelope.to.value(), heard, is_answer),
        other => panic!("{} is no greeting", other.name()),
    };
    scene.greetings.drain(..).map(said).collect()
}

/// After so many ticks a greeting may be repeated.
fn interval() -> u64 {
    Config::default().timing.heartbeat_ticks
}

/// Whether the request for a vote in this term was answered.
fn is_answered(scene: &mut Scene, boot: Boot, term: u64) -> bool {
    let vote = from_start(scene, 2, boot, term, Message::Vote { last: at(1, 9) });
    !sent(&scene.step(vote)).is_empty()
}

#[test]
fn two_starts_greet_each_other_once() {
    let mut cluster = Cluster::new(3);
    cluster.elect();
    cluster.tick(40);
    let members = |id: u64, cluster: &mut Cluster| cluster.server(id).replica.raft().status().greeted;
    let leader = cluster.leader().expect("there is a leader");
    let greeted = members(leader, &mut cluster);
    assert_eq!(greeted.len(), 2);
    for member in greeted {
        assert_eq!(member.tick_micros, Some(100_000));
        assert_eq!((member.settings, member.twin), (Some(0), None));
    }
    let mut scene = Scene::follower(3, 1, &[]);
    for tick in 0..20 {
        // No time passes.
        let boot = Boot::new(1, 2);
        let beat = from_start(&scene, 2, boot, 1, heartbeat(None));
        scene.step(beat);
        let expected = if tick == 0 {
            vec![(2, None, false)]
        } else {
            Vec::new()
        };
        assert_eq!(greetings(&mut scene), expected, "heartbeat {tick}");
    }
    let answer = Message::Greeting {
        heard: None,
        lacks: None,
        is_answer: false,
        tick_micros: 50_000,
        settings: 7,
    };
    scene.tick(interval());
    scene.receive(2, 1, answer);
    assert_eq!(greetings(&mut scene), [(2, None, true)], "it was asked");
    scene.tick(interval());
    scene.receive(2, 1, heartbeat(None));
    assert_eq!(greetings(&mut scene), [], "both know");
    let greeted = scene.raft.status().greeted;
    assert_eq!(
        (greeted[0].tick_micros, greeted[0].settings),
        (Some(50_000), Some(7))
    );
}

#[test]
fn a_greeting_that_is_lost_is_repeated_with_the_heartbeats() {
    let mut scene = Scene::follower(3, 1, &[]);
    let mut count = 0;
    for _ in 0..30 {
        scene.receive(2, 1, heartbeat(None));
        scene.tick(1);
        count += greetings(&mut scene).len() as u64;
    }
    assert_eq!(count, 30_u64.div_ceil(interval()));
}

#[test]
fn a_later_start_silences_the_earlier_ones() {
    let mut scene = Scene::follower(3, 1, &[]);
    assert!(is_answered(&mut scene, Boot::new(4, 40), 5));
    assert!(is_answered(&mut scene, Boot::new(6, 60), 6));
    greetings(&mut scene);
    scene.tick(interval());
    assert!(!is_answered(&mut scene, Boot::new(4, 40), 7), "it is over");
    assert_eq!(scene.term(), 6);
    assert_eq!(greetings(&mut scene), [(2, Some(Boot::new(6, 60)), false)]);
    assert!(
        !is_answered(&mut scene, Boot::new(5, 50), 7),
        "it was never heard"
    );
    assert!(
        is_answered(&mut scene, Boot::new(6, 60), 7),
        "the later one counts"
    );
    assert_eq!(scene.raft.status().ignored.other_boot, 2);
}

#[test]
fn of_two_starts_with_one_count_neither_is_heard() {
    let mut scene = Scene::follower(3, 1, &[]);
    let (one, other) = (Boot::new(4, 40), Boot::new(4, 41));
    assert!(is_answered(&mut scene, one, 5));
    scene.tick(interval());
    greetings(&mut scene);
    assert!(!is_answered(&mut scene, other, 6));
    assert_eq!(greetings(&mut scene), [(2, Some(one), false)]);
    scene.tick(interval());
    assert!(!is_answered(&mut scene, one, 7), "nor the first one any more");
    assert_eq!(greetings(&mut scene), [(2, Some(other), false)]);
    let greeted = scene.raft.status().greeted;
    assert_eq!((greeted[0].boot, greeted[0].twin), (one, Some(other)));
    // A new folder is another server.
    let mut vote = scene.envelope(2, 8, Message::Vote { last: at(1, 9) });
    vote.from_incarnation = Incarnation::new(22);
    assert!(!sent(&scene.step(Event::Receive(vote))).is_empty());
}

#[test]
fn a_leader_does_not_count_what_two_copies_have_acknowledged() {
    let mut scene = Scene::leader(5, 2, &[]);
    scene.propose(1, b"x");
    let (session, last) = (PeerSession::new(1), Some(id(2, 2)));
    let reply = Message::AppendReply {
        session,
        round: Round::new(0),
        promise_micros: 0,
        outcome: AppendOutcome::Accepted { last },
    };
    scene.receive(2, 2, reply.clone());
    assert_eq!(scene.commit(), 0, "two of five");
    let copy = from_start(&scene, 2, Boot::new(1, 99), 2, reply);
    scene.step(copy);
    scene.accept(3, last);
    assert_eq!(scene.commit(), 0, "the copies count for nothing");
    scene.accept(4, last);
    assert_eq!(scene.commit(), 2);
}

#[test]
fn a_candidate_gives_up_a_campaign_that_counted_a_copy() {
    let mut scene = Scene::follower(5, 1, &[]);
    scene.step(Event::Campaign);
    let term = scene.term();
    let ask = Term::new(term + 1);
    let granted = Message::PreVoteReply { ask, granted: true };
    scene.receive(2, term, granted.clone());
    assert_eq!(scene.role(), RoleName::PreCandidate);
    let copy = from_start(&scene, 2, Boot::new(1, 99), term, granted.clone());
    scene.step(copy);
    assert_eq!(scene.role(), RoleName::Follower);
    scene.step(Event::Campaign);
    scene.receive(2, term, granted.clone());
    scene.receive(3, term, granted.clone());
    assert_eq!(
        scene.role(),
        RoleName::PreCandidate,
        "three of five, two of which count"
    );
    scene.receive(4, term, granted);
    assert_eq!(scene.role(), RoleName::Candidate);
}

#[test]
fn a_server_that_is_told_of_another_copy_of_its_folder_keeps_silent_for_ever() {
    let mut scene = Scene::leader(3, 2, &[]);
    let mine = scene.raft.identity().boot;
    scene.prompt = false;
    let later = Boot::new(mine.counter, mine.nonce + 1);
    let actions = told(&mut scene, 2, later);
    assert_eq!(scene.role(), RoleName::Follower);
    let written = writes(&actions).remove(0);
    assert!(written.hard_state.as_ref().is_some_and(|state| state.silenced));
    assert!(written.sync || !sent(&actions).iter().any(|(_, message)| message.name() == "Vote"));
    let mut setup = setup(3, 2, &[]);
    setup.durable.write(&written);
    setup.identity.boot = Boot::new(mine.counter + 9, 5);
    let mut again = Scene::new(setup).expect("the disk is valid");
    assert!(
        again
            .tick(200)
            .iter()
            .all(|action| !matches!(action, Action::Send(_)))
    );
    assert_eq!(again.role(), RoleName::Follower);
    assert_eq!(again.receive(2, 9, Message::Vote { last: at(1, 9) }), []);
    assert_eq!(again.receive(2, 9, heartbeat(None)), []);
    assert_eq!((again.term(), again.raft.status().hard_state.silenced), (2, true));
}

#[test]
fn what_was_heard_of_this_very_start_or_of_an_earlier_one_is_no_other_copy() {
    let mut setup = setup(3, 2, &[]);
    setup.identity.boot = Boot::new(5, 50);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    for heard in [Boot::new(5, 50), Boot::new(4, 40)] {
        told(&mut scene, 2, heard);
        assert!(!scene.raft.status().hard_state.silenced, "{heard}");
    }
    // It is about another folder that had this server's id.
    let greeting = Message::Greeting {
        heard: Some(Boot::new(9, 9)),
        lacks: None,
        is_answer: true,
        tick_micros: 100_000,
        settings: 0,
    };
    scene.receive(2, 2, greeting);
    assert!(!scene.raft.status().hard_state.silenced);
}

// A backup of a folder is put back, and counts a second time from where it was made: everybody who heard the later start
// drops what it says, tells it so, and the cluster goes on without it.
#[test]
fn a_folder_that_went_back_neither_votes_nor_acknowledges() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let follower = if leader == 3 { 1 } else { 3 };
    let third = 6 - leader - follower;
    cluster.crash(follower);
    let (backup, boot) = cluster.crashed.get(&follower).expect("it is down").clone();
    cluster.restart(follower);
    cluster.tick(20);
    cluster.propose(leader, b"after the backup");
    cluster.tick(20);
    cluster.crash(follower);
    cluster.crashed.insert(follower, (backup, boot - 1));
    cluster.restart(follower);
    cluster.tick(60);
    let state = |cluster: &mut Cluster| cluster.server(follower).replica.raft().status().hard_state;
    assert!(state(&mut cluster).silenced);
    // With the third server down, nothing is committed: the folder that went back counts for nothing.
    cluster.crash(third);
    cluster.propose(leader, b"alone");
    cluster.tick(10);
    assert!(!cluster.journal(leader).contains(&b"alone".to_vec()));
    cluster.restart(third);
    cluster.tick(100);
    cluster.elect();
    cluster.tick(20);
    assert!(cluster.journal(third).contains(&b"after the backup".to_vec()));
}

/// Peer 2's answer to the leader's append, from this start of its folder.
fn answer(scene: &mut Scene, boot: Boot, outcome: AppendOutcome) -> Vec<Action> {
    let reply = Message::AppendReply {
        session: scene.session(2),
        round: Round::new(0),
        promise_micros: 0,
        outcome,
    };
    let term = scene.term();
    let reply = from_start(scene, 2, boot, term, reply);
    scene.step(reply)
}

#[test]
fn a_start_that_denies_what_an_earlier_one_acknowledged_is_heard_no_more() {
    let denied = |last: u64, denying: Boot| {
        let mut scene = Scene::leader(5, 2, &[]);
        scene.propose(1, b"x");
        answer(
            &mut scene,
            Boot::new(3, 30),
            AppendOutcome::Accepted { last: at(2, last) },
        );
        scene.tick(interval());
        // It was restarted, says so by denying what is sent after the last entry, and is probed where it matched.
        scene.step(Event::Unreachable(node(2)));
        scene.greetings.clear();
        let (prev, hint) = (at(2, last), None);
        answer(&mut scene, denying, AppendOutcome::Rejected { prev, hint });
        scene.tick(interval());
        scene
    };
    let mut scene = denied(1, Boot::new(4, 40));
    assert_eq!(scene.raft.status().greeted[0].lacks, at(2, 1));
    assert_eq!(scene.raft.progress(node(2)).map(|peer| peer.matched), Some(None));
    let accepted = AppendOutcome::Accepted { last: at(2, 2) };
    answer(&mut scene, Boot::new(4, 40), accepted);
    answer(&mut scene, Boot::new(5, 50), accepted);
    let told = |envelope: &Envelope| matches!(envelope.message, Message::Greeting { lacks, .. } if lacks == at(2, 1));
    assert!(scene.greetings.iter().any(told), "it is told");
    scene.accept(3, at(2, 2));
    assert_eq!(scene.commit(), 0, "no start of that folder counts");
    // The very start that acknowledged does not deny: what it said before is late.
    let scene = denied(1, Boot::new(3, 30));
    assert_eq!(scene.raft.status().greeted[0].lacks, None);
    assert_eq!(
        scene.raft.progress(node(2)).map(|peer| peer.matched),
        Some(raft_core::Index::new(1))
    );
}

#[test]
fn a_server_that_is_told_what_it_lacks_keeps_silent() {
    let mut scene = Scene::follower(3, 2, &[1]);
    let greeting = Message::Greeting {
        heard: None,
        lacks: at(2, 7),
        is_answer: true,
        tick_micros: 100_000,
        settings: 0,
    };
    let mut envelope = scene.envelope(2, 2, greeting);
    envelope.to_incarnation = Some(scene.raft.identity().incarnation);
    scene.step(Event::Receive(envelope));
    assert!(scene.raft.status().hard_state.silenced);
    assert_eq!(scene.receive(2, 2, heartbeat(None)), []);
}

// A backup is put back after what came later was acknowledged, and the folder counts on from there, so its start is a
// later one. The leader that counted the acknowledgement finds out.
#[test]
fn a_backup_that_lacks_what_was_acknowledged_is_silenced_by_the_leader() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let follower = if leader == 3 { 1 } else { 3 };
    cluster.crash(follower);
    let (backup, _) = cluster.crashed.get(&follower).expect("it is down").clone();
    cluster.restart(follower);
    cluster.propose(leader, b"after the backup");
    cluster.tick(20);
    cluster.crash(follower);
    let (_, boot) = cluster.crashed.get(&follower).expect("it is down").clone();
    cluster.crashed.insert(follower, (backup, boot + 3));
    cluster.restart(follower);
    cluster.tick(60);
    let status = cluster.server(follower).replica.raft().status();
    assert!(status.hard_state.silenced);
    assert!(!cluster.journal(follower).contains(&b"after the backup".to_vec()));
}

// Strangers may claim any id: only members are remembered.
#[test]
fn only_members_starts_are_remembered() {
    let mut scene = Scene::follower(3, 1, &[]);
    for stranger in 4..2000 {
        let message = Message::Vote { last: None };
        scene.receive(stranger, 1, message);
    }
    assert_eq!(scene.raft.status().greeted, []);
    assert_eq!(greetings(&mut scene), []);
}
