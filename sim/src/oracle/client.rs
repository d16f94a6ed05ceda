//! C1, C2, C7 and C8: what clients are told, against the one sequence of committed entries.
//!
//! Linearizability is witnessed by the log itself: a write stands where its entry stands, a read right behind the last
//! command that its answer reflects. Then (a) whatever was returned before something else was invoked stands before it, checked as answers
//! arrive, and (b) every answer is what a fresh machine says there, checked by replaying the committed commands at the
//! end. An attempt without an answer stays open for ever: it may take effect at any time, or never.

use raft_core::{Index, LogId};

use super::facts::Facts;
use super::{Judgement, Oracle, count, violated};
use crate::nanos::Nanos;
use crate::schedule::OperationKind;
use crate::workload::{AnswerOf, ResponseOf, Workload};

/// One attempt at one operation.
pub(crate) struct Attempt<W: Workload> {
    /// What is attempted.
    pub(crate) kind: OperationKind,
    /// On which of the things that there are.
    pub(crate) choice: u64,
    /// When the client began to wait.
    pub(crate) invoked: Nanos,
    /// The latest position that any client had been told of by then.
    floor: u64,
    /// Hash of the command; 0 for a read.
    command_hash: u64,
    /// What the server said, if anything.
    pub(crate) outcome: Option<Outcome<W>>,
}

/// What a server said to an attempt.
pub(crate) enum Outcome<W: Workload> {
    /// The command is committed and applied.
    Written { at: LogId, response: ResponseOf<W> },
    /// The query was answered, by a machine whose last command was this one.
    Read { at: Option<LogId>, answer: AnswerOf<W> },
    /// The request had no effect, and never will.
    WithoutEffect,
    /// Nobody knows.
    Unknown,
}

impl<W: Workload> Clone for Outcome<W> {
    fn clone(&self) -> Self {
        match self {
            Self::Written { at, response } => Self::Written {
                at: *at,
                response: response.clone(),
            },
            Self::Read { at, answer } => Self::Read {
                at: *at,
                answer: answer.clone(),
            },
            Self::WithoutEffect => Self::WithoutEffect,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// All attempts of a run, numbered in the order of their invocation.
pub(crate) struct Attempts<W: Workload> {
    attempts: Vec<Attempt<W>>,
    /// The latest position that any client has been told of.
    told: u64,
}

impl<W: Workload> Attempts<W> {
    pub(crate) fn new() -> Self {
        Self {
            attempts: Vec::with_capacity(256),
            told: 0,
        }
    }

    /// A client begins an attempt, which gets the next number.
    pub(crate) fn invoke(&mut self, kind: OperationKind, choice: u64, invoked: Nanos) -> u64 {
        let floor = self.told;
        self.attempts.push(Attempt {
            kind,
            choice,
            invoked,
            floor,
            command_hash: 0,
            outcome: None,
        });
        self.attempts.len() as u64 - 1
    }

    /// The command that the attempt proposes.
    pub(crate) fn proposes(&mut self, number: u64, command_hash: u64) {
        if let Some(attempt) = self.place(number) {
            attempt.command_hash = command_hash;
        }
    }

    pub(crate) fn find(&self, number: u64) -> Option<&Attempt<W>> {
        self.attempts.get(usize::try_from(number).ok()?)
    }

    fn place(&mut self, number: u64) -> Option<&mut Attempt<W>> {
        self.attempts.get_mut(usize::try_from(number).ok()?)
    }

    /// How many attempts there were.
    pub(crate) fn len(&self) -> usize {
        self.attempts.len()
    }

    /// C1 and C7: a server decides what it will answer.
    pub(crate) fn decided(&mut self, facts: &Facts, number: u64, outcome: Outcome<W>) -> Judgement {
        let Some(attempt) = self.place(number) else {
            return violated(
                Oracle::C7,
                format!("an outcome for attempt {number}, which nobody made"),
            );
        };
        if attempt.outcome.is_some() {
            return violated(Oracle::C7, format!("attempt {number} has a second outcome"));
        }
        if let Outcome::Written { at, .. } = &outcome {
            let committed = facts.committed(at.index);
            if committed
                .is_none_or(|committed| committed.id != *at || committed.content_hash != attempt.command_hash)
            {
                let there = committed.map_or("nothing".to_owned(), |committed| committed.id.to_string());
                let message =
                    format!("attempt {number} is acknowledged at {at}, and {there} is committed there");
                return violated(Oracle::C1, message);
            }
        }
        attempt.outcome = Some(outcome);
        Ok(())
    }

    /// C2 (a): the client hears the outcome. It must stand behind everything that any client had heard before it asked.
    pub(crate) fn returned(&mut self, number: u64) -> Judgement {
        let Some(attempt) = self.find(number) else {
            return Ok(());
        };
        let (position, ordered) = match &attempt.outcome {
            Some(Outcome::Written { at, .. }) => (at.index.value(), at.index.value() > attempt.floor),
            Some(Outcome::Read { at, .. }) => {
                let position = count(at.map(|at| at.index));
                (position, position >= attempt.floor)
            }
            _ => return Ok(()),
        };
        if !ordered {
            let message = format!(
                "attempt {number} ({:?}, invoked at {}) takes effect at {position}, and a client knew of {} before",
                attempt.kind, attempt.invoked, attempt.floor
            );
            return violated(Oracle::C2, message);
        }
        self.told = self.told.max(position);
        Ok(())
    }

    /// C2 (b), C7 and C8, at the end: the committed commands are replayed on a fresh machine, which must answer
    /// everybody as the servers did. Returns the machine.
    pub(crate) fn replayed(&self, facts: &Facts, workload: &W) -> Result<W::Machine, super::Violation> {
        use raft_core::EntryBody;
        use raft_core::replica::StateMachine;

        let mut machine = workload.machine();
        let (by_hash, writes, reads) = self.sorted()?;
        let mut reads = reads.into_iter().peekable();
        let mut seen = vec![false; self.attempts.len()];
        self.read_here(&machine, workload, 0, &mut reads)?;
        for committed in facts.all_committed() {
            let Some(EntryBody::Command(command)) = facts.body(committed.id) else {
                continue;
            };
            let response = machine.apply(committed.id, command);
            self.is_known(committed.content_hash, committed.id, &by_hash, &mut seen)?;
            let at = committed.id.index;
            if let Ok(place) = writes.binary_search_by_key(&at, |(at, _)| *at)
                && let Some(&(_, number)) = writes.get(place)
                && let Some(Attempt {
                    outcome: Some(Outcome::Written { response: told, .. }),
                    ..
                }) = self.find(number)
                && *told != response
            {
                let message = format!(
                    "attempt {number}, applied at {at}, was answered {told:?}, and a replay says {response:?}"
                );
                return violated(Oracle::C2, message);
            }
            self.read_here(&machine, workload, at.value(), &mut reads)?;
        }
        match reads.next() {
            Some((at, number)) => violated(
                Oracle::C2,
                format!("attempt {number} has read at {at}, which is not committed"),
            ),
            None => Ok(machine),
        }
    }

    /// Attempts by the hash of their command, acknowledged writes by position, answered reads by position.
    #[expect(
        clippy::type_complexity,
        reason = "three sorted lists of pairs, named in the sentence above"
    )]
    fn sorted(&self) -> Result<(Vec<(u64, u64)>, Vec<(Index, u64)>, Vec<(u64, u64)>), super::Violation> {
        let mut by_hash = Vec::new();
        let mut writes = Vec::new();
        let mut reads = Vec::new();
        for (attempt, number) in self.attempts.iter().zip(0..) {
            if attempt.kind == OperationKind::Write {
                by_hash.push((attempt.command_hash, number));
            }
            match &attempt.outcome {
                Some(Outcome::Written { at, .. }) => writes.push((at.index, number)),
                Some(Outcome::Read { at, .. }) => reads.push((count(at.map(|at| at.index)), number)),
                _ => {}
            }
        }
        by_hash.sort_unstable();
        writes.sort_unstable();
        reads.sort_unstable();
        Ok((by_hash, writes, reads))
    }

    /// C7 and C8: the committed command was proposed, once, and by an attempt that was not told otherwise.
    fn is_known(&self, hash: u64, at: LogId, by_hash: &[(u64, u64)], seen: &mut [bool]) -> Judgement {
        let place = by_hash.binary_search_by_key(&hash, |(hash, _)| *hash);
        let Some(&(_, number)) = place.ok().and_then(|place| by_hash.get(place)) else {
            return violated(Oracle::C8, format!("the command at {at} was proposed by nobody"));
        };
        if matches!(
            self.find(number),
            Some(Attempt {
                outcome: Some(Outcome::WithoutEffect),
                ..
            })
        ) {
            return violated(
                Oracle::C7,
                format!("attempt {number} was told that it has no effect, and is committed at {at}"),
            );
        }
        match usize::try_from(number)
            .ok()
            .and_then(|number| seen.get_mut(number))
        {
            Some(seen) if *seen => violated(
                Oracle::C8,
                format!("attempt {number} is committed a second time, at {at}"),
            ),
            Some(seen) => {
                *seen = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// C2 (b) for the reads that stand right here.
    fn read_here(
        &self,
        machine: &W::Machine,
        workload: &W,
        at: u64,
        reads: &mut std::iter::Peekable<impl Iterator<Item = (u64, u64)>>,
    ) -> Judgement {
        use raft_core::replica::StateMachine;

        while let Some((_, number)) = reads.next_if(|(position, _)| *position == at) {
            let Some(attempt) = self.find(number) else {
                continue;
            };
            let Some(Outcome::Read { answer, .. }) = &attempt.outcome else {
                continue;
            };
            let expected = machine.query(workload.query(attempt.choice));
            if *answer != expected {
                let message = format!(
                    "attempt {number} was answered {answer:?} after {at}, and a replay says {expected:?}"
                );
                return violated(Oracle::C2, message);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, id, reports};
    use super::*;
    use crate::hash::of_bytes;
    use crate::kv::{KeyValue, Response};
    use raft_core::{Entry, EntryBody, Payload};

    /// Two committed writes to key 7, by attempts 0 and 1.
    fn committed() -> Facts {
        let entry = |index: u64| Entry {
            id: id(1, index),
            body: EntryBody::Command(Payload::from(KeyValue.command(7, index - 1))),
        };
        facts(&[entry(1), entry(2)], 2)
    }

    fn two_writes() -> Attempts<KeyValue> {
        let mut attempts = Attempts::new();
        for number in 0..2 {
            assert_eq!(attempts.invoke(OperationKind::Write, 7, Nanos::ZERO), number);
            attempts.proposes(number, of_bytes(&KeyValue.command(7, number)));
        }
        attempts
    }

    fn written(index: u64, previous: Option<u64>) -> Outcome<KeyValue> {
        Outcome::Written {
            at: id(1, index),
            response: Response::Written { previous },
        }
    }

    #[test]
    fn c1_reports_an_acknowledgement_at_the_wrong_place() {
        let facts = committed();
        assert_eq!(two_writes().decided(&facts, 0, written(1, None)), Ok(()));
        reports(Oracle::C1, two_writes().decided(&facts, 0, written(2, None)));
        reports(Oracle::C1, two_writes().decided(&facts, 0, written(3, None)));
    }

    #[test]
    fn c2_reports_a_stale_read_and_a_write_behind_time() {
        let facts = committed();
        let mut attempts = two_writes();
        attempts.decided(&facts, 1, written(2, Some(0))).unwrap();
        attempts.returned(1).unwrap();
        let stale = attempts.invoke(OperationKind::Read, 7, Nanos::new(5));
        attempts
            .decided(
                &facts,
                stale,
                Outcome::Read {
                    at: Some(id(1, 1)),
                    answer: Some(0),
                },
            )
            .unwrap();
        reports(Oracle::C2, attempts.returned(stale));

        let late = attempts.invoke(OperationKind::Write, 7, Nanos::new(6));
        attempts.proposes(late, of_bytes(&KeyValue.command(7, 0)));
        attempts.decided(&facts, late, written(1, None)).unwrap();
        reports(Oracle::C2, attempts.returned(late));
        // The first attempt was invoked before anything was known, so it may stand anywhere.
        attempts.decided(&facts, 0, written(1, None)).unwrap();
        assert_eq!(attempts.returned(0), Ok(()));
    }

    #[test]
    fn c2_reports_answers_that_a_replay_does_not_give() {
        let facts = committed();
        let mut wrong_response = two_writes();
        wrong_response.decided(&facts, 1, written(2, None)).unwrap();
        reports(Oracle::C2, wrong_response.replayed(&facts, &KeyValue).map(drop));

        for (at, answer, right) in [
            (None, None, true),
            (None, Some(0), false),
            (Some(id(1, 1)), Some(0), true),
            (Some(id(1, 1)), Some(1), false),
            (Some(id(1, 2)), Some(1), true),
            (Some(id(1, 3)), Some(1), false),
        ] {
            let mut attempts = two_writes();
            let read = attempts.invoke(OperationKind::Read, 7, Nanos::ZERO);
            attempts
                .decided(&facts, read, Outcome::Read { at, answer })
                .unwrap();
            let judgement = attempts.replayed(&facts, &KeyValue).map(drop);
            match right {
                true => assert_eq!(judgement, Ok(())),
                false => reports(Oracle::C2, judgement),
            }
        }
    }

    #[test]
    fn c7_reports_an_effect_of_what_was_turned_down_and_a_second_outcome() {
        let facts = committed();
        let mut attempts = two_writes();
        attempts.decided(&facts, 0, Outcome::WithoutEffect).unwrap();
        reports(Oracle::C7, attempts.decided(&facts, 0, written(1, None)));
        reports(Oracle::C7, attempts.replayed(&facts, &KeyValue).map(drop));
        reports(Oracle::C7, attempts.decided(&facts, 9, Outcome::Unknown));
    }

    #[test]
    fn c8_reports_commands_that_nobody_proposed_or_that_are_committed_twice() {
        let facts = committed();
        let mut attempts = Attempts::<KeyValue>::new();
        attempts.invoke(OperationKind::Write, 7, Nanos::ZERO);
        attempts.proposes(0, of_bytes(&KeyValue.command(7, 0)));
        reports(Oracle::C8, attempts.replayed(&facts, &KeyValue).map(drop));

        let twice = [1, 2].map(|index| Entry {
            id: id(1, index),
            body: EntryBody::Command(Payload::from(KeyValue.command(7, 0))),
        });
        reports(
            Oracle::C8,
            attempts
                .replayed(&super::super::fixture::facts(&twice, 2), &KeyValue)
                .map(drop),
        );
    }
}
