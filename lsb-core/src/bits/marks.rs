//! What is to become of a sample, in one byte: its new low bits, the toss of a coin, and whether it carries at all.
//!
//! ```text
//!   7         6          3..0
//!   carries   the coin   the new low bits
//! ```
//!
//! Matching and scattering first write marks and then carry them out from one end of the samples to the other,
//! without a branch, so that the compiler takes many at once: what is scattered is bytes in the nearest cache, and the
//! picture's samples, which are in none, are touched in order.

use super::coins::Coins;
use super::sample::{BitsPerSample, Sample};
use super::words;

const CARRIES: u8 = 1 << 7;
const COIN_BIT: u8 = 6;
/// One toss gives so many coins.
const TOSS: usize = 64;

/// Writes the marks of the samples that carry `payload`, in its order, and returns them: as many as it takes, or as
/// there is room for.
pub(super) fn write<'a>(
    marks: &'a mut [u8],
    bits: BitsPerSample,
    payload: &[u8],
    coins: Option<&mut Coins>,
) -> &'a [u8] {
    let count = usize::try_from(bits.samples_for(payload.len() as u64)).unwrap_or(usize::MAX);
    let marks = marks.split_at_mut(count.min(marks.len())).0;
    match bits {
        BitsPerSample::One => write_fields::<1>(marks, payload),
        BitsPerSample::Two => write_fields::<2>(marks, payload),
        BitsPerSample::Three => write_fields::<3>(marks, payload),
        BitsPerSample::Four => write_fields::<4>(marks, payload),
    }
    if let Some(coins) = coins {
        for marks in marks.chunks_mut(TOSS) {
            let coins = words::one_per_byte(coins.toss());
            for (mark, coin) in marks.iter_mut().zip(coins.as_flattened()) {
                *mark |= coin << COIN_BIT;
            }
        }
    }
    marks
}

fn write_fields<const BITS: usize>(marks: &mut [u8], payload: &[u8]) {
    let marks_of = |group: &[u8; BITS]| words::fields(group).map(|field| CARRIES | field);
    let (eights, last_marks) = marks.as_chunks_mut::<8>();
    let (groups, tail) = payload.as_chunks::<BITS>();
    for (eight, group) in eights.iter_mut().zip(groups) {
        *eight = marks_of(group);
    }
    let mut last_group = [0; BITS];
    for (target, byte) in last_group.iter_mut().zip(tail) {
        *target = *byte;
    }
    for (mark, last) in last_marks.iter_mut().zip(marks_of(&last_group)) {
        *mark = last;
    }
}

/// Does to each sample what its mark says; a mark of zero leaves it alone.
pub(super) fn carry_out<S: Sample>(samples: &mut [S], marks: &[u8], bits: BitsPerSample) {
    // Each arm is compiled for its own number of bits.
    match bits {
        BitsPerSample::One => change_all(samples, marks, BitsPerSample::One),
        BitsPerSample::Two => change_all(samples, marks, BitsPerSample::Two),
        BitsPerSample::Three => change_all(samples, marks, BitsPerSample::Three),
        BitsPerSample::Four => change_all(samples, marks, BitsPerSample::Four),
    }
}

#[inline(always)]
fn change_all<S: Sample>(samples: &mut [S], marks: &[u8], bits: BitsPerSample) {
    for (sample, mark) in samples.iter_mut().zip(marks) {
        let old = *sample;
        let new = old.replace(*mark, bits);
        // A sample that was not moved has no other side.
        let other = new.mirrored(old, bits);
        let new = if mark & 1 << COIN_BIT == 0 { new } else { other };
        *sample = if mark & CARRIES == 0 { old } else { new };
    }
}
