//! The user's state machine inside one that keeps a witness: which commands it has seen, in which order.

use raft_core::LogId;
use raft_core::replica::{SnapshotError, StateMachine};

use crate::hash::{Rolling, of_bytes};

/// What a machine has been through: the last command, and a hash over all of them in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct History {
    /// The last command applied.
    pub(crate) last: Option<LogId>,
    /// A hash over all commands so far with their places.
    pub(crate) chain: u64,
    /// Whether a command ever came at or before the place of the one before it.
    pub(crate) disordered: bool,
}

impl History {
    /// The history after one more command.
    #[must_use]
    pub(crate) fn after(self, at: LogId, command_hash: u64) -> Self {
        let mut hash = Rolling::default();
        for word in [self.chain, at.term.value(), at.index.value(), command_hash] {
            hash.word(word);
        }
        let disordered = self.disordered || self.last.is_some_and(|last| last.index >= at.index);
        Self {
            last: Some(at),
            chain: hash.finish(),
            disordered,
        }
    }
}

/// An answer with the history of the machine that gave it.
#[derive(Clone, Debug)]
pub(crate) struct Witnessed<A> {
    /// Where the machine stood when it answered.
    pub(crate) at: Option<LogId>,
    /// What it answered.
    pub(crate) answer: A,
}

/// The user's machine with its history. Snapshots carry the history in front of the user's bytes.
pub(crate) struct Witness<M> {
    machine: M,
    history: History,
}

const HEADER: usize = 24;

impl<M> Witness<M> {
    /// A machine that has seen nothing.
    pub(crate) fn new(machine: M) -> Self {
        Self {
            machine,
            history: History::default(),
        }
    }

    /// The user's machine.
    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    /// What it has been through.
    pub(crate) fn history(&self) -> History {
        self.history
    }
}

/// The chain hash in a snapshot's header.
pub(crate) fn chain_of(snapshot: &[u8]) -> Option<u64> {
    snapshot.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

impl<M: StateMachine> StateMachine for Witness<M> {
    type Response = M::Response;
    type Query = M::Query;
    type Answer = Witnessed<M::Answer>;

    fn apply(&mut self, at: LogId, command: &[u8]) -> M::Response {
        self.history = self.history.after(at, of_bytes(command));
        self.machine.apply(at, command)
    }

    fn query(&self, query: M::Query) -> Witnessed<M::Answer> {
        Witnessed {
            at: self.history.last,
            answer: self.machine.query(query),
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let last = self.history.last;
        let words = [
            self.history.chain,
            last.map_or(0, |last| last.term.value()),
            last.map_or(0, |last| last.index.value()),
        ];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(self.machine.snapshot());
        bytes
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let word = |at: usize| {
            snapshot
                .get(at..at + 8)
                .and_then(|bytes| bytes.first_chunk())
                .map(|b| u64::from_le_bytes(*b))
        };
        let (Some(chain), Some(term), Some(index)) = (word(0), word(8), word(16)) else {
            return Err(SnapshotError(
                "the snapshot is too short for the witness's header".into(),
            ));
        };
        let machine = self.machine.restore(snapshot.get(HEADER..).unwrap_or_default())?;
        let last = raft_core::Index::new(index).map(|index| LogId::new(raft_core::Term::new(term), index));
        Ok(Self {
            machine,
            history: History {
                last,
                chain,
                disordered: false,
            },
        })
    }
}
