//! Is this a whole picture, of what size, within the limits? Answered without decoding it.
//!
//! An original is stored as its file's bytes, so it need not be decoded to be protected; and the
//! decoders ask for this first, because they allocate what a header claims. The structure is walked
//! from the first byte to the end marker: PNG chunk by chunk with their checksums, JPEG segment by
//! segment. Bytes after the end marker are accepted and kept, as every viewer does: phones append
//! depth maps and moving pictures there.

mod jpeg;
mod png;

use core::fmt;

#[cfg(feature = "image")]
pub(crate) use png::Chunks;

use crate::capacity::Size;
use crate::error::ErrorKind;
use crate::limits::Limits;

/// The formats that an original may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// Portable Network Graphics.
    Png,
    /// JPEG.
    Jpeg,
}

impl MediaType {
    /// The number that stands for it in an envelope.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Png => 1,
            Self::Jpeg => 2,
        }
    }

    /// The format of a number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Png),
            2 => Some(Self::Jpeg),
            _ => None,
        }
    }

    /// The name that HTTP knows it by.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
        }
    }

    /// The usual ending of a file's name, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }

    /// The format that the first bytes of a file announce.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&png::SIGNATURE) {
            Some(Self::Png)
        } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            Some(Self::Jpeg)
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
    /// Neither PNG nor JPEG.
    #[error("the file is not a picture that this program reads: it is neither PNG nor JPEG")]
    NotAPicture,
    /// A picture of another format than the one that is needed.
    #[error("the file is a {found}, and a {needed} is needed here")]
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
        "the PNG's header claims {claimed} bytes of pixels, and its {compressed} bytes of data can hold at most \
         {possible}: the header is false or the data is cut off"
    )]
    FalseHeader {
        /// What the header asks for.
        claimed: u64,
        /// The compressed data.
        compressed: u64,
        /// The most that deflate can make of it.
        possible: u64,
    },
    /// An animation, of which only one frame would survive.
    #[error(
        "the file is an animated PNG, which is not supported: save the frame you mean as a picture of its own"
    )]
    Animated,
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
            Self::CutOff { .. } | Self::Damaged { .. } | Self::FalseHeader { .. } => ErrorKind::Damaged,
            Self::Animated => ErrorKind::Unsupported,
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
}

/// Checks that a file is one whole PNG or JPEG within [`Limits::upload_bytes`] and
/// [`Limits::pixels`].
///
/// # Errors
///
/// [`UploadError`]: no picture, too large, cut off, damaged, animated.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Upload, UploadError> {
    check_bytes(bytes, limits.upload_bytes)?;
    match MediaType::sniff(bytes).ok_or(UploadError::NotAPicture)? {
        MediaType::Png => inspect_png(bytes, limits),
        MediaType::Jpeg => {
            let size = jpeg::inspect(bytes, |size| check_pixels(size, limits))?;
            Ok(Upload {
                media_type: MediaType::Jpeg,
                size,
            })
        }
    }
}

/// As [`inspect`], for a file that must be a PNG.
///
/// # Errors
///
/// As [`inspect`], and [`UploadError::WrongFormat`] for a JPEG.
pub fn inspect_png(bytes: &[u8], limits: &Limits) -> Result<Upload, UploadError> {
    check_bytes(bytes, limits.upload_bytes)?;
    match MediaType::sniff(bytes).ok_or(UploadError::NotAPicture)? {
        MediaType::Png => {
            let header = png::inspect(bytes, limits)?;
            Ok(Upload {
                media_type: MediaType::Png,
                size: header.size,
            })
        }
        found => Err(UploadError::WrongFormat {
            found,
            needed: MediaType::Png,
        }),
    }
}

/// Checks a PNG that is about to be decoded, with the byte limit of its purpose.
#[cfg(feature = "image")]
pub(crate) fn inspect_png_of(bytes: &[u8], most_bytes: u64, limits: &Limits) -> Result<(), UploadError> {
    check_bytes(bytes, most_bytes)?;
    match MediaType::sniff(bytes).ok_or(UploadError::NotAPicture)? {
        MediaType::Png => png::inspect(bytes, limits).map(|_| ()),
        found => Err(UploadError::WrongFormat {
            found,
            needed: MediaType::Png,
        }),
    }
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
