//! Why a picture file could not be decoded or encoded.

use crate::envelope::Mode;
use crate::error_kind::ErrorKind;
use crate::raster::ShapeError;
use crate::upload::MediaType;

/// Why a picture file could not be decoded or encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The file's structure was in order; its pixel data is not, or is of a kind that the decoder does not know.
    #[error("the picture's pixel data cannot be decoded: {0}")]
    Decode(#[source] image::ImageError),
    /// The file is of a kind that the decoder does not know.
    #[error(
        "this kind of {format} is not supported in this mode; `sealed` takes it, the other modes need it saved anew, \
         for example as PNG ({source})"
    )]
    UnsupportedKind {
        /// The file's format.
        format: MediaType,
        /// What the decoder says.
        #[source]
        source: image::ImageError,
    },
    /// The picture could not be written.
    #[error("the picture cannot be encoded: {0}")]
    Encode(#[from] png::EncodingError),
    /// The decoder delivered something else than the header announced.
    #[error("the decoded picture is not what its header announced: {0}")]
    Shape(#[from] ShapeError),
    /// An envelope was to be hidden in a picture of another kind than its mode asks for.
    #[error(
        "an envelope of mode {mode} cannot be hidden here: `sealed` and `preview` ride in a picture of their own, \
         `cover` in the one that its owner chose, `label` in the photograph itself"
    )]
    OtherCarrier {
        /// The envelope's mode.
        mode: Mode,
    },
    /// The decoder has a bug that this file reaches.
    #[error(
        "the decoder of {format} files failed on this one, which is a bug of the decoder and not of the file: mode \
         `sealed` stores the file as it is, the other modes need it saved anew, for example as PNG"
    )]
    DecoderFailed {
        /// The file's format.
        format: MediaType,
    },
    /// The decoder delivered samples of a kind that PNG does not have.
    #[error(
        "the picture has samples of a kind that a PNG cannot hold, such as floating-point numbers: save it with 8 \
         or 16 bits first"
    )]
    Samples,
}

impl PictureError {
    /// What a decoder's error means to whoever has the file.
    pub(super) fn of_decoder(format: MediaType, source: image::ImageError) -> Self {
        match source {
            source @ image::ImageError::Unsupported(_) => Self::UnsupportedKind { format, source },
            source => Self::Decode(source),
        }
    }

    /// What kind of problem this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Decode(image::ImageError::Unsupported(_))
            | Self::UnsupportedKind { .. }
            | Self::DecoderFailed { .. }
            | Self::Samples => ErrorKind::Unsupported,
            Self::Decode(image::ImageError::Limits(_)) => ErrorKind::TooLarge,
            Self::Decode(_) | Self::Shape(_) => ErrorKind::Damaged,
            Self::Encode(_) => ErrorKind::System,
            Self::OtherCarrier { .. } => ErrorKind::InvalidRequest,
        }
    }
}
