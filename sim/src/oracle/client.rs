//! C1, C2, C7 and C8: what clients are told, compared with the one sequence of committed entries.
//!
//! The log itself witnesses linearizability: a write takes effect at its entry, and a read right after the last command
//! that its answer reflects. Two things follow. (a) Whatever was returned before something else was invoked takes
//! effect before it; this is checked as answers arrive. (b) Every answer is what a fresh machine says at that place;
//! this is checked at the end, by replaying the committed commands. An attempt without an answer stays open for ever:
//! it may take effect at any time, or never.
//!
//! Where clients repeat requests, each entry is judged by its attempt, because it is committed at most once whatever it
//! does. Order in real time is judged by the request: from its first attempt's invocation to the answer, at the place
//! where it took effect.

use std::fmt;

use raft_core::{Index, LogId, Rejection};

use super::facts::Facts;
use super::{Judgement, Oracle, count, violated};
use crate::hash::of_bytes;
use crate::schedule::{OperationKind, WorkloadPlan};
use crate::witness::{Responses, program_and_command};
use crate::workload::{AnswerOf, Applied, Call, Concluded, ResponseOf, Workload};

/// One attempt at one operation.
pub(crate) struct Attempt<W: Workload> {
    /// What the attempt is to do.
    pub(crate) kind: OperationKind,
    /// Which client asks, for what, and when.
    pub(crate) call: Call,
    /// The latest position that any client had been told of when the request was first made.
    floor: u64,
    /// Hash of the command; 0 for a read.
    command_hash: u64,
    /// The length of the command; 0 for a read.
    command_bytes: usize,
    /// What the server answered, if it did.
    pub(crate) outcome: Option<Outcome<W>>,
}

/// A server's answer to an attempt.
pub(crate) enum Outcome<W: Workload> {
    /// The command is committed and applied.
    Written { at: LogId, response: ResponseOf<W> },
    /// The query was answered, by a machine whose last command was this one.
    Read { at: Option<LogId>, answer: AnswerOf<W> },
    /// The request had no effect, and never will.
    WithoutEffect(Refusal),
    /// It is unknown whether the request took effect.
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
            Self::WithoutEffect(refusal) => Self::WithoutEffect(*refusal),
            Self::Unknown => Self::Unknown,
        }
    }
}

/// Why a request had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A server rejected it.
    Rejected(Rejection),
    /// Another leader's entries took its place in the log.
    Superseded,
    /// The host did not pass it on: the log's level is below the command's.
    TooEarly,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(reason) => write!(f, "rejected: {reason}"),
            Self::TooEarly => f.write_str("refused by the host: its level is not in force"),
            Self::Superseded => f.write_str("superseded by another leader's entries"),
        }
    }
}

impl<W: Workload> Attempt<W> {
    /// What it asks for, with the size of its command.
    pub(crate) fn asks(&self) -> String {
        match self.kind {
            OperationKind::Write => format!("a command of {} bytes", self.command_bytes),
            OperationKind::Read => "a query".to_owned(),
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

    /// A client begins an attempt, which has the next number: it proposes this command, or asks a query.
    pub(crate) fn invoke(&mut self, call: Call, command: Option<&[u8]>) {
        let first = self.find(call.request).map(|attempt| attempt.floor);
        self.attempts.push(Attempt {
            kind: match command {
                Some(_) => OperationKind::Write,
                None => OperationKind::Read,
            },
            call,
            floor: first.unwrap_or(self.told),
            command_hash: command.map_or(0, of_bytes),
            command_bytes: command.map_or(0, <[u8]>::len),
            outcome: None,
        });
    }

    pub(crate) fn find(&self, number: u64) -> Option<&Attempt<W>> {
        self.attempts.get(usize::try_from(number).ok()?)
    }

    fn place(&mut self, number: u64) -> Option<&mut Attempt<W>> {
        self.attempts.get_mut(usize::try_from(number).ok()?)
    }

    /// Returns the number of attempts.
    pub(crate) fn len(&self) -> usize {
        self.attempts.len()
    }

    /// C1 and C7: a server settles what it will answer.
    pub(crate) fn decided(&mut self, facts: &Facts, number: u64, outcome: Outcome<W>) -> Judgement {
        let Some(attempt) = self.place(number) else {
            return violated(
                Oracle::C7,
                format!("an outcome for attempt {number}, which no client made"),
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

    /// C2 (a): the client hears the outcome. It must take effect after everything that any client had heard before this
    /// client asked. An answer that reports an earlier attempt's effect counts at that attempt's position: `first`.
    pub(crate) fn returned(&mut self, number: u64, first: Option<Index>) -> Judgement {
        let Some(attempt) = self.find(number) else {
            return Ok(());
        };
        let (position, ordered) = match &attempt.outcome {
            Some(Outcome::Written { at, .. }) => {
                let position = first.unwrap_or(at.index).value();
                (position, position > attempt.floor && position <= at.index.value())
            }
            Some(Outcome::Read { at, .. }) => {
                let position = count(at.map(|at| at.index));
                (position, position >= attempt.floor)
            }
            _ => return Ok(()),
        };
        if !ordered {
            let message = format!(
                "attempt {number} ({:?}, made at {}) takes effect at {position}, but a client already knew of {} by then",
                attempt.kind, attempt.call.at, attempt.floor
            );
            return violated(Oracle::C2, message);
        }
        self.told = self.told.max(position);
        Ok(())
    }

    /// C2 (b), C7, C8, S16 and what the workload itself checks, at the end. The committed commands are replayed on a
    /// fresh machine, which must give every client the answer that the servers gave. Returns the machine.
    pub(crate) fn replayed(
        &self,
        facts: &Facts,
        workload: &W,
        plan: &WorkloadPlan,
        responses: &Responses<ResponseOf<W>>,
    ) -> Result<W::Machine, super::Violation> {
        use raft_core::EntryBody;
        use raft_core::replica::StateMachine;

        let mut machine = workload.machine(plan);
        let (by_hash, writes, reads) = self.sorted()?;
        let mut reads = reads.into_iter().peekable();
        let mut seen = vec![false; self.attempts.len()];
        let mut log = Vec::with_capacity(facts.all_committed().len());
        self.read_here(&machine, workload, 0, &mut reads)?;
        for committed in facts.all_committed() {
            let Some(command) = facts.body(committed.id).and_then(EntryBody::command) else {
                continue;
            };
            let at = committed.id;
            let command = match facts.has_two_programs() {
                true => program_and_command(command).1,
                false => &command[..],
            };
            let Ok(response) = machine.apply(at, command) else {
                return violated(
                    Oracle::C9,
                    format!("the machine halts before the command at {at}"),
                );
            };
            let call = self.is_known(committed.content_hash, at, &by_hash, &mut seen)?;
            if let Ok(place) = writes.binary_search_by_key(&at.index, |(at, _)| *at)
                && let Some(&(_, number)) = writes.get(place)
                && let Some(Attempt {
                    outcome: Some(Outcome::Written { response: told, .. }),
                    ..
                }) = self.find(number)
                && *told != response
            {
                let message = format!(
                    "attempt {number}, applied at {at}, was answered {told:?}, but a replay says {response:?}"
                );
                return violated(Oracle::C2, message);
            }
            if let Some(said) = responses.said(at)
                && *said != response
            {
                let message = format!(
                    "a machine answers {said:?} to the command at {at}, but a replay says {response:?}"
                );
                return violated(Oracle::S16, message);
            }
            self.read_here(&machine, workload, at.index.value(), &mut reads)?;
            log.push(Applied { at, call, response });
        }
        if let Some((at, number)) = reads.next() {
            let message = format!("attempt {number} has read at {at}, which is not committed");
            return violated(Oracle::C2, message);
        }
        workload.check(&Concluded {
            plan,
            log: &log,
            machine: &machine,
        })?;
        Ok(machine)
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

    /// C7 and C8: the committed command was proposed, once, and by an attempt that was not told otherwise. Attempts
    /// whose commands are equal byte for byte may each be committed once.
    fn is_known(
        &self,
        hash: u64,
        at: LogId,
        by_hash: &[(u64, u64)],
        seen: &mut [bool],
    ) -> Result<Call, super::Violation> {
        let first = by_hash.partition_point(|(known, _)| *known < hash);
        let made = by_hash
            .iter()
            .skip(first)
            .take_while(|(known, _)| *known == hash)
            .filter_map(|(_, number)| Some((usize::try_from(*number).ok()?, self.find(*number)?)));
        let mut judgement = violated(
            Oracle::C8,
            format!("the command at {at} was not proposed by any client"),
        );
        for (number, attempt) in made {
            let Some(seen) = seen.get_mut(number) else {
                continue;
            };
            if *seen {
                let message = format!("attempt {number} is committed a second time, at {at}");
                judgement = violated(Oracle::C8, message);
            } else if let Some(Outcome::WithoutEffect(refusal)) = &attempt.outcome {
                let message = format!(
                    "attempt {number} was told that it has no effect ({refusal}), but is committed at {at}"
                );
                judgement = violated(Oracle::C7, message);
            } else {
                *seen = true;
                return Ok(attempt.call);
            }
        }
        judgement
    }

    /// C2 (b) for the reads that take effect right here.
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
            let expected = machine.query(workload.query(attempt.call.choice));
            if *answer != expected {
                let message = format!(
                    "attempt {number} was answered {answer:?} after {at}, but a replay says {expected:?}"
                );
                return violated(Oracle::C2, message);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, facts, id, reports};
    use super::*;
    use crate::kv::{KeyValue, Response};
    use crate::nanos::Nanos;
    use crate::sessions::Reply;
    use raft_core::{Entry, EntryBody, Payload};

    const REFUSED: Outcome<KeyValue> =
        Outcome::WithoutEffect(Refusal::Rejected(Rejection::NotLeader { leader: None }));

    fn call(attempt: u64) -> Call {
        Call {
            client: 1,
            choice: 7,
            request: attempt,
            attempt,
            at: Nanos::new(attempt),
            made: Nanos::new(attempt),
            memory: 0,
            session: None,
        }
    }

    fn replayed(attempts: &Attempts<KeyValue>, facts: &Facts) -> Judgement {
        let plan = WorkloadPlan::default();
        attempts
            .replayed(facts, &KeyValue, &plan, &Responses::default())
            .map(drop)
    }

    fn write(attempts: &mut Attempts<KeyValue>, call: Call) {
        attempts.invoke(call, Some(&KeyValue.command(&call)));
    }

    /// The number of a new read of key 7.
    fn read(attempts: &mut Attempts<KeyValue>) -> u64 {
        let number = attempts.len() as u64;
        attempts.invoke(call(number), None);
        number
    }

    /// Two committed writes to key 7, by attempts 0 and 1.
    fn committed() -> Facts {
        let entry = |index: u64| Entry {
            id: id(1, index),
            body: EntryBody::Command(Payload::from(KeyValue.command(&call(index - 1)))),
        };
        facts(&[entry(1), entry(2)], 2)
    }

    fn two_writes() -> Attempts<KeyValue> {
        let mut attempts = Attempts::new();
        write(&mut attempts, call(0));
        write(&mut attempts, call(1));
        attempts
    }

    fn written(index: u64, previous: Option<u64>) -> Outcome<KeyValue> {
        Outcome::Written {
            at: id(1, index),
            response: Reply::Plain(Response::Written { previous }),
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
    fn c2_reports_a_stale_read_and_a_write_that_is_too_late() {
        let facts = committed();
        let mut attempts = two_writes();
        attempts.decided(&facts, 1, written(2, Some(0))).unwrap();
        attempts.returned(1, None).unwrap();
        let stale = read(&mut attempts);
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
        reports(Oracle::C2, attempts.returned(stale, None));

        let late = attempts.len() as u64;
        attempts.invoke(call(late), Some(&KeyValue.command(&call(0))));
        attempts.decided(&facts, late, written(1, None)).unwrap();
        reports(Oracle::C2, attempts.returned(late, None));
        // The first attempt was invoked before anything was known, so it may take effect anywhere.
        attempts.decided(&facts, 0, written(1, None)).unwrap();
        assert_eq!(attempts.returned(0, None), Ok(()));
    }

    #[test]
    fn c2_reports_answers_that_a_replay_does_not_give() {
        let facts = committed();
        let mut wrong_response = two_writes();
        wrong_response.decided(&facts, 1, written(2, None)).unwrap();
        reports(Oracle::C2, replayed(&wrong_response, &facts));

        for (at, answer, right) in [
            (None, None, true),
            (None, Some(0), false),
            (Some(id(1, 1)), Some(0), true),
            (Some(id(1, 1)), Some(1), false),
            (Some(id(1, 2)), Some(1), true),
            (Some(id(1, 3)), Some(1), false),
        ] {
            let mut attempts = two_writes();
            let read = read(&mut attempts);
            attempts
                .decided(&facts, read, Outcome::Read { at, answer })
                .unwrap();
            let judgement = replayed(&attempts, &facts);
            match right {
                true => assert_eq!(judgement, Ok(())),
                false => reports(Oracle::C2, judgement),
            }
        }
    }

    #[test]
    fn c7_reports_an_effect_of_a_rejected_request_and_a_second_outcome() {
        let facts = committed();
        let mut attempts = two_writes();
        attempts.decided(&facts, 0, REFUSED).unwrap();
        reports(Oracle::C7, attempts.decided(&facts, 0, written(1, None)));
        reports(Oracle::C7, replayed(&attempts, &facts));
        reports(Oracle::C7, attempts.decided(&facts, 9, Outcome::Unknown));
    }

    #[test]
    fn c8_reports_commands_that_no_client_proposed_or_that_are_committed_twice() {
        let facts = committed();
        let mut attempts = Attempts::<KeyValue>::new();
        write(&mut attempts, call(0));
        reports(Oracle::C8, replayed(&attempts, &facts));

        let twice = [1, 2].map(|index| Entry {
            id: id(1, index),
            body: EntryBody::Command(Payload::from(KeyValue.command(&call(0)))),
        });
        let facts = super::super::fixture::facts(&twice, 2);
        reports(Oracle::C8, replayed(&attempts, &facts));
        // Another attempt that asks for the same with the same bytes may be committed, too.
        attempts.invoke(call(1), Some(&KeyValue.command(&call(0))));
        assert_eq!(replayed(&attempts, &facts), Ok(()));
        attempts.decided(&facts, 1, REFUSED).unwrap();
        reports(Oracle::C7, replayed(&attempts, &facts));
    }

    #[test]
    fn c2_judges_a_repeated_request_from_its_first_attempt_and_where_it_took_effect() {
        let facts = committed();
        let mut attempts = two_writes();
        attempts.decided(&facts, 1, written(2, Some(0))).unwrap();
        // Request 0 was made before any client knew of an entry; its second attempt learns that the first took effect
        // at 1.
        let mut again = call(2);
        again.request = 0;
        attempts.invoke(again, Some(&KeyValue.command(&call(1))));
        attempts.returned(1, None).unwrap();
        attempts.decided(&facts, 2, written(2, None)).unwrap();
        assert_eq!(attempts.returned(2, Some(at(1))), Ok(()));
        // A request that was made later cannot have taken effect there, and none takes effect after the entry that
        // reports it.
        write(&mut attempts, call(3));
        let mut late = call(4);
        late.request = 3;
        attempts.invoke(late, Some(&KeyValue.command(&call(1))));
        attempts.decided(&facts, 4, written(2, None)).unwrap();
        reports(Oracle::C2, attempts.returned(4, Some(at(1))));
        reports(Oracle::C2, attempts.returned(2, Some(at(3))));
    }

    #[test]
    fn s16_reports_a_response_that_a_replay_does_not_give() {
        let facts = committed();
        let mut machine = crate::witness::Witness::new(
            KeyValue.machine(&WorkloadPlan::default()),
            std::rc::Rc::default(),
            None,
        );
        let shared = machine.responses().expect("a caller keeps the responses");
        use raft_core::replica::StateMachine;
        machine.apply(id(1, 1), &KeyValue.command(&call(1))).unwrap();
        machine.apply(id(1, 2), &KeyValue.command(&call(1))).unwrap();
        let plan = WorkloadPlan::default();
        reports(
            Oracle::S16,
            two_writes()
                .replayed(&facts, &KeyValue, &plan, &shared.borrow())
                .map(drop),
        );
    }
}
