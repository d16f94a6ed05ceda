//! C9 and C6 for the ledger: checks its promises one by one, and then every answer and the whole audit, by a model of
//! its rules.
//!
//! The model works on requests, not on bytes, and keeps plain lists. It knows nothing of how the ledger stores
//! anything.

use std::collections::BTreeMap;

use lsb_core::UnixSeconds;
use lsb_core::envelope::{Grant, Views};
use node::ledger::audit::{Event, EventKind, KEPT_EVENTS};
use node::ledger::request::LONGEST_REQUEST_SECONDS;
use node::ledger::{
    Answer, Denial, GrantedView, Ledger as Machine, MOST_OUTCOMES_PER_USER, OUTCOME_LIFETIME_SECONDS,
    Outcome, Query, Refusal,
};
use raft_core::replica::StateMachine;
use raft_core::{Index, LogId};
use sim::{Applied, Call, Concluded, Oracle, Violation};

use super::{Ask, Ledger, object_id, object_of, request_id, stamp, user_of};

type Judgement = Result<(), Violation>;

fn violated<T>(oracle: Oracle, message: String) -> Result<T, Violation> {
    Err(Violation { oracle, message })
}

/// Judges a whole run.
pub(super) fn judge(ledger: &Ledger, run: &Concluded<'_, Machine>) -> Judgement {
    let mut promises = Promises::default();
    let mut model = Model::new(ledger);
    for Applied { at, call, response } in run.log {
        promises.hold(ledger, *at, call, response)?;
        let expected = model.apply(*at, call);
        if *response != expected {
            let message = format!(
                "attempt {} ({:?}) is answered {response:?} at {at}, but the rules say {expected:?}",
                call.attempt,
                ledger.ask(call)
            );
            return violated(Oracle::C9, message);
        }
    }
    model.has_audit_of(run.machine)
}

/// A request: its user, its id, and its contents, which are an object and when the request expires.
type Request = (u64, u64, u64, u64);

/// What users are promised, without any rule about how it is kept.
#[derive(Default)]
struct Promises {
    now: u64,
    /// Where each request of each user was charged. An id alone does not identify a request: once a request has expired
    /// and is forgotten, another may use its id.
    charged: BTreeMap<Request, Index>,
    /// How many views of each object each user was granted.
    granted: BTreeMap<(u64, u64), u64>,
    owners: BTreeMap<u64, u64>,
}

impl Promises {
    fn hold(&mut self, ledger: &Ledger, at: LogId, call: &Call, response: &Outcome) -> Judgement {
        // Time in the log never runs backwards, whatever the clocks show.
        self.now = self.now.max(stamp(call).0);
        let (user, object) = (user_of(call), object_of(call));
        if let Outcome::Protected { already: false, .. } = response {
            self.owners.insert(object, user);
        }
        let (Outcome::Granted(view), Ask::View { id, expires, .. }) = (response, ledger.ask(call)) else {
            return Ok(());
        };
        let request = (user, id, object, expires.0);
        let first = *self.charged.entry(request).or_insert(view.index);
        if first != view.index || view.repeated == (view.index == at.index) {
            let message =
                format!("request {id} of user {user} is charged at {at}, but was already charged at {first}");
            return violated(Oracle::C6, message);
        }
        if view.repeated {
            return Ok(());
        }
        let count = self.granted.entry((object, user)).or_default();
        *count += 1;
        let grant = self
            .owners
            .get(&object)
            .and_then(|owner| grant_of(ledger, *owner, object, user));
        let Some(grant) = grant else {
            return violated(
                Oracle::C9,
                format!("user {user}, who has no grant, is granted a view at {at}"),
            );
        };
        let left = match grant.views {
            Views::Unlimited => Some(Views::Unlimited),
            Views::Total(total) => u64::from(total)
                .checked_sub(*count)
                .and_then(|left| u32::try_from(left).ok())
                .map(Views::Total),
        };
        if left != Some(view.remaining) {
            let (total, told) = (grant.views, view.remaining);
            let message =
                format!("view {count} of {total} is granted to user {user} at {at}, with {told} left");
            return violated(Oracle::C9, message);
        }
        let ended = grant.expires.is_some_and(|end| self.now >= end.0) || self.now >= expires.0;
        if ended || grant.not_before.is_some_and(|begin| self.now < begin.0) {
            let message = format!("a view is granted at {at}, outside the time of its grant or request");
            return violated(Oracle::C9, message);
        }
        Ok(())
    }
}

fn grant_of(ledger: &Ledger, owner: u64, object: u64, user: u64) -> Option<&Grant> {
    ledger.policy(owner, object).grant(ledger.user(user).0)
}

/// What the ledger remembers of a view.
struct Kept {
    user: u64,
    id: u64,
    /// The contents of the request.
    content: (u64, UnixSeconds),
    outcome: What,
    expires: u64,
    forget: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Granted {
        object: u64,
        index: Index,
        remaining: Views,
    },
    Denied(Denial),
    Acknowledged,
}

struct Registered {
    object: u64,
    owner: u64,
    at: Index,
    /// Views charged to each user.
    charged: BTreeMap<u64, u64>,
}

struct Model<'a> {
    ledger: &'a Ledger,
    now: u64,
    begun: bool,
    enrolled: Vec<u64>,
    objects: Vec<Registered>,
    kept: Vec<Kept>,
    events: Vec<Event>,
}

impl<'a> Model<'a> {
    fn new(ledger: &'a Ledger) -> Self {
        Self {
            ledger,
            now: 0,
            begun: false,
            enrolled: Vec::new(),
            objects: Vec::new(),
            kept: Vec::new(),
            events: Vec::new(),
        }
    }

    fn apply(&mut self, at: LogId, call: &Call) -> Outcome {
        self.now = self.now.max(stamp(call).0);
        let now = self.now;
        self.kept.retain(|kept| kept.forget > now);
        let ask = self.ledger.ask(call);
        if !self.begun && ask != Ask::Begin {
            return Outcome::Refused(Refusal::NotBegun);
        }
        let user = user_of(call);
        let index = at.index;
        match ask {
            Ask::Begin => {
                if !self.begun {
                    self.begun = true;
                    self.note(index, EventKind::Begun(self.ledger.genesis));
                }
                Outcome::Begun
            }
            Ask::Enrol => {
                let already = self.enrolled.contains(&user);
                if !already {
                    self.enrolled.push(user);
                    let (name, key) = self.ledger.user(user);
                    let user = name.clone();
                    self.note(index, EventKind::Enrolled { user, key });
                }
                Outcome::Enrolled { already }
            }
            Ask::Protect => self.protect(index, user, object_of(call)),
            Ask::View { id, expires, foreign } => {
                if foreign || !self.enrolled.contains(&user) {
                    return Outcome::Denied(Denial::UnknownDevice);
                }
                self.view(index, user, object_of(call), id, expires)
            }
            Ask::Acknowledge { id } => {
                if !self.enrolled.contains(&user) {
                    return Outcome::Denied(Denial::UnknownDevice);
                }
                let of_request = |kept: &&mut Kept| kept.user == user && kept.id == id;
                if let Some(kept) = self.kept.iter_mut().find(of_request) {
                    kept.outcome = What::Acknowledged;
                    kept.forget = kept.forget.min(kept.expires);
                }
                Outcome::Acknowledged
            }
        }
    }

    fn note(&mut self, index: Index, kind: EventKind) {
        let time = UnixSeconds(self.now);
        self.events.push(Event { index, time, kind });
    }

    fn protect(&mut self, index: Index, owner: u64, object: u64) -> Outcome {
        if !self.enrolled.contains(&owner) {
            return Outcome::Refused(Refusal::UnknownOwner);
        }
        if let Some(known) = self.objects.iter().find(|known| known.object == object) {
            return match known.owner == owner {
                true => Outcome::Protected {
                    index: known.at,
                    already: true,
                },
                false => Outcome::Refused(Refusal::ObjectTaken),
            };
        }
        self.objects.push(Registered {
            object,
            owner,
            at: index,
            charged: BTreeMap::new(),
        });
        let kind = EventKind::Protected {
            object: object_id(object),
            owner: self.ledger.user(owner).0.clone(),
            policy: self.ledger.policy(owner, object).hash(),
        };
        self.note(index, kind);
        Outcome::Protected {
            index,
            already: false,
        }
    }

    fn view(&mut self, index: Index, user: u64, object: u64, id: u64, expires: UnixSeconds) -> Outcome {
        let content = (object, expires);
        let known = self.kept.iter().find(|kept| kept.user == user && kept.id == id);
        if let Some(kept) = known {
            return match kept.content == content {
                true => self.answer(id, kept.outcome, true),
                false => Outcome::Denied(Denial::RequestReused),
            };
        }
        let now = UnixSeconds(self.now);
        if expires <= now {
            return Outcome::Denied(Denial::RequestTooOld {
                expired: expires,
                now,
            });
        }
        let waiting = |kept: &&Kept| kept.user == user && kept.outcome != What::Acknowledged;
        if self.kept.iter().filter(waiting).count() >= MOST_OUTCOMES_PER_USER {
            let limit = MOST_OUTCOMES_PER_USER;
            return Outcome::Denied(Denial::TooManyOutcomes { limit });
        }
        let outcome = match expires.0 > now.0 + LONGEST_REQUEST_SECONDS {
            true => What::Denied(Denial::RequestTooLong { expires, now }),
            false => self.charge(index, user, object, id),
        };
        self.kept.push(Kept {
            user,
            id,
            content,
            outcome,
            expires: expires.0,
            forget: now.0 + OUTCOME_LIFETIME_SECONDS,
        });
        self.answer(id, outcome, false)
    }

    fn charge(&mut self, index: Index, user: u64, object: u64, id: u64) -> What {
        let now = UnixSeconds(self.now);
        let ledger = self.ledger;
        let registered = self.objects.iter_mut().find(|known| known.object == object);
        let grant = registered
            .as_ref()
            .and_then(|known| grant_of(ledger, known.owner, object, user));
        let (Some(registered), Some(grant)) = (registered, grant) else {
            return What::Denied(Denial::NotListed);
        };
        let charged = registered.charged.entry(user).or_default();
        let refused = match (grant.not_before, grant.expires, grant.views) {
            (Some(from), _, _) if now < from => Some(Denial::NotYet { from }),
            (_, Some(since), _) if now >= since => Some(Denial::Expired { since }),
            (_, _, Views::Total(total)) if *charged >= u64::from(total) => Some(Denial::Exhausted { total }),
            _ => None,
        };
        let (name, request) = (ledger.user(user).0.clone(), request_id(id));
        if let Some(reason) = refused {
            let kind = EventKind::Denied {
                object: object_id(object),
                user: name,
                request,
                reason,
            };
            self.note(index, kind);
            return What::Denied(reason);
        }
        *charged += 1;
        let remaining = match grant.views {
            Views::Unlimited => Views::Unlimited,
            Views::Total(total) => Views::Total(total - u32::try_from(*charged).unwrap_or(total)),
        };
        let kind = EventKind::Viewed {
            object: object_id(object),
            user: name,
            request,
            remaining,
        };
        self.note(index, kind);
        What::Granted {
            object,
            index,
            remaining,
        }
    }

    fn answer(&self, id: u64, outcome: What, repeated: bool) -> Outcome {
        match outcome {
            What::Granted {
                object,
                index,
                remaining,
            } => Outcome::Granted(GrantedView {
                object: object_id(object),
                request: request_id(id),
                index,
                remaining,
                share: self.ledger.share(object),
                reply_to: self.ledger.reply_to,
                repeated,
            }),
            What::Denied(denial) => Outcome::Denied(denial),
            What::Acknowledged => Outcome::Denied(Denial::AlreadyAcknowledged),
        }
    }

    /// The machine's audit lists what happened, in the order in which it happened, and its chain holds.
    fn has_audit_of(&self, machine: &Machine) -> Judgement {
        if let Err(error) = machine.verify_audit() {
            return violated(Oracle::C9, error.to_string());
        }
        let kept = self.events.len().min(KEPT_EVENTS);
        let expected = self.events.get(self.events.len() - kept..).unwrap_or_default();
        let Answer::Audit(found) = machine.query(Query::Audit { most: KEPT_EVENTS }) else {
            return violated(
                Oracle::C9,
                "the query for the audit has another answer than an audit".to_owned(),
            );
        };
        match found
            .iter()
            .zip(expected)
            .find(|(found, expected)| found != expected)
        {
            Some((found, expected)) => {
                let message = format!("the audit has {found:?} where {expected:?} happened");
                violated(Oracle::C9, message)
            }
            None if found.len() != kept => {
                let message = format!("the audit has {} of the {kept} events that happened", found.len());
                violated(Oracle::C9, message)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::Term;
    use sim::schedule::WorkloadPlan;
    use sim::{Nanos, Workload};

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term::new(term), Index::new(index).unwrap())
    }

    fn reports(oracle: Oracle, judgement: Judgement) {
        assert_eq!(judgement.map_err(|violation| violation.oracle), Err(oracle));
    }

    /// A run of the real ledger, and its answers.
    struct Run {
        ledger: Ledger,
        machine: Machine,
        log: Vec<Applied<Outcome>>,
    }

    impl Run {
        fn new() -> Self {
            let ledger = Ledger::new();
            let machine = ledger.machine(&WorkloadPlan::default());
            let log = Vec::new();
            let mut run = Self { ledger, machine, log };
            run.push(1, 0, 0, |ask| ask == Ask::Begin);
            for client in [1, 2] {
                run.push(client, 0, 1, |ask| ask == Ask::Enrol);
            }
            run.push(1, 0, 2, |ask| ask == Ask::Protect);
            run
        }

        /// Appends the next command: a request of this client for this object, of the kind wanted, made so many
        /// milliseconds after the start.
        fn push(&mut self, client: u8, choice: u64, millis: u64, wanted: impl Fn(Ask) -> bool) -> Call {
            let at = Nanos::from_millis(millis);
            let call = |request| Call {
                client,
                choice,
                request,
                attempt: self.log.len() as u64 * 3,
                at,
                made: at,
                memory: 0,
                session: None,
            };
            let used = |request| self.log.iter().any(|applied| applied.call.request == request);
            let call = (0..10_000)
                .filter(|request| !used(*request))
                .map(call)
                .find(|call| wanted(self.ledger.ask(call)))
                .expect("some number asks for it");
            self.apply(call);
            call
        }

        /// A valid request for a view.
        fn view(&mut self, client: u8, choice: u64, millis: u64) -> Call {
            self.push(client, choice, millis, |ask| {
                matches!(ask, Ask::View { id, expires, foreign: false }
                    if id >= 100 && (BEGIN_OF_TIME + 2 * millis + 300..BEGIN_OF_TIME + 2 * millis + 600).contains(&expires.0))
            })
        }

        fn apply(&mut self, call: Call) {
            let at = id(1, self.log.len() as u64 + 1);
            let response = self.machine.apply(at, &self.ledger.command(&call)).unwrap();
            self.log.push(Applied { at, call, response });
        }

        fn judged(&self) -> Judgement {
            let plan = &WorkloadPlan::default();
            let (log, machine) = (self.log.as_slice(), &self.machine);
            judge(&self.ledger, &Concluded { plan, log, machine })
        }

        fn last(&mut self) -> &mut Outcome {
            &mut self.log.last_mut().expect("there is a command").response
        }
    }

    const BEGIN_OF_TIME: u64 = super::super::BEGIN;

    fn granted(outcome: &mut Outcome) -> &mut GrantedView {
        match outcome {
            Outcome::Granted(view) => view,
            other => panic!("expected a granted view, found {other:?}"),
        }
    }

    /// User 2 may view picture 0 three times.
    const VIEWS: u64 = 3;

    #[test]
    fn views_are_counted_and_the_real_ledger_passes() {
        let mut run = Run::new();
        for left in (0..VIEWS).rev() {
            run.view(2, 0, 10);
            let left = u32::try_from(left).expect("it is small");
            assert_eq!(granted(run.last()).remaining, Views::Total(left));
        }
        run.view(2, 0, 10);
        let exhausted = Denial::Exhausted { total: 3 };
        assert_eq!(*run.last(), Outcome::Denied(exhausted));
        assert_eq!(run.judged(), Ok(()));
    }

    #[test]
    fn c6_reports_a_view_that_is_charged_twice() {
        let mut run = Run::new();
        let call = run.view(2, 0, 10);
        // The same request long after it has expired: the stored outcome comes before the check of its age.
        let again = Call {
            attempt: call.attempt + 300,
            at: Nanos::from_millis(1_000),
            ..call
        };
        run.apply(again);
        assert!(granted(run.last()).repeated);
        assert_eq!(run.judged(), Ok(()));
        granted(run.last()).repeated = false;
        reports(Oracle::C6, run.judged());
        let at = run.log.last().expect("there is a command").at;
        granted(run.last()).index = at.index;
        reports(Oracle::C6, run.judged());
    }

    #[test]
    fn c9_reports_a_view_beyond_the_quota_and_a_wrong_count() {
        let mut run = Run::new();
        run.view(2, 0, 10);
        let one = granted(run.last()).clone();
        granted(run.last()).remaining = Views::Total(1);
        reports(Oracle::C9, run.judged());
        *run.last() = Outcome::Granted(one.clone());
        for _ in 1..=VIEWS {
            run.view(2, 0, 10);
        }
        let at = run.log.last().expect("there is a command").at;
        *run.last() = Outcome::Granted(GrantedView {
            index: at.index,
            remaining: Views::Total(0),
            ..one
        });
        reports(Oracle::C9, run.judged());
    }

    #[test]
    fn c9_reports_a_view_outside_its_time_by_the_logs_time() {
        let mut run = Run::new();
        let call = run.view(2, 0, 10);
        let view = granted(run.last()).clone();
        assert_eq!(run.judged(), Ok(()));
        // The same request, of which the log knows nothing, after another command has advanced time.
        let mut late = Run::new();
        late.push(1, 0, 5_000, |ask| ask == Ask::Enrol);
        late.apply(call);
        assert!(matches!(
            late.last(),
            Outcome::Denied(Denial::RequestTooOld { .. })
        ));
        assert_eq!(late.judged(), Ok(()));
        let at = late.log.last().expect("there is a command").at;
        *late.last() = Outcome::Granted(GrantedView {
            index: at.index,
            ..view
        });
        reports(Oracle::C9, late.judged());
    }

    #[test]
    fn c9_reports_an_audit_that_omits_an_event_or_has_another_order() {
        let mut run = Run::new();
        run.view(2, 0, 10);
        run.view(2, 0, 10);
        assert_eq!(run.judged(), Ok(()));
        let whole = run.machine.clone();
        let last = run.log.pop().expect("there is a command");
        reports(Oracle::C9, run.judged());
        run.log.push(last);
        run.machine = run.ledger.machine(&WorkloadPlan::default());
        let (log, last) = (run.log.clone(), run.log.len() - 1);
        for place in (0..last - 1).chain([last, last - 1]) {
            let Applied { at, call, .. } = &log[place];
            run.machine.apply(*at, &run.ledger.command(call)).unwrap();
        }
        assert_ne!(run.machine, whole);
        reports(Oracle::C9, run.judged());
    }
}
