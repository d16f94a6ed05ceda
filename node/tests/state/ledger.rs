//! The ledger's rules, one test each, and properties of any sequence of commands.

use std::collections::{BTreeMap, BTreeSet};

use lsb_core::envelope::{Grant, Policy, UserName, Views};
use lsb_core::seal::{ExchangeKey, LedgerShare, ShareForCluster, SigningKey};
use lsb_core::{ClusterId, ObjectId, RequestId, UnixSeconds};
use node::cluster_key::ClusterKey;
use node::ledger::query::{Answer, ObjectFacts, Overview, Query};
use node::ledger::request::{
    AcknowledgeRequest, EnrolRequest, LONGEST_REQUEST_SECONDS, ProtectRequest, RequestError, Signed,
    ViewRequest,
};
use node::ledger::{
    Action, Command, Denial, Genesis, GrantedView, Ledger, MOST_OUTCOMES_PER_USER, OUTCOME_LIFETIME_SECONDS,
    Outcome, Refusal, Registration, encode_command,
};
use proptest::prelude::*;
use raft_core::replica::StateMachine;
use raft_core::{Halt, Index, LogId, Term};

const START: u64 = 1_000_000;
const IMAGE: [u8; 32] = [10; 32];

fn cluster_key() -> ClusterKey {
    ClusterKey::from_bytes([7; 32])
}

pub(crate) fn cluster() -> ClusterId {
    cluster_key().cluster_id()
}

pub(crate) fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn object(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 16])
}

pub(crate) fn request_id(number: u16) -> RequestId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    RequestId::from_bytes(bytes)
}

/// A ledger with the log that it applies.
pub(crate) struct Log {
    pub(crate) ledger: Ledger,
    pub(crate) index: u64,
    pub(crate) time: u64,
}

impl Log {
    pub(crate) fn empty() -> Self {
        Self {
            ledger: Ledger::new(),
            index: 0,
            time: START,
        }
    }

    /// Alice (key 1) and bob (key 2) are enrolled; alice has protected object 1 for bob, three views, and for
    /// carol, who is not enrolled.
    pub(crate) fn with_an_object() -> Self {
        let mut log = Self::empty();
        assert_eq!(log.genesis(IMAGE), Outcome::Begun);
        log.enrol("alice", 1);
        log.enrol("bob", 2);
        let outcome = log.protect(
            1,
            &[
                Grant::new(name("bob"), Views::Total(3)),
                Grant::new(name("carol"), Views::Unlimited),
            ],
        );
        assert!(matches!(outcome, Outcome::Protected { already: false, .. }));
        log
    }

    fn apply_bytes(&mut self, bytes: &[u8]) -> Outcome {
        self.index += 1;
        let at = LogId::new(Term::new(1), Index::new(self.index).unwrap());
        self.ledger.apply(at, bytes).expect("the command is understood")
    }

    pub(crate) fn apply(&mut self, action: Action) -> Outcome {
        self.apply_bytes(&encode_command(&Command {
            time: UnixSeconds(self.time),
            action,
        }))
    }

    pub(crate) fn genesis(&mut self, denied_picture_hash: [u8; 32]) -> Outcome {
        self.apply(Action::Genesis(Genesis {
            cluster: cluster(),
            denied_picture_hash,
        }))
    }

    pub(crate) fn enrol(&mut self, user: &str, seed: u8) -> Outcome {
        let request = EnrolRequest {
            cluster: cluster(),
            user: name(user),
            key: key(seed).public(),
        };
        self.apply(Action::Enrol(Signed::sign(request, &key(seed)).unwrap()))
    }

    pub(crate) fn protect(&mut self, number: u8, grants: &[Grant]) -> Outcome {
        self.apply(protect_action(number, "alice", 1, grants))
    }

    pub(crate) fn view(&mut self, user: &str, seed: u8, number: u8, request: u16) -> Outcome {
        let expires = self.time + 300;
        self.view_until(user, seed, number, request, expires)
    }

    fn view_until(&mut self, user: &str, seed: u8, number: u8, request: u16, expires: u64) -> Outcome {
        let signed = Signed::sign(view_request(user, seed, number, request, expires), &key(seed)).unwrap();
        self.apply(Action::View(signed))
    }

    fn acknowledge(&mut self, user: &str, seed: u8, request: u16) -> Outcome {
        let request = AcknowledgeRequest {
            cluster: cluster(),
            user: name(user),
            device: key(seed).public(),
            request: request_id(request),
        };
        self.apply(Action::Acknowledge(Signed::sign(request, &key(seed)).unwrap()))
    }

    pub(crate) fn overview(&self) -> Overview {
        match self.ledger.query(Query::Overview) {
            Answer::Overview(overview) => overview,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn facts(&self, number: u8) -> ObjectFacts {
        match self.ledger.query(Query::Object(object(number))) {
            Answer::Object(Some(facts)) => facts,
            other => panic!("{other:?}"),
        }
    }

    fn remaining(&self, number: u8, user: &str) -> Views {
        self.facts(number)
            .grants
            .iter()
            .find(|grant| grant.user == name(user))
            .unwrap()
            .remaining
    }
}

pub(crate) fn protect_action(number: u8, owner: &str, seed: u8, grants: &[Grant]) -> Action {
    let policy = Policy::new(name(owner), key(seed).public(), grants.to_vec()).unwrap();
    let request = ProtectRequest {
        cluster: cluster(),
        object: object(number),
        policy,
        manifest_hash: [number; 32],
        sealed_share: ShareForCluster::from_bytes([6; 80]),
    };
    let share = cluster_key().wrap_share(object(number), &LedgerShare::from_bytes([number; 32]));
    Action::Protect(Box::new(Registration::new(
        Signed::sign(request, &key(seed)).unwrap(),
        share,
    )))
}

pub(crate) fn view_request(user: &str, seed: u8, number: u8, request: u16, expires: u64) -> ViewRequest {
    ViewRequest {
        cluster: cluster(),
        object: object(number),
        user: name(user),
        device: key(seed).public(),
        request: request_id(request),
        reply_to: ExchangeKey::from_bytes([9; 32]).public(),
        expires: UnixSeconds(expires),
    }
}

fn granted(outcome: Outcome) -> GrantedView {
    match outcome {
        Outcome::Granted(granted) => granted,
        other => panic!("{other:?}"),
    }
}

// Genesis and enrolment.

#[test]
fn nothing_happens_before_the_constants_are_fixed() {
    let mut log = Log::empty();
    assert_eq!(log.enrol("alice", 1), Outcome::Refused(Refusal::NotBegun));
    assert_eq!(log.genesis(IMAGE), Outcome::Begun);
    assert_eq!(log.enrol("alice", 1), Outcome::Enrolled { already: false });
}

#[test]
fn the_constants_are_fixed_once() {
    let mut log = Log::empty();
    assert_eq!(log.genesis(IMAGE), Outcome::Begun);
    assert_eq!(log.genesis(IMAGE), Outcome::Begun);
    assert_eq!(
        log.genesis([11; 32]),
        Outcome::Refused(Refusal::OtherDeniedPicture)
    );
    let found = ClusterId::from_bytes([99; 16]);
    let other = log.apply(Action::Genesis(Genesis {
        cluster: found,
        denied_picture_hash: IMAGE,
    }));
    assert_eq!(
        other,
        Outcome::Refused(Refusal::OtherCluster {
            found,
            expected: cluster()
        })
    );
    assert_eq!(log.overview().genesis.unwrap().denied_picture_hash, IMAGE);
}

#[test]
fn a_request_for_another_cluster_changes_nothing() {
    let mut log = Log::with_an_object();
    let found = ClusterId::from_bytes([99; 16]);
    let request = ViewRequest {
        cluster: found,
        ..view_request("bob", 2, 1, 1, START + 10)
    };
    let outcome = log.apply(Action::View(Signed::sign(request, &key(2)).unwrap()));
    assert_eq!(
        outcome,
        Outcome::Refused(Refusal::OtherCluster {
            found,
            expected: cluster()
        })
    );
    assert_eq!(log.remaining(1, "bob"), Views::Total(3));
}

#[test]
fn a_name_belongs_to_the_first_key_that_enrols_it() {
    let mut log = Log::empty();
    log.genesis(IMAGE);
    assert_eq!(log.enrol("alice", 1), Outcome::Enrolled { already: false });
    assert_eq!(log.enrol("alice", 1), Outcome::Enrolled { already: true });
    assert_eq!(log.enrol("alice", 2), Outcome::Refused(Refusal::NameTaken));
    assert_eq!(
        log.ledger.query(Query::Device(name("alice"))),
        Answer::Device(Some(key(1).public()))
    );
    assert_eq!(log.ledger.query(Query::Device(name("bob"))), Answer::Device(None));
}

// Protecting.

#[test]
fn only_an_enrolled_owner_protects_and_with_the_enrolled_key() {
    let mut log = Log::empty();
    log.genesis(IMAGE);
    assert_eq!(log.protect(1, &[]), Outcome::Refused(Refusal::UnknownOwner));
    log.enrol("alice", 2);
    assert_eq!(log.protect(1, &[]), Outcome::Refused(Refusal::UnknownOwner));
    log.enrol("bob", 1);
    let bobs = log.apply(protect_action(1, "bob", 1, &[]));
    assert!(matches!(bobs, Outcome::Protected { already: false, .. }));
}

#[test]
fn an_object_is_registered_once() {
    let mut log = Log::with_an_object();
    let grants = [
        Grant::new(name("bob"), Views::Total(3)),
        Grant::new(name("carol"), Views::Unlimited),
    ];
    granted(log.view("bob", 2, 1, 1));
    let again = log.protect(1, &grants);
    assert_eq!(
        again,
        Outcome::Protected {
            index: Index::new(4).unwrap(),
            already: true
        }
    );
    assert_eq!(
        log.remaining(1, "bob"),
        Views::Total(2),
        "a repetition refunds nothing"
    );
    assert_eq!(
        log.protect(1, &grants[..1]),
        Outcome::Refused(Refusal::ObjectTaken)
    );
    log.enrol("mallory", 3);
    let stolen = log.apply(protect_action(1, "mallory", 3, &grants));
    assert_eq!(stolen, Outcome::Refused(Refusal::ObjectTaken));
}

#[test]
fn a_grant_to_a_name_that_is_not_enrolled_is_pending_and_binds_to_the_first_key() {
    let mut log = Log::with_an_object();
    let pending = |log: &Log| {
        log.facts(1)
            .grants
            .iter()
            .map(|grant| grant.pending)
            .collect::<Vec<_>>()
    };
    assert_eq!(pending(&log), [false, true]);
    assert_eq!(log.view("carol", 3, 1, 1), Outcome::Denied(Denial::UnknownDevice));
    log.enrol("carol", 3);
    log.enrol("carol", 4);
    assert_eq!(pending(&log), [false, false]);
    assert_eq!(granted(log.view("carol", 3, 1, 1)).remaining, Views::Unlimited);
    assert_eq!(log.view("carol", 4, 1, 2), Outcome::Denied(Denial::UnknownDevice));
}

// Viewing.

#[test]
fn views_are_charged_until_none_is_left() {
    let mut log = Log::with_an_object();
    for (number, left) in [(1, 2), (2, 1), (3, 0)] {
        let view = granted(log.view("bob", 2, 1, number));
        assert_eq!(view.remaining, Views::Total(left));
        assert_eq!(view.index.value(), log.index);
        assert!(!view.repeated);
        let share = cluster_key().unwrap_share(object(1), &view.share).unwrap();
        assert_eq!(share.expose_bytes(), &[1; 32]);
    }
    assert_eq!(
        log.view("bob", 2, 1, 4),
        Outcome::Denied(Denial::Exhausted { total: 3 })
    );
    assert_eq!(log.facts(1).grants[0].charged, 3);
}

#[test]
fn an_unlimited_grant_is_not_a_number() {
    let mut log = Log::with_an_object();
    log.enrol("carol", 3);
    for number in 0..100 {
        assert_eq!(
            granted(log.view("carol", 3, 1, number)).remaining,
            Views::Unlimited
        );
    }
    assert_eq!(log.facts(1).grants[1].charged, 100);
}

#[test]
fn the_same_request_is_charged_once_however_often_it_is_sent() {
    let mut log = Log::with_an_object();
    let expires = START + 300;
    let first = granted(log.view_until("bob", 2, 1, 1, expires));
    log.view("bob", 2, 1, 2);
    for later in [0, 10, 100] {
        log.time += later;
        let again = granted(log.view_until("bob", 2, 1, 1, expires));
        assert_eq!(
            again,
            GrantedView {
                repeated: true,
                ..first.clone()
            }
        );
    }
    assert_eq!(log.remaining(1, "bob"), Views::Total(1));
}

#[test]
fn a_stored_outcome_is_returned_before_the_request_s_age_is_judged() {
    let mut log = Log::with_an_object();
    let expires = START + 300;
    let first = granted(log.view_until("bob", 2, 1, 1, expires));
    log.time = expires + 1000;
    assert_eq!(
        granted(log.view_until("bob", 2, 1, 1, expires)).index,
        first.index
    );
    assert!(matches!(
        log.view_until("bob", 2, 1, 2, expires),
        Outcome::Denied(Denial::RequestTooOld { .. })
    ));
}

#[test]
fn the_same_id_with_other_content_is_denied() {
    let mut log = Log::with_an_object();
    granted(log.view_until("bob", 2, 1, 1, START + 300));
    assert_eq!(
        log.view_until("bob", 2, 1, 1, START + 301),
        Outcome::Denied(Denial::RequestReused)
    );
    assert_eq!(
        log.view_until("bob", 2, 2, 1, START + 300),
        Outcome::Denied(Denial::RequestReused)
    );
    assert_eq!(log.remaining(1, "bob"), Views::Total(2));
    // Ids are a user's own: carol may draw the same id.
    log.enrol("carol", 3);
    granted(log.view_until("carol", 3, 1, 1, START + 300));
}

#[test]
fn a_request_is_valid_for_ten_minutes_at_most() {
    let mut log = Log::with_an_object();
    granted(log.view_until("bob", 2, 1, 1, START + LONGEST_REQUEST_SECONDS));
    let long = log.view_until("bob", 2, 1, 2, START + LONGEST_REQUEST_SECONDS + 1);
    assert!(matches!(long, Outcome::Denied(Denial::RequestTooLong { .. })));
    log.time += 300;
    let replayed = log.view_until("bob", 2, 1, 2, START + LONGEST_REQUEST_SECONDS + 1);
    assert_eq!(
        replayed, long,
        "a client that was denied a view is not charged later"
    );
    assert!(matches!(
        log.view_until("bob", 2, 1, 3, log.time),
        Outcome::Denied(Denial::RequestTooOld { .. })
    ));
}

#[test]
fn strangers_cannot_tell_an_unknown_object_from_one_they_are_not_listed_on() {
    let mut log = Log::with_an_object();
    log.enrol("mallory", 5);
    let known = log.view("mallory", 5, 1, 1);
    let unknown = log.view("mallory", 5, 200, 2);
    assert_eq!(known, Outcome::Denied(Denial::NotListed));
    assert_eq!(known, unknown);
    // Nothing about the object is shown to a user without an enrolled key either.
    assert_eq!(log.view("bob", 5, 1, 3), Outcome::Denied(Denial::UnknownDevice));
    assert_eq!(log.view("bob", 5, 200, 3), Outcome::Denied(Denial::UnknownDevice));
    assert_eq!(
        log.view("nobody", 5, 1, 3),
        Outcome::Denied(Denial::UnknownDevice)
    );
}

#[test]
fn a_stranger_cannot_learn_or_forget_another_user_s_outcome() {
    let mut log = Log::with_an_object();
    granted(log.view_until("bob", 2, 1, 1, START + 300));
    log.enrol("mallory", 5);
    assert_eq!(
        log.view_until("bob", 5, 1, 1, START + 300),
        Outcome::Denied(Denial::UnknownDevice)
    );
    assert_eq!(
        log.acknowledge("bob", 5, 1),
        Outcome::Denied(Denial::UnknownDevice)
    );
    assert!(granted(log.view_until("bob", 2, 1, 1, START + 300)).repeated);
}

#[test]
fn listed_users_get_the_exact_reason() {
    let mut log = Log::with_an_object();
    let from = UnixSeconds(START + 100);
    let since = UnixSeconds(START + 200);
    let grant = Grant {
        not_before: Some(from),
        expires: Some(since),
        ..Grant::new(name("bob"), Views::Total(1))
    };
    log.protect(2, &[grant]);
    assert_eq!(log.view("bob", 2, 2, 1), Outcome::Denied(Denial::NotYet { from }));
    log.time = from.0;
    granted(log.view("bob", 2, 2, 2));
    assert_eq!(
        log.view("bob", 2, 2, 3),
        Outcome::Denied(Denial::Exhausted { total: 1 })
    );
    log.time = since.0;
    assert_eq!(
        log.view("bob", 2, 2, 4),
        Outcome::Denied(Denial::Expired { since })
    );
}

#[test]
fn a_denial_stays_a_denial_when_the_request_is_sent_again() {
    let mut log = Log::with_an_object();
    let from = UnixSeconds(START + 100);
    let grant = Grant {
        not_before: Some(from),
        ..Grant::new(name("bob"), Views::Total(1))
    };
    log.protect(2, &[grant]);
    let denied = log.view_until("bob", 2, 2, 1, START + 300);
    log.time = from.0 + 1;
    assert_eq!(log.view_until("bob", 2, 2, 1, START + 300), denied);
    assert_eq!(log.remaining(2, "bob"), Views::Total(1));
}

#[test]
fn the_ledger_s_time_never_runs_backwards() {
    let mut log = Log::with_an_object();
    let expires = START + 300;
    log.time = expires;
    log.enrol("carol", 3);
    log.time = START;
    assert!(matches!(
        log.view_until("bob", 2, 1, 1, expires),
        Outcome::Denied(Denial::RequestTooOld { .. })
    ));
    assert_eq!(log.overview().now, UnixSeconds(expires));
}

// Keeping and forgetting outcomes.

#[test]
fn an_acknowledged_outcome_is_forgotten_and_its_request_is_never_charged_again() {
    let mut log = Log::with_an_object();
    let expires = START + 300;
    granted(log.view_until("bob", 2, 1, 1, expires));
    assert_eq!(log.acknowledge("bob", 2, 1), Outcome::Acknowledged);
    assert_eq!(log.acknowledge("bob", 2, 1), Outcome::Acknowledged);
    assert_eq!(log.acknowledge("bob", 2, 77), Outcome::Acknowledged);
    assert_eq!(
        log.view_until("bob", 2, 1, 1, expires),
        Outcome::Denied(Denial::AlreadyAcknowledged)
    );
    assert_eq!(
        log.overview().outcomes,
        1,
        "a marker is left while the request could be repeated"
    );
    log.time = expires;
    assert!(matches!(
        log.view_until("bob", 2, 1, 1, expires),
        Outcome::Denied(Denial::RequestTooOld { .. })
    ));
    assert_eq!(log.overview().outcomes, 0);
    assert_eq!(log.remaining(1, "bob"), Views::Total(2));
}

#[test]
fn an_outcome_without_an_acknowledgement_is_kept_for_a_day() {
    let mut log = Log::with_an_object();
    let expires = START + 300;
    granted(log.view_until("bob", 2, 1, 1, expires));
    log.time = START + OUTCOME_LIFETIME_SECONDS - 1;
    assert!(granted(log.view_until("bob", 2, 1, 1, expires)).repeated);
    log.time += 1;
    assert!(matches!(
        log.view_until("bob", 2, 1, 1, expires),
        Outcome::Denied(Denial::RequestTooOld { .. })
    ));
    assert_eq!(log.overview().outcomes, 0);
}

#[test]
fn outcomes_waiting_for_acknowledgement_are_limited_per_user() {
    let mut log = Log::with_an_object();
    log.enrol("carol", 3);
    let most = u16::try_from(MOST_OUTCOMES_PER_USER).unwrap();
    for number in 0..most {
        granted(log.view("carol", 3, 1, number));
    }
    let limit = MOST_OUTCOMES_PER_USER;
    assert_eq!(
        log.view("carol", 3, 1, most),
        Outcome::Denied(Denial::TooManyOutcomes { limit })
    );
    granted(log.view("bob", 2, 1, 1));
    log.acknowledge("carol", 3, 0);
    granted(log.view("carol", 3, 1, most));
    assert_eq!(log.facts(1).grants[1].charged, u64::from(most) + 1);
}

// Bytes, snapshots, audit.

#[test]
fn malformed_bytes_change_nothing() {
    let mut log = Log::with_an_object();
    let before = log.ledger.state_hash();
    let command = encode_command(&Command {
        time: UnixSeconds(START + 5),
        action: Action::Genesis(Genesis {
            cluster: cluster(),
            denied_picture_hash: IMAGE,
        }),
    });
    let mut unknown_action = command.to_vec();
    unknown_action[9..13].copy_from_slice(&77_u32.to_be_bytes());
    let bad: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![1],
        vec![0, 0, 0, 0],
        command[..command.len() - 1].to_vec(),
        [&command[..], &[0]].concat(),
        unknown_action,
    ];
    for bytes in bad {
        assert_eq!(log.apply_bytes(&bytes), Outcome::Refused(Refusal::NotACommand));
    }
    assert_eq!(log.ledger.state_hash(), before);
}

// A newer server applies it. If this one went on without it, the two would answer differently from then on.
#[test]
fn a_command_of_a_later_version_halts_the_ledger() {
    let mut log = Log::with_an_object();
    let before = log.ledger.state_hash();
    let action = Action::Genesis(Genesis {
        cluster: cluster(),
        denied_picture_hash: IMAGE,
    });
    let time = UnixSeconds(log.time);
    let mut bytes = encode_command(&Command { time, action }).to_vec();
    bytes[0] = 2;
    let at = LogId::new(Term::new(1), Index::new(log.index + 1).unwrap());
    assert_eq!(log.ledger.apply(at, &bytes), Err(Halt { needs: None }));
    assert_eq!(log.ledger.state_hash(), before);
}

fn busy_log() -> Log {
    let mut log = Log::with_an_object();
    log.enrol("carol", 3);
    for number in 0..5 {
        log.time += 7;
        log.view("bob", 2, 1, number);
        log.view("carol", 3, 1, number);
    }
    log.acknowledge("bob", 2, 0);
    log
}

#[test]
fn a_snapshot_restores_the_same_ledger() {
    let mut log = busy_log();
    let snapshot = log.ledger.snapshot();
    let mut other = Log {
        ledger: Ledger::new().restore(&snapshot).unwrap(),
        index: log.index,
        time: log.time,
    };
    assert_eq!(other.ledger, log.ledger);
    assert_eq!(other.ledger.snapshot(), snapshot);
    assert_eq!(other.ledger.state_hash(), log.ledger.state_hash());
    for later in [0, 400, OUTCOME_LIFETIME_SECONDS] {
        log.time += later;
        other.time += later;
        for number in 0..8 {
            assert_eq!(log.view("carol", 3, 1, number), other.view("carol", 3, 1, number));
        }
        assert_eq!(other.ledger.state_hash(), log.ledger.state_hash());
    }
}

#[test]
fn a_snapshot_that_was_changed_is_refused() {
    let ledger = busy_log().ledger;
    let snapshot = ledger.snapshot();
    for place in 0..snapshot.len() {
        let mut changed = snapshot.clone();
        changed[place] ^= 1 << (place % 8);
        assert!(ledger.restore(&changed).is_err(), "byte {place}");
        assert!(
            ledger.restore(&snapshot[..place]).is_err(),
            "truncated at {place}"
        );
    }
    assert!(ledger.restore(&[&snapshot[..], &[0]].concat()).is_err());
}

#[test]
fn a_snapshot_with_a_rewritten_history_is_refused_even_with_a_right_checksum() {
    use sha2::{Digest, Sha256};
    let ledger = busy_log().ledger;
    let snapshot = ledger.snapshot();
    let head = match ledger.query(Query::Overview) {
        Answer::Overview(overview) => overview.audit_head,
        other => panic!("{other:?}"),
    };
    // The state ends with the chain, and the chain with its last event: carol's last view, whose request is right
    // before the four bytes of "unlimited".
    let mut body = snapshot[33..].to_vec();
    assert!(body.windows(32).any(|window| window == head));
    let request = body.len() - 5;
    body[request] ^= 1;
    let forged = [&[1], Sha256::digest(&body).as_slice(), &body].concat();
    let error = ledger.restore(&forged).unwrap_err();
    assert!(error.to_string().contains("audit chain"), "{error}");
}

#[test]
fn the_audit_chain_records_what_happened_and_recomputes() {
    let log = busy_log();
    log.ledger.verify_audit().unwrap();
    let Answer::Audit(events) = log.ledger.query(Query::Audit { most: 1000 }) else {
        panic!()
    };
    assert_eq!(events.len() as u64, log.overview().events);
    // Genesis, three enrolments, one object, five views of bob's (two of them denied) and five of carol's.
    assert_eq!(events.len(), 1 + 3 + 1 + 10);
    assert!(
        events
            .windows(2)
            .all(|pair| pair[0].index < pair[1].index && pair[0].time <= pair[1].time)
    );
    let Answer::Audit(latest) = log.ledger.query(Query::Audit { most: 2 }) else {
        panic!()
    };
    assert_eq!(latest, events[13..]);
}

// Requests.

#[test]
fn a_signed_request_is_valid_only_for_its_key_its_cluster_and_its_content() {
    let request = view_request("bob", 2, 1, 1, START);
    let signed = Signed::sign(request.clone(), &key(2)).unwrap();
    assert_eq!(signed.verify(cluster()), Ok(()));
    assert_eq!(
        Signed::sign(request, &key(3)),
        Err(RequestError::OtherKey {
            named: key(2).public()
        })
    );
    let expected = ClusterId::from_bytes([9; 16]);
    assert_eq!(
        signed.verify(expected),
        Err(RequestError::OtherCluster {
            found: cluster(),
            expected
        })
    );
    let changes: [fn(&mut ViewRequest); 6] = [
        |request| request.object = object(2),
        |request| request.user = name("alice"),
        |request| request.device = key(3).public(),
        |request| request.request = request_id(9),
        |request| request.reply_to = ExchangeKey::from_bytes([1; 32]).public(),
        |request| request.expires = UnixSeconds(START + 1),
    ];
    for change in changes {
        let mut changed = signed.clone();
        change(&mut changed.request);
        assert_eq!(changed.verify(cluster()), Err(RequestError::Signature));
    }
    // The fields of an acknowledgement are among those of a view, but its purpose differs.
    let acknowledgement = AcknowledgeRequest {
        cluster: cluster(),
        user: name("bob"),
        device: key(2).public(),
        request: request_id(1),
    };
    let borrowed = Signed {
        request: acknowledgement,
        signature: signed.signature,
    };
    assert_eq!(borrowed.verify(cluster()), Err(RequestError::Signature));
}

// Any sequence of commands.

#[derive(Clone, Debug)]
enum Step {
    Enrol {
        user: usize,
        seed: u8,
    },
    Protect {
        object: u8,
        views: u32,
    },
    View {
        user: usize,
        seed: u8,
        object: u8,
        request: u16,
        lasting: u64,
    },
    Acknowledge {
        user: usize,
        request: u16,
    },
    Wait(u64),
    Jump,
}

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..3_usize, 1..5_u8).prop_map(|(user, seed)| Step::Enrol { user, seed }),
        1 => (1..4_u8, 0..4_u32).prop_map(|(object, views)| Step::Protect { object, views }),
        6 => (0..3_usize, 1..5_u8, 1..5_u8, 0..12_u16, 0..700_u64).prop_map(
            |(user, seed, object, request, lasting)| Step::View { user, seed, object, request, lasting }
        ),
        2 => (0..3_usize, 0..12_u16).prop_map(|(user, request)| Step::Acknowledge { user, request }),
        2 => (0..400_u64).prop_map(Step::Wait),
        1 => Just(Step::Jump),
    ]
}

proptest! {
    #[test]
    fn no_grant_is_overdrawn_and_no_request_is_charged_twice(steps in proptest::collection::vec(step(), 1..200)) {
        let mut log = Log::empty();
        log.genesis(IMAGE);
        let mut charged_at: BTreeMap<(usize, u16, u64), u64> = BTreeMap::new();
        let mut charges: BTreeMap<(u8, usize), u64> = BTreeMap::new();
        let mut indexes = BTreeSet::new();
        for step in steps {
            match step {
                Step::Enrol { user, seed } => drop(log.enrol(NAMES[user], seed)),
                Step::Protect { object, views } => {
                    let grants: Vec<Grant> = NAMES.iter().map(|user| Grant::new(name(user), Views::Total(views))).collect();
                    log.protect(object, &grants);
                }
                Step::View { user, seed, object, request, lasting } => {
                    // Rounded, so that repetitions of the very same request occur.
                    let expires = (log.time + lasting) / 100 * 100;
                    if let Outcome::Granted(view) = log.view_until(NAMES[user], seed, object, request, expires) {
                        let first = *charged_at.entry((user, request, expires)).or_insert(view.index.value());
                        prop_assert_eq!(first, view.index.value(), "one request, one charge");
                        if !view.repeated {
                            prop_assert!(indexes.insert(view.index), "one charge per index");
                            *charges.entry((object, user)).or_default() += 1;
                        }
                    }
                }
                Step::Acknowledge { user, request } => drop(log.acknowledge(NAMES[user], 1, request)),
                Step::Wait(seconds) => log.time += seconds,
                Step::Jump => log.ledger = Ledger::new().restore(&log.ledger.snapshot()).unwrap(),
            }
        }
        for number in 1..4 {
            if let Answer::Object(Some(facts)) = log.ledger.query(Query::Object(object(number))) {
                for grant in facts.grants {
                    let user = NAMES.iter().position(|user| name(user) == grant.user).unwrap();
                    let counted = charges.get(&(number, user)).copied().unwrap_or(0);
                    prop_assert_eq!(grant.charged, counted);
                    prop_assert!(matches!(grant.views, Views::Total(total) if counted <= u64::from(total)));
                }
            }
        }
        prop_assert!(log.ledger.verify_audit().is_ok());
        prop_assert_eq!(Ledger::new().restore(&log.ledger.snapshot()).unwrap(), log.ledger);
    }
}
