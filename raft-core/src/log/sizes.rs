//! What the retained log costs, with a mark every so many bytes: enough to say how far back a limit in bytes reaches,
//! although most entries are in the store only.

use alloc::collections::VecDeque;

use crate::queue::Ends;
use crate::types::Index;

#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// The distance of two marks, in bytes.
    distance: u64,
    /// The cost of all entries so far.
    total: u64,
    /// Positions with the cost of all entries up to each, in order.
    marks: VecDeque<(Index, u64)>,
}

impl Sizes {
    /// Begins to measure, for limits from this one on: they are kept to within a part of 64.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            distance: limit / 64 + 1,
            ..Self::default()
        }
    }

    fn marked(&self) -> u64 {
        self.marks.back().map_or(0, |(_, bytes)| *bytes)
    }

    /// Notes that an entry of this cost was appended.
    pub(super) fn push(&mut self, at: Index, cost_bytes: usize) {
        self.total = self.total.saturating_add(cost_bytes as u64);
        if self.total - self.marked() >= self.distance {
            self.marks.push_back((at, self.total));
        }
    }

    /// Notes that the entries at `from` and after it were removed, which cost so much.
    pub(super) fn truncate(&mut self, from: Index, cost_bytes: usize) {
        while self.marks.take_back_if(|(at, _)| *at >= from).is_some() {}
        self.total = self.total.saturating_sub(cost_bytes as u64).max(self.marked());
    }

    /// Notes that the whole log was discarded.
    pub(super) fn clear(&mut self) {
        self.total = 0;
        self.marks.clear();
    }

    /// Forgets the marks before the new beginning of the log.
    pub(super) fn compact(&mut self, to: Index) {
        while self.marks.take_front_if(|(at, _)| *at <= to).is_some() {}
    }

    /// Returns the first mark after which the log costs no more than `limit` bytes. `None` if all of it costs no more:
    /// what comes before the first mark counts as nothing.
    pub(super) fn within(&self, limit: u64) -> Option<Index> {
        let place = self
            .marks
            .partition_point(|(_, marked)| self.total - marked > limit);
        let (at, _) = self.marks.get(place).filter(|_| place > 0)?;
        Some(*at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(value: u64) -> Index {
        Index::new(value).expect("positions begin at 1")
    }

    #[test]
    fn a_limit_is_kept_to_within_the_distance_of_two_marks() {
        let limit = 6_400;
        let mut sizes = Sizes::new(limit);
        for at in 1..=1_000 {
            sizes.push(index(at), 32);
            let Some(within) = sizes.within(limit) else {
                assert!(32 * at <= limit + sizes.distance + 32);
                continue;
            };
            let kept = 32 * (at - within.value());
            assert!(
                kept <= limit && kept + sizes.distance + 32 > limit,
                "{kept} bytes are kept"
            );
        }
        sizes.truncate(index(900), 32 * 101);
        let within = sizes.within(limit).expect("most of the log is older");
        assert!(32 * (899 - within.value()) <= limit);
        sizes.compact(index(899));
        assert_eq!(sizes.within(limit), None);
    }
}
