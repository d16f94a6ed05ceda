//! One sample, and how many of its low bits carry.

use core::fmt;

/// How many low bits of each sample carry payload: one to four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BitsPerSample {
    /// The least visible, and the only one that the preamble uses.
    One = 1,
    /// Two bits: a sample moves by at most two.
    Two = 2,
    /// Three bits: a sample moves by at most four. What `sealed` uses.
    Three = 3,
    /// Four bits: visible as grain in flat areas.
    Four = 4,
}

impl BitsPerSample {
    /// Every setting, the least visible first.
    pub const ALL: [Self; 4] = [Self::One, Self::Two, Self::Three, Self::Four];

    /// The setting for a number of bits, if there is one.
    #[must_use]
    pub const fn from_count(count: u8) -> Option<Self> {
        match count {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            3 => Some(Self::Three),
            4 => Some(Self::Four),
            _ => None,
        }
    }

    /// The number of bits.
    #[must_use]
    pub const fn count(self) -> u8 {
        self as u8
    }

    /// How many samples `bytes` of payload take, the last one perhaps in part.
    #[must_use]
    pub const fn samples_for(self, bytes: u64) -> u64 {
        bytes.saturating_mul(8).div_ceil(self as u64)
    }

    /// How many whole bytes of payload fit into `samples`.
    #[must_use]
    pub const fn bytes_in(self, samples: u64) -> u64 {
        // Divided first where it loses nothing, so that no count of samples overflows.
        let (eights, rest) = (samples / 8, samples % 8);
        eights * self as u64 + rest * self as u64 / 8
    }
}

impl fmt::Display for BitsPerSample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count().fmt(formatter)
    }
}

/// One colour value of a pixel, of 8 or 16 bits.
pub trait Sample: Copy + Eq + private::Lanes {
    /// The value of a fully opaque alpha sample.
    const OPAQUE: Self;

    /// The low `bits` of the sample.
    #[must_use]
    fn low(self, bits: BitsPerSample) -> u8;

    /// The value closest to this sample whose low `bits` are `value` (of which only those count).
    #[must_use]
    fn replace(self, value: u8, bits: BitsPerSample) -> Self;

    /// The value as far from `old` as this one, on its other side, if it has the same low bits and
    /// the range has room; else this one.
    #[must_use]
    fn mirrored(self, old: Self, bits: BitsPerSample) -> Self;
}

pub(crate) mod private {
    /// Eight samples at a time, as a word with one field per byte, the first sample the lowest.
    pub trait Lanes: Sized {
        fn read_lanes<const BITS: usize>(samples: &[Self; 8]) -> u64;
        fn replace_lanes<const BITS: usize>(samples: &mut [Self; 8], fields: u64);
    }
}

macro_rules! implement_sample {
    ($type:ty) => {
        impl Sample for $type {
            const OPAQUE: Self = <$type>::MAX;

            fn low(self, bits: BitsPerSample) -> u8 {
                self.to_le_bytes()[0] & ((1 << bits.count()) - 1)
            }

            #[inline]
            fn replace(self, value: u8, bits: BitsPerSample) -> Self {
                let step: $type = 1 << bits.count();
                let plain = self & !(step - 1) | <$type>::from(value) & (step - 1);
                if bits == BitsPerSample::One {
                    return plain; // Never further than one away.
                }
                // A tie between both neighbours keeps the bits above as they are.
                if plain > self && plain - self > step / 2 && plain >= step {
                    plain - step
                } else if self > plain && self - plain > step / 2 && plain <= <$type>::MAX - step {
                    plain + step
                } else {
                    plain
                }
            }

            #[inline]
            fn mirrored(self, old: Self, bits: BitsPerSample) -> Self {
                // Both have the same low bits only if a whole step lies between them.
                let half = 1 << (bits.count() - 1);
                let other = old.wrapping_sub(self.wrapping_sub(old));
                // `abs_diff` would be taken in 32 bits, and four samples at a time then.
                let distance = |value: Self| value.max(old) - value.min(old);
                let is_tie = distance(self) == half;
                // Beyond the ends of the range, it comes out far away.
                let is_in_range = distance(other) == half;
                if is_tie & is_in_range { other } else { self }
            }
        }
    };
}
implement_sample!(u8);
implement_sample!(u16);
