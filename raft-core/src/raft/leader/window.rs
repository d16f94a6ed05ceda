//! The window of appends in flight to one peer (dissertation §10.2.1).

use alloc::collections::VecDeque;

use crate::config::Limits;
use crate::types::Index;

/// Appends on their way to a peer, oldest first.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) inflight: VecDeque<(Index, usize)>,
    pub(super) bytes: usize,
    /// How many appends have been acknowledged since the last probe. The window opens with them, as TCP's slow start
    /// does, so that a rejection costs a few messages and not a window.
    pub(super) acknowledged: usize,
    /// Whether nothing was acknowledged since the last heartbeat.
    pub(super) stalled: bool,
}

impl Window {
    /// Whether an append in flight ends with this entry.
    pub(super) fn ends_at(&self, last: Option<Index>) -> bool {
        let place = |last| self.inflight.binary_search_by_key(&last, |(end, _)| *end);
        last.is_some_and(|last| place(last).is_ok())
    }

    /// Checks that every append in flight is one that may still be answered, and that the bytes are theirs: a window
    /// that does not open again to its full width feeds its peer ever more slowly.
    pub(super) fn check(
        &self,
        matched: Option<Index>,
        next: Index,
        limits: &Limits,
    ) -> Result<(), &'static str> {
        if self
            .inflight
            .front()
            .is_some_and(|(end, _)| Some(*end) <= matched)
        {
            return Err("an append that was acknowledged counts as in flight");
        }
        if self.inflight.back().is_some_and(|(end, _)| *end >= next) {
            return Err("an append in flight ends beyond what was sent");
        }
        if self.inflight.iter().map(|(_, bytes)| bytes).sum::<usize>() != self.bytes {
            return Err("the bytes of a window are not the sum of its appends");
        }
        // The last append left while there was room, whatever its own size.
        let before = self.bytes - self.inflight.back().map_or(0, |(_, bytes)| *bytes);
        if self.inflight.len() > limits.inflight_messages || before > limits.inflight_bytes {
            return Err("more is in flight to a peer than its window allows");
        }
        Ok(())
    }
}
