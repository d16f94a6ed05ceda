//! C3: a second opinion on linearizability, by a search that does not look at the log (Wing and Gong 1993; Lowe 2017).
//!
//! The history is split by object, as linearizability is local (Herlihy and Wing 1990). For each object the checker
//! looks for an order of the operations that respects real time and explains every answer, by a model that the workload
//! gives. An attempt of unknown outcome may take effect at any time after its invocation, or never. A search that takes
//! too many steps ends with "unknown", which is neither yes nor no.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Happened, HistoryEvent};
use crate::oracle::{Oracle, Violation};
use crate::schedule::OperationKind;
use crate::workload::{AnswerOf, ResponseOf, Workload};

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

/// How one object of a workload behaves by itself: the sequential specification that a linearization follows. Objects are
/// told apart by their `choice`, and must not influence one another: linearizability is local (Herlihy and Wing 1990).
pub trait Model<W: Workload> {
    /// The state of an object. States that compare as equal are searched once.
    type State: Clone + Ord;

    /// Returns the state of an object to which nothing has happened.
    fn start(&self, choice: u64) -> Self::State;

    /// Carries out a request that changes something. Returns the state after it, or `None` if a client could not have
    /// been told this in that state. `told` is `None` if the client was told nothing.
    fn write(
        &self,
        state: &Self::State,
        request: &Request,
        told: Option<&ResponseOf<W>>,
    ) -> Option<Self::State>;

    /// Whether a query is answered like this in that state.
    fn reads(&self, state: &Self::State, answer: &AnswerOf<W>) -> bool;

    /// Whether a client that was told this may have seen the effect of that request. Requests of unknown outcome whose
    /// effect nobody saw are left out of the search, which each of them would double.
    fn may_show(&self, _told: &Happened<W>, _request: &Request) -> bool {
        true
    }
}

/// A request as a model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number of the request's first attempt ([`Call::request`](crate::Call::request)).
    pub request: u64,
    /// The object.
    pub choice: u64,
    /// What the client remembered when it made the request ([`Call::memory`](crate::Call::memory)).
    pub memory: u64,
    /// Whether it changes something.
    pub kind: OperationKind,
}

/// A request with what the client was told, and between which lines of the history it ran.
struct Span<'a, W: Workload> {
    request: Request,
    invoked: usize,
    /// When the client was told the outcome; `None` if it never was.
    returned: Option<(usize, &'a Happened<W>)>,
}

impl<W: Workload> Span<'_, W> {
    /// Returns the state after the request, where it fits. A query leaves the state as it is.
    fn after<M: Model<W>>(&self, model: &M, state: &M::State) -> Option<M::State> {
        match self.returned.map(|(_, told)| told) {
            Some(Happened::Read(answer)) => model.reads(state, answer).then(|| state.clone()),
            Some(Happened::Written(response)) => model.write(state, &self.request, Some(response)),
            _ => model.write(state, &self.request, None),
        }
    }

    fn is_read(&self) -> bool {
        self.request.kind == OperationKind::Read
    }
}

/// Judges a history by a model of the workload's objects, taking at most `steps` steps per object.
pub fn linearizable<W: Workload, M: Model<W>>(history: &[HistoryEvent<W>], model: &M, steps: u64) -> Opinion {
    let mut unknown = None;
    for (key, spans) in by_object(history) {
        match search(model, model.start(key), &relevant(model, spans), steps) {
            Some(true) => {}
            Some(false) => return Opinion::NotLinearizable { key },
            None => unknown = Some(key),
        }
    }
    unknown.map_or(Opinion::Linearizable, |key| Opinion::Unknown { key })
}

fn by_object<W: Workload>(history: &[HistoryEvent<W>]) -> BTreeMap<u64, Vec<Span<'_, W>>> {
    let mut objects: BTreeMap<u64, BTreeMap<u64, Span<'_, W>>> = BTreeMap::new();
    for (event, now) in history.iter().zip(0..) {
        let spans = objects.entry(event.choice).or_default();
        match (&event.what, event.kind) {
            (Happened::Invoked, kind) => {
                let request = Request {
                    request: event.attempt,
                    choice: event.choice,
                    memory: event.memory,
                    kind,
                };
                let span = Span {
                    request,
                    invoked: now,
                    returned: None,
                };
                spans.insert(event.attempt, span);
            }
            (told @ (Happened::Written(_) | Happened::Read(_)), _) => {
                let span = spans.entry(event.attempt);
                span.and_modify(|span| span.returned = Some((now, told)));
            }
            // A request without effect is left out. A query without an answer has no effect either.
            (Happened::Failed, _) | (Happened::Unknown, OperationKind::Read) => {
                spans.remove(&event.attempt);
            }
            (Happened::Unknown, OperationKind::Write) => {}
        }
    }
    let spans = objects.into_iter();
    spans
        .map(|(object, spans)| (object, spans.into_values().collect()))
        .collect()
}

/// Leaves out queries that were never answered, and requests of unknown outcome whose effect no client saw. Those may
/// take effect after everything else.
fn relevant<'a, W: Workload, M: Model<W>>(model: &M, spans: Vec<Span<'a, W>>) -> Vec<Span<'a, W>> {
    let told: Vec<&Happened<W>> = (spans.iter())
        .filter_map(|span| span.returned.map(|(_, told)| told))
        .collect();
    let matters = |span: &Span<'_, W>| {
        span.returned.is_some()
            || !span.is_read() && told.iter().any(|told| model.may_show(told, &span.request))
    };
    spans.into_iter().filter(matters).collect()
}

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
fn search<W: Workload, M: Model<W>>(
    model: &M,
    start: M::State,
    spans: &[Span<'_, W>],
    steps: u64,
) -> Option<bool> {
    // The requests that have been put in order so far, and the object's state after them.
    let mut visited: BTreeSet<(Vec<u64>, M::State)> = BTreeSet::new();
    let mut stack = vec![(vec![0; spans.len().div_ceil(64)], start)];
    let mut left = steps;
    while let Some((placed, state)) = stack.pop() {
        left = left.checked_sub(1)?;
        let open = || {
            let spans = spans.iter().enumerate();
            spans.filter(|(number, _)| !is_placed(&placed, *number))
        };
        // The next request must have been invoked before any other that is left returned.
        let ends = open().filter_map(|(_, span)| span.returned.map(|(at, _)| at));
        let Some(deadline) = ends.min() else {
            // Only requests of unknown outcome are left, and none of them has to have happened.
            return Some(true);
        };
        let possible = || open().filter(|(_, span)| span.invoked < deadline);
        let next = |(number, span): (usize, &Span<'_, W>)| Some((number, span.after(model, &state)?));
        // A query that fits changes nothing, so it may as well come now: no other choice need be tried.
        let query = possible().filter(|(_, span)| span.is_read()).find_map(next);
        let choices: Vec<(usize, M::State)> = match query {
            Some(query) => vec![query],
            None => possible()
                .filter(|(_, span)| !span.is_read())
                .filter_map(next)
                .collect(),
        };
        for (number, state) in choices {
            let next = (place(&placed, number), state);
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
    use crate::kv::{KeyValue, Registers, Response};
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
            memory: 0,
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
        assert_eq!(linearizable(&history(lines), &Registers, STEPS), wanted);
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
        let judged = |seen, steps| linearizable(&history(lines(seen)), &Registers, steps).violation();
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
        assert_eq!(
            linearizable(&history(lines), &Registers, 500),
            Opinion::Unknown { key: 7 }
        );
    }
}
