//! Numbers without a pattern from one seed: the same everywhere, and no secret.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Coins(u64);

/// 2^64 divided by the golden ratio, odd: successive states are far apart.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Coins {
    /// A sequence that depends on nothing but the seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 coins, one in each bit.
    pub const fn toss(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
