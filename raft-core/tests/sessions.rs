//! Client sessions: a request that is sent twice is applied once, and answered the same (dissertation §6.3).

use std::collections::BTreeMap;

use proptest::prelude::*;
use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::sessions::{
    COMMAND_VERSION, Outcome, SessionClient, SessionCommand, SessionId, SessionLimits, SessionRequest,
    Sessions,
};
use raft_core::{Halt, Index, Level, LogId, Term};

/// A command that only a newer program understands.
const NEWER: &[u8] = b"newer";

/// Remembers every command, so that one that is applied twice shows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Journal(Vec<u8>);

impl StateMachine for Journal {
    type Response = u64;
    type Query = ();
    type Answer = Vec<u8>;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<u64, Halt> {
        if command == NEWER {
            return Err(Halt {
                needs: Some(Level::new(2)),
            });
        }
        self.0.extend_from_slice(command);
        Ok(self.0.len() as u64)
    }

    fn query(&self, (): ()) -> Vec<u8> {
        self.0.clone()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        Ok(Self(snapshot.to_vec()))
    }
}

const LIMITS: SessionLimits = SessionLimits {
    sessions: 2,
    outcomes: 2,
    lifetime: 100,
};

/// A machine and the next index of its log.
struct Server {
    machine: Sessions<Journal>,
    next: u64,
}

fn at(index: u64) -> LogId {
    LogId::new(Term::new(1), Index::new(index).expect("positions begin at 1"))
}

fn id(index: u64) -> SessionId {
    SessionId::new(at(index).index)
}

fn server() -> Server {
    Server {
        machine: Sessions::new(Journal::default(), LIMITS),
        next: 1,
    }
}

impl Server {
    fn apply(&mut self, time: u64, request: SessionRequest<'_>) -> Outcome<u64> {
        self.next += 1;
        self.machine
            .apply(at(self.next - 1), &SessionCommand { time, request }.encode())
            .expect("the command is understood")
    }

    fn open(&mut self, time: u64) -> SessionClient {
        match self.apply(time, SessionRequest::Open) {
            Outcome::Opened { session } => SessionClient::new(session),
            other => panic!("a session opens, and this came of it: {other:?}"),
        }
    }

    fn journal(&self) -> Vec<u8> {
        self.machine.query(())
    }
}

#[test]
fn a_request_that_is_sent_again_is_applied_once_and_answered_the_same() {
    let mut server = server();
    let mut client = server.open(0);
    let sequence = client.begin();
    assert_eq!(server.apply(1, client.request(sequence, b"a")), Outcome::Fresh(1));
    for _ in 0..3 {
        assert_eq!(
            server.apply(2, client.request(sequence, b"a")),
            Outcome::Repeated {
                first: at(2),
                response: 1
            }
        );
    }
    assert_eq!(server.journal(), b"a");
}

#[test]
fn requests_of_one_session_may_be_under_way_together_and_arrive_in_any_order() {
    let mut server = server();
    let mut client = server.open(0);
    let (first, second) = (client.begin(), client.begin());
    assert_eq!(server.apply(1, client.request(second, b"b")), Outcome::Fresh(1));
    assert_eq!(server.apply(1, client.request(first, b"a")), Outcome::Fresh(2));
    assert_eq!(server.apply(1, client.request(second, b"b")).response(), Some(&1));
    assert_eq!(server.journal(), b"ba");
}

#[test]
fn sessions_are_named_by_their_index_and_share_nothing() {
    let mut server = server();
    let (mut one, mut other) = (server.open(0), server.open(0));
    assert_eq!((one.session(), other.session()), (id(1), id(2)));
    assert_eq!(one.begin(), other.begin());
    assert_eq!(server.apply(0, one.request(0, b"a")), Outcome::Fresh(1));
    assert_eq!(server.apply(0, other.request(0, b"b")), Outcome::Fresh(2));
}

#[test]
fn acknowledged_outcomes_are_forgotten_and_never_applied_again() {
    let mut server = server();
    let mut client = server.open(0);
    let first = client.begin();
    let old = client.request(first, b"a");
    server.apply(0, old);
    client.answered(first);
    let second = client.begin();
    server.apply(0, client.request(second, b"b"));
    assert_eq!(server.apply(0, old), Outcome::Stale { first_unanswered: 1 });
    // A request that its client no longer waits for has no effect, even if it never had one.
    let third = client.begin();
    let given_up = client.request(third, b"c");
    client.answered(third);
    client.answered(second);
    let fourth = client.begin();
    server.apply(0, client.request(fourth, b"d"));
    assert_eq!(server.apply(0, given_up), Outcome::Stale { first_unanswered: 3 });
    assert_eq!(server.journal(), b"abd");
}

#[test]
fn a_client_knows_its_first_unanswered_request() {
    let mut client = SessionClient::new(id(1));
    assert!(client.is_idle());
    let (first, second) = (client.begin(), client.begin());
    assert_eq!(client.first_unanswered(), first);
    client.answered(second);
    assert_eq!(client.first_unanswered(), first);
    assert!(!client.is_idle());
    client.answered(first);
    assert_eq!(client.first_unanswered(), second + 1);
    assert!(client.is_idle());
}

#[test]
fn a_session_that_is_unused_for_its_lifetime_ends() {
    let mut server = server();
    let (mut idle, busy) = (server.open(0), server.open(0));
    let alive = SessionRequest::KeepAlive {
        session: busy.session(),
    };
    assert_eq!(server.apply(99, alive), Outcome::Alive);
    assert_eq!(server.machine.open().len(), 2);
    assert_eq!(server.apply(100, alive), Outcome::Alive);
    assert_eq!(server.machine.open().collect::<Vec<_>>(), [busy.session()]);
    assert_eq!(server.machine.ended(), 1);
    let sequence = idle.begin();
    let session = idle.session();
    assert_eq!(
        server.apply(100, idle.request(sequence, b"a")),
        Outcome::NoSession { session }
    );
    assert_eq!(server.journal(), b"");
}

#[test]
fn time_runs_only_forwards() {
    let mut server = server();
    let client = server.open(1_000);
    let session = client.session();
    assert_eq!(
        server.apply(0, SessionRequest::KeepAlive { session }),
        Outcome::Alive
    );
    // The session was used at 1,000, whatever the last command said.
    assert_eq!(
        server.apply(1_099, SessionRequest::KeepAlive { session }),
        Outcome::Alive
    );
}

#[test]
fn a_stored_outcome_is_given_before_age_is_judged() {
    let mut server = server();
    let mut client = server.open(0);
    let sequence = client.begin();
    server.apply(0, client.request(sequence, b"a"));
    let late = server.apply(5_000, client.request(sequence, b"a"));
    assert_eq!(
        late,
        Outcome::Repeated {
            first: at(2),
            response: 1
        }
    );
    // It counts as used again.
    assert_eq!(server.machine.open().len(), 1);
    // A new number of a session that is too old has no such claim.
    let next = client.begin();
    let session = client.session();
    assert_eq!(
        server.apply(9_000, client.request(next, b"b")),
        Outcome::NoSession { session }
    );
}

#[test]
fn one_session_too_many_ends_the_least_recently_used() {
    let mut server = server();
    let (first, second) = (server.open(0), server.open(0));
    server.apply(
        0,
        SessionRequest::KeepAlive {
            session: first.session(),
        },
    );
    let third = server.open(0);
    let open: Vec<SessionId> = server.machine.open().collect();
    assert_eq!(open, [first.session(), third.session()]);
    assert_eq!(
        server.apply(
            0,
            SessionRequest::Close {
                session: second.session()
            }
        ),
        Outcome::NoSession {
            session: second.session()
        }
    );
}

#[test]
fn one_outcome_too_many_is_refused_without_effect() {
    let mut server = server();
    let mut client = server.open(0);
    for sequence in 0..3 {
        assert_eq!(client.begin(), sequence);
    }
    server.apply(0, client.request(0, b"a"));
    server.apply(0, client.request(1, b"b"));
    let full = server.apply(0, client.request(2, b"c"));
    assert_eq!(full, Outcome::TooManyOutcomes { limit: 2 });
    assert_eq!(server.journal(), b"ab");
    client.answered(0);
    assert_eq!(server.apply(0, client.request(2, b"c")), Outcome::Fresh(3));
}

#[test]
fn the_lowest_number_without_an_answer_always_gets_in() {
    let mut server = server();
    let mut client = server.open(0);
    for sequence in 0..4 {
        assert_eq!(client.begin(), sequence);
    }
    server.apply(0, client.request(1, b"b"));
    server.apply(0, client.request(2, b"c"));
    client.answered(1);
    client.answered(2);
    // The client has both answers, and cannot acknowledge them before number 0 has its own.
    let full = server.apply(0, client.request(3, b"d"));
    assert_eq!(full, Outcome::TooManyOutcomes { limit: 2 });
    assert_eq!(server.apply(0, client.request(0, b"a")), Outcome::Fresh(3));
    client.answered(0);
    assert_eq!(server.apply(0, client.request(3, b"d")), Outcome::Fresh(4));
}

#[test]
fn a_closed_session_is_unknown() {
    let mut server = server();
    let session = server.open(0).session();
    assert_eq!(
        server.apply(0, SessionRequest::Close { session }),
        Outcome::Closed
    );
    assert_eq!(
        server.apply(0, SessionRequest::KeepAlive { session }),
        Outcome::NoSession { session }
    );
    assert_eq!(
        server.machine.ended(),
        0,
        "a session that its client closes did not end by itself"
    );
}

#[test]
fn malformed_commands_are_answered_and_change_nothing() {
    let mut server = server();
    let mut client = server.open(0);
    let sequence = client.begin();
    let whole = SessionCommand {
        time: 7,
        request: client.request(sequence, b""),
    }
    .encode();
    let before = server.machine.snapshot();
    let longer = |request| [SessionCommand { time: 1, request }.encode(), vec![0]].concat();
    let session = client.session();
    let mut nonsense: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
    nonsense.extend([
        longer(SessionRequest::Open),
        longer(SessionRequest::KeepAlive { session }),
        [&[0], &whole[1..]].concat(),
        [&[1, 9], &whole[2..]].concat(),
        // A number below the first that has no answer.
        SessionCommand {
            time: 7,
            request: SessionRequest::Apply {
                session,
                sequence: 1,
                first_unanswered: 2,
                command: b"a",
            },
        }
        .encode(),
    ]);
    for bytes in nonsense {
        assert_eq!(
            server.machine.apply(at(9), &bytes),
            Ok(Outcome::Malformed),
            "{bytes:?}"
        );
        assert_eq!(server.machine.snapshot(), before);
    }
}

// A newer program may have applied it on another server.
#[test]
fn a_command_of_a_later_version_halts_and_is_not_malformed() {
    let mut server = server();
    let session = server.open(0).session();
    let mut later = SessionCommand {
        time: 7,
        request: SessionRequest::KeepAlive { session },
    }
    .encode();
    later[0] = COMMAND_VERSION + 1;
    assert_eq!(server.machine.apply(at(9), &later), Err(Halt { needs: None }));
}

#[test]
fn a_command_that_the_machine_inside_does_not_understand_halts_and_has_no_outcome() {
    let mut server = server();
    let mut client = server.open(0);
    let sequence = client.begin();
    let bytes = SessionCommand {
        time: 7,
        request: client.request(sequence, NEWER),
    }
    .encode();
    let needs = Some(Level::new(2));
    assert_eq!(server.machine.apply(at(9), &bytes), Err(Halt { needs }));
    assert_eq!(
        server.machine.apply(at(9), &bytes),
        Err(Halt { needs }),
        "no outcome is stored"
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn commands_and_snapshots_keep_their_bytes() {
    let session = id(5);
    let command = |request| hex(&SessionCommand { time: 258, request }.encode());
    assert_eq!(command(SessionRequest::Open), "01000000000000000102");
    assert_eq!(
        command(SessionRequest::KeepAlive { session }),
        "010100000000000001020000000000000005"
    );
    assert_eq!(
        command(SessionRequest::Close { session }),
        "010200000000000001020000000000000005"
    );
    let apply = SessionRequest::Apply {
        session,
        sequence: 3,
        first_unanswered: 2,
        command: b"put",
    };
    assert_eq!(
        command(apply),
        "01030000000000000102000000000000000500000000000000030000000000000002707574"
    );
    let mut server = server();
    let mut client = server.open(16);
    let sequence = client.begin();
    server.apply(17, client.request(sequence, b"put"));
    assert_eq!(
        hex(&server.machine.snapshot()),
        [
            "02",
            "0000000000000011", // time
            "0000000000000000", // ended
            "0000000000000001", // the newest session
            "00000001",
            "0000000000000001", // opened at 1
            "0000000000000002", // used at 2
            "0000000000000011", // at time 17
            "0000000000000000", // first unanswered
            "00000001",
            "0000000000000000", // number
            "0000000000000001", // applied in term 1
            "0000000000000002", // at 2
            "00000008",
            "0000000000000003", // the response
            "707574",           // the machine
        ]
        .concat()
    );
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let mut server = server();
    let mut client = server.open(16);
    let sequence = client.begin();
    server.apply(17, client.request(sequence, b""));
    let whole = server.machine.snapshot();
    for length in 0..whole.len() {
        assert!(
            server.machine.restore(&whole[..length]).is_err(),
            "{length} bytes"
        );
    }
    // Version; a session used in the future; its name 0; used nowhere; an outcome below the first
    // unanswered; one without an index; a session that is newer than the newest.
    for (place, byte) in [(0, 3), (52, 18), (36, 0), (44, 0), (60, 1), (88, 0), (24, 0)] {
        let mut damaged = whole.clone();
        assert_ne!(damaged[place], byte, "byte {place} changes");
        damaged[place] = byte;
        assert!(server.machine.restore(&damaged).is_err(), "byte {place}");
    }
}

// A snapshot whose sessions claim to have been used at a later index than its own: nothing hangs, and every session
// still ends.
#[test]
fn sessions_that_claim_a_later_index_still_end() {
    let mut server = server();
    server.machine = Sessions::new(
        Journal::default(),
        SessionLimits {
            sessions: 3,
            ..LIMITS
        },
    );
    for _ in 1..=3 {
        server.open(1);
    }
    let mut bytes = server.machine.snapshot();
    for (place, claimed) in [(44, 5), (80, 6)] {
        assert!([1, 2].contains(&bytes[place]), "where it was used");
        bytes[place] = claimed;
    }
    let smaller = Sessions::new(Journal::default(), LIMITS);
    server.machine = smaller.restore(&bytes).expect("nothing in it contradicts itself");
    server.next = 5;
    let session = id(3);
    for _ in 5..=6 {
        assert_eq!(
            server.apply(1, SessionRequest::KeepAlive { session }),
            Outcome::Alive
        );
    }
    server.open(1);
    assert_eq!(server.machine.open().len(), LIMITS.sessions);
    assert_eq!(server.machine.ended(), 2);
}

/// Index and response of each number.
type Outcomes = BTreeMap<u64, (u64, u64)>;

/// The same rules, in the most obvious way.
#[derive(Default)]
struct Naive {
    now: u64,
    /// Id, index and time of the last use, first unanswered, outcomes.
    sessions: Vec<(u64, u64, u64, u64, Outcomes)>,
    journal: Vec<u8>,
}

impl Naive {
    fn apply(&mut self, index: u64, time: u64, request: SessionRequest<'_>) -> Outcome<u64> {
        self.now = self.now.max(time);
        let now = self.now;
        let named = match request {
            SessionRequest::Open => None,
            SessionRequest::KeepAlive { session }
            | SessionRequest::Close { session }
            | SessionRequest::Apply { session, .. } => Some(session.opened().value()),
        };
        let repeats = |outcomes: &Outcomes| match request {
            SessionRequest::Apply { sequence, .. } => outcomes.get(&sequence).copied(),
            _ => None,
        };
        let known = self
            .sessions
            .iter()
            .find(|session| Some(session.0) == named)
            .and_then(|session| repeats(&session.4));
        self.sessions.retain(|session| {
            known.is_some() && Some(session.0) == named || now - session.2 < LIMITS.lifetime
        });
        if request == SessionRequest::Open {
            self.sessions.sort_by_key(|session| session.1);
            while self.sessions.len() >= LIMITS.sessions {
                self.sessions.remove(0);
            }
            self.sessions.push((index, index, now, 0, BTreeMap::new()));
            return Outcome::Opened { session: id(index) };
        }
        let named = named.expect("everything else names a session");
        let Some(session) = self.sessions.iter_mut().find(|session| session.0 == named) else {
            return Outcome::NoSession { session: id(named) };
        };
        (session.1, session.2) = (index, now);
        match request {
            SessionRequest::Close { .. } => {
                self.sessions.retain(|session| session.0 != named);
                Outcome::Closed
            }
            SessionRequest::Apply {
                sequence,
                first_unanswered,
                command,
                ..
            } => {
                session.3 = session.3.max(first_unanswered);
                let heard = session.3;
                session.4.retain(|sequence, _| *sequence >= heard);
                if let Some((first, response)) = known {
                    return Outcome::Repeated {
                        first: at(first),
                        response,
                    };
                }
                if sequence < heard {
                    return Outcome::Stale {
                        first_unanswered: heard,
                    };
                }
                if sequence != heard && session.4.len() >= LIMITS.outcomes {
                    return Outcome::TooManyOutcomes {
                        limit: LIMITS.outcomes,
                    };
                }
                self.journal.extend_from_slice(command);
                let response = self.journal.len() as u64;
                session.4.insert(sequence, (index, response));
                Outcome::Fresh(response)
            }
            _ => Outcome::Alive,
        }
    }
}

proptest! {
    #[test]
    fn sessions_behave_like_the_obvious_version_through_every_snapshot(
        steps in prop::collection::vec((0_u64..60, 0_u8..12, 1_u64..12, 0_u64..5, 0_u64..4), 1..60)
    ) {
        let mut machine = Sessions::new(Journal::default(), LIMITS);
        let mut naive = Naive::default();
        let mut clock: u64 = 0;
        for (index, (elapsed, kind, session, sequence, lagging)) in (1..).zip(steps) {
            // Clocks differ: now and then the time goes back.
            clock = if elapsed > 50 { clock.saturating_sub(40) } else { clock + elapsed / 3 };
            let session = id(session);
            let request = match kind {
                0 | 1 => SessionRequest::Open,
                2 => SessionRequest::KeepAlive { session },
                3 => SessionRequest::Close { session },
                _ => SessionRequest::Apply {
                    session,
                    sequence,
                    first_unanswered: sequence.saturating_sub(lagging),
                    command: b"x",
                },
            };
            let bytes = SessionCommand { time: clock, request }.encode();
            prop_assert_eq!(SessionCommand::decode(&bytes), Some(SessionCommand { time: clock, request }));
            prop_assert_eq!(machine.apply(at(index), &bytes), Ok(naive.apply(index, clock, request)));
            prop_assert_eq!(machine.query(()), naive.journal.clone());
            let snapshot = machine.snapshot();
            machine = machine.restore(&snapshot).expect("a snapshot restores");
            prop_assert_eq!(machine.snapshot(), snapshot);
        }
    }

    #[test]
    fn no_bytes_make_a_machine_panic(command: Vec<u8>, snapshot: Vec<u8>) {
        let mut machine = Sessions::new(Journal::default(), LIMITS);
        let outcome = machine.apply(at(1), &command);
        let is_newer = command.first().is_some_and(|version| *version > COMMAND_VERSION);
        prop_assert_eq!(outcome.is_err(), is_newer);
        if let Ok(restored) = machine.restore(&snapshot) {
            prop_assert_eq!(restored.snapshot(), snapshot);
        }
    }
}

// A cluster that begins with another one's state counts its log anew, while clients of the other one may still repeat
// their requests, and the other cluster may go on and open sessions of its own.
#[test]
fn a_state_in_another_log_answers_no_client_with_the_response_of_another() {
    let open = |machine: &mut Sessions<Journal>, index| {
        let open = SessionCommand {
            time: 9,
            request: SessionRequest::Open,
        };
        match machine.apply(at(index), &open.encode()) {
            Ok(Outcome::Opened { session }) => session,
            other => panic!("{other:?}"),
        }
    };
    let apply = |machine: &mut Sessions<Journal>, index, session, command: &[u8]| {
        let request = SessionRequest::Apply {
            session,
            sequence: 0,
            first_unanswered: 0,
            command,
        };
        let command = SessionCommand { time: 9, request }.encode();
        machine
            .apply(at(index), &command)
            .expect("the command is understood")
    };
    let mut old = Sessions::new(Journal::default(), LIMITS);
    let session = open(&mut old, 5);
    let answered = apply(&mut old, 6, session, b"old");
    let bytes = old.snapshot();

    // The documented way: the sessions are dropped, and the ids of new ones begin elsewhere.
    let mut new = old
        .restore(&bytes)
        .expect("it is a snapshot")
        .into_new_log(0x1234_5678_9abc_def0);
    assert_eq!((new.open().len(), new.ended()), (0, 1));
    assert_eq!(new.machine(), old.machine());
    let other = open(&mut new, 2);
    assert!(other.opened().value() > 1 << 46, "{other:?}");
    assert!(apply(&mut new, 3, other, b"new").response().is_some());
    assert_eq!(
        apply(&mut new, 4, session, b"old"),
        Outcome::NoSession { session }
    );
    let next = open(&mut new, 5);
    assert_ne!(next, session, "the old log gave this index to another client");
    assert!(next > other);
    let bytes = new.snapshot();
    let again = open(&mut new, 6);
    let mut restored = new.restore(&bytes).expect("it is a snapshot");
    assert_eq!(
        open(&mut restored, 6),
        again,
        "the numbers go on where the snapshot ends"
    );

    // Nor are two clients given one id where somebody forgot that.
    let mut careless = old.restore(&old.snapshot()).expect("it is a snapshot");
    assert_ne!(open(&mut careless, 5), session);
    let repeated = apply(&mut careless, 7, session, b"old");
    assert_eq!(repeated.response(), answered.response());
}
