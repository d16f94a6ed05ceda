//! Links that are wires: they have limited bandwidth, or are connections, which keep the order, deliver once, and
//! break.
//!
//! A connection that breaks loses a suffix of what was sent on it: here, everything in flight. What is sent before it
//! is restored is lost as well. What is sent after that arrives after everything that was lost, so that one time tells
//! the two apart.

use super::{Fate, Network, ROW};
use crate::nanos::Nanos;
use crate::random::{Domain, Draws, bucket};
use crate::schedule::NetworkWeather;

/// The wire state of each directed link.
#[derive(Debug)]
pub(crate) struct Wires {
    stream: bool,
    reconnect_within: Nanos,
    bytes_per_second: u64,
    queue_bytes: u64,
    links: Vec<Wire>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Wire {
    /// When the last byte in the queue leaves.
    busy_until: Nanos,
    /// Messages that should arrive before this time were on a connection that broke.
    lost_until: Nanos,
    /// Until then the connection is broken.
    down_until: Nanos,
    breaks: u64,
}

impl Wires {
    /// Returns `None` where links are nothing more than delays.
    pub(super) fn new(weather: &NetworkWeather) -> Option<Self> {
        (weather.stream || weather.bytes_per_second > 0).then(|| Self {
            stream: weather.stream,
            reconnect_within: weather.reconnect_within,
            bytes_per_second: weather.bytes_per_second,
            queue_bytes: weather.queue_bytes,
            links: vec![Wire::default(); ROW * ROW],
        })
    }

    pub(super) const fn is_stream(&self) -> bool {
        self.stream
    }
}

impl Network {
    /// Whether links are connections.
    pub(crate) fn is_stream(&self) -> bool {
        self.wires.as_ref().is_some_and(Wires::is_stream)
    }

    /// Decides the fate of a message of so many bytes that is sent now.
    pub(crate) fn fate_on_wire(&mut self, now: Nanos, from: usize, to: usize, bytes: u64) -> Fate {
        if self.dropped_at_send.contains(from, to) {
            return Fate::Cut;
        }
        if self.held.contains(from, to) {
            return Fate::Held;
        }
        let link = from * ROW + to;
        let Some(wires) = &mut self.wires else {
            return self.weathered(now, link);
        };
        let Some(wire) = wires.links.get_mut(link) else {
            return Fate::Lost;
        };
        if now < wire.down_until {
            return Fate::Lost;
        }
        let mut leaves = now;
        if wires.bytes_per_second > 0 {
            let takes = |bytes: u64| {
                let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(wires.bytes_per_second);
                Nanos::new(u64::try_from(nanos).unwrap_or(u64::MAX))
            };
            // A message that is larger than the whole queue is sent alone.
            let waits = wire.busy_until.since(now);
            if waits > Nanos::ZERO && waits + takes(bytes) > takes(wires.queue_bytes) {
                return Fate::Full;
            }
            wire.busy_until = now + waits + takes(bytes);
            leaves = wire.busy_until;
        }
        let is_stream = wires.stream;
        match self.weathered_leaving(now, leaves, link) {
            Fate::Lost if is_stream => {
                self.break_connection(now, from, to);
                Fate::Broken
            }
            fate => fate,
        }
    }

    /// Breaks a connection. Returns whether there was one.
    pub(crate) fn break_connection(&mut self, now: Nanos, from: usize, to: usize) -> bool {
        let number = from * ROW + to;
        let (Some(wires), Some(link)) = (&mut self.wires, self.links.get_mut(number)) else {
            return false;
        };
        let Some(wire) = wires.links.get_mut(number).filter(|_| wires.stream) else {
            return false;
        };
        let was_there = wire.down_until <= now;
        wire.breaks += 1;
        let draw = self
            .seed
            .quick(Domain::Wire, number as u64, bucket(now), wire.breaks);
        wire.lost_until = link.in_order_until.max(now);
        link.in_order_until = wire.lost_until + Nanos::new(1);
        wire.busy_until = now;
        wire.down_until = now + Nanos::new(draw.below(wires.reconnect_within.value()));
        was_there
    }

    /// Whether a message that arrives now was on a connection that broke meanwhile.
    pub(crate) fn is_lost_with_connection(&self, now: Nanos, from: usize, to: usize) -> bool {
        let wire = self
            .wires
            .as_ref()
            .and_then(|wires| wires.links.get(from * ROW + to));
        wire.is_some_and(|wire| now <= wire.lost_until)
    }

    /// When a message that a cut link has kept may arrive: on a connection, after everything that was sent before it.
    pub(crate) fn release(&mut self, now: Nanos, from: usize, to: usize) -> Nanos {
        if !self.is_stream() {
            return now;
        }
        match self.links.get_mut(from * ROW + to) {
            Some(link) => {
                link.in_order_until = link.in_order_until.max(now);
                link.in_order_until
            }
            None => now,
        }
    }

    /// Whether the weather damages the bytes of a message that is sent now, and the draws that say how.
    pub(crate) fn damages(&self, now: Nanos, from: usize, to: usize) -> Option<Draws> {
        let permyriad = self.now.corrupt_permyriad;
        if permyriad == 0 {
            return None;
        }
        // Named like the draw of the weather, which the message has just had.
        let link = from * ROW + to;
        let ordinal = self.links.get(link).map_or(0, |link| link.ordinal);
        let entity = (ROW * ROW + link) as u64;
        let draw = self.seed.quick(Domain::Wire, entity, bucket(now), ordinal);
        draw.chance(permyriad)
            .then(|| self.seed.careful(Domain::Wire, entity, bucket(now), ordinal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    fn network(weather: NetworkWeather) -> Network {
        Network::new(Seed(1), Domain::Link, weather)
    }

    #[test]
    fn a_connection_keeps_the_order_delivers_once_and_loses_what_is_in_flight_when_it_breaks() {
        let mut network = network(NetworkWeather {
            stream: true,
            reorder_permyriad: 5_000,
            duplicate_permyriad: 5_000,
            reconnect_within: Nanos::from_millis(1),
            ..NetworkWeather::default()
        });
        let arrives = |network: &mut Network, now| match network.fate_on_wire(now, 0, 1, 100) {
            Fate::Arrives { at, again: None, .. } => at,
            other => panic!("a sound connection delivers once, and not {other:?}"),
        };
        let sent: Vec<Nanos> = (0..100)
            .map(|step| arrives(&mut network, Nanos::from_micros(step * 10)))
            .collect();
        assert!(sent.is_sorted());
        let now = Nanos::from_millis(1);
        assert!(network.break_connection(now, 0, 1));
        let under_way = sent.iter().filter(|at| **at > now);
        assert!(under_way.clone().count() > 0);
        assert!(
            under_way
                .into_iter()
                .all(|at| network.is_lost_with_connection(*at, 0, 1))
        );
        assert_eq!(
            network.fate_on_wire(now, 0, 1, 100),
            Fate::Lost,
            "it is not restored yet"
        );
        let later = arrives(&mut network, Nanos::from_millis(2));
        assert!(!network.is_lost_with_connection(later, 0, 1));
        assert!(
            !network.is_lost_with_connection(now, 1, 0),
            "the opposite direction is another connection"
        );
    }

    #[test]
    fn a_slow_link_delays_by_bytes_and_drops_what_its_queue_cannot_hold() {
        let mut network = network(NetworkWeather {
            bytes_per_second: 1_000,
            queue_bytes: 250,
            delay_min: Nanos::ZERO,
            delay_max: Nanos::ZERO,
            ..NetworkWeather::default()
        });
        let mut at = |now| network.fate_on_wire(Nanos::from_millis(now), 0, 1, 100);
        let arrives = |millis| Fate::Arrives {
            at: Nanos::from_millis(millis),
            again: None,
            reordered: false,
        };
        assert_eq!(at(0), arrives(100));
        assert_eq!(at(0), arrives(200));
        assert_eq!(at(0), Fate::Full);
        assert_eq!(at(60), arrives(300));
        assert_eq!(at(1_000), arrives(1_100));
    }
}
