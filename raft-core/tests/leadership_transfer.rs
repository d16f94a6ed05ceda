//! Handing leadership over: dissertation §3.10.

mod support;

use raft_core::{
    Action, Ailment, Change, Event, Level, Message, NodeId, Notice, Rejection, RoleName, Round,
    TransferOutcome, Unfit,
};
use support::Cluster;
use support::scene::{Scene, at, heartbeat, kinds, node, sent, sent_to};

fn transfer(scene: &mut Scene, to: u64) -> Vec<Action> {
    scene.step(Event::Transfer { to: Some(node(to)) })
}

fn ended(actions: &[Action]) -> Vec<(NodeId, TransferOutcome)> {
    let ended = actions.iter().filter_map(|action| match action {
        Action::Notice(Notice::TransferEnded { to, outcome }) => Some((to.unwrap_or(node(0)), *outcome)),
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
    for (to, why) in [(1, Unfit::Leads), (4, Unfit::NotVoter)] {
        let reason = Rejection::NotATarget { to: node(to), why };
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
    assert_eq!(ended(&actions), [], "the target has not won yet");
    assert_eq!(sent(&actions), [(2, Message::VoteReply { granted: true })]);
    assert_eq!((scene.role(), scene.vote()), (RoleName::Follower, Some(2)));
    let actions = scene.receive(2, 3, heartbeat(None));
    assert_eq!(ended(&actions), [(node(2), TransferOutcome::Succeeded)]);
    assert_eq!(ended(&scene.receive(2, 3, heartbeat(None))), [], "once");

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
        cluster.step(
            leader,
            Event::Transfer {
                to: Some(NodeId::new(to)),
            },
        );
        cluster.tick(1);
        assert_eq!(cluster.leader(), Some(to), "turn {turn}");
        let ends = core::mem::take(&mut cluster.server(leader).transfers);
        assert_eq!(ends, [(to, TransferOutcome::Succeeded)]);
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
            to: Some(NodeId::new(target)),
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

// A transfer that succeeded is told from one after which another server leads, or none.
#[test]
fn a_leader_that_stepped_down_says_whether_the_target_leads() {
    let deposed = || {
        let mut scene = leader();
        transfer(&mut scene, 2);
        scene.tick(4);
        scene.accept(2, at(2, 1));
        scene.receive(2, 3, Message::TransferVote { last: at(2, 1) });
        scene
    };
    let mut scene = deposed();
    let actions = scene.receive(3, 4, heartbeat(None));
    assert_eq!(ended(&actions), [(node(2), TransferOutcome::SteppedDown)]);

    let mut scene = deposed();
    let deadline = scene.raft.next_deadline().expect("it waits for the outcome");
    assert!(
        deadline <= raft_core::Tick::new(10),
        "an election timeout after it began"
    );
    assert_eq!(ended(&scene.tick(5)), []);
    assert_eq!(ended(&scene.tick(1)), [(node(2), TransferOutcome::SteppedDown)]);
    assert_eq!(ended(&scene.receive(2, 3, heartbeat(None))), [], "once");

    let mut scene = deposed();
    let failed = scene.step(Event::PersistFailed);
    assert_eq!(ended(&failed), rejected(2, Rejection::Failed));
}

fn transfer_to_the_best(scene: &mut Scene) -> Vec<Action> {
    scene.step(Event::Transfer { to: None })
}

fn says(scene: &mut Scene, from: u64, halted: bool, stalled: bool) {
    let reply = Message::HeartbeatReply {
        session: scene.session(from),
        round: Round::new(0),
        promise_micros: 0,
        level: Level::ZERO,
        halted,
        stalled,
        wall_time: None,
    };
    scene.receive(from, 2, reply);
}

// Of the voters that are healthy, the leader chooses the one that holds most of the log.
#[test]
fn a_leader_that_is_to_choose_hands_over_to_the_healthy_voter_that_holds_most() {
    let mut scene = Scene::leader(5, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.accept(3, at(2, 1));
    scene.propose(1, b"one");
    for peer in [3, 4, 5] {
        scene.accept(peer, at(2, 2));
    }
    says(&mut scene, 3, true, false);
    says(&mut scene, 4, false, true);
    assert_eq!(kinds(&transfer_to_the_best(&mut scene)), [(5, "TimeoutNow")]);
    assert_eq!(scene.raft.status().transferring_to, Some(node(5)));
    scene.receive(5, 3, Message::TransferVote { last: at(2, 2) });
    let actions = scene.receive(5, 3, heartbeat(None));
    assert_eq!(
        ended(&actions),
        [(node(5), TransferOutcome::Succeeded)],
        "it names its choice"
    );
}

#[test]
fn a_leader_that_cannot_choose_says_why() {
    let refused = |scene: &mut Scene| {
        let actions = transfer_to_the_best(scene);
        let [Action::Notice(Notice::TransferEnded { to: None, outcome })] = actions[..] else {
            panic!("{actions:?}")
        };
        outcome
    };
    let ailing = |to, ailment| {
        let why = Unfit::Ailing(ailment);
        TransferOutcome::Rejected(Rejection::NotATarget { to: node(to), why })
    };
    let mut alone = Scene::leader(1, 2, &[]);
    assert_eq!(
        refused(&mut alone),
        TransferOutcome::Rejected(Rejection::NoTarget)
    );

    let mut scene = Scene::leader(3, 2, &[]);
    assert_eq!(refused(&mut scene), ailing(2, Ailment::Unheard));
    scene.accept(3, at(2, 1));
    says(&mut scene, 3, true, false);
    assert_eq!(
        refused(&mut scene),
        ailing(3, Ailment::Halted),
        "of the two, it holds more"
    );
    says(&mut scene, 3, false, true);
    assert_eq!(refused(&mut scene), ailing(3, Ailment::Stalled));
    let mut follower = Scene::follower(3, 2, &[]);
    let reason = Rejection::NotLeader { leader: None };
    assert_eq!(refused(&mut follower), TransferOutcome::Rejected(reason));
}

// A target that was named is refused for the same reasons, but for one: a new leader has not heard of it yet.
#[test]
fn a_target_that_is_not_healthy_is_refused() {
    let mut scene = leader();
    says(&mut scene, 3, false, true);
    let why = Unfit::Ailing(Ailment::Stalled);
    let reason = Rejection::NotATarget { to: node(3), why };
    assert_eq!(ended(&transfer(&mut scene, 3)), rejected(3, reason));
    for _ in 0..11 {
        scene.tick(1);
        scene.accept(2, at(2, 1));
    }
    let why = Unfit::Ailing(Ailment::Silent { ticks: 11 });
    let reason = Rejection::NotATarget { to: node(3), why };
    assert_eq!(ended(&transfer(&mut scene, 3)), rejected(3, reason));
    let mut new = leader();
    assert_eq!(ended(&transfer(&mut new, 3)), [], "it may be in good health");
}

#[test]
fn a_cluster_goes_on_under_the_leader_that_was_chosen() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.tick(10);
    let dead = leader % 3 + 1;
    cluster.crash(dead);
    cluster.tick(15);
    cluster.step(leader, Event::Transfer { to: None });
    cluster.tick(3);
    let chosen = (leader + 1) % 3 + 1;
    assert_eq!(cluster.leader(), Some(chosen));
    let ends = core::mem::take(&mut cluster.server(leader).transfers);
    assert_eq!(ends, [(chosen, TransferOutcome::Succeeded)]);
    let change = cluster.change(chosen, Change::Remove(node(dead)));
    cluster.tick(10);
    assert!(cluster.server(chosen).changed.contains_key(&change));
}
