//! What is accepted though others may not.

use core::fmt;

use super::error::UploadError;

/// What is unusual about a file that is accepted all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusual {
    /// The file ends without the marker, or before the length, that its format asks for. Whether all its pixels are
    /// there is known when they are decoded.
    EndMissing,
    /// The checksum of a part beside the pixels, such as a text, is wrong.
    Checksum,
    /// Its pixels cannot be shown, or not all of them: only [`inspect_stored`](super::inspect_stored) accepts such a file.
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
