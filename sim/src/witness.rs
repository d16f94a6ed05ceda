//! Wraps the user's state machine and records its history: which commands it has seen, in which order.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::{Halt, Index, Level, LogId};

use crate::hash::{Rolling, of_bytes};

/// A machine's history: the last command, and a hash over all of them in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct History {
    /// The last command applied.
    pub(crate) last: Option<LogId>,
    /// A hash over all commands so far with their positions.
    pub(crate) chain: u64,
    /// Whether a command ever came at or before the position of the one before it.
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
    /// The last entry that the machine had applied when it answered.
    pub(crate) at: Option<LogId>,
    /// What it answered.
    pub(crate) answer: A,
}

/// The responses of all servers' machines to the commands of the log, which must be the same everywhere (S16).
pub(crate) struct Responses<R> {
    /// The first response to the command at each position, from 1 on.
    first: Vec<Option<(LogId, R)>>,
    /// The first two responses that differ.
    difference: Option<String>,
}

/// Shared by the machines of one run.
pub(crate) type Shared<R> = Rc<RefCell<Responses<R>>>;

impl<R> Default for Responses<R> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            difference: None,
        }
    }
}

impl<R: Clone + PartialEq + Debug> Responses<R> {
    fn heard(&mut self, at: LogId, response: &R) {
        let place = usize::try_from(at.index.value()).unwrap_or(0).saturating_sub(1);
        if self.first.len() <= place {
            self.first.resize_with(place + 1, || None);
        }
        match self.first.get_mut(place) {
            Some(first @ None) => *first = Some((at, response.clone())),
            Some(Some((first, said))) if *first == at && said != response && self.difference.is_none() => {
                self.difference = Some(format!(
                    "one machine answers {response:?} to the command at {at}, but another one answered {said:?}"
                ));
            }
            _ => {}
        }
    }

    /// Returns the response to this command.
    pub(crate) fn said(&self, at: LogId) -> Option<&R> {
        let place = usize::try_from(at.index.value()).ok()?.checked_sub(1)?;
        let (first, said) = self.first.get(place)?.as_ref()?;
        (*first == at).then_some(said)
    }

    /// Describes two responses to one command that differ, if there are any.
    pub(crate) fn difference(&self) -> Option<&str> {
        self.difference.as_deref()
    }
}

type Listener<R> = (Shared<R>, fn(&mut Responses<R>, LogId, &R));

/// The user's machine with its history. Snapshots carry the history before the user's bytes.
pub(crate) struct Witness<M: StateMachine> {
    machine: M,
    history: History,
    /// What records the responses. A machine inside another one records none, as its responses need not be comparable.
    listener: Option<Listener<M::Response>>,
    /// The program that it stands for, where there are two of them.
    program: Option<u32>,
    /// The program that the state needs.
    needs: u32,
    /// Whether it restores any snapshot, because levels keep those away that its program does not understand.
    trusts_levels: bool,
}

const HEADER: usize = 24;

/// Where there are two programs, the header of a snapshot says which one the state needs...
const LEVELLED_HEADER: usize = HEADER + 4;

/// ...and the first byte of every command says which one it is for. Returns that, and the user's command.
pub(crate) fn program_and_command(command: &[u8]) -> (u32, &[u8]) {
    match command.split_first() {
        Some((program, command)) => (u32::from(*program), command),
        None => (0, command),
    }
}

/// Returns a command for this program.
pub(crate) fn for_program(program: u32, command: &[u8]) -> Vec<u8> {
    let first = u8::try_from(program).unwrap_or(u8::MAX);
    [&[first], command].concat()
}

impl<M: StateMachine> Witness<M> {
    /// Makes a fresh machine whose responses are compared with those of the other machines.
    pub(crate) fn new(machine: M, responses: Shared<M::Response>, program: Option<u32>) -> Self
    where
        M::Response: Clone + PartialEq + Debug,
    {
        Self {
            listener: Some((responses, Responses::heard)),
            program,
            ..Self::alone(machine)
        }
    }

    /// The same, for a host that uses levels.
    pub(crate) fn trusting_levels(self, trusts_levels: bool) -> Self {
        Self {
            trusts_levels,
            ..self
        }
    }

    /// Makes a fresh machine whose responses are not recorded.
    pub(crate) fn alone(machine: M) -> Self {
        Self {
            machine,
            history: History::default(),
            listener: None,
            program: None,
            needs: 0,
            trusts_levels: false,
        }
    }

    /// Returns the user's machine.
    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    /// Returns the recorded responses of all machines of the run.
    #[cfg(test)]
    pub(crate) fn responses(&self) -> Option<Shared<M::Response>> {
        self.listener.as_ref().map(|(responses, _)| responses.clone())
    }

    /// Returns the machine's history.
    pub(crate) fn history(&self) -> History {
        self.history
    }
}

/// Returns the chain hash in a snapshot's header.
pub(crate) fn chain_of(snapshot: &[u8]) -> Option<u64> {
    snapshot.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

impl<M: StateMachine> StateMachine for Witness<M> {
    type Response = M::Response;
    type Query = M::Query;
    type Answer = Witnessed<M::Answer>;

    fn apply(&mut self, at: LogId, command: &[u8]) -> Result<M::Response, Halt> {
        let whole = of_bytes(command);
        let mut command = command;
        if let Some(program) = self.program {
            let (needs, users) = program_and_command(command);
            if needs > program {
                let needs = Some(Level::new(needs));
                return Err(Halt { needs });
            }
            self.needs = self.needs.max(needs);
            command = users;
        }
        let response = self.machine.apply(at, command)?;
        self.history = self.history.after(at, whole);
        if let Some((responses, hear)) = &self.listener {
            hear(&mut responses.borrow_mut(), at, &response);
        }
        Ok(response)
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
        if self.program.is_some() {
            bytes.extend(self.needs.to_le_bytes());
        }
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
        let mut header = HEADER;
        let mut needs = 0;
        if let Some(program) = self.program {
            header = LEVELLED_HEADER;
            let bytes = snapshot.get(HEADER..).and_then(|bytes| bytes.first_chunk());
            needs = bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
            if needs > program && !self.trusts_levels {
                return Err(SnapshotError(format!("it needs a program of level {needs}")));
            }
        }
        let machine = self.machine.restore(snapshot.get(header..).unwrap_or_default())?;
        let last = Index::new(index).map(|index| LogId::new(raft_core::Term::new(term), index));
        Ok(Self {
            machine,
            history: History {
                last,
                chain,
                disordered: false,
            },
            listener: self.listener.clone(),
            program: self.program,
            needs,
            trusts_levels: self.trusts_levels,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixture::id;

    /// Answers with its own number.
    struct Stubborn(u64);

    impl StateMachine for Stubborn {
        type Response = u64;
        type Query = ();
        type Answer = ();

        fn apply(&mut self, _at: LogId, _command: &[u8]) -> Result<u64, Halt> {
            Ok(self.0)
        }

        fn query(&self, (): ()) {}

        fn snapshot(&self) -> Vec<u8> {
            Vec::new()
        }

        fn restore(&self, _snapshot: &[u8]) -> Result<Self, SnapshotError> {
            Ok(Self(self.0))
        }
    }

    #[test]
    fn two_machines_that_answer_the_same_command_differently_are_noticed() {
        let responses = Shared::<u64>::default();
        let mut one = Witness::new(Stubborn(1), responses.clone(), None);
        let mut same = Witness::new(Stubborn(1), responses.clone(), None);
        let mut other = Witness::new(Stubborn(2), responses.clone(), None);
        one.apply(id(1, 5), b"a").unwrap();
        same.apply(id(1, 5), b"a").unwrap();
        // A command at the same position in another term is another command.
        other.apply(id(2, 5), b"b").unwrap();
        assert_eq!(responses.borrow().difference(), None);
        assert_eq!(responses.borrow().said(id(1, 5)), Some(&1));
        let mut restored = other.restore(&other.snapshot()).unwrap();
        restored.apply(id(1, 5), b"a").unwrap();
        assert!(responses.borrow().difference().is_some());
    }

    #[test]
    fn the_older_program_refuses_commands_and_snapshots_of_the_newer_one() {
        let of = |program| Witness::new(Stubborn(1), Shared::<u64>::default(), Some(program));
        let (mut older, mut newer) = (of(1), of(2));
        for machine in [&mut older, &mut newer] {
            assert_eq!(machine.apply(id(1, 1), &for_program(1, b"a")), Ok(1));
        }
        assert!(older.restore(&newer.snapshot()).is_ok());
        let before = older.history();
        let needs = Some(Level::new(2));
        assert_eq!(older.apply(id(1, 2), &for_program(2, b"b")), Err(Halt { needs }));
        assert_eq!(older.history(), before);
        assert_eq!(newer.apply(id(1, 2), &for_program(2, b"b")), Ok(1));
        assert!(older.restore(&newer.snapshot()).is_err());
        let trusting = of(1).trusting_levels(true);
        assert!(trusting.restore(&newer.snapshot()).is_ok());
        assert!(newer.restore(&newer.snapshot()).is_ok());
    }
}
