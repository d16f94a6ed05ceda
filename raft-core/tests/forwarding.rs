//! Client requests at a server that is not the leader: forwarded, and always answered. Ours; the read index of
//! followers is dissertation §6.4, last paragraph.

mod support;

use raft_core::{
    Action, Boot, Change, Entry, EntryBody, Event, Expected, Forwarded, Incarnation, Index, Input,
    Membership, Message, Notice, Origin, ProposalId, ReadMode, ReadOutcome, Refusal, Rejection, RoleName,
    Round,
};
use support::scene::{
    Scene, append, at, entries, heartbeat, id, index, kinds, node, sent, sent_to, setup, voters, writes,
};

/// Server 1 of three, which follows server 2 in term 2 and forwards requests.
fn follower() -> Scene {
    let mut scene = helpful(&[]);
    scene.receive(2, 2, heartbeat(None));
    scene
}

/// Server 1 of three in term 1, which forwards requests when it knows the leader.
fn helpful(log: &[u64]) -> Scene {
    let mut setup = setup(3, 1, log);
    setup.config.options.forwarding = true;
    Scene::new(setup).expect("the disk is valid")
}

/// Server 1 of three as the leader of term 2, its no-op at 1 committed.
fn leader() -> Scene {
    let mut scene = helpful(&[]);
    scene.win();
    scene.accept(2, at(2, 1));
    assert_eq!(scene.commit(), 1);
    scene
}

fn command(text: &str) -> raft_core::Payload {
    text.as_bytes().into()
}

// A request that waited for a stalled disk would be sent again with every heartbeat, and pile up.
#[test]
fn nothing_is_forwarded_in_a_term_that_waits_for_the_disk() {
    let mut scene = helpful(&[1]);
    scene.prompt = false;
    let ticket = writes(&scene.receive(2, 2, heartbeat(None)))[0].ticket;
    scene.propose(1, b"later");
    scene.read(2);
    for _ in 0..4 {
        scene.receive(2, 2, heartbeat(None));
        assert_eq!(sent(&scene.tick(2)), []);
        assert!(scene.raft.next_deadline() > Some(scene.raft.now()));
    }
    let sent = kinds(&scene.step(Event::Persisted(ticket)));
    assert_eq!(sent, [(2, "HeartbeatReply"), (2, "Forward"), (2, "ReadIndex")]);
}

/// What a server asks of its leader in its first boot.
fn forward(floor: u64, commands: &[(u64, &str)]) -> Message {
    let commands = commands.iter().map(|&(number, text)| (number, command(text)));
    Message::Forward {
        boot: Boot::new(1, 1),
        floor,
        commands: commands.collect(),
    }
}

/// The entry in which a leader has taken in a command of this server's first boot.
fn taken_in(term: u64, position: u64, origin: u64, number: u64, text: &str) -> Entry {
    let origin = Origin {
        node: node(origin),
        incarnation: Incarnation::new(origin),
        boot: Boot::new(1, 1),
        number,
    };
    let command = command(text);
    Entry {
        id: id(term, position),
        body: EntryBody::Forwarded(Forwarded { origin, command }.into()),
    }
}

/// How proposals ended among the actions.
fn outcomes(actions: &[Action]) -> Vec<(u64, &'static str)> {
    let outcomes = actions.iter().filter_map(|action| match action {
        Action::Done { id, .. } => Some((id.value(), "done")),
        Action::Notice(Notice::Rejected { id, .. }) => Some((id.value(), "rejected")),
        Action::Notice(Notice::Superseded { id }) => Some((id.value(), "superseded")),
        Action::Notice(Notice::Unknown { id }) => Some((id.value(), "unknown")),
        _ => None,
    });
    outcomes.collect()
}

fn ready(actions: &[Action]) -> Vec<(u64, u64)> {
    let ready = actions.iter().filter_map(|action| match action {
        Action::ReadReady { id, index } => Some((id.value(), index.value())),
        _ => None,
    });
    ready.collect()
}

fn refused_reads(actions: &[Action]) -> Vec<(u64, Rejection)> {
    let refused = actions.iter().filter_map(|action| match action {
        Action::Notice(Notice::ReadRejected { id, reason }) => Some((id.value(), *reason)),
        _ => None,
    });
    refused.collect()
}

#[test]
fn a_follower_forwards_a_proposal_and_answers_when_it_has_applied_it() {
    let mut scene = follower();
    let actions = scene.propose(7, b"seven");
    assert_eq!(sent(&actions), [(2, forward(1, &[(1, "seven")]))]);
    let actions = scene.receive(2, 2, append(None, vec![taken_in(2, 1, 1, 1, "seven")], 0));
    assert_eq!(outcomes(&actions), [], "it is not committed yet");
    let actions = scene.receive(2, 2, heartbeat(at(2, 1)));
    let applied = actions.iter().find_map(|action| match action {
        Action::Apply { entries } => entries[0].command(),
        _ => None,
    });
    assert_eq!(applied, Some(&command("seven")));
    assert_eq!(outcomes(&actions), [(7, "done")]);
}

#[test]
fn without_the_option_a_follower_names_the_leader() {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.receive(2, 2, heartbeat(None));
    let actions = scene.propose(7, b"seven");
    let leader = Some(node(2));
    let [Action::Notice(Notice::Rejected { reason, payload, .. })] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (*reason, &payload[..]),
        (Rejection::NotLeader { leader }, &b"seven"[..])
    );
    assert_eq!(
        refused_reads(&scene.read(8)),
        [(8, Rejection::NotLeader { leader })]
    );
}

// The network may lose it. The leader knows it by its number.
#[test]
fn a_command_is_sent_again_until_it_is_seen_in_the_log() {
    let mut scene = follower();
    scene.propose(7, b"seven");
    let again = scene.tick(2);
    assert_eq!(sent_to(2, &again), [forward(1, &[(1, "seven")])]);
    scene.receive(2, 2, append(None, vec![taken_in(2, 1, 1, 1, "seven")], 0));
    assert_eq!(sent_to(2, &scene.tick(2)), []);
}

#[test]
fn commands_of_one_drain_share_messages_up_to_their_limit() {
    let mut setup = setup(3, 1, &[]);
    setup.config.options.forwarding = true;
    // Each counts 64 bytes besides, as in the leader's log: many small commands do not make a large message.
    setup.config.limits.message_bytes = 2 * (64 + 3);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.receive(2, 2, heartbeat(None));
    for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
        scene.raft.step(Event::Propose {
            id: ProposalId::new(id),
            payload: command(text),
        });
    }
    let messages = sent_to(2, &scene.drain());
    assert_eq!(
        messages,
        [forward(1, &[(1, "one"), (2, "two")]), forward(1, &[(3, "three")])]
    );
}

// A leader of a later term cannot know whether the earlier one has taken the command in.
#[test]
fn a_command_goes_to_the_leader_of_one_term_only() {
    let mut scene = follower();
    scene.propose(7, b"seven");
    let actions = [scene.receive(3, 3, heartbeat(None)), scene.tick(4)].concat();
    assert!(!kinds(&actions).contains(&(3, "Forward")), "{actions:?}");
    // The later leader's entry is committed, and the command is not among those before it: it never will be.
    let noop = Entry {
        id: id(3, 1),
        body: EntryBody::Noop,
    };
    let actions = scene.receive(3, 3, append(None, vec![noop], 1));
    assert_eq!(outcomes(&actions), [(7, "superseded")]);
}

#[test]
fn a_command_of_an_earlier_term_may_still_arrive_by_the_log() {
    let mut scene = follower();
    scene.propose(7, b"seven");
    let log = vec![
        taken_in(2, 1, 1, 1, "seven"),
        Entry {
            id: id(3, 2),
            body: EntryBody::Noop,
        },
    ];
    let actions = scene.receive(3, 3, append(None, log, 2));
    assert_eq!(outcomes(&actions), [(7, "done")]);
}

#[test]
fn a_forwarded_command_that_a_snapshot_may_hide_is_unknown() {
    let mut scene = follower();
    scene.propose(7, b"seven");
    let meta = support::scene::snapshot(2, 5, 3);
    let actions = scene.step(Input::SnapshotReady { from: node(2), meta });
    assert_eq!(outcomes(&actions), [(7, "unknown")]);
}

#[test]
fn every_wait_for_a_leader_ends() {
    let mut sent_once = follower();
    sent_once.propose(7, b"seven");
    sent_once.read(8);
    let actions = sent_once.tick(80);
    assert_eq!(outcomes(&actions), [(7, "unknown")]);
    assert_eq!(refused_reads(&actions).len(), 1);
    // No message with this one has left, so it is handed back.
    let mut unsent = follower();
    unsent.raft.step(Event::Propose {
        id: ProposalId::new(9),
        payload: command("nine"),
    });
    unsent.raft.step(Event::Campaign);
    let actions = [unsent.drain(), unsent.tick(80)].concat();
    assert_eq!(outcomes(&actions), [(9, "rejected")]);
}

/// An append from server 2 that sets the voters of the configuration, at 1 in term 2, and says that it is committed.
fn removed_from(voters: &[u64], commit: u64) -> Message {
    let known = voters.iter().map(|&voter| (node(voter), Incarnation::new(voter)));
    let membership = Membership::of_voters(voters.iter().map(|&voter| node(voter))).bind(known);
    let entry = Entry {
        id: id(2, 1),
        body: EntryBody::Membership(membership.into()),
    };
    append(None, vec![entry], commit)
}

// A leader stops sending to a removed server, and no server could tell it what became of its clients' proposals.
#[test]
fn a_server_that_knows_of_its_removal_forwards_nothing() {
    let mut scene = follower();
    scene.receive(2, 2, removed_from(&[2, 3], 0));
    assert_eq!(outcomes(&scene.propose(1, b"may yet be done")), []);
    assert_eq!(
        outcomes(&scene.receive(2, 2, heartbeat(at(2, 1)))),
        [(1, "unknown")]
    );
    assert_eq!(outcomes(&scene.propose(2, b"too late")), [(2, "rejected")]);
    assert_eq!(refused_reads(&scene.read(3)).len(), 1);
}

// It may still be sent an entry that it forwarded, before its leader stops, and never learn that it is committed.
#[test]
fn a_command_that_arrives_after_the_own_removal_is_unknown() {
    let mut scene = follower();
    scene.propose(1, b"forwarded");
    let mut entries = entries(0, &[2]);
    entries[0].body = match removed_from(&[2, 3], 1) {
        Message::Append { entries, .. } => entries[0].body.clone(),
        _ => unreachable!("it is an append"),
    };
    entries.push(taken_in(2, 2, 1, 1, "forwarded"));
    let actions = scene.receive(2, 2, append(None, entries, 1));
    assert_eq!(outcomes(&actions), [(1, "unknown")]);
}

// The removal is committed, its revocation was not, and is truncated: from then on no server sends this one anything.
#[test]
fn a_command_that_depends_on_a_truncated_return_is_unknown() {
    let mut scene = follower();
    scene.receive(2, 2, removed_from(&[2, 3], 0));
    let back = Entry {
        id: id(2, 2),
        body: EntryBody::Membership(voters(3).into()),
    };
    scene.receive(2, 2, append(at(2, 1), vec![back], 0));
    scene.propose(1, b"forwarded");
    scene.receive(2, 2, append(at(2, 2), vec![taken_in(2, 3, 1, 1, "forwarded")], 0));
    assert_eq!(outcomes(&scene.receive(2, 2, heartbeat(at(2, 1)))), []);
    let actions = scene.receive(3, 3, append(at(2, 1), entries(1, &[3]), 1));
    assert_eq!(outcomes(&actions), [(1, "unknown")]);
}

#[test]
fn a_failed_disk_ends_forwarded_requests() {
    let mut scene = follower();
    scene.propose(7, b"seven");
    scene.read(8);
    let actions = scene.step(Event::PersistFailed);
    assert_eq!(outcomes(&actions), [(7, "unknown")]);
    assert_eq!(refused_reads(&actions), [(8, Rejection::Failed)]);
}

#[test]
fn forwarded_requests_are_limited() {
    let mut setup = setup(3, 1, &[]);
    setup.config.options.forwarding = true;
    setup.config.limits.proposals = 2;
    setup.config.limits.message_bytes = 10;
    setup.config.limits.uncommitted_bytes = (64 + 10) + (64 + 2);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.receive(2, 2, heartbeat(None));
    assert_eq!(outcomes(&scene.propose(1, b"eleven byte")), [(1, "rejected")]);
    assert_eq!(outcomes(&scene.propose(2, b"ten bytes.")), []);
    assert_eq!(outcomes(&scene.propose(3, b"six ..")), [(3, "rejected")], "bytes");
    assert_eq!(outcomes(&scene.propose(4, b"2.")), []);
    assert_eq!(outcomes(&scene.propose(5, b"")), [(5, "rejected")], "proposals");
}

#[test]
fn a_leader_takes_in_each_command_once() {
    let mut scene = leader();
    scene.receive(2, 2, forward(1, &[(1, "one"), (2, "two")]));
    scene.receive(2, 2, forward(1, &[(1, "one"), (2, "two"), (3, "three")]));
    assert_eq!(scene.log(), [2, 2, 2, 2]);
    let newest = scene.raft.entry(index(4)).map(|entry| entry.body.clone());
    assert_eq!(newest, Some(taken_in(2, 4, 2, 3, "three").body));
}

// The same number from another boot, or from another server, names another command.
#[test]
fn commands_of_another_boot_and_of_another_server_are_others() {
    let mut scene = leader();
    scene.receive(2, 2, forward(1, &[(1, "one")]));
    scene.receive(3, 2, forward(1, &[(1, "one")]));
    let Message::Forward { floor, commands, .. } = forward(1, &[(1, "one")]) else {
        unreachable!("it is one")
    };
    let later = Message::Forward {
        boot: Boot::new(2, 2),
        floor,
        commands,
    };
    scene.receive(2, 2, later);
    assert_eq!(scene.log(), [2, 2, 2, 2]);
    scene.receive(2, 2, forward(1, &[(2, "of a boot that is over")]));
    assert_eq!(scene.log(), [2, 2, 2, 2]);
}

#[test]
fn a_refusal_by_a_leader_is_final() {
    let mut setup = setup(3, 1, &[]);
    setup.config.limits.message_bytes = 5;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    let refused = Message::ForwardRefused {
        boot: Boot::new(1, 1),
        refused: vec![(1, Refusal::TooLarge { limit: 5 })],
    };
    for _ in 0..2 {
        let actions = scene.receive(2, 2, forward(1, &[(1, "six...")]));
        assert_eq!(sent(&actions), [(2, refused.clone())]);
    }
    scene.step(Event::Transfer { to: node(3) });
    let actions = scene.receive(2, 2, forward(1, &[(2, "two")]));
    let reason = Refusal::Transferring { to: node(3) };
    assert_eq!(
        sent(&actions),
        [(
            2,
            Message::ForwardRefused {
                boot: Boot::new(1, 1),
                refused: vec![(2, reason)]
            }
        )]
    );
    assert_eq!(scene.log(), [2]);
}

#[test]
fn a_refused_command_is_handed_back_with_the_leader_s_reason() {
    let mut scene = follower();
    scene.propose(7, b"seven");
    let refused = Message::ForwardRefused {
        boot: Boot::new(1, 1),
        refused: vec![(1, Refusal::Busy { limit: 99 })],
    };
    // A reason from a server that does not lead does not count.
    assert_eq!(outcomes(&scene.receive(3, 2, refused.clone())), []);
    let actions = scene.receive(2, 2, refused);
    let [Action::Notice(Notice::Rejected { reason, payload, .. })] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    let what = raft_core::Waiting::UncommittedBytes;
    assert_eq!(
        (*reason, &payload[..]),
        (Rejection::Busy { what, limit: 99 }, &b"seven"[..])
    );
}

// A command whose outcome the origin knows need not be remembered, and no late copy of it is taken in.
#[test]
fn a_leader_forgets_below_the_floor_and_takes_in_nothing_from_there() {
    let mut scene = leader();
    scene.receive(2, 2, forward(3, &[(3, "three")]));
    scene.receive(2, 2, forward(1, &[(1, "one"), (2, "two")]));
    assert_eq!(scene.log(), [2, 2]);
}

#[test]
fn a_strangers_commands_are_not_taken_in() {
    let mut scene = leader();
    scene.receive(9, 2, forward(1, &[(1, "one")]));
    assert_eq!(scene.log(), [2]);
    let mut follower = follower();
    follower.receive(3, 2, forward(1, &[(1, "one")]));
    assert_eq!(follower.log(), Vec::<u64>::new());
}

fn change(scene: &mut Scene, change: Change) {
    let id = ProposalId::new(99);
    let expect = Expected::Any;
    scene.step(Event::ChangeMembership {
        id,
        expect,
        change,
        force: false,
    });
    let last = scene.raft.vitals().last;
    scene.accept(2, last);
}

// Found by simulation: a leader forgot what it had taken in when the removed server sent it again, and took it in twice
// after the server was added again.
#[test]
fn a_leader_remembers_what_it_has_taken_in_of_a_server_that_was_removed_since() {
    let mut scene = leader();
    change(&mut scene, Change::AddLearner(node(4)));
    scene.receive(4, 2, forward(1, &[(1, "one")]));
    let last = scene.raft.vitals().last;
    scene.accept(2, last);
    change(&mut scene, Change::Remove(node(4)));
    for _ in 0..200 {
        scene.step(Event::Tick(1));
        let last = scene.raft.vitals().last;
        scene.accept(2, last);
    }
    scene.receive(4, 2, forward(1, &[(1, "one")]));
    change(&mut scene, Change::AddLearner(node(4)));
    let before = scene.log();
    scene.receive(4, 2, forward(1, &[(1, "one")]));
    assert_eq!(scene.log(), before);
}

// A forwarded entry takes a little more room than the command alone.
#[test]
fn forwarded_commands_keep_to_the_limit_of_uncommitted_bytes() {
    let mut setup = setup(3, 1, &[]);
    setup.config.limits.uncommitted_bytes = 200;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    let mut uncommitted = 0;
    for number in 1..9 {
        scene.receive(2, 2, forward(1, &[(number, "four")]));
        let last = scene.raft.vitals().last.expect("the no-op is there").index;
        uncommitted = (2..=last.value())
            .filter_map(|at| scene.raft.entry(index(at)))
            .map(Entry::cost_bytes)
            .sum();
        assert!(uncommitted <= 200, "{uncommitted}");
    }
    assert!(uncommitted > 100, "and makes use of it");
}

#[test]
fn a_new_leader_takes_in_what_it_had_not_forwarded() {
    let mut scene = follower();
    scene.raft.step(Event::Propose {
        id: ProposalId::new(7),
        payload: command("seven"),
    });
    scene.raft.step(Input::Read {
        id: raft_core::ReadId::new(8),
        mode: ReadMode::Quorum,
    });
    scene.receive(2, 2, Message::TimeoutNow);
    assert_eq!(scene.role(), RoleName::Candidate);
    scene.grant(2);
    assert_eq!(scene.role(), RoleName::Leader);
    let written = scene.raft.entry(index(2)).and_then(Entry::command).cloned();
    assert_eq!(written, Some(command("seven")));
    let actions = scene.accept(2, at(3, 2));
    assert_eq!(outcomes(&actions), [(7, "done")]);
    let round = Round::new(1);
    let session = scene.session(2);
    let actions = scene.receive(
        2,
        3,
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
    assert_eq!(ready(&actions), [(8, 2)]);
}

fn read_index(request: u64) -> Message {
    Message::ReadIndex {
        boot: Boot::new(1, 1),
        request,
        mode: ReadMode::Quorum,
    }
}

fn confirmed(request: u64, position: u64) -> Message {
    Message::ReadIndexReply {
        boot: Boot::new(1, 1),
        request,
        outcome: ReadOutcome::Confirmed {
            index: index(position),
        },
    }
}

// Dissertation §6.4, last paragraph: the leader runs steps 1 to 3, the follower step 4 on its own state machine.
#[test]
fn a_follower_asks_for_the_read_index_and_answers_when_it_has_applied_that() {
    let mut scene = follower();
    let actions = scene.read(7);
    assert_eq!(sent(&actions), [(2, read_index(1))]);
    assert_eq!(ready(&scene.receive(2, 2, confirmed(1, 2))), []);
    scene.receive(2, 2, append(None, entries(0, &[2, 2]), 1));
    let actions = scene.receive(2, 2, heartbeat(at(2, 2)));
    assert_eq!(ready(&actions), [(7, 2)]);
}

#[test]
fn reads_of_one_drain_share_a_request() {
    let mut scene = follower();
    for id in [1, 2] {
        scene.raft.step(Input::Read {
            id: raft_core::ReadId::new(id),
            mode: ReadMode::Quorum,
        });
    }
    assert_eq!(sent(&scene.drain()), [(2, read_index(1))]);
    // A later read must not rest on an answer to an earlier request.
    assert_eq!(sent(&scene.read(3)), [(2, read_index(2))]);
    scene.receive(2, 2, append(None, entries(0, &[2]), 1));
    assert_eq!(ready(&scene.receive(2, 2, confirmed(1, 1))), [(1, 1), (2, 1)]);
    assert_eq!(ready(&scene.receive(2, 2, confirmed(2, 1))), [(3, 1)]);
}

#[test]
fn a_request_for_a_read_index_is_sent_again_and_to_the_next_leader() {
    let mut scene = follower();
    scene.read(7);
    assert_eq!(sent_to(2, &scene.tick(2)), [read_index(1)]);
    let actions = [scene.receive(3, 3, heartbeat(None)), scene.tick(2)].concat();
    assert!(sent_to(3, &actions).contains(&read_index(1)), "{actions:?}");
}

#[test]
fn a_leader_answers_a_request_when_a_quorum_has_confirmed_it() {
    let mut scene = leader();
    let actions = scene.receive(2, 2, read_index(5));
    assert!(!kinds(&actions).contains(&(2, "ReadIndexReply")), "{actions:?}");
    let (session, round) = (scene.session(3), Round::new(1));
    let actions = scene.receive(
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
    assert_eq!(sent(&actions), [(2, confirmed(5, 1))]);
}

#[test]
fn a_leader_with_too_many_reads_refuses_more() {
    let mut setup = setup(3, 1, &[]);
    setup.config.limits.reads = 1;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene.read(1);
    let actions = scene.receive(2, 2, read_index(5));
    let outcome = ReadOutcome::Busy { limit: 1 };
    let busy = Message::ReadIndexReply {
        boot: Boot::new(1, 1),
        request: 5,
        outcome,
    };
    assert_eq!(sent(&actions), [(2, busy.clone())]);
    let mut follower = follower();
    follower.read(7);
    let Message::ReadIndexReply { boot, outcome, .. } = busy else {
        unreachable!("it is one")
    };
    let busy = Message::ReadIndexReply {
        boot,
        request: 1,
        outcome,
    };
    let what = raft_core::Waiting::Reads;
    assert_eq!(
        refused_reads(&follower.receive(2, 2, busy)),
        [(7, Rejection::Busy { what, limit: 1 })]
    );
}

#[test]
fn a_reply_to_another_boot_is_ignored() {
    let mut scene = follower();
    scene.read(7);
    scene.receive(2, 2, append(None, entries(0, &[2]), 1));
    let stale = Message::ReadIndexReply {
        boot: Boot::new(9, 9),
        request: 1,
        outcome: ReadOutcome::Confirmed { index: Index::FIRST },
    };
    assert_eq!(ready(&scene.receive(2, 2, stale)), []);
}

// A leader remembers commands by the folder that they came from. Folders that it has not met yet could be invented
// without end.
#[test]
fn commands_of_an_unknown_folder_are_not_taken_in() {
    let mut setup = setup(3, 1, &[]);
    setup.bootstrap = Membership::of_voters((1..=3).map(node));
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    assert_eq!(scene.commit(), 0, "no peer has answered, and none is bound");
    assert_eq!(scene.receive(2, 2, forward(1, &[(1, "early")])), []);
    scene.accept(2, at(2, 1));
    let last = scene.log().len();
    scene.receive(2, 2, forward(1, &[(1, "early")]));
    assert_eq!(scene.log().len(), last + 1, "it is sent again, and taken in");
}

// The client was told that it was refused for good. It may have done something else since.
#[test]
fn a_copy_of_a_refused_command_is_refused_after_the_reason_has_passed() {
    let mut setup = setup(3, 1, &[]);
    setup.config.limits.uncommitted_bytes = 100;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    scene.accept(2, at(2, 1));
    scene.propose(1, b"fills the limit");
    let log = scene.log();
    let busy = Message::ForwardRefused {
        boot: Boot::new(1, 1),
        refused: vec![(1, Refusal::Busy { limit: 100 })],
    };
    let actions = scene.receive(2, 2, forward(1, &[(1, "one too many")]));
    assert_eq!(sent(&actions), [(2, busy.clone())]);
    scene.accept(2, at(2, 2));
    assert_eq!(scene.raft.uncommitted_bytes(), 0, "there is room now");
    let actions = scene.receive(2, 2, forward(1, &[(1, "one too many")]));
    assert_eq!((sent(&actions), scene.log()), (vec![(2, busy)], log.clone()));

    scene.step(Event::Transfer { to: node(3) });
    let handing_over = Message::ForwardRefused {
        boot: Boot::new(1, 1),
        refused: vec![(2, Refusal::Transferring { to: node(3) })],
    };
    let actions = scene.receive(2, 2, forward(2, &[(2, "too late")]));
    assert_eq!(sent(&actions), [(2, handing_over.clone())]);
    while scene.raft.status().transferring_to.is_some() {
        scene.accept(2, at(2, 2));
        scene.tick(1);
    }
    assert_eq!(scene.role(), RoleName::Leader);
    let actions = scene.receive(2, 2, forward(2, &[(2, "too late")]));
    assert_eq!((sent(&actions), scene.log()), (vec![(2, handing_over)], log));
}

/// Server 1 of three, which follows server 2 and may have a few commands waiting at a time.
fn follower_with_little_room() -> Scene {
    let mut setup = setup(3, 1, &[]);
    setup.config.options.forwarding = true;
    setup.config.limits.uncommitted_bytes = 300;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.receive(2, 2, heartbeat(None));
    scene
}

// A limit that fills up for good refuses everything in the end, long after the mistake.
#[test]
fn a_forwarded_command_gives_its_room_back_when_it_is_seen_in_the_log() {
    let mut scene = follower_with_little_room();
    for number in 1..=50 {
        assert_eq!(
            outcomes(&scene.propose(number, b"some bytes")),
            [],
            "command {number}"
        );
        let entry = taken_in(2, number, 1, number, "some bytes");
        let prev = at(if number == 1 { 0 } else { 2 }, number - 1);
        let actions = scene.receive(2, 2, append(prev, vec![entry], number));
        assert_eq!(outcomes(&actions), [(number, "done")]);
    }
}

#[test]
fn a_forwarded_command_gives_its_room_back_however_it_ends() {
    let mut scene = follower_with_little_room();
    let mut id = 0;
    let mut propose = |scene: &mut Scene| {
        id += 1;
        outcomes(&scene.propose(id, b"some bytes"))
    };
    // Refused by the leader.
    for number in 1..=50 {
        assert_eq!(propose(&mut scene), []);
        let refused = Message::ForwardRefused {
            boot: Boot::new(1, 1),
            refused: vec![(number, Refusal::Busy { limit: 9 })],
        };
        assert_eq!(outcomes(&scene.receive(2, 2, refused)), [(number, "rejected")]);
    }
    // Given up, again and again.
    for _ in 0..50 {
        assert_eq!(propose(&mut scene), []);
        let mut ended = Vec::new();
        while ended.is_empty() {
            scene.receive(2, 2, heartbeat(None));
            ended = outcomes(&scene.tick(1));
        }
        assert!(
            ended.iter().all(|(_, outcome)| *outcome == "unknown"),
            "{ended:?}"
        );
    }
}

// Commands that were not forwarded yet are the new leader's own: they count as such, and as nothing else.
#[test]
fn a_new_leader_is_not_held_back_by_what_it_had_not_forwarded() {
    let mut setup = setup(3, 1, &[]);
    setup.config.options.forwarding = true;
    setup.config.limits.uncommitted_bytes = 300;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    for round in 0..20_u64 {
        let (term, last) = (scene.term() + 1, scene.raft.vitals().last);
        scene.receive(2, term, heartbeat(None));
        scene.raft.step(Event::Propose {
            id: ProposalId::new(round),
            payload: command("some bytes"),
        });
        scene.receive(2, term, Message::TimeoutNow);
        scene.grant(2);
        assert_eq!(scene.role(), RoleName::Leader);
        let position = last.map_or(0, |last| last.index.value()) + 2;
        let actions = scene.accept(2, at(term + 1, position));
        assert_eq!(outcomes(&actions), [(round, "done")]);
    }
}

// Two folders of different servers may well have drawn the same number.
#[test]
fn a_folder_counts_together_with_its_server() {
    let mut setup = setup(3, 1, &[]);
    let folders = [(1, 1), (2, 7), (3, 7)].map(|(server, folder)| (node(server), Incarnation::new(folder)));
    setup.bootstrap = Membership::of_voters([1, 2, 3].map(node)).bind(folders);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    let receive = |scene: &mut Scene, from, term, message| {
        let mut envelope = scene.envelope(from, term, message);
        envelope.from_incarnation = Incarnation::new(7);
        scene.step(Event::Receive(envelope))
    };
    scene.step(Event::Campaign);
    let ask = raft_core::Term::new(2);
    receive(&mut scene, 2, 1, Message::PreVoteReply { ask, granted: true });
    receive(&mut scene, 2, 2, Message::VoteReply { granted: true });
    assert_eq!(scene.role(), RoleName::Leader);
    for from in [2, 3] {
        receive(&mut scene, from, 2, forward(1, &[(1, "first of its server")]));
    }
    assert_eq!(scene.log(), [2, 2, 2], "each server has a first command");
}
