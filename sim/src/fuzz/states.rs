//! Situations: the states of a cluster, without names and numbers.

use std::collections::BTreeSet;

use raft_core::{Index, Vitals};

use crate::hash::Rolling;
use crate::network::Links;
use crate::recording::{Observer, Standing};
use crate::report::TraceEvent;

/// A set of situations.
///
/// A situation is the set of kinds of servers that there are, each of them once or more than once, whichever server is
/// which. A kind consists of: the role, and whether a leader is known; whether the term is the latest, the one before,
/// or older; whether the log is as up-to-date as any, shorter, or of an earlier term; whether others have committed
/// more; whether there are entries that are not committed, and entries that are not on the disk; whether the
/// configuration is joint; and whether anything is wrong with the server. A situation also has the number of cut links:
/// none, some, or most.
///
/// The set is a filter: rarely, two situations are taken for one. So a search may run for days in constant memory.
#[derive(Clone, Debug)]
pub struct States {
    bits: Vec<u64>,
    len: usize,
}

/// 16 megabytes.
const BITS: u64 = 1 << 27;

impl Default for States {
    fn default() -> Self {
        Self {
            bits: vec![0; usize::try_from(BITS / 64).unwrap_or(0)],
            len: 0,
        }
    }
}

impl States {
    /// Adds the situations of a run, and returns how many of them are new.
    pub fn add(&mut self, seen: &Seen) -> usize {
        let before = self.len;
        for state in &seen.0 {
            let bit = state % BITS;
            let word = usize::try_from(bit / 64)
                .ok()
                .and_then(|place| self.bits.get_mut(place));
            if let Some(word) = word.filter(|word| **word >> (bit % 64) & 1 == 0) {
                *word |= 1 << (bit % 64);
                self.len += 1;
            }
        }
        self.len - before
    }

    /// Returns how many situations there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none yet.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The situations of one run.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeSet<u64>);

/// Records the situations of a run.
#[derive(Default)]
pub(super) struct Watcher {
    seen: Seen,
    latest: u64,
    servers: Vec<(Vitals, u64, bool, bool)>,
    words: Vec<u64>,
}

impl Watcher {
    pub(super) fn into_seen(self) -> Seen {
        self.seen
    }
}

impl Observer for Watcher {
    fn listens(&self) -> bool {
        false
    }

    fn told(&mut self, _event: TraceEvent) {}

    fn stands(&mut self, _event: u64, servers: &mut dyn Iterator<Item = Standing<'_>>, cuts: Links) {
        self.servers.clear();
        self.servers.extend(servers.map(|standing| {
            let is_joint = standing.raft.is_some_and(|raft| raft.membership().is_joint());
            (
                *standing.vitals,
                standing.flags,
                standing.raft.is_some(),
                is_joint,
            )
        }));
        let all = || self.servers.iter().map(|(vitals, ..)| vitals);
        let newest = Newest {
            term: all().map(|vitals| vitals.term.value()).max().unwrap_or(0),
            last: all().filter_map(|vitals| vitals.last).max(),
            commit: all().filter_map(|vitals| vitals.commit).max(),
        };
        self.words.clear();
        self.words
            .extend(self.servers.iter().map(|(vitals, flags, runs, is_joint)| {
                let role = if *runs { 1 + vitals.role as u64 } else { 0 };
                let more = [vitals.leader.is_some(), *is_joint, *flags != 0].map(u64::from);
                more.into_iter()
                    .fold(newest.seen_from(vitals) << 3 | role, |word, bit| word << 1 | bit)
            }));
        self.words.sort_unstable();
        // A third server of a kind changes nothing.
        let mut pairs = 0;
        self.words.dedup_by(|one, other| {
            pairs = if one == other { pairs + 1 } else { 0 };
            pairs > 1
        });
        let cut: u32 = (0..self.servers.len())
            .map(|from| cuts.from(from).count_ones())
            .sum();
        let links = self.servers.len() * self.servers.len().saturating_sub(1);
        let mut hash = Rolling::default();
        hash.word(match cut as usize {
            0 => 0,
            cut if 2 * cut <= links => 1,
            _ => 2,
        });
        self.words.iter().for_each(|word| hash.word(*word));
        let state = hash.finish();
        if state != self.latest {
            self.latest = state;
            self.seen.0.insert(state);
        }
    }
}

/// The latest values, with which the servers are compared.
struct Newest {
    term: u64,
    last: Option<raft_core::LogId>,
    commit: Option<Index>,
}

impl Newest {
    fn seen_from(&self, vitals: &Vitals) -> u64 {
        let number = |index: Option<Index>| index.map_or(0, Index::value);
        let last = vitals.last.map(|last| last.index);
        let log = match (vitals.last, self.last) {
            (mine, newest) if mine == newest => 0,
            (Some(mine), Some(newest)) if mine.term == newest.term => 1,
            _ => 2,
        };
        let terms = self.term.saturating_sub(vitals.term.value()).min(2);
        let differs = [
            self.commit != vitals.commit,
            number(last) > number(vitals.commit),
            number(last) > number(vitals.durable),
        ];
        let differs = differs.into_iter().map(u64::from);
        differs.fold(log << 2 | terms, |word, bit| word << 1 | bit)
    }
}
