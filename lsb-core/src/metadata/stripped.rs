//! What is left of a file, and why nothing may be.

use alloc::vec::Vec;

use super::item::Item;
use crate::error_kind::ErrorKind;
use crate::upload::MediaType;

/// A file without what a viewer does not need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripped {
    /// The file: the same format, the same compressed pixels.
    pub file: Vec<u8>,
    /// What was taken out.
    pub removed: Vec<Item>,
    /// What was kept, because the picture would look different without it.
    pub kept: Vec<Item>,
}

/// Why metadata could not be listed or taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StripError {
    /// None of the formats that this crate knows.
    #[error("the file is not a picture of a known format, so nothing is known of its metadata")]
    NotAPicture,
    /// A format that this crate stores and does not look into.
    #[error(
        "the file is a picture of format {format}, whose metadata this program neither reads nor takes out; save it as \
         PNG or JPEG first"
    )]
    StoredOnly {
        /// Its format.
        format: MediaType,
    },
    /// The file is damaged where its metadata stands.
    #[error(
        "the {format} file is damaged, so its metadata cannot be told from its pixels; save it anew first"
    )]
    Damaged {
        /// Its format.
        format: MediaType,
    },
}

impl StripError {
    /// What kind of problem this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAPicture => ErrorKind::NotAPicture,
            Self::StoredOnly { .. } => ErrorKind::Unsupported,
            Self::Damaged { .. } => ErrorKind::Damaged,
        }
    }
}
