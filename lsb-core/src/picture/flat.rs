//! Pictures of every kind as opaque eight-bit red, green and blue.

use alloc::vec::Vec;

use crate::bits::Sample;
use crate::raster::{Colors, Raster, Samples};

/// The picture as eight-bit red, green and blue over white.
pub(super) fn flatten(raster: &Raster) -> Vec<u8> {
    let colors = raster.colors();
    match raster.samples() {
        Samples::Eight(samples) => flatten_samples(samples, colors, |sample| *sample),
        Samples::Sixteen(samples) => flatten_samples(samples, colors, |sample| sample.to_be_bytes()[0]),
    }
}

fn flatten_samples<S: Sample>(samples: &[S], colors: Colors, eight_bits: impl Fn(&S) -> u8) -> Vec<u8> {
    let mut flat = Vec::with_capacity(samples.len() / colors.samples() * 3);
    for pixel in samples.chunks_exact(colors.samples()) {
        let alpha = match pixel.last() {
            Some(alpha) if colors.has_alpha() => u32::from(eight_bits(alpha)),
            _ => 255,
        };
        let over_white = |sample: &S| {
            let blended = u32::from(eight_bits(sample)) * alpha + 255 * (255 - alpha);
            u8::try_from((blended + 127) / 255).unwrap_or(u8::MAX)
        };
        match pixel {
            [red, green, blue, ..] => flat.extend([red, green, blue].map(over_white)),
            [grey, ..] => flat.extend([over_white(grey); 3]),
            [] => (),
        }
    }
    flat
}
