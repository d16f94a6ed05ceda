//! The one event queue: by time, then by the order in which events were caused, or by a draw where ties are shuffled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::nanos::Nanos;
use crate::random::{Domain, Seed};

/// When an event is due, and its slot. For the few hundred pending events of a cluster a binary heap of small keys
/// beats a timing wheel; the events themselves stay in their slots while the heap moves the keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Nanos,
    order: u64,
    slot: u32,
}

/// Pending events of type `E`.
pub(crate) struct Queue<E> {
    /// The events that were known before the first one was taken, in reverse order. A schedule plans a thousand events
    /// ahead; in the heap, every other event would have to climb over them.
    planned: Vec<Due>,
    has_begun: bool,
    heap: BinaryHeap<Reverse<Due>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    pushed: u64,
    ties: Option<Seed>,
}

impl<E> Queue<E> {
    /// Makes an empty queue; `ties` shuffles events of the same instant.
    pub(crate) fn new(ties: Option<Seed>) -> Self {
        Self {
            planned: Vec::new(),
            has_begun: false,
            heap: BinaryHeap::with_capacity(256),
            slots: Vec::with_capacity(256),
            free: Vec::new(),
            pushed: 0,
            ties,
        }
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, at: Nanos, event: E) {
        let order = match self.ties {
            None => self.pushed,
            Some(seed) => seed.quick(Domain::Ties, 0, at.value(), self.pushed).bits(),
        };
        self.pushed += 1;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(event);
        }
        let due = Due { at, order, slot };
        match self.has_begun {
            true => self.heap.push(Reverse(due)),
            false => self.planned.push(due),
        }
    }

    /// The events that have not been taken, in no order that means anything.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &E> {
        self.slots.iter().flatten()
    }

    /// Takes the next event.
    pub(crate) fn pop(&mut self) -> Option<(Nanos, E)> {
        if !self.has_begun {
            self.planned.sort_unstable_by_key(|due| Reverse(*due));
            self.has_begun = true;
        }
        let due = match (self.planned.last(), self.heap.peek()) {
            (Some(planned), Some(Reverse(caused))) if planned < caused => self.planned.pop()?,
            (Some(_), None) => self.planned.pop()?,
            _ => self.heap.pop()?.0,
        };
        self.free.push(due.slot);
        let event = self.slots.get_mut(due.slot as usize)?.take()?;
        Some((due.at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(mut queue: Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(move || queue.pop().map(|(_, event)| event)).collect()
    }

    fn filled(ties: Option<Seed>) -> Queue<u32> {
        let mut queue = Queue::new(ties);
        for event in 0..20 {
            queue.push(Nanos::new(u64::from(event / 10)), event);
        }
        queue
    }

    #[test]
    fn events_come_in_the_order_of_time_whenever_they_were_added() {
        let mut queue = Queue::new(None);
        let mut pending = Vec::new();
        for step in 0..2_000 {
            let draw = Seed(9).quick(Domain::Ties, 0, 0, step);
            // Many before the first one is taken, and then about as many as are taken.
            let added = if step == 0 { 500 } else { draw.below(3) };
            for part in 0..added {
                let at = Nanos::new(draw.part(part).below(2_000));
                queue.push(at, (at, step * 1_000 + part));
                pending.push((at, step * 1_000 + part));
            }
            pending.sort_unstable();
            let expected = (!pending.is_empty()).then(|| pending.remove(0));
            assert_eq!(queue.pop().map(|(_, event)| event), expected);
        }
        assert!(pending.len() > 100, "the queue held many events at once");
    }

    #[test]
    fn events_of_one_instant_come_in_the_order_of_their_causes() {
        assert_eq!(drained(filled(None)), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn shuffled_ties_keep_the_order_of_time_and_no_other() {
        let shuffled = drained(filled(Some(Seed(3))));
        assert_ne!(shuffled, (0..20).collect::<Vec<_>>());
        assert!(shuffled.iter().take(10).all(|&event| event < 10));
        assert_eq!(shuffled, drained(filled(Some(Seed(3)))));
    }
}
