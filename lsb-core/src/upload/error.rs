//! Why a file is not a picture that can be used.

use super::media_type::MediaType;
use crate::error_kind::ErrorKind;
use crate::size::Size;

/// Why a file is not a picture that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// An empty file.
    #[error("the file is empty")]
    Empty,
    /// None of the formats of [`MediaType`].
    #[error(
        "the file is not a picture that this program reads: it is neither PNG, JPEG, WebP, BMP, TIFF nor GIF, \
         and neither HEIC nor AVIF. Save it in one of these formats first"
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
    /// A file of a format that is stored and never looked into where a picture that carries is expected.
    #[error(
        "this is a file of format {format}, in which this program never hides anything: either it was never protected, \
         or a protected picture was re-encoded, which destroys the hidden part. Use the PNG file exactly as it was \
         received"
    )]
    CannotCarry {
        /// Its format.
        format: MediaType,
    },
    /// A picture of a format that can be stored, where its pixels are needed.
    #[error(
        "the file is a picture of format {format}, which this program stores and does not decode: mode `sealed` takes \
         it as it is; this needs its pixels, so save it as PNG or JPEG first"
    )]
    StoredOnly {
        /// Its format.
        format: MediaType,
    },
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
            Self::JpegCannotCarry | Self::CannotCarry { .. } => ErrorKind::NotProtected,
            Self::TooManyBytes { .. } | Self::TooManyPixels { .. } | Self::TooManyDecodedBytes { .. } => {
                ErrorKind::TooLarge
            }
            Self::CutOff { .. }
            | Self::Damaged { .. }
            | Self::PixelsMissing { .. }
            | Self::FalseHeader { .. } => ErrorKind::Damaged,
            Self::Animated { .. } | Self::UnknownChunk { .. } | Self::StoredOnly { .. } => {
                ErrorKind::Unsupported
            }
        }
    }
}
