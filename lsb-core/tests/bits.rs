//! Bits in samples: the fast path against the obvious slow one.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use lsb_core::bits::{BitsPerSample, Sample, embed, extract};
use proptest::collection::vec;
use proptest::prelude::*;

/// The definition, one bit at a time.
fn embed_slowly<S: Sample>(samples: &mut [S], bits: BitsPerSample, payload: &[u8]) {
    let all = payload
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1));
    let all: Vec<u8> = all.collect();
    for (sample, group) in samples.iter_mut().zip(all.chunks(usize::from(bits.count()))) {
        let missing = usize::from(bits.count()) - group.len();
        let value = group.iter().fold(0, |value, bit| value << 1 | bit) << missing;
        *sample = sample.replace(value, bits);
    }
}

fn any_bits() -> impl Strategy<Value = BitsPerSample> {
    proptest::sample::select(BitsPerSample::ALL.as_slice())
}

proptest! {
    #[test]
    fn eight_bit_samples_are_as_the_definition_says(
        bits in any_bits(), payload in vec(any::<u8>(), 0..60), samples in vec(any::<u8>(), 480..500),
    ) {
        let (mut fast, mut slow) = (samples.clone(), samples);
        embed(&mut fast, bits, &payload);
        embed_slowly(&mut slow, bits, &payload);
        prop_assert_eq!(&fast, &slow);
        let mut read = vec![0; payload.len()];
        extract(&fast, bits, &mut read);
        prop_assert_eq!(read, payload);
    }

    #[test]
    fn sixteen_bit_samples_are_as_the_definition_says(
        bits in any_bits(), payload in vec(any::<u8>(), 0..60), samples in vec(any::<u16>(), 480..500),
    ) {
        let (mut fast, mut slow) = (samples.clone(), samples);
        embed(&mut fast, bits, &payload);
        embed_slowly(&mut slow, bits, &payload);
        prop_assert_eq!(&fast, &slow);
        let mut read = vec![0; payload.len()];
        extract(&fast, bits, &mut read);
        prop_assert_eq!(read, payload);
    }

    #[test]
    fn exactly_enough_samples_are_enough(bits in any_bits(), payload in vec(any::<u8>(), 0..60)) {
        let mut samples = vec![128u8; usize::try_from(bits.samples_for(payload.len() as u64)).unwrap()];
        embed(&mut samples, bits, &payload);
        let mut read = vec![0; payload.len()];
        extract(&samples, bits, &mut read);
        prop_assert_eq!(read, payload);
    }
}

#[test]
fn a_sample_moves_to_the_closest_value_with_its_new_low_bits() {
    for bits in BitsPerSample::ALL {
        for value in 0..1u8 << bits.count() {
            for sample in 0..=u8::MAX {
                let replaced = sample.replace(value, bits);
                assert_eq!(replaced.low(bits), value);
                let candidates = (0..=u8::MAX).filter(|candidate| candidate.low(bits) == value);
                let closest = candidates.map(|candidate| candidate.abs_diff(sample)).min();
                assert_eq!(
                    Some(replaced.abs_diff(sample)),
                    closest,
                    "{sample} with {value} in {bits} bits"
                );
                let wide = u16::from(sample) + 1000;
                assert_eq!(wide.replace(value, bits).low(bits), value);
                assert!(wide.replace(value, bits).abs_diff(wide) <= 1 << (bits.count() - 1));
            }
        }
    }
    assert_eq!(u16::MAX.replace(0, BitsPerSample::Four), 0xfff0);
}

#[test]
fn counts_of_bytes_and_samples_agree() {
    for bits in BitsPerSample::ALL {
        for bytes in 0..100 {
            let samples = bits.samples_for(bytes);
            assert!(bits.bytes_in(samples) >= bytes);
            assert!(samples == 0 || bits.bytes_in(samples - 1) < bytes);
        }
        assert!(bits.bytes_in(u64::MAX) <= u64::MAX / 2);
    }
}
