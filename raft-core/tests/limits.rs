//! Mistakes of peers and hosts: none makes a server panic, grow, spin, or lose what is committed.

mod support;

use raft_core::{
    Action, AppendOutcome, Config, Event, Ignored, Input, Limits, LoadEntries, LogId, Message, Notice,
    Payload, PeerSession, Rejection, RoleName, Round, Snapshots, Standing, Term, Tick, Ticket, Timing,
    Waiting,
};
use support::scene::{
    Scene, append, appends, at, entries, entry, heartbeat, id, index, kinds, node, outcomes, sent, setup,
    snapshot, writes,
};

fn with_limits(log: &[u64], limits: Limits) -> Scene {
    let mut setup = setup(3, 1, log);
    setup.config.limits = limits;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene
}

/// The message changes nothing but one of these counters.
fn is_ignored(scene: &mut Scene, from: u64, term: u64, message: Message, counter: fn(&Ignored) -> u64) {
    let before = (scene.raft.vitals(), counter(&scene.raft.status().ignored));
    let actions = scene.receive(from, term, message.clone());
    assert_eq!(actions, [], "{message:?}");
    assert_eq!(
        (scene.raft.vitals(), counter(&scene.raft.status().ignored)),
        (before.0, before.1 + 1),
        "{message:?}"
    );
}

fn is_malformed(scene: &mut Scene, from: u64, term: u64, message: Message) {
    is_ignored(scene, from, term, message, |ignored| ignored.malformed);
}

fn contradicts(scene: &mut Scene, from: u64, term: u64, message: Message) {
    is_ignored(scene, from, term, message, |ignored| ignored.contradicting);
}

// Paper §5.4: an honest leader's log holds everything committed here, so a leader that replaces a committed entry, or
// continues after another one, is not honest.
#[test]
fn an_append_that_contradicts_what_is_committed_is_refused_and_counted() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 3]);
    scene.append(3, at(3, 3), &[], 3);
    assert_eq!(scene.commit(), 3);
    // Another entry in the place of a committed one.
    contradicts(&mut scene, 2, 3, append(at(1, 2), entries(2, &[2, 3]), 0));
    // Entries after another entry than the committed one.
    contradicts(&mut scene, 2, 3, append(at(1, 3), entries(3, &[1]), 0));
    contradicts(&mut scene, 2, 3, append(at(2, 3), entries(3, &[2, 3]), 0));
    assert_eq!(scene.log(), [1, 1, 3]);
}

#[test]
fn an_append_that_contradicts_the_snapshot_is_refused_and_counted() {
    let mut setup = setup(3, 3, &[]);
    setup.durable.snapshot = Some(snapshot(2, 4, 3));
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.append(3, at(2, 4), &[], 0);
    contradicts(&mut scene, 2, 3, append(at(1, 4), entries(4, &[1]), 0));
    contradicts(&mut scene, 2, 3, append(at(1, 3), entries(3, &[1, 1]), 0));
    assert_eq!(scene.raft.vitals().last, at(2, 4));
    // The same entries as in the snapshot, and one more.
    scene.receive(2, 3, append(at(1, 3), entries(3, &[2, 3]), 0));
    assert_eq!(scene.raft.vitals().last, at(3, 5));
}

#[test]
fn a_message_that_no_honest_peer_sends_is_malformed() {
    let huge = u64::MAX >> 16;
    let gap = vec![entry(1, 1), entry(1, 3)];
    let falling = vec![entry(2, 1), entry(1, 2)];
    let messages = [
        (3, append(None, gap, 0)),
        (3, append(None, falling, 0)),
        (3, append(at(2, 1), entries(1, &[1]), 0)),
        (3, append(None, entries(1, &[1]), 0)),
        (3, append(None, entries(0, &[4]), 0)),
        (3, append(at(4, 1), Vec::new(), 0)),
        (3, append(at(1, huge + 1), Vec::new(), 0)),
        (3, append(at(0, 1), Vec::new(), 0)),
        (3, append(None, Vec::new(), huge + 1)),
        (0, append(None, Vec::new(), 0)),
        (huge + 1, heartbeat(None)),
        (u64::MAX, heartbeat(None)),
        (3, heartbeat(at(4, 1))),
        (
            3,
            Message::PreVote {
                ask: Term::new(3),
                last: None,
            },
        ),
        (
            3,
            Message::PreVote {
                ask: Term::new(9),
                last: None,
            },
        ),
        (
            u64::MAX,
            Message::PreVote {
                ask: Term::new(u64::MAX),
                last: None,
            },
        ),
        (3, Message::Vote { last: at(4, 1) }),
        (0, Message::Vote { last: None }),
    ];
    let mut scene = Scene::follower(3, 3, &[1]);
    for (term, message) in messages {
        is_malformed(&mut scene, 2, term, message);
    }
}

#[test]
fn invalid_snapshot_pieces_are_malformed() {
    let mut scene = Scene::follower(3, 3, &[]);
    let piece = |term, position, total_bytes, offset, count| Message::SnapshotChunk {
        session: PeerSession::new(1),
        meta: snapshot(term, position, count).into(),
        total_bytes,
        checksum: 0,
        offset,
        data: Payload::from(&[0; 8][..]),
    };
    is_malformed(&mut scene, 2, 3, piece(4, 1, 8, 0, 3));
    is_malformed(&mut scene, 2, 3, piece(1, 1, 8, 1, 3));
    is_malformed(&mut scene, 2, 3, piece(1, 1, 8, u64::MAX, 3));
    is_malformed(&mut scene, 2, 3, piece(1, 1, 8, 0, 0));
    is_malformed(&mut scene, 2, 3, piece(1, u64::MAX, 8, 0, 3));
    assert_eq!(scene.raft.status().ignored.malformed, 5);
}

// A server that cannot take its leader's snapshot lags for good, so its host must be told: once, and not with every
// piece.
#[test]
fn a_snapshot_that_is_too_large_is_refused_visibly() {
    let mut scene = Scene::follower(3, 3, &[]);
    let limit = Snapshots::default().max_bytes;
    let piece = |position, total_bytes| Message::SnapshotChunk {
        session: PeerSession::new(1),
        meta: snapshot(1, position, 3).into(),
        total_bytes,
        checksum: 0,
        offset: 0,
        data: Payload::from(&[0; 8][..]),
    };
    let told = |actions: &[Action]| {
        assert_eq!(sent(actions), [], "nothing of it is acknowledged");
        let told = actions.iter().filter_map(|action| match action {
            Action::SnapshotTooLarge {
                from,
                total_bytes,
                limit,
            } => Some((from.value(), *total_bytes, *limit)),
            Action::SnapshotArrived { .. } => panic!("nothing of it is collected"),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let too_large = limit + 1;
    assert_eq!(
        told(&scene.receive(2, 3, piece(1, too_large))),
        [(2, too_large, limit)]
    );
    assert_eq!(told(&scene.receive(2, 3, piece(1, too_large))), []);
    assert_eq!(
        told(&scene.receive(2, 3, piece(2, too_large))),
        [(2, too_large, limit)],
        "another one"
    );
    assert_eq!(scene.raft.status().ignored.oversized, 3);
    let actions = scene.receive(2, 3, piece(3, limit));
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::SnapshotArrived { .. }))
    );
}

#[test]
fn messages_for_another_server_or_from_itself_are_dropped_and_counted() {
    let mut scene = Scene::follower(3, 3, &[]);
    let mut to_another = scene.envelope(2, 9, heartbeat(None));
    to_another.to = node(3);
    let mut of_another_group = scene.envelope(2, 9, heartbeat(None));
    of_another_group.group = raft_core::GroupId::new(2);
    let from_oneself = scene.envelope(1, 9, heartbeat(None));
    for envelope in [to_another, of_another_group, from_oneself] {
        assert_eq!(scene.step(Event::Receive(envelope)), []);
    }
    assert_eq!((scene.term(), scene.raft.status().ignored.misaddressed), (3, 3));
}

// A term has one leader (§5.2), so a second one in the same term is lying, and changes nothing.
#[test]
fn a_second_leader_of_a_term_is_ignored() {
    let mut follower = Scene::follower(3, 3, &[]);
    follower.append(3, None, &[3], 0);
    contradicts(&mut follower, 3, 3, append(None, entries(0, &[2]), 0));
    let mut leader = Scene::leader(3, 3, &[]);
    contradicts(&mut leader, 2, 3, append(None, entries(0, &[2]), 0));
    assert_eq!(leader.role(), RoleName::Leader);
}

#[test]
fn an_acknowledgement_of_entries_that_were_never_sent_counts_for_nothing() {
    let mut scene = Scene::leader(3, 3, &[1, 2]);
    for never_sent in [at(3, 4), at(2, 3), at(1, 2), at(3, u64::MAX >> 16)] {
        scene.accept(2, never_sent);
    }
    assert_eq!(scene.raft.status().ignored.contradicting, 4);
    assert_eq!(scene.raft.progress(node(2)).expect("a peer").matched, None);
    scene.accept(2, at(3, 3));
    assert_eq!(scene.commit(), 3);
}

#[test]
fn a_round_that_was_never_begun_confirms_nothing() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    let session = scene.session(2);
    let round = Round::new(u64::MAX);
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
    let actions = scene.read(7);
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::ReadReady { .. }))
    );
    assert_eq!(scene.raft.status().ignored.contradicting, 1);
}

// Servers outside the configuration may ask and answer, but their votes and Hellos are not collected.
#[test]
fn servers_outside_the_configuration_are_not_counted() {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.step(Event::Campaign);
    for stranger in 10..20 {
        scene.grant(stranger);
    }
    assert_eq!(scene.role(), RoleName::PreCandidate);
    let mut new = setup(3, 0, &[]);
    new.bootstrap = raft_core::Membership::of_voters((1..=3).map(node));
    let mut joining = Scene::new(new).expect("an empty disk is sound");
    for stranger in 10..20 {
        joining.receive(stranger, 0, Message::Hello);
        let standing = Standing::Blank;
        joining.receive(stranger, 0, Message::HelloReply { standing });
    }
    assert_eq!(joining.role(), RoleName::Joining);
}

#[test]
fn a_report_of_a_duty_that_was_never_handed_out_changes_nothing() {
    for mut scene in [Scene::follower(3, 3, &[1, 2]), Scene::leader(3, 3, &[1, 2])] {
        let before = scene.raft.vitals();
        let far = LogId::new(Term::new(3), index(u64::MAX));
        let inputs = [
            Input::Event(Event::Persisted(Ticket::new(u64::MAX))),
            Input::Event(Event::Persisted(Ticket::new(0))),
            Input::Applied(index(u64::MAX)),
            Input::Applied(index(1)),
            Input::Event(Event::EntriesLoaded {
                ticket: Ticket::new(1),
                entries: entries(0, &[9]).into(),
            }),
            Input::SnapshotTaken { last: far },
            Input::SnapshotTaken { last: id(1, 1) },
            Input::SnapshotPiece {
                ticket: Ticket::new(1),
                last: far,
                total_bytes: 0,
                checksum: 0,
                offset: u64::MAX,
                data: Payload::from(Vec::new()),
            },
            Input::SnapshotAborted {
                ticket: Ticket::new(1),
            },
            Input::SnapshotStored {
                from: node(2),
                last: far,
                received_bytes: u64::MAX,
            },
            Input::SnapshotReady {
                from: node(2),
                meta: snapshot(9, 9, 3),
            },
            Input::Event(Event::Unreachable(node(99))),
            Input::Event(Event::Unreachable(node(1))),
        ];
        for input in inputs {
            assert_eq!(scene.step(input.clone()), [], "{input:?}");
        }
        assert_eq!(scene.raft.vitals(), before);
    }
}

// The host of a follower announces a snapshot that no leader sent, at the end of the range.
#[test]
fn a_snapshot_at_the_end_of_the_range_is_not_installed() {
    let mut scene = Scene::follower(3, 3, &[1]);
    scene.append(3, at(1, 1), &[], 1);
    for meta in [snapshot(3, u64::MAX, 3), snapshot(0, 5, 3), snapshot(3, 5, 0)] {
        scene.step(Input::SnapshotReady { from: node(2), meta });
    }
    assert_eq!(scene.raft.vitals().last, at(1, 1));
}

#[test]
fn time_may_pass_all_at_once() {
    for mut scene in [
        Scene::follower(3, 3, &[1]),
        Scene::leader(3, 3, &[]),
        Scene::follower(1, 1, &[]),
    ] {
        for ticks in [u64::MAX, u64::MAX, 1, 0] {
            scene.step(Event::Tick(ticks));
        }
        assert_eq!(scene.raft.now(), Tick::new(u64::MAX));
        assert!(scene.raft.next_deadline().is_some());
    }
}

#[test]
fn a_command_that_is_too_large_is_handed_back() {
    let mut scene = with_limits(
        &[],
        Limits {
            message_bytes: 8,
            ..Limits::default()
        },
    );
    let actions = scene.propose(1, &[7; 9]);
    let reason = Rejection::TooLarge { size: 9, limit: 8 };
    let payload = Payload::from(&[7; 9][..]);
    let id = raft_core::ProposalId::new(1);
    assert_eq!(
        actions,
        [Action::Notice(Notice::Rejected { id, reason, payload })]
    );
    assert_eq!(writes(&scene.propose(2, &[7; 8])).len(), 1);
}

fn refusals(actions: &[Action]) -> Vec<Rejection> {
    let refusals = actions.iter().filter_map(|action| match action {
        Action::Notice(Notice::Rejected { reason, .. } | Notice::ReadRejected { reason, .. }) => {
            Some(*reason)
        }
        _ => None,
    });
    refusals.collect()
}

#[test]
fn proposals_without_an_outcome_are_limited() {
    let mut scene = with_limits(
        &[],
        Limits {
            proposals: 2,
            ..Limits::default()
        },
    );
    scene.propose(1, b"one");
    scene.propose(2, b"two");
    let busy = Rejection::Busy {
        what: Waiting::Proposals,
        limit: 2,
    };
    assert_eq!(refusals(&scene.propose(3, b"three")), [busy]);
    assert_eq!(scene.raft.limited().proposals, 1);
    scene.accept(2, at(2, 3));
    assert_eq!(refusals(&scene.propose(4, b"four")), []);
}

#[test]
fn uncommitted_bytes_are_limited_and_a_single_large_command_goes_through() {
    let limit = 100;
    let mut scene = with_limits(
        &[],
        Limits {
            uncommitted_bytes: limit,
            ..Limits::default()
        },
    );
    assert_eq!(refusals(&scene.propose(1, &[0; 200])), []);
    let busy = Rejection::Busy {
        what: Waiting::UncommittedBytes,
        limit,
    };
    assert_eq!(refusals(&scene.propose(2, b"x")), [busy]);
    scene.accept(2, at(2, 2));
    assert_eq!(refusals(&scene.propose(3, &[0; 68])), []);
    assert_eq!(refusals(&scene.propose(4, b"")), [busy]);
    assert_eq!(scene.raft.limited().uncommitted_bytes, 2);
    scene.accept(2, at(2, 3));
    assert_eq!(refusals(&scene.propose(5, b"")), []);
}

#[test]
fn reads_without_an_outcome_are_limited() {
    let mut scene = with_limits(
        &[],
        Limits {
            reads: 2,
            ..Limits::default()
        },
    );
    scene.read(1);
    scene.read(2);
    let busy = Rejection::Busy {
        what: Waiting::Reads,
        limit: 2,
    };
    assert_eq!(refusals(&scene.read(3)), [busy]);
    // They count while they wait for the leader's first commit, and while they wait for a round.
    scene.accept(2, at(2, 1));
    assert_eq!(refusals(&scene.read(4)), [busy]);
    assert_eq!(scene.raft.limited().reads, 2);
}

// Entries leave in messages of a bounded size, and an apply is bounded as well.
#[test]
fn messages_and_applies_are_bounded_in_bytes() {
    let cost = entry(1, 1).cost_bytes();
    let limits = Limits {
        message_bytes: 2 * cost,
        apply_bytes: 2 * cost,
        ..Limits::default()
    };
    let mut scene = with_limits(&[1; 5], limits);
    scene.accept(2, at(1, 5));
    scene.prompt = false;
    let reply = scene.reject(3, at(1, 5), None);
    assert_eq!(appends(3, &reply), [(None, vec![1, 1])]);
    assert_eq!(appends(3, &scene.accept(3, at(1, 2))), [(at(1, 2), vec![1, 1])]);
    assert_eq!(appends(3, &scene.accept(3, at(1, 4))), [(at(1, 4), vec![1, 2])]);
    let actions = scene.accept(2, at(2, 6));
    let applied = actions.iter().find_map(|action| match action {
        Action::Apply { entries } => Some(entries.len()),
        _ => None,
    });
    assert_eq!(applied, Some(2));
    let limited = scene.raft.status().limited;
    assert_eq!(
        (limited.message_bytes, limited.apply_bytes),
        (2, 1),
        "what held something back is counted"
    );
}

#[test]
fn a_single_entry_may_be_larger_than_a_message() {
    let mut scene = with_limits(
        &[1, 1],
        Limits {
            message_bytes: 1,
            apply_bytes: 1,
            ..Limits::default()
        },
    );
    let actions = scene.reject(3, at(1, 2), None);
    assert_eq!(appends(3, &actions), [(None, vec![1])]);
    scene.accept(2, at(2, 3));
    assert_eq!(scene.applied(), 3);
}

// The tail that is kept for slow peers is bounded; what left it is asked for from the store.
#[test]
fn evicted_entries_are_loaded_from_the_store() {
    let mut scene = with_limits(
        &[1; 9],
        Limits {
            tail_bytes: 1,
            ..Limits::default()
        },
    );
    scene.accept(2, at(2, 10));
    assert_eq!(scene.applied(), 10);
    assert_eq!(scene.raft.entry(index(9)), None);
    scene.reject(3, at(1, 9), at(1, 4));
    let actions = scene.accept(3, at(1, 4));
    let asked = actions.iter().find_map(|action| match action {
        Action::LoadEntries(LoadEntries {
            ticket, first, last, ..
        }) => Some((*ticket, first.value(), last.value())),
        _ => None,
    });
    let Some((ticket, 5, 10)) = asked else {
        panic!("{actions:?}")
    };
    let loaded = Input::Event(Event::EntriesLoaded {
        ticket,
        entries: entries(4, &[1, 1]).into(),
    });
    let actions = scene.step(loaded.clone());
    assert_eq!(appends(3, &actions), [(at(1, 4), vec![1, 1])]);
    assert_eq!(
        loads(&scene.accept(3, at(1, 6))).len(),
        1,
        "and what comes next is asked for"
    );
    assert_eq!(appends(3, &scene.step(loaded)), [], "a request is answered once");
}

// Memory is for entries that some peer lacks: a leader evicts what all its peers hold, and a follower what it has
// applied, except for a few.
#[test]
fn entries_that_no_peer_lacks_are_evicted() {
    let limits = Limits {
        tail_bytes: 32 * entry(1, 1).cost_bytes(),
        ..Limits::default()
    };
    let in_memory = |scene: &Scene| {
        let held = |&at: &u64| scene.raft.entry(index(at)).is_some();
        (1..=9).filter(held).count()
    };
    let mut scene = with_limits(&[], limits);
    for peer in [2, 3] {
        scene.accept(peer, at(2, 1));
    }
    for number in 1..=8 {
        scene.propose(number, &[7; 8]);
    }
    scene.accept(2, at(2, 9));
    assert_eq!(
        (scene.applied(), in_memory(&scene)),
        (9, 8),
        "3 may lack all but the first"
    );
    scene.accept(3, at(2, 4));
    assert_eq!(in_memory(&scene), 5, "3 has four of them");
    scene.accept(3, at(2, 9));
    assert_eq!(in_memory(&scene), 1);

    let mut setup = setup(3, 2, &[]);
    setup.config.limits = limits;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    for before in 0..9 {
        scene.append(2, at(2, before), &[2], 5);
    }
    assert_eq!(
        (scene.applied(), in_memory(&scene)),
        (5, 4),
        "the rest is not applied"
    );
    scene.receive(2, 2, heartbeat(at(2, 9)));
    assert_eq!(in_memory(&scene), 1);
}

fn loads(actions: &[Action]) -> Vec<Ticket> {
    let loads = actions.iter().filter_map(|action| match action {
        Action::LoadEntries(LoadEntries { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    loads.collect()
}

// A store that cannot read must not be asked again at once, for ever, and the peer must not be forgotten either.
#[test]
fn entries_that_cannot_be_read_are_asked_for_again_with_a_later_heartbeat() {
    let garbage = [
        Vec::new(),
        entries(5, &[1]),
        entries(4, &[9]),
        vec![entry(1, 5), entry(1, 7)],
    ];
    for entries in garbage {
        let mut scene = with_limits(
            &[1; 9],
            Limits {
                tail_bytes: 1,
                ..Limits::default()
            },
        );
        scene.accept(2, at(2, 10));
        scene.reject(3, at(1, 9), at(1, 4));
        let ticket = loads(&scene.accept(3, at(1, 4)))[0];
        let actions = scene.step(Event::EntriesLoaded {
            ticket,
            entries: entries.into(),
        });
        assert_eq!((loads(&actions), appends(3, &actions)), (vec![], vec![]));
        scene.accept(2, at(2, 10));
        let probe = scene.tick(2);
        assert_eq!(appends(3, &probe), [(at(1, 4), vec![])]);
        assert_eq!(loads(&scene.accept(3, at(1, 4))).len(), 1);
    }
}

// Every wait ends, also the wait for a host that never reports what became of a request.
#[test]
fn entries_that_a_host_never_loads_are_asked_for_anew() {
    let mut scene = with_limits(
        &[1; 9],
        Limits {
            tail_bytes: 1,
            ..Limits::default()
        },
    );
    scene.tick(4);
    scene.accept(2, at(2, 10));
    scene.reject(3, at(1, 9), at(1, 4));
    let forgotten = loads(&scene.accept(3, at(1, 4)))[0];
    let patience = Timing::default().snapshot_timeout_ticks;
    let mut ticks = 0;
    let probe = loop {
        scene.accept(2, at(2, 10));
        ticks += 1;
        let actions = scene.tick(1);
        assert_eq!(loads(&actions), []);
        if !appends(3, &actions).is_empty() {
            break appends(3, &actions);
        }
    };
    assert_eq!(probe, [(at(1, 4), vec![])]);
    assert_eq!(ticks, patience + 2, "with the first heartbeat after that");
    let asked = loads(&scene.accept(3, at(1, 4)));
    assert_eq!(asked.len(), 1);
    let late = |ticket| {
        Input::Event(Event::EntriesLoaded {
            ticket,
            entries: entries(4, &[1, 1]).into(),
        })
    };
    assert_eq!(
        appends(3, &scene.step(late(forgotten))),
        [],
        "whose request was given up"
    );
    assert_eq!(appends(3, &scene.step(late(asked[0]))), [(at(1, 4), vec![1, 1])]);
}

#[test]
fn a_snapshot_that_the_host_aborts_is_begun_again_with_a_later_heartbeat() {
    let mut setup = setup(3, 1, &[]);
    setup.durable.snapshot = Some(snapshot(1, 5, 3));
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    let begun = |actions: &[Action]| {
        let begun = actions.iter().filter_map(|action| match action {
            Action::SendSnapshot { ticket, .. } => Some(*ticket),
            _ => None,
        });
        begun.collect::<Vec<_>>()
    };
    let actions = scene.reject(3, at(1, 5), None);
    let ticket = begun(&actions)[0];
    let actions = scene.step(Input::SnapshotAborted { ticket });
    assert_eq!(actions, [Action::SnapshotEnded { ticket }]);
    assert_eq!(begun(&scene.tick(2)).len(), 1);
}

// While the disk stalls, a leader that asks again and again must not fill the memory with waiting replies.
#[test]
fn replies_that_wait_for_the_same_write_do_not_pile_up() {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.prompt = false;
    let ticket = writes(&scene.append(1, None, &[1, 1], 0))[0].ticket;
    for _ in 0..100 {
        scene.append(1, at(1, 2), &[], 0);
    }
    let released = scene.step(Event::Persisted(ticket));
    assert_eq!(outcomes(&released), [AppendOutcome::Accepted { last: at(1, 2) }]);
}

#[test]
fn replies_in_a_term_that_waits_for_the_disk_do_not_pile_up() {
    let mut scene = Scene::follower(3, 1, &[1]);
    scene.prompt = false;
    let ticket = writes(&scene.append(2, at(1, 1), &[], 0))[0].ticket;
    for round in 0..100 {
        let (session, commit) = (PeerSession::new(1), None);
        let round = Round::new(round);
        scene.receive(
            2,
            2,
            Message::Heartbeat {
                session,
                round,
                commit,
            },
        );
        scene.append(2, at(1, 3), &[], 0);
        let (ask, last) = (Term::new(3), None);
        scene.receive(3, 2, Message::PreVote { ask, last });
        scene.receive(3, 2, Message::Vote { last });
        scene.receive(3, 0, Message::Hello);
    }
    let released = kinds(&scene.step(Event::Persisted(ticket)));
    let expected = [
        (2, "AppendReply"),
        (2, "HeartbeatReply"),
        (2, "AppendReply"),
        (3, "PreVoteReply"),
        (3, "VoteReply"),
        (3, "HelloReply"),
    ];
    assert_eq!(released, expected);
}

// A peer that was removed and added again is owed a reply in its new session, whatever waits in the old one.
#[test]
fn a_reply_of_one_session_supersedes_none_of_another() {
    let mut scene = Scene::follower(3, 1, &[1]);
    scene.prompt = false;
    let ticket = writes(&scene.append(2, at(1, 1), &[], 0))[0].ticket;
    let answers = [(1, 5), (2, 6)].map(|(session, round)| (PeerSession::new(session), Round::new(round)));
    for (session, round) in answers {
        let commit = None;
        scene.receive(
            2,
            2,
            Message::Heartbeat {
                session,
                round,
                commit,
            },
        );
    }
    let released = sent(&scene.step(Event::Persisted(ticket)));
    for (session, round) in answers {
        assert!(
            released.contains(&(
                2,
                Message::HeartbeatReply {
                    session,
                    round,
                    promise_micros: 0,
                    level: raft_core::Level::ZERO,
                    halted: false,
                    stalled: false,
                    wall_time: None,
                }
            )),
            "{released:?}"
        );
    }
}

// Messages that waited for the disk when it failed are never sent.
#[test]
fn no_message_leaves_that_a_failed_disk_had_to_back() {
    let mut scene = Scene::follower(3, 3, &[]);
    let heartbeat = scene.envelope(2, 3, heartbeat(None));
    scene.raft.step(Event::Receive(heartbeat));
    scene.raft.step(Event::PersistFailed);
    let actions = scene.drain();
    assert_eq!((sent(&actions), writes(&actions)), (vec![], vec![]));
}

// A server whose disk failed sends nothing more to its peers, and answers its own clients at once.
#[test]
fn a_server_whose_disk_failed_answers_its_own_clients_only() {
    let mut scene = Scene::leader(3, 3, &[]);
    scene.propose(1, b"lost?");
    scene.read(2);
    let actions = scene.step(Event::PersistFailed);
    let unknown = Action::Notice(Notice::Unknown {
        id: raft_core::ProposalId::new(1),
    });
    assert!(actions.contains(&unknown), "{actions:?}");
    assert_eq!(refusals(&actions), [Rejection::Failed]);
    let gone = Action::Notice(Notice::LeaderChanged {
        leader: None,
        term: Term::new(3),
    });
    assert!(actions.contains(&gone), "it leads no more: {actions:?}");
    assert_eq!(
        (scene.role(), scene.raft.vitals().leader),
        (RoleName::Follower, None)
    );
    assert_eq!(refusals(&scene.propose(3, b"no")), [Rejection::Failed]);
    assert_eq!(refusals(&scene.read(4)), [Rejection::Failed]);
    assert_eq!(scene.tick(100), []);
    assert_eq!(scene.receive(2, 9, Message::Vote { last: at(9, 9) }), []);
    assert_eq!(scene.accept(2, at(3, 1)), []);
    assert_eq!(scene.raft.next_deadline(), None);
    assert!(scene.raft.status().failed);
}

#[test]
fn transfers_of_a_failed_server_end() {
    let mut setup = setup(3, 1, &[]);
    setup.durable.snapshot = Some(snapshot(1, 5, 3));
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene.reject(3, at(1, 5), None);
    let actions = scene.step(Event::PersistFailed);
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::SnapshotEnded { .. }))
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let mut range = Config::default();
    range.timing.election_timeout_max_ticks = range.timing.election_timeout_min_ticks - 1;
    let mut short = Config::default();
    short.timing.election_timeout_min_ticks = 1;
    let mut slow = Config::default();
    slow.timing.heartbeat_ticks = slow.timing.election_timeout_min_ticks;
    let mut never = Config::default();
    never.timing.heartbeat_ticks = 0;
    let nothing = Config {
        limits: Limits {
            reads: 0,
            ..Limits::default()
        },
        ..Config::default()
    };
    let empty = Config {
        snapshots: Snapshots {
            chunk_bytes: 0,
            ..Snapshots::default()
        },
        ..Config::default()
    };
    for config in [range, short, slow, never, nothing, empty] {
        let mut setup = setup(3, 1, &[]);
        setup.config = config;
        assert!(Scene::new(setup).is_err());
    }
    assert_eq!(Config::default().validate(), Ok(()));
}
