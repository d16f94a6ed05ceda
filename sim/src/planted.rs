//! Planted bugs in the host's duties, which the simulator carries out itself, and the hunt for bugs of any bank.
//!
//! See [`raft_core::planted`] for what a planted bug is and how it is switched on.

use std::ops::Range;

pub use raft_core::planted::{Bug, Planted};

use crate::oracle::{Oracle, Violation};
use crate::schedule::Schedule;
use crate::store::{self, StoreSchedule, StoreUnderTest};
use crate::workload::Workload;

raft_core::planted_bank! {
    "storage" {
        COMPACTS_BEFORE_SNAPSHOT "compacts-before-snapshot"
            "The store removes compacted entries before it writes the snapshot that covers them."
        WRITES_TERM_LAST "writes-term-last"
            "The store writes term and vote after the entries."
        WRITES_LOG_BEFORE_SNAPSHOT "writes-log-before-snapshot"
            "The store truncates the log and writes entries before it writes the snapshot that they follow."
        TRUNCATES_LAST "truncates-last"
            "The store truncates the log after it has written the entries that replace the truncated ones."
        SYNC_COVERS_LATER "sync-covers-later"
            "A sync that ends is taken to cover what was written while it ran."
        READS_UNCHECKED "reads-unchecked"
            "After a crash the log is read on past a write that is missing."
    }
}

/// Bugs of the simulator itself. They break the promise that a schedule always has the same outcome. No oracle can find
/// them, because each run by itself is correct.
pub mod unrepeatable {
    raft_core::planted_bank! {
        "determinism" {
            DRAWS_FROM_THE_SYSTEM "draws-from-the-system"
                "Some delays of the network are drawn by a hasher that the operating system seeds."
        }
    }

    /// Returns a number that differs on each call.
    #[expect(clippy::disallowed_types, reason = "this is the mistake")]
    pub(crate) fn drawn_by_the_system() -> u64 {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(0)
    }
}

/// Every bug of the library and of the host's duties that an oracle is to find.
pub fn bank() -> impl Iterator<Item = &'static Bug> {
    raft_core::planted::BANK.iter().chain(BANK).copied()
}

/// Returns the bug of this name.
pub fn find(name: &str) -> Option<&'static Bug> {
    let all = bank().chain(unrepeatable::BANK.iter().copied());
    all.into_iter().find(|bug| bug.name == name)
}

/// How a bug was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Find {
    /// The seed whose run failed.
    pub seed: u64,
    /// The oracle that reported it.
    pub oracle: Oracle,
    /// How many seeds were run until then, this one included.
    pub seeds: u64,
}

/// Runs the schedules of these seeds with the bug until an oracle finds it; `None` if these seeds do not find it.
pub fn hunt<W: Workload>(
    bug: &'static Bug,
    seeds: Range<u64>,
    schedule: impl Fn(u64) -> Schedule,
    workload: &W,
) -> Option<Find> {
    hunt_with(bug, seeds, |seed| {
        crate::run(&schedule(seed), workload).ok()?.violation
    })
}

/// As [`hunt`], for bugs of a store: see [`crate::store`].
pub fn hunt_store(bug: &'static Bug, seeds: Range<u64>, store: &dyn StoreUnderTest) -> Option<Find> {
    hunt_with(bug, seeds, |seed| {
        store::run(&StoreSchedule::of(seed), store).violation
    })
}

fn hunt_with(
    bug: &'static Bug,
    seeds: Range<u64>,
    violation: impl Fn(u64) -> Option<Violation>,
) -> Option<Find> {
    let _planted = bug.plant();
    let first = seeds.start;
    seeds.into_iter().find_map(|seed| {
        let oracle = violation(seed)?.oracle;
        let seeds = seed - first + 1;
        Some(Find { seed, oracle, seeds })
    })
}
