//! A key-value store, the workload of the `sim` command.

use std::collections::BTreeMap;

use raft_core::LogId;
use raft_core::replica::{SnapshotError, StateMachine};

use crate::history::{Happened, HistoryEvent};
use crate::schedule::OperationKind;
use crate::workload::Workload;

/// Keys with their values. Every value that is ever written is unique, so that a read says exactly which write it saw.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Store {
    values: BTreeMap<u64, u64>,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The key has the new value now, and had this one before.
    Written {
        /// The value before.
        previous: Option<u64>,
    },
    /// The bytes are no command.
    Malformed,
}

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

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Response {
        match pair(command) {
            Some((key, value)) => Response::Written {
                previous: self.values.insert(key, value),
            },
            None => Response::Malformed,
        }
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

/// Clients that write unique values to a few keys and read them.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyValue;

impl Workload for KeyValue {
    type Machine = Store;

    fn machine(&self) -> Store {
        Store::default()
    }

    fn command(&self, choice: u64, attempt: u64) -> Vec<u8> {
        [choice.to_le_bytes(), attempt.to_le_bytes()].concat()
    }

    fn query(&self, choice: u64) -> u64 {
        choice
    }
}

/// A history as Jepsen writes it: EDN, one operation a line, unknown outcomes as `:info`, values as `[key value]`.
pub fn write_edn(history: &[HistoryEvent<KeyValue>], out: &mut impl std::io::Write) -> std::io::Result<()> {
    for (event, index) in history.iter().zip(0_u64..) {
        let kind = match event.what {
            Happened::Invoked => "invoke",
            Happened::Written(_) | Happened::Read(_) => "ok",
            Happened::Failed => "fail",
            Happened::Unknown => "info",
        };
        let (function, value) = match (event.kind, &event.what) {
            (OperationKind::Write, _) => ("write", event.attempt.to_string()),
            (OperationKind::Read, Happened::Read(Some(value))) => ("read", value.to_string()),
            (OperationKind::Read, _) => ("read", "nil".to_owned()),
        };
        let HistoryEvent {
            process, choice, at, ..
        } = event;
        writeln!(
            out,
            "{{:process {process}, :type :{kind}, :f :{function}, :value [{choice} {value}], :time {}, :index {index}}}",
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
    fn a_snapshot_restores_the_same_store_and_nonsense_is_refused() {
        let mut store = Store::default();
        for attempt in 0..10 {
            store.apply(
                LogId::new(Term::new(1), Index::FIRST),
                &KeyValue.command(attempt % 3, attempt),
            );
        }
        assert_eq!(store.restore(&store.snapshot()).unwrap(), store);
        assert_eq!(store.query(0), Some(9));
        assert!(store.restore(&[1; 17]).is_err());
        assert_eq!(
            store.apply(LogId::new(Term::new(1), Index::FIRST), &[1, 2]),
            Response::Malformed
        );
    }
}
