//! A payload spread evenly over all carrying samples, in an order that a salt decides.
//!
//! The samples are cut into blocks of [`BLOCK_SAMPLES`], so that whatever is touched next is in the
//! cache already. Each block gets its share of the payload in whole groups of eight samples, and a
//! permutation of its own says which of its samples they are:
//!
//! ```text
//!   payload   ──groups of eight samples──▶  │ share of block 0 │ share of block 1 │ …
//!   block b   ·x··x·x····x·  the first 8 × share positions of its permutation
//! ```
//!
//! The salt stands in the preamble for everyone to read: scattering keeps a short payload from
//! crowding the first rows, and keeps nothing secret. Drawn with its numbers in `docs/envelope.md`.

use super::coins::{Coins, GOLDEN};
use super::marks;
use super::sample::{BitsPerSample, Sample};

/// How many samples a block has; the last one may have fewer.
pub const BLOCK_SAMPLES: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 12;
const POSITION_MASK: u16 = (1 << BLOCK_BITS) - 1;
/// A group is as many samples as carry a whole number of bytes at every setting.
pub(crate) const GROUP_SAMPLES: usize = 8;

/// Which samples of each block carry, and how many.
struct Plan {
    salt: u64,
    /// Groups that all samples could carry.
    groups: u64,
    /// Groups that the payload takes.
    used: u64,
}

impl Plan {
    fn new(samples: usize, bits: BitsPerSample, payload_bytes: usize, salt: u64) -> Self {
        let plan = Self {
            salt,
            groups: (samples / GROUP_SAMPLES) as u64,
            used: payload_bytes.div_ceil(usize::from(bits.count())) as u64,
        };
        assert!(
            plan.used <= plan.groups,
            "the capacity is checked before anything is scattered"
        );
        plan
    }

    /// How many of the payload's groups lie before a place among all groups. Rounded down at every
    /// block's edge, so the shares of neighbours differ by one at most.
    fn groups_before(&self, place: u64) -> u64 {
        let before = u128::from(place) * u128::from(self.used) / u128::from(self.groups.max(1));
        u64::try_from(before).unwrap_or(u64::MAX)
    }

    /// The share of a block that starts at group `first` and has `groups` groups.
    fn share(&self, first: u64, groups: u64) -> usize {
        let share = self.groups_before(first + groups) - self.groups_before(first);
        usize::try_from(share).unwrap_or(usize::MAX)
    }

    /// Fills `positions` with the block's permutation. Two rounds of an affine step, with the upper
    /// half of the bits folded into the lower between them: each is one-to-one, so both together are.
    fn permute(&self, block: u64, positions: &mut [u16; BLOCK_SAMPLES]) {
        let key = Coins::seeded(self.salt.wrapping_add(block.wrapping_mul(GOLDEN))).toss();
        let [a0, a1, b0, b1, c0, c1, d0, d1] = key.to_le_bytes();
        let (factor_1, factor_2) = (u16::from_le_bytes([a0, a1]) | 1, u16::from_le_bytes([b0, b1]) | 1);
        let (offset_1, offset_2) = (u16::from_le_bytes([c0, c1]), u16::from_le_bytes([d0, d1]));
        for (index, position) in (0u16..).zip(positions) {
            let first = index.wrapping_mul(factor_1).wrapping_add(offset_1) & POSITION_MASK;
            let folded = first ^ first >> (BLOCK_BITS / 2);
            *position = folded.wrapping_mul(factor_2).wrapping_add(offset_2) & POSITION_MASK;
        }
    }

    /// Walks the blocks: calls `visit` with the number of each block's first sample, the positions
    /// that carry in it, and how many payload bytes came before.
    fn walk(&self, bits: BitsPerSample, mut visit: impl FnMut(usize, &[u16], usize)) {
        let mut positions = [0; BLOCK_SAMPLES];
        let mut within = [0; BLOCK_SAMPLES];
        let block_groups = (BLOCK_SAMPLES / GROUP_SAMPLES) as u64;
        let mut payload_bytes = 0;
        let (mut block, mut first) = (0u64, 0u64);
        while first < self.groups {
            let groups = block_groups.min(self.groups - first);
            let share = self.share(first, groups);
            if share > 0 {
                self.permute(block, &mut positions);
                let count = share * GROUP_SAMPLES;
                let chosen = if groups == block_groups {
                    positions.get(..count)
                } else {
                    // The last block is shorter: positions beyond its end are passed over.
                    let end = usize::try_from(groups).unwrap_or(0) * GROUP_SAMPLES;
                    let inside = positions.iter().filter(|position| usize::from(**position) < end);
                    for (target, position) in within.iter_mut().zip(inside) {
                        *target = *position;
                    }
                    within.get(..count)
                };
                let start = usize::try_from(first).unwrap_or(usize::MAX) * GROUP_SAMPLES;
                visit(start, chosen.unwrap_or_default(), payload_bytes);
                payload_bytes += share * usize::from(bits.count());
            }
            block += 1;
            first += groups;
        }
    }
}

/// The payload bytes that a block's `positions` carry: fewer than they could at the very end.
fn range(start: usize, positions: usize, bits: BitsPerSample, payload: usize) -> core::ops::Range<usize> {
    let end = start + positions / GROUP_SAMPLES * usize::from(bits.count());
    start.min(payload)..end.min(payload)
}

/// Writes `payload` into the low bits of samples all over `samples`, by replacement, or by ±1
/// matching if there are `coins`.
///
/// # Panics
///
/// If `samples` is too short for `payload`, which is a mistake of the caller.
pub fn embed_scattered<S: Sample>(
    samples: &mut [S],
    bits: BitsPerSample,
    payload: &[u8],
    salt: u64,
    mut coins: Option<&mut Coins>,
) {
    let plan = Plan::new(samples.len(), bits, payload.len(), salt);
    let mut in_order = [0; BLOCK_SAMPLES];
    let mut in_place = [0; BLOCK_SAMPLES];
    plan.walk(bits, |first, positions, payload_bytes| {
        let part = payload.get(range(payload_bytes, positions.len(), bits, payload.len()));
        let marks = marks::write(
            &mut in_order,
            bits,
            part.unwrap_or_default(),
            coins.as_deref_mut(),
        );
        in_place.fill(0);
        for (mark, position) in marks.iter().zip(positions) {
            in_place[within_block(*position)] = *mark;
        }
        marks::carry_out(samples.get_mut(first..).unwrap_or_default(), &in_place, bits);
    });
}

/// Fills `payload` with what [`embed_scattered`] wrote into as many samples with the same salt.
///
/// # Panics
///
/// If `samples` is too short for `payload`, which is a mistake of the caller.
pub fn extract_scattered<S: Sample>(samples: &[S], bits: BitsPerSample, payload: &mut [u8], salt: u64) {
    let plan = Plan::new(samples.len(), bits, payload.len(), salt);
    let mut block = [S::OPAQUE; BLOCK_SAMPLES];
    let mut buffer = [S::OPAQUE; BLOCK_SAMPLES];
    let length = payload.len();
    plan.walk(bits, |first, positions, payload_bytes| {
        let (Some(rest), Some(buffer)) = (samples.get(first..), buffer.get_mut(..positions.len())) else {
            return;
        };
        // Copied in one go from one end to the other: whoever picks single samples out of memory that is not in the
        // cache waits for most of them.
        for (target, sample) in block.iter_mut().zip(rest) {
            *target = *sample;
        }
        for (target, position) in buffer.iter_mut().zip(positions) {
            *target = block[within_block(*position)];
        }
        if let Some(part) = payload.get_mut(range(payload_bytes, positions.len(), bits, length)) {
            super::extract(buffer, bits, part);
        }
    });
}

/// The same position. The mask spares a check of bounds for every sample.
#[inline]
fn within_block(position: u16) -> usize {
    usize::from(position & POSITION_MASK)
}
