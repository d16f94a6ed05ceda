//! The access-denied picture as a carrier: eight-bit red, green and blue, opaque, large enough.

use alloc::vec::Vec;

use super::{DecodedPng, PictureError, SEALED_BITS, decode_png, scale};
use crate::bits::{BitsPerSample, Sample};
use crate::capacity::{self, CapacityError, Remedy, Size};
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Colors, Raster, Samples};

/// Renders a denied picture with room for `body_bytes` at [`SEALED_BITS`].
///
/// Transparent pixels are laid over white, so that every pixel carries and every viewer shows the
/// same. The proportions are kept; the size is the smallest that has room, and never below the
/// picture's own.
///
/// # Errors
///
/// [`Error`]: the denied picture cannot be decoded, or would pass [`Limits::pixels`].
pub fn carrier_for(denied_picture: &[u8], body_bytes: u64, limits: &Limits) -> Result<Raster, Error> {
    let DecodedPng { raster, .. } = decode_png(denied_picture, limits.upload_bytes, limits)?;
    let size = Size {
        width: raster.width(),
        height: raster.height(),
    };
    let pixels = capacity::samples_needed(body_bytes, SEALED_BITS).div_ceil(3);
    let enlarged = size
        .enlarged_to(pixels)
        .filter(|size| size.pixels() <= limits.pixels);
    let Some(enlarged) = enlarged else {
        return Err(too_small(size, body_bytes, limits).into());
    };
    let opaque = flatten(&raster);
    drop(raster);
    let samples = scale::enlarge(opaque, size, enlarged);
    let raster = Raster::new(
        enlarged.width,
        enlarged.height,
        Colors::Rgb,
        Samples::Eight(samples),
    );
    Ok(raster.map_err(PictureError::Shape)?)
}

fn too_small(size: Size, needed_bytes: u64, limits: &Limits) -> CapacityError {
    let samples = limits.pixels.saturating_mul(3);
    CapacityError {
        needed_bytes,
        available_bytes: capacity::body_bytes(samples, SEALED_BITS),
        size,
        bits: SEALED_BITS,
        remedy: Remedy::None,
    }
}

/// The picture as eight-bit red, green and blue over white.
fn flatten(raster: &Raster) -> Vec<u8> {
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

const _: () = assert!(
    SEALED_BITS as u8 == BitsPerSample::Three as u8,
    "docs/envelope.md says three"
);
