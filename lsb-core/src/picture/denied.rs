//! The picture that everybody sees as a carrier: eight-bit red, green and blue, opaque, large enough.

use super::error::PictureError;
use super::file::{DecodedPicture, decode_png};
use super::{flat, scale};
use crate::bits::BitsPerSample;
use crate::capacity::{self, CapacityError, Remedy};
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Colors, Raster, Samples};
use crate::size::Size;

/// How many bits of each sample carry in modes `sealed` and `preview`, unless something else is asked for.
pub const SEALED_BITS: BitsPerSample = BitsPerSample::Three;

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
    enlarged(denied_picture, body_bytes, SEALED_BITS, 0, limits)
}

/// As [`carrier_for`], with any number of bits, and with a longer side of at least `least_side`.
pub(super) fn enlarged(
    picture: &[u8],
    body_bytes: u64,
    bits: BitsPerSample,
    least_side: u64,
    limits: &Limits,
) -> Result<Raster, Error> {
    let DecodedPicture { raster, .. } = decode_png(picture, limits.upload_bytes, limits)?;
    let size = raster.size();
    let (long, short) = (size.width.max(size.height), size.width.min(size.height));
    let least_pixels = least_side * (least_side * u64::from(short)).div_ceil(u64::from(long));
    let pixels = capacity::samples_needed(body_bytes, bits).div_ceil(3);
    let enlarged = size
        .enlarged_to(pixels.max(least_pixels))
        .filter(|size| size.pixels() <= limits.pixels);
    let Some(enlarged) = enlarged else {
        return Err(too_small(size, body_bytes, bits, limits).into());
    };
    let opaque = flat::flatten(&raster);
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

fn too_small(size: Size, needed_bytes: u64, bits: BitsPerSample, limits: &Limits) -> CapacityError {
    let samples = limits.pixels.saturating_mul(3);
    let fits = |bits: &BitsPerSample| capacity::body_bytes(samples, *bits) >= needed_bytes;
    let wider = BitsPerSample::ALL.into_iter().find(fits);
    CapacityError {
        needed_bytes,
        available_bytes: capacity::body_bytes(samples, bits),
        size,
        bits,
        remedy: wider.map_or(Remedy::None, Remedy::MoreBits),
    }
}

const _: () = assert!(
    SEALED_BITS as u8 == BitsPerSample::Three as u8,
    "docs/envelope.md says three"
);
