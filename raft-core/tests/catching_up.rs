//! A follower that lags is fed what it needs next: the log stays for it, within a bound, so that one snapshot is enough.

mod support;

use std::collections::VecDeque;

use raft_core::{
    Action, Config, Entries, Envelope, Event, Feeding, Limits, LoadEntries, Message, Snapshots, Ticket,
};
use support::Cluster;
use support::scene::{Scene, at, node, setup, snapshot};

fn last(cluster: &mut Cluster, id: u64) -> u64 {
    let last = cluster.server(id).replica.raft().vitals().last;
    last.map_or(0, |last| last.index.value())
}

/// A leader that writes, and a follower whose link carries so many heavy messages a tick.
struct Race {
    cluster: Cluster,
    leader: u64,
    slow: u64,
    waiting: VecDeque<Envelope>,
    messages_a_tick: usize,
}

impl Race {
    /// The follower was away while so many commands were written.
    fn after_an_absence(snapshots: Snapshots, messages_a_tick: usize) -> Self {
        let config = Config {
            snapshots,
            // One command to a message.
            limits: Limits {
                message_bytes: 80,
                ..Limits::default()
            },
            ..Config::default()
        };
        let mut cluster = Cluster::with(3, config);
        let leader = cluster.elect();
        let slow = (1..=3).find(|&id| id != leader).expect("there are three");
        cluster.isolate(slow);
        for number in 0..100_u32 {
            cluster.propose(leader, format!("{number:016}").as_bytes());
            if number % 5 == 0 {
                cluster.tick(1);
            }
        }
        cluster.heal();
        Self {
            cluster,
            leader,
            slow,
            waiting: VecDeque::new(),
            messages_a_tick,
        }
    }

    /// One tick, in which the leader writes so many commands. All but the heavy messages to the follower are quick.
    fn tick(&mut self, writes: usize) {
        let cluster = &mut self.cluster;
        for _ in 0..writes {
            cluster.propose(self.leader, b"0123456789abcdef");
        }
        for id in 1..=3 {
            cluster.step(id, Event::Tick(1));
        }
        let mut left = self.messages_a_tick;
        for envelope in core::mem::take(&mut self.waiting) {
            if left == 0 {
                self.waiting.push_back(envelope);
            } else {
                left -= 1;
                cluster.step(self.slow, Event::Receive(envelope));
            }
        }
        while let Some(envelope) = cluster.wire.pop_front() {
            let to = envelope.to.value();
            let is_heavy = match &envelope.message {
                Message::Append { entries, .. } => !entries.is_empty(),
                message => matches!(message, Message::SnapshotChunk { .. }),
            };
            if to == self.slow && is_heavy {
                if left == 0 {
                    self.waiting.push_back(envelope);
                    continue;
                }
                left -= 1;
            }
            cluster.step(to, Event::Receive(envelope));
        }
    }

    /// Lets time pass until the follower has caught up; `None` if it does not.
    fn ticks_to_catch_up(&mut self, writes: usize, most: usize) -> Option<usize> {
        (1..=most).find(|_| {
            self.tick(writes);
            let lacks = last(&mut self.cluster, self.leader) - last(&mut self.cluster, self.slow);
            lacks <= 2 * writes as u64
        })
    }
}

fn often(keep_entries: u64, keep_bytes: u64) -> Snapshots {
    Snapshots {
        every_entries: 20,
        keep_entries,
        keep_bytes,
        chunk_bytes: 32,
        ..Snapshots::default()
    }
}

// dgraph#9793, nats-server#7846: each snapshot left the follower where the next one began.
#[test]
fn a_follower_twice_as_fast_as_the_writes_catches_up_with_one_snapshot_or_two() {
    for keep_entries in [0, 5, 1_000] {
        let mut race = Race::after_an_absence(often(keep_entries, 1 << 20), 4);
        let took = race.ticks_to_catch_up(2, 3_000);
        assert!(took.is_some(), "{keep_entries} kept: it does not catch up");
        let installed = race.cluster.server(race.slow).installed;
        assert!(installed <= 2, "{keep_entries} kept: {installed} snapshots");
    }
}

#[test]
fn what_is_kept_for_a_follower_that_falls_back_is_bounded_by_bytes() {
    let (cost, keep_bytes) = (48, 4_800);
    let mut race = Race::after_an_absence(often(5, keep_bytes), 1);
    let mut longest = 0;
    for _ in 0..600 {
        race.tick(4);
        let raft = race.cluster.server(race.leader).replica.raft();
        let first = raft.first_index().value();
        longest = longest.max(last(&mut race.cluster, race.leader) + 1 - first);
    }
    // Until the next snapshot is taken and written, entries come on top.
    assert!(
        longest * cost > keep_bytes / 2,
        "nothing was kept: {longest} entries"
    );
    assert!(
        longest * cost < keep_bytes + 40 * cost,
        "{longest} entries are kept"
    );
    assert_eq!(race.cluster.leader(), Some(race.leader));
}

#[test]
fn the_log_is_not_kept_for_a_follower_that_does_not_answer() {
    let mut cluster = Cluster::with_snapshots(3, 10, 0);
    let leader = cluster.elect();
    let away = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.isolate(away);
    let patience = cluster.config.timing.snapshot_timeout_ticks;
    for number in 0..patience + 40 {
        cluster.propose(leader, &number.to_be_bytes());
        cluster.tick(1);
    }
    let raft = cluster.server(leader).replica.raft();
    assert!(raft.first_index().value() > patience);
}

/// A leader of term 3 whose log begins after the snapshot of 5, and which has heard server 2.
fn leader_with_a_snapshot(log: &[u64]) -> Scene {
    let mut start = setup(3, 2, &[]);
    start.durable.snapshot = Some(snapshot(2, 5, 3));
    start.durable.entries = support::scene::entries(5, log);
    let mut scene = Scene::new(start).expect("the disk is valid");
    scene.win();
    scene
}

fn feeding(scene: &Scene, peer: u64) -> Option<Feeding> {
    scene.raft.progress(node(peer)).map(|peer| peer.feeding)
}

#[test]
fn a_transfer_ends_when_the_log_suffices_again() {
    let mut scene = leader_with_a_snapshot(&[2, 2]);
    // Server 2 says that it has nothing, and is sent the snapshot; then an older acknowledgement arrives.
    let actions = scene.reject(2, at(2, 7), None);
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::SendSnapshot { .. }))
    );
    let actions = scene.accept(2, at(2, 5));
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::SnapshotEnded { .. }))
    );
    assert_ne!(feeding(&scene, 2), Some(Feeding::Snapshot));
}

/// A leader whose snapshot covers entries that are still in the store, and no longer in memory. Server 3 lacks them.
fn leader_that_loads() -> (Scene, Ticket) {
    let mut start = setup(3, 1, &[1; 9]);
    start.config.limits.tail_bytes = 1;
    start.durable.snapshot = Some(snapshot(1, 7, 3));
    let mut scene = Scene::new(start).expect("the disk is valid");
    scene.win();
    scene.accept(2, at(2, 10));
    scene.reject(3, at(1, 9), at(1, 4));
    let actions = scene.accept(3, at(1, 4));
    let ticket = actions.iter().find_map(|action| match action {
        Action::LoadEntries(LoadEntries { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    (scene, ticket.expect("the entries are to be loaded"))
}

#[test]
fn a_load_that_comes_back_empty_falls_back_to_the_snapshot() {
    let (mut scene, ticket) = leader_that_loads();
    let actions = scene.step(Event::EntriesLoaded {
        ticket,
        entries: Entries::default(),
    });
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::SendSnapshot { .. }))
    );
    assert_eq!(feeding(&scene, 3), Some(Feeding::Snapshot));
    // From its end on, the log goes on.
    scene.accept(3, at(1, 7));
    assert_ne!(feeding(&scene, 3), Some(Feeding::Snapshot));
}
