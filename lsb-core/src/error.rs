//! One error for the whole crate, and a classification that programs act upon.

use crate::capacity::CapacityError;
use crate::carrier::CarrierError;
use crate::envelope::{EnvelopeError, PolicyError};
use crate::error_kind::ErrorKind;
use crate::preamble::PreambleError;
use crate::upload::UploadError;

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
    Seal(#[from] crate::seal::error::SealError),
    /// The picture file could not be decoded or encoded.
    #[cfg(feature = "image")]
    #[error(transparent)]
    Picture(#[from] crate::picture::error::PictureError),
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
