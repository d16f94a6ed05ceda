//! The entries that are in memory. Those that came together stay together, so that the write, every message and the state machine share
//! them; those that came one by one are gathered, as a piece for each would cost more than it saves.
//!
//! ```text
//!   pieces  ┌─────────┐┌──────────────────┐┌────────┐   open  ┌───┐
//!           │ shared  ││ shared           ││ shared │         │   │ ← push
//!           └─────────┘└──────────────────┘└────────┘         └───┘
//!                                                        lent  └┘└─┘ shared copies of parts of it
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::entries::Entries;
use crate::types::{Entry, Index};

/// So many entries are a piece of their own.
const PIECE: usize = 8;

/// What is gathered is a piece at this size, however much more may come: the memory of a piece is freed in one go.
const PIECE_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Tail {
    /// None of them empty.
    pieces: VecDeque<Entries>,
    open: Vec<Entry>,
    open_bytes: usize,
    /// Of the open piece.
    lent: Vec<Entries>,
    /// How many entries there are, and what they cost.
    len: usize,
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
        self.gathered(1, cost);
    }

    /// Takes note of what the open piece has got.
    fn gathered(&mut self, count: usize, cost: usize) {
        self.len += count;
        self.bytes = self.bytes.saturating_add(cost);
        self.open_bytes = self.open_bytes.saturating_add(cost);
        if self.open_bytes >= PIECE_BYTES {
            self.close();
        }
    }

    /// Appends entries that came together.
    pub(super) fn extend(&mut self, entries: Entries) {
        if entries.len() >= PIECE {
            self.close();
            self.len += entries.len();
            self.bytes = self.bytes.saturating_add(entries.cost_bytes());
            self.pieces.push_back(entries);
            return;
        }
        self.settle();
        self.open.extend(entries.iter().cloned());
        self.gathered(entries.len(), entries.cost_bytes());
        if !self.open.is_empty() {
            self.lent.push(entries);
        }
    }

    /// Makes a piece of what has been gathered, if it is enough for one. Called when all that comes together has come.
    pub(super) fn settle(&mut self) {
        if self.open.len() >= PIECE {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push_back(self.open.drain(..).collect());
            self.open_bytes = 0;
            self.lent.clear();
        }
    }

    /// Removes the entries at `from` and beyond.
    pub(super) fn truncate(&mut self, from: Index) {
        self.close();
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

    /// Removes the entries up to this position.
    pub(super) fn remove_to(&mut self, last: Index) {
        let ends_by_then = |piece: &mut Entries| piece.last().is_none_or(|entry| entry.id.index <= last);
        while let Some(piece) = self.pieces.pop_front_if(ends_by_then) {
            self.len -= piece.len();
            self.bytes = self.bytes.saturating_sub(piece.cost_bytes());
        }
        while self.pop_front(Some(last)) {}
    }

    /// Removes the first entry, if there is one and it is not after this position. The memory of a piece is freed with its last entry.
    pub(super) fn pop_front(&mut self, last: Option<Index>) -> bool {
        if self.pieces.is_empty() {
            self.close();
        }
        let Some(piece) = self.pieces.front_mut() else {
            return false;
        };
        let Some(first) = piece.pop_front_if(|first| Some(first.id.index) <= last) else {
            return false;
        };
        self.len -= 1;
        self.bytes = self.bytes.saturating_sub(first.cost_bytes());
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        true
    }

    /// In which piece this position is, with the open one after the last, and how far from its beginning.
    fn find(&self, at: Index) -> Option<(usize, usize)> {
        let offset_in = |piece: &[Entry]| {
            let offset = at.value().checked_sub(piece.first()?.id.index.value())?;
            usize::try_from(offset).ok()
        };
        // What is asked for is nearly always at the end.
        if let Some(offset) = offset_in(&self.open) {
            return Some((self.pieces.len(), offset));
        }
        let begins_before = |piece: &Entries| offset_in(piece).is_some();
        let place = match self.pieces.back() {
            Some(last) if begins_before(last) => self.pieces.len() - 1,
            _ => self.pieces.partition_point(begins_before).checked_sub(1)?,
        };
        let offset = offset_in(self.pieces.get(place)?)?;
        Some((place, offset))
    }

    fn piece(&self, place: usize) -> &[Entry] {
        self.pieces.get(place).map_or(&self.open, |piece| piece)
    }

    pub(super) fn get(&self, at: Index) -> Option<&Entry> {
        let (place, offset) = self.find(at)?;
        self.piece(place).get(offset)
    }

    /// The entries from this one on; none when it is not in memory.
    pub(super) fn from(&self, first: Index) -> impl Iterator<Item = &Entry> {
        let found = self.find(first);
        let (place, offset) = found.unwrap_or((self.pieces.len(), self.open.len()));
        let begun = self.piece(place).get(offset..).unwrap_or_default();
        let behind = (place + 1..=self.pieces.len()).flat_map(|place| self.piece(place));
        begun.iter().chain(behind)
    }

    /// Entries from `first` to `last`, as many as fit in `max_bytes` and at least one; none when `first` is not in memory. Shared if they are
    /// of one piece, or were lent before, else copied.
    pub(super) fn share(&mut self, first: Index, last: Index, max_bytes: usize) -> Entries {
        let wanted = (last.value() + 1).saturating_sub(first.value());
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        // The write, an append to each peer and the apply nearly always want the same.
        let lent = self.lent(first, wanted);
        if let Some(lent) = lent.filter(|lent| lent.len() == 1 || lent.cost_bytes() <= max_bytes) {
            return lent;
        }
        let Some((place, offset)) = self.find(first) else {
            return Entries::default();
        };
        let run = self.piece(place).get(offset..).unwrap_or_default();
        let count = match run.get(..wanted) {
            Some(run) => how_many_fit(run.iter(), max_bytes),
            None => how_many_fit(self.from(first).take(wanted), max_bytes),
        };
        let Some(run) = run.get(..count) else {
            return self.from(first).take(count).cloned().collect();
        };
        if let Some(piece) = self.pieces.get(place) {
            return piece.part(offset..offset + count);
        }
        if count < wanted
            && let Some(lent) = self.lent(first, count)
        {
            return lent;
        }
        let copied: Entries = run.iter().cloned().collect();
        self.lent.push(copied.clone());
        copied
    }

    /// These entries, if they were lent or came together before.
    fn lent(&self, first: Index, count: usize) -> Option<Entries> {
        self.lent.iter().rev().find_map(|lent| {
            let begin = first.value().checked_sub(lent.first()?.id.index.value())?;
            if begin == 0 && count == lent.len() {
                return Some(lent.clone());
            }
            let begin = usize::try_from(begin).ok()?;
            let end = begin.checked_add(count).filter(|&end| end <= lent.len())?;
            Some(lent.part(begin..end))
        })
    }
}

/// How many of these fit into so many bytes; one at least, if there is one.
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
