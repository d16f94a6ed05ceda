//! Snapshots: paper §7 and Figure 13. Compaction, the transfer to a lagging peer, and installation.

mod support;

use raft_core::{
    Action, AppendOutcome, Entry, EntryBody, Event, Feeding, Index, Input, LogId, Membership, Message,
    Payload, PeerSession, SnapshotMeta, Ticket, Timing,
};
use support::Cluster;
use support::scene::{
    Scene, append, appends, at, entries, heartbeat, id, index, node, outcomes, sent, setup, snapshot, voters,
    writes,
};

const TIMEOUT: u64 = 40;

fn sending(actions: &[Action]) -> Vec<(Ticket, u64, LogId)> {
    let sending = actions.iter().filter_map(|action| match action {
        Action::SendSnapshot { ticket, to, meta } => Some((*ticket, to.value(), meta.last)),
        _ => None,
    });
    sending.collect()
}

fn advanced(actions: &[Action]) -> Vec<u64> {
    let advanced = actions.iter().filter_map(|action| match action {
        Action::SnapshotAdvanced { received_bytes, .. } => Some(*received_bytes),
        _ => None,
    });
    advanced.collect()
}

fn ended(actions: &[Action]) -> Vec<Ticket> {
    let ended = actions.iter().filter_map(|action| match action {
        Action::SnapshotEnded { ticket } => Some(*ticket),
        _ => None,
    });
    ended.collect()
}

fn installs(actions: &[Action]) -> Vec<LogId> {
    let installs = actions.iter().filter_map(|action| match action {
        Action::InstallSnapshot { meta } => Some(meta.last),
        _ => None,
    });
    installs.collect()
}

/// A leader of term 4 whose log begins after a snapshot that ends at 5, and the transfer to peer 2 that it has begun.
fn sender() -> (Scene, Ticket) {
    let mut setup = setup(3, 3, &[]);
    setup.durable.snapshot = Some(snapshot(3, 5, 3));
    let mut scene = Scene::new(setup).expect("the disk is valid");
    let ticket = begin_sending(&mut scene);
    (scene, ticket)
}

/// The same on a server that retains no entries that its snapshots cover.
fn sender_without_retained_entries() -> (Scene, Ticket) {
    let mut setup = setup(3, 3, &[]);
    setup.config.snapshots.keep_entries = 0;
    setup.durable.snapshot = Some(snapshot(3, 5, 3));
    let mut scene = Scene::new(setup).expect("the disk is valid");
    let ticket = begin_sending(&mut scene);
    (scene, ticket)
}

fn begin_sending(scene: &mut Scene) -> Ticket {
    scene.win();
    let begun = sending(&scene.reject(2, at(3, 5), None));
    let [(ticket, 2, last)] = begun.as_slice() else {
        panic!("{begun:?}")
    };
    assert_eq!(*last, id(3, 5));
    *ticket
}

fn progress(scene: &mut Scene, received_bytes: u64) -> Vec<Action> {
    let (session, last) = (scene.session(2), id(3, 5));
    scene.receive(
        2,
        4,
        Message::SnapshotReply {
            session,
            last,
            received_bytes,
        },
    )
}

fn chunk(meta: SnapshotMeta) -> Message {
    Message::SnapshotChunk {
        session: PeerSession::new(6),
        meta: meta.into(),
        total_bytes: 4,
        checksum: 1,
        offset: 0,
        data: Payload::from(&b"data"[..]),
    }
}

// §7: each server takes snapshots of its applied state, and compacts the log before them, except for `keep_entries`.
#[test]
fn a_snapshot_compacts_the_log_before_it() {
    let mut setup = setup(1, 1, &[1; 9]);
    setup.config.snapshots.keep_entries = 3;
    setup.durable.commit = Index::new(9);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    let actions = scene.step(Input::SnapshotTaken { last: id(1, 8) });
    let write = &writes(&actions)[0];
    let expected = SnapshotMeta {
        cluster: scene.raft.status().cluster,
        ..snapshot(1, 8, 1)
    };
    assert_eq!(write.snapshot, Some(Box::new(expected)));
    assert_eq!(write.compact_to, Index::new(5));
    assert_eq!((scene.raft.first_index(), scene.log()), (index(6), vec![1; 4]));
    assert_eq!(
        scene.raft.log_id(index(5)),
        at(1, 5),
        "the entry before is still known by name"
    );
    assert_eq!(scene.raft.log_id(index(4)), None);
}

#[test]
fn only_an_applied_and_newer_index_is_taken() {
    let mut setup = setup(1, 2, &[1, 1, 2]);
    setup.durable.commit = Index::new(2);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    for nonsense in [id(2, 3), id(2, 2), id(1, 9)] {
        assert_eq!(scene.step(Input::SnapshotTaken { last: nonsense }), []);
    }
    assert_eq!(
        writes(&scene.step(Input::SnapshotTaken { last: id(1, 2) })).len(),
        1
    );
    for old in [id(1, 2), id(1, 1)] {
        assert_eq!(scene.step(Input::SnapshotTaken { last: old }), []);
    }
}

// §7: a snapshot carries the configuration as of its last entry, not a later one.
#[test]
fn a_snapshot_carries_the_configuration_as_of_its_last_entry() {
    let mut setup = setup(3, 1, &[1, 1, 1, 1]);
    setup.durable.entries[1].body = EntryBody::Membership(voters(4).into());
    setup.durable.entries[3].body = EntryBody::Membership(voters(5).into());
    setup.durable.commit = Index::new(3);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.step(Input::SnapshotTaken { last: id(1, 3) });
    let meta = scene.raft.snapshot().expect("it was taken");
    assert_eq!(
        (meta.membership.voters().count(), meta.membership_id),
        (4, at(1, 2))
    );
    assert_eq!(scene.raft.membership().voters().count(), 5);
}

// §7: a peer that lacks compacted entries is sent the snapshot, if it is reachable.
#[test]
fn an_unreachable_peer_is_sent_no_snapshot() {
    let (mut scene, ticket) = sender();
    for _ in 0..TIMEOUT + 2 {
        scene.tick(1);
        scene.accept(3, at(4, 6));
    }
    assert_eq!(
        scene.raft.progress(node(2)).expect("a peer").feeding,
        Feeding::Probe
    );
    for _ in 0..TIMEOUT {
        assert_eq!(sending(&scene.tick(1)), []);
        scene.accept(3, at(4, 6));
    }
    // It answers again, and the transfer begins anew.
    let session = scene.session(2);
    let round = raft_core::Round::new(0);
    let begun = sending(&scene.receive(
        2,
        4,
        Message::HeartbeatReply {
            session,
            round,
            promise_micros: 0,
            level: raft_core::Level::ZERO,
            halted: false,
            stalled: false,
            wall_time: None,
        },
    ));
    assert_eq!(begun.len(), 1);
    assert_ne!(begun[0].0, ticket);
}

#[test]
fn a_peer_that_answered_within_an_election_timeout_is_reachable() {
    let (mut scene, ticket) = sender();
    for _ in 1..Timing::default().election_timeout_min_ticks {
        scene.tick(1);
        scene.accept(3, at(4, 6));
    }
    scene.step(Input::SnapshotAborted { ticket });
    assert_eq!(sending(&scene.tick(1)).len(), 1);
}

// Piece by piece: each acknowledgement asks for the next piece, and a repeated acknowledgement asks for none.
#[test]
fn pieces_are_asked_for_as_they_arrive() {
    let (mut scene, ticket) = sender();
    let data = Payload::from(&b"piece"[..]);
    let actions = scene.step(Input::SnapshotPiece {
        ticket,
        last: id(3, 5),
        total_bytes: 10,
        checksum: 7,
        offset: 0,
        data,
    });
    let chunks = sent(&actions);
    assert!(
        matches!(
            &chunks[..],
            [(
                2,
                Message::SnapshotChunk {
                    offset: 0,
                    total_bytes: 10,
                    checksum: 7,
                    ..
                }
            )]
        ),
        "{chunks:?}"
    );
    assert_eq!(advanced(&progress(&mut scene, 5)), [5]);
    assert_eq!(advanced(&progress(&mut scene, 5)), []);
    assert_eq!(advanced(&progress(&mut scene, 3)), []);
    assert_eq!(advanced(&progress(&mut scene, 9)), [9]);
    let (session, last, received_bytes) = (scene.session(2), id(3, 4), 10);
    let of_another = Message::SnapshotReply {
        session,
        last,
        received_bytes,
    };
    assert_eq!(advanced(&scene.receive(2, 4, of_another)), []);
    assert_eq!(scene.raft.status().ignored.stale, 1);
    let seen = |peer| {
        scene
            .raft
            .progress(node(peer))
            .and_then(|peer| peer.snapshot_bytes)
    };
    assert_eq!(
        (seen(2), seen(3)),
        (Some(9), None),
        "an operator sees how far it is"
    );
}

// A piece, or its acknowledgement, that was lost is asked for again.
#[test]
fn a_lost_piece_is_sent_again() {
    let (mut scene, _) = sender();
    progress(&mut scene, 5);
    assert_eq!(advanced(&scene.tick(2)), [5]);
    assert_eq!(advanced(&progress(&mut scene, 5)), [], "it is on its way");
}

// A receiver that restarted has lost the pieces, and says so in every reply. It is sent them again from where it is,
// before the transfer is aborted. A late reply is no reason to begin again.
#[test]
fn pieces_that_a_receiver_has_lost_are_sent_again() {
    let (mut scene, _) = sender();
    progress(&mut scene, 5);
    assert_eq!(advanced(&progress(&mut scene, 0)), [], "it may be late");
    assert_eq!(advanced(&scene.tick(2)), [5]);
    assert_eq!(advanced(&progress(&mut scene, 0)), [0]);
    assert_eq!(advanced(&progress(&mut scene, 0)), [], "it is being sent");
    assert_eq!(advanced(&progress(&mut scene, 3)), [3]);
    scene.tick(5);
    assert_eq!(advanced(&progress(&mut scene, 4)), [4]);
    assert_eq!(
        advanced(&progress(&mut scene, 3)),
        [],
        "pieces arrive, and this is late"
    );
}

// A transfer that makes progress goes on, however slow it is.
#[test]
fn a_slow_transfer_goes_on() {
    let (mut scene, _) = sender();
    for received_bytes in 1..=3 * Timing::default().snapshot_timeout_ticks {
        scene.accept(3, at(4, 6));
        let mut actions = scene.tick(1);
        actions.extend(progress(&mut scene, received_bytes));
        assert_eq!((ended(&actions), sending(&actions)), (vec![], vec![]));
    }
}

// A receiver that refuses the complete snapshot, or crashes over and over, begins from nothing each time. To send the
// same pieces again is no progress: while the transfer lasts, the log after its snapshot must stay.
#[test]
fn a_transfer_that_restarts_over_and_over_ends() {
    let (mut scene, ticket) = sender();
    let patience = Timing::default().snapshot_timeout_ticks;
    let mut ticks = 0;
    let mut received_bytes = [5, 9, 0].into_iter().cycle();
    loop {
        ticks += 1;
        assert!(ticks <= 2 * patience, "it does not end");
        scene.accept(3, at(4, 6));
        let mut actions = scene.tick(1);
        actions.extend(progress(&mut scene, received_bytes.next().expect("without end")));
        if ended(&actions) == [ticket] {
            assert_eq!(sending(&actions).len(), 1, "another one begins: {actions:?}");
            break;
        }
    }
    assert!(ticks > patience, "{ticks}");
}

// Every transfer ends: with the acknowledgement of its last entry,
#[test]
fn a_transfer_ends_when_the_snapshot_is_installed() {
    let (mut scene, ticket) = sender();
    let actions = scene.accept(2, at(3, 5));
    assert_eq!(ended(&actions), [ticket]);
    assert_eq!(
        appends(2, &actions),
        [(at(3, 5), vec![4])],
        "and the log goes on after it"
    );
}

// when the peer replies that it holds more than the snapshot,
#[test]
fn a_transfer_to_a_peer_that_has_more_ends() {
    let (mut scene, ticket) = sender();
    scene.accept(3, at(4, 6));
    assert_eq!(ended(&scene.accept(2, at(4, 6))), [ticket]);
}

// without progress,
#[test]
fn a_transfer_without_progress_ends() {
    let (mut scene, ticket) = sender();
    let ends_now = |scene: &mut Scene| {
        let ended = ended(&scene.tick(1));
        scene.accept(3, at(4, 6));
        ended == [ticket]
    };
    let at = (1..=TIMEOUT + 4).find(|_| ends_now(&mut scene));
    assert_eq!(at, Some(TIMEOUT + 2), "with the first heartbeat after that");
}

// with the leadership,
#[test]
fn a_transfer_ends_with_the_leadership() {
    let (mut scene, ticket) = sender();
    assert_eq!(ended(&scene.receive(3, 9, heartbeat(None))), [ticket]);
}

// but goes on while newer snapshots are taken: if each of them began a new transfer, a slow peer would lag for good.
// The entries after the snapshot in transfer stay in the log until the peer has it.
#[test]
fn a_transfer_goes_on_while_a_newer_snapshot_is_taken() {
    let (mut scene, ticket) = sender_without_retained_entries();
    scene.accept(3, at(4, 6));
    let actions = scene.step(Input::SnapshotTaken { last: id(4, 6) });
    assert_eq!(ended(&actions), []);
    assert_eq!(scene.raft.snapshot().map(|meta| meta.last), Some(id(4, 6)));
    assert_eq!(
        scene.raft.first_index().value(),
        6,
        "the peer will need entry 6 next"
    );
    let mut piece_of = |last| {
        scene.step(Input::SnapshotPiece {
            ticket,
            last,
            total_bytes: 3,
            checksum: 0,
            offset: 0,
            data: Payload::from(&b"old"[..]),
        })
    };
    assert_eq!(
        piece_of(id(4, 6)),
        [],
        "the bytes of the newer one are not sent under the older one's name"
    );
    let piece = piece_of(id(3, 5));
    let [(2, Message::SnapshotChunk { meta, .. })] = &sent(&piece)[..] else {
        panic!("{piece:?}")
    };
    assert_eq!(meta.last, id(3, 5), "the snapshot that was begun");
    assert_eq!(ended(&scene.accept(2, at(3, 5))), [ticket]);
}

// Figure 13, receiver: a piece is collected; the reply says how much has arrived, in the sender's session.
#[test]
fn a_piece_that_arrives_is_handed_on_and_acknowledged() {
    let mut scene = Scene::follower(3, 3, &[]);
    let actions = scene.receive(2, 3, chunk(snapshot(3, 5, 3)));
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::SnapshotArrived {
            offset: 0,
            total_bytes: 4,
            ..
        }
    )));
    let last = id(3, 5);
    let actions = scene.step(Input::SnapshotStored {
        from: node(2),
        last,
        received_bytes: 4,
    });
    let session = PeerSession::new(6);
    assert_eq!(
        sent(&actions),
        [(
            2,
            Message::SnapshotReply {
                session,
                last,
                received_bytes: 4
            }
        )]
    );
}

// Figure 13, step 7: a snapshot whose last entry the log does not hold replaces the whole log.
#[test]
fn a_snapshot_replaces_a_log_that_does_not_hold_its_last_entry() {
    for log in [&[] as &[u64], &[1, 1], &[1, 1, 2, 2, 2, 2, 2]] {
        let mut scene = Scene::follower(3, 3, log);
        scene.receive(2, 3, chunk(snapshot(3, 5, 4)));
        let actions = scene.step(Input::SnapshotReady {
            from: node(2),
            meta: snapshot(3, 5, 4),
        });
        let write = &writes(&actions)[0];
        assert_eq!(
            (write.snapshot.clone(), write.truncate_from),
            (Some(Box::new(snapshot(3, 5, 4))), Some(Index::FIRST))
        );
        assert_eq!(installs(&actions), [id(3, 5)]);
        assert_eq!(outcomes(&actions), [AppendOutcome::Accepted { last: at(3, 5) }]);
        assert_eq!(
            (scene.raft.vitals().last, scene.commit(), scene.applied()),
            (at(3, 5), 5, 5)
        );
        // Step 8: and its configuration is in force.
        assert_eq!(scene.raft.membership().voters().count(), 4);
    }
}

// Figure 13, step 6: a log that holds its last entry keeps the entries after it.
#[test]
fn a_log_that_holds_the_snapshots_last_entry_keeps_what_follows() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 3, 3]);
    scene.receive(2, 3, chunk(snapshot(1, 2, 3)));
    let actions = scene.step(Input::SnapshotReady {
        from: node(2),
        meta: snapshot(1, 2, 3),
    });
    assert_eq!(writes(&actions)[0].truncate_from, None);
    assert_eq!(installs(&actions), [id(1, 2)]);
    assert_eq!((scene.raft.vitals().last, scene.applied()), (at(3, 4), 2));
}

// A snapshot before the commit index changes nothing, and the reply carries this server's commit index.
#[test]
fn a_snapshot_older_than_the_commit_index_changes_nothing() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 3, 3]);
    scene.receive(2, 3, heartbeat(at(3, 3)));
    let actions = scene.receive(2, 3, chunk(snapshot(1, 2, 3)));
    assert_eq!(outcomes(&actions), [AppendOutcome::Accepted { last: at(3, 3) }]);
    assert_eq!(
        scene.step(Input::SnapshotReady {
            from: node(2),
            meta: snapshot(1, 2, 3)
        }),
        []
    );
    assert_eq!(scene.raft.vitals().last, at(3, 4));
}

// The state machine changes when the snapshot is durable, and the snapshot is acknowledged no sooner.
#[test]
fn a_snapshot_is_installed_and_acknowledged_when_it_is_durable() {
    let mut scene = Scene::follower(3, 3, &[]);
    scene.prompt = false;
    scene.receive(2, 3, chunk(snapshot(3, 5, 3)));
    let actions = scene.step(Input::SnapshotReady {
        from: node(2),
        meta: snapshot(3, 5, 3),
    });
    assert_eq!((installs(&actions), outcomes(&actions)), (vec![], vec![]));
    let released = scene.step(Event::Persisted(writes(&actions)[0].ticket));
    assert_eq!(installs(&released), [id(3, 5)]);
    assert_eq!(outcomes(&released), [AppendOutcome::Accepted { last: at(3, 5) }]);
}

// While the state machine applies entries, a snapshot waits.
#[test]
fn a_snapshot_waits_for_the_apply_that_is_under_way() {
    let mut scene = Scene::follower(3, 3, &[1, 1]);
    scene.prompt = false;
    scene.receive(2, 3, heartbeat(at(1, 2)));
    scene.receive(2, 3, chunk(snapshot(3, 5, 3)));
    let actions = scene.step(Input::SnapshotReady {
        from: node(2),
        meta: snapshot(3, 5, 3),
    });
    let released = scene.step(Event::Persisted(writes(&actions)[0].ticket));
    assert_eq!(installs(&released), []);
    assert_eq!(installs(&scene.step(Input::Applied(index(2)))), [id(3, 5)]);
    scene.step(Input::Applied(index(5)));
    assert_eq!(scene.applied(), 5);
}

// Of two snapshots that arrive before the first is durable, only the newer is installed.
#[test]
fn a_newer_snapshot_replaces_the_one_that_is_being_written() {
    let mut scene = Scene::follower(3, 3, &[]);
    scene.prompt = false;
    scene.receive(2, 3, chunk(snapshot(3, 5, 3)));
    let first = writes(&scene.step(Input::SnapshotReady {
        from: node(2),
        meta: snapshot(3, 5, 3),
    }))[0]
        .ticket;
    let second = writes(&scene.step(Input::SnapshotReady {
        from: node(2),
        meta: snapshot(3, 8, 3),
    }))[0]
        .ticket;
    assert_eq!(installs(&scene.step(Event::Persisted(first))), []);
    assert_eq!(installs(&scene.step(Event::Persisted(second))), [id(3, 8)]);
}

// Entries that follow the snapshot are taken while it is being written, and applied after it.
#[test]
fn appends_after_a_snapshot_are_taken_while_it_is_being_written() {
    let mut scene = Scene::follower(3, 3, &[]);
    scene.prompt = false;
    scene.receive(2, 3, chunk(snapshot(3, 5, 3)));
    let first = writes(&scene.step(Input::SnapshotReady {
        from: node(2),
        meta: snapshot(3, 5, 3),
    }))[0]
        .ticket;
    let second = writes(&scene.append(3, at(3, 5), &[3], 6))[0].ticket;
    assert_eq!(installs(&scene.step(Event::Persisted(first))), [id(3, 5)]);
    scene.step(Event::Persisted(second));
    let actions = scene.step(Input::Applied(index(5)));
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Apply { entries } if entries[0].id == id(3, 6)))
    );
}

// A snapshot that was collected from a leader that has since been deposed is not installed.
#[test]
fn a_snapshot_of_a_deposed_leader_is_not_installed() {
    let mut scene = Scene::follower(3, 3, &[]);
    scene.receive(2, 3, chunk(snapshot(3, 5, 3)));
    scene.receive(3, 4, heartbeat(None));
    scene.step(Input::SnapshotReady {
        from: node(2),
        meta: snapshot(3, 5, 3),
    });
    assert_eq!(scene.raft.vitals().last, None);
}

/// A cluster of three in which one server lags so far that it needs a snapshot, while messages are lost or repeated.
fn catches_up(mangle: fn(&mut Cluster, u64)) {
    let mut cluster = Cluster::with_snapshots(3, 10, 2);
    let leader = cluster.elect();
    let lagging = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.crash(lagging);
    for number in 0_u32..60 {
        cluster.propose(leader, &number.to_be_bytes());
        cluster.deliver();
    }
    cluster.restart(lagging);
    for tick in 0..400 {
        for id in 1..=3 {
            cluster.step(id, Event::Tick(1));
        }
        for _ in 0..3 {
            mangle(&mut cluster, tick);
            for envelope in core::mem::take(&mut cluster.wire) {
                let to = envelope.to.value();
                cluster.step(to, Event::Receive(envelope));
            }
        }
        // New snapshots are taken while the old one is being sent.
        if tick % 30 == 0 && tick < 100 {
            for number in 0..15_u8 {
                if let Some(leader) = cluster.leader() {
                    cluster.propose(leader, &[number]);
                }
            }
        }
    }
    assert!(cluster.server(lagging).installed > 0);
    assert_eq!(cluster.journal(lagging), cluster.journal(leader));
}

#[test]
fn a_transfer_survives_lost_pieces() {
    catches_up(|cluster, tick| {
        let mut count = tick;
        cluster.wire.retain(|envelope| {
            let is_piece = envelope.message.name().starts_with("Snapshot");
            count += u64::from(is_piece);
            !is_piece || !count.is_multiple_of(3)
        });
    });
}

#[test]
fn a_transfer_survives_repeated_and_reordered_pieces() {
    catches_up(|cluster, tick| {
        let again: Vec<_> = cluster
            .wire
            .iter()
            .filter(|e| e.message.name().starts_with("Snapshot"))
            .cloned()
            .collect();
        cluster.wire.extend(again);
        if tick % 2 == 0 {
            cluster.wire.make_contiguous().reverse();
        }
    });
}

#[test]
fn a_transfer_survives_a_restart_of_its_receiver() {
    let mut cluster = Cluster::with_snapshots(3, 10, 2);
    let leader = cluster.elect();
    let lagging = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.crash(lagging);
    for number in 0_u32..60 {
        cluster.propose(leader, &number.to_be_bytes());
        cluster.deliver();
    }
    cluster.restart(lagging);
    for _ in 0..3 {
        for id in 1..=3 {
            cluster.step(id, Event::Tick(1));
        }
        for _ in 0..3 {
            for envelope in core::mem::take(&mut cluster.wire) {
                let to = envelope.to.value();
                cluster.step(to, Event::Receive(envelope));
            }
        }
        assert_eq!(cluster.server(lagging).installed, 0, "it is under way");
        cluster.crash(lagging);
        cluster.restart(lagging);
    }
    cluster.tick(100);
    assert_eq!(cluster.journal(lagging), cluster.journal(leader));
}

// Found by simulation: a server that was added later took a snapshot before its log held any configuration, and
// recorded that there was none.
#[test]
fn no_snapshot_is_taken_before_a_configuration_is_known() {
    let mut setup = setup(3, 2, &[]);
    setup.bootstrap = Membership::default();
    setup.durable.entries = entries(0, &[1]);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.receive(2, 2, heartbeat(at(1, 1)));
    assert_eq!(scene.applied(), 1);
    scene.step(Input::SnapshotTaken { last: id(1, 1) });
    assert_eq!(scene.raft.snapshot(), None);
    let configuration = Entry {
        id: id(2, 2),
        body: EntryBody::Membership(voters(3).into()),
    };
    scene.receive(2, 2, append(at(1, 1), vec![configuration], 2));
    scene.step(Input::SnapshotTaken { last: id(2, 2) });
    let membership = scene.raft.snapshot().map(|meta| meta.membership.clone());
    assert_eq!(membership, Some(voters(3).into()));
}
