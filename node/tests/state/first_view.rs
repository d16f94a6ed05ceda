//! First views: a grant for a name that nobody has enrolled yet enrols whoever it lets view, and nobody else.

use std::collections::BTreeMap;

use lsb_core::UnixSeconds;
use lsb_core::envelope::{Grant, Views};
use node::ledger::query::{Answer, Query};
use node::ledger::request::{FirstViewRequest, LONGEST_REQUEST_SECONDS, Signed};
use node::ledger::{Action, Denial, Outcome};
use proptest::prelude::*;
use raft_core::Index;
use raft_core::replica::StateMachine;

use crate::ledger::{Log, key, name, view_request};

impl Log {
    /// A first view as a client makes it that knows the present.
    fn first(&self, user: &str, seed: u8, number: u8, request: u16) -> FirstViewRequest {
        FirstViewRequest {
            view: view_request(user, seed, number, request, self.time + 300),
            after: Index::new(self.index),
            told: UnixSeconds(self.time),
        }
    }

    fn first_view(&mut self, request: &FirstViewRequest, seed: u8) -> Outcome {
        let signed = Signed::sign(request.clone(), &key(seed)).unwrap();
        self.apply(Action::FirstView(signed))
    }

    fn is_enrolled(&self, user: &str) -> bool {
        matches!(
            self.ledger.query(Query::Device(name(user))),
            Answer::Device(Some(_))
        )
    }

    fn charged(&self, number: u8, user: &str) -> u64 {
        let facts = self.facts(number);
        let grant = facts.grants.iter().find(|grant| grant.user == name(user));
        grant.map_or(0, |grant| grant.charged)
    }
}

#[test]
fn a_granted_first_view_enrols_its_user_and_its_repetition_is_charged_once() {
    let mut log = Log::with_an_object();
    let request = log.first("carol", 3, 1, 1);
    let Outcome::Granted(first) = log.first_view(&request, 3) else {
        panic!("carol is listed");
    };
    assert!(!first.repeated && log.is_enrolled("carol"));
    let Outcome::Granted(again) = log.first_view(&request, 3) else {
        panic!("it was granted before");
    };
    assert_eq!((again.index, again.repeated), (first.index, true));
    // The same view as that of an enrolled user has the same outcome.
    assert!(matches!(log.view("carol", 3, 1, 1), Outcome::Granted(view) if view.index == first.index));
    assert_eq!(log.charged(1, "carol"), 1);
    assert_eq!(log.ledger.verify_audit(), Ok(()));
    // The name is hers: another key cannot take it.
    let request = log.first("carol", 4, 1, 2);
    assert_eq!(
        log.first_view(&request, 4),
        Outcome::Denied(Denial::UnknownDevice)
    );
}

#[test]
fn a_first_view_that_fails_enrols_nobody_and_leaves_nothing_behind() {
    let mut log = Log::with_an_object();
    let begins = Grant {
        not_before: Some(UnixSeconds(log.time + 100)),
        ..Grant::new(name("dave"), Views::Total(1))
    };
    let ended = Grant {
        expires: Some(UnixSeconds(log.time)),
        ..Grant::new(name("erin"), Views::Total(1))
    };
    let before = log.first("frank", 9, 2, 1);
    log.protect(2, &[begins, ended, Grant::new(name("frank"), Views::Unlimited)]);
    let now = log.time;
    let hash = log.ledger.state_hash();
    let mut denied = |request: &FirstViewRequest, seed| match log.first_view(request, seed) {
        Outcome::Denied(denial) => {
            assert_eq!(log.ledger.state_hash(), hash, "{denial}");
            let query = Query::FirstView(Box::new(request.clone()), UnixSeconds(now));
            // The edge of a server comes to the same conclusion; only the log's length it does not know.
            if !matches!(denial, Denial::MadeAhead { .. }) {
                assert_eq!(log.ledger.query(query), Answer::FirstView(Some(denial)));
            }
            denial
        }
        other => panic!("{other:?}"),
    };
    let at = |user: &str, seed, object| FirstViewRequest {
        view: view_request(user, seed, object, 1, now + 300),
        after: Index::new(5),
        told: UnixSeconds(now),
    };
    assert_eq!(denied(&at("mallory", 9, 1), 9), Denial::NotListed);
    assert_eq!(denied(&at("mallory", 9, 77), 9), Denial::NotListed);
    assert_eq!(denied(&at("alice", 9, 1), 9), Denial::UnknownDevice);
    assert!(matches!(denied(&at("dave", 9, 2), 9), Denial::NotYet { .. }));
    assert!(matches!(denied(&at("erin", 9, 2), 9), Denial::Expired { .. }));
    assert_eq!(denied(&before, 9), Denial::MadeBefore);
    let mut ahead = at("frank", 9, 2);
    ahead.after = Index::new(1000);
    assert!(matches!(denied(&ahead, 9), Denial::MadeAhead { .. }));
    ahead = at("frank", 9, 2);
    ahead.told = UnixSeconds(now + 1);
    assert!(matches!(denied(&ahead, 9), Denial::MadeAhead { .. }));
    let mut late = at("frank", 9, 2);
    late.view.expires = UnixSeconds(now);
    assert!(matches!(denied(&late, 9), Denial::RequestTooOld { .. }));
    late.view.expires = UnixSeconds(now + LONGEST_REQUEST_SECONDS + 1);
    assert!(matches!(denied(&late, 9), Denial::RequestTooLong { .. }));
    assert!(!log.is_enrolled("mallory") && !log.is_enrolled("dave") && !log.is_enrolled("frank"));
}

#[test]
fn a_first_view_that_was_refused_is_not_charged_after_a_later_grant() {
    let mut log = Log::with_an_object();
    let refused = log.first("frank", 9, 2, 1);
    assert_eq!(log.first_view(&refused, 9), Outcome::Denied(Denial::NotListed));
    log.protect(2, &[Grant::new(name("frank"), Views::Total(2))]);
    assert_eq!(log.first_view(&refused, 9), Outcome::Denied(Denial::MadeBefore));
    let granted = log.first("frank", 9, 2, 2);
    assert!(matches!(log.first_view(&granted, 9), Outcome::Granted(_)));
    // Now he is enrolled and listed, and the old request is still refused.
    assert_eq!(log.first_view(&refused, 9), Outcome::Denied(Denial::MadeBefore));
    assert_eq!(log.charged(2, "frank"), 1);
}

#[test]
fn a_first_view_that_was_too_early_is_not_charged_when_its_grant_begins() {
    let mut log = Log::with_an_object();
    let begins = log.time + 100;
    let grant = Grant {
        not_before: Some(UnixSeconds(begins)),
        ..Grant::new(name("dave"), Views::Total(2))
    };
    log.protect(2, &[grant]);
    let early = log.first("dave", 9, 2, 1);
    assert!(matches!(
        log.first_view(&early, 9),
        Outcome::Denied(Denial::NotYet { .. })
    ));
    log.time = begins;
    assert!(matches!(
        log.first_view(&early, 9),
        Outcome::Denied(Denial::NotYet { .. })
    ));
    let in_time = log.first("dave", 9, 2, 2);
    assert!(matches!(log.first_view(&in_time, 9), Outcome::Granted(_)));
    assert!(matches!(
        log.first_view(&early, 9),
        Outcome::Denied(Denial::NotYet { .. })
    ));
    assert_eq!(log.charged(2, "dave"), 1);
}

/// What happens in a random history.
#[derive(Clone, Debug)]
enum Step {
    /// Alice protects an object for everyone, perhaps from some time on, perhaps until some time.
    Protect { number: u8, begins: u64, lasts: u64 },
    /// Somebody makes a request, perhaps with a stale or an invented position and time, and sends it.
    Ask {
        user: u8,
        seed: u8,
        number: u8,
        behind: u64,
        ahead: u64,
    },
    /// The network repeats an earlier request.
    Repeat(prop::sample::Index),
    /// Somebody enrols.
    Enrol { user: u8, seed: u8 },
    /// Time passes.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (2..6_u8, 0..40_u64, 0..400_u64).prop_map(|(number, begins, lasts)| Step::Protect {
            number,
            begins,
            lasts
        }),
        4 => (0..3_u8, 20..23_u8, 2..6_u8, 0..3_u64, 0..2_u64).prop_map(|(user, seed, number, behind, ahead)| {
            Step::Ask { user, seed, number, behind, ahead }
        }),
        4 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        1 => (0..3_u8, 20..23_u8).prop_map(|(user, seed)| Step::Enrol { user, seed }),
        1 => (0..60_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn no_request_that_was_refused_is_ever_charged_and_no_request_twice(steps in steps()) {
        const QUOTA: u32 = 2;
        let user = |number: u8| format!("user-{number}");
        let mut log = Log::with_an_object();
        let mut sent: Vec<(FirstViewRequest, u8, Option<Outcome>)> = Vec::new();
        let mut charged: BTreeMap<(u8, String), u64> = BTreeMap::new();
        for step in steps {
            let again = match step {
                Step::Protect { number, begins, lasts } => {
                    let grant = |user| Grant {
                        not_before: Some(UnixSeconds(log.time + begins)),
                        expires: Some(UnixSeconds(log.time + begins + lasts + 1)),
                        ..Grant::new(name(user), Views::Total(QUOTA))
                    };
                    let grants = [grant("user-0"), grant("user-1")];
                    log.protect(number, &grants);
                    continue;
                }
                Step::Ask { user: number, seed, number: object, behind, ahead } => {
                    let mut request = log.first(&user(number), seed, object, sent.len() as u16);
                    request.after = Index::new(log.index - behind.min(log.index) + ahead);
                    request.told = UnixSeconds(log.time - behind * 20 + ahead);
                    sent.push((request, seed, None));
                    sent.len() - 1
                }
                Step::Repeat(_) if sent.is_empty() => continue,
                Step::Repeat(which) => which.index(sent.len()),
                Step::Enrol { user: number, seed } => {
                    log.enrol(&user(number), seed);
                    continue;
                }
                Step::Wait(seconds) => {
                    log.time += seconds;
                    continue;
                }
            };
            let (request, seed, earlier) = sent[again].clone();
            let outcome = log.first_view(&request, seed);
            let what = (object_of(&request), request.view.user.as_str().to_owned());
            match (&outcome, &earlier) {
                (Outcome::Granted(view), Some(Outcome::Granted(before))) => {
                    prop_assert!(view.repeated && view.index == before.index);
                }
                (Outcome::Granted(view), None) => {
                    prop_assert!(!view.repeated);
                    *charged.entry(what.clone()).or_default() += 1;
                }
                (Outcome::Granted(_), Some(refused)) => {
                    prop_assert!(false, "{request:?} was answered {refused:?}, and then granted");
                }
                _ => {}
            }
            // These two say that nothing was decided.
            let undecided = matches!(
                outcome,
                Outcome::Denied(Denial::MadeAhead { .. } | Denial::TooManyOutcomes { .. })
            );
            if earlier.is_none() && !undecided {
                sent[again].2 = Some(outcome);
            }
            let count = charged.get(&what).copied().unwrap_or(0);
            prop_assert!(count <= u64::from(QUOTA));
            if let Answer::Object(Some(facts)) = log.ledger.query(Query::Object(request.view.object)) {
                let grant = facts.grants.iter().find(|grant| grant.user == request.view.user);
                prop_assert_eq!(grant.map_or(0, |grant| grant.charged), count);
            }
        }
        prop_assert_eq!(log.ledger.verify_audit(), Ok(()));
    }
}

fn object_of(request: &FirstViewRequest) -> u8 {
    request.view.object.as_bytes()[0]
}
