//! The client's side of a session.

use alloc::collections::BTreeSet;

use super::{SessionId, SessionRequest};

/// The client's half of a session: numbers for its requests, and which of them it still waits for.
///
/// A client that wants exactly-once across its own restarts must keep this where it survives them, before it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionClient {
    session: SessionId,
    next: u64,
    unanswered: BTreeSet<u64>,
}

impl SessionClient {
    /// The client of a session that was just opened.
    pub const fn new(session: SessionId) -> Self {
        Self {
            session,
            next: 0,
            unanswered: BTreeSet::new(),
        }
    }

    /// The session.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Returns the number of a new request. Repeat the request under it until it is answered or no longer wanted, and
    /// then call [`answered`](Self::answered).
    pub fn begin(&mut self) -> u64 {
        let sequence = self.next;
        self.next += 1;
        self.unanswered.insert(sequence);
        sequence
    }

    /// Notes that the request of this number has its answer, or that the client no longer waits for it. Servers
    /// may then drop its outcome, and a copy that is still in flight will have no effect.
    pub fn answered(&mut self, sequence: u64) {
        self.unanswered.remove(&sequence);
    }

    /// Returns the lowest unanswered number, or the next one if all are answered.
    pub fn first_unanswered(&self) -> u64 {
        self.unanswered.first().copied().unwrap_or(self.next)
    }

    /// Returns whether no request waits for its answer. Close a session only then: a request that is repeated after its
    /// session was closed cannot learn whether it had an effect.
    pub fn is_idle(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Returns the request to propose for this number, now or again.
    pub fn request<'a>(&self, sequence: u64, command: &'a [u8]) -> SessionRequest<'a> {
        SessionRequest::Apply {
            session: self.session,
            sequence,
            first_unanswered: self.first_unanswered().min(sequence),
            command,
        }
    }
}
