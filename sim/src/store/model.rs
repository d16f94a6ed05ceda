//! What the store must hold: the same writes, carried out on values.

use std::fmt;

use raft_core::{
    Entries, Entry, EntryBody, HardState, Index, LogId, Membership, NodeId, Payload, Persist, SnapshotMeta,
    Term, Ticket,
};

use super::schedule::{Change, Write};
use super::subject::Opened;
use crate::hash::Rolling;
use crate::random::{Domain, Seed};

/// Everything that a store holds at one time.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Contents {
    pub(super) hard_state: HardState,
    pub(super) commit: Option<Index>,
    pub(super) snapshot: Option<(SnapshotMeta, Payload)>,
    pub(super) entries: Vec<Entry>,
}

impl Contents {
    /// Returns what was found when a store was opened.
    pub(super) fn of(opened: Opened) -> Self {
        let durable = opened.durable;
        Self {
            hard_state: durable.hard_state,
            commit: durable.commit,
            snapshot: durable.snapshot.zip(opened.snapshot),
            entries: durable.entries,
        }
    }

    /// Returns the position of the last entry, 0 for none.
    pub(super) fn last(&self) -> u64 {
        let last = self.entries.last().map_or(0, |entry| entry.id.index.value());
        last.max(self.covered())
    }

    /// Returns where the snapshot ends, 0 for none.
    fn covered(&self) -> u64 {
        self.snapshot
            .as_ref()
            .map_or(0, |(meta, _)| meta.last.index.value())
    }

    /// Returns the entries from `first` on, as the store is to read them.
    pub(super) fn load(&self, first: Index, max_bytes: usize) -> &[Entry] {
        let Some(from) = self.entries.iter().position(|entry| entry.id.index == first) else {
            return &[];
        };
        let rest = self.entries.get(from..).unwrap_or_default();
        let mut bytes = 0_usize;
        let fitting = rest.iter().take_while(|entry| {
            bytes = bytes.saturating_add(entry.cost_bytes());
            bytes <= max_bytes
        });
        let count = fitting.count().max(1).min(rest.len());
        rest.get(..count).unwrap_or(rest)
    }

    /// Carries out one write, in the order that `Persist` documents.
    pub(super) fn apply(&mut self, persist: &Persist, bytes: Option<&Payload>) {
        self.hard_state = persist.hard_state.as_deref().copied().unwrap_or(self.hard_state);
        if let (Some(meta), Some(bytes)) = (&persist.snapshot, bytes) {
            self.snapshot = Some((SnapshotMeta::clone(meta), bytes.clone()));
        }
        if let Some(from) = persist.truncate_from {
            self.entries.retain(|entry| entry.id.index < from);
        }
        self.entries.extend(persist.entries.iter().cloned());
        self.commit = persist.commit.or(self.commit);
        if let Some(to) = persist.compact_to {
            self.entries.retain(|entry| entry.id.index > to);
        }
    }

    pub(super) fn hash_into(&self, hash: &mut Rolling) {
        hash.word(self.hard_state.term.value());
        hash.word(self.hard_state.vote.map_or(0, NodeId::value));
        hash.word(self.commit.map_or(0, Index::value));
        if let Some((meta, bytes)) = &self.snapshot {
            hash.word(meta.last.index.value());
            hash.bytes(bytes);
        }
        for entry in &self.entries {
            hash.word(entry.id.index.value());
            hash.word(entry.id.term.value());
            if let EntryBody::Command(bytes) = &entry.body {
                hash.bytes(bytes);
            }
        }
    }

    /// Returns the `Persist` that makes this change here, with a snapshot's bytes.
    pub(super) fn persist(&self, seed: u64, number: u64, write: Write) -> (Persist, Option<Payload>) {
        let mut persist = Persist {
            ticket: Ticket::new(number),
            hard_state: None,
            snapshot: None,
            truncate_from: None,
            entries: Entries::default(),
            commit: None,
            compact_to: None,
            sync: write.sync,
        };
        let mut payload = None;
        let term = self.hard_state.term;
        let last = self.last();
        let content = |at: u64, bytes: u64| random_bytes(seed, number, at, bytes);
        let entries = |from: u64, term: Term, count: u64, bytes: u64| {
            let index = (from + 1..=from + count).filter_map(Index::new);
            let entry = |index: Index| Entry {
                id: LogId::new(term, index),
                body: EntryBody::Command(content(index.value(), bytes)),
            };
            index.map(entry).collect()
        };
        let snapshot = |at: Index, term: Term| SnapshotMeta {
            cluster: raft_core::ClusterId::UNKNOWN,
            last: LogId::new(term, at),
            membership: Membership::of_voters([1, 2, 3].map(NodeId::new)).into(),
            membership_id: None,
            withheld: false,
            level: raft_core::Level::ZERO,
        };
        match write.change {
            Change::Append { count, bytes } => persist.entries = entries(last, term, count, bytes),
            Change::Replace { back, count, bytes } => {
                // What a snapshot covers is committed, and never truncated.
                let back = back.min(last - self.covered());
                let hard_state = HardState {
                    term: Term::new(term.value() + 1),
                    vote: None,
                    admitted: number.is_multiple_of(5),
                    ..HardState::default()
                };
                persist.hard_state = Some(Box::new(hard_state));
                persist.truncate_from = Index::new(last - back + 1).filter(|_| back > 0);
                persist.entries = entries(last - back, hard_state.term, count, bytes);
            }
            Change::Vote => {
                persist.hard_state = Some(Box::new(HardState {
                    term: Term::new(term.value() + 1),
                    vote: Some(NodeId::new(1 + number % 3)),
                    admitted: number.is_multiple_of(5),
                    ..HardState::default()
                }));
            }
            Change::Commit => persist.commit = Index::new(last),
            Change::Snapshot { back, retain, bytes } => {
                let at = last.checked_sub(back).filter(|&at| at > self.covered());
                if let Some(entry) = self
                    .entries
                    .iter()
                    .find(|entry| Some(entry.id.index.value()) == at)
                {
                    let at = entry.id.index;
                    persist.snapshot = Some(Box::new(snapshot(at, entry.id.term)));
                    payload = Some(content(0, bytes));
                    persist.compact_to = at.value().checked_sub(retain).and_then(Index::new);
                }
            }
            Change::Install { ahead, bytes } => {
                persist.snapshot = Index::new(last + ahead).map(|at| Box::new(snapshot(at, term)));
                payload = Some(content(0, bytes));
                persist.truncate_from = self.entries.first().map(|entry| entry.id.index);
            }
        }
        (persist, payload)
    }
}

/// Contents that occur nowhere else in the run.
fn random_bytes(seed: u64, number: u64, at: u64, bytes: u64) -> Payload {
    let words =
        (0..bytes.div_ceil(8)).map(|word| Seed(seed).quick(Domain::Store, number << 20 | word, at, 2));
    let mut filled: Vec<u8> = words.flat_map(|draw| draw.bits().to_le_bytes()).collect();
    filled.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    Payload::from(filled)
}

/// Short enough for a line.
impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hash = Rolling::default();
        self.hash_into(&mut hash);
        let first = self.entries.first().map_or(0, |entry| entry.id.index.value());
        write!(
            f,
            "term {}, {} entries from {first} to {}, commit {}, snapshot {}, contents {:016x}",
            self.hard_state.term.value(),
            self.entries.len(),
            self.last(),
            self.commit.map_or(0, Index::value),
            self.snapshot
                .as_ref()
                .map_or(0, |(meta, _)| meta.last.index.value()),
            hash.finish()
        )
    }
}
