//! Messages that wait for the disk: paper, Figure 2 ("updated on stable storage before responding to RPCs"). A message
//! that promises something leaves when that is durable, waits for nothing later, and is dropped when it is out of date.

mod support;

use raft_core::{Action, AppendOutcome, Event, Index, Message, Notice, Persist, RoleName, Term, Ticket};
use support::scene::{
    Scene, append, appends, at, entries, heartbeat, index, kinds, node, outcomes, sent, setup, writes,
};

/// A server whose writes wait for the test.
fn slow(mut scene: Scene) -> Scene {
    scene.prompt = false;
    scene
}

fn only_write(actions: &[Action]) -> Persist {
    let writes = writes(actions);
    let [write] = writes.as_slice() else {
        panic!("one write is asked for: {actions:?}")
    };
    write.clone()
}

// A vote is durable, with its term, before it is sent.
#[test]
fn a_vote_waits_until_it_is_durable() {
    let mut scene = slow(Scene::follower(3, 1, &[]));
    let actions = scene.receive(2, 2, Message::Vote { last: None });
    assert_eq!(sent(&actions), []);
    let write = only_write(&actions);
    assert!(write.sync);
    let hard_state = write.hard_state.expect("the vote");
    assert_eq!((hard_state.term, hard_state.vote), (Term::new(2), Some(node(2))));
    let released = scene.step(Event::Persisted(write.ticket));
    assert_eq!(sent(&released), [(2, Message::VoteReply { granted: true })]);
}

// Also in a term that is durable already, and once, however often it is asked for meanwhile.
#[test]
fn a_vote_in_a_durable_term_waits_as_well() {
    let mut scene = slow(Scene::follower(3, 2, &[]));
    let request = Message::Vote { last: None };
    let write = only_write(&scene.receive(2, 2, request.clone()));
    assert_eq!(sent(&scene.receive(2, 2, request)), []);
    let released = scene.step(Event::Persisted(write.ticket));
    assert_eq!(sent(&released), [(2, Message::VoteReply { granted: true })]);
}

// A denied vote promises nothing that the disk could forget.
#[test]
fn a_denied_vote_does_not_wait_for_the_vote_that_is_its_reason() {
    let mut scene = slow(Scene::follower(3, 2, &[]));
    let request = Message::Vote { last: None };
    assert_eq!(sent(&scene.receive(2, 2, request.clone())), []);
    let refused = (3, Message::VoteReply { granted: false });
    assert_eq!(sent(&scene.receive(3, 2, request)), [refused]);
}

// Any message of a new term waits for the term, even a rejection.
#[test]
fn a_rejection_in_a_new_term_waits_for_the_term() {
    let mut scene = slow(Scene::follower(3, 1, &[1]));
    let actions = scene.receive(2, 2, Message::Vote { last: None });
    assert_eq!(sent(&actions), []);
    let released = scene.step(Event::Persisted(only_write(&actions).ticket));
    assert_eq!(sent(&released), [(2, Message::VoteReply { granted: false })]);
}

#[test]
fn an_answer_to_a_new_leader_waits_for_the_term() {
    let mut scene = slow(Scene::follower(3, 1, &[]));
    let actions = scene.receive(2, 2, heartbeat(None));
    assert_eq!(sent(&actions), []);
    let released = scene.step(Event::Persisted(only_write(&actions).ticket));
    assert_eq!(kinds(&released), [(2, "HeartbeatReply")]);
}

// A request for votes says "I voted for myself", so it waits as well.
#[test]
fn a_request_for_votes_waits_for_the_own_vote() {
    let mut scene = slow(Scene::follower(3, 1, &[]));
    scene.step(Event::Campaign);
    let actions = scene.grant(2);
    assert_eq!((scene.role(), kinds(&actions)), (RoleName::Candidate, vec![]));
    let released = scene.step(Event::Persisted(only_write(&actions).ticket));
    assert_eq!(kinds(&released), [(2, "Vote"), (3, "Vote")]);
}

// The candidate's own vote counts when it is durable, like all others.
#[test]
fn a_candidates_own_vote_counts_when_it_is_durable() {
    let mut scene = slow(Scene::follower(3, 1, &[]));
    scene.step(Event::Campaign);
    let ticket = only_write(&scene.grant(2)).ticket;
    scene.grant(2);
    assert_eq!(scene.role(), RoleName::Candidate, "one vote of three is durable");
    scene.step(Event::Persisted(ticket));
    assert_eq!(scene.role(), RoleName::Leader);

    let mut alone = slow(Scene::follower(1, 1, &[]));
    let ticket = only_write(&alone.step(Event::Campaign)).ticket;
    assert_eq!(alone.role(), RoleName::Candidate);
    alone.step(Event::Persisted(ticket));
    assert_eq!(alone.role(), RoleName::Leader);
}

// A pre-vote promises nothing, so it writes nothing and waits for nothing.
#[test]
fn a_pre_vote_waits_for_nothing() {
    let mut scene = slow(Scene::follower(3, 1, &[]));
    assert_eq!(
        kinds(&scene.step(Event::Campaign)),
        [(2, "PreVote"), (3, "PreVote")]
    );
    let ask = Term::new(2);
    let mut voter = slow(Scene::follower(3, 1, &[]));
    let actions = voter.receive(2, 1, Message::PreVote { ask, last: None });
    assert_eq!(
        sent(&actions),
        [(2, Message::PreVoteReply { ask, granted: true })]
    );
}

// An acknowledgement of entries waits for exactly these entries.
#[test]
fn an_acknowledgement_waits_for_its_entries_and_no_later_ones() {
    let mut scene = slow(Scene::follower(3, 2, &[]));
    let first = scene.append(2, None, &[1], 0);
    let second = scene.append(2, at(1, 1), &[2], 0);
    assert_eq!((sent(&first), sent(&second)), (vec![], vec![]));
    let released = scene.step(Event::Persisted(only_write(&first).ticket));
    assert_eq!(outcomes(&released), [AppendOutcome::Accepted { last: at(1, 1) }]);
    let released = scene.step(Event::Persisted(only_write(&second).ticket));
    assert_eq!(outcomes(&released), [AppendOutcome::Accepted { last: at(2, 2) }]);
}

#[test]
fn one_report_covers_everything_up_to_it() {
    let mut scene = slow(Scene::follower(3, 2, &[]));
    scene.append(2, None, &[1], 0);
    let last = scene.append(2, at(1, 1), &[2], 0);
    let ticket = only_write(&last).ticket;
    let released = scene.step(Event::Persisted(ticket));
    assert_eq!(outcomes(&released).len(), 2);
    assert_eq!(scene.raft.vitals().durable, Some(index(2)));
    assert_eq!(
        scene.step(Event::Persisted(ticket)),
        [],
        "and has no effect the second time"
    );
}

// A heartbeat reply never waits for entries, and neither does a rejection.
#[test]
fn a_heartbeat_reply_and_a_rejection_do_not_wait_for_entries() {
    let mut scene = slow(Scene::follower(3, 2, &[]));
    scene.append(2, None, &[1], 0);
    assert_eq!(
        kinds(&scene.receive(2, 2, heartbeat(None))),
        [(2, "HeartbeatReply")]
    );
    let refused = scene.append(2, at(2, 9), &[], 0);
    let (prev, hint) = (at(2, 9), at(1, 1));
    assert_eq!(outcomes(&refused), [AppendOutcome::Rejected { prev, hint }]);
}

// The reply to a repeated append still acknowledges entries, so it waits for them if they are not durable yet.
#[test]
fn a_repeated_append_is_acknowledged_no_sooner_than_the_first() {
    let mut scene = slow(Scene::follower(3, 2, &[]));
    let first = scene.append(2, None, &[1, 1], 0);
    assert_eq!(outcomes(&scene.append(2, None, &[1, 1], 0)), []);
    assert_eq!(outcomes(&scene.append(2, at(1, 1), &[], 0)), []);
    let released = scene.step(Event::Persisted(only_write(&first).ticket));
    assert!(outcomes(&released).contains(&AppendOutcome::Accepted { last: at(1, 2) }));
}

// What is committed elsewhere and not durable here is not acknowledged here either.
#[test]
fn an_acknowledgement_of_the_commit_index_waits_for_its_entries() {
    let mut scene = slow(Scene::follower(3, 2, &[]));
    let first = scene.append(2, None, &[1, 1], 2);
    assert_eq!(scene.commit(), 2);
    assert_eq!(
        outcomes(&scene.append(2, None, &[1], 2)),
        [],
        "it would say that two are held"
    );
    let released = scene.step(Event::Persisted(only_write(&first).ticket));
    assert!(outcomes(&released).contains(&AppendOutcome::Accepted { last: at(1, 2) }));
}

// A promise made in an earlier term is of no use to any server: it is dropped at its release.
#[test]
fn waiting_messages_are_dropped_when_the_term_has_moved_on() {
    let mut scene = slow(Scene::follower(3, 1, &[]));
    let vote = only_write(&scene.receive(2, 2, Message::Vote { last: None }));
    let later = only_write(&scene.receive(3, 3, Message::Vote { last: None }));
    assert_eq!(sent(&scene.step(Event::Persisted(vote.ticket))), []);
    let released = scene.step(Event::Persisted(later.ticket));
    assert_eq!(sent(&released), [(3, Message::VoteReply { granted: true })]);
}

#[test]
fn a_request_for_votes_is_dropped_when_the_campaign_is_over() {
    let mut scene = slow(Scene::follower(3, 1, &[]));
    scene.step(Event::Campaign);
    let ticket = only_write(&scene.grant(2)).ticket;
    // Another server has won the term meanwhile.
    scene.receive(3, 2, heartbeat(None));
    let released = scene.step(Event::Persisted(ticket));
    assert_eq!(kinds(&released), [(3, "HeartbeatReply")]);
}

#[test]
fn a_request_for_votes_is_dropped_when_the_campaign_has_timed_out() {
    let mut scene = slow(Scene::follower(3, 1, &[]));
    scene.step(Event::Campaign);
    let ticket = only_write(&scene.grant(2)).ticket;
    scene.tick(20);
    assert_eq!(scene.role(), RoleName::PreCandidate);
    assert_eq!(
        kinds(&scene.step(Event::Persisted(ticket))),
        [(2, "PreVote"), (3, "PreVote")]
    );
}

// An acknowledgement of entries that were truncated in the meantime is never sent.
#[test]
fn an_acknowledgement_of_truncated_entries_is_never_sent() {
    let mut scene = slow(Scene::follower(3, 2, &[1]));
    let old = only_write(&scene.append(2, at(1, 1), &[2, 2], 0));
    let new = only_write(&scene.receive(3, 3, append(at(1, 1), entries(1, &[3]), 0)));
    assert_eq!((new.truncate_from, new.entries.len()), (Index::new(2), 1));
    assert_eq!(sent(&scene.step(Event::Persisted(old.ticket))), []);
    assert_eq!(
        scene.raft.vitals().durable,
        Some(index(1)),
        "nothing of the new leader's is durable yet"
    );
    let released = scene.step(Event::Persisted(new.ticket));
    assert_eq!(outcomes(&released), [AppendOutcome::Accepted { last: at(3, 2) }]);
    assert_eq!(scene.raft.vitals().durable, Some(index(2)));
}

// Entries that were truncated before they were ever written are not written.
#[test]
fn entries_that_were_truncated_before_they_were_written_are_not_written() {
    let mut scene = slow(Scene::follower(3, 2, &[1]));
    let first = scene.envelope(2, 2, append(at(1, 1), entries(1, &[2, 2]), 0));
    let second = scene.envelope(3, 3, append(at(1, 1), entries(1, &[3]), 0));
    scene.raft.step(Event::Receive(first));
    scene.raft.step(Event::Receive(second));
    let write = only_write(&scene.drain());
    assert_eq!(write.entries, entries(1, &[3]).into());
    assert_eq!(write.truncate_from, Index::new(2));
}

// A truncation before the gathered entries moves the beginning of the write to its own index.
#[test]
fn a_truncation_before_the_gathered_entries_is_written_from_its_own_index() {
    let mut scene = slow(Scene::follower(3, 2, &[1, 1]));
    for envelope in [
        scene.envelope(2, 2, append(at(1, 2), entries(2, &[2, 2]), 0)),
        scene.envelope(3, 3, append(at(1, 1), entries(1, &[3]), 0)),
    ] {
        scene.raft.step(Event::Receive(envelope));
    }
    let write = only_write(&scene.drain());
    assert_eq!(
        (write.truncate_from, write.entries),
        (Index::new(2), entries(1, &[3]).into())
    );
}

// Of two truncations in one write, the earlier index counts.
#[test]
fn of_two_truncations_in_one_write_the_earlier_index_counts() {
    let mut scene = slow(Scene::follower(3, 2, &[1, 1, 1, 1]));
    for envelope in [
        scene.envelope(2, 3, append(at(1, 1), entries(1, &[3, 3]), 0)),
        scene.envelope(3, 4, append(at(3, 2), entries(2, &[4]), 0)),
    ] {
        scene.raft.step(Event::Receive(envelope));
    }
    let write = only_write(&scene.drain());
    assert_eq!(
        (write.truncate_from, write.entries),
        (Index::new(2), entries(1, &[3, 4]).into())
    );
}

// What was never handed out cannot be durable, whatever the host says.
#[test]
fn a_report_of_a_write_that_was_never_handed_out_makes_nothing_durable() {
    let mut scene = slow(Scene::follower(3, 2, &[]));
    for ticket in [1, 2, u64::MAX] {
        scene.step(Event::Persisted(Ticket::new(ticket)));
    }
    let actions = scene.append(2, None, &[1], 0);
    assert_eq!(outcomes(&actions), []);
    assert_eq!(scene.step(Event::Persisted(Ticket::new(2))), []);
    let released = scene.step(Event::Persisted(only_write(&actions).ticket));
    assert_eq!(outcomes(&released), [AppendOutcome::Accepted { last: at(1, 1) }]);
}

// Dissertation §10.2.1: a leader's appends leave while its own write is still being made.
#[test]
fn appends_leave_in_parallel_with_the_leaders_own_write() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.prompt = false;
    let actions = scene.propose(1, b"both at once");
    assert_eq!(appends(2, &actions), [(at(2, 1), vec![2])]);
    assert_eq!(only_write(&actions).entries.len(), 1);
}

// Many inputs share one write.
#[test]
fn the_inputs_of_one_drain_share_one_write() {
    let mut scene = slow(Scene::follower(3, 1, &[]));
    for message in [
        heartbeat(None),
        append(None, entries(0, &[1]), 0),
        append(at(1, 1), entries(1, &[2]), 1),
    ] {
        let envelope = scene.envelope(2, 2, message);
        scene.raft.step(Event::Receive(envelope));
    }
    let write = only_write(&scene.drain());
    assert_eq!(
        (write.entries.len(), write.commit, write.sync),
        (2, Index::new(1), true)
    );
    assert_eq!(
        write.hard_state.map(|hard_state| hard_state.term),
        Some(Term::new(2))
    );
}

// The commit index is a hint for the next start: nothing waits for it, so it never causes a write.
#[test]
fn a_commit_index_alone_is_not_written() {
    let mut scene = Scene::follower(3, 2, &[1, 1]);
    assert_eq!(writes(&scene.receive(2, 2, heartbeat(at(1, 2)))), []);
    let write = only_write(&scene.append(2, at(1, 2), &[2], 2));
    assert_eq!(write.commit, Index::new(2));
}

#[test]
fn tickets_count_up_without_a_gap() {
    let mut scene = slow(Scene::follower(3, 2, &[]));
    let tickets: Vec<u64> = (0..4)
        .map(|at_index| {
            only_write(&scene.append(2, at(2, at_index), &[2], 0))
                .ticket
                .value()
        })
        .collect();
    assert_eq!(tickets, [1, 2, 3, 4]);
}

/// A server whose host writes and applies before it looks at the next action, and reports neither.
fn at_once(count: u64, term: u64, log: &[u64]) -> Scene {
    let mut setup = setup(count, term, log);
    setup.config.options.persists_at_once = true;
    setup.config.options.applies_at_once = true;
    slow(Scene::new(setup).expect("the disk is valid"))
}

/// The kinds of these actions that a host must not confuse.
fn order(actions: &[Action]) -> Vec<&'static str> {
    let kinds = actions.iter().filter_map(|action| match action {
        Action::Persist(_) => Some("write"),
        Action::Send(_) => Some("send"),
        Action::Apply { .. } => Some("apply"),
        Action::Done { .. } => Some("done"),
        _ => None,
    });
    kinds.collect()
}

// Ours: a host that writes before it goes on reports nothing, since every action that depends on a write follows it.
#[test]
fn actions_that_depend_on_a_write_follow_it_for_a_host_that_writes_at_once() {
    let mut scene = at_once(3, 1, &[]);
    let actions = scene.receive(2, 2, Message::Vote { last: None });
    assert_eq!(order(&actions), ["write", "send"]);
    assert_eq!(sent(&actions), [(2, Message::VoteReply { granted: true })]);
    let actions = scene.append(2, None, &[2, 2], 1);
    assert_eq!(order(&actions), ["write", "send", "apply"]);
    assert_eq!(outcomes(&actions), [AppendOutcome::Accepted { last: at(2, 2) }]);
    let ticket = only_write(&actions).ticket;
    assert_eq!(scene.step(Event::Persisted(ticket)), [], "it is known already");
}

// A write that is durable at once may lead to the next one: a single server is elected, and commits, in one drain.
#[test]
fn consequences_of_a_write_are_in_the_same_drain_for_a_host_that_writes_at_once() {
    let mut scene = at_once(1, 1, &[1]);
    let actions = scene.step(Event::Campaign);
    assert_eq!(scene.role(), RoleName::Leader);
    assert_eq!(
        order(&actions)[..2],
        ["write", "write"],
        "the vote, and the first entry"
    );
    assert!(
        scene.commit() >= 2 && scene.commit() == scene.applied(),
        "{actions:?}"
    );
    assert_eq!(scene.drain(), []);
    let actions = scene.propose(7, b"alone");
    assert_eq!(order(&actions), ["write", "apply", "done"]);
}

// It carries out nothing after a write that failed, and no message is ever sent again.
#[test]
fn a_failed_write_silences_a_host_that_writes_at_once() {
    let mut scene = at_once(1, 1, &[]);
    scene.step(Event::Campaign);
    scene.propose(7, b"lost");
    let actions = scene.step(Event::PersistFailed);
    let (role, term) = (RoleName::Follower, Term::new(2));
    let gone = [
        Action::Notice(Notice::RoleChanged { role, term }),
        Action::Notice(Notice::LeaderChanged { leader: None, term }),
    ];
    assert_eq!(actions, gone, "it leads no more, and that is all");
    assert!(scene.raft.status().failed);
    let actions = scene.propose(8, b"refused");
    assert!(
        matches!(actions[..], [Action::Notice(Notice::Rejected { .. })]),
        "{actions:?}"
    );
}
