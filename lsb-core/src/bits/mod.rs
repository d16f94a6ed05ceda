//! Samples and the payload bits that ride in them.
//!
//! The payload is read as one row of bits, most significant bit of each byte first, and cut into
//! groups of [`BitsPerSample`]; each group replaces the low bits of one sample, in order. The last
//! group is filled up with zeros. Replacing the low bits moves a sample by up to `2^bits - 1`; one
//! step of the bits above can bring it closer to where it was, and is taken whenever it does
//! ([`Sample::replace`]), so no sample moves by more than `2^(bits - 1)` except at the ends of its
//! range. Where two values are as close, [`embed_matched`] tosses a coin between them: with one bit
//! that is ±1 matching, which leaves the histogram without the steps that replacement leaves.
//! [`scatter`] spreads the payload over all samples.

mod coins;
mod marks;
mod sample;
pub mod scatter;
mod words;

pub use coins::Coins;
pub use sample::{BitsPerSample, Sample};

/// Writes `payload` into the low bits of the first samples.
///
/// The caller makes sure that there is room: see [`BitsPerSample::samples_for`].
///
/// # Panics
///
/// If `samples` is too short for `payload`, which is a mistake of the caller.
pub fn embed<S: Sample>(samples: &mut [S], bits: BitsPerSample, payload: &[u8]) {
    assert!(
        bits.samples_for(payload.len() as u64) <= samples.len() as u64,
        "the capacity is checked before anything is embedded"
    );
    match bits {
        BitsPerSample::One => words::embed::<S, 1>(samples, bits, payload),
        BitsPerSample::Two => words::embed::<S, 2>(samples, bits, payload),
        BitsPerSample::Three => words::embed::<S, 3>(samples, bits, payload),
        BitsPerSample::Four => words::embed::<S, 4>(samples, bits, payload),
    }
}

/// As [`embed`], by matching: of two values that are as close, the coins decide which.
///
/// # Panics
///
/// If `samples` is too short for `payload`, which is a mistake of the caller.
pub fn embed_matched<S: Sample>(samples: &mut [S], bits: BitsPerSample, payload: &[u8], coins: &mut Coins) {
    assert!(
        bits.samples_for(payload.len() as u64) <= samples.len() as u64,
        "the capacity is checked before anything is embedded"
    );
    // So many samples carry a whole number of bytes at every setting, and take a whole number of tosses.
    const PART: usize = 1 << 10;
    let mut marks = [0; PART];
    let parts = payload.chunks(PART / 8 * usize::from(bits.count()));
    for (samples, part) in samples.chunks_mut(PART).zip(parts) {
        let marks = marks::write(&mut marks, bits, part, Some(coins));
        marks::carry_out(samples, marks, bits);
    }
}

/// Fills `payload` from the low bits of the first samples.
///
/// # Panics
///
/// If `samples` is too short for `payload`, which is a mistake of the caller.
pub fn extract<S: Sample>(samples: &[S], bits: BitsPerSample, payload: &mut [u8]) {
    assert!(
        bits.samples_for(payload.len() as u64) <= samples.len() as u64,
        "the length is checked against the capacity before anything is extracted"
    );
    match bits {
        BitsPerSample::One => words::extract::<S, 1>(samples, payload),
        BitsPerSample::Two => words::extract::<S, 2>(samples, payload),
        BitsPerSample::Three => words::extract::<S, 3>(samples, payload),
        BitsPerSample::Four => words::extract::<S, 4>(samples, payload),
    }
}
