//! Bits in samples: the fast path against the obvious slow one.

use lsb_core::bits::scatter::{BLOCK_SAMPLES, embed_scattered, extract_scattered};
use lsb_core::bits::{BitsPerSample, Coins, Sample, embed, embed_matched, extract};
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

/// The order in which samples carry, as `docs/envelope.md` puts it, in plain 64-bit arithmetic.
fn scattered_order(samples: usize, bits: BitsPerSample, payload_bytes: usize, salt: u64) -> Vec<usize> {
    let groups = samples / 8;
    let used = payload_bytes.div_ceil(usize::from(bits.count()));
    let mut order = Vec::new();
    for (block, first) in (0..groups).step_by(512).enumerate() {
        let end = groups.min(first + 512);
        let share = end * used / groups - first * used / groups;
        let mut key = salt.wrapping_add((block as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        key ^= key >> 31;
        let part = |place: u32| (key >> (16 * place) & 0xffff) as usize;
        let inside = (0..BLOCK_SAMPLES)
            .map(|index| {
                let step = (index * (part(0) | 1) + part(2)) % 4096;
                ((step ^ (step / 64)) * (part(1) | 1) + part(3)) % 4096
            })
            .filter(|position| *position < (end - first) * 8);
        order.extend(inside.take(share * 8).map(|position| first * 8 + position));
    }
    order
}

proptest! {
    #[test]
    fn scattered_samples_are_those_that_the_document_names(
        bits in any_bits(), payload in vec(any::<u8>(), 1..800), spare in 0usize..20_000, salt in any::<u64>(),
        matched in any::<bool>(),
    ) {
        let count = usize::try_from(bits.samples_for(payload.len() as u64)).unwrap().div_ceil(8) * 8 + spare;
        let before: Vec<u8> = (0..count).map(|place| (place * 31 % 251) as u8).collect();
        let mut after = before.clone();
        let mut coins = Coins::seeded(1);
        embed_scattered(&mut after, bits, &payload, salt, matched.then_some(&mut coins));
        let mut read = vec![0; payload.len()];
        extract_scattered(&after, bits, &mut read, salt);
        prop_assert_eq!(&read, &payload);

        let order = scattered_order(count, bits, payload.len(), salt);
        let carriers: Vec<u8> = order.iter().map(|place| after[*place]).collect();
        let mut read = vec![0; payload.len()];
        extract(&carriers, bits, &mut read);
        prop_assert_eq!(&read, &payload);
        let mut distinct = order.clone();
        distinct.sort_unstable();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), order.len());
        for place in 0..count {
            prop_assert!(before[place] == after[place] || distinct.binary_search(&place).is_ok());
        }
    }

    #[test]
    fn matching_reads_as_replacement_does(
        bits in any_bits(), payload in vec(any::<u8>(), 0..60), samples in vec(any::<u8>(), 480..500), seed in any::<u64>(),
    ) {
        let (mut matched, mut replaced) = (samples.clone(), samples.clone());
        embed_matched(&mut matched, bits, &payload, &mut Coins::seeded(seed));
        embed(&mut replaced, bits, &payload);
        let mut read = vec![0; payload.len()];
        extract(&matched, bits, &mut read);
        prop_assert_eq!(&read, &payload);
        for ((old, matched), replaced) in samples.iter().zip(&matched).zip(&replaced) {
            prop_assert_eq!(matched.abs_diff(*old), replaced.abs_diff(*old), "as close as replacement");
        }
        let wide: Vec<u16> = samples.iter().map(|sample| u16::from(*sample) << 8 | 0x80).collect();
        let mut matched = wide.clone();
        embed_matched(&mut matched, bits, &payload, &mut Coins::seeded(seed));
        extract(&matched, bits, &mut read);
        prop_assert_eq!(&read, &payload);
    }
}

#[test]
fn matching_goes_both_ways_and_replacement_one() {
    let payload = vec![0xff; 10_000];
    let mut samples = vec![100u8; 80_000];
    embed_matched(&mut samples, BitsPerSample::One, &payload, &mut Coins::seeded(5));
    let up = samples.iter().filter(|sample| **sample == 101).count();
    assert!((39_000..41_000).contains(&up), "{up} of 80000 went up");
    assert_eq!(
        samples.iter().filter(|sample| **sample == 99).count(),
        80_000 - up
    );
    // At the ends of the range there is only one way.
    let mut ends = vec![0u8; 80_000];
    embed_matched(&mut ends, BitsPerSample::One, &payload, &mut Coins::seeded(5));
    assert!(ends.iter().all(|sample| *sample == 1));
}

#[test]
fn a_short_payload_is_spread_evenly() {
    let (count, payload) = (1_000_000, vec![0xff; 1000]);
    let order = scattered_order(count, BitsPerSample::One, payload.len(), 9);
    for quarter in 0..4 {
        let range = quarter * count / 4..(quarter + 1) * count / 4;
        let inside = order.iter().filter(|place| range.contains(place)).count();
        assert!(
            (1950..=2050).contains(&inside),
            "{inside} of 8000 in quarter {quarter}"
        );
    }
}
