//! The rolling hashes by which runs are compared. They are not secure: they tell runs apart, at a nanosecond a word.

use crate::random::mix;

/// A hash that is fed one word after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Rolling(u64);

impl Rolling {
    /// Feeds a word.
    #[inline]
    pub(crate) const fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Feeds bytes and their number.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(chunks.remainder()) {
            *to = *from;
        }
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    /// Returns the hash, every bit of which depends on every word.
    pub(crate) const fn finish(self) -> u64 {
        mix(self.0)
    }
}

/// Returns the hash of some bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    let mut hash = Rolling::default();
    hash.bytes(bytes);
    hash.finish()
}
