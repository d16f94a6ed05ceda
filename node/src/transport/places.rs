//! The places for accepted connections of other servers.
//!
//! A connection is a stranger's until its handshake has proved that it is a member's. Members have places of their own,
//! two for each: one for the link, and one for the link that replaces it. Strangers share [`STRANGERS`] places. When
//! those are taken, the oldest stranger is dropped, and never the newcomer: a member's handshake takes some milliseconds,
//! and in that time an attacker would have to open as many connections as there are places.
//!
//! Handshakes cost time of the consensus thread, so their number is limited too, before any of it is spent: for each
//! address, and for all addresses together at which no member was ever met.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use raft_core::NodeId;
use tokio::task::AbortHandle;

use crate::rates::{PerSource, Rate, Shared, Source};

/// How many connections may be in their handshake.
pub(super) const STRANGERS: usize = 64;

/// How many connections a member may have: its link, and the one that replaces it.
const PER_MEMBER: usize = 2;

/// How many handshakes of one address begin in a second, and at once, where no member was met.
const OF_ONE_ADDRESS: (f64, u32) = (50.0, 100);

/// The same where a member was met. A member dials at most twenty times a second, but it may share its address with
/// others: with the whole cluster in a trial on one machine.
const OF_A_MEMBERS_ADDRESS: (f64, u32) = (500.0, 1000);

/// How many handshakes begin in a second, and at once, of all addresses at which no member was met.
const OF_THE_UNKNOWN: (f64, u32) = (100.0, 200);

/// All places, with who has them.
#[derive(Debug)]
pub(super) struct Places {
    table: Mutex<Table>,
    of_one_address: PerSource,
    of_a_members_address: PerSource,
    of_the_unknown: Shared,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// The connections that have not proved anything, oldest first.
    strangers: BTreeMap<u64, Option<AbortHandle>>,
    /// The connections of each member, oldest first.
    members: HashMap<NodeId, VecDeque<(u64, Option<AbortHandle>)>>,
}

/// Whether a connection may begin its handshake.
#[derive(Debug)]
pub(super) enum Admission {
    /// It may.
    Admitted(Place),
    /// Its address begins too many.
    TooMany,
}

/// One connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    places: Arc<Places>,
}

impl Default for Places {
    fn default() -> Self {
        let rate = |(per_second, at_once)| Rate::per_second(per_second, at_once);
        Self {
            table: Mutex::default(),
            of_one_address: PerSource::new(rate(OF_ONE_ADDRESS)),
            of_a_members_address: PerSource::new(rate(OF_A_MEMBERS_ADDRESS)),
            of_the_unknown: Shared::new(rate(OF_THE_UNKNOWN)),
        }
    }
}

impl Places {
    /// Gives a place to a connection, the oldest stranger's if there is no other. `known` says whether a member was met
    /// at the address.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, known: bool, now: Instant) -> Admission {
        let source = Source::of(ip);
        let in_time = match known {
            true => self.of_a_members_address.take(&source, now),
            false => self.of_one_address.take(&source, now) && self.of_the_unknown.take(now),
        };
        if !in_time {
            return Admission::TooMany;
        }
        let mut table = self.table();
        while table.strangers.len() >= STRANGERS {
            // Aborting it drops its place, for which the table is locked now: the place is freed here.
            let Some((_, Some(oldest))) = table.strangers.pop_first() else {
                continue;
            };
            oldest.abort();
        }
        table.last += 1;
        let number = table.last;
        table.strangers.insert(number, None);
        drop(table);
        Admission::Admitted(Place {
            number,
            places: Arc::clone(self),
        })
    }

    /// Takes note of how to end the connection. It may have ended by itself already.
    pub(super) fn fill(&self, number: u64, end: AbortHandle) {
        let mut table = self.table();
        if let Some(stranger) = table.strangers.get_mut(&number) {
            *stranger = Some(end);
            return;
        }
        let places = table.members.values_mut().flatten();
        if let Some((_, member)) = places.into_iter().find(|(other, _)| *other == number) {
            *member = Some(end);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Moves the connection to the places of a member, whose oldest connection ends if it has too many.
    pub(super) fn prove(&self, member: NodeId) {
        let mut table = self.places.table();
        let Some(end) = table.strangers.remove(&self.number) else {
            return;
        };
        let places = table.members.entry(member).or_default();
        places.push_back((self.number, end));
        if places.len() > PER_MEMBER
            && let Some((_, Some(oldest))) = places.pop_front()
        {
            oldest.abort();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        if table.strangers.remove(&self.number).is_some() {
            return;
        }
        table.members.retain(|_, places| {
            places.retain(|(number, _)| *number != self.number);
            !places.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A connection that lasts until its place is taken away.
    struct Connection {
        place: Place,
        task: tokio::task::JoinHandle<()>,
    }

    fn connect(places: &Arc<Places>, ip: &str, now: Instant) -> Option<Connection> {
        let Admission::Admitted(place) = places.admit(ip.parse().unwrap(), false, now) else {
            return None;
        };
        let task = tokio::spawn(std::future::pending());
        places.fill(place.number(), task.abort_handle());
        Some(Connection { place, task })
    }

    #[tokio::test]
    async fn the_oldest_stranger_makes_room_and_members_never_do() {
        let places = Arc::new(Places::default());
        let mut now = Instant::now();
        let mut next = || {
            now += Duration::from_secs(1);
            connect(&places, "10.0.0.1", now).unwrap()
        };
        let member = next();
        member.place.prove(NodeId::new(1));
        let strangers: Vec<Connection> = (0..STRANGERS + 3).map(|_| next()).collect();
        tokio::task::yield_now().await;
        assert!(!member.task.is_finished());
        let dropped = strangers.iter().position(|stranger| !stranger.task.is_finished());
        assert_eq!(dropped, Some(3), "the three oldest made room");
        // A member that dials again and again keeps its two latest connections.
        let (second, third) = (next(), next());
        second.place.prove(NodeId::new(1));
        third.place.prove(NodeId::new(1));
        tokio::task::yield_now().await;
        assert!(member.task.is_finished() && !second.task.is_finished() && !third.task.is_finished());
        drop((strangers, member, second, third));
        let table = places.table();
        assert!(
            table.strangers.is_empty() && table.members.is_empty(),
            "{table:?}"
        );
    }

    #[tokio::test]
    async fn handshakes_are_limited_for_each_address_and_for_all_strangers_but_not_where_members_were_met() {
        let places = Arc::new(Places::default());
        let now = Instant::now();
        let of_one = (0..1000)
            .filter(|_| connect(&places, "10.0.0.1", now).is_some())
            .count();
        assert_eq!(of_one, OF_ONE_ADDRESS.1 as usize);
        let of_all = (0..1000).filter(|other| {
            connect(&places, &format!("10.1.{}.{}", other / 250, other % 250), now).is_some()
        });
        assert_eq!(of_one + of_all.count(), OF_THE_UNKNOWN.1 as usize);
        let member: IpAddr = "10.0.0.9".parse().unwrap();
        assert!(matches!(places.admit(member, true, now), Admission::Admitted(_)));
    }
}
