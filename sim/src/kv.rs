//! A key-value store, the workload of the `sim` command.

use std::collections::BTreeMap;
use std::io;

use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::sessions::StoredResponse;
use raft_core::{Halt, LogId};

use crate::history::{Happened, HistoryEvent};
use crate::linearizability::{Model, Opinion, Request, linearizable};
use crate::oracle::Violation;
use crate::schedule::{OperationKind, WorkloadPlan};
use crate::sessions::{Machine, Reply, WithSessions};
use crate::workload::{Call, Concluded, Heard, Retry, Sizes, Workload};

/// Keys with their values. Every value that is ever written is unique, so that a read identifies the write that it saw.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Store {
    values: BTreeMap<u64, u64>,
}

/// The store's response to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The key has the new value now, and had this one before.
    Written {
        /// The value before.
        previous: Option<u64>,
    },
    /// The bytes do not decode to a command.
    Malformed,
}

/// The size of a command, and of a key with its value in a snapshot.
const PAIR_BYTES: u64 = 16;

fn pair(bytes: &[u8]) -> Option<(u64, u64)> {
    let (key, value) = bytes.split_first_chunk()?;
    Some((
        u64::from_le_bytes(*key),
        u64::from_le_bytes(*value.first_chunk().filter(|_| value.len() == 8)?),
    ))
}

impl StateMachine for Store {
    type Response = Response;
    type Query = u64;
    type Answer = Option<u64>;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<Response, Halt> {
        Ok(match pair(command) {
            Some((key, value)) => Response::Written {
                previous: self.values.insert(key, value),
            },
            None => Response::Malformed,
        })
    }

    fn query(&self, key: u64) -> Option<u64> {
        self.values.get(&key).copied()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.values
            .iter()
            .flat_map(|(key, value)| [key.to_le_bytes(), value.to_le_bytes()])
            .flatten()
            .collect()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let values: Option<BTreeMap<u64, u64>> = snapshot.chunks(16).map(pair).collect();
        values
            .map(|values| Self { values })
            .ok_or_else(|| SnapshotError("not a whole number of key-value pairs".into()))
    }
}

impl StoredResponse for Response {
    fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Malformed => into.push(0),
            Self::Written { previous: None } => into.push(1),
            Self::Written {
                previous: Some(previous),
            } => {
                into.push(2);
                into.extend_from_slice(&previous.to_le_bytes());
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(Self::Malformed),
            [1] => Some(Self::Written { previous: None }),
            [2, previous @ ..] => Some(Self::Written {
                previous: Some(u64::from_le_bytes(previous.try_into().ok()?)),
            }),
            _ => None,
        }
    }
}

/// Clients that write unique values to a few keys and read them, in sessions where the schedule says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyValue;

/// The same without sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

impl Workload for Plain {
    type Machine = Store;

    fn machine(&self, _plan: &WorkloadPlan) -> Store {
        Store::default()
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        [call.choice.to_le_bytes(), call.request.to_le_bytes()].concat()
    }

    fn query(&self, choice: u64) -> u64 {
        choice
    }

    fn sizes(&self, plan: &WorkloadPlan) -> Sizes {
        Sizes {
            command_bytes: PAIR_BYTES,
            response_bytes: 9,
            snapshot_bytes: plan.choices.saturating_mul(PAIR_BYTES),
        }
    }
}

const INSIDE: WithSessions<Plain> = WithSessions(Plain);

impl Workload for KeyValue {
    type Machine = Machine<Store>;

    fn machine(&self, plan: &WorkloadPlan) -> Self::Machine {
        INSIDE.machine(plan)
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        INSIDE.command(call)
    }

    fn query(&self, choice: u64) -> u64 {
        choice
    }

    fn name(&self) -> &'static str {
        "kv"
    }

    fn sizes(&self, plan: &WorkloadPlan) -> Sizes {
        INSIDE.sizes(plan)
    }

    fn retry(&self, plan: &WorkloadPlan) -> Retry {
        INSIDE.retry(plan)
    }

    fn heard(&self, response: &Reply<Response>) -> Heard {
        INSIDE.heard(response)
    }

    fn check(&self, run: &Concluded<'_, Self::Machine>) -> Result<(), Violation> {
        INSIDE.check(run)
    }

    fn opinion(&self, history: &[HistoryEvent<Self>], steps: u64) -> Option<Opinion> {
        Some(linearizable(history, &Registers, steps))
    }

    fn write_history(&self, history: &[HistoryEvent<Self>], out: &mut dyn io::Write) -> io::Result<()> {
        write_edn(history, out)
    }
}

/// Every key as a register: a write stores the number of its request, and is told the value before.
#[derive(Clone, Copy, Debug)]
pub struct Registers;

impl Model<KeyValue> for Registers {
    type State = Option<u64>;

    fn start(&self, _key: u64) -> Option<u64> {
        None
    }

    fn write(
        &self,
        state: &Option<u64>,
        request: &Request,
        told: Option<&Reply<Response>>,
    ) -> Option<Option<u64>> {
        let fits = match told.and_then(Reply::response) {
            Some(Response::Written { previous }) => previous == state,
            Some(Response::Malformed) | None => true,
        };
        fits.then_some(Some(request.request))
    }

    fn reads(&self, state: &Option<u64>, answer: &Option<u64>) -> bool {
        state == answer
    }

    /// Every value is written once, and so shows its request.
    fn may_show(&self, told: &Happened<KeyValue>, request: &Request) -> bool {
        let seen = match told {
            Happened::Read(value) => *value,
            Happened::Written(reply) => match reply.response() {
                Some(Response::Written { previous }) => *previous,
                Some(Response::Malformed) | None => None,
            },
            Happened::Invoked | Happened::Failed | Happened::Unknown => None,
        };
        seen == Some(request.request)
    }
}

/// Writes a history as Jepsen does: EDN, one operation a line, unknown outcomes as `:info`, values as `[key value]`.
/// The answer to a write includes the value before it (`:previous`), which a checker of plain reads and writes may
/// ignore.
pub fn write_edn(history: &[HistoryEvent<KeyValue>], out: &mut dyn io::Write) -> io::Result<()> {
    for (event, index) in history.iter().zip(0_u64..) {
        let kind = event.what.kind();
        let (function, value) = match (event.kind, &event.what) {
            (OperationKind::Write, _) => ("write", event.attempt.to_string()),
            (OperationKind::Read, Happened::Read(Some(value))) => ("read", value.to_string()),
            (OperationKind::Read, _) => ("read", "nil".to_owned()),
        };
        let previous = match &event.what {
            Happened::Written(reply) => match reply.response() {
                Some(Response::Written {
                    previous: Some(value),
                }) => format!(", :previous {value}"),
                Some(Response::Written { previous: None }) => ", :previous nil".to_owned(),
                Some(Response::Malformed) | None => String::new(),
            },
            _ => String::new(),
        };
        let HistoryEvent {
            process, choice, at, ..
        } = event;
        writeln!(
            out,
            "{{:process {process}, :type :{kind}, :f :{function}, :value [{choice} {value}]{previous}, :time {}, :index {index}}}",
            at.value()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Index, Term};

    #[test]
    fn a_snapshot_restores_the_same_store_and_malformed_bytes_are_refused() {
        let mut store = Store::default();
        for attempt in 0..10_u64 {
            let command = [(attempt % 3).to_le_bytes(), attempt.to_le_bytes()].concat();
            store
                .apply(LogId::new(Term::new(1), Index::FIRST), &command)
                .unwrap();
        }
        assert_eq!(store.restore(&store.snapshot()).unwrap(), store);
        assert_eq!(store.query(0), Some(9));
        assert!(store.restore(&[1; 17]).is_err());
        assert_eq!(
            store.apply(LogId::new(Term::new(1), Index::FIRST), &[1, 2]),
            Ok(Response::Malformed)
        );
    }

    #[test]
    fn a_stored_response_is_read_back_and_malformed_bytes_are_refused() {
        for response in [
            Response::Malformed,
            Response::Written { previous: None },
            Response::Written { previous: Some(258) },
        ] {
            let mut bytes = Vec::new();
            response.encode(&mut bytes);
            assert_eq!(Response::decode(&bytes), Some(response));
            bytes.push(0);
            assert_eq!(Response::decode(&bytes), None);
        }
    }
}
