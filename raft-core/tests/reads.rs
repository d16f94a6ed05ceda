//! Linearizable reads without writing to the log: paper §8; dissertation §6.4.

mod support;

use raft_core::{Action, AppendOutcome, Event, Index, Input, Message, Notice, Rejection, Round};
use support::Cluster;
use support::scene::{Scene, at, heartbeat, index, node, sent, setup, snapshot, writes};

fn ready(actions: &[Action]) -> Vec<(u64, u64)> {
    let ready = actions.iter().filter_map(|action| match action {
        Action::ReadReady { id, index } => Some((id.value(), index.value())),
        _ => None,
    });
    ready.collect()
}

fn refused(actions: &[Action]) -> Vec<(u64, Rejection)> {
    let refused = actions.iter().filter_map(|action| match action {
        Action::Notice(Notice::ReadRejected { id, reason }) => Some((id.value(), *reason)),
        _ => None,
    });
    refused.collect()
}

/// The round that is asked for by heartbeats among the actions.
fn round(actions: &[Action]) -> Option<u64> {
    sent(actions).into_iter().find_map(|(_, message)| match message {
        Message::Heartbeat { round, .. } => Some(round.value()),
        _ => None,
    })
}

fn confirm(scene: &mut Scene, from: u64, round: u64) -> Vec<Action> {
    let (session, term) = (scene.session(from), scene.term());
    let round = Round::new(round);
    scene.receive(
        from,
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
    )
}

/// A leader of five in term 2 whose no-op at 1 is committed.
fn leader() -> Scene {
    let mut scene = Scene::leader(5, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.accept(3, at(2, 1));
    assert_eq!(scene.commit(), 1);
    scene
}

// §6.4, steps 2 to 4: the commit index of now, a round that a majority confirms, the state machine there: answered.
#[test]
fn a_read_is_answered_when_a_majority_confirms_its_round() {
    let mut scene = leader();
    let actions = scene.read(7);
    assert_eq!((round(&actions), ready(&actions)), (Some(1), vec![]));
    assert_eq!(ready(&confirm(&mut scene, 2, 1)), []);
    assert_eq!(ready(&confirm(&mut scene, 2, 1)), [], "one voter counts once");
    assert_eq!(ready(&confirm(&mut scene, 3, 1)), [(7, 1)]);
}

// Only answers to messages sent after the read arrived confirm it.
#[test]
fn an_answer_to_an_earlier_round_confirms_nothing() {
    let mut scene = leader();
    scene.read(1);
    confirm(&mut scene, 2, 1);
    confirm(&mut scene, 3, 1);
    scene.read(2);
    for peer in 2..=5 {
        assert_eq!(ready(&confirm(&mut scene, peer, 1)), []);
    }
    confirm(&mut scene, 2, 2);
    assert_eq!(ready(&confirm(&mut scene, 3, 2)), [(2, 1)]);
}

// Nor does a reply to a message of an earlier term in which the same server led: its rounds and sessions had the same
// numbers.
#[test]
fn an_answer_to_a_message_of_an_earlier_term_confirms_nothing() {
    let mut scene = leader();
    assert_eq!(round(&scene.read(7)), Some(1));
    for from in [2, 3] {
        let (session, round) = (scene.session(from), Round::new(1));
        let commit = None;
        let meta = Box::new(snapshot(1, 1, 5));
        let old = [
            Message::Heartbeat {
                session,
                round,
                commit,
            },
            Message::Append {
                session,
                round,
                prev: None,
                commit: None,
                entries: Vec::new().into(),
            },
            Message::SnapshotChunk {
                session,
                meta,
                total_bytes: 1,
                checksum: 0,
                offset: 0,
                data: raft_core::Payload::from(&b"a"[..]),
            },
        ];
        for message in old {
            let mut peer = Scene::follower(5, 2, &[]);
            let answers = sent(&peer.receive(from, 1, message));
            assert_eq!(answers.len(), 1, "it is told which term it is");
            for (_, answer) in answers {
                assert_eq!(ready(&scene.receive(from, 2, answer)), []);
            }
        }
    }
    confirm(&mut scene, 2, 1);
    assert_eq!(ready(&confirm(&mut scene, 3, 1)), [(7, 1)]);
}

// A later round confirms the reads of the earlier ones as well.
#[test]
fn a_later_round_confirms_earlier_reads() {
    let mut scene = leader();
    scene.read(1);
    scene.read(2);
    confirm(&mut scene, 2, 2);
    assert_eq!(ready(&confirm(&mut scene, 3, 2)), [(1, 1), (2, 1)]);
}

// Reads that are fed before actions are drained share a round.
#[test]
fn reads_of_one_drain_share_a_round() {
    let mut scene = leader();
    for id in 1..=3 {
        scene.raft.step(Input::Read {
            id: raft_core::ReadId::new(id),
            mode: raft_core::ReadMode::Quorum,
        });
    }
    assert_eq!(round(&scene.drain()), Some(1));
    confirm(&mut scene, 2, 1);
    assert_eq!(ready(&confirm(&mut scene, 3, 1)), [(1, 1), (2, 1), (3, 1)]);
}

// §6.4, step 1: before an entry of its own term is committed, a leader does not know the commit index. The read waits.
#[test]
fn a_read_waits_for_the_first_commit_of_the_term() {
    let mut scene = Scene::leader(5, 2, &[1]);
    assert_eq!(round(&scene.read(7)), None);
    scene.accept(2, at(2, 2));
    let actions = scene.accept(3, at(2, 2));
    assert_eq!(round(&actions), Some(1));
    confirm(&mut scene, 2, 1);
    assert_eq!(ready(&confirm(&mut scene, 3, 1)), [(7, 2)]);
}

// Also when it knows of an earlier commit index: the leader before it may have committed more.
#[test]
fn a_commit_index_of_an_earlier_term_is_not_enough_for_a_read() {
    let mut scene = Scene::follower(3, 1, &[1, 1]);
    scene.receive(2, 1, heartbeat(at(1, 1)));
    scene.win();
    assert_eq!(scene.commit(), 1);
    assert_eq!(round(&scene.read(7)), None);
    let actions = scene.accept(2, at(2, 3));
    assert_eq!(round(&actions), Some(1));
    assert_eq!(ready(&confirm(&mut scene, 2, 1)), [(7, 3)]);
}

// Step 4: a read waits until what was committed when it arrived is applied.
#[test]
fn a_read_waits_for_the_state_machine() {
    let mut scene = leader();
    scene.prompt = false;
    let actions = scene.propose(1, b"committed first");
    let ticket = actions.iter().find_map(|action| match action {
        Action::Persist(persist) => Some(persist.ticket),
        _ => None,
    });
    scene.step(Event::Persisted(ticket.expect("the entry is written")));
    scene.accept(2, at(2, 2));
    scene.accept(3, at(2, 2));
    assert_eq!((scene.commit(), scene.applied()), (2, 1));
    scene.read(7);
    confirm(&mut scene, 2, 1);
    assert_eq!(ready(&confirm(&mut scene, 3, 1)), []);
    assert_eq!(ready(&scene.step(Input::Applied(index(2)))), [(7, 2)]);
}

// Where entries that are handed out count as applied, the read's answer comes after them.
#[test]
fn a_host_that_applies_at_once_finds_the_read_after_the_entries_it_waited_for() {
    let mut setup = setup(5, 1, &[]);
    setup.config.options.applies_at_once = true;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene.accept(2, at(2, 1));
    scene.accept(3, at(2, 1));
    scene.prompt = false;
    let ticket = writes(&scene.propose(1, b"slow to be written"))[0].ticket;
    for peer in 2..=4 {
        scene.accept(peer, at(2, 2));
    }
    assert_eq!((scene.commit(), scene.applied()), (2, 1));
    scene.read(7);
    confirm(&mut scene, 2, 1);
    assert_eq!(ready(&confirm(&mut scene, 3, 1)), []);
    let actions = scene.step(Event::Persisted(ticket));
    let is_apply = |action: &Action| matches!(action, Action::Apply { .. });
    let is_ready = |action: &Action| matches!(action, Action::ReadReady { .. });
    let (apply, read) = (
        actions.iter().position(is_apply),
        actions.iter().position(is_ready),
    );
    assert!(apply.is_some() && read > apply, "{actions:?}");
    assert_eq!(ready(&actions), [(7, 2)]);
}

// An acknowledgement of entries is an answer like any other.
#[test]
fn an_append_reply_confirms_its_round() {
    let mut scene = leader();
    scene.read(7);
    for (from, expected) in [(2, vec![]), (3, vec![(7, 1)])] {
        let outcome = AppendOutcome::Accepted { last: at(2, 1) };
        let (session, round) = (scene.session(from), Round::new(1));
        let actions = scene.receive(
            from,
            2,
            Message::AppendReply {
                session,
                round,
                outcome,
                promise_micros: 0,
            },
        );
        assert_eq!(ready(&actions), expected);
    }
}

// A read that is not confirmed when the leader is deposed is rejected: the new leader may have committed more.
#[test]
fn an_unconfirmed_read_is_rejected_when_the_leader_is_deposed() {
    let mut scene = leader();
    scene.read(7);
    confirm(&mut scene, 2, 1);
    let actions = scene.receive(3, 5, heartbeat(None));
    assert_eq!(refused(&actions), [(7, Rejection::NotLeader { leader: None })]);
}

// A confirmed one stays valid, whichever server leads now.
#[test]
fn a_confirmed_read_survives_the_leadership() {
    let mut scene = leader();
    scene.accept(4, at(2, 1));
    scene.prompt = false;
    let write = scene.propose(1, b"slow to apply");
    let ticket = write.iter().find_map(|action| match action {
        Action::Persist(persist) => Some(persist.ticket),
        _ => None,
    });
    scene.step(Event::Persisted(ticket.expect("the entry is written")));
    scene.accept(2, at(2, 2));
    scene.accept(3, at(2, 2));
    scene.read(7);
    confirm(&mut scene, 2, 1);
    confirm(&mut scene, 3, 1);
    assert_eq!(refused(&scene.receive(3, 5, heartbeat(None))), []);
    assert_eq!(ready(&scene.step(Input::Applied(index(2)))), [(7, 2)]);
}

#[test]
fn a_read_elsewhere_is_rejected_with_the_leaders_name() {
    let mut scene = Scene::follower(3, 2, &[]);
    assert_eq!(
        refused(&scene.read(1)),
        [(1, Rejection::NotLeader { leader: None })]
    );
    scene.receive(3, 2, heartbeat(None));
    let leader = Some(node(3));
    assert_eq!(refused(&scene.read(2)), [(2, Rejection::NotLeader { leader })]);
}

// A quorum of one needs no reply.
#[test]
fn a_single_server_answers_at_once() {
    let mut scene = Scene::leader(1, 2, &[]);
    assert_eq!(ready(&scene.read(7)), [(7, 1)]);
    assert_eq!(scene.raft.vitals().applied, Index::new(1));
}

// The purpose of it all: a leader that was partitioned and replaced does not answer with stale state.
#[test]
fn a_leader_that_was_replaced_does_not_answer() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.isolate(old);
    let read = cluster.read(old);
    cluster.tick(60);
    let new = cluster.leader().expect("the others elect");
    cluster.propose(new, b"news");
    cluster.deliver();
    assert!(!cluster.server(old).answered.contains_key(&read));
    assert!(cluster.server(old).reads_rejected.contains_key(&read));
}
