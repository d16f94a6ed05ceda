//! One error for the whole crate, and a classification that programs act upon.

use crate::capacity::CapacityError;
use crate::carrier::CarrierError;
use crate::envelope::{EnvelopeError, PolicyError};
use crate::preamble::PreambleError;
use crate::upload::UploadError;

/// Who or what is wrong, in the classes that a program acts upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file is no picture of a supported format.
    NotAPicture,
    /// The file or the picture passes a limit.
    TooLarge,
    /// A picture that carries nothing of ours, or nothing any more.
    NotProtected,
    /// A file or a hidden part that suffered: cut off, edited, re-encoded.
    Damaged,
    /// A hidden part that arrived whole and is not what its owner signed.
    Tampered,
    /// A key or a share that belongs to something else.
    WrongKey,
    /// There is no room for what is to be hidden.
    Capacity,
    /// Valid, and beyond what this version of the program can do.
    Unsupported,
    /// The caller asked for something that contradicts itself.
    InvalidRequest,
    /// The operating system failed us.
    System,
}

/// Everything that can go wrong, by the layer that noticed it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not a picture that can be used.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The picture does not carry a body that can be read.
    #[error(transparent)]
    Carrier(#[from] CarrierError),
    /// The body does not fit.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// The body is not an envelope in order.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The policy is not in order.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Sealing, opening or verifying failed.
    #[cfg(feature = "seal")]
    #[error(transparent)]
    Seal(#[from] crate::seal::SealError),
    /// The picture file could not be decoded or encoded.
    #[cfg(feature = "image")]
    #[error(transparent)]
    Picture(#[from] crate::picture::PictureError),
}

impl Error {
    /// What kind of problem this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Upload(error) => error.kind(),
            Self::Carrier(error) => error.kind(),
            Self::Capacity(error) => error.kind(),
            Self::Envelope(error) => error.kind(),
            Self::Policy(_) => ErrorKind::InvalidRequest,
            #[cfg(feature = "seal")]
            Self::Seal(error) => error.kind(),
            #[cfg(feature = "image")]
            Self::Picture(error) => error.kind(),
        }
    }
}

impl From<PreambleError> for Error {
    fn from(error: PreambleError) -> Self {
        Self::Carrier(error.into())
    }
}
