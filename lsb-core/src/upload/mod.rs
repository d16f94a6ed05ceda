//! Is this a whole picture, of what size, within the limits? Answered without decoding it.
//!
//! An original is stored as its file's bytes, so it need not be decoded to be protected; and the
//! decoders ask for this first, because they allocate what a header claims. The structure is walked
//! from the first byte to the end marker: PNG chunk by chunk with their checksums, JPEG segment by
//! segment, WebP and GIF block by block, HEIC and AVIF box by box; of BMP and TIFF the headers, and
//! whether all pixels are there. Bytes after the end marker are accepted and kept, as every viewer does: phones append
//! depth maps and moving pictures there.

mod bmp;
mod bytes;
mod claims;
mod error;
pub(crate) mod gif;
mod heif;
pub(crate) mod jpeg;
mod media_type;
pub(crate) mod png;
mod tiff;
pub(crate) mod webp;

pub(crate) use bmp::end as bmp_end;
#[cfg(feature = "image")]
pub(crate) use png::Chunks;

use claims::{check_bytes, check_pixels};
pub use error::UploadError;
pub use media_type::MediaType;
pub(crate) use media_type::SIGNATURE;

use crate::limits::Limits;
use crate::size::Size;

/// What a file's structure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The format.
    pub media_type: MediaType,
    /// The size that the header gives; of a HEIC or an AVIF the largest that it names.
    pub size: Size,
}

/// Checks that a file is one whole picture within [`Limits::upload_bytes`] and
/// [`Limits::pixels`].
///
/// # Errors
///
/// [`UploadError`]: no picture, too large, cut off, damaged, animated.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Upload, UploadError> {
    inspect_of(bytes, limits.upload_bytes, limits)
}

/// Checks a file with the byte limit of its purpose.
pub(crate) fn inspect_of(bytes: &[u8], most_bytes: u64, limits: &Limits) -> Result<Upload, UploadError> {
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
        check_pixels(size, limits)
    };
    let (size, animated) = match media_type {
        MediaType::Png => (png::inspect(bytes, limits)?.size, false),
        MediaType::Jpeg => (jpeg::inspect(bytes, check_size)?, false),
        MediaType::WebP => {
            let webp = webp::inspect(bytes, check_size)?;
            (webp.size, webp.animated)
        }
        MediaType::Bmp => (bmp::inspect(bytes, check_size)?, false),
        MediaType::Tiff => (tiff::inspect(bytes, check_size)?, false),
        MediaType::Gif => {
            let gif = gif::inspect(bytes, check_size)?;
            (gif.size, gif.frames > 1)
        }
        MediaType::Heic | MediaType::Avif => {
            let heif = heif::inspect(bytes, media_type, check_size)?;
            (heif.size, heif.animated)
        }
    };
    if animated && !limits.first_frame {
        return Err(UploadError::Animated { format: media_type });
    }
    Ok(Upload { media_type, size })
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
