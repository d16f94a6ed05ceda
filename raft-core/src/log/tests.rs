//! Compares the log with a slow and obvious model: a list of all entries.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::level::Level;
use crate::types::{NodeId, Payload};

/// The slow and obvious model: all entries, and how far they are compacted and evicted.
#[derive(Debug, Default)]
struct Slow {
    /// All entries from index 1 on, the compacted ones included.
    entries: Vec<Entry>,
    base: usize,
    evicted: usize,
    /// The configuration that is in force before the first entry.
    bootstrap: Membership,
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        new_term: bool,
        bytes: usize,
        configuration: Option<u64>,
    },
    /// Appends entries that arrive together.
    Extend {
        count: usize,
        bytes: usize,
    },
    Truncate(usize),
    Compact(usize),
    Evict {
        up_to: usize,
        max_bytes: usize,
    },
    Reset {
        gap: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (prop::bool::weighted(0.3), 0_usize..50, prop::option::weighted(0.2, 1_u64..6))
            .prop_map(|(new_term, bytes, configuration)| Step::Append { new_term, bytes, configuration }),
        4 => (1_usize..12, 0_usize..50).prop_map(|(count, bytes)| Step::Extend { count, bytes }),
        2 => (0_usize..40).prop_map(Step::Truncate),
        2 => (0_usize..40).prop_map(Step::Compact),
        2 => (0_usize..40, 0_usize..300).prop_map(|(up_to, max_bytes)| Step::Evict { up_to, max_bytes }),
        1 => (1_u64..4).prop_map(|gap| Step::Reset { gap }),
    ];
    prop::collection::vec(step, 0..60)
}

fn index(value: usize) -> Index {
    Index::new(value as u64).expect("positions begin at 1")
}

fn voters(count: u64) -> Membership {
    Membership::of_voters((1..=count).map(NodeId::new))
}

impl Slow {
    fn last(&self) -> Option<LogId> {
        self.entries.last().map(|entry| entry.id)
    }

    fn log_id(&self, at: usize) -> Option<LogId> {
        let entry = self.entries.get(at.checked_sub(1)?)?;
        (at >= self.base).then_some(entry.id)
    }

    fn last_not_after(&self, at: usize, term: Term) -> Option<LogId> {
        let known = (self.base.max(1)..=at.min(self.entries.len())).rev();
        known.filter_map(|at| self.log_id(at)).find(|id| id.term <= term)
    }

    fn membership_at(&self, at: usize) -> (Option<LogId>, Membership) {
        let configurations = self.entries[..at.min(self.entries.len())].iter().rev();
        let mut found = configurations.filter_map(|entry| match &entry.body {
            EntryBody::Membership(membership) => Some((Some(entry.id), Membership::clone(membership))),
            _ => None,
        });
        found.next().unwrap_or((None, self.bootstrap.clone()))
    }

    fn in_memory(&self) -> &[Entry] {
        &self.entries[self.base.max(self.evicted)..]
    }

    fn slice(&self, first: usize, last: usize, max_bytes: usize) -> Vec<Entry> {
        let mut taken = Vec::new();
        if first <= self.base.max(self.evicted) {
            return taken;
        }
        let mut bytes = 0;
        for entry in self.entries.iter().take(last).skip(first - 1) {
            bytes += entry.cost_bytes();
            if !taken.is_empty() && bytes > max_bytes {
                break;
            }
            taken.push(entry.clone());
        }
        taken
    }
}

fn execute(log: &mut Log, slow: &mut Slow, step: Step) {
    let length = slow.entries.len();
    match step {
        Step::Append {
            new_term,
            bytes,
            configuration,
        } => {
            let term = slow.last().map_or(1, |last| last.term.value()) + u64::from(new_term);
            let body = match configuration {
                Some(count) => EntryBody::Membership(Arc::new(voters(count))),
                None => EntryBody::Command(Payload::from(vec![0; bytes])),
            };
            let entry = Entry {
                id: LogId::new(Term::new(term), index(length + 1)),
                body,
            };
            slow.entries.push(entry.clone());
            log.append(entry);
        }
        Step::Extend { count, bytes } => {
            let term = slow.last().map_or(Term::new(1), |last| last.term);
            let entry = |at| Entry {
                id: LogId::new(term, index(at)),
                body: EntryBody::Command(Payload::from(vec![0; bytes])),
            };
            let entries: Vec<Entry> = (length + 1..=length + count).map(entry).collect();
            slow.entries.extend(entries.iter().cloned());
            log.extend(entries.into());
        }
        Step::Truncate(keep) => {
            // Compacted and evicted entries were applied, so they are never truncated.
            let keep = keep.clamp(slow.base.max(slow.evicted), length.max(slow.base));
            slow.entries.truncate(keep);
            log.truncate(index(keep + 1));
        }
        Step::Compact(to) => {
            let to = to.min(length);
            if to > slow.base {
                slow.base = to;
                log.compact(index(to));
            }
        }
        Step::Evict { up_to, max_bytes } => {
            let up_to = up_to.min(length);
            let cost = |slow: &Slow| slow.in_memory().iter().map(Entry::cost_bytes).sum::<usize>();
            let (before, too_much) = (slow.base.max(slow.evicted), cost(slow) > max_bytes);
            log.evict(Index::new(up_to as u64), max_bytes);
            // Only the tail knows which entries arrived together, so the model takes over how many were evicted.
            slow.evicted = log.tail_first().value() as usize - 1;
            let range = before..=if too_much { before.max(up_to) } else { before };
            assert!(range.contains(&slow.evicted), "{} of {range:?}", slow.evicted);
            assert!(
                up_to < length || cost(slow) <= max_bytes,
                "when all entries may be evicted, the limit must be kept"
            );
        }
        Step::Reset { gap } => {
            let (membership_id, membership) = slow.membership_at(length);
            let term = slow.last().map_or(1, |last| last.term.value());
            for _ in 0..gap {
                let id = LogId::new(Term::new(term), index(slow.entries.len() + 1));
                slow.entries.push(Entry {
                    id,
                    body: EntryBody::Noop,
                });
            }
            slow.base = slow.entries.len();
            let last = slow.last().expect("a snapshot covers at least one entry");
            log.reset(SnapshotMeta {
                cluster: ClusterId::UNKNOWN,
                last,
                membership: Arc::new(membership),
                membership_id,
                withheld: false,
                level: Level::ZERO,
            });
        }
    }
}

fn compare(log: &mut Log, slow: &Slow) {
    let length = slow.entries.len();
    assert_eq!(log.check(), Ok(()));
    assert_eq!(log.last(), slow.last());
    assert_eq!(log.is_empty(), slow.entries.is_empty());
    assert_eq!(log.first_index(), index(slow.base + 1));
    assert_eq!(log.next_index(), index(length + 1));
    let (membership_id, membership) = slow.membership_at(length);
    assert_eq!(
        (log.membership_id(), &**log.membership()),
        (membership_id, &membership)
    );
    for at in 1..length + 3 {
        assert_eq!(log.log_id(index(at)), slow.log_id(at), "log_id({at})");
        let in_memory = slow.in_memory().iter().find(|entry| entry.id.index == index(at));
        assert_eq!(log.entry(index(at)), in_memory, "entry({at})");
        assert_eq!(log.in_tail(index(at)), in_memory.is_some(), "in_tail({at})");
        if (slow.base..=length).contains(&at) {
            let (id, membership) = log.membership_at(Some(index(at)));
            assert_eq!(
                (id, Membership::clone(membership)),
                slow.membership_at(at),
                "membership_at({at})"
            );
        }
        for term in 0..8 {
            let term = Term::new(term);
            let found = log.last_not_after(index(at), term);
            assert_eq!(
                found,
                slow.last_not_after(at, term).filter(|_| at >= slow.base),
                "last_not_after({at}, {term})"
            );
            let id = LogId::new(term, index(at));
            assert_eq!(log.holds(Some(id)), slow.log_id(at) == Some(id), "holds({id})");
        }
        for (last, max_bytes) in [
            (length, 0),
            (length, 100),
            (length, usize::MAX),
            (at + 1, usize::MAX),
        ] {
            let found = log.slice(index(at), index(last.max(1)), max_bytes);
            assert_eq!(
                found.to_vec(),
                slow.slice(at, last.max(1), max_bytes),
                "slice({at}, {last}, {max_bytes})"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_log_behaves_like_a_list_of_entries(steps in steps()) {
        let bootstrap = voters(3);
        let mut log = Log::new(bootstrap.clone(), None);
        let mut slow = Slow { bootstrap, ..Slow::default() };
        for step in steps {
            execute(&mut log, &mut slow, step);
            compare(&mut log, &slow);
        }
    }
}
