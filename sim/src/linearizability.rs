//! C3: a second opinion on linearizability, by a search that does not look at the log (Wing and Gong 1993; Lowe 2017).
//!
//! The history is split by key, as linearizability is local (Herlihy and Wing 1990). For each key the checker looks for
//! an order of the operations that respects real time and explains every answer. An attempt of unknown outcome may take
//! effect at any time after its invocation, or never. A search that takes too many steps ends with "unknown", which is
//! neither yes nor no.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Happened, HistoryEvent};
use crate::kv::{KeyValue, Response};
use crate::oracle::{Oracle, Violation};
use crate::schedule::OperationKind;

/// The checker's opinion on a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// There is an order that explains everything.
    Linearizable,
    /// No order explains the operations on this key.
    NotLinearizable {
        /// The key.
        key: u64,
    },
    /// The search for an order of this key's operations took too many steps.
    Unknown {
        /// The key.
        key: u64,
    },
}

impl Opinion {
    /// C3: a history that no order of its operations explains is a violation. "Unknown" is none.
    pub fn violation(self) -> Option<Violation> {
        match self {
            Self::Linearizable | Self::Unknown { .. } => None,
            Self::NotLinearizable { key } => Some(Violation {
                oracle: Oracle::C3,
                message: format!("no order of the operations on key {key} explains what clients saw"),
            }),
        }
    }
}

/// What an operation does to a register, and what it saw there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Writes a value; `saw` is the value before, if the client was told.
    Swap {
        value: u64,
        saw: Option<Option<u64>>,
    },
    Read {
        saw: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Call {
    action: Action,
    invoked: usize,
    /// When the call returned; `None` if its outcome is unknown.
    returned: Option<usize>,
}

/// Judges a history of the key-value workload, taking at most `steps` steps per key.
pub fn linearizable(history: &[HistoryEvent<KeyValue>], steps: u64) -> Opinion {
    let mut unknown = None;
    for (key, calls) in by_key(history) {
        match search(&calls, steps) {
            Some(true) => {}
            Some(false) => return Opinion::NotLinearizable { key },
            None => unknown = Some(key),
        }
    }
    unknown.map_or(Opinion::Linearizable, |key| Opinion::Unknown { key })
}

fn by_key(history: &[HistoryEvent<KeyValue>]) -> BTreeMap<u64, Vec<Call>> {
    let mut keys: BTreeMap<u64, BTreeMap<u64, Call>> = BTreeMap::new();
    for (event, now) in history.iter().zip(0..) {
        let calls = keys.entry(event.choice).or_default();
        match (&event.what, event.kind) {
            (Happened::Invoked, kind) => {
                let action = match kind {
                    OperationKind::Write => Action::Swap {
                        value: event.attempt,
                        saw: None,
                    },
                    OperationKind::Read => Action::Read { saw: None },
                };
                calls.insert(
                    event.attempt,
                    Call {
                        action,
                        invoked: now,
                        returned: None,
                    },
                );
            }
            (Happened::Written(response), _) => {
                let saw = match response.response() {
                    Some(Response::Written { previous }) => Some(*previous),
                    Some(Response::Malformed) | None => None,
                };
                let ended = |call: &mut Call| {
                    call.action = Action::Swap {
                        value: event.attempt,
                        saw,
                    };
                    call.returned = Some(now);
                };
                calls.entry(event.attempt).and_modify(ended);
            }
            (Happened::Read(saw), _) => {
                let ended = |call: &mut Call| {
                    call.action = Action::Read { saw: *saw };
                    call.returned = Some(now);
                };
                calls.entry(event.attempt).and_modify(ended);
            }
            // An operation without effect is left out. A read without an answer has no effect either.
            (Happened::Failed, _) | (Happened::Unknown, OperationKind::Read) => {
                calls.remove(&event.attempt);
            }
            (Happened::Unknown, OperationKind::Write) => {}
        }
    }
    keys.into_iter()
        .map(|(key, calls)| (key, relevant(calls.into_values().collect())))
        .collect()
}

/// Leaves out reads that were never answered, and writes of unknown outcome whose value no client saw. Those may take
/// effect after everything else, and each of them would double the search.
fn relevant(calls: Vec<Call>) -> Vec<Call> {
    let seen: BTreeSet<u64> = calls
        .iter()
        .filter_map(|call| match call.action {
            Action::Read { saw } => saw,
            Action::Swap { saw, .. } => saw.flatten(),
        })
        .collect();
    let matters = |call: &Call| match (call.returned, call.action) {
        (Some(_), _) => true,
        (None, Action::Read { .. }) => false,
        (None, Action::Swap { value, .. }) => seen.contains(&value),
    };
    calls.into_iter().filter(matters).collect()
}

/// The calls that have been put in order so far, and the register's value after them.
type State = (Vec<u64>, Option<u64>);

fn is_placed(placed: &[u64], call: usize) -> bool {
    placed
        .get(call / 64)
        .is_some_and(|word| word >> (call % 64) & 1 == 1)
}

fn place(placed: &[u64], call: usize) -> Vec<u64> {
    let mut placed = placed.to_vec();
    if let Some(word) = placed.get_mut(call / 64) {
        *word |= 1 << (call % 64);
    }
    placed
}

/// Whether such an order exists; `None` if the search took too many steps.
fn search(calls: &[Call], steps: u64) -> Option<bool> {
    let mut visited: BTreeSet<State> = BTreeSet::new();
    let mut stack: Vec<State> = vec![(vec![0; calls.len().div_ceil(64)], None)];
    let mut left = steps;
    while let Some((placed, value)) = stack.pop() {
        left = left.checked_sub(1)?;
        let open = || {
            calls
                .iter()
                .enumerate()
                .filter(|(number, _)| !is_placed(&placed, *number))
        };
        // The next call must have been invoked before any other that is left returned.
        let Some(deadline) = open().filter_map(|(_, call)| call.returned).min() else {
            // Only calls of unknown outcome are left, and none of them has to have happened.
            return Some(true);
        };
        let possible = || open().filter(|(_, call)| call.invoked < deadline);
        let fits = |call: &Call| match call.action {
            Action::Read { saw } => saw == value,
            Action::Swap { saw, .. } => saw.is_none_or(|saw| saw == value),
        };
        // A read that fits changes nothing, so it may as well come now: no other choice need be tried.
        let read = possible().find(|(_, call)| matches!(call.action, Action::Read { .. }) && fits(call));
        let choices: Vec<(usize, &Call)> = match read {
            Some(read) => vec![read],
            None => possible()
                .filter(|(_, call)| matches!(call.action, Action::Swap { .. }) && fits(call))
                .collect(),
        };
        for (number, call) in choices {
            let value = match call.action {
                Action::Swap { value, .. } => Some(value),
                Action::Read { .. } => value,
            };
            let next = (place(&placed, number), value);
            if visited.insert(next.clone()) {
                stack.push(next);
            }
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nanos::Nanos;
    use crate::sessions::Reply;
    use Happened::{Failed, Invoked, Read, Unknown, Written};
    use OperationKind::{Read as Reads, Write as Writes};

    const STEPS: u64 = 10_000;

    fn history(lines: Vec<(u64, OperationKind, Happened<KeyValue>)>) -> Vec<HistoryEvent<KeyValue>> {
        let event = |(attempt, kind, what)| HistoryEvent {
            process: attempt,
            at: Nanos::ZERO,
            attempt,
            kind,
            choice: 7,
            what,
        };
        lines.into_iter().map(event).collect()
    }

    fn wrote(previous: Option<u64>) -> Happened<KeyValue> {
        Written(Reply::Plain(Response::Written { previous }))
    }

    #[track_caller]
    fn judged(lines: Vec<(u64, OperationKind, Happened<KeyValue>)>, expected: bool) {
        let wanted = if expected {
            Opinion::Linearizable
        } else {
            Opinion::NotLinearizable { key: 7 }
        };
        assert_eq!(linearizable(&history(lines), STEPS), wanted);
    }

    #[test]
    fn a_read_sees_the_last_write_before_it_or_one_at_the_same_time() {
        judged(
            vec![
                (0, Writes, Invoked),
                (0, Writes, wrote(None)),
                (1, Reads, Invoked),
                (1, Reads, Read(Some(0))),
            ],
            true,
        );
        judged(
            vec![
                (0, Writes, Invoked),
                (0, Writes, wrote(None)),
                (1, Reads, Invoked),
                (1, Reads, Read(None)),
            ],
            false,
        );
        judged(
            vec![
                (0, Writes, Invoked),
                (1, Reads, Invoked),
                (1, Reads, Read(Some(0))),
                (0, Writes, wrote(None)),
            ],
            true,
        );
        judged(
            vec![
                (0, Writes, Invoked),
                (1, Reads, Invoked),
                (1, Reads, Read(None)),
                (0, Writes, wrote(None)),
            ],
            true,
        );
    }

    #[test]
    fn c3_reports_a_history_that_no_order_explains_and_no_unknown_one() {
        let lines = |seen| {
            vec![
                (0, Writes, Invoked),
                (0, Writes, wrote(None)),
                (1, Reads, Invoked),
                (1, Reads, Read(seen)),
            ]
        };
        let judged = |seen, steps| linearizable(&history(lines(seen)), steps).violation();
        assert_eq!(judged(Some(0), STEPS), None);
        let found = judged(None, STEPS).expect("the read is stale");
        assert_eq!(found.oracle, Oracle::C3);
        assert!(found.message.contains("key 7"), "{}", found.message);
        assert_eq!(judged(None, 0), None, "it took too long to say");
    }

    #[test]
    fn a_later_read_sees_no_earlier_value() {
        let start = || {
            vec![
                (0, Writes, Invoked),
                (1, Reads, Invoked),
                (1, Reads, Read(Some(0))),
                (2, Reads, Invoked),
            ]
        };
        let mut unsees = start();
        unsees.extend([(2, Reads, Read(None)), (0, Writes, wrote(None))]);
        judged(unsees, false);
        let mut sees = start();
        sees.extend([(2, Reads, Read(Some(0))), (0, Writes, wrote(None))]);
        judged(sees, true);
    }

    #[test]
    fn an_unknown_write_may_have_happened_late_or_never_and_a_failed_one_may_not() {
        let read = |seen| [(1, Reads, Invoked), (1, Reads, Read(seen)), (2, Reads, Invoked)];
        for (end, late) in [(Unknown, true), (Failed, false)] {
            let mut lines = vec![(0, Writes, Invoked), (0, Writes, end)];
            lines.extend(read(None));
            lines.push((2, Reads, Read(Some(0))));
            judged(lines, late);
        }
        judged(
            vec![
                (0, Writes, Invoked),
                (0, Writes, Unknown),
                (1, Reads, Invoked),
                (1, Reads, Read(None)),
            ],
            true,
        );
    }

    #[test]
    fn a_write_that_was_told_another_value_than_was_there_is_seen() {
        let two = |previous| {
            vec![
                (0, Writes, Invoked),
                (0, Writes, wrote(None)),
                (1, Writes, Invoked),
                (1, Writes, wrote(previous)),
            ]
        };
        judged(two(Some(0)), true);
        judged(two(None), false);
    }

    #[test]
    fn a_search_that_takes_too_long_says_that_it_does_not_know() {
        // Twelve concurrent writes, and a read that none of them explains.
        let mut lines: Vec<_> = (0..12).map(|attempt| (attempt, Writes, Invoked)).collect();
        lines.extend((0..12).map(|attempt| (attempt, Writes, Written(Reply::Plain(Response::Malformed)))));
        lines.extend([(99, Reads, Invoked), (99, Reads, Read(Some(77)))]);
        assert_eq!(linearizable(&history(lines), 500), Opinion::Unknown { key: 7 });
    }
}
