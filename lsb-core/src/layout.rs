//! Which samples carry a body, and how they are changed.

use crate::bits::{BitsPerSample, scatter::GROUP_SAMPLES};

/// How many bytes a preamble has.
pub const PREAMBLE_BYTES: usize = 32;
/// How many samples carry the preamble.
pub const PREAMBLE_SAMPLES: usize = PREAMBLE_BYTES * 8;

/// How a body lies in a picture's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Low bits per sample that carry the body.
    pub bits: BitsPerSample,
    /// Whether samples are moved up or down by the toss of a coin where both ways are as far
    /// (±1 matching, for one bit), and not replaced. A reader does not notice.
    pub matched: bool,
    /// The salt of the order in which samples carry, or none for row by row from the top.
    pub scatter_salt: Option<u64>,
}

impl Layout {
    /// Row by row from the top, by replacement.
    #[must_use]
    pub const fn plain(bits: BitsPerSample) -> Self {
        Self {
            bits,
            matched: false,
            scatter_salt: None,
        }
    }

    /// Spread over the whole picture, by matching.
    #[must_use]
    pub const fn scattered(bits: BitsPerSample, salt: u64) -> Self {
        Self {
            bits,
            matched: true,
            scatter_salt: Some(salt),
        }
    }

    /// The same with another number of bits.
    #[must_use]
    pub const fn with_bits(mut self, bits: BitsPerSample) -> Self {
        self.bits = bits;
        self
    }

    /// How many bytes of body fit behind the preamble into so many carrying samples.
    #[must_use]
    pub const fn body_bytes(self, carrier_samples: u64) -> u64 {
        let samples = carrier_samples.saturating_sub(PREAMBLE_SAMPLES as u64);
        match self.scatter_salt {
            None => self.bits.bytes_in(samples),
            // Only whole groups are scattered.
            Some(_) => self
                .bits
                .bytes_in(samples / GROUP_SAMPLES as u64 * GROUP_SAMPLES as u64),
        }
    }

    /// How many carrying samples a preamble and so many bytes of body take.
    #[must_use]
    pub const fn samples_needed(self, body_bytes: u64) -> u64 {
        let samples = self.bits.samples_for(body_bytes);
        let samples = match self.scatter_salt {
            None => samples,
            Some(_) => samples
                .div_ceil(GROUP_SAMPLES as u64)
                .saturating_mul(GROUP_SAMPLES as u64),
        };
        samples.saturating_add(PREAMBLE_SAMPLES as u64)
    }
}

impl From<BitsPerSample> for Layout {
    fn from(bits: BitsPerSample) -> Self {
        Self::plain(bits)
    }
}
