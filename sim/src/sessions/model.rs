//! C6: what sessions must do, by a model over the committed commands that is as naive as possible.
//!
//! The model knows the command of each attempt, reads no bytes, and keeps no index that could be wrong. It also counts
//! what the machine inside was really told, so that a request which takes effect twice is found even if the answers
//! hide it.

use std::collections::BTreeMap;

use raft_core::replica::StateMachine;
use raft_core::sessions::{Outcome, SessionId};
use raft_core::{Index, LogId};

use super::{Reply, millis, stamp};
use crate::oracle::{Judgement, Oracle, Violation, violated};
use crate::schedule::{SessionPlan, WorkloadPlan};
use crate::witness::Witness;
use crate::workload::{Applied, ResponseOf, SessionCall, Workload};

/// A session in the model.
struct Session {
    id: SessionId,
    used_at: Index,
    used: u64,
    first_unanswered: u64,
    /// The numbers that have an outcome, and where they were applied.
    outcomes: BTreeMap<u64, LogId>,
}

/// What a session must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Opened,
    Alive,
    Closed,
    Fresh,
    Repeated(LogId),
    NoSession,
    Stale,
    TooManyOutcomes,
}

struct Model {
    limits: SessionPlan,
    now: u64,
    sessions: Vec<Session>,
}

/// Judges a log, and returns what the machine inside has answered to the requests that took effect.
pub(super) fn judge<W: Workload>(
    workload: &W,
    plan: &WorkloadPlan,
    limits: SessionPlan,
    log: &[Applied<Reply<ResponseOf<W>>>],
    inside: &Witness<W::Machine>,
) -> Result<Vec<Applied<ResponseOf<W>>>, Violation> {
    let mut model = Model {
        limits,
        now: 0,
        sessions: Vec::new(),
    };
    // The history of the machine inside, if every request is applied to it once.
    let mut reference = Witness::alone(workload.machine(plan));
    let mut effects: BTreeMap<u64, (LogId, ResponseOf<W>)> = BTreeMap::new();
    let mut took_effect = Vec::new();
    for Applied { at, call, response } in log {
        let Reply::Session(outcome) = response else {
            return violated(
                Oracle::C6,
                format!("the command at {at} was answered without a session"),
            );
        };
        if let (Outcome::Fresh(_), Some((first, _))) = (outcome, effects.get(&call.request)) {
            let message = format!(
                "attempt {} is applied at {at}, but its request {} was already applied at {first}",
                call.attempt, call.request
            );
            return violated(Oracle::C6, message);
        }
        let Some(session) = call.session else {
            return violated(
                Oracle::C6,
                format!("the command at {at} does not belong to a session"),
            );
        };
        let expected = model.apply(*at, stamp(call), session);
        says(*at, expected, outcome)?;
        match expected {
            Expected::Fresh => {
                let Ok(told) = reference.apply(*at, &workload.command(call)) else {
                    let message = format!("the machine inside halts before the command at {at}");
                    return violated(Oracle::C6, message);
                };
                same_response(*at, &told, outcome)?;
                effects.insert(call.request, (*at, told.clone()));
                took_effect.push(Applied {
                    at: *at,
                    call: *call,
                    response: told,
                });
            }
            Expected::Repeated(_) => match effects.get(&call.request) {
                Some((_, told)) => same_response(*at, told, outcome)?,
                None => {
                    let message =
                        format!("the command at {at} is answered like a request that was never applied");
                    return violated(Oracle::C6, message);
                }
            },
            _ => {}
        }
    }
    if inside.snapshot() != reference.snapshot() {
        let message = "the machine inside the sessions was not told each request exactly once";
        return violated(Oracle::C6, message.to_owned());
    }
    Ok(took_effect)
}

/// Checks that the answer is of the expected kind.
fn says<R: std::fmt::Debug>(at: LogId, expected: Expected, outcome: &Outcome<R>) -> Judgement {
    let fits = match (expected, outcome) {
        (Expected::Opened, Outcome::Opened { session }) => session.opened() == at.index,
        (Expected::Repeated(expected), Outcome::Repeated { first, .. }) => *first == expected,
        (Expected::Fresh, Outcome::Fresh(_))
        | (Expected::Alive, Outcome::Alive)
        | (Expected::Closed, Outcome::Closed)
        | (Expected::NoSession, Outcome::NoSession { .. })
        | (Expected::Stale, Outcome::Stale { .. })
        | (Expected::TooManyOutcomes, Outcome::TooManyOutcomes { .. }) => true,
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => violated(
            Oracle::C6,
            format!("the session answers {outcome:?} to the command at {at}, but the rules say {expected:?}"),
        ),
    }
}

fn same_response<R: PartialEq + std::fmt::Debug>(at: LogId, told: &R, outcome: &Outcome<R>) -> Judgement {
    match outcome.response() {
        Some(response) if response == told => Ok(()),
        response => violated(
            Oracle::C6,
            format!("the request at {at} is answered {response:?}, but its outcome was {told:?}"),
        ),
    }
}

impl Model {
    fn apply(&mut self, at: LogId, time: u64, call: SessionCall) -> Expected {
        self.now = self.now.max(time);
        let (now, lifetime) = (self.now, millis(self.limits.lifetime.value()));
        match call {
            SessionCall::KeepAlive(id) | SessionCall::Close(id) => {
                self.sessions.retain(|session| now - session.used < lifetime);
                let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else {
                    return Expected::NoSession;
                };
                (session.used_at, session.used) = (at.index, now);
                if call == SessionCall::KeepAlive(id) {
                    return Expected::Alive;
                }
                self.sessions.retain(|session| session.id != id);
                Expected::Closed
            }
            SessionCall::Open => {
                self.sessions.retain(|session| now - session.used < lifetime);
                while self.sessions.len() >= (self.limits.sessions.max(1)) as usize {
                    let oldest = self.sessions.iter().map(|session| session.used_at).min();
                    self.sessions.retain(|session| Some(session.used_at) != oldest);
                }
                self.sessions.push(Session {
                    id: SessionId::new(at.index),
                    used_at: at.index,
                    used: now,
                    first_unanswered: 0,
                    outcomes: BTreeMap::new(),
                });
                Expected::Opened
            }
            SessionCall::Apply {
                session: id,
                sequence,
                first_unanswered,
            } => {
                // A stored outcome is returned before the request's age is judged.
                let stored = self
                    .sessions
                    .iter()
                    .find(|session| session.id == id)
                    .and_then(|session| session.outcomes.get(&sequence).copied());
                self.sessions.retain(|session| {
                    (session.id == id && stored.is_some()) || now - session.used < lifetime
                });
                let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else {
                    return Expected::NoSession;
                };
                (session.used_at, session.used) = (at.index, now);
                session.first_unanswered = session.first_unanswered.max(first_unanswered);
                let heard = session.first_unanswered;
                session.outcomes.retain(|sequence, _| *sequence >= heard);
                match stored {
                    Some(first) => Expected::Repeated(first),
                    None if sequence < heard => Expected::Stale,
                    None if sequence != heard && session.outcomes.len() >= self.limits.outcomes as usize => {
                        Expected::TooManyOutcomes
                    }
                    None => {
                        session.outcomes.insert(sequence, at);
                        Expected::Fresh
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{Plain, Response, Store};
    use crate::nanos::Nanos;
    use crate::oracle::fixture::{id, reports};
    use crate::workload::Call;

    type Log = Vec<Applied<Reply<Response>>>;

    const LIMITS: SessionPlan = SessionPlan {
        sessions: 2,
        outcomes: 1,
        lifetime: Nanos::from_millis(100),
    };

    fn wrote(previous: Option<u64>) -> Response {
        Response::Written { previous }
    }

    fn opened(index: u64) -> Outcome<Response> {
        let session = SessionId::new(id(1, index).index);
        Outcome::Opened { session }
    }

    fn repeated(first: u64, previous: Option<u64>) -> Outcome<Response> {
        Outcome::Repeated {
            first: id(1, first),
            response: wrote(previous),
        }
    }

    fn no_session(index: u64) -> Outcome<Response> {
        let session = SessionId::new(id(1, index).index);
        Outcome::NoSession { session }
    }

    /// Appends the next command of a log: an attempt of client 0 at this request, so many milliseconds after the start,
    /// with its answer.
    fn push(log: &mut Log, request: u64, millis: u64, session: SessionCall, answer: Outcome<Response>) {
        let attempt = log.len() as u64;
        log.push(Applied {
            at: id(1, attempt + 1),
            call: Call {
                client: 0,
                choice: 7,
                request,
                attempt,
                at: Nanos::from_millis(millis),
                made: Nanos::from_millis(millis),
                memory: 0,
                session: Some(session),
            },
            response: Reply::Session(answer),
        });
    }

    fn apply(session: u64, sequence: u64, first_unanswered: u64) -> SessionCall {
        SessionCall::Apply {
            session: SessionId::new(id(1, session).index),
            sequence,
            first_unanswered,
        }
    }

    /// A machine that was told these attempts' requests, at these places.
    fn told_of(log: &Log, places: &[usize]) -> Witness<Store> {
        let mut machine = Witness::alone(Store::default());
        for &place in places {
            let Applied { at, call, .. } = &log[place];
            machine.apply(*at, &Plain.command(call)).unwrap();
        }
        machine
    }

    fn judged(log: &Log, inside: &Witness<Store>) -> Judgement {
        let plan = WorkloadPlan {
            sessions: Some(LIMITS),
            ..WorkloadPlan::default()
        };
        judge(&Plain, &plan, LIMITS, log, inside).map(drop)
    }

    /// A session, a request in it, and the same request again.
    fn written_twice(answer: Outcome<Response>) -> Log {
        let mut log = Log::new();
        push(&mut log, 0, 0, SessionCall::Open, opened(1));
        push(&mut log, 1, 1, apply(1, 0, 0), Outcome::Fresh(wrote(None)));
        push(&mut log, 1, 2, apply(1, 0, 0), answer);
        log
    }

    #[test]
    fn c6_reports_a_request_that_is_applied_twice_or_answered_differently() {
        let log = written_twice(repeated(2, None));
        assert_eq!(judged(&log, &told_of(&log, &[1])), Ok(()));
        for wrong in [
            Outcome::Fresh(wrote(Some(1))),
            repeated(2, Some(1)),
            repeated(1, None),
            no_session(1),
            Outcome::Stale { first_unanswered: 0 },
        ] {
            let log = written_twice(wrong);
            reports(Oracle::C6, judged(&log, &told_of(&log, &[1])));
        }
    }

    #[test]
    fn c6_reports_a_machine_that_was_told_twice_whatever_the_answers_say() {
        let log = written_twice(repeated(2, None));
        reports(Oracle::C6, judged(&log, &told_of(&log, &[1, 2])));
        reports(Oracle::C6, judged(&log, &told_of(&log, &[])));
    }

    #[test]
    fn c6_reports_a_session_that_ends_early_or_late() {
        for (millis, answer, right) in [
            (99, Outcome::Fresh(wrote(None)), true),
            (99, no_session(1), false),
            (100, no_session(1), true),
            (100, Outcome::Fresh(wrote(None)), false),
        ] {
            let mut log = Log::new();
            push(&mut log, 0, 0, SessionCall::Open, opened(1));
            let places: &[usize] = if matches!(answer, Outcome::Fresh(_)) {
                &[1]
            } else {
                &[]
            };
            push(&mut log, 1, millis, apply(1, 0, 0), answer);
            let judgement = judged(&log, &told_of(&log, places));
            match right {
                true => assert_eq!(judgement, Ok(())),
                false => reports(Oracle::C6, judgement),
            }
        }
    }

    #[test]
    fn c6_knows_that_a_stored_outcome_comes_before_age_and_which_session_is_evicted() {
        let mut log = written_twice(repeated(2, None));
        // The same request long after; then two more sessions, of which the second evicts the first one.
        push(&mut log, 1, 500, apply(1, 0, 0), repeated(2, None));
        push(&mut log, 4, 500, SessionCall::Open, opened(5));
        push(&mut log, 5, 500, SessionCall::Open, opened(6));
        push(&mut log, 1, 500, apply(1, 0, 0), no_session(1));
        assert_eq!(judged(&log, &told_of(&log, &[1])), Ok(()));
        log.truncate(6);
        push(&mut log, 1, 500, apply(1, 0, 0), repeated(2, None));
        reports(Oracle::C6, judged(&log, &told_of(&log, &[1])));
    }

    #[test]
    fn c6_reports_what_is_forgotten_early_kept_for_ever_or_admitted_without_room() {
        let begin = |answers: [Outcome<Response>; 2]| {
            let [second, first_again] = answers;
            let mut log = Log::new();
            push(&mut log, 0, 0, SessionCall::Open, opened(1));
            push(&mut log, 1, 1, apply(1, 1, 0), Outcome::Fresh(wrote(None)));
            push(&mut log, 2, 1, apply(1, 2, 0), second);
            push(&mut log, 1, 2, apply(1, 1, 1), first_again);
            log
        };
        let full = || Outcome::TooManyOutcomes { limit: 1 };
        let log = begin([full(), repeated(2, None)]);
        assert_eq!(judged(&log, &told_of(&log, &[1])), Ok(()));
        let log = begin([Outcome::Fresh(wrote(Some(1))), repeated(2, None)]);
        reports(Oracle::C6, judged(&log, &told_of(&log, &[1, 2])));
        let log = begin([full(), Outcome::Stale { first_unanswered: 1 }]);
        reports(Oracle::C6, judged(&log, &told_of(&log, &[1])));

        let late = |answer| {
            let mut log = written_twice(repeated(2, None));
            push(&mut log, 3, 3, apply(1, 1, 1), Outcome::Fresh(wrote(Some(1))));
            push(&mut log, 1, 4, apply(1, 0, 0), answer);
            log
        };
        let log = late(Outcome::Stale { first_unanswered: 1 });
        assert_eq!(judged(&log, &told_of(&log, &[1, 3])), Ok(()));
        let log = late(repeated(2, None));
        reports(Oracle::C6, judged(&log, &told_of(&log, &[1, 3])));
    }

    #[test]
    fn c6_reports_a_session_that_outlives_its_end_or_is_not_kept_alive() {
        let session = SessionId::new(id(1, 1).index);
        let log = |ending: Option<SessionCall>, told, last| {
            let mut log = Log::new();
            push(&mut log, 0, 0, SessionCall::Open, opened(1));
            if let Some(ending) = ending {
                push(&mut log, 1, 60, ending, told);
            }
            push(&mut log, 2, 120, apply(1, 0, 0), last);
            log
        };
        let (keep, close) = (SessionCall::KeepAlive(session), SessionCall::Close(session));
        let fresh = || Outcome::Fresh(wrote(None));
        for (ending, told, last, right) in [
            (Some(keep), Outcome::Alive, fresh(), true),
            (Some(keep), Outcome::Alive, no_session(1), false),
            (Some(keep), no_session(1), no_session(1), false),
            (Some(close), Outcome::Closed, no_session(1), true),
            (Some(close), Outcome::Closed, fresh(), false),
            (None, Outcome::Alive, no_session(1), true),
        ] {
            let places: &[usize] = if matches!(last, Outcome::Fresh(_)) {
                &[2]
            } else {
                &[]
            };
            let log = log(ending, told, last);
            let judgement = judged(&log, &told_of(&log, places));
            match right {
                true => assert_eq!(judgement, Ok(())),
                false => reports(Oracle::C6, judgement),
            }
        }
    }
}
