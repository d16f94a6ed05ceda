//! The fate of each message, decided when it is sent: by the weather of its directed link, and by the cuts in force.

mod wires;

use crate::nanos::Nanos;
use crate::random::{Domain, Draw, Seed, bucket};
use crate::schedule::{Delivery, NetworkWeather};

use self::wires::Wires;

/// The places in a row of the matrix of links; servers are numbered from 0 here.
const ROW: usize = 8;

/// A set of directed links, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Links(u64);

impl Links {
    /// Adds a link.
    pub(crate) fn add(&mut self, from: usize, to: usize) {
        self.0 |= 1 << (from * ROW + to);
    }

    /// Adds both directions.
    pub(crate) fn add_both(&mut self, one: usize, other: usize) {
        self.add(one, other);
        self.add(other, one);
    }

    /// Whether the link is among them.
    pub(crate) const fn contains(self, from: usize, to: usize) -> bool {
        self.0 >> (from * ROW + to) & 1 == 1
    }

    /// The links that go out from a server, one bit each.
    pub(crate) const fn from(self, from: usize) -> u64 {
        self.0 >> (from * ROW) & 0xff
    }

    const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A partition in force.
#[derive(Clone, Copy, Debug)]
struct Cut {
    fault: u32,
    links: Links,
    delivery: Delivery,
    /// Whether the link is whole for the moment, as it flaps.
    is_off: bool,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The weather loses it.
    Lost,
    /// Its link is cut.
    Cut,
    /// Its link keeps it until it is healed.
    Held,
    /// Its connection breaks.
    Broken,
    /// There is no room for it in its link's queue.
    Full,
    /// It arrives, perhaps twice.
    Arrives {
        at: Nanos,
        again: Option<Nanos>,
        reordered: bool,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    bucket: u64,
    ordinal: u64,
    /// When the last message in order arrives, which the next one may not overtake.
    in_order_until: Nanos,
}

/// The network between servers.
pub(crate) struct Network {
    seed: Seed,
    domain: Domain,
    weather: NetworkWeather,
    storms: Vec<(u32, NetworkWeather)>,
    now: NetworkWeather,
    links: Vec<Link>,
    cuts: Vec<Cut>,
    dropped_at_send: Links,
    dropped_at_delivery: Links,
    held: Links,
    /// The wire model of the links (bandwidth, queues, connections), if the schedule has one.
    wires: Option<Wires>,
}

impl Network {
    pub(crate) fn new(seed: Seed, domain: Domain, weather: NetworkWeather) -> Self {
        Self {
            seed,
            domain,
            weather,
            storms: Vec::new(),
            now: weather,
            links: vec![Link::default(); 32 * ROW],
            cuts: Vec::new(),
            dropped_at_send: Links::default(),
            dropped_at_delivery: Links::default(),
            held: Links::default(),
            wires: Wires::new(&weather).filter(|_| domain == Domain::Link),
        }
        .combined()
    }

    fn combined(mut self) -> Self {
        self.combine();
        self
    }

    /// Decides the fate of a message that is sent now.
    #[inline]
    pub(crate) fn fate(&mut self, now: Nanos, from: usize, to: usize) -> Fate {
        if self.dropped_at_send.contains(from, to) {
            return Fate::Cut;
        }
        if self.held.contains(from, to) {
            return Fate::Held;
        }
        self.weathered(now, from * ROW + to)
    }

    /// Decides by the weather alone, for link number `link`.
    #[inline]
    pub(crate) fn weathered(&mut self, now: Nanos, link: usize) -> Fate {
        self.weathered_leaving(now, now, link)
    }

    /// The same for a message that is sent now and leaves later.
    #[inline]
    fn weathered_leaving(&mut self, now: Nanos, leaves: Nanos, link: usize) -> Fate {
        let draw = self.draw(now, link);
        let weather = self.now;
        // Each part of the draw costs a round of the hash, so parts that cannot matter are left out.
        let happens = |part, permyriad| permyriad > 0 && draw.part(part).chance(permyriad);
        if happens(1, weather.loss_permyriad) {
            return Fate::Lost;
        }
        let delay =
            |draw: Draw| Nanos::new(draw.between(weather.delay_min.value(), weather.delay_max.value()));
        let mut at = leaves + delay(draw);
        let reordered = happens(2, weather.reorder_permyriad);
        if reordered {
            at += Nanos::new(draw.part(3).below(weather.reorder_by.value()));
        } else if let Some(link) = self.links.get_mut(link) {
            at = at.max(link.in_order_until);
            link.in_order_until = at;
        }
        let again = happens(4, weather.duplicate_permyriad).then(|| {
            let extra = Nanos::new(draw.part(6).below(weather.reorder_by.value()));
            leaves + delay(draw.part(5)) + extra
        });
        Fate::Arrives { at, again, reordered }
    }

    /// A message's draw is named by its link, the time bucket, and how many messages the link had in that bucket
    /// before.
    fn draw(&mut self, now: Nanos, number: usize) -> Draw {
        let bucket = bucket(now);
        let mut ordinal = 0;
        if let Some(link) = self.links.get_mut(number) {
            if link.bucket != bucket {
                link.bucket = bucket;
                link.ordinal = 0;
            }
            link.ordinal += 1;
            ordinal = link.ordinal;
        }
        #[cfg(feature = "planted-bugs")]
        if ordinal % 8 == 7 && planted!(unrepeatable::DRAWS_FROM_THE_SYSTEM) {
            ordinal ^= crate::planted::unrepeatable::drawn_by_the_system();
        }
        self.seed.quick(self.domain, number as u64, bucket, ordinal)
    }

    /// Whether a message that arrives now is lost after all.
    pub(crate) const fn is_lost_at_delivery(&self, from: usize, to: usize) -> bool {
        self.dropped_at_delivery.contains(from, to)
    }

    /// Whether messages on this link are being kept.
    pub(crate) const fn is_held(&self, from: usize, to: usize) -> bool {
        self.held.contains(from, to)
    }

    /// Whether messages on this link do not arrive.
    pub(crate) const fn is_cut(&self, from: usize, to: usize) -> bool {
        self.dropped_at_send.contains(from, to)
            || self.dropped_at_delivery.contains(from, to)
            || self.held.contains(from, to)
    }

    /// Every link that is cut, in one way or another.
    pub(crate) const fn cut_links(&self) -> Links {
        self.dropped_at_send
            .union(self.dropped_at_delivery)
            .union(self.held)
    }

    /// A partition begins.
    pub(crate) fn cut(&mut self, fault: u32, links: Links, delivery: Delivery) {
        self.cuts.push(Cut {
            fault,
            links,
            delivery,
            is_off: false,
        });
        self.combine();
    }

    /// A flapping partition changes its state. Returns whether there is such a partition.
    pub(crate) fn flap(&mut self, fault: u32) -> bool {
        let mut found = false;
        for cut in self.cuts.iter_mut().filter(|cut| cut.fault == fault) {
            cut.is_off = !cut.is_off;
            found = true;
        }
        self.combine();
        found
    }

    /// A storm begins.
    pub(crate) fn storm(&mut self, fault: u32, weather: NetworkWeather) {
        self.storms.push((fault, weather));
        self.combine();
    }

    /// A partition or a storm ends.
    pub(crate) fn end(&mut self, fault: u32) {
        self.cuts.retain(|cut| cut.fault != fault);
        self.storms.retain(|(storm, _)| *storm != fault);
        self.combine();
    }

    /// How long the messages that wait in the queues of links take to arrive; what is sent from now on arrives after
    /// them.
    pub(crate) fn backlog(&self, now: Nanos) -> Nanos {
        let links = self.links.iter().map(|link| link.in_order_until.since(now));
        links.max().unwrap_or(Nanos::ZERO)
    }

    /// Ends all partitions and storms, and stops all loss. No message takes longer than `delay_max` from now on.
    pub(crate) fn calm(&mut self, delay_max: Nanos) {
        self.cuts.clear();
        self.storms.clear();
        self.weather.delay_max = self.weather.delay_max.min(delay_max);
        self.weather.delay_min = self.weather.delay_min.min(delay_max);
        self.weather.loss_permyriad = 0;
        self.weather.duplicate_permyriad = 0;
        self.weather.reorder_permyriad = 0;
        self.weather.corrupt_permyriad = 0;
        self.wires = None;
        self.combine();
    }

    fn combine(&mut self) {
        let all = |delivery: Delivery| {
            let those = self
                .cuts
                .iter()
                .filter(|cut| cut.delivery == delivery && !cut.is_off);
            those.fold(Links::default(), |links, cut| links.union(cut.links))
        };
        (self.dropped_at_send, self.dropped_at_delivery, self.held) = (
            all(Delivery::DroppedAtSend),
            all(Delivery::DroppedAtDelivery),
            all(Delivery::Held),
        );
        self.now = self.weather;
        for (_, storm) in &self.storms {
            self.now.loss_permyriad += storm.loss_permyriad;
            self.now.duplicate_permyriad += storm.duplicate_permyriad;
            self.now.reorder_permyriad += storm.reorder_permyriad;
            self.now.delay_min += storm.delay_min;
            self.now.delay_max += storm.delay_min;
            self.now.corrupt_permyriad += storm.corrupt_permyriad;
        }
        if self.is_stream() {
            self.now.duplicate_permyriad = 0;
            self.now.reorder_permyriad = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_without_reordering_keeps_the_order_and_one_with_it_does_not() {
        for (permyriad, expected) in [(0, true), (3_000, false)] {
            let weather = NetworkWeather {
                reorder_permyriad: permyriad,
                ..NetworkWeather::default()
            };
            let mut network = Network::new(Seed(1), Domain::Link, weather);
            let mut arrivals = Vec::new();
            for step in 0..200 {
                if let Fate::Arrives { at, .. } = network.fate(Nanos::from_micros(step * 100), 0, 1) {
                    arrivals.push(at);
                }
            }
            assert_eq!(arrivals.is_sorted(), expected);
        }
    }

    #[test]
    fn a_cut_is_one_way_and_ends_with_its_fault() {
        let mut network = Network::new(Seed(1), Domain::Link, NetworkWeather::default());
        let mut links = Links::default();
        links.add(0, 1);
        network.cut(7, links, Delivery::DroppedAtSend);
        network.cut(8, links, Delivery::Held);
        assert_eq!(network.fate(Nanos::ZERO, 0, 1), Fate::Cut);
        assert!(matches!(network.fate(Nanos::ZERO, 1, 0), Fate::Arrives { .. }));
        network.end(7);
        assert_eq!(network.fate(Nanos::ZERO, 0, 1), Fate::Held);
        network.end(8);
        assert!(matches!(network.fate(Nanos::ZERO, 0, 1), Fate::Arrives { .. }));
    }

    #[test]
    fn what_one_link_draws_does_not_depend_on_another() {
        let mut busy = Network::new(Seed(1), Domain::Link, NetworkWeather::default());
        let mut quiet = Network::new(Seed(1), Domain::Link, NetworkWeather::default());
        for _ in 0..10 {
            busy.fate(Nanos::ZERO, 1, 2);
        }
        assert_eq!(busy.fate(Nanos::ZERO, 0, 1), quiet.fate(Nanos::ZERO, 0, 1));
    }
}
