//! Is this a whole picture, of what size, within the limits? Answered without decoding it.
//!
//! An original is stored as its file's bytes, so it need not be decoded to be protected; and the
//! decoders ask for this first, because they allocate what a header claims. The structure is walked
//! from the first byte to the end marker: PNG chunk by chunk with their checksums, JPEG segment by
//! segment, WebP and GIF block by block, HEIC and AVIF box by box; of BMP and TIFF the headers, and
//! whether all pixels are there. Bytes after the end marker are accepted and kept, as every viewer
//! does: phones append depth maps and moving pictures there. A missing end marker and other things that
//! viewers pass over are no error; [`Upload::unusual`] names them.

pub(crate) mod bmp;
mod bytes;
mod claims;
mod error;
pub(crate) mod gif;
mod heif;
pub(crate) mod jpeg;
mod media_type;
pub(crate) mod png;
mod tiff;
mod unusual;
pub(crate) mod webp;

use core::cell::Cell;

#[cfg(feature = "image")]
pub(crate) use png::Chunks;

use claims::{check_bytes, check_pixels};
pub use error::UploadError;
pub use media_type::MediaType;
pub(crate) use media_type::SIGNATURE;
pub use unusual::Unusual;

use crate::limits::Limits;
use crate::size::Size;

/// What a file's structure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The format.
    pub media_type: MediaType,
    /// The size that the header gives; of a HEIC or an AVIF the largest that it names.
    pub size: Size,
    /// What is unusual about the file, which is accepted all the same.
    pub unusual: Option<Unusual>,
}

/// Checks that a file is one whole picture within [`Limits::upload_bytes`] and
/// [`Limits::pixels`].
///
/// What most viewers pass over, such as a missing end marker, is no error: [`Upload::unusual`] names it. Whether all
/// pixels are there is for [`picture::decode`](crate::picture::decode) to find out.
///
/// # Errors
///
/// [`UploadError`]: no picture, too large, cut off, damaged, animated.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Upload, UploadError> {
    inspect_of(bytes, limits.upload_bytes, limits)
}

/// As [`inspect`], for a file of which only the bytes are needed, and never the pixels: damage behind the header is
/// no error, and [`Upload::unusual`] names it.
///
/// # Errors
///
/// [`UploadError`]: no picture, too large, animated, or damaged so early that even its size is unknown.
pub fn inspect_stored(bytes: &[u8], limits: &Limits) -> Result<Upload, UploadError> {
    let known = Cell::new(None);
    match inspect_noting(bytes, limits.upload_bytes, limits, &known) {
        Err(
            error @ (UploadError::CutOff { .. }
            | UploadError::Damaged { .. }
            | UploadError::PixelsMissing { .. }
            | UploadError::FalseHeader { .. }),
        ) => known.get().map_or(Err(error), |(media_type, size)| {
            Ok(Upload {
                media_type,
                size,
                unusual: Some(Unusual::Faulty(error)),
            })
        }),
        inspected => inspected,
    }
}

/// Checks a file with the byte limit of its purpose.
pub(crate) fn inspect_of(bytes: &[u8], most_bytes: u64, limits: &Limits) -> Result<Upload, UploadError> {
    inspect_noting(bytes, most_bytes, limits, &Cell::new(None))
}

/// As [`inspect_of`]; format and size are noted as soon as they are known and within the limits.
fn inspect_noting(
    bytes: &[u8],
    most_bytes: u64,
    limits: &Limits,
    known: &Cell<Option<(MediaType, Size)>>,
) -> Result<Upload, UploadError> {
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
        check_pixels(size, limits)?;
        known.set(Some((media_type, size)));
        Ok(())
    };
    let without_end = |missing: bool| missing.then_some(Unusual::EndMissing);
    let (size, animated, unusual) = match media_type {
        MediaType::Png => {
            let png = png::inspect(bytes, limits, check_size)?;
            (png.size, png.animated, png.unusual)
        }
        MediaType::Jpeg => {
            let jpeg = jpeg::inspect(bytes, check_size)?;
            (jpeg.size, false, without_end(jpeg.end_is_missing))
        }
        MediaType::WebP => {
            let webp = webp::inspect(bytes, check_size)?;
            (webp.size, webp.animated, without_end(webp.end_is_missing))
        }
        MediaType::Bmp => (bmp::inspect(bytes, check_size)?, false, None),
        MediaType::Tiff => (tiff::inspect(bytes, check_size)?, false, None),
        MediaType::Gif => {
            let gif = gif::inspect(bytes, check_size)?;
            (gif.size, gif.frames > 1, without_end(gif.end_is_missing))
        }
        MediaType::Heic | MediaType::Avif => {
            let heif = heif::inspect(bytes, media_type, check_size)?;
            (heif.size, heif.animated, None)
        }
    };
    if animated && !limits.first_frame {
        return Err(UploadError::Animated { format: media_type });
    }
    Ok(Upload {
        media_type,
        size,
        unusual,
    })
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
