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
}

impl MediaType {
    /// Every format.
    pub const ALL: [Self; 6] = [
        Self::Png,
        Self::Jpeg,
        Self::WebP,
        Self::Bmp,
        Self::Tiff,
        Self::Gif,
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
        }
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
        } else if bytes.starts_with(b"BM") {
            Some(Self::Bmp)
        } else {
            None
        }
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
        })
    }
}

/// Whether bytes are a text: the formats that begin with letters have control characters in their first fields.
fn is_text(bytes: &[u8]) -> bool {
    const JUDGED_BYTES: usize = 256;
    let judged = bytes.get(..JUDGED_BYTES).unwrap_or(bytes);
    let text = match core::str::from_utf8(judged) {
        Ok(text) => text,
        // A letter of several bytes may stand across the end of what is judged.
        Err(error) if error.error_len().is_none() => {
            core::str::from_utf8(judged.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    // So few bytes say nothing: a file may be cut off behind its magic.
    text.len() > 8
        && text
            .chars()
            .all(|letter| !letter.is_control() || letter.is_ascii_whitespace())
}
