//! The entries that are in memory. Entries that arrived together stay in one piece, so that the write, every message
//! and the state machine share them.
//!
//! ```text
//!   pieces  ┌─────────┐┌──────────────────┐┌──┐┌────────┐   open  ┌───┐
//!           │ shared  ││ shared           ││  ││ shared │         │   │ ← push
//!           └─────────┘└──────────────────┘└──┘└────────┘         └───┘
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::entries::Entries;
use crate::queue::Ends;
use crate::types::{Entry, Index};

/// The size at which gathered entries become a piece, even if more are to come. The memory of a piece is freed only as
/// a whole, so pieces must not grow without a bound.
const PIECE_BYTES: usize = 1 << 20;

/// The last entries of the log, without a gap.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The closed pieces, none of them empty.
    pieces: VecDeque<Entries>,
    /// Entries that were pushed one by one after the pieces, and will become the next piece.
    open: Vec<Entry>,
    open_bytes: usize,
    /// The number of entries in all.
    len: usize,
    /// The cost of the entries in all.
    bytes: usize,
}

impl Tail {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        let of_pieces = self.pieces.front().and_then(|piece| piece.first());
        of_pieces.or_else(|| self.open.first())
    }

    pub(super) fn back(&self) -> Option<&Entry> {
        let of_pieces = || self.pieces.back().and_then(|piece| piece.last());
        self.open.last().or_else(of_pieces)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        let cost = entry.cost_bytes();
        self.open.push(entry);
        self.open_bytes = self.open_bytes.saturating_add(cost);
        self.len += 1;
        self.bytes = self.bytes.saturating_add(cost);
        if self.open_bytes >= PIECE_BYTES {
            self.settle();
        }
    }

    /// Appends entries that arrived together, as a piece of their own.
    pub(super) fn extend(&mut self, entries: Entries) {
        self.settle();
        if !entries.is_empty() {
            self.len += entries.len();
            self.bytes = self.bytes.saturating_add(entries.cost_bytes());
            self.pieces.push_back(entries);
        }
    }

    /// Closes the open piece. Entries pushed one by one count as one piece until a reader asks for them or another
    /// piece arrives.
    fn settle(&mut self) {
        if !self.open.is_empty() {
            self.close();
        }
    }

    /// Makes a piece of the open entries. Kept apart from [`settle`](Self::settle), which nearly always finds nothing
    /// to do, so that its check is inlined and costs no call.
    #[inline(never)]
    fn close(&mut self) {
        self.pieces.push_back(self.open.drain(..).collect());
        self.open_bytes = 0;
    }

    /// Removes the entries at `from` and after it.
    pub(super) fn truncate(&mut self, from: Index) {
        self.settle();
        while let Some(piece) = self.pieces.pop_back() {
            let keep = piece.partition_point(|entry| entry.id.index < from);
            let cut = piece.part(keep..piece.len());
            self.len -= cut.len();
            self.bytes = self.bytes.saturating_sub(cut.cost_bytes());
            if keep > 0 {
                self.pieces.push_back(piece.part(0..keep));
                return;
            }
        }
    }

    /// Removes the entries up to and including this position.
    pub(super) fn remove_to(&mut self, last: Index) {
        self.evict(last, 0);
        if let Some(piece) = self.pieces.front_mut() {
            let gone = piece.partition_point(|entry| entry.id.index <= last);
            let cut = piece.part(0..gone);
            *piece = piece.part(gone..piece.len());
            self.len -= cut.len();
            self.bytes = self.bytes.saturating_sub(cut.cost_bytes());
        }
    }

    /// Removes whole pieces while the entries cost more than `max_bytes`: the oldest first, and only pieces that end at
    /// `last` or before it. Removing a part of a piece would free nothing, since its memory is freed as a whole.
    pub(super) fn evict(&mut self, last: Index, max_bytes: usize) {
        self.settle();
        let ends_by_then = |piece: &Entries| piece.last().is_none_or(|entry| entry.id.index <= last);
        while self.bytes > max_bytes
            && let Some(piece) = self.pieces.take_front_if(ends_by_then)
        {
            self.len -= piece.len();
            self.bytes = self.bytes.saturating_sub(piece.cost_bytes());
        }
    }

    /// Returns the last piece that begins at this position or before it, its place, and the position's offset in it.
    ///
    /// It is nearly always the newest piece, whose entries are being written and sent, or the one before, which the
    /// next append reports as committed.
    fn find(&self, at: Index) -> Option<(usize, &Entries, usize)> {
        let newest = self.pieces.len().checked_sub(1)?;
        (self.look_in(newest, at))
            .or_else(|| self.look_in(newest.checked_sub(1)?, at))
            .or_else(|| self.search(at))
    }

    #[cold]
    fn search(&self, at: Index) -> Option<(usize, &Entries, usize)> {
        let begins_by_then = |piece: &Entries| piece.first().is_some_and(|first| first.id.index <= at);
        let place = self.pieces.partition_point(begins_by_then).checked_sub(1)?;
        self.look_in(place, at)
    }

    /// Returns the same for the piece at this place, if it begins at this position or before it.
    fn look_in(&self, place: usize, at: Index) -> Option<(usize, &Entries, usize)> {
        let piece = self.pieces.get(place)?;
        Some((place, piece, offset_in(piece, at)?))
    }

    pub(super) fn get(&self, at: Index) -> Option<&Entry> {
        self.from(at).next()
    }

    /// Returns the entries from `first` on; none when `first` is not in memory.
    pub(super) fn from(&self, first: Index) -> impl Iterator<Item = &Entry> {
        let (begun, following, open) = match (offset_in(&self.open, first), self.find(first)) {
            (None, Some((place, piece, offset))) => (piece.get(offset..), place + 1, Some(0)),
            (in_open, _) => (None, self.pieces.len(), in_open),
        };
        let open = open.and_then(|offset| self.open.get(offset..));
        let whole = self.pieces.range(following..).flat_map(|piece| piece.iter());
        begun
            .into_iter()
            .flatten()
            .chain(whole)
            .chain(open.into_iter().flatten())
    }

    /// Returns the entries from `first` to `last`: as many as fit in `max_bytes`, and at least one; none when `first`
    /// is not in memory. They are shared if they stand in one piece, and copied otherwise.
    pub(super) fn share(&mut self, first: Index, last: Index, max_bytes: usize) -> Entries {
        self.settle();
        let wanted = (last.value() + 1).saturating_sub(first.value());
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let is_wanted = |piece: &&Entries| {
            piece.len() == wanted
                && piece.first().is_some_and(|entry| entry.id.index == first)
                && (wanted == 1 || piece.cost_bytes() <= max_bytes)
        };
        let before = || self.pieces.get(self.pieces.len().checked_sub(2)?);
        if let Some(piece) = self
            .pieces
            .back()
            .filter(is_wanted)
            .or_else(|| before().filter(is_wanted))
        {
            return piece.clone();
        }
        self.cut(first, wanted, max_bytes)
    }

    /// Returns a part of one piece, or copies of entries of several pieces.
    #[inline(never)]
    fn cut(&self, first: Index, wanted: usize, max_bytes: usize) -> Entries {
        let Some((_, piece, offset)) = self.find(first) else {
            return Entries::default();
        };
        let run = piece.get(offset..).unwrap_or_default();
        let count = match run.get(..wanted) {
            Some([_]) => 1,
            Some(run) => how_many_fit(run.iter(), max_bytes),
            None => how_many_fit(self.from(first).take(wanted), max_bytes),
        };
        if count <= run.len() {
            piece.part(offset..offset + count)
        } else {
            self.from(first).take(count).cloned().collect()
        }
    }
}

/// Returns how many positions `at` is after the first of these entries; `None` if it is before it.
fn offset_in(entries: &[Entry], at: Index) -> Option<usize> {
    let offset = at.value().checked_sub(entries.first()?.id.index.value())?;
    usize::try_from(offset).ok()
}

/// Returns how many of these entries fit in `max_bytes`, and at least one if there is any.
fn how_many_fit<'a>(entries: impl Iterator<Item = &'a Entry>, max_bytes: usize) -> usize {
    if max_bytes == usize::MAX {
        return entries.count();
    }
    let mut bytes = 0_usize;
    let fits = |entry: &&Entry| {
        let is_first = bytes == 0;
        bytes = bytes.saturating_add(entry.cost_bytes());
        is_first || bytes <= max_bytes
    };
    entries.take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use core::ops::RangeInclusive;

    use super::*;
    use crate::types::{EntryBody, LogId, Payload, Term};

    fn index(value: u64) -> Index {
        Index::new(value).expect("positions begin at 1")
    }

    fn entry(at: u64) -> Entry {
        Entry {
            id: LogId::new(Term::new(1), index(at)),
            body: EntryBody::Command(Payload::from(&b"four"[..])),
        }
    }

    fn of_pieces(pieces: impl IntoIterator<Item = RangeInclusive<u64>>) -> Tail {
        let mut tail = Tail::default();
        for piece in pieces {
            tail.extend(piece.map(entry).collect());
        }
        tail
    }

    fn first(tail: &Tail) -> Option<u64> {
        tail.front().map(|entry| entry.id.index.value())
    }

    #[test]
    fn entries_that_arrived_together_are_shared_and_evicted_together() {
        let cost = entry(1).cost_bytes();
        let mut tail = of_pieces([1..=3, 4..=4, 5..=6]);
        let shared = |tail: &mut Tail, at, to| {
            let shared = tail.share(index(at), index(to), usize::MAX);
            let original = tail.get(index(at)).expect("it is in memory");
            core::ptr::eq(original, &raw const shared[0])
        };
        assert!(shared(&mut tail, 1, 3) && shared(&mut tail, 2, 2) && shared(&mut tail, 5, 6));
        assert!(!shared(&mut tail, 3, 4), "entries of two pieces are copied");
        tail.evict(index(6), 6 * cost);
        assert_eq!(first(&tail), Some(1), "the cost does not exceed the limit");
        tail.evict(index(2), 0);
        assert_eq!(
            first(&tail),
            Some(1),
            "the first piece ends at the third entry, which must stay"
        );
        tail.evict(index(6), 5 * cost);
        assert_eq!((first(&tail), tail.bytes()), (Some(4), 3 * cost));
        tail.evict(index(5), 0);
        assert_eq!(first(&tail), Some(5));
        tail.remove_to(index(5));
        assert_eq!((first(&tail), tail.len(), tail.bytes()), (Some(6), 1, cost));
    }

    #[test]
    fn every_entry_is_found_however_many_pieces_there_are() {
        let mut tail = of_pieces((0..20).map(|piece| 3 * piece + 1..=3 * piece + 3));
        tail.push(entry(61));
        for at in 1..=61 {
            assert_eq!(tail.get(index(at)), Some(&entry(at)));
            assert_eq!(tail.from(index(at)).count() as u64, 62 - at);
        }
        assert_eq!((tail.get(index(62)), tail.from(index(62)).next()), (None, None));
        tail.evict(index(9), 0);
        assert_eq!((tail.get(index(9)), tail.from(index(9)).next()), (None, None));
        assert_eq!(tail.share(index(59), index(61), usize::MAX).len(), 3);
    }
}
