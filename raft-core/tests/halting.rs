//! A program that meets a committed entry which it does not understand halts before it, and the cluster goes on without
//! it as far as it can.

#![expect(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

mod support;

use raft_core::replica::Input as ReplicaInput;
use raft_core::{
    Action, AppendOutcome, Change, ChangeRejection, Config, Event, Feeding, Halted, Index, Input, Level,
    Limits, Message, NodeId, Notice, Payload, PeerSession, Rejection, RoleName, Round, TransferOutcome,
};
use support::scene::{
    Scene, append, appends, at, entries, heartbeat, id, index, node, outcomes, setup, snapshot,
};
use support::{Cluster, Disk};

/// A cluster of three in which these servers have the newer program, and its leader, which is `leader`.
fn led_by(leader: u64, newer: &[u64]) -> Cluster {
    let mut cluster = Cluster::new(0);
    cluster.size = 3;
    cluster.newer.extend(newer);
    for id in 1..=3 {
        cluster.start(id, Disk::default(), 1, id);
    }
    cluster.elect();
    hand_over(&mut cluster, leader);
    cluster
}

/// Server 1 gets the newer program, and leads.
fn lead_by_newer(cluster: &mut Cluster) {
    cluster.elect();
    cluster.upgrade(1);
    cluster.elect();
    hand_over(cluster, 1);
}

fn hand_over(cluster: &mut Cluster, to: u64) {
    let leader = cluster.leader().unwrap();
    if leader != to {
        cluster.step(leader, Event::Transfer { to: NodeId::new(to) });
        cluster.tick(6);
    }
    assert_eq!(cluster.leader(), Some(to));
}

fn halted(cluster: &mut Cluster, id: u64) -> Option<Halted> {
    cluster.server(id).replica.raft().halted()
}

fn commands(cluster: &mut Cluster, id: u64) -> Vec<String> {
    let text = |command: Vec<u8>| String::from_utf8(command).unwrap();
    cluster.journal(id).into_iter().map(text).collect()
}

fn last(cluster: &mut Cluster, id: u64) -> u64 {
    let last = cluster.server(id).replica.raft().vitals().last;
    last.map_or(0, |last| last.index.value())
}

// Nothing that it could do would be what the newer program did.
#[test]
fn a_server_halts_before_a_command_that_its_program_does_not_understand() {
    let mut cluster = led_by(1, &[]);
    cluster.propose(1, b"a");
    cluster.tick(5);
    let unknown = cluster.propose(1, b"!!b");
    let later = cluster.propose(1, b"c");
    let at = last(&mut cluster, 1) - 1;
    cluster.tick(5);
    for id in 1..=3 {
        assert_eq!(commands(&mut cluster, id), ["a"]);
        let vitals = cluster.server(id).replica.raft().vitals();
        assert_eq!(vitals.applied, Index::new(at - 1));
        assert_eq!(vitals.commit, Index::new(at + 1));
        let halted = Halted {
            at: index(at),
            needs: None,
        };
        assert_eq!(cluster.server(id).replica.raft().status().halted, Some(halted));
        assert_eq!(cluster.server(id).halts, [halted], "the host is told once");
    }
    for proposal in [unknown, later] {
        assert!(cluster.server(1).unknown.contains(&proposal));
        assert!(!cluster.server(1).done.contains_key(&proposal));
    }
}

// A quorum may need it, and what is committed must stay so.
#[test]
fn a_halted_server_stores_and_acknowledges() {
    let mut cluster = led_by(1, &[1]);
    cluster.propose(1, b"!!a");
    cluster.tick(5);
    let done = cluster.propose(1, b"b");
    cluster.tick(5);
    assert!(cluster.server(1).done.contains_key(&done), "a quorum has it");
    assert_eq!(commands(&mut cluster, 1), ["!!a", "b"]);
    let end = last(&mut cluster, 1);
    for id in [2, 3] {
        assert!(halted(&mut cluster, id).is_some());
        assert_eq!(last(&mut cluster, id), end);
        assert_eq!(commands(&mut cluster, id), [""; 0]);
    }
}

#[test]
fn a_halted_server_votes_and_does_not_campaign() {
    let mut cluster = led_by(1, &[1]);
    cluster.propose(1, b"!!a");
    cluster.tick(5);
    cluster.crash(1);
    for _ in 0..100 {
        cluster.tick(1);
        cluster.step(2, Event::Campaign);
        assert_eq!([2, 3].map(|id| cluster.role(id)), [RoleName::Follower; 2]);
    }
    cluster.restart(1);
    assert_eq!(cluster.elect(), 1, "by the votes of servers that halted");
}

#[test]
fn a_halted_server_does_not_take_over() {
    let mut scene = told_to_apply(true);
    scene.step(Input::Halted {
        at: index(2),
        needs: None,
    });
    let ignored = scene.raft.status().ignored.stale;
    let actions = scene.receive(2, 1, Message::TimeoutNow);
    assert_eq!((actions.len(), scene.role()), (0, RoleName::Follower));
    assert_eq!(scene.raft.status().ignored.stale, ignored + 1);
}

// A host that takes its time to apply may learn of the halt at any moment.
#[test]
fn a_candidate_that_halts_gives_up_its_campaign() {
    let mut scene = told_to_apply(false);
    scene.tick(30);
    assert_eq!(scene.role(), RoleName::PreCandidate);
    scene.step(Input::Halted {
        at: index(2),
        needs: None,
    });
    assert_eq!((scene.role(), scene.applied()), (RoleName::Follower, 1));
}

#[test]
fn a_halted_server_answers_no_reads_and_takes_no_requests() {
    let mut cluster = led_by(1, &[1]);
    cluster.config.options.forwarding = true;
    cluster.propose(1, b"!!a");
    cluster.tick(5);
    let reason: Rejection = halted(&mut cluster, 2).unwrap().into();
    let read = cluster.read(2);
    let proposal = cluster.propose(2, b"b");
    let change = cluster.change(2, Change::Remove(NodeId::new(3)));
    let server = cluster.server(2);
    assert_eq!(server.reads_rejected.get(&read), Some(&reason));
    assert_eq!(server.rejected.get(&proposal), Some(&reason));
    let refused = ChangeRejection::Refused(reason);
    assert_eq!(server.changes_rejected.get(&change), Some(&refused));
}

// What a read may see is committed when it arrives: the entry, and what follows it.
#[test]
fn reads_that_wait_for_the_entry_are_rejected() {
    let mut cluster = led_by(1, &[2]);
    cluster.server(1).slow_disk = true;
    cluster.propose(1, b"!!a");
    cluster.deliver();
    let early = cluster.read(1);
    cluster.deliver();
    while !cluster.server(1).writes.is_empty() {
        cluster.write_one(1);
    }
    cluster.tick(3);
    let halted = halted(&mut cluster, 1).unwrap();
    let server = cluster.server(1);
    assert_eq!(server.reads_rejected.get(&early), Some(&halted.into()));
    assert!(server.answered.is_empty());
}

// It cannot answer its clients, and the newer program can.
#[test]
fn a_leader_that_halts_hands_over_to_a_server_that_did_not() {
    let mut cluster = led_by(1, &[2]);
    cluster.propose(1, b"!!a");
    cluster.tick(9);
    assert_eq!(cluster.leader(), Some(2), "sooner than by an election timeout");
    assert_eq!(commands(&mut cluster, 2), ["!!a"]);
    assert_eq!(cluster.server(1).transfers, [], "the host did not ask for it");
    assert!(halted(&mut cluster, 3).is_some());
    cluster.tick(100);
    assert_eq!(cluster.leader(), Some(2));
}

#[test]
fn a_halted_leader_brings_a_newer_server_up_to_date_first() {
    let mut cluster = led_by(1, &[3]);
    cluster.isolate(3);
    for number in 0..20 {
        cluster.propose(1, format!("{number}").as_bytes());
        cluster.tick(1);
    }
    cluster.propose(1, b"!!a");
    cluster.tick(20);
    assert_eq!(cluster.leader(), Some(1));
    cluster.heal();
    cluster.tick(20);
    assert_eq!(cluster.leader(), Some(3));
    assert_eq!(commands(&mut cluster, 3).len(), 21);
}

// The newer one is gone. The others must not lead in turns for ever.
#[test]
fn a_halted_leader_steps_down_after_a_while() {
    let mut cluster = led_by(1, &[3]);
    cluster.crash(3);
    cluster.propose(1, b"!!a");
    cluster.tick(70);
    assert_eq!(cluster.leader(), Some(1), "it looks for another one");
    cluster.tick(20);
    assert_eq!(cluster.leader(), None);
    cluster.tick(100);
    assert_eq!(cluster.leader(), None);
}

#[test]
fn if_every_server_has_halted_no_server_leads_and_status_says_what_is_needed() {
    let mut cluster = led_by(1, &[]);
    cluster.propose(1, b"!!a");
    let at = last(&mut cluster, 1);
    cluster.tick(10);
    for _ in 0..100 {
        cluster.tick(1);
        assert_eq!(cluster.leader(), None);
    }
    for id in 1..=3 {
        let status = cluster.server(id).replica.raft().status();
        assert_eq!(status.halted.map(|halted| halted.at), Index::new(at));
    }
    cluster.upgrade(2);
    assert_eq!(cluster.elect(), 2);
    assert_eq!(commands(&mut cluster, 2), ["!!a"]);
}

#[test]
fn a_single_server_that_halts_stops_leading() {
    let mut cluster = Cluster::new(1);
    cluster.elect();
    cluster.propose(1, b"!!a");
    cluster.tick(50);
    assert_eq!(cluster.leader(), None);
    cluster.upgrade(1);
    assert_eq!(cluster.elect(), 1);
    assert_eq!(commands(&mut cluster, 1), ["!!a"]);
}

#[test]
fn a_halted_server_is_no_target_of_a_transfer() {
    let mut cluster = led_by(1, &[1]);
    cluster.propose(1, b"!!a");
    cluster.tick(5);
    let to = NodeId::new(2);
    cluster.step(1, Event::Transfer { to });
    let outcome = TransferOutcome::Rejected(Rejection::NotATarget { to });
    assert_eq!(cluster.server(1).transfers, [(2, outcome)]);
    let status = cluster.server(1).replica.raft().status();
    assert!(status.peers.iter().all(|peer| peer.is_halted));
}

#[test]
fn a_restart_meets_the_same_entry_again() {
    let mut cluster = led_by(1, &[1]);
    cluster.propose(1, b"!!a");
    cluster.tick(5);
    let before = halted(&mut cluster, 2);
    assert!(before.is_some());
    cluster.crash(2);
    cluster.restart(2);
    cluster.tick(5);
    assert_eq!(halted(&mut cluster, 2), before);
}

#[test]
fn a_newer_program_goes_on_from_the_entry() {
    let mut cluster = led_by(1, &[1]);
    for command in [&b"a"[..], b"!!b", b"c"] {
        cluster.propose(1, command);
        cluster.tick(5);
    }
    assert_eq!(commands(&mut cluster, 2), ["a"]);
    cluster.upgrade(2);
    cluster.tick(5);
    assert_eq!(commands(&mut cluster, 2), ["a", "!!b", "c"]);
    assert_eq!(halted(&mut cluster, 2), None);
    hand_over(&mut cluster, 2);
}

// A machine that refused a command may have changed before it did, so its state is not what it was before the entry.
#[test]
fn a_halted_server_takes_no_snapshot_and_keeps_its_log() {
    let mut cluster = Cluster::with_snapshots(3, 4, 0);
    cluster.newer.insert(1);
    lead_by_newer(&mut cluster);
    cluster.propose(1, b"!!a");
    cluster.tick(3);
    let at = halted(&mut cluster, 2).unwrap().at;
    for _ in 0..20 {
        cluster.propose(1, b"b");
        cluster.tick(3);
    }
    cluster.step(2, ReplicaInput::TakeSnapshot);
    let raft = cluster.server(2).replica.raft();
    assert!(raft.first_index() <= at, "a newer program needs the entry");
    assert!(raft.snapshot().is_none_or(|meta| meta.last.index < at));
    assert!(
        cluster.server(1).replica.raft().first_index() > at,
        "others compact"
    );
}

#[test]
fn a_halted_server_takes_no_snapshot_that_reaches_to_the_entry() {
    let mut cluster = Cluster::with_snapshots(3, 4, 0);
    lead_by_newer(&mut cluster);
    cluster.propose(1, b"!!a");
    cluster.tick(3);
    let before = halted(&mut cluster, 2);
    cluster.isolate(2);
    for _ in 0..20 {
        cluster.propose(1, b"b");
        cluster.tick(3);
    }
    cluster.heal();
    cluster.tick(60);
    assert_eq!(halted(&mut cluster, 2), before);
    let server = cluster.server(2);
    assert_eq!(server.installed, 0);
    assert!(
        server.replica.raft().status().ignored.beyond_halt > 0,
        "it is seen"
    );
    cluster.upgrade(2);
    cluster.tick(60);
    let all = cluster.journal(1);
    assert_eq!(cluster.journal(2), all, "the newer program takes it");
}

// Its leader compacts what was acknowledged by others, and acknowledgements are lost. What this server holds is all that
// counts: it takes the snapshot neither now nor later.
#[test]
fn a_halted_server_that_is_offered_a_snapshot_says_what_it_holds() {
    let mut scene = told_to_apply(true);
    scene.receive(2, 1, append(at(1, 3), entries(3, &[1, 1]), 3));
    scene.step(Input::Halted {
        at: index(2),
        needs: None,
    });
    let offered = |position| Message::SnapshotChunk {
        session: PeerSession::new(1),
        meta: Box::new(snapshot(1, position, 3)),
        total_bytes: 10,
        checksum: 0,
        offset: 0,
        data: Payload::from(&b"ten bytes."[..]),
    };
    let actions = scene.receive(2, 1, offered(4));
    assert_eq!(outcomes(&actions), [AppendOutcome::Accepted { last: at(1, 4) }]);
    let actions = scene.receive(2, 1, offered(8));
    let says = AppendOutcome::Rejected {
        prev: at(1, 8),
        hint: at(1, 5),
    };
    assert_eq!(outcomes(&actions), [says]);
    assert_eq!(scene.raft.status().ignored.beyond_halt, 2);
}

#[test]
fn a_leader_feeds_a_halted_peer_from_its_log_again_where_that_suffices() {
    let mut setup = setup(3, 1, &[1; 9]);
    setup.config.snapshots.keep_entries = 3;
    setup.durable.commit = Index::new(9);
    let mut scene = Scene::new(setup).unwrap();
    scene.win();
    scene.step(Input::SnapshotTaken { last: id(1, 8) });
    assert_eq!(scene.raft.first_index(), index(6));
    let feeding = |scene: &Scene| scene.raft.progress(node(2)).map(|peer| peer.feeding);
    scene.reject(2, at(1, 9), None);
    assert_eq!(feeding(&scene), Some(Feeding::Snapshot));
    // An answer to an append that went before does not stop the snapshot.
    scene.reject(2, at(1, 8), at(1, 5));
    assert_eq!(feeding(&scene), Some(Feeding::Snapshot));
    let session = scene.session(2);
    let has_halted = Message::HeartbeatReply {
        session,
        round: Round::new(1),
        promise_micros: 0,
        level: Level::ZERO,
        halted: true,
        stalled: false,
        wall_time: None,
    };
    scene.receive(2, 2, has_halted);
    // Its log ends where this one has been compacted.
    assert_eq!(scene.reject(2, at(1, 8), at(1, 4)), []);
    assert_eq!(feeding(&scene), Some(Feeding::Snapshot));
    let actions = scene.reject(2, at(1, 8), at(1, 5));
    let ended = |action: &&Action| matches!(action, Action::SnapshotEnded { .. });
    assert_eq!(actions.iter().filter(ended).count(), 1);
    assert_eq!(appends(2, &actions)[0].0, at(1, 5));
    assert_eq!(feeding(&scene), Some(Feeding::Probe));
}

#[test]
fn a_halted_server_stores_no_more_than_its_limit() {
    let config = Config {
        limits: Limits {
            halted_entries: 3,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut cluster = Cluster::with(3, config);
    lead_by_newer(&mut cluster);
    cluster.upgrade(3);
    cluster.tick(5);
    cluster.propose(1, b"!!a");
    cluster.tick(5);
    let at = halted(&mut cluster, 2).unwrap().at;
    for _ in 0..10 {
        cluster.propose(1, b"b");
        cluster.tick(5);
    }
    assert_eq!(last(&mut cluster, 2), at.value() + 3);
    assert!(
        cluster.server(2).replica.raft().status().ignored.beyond_halt > 0,
        "it is seen"
    );
    assert_eq!(commands(&mut cluster, 1).len(), 11, "the others go on");
    cluster.upgrade(2);
    cluster.tick(20);
    assert_eq!(commands(&mut cluster, 2).len(), 11);
}

// They would pile up for as long as the old program runs.
#[test]
fn entries_beyond_the_halt_do_not_stay_in_memory() {
    let config = Config {
        limits: Limits {
            tail_bytes: 1_000,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut cluster = Cluster::with(3, config);
    lead_by_newer(&mut cluster);
    cluster.propose(1, b"!!a");
    cluster.tick(5);
    let at = halted(&mut cluster, 2).unwrap().at;
    for _ in 0..50 {
        cluster.propose(1, &[b'b'; 100]);
        cluster.tick(1);
    }
    let raft = cluster.server(2).replica.raft();
    assert_eq!(raft.entry(at), None);
    assert_eq!(raft.first_index(), Index::FIRST, "they are on the disk");
}

/// A follower whose host has been told to apply three entries.
fn told_to_apply(applies_at_once: bool) -> Scene {
    let mut setup = setup(3, 1, &[]);
    setup.durable = raft_core::Durable::default();
    setup.durable.hard_state.term = raft_core::Term::new(1);
    setup.config.options.applies_at_once = applies_at_once;
    setup.config.options.persists_at_once = true;
    let mut scene = Scene::new(setup).unwrap();
    scene.prompt = false;
    let actions = scene.receive(2, 1, append(None, entries(0, &[1, 1, 1]), 3));
    let is_apply = |action: &Action| matches!(action, Action::Apply { entries } if entries.len() == 3);
    assert!(actions.iter().any(is_apply), "{actions:?}");
    scene
}

#[test]
fn what_was_handed_out_from_the_entry_on_does_not_count_as_applied() {
    for applies_at_once in [false, true] {
        let mut scene = told_to_apply(applies_at_once);
        let needs = Some(Level::new(7));
        let actions = scene.step(Input::Halted { at: index(2), needs });
        let halted = Halted { at: index(2), needs };
        assert!(actions.contains(&Action::Notice(Notice::Halted(halted))));
        assert_eq!(scene.applied(), 1);
        // Nothing is handed out any more.
        let actions = scene.receive(2, 1, append(scene.raft.log_id(index(3)), entries(3, &[1]), 4));
        assert!(
            !actions
                .iter()
                .any(|action| matches!(action, Action::Apply { .. }))
        );
        scene.step(Input::Applied(index(4)));
        assert_eq!((scene.applied(), scene.commit()), (1, 4));
        assert_eq!(scene.raft.check_invariants(), Ok(()));
    }
}

#[test]
fn a_report_of_an_entry_that_was_not_handed_out_changes_nothing() {
    for applies_at_once in [false, true] {
        let mut scene = told_to_apply(applies_at_once);
        scene.step(Input::Halted {
            at: index(4),
            needs: None,
        });
        assert_eq!(scene.raft.halted(), None);
    }
}

#[test]
fn a_halted_server_says_so_to_its_leader() {
    let mut scene = told_to_apply(true);
    let says = |scene: &mut Scene| {
        let actions = scene.receive(2, 1, heartbeat(None));
        support::scene::sent_to(2, &actions)
            .into_iter()
            .find_map(|message| match message {
                Message::HeartbeatReply { halted, .. } => Some(halted),
                _ => None,
            })
    };
    assert_eq!(says(&mut scene), Some(false));
    scene.step(Input::Halted {
        at: index(3),
        needs: None,
    });
    assert_eq!(says(&mut scene), Some(true));
}
