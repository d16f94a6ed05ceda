//! How much a picture can carry, and what would do when it is not enough.

use core::fmt;

pub use crate::size::{LARGEST_SIDE, Size};

use crate::bits::BitsPerSample;
use crate::error_kind::ErrorKind;
use crate::layout::{Layout, PREAMBLE_SAMPLES};
use crate::raster::Raster;

/// How many bytes of body fit behind the preamble into so many carrying samples.
///
/// ```
/// use lsb_core::{bits::BitsPerSample, capacity};
///
/// // A photograph of 4000 × 3000 pixels, red, green and blue.
/// assert_eq!(capacity::body_bytes(36_000_000, BitsPerSample::One), 4_499_968);
/// assert_eq!(capacity::body_bytes(255, BitsPerSample::One), 0);
/// ```
#[must_use]
pub const fn body_bytes(carrier_samples: u64, bits: BitsPerSample) -> u64 {
    bits.bytes_in(carrier_samples.saturating_sub(PREAMBLE_SAMPLES as u64))
}

/// How many carrying samples a preamble and so many bytes of body take.
#[must_use]
pub const fn samples_needed(body_bytes: u64, bits: BitsPerSample) -> u64 {
    bits.samples_for(body_bytes)
        .saturating_add(PREAMBLE_SAMPLES as u64)
}

/// What would make room, the least change first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same picture with more bits per sample.
    MoreBits(BitsPerSample),
    /// A picture of at least this size, all of it opaque, with the same proportions and setting.
    LargerPicture(Size),
    /// No picture that a file can hold.
    None,
}

impl fmt::Display for Remedy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoreBits(bits) => write!(formatter, "it fits with {}", per_sample(bits)),
            Self::LargerPicture(size) => {
                write!(
                    formatter,
                    "it fits into an opaque picture of {size} pixels or more"
                )
            }
            Self::None => formatter.write_str("no picture is large enough"),
        }
    }
}

/// A number of bits as people write it.
const fn per_sample(bits: &BitsPerSample) -> &'static str {
    match bits {
        BitsPerSample::One => "1 bit per sample",
        BitsPerSample::Two => "2 bits per sample",
        BitsPerSample::Three => "3 bits per sample",
        BitsPerSample::Four => "4 bits per sample",
    }
}

/// The picture has no room for the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed_bytes} bytes have to be hidden, and a picture of {size} pixels has room for {available_bytes} at \
     {}: {remedy}",
    per_sample(bits)
)]
pub struct CapacityError {
    /// What has to be hidden.
    pub needed_bytes: u64,
    /// What there is room for.
    pub available_bytes: u64,
    /// The picture's size.
    pub size: Size,
    /// The setting that was asked for.
    pub bits: BitsPerSample,
    /// What would do.
    pub remedy: Remedy,
}

impl CapacityError {
    /// What kind of problem this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Capacity
    }
}

/// Checks that a body fits into a picture.
///
/// `most_bits` is the highest setting that the caller would accept instead; it only decides which
/// remedy the error names.
///
/// # Errors
///
/// [`CapacityError`] with what is needed, what there is, and the smallest change that would do.
pub fn check(
    raster: &Raster,
    needed_bytes: u64,
    layout: Layout,
    most_bits: BitsPerSample,
) -> Result<(), CapacityError> {
    let carriers = raster.carrier_samples();
    if carriers >= layout.samples_needed(needed_bytes) {
        return Ok(());
    }
    let size = raster.size();
    let wider = BitsPerSample::ALL.into_iter().find(|candidate| {
        (layout.bits..=most_bits).contains(candidate)
            && carriers >= layout.with_bits(*candidate).samples_needed(needed_bytes)
    });
    let pixels = layout
        .samples_needed(needed_bytes)
        .div_ceil(raster.colors().colors() as u64);
    let remedy = match (wider, size.enlarged_to(pixels)) {
        (Some(bits), _) => Remedy::MoreBits(bits),
        (None, Some(size)) => Remedy::LargerPicture(size),
        (None, None) => Remedy::None,
    };
    Err(CapacityError {
        needed_bytes,
        available_bytes: layout.body_bytes(carriers),
        size,
        bits: layout.bits,
        remedy,
    })
}
