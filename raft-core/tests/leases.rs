//! Reads that rest on a lease: dissertation §6.4.1.

mod support;

use raft_core::{Action, Config, ConfigError, Event, Lease, Message, ReadMode, RoleName, Round};
use support::scene::{Scene, at, heartbeat, kinds, node, sent, setup};

const LEASE: Option<Lease> = Some(Lease { drift_permyriad: 100 });

/// How long a lease lasts with the default timing: of 10 ticks one may have been nearly over at the voter, its clock
/// may be a hundredth too fast, and one of the leader's own may be nearly over.
const LASTS_TICKS: u64 = 7;

/// Server 1 of three in term 1.
fn server(log: &[u64]) -> Scene {
    let mut setup = setup(3, 1, log);
    setup.config.options.lease = LEASE;
    Scene::new(setup).expect("the disk is sound")
}

/// Lets the time pass in which a server that starts gives no votes.
fn rested(log: &[u64]) -> Scene {
    let mut scene = server(log);
    scene.raft.step(Event::Tick(10));
    if scene.role() != RoleName::Follower {
        // It has begun to ask whether it could win: the next leader ends that.
        scene.receive(2, 1, heartbeat(None));
        scene.raft.step(Event::Tick(10));
    }
    scene.drain();
    scene
}

/// Lets the time pass in which nobody votes after a start, and elects the server with the vote of server 2.
fn elect(scene: &mut Scene) {
    scene.tick(10);
    if scene.role() == RoleName::Follower {
        scene.step(Event::Campaign);
    }
    scene.grant(2);
    scene.grant(2);
}

/// Server 1 of three as the leader of term 2, its no-op at 1 committed, and no round confirmed.
fn leader() -> Scene {
    let mut scene = server(&[]);
    elect(&mut scene);
    assert_eq!(scene.role(), RoleName::Leader);
    scene.accept(2, at(2, 1));
    assert_eq!(scene.commit(), 1);
    scene
}

fn read(scene: &mut Scene, id: u64) -> Vec<(u64, u64)> {
    ready(&scene.read_by(id, ReadMode::Lease))
}

fn ready(actions: &[Action]) -> Vec<(u64, u64)> {
    let ready = actions.iter().filter_map(|action| match action {
        Action::ReadReady { id, index } => Some((id.value(), index.value())),
        _ => None,
    });
    ready.collect()
}

/// The round of the leader's last heartbeat among the actions.
fn round(actions: &[Action]) -> Round {
    let rounds = sent(actions)
        .into_iter()
        .filter_map(|(_, message)| match message {
            Message::Heartbeat { round, .. } => Some(round),
            _ => None,
        });
    rounds.last().expect("it sends heartbeats")
}

fn confirm(scene: &mut Scene, from: u64, round: Round) -> Vec<Action> {
    let (session, term) = (scene.session(from), scene.term());
    scene.receive(from, term, Message::HeartbeatReply { session, round })
}

/// Lets the leader begin a round, which server 2 confirms at once.
fn renew(scene: &mut Scene) {
    let round = round(&scene.tick(2));
    confirm(scene, 2, round);
}

#[test]
fn a_leader_that_holds_a_lease_answers_without_asking() {
    let mut scene = leader();
    renew(&mut scene);
    let actions = scene.read_by(7, ReadMode::Lease);
    assert_eq!((ready(&actions), sent(&actions)), (vec![(7, 1)], vec![]));
    // Whoever does not trust clocks asks as ever.
    let actions = scene.read(8);
    assert_eq!((ready(&actions), kinds(&actions).len()), (vec![], 2));
}

#[test]
fn without_a_lease_such_a_read_asks_a_quorum() {
    let mut scene = leader();
    let actions = scene.read_by(7, ReadMode::Lease);
    assert_eq!(ready(&actions), []);
    let round = round(&actions);
    assert_eq!(ready(&confirm(&mut scene, 2, round)), [(7, 1)]);
    let mut without = Scene::leader(3, 2, &[]);
    without.accept(2, at(2, 1));
    without.tick(2);
    assert_eq!(read(&mut without, 7), []);
}

// The voters are bound from when they heard the round, at the earliest when it began: not from when they answered.
#[test]
fn a_lease_counts_from_the_begin_of_its_round() {
    let mut scene = leader();
    let round = round(&scene.tick(2));
    let late = LASTS_TICKS - 1;
    scene.tick(late);
    confirm(&mut scene, 2, round);
    assert_eq!(read(&mut scene, 1), [(1, 1)], "{late} ticks after it began");
    scene.tick(1);
    assert_eq!(read(&mut scene, 2), [(2, 1)]);
    scene.tick(1);
    assert_eq!(read(&mut scene, 3), []);
}

#[test]
fn a_lease_is_shorter_by_what_clocks_may_differ() {
    for (drift_permyriad, lasts) in [(0, 8), (100, 7), (5_000, 5)] {
        let mut setup = setup(3, 1, &[]);
        setup.config.options.lease = Some(Lease { drift_permyriad });
        let mut scene = Scene::new(setup).expect("the disk is sound");
        elect(&mut scene);
        scene.accept(2, at(2, 1));
        renew(&mut scene);
        scene.tick(lasts);
        assert_eq!(read(&mut scene, 1), [(1, 1)], "{drift_permyriad}");
        scene.tick(1);
        assert_eq!(read(&mut scene, 2), [], "{drift_permyriad}");
    }
}

#[test]
fn a_lease_that_no_heartbeat_could_renew_in_time_is_a_mistake() {
    let mut config = Config::default();
    config.options.lease = Some(Lease {
        drift_permyriad: 60_000,
    });
    let error = ConfigError::Lease {
        drift: 60_000,
        lease: 0,
        heartbeat: 2,
    };
    assert_eq!(config.validate(), Err(error));
}

// §6.4, step 1, holds for leases as well.
#[test]
fn a_lease_without_a_commit_of_the_own_term_answers_nothing() {
    let mut scene = server(&[]);
    elect(&mut scene);
    renew(&mut scene);
    assert_eq!(read(&mut scene, 1), []);
    assert_eq!(ready(&scene.accept(2, at(2, 1))), []);
    assert_eq!(read(&mut scene, 2), [(2, 1)]);
}

// Dissertation §6.4.1: a transfer of leadership breaks what leases rest on.
#[test]
fn a_leader_that_has_told_another_one_to_campaign_has_no_lease_any_more() {
    let mut scene = leader();
    renew(&mut scene);
    scene.step(Event::Transfer { to: node(2) });
    assert_eq!(read(&mut scene, 1), []);
    // Also when nothing comes of it.
    for _ in 0..6 {
        renew(&mut scene);
    }
    assert_eq!(scene.raft.status().transferring_to, None);
    assert_eq!(read(&mut scene, 2), []);
}

// What a voter learns of later terms does not free it.
#[test]
fn a_voter_that_hears_a_leader_keeps_its_vote_in_every_term() {
    let mut scene = rested(&[]);
    scene.receive(2, 1, heartbeat(None));
    scene.receive(2, 3, Message::VoteReply { granted: false });
    assert_eq!(scene.term(), 3);
    let actions = scene.receive(3, 3, Message::Vote { last: at(2, 9) });
    assert_eq!(sent(&actions), [(3, Message::VoteReply { granted: false })]);
    // In a transfer, the leader itself wants this.
    let actions = scene.receive(3, 3, Message::TransferVote { last: at(2, 9) });
    assert_eq!(sent(&actions), [(3, Message::VoteReply { granted: true })]);
}

#[test]
fn a_server_that_has_just_started_keeps_its_vote() {
    let mut scene = server(&[1]);
    let vote = Message::Vote { last: at(1, 1) };
    let actions = scene.receive(3, 1, vote.clone());
    assert_eq!(sent(&actions), [(3, Message::VoteReply { granted: false })]);
    scene.raft.step(Event::Tick(9));
    let actions = scene.receive(3, 1, vote.clone());
    assert!(sent(&actions).contains(&(3, Message::VoteReply { granted: false })));
    scene.raft.step(Event::Tick(1));
    let actions = scene.receive(3, 2, vote);
    assert!(sent(&actions).contains(&(3, Message::VoteReply { granted: true })));
}

// It would vote for itself.
#[test]
fn nobody_is_made_to_campaign_against_a_leader_that_it_hears() {
    let mut scene = rested(&[]);
    scene.receive(2, 2, heartbeat(None));
    scene.step(Event::Campaign);
    assert_eq!(scene.role(), RoleName::Follower);
    assert_eq!(scene.raft.status().ignored.sticky, 1);
    scene.receive(2, 2, Message::TimeoutNow);
    assert_eq!(scene.role(), RoleName::Candidate);
}
