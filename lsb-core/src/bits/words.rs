//! The same as a loop over bits, eight samples at a time in 64-bit arithmetic.
//!
//! Eight samples carry exactly `BITS` bytes of payload. [`spread`] turns those bytes into eight
//! fields, one in each byte of a word; [`gather`] is its inverse. Both halve the distance three
//! times, as in *Hacker's Delight* §7-5 (expand and compress), with masks that are constants for
//! each `BITS`:
//!
//! ```text
//!                           aaabbbcccdddeeefffggghhh   3 bits: 3 bytes of payload
//!  ···· eeefffggghhh ···· aaabbbcccddd                 two lanes of 32 bits
//!  ·· ggghhh ·· eeefff ·· cccddd ·· aaabbb             four lanes of 16 bits
//!  hhh · ggg · fff · eee · ddd · ccc · bbb · aaa       eight lanes of 8 bits, one per sample
//! ```
//!
//! The first sample is the lowest byte, as it comes from memory on most machines: turning words
//! around costs more than everything else here.
//!
//! One bit per sample has a shorter way, by multiplication (*Hacker's Delight* §7-3).

use super::sample::private::Lanes;
use super::sample::{BitsPerSample, Sample};

/// The value 1 in each of the eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The top bit of each of the eight bytes.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The low `width` bits of every lane of `lane` bits.
const fn lane_mask(lane: usize, width: usize) -> u64 {
    let mut mask = 0;
    let mut at = 0;
    while at < 64 {
        mask |= ((1 << width) - 1) << at;
        at += lane;
    }
    mask
}

/// The masks of the three halvings, worked out by the compiler.
struct Masks<const BITS: usize>;

impl<const BITS: usize> Masks<BITS> {
    const IN_64: u64 = lane_mask(64, 4 * BITS);
    const IN_32: u64 = lane_mask(32, 2 * BITS);
    const IN_16: u64 = lane_mask(16, BITS);
    const IN_8: u64 = lane_mask(8, BITS);
}

#[inline]
const fn spread<const BITS: usize>(payload: u64) -> u64 {
    if BITS == 1 {
        // Bit 7 - i of the byte stays alone in byte i of the word.
        return any_bit_becomes_one(payload.wrapping_mul(ONES) & 0x0102_0408_1020_4080);
    }
    let halves = split(payload, Masks::<BITS>::IN_64, 4 * BITS, 32);
    let quarters = split(halves, Masks::<BITS>::IN_32, 2 * BITS, 16);
    split(quarters, Masks::<BITS>::IN_16, BITS, 8)
}

#[inline]
const fn gather<const BITS: usize>(fields: u64) -> u64 {
    if BITS == 1 {
        // The multiplier moves bit 8i to bit 63 - i, and no two of its products meet.
        return fields.wrapping_mul(0x8040_2010_0804_0201) >> 56;
    }
    let quarters = join(fields, Masks::<BITS>::IN_16, BITS, 8);
    let halves = join(quarters, Masks::<BITS>::IN_32, 2 * BITS, 16);
    join(halves, Masks::<BITS>::IN_64, 4 * BITS, 32)
}

/// Of two neighbouring fields of `width` bits, the upper moves to the bottom of its lane, the lower
/// to the bottom of the next: the first sample is the lowest byte of a word.
#[inline]
const fn split(word: u64, low: u64, width: usize, lane: usize) -> u64 {
    word >> width & low | (word & low) << lane
}

/// Undoes [`split`].
#[inline]
const fn join(word: u64, low: u64, width: usize, lane: usize) -> u64 {
    (word & low) << width | word >> lane & low
}

/// `BITS` bytes as the low bytes of a word, the first on top.
#[inline]
fn load<const BITS: usize>(bytes: &[u8; BITS]) -> u64 {
    bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Undoes [`load`].
#[inline]
fn store<const BITS: usize>(mut word: u64) -> [u8; BITS] {
    let mut bytes = [0; BITS];
    for byte in bytes.iter_mut().rev() {
        [*byte, ..] = word.to_le_bytes();
        word >>= 8;
    }
    bytes
}

impl Lanes for u8 {
    #[inline]
    fn read_lanes<const BITS: usize>(samples: &[Self; 8]) -> u64 {
        u64::from_le_bytes(*samples) & Masks::<BITS>::IN_8
    }

    /// [`Sample::replace`] in every byte of a word at once. No addition or subtraction below
    /// carries from one byte into the next, or out of the last: each is bounded where it stands (and
    /// `wrapping`, because a check for overflow would keep the loop from being vectorised).
    #[inline]
    fn replace_lanes<const BITS: usize>(samples: &mut [Self; 8], fields: u64) {
        let low_mask = Masks::<BITS>::IN_8;
        let old = u64::from_le_bytes(*samples);
        let high = old & !low_mask;
        let plain = high | fields;
        if BITS == 1 {
            // The closest sample with a given lowest bit is never further than one away.
            *samples = plain.to_le_bytes();
            return;
        }
        let half = 1u64 << (BITS - 1);
        // Per byte: 16 + (new low bits) - (old low bits), which lies in 1..=31.
        let shift = fields.wrapping_add(ONES * 16).wrapping_sub(old & low_mask);
        // The top bit of each byte that rose by more than half a step, or fell by more than half.
        let rose = shift.wrapping_add(ONES * (0x80 - 17 - half)) & TOPS;
        let fell = !shift.wrapping_add(ONES * (0x80 - 16 + half)) & TOPS;
        // A byte cannot step below zero or above its largest value.
        let can_step_down = ((high & !TOPS).wrapping_add(!TOPS) | high) & TOPS;
        let room = high ^ !low_mask;
        let can_step_up = ((room & !TOPS).wrapping_add(!TOPS) | room) & TOPS;
        let down = (rose & can_step_down) >> 7 << BITS;
        let up = (fell & can_step_up) >> 7 << BITS;
        *samples = plain.wrapping_sub(down).wrapping_add(up).to_le_bytes();
    }
}

impl Lanes for u16 {
    #[inline]
    fn read_lanes<const BITS: usize>(samples: &[Self; 8]) -> u64 {
        u64::from_le_bytes(samples.map(|sample| sample.to_le_bytes()[0])) & Masks::<BITS>::IN_8
    }

    #[inline]
    fn replace_lanes<const BITS: usize>(samples: &mut [Self; 8], fields: u64) {
        let Some(bits) = BitsPerSample::ALL.get(BITS - 1).copied() else {
            return;
        };
        for (sample, field) in samples.iter_mut().zip(fields.to_le_bytes()) {
            *sample = sample.replace(field, bits);
        }
    }
}

/// The 64 bits of a word from the lowest, each in a byte of its own.
pub(super) fn one_per_byte(word: u64) -> [[u8; 8]; 8] {
    word.to_le_bytes().map(|byte| {
        // Bit i of the byte stays alone in byte i of the word: `spread` has them the other way round.
        let alone = u64::from(byte).wrapping_mul(ONES) & 0x8040_2010_0804_0201;
        any_bit_becomes_one(alone).to_le_bytes()
    })
}

/// In each byte, of which at most one bit is set.
#[inline]
const fn any_bit_becomes_one(alone: u64) -> u64 {
    alone.wrapping_add(!TOPS) >> 7 & ONES
}

/// What each of eight samples is to carry.
#[inline]
pub(super) fn fields<const BITS: usize>(group: &[u8; BITS]) -> [u8; 8] {
    spread::<BITS>(load(group)).to_le_bytes()
}

pub(super) fn embed<S: Sample, const BITS: usize>(samples: &mut [S], bits: BitsPerSample, payload: &[u8]) {
    let (eights, last_samples) = samples.as_chunks_mut::<8>();
    let (groups, tail) = payload.as_chunks::<BITS>();
    for (eight, group) in eights.iter_mut().zip(groups) {
        S::replace_lanes::<BITS>(eight, spread::<BITS>(load(group)));
    }
    // The last few bytes fill only some of the next samples, which may be fewer than eight.
    let mut group = [0; BITS];
    for (target, byte) in group.iter_mut().zip(tail) {
        *target = *byte;
    }
    let used = (tail.len() * 8).div_ceil(BITS);
    let next = eights
        .get_mut(groups.len())
        .map_or(last_samples, |eight| eight.as_mut_slice());
    for (sample, field) in next.iter_mut().zip(fields(&group)).take(used) {
        *sample = sample.replace(field, bits);
    }
}

pub(super) fn extract<S: Sample, const BITS: usize>(samples: &[S], payload: &mut [u8]) {
    let (eights, last_samples) = samples.as_chunks::<8>();
    let (groups, tail) = payload.as_chunks_mut::<BITS>();
    for (eight, group) in eights.iter().zip(&mut *groups) {
        *group = store(gather::<BITS>(S::read_lanes::<BITS>(eight)));
    }
    if tail.is_empty() {
        return;
    }
    let next = eights
        .get(groups.len())
        .map_or(last_samples, |eight| eight.as_slice());
    let mut eight = [S::OPAQUE; 8];
    for (target, sample) in eight.iter_mut().zip(next) {
        *target = *sample;
    }
    let group: [u8; BITS] = store(gather::<BITS>(S::read_lanes::<BITS>(&eight)));
    for (target, byte) in tail.iter_mut().zip(group) {
        *target = byte;
    }
}
