//! Columns and rows.

use core::fmt;

/// The largest side of a picture that this crate suggests or makes: PNG's own limit.
pub const LARGEST_SIDE: u32 = i32::MAX as u32;

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
