//! The level of the log: commands of a level are in force only when every member's program has said that it understands
//! them, and no program below it gets past the entry that raises it.

#![expect(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

mod support;

use raft_core::{
    Action, AppendOutcome, Boot, Change, Durable, Entry, EntryBody, Event, Halted, Index, Level, LogId,
    Membership, Message, NodeId, PeerSession, Persist, Raft, Recovery, RestoreError, Round, SnapshotMeta,
    Term,
};
use support::scene::{Scene, append, index, setup, small};
use support::{Cluster, Disk};

const TWO: Level = Level::new(2);

/// A cluster of three whose programs go up to these levels.
fn of_levels(levels: [u32; 3]) -> Cluster {
    let mut cluster = Cluster::new(0);
    cluster.size = 3;
    for (id, level) in (1..).zip(levels) {
        cluster.levels.insert(id, Level::new(level));
    }
    for id in 1..=3 {
        cluster.start(id, Disk::default(), 1, id);
    }
    cluster.elect();
    cluster
}

fn levels_in_force(cluster: &mut Cluster) -> Vec<u32> {
    let ids: Vec<u64> = cluster.servers.keys().copied().collect();
    let level = |id| cluster.server(id).replica.raft().level().value();
    ids.into_iter().map(level).collect()
}

/// The entries in the log of a server that raise the level.
fn raises(cluster: &mut Cluster, id: u64) -> Vec<(u64, u32)> {
    let entries = cluster.server(id).disk.durable.entries.iter();
    let raise = |entry: &Entry| match entry.body {
        EntryBody::Level(level) => Some((entry.id.index.value(), level.value())),
        _ => None,
    };
    entries.filter_map(raise).collect()
}

fn held_back_by(cluster: &mut Cluster) -> Vec<u64> {
    let leader = cluster.leader().unwrap();
    let status = cluster.server(leader).replica.raft().status();
    status.level_held_back_by.into_iter().map(NodeId::value).collect()
}

#[test]
fn the_level_rises_once_every_member_has_said_that_it_understands_it() {
    let mut cluster = of_levels([2, 2, 2]);
    cluster.tick(5);
    assert_eq!(levels_in_force(&mut cluster), [2, 2, 2]);
    for id in 1..=3 {
        assert_eq!(raises(&mut cluster, id).len(), 1, "by one entry");
    }
    assert_eq!(held_back_by(&mut cluster), [0; 0]);
}

#[test]
fn programs_that_do_not_use_levels_raise_none() {
    let mut cluster = of_levels([0, 0, 0]);
    cluster.tick(50);
    assert_eq!(levels_in_force(&mut cluster), [0, 0, 0]);
    assert_eq!(raises(&mut cluster, 1), []);
}

#[test]
fn the_level_is_the_lowest_that_any_member_has_said() {
    let mut cluster = of_levels([3, 2, 5]);
    cluster.tick(5);
    assert_eq!(levels_in_force(&mut cluster), [2, 2, 2]);
}

#[test]
fn a_silent_member_holds_the_level_back_by_name_until_it_is_removed() {
    let mut cluster = of_levels([2, 2, 1]);
    cluster.tick(5);
    cluster.crash(3);
    let leader = cluster.elect();
    assert_eq!(held_back_by(&mut cluster), [3]);
    cluster.tick(100);
    assert_eq!(levels_in_force(&mut cluster), [1, 1]);
    cluster.change(leader, Change::Remove(NodeId::new(3)));
    cluster.tick(10);
    assert_eq!(levels_in_force(&mut cluster), [2, 2]);
}

#[test]
fn a_learner_holds_the_level_back_as_well() {
    let mut cluster = of_levels([2, 2, 2]);
    cluster.levels.insert(4, Level::new(2));
    cluster
        .levels
        .extend([(1, Level::new(3)), (2, Level::new(3)), (3, Level::new(3))]);
    let leader = cluster.elect();
    cluster.change(leader, Change::AddLearner(NodeId::new(4)));
    cluster.start_new(4);
    cluster.tick(20);
    for id in 1..=3 {
        cluster.crash(id);
        cluster.restart(id);
        cluster.elect();
    }
    cluster.tick(20);
    assert_eq!(levels_in_force(&mut cluster), [2, 2, 2, 2]);
    assert_eq!(held_back_by(&mut cluster), [4]);
    cluster.levels.insert(4, Level::new(3));
    cluster.crash(4);
    let (disk, boot) = cluster.crashed.remove(&4).unwrap();
    cluster.start_with(4, disk, boot + 1, 4, Membership::default());
    cluster.tick(10);
    assert_eq!(levels_in_force(&mut cluster), [3, 3, 3, 3]);
}

/// A leader of three whose program goes up to level 2, and which knows nothing of the others yet.
fn leader() -> Scene {
    let mut setup = setup(3, 1, &[1]);
    setup.config.level = TWO;
    let mut scene = Scene::new(setup).unwrap();
    scene.win();
    let last = scene.raft.vitals().last;
    scene.accept(2, last);
    scene
}

/// A peer's answer to a heartbeat, from this boot, whose program goes up to this level.
fn says(scene: &mut Scene, from: u64, boot: u64, level: u32) -> Vec<Action> {
    let message = Message::HeartbeatReply {
        session: scene.session(from),
        round: Round::new(0),
        promise_micros: 0,
        level: Level::new(level),
        halted: false,
        stalled: false,
        wall_time: None,
    };
    let mut envelope = scene.envelope(from, scene.term(), message);
    envelope.from_boot = Boot::new(small(boot), small(from));
    scene.step(Event::Receive(envelope))
}

/// The entry in memory that raises the level to 2.
fn raised(scene: &Scene) -> Option<Index> {
    let last = scene.raft.vitals().last?.index.value();
    let raises = |at: &Index| scene.raft.entry(*at).map(|entry| &entry.body) == Some(&EntryBody::Level(TWO));
    (1..=last).map(index).find(raises)
}

#[test]
fn a_level_is_in_force_when_its_entry_is_committed_and_no_sooner() {
    let mut scene = leader();
    says(&mut scene, 2, 1, 2);
    says(&mut scene, 3, 1, 2);
    let entry = raised(&scene).expect("the leader raises the level");
    assert!(scene.raft.vitals().commit < Some(entry));
    assert_eq!(scene.raft.level(), Level::ZERO);
    let last = scene.raft.vitals().last;
    scene.accept(2, last);
    assert!(scene.raft.vitals().commit >= Some(entry));
    assert_eq!(scene.raft.level(), TWO);
}

#[test]
fn what_an_earlier_boot_has_said_does_not_count() {
    let mut scene = leader();
    says(&mut scene, 3, 1, 2);
    // It was started again, with a program of which the leader knows nothing yet.
    let outcome = AppendOutcome::Rejected {
        prev: None,
        hint: None,
    };
    let reply = Message::AppendReply {
        session: PeerSession::new(2),
        round: Round::new(0),
        promise_micros: 0,
        outcome,
    };
    let mut envelope = scene.envelope(3, scene.term(), reply);
    envelope.from_boot = Boot::new(2, 3);
    scene.step(Event::Receive(envelope));
    says(&mut scene, 2, 1, 2);
    let held_back = |scene: &Scene| scene.raft.status().level_held_back_by;
    assert_eq!(held_back(&scene), [NodeId::new(3)]);
    says(&mut scene, 3, 2, 1);
    // A late answer of the earlier boot.
    says(&mut scene, 3, 1, 2);
    assert_eq!(held_back(&scene), [NodeId::new(3)]);
    says(&mut scene, 3, 2, 2);
    assert_eq!(held_back(&scene), [], "the entry is in the log");
}

/// A follower whose program goes up to level 1.
fn older(witness: bool) -> Scene {
    let mut setup = setup(3, 1, &[]);
    setup.durable = Durable::default();
    setup.durable.hard_state.term = Term::new(1);
    setup.config.level = Level::new(1);
    setup.config.options.witness = witness;
    if witness {
        setup.bootstrap = setup.bootstrap.with_witnesses([NodeId::new(1)]);
    }
    Scene::new(setup).unwrap()
}

/// No-ops of term 1, and at one index an entry that raises the level.
fn log(count: u64, raised_at: u64, level: Level) -> Vec<Entry> {
    let entry = |at| Entry {
        id: LogId::new(Term::new(1), index(at)),
        body: match at == raised_at {
            true => EntryBody::Level(level),
            false => EntryBody::Noop,
        },
    };
    (1..=count).map(entry).collect()
}

#[test]
fn a_program_below_the_level_halts_before_the_entry_that_raises_it() {
    for witness in [false, true] {
        let mut scene = older(witness);
        scene.receive(2, 1, append(None, log(5, 3, TWO), 2));
        assert_eq!(scene.raft.halted(), None, "it may never be committed");
        scene.receive(2, 1, append(scene.raft.log_id(index(5)), Vec::new(), 5));
        let needs = Some(TWO);
        assert_eq!(scene.raft.halted(), Some(Halted { at: index(3), needs }));
        assert_eq!((scene.applied(), scene.commit()), (2, 5));
        assert_eq!(
            scene.raft.hard_state().level,
            Level::ZERO,
            "it leaves the folder as it is"
        );
    }
}

#[test]
fn a_program_of_the_level_passes_the_entry() {
    let mut scene = older(false);
    scene.receive(2, 1, append(None, log(5, 3, Level::new(1)), 5));
    assert_eq!((scene.raft.halted(), scene.applied()), (None, 5));
    assert_eq!(scene.raft.level(), Level::new(1));
    assert_eq!(scene.raft.hard_state().level, Level::new(1));
}

#[test]
fn a_program_below_the_level_of_a_snapshot_does_not_take_it_and_halts() {
    for witness in [false, true] {
        let mut scene = older(witness);
        let meta = SnapshotMeta {
            level: TWO,
            withheld: witness,
            membership: scene.raft.membership().clone().into(),
            ..support::scene::snapshot(1, 9, 3)
        };
        let chunk = Message::SnapshotChunk {
            session: PeerSession::new(1),
            meta: Box::new(meta),
            total_bytes: 0,
            checksum: 0,
            offset: 0,
            data: b""[..].into(),
        };
        let actions = scene.receive(2, 1, chunk);
        assert!(
            !actions
                .iter()
                .any(|action| matches!(action, Action::SnapshotArrived { .. }))
        );
        let needs = Some(TWO);
        assert_eq!(scene.raft.halted(), Some(Halted { at: index(9), needs }));
        assert_eq!(scene.raft.status().ignored.beyond_halt, 1);
        assert_eq!(scene.raft.snapshot(), None);
    }
}

#[test]
fn a_folder_keeps_its_level_and_no_program_below_it_starts_there() {
    let mut cluster = of_levels([2, 2, 2]);
    cluster.tick(5);
    let durable = cluster.server(1).disk.durable.clone();
    assert_eq!(durable.hard_state.level, TWO);
    let mut setup = setup(3, 1, &[]);
    setup.durable = durable;
    setup.config.level = Level::new(1);
    let refused = RestoreError::Level {
        folder: TWO,
        program: Level::new(1),
    };
    assert_eq!(Raft::new(setup.clone()).map(drop), Err(refused.clone()));
    assert_eq!(Recovery::of(&setup).map(drop), Err(refused.into()));
    setup.config.level = TWO;
    assert_eq!(Raft::new(setup.clone()).unwrap().level(), TWO);
    assert_eq!(Recovery::of(&setup).unwrap().write.hard_state.unwrap().level, TWO);
}

/// Three servers with the newer program, which take snapshots often and keep nothing of the log before them.
fn of_level_two_with_snapshots() -> (Cluster, u64) {
    let mut cluster = Cluster::with_snapshots(3, 4, 0);
    for id in 1..=3 {
        cluster.levels.insert(id, TWO);
        cluster.crash(id);
        cluster.restart(id);
    }
    let leader = cluster.elect();
    (cluster, leader)
}

#[test]
fn a_snapshot_carries_the_level_and_no_program_below_it_starts_from_it() {
    let (mut cluster, leader) = of_level_two_with_snapshots();
    for _ in 0..10 {
        cluster.propose(leader, b"a");
        cluster.tick(2);
    }
    let mut durable = cluster.server(leader).disk.durable.clone();
    assert_eq!(durable.snapshot.as_ref().map(|meta| meta.level), Some(TWO));
    assert_eq!(raises(&mut cluster, leader), [], "the entry is compacted");
    let mut setup = setup(3, 1, &[]);
    durable.hard_state.level = Level::ZERO;
    setup.durable = durable;
    let refused = RestoreError::Level {
        folder: TWO,
        program: Level::ZERO,
    };
    assert_eq!(Raft::new(setup.clone()).map(drop), Err(refused));
    setup.config.level = TWO;
    assert_eq!(Raft::new(setup).unwrap().level(), TWO);
}

// A server that was down for all of it.
#[test]
fn a_server_that_is_sent_a_snapshot_has_its_level() {
    let (mut cluster, leader) = of_level_two_with_snapshots();
    cluster.tick(5);
    let other = leader % 3 + 1;
    cluster.crash(other);
    cluster.crashed.insert(other, (Disk::default(), 7));
    let (disk, boot) = cluster.crashed.remove(&other).unwrap();
    for _ in 0..10 {
        cluster.propose(leader, b"a");
        cluster.tick(2);
    }
    cluster.change(leader, Change::Remove(NodeId::new(other)));
    cluster.tick(5);
    cluster.change(leader, Change::AddLearner(NodeId::new(other)));
    cluster.tick(5);
    cluster.start_with(other, disk, boot + 1, 77, Membership::default());
    cluster.tick(30);
    assert_eq!(cluster.server(other).installed, 1);
    assert_eq!(cluster.server(other).replica.raft().level(), TWO);
    assert_eq!(
        cluster.server(other).replica.raft().snapshot().unwrap().level,
        TWO
    );
}

#[test]
fn levels_never_sink() {
    // The log is at level 2, and every member's program at level 2 or above; one returns to level 2 later.
    let mut cluster = of_levels([3, 3, 3]);
    cluster.tick(5);
    assert_eq!(levels_in_force(&mut cluster), [3, 3, 3]);
    let mut setup = setup(3, 1, &[]);
    setup.durable = cluster.server(1).disk.durable.clone();
    setup.config.level = TWO;
    assert!(Raft::new(setup).is_err());
    // An entry of a lower level is no step back, whoever made it.
    let mut scene = older(false);
    let mut entries = log(4, 2, Level::new(1));
    entries.push(Entry {
        id: LogId::new(Term::new(1), index(5)),
        body: EntryBody::Level(Level::new(1)),
    });
    scene.receive(2, 1, append(None, entries, 5));
    assert_eq!(scene.raft.level(), Level::new(1));
    // Level 0 is what a log begins with, and no leader sets it.
    let malformed = scene.raft.status().ignored.malformed;
    scene.receive(2, 1, append(None, log(2, 1, Level::ZERO), 0));
    assert_eq!(scene.raft.status().ignored.malformed, malformed + 1);
}

// What is truncated was never in force.
#[test]
fn a_level_whose_entry_is_truncated_is_not_in_force() {
    let mut scene = older(false);
    scene.receive(2, 1, append(None, log(3, 3, Level::new(1)), 2));
    assert_eq!(scene.raft.level(), Level::ZERO);
    let prev = scene.raft.log_id(index(2));
    let other = vec![Entry {
        id: LogId::new(Term::new(2), index(3)),
        body: EntryBody::Noop,
    }];
    scene.receive(3, 2, append(prev, other, 3));
    assert_eq!((scene.commit(), scene.raft.level()), (3, Level::ZERO));
}

#[test]
fn a_new_cluster_keeps_the_level_of_the_state_that_it_begins_with() {
    let founders = Membership::of_voters((1..=3).map(NodeId::new));
    let mut setup = setup(3, 1, &[]);
    setup.bootstrap = founders.clone();
    setup.durable = Durable::default();
    setup
        .durable
        .write(&Persist::founding(NodeId::new(1), &founders, TWO, 5));
    assert!(matches!(
        Raft::new(setup.clone()),
        Err(RestoreError::Level { .. })
    ));
    setup.config.level = TWO;
    assert_eq!(Raft::new(setup).unwrap().level(), TWO);
}

#[test]
fn a_cluster_is_upgraded_one_server_after_the_other() {
    let mut cluster = of_levels([1, 1, 1]);
    for id in 1..=3 {
        cluster.levels.insert(id, TWO);
        let leader = cluster.leader().unwrap();
        let done = cluster.propose(leader, b"a");
        cluster.tick(5);
        assert!(cluster.server(leader).done.contains_key(&done));
        assert_eq!(cluster.server(leader).replica.raft().level(), Level::new(1));
        cluster.upgrade(id);
        cluster.elect();
    }
    cluster.tick(10);
    assert_eq!(levels_in_force(&mut cluster), [2, 2, 2]);
    assert!(
        (1..=3).all(|id| cluster.servers[&id].halts.is_empty()),
        "none of them halted"
    );
}
