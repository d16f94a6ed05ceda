//! Random inputs, valid and hostile, to one server and to small clusters with slow disks that crash and restart from
//! whatever a crash may leave. Raft's promises between servers are checked after every step; the core itself checks
//! those within one server.

mod hostile;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use hostile::hostile_run;
use raft_core::{Action, Config, Limits, Notice, Options, Snapshots, Timing};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use world::World;

struct Dice(ChaCha8Rng);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// From 0 up to and without the limit.
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit.max(1)
    }

    fn small(&mut self, limit: u32) -> u32 {
        self.0.next_u32() % limit.max(1)
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

fn small_config() -> Config {
    Config {
        seed: 0,
        timing: Timing {
            election_timeout_min_ticks: 6,
            election_timeout_max_ticks: 10,
            heartbeat_ticks: 2,
            snapshot_timeout_ticks: 8,
        },
        tick_micros: 100_000,
        settings: 0,
        level: raft_core::Level::ZERO,
        clock_bound_micros: 2_000_000,
        limits: Limits {
            message_bytes: 150,
            inflight_messages: 3,
            inflight_bytes: 400,
            apply_bytes: 120,
            uncommitted_bytes: 600,
            tail_bytes: 200,
            proposals: 12,
            reads: 4,
            halted_entries: 8,
        },
        snapshots: Snapshots {
            every_entries: 7,
            keep_entries: 3,
            chunk_bytes: 8,
            max_bytes: 1 << 20,
            keep_bytes: 300,
            ..Snapshots::default()
        },
        options: Options::default(),
    }
}

#[test]
fn clusters_keep_every_promise_under_random_faults() {
    let (mut seen, mut back) = (BTreeMap::<&str, u64>::new(), 0);
    for seed in 0..120 {
        let count = 1 + seed % 5;
        let mut world = World::new(seed, count);
        for _ in 0..2_500 {
            world.act();
        }
        if world.loses {
            // Too few servers may be left to commit anything; the promises are checked all the same.
            back += usize::from(world.lost_one_is_back());
        } else {
            world.settle();
        }
        for (kind, count) in world.seen {
            *seen.entry(kind).or_default() += count;
        }
    }
    assert_eq!(seen.len(), 55, "every kind of action is seen: {seen:?}");
    assert!(
        seen.values().all(|&count| count >= 10),
        "and more than by chance: {seen:?}"
    );
    assert!(back > 0, "a server that lost its disk was removed and came back");
}

#[test]
fn no_input_makes_a_server_panic_or_break_an_invariant() {
    for seed in 0..4_000 {
        hostile_run(seed);
    }
}

#[test]
fn every_proposal_and_read_has_one_outcome_even_from_a_hostile_host() {
    for seed in 10_000..10_300 {
        let (mut proposals, mut reads) = (BTreeSet::new(), BTreeSet::new());
        let (actions, offered) = hostile_run(seed);
        for action in actions {
            match action {
                Action::Done { id, .. }
                | Action::Notice(
                    Notice::Rejected { id, .. }
                    | Notice::ChangeRejected { id, .. }
                    | Notice::Superseded { id }
                    | Notice::Unknown { id },
                ) => {
                    assert!(proposals.insert(id.value()), "seed {seed}: {id} ended twice")
                }
                Action::ReadReady { id, .. } | Action::Notice(Notice::ReadRejected { id, .. }) => {
                    assert!(reads.insert(id.value()), "seed {seed}: read {id} ended twice");
                }
                _ => {}
            }
        }
        // The disk failed at the end, so everything has ended.
        assert_eq!((proposals.len(), reads.len()), offered, "seed {seed}");
    }
}

#[test]
fn the_same_inputs_give_the_same_actions() {
    for seed in 0..50 {
        assert_eq!(hostile_run(seed), hostile_run(seed));
    }
}
