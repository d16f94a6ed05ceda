//! Reads that rest on a lease: dissertation §6.4.1.

mod support;

use raft_core::{
    Action, Config, ConfigError, Event, Lease, Message, Options, Raft, ReadMode, RoleName, Round, Timing,
};
use support::Cluster;
use support::scene::{Scene, at, heartbeat, kinds, node, sent, setup, writes};

const LEASE: Option<Lease> = Some(Lease { drift_permyriad: 100 });

/// How long a lease lasts with the default timing: of 10 ticks one may have been nearly over at the voter, its clock
/// may be a hundredth too fast, and one of the leader's own may be nearly over.
const LASTS_TICKS: u64 = 7;

/// What a voter with the same settings promises: nine ticks, since the first of ten may have been nearly over.
const PROMISE_MICROS: u64 = 900_000;

/// Server 1 of three in term 1.
fn server(log: &[u64]) -> Scene {
    let mut setup = setup(3, 1, log);
    setup.config.options.lease = LEASE;
    Scene::new(setup).expect("the disk is valid")
}

/// Lets the time pass in which a server grants no votes after its start.
fn rested(log: &[u64]) -> Scene {
    let mut scene = server(log);
    scene.raft.step(Event::Tick(10));
    if scene.role() != RoleName::Follower {
        // It has begun a pre-vote: the next leader ends that.
        scene.receive(2, 1, heartbeat(None));
        scene.raft.step(Event::Tick(10));
    }
    scene.drain();
    scene
}

/// Lets the time pass in which no server votes after its start, and elects the server with the vote of server 2.
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
    scene.receive(
        from,
        term,
        Message::HeartbeatReply {
            session,
            round,
            promise_micros: PROMISE_MICROS,
            level: raft_core::Level::ZERO,
            halted: false,
            stalled: false,
            wall_time: None,
        },
    )
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
    // A read by read index still asks a quorum.
    let actions = scene.read(8);
    assert_eq!((ready(&actions), kinds(&actions).len()), (vec![], 2));
}

#[test]
fn without_a_lease_a_lease_read_asks_a_quorum() {
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
fn a_lease_counts_from_the_beginning_of_its_read_round() {
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
        let mut scene = Scene::new(setup).expect("the disk is valid");
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
fn a_lease_that_no_heartbeat_could_renew_in_time_is_refused() {
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
fn a_leader_that_has_told_another_server_to_campaign_has_no_lease() {
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

// Learning of a later term does not release a voter.
#[test]
fn a_voter_that_hears_a_leader_keeps_its_vote_in_every_term() {
    let mut scene = rested(&[]);
    scene.receive(2, 1, heartbeat(None));
    scene.receive(2, 3, Message::VoteReply { granted: false });
    assert_eq!(scene.term(), 3);
    let actions = scene.receive(3, 3, Message::Vote { last: at(2, 9) });
    assert_eq!(sent(&actions), [(3, Message::VoteReply { granted: false })]);
    // In a transfer, the leader itself asks for this.
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
fn no_server_is_made_to_campaign_against_a_leader_that_it_hears() {
    let mut scene = rested(&[]);
    scene.receive(2, 2, heartbeat(None));
    scene.step(Event::Campaign);
    assert_eq!(scene.role(), RoleName::Follower);
    assert_eq!(scene.raft.status().ignored.sticky, 1);
    scene.receive(2, 2, Message::TimeoutNow);
    assert_eq!(scene.role(), RoleName::Candidate);
}

/// Server 1 leads with these timeouts of its own, and its peers were restarted with others.
fn led_with_longer_timeouts(leader: (u64, u64), others: Config) -> Cluster {
    let timing = Timing {
        election_timeout_min_ticks: leader.0,
        election_timeout_max_ticks: leader.1,
        ..Timing::default()
    };
    let options = Options {
        lease: LEASE,
        ..Options::default()
    };
    let mut cluster = Cluster::with(
        3,
        Config {
            timing,
            options,
            ..Config::default()
        },
    );
    while cluster.elect() != 1 {
        let from = cluster.leader().expect("there is a leader");
        cluster.step(from, Event::Transfer { to: node(1) });
        cluster.tick(10);
    }
    cluster.config = others;
    for id in [2, 3] {
        cluster.crash(id);
        cluster.restart(id);
        // It waits out what it promised before, in its own ticks.
        cluster.tick(3 * leader.0);
    }
    assert_eq!(cluster.leader(), Some(1));
    cluster.propose(1, b"old");
    cluster.tick(6);
    cluster
}

/// Partitions server 1, and asks it by its lease in every tick until another leader has committed something, and when it
/// has.
fn reads_of_a_partitioned_leader(cluster: &mut Cluster) -> (usize, bool) {
    cluster.isolate(1);
    let mut answered = 0;
    for _ in 0..120 {
        cluster.tick(1);
        let other = [2, 3]
            .into_iter()
            .find(|&id| cluster.role(id) == RoleName::Leader);
        let is_written = other.is_some_and(|other| {
            let write = cluster.propose(other, b"new");
            cluster.deliver();
            cluster.server(other).done.contains_key(&write)
        });
        let before = cluster.server(1).answered.len();
        cluster.read_by(1, ReadMode::Lease);
        let is_answered = cluster.server(1).answered.len() > before;
        if is_written {
            return (answered, is_answered);
        }
        answered += usize::from(is_answered);
    }
    panic!("no other leader was elected");
}

fn shorter(lease: Option<Lease>, tick_micros: u64) -> Config {
    Config {
        timing: Timing {
            election_timeout_min_ticks: 6,
            election_timeout_max_ticks: 8,
            ..Timing::default()
        },
        tick_micros,
        options: Options {
            lease,
            ..Options::default()
        },
        ..Config::default()
    }
}

// A lease rests on the promises of the voters, not on the leader's own settings: their timeouts may be shorter, their
// ticks too, and a voter without the option promises nothing.
#[test]
fn a_lease_lasts_for_the_shortest_promise_of_its_quorum() {
    for (others, some) in [
        (shorter(LEASE, 100_000), true),
        (shorter(LEASE, 50_000), false),
        (shorter(None, 100_000), false),
    ] {
        let mut cluster = led_with_longer_timeouts((40, 60), others);
        let (answered, stale) = reads_of_a_partitioned_leader(&mut cluster);
        assert!(!stale, "a stale read");
        assert_eq!(answered > 0, some, "{answered} reads were answered by the lease");
    }
}

// What a server promised before its restart binds it after it, with whatever settings it starts.
#[test]
fn a_start_waits_out_what_an_earlier_boot_promised() {
    for options in [LEASE, None] {
        let mut setup = setup(3, 1, &[]);
        setup.config = shorter(options, 100_000);
        setup.durable.hard_state.promise_micros = 3_900_000;
        let mut scene = Scene::new(setup).expect("the disk is valid");
        let granted = |scene: &mut Scene| {
            let term = scene.term() + 1;
            let actions = scene.receive(2, term, Message::Vote { last: at(1, 9) });
            sent(&actions).contains(&(2, Message::VoteReply { granted: true }))
        };
        scene.tick(39);
        assert_eq!(scene.role(), RoleName::Follower, "nor does it vote for itself");
        scene.step(Event::Campaign);
        assert_eq!(scene.role(), RoleName::Follower);
        assert!(!granted(&mut scene), "39 of 40 ticks are over");
        scene.tick(1);
        assert!(granted(&mut scene));
    }
}

// A promise that the disk does not know of yet is not made, and one that has run out is not kept.
#[test]
fn a_longer_promise_is_durable_before_it_is_made_and_is_lowered_once_it_has_run_out() {
    let promised = |actions: &[Action]| {
        let replies = sent(actions)
            .into_iter()
            .filter_map(|(_, message)| match message {
                Message::HeartbeatReply { promise_micros, .. } => Some(promise_micros),
                _ => None,
            });
        replies.collect::<Vec<_>>()
    };
    let mut setup = setup(3, 2, &[]);
    setup.config.options.lease = LEASE;
    let mut scene = Scene::new(setup.clone()).expect("the disk is valid");
    let mut disk = setup.durable.clone();
    writes(&scene.opening).iter().for_each(|write| disk.write(write));
    assert_eq!(disk.hard_state.promise_micros, PROMISE_MICROS);
    // The same server on a slow disk.
    let mut slow = Raft::new(setup.clone()).expect("the disk is valid");
    slow.step(Event::Receive(scene.envelope(2, 2, heartbeat(None))));
    let mut actions = Vec::new();
    slow.drain(&mut actions);
    assert_eq!(promised(&actions), [0], "the write is not durable");
    assert_eq!(promised(&scene.receive(2, 2, heartbeat(None))), [PROMISE_MICROS]);
    // It starts with a shorter timeout: the next write after the wait says so.
    setup.durable = disk;
    setup.config.timing.election_timeout_min_ticks = 6;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    let early = scene.receive(2, 3, heartbeat(None));
    assert_eq!(
        writes(&early)[0]
            .hard_state
            .as_ref()
            .map(|state| state.promise_micros),
        Some(PROMISE_MICROS)
    );
    scene.tick(10);
    let late = scene.receive(2, 4, heartbeat(None));
    assert_eq!(
        writes(&late)[0]
            .hard_state
            .as_ref()
            .map(|state| state.promise_micros),
        Some(500_000)
    );
}
