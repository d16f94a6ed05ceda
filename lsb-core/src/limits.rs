//! What is too large or not wanted, said before any memory is spent on it.

/// The limits on files and pictures.
///
/// They are checked against headers, before anything is decoded. The peak memory of one operation
/// follows from them: the file twice, the decoded samples three times (a progressive JPEG's coefficients, the
/// samples, the samples turned upright), and the envelope twice. A PNG takes less: its samples are there once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes an original or a denied picture may have. Default: 64 MiB.
    pub upload_bytes: u64,
    /// The most bytes a picture that carries may have. It is larger than the upload it holds: eight
    /// bits carry three, and hidden bits hardly compress. Default: 256 MiB.
    pub carrier_bytes: u64,
    /// The most pixels any picture may have, or be enlarged to. Default: 100 million.
    pub pixels: u64,
    /// The most bytes a picture may take when decoded. Default: 512 MiB.
    pub decoded_bytes: u64,
    /// Whether an animated file is taken for its first frame, and not refused. What is stored is the
    /// whole file all the same; pictures that are made of it show the first frame. Default: refused.
    pub first_frame: bool,
}

impl Limits {
    /// The limits that hold unless someone says otherwise.
    pub const DEFAULT: Self = Self {
        upload_bytes: 64 << 20,
        carrier_bytes: 256 << 20,
        pixels: 100_000_000,
        decoded_bytes: 512 << 20,
        first_frame: false,
    };
}

impl Limits {
    /// The most pixels a preview may have: it is small on purpose, and whoever hides an envelope for somebody else
    /// must not be made to decode a large one.
    pub const PREVIEW_PIXELS: u64 = 64 * 64;

    /// The same, for a preview.
    #[cfg(any(feature = "image", feature = "seal"))]
    #[must_use]
    pub(crate) const fn of_preview(mut self) -> Self {
        if self.pixels > Self::PREVIEW_PIXELS {
            self.pixels = Self::PREVIEW_PIXELS;
        }
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
