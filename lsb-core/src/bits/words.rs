//! The same as a loop over bits, eight samples at a time in 64-bit arithmetic.
//!
//! Eight samples carry exactly `BITS` bytes of payload. [`spread`] turns those bytes into eight
//! fields, one in each byte of a word; [`gather`] is its inverse. Both halve the distance three
//! times, as in *Hacker's Delight* §7-5 (expand and compress), with masks that are constants for
//! each `BITS`:
//!
//! ```text
//!  ················ aaabbbcccdddeeefffggghhh      3 bits: 3 bytes of payload
//!  ···· aaabbbcccddd ···· eeefffggghhh            two lanes of 32 bits
//!  ·· aaabbb ·· cccddd ·· eeefff ·· ggghhh        four lanes of 16 bits
//!  aaa · bbb · ccc · ddd · eee · fff · ggg · hhh  eight lanes of 8 bits, one per sample
//! ```

use super::private::Lanes;
use super::{BitsPerSample, Sample};

/// The value 1 in each of the eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The top bit of each of the eight bytes.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The low `width` bits of every lane of `lane` bits.
const fn lane_mask(lane: u32, width: u32) -> u64 {
    let mut mask = 0;
    let mut at = 0;
    while at < 64 {
        mask |= ((1 << width) - 1) << at;
        at += lane;
    }
    mask
}

/// Doubles the number of lanes: the upper `width` bits of each move up into a lane of their own.
const fn split(word: u64, lane: u32, width: u32) -> u64 {
    let low = lane_mask(lane, width);
    (word & (low << width)) << (lane / 2 - width) | word & low
}

/// Undoes [`split`].
const fn join(word: u64, lane: u32, width: u32) -> u64 {
    let low = lane_mask(lane, width);
    word >> (lane / 2 - width) & (low << width) | word & low
}

const fn spread<const BITS: u32>(payload: u64) -> u64 {
    split(split(split(payload, 64, 4 * BITS), 32, 2 * BITS), 16, BITS)
}

const fn gather<const BITS: u32>(fields: u64) -> u64 {
    join(join(join(fields, 16, BITS), 32, 2 * BITS), 64, 4 * BITS)
}

/// The first `BITS` bytes, at most eight, as the low bytes of a word.
fn load<const BITS: u32>(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl Lanes for u8 {
    #[inline]
    fn read_lanes<const BITS: u32>(samples: &[Self; 8]) -> u64 {
        u64::from_be_bytes(*samples) & lane_mask(8, BITS)
    }

    /// [`Sample::replace`] in every byte of a word at once. No addition or subtraction below
    /// carries from one byte into the next: each is bounded where it stands.
    #[inline]
    fn replace_lanes<const BITS: u32>(samples: &mut [Self; 8], fields: u64) {
        let low_mask = lane_mask(8, BITS);
        let old = u64::from_be_bytes(*samples);
        let high = old & !low_mask;
        let plain = high | fields;
        if BITS == 1 {
            // The closest sample with a given lowest bit is never further than one away.
            *samples = plain.to_be_bytes();
            return;
        }
        let half = 1u64 << (BITS - 1);
        // Per byte: 16 + (new low bits) - (old low bits), which lies in 1..=31.
        let shift = fields + ONES * 16 - (old & low_mask);
        // The top bit of each byte that rose by more than half a step, or fell by more than half.
        let rose = (shift + ONES * (0x80 - 17 - half)) & TOPS;
        let fell = !(shift + ONES * (0x80 - 16 + half)) & TOPS;
        // A byte cannot step below zero or above its largest value.
        let can_step_down = (((high & !TOPS) + !TOPS) | high) & TOPS;
        let room = high ^ !low_mask;
        let can_step_up = (((room & !TOPS) + !TOPS) | room) & TOPS;
        let down = (rose & can_step_down) >> 7 << BITS;
        let up = (fell & can_step_up) >> 7 << BITS;
        *samples = (plain - down + up).to_be_bytes();
    }
}

impl Lanes for u16 {
    #[inline]
    fn read_lanes<const BITS: u32>(samples: &[Self; 8]) -> u64 {
        u64::from_be_bytes(samples.map(|sample| sample.to_le_bytes()[0])) & lane_mask(8, BITS)
    }

    #[inline]
    fn replace_lanes<const BITS: u32>(samples: &mut [Self; 8], fields: u64) {
        let Some(bits) = BitsPerSample::from_count(BITS as u8) else {
            return;
        };
        for (sample, field) in samples.iter_mut().zip(fields.to_be_bytes()) {
            *sample = sample.replace(field, bits);
        }
    }
}

pub(super) fn embed<S: Sample, const BITS: u32>(samples: &mut [S], bits: BitsPerSample, payload: &[u8]) {
    let (eights, last_samples) = samples.as_chunks_mut::<8>();
    let groups = payload.chunks_exact(BITS as usize);
    let tail = groups.remainder();
    let whole_groups = groups.len();
    for (eight, group) in eights.iter_mut().zip(groups) {
        S::replace_lanes::<BITS>(eight, spread::<BITS>(load::<BITS>(group)));
    }
    if tail.is_empty() {
        return;
    }
    // The last few bytes fill only some of the next samples, which may be fewer than eight.
    let missing = BITS as usize - tail.len();
    let fields = spread::<BITS>(load::<BITS>(tail) << (8 * missing)).to_be_bytes();
    let used = (tail.len() * 8).div_ceil(BITS as usize);
    let next = eights
        .get_mut(whole_groups)
        .map_or(last_samples, |eight| eight.as_mut_slice());
    for (sample, field) in next.iter_mut().zip(fields).take(used) {
        *sample = sample.replace(field, bits);
    }
}

pub(super) fn extract<S: Sample, const BITS: u32>(samples: &[S], payload: &mut [u8]) {
    let (eights, last_samples) = samples.as_chunks::<8>();
    let mut groups = payload.chunks_exact_mut(BITS as usize);
    let whole_groups = groups.len();
    for (eight, group) in eights.iter().zip(&mut groups) {
        let bytes = gather::<BITS>(S::read_lanes::<BITS>(eight)).to_be_bytes();
        for (target, byte) in group.iter_mut().zip(bytes.iter().skip(8 - BITS as usize)) {
            *target = *byte;
        }
    }
    let tail = groups.into_remainder();
    let Some(filler) = samples.first().copied().filter(|_| !tail.is_empty()) else {
        return;
    };
    let mut eight = [filler; 8];
    let next = eights
        .get(whole_groups)
        .map_or(last_samples, |eight| eight.as_slice());
    for (target, sample) in eight.iter_mut().zip(next) {
        *target = *sample;
    }
    let bytes = gather::<BITS>(S::read_lanes::<BITS>(&eight)).to_be_bytes();
    for (target, byte) in tail.iter_mut().zip(bytes.iter().skip(8 - BITS as usize)) {
        *target = *byte;
    }
}
