//! When an entry counts as committed, and is applied: paper §5.3, §5.4.2, Figure 2 and Figure 8.

mod support;

use raft_core::{Action, Event, Input, RoleName};
use support::scene::{Scene, append, appends, at, entries, entry, heartbeat, index, sent_to, setup, writes};

fn applied(actions: &[Action]) -> Vec<u64> {
    let applied = actions.iter().flat_map(|action| match action {
        Action::Apply { entries } => entries.iter().map(|entry| entry.id.index.value()).collect(),
        _ => Vec::new(),
    });
    applied.collect()
}

// Figure 2, Leaders: an entry of the own term that a majority holds is committed, and all before it.
#[test]
fn an_entry_of_the_own_term_on_a_majority_is_committed_with_all_before_it() {
    let mut scene = Scene::leader(5, 3, &[1, 2]);
    scene.accept(2, at(3, 3));
    assert_eq!(scene.commit(), 0);
    let actions = scene.accept(3, at(3, 3));
    assert_eq!((scene.commit(), applied(&actions)), (3, vec![1, 2, 3]));
}

// §5.4.2: entries of earlier terms are never committed by counting.
#[test]
fn an_entry_of_an_earlier_term_on_a_majority_is_not_committed() {
    let mut scene = Scene::leader(5, 3, &[1, 2]);
    for peer in 2..=5 {
        scene.accept(peer, at(2, 2));
    }
    assert_eq!(scene.commit(), 0);
}

// The commit index is the highest that a majority has reached, not the lowest and not the highest of all.
#[test]
fn the_commit_index_is_the_median_of_the_match_indexes() {
    let mut scene = Scene::leader(5, 2, &[]);
    for number in 0..9 {
        scene.propose(number, b"");
    }
    for (peer, last, commit) in [(2, 9, 0), (3, 4, 4), (4, 6, 6), (5, 10, 9), (4, 10, 10)] {
        scene.accept(peer, at(2, last));
        assert_eq!(scene.commit(), commit, "after {peer} holds {last}");
    }
}

// The leader is counted as one of the voters, so its own entries count only when they are durable.
#[test]
fn the_leaders_own_log_counts_when_it_is_durable() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.prompt = false;
    let actions = scene.propose(1, b"slow disk");
    let ticket = writes(&actions)[0].ticket;
    scene.accept(2, at(2, 2));
    assert_eq!(scene.commit(), 1);
    scene.step(Event::Persisted(ticket));
    assert_eq!(scene.commit(), 2);
}

// Dissertation §10.2.1: a majority without the leader commits; but nothing is applied before it is durable here.
#[test]
fn followers_may_commit_before_the_leader_but_it_applies_only_what_it_holds() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.prompt = false;
    let ticket = writes(&scene.propose(1, b"slow disk"))[0].ticket;
    scene.accept(2, at(2, 2));
    let actions = scene.accept(3, at(2, 2));
    assert_eq!((scene.commit(), applied(&actions)), (2, vec![]));
    assert_eq!(applied(&scene.step(Event::Persisted(ticket))), [2]);
}

// Figure 2, AppendEntries, receiver's step 5: no further than the last entry that this message verified.
#[test]
fn a_follower_commits_no_further_than_the_append_verified() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 2]);
    scene.append(3, at(1, 1), &[1], 3);
    assert_eq!(scene.commit(), 2, "the third entry may not be the leader's");
    scene.append(3, at(1, 2), &[3], 9);
    assert_eq!((scene.commit(), scene.log()), (3, vec![1, 1, 3]));
}

#[test]
fn a_rejected_append_commits_nothing() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 2]);
    scene.append(3, at(3, 3), &[3], 2);
    assert_eq!(scene.commit(), 0);
}

// A heartbeat names the committed entry, and a follower that holds another entry at that index does not commit it.
#[test]
fn a_heartbeat_commits_only_an_entry_that_the_follower_holds() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 2]);
    for unknown in [at(3, 3), at(1, 3), at(3, 4)] {
        scene.receive(2, 3, heartbeat(unknown));
        assert_eq!(scene.commit(), 0);
    }
    scene.receive(2, 3, heartbeat(at(1, 2)));
    assert_eq!((scene.commit(), scene.applied()), (2, 2));
}

// A leader tells each peer the lesser of its commit and what the peer is known to hold.
#[test]
fn a_heartbeat_names_the_lesser_of_commit_and_match() {
    let mut scene = Scene::leader(5, 2, &[1]);
    scene.accept(2, at(2, 2));
    scene.accept(3, at(2, 2));
    scene.accept(4, at(1, 1));
    let actions = scene.tick(2);
    let named = |peer| {
        sent_to(peer, &actions)
            .into_iter()
            .find_map(|message| match message {
                raft_core::Message::Heartbeat { commit, .. } => Some(commit),
                _ => None,
            })
    };
    assert_eq!([2, 4, 5].map(named), [Some(at(2, 2)), Some(at(1, 1)), Some(None)]);
}

// Figure 2: the commit index increases monotonically.
#[test]
fn the_commit_index_never_goes_back() {
    let mut scene = Scene::follower(3, 3, &[1, 1, 2]);
    scene.receive(2, 3, heartbeat(at(1, 2)));
    scene.receive(2, 3, heartbeat(at(1, 1)));
    scene.receive(2, 3, heartbeat(None));
    scene.append(3, at(1, 1), &[1], 1);
    scene.append(4, at(2, 3), &[], 1);
    assert_eq!(scene.commit(), 2);
}

// Figure 2, All Servers: what is committed is applied, in order, once.
#[test]
fn entries_are_applied_in_order_and_once() {
    let mut scene = Scene::follower(3, 3, &[]);
    assert_eq!(applied(&scene.append(3, None, &[1, 1, 1], 2)), [1, 2]);
    assert_eq!(applied(&scene.append(3, None, &[1, 1, 1], 2)), []);
    assert_eq!(applied(&scene.append(3, at(1, 3), &[3], 4)), [3, 4]);
}

// Nothing is applied before it is durable here, so that no restart finds the state machine ahead of the log.
#[test]
fn nothing_is_applied_before_it_is_durable_here() {
    let mut scene = Scene::follower(3, 3, &[1]);
    scene.prompt = false;
    let actions = scene.append(3, at(1, 1), &[3, 3], 3);
    assert_eq!((scene.commit(), applied(&actions)), (3, vec![1]));
    let ticket = writes(&actions)[0].ticket;
    scene.step(Input::Applied(index(1)));
    assert_eq!(applied(&scene.step(Event::Persisted(ticket))), [2, 3]);
}

// The next entries are handed out when the last ones are applied, and a host may report a part of them.
#[test]
fn the_next_entries_come_when_the_last_ones_are_applied() {
    let mut scene = Scene::follower(3, 3, &[1, 1]);
    scene.prompt = false;
    assert_eq!(applied(&scene.receive(2, 3, heartbeat(at(1, 2)))), [1, 2]);
    let actions = scene.append(3, at(1, 2), &[3], 3);
    let ticket = writes(&actions)[0].ticket;
    assert_eq!(applied(&scene.step(Event::Persisted(ticket))), []);
    assert_eq!(applied(&scene.step(Input::Applied(index(1)))), []);
    assert_eq!(scene.applied(), 1);
    assert_eq!(applied(&scene.step(Input::Applied(index(2)))), [3]);
}

// A host that applies entries as it is handed them reports nothing: what is handed out counts as applied, however
// many pieces it takes.
#[test]
fn a_host_that_applies_at_once_need_not_say_so() {
    let mut setup = setup(3, 3, &[1, 1, 1]);
    setup.config.options.applies_at_once = true;
    setup.config.limits.apply_bytes = 2 * entry(1, 1).cost_bytes();
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.prompt = false;
    let actions = scene.receive(2, 3, heartbeat(at(1, 3)));
    let pieces: Vec<Vec<u64>> = (actions.iter())
        .map(|action| applied(core::slice::from_ref(action)))
        .filter(|piece| !piece.is_empty())
        .collect();
    assert_eq!(pieces, [vec![1, 2], vec![3]]);
    assert_eq!(scene.applied(), 3);
    assert_eq!(scene.step(Input::Applied(index(3))), [], "it is known already");
}

// A single server commits what is durable on it.
#[test]
fn a_single_server_commits_what_is_durable_on_it() {
    let mut scene = Scene::leader(1, 2, &[1]);
    assert_eq!(scene.commit(), 2);
    scene.prompt = false;
    let ticket = writes(&scene.propose(1, b"alone"))[0].ticket;
    assert_eq!(scene.commit(), 2);
    scene.step(Event::Persisted(ticket));
    assert_eq!(scene.commit(), 3);
}

// Without peers nothing else reminds it that its log is longer than what is durable.
#[test]
fn a_single_server_with_two_writes_under_way_commits_what_the_first_one_holds() {
    let mut scene = Scene::leader(1, 2, &[]);
    assert_eq!(scene.commit(), 1);
    scene.prompt = false;
    let first = writes(&scene.propose(1, b"one"))[0].ticket;
    let second = writes(&scene.propose(2, b"two"))[0].ticket;
    assert_eq!(scene.commit(), 1);
    let actions = scene.step(Event::Persisted(first));
    assert_eq!((scene.commit(), applied(&actions)), (2, vec![2]));
    scene.step(Input::Applied(index(2)));
    let actions = scene.step(Event::Persisted(second));
    assert_eq!((scene.commit(), applied(&actions)), (3, vec![3]));
}

// Figure 8: S1 leads in term 4 and has brought its entry of term 2 to a majority, as in (c). It must not count as
// committed, as S5, with an entry of term 3, can still win and take its place (d). Once an entry of term 4 is on a
// majority, S5 cannot win any more (e).
#[test]
fn figure_8_an_entry_of_an_earlier_term_is_not_safe_until_one_of_the_own_term_is() {
    let mut s1 = Scene::leader(5, 4, &[1, 2]);
    s1.accept(2, at(2, 2));
    s1.accept(3, at(2, 2));
    assert_eq!(s1.commit(), 0, "(c): on three of five, and not committed");

    // (d): S5's log ends in term 3, so the voters of (c) elect it, and it replaces the entry of term 2.
    let mut s3 = Scene::follower(5, 4, &[1, 2]);
    let asks = raft_core::Message::Vote { last: at(3, 2) };
    s3.receive(5, 5, asks.clone());
    assert_eq!(s3.vote(), Some(5));
    s3.receive(5, 5, append(at(1, 1), entries(1, &[3]), 0));
    assert_eq!(s3.log(), [1, 3]);

    // (e): the entry of term 4 is on a majority. It is committed, with the one of term 2, and its holders deny S5.
    s1.accept(2, at(4, 3));
    s1.accept(3, at(4, 3));
    assert_eq!(s1.commit(), 3);
    let mut s2 = Scene::follower(5, 4, &[1, 2, 4]);
    s2.receive(5, 5, asks);
    assert_eq!(s2.vote(), None);
}

// §5.1: acknowledgements of an earlier term count for nothing, least of all at a deposed leader.
#[test]
fn a_deposed_leader_commits_nothing() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.receive(3, 5, heartbeat(None));
    assert_eq!(scene.role(), RoleName::Follower);
    let outcome = raft_core::AppendOutcome::Accepted { last: at(2, 1) };
    let (session, round) = (scene.session(2), raft_core::Round::new(0));
    scene.receive(
        2,
        2,
        raft_core::Message::AppendReply {
            session,
            round,
            outcome,
            promise_micros: 0,
        },
    );
    assert_eq!(scene.commit(), 0);
}

// Figure 2, AppendEntries: leaderCommit. Appends tell the followers what is committed.
#[test]
fn an_append_carries_the_leaders_commit_index() {
    let mut scene = Scene::leader(3, 2, &[]);
    let actions = scene.accept(2, at(2, 1));
    assert_eq!(scene.commit(), 1);
    // The next append carries the commit index to every follower.
    let told = scene.propose(1, b"next");
    assert_eq!(appends(2, &told).len(), 1);
    assert!(sent_to(2, &told).iter().any(|message| matches!(
        message,
        raft_core::Message::Append { commit, .. } if *commit == Some(index(1))
    )));
    assert_eq!(applied(&actions), [1]);
}
