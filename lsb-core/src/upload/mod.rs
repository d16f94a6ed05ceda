//! Is this a whole picture, of what size, within the limits? Answered without decoding it.
//!
//! An original is stored as its file's bytes, so it need not be decoded to be protected; and the
//! decoders ask for this first, because they allocate what a header claims. The structure is walked
//! from the first byte to the end marker: PNG chunk by chunk with their checksums, JPEG segment by
//! segment, WebP and GIF block by block; of BMP and TIFF the headers, and whether all pixels are
//! there. Bytes after the end marker are accepted and kept, as every viewer does: phones append
//! depth maps and moving pictures there. A missing end marker and other things that viewers pass over
//! are no error; [`Upload::unusual`] names them.

pub(crate) mod bmp;
mod bytes;
pub(crate) mod gif;
pub(crate) mod jpeg;
pub(crate) mod png;
mod tiff;
pub(crate) mod webp;

use core::cell::Cell;
use core::fmt;

#[cfg(feature = "image")]
pub(crate) use png::Chunks;

use crate::capacity::Size;
use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::tags::Tiff;

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
        } else if bytes.starts_with(&png::SIGNATURE) {
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

/// Why a file is not a picture that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// An empty file.
    #[error("the file is empty")]
    Empty,
    /// None of the formats of [`MediaType`].
    #[error(
        "the file is not a picture that this program reads: it is neither PNG, JPEG, WebP, BMP, TIFF nor GIF. Save \
         it in one of these formats first"
    )]
    NotAPicture,
    /// A picture of another format than the one that is needed.
    #[error("the file is a {found} picture, and a {needed} is needed here: save it as {needed} first")]
    WrongFormat {
        /// What it is.
        found: MediaType,
        /// What it should be.
        needed: MediaType,
    },
    /// A JPEG where a picture that carries is expected.
    #[error(
        "this is a JPEG, which cannot carry anything: either it was never protected, or a protected picture was \
         re-encoded as JPEG, which destroys the hidden part. Use the PNG file exactly as it was received"
    )]
    JpegCannotCarry,
    /// More bytes than the limit.
    #[error("the file has {bytes} bytes, the limit is {limit}")]
    TooManyBytes {
        /// How many.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// More pixels than the limit.
    #[error("the picture has {size} = {pixels} pixels, the limit is {limit}", pixels = size.pixels())]
    TooManyPixels {
        /// The picture's size.
        size: Size,
        /// The limit.
        limit: u64,
    },
    /// More memory than the limit.
    #[error("the picture takes {bytes} bytes when decoded, the limit is {limit}")]
    TooManyDecodedBytes {
        /// How many.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file ends before its end marker.
    #[error(
        "the {format} file is cut off after {bytes} bytes: its end is missing. Copy or download it again"
    )]
    CutOff {
        /// Its format.
        format: MediaType,
        /// How many bytes there are.
        bytes: usize,
    },
    /// A checksum or a rule of the format is broken.
    #[error("the {format} file is damaged at byte {offset}: {problem}")]
    Damaged {
        /// Its format.
        format: MediaType,
        /// Where.
        offset: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// The header promises more pixels than the file's data can hold.
    #[error(
        "the {format}'s header claims {claimed} bytes of pixels, and its {compressed} bytes of data can hold at most \
         {possible}: the header is false or the data is cut off"
    )]
    FalseHeader {
        /// Its format.
        format: MediaType,
        /// What the header asks for.
        claimed: u64,
        /// The compressed data.
        compressed: u64,
        /// The most that deflate can make of it.
        possible: u64,
    },
    /// The structure is in order, and a part of the pixels is missing or damaged. Many programs show such a file with
    /// grey in its place.
    #[error("the {format} file does not have all its pixels: {problem}. Copy or download it again")]
    PixelsMissing {
        /// Its format.
        format: MediaType,
        /// What is wrong.
        problem: &'static str,
    },
    /// A part without which the picture cannot be shown right, and that no specification names.
    #[error(
        "the PNG has a critical chunk {name:?} that this program does not know, so its pixels cannot be written \
         anew; mode `sealed` stores the file as it is",
        name = core::str::from_utf8(kind).unwrap_or("????")
    )]
    UnknownChunk {
        /// The chunk's type.
        kind: [u8; 4],
    },
    /// An animation, of which only one frame would survive.
    #[error(
        "the file is an animated {format}: save the frame you mean as a picture of its own, or ask for its first frame"
    )]
    Animated {
        /// Its format.
        format: MediaType,
    },
}

impl UploadError {
    /// What kind of problem this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Empty | Self::NotAPicture | Self::WrongFormat { .. } => ErrorKind::NotAPicture,
            Self::JpegCannotCarry => ErrorKind::NotProtected,
            Self::TooManyBytes { .. } | Self::TooManyPixels { .. } | Self::TooManyDecodedBytes { .. } => {
                ErrorKind::TooLarge
            }
            Self::CutOff { .. }
            | Self::Damaged { .. }
            | Self::PixelsMissing { .. }
            | Self::FalseHeader { .. } => ErrorKind::Damaged,
            Self::Animated { .. } | Self::UnknownChunk { .. } => ErrorKind::Unsupported,
        }
    }
}

/// What a file's structure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The format.
    pub media_type: MediaType,
    /// The size that the header gives.
    pub size: Size,
    /// What is unusual about the file, which is accepted all the same.
    pub unusual: Option<Unusual>,
}

/// What is unusual about a file that is accepted all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusual {
    /// The file ends without the marker, or before the length, that its format asks for. Whether all its pixels are
    /// there is known when they are decoded.
    EndMissing,
    /// The checksum of a part beside the pixels, such as a text, is wrong.
    Checksum,
    /// Its pixels cannot be shown, or not all of them: only [`inspect_stored`] accepts such a file.
    Faulty(UploadError),
}

impl fmt::Display for Unusual {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndMissing => formatter.write_str("the file has no end marker: it may be cut off"),
            Self::Checksum => formatter.write_str("the checksum of a part beside the pixels is wrong"),
            Self::Faulty(error) => error.fmt(formatter),
        }
    }
}

/// Checks that a file is one whole picture within [`Limits::upload_bytes`] and
/// [`Limits::pixels`].
///
/// What most viewers pass over, such as a missing end marker, is no error: [`Upload::unusual`] names it. Whether all
/// pixels are there is for [`picture::decode`](crate::picture::decode) to find out.
///
/// # Errors
///
/// [`UploadError`]: no picture, too large, cut off, damaged, animated.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Upload, UploadError> {
    inspect_of(bytes, limits.upload_bytes, limits)
}

/// As [`inspect`], for a file of which only the bytes are needed, and never the pixels: damage behind the header is
/// no error, and [`Upload::unusual`] names it.
///
/// # Errors
///
/// [`UploadError`]: no picture, too large, animated, or damaged so early that even its size is unknown.
pub fn inspect_stored(bytes: &[u8], limits: &Limits) -> Result<Upload, UploadError> {
    let known = Cell::new(None);
    match inspect_noting(bytes, limits.upload_bytes, limits, &known) {
        Err(
            error @ (UploadError::CutOff { .. }
            | UploadError::Damaged { .. }
            | UploadError::PixelsMissing { .. }
            | UploadError::FalseHeader { .. }),
        ) => known.get().map_or(Err(error), |(media_type, size)| {
            Ok(Upload {
                media_type,
                size,
                unusual: Some(Unusual::Faulty(error)),
            })
        }),
        inspected => inspected,
    }
}

/// Checks a file with the byte limit of its purpose.
pub(crate) fn inspect_of(bytes: &[u8], most_bytes: u64, limits: &Limits) -> Result<Upload, UploadError> {
    inspect_noting(bytes, most_bytes, limits, &Cell::new(None))
}

/// As [`inspect_of`]; format and size are noted as soon as they are known and within the limits.
fn inspect_noting(
    bytes: &[u8],
    most_bytes: u64,
    limits: &Limits,
    known: &Cell<Option<(MediaType, Size)>>,
) -> Result<Upload, UploadError> {
    check_bytes(bytes, most_bytes)?;
    let media_type = MediaType::sniff(bytes).ok_or(UploadError::NotAPicture)?;
    let check_size = |size: Size| {
        if size.width == 0 || size.height == 0 {
            let problem = "a width or height of zero";
            return Err(UploadError::Damaged {
                format: media_type,
                offset: 0,
                problem,
            });
        }
        check_pixels(size, limits)?;
        known.set(Some((media_type, size)));
        Ok(())
    };
    let without_end = |missing: bool| missing.then_some(Unusual::EndMissing);
    let (size, animated, unusual) = match media_type {
        MediaType::Png => {
            let png = png::inspect(bytes, limits, check_size)?;
            (png.size, png.animated, png.unusual)
        }
        MediaType::Jpeg => {
            let jpeg = jpeg::inspect(bytes, check_size)?;
            (jpeg.size, false, without_end(jpeg.end_is_missing))
        }
        MediaType::WebP => {
            let webp = webp::inspect(bytes, check_size)?;
            (webp.size, webp.animated, without_end(webp.end_is_missing))
        }
        MediaType::Bmp => (bmp::inspect(bytes, check_size)?, false, None),
        MediaType::Tiff => (tiff::inspect(bytes, check_size)?, false, None),
        MediaType::Gif => {
            let gif = gif::inspect(bytes, check_size)?;
            (gif.size, gif.frames > 1, without_end(gif.end_is_missing))
        }
    };
    if animated && !limits.first_frame {
        return Err(UploadError::Animated { format: media_type });
    }
    Ok(Upload {
        media_type,
        size,
        unusual,
    })
}

/// As [`inspect`], for a file that must be a PNG.
///
/// # Errors
///
/// As [`inspect`], and [`UploadError::WrongFormat`] for anything else.
pub fn inspect_png(bytes: &[u8], limits: &Limits) -> Result<Upload, UploadError> {
    inspect_png_of(bytes, limits.upload_bytes, limits)
}

/// As [`inspect_png`], with the byte limit of its purpose.
pub(crate) fn inspect_png_of(bytes: &[u8], most_bytes: u64, limits: &Limits) -> Result<Upload, UploadError> {
    match MediaType::sniff(bytes) {
        Some(found) if found != MediaType::Png => Err(UploadError::WrongFormat {
            found,
            needed: MediaType::Png,
        }),
        _ => inspect_of(bytes, most_bytes, limits),
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

fn check_bytes(bytes: &[u8], limit: u64) -> Result<(), UploadError> {
    match bytes.len() as u64 {
        0 => Err(UploadError::Empty),
        bytes if bytes > limit => Err(UploadError::TooManyBytes { bytes, limit }),
        _ => Ok(()),
    }
}

fn check_pixels(size: Size, limits: &Limits) -> Result<(), UploadError> {
    if size.pixels() > limits.pixels {
        return Err(UploadError::TooManyPixels {
            size,
            limit: limits.pixels,
        });
    }
    Ok(())
}
