//! Client sessions: a command that a client sends twice is applied once, and answered the same way each time
//! (dissertation §6.3).
//!
//! Raft alone gives at-least-once semantics. A leader may commit a command and crash before it answers; the client
//! cannot know that and sends the command to the next leader. [`Sessions`] wraps any state machine and makes its
//! commands exactly-once. A client opens a session, numbers its requests, and repeats a request under its number until
//! it is answered. The session stores the outcome of each number and returns it when the request is repeated.
//!
//! * The id of a session is the log index of the command that opened it, or the number after the newest id where the log
//!   has not come that far. So no two sessions ever share an id, and a late copy of an `Open` opens an empty session and
//!   restores none.
//! * A log that begins anew with a state from elsewhere counts from 1 again, and clients of the other log may still
//!   repeat their requests: see [`Sessions::into_new_log`].
//! * Outcomes that a client has acknowledged (`first_unanswered`) are dropped, and their commands are never applied
//!   again.
//! * Commands carry the time, which never decreases. No clock is read, so a session ends at the same index on every
//!   server. The host chooses the unit. The leader should stamp commands, because a client with a wrong clock would end
//!   the sessions of others.
//! * Everything is bounded. When there are too many sessions, the least recently used one ends. When a session holds
//!   too many outcomes, a request is rejected without effect until the client acknowledges earlier ones.
//! * A stored outcome is returned before sessions expire, so a late retry is answered as long as the outcome is there.
//!
//! Sessions and outcomes are part of the snapshot. The layout of commands is in [`SessionCommand`], that of the
//! snapshot is:
//!
//! ```text
//! | version: 2 | time: 8 | sessions ended so far: 8 | newest id, or 0: 8 | sessions: 4 | each session, by id | the machine's snapshot
//! session: | id: 8 | position of last use: 8 | time of last use: 8 | first unanswered: 8 | outcomes: 4 | each outcome, by number
//! outcome: | number: 8 | term and position of its command: 8 + 8 | length: 4 | the response
//! ```
//!
//! ```
//! use raft_core::replica::{SnapshotError, StateMachine};
//! use raft_core::sessions::{Outcome, SessionClient, SessionCommand, SessionLimits, SessionRequest, Sessions};
//! use raft_core::{Halt, Index, LogId, Term};
//!
//! /// Counts the commands that it sees.
//! struct Counter(u64);
//!
//! impl StateMachine for Counter {
//!     type Response = u64;
//!     type Query = ();
//!     type Answer = u64;
//!     fn apply(&mut self, _at: LogId, _command: &[u8]) -> Result<u64, Halt> {
//!         self.0 += 1;
//!         Ok(self.0)
//!     }
//!     fn query(&self, (): ()) -> u64 {
//!         self.0
//!     }
//!     fn snapshot(&self) -> Vec<u8> {
//!         self.0.to_be_bytes().to_vec()
//!     }
//!     fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
//!         let bytes = snapshot.try_into().map_err(|_| SnapshotError("a count has eight bytes".into()))?;
//!         Ok(Self(u64::from_be_bytes(bytes)))
//!     }
//! }
//!
//! let mut machine = Sessions::new(Counter(0), SessionLimits::default());
//! let at = |index| LogId::new(Term::new(1), Index::new(index).unwrap());
//! let open = SessionCommand { time: 10, request: SessionRequest::Open }.encode();
//! let Outcome::Opened { session } = machine.apply(at(1), &open)? else { panic!("a session opens") };
//!
//! let mut client = SessionClient::new(session);
//! let sequence = client.begin();
//! let count = SessionCommand { time: 20, request: client.request(sequence, b"count") }.encode();
//! assert_eq!(machine.apply(at(2), &count)?, Outcome::Fresh(1));
//! // The answer is lost, and the client asks again.
//! assert_eq!(machine.apply(at(3), &count)?, Outcome::Repeated { first: at(2), response: 1 });
//! assert_eq!(machine.query(()), 1);
//! # Ok::<(), Halt>(())
//! ```

mod client;
mod command;
mod snapshot;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

pub use self::client::SessionClient;
pub use self::command::{COMMAND_VERSION, SessionCommand, SessionRequest};
pub use self::snapshot::SNAPSHOT_VERSION;
use crate::level::Halt;
use crate::replica::{SnapshotError, StateMachine};
use crate::types::{Index, LogId};

/// Names a session: the log position of the command that opened it, or a higher number that no session had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Index);

impl SessionId {
    /// The session of this number, which is the position of the command that opened it unless the log began anew.
    pub const fn new(opened: Index) -> Self {
        Self(opened)
    }

    /// The position.
    pub const fn opened(self) -> Index {
        self.0
    }
}

/// Limits of what is remembered. Commands mean different things under different limits: they must be the same on every
/// server, for as long as the log lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// The most open sessions; at least one is always allowed.
    pub sessions: usize,
    /// The most outcomes that a session holds; the request with the lowest unanswered number is accepted beyond that.
    pub outcomes: usize,
    /// How long a session may go unused before it ends, in the unit of [`SessionCommand::time`].
    pub lifetime: u64,
}

impl Default for SessionLimits {
    /// 10,000 sessions of 64 outcomes, and an hour in milliseconds.
    fn default() -> Self {
        Self {
            sessions: 10_000,
            outcomes: 64,
            lifetime: 60 * 60 * 1_000,
        }
    }
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// A session was opened.
    Opened {
        /// Its id.
        session: SessionId,
    },
    /// The session exists, and counts as used.
    Alive,
    /// The session is closed.
    Closed,
    /// The machine applied the command here, with this response.
    Fresh(R),
    /// The machine applied the command before, with this response. Nothing changed.
    Repeated {
        /// Where it was applied.
        first: LogId,
        /// The response then.
        response: R,
    },
    /// There is no such session: it ended, or never began. Nothing changed. An earlier copy of the command may have had
    /// an effect.
    NoSession {
        /// The session that the command names.
        session: SessionId,
    },
    /// The client has acknowledged the answer to this number. Nothing changed.
    Stale {
        /// The lowest unanswered number.
        first_unanswered: u64,
    },
    /// The session holds its most outcomes. Nothing changed: the client may send the command again once it has
    /// acknowledged earlier answers.
    TooManyOutcomes {
        /// The limit.
        limit: usize,
    },
    /// The bytes do not encode a command. Nothing changed.
    Malformed,
}

impl<R> Outcome<R> {
    /// Returns the machine's response to the command, from now or from when it was applied.
    pub const fn response(&self) -> Option<&R> {
        match self {
            Self::Fresh(response) | Self::Repeated { response, .. } => Some(response),
            _ => None,
        }
    }
}

/// A response that can be kept in a session and in a snapshot.
pub trait StoredResponse: Clone {
    /// Appends the bytes of the response.
    fn encode(&self, into: &mut Vec<u8>);

    /// Returns the response that exactly these bytes encode.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl StoredResponse for () {
    fn encode(&self, _into: &mut Vec<u8>) {}

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

impl StoredResponse for u64 {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl StoredResponse for Vec<u8> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

/// The stored outcome of one number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored<R> {
    at: LogId,
    response: R,
}

/// One client's session.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session<R> {
    /// The index of the last command that used it.
    used_at: Index,
    /// The time then.
    used: u64,
    /// Lower numbers are neither stored nor applied.
    first_unanswered: u64,
    outcomes: BTreeMap<u64, Stored<R>>,
}

/// A state machine with client sessions around it. Its commands are those of [`SessionCommand`].
#[derive(Clone, Debug)]
pub struct Sessions<M: StateMachine> {
    machine: M,
    limits: SessionLimits,
    /// The latest time that any command carried.
    now: u64,
    /// How many sessions have ended, by age or because there were too many.
    ended: u64,
    /// No session of this number or a lower one will be opened.
    newest: u64,
    sessions: BTreeMap<SessionId, Session<M::Response>>,
    /// The sessions in the order of their last use. Time only grows along the log, so the first has waited longest.
    by_use: BTreeSet<(Index, SessionId)>,
}

impl<M: StateMachine<Response: StoredResponse>> Sessions<M> {
    /// Sessions around this machine, none of them open.
    pub fn new(machine: M, limits: SessionLimits) -> Self {
        Self {
            machine,
            limits: SessionLimits {
                sessions: limits.sessions.max(1),
                ..limits
            },
            now: 0,
            ended: 0,
            newest: 0,
            sessions: BTreeMap::new(),
            by_use: BTreeSet::new(),
        }
    }

    /// The same machine, without the sessions, at the beginning of another log: for a cluster that begins with a snapshot
    /// ([`Persist::founding`](crate::Persist::founding)).
    ///
    /// Clients of the other log must open new sessions: their requests are answered with [`Outcome::NoSession`]. The ids
    /// of this log's sessions begin at a number that comes of `nonce`, drawn at random for the new cluster, so that the
    /// two logs, which may both go on, do not give one id to two clients.
    #[must_use]
    pub fn into_new_log(self, nonce: u64) -> Self {
        const FLOOR: u64 = 1 << 46;
        let dropped = self.sessions.len() as u64;
        Self {
            ended: self.ended.saturating_add(dropped),
            newest: FLOOR | nonce >> 18,
            sessions: BTreeMap::new(),
            by_use: BTreeSet::new(),
            ..self
        }
    }

    /// The machine inside.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The open sessions, in the order in which they were opened.
    pub fn open(&self) -> impl ExactSizeIterator<Item = SessionId> + '_ {
        self.sessions.keys().copied()
    }

    /// Returns how many sessions have ended so far, by age or because there were too many.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Carries out a command whose outcome is not stored.
    fn carry_out(&mut self, at: LogId, request: SessionRequest<'_>) -> Result<Outcome<M::Response>, Halt> {
        Ok(match request {
            SessionRequest::Open => self.begin(at),
            SessionRequest::KeepAlive { session } => {
                if self.touch(session, at.index) {
                    Outcome::Alive
                } else {
                    Outcome::NoSession { session }
                }
            }
            SessionRequest::Close { session } => {
                if self.remove(session) {
                    Outcome::Closed
                } else {
                    Outcome::NoSession { session }
                }
            }
            SessionRequest::Apply {
                session,
                sequence,
                first_unanswered,
                command,
            } => return self.apply_once(at, session, sequence, first_unanswered, command),
        })
    }

    fn begin(&mut self, at: LogId) -> Outcome<M::Response> {
        while self.sessions.len() >= self.limits.sessions {
            self.end_oldest();
        }
        self.newest = at.index.value().max(self.newest.saturating_add(1));
        let session = SessionId::new(Index::new(self.newest).unwrap_or(at.index));
        let opened = Session {
            used_at: at.index,
            used: self.now,
            first_unanswered: 0,
            outcomes: BTreeMap::new(),
        };
        self.sessions.insert(session, opened);
        self.by_use.insert((at.index, session));
        Outcome::Opened { session }
    }

    fn apply_once(
        &mut self,
        at: LogId,
        id: SessionId,
        sequence: u64,
        first_unanswered: u64,
        command: &[u8],
    ) -> Result<Outcome<M::Response>, Halt> {
        self.touch(id, at.index);
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(Outcome::NoSession { session: id });
        };
        session.hears(first_unanswered);
        // Its outcome may have been stored and forgotten, so applying it now could be the second time.
        let is_stale = plant!(
            sequence < session.first_unanswered,
            APPLIES_STALE_NUMBERS => false
        );
        if is_stale {
            return Ok(Outcome::Stale {
                first_unanswered: session.first_unanswered,
            });
        }
        // Later numbers may take all the room while the lowest one waits. Only its answer lets the client acknowledge
        // more, so it is always accepted.
        if sequence > session.first_unanswered && session.outcomes.len() >= self.limits.outcomes {
            return Ok(Outcome::TooManyOutcomes {
                limit: self.limits.outcomes,
            });
        }
        let response = self.machine.apply(at, command)?;
        let stored = Stored {
            at,
            response: response.clone(),
        };
        session.outcomes.insert(sequence, stored);
        Ok(Outcome::Fresh(response))
    }

    /// Returns the stored outcome of a repeated request; its session counts as used.
    fn repeated(&mut self, at: LogId, request: SessionRequest<'_>) -> Option<Outcome<M::Response>> {
        let SessionRequest::Apply {
            session,
            sequence,
            first_unanswered,
            ..
        } = request
        else {
            return None;
        };
        let known = self.sessions.get_mut(&session)?;
        let Stored { at: first, response } = known.outcomes.get(&sequence)?.clone();
        known.hears(first_unanswered);
        self.touch(session, at.index);
        Some(Outcome::Repeated { first, response })
    }

    /// Marks a session as used; returns whether it exists.
    fn touch(&mut self, id: SessionId, at: Index) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        self.by_use.remove(&(session.used_at, id));
        self.by_use.insert((at, id));
        session.used_at = at;
        session.used = self.now;
        true
    }

    fn remove(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.remove(&id) else {
            return false;
        };
        self.by_use.remove(&(session.used_at, id));
        true
    }

    fn end_oldest(&mut self) {
        if let Some((_, id)) = self.by_use.pop_first() {
            self.sessions.remove(&id);
            self.ended = self.ended.saturating_add(1);
        }
    }

    /// Ends every session that has not been used for its lifetime.
    fn expire(&mut self) {
        while let Some(oldest) = self.by_use.first().and_then(|(_, id)| self.sessions.get(id))
            && self.now.saturating_sub(oldest.used) >= self.limits.lifetime
        {
            self.end_oldest();
        }
    }
}

impl<R> Session<R> {
    /// Drops the outcomes of all lower numbers, whose answers the client has acknowledged.
    fn hears(&mut self, first_unanswered: u64) {
        if first_unanswered > self.first_unanswered {
            self.first_unanswered = first_unanswered;
            let first_kept = plant!(first_unanswered, FORGETS_ONE_TOO_MANY => first_unanswered + 1);
            self.outcomes = self.outcomes.split_off(&first_kept);
        }
    }
}

impl<M: StateMachine<Response: StoredResponse>> StateMachine for Sessions<M> {
    type Response = Outcome<M::Response>;
    type Query = M::Query;
    type Answer = M::Answer;

    fn apply(&mut self, at: LogId, command: &[u8]) -> Result<Outcome<M::Response>, Halt> {
        let Some(SessionCommand { time, request }) = SessionCommand::decode(command) else {
            if SessionCommand::is_newer(command) {
                return Err(Halt { needs: None });
            }
            return Ok(Outcome::Malformed);
        };
        self.now = plant!(self.now.max(time), SESSION_TIME_GOES_BACK => time);
        // The stored outcome is looked up before sessions expire: the client may still wait for an old answer.
        let repeated = plant!(self.repeated(at, request), APPLIES_RETRIES => None);
        self.expire();
        match repeated {
            Some(repeated) => Ok(repeated),
            None => self.carry_out(at, request),
        }
    }

    fn query(&self, query: M::Query) -> M::Answer {
        self.machine.query(query)
    }

    fn snapshot(&self) -> Vec<u8> {
        snapshot::write(self)
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        snapshot::read(self, snapshot)
    }
}
