//! The one event queue: by time, then by the order in which events were caused, or by a draw where ties are shuffled.

use crate::nanos::Nanos;
use crate::random::{Domain, Seed};

/// When an event is due, and where it waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Nanos,
    order: u64,
    slot: u32,
}

/// How many children a key of the heap has: with four it is half as deep as with two, and those four share a cache line or two.
const CHILDREN: usize = 4;

/// Keys, the next one first. For the few hundred pending events of a cluster a heap of small keys beats a timing wheel; the
/// events themselves stay where they are while the heap moves its keys.
#[derive(Default)]
struct Heap(Vec<Due>);

impl Heap {
    fn push(&mut self, due: Due) {
        let mut place = self.0.len();
        self.0.push(due);
        while let Some(parent) = place.checked_sub(1).map(|before| before / CHILDREN) {
            if self.0[parent] <= due {
                break;
            }
            self.0[place] = self.0[parent];
            place = parent;
        }
        self.0[place] = due;
    }

    fn pop(&mut self) -> Option<Due> {
        let last = self.0.pop()?;
        let Some(&first) = self.0.first() else {
            return Some(last);
        };
        // The last key sinks from the top until nothing below it is earlier.
        let mut place = 0;
        loop {
            let begin = place * CHILDREN + 1;
            let end = (begin + CHILDREN).min(self.0.len());
            let children = self.0.get(begin..end).unwrap_or(&[]);
            let Some((child, &earliest)) = children.iter().enumerate().min_by_key(|(_, due)| **due) else {
                break;
            };
            if last <= earliest {
                break;
            }
            self.0[place] = earliest;
            place = begin + child;
        }
        self.0[place] = last;
        Some(first)
    }
}

/// Pending events of type `E`.
pub(crate) struct Queue<E> {
    heap: Heap,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    pushed: u64,
    ties: Option<Seed>,
}

impl<E> Queue<E> {
    /// An empty queue; `ties` shuffles events of the same instant.
    pub(crate) fn new(ties: Option<Seed>) -> Self {
        Self {
            heap: Heap(Vec::with_capacity(256)),
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
        self.heap.push(Due { at, order, slot });
    }

    /// Takes the next event.
    pub(crate) fn pop(&mut self) -> Option<(Nanos, E)> {
        let due = self.heap.pop()?;
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
            for part in 0..draw.below(4) {
                let at = Nanos::new(draw.part(part).below(50));
                queue.push(at, (at, step * 4 + part));
                pending.push((at, step * 4 + part));
            }
            pending.sort_unstable();
            let expected = (!pending.is_empty()).then(|| pending.remove(0));
            assert_eq!(queue.pop().map(|(_, event)| event), expected);
        }
        assert!(!pending.is_empty(), "the queue held many events at once");
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
