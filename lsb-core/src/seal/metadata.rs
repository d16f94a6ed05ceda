//! What is known about an original besides its bytes.
//!
//! ```text
//!   ┌──────────┬───────────────────┬───────────┬────────────┬──────────────┬──────────────────┐
//!   │ u8 = 1   │ media type u8     │ width u32 │ height u32 │ length u64   │ SHA-256, 32 bytes│   50 bytes
//!   │ version  │ 1 PNG, 2 JPEG, …  │ pixels    │ pixels     │ of the file  │ of the file      │
//!   └──────────┴───────────────────┴───────────┴────────────┴──────────────┴──────────────────┘
//! ```
//!
//! It is encrypted like the original: a stranger learns nothing from it. A file name is not kept;
//! it would only be a path that someone else chose.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::error::SealError;
use crate::size::Size;
use crate::upload::{MediaType, Upload};
use crate::wire::{Reader, Truncated, Write};

const METADATA_VERSION: u8 = 1;

/// What is known about an original besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalMetadata {
    /// The file's format.
    pub media_type: MediaType,
    /// The picture's size, as its header gives it.
    pub size: Size,
    /// The file's length in bytes.
    pub bytes: u64,
    /// The file's SHA-256.
    pub hash: [u8; 32],
}

impl OriginalMetadata {
    pub(super) fn of(upload: &Upload, original: &[u8]) -> Self {
        Self {
            media_type: upload.media_type,
            size: upload.size,
            bytes: original.len() as u64,
            hash: Sha256::digest(original).into(),
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes
            .put_u8(METADATA_VERSION)
            .put_u8(self.media_type.number())
            .put_u32(self.size.width)
            .put_u32(self.size.height)
            .put_u64(self.bytes)
            .put(&self.hash);
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SealError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("metadata version")?;
        if version != METADATA_VERSION {
            return Err(SealError::MetadataVersion { found: version });
        }
        let number = reader.u8("media type")?;
        let media_type = MediaType::from_number(number).ok_or(SealError::MediaType { found: number })?;
        let (width, height) = (reader.u32("width")?, reader.u32("height")?);
        let (length, hash) = (reader.u64("length")?, reader.array("hash")?);
        if reader.remaining() > 0 {
            return Err(SealError::Metadata);
        }
        Ok(Self {
            media_type,
            size: Size { width, height },
            bytes: length,
            hash,
        })
    }
}

impl From<Truncated> for SealError {
    fn from(_: Truncated) -> Self {
        Self::Metadata
    }
}
