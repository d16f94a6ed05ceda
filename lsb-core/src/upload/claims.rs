//! What a file claims of itself, held against the limits.

use super::error::UploadError;
use crate::limits::Limits;
use crate::size::Size;

pub(super) fn check_bytes(bytes: &[u8], limit: u64) -> Result<(), UploadError> {
    match bytes.len() as u64 {
        0 => Err(UploadError::Empty),
        bytes if bytes > limit => Err(UploadError::TooManyBytes { bytes, limit }),
        _ => Ok(()),
    }
}

pub(super) fn check_pixels(size: Size, limits: &Limits) -> Result<(), UploadError> {
    if size.pixels() > limits.pixels {
        return Err(UploadError::TooManyPixels {
            size,
            limit: limits.pixels,
        });
    }
    Ok(())
}
