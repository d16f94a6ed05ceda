//! The clients that are connected, and who has to make room for others.
//!
//! A connection is a stranger's until an enrolled device has signed a request on it. When all places are taken, a
//! newcomer gets the place of a stranger: the oldest one of the address that has the most. So an address that opens
//! thousands of connections drops its own, and whoever proves to be enrolled stays.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::rates::Source;

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Caller {
    source: Source,
    proved: AtomicBool,
}

impl Caller {
    pub(super) fn source(&self) -> Source {
        self.source
    }

    /// Takes note that an enrolled device has signed a request on this connection.
    pub(super) fn prove(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    fn is_stranger(&self) -> bool {
        !self.proved.load(Ordering::Relaxed)
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct Callers {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// Oldest first.
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    caller: Arc<Caller>,
    end: Option<AbortHandle>,
}

/// One connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    caller: Arc<Caller>,
    callers: Arc<Callers>,
}

impl Callers {
    pub(super) fn at_most(connections: usize) -> Self {
        Self {
            most: connections.max(1),
            table: Mutex::default(),
        }
    }

    /// Gives a place to a connection, and says whether a stranger had to make room for it. Returns `None` if all places
    /// are taken by clients that have proved to be enrolled.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<(Seat, bool)> {
        let mut table = self.table();
        let full = table.open.len() >= self.most;
        if full && !table.drop_a_stranger() {
            return None;
        }
        table.last += 1;
        let number = table.last;
        let caller = Arc::new(Caller {
            source: Source::of(ip),
            proved: AtomicBool::new(false),
        });
        let open = Open {
            caller: Arc::clone(&caller),
            end: None,
        };
        table.open.insert(number, open);
        drop(table);
        let seat = Seat {
            number,
            caller,
            callers: Arc::clone(self),
        };
        Some((seat, full))
    }

    /// Takes note of how to end the connection. It may have ended by itself already.
    pub(super) fn fill(&self, number: u64, end: AbortHandle) {
        if let Some(open) = self.table().open.get_mut(&number) {
            open.end = Some(end);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends the oldest stranger of the address that has the most, and says whether there was one.
    fn drop_a_stranger(&mut self) -> bool {
        let mut of_each: HashMap<Source, (usize, u64)> = HashMap::new();
        let strangers = self.open.iter().filter(|(_, open)| open.caller.is_stranger());
        for (number, open) in strangers {
            let (count, _oldest) = of_each.entry(open.caller.source).or_insert((0, *number));
            *count += 1;
        }
        // Among addresses with equally many, the one with the oldest connection, so that the choice does not depend on
        // the order of a hash map.
        let fullest = of_each
            .into_values()
            .max_by_key(|(count, oldest)| (*count, u64::MAX - oldest));
        let Some((_, oldest)) = fullest else {
            return false;
        };
        if let Some(Open { end: Some(end), .. }) = self.open.remove(&oldest) {
            end.abort();
        }
        true
    }
}

impl Seat {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn caller(&self) -> Arc<Caller> {
        Arc::clone(&self.caller)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.callers.table().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(callers: &Arc<Callers>, ip: &str) -> Option<(Seat, tokio::task::JoinHandle<()>)> {
        let (seat, _) = callers.admit(ip.parse().unwrap())?;
        let task = tokio::spawn(std::future::pending());
        callers.fill(seat.number(), task.abort_handle());
        Some((seat, task))
    }

    #[tokio::test]
    async fn the_address_with_the_most_strangers_makes_room_and_the_enrolled_stay() {
        let callers = Arc::new(Callers::at_most(6));
        let friend = admit(&callers, "10.0.0.1").unwrap();
        friend.0.caller().prove();
        let quiet = admit(&callers, "10.0.0.2").unwrap();
        let greedy: Vec<_> = (0..10).map(|_| admit(&callers, "10.0.0.3").unwrap()).collect();
        let newcomer = admit(&callers, "10.0.0.4").unwrap();
        tokio::task::yield_now().await;
        assert!(!friend.1.is_finished() && !quiet.1.is_finished() && !newcomer.1.is_finished());
        let stays = greedy.iter().filter(|(_, task)| !task.is_finished()).count();
        assert_eq!(stays, 3, "six places, and three of them are others'");
        assert_eq!(callers.table().open.len(), 6);
        // Once everyone has proved to be enrolled, a newcomer has to wait.
        for (seat, _) in greedy.iter().chain([&quiet, &newcomer]) {
            seat.caller().prove();
        }
        assert!(callers.admit("10.0.0.5".parse().unwrap()).is_none());
        drop((friend, quiet, greedy, newcomer));
        assert!(callers.table().open.is_empty());
    }
}
