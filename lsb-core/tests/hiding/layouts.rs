//! Every layout in every kind of picture: what is hidden comes back, and nothing else changes.

use crate::fixtures::noise;
use lsb_core::bits::BitsPerSample;
use lsb_core::raster::{Colors, Raster, Samples};
use lsb_core::{ErrorKind, Layout, carrier};
use proptest::prelude::*;

const COLORS: [Colors; 4] = [Colors::Grey, Colors::GreyAlpha, Colors::Rgb, Colors::Rgba];

fn raster(width: u32, height: u32, colors: Colors, deep: bool, seed: u64) -> Raster {
    let count = width as usize * height as usize * colors.samples();
    let mut samples = noise(count * 2, seed);
    if colors.has_alpha() {
        for (place, pixel) in samples.chunks_exact_mut(2 * colors.samples()).enumerate() {
            let alpha = 2 * colors.colors();
            pixel[alpha..].fill(if place % 3 == 0 { 9 } else { 255 });
        }
    }
    let words = samples.chunks_exact(2);
    let samples = if deep {
        Samples::Sixteen(words.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
    } else {
        Samples::Eight(words.map(|pair| pair[1]).collect())
    };
    Raster::new(width, height, colors, samples).unwrap()
}

fn any_layout() -> impl Strategy<Value = Layout> {
    let bits = proptest::sample::select(BitsPerSample::ALL.as_slice());
    (bits, any::<bool>(), any::<Option<u64>>()).prop_map(|(bits, matched, scatter_salt)| Layout {
        bits,
        matched,
        scatter_salt,
    })
}

fn wide(raster: &Raster) -> Vec<u16> {
    match raster.samples() {
        Samples::Eight(samples) => samples.iter().copied().map(u16::from).collect(),
        Samples::Sixteen(samples) => samples.clone(),
    }
}

proptest! {
    #[test]
    fn what_is_hidden_comes_back_to_the_last_byte(
        layout in any_layout(), colors in proptest::sample::select(COLORS.as_slice()), deep in any::<bool>(),
        width in 1u32..200, height in 1u32..200, seed in any::<u64>(), part in 0u64..=100,
    ) {
        let mut picture = raster(width, height, colors, deep, seed);
        let before = picture.clone();
        let room = layout.body_bytes(picture.carrier_samples());
        let length = usize::try_from(room * part / 100).unwrap();
        prop_assume!(length > 0);
        let body = noise(length, seed ^ 1);
        carrier::write(&mut picture, layout, &body).unwrap();
        prop_assert_eq!(carrier::read(&picture).unwrap(), body);
        prop_assert_eq!(carrier::read_preamble(&picture).unwrap().layout, layout);
        // Nothing moves further than half a step, but at the ends of its range; alpha never moves, and nor does
        // what is not opaque.
        let (before, after) = (wide(&before), wide(&picture));
        let most = if layout.bits == BitsPerSample::One { 1 } else { (1 << layout.bits.count()) - 1 };
        for (old, new) in before.chunks_exact(colors.samples()).zip(after.chunks_exact(colors.samples())) {
            let opaque = !colors.has_alpha() || old.last() == Some(&if deep { u16::MAX } else { 255 });
            prop_assert!(opaque || old == new);
            prop_assert!(old.iter().zip(new).all(|(old, new)| old.abs_diff(*new) <= most));
            prop_assert!(!colors.has_alpha() || old.last() == new.last());
        }
        let too_long = noise(usize::try_from(room).unwrap() + 1, 3);
        let error = carrier::write(&mut picture, layout, &too_long).unwrap_err();
        prop_assert_eq!((error.needed_bytes, error.available_bytes), (room + 1, room));
    }
}

/// Ten thousand bits and all of the preamble, one at a time, in every way to lie in a picture.
#[test]
fn flips_of_carrying_bits_are_damage_and_all_others_change_nothing() {
    let layouts = BitsPerSample::ALL
        .into_iter()
        .flat_map(|bits| [Layout::plain(bits), Layout::scattered(bits, 0xfeed)]);
    for layout in layouts {
        let mut picture = raster(40, 30, Colors::Rgb, false, 7);
        let body = noise(250, 8);
        carrier::write(&mut picture, layout, &body).unwrap();
        let Samples::Eight(samples) = picture.into_samples() else {
            panic!("eight bits were asked for");
        };
        let mut damaging = 0;
        for place in 0..samples.len() {
            for bit in 0..4 {
                let mut touched = samples.clone();
                touched[place] ^= 1 << bit;
                let touched = Raster::new(40, 30, Colors::Rgb, Samples::Eight(touched)).unwrap();
                match carrier::read(&touched) {
                    Ok(read) => assert_eq!(read, body, "{layout:?}: sample {place}, bit {bit}"),
                    Err(error) => {
                        assert_eq!(
                            error.kind(),
                            ErrorKind::Damaged,
                            "{layout:?}: sample {place}, bit {bit}"
                        );
                        damaging += 1;
                    }
                }
            }
        }
        assert_eq!(damaging, 256 + 250 * 8, "{layout:?}: exactly the bits that carry");
    }
}
