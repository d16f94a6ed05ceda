//! How much a picture can carry, and what would do when it is not enough.

use core::fmt;

use crate::bits::BitsPerSample;
use crate::error::ErrorKind;
use crate::layout::Layout;
use crate::preamble::PREAMBLE_SAMPLES;
use crate::raster::Raster;

/// The largest side of a picture that this crate suggests or makes: PNG's own limit.
pub const LARGEST_SIDE: u32 = i32::MAX as u32;

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

/// A size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}×{}", self.width, self.height)
    }
}

impl Size {
    /// The number of pixels.
    #[must_use]
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// The smallest size of these proportions, and not below this size, that has so many pixels;
    /// `None` if a side would pass [`LARGEST_SIDE`].
    #[must_use]
    pub fn enlarged_to(self, pixels: u64) -> Option<Self> {
        let (long, short) = (self.width.max(self.height), self.width.min(self.height));
        // The shorter side follows the longer, rounded up, so that a row of one pixel grows in
        // steps of one pixel until it is time for a second row.
        let at = |longer: u32| {
            let shorter = (u64::from(longer) * u64::from(short)).div_ceil(u64::from(long.max(1)));
            u32::try_from(shorter).unwrap_or(u32::MAX).max(1)
        };
        let enough = |longer: u32| u64::from(longer) * u64::from(at(longer)) >= pixels;
        let (mut low, mut high) = (long.max(1), LARGEST_SIDE);
        if !enough(high) {
            return None;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if enough(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(if self.width >= self.height {
            Self {
                width: low,
                height: at(low),
            }
        } else {
            Self {
                width: at(low),
                height: low,
            }
        })
    }
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
