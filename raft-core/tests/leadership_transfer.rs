//! Handing leadership over: dissertation §3.10.

mod support;

use raft_core::{Action, Event, Message, NodeId, Notice, Rejection, RoleName, TransferOutcome};
use support::Cluster;
use support::scene::{Scene, at, heartbeat, kinds, node, sent, sent_to};

fn transfer(scene: &mut Scene, to: u64) -> Vec<Action> {
    scene.step(Event::Transfer { to: node(to) })
}

fn ended(actions: &[Action]) -> Vec<(NodeId, TransferOutcome)> {
    let ended = actions.iter().filter_map(|action| match action {
        Action::Notice(Notice::TransferEnded { to, outcome }) => Some((*to, *outcome)),
        _ => None,
    });
    ended.collect()
}

fn rejected(to: u64, reason: Rejection) -> Vec<(NodeId, TransferOutcome)> {
    vec![(node(to), TransferOutcome::Rejected(reason))]
}

/// A leader of three in term 2 whose no-op is at position 1, and which server 2 holds.
fn leader() -> Scene {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene
}

// A target that holds the whole log is told at once.
#[test]
fn a_target_that_holds_the_whole_log_is_told_to_campaign() {
    let mut scene = leader();
    assert_eq!(kinds(&transfer(&mut scene, 2)), [(2, "TimeoutNow")]);
    assert_eq!(scene.raft.status().transferring_to, Some(node(2)));
    assert_eq!(scene.role(), RoleName::Leader, "it leads until it is replaced");
}

// §3.10, step 2: before that, the leader brings the target's log up to its own.
#[test]
fn a_lagging_target_catches_up_before_it_is_told() {
    let mut scene = leader();
    scene.propose(1, b"one");
    assert_eq!(kinds(&transfer(&mut scene, 2)), []);
    let actions = scene.accept(2, at(2, 2));
    assert_eq!(sent_to(2, &actions), [Message::TimeoutNow]);
}

// §3.10, step 1: the target can catch up only with a log that does not grow.
#[test]
fn no_proposals_are_taken_while_leadership_is_handed_over() {
    let mut scene = leader();
    transfer(&mut scene, 2);
    let refused = scene.propose(1, b"one");
    let reason = Rejection::Transferring { to: node(2) };
    let [
        Action::Notice(Notice::Rejected {
            reason: given,
            payload,
            ..
        }),
    ] = refused.as_slice()
    else {
        panic!("{refused:?}")
    };
    assert_eq!((*given, &payload[..]), (reason, &b"one"[..]));
    assert_eq!(ended(&transfer(&mut scene, 3)), rejected(3, reason));
    assert_eq!(scene.raft.vitals().last, at(2, 1));
}

#[test]
fn only_another_voter_is_a_target() {
    let mut scene = leader();
    for to in [1, 4] {
        let reason = Rejection::NotATarget { to: node(to) };
        assert_eq!(ended(&transfer(&mut scene, to)), rejected(to, reason));
    }
    let mut follower = Scene::follower(3, 2, &[]);
    follower.receive(3, 2, heartbeat(None));
    let leader = Some(node(3));
    let reason = Rejection::NotLeader { leader };
    assert_eq!(ended(&transfer(&mut follower, 2)), rejected(2, reason));
    follower.step(Event::PersistFailed);
    assert_eq!(ended(&transfer(&mut follower, 2)), rejected(2, Rejection::Failed));
}

// §3.10: if it does not complete within an election timeout, the leader takes proposals again.
#[test]
fn a_transfer_that_times_out_is_aborted() {
    let mut scene = leader();
    transfer(&mut scene, 2);
    let mut actions = Vec::new();
    for _ in 0..10 {
        assert!(scene.raft.next_deadline() <= Some(raft_core::Tick::new(10)));
        actions.extend(scene.tick(1));
        scene.accept(2, at(2, 1));
    }
    assert_eq!(ended(&actions), [(node(2), TransferOutcome::TimedOut)]);
    let told = kinds(&actions)
        .iter()
        .filter(|kind| **kind == (2, "TimeoutNow"))
        .count();
    assert!(told > 1, "the first message may have been lost");
    scene.propose(1, b"one");
    assert_eq!(scene.raft.vitals().last, at(2, 2));
}

#[test]
fn a_transfer_ends_with_the_leadership() {
    let mut scene = leader();
    transfer(&mut scene, 2);
    let actions = scene.receive(2, 3, Message::TransferVote { last: at(2, 1) });
    assert_eq!(ended(&actions), [(node(2), TransferOutcome::SteppedDown)]);
    assert_eq!(sent(&actions), [(2, Message::VoteReply { granted: true })]);
    assert_eq!((scene.role(), scene.vote()), (RoleName::Follower, Some(2)));

    let mut failing = leader();
    transfer(&mut failing, 2);
    let outcome = TransferOutcome::Rejected(Rejection::Failed);
    assert_eq!(ended(&failing.step(Event::PersistFailed)), [(node(2), outcome)]);
}

/// Server 1 of three follows server 2 in term 2.
fn follower() -> Scene {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.append(2, None, &[2], 0);
    scene
}

// §3.10: the target starts an election at once, without a pre-vote, and its request says that the leader wants it.
#[test]
fn a_server_that_is_told_campaigns_at_once_and_without_a_pre_vote() {
    let mut scene = follower();
    let actions = scene.receive(2, 2, Message::TimeoutNow);
    assert_eq!((scene.role(), scene.term()), (RoleName::Candidate, 3));
    let request = Message::TransferVote { last: at(2, 1) };
    assert_eq!(sent(&actions), [(2, request.clone()), (3, request)]);
}

// The request waits for the own vote like any other, and goes with the campaign.
#[test]
fn a_transferred_campaign_waits_for_the_disk() {
    let mut scene = follower();
    scene.prompt = false;
    let actions = scene.receive(2, 2, Message::TimeoutNow);
    assert_eq!(kinds(&actions), []);
    scene.receive(3, 3, heartbeat(None));
    let ticket = raft_core::Ticket::new(100);
    assert_eq!(
        kinds(&scene.step(Event::Persisted(ticket))),
        [],
        "never handed out"
    );
    scene.prompt = true;
    for write in support::scene::writes(&actions) {
        let released = scene.step(Event::Persisted(write.ticket));
        assert_eq!(kinds(&released), [(3, "HeartbeatReply")], "the campaign is over");
    }
}

// At most one campaign follows: told again, late or by another, a server does nothing.
#[test]
fn a_stale_timeout_now_starts_nothing() {
    let mut scene = follower();
    assert_eq!(scene.receive(3, 2, Message::TimeoutNow), [], "not the leader");
    assert_eq!(scene.receive(2, 1, Message::TimeoutNow), [], "an earlier term");
    assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 2));
    scene.receive(2, 2, Message::TimeoutNow);
    assert_eq!(scene.receive(2, 2, Message::TimeoutNow), [], "it has campaigned");
    assert_eq!(scene.term(), 3);
    let mut restarted = Scene::follower(3, 2, &[1]);
    restarted.receive(2, 2, Message::TimeoutNow);
    assert_eq!(
        restarted.term(),
        2,
        "it has not heard of this leader since its start"
    );
}

// A split or lost election goes on like any other: the leader's consent covers one campaign.
#[test]
fn only_the_first_campaign_carries_the_leaders_consent() {
    let mut scene = follower();
    scene.receive(2, 2, Message::TimeoutNow);
    let actions = scene.tick(20);
    assert_eq!(scene.role(), RoleName::PreCandidate);
    assert!(kinds(&actions).iter().all(|(_, kind)| *kind == "PreVote"));
    scene.grant(2);
    assert_eq!((scene.role(), scene.term()), (RoleName::Candidate, 4));
}

// §4.2.3: a server that hears a leader denies its vote, unless that leader asked for the campaign.
#[test]
fn a_transferred_campaign_overrides_stickiness() {
    let mut scene = follower();
    assert_eq!(scene.receive(3, 3, Message::Vote { last: at(2, 1) }), []);
    assert_eq!(scene.raft.status().ignored.sticky, 1);
    let actions = scene.receive(3, 3, Message::TransferVote { last: at(2, 1) });
    assert!(sent(&actions).contains(&(3, Message::VoteReply { granted: true })));
    // All other rules of voting hold.
    let mut lagging = follower();
    let actions = lagging.receive(3, 3, Message::TransferVote { last: at(1, 5) });
    assert!(sent(&actions).contains(&(3, Message::VoteReply { granted: false })));
    assert_eq!(
        lagging
            .receive(3, 2, Message::TransferVote { last: at(2, 1) })
            .len(),
        1
    );
}

#[test]
fn a_leader_binds_no_folder_while_it_hands_over() {
    let mut setup = support::scene::setup(3, 1, &[]);
    setup.bootstrap = raft_core::Membership::of_voters((1..=3).map(node));
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.win();
    transfer(&mut scene, 2);
    scene.accept(2, at(2, 1));
    assert_eq!(scene.commit(), 1);
    assert_eq!(scene.raft.vitals().last, at(2, 1));
}

// A whole cluster: the target leads within a few ticks, whatever is under way, and everything is decided.
#[test]
fn leadership_is_handed_to_every_server_in_turn() {
    let mut cluster = Cluster::new(3);
    let first = cluster.elect();
    cluster.tick(10);
    for turn in 1..=6 {
        let (from, to) = ((first + turn + 1) % 3 + 1, (first + turn + 2) % 3 + 1);
        let leader = cluster.leader().expect("there is a leader");
        let to = if leader == to { from } else { to };
        let written = cluster.propose(leader, b"before");
        cluster.step(leader, Event::Transfer { to: NodeId::new(to) });
        cluster.tick(1);
        assert_eq!(cluster.leader(), Some(to), "turn {turn}");
        let ends = core::mem::take(&mut cluster.server(leader).transfers);
        assert_eq!(ends, [(to, TransferOutcome::SteppedDown)]);
        cluster.tick(5);
        assert!(cluster.server(leader).done.contains_key(&written));
        assert_eq!(cluster.role(leader), RoleName::Follower);
    }
}

// The old leader was asked to hand over to a server that fell silent: it remains the leader.
#[test]
fn a_partitioned_target_costs_an_election_timeout() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.tick(10);
    let term = cluster.server(leader).replica.raft().vitals().term;
    let target = leader % 3 + 1;
    cluster.isolate(target);
    cluster.step(
        leader,
        Event::Transfer {
            to: NodeId::new(target),
        },
    );
    let refused = cluster.propose(leader, b"during");
    cluster.tick(12);
    let taken = cluster.propose(leader, b"after");
    cluster.tick(5);
    assert_eq!(cluster.leader(), Some(leader));
    let server = cluster.server(leader);
    assert_eq!(server.transfers, [(target, TransferOutcome::TimedOut)]);
    assert!(server.rejected.contains_key(&refused) && server.done.contains_key(&taken));
    assert_eq!(server.replica.raft().vitals().term, term);
}
