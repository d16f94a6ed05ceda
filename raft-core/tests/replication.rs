//! How followers come to have the leader's log: paper §5.3, Figure 2 (AppendEntries) and Figure 7; dissertation
//! §10.2.1.

mod support;

use raft_core::{
    Action, AppendOutcome, Entry, Event, Feeding, Limits, LogId, Message, Notice, Payload, PeerSession,
    ProposalId, Round, Trace,
};
use support::Cluster;
use support::scene::{Scene, appends, at, entries, index, node, outcomes, sent_to, setup, snapshot, writes};

fn accepted(last: Option<LogId>) -> [AppendOutcome; 1] {
    [AppendOutcome::Accepted { last }]
}

fn rejected(prev: Option<LogId>, hint: Option<LogId>) -> [AppendOutcome; 1] {
    [AppendOutcome::Rejected { prev, hint }]
}

// Figure 2, AppendEntries, receiver's step 1: an append of an earlier term is answered with the current term, and
// changes nothing.
#[test]
fn an_append_of_an_earlier_term_changes_nothing() {
    let mut scene = Scene::follower(3, 3, &[1]);
    let actions = scene.append(2, at(1, 1), &[2], 2);
    assert_eq!(outcomes(&actions), []);
    assert_eq!((scene.log(), scene.commit()), (vec![1], 0));
    assert_eq!(scene.raft.status().ignored.stale, 1);
}

// Receiver's step 2: rejected if the log does not hold prev.
#[test]
fn an_append_after_a_missing_entry_is_rejected() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 2]);
    assert_eq!(
        outcomes(&scene.append(3, at(1, 3), &[3], 0)),
        rejected(at(1, 3), at(1, 2))
    );
    assert_eq!(
        outcomes(&scene.append(3, at(3, 5), &[3], 0)),
        rejected(at(3, 5), at(2, 3))
    );
    assert_eq!(scene.log(), [1, 1, 2]);
}

// Receiver's step 3: an entry that conflicts with a new one is truncated, and all after it.
#[test]
fn a_conflicting_entry_and_all_after_it_are_truncated() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 2, 2]);
    let actions = scene.append(3, at(1, 1), &[1, 3], 0);
    assert_eq!(scene.log(), [1, 1, 3]);
    let write = &writes(&actions)[0];
    assert_eq!((write.truncate_from, write.entries.len()), (Some(index(3)), 1));
    assert_eq!(outcomes(&actions), accepted(at(3, 3)));
}

// Receiver's step 4: what is not there is appended.
#[test]
fn new_entries_are_appended_and_acknowledged() {
    let mut scene = Scene::follower(3, 3, &[]);
    assert_eq!(outcomes(&scene.append(3, None, &[1, 2], 0)), accepted(at(2, 2)));
    assert_eq!(outcomes(&scene.append(3, at(2, 2), &[3], 0)), accepted(at(3, 3)));
    assert_eq!(scene.log(), [1, 2, 3]);
}

// §5.3: an append that says nothing new, because it is late or repeated, deletes nothing.
#[test]
fn a_late_or_repeated_append_deletes_nothing() {
    let mut scene = Scene::follower(3, 3, &[]);
    scene.append(3, None, &[1, 2, 3], 0);
    let actions = scene.append(3, at(1, 1), &[2], 0);
    assert_eq!(outcomes(&actions), accepted(at(2, 2)));
    assert_eq!((writes(&actions), scene.log()), (vec![], vec![1, 2, 3]));
    scene.append(3, None, &[], 0);
    assert_eq!(scene.log(), [1, 2, 3]);
}

// What is committed cannot differ, so an append that ends there is answered with all that is known to match.
#[test]
fn an_append_within_what_is_committed_is_answered_with_the_commit_index() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 3]);
    scene.append(3, at(3, 3), &[], 3);
    assert_eq!(outcomes(&scene.append(3, at(1, 1), &[1], 2)), accepted(at(3, 3)));
    assert_eq!(outcomes(&scene.append(3, None, &[], 0)), accepted(at(3, 3)));
}

// §5.3, the accelerated back-up: the hint is the follower's last entry that is not of a later term than prev.
#[test]
fn a_rejection_names_the_last_entry_that_may_match() {
    let log = [1, 1, 1, 4, 4, 5, 5];
    let cases = [
        (at(5, 9), at(5, 7)),
        (at(4, 7), at(4, 5)),
        (at(3, 7), at(1, 3)),
        (at(2, 4), at(1, 3)),
        (at(1, 6), at(1, 3)),
    ];
    for (prev, hint) in cases {
        let mut scene = Scene::follower(3, 6, &log);
        assert_eq!(
            outcomes(&scene.append(6, prev, &[], 0)),
            rejected(prev, hint),
            "{prev:?}"
        );
    }
    let mut scene = Scene::follower(3, 6, &[5, 5]);
    assert_eq!(
        outcomes(&scene.append(6, at(4, 2), &[], 0)),
        rejected(at(4, 2), None)
    );
    let mut empty = Scene::follower(3, 6, &[]);
    assert_eq!(
        outcomes(&empty.append(6, at(4, 2), &[], 0)),
        rejected(at(4, 2), None)
    );
}

#[test]
fn a_hint_is_never_before_the_commit_index() {
    let mut scene = Scene::follower(3, 6, &[1, 2, 5, 5]);
    scene.append(6, at(2, 2), &[], 2);
    assert_eq!(scene.commit(), 2);
    assert_eq!(
        outcomes(&scene.append(6, at(1, 4), &[], 0)),
        rejected(at(1, 4), at(2, 2))
    );
    let mut setup = setup(3, 6, &[]);
    setup.durable.snapshot = Some(snapshot(3, 9, 3));
    let mut compacted = Scene::new(setup).expect("the disk is valid");
    assert_eq!(
        outcomes(&compacted.append(6, at(2, 12), &[], 0)),
        rejected(at(2, 12), at(3, 9))
    );
}

// §5.3, after a rejection: the leader goes back to the last entry that is not of a later term than the hint, and no
// further.
#[test]
fn a_rejected_leader_skips_a_whole_term() {
    let log = [1, 1, 4, 4, 4, 6, 6];
    let cases = [
        (at(5, 9), at(4, 5)),
        (at(4, 4), at(4, 4)),
        (at(3, 7), at(1, 2)),
        (at(2, 5), at(1, 2)),
        (at(1, 1), at(1, 1)),
        (None, None),
    ];
    for (hint, prev) in cases {
        let mut scene = Scene::leader(3, 7, &log);
        let actions = scene.reject(2, at(6, 7), hint);
        assert_eq!(appends(2, &actions)[0].0, prev, "{hint:?}");
    }
}

// However wrong the hint is, every rejection takes the leader back, so that the logs match eventually.
#[test]
fn every_rejection_takes_the_leader_back() {
    let mut scene = Scene::leader(3, 4, &[1, 2, 3]);
    let mut prev = at(3, 3);
    for expected in [at(2, 2), at(1, 1), None] {
        let actions = scene.reject(2, prev, at(3, 3));
        assert_eq!(appends(2, &actions)[0].0, expected);
        prev = expected;
    }
}

// Rejections that come late or twice concern a probe that is over: they rewind nothing.
#[test]
fn a_late_or_repeated_rejection_rewinds_nothing() {
    let mut scene = Scene::leader(3, 4, &[1, 2, 3]);
    scene.reject(2, at(3, 3), at(1, 1));
    let next = scene.raft.progress(node(2)).expect("a peer").next;
    assert_eq!(next, index(2));
    assert_eq!(appends(2, &scene.reject(2, at(3, 3), None)), []);
    assert_eq!(scene.raft.progress(node(2)).expect("a peer").next, next);
    scene.accept(2, at(4, 4));
    for prev in [at(1, 1), at(3, 3), at(4, 4), None] {
        scene.reject(2, prev, None);
        let peer = scene.raft.progress(node(2)).expect("a peer");
        assert_eq!(
            (peer.next, peer.feeding),
            (index(5), Feeding::Replicate),
            "{prev:?}"
        );
    }
    assert_eq!(scene.raft.status().ignored.stale, 5);
}

// A late rejection may name an entry after the match index. It still concerns nothing that is in flight.
#[test]
fn a_rejection_of_nothing_in_flight_rewinds_nothing() {
    let mut scene = Scene::leader(3, 2, &[1; 15]);
    scene.reject(2, at(1, 15), at(1, 5));
    let actions = scene.accept(2, at(1, 5));
    assert_eq!(
        appends(2, &actions).len(),
        1,
        "all the rest is under way in one append"
    );
    let before = scene.raft.progress(node(2));
    assert_eq!(appends(2, &scene.reject(2, at(1, 15), at(1, 5))), []);
    assert_eq!(scene.raft.progress(node(2)), before);
}

// Of two appends in flight the first is lost: the rejection of the second names where the first ended.
#[test]
fn a_rejection_of_what_is_in_flight_rewinds() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.propose(1, b"known");
    scene.accept(2, at(2, 2));
    scene.propose(2, b"lost");
    scene.propose(3, b"refused");
    let peer = scene.raft.progress(node(2)).expect("a peer");
    assert_eq!((peer.inflight_messages, peer.next), (2, index(5)));
    let actions = scene.reject(2, at(2, 3), at(2, 2));
    assert_eq!(appends(2, &actions), [(at(2, 2), vec![2, 2])]);
}

// A repeated acknowledgement is no new step, so the trace does not repeat it.
#[test]
fn an_acknowledgement_is_traced_once() {
    let mut setup = setup(3, 1, &[]);
    setup.config.options.trace = true;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    let told = |actions: &[Action]| {
        let matched =
            |action: &&Action| matches!(action, Action::Notice(Notice::Trace(Trace::Matched { .. })));
        actions.iter().filter(matched).count()
    };
    assert_eq!(told(&scene.accept(2, at(2, 1))), 1);
    assert_eq!(told(&scene.accept(2, at(2, 1))), 0);
}

// Figure 2, Leaders: nextIndex begins right after the leader's last entry, and is a guess that is probed first.
#[test]
fn a_new_leader_probes_after_its_last_entry() {
    let mut scene = Scene::follower(3, 1, &[1, 1]);
    let actions = scene.win();
    for peer in [2, 3] {
        assert_eq!(appends(peer, &actions), [(at(1, 2), vec![2])]);
        assert_eq!(
            scene.raft.progress(node(peer)).expect("a peer").feeding,
            Feeding::Probe
        );
    }
    // One message at a time until it is answered.
    assert_eq!(appends(2, &scene.propose(1, b"more")), []);
}

// Figure 2, Leaders: append entries follow nextIndex, and an acknowledgement moves nextIndex and matchIndex.
#[test]
fn an_acknowledgement_moves_match_and_next_and_both_only_grow() {
    let mut scene = Scene::leader(3, 2, &[1, 1]);
    let actions = scene.accept(2, at(1, 2));
    assert_eq!(appends(2, &actions), [(at(1, 2), vec![2])]);
    scene.accept(2, at(2, 3));
    scene.accept(2, at(1, 1));
    let peer = scene.raft.progress(node(2)).expect("a peer");
    assert_eq!((peer.matched, peer.next), (Some(index(3)), index(4)));
}

// Dissertation §10.2.1: appends are sent one after another without waiting for replies, within the windows.
#[test]
fn appends_are_pipelined_within_the_windows() {
    let mut setup = setup(3, 1, &[]);
    setup.config.limits = Limits {
        inflight_messages: 2,
        ..Limits::default()
    };
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene.accept(2, at(2, 1));
    assert_eq!(appends(2, &scene.propose(1, b"1")), [(at(2, 1), vec![2])]);
    scene.accept(2, at(2, 2));
    assert_eq!(appends(2, &scene.propose(2, b"2")), [(at(2, 2), vec![2])]);
    assert_eq!(appends(2, &scene.propose(3, b"3")), [(at(2, 3), vec![2])]);
    assert_eq!(appends(2, &scene.propose(4, b"4")), [], "the window is full");
    assert_eq!(appends(2, &scene.propose(5, b"5")), []);
    // The proposals made meanwhile are sent together.
    assert_eq!(appends(2, &scene.accept(2, at(2, 3))), [(at(2, 4), vec![2, 2])]);
}

#[test]
fn the_window_in_bytes_is_kept() {
    let mut setup = setup(3, 1, &[]);
    setup.config.limits = Limits {
        inflight_bytes: 100,
        ..Limits::default()
    };
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene.accept(2, at(2, 1));
    for position in 2..5 {
        scene.propose(position, b"");
        scene.accept(2, at(2, position));
    }
    // With the flat sum per entry, this is exactly the window.
    assert_eq!(appends(2, &scene.propose(5, &[0; 100 - 32])).len(), 1);
    assert_eq!(appends(2, &scene.propose(6, b"")), []);
    assert_eq!(appends(2, &scene.accept(2, at(2, 5))).len(), 1);
}

// Proposals that are fed before actions are drained travel together.
#[test]
fn proposals_of_one_drain_travel_together() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    for number in 0..5_u64 {
        let payload = number.to_be_bytes()[..].into();
        scene.raft.step(Event::Propose {
            id: ProposalId::new(number),
            payload,
        });
    }
    let actions = scene.drain();
    assert_eq!(appends(2, &actions), [(at(2, 1), vec![2; 5])]);
    assert_eq!(writes(&actions).len(), 1);
}

// Figure 2, Leaders: an append is retried until it is answered. A probe is repeated with every heartbeat.
#[test]
fn a_probe_is_repeated_until_it_is_answered() {
    let mut scene = Scene::leader(3, 2, &[1]);
    scene.accept(2, at(2, 2));
    for _ in 0..3 {
        let actions = scene.tick(2);
        scene.accept(2, at(2, 2));
        assert_eq!(appends(3, &actions), [(at(1, 1), vec![2])]);
    }
}

// Found by simulation: a follower whose disk lost writes denies what it has acknowledged, for good. Probed again at
// once, it would deny without end.
#[test]
fn a_peer_that_denies_its_acknowledgement_is_probed_with_the_next_heartbeat() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.propose(1, b"one more");
    let asked = scene.reject(2, at(2, 2), None);
    assert_eq!(appends(2, &asked), [(at(2, 1), vec![2])]);
    for _ in 0..3 {
        assert_eq!(appends(2, &scene.reject(2, at(2, 1), None)), []);
        assert_eq!(appends(2, &scene.tick(2)), [(at(2, 1), vec![2])]);
    }
}

// Every wait ends: a window without progress is probed, and what the reply shows to be missing is sent again.
#[test]
fn a_lost_window_is_detected_and_sent_again() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.propose(1, b"lost");
    let probe = scene.tick(4);
    assert_eq!(appends(2, &probe), [(at(2, 2), vec![])]);
    let actions = scene.reject(2, at(2, 2), at(2, 1));
    assert_eq!(appends(2, &actions), [(at(2, 1), vec![2])]);
    let peer = scene.raft.progress(node(2)).expect("a peer");
    assert_eq!((peer.feeding, peer.next), (Feeding::Probe, index(2)));
}

#[test]
fn a_lost_acknowledgement_is_detected_as_well() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.propose(1, b"acknowledged in vain");
    assert_eq!(appends(2, &scene.tick(4)), [(at(2, 2), vec![])]);
    scene.accept(2, at(2, 2));
    assert_eq!(scene.commit(), 2);
    assert_eq!(appends(2, &scene.tick(4)), [], "nothing is in flight");
}

#[test]
fn what_was_in_flight_to_an_unreachable_peer_is_sent_again() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.propose(1, b"lost");
    let actions = scene.step(Event::Unreachable(node(2)));
    assert_eq!(appends(2, &actions), [(at(2, 1), vec![2])]);
    assert_eq!(
        appends(2, &scene.step(Event::Unreachable(node(2)))),
        [],
        "but not as fast as it is lost"
    );
}

// An operator sees for how long a peer has been silent, since the election if it has never answered.
#[test]
fn the_status_shows_for_how_long_a_peer_has_been_silent() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.tick(3);
    scene.accept(2, at(2, 1));
    scene.tick(2);
    let peers = scene.raft.status().peers;
    let silence: Vec<_> = peers.iter().map(|peer| (peer.node, peer.silent_ticks)).collect();
    assert_eq!(silence, [(node(2), 2), (node(3), 5)]);
    assert_eq!(scene.raft.progress(node(2)), peers.first().copied());
}

// A reply belongs to the session that it names: a returning peer does not answer for what was sent before its removal.
#[test]
fn answers_of_another_session_are_not_counted() {
    let mut scene = Scene::leader(3, 2, &[]);
    let outcome = AppendOutcome::Accepted { last: at(2, 1) };
    let (session, round) = (PeerSession::new(7), Round::new(0));
    scene.receive(
        2,
        2,
        Message::AppendReply {
            session,
            round,
            outcome,
            promise_micros: 0,
        },
    );
    assert_eq!(scene.commit(), 0);
    assert_eq!(scene.raft.progress(node(2)).expect("a peer").matched, None);
    assert_eq!(scene.raft.status().ignored.stale, 1);
}

// Where the peer lacks entries that the leader has compacted, only a snapshot helps.
#[test]
fn a_peer_that_lacks_compacted_entries_is_sent_a_snapshot() {
    for hint in [None, at(1, 3), at(2, 3), at(9, 4)] {
        let mut setup = setup(3, 9, &[]);
        setup.durable.snapshot = Some(snapshot(3, 5, 3));
        let mut scene = Scene::new(setup).expect("the disk is valid");
        scene.win();
        scene.reject(2, at(3, 5), hint);
        let peer = scene.raft.progress(node(2)).expect("a peer");
        assert_eq!(peer.feeding, Feeding::Snapshot, "{hint:?}");
    }
}

// A leader probes the base of its log before it falls back to a snapshot, and probes nothing if the hint is before it.
#[test]
fn logs_that_diverge_before_the_base_are_probed_at_the_base_last() {
    let leader = || {
        let mut setup = setup(3, 3, &[]);
        setup.durable.snapshot = Some(snapshot(3, 5, 3));
        setup.durable.entries = entries(5, &[3, 3]);
        let mut scene = Scene::new(setup).expect("the disk is valid");
        scene.win();
        scene
    };
    let feeding = |scene: &Scene| scene.raft.progress(node(2)).expect("a peer").feeding;
    let mut scene = leader();
    scene.reject(2, at(3, 7), at(1, 3));
    assert_eq!(
        feeding(&scene),
        Feeding::Snapshot,
        "it says that it lacks the base"
    );
    // It holds entries of earlier terms at the base's index and after it.
    let mut scene = leader();
    let actions = scene.reject(2, at(3, 7), at(1, 6));
    assert_eq!(appends(2, &actions)[0].0, at(3, 5));
    scene.reject(2, at(3, 5), at(1, 5));
    assert_eq!(feeding(&scene), Feeding::Snapshot);
}

/// The logs of Figure 7: the leader's, and the six that its followers may have.
const LEADER: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
const FOLLOWERS: [&[u64]; 6] = [
    &[1, 1, 1, 4, 4, 5, 5, 6, 6],
    &[1, 1, 1, 4],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    &[1, 1, 1, 4, 4, 4, 4],
    &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
];

/// Passes messages between a leader and a follower until their logs are equal; how many rejections that took.
fn converge(leader_log: &[u64], follower_log: &[u64], term: u64) -> usize {
    let mut leader = Scene::leader(3, term, leader_log);
    let mut follower = Scene::follower(3, term, follower_log);
    let mut to_follower = leader.tick(2);
    let mut refusals = 0;
    for _ in 0..100 {
        let mut replies = Vec::new();
        for message in sent_to(2, &to_follower) {
            replies.extend(sent_to(2, &follower.receive(2, term, message)));
        }
        to_follower.clear();
        for reply in replies {
            if let Message::AppendReply {
                outcome: AppendOutcome::Rejected { .. },
                ..
            } = reply
            {
                refusals += 1;
            }
            to_follower.extend(leader.receive(2, term, reply));
        }
        if follower.log() == leader.log() {
            return refusals;
        }
    }
    panic!("{follower_log:?} never becomes {leader_log:?}");
}

// Figure 7: whatever entries a follower lacks or has too many of, its log becomes the leader's.
#[test]
fn all_logs_of_figure_7_become_the_leaders() {
    for log in FOLLOWERS {
        let refusals = converge(LEADER, log, 8);
        assert!(refusals <= 2, "one refusal skips a term: {log:?} took {refusals}");
    }
}

#[test]
fn a_long_diverging_log_costs_few_rejections() {
    let leader: Vec<u64> = [vec![1; 50], vec![9; 200]].concat();
    let follower: Vec<u64> = [vec![1; 50], vec![2; 300]].concat();
    assert!(converge(&leader, &follower, 10) <= 2);
    assert!(converge(&leader, &[], 10) <= 2);
    assert!(converge(&[], &follower, 10) <= 2);
}

/// Brings a follower up to date in calm weather, in which nothing is lost, but every reply arrives again after so many
/// others. Returns how many appends the leader sent, and how many entries in them.
fn sent_until_up_to_date(leader_log: &[u64], follower_log: &[u64], again_after: usize) -> (usize, usize) {
    let term = 1_000;
    let mut setup = setup(3, term - 1, leader_log);
    setup.config.limits.message_bytes = 4 * entries(0, &[1])[0].cost_bytes();
    let mut leader = Scene::new(setup).expect("the disk is valid");
    leader.win();
    let mut follower = Scene::follower(3, term, follower_log);
    let mut to_follower: Vec<Message> = sent_to(2, &leader.tick(2));
    let (mut appends, mut carried) = (0, 0);
    let mut late = std::collections::VecDeque::new();
    while follower.log() != leader.log() {
        let mut replies = Vec::new();
        for message in to_follower.drain(..) {
            if let Message::Append { entries, .. } = &message {
                appends += 1;
                carried += entries.len();
            }
            replies.extend(sent_to(2, &follower.receive(2, term, message)));
        }
        for reply in replies {
            late.push_back(reply.clone());
            let repeated = (late.len() > again_after).then(|| late.pop_front()).flatten();
            for reply in [Some(reply), repeated].into_iter().flatten() {
                to_follower.extend(sent_to(2, &leader.receive(2, term, reply)));
            }
        }
        if to_follower.is_empty() {
            to_follower = sent_to(2, &leader.tick(2));
        }
        assert!(appends < 10_000, "{follower_log:?} never becomes {leader_log:?}");
    }
    (appends, carried)
}

// What is wasted breaks no rule, and so no other test sees it: every entry that the follower lacks is sent once, and
// what is asked for beside that is bounded by the terms in which the logs differ, whatever arrives twice.
#[test]
fn a_follower_is_brought_up_to_date_without_wasted_round_trips() {
    let shared = vec![1; 20];
    let leader: Vec<u64> = [
        shared.clone(),
        (1..=80).flat_map(|term| [2 * term + 1; 3]).collect(),
    ]
    .concat();
    for terms in [0, 1, 5, 20] {
        // A term has one leader: those of the follower's own entries are others.
        let own = (1..=terms).flat_map(|term| [2 * term; 4]);
        let follower: Vec<u64> = shared.iter().copied().chain(own).collect();
        // With the leader's no-op.
        let lacks = leader.len() + 1 - shared.len();
        for again_after in [0, 1, 2, 7] {
            let (appends, carried) = sent_until_up_to_date(&leader, &follower, again_after);
            let needed = lacks.div_ceil(4);
            let asked = terms as usize + 3;
            assert!(
                appends <= needed + asked && carried <= lacks + 4 * asked,
                "{appends} appends with {carried} entries for {lacks} that it lacks, after {terms} terms of its own"
            );
        }
    }
}

// Heartbeats are answered whatever the log is like, and never wait for it.
#[test]
fn a_heartbeat_is_answered_with_its_session_and_round() {
    let mut scene = Scene::follower(3, 2, &[]);
    scene.prompt = false;
    scene.append(2, None, &[1], 0);
    let (session, round) = (PeerSession::new(4), Round::new(9));
    let actions = scene.receive(
        2,
        2,
        Message::Heartbeat {
            session,
            round,
            commit: None,
        },
    );
    assert_eq!(
        sent_to(2, &actions),
        [Message::HeartbeatReply {
            session,
            round,
            promise_micros: 0,
            level: raft_core::Level::ZERO,
            halted: false,
            stalled: false,
            wall_time: None,
        }]
    );
}

// §5.3: a follower that was down for long catches up, wherever its log ends.
#[test]
fn a_follower_that_was_down_catches_up() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let lagging = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.propose(leader, b"before");
    cluster.tick(5);
    cluster.crash(lagging);
    for number in 0..100 {
        cluster.propose(leader, &[number]);
        cluster.deliver();
    }
    cluster.restart(lagging);
    cluster.tick(10);
    assert_eq!(cluster.journal(lagging).len(), 101);
}

/// Where the entries of each write, append and apply lie in memory.
fn places_of_entries(actions: &[Action]) -> Vec<*const Entry> {
    let entries = actions.iter().filter_map(|action| match action {
        Action::Persist(persist) => Some(&persist.entries),
        Action::Send(envelope) => match &envelope.message {
            Message::Append { entries, .. } => Some(entries),
            _ => None,
        },
        Action::Apply { entries } => Some(entries),
        _ => None,
    });
    let entries = entries.filter(|entries| !entries.is_empty());
    entries.map(|entries| entries.as_ptr()).collect()
}

// Ours: entries that arrived together are written, sent to all peers and applied from one place in memory, and none of
// them is copied.
#[test]
fn entries_that_arrive_together_are_shared_and_not_copied() {
    for count in [1, 5, 8, 300] {
        let mut scene = Scene::leader(3, 2, &[]);
        for peer in [2, 3] {
            scene.accept(peer, at(2, 1));
        }
        for id in 1..=count {
            let id = ProposalId::new(id);
            let payload = Payload::from(&b"x"[..]);
            scene.raft.step(Event::Propose { id, payload });
        }
        let mut places = places_of_entries(&scene.drain());
        assert_eq!(places.len(), 3, "one write and two appends");
        places.extend(places_of_entries(&scene.accept(2, at(2, 1 + count))));
        assert_eq!(places.len(), 4, "all of them are applied at once");
        assert!(
            places.iter().all(|&place| place == places[0]),
            "{count} at the leader"
        );

        let mut follower = Scene::follower(3, 2, &[]);
        let terms = vec![2; usize::try_from(count).expect("a small number")];
        let mut places = places_of_entries(&follower.append(2, None, &terms, 0));
        places.extend(places_of_entries(&follower.append(2, at(2, count), &[], count)));
        assert_eq!(places.len(), 2, "one write and one apply");
        assert_eq!(places[0], places[1], "{count} at a follower");
    }
}

// Entries that arrived at different times have no single place in memory, and are copied once for all peers.
#[test]
fn entries_that_several_peers_lack_are_copied_once() {
    let mut scene = Scene::leader(3, 2, &[]);
    for peer in [2, 3] {
        scene.accept(peer, at(2, 1));
    }
    // The first fills the windows; the others wait.
    for id in 1..=3 {
        scene.propose(id, b"x");
    }
    for peer in [2, 3] {
        let acknowledges = Message::AppendReply {
            session: scene.session(peer),
            round: Round::new(0),
            outcome: AppendOutcome::Accepted { last: at(2, 2) },
            promise_micros: 0,
        };
        let envelope = scene.envelope(peer, 2, acknowledges);
        scene.raft.step(Event::Receive(envelope));
    }
    let actions = scene.drain();
    let place = |to| match &sent_to(to, &actions)[..] {
        [Message::Append { entries, .. }] => entries.as_ptr(),
        other => panic!("{other:?}"),
    };
    assert_eq!(appends(2, &actions), [(at(2, 2), vec![2, 2])]);
    assert_eq!(place(2), place(3));
}
