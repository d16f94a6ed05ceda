//! The one event queue: by time, then by the order in which events were caused, or by a draw where ties are shuffled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::nanos::Nanos;
use crate::random::{Domain, Seed};

/// When an event is due, and where it waits. For the few hundred pending events of a cluster a binary heap of small keys beats a timing
/// wheel; the events themselves stay where they are while the heap moves its keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Nanos,
    order: u64,
    slot: u32,
}

/// Pending events of type `E`.
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Due>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    pushed: u64,
    ties: Option<Seed>,
}

impl<E> Queue<E> {
    /// An empty queue; `ties` shuffles events of the same instant.
    pub(crate) fn new(ties: Option<Seed>) -> Self {
        Self {
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
        self.heap.push(Reverse(Due { at, order, slot }));
    }

    /// Takes the next event.
    pub(crate) fn pop(&mut self) -> Option<(Nanos, E)> {
        let Reverse(due) = self.heap.pop()?;
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
