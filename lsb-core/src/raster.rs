//! A decoded picture: its samples, and which of them can carry.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::bits::Sample;
use crate::size::Size;

/// Which samples a pixel has, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Colors {
    /// One grey sample.
    Grey,
    /// Grey and alpha.
    GreyAlpha,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue and alpha.
    Rgba,
}

impl Colors {
    /// Samples per pixel, alpha included.
    #[must_use]
    pub const fn samples(self) -> usize {
        self.colors() + self.has_alpha() as usize
    }

    /// Samples per pixel that are colour and not alpha.
    #[must_use]
    pub const fn colors(self) -> usize {
        match self {
            Self::Grey | Self::GreyAlpha => 1,
            Self::Rgb | Self::Rgba => 3,
        }
    }

    /// Whether the last sample of each pixel is its alpha.
    #[must_use]
    pub const fn has_alpha(self) -> bool {
        matches!(self, Self::GreyAlpha | Self::Rgba)
    }

    /// The channel mask of the preamble: one bit per colour channel, the first the lowest.
    #[must_use]
    pub const fn channel_mask(self) -> u8 {
        match self {
            Self::Grey | Self::GreyAlpha => 0b001,
            Self::Rgb | Self::Rgba => 0b111,
        }
    }
}

/// The samples of a picture, of 8 or of 16 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Samples {
    /// Eight bits each.
    Eight(Vec<u8>),
    /// Sixteen bits each.
    Sixteen(Vec<u16>),
}

/// The samples are not as many as the dimensions ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a picture of {width}×{height} pixels and {per_pixel} samples each does not have {samples} samples")]
pub struct ShapeError {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Samples per pixel.
    pub per_pixel: usize,
    /// The samples there were.
    pub samples: usize,
}

/// A picture: rows from the top, pixels from the left, the samples of a pixel side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    width: u32,
    height: u32,
    colors: Colors,
    samples: Samples,
}

impl Raster {
    /// Puts a picture together.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if the number of samples is not width × height × samples per pixel, or a
    /// dimension is zero.
    pub fn new(width: u32, height: u32, colors: Colors, samples: Samples) -> Result<Self, ShapeError> {
        let count = match &samples {
            Samples::Eight(samples) => samples.len(),
            Samples::Sixteen(samples) => samples.len(),
        };
        let expected = u64::from(width)
            .checked_mul(u64::from(height))
            .and_then(|pixels| pixels.checked_mul(colors.samples() as u64));
        if width == 0 || height == 0 || expected != Some(count as u64) {
            return Err(ShapeError {
                width,
                height,
                per_pixel: colors.samples(),
                samples: count,
            });
        }
        Ok(Self {
            width,
            height,
            colors,
            samples,
        })
    }

    /// Pixels per row.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Columns and rows.
    #[must_use]
    pub const fn size(&self) -> Size {
        Size {
            width: self.width,
            height: self.height,
        }
    }

    /// Which samples a pixel has.
    #[must_use]
    pub const fn colors(&self) -> Colors {
        self.colors
    }

    /// All samples.
    #[must_use]
    pub const fn samples(&self) -> &Samples {
        &self.samples
    }

    /// All samples, to change them in place.
    pub(crate) const fn samples_mut(&mut self) -> &mut Samples {
        &mut self.samples
    }

    /// Gives up the picture for its samples.
    #[must_use]
    pub fn into_samples(self) -> Samples {
        self.samples
    }

    /// How many samples can carry payload: the colour samples of every fully opaque pixel.
    ///
    /// Others are left alone because programs may change the hidden colours of transparent pixels.
    #[must_use]
    pub fn carrier_samples(&self) -> u64 {
        fn opaque_pixels<S: Sample>(samples: &[S], per_pixel: usize) -> u64 {
            let pixels = samples.chunks_exact(per_pixel);
            pixels.filter(|pixel| pixel.last() == Some(&S::OPAQUE)).count() as u64
        }
        let per_pixel = self.colors.samples();
        let pixels = match &self.samples {
            _ if !self.colors.has_alpha() => u64::from(self.width) * u64::from(self.height),
            Samples::Eight(samples) => opaque_pixels(samples, per_pixel),
            Samples::Sixteen(samples) => opaque_pixels(samples, per_pixel),
        };
        pixels * self.colors.colors() as u64
    }
}

/// The first `count` carrying samples of the channels in `channel_mask`, in order; fewer if the
/// picture has fewer. They are copied only when they do not stand side by side already.
pub(crate) fn gather<S: Sample>(
    samples: &[S],
    colors: Colors,
    channel_mask: u8,
    count: usize,
) -> Cow<'_, [S]> {
    if !colors.has_alpha() && channel_mask == colors.channel_mask() {
        return Cow::Borrowed(samples.get(..count).unwrap_or(samples));
    }
    // Of all masks only the first channel alone, or every channel, are valid.
    let channels = channel_mask.count_ones() as usize;
    let pixels = samples.chunks_exact(colors.samples());
    let carriers = pixels
        .filter(|pixel| !colors.has_alpha() || pixel.last() == Some(&S::OPAQUE))
        .flat_map(|pixel| pixel.iter().take(channels))
        .take(count);
    let mut gathered = Vec::with_capacity(count.min(samples.len()));
    gathered.extend(carriers);
    Cow::Owned(gathered)
}

/// Puts back what [`gather`] returned, after it was changed.
pub(crate) fn put_back<S: Sample>(samples: &mut [S], colors: Colors, carriers: &[S]) {
    let pixels = samples.chunks_exact_mut(colors.samples());
    let targets = pixels
        .filter_map(<[S]>::split_last_mut)
        .filter(|(alpha, _)| **alpha == S::OPAQUE)
        .flat_map(|(_, colors)| colors);
    for (target, carrier) in targets.zip(carriers) {
        *target = *carrier;
    }
}
