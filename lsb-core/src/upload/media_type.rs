//! The formats, and how a file's first bytes tell them.

use core::fmt;

use crate::tags::Tiff;

/// The first bytes of a PNG.
pub(crate) const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// The formats that an original may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// Portable Network Graphics.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP, lossy or lossless.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// Tagged Image File Format; of several pages the first one.
    Tiff,
    /// Graphics Interchange Format.
    Gif,
    /// High Efficiency Image File Format with HEVC, as phones write it. Stored and not decoded.
    Heic,
    /// AV1 Image File Format. Stored and not decoded.
    Avif,
}

impl MediaType {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::Png,
        Self::Jpeg,
        Self::WebP,
        Self::Bmp,
        Self::Tiff,
        Self::Gif,
        Self::Heic,
        Self::Avif,
    ];

    /// The number that stands for it in an envelope.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Png => 1,
            Self::Jpeg => 2,
            Self::WebP => 3,
            Self::Bmp => 4,
            Self::Tiff => 5,
            Self::Gif => 6,
            Self::Heic => 7,
            Self::Avif => 8,
        }
    }

    /// The format of a number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.number() == number)
    }

    /// The name that HTTP knows it by.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Gif => "image/gif",
            Self::Heic => "image/heic",
            Self::Avif => "image/avif",
        }
    }

    /// The usual ending of a file's name, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
            Self::Bmp => "bmp",
            Self::Tiff => "tif",
            Self::Gif => "gif",
            Self::Heic => "heic",
            Self::Avif => "avif",
        }
    }

    /// The endings that files of this format have, the usual one first.
    #[must_use]
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Png => &["png", "apng"],
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::WebP => &["webp"],
            Self::Bmp => &["bmp", "dib"],
            Self::Tiff => &["tif", "tiff"],
            Self::Gif => &["gif"],
            Self::Heic => &["heic", "heif", "hif"],
            Self::Avif => &["avif"],
        }
    }

    /// Whether this crate decodes the format. What it does not decode is stored all the same, in modes that need no
    /// pixels of it.
    #[must_use]
    pub const fn is_decoded(self) -> bool {
        !matches!(self, Self::Heic | Self::Avif)
    }

    /// The format that the first bytes of a file announce. A text that begins with the letters of one is none.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if is_text(bytes) {
            None
        } else if bytes.starts_with(&SIGNATURE) {
            Some(Self::Png)
        } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            Some(Self::Gif)
        } else if Tiff::open(bytes).is_some() {
            Some(Self::Tiff)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Self::WebP)
        } else if bytes.starts_with(b"BM") && bytes.get(16..18).is_none_or(|high| high == [0, 0]) {
            // The upper half of the header's length, which is 124 at most: two letters are weak evidence.
            Some(Self::Bmp)
        } else {
            Self::of_brands(bytes)
        }
    }

    /// The format that the first box of an ISO file names: its major brand, then others that a reader may know
    /// instead (ISO/IEC 14496-12, §4.3). `mif1` says no more than that it is a picture.
    fn of_brands(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let end = usize::try_from(u32::from_be_bytes(*length))
            .ok()?
            .checked_sub(4)?;
        let content = rest.get(..end).unwrap_or(rest).strip_prefix(b"ftyp")?;
        let (major, rest) = content.split_first_chunk::<4>()?;
        // A version of four bytes lies between.
        let compatible = rest.get(4..).unwrap_or_default().as_chunks::<4>().0;
        core::iter::once(major)
            .chain(compatible)
            .find_map(|brand| match brand {
                b"avif" | b"avis" => Some(Self::Avif),
                b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
                    Some(Self::Heic)
                }
                _ => None,
            })
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Gif => "GIF",
            Self::Heic => "HEIC",
            Self::Avif => "AVIF",
        })
    }
}

/// Whether bytes are a text, in whatever encoding: the formats that begin with letters have control characters in
/// their first fields.
fn is_text(bytes: &[u8]) -> bool {
    const JUDGED_BYTES: usize = 256;
    const MOST_MAGIC_BYTES: usize = 8;
    let judged = bytes.get(..JUDGED_BYTES).unwrap_or(bytes);
    // A file that is cut off behind its magic is a text only if all of it is.
    (judged.len() > MOST_MAGIC_BYTES || judged.is_ascii())
        && judged
            .iter()
            .all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}
