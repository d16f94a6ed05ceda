//! What a picture file says beside its pixels: listed, and taken out without touching a pixel.
//!
//! [`list`] names what a file gives away: the place where a photograph was taken, a thumbnail that may show
//! what was cropped, names, times, prompts. [`strip`] takes all of it out and keeps what a viewer needs to
//! show the picture right: colour profile, gamma, orientation, density, animation. The compressed pixels are
//! copied byte by byte and never decoded.
//!
//! ```
//! use lsb_core::metadata::{self, Kind};
//!
//! # fn main() -> Result<(), lsb_core::metadata::StripError> {
//! # let photograph: &[u8] = include_bytes!("../../tests/photos/grace_hopper.jpg");
//! let stripped = metadata::strip(photograph)?;
//! assert!(metadata::list(&stripped.file)?.iter().all(|item| item.kind.is_needed()));
//! # Ok(()) }
//! ```
//!
//! # What it does not promise
//!
//! * Pixels are not looked at: a face, a street sign, a watermark or the noise of a sensor stay.
//! * A profile names its maker, and stays. It says what the colours mean.

mod exif;
mod gif;
mod item;
mod jpeg;
mod part;
mod png;
mod stripped;
mod tiff;
mod webp;

use alloc::vec::Vec;

#[cfg(feature = "image")]
pub(crate) use exif::Exif;
#[cfg(not(feature = "image"))]
use exif::Exif;
use exif::orientation_block;
pub use item::{Item, Kind, MOST_TEXT};
use part::{Part, Role, with_trailer};
#[cfg(feature = "image")]
pub(crate) use png::{chunk as png_chunk, is_known_critical};
pub use stripped::{StripError, Stripped};

use crate::upload::MediaType;

/// Lists what a file says beside its pixels, in the order of the file. [`Kind::is_needed`] tells what gives
/// something away from what only describes the pixels.
///
/// # Errors
///
/// [`StripError`]: the file is no picture of a known format, or damaged before its pixels.
pub fn list(file: &[u8]) -> Result<Vec<Item>, StripError> {
    let (format, parts) = parts_of(file)?;
    if format == MediaType::Tiff {
        return tiff::list(file);
    }
    Ok(parts.iter().flat_map(Part::items).collect())
}

/// Takes out everything that a viewer does not need. What is left has the same format and the same compressed
/// pixels.
///
/// An orientation that stood in EXIF stays, in an EXIF block that says nothing else.
///
/// # Errors
///
/// [`StripError`]: the file is no picture of a known format, or damaged before its pixels.
pub fn strip(file: &[u8]) -> Result<Stripped, StripError> {
    let (format, parts) = parts_of(file)?;
    if format == MediaType::Tiff {
        return tiff::strip(file);
    }
    let (mut kept, mut removed, mut stripped) = (Vec::new(), Vec::new(), Vec::with_capacity(file.len()));
    for part in &parts {
        for item in part.items() {
            if item.kind.is_needed() {
                kept.push(item)
            } else {
                removed.push(item)
            }
        }
        match part.role {
            Role::Picture | Role::Needed(_) => stripped.extend_from_slice(part.whole),
            Role::Removable(..) => (),
            Role::Exif { block, .. } => {
                let orientation = Exif::parse(block).and_then(|exif| exif.orientation());
                if let Some(orientation) = orientation.filter(|orientation| *orientation != 1) {
                    let block = orientation_block(orientation);
                    match format {
                        MediaType::Png => stripped.extend(png::chunk(*b"eXIf", &block)),
                        MediaType::Jpeg => stripped.extend(jpeg::exif_segment(&block)),
                        _ => stripped.extend(webp::chunk(*b"EXIF", &block)),
                    }
                }
            }
        }
    }
    if format == MediaType::WebP {
        webp::mend(&mut stripped);
    }
    Ok(Stripped {
        file: stripped,
        removed,
        kept,
    })
}

/// What one chunk of a PNG says.
#[cfg(feature = "image")]
pub(crate) fn items_of_chunk(whole: &[u8], name: &str, kind: &[u8; 4], content: &[u8]) -> Vec<Item> {
    Part::new(whole, name, png::role(kind, content)).items()
}

fn parts_of(file: &[u8]) -> Result<(MediaType, Vec<Part<'_>>), StripError> {
    let format = MediaType::sniff(file).ok_or(StripError::NotAPicture)?;
    let parts = match format {
        MediaType::Png => png::parts(file),
        MediaType::Jpeg => jpeg::parts(file),
        MediaType::WebP => webp::parts(file),
        MediaType::Gif => gif::parts(file),
        // Headers and pixels, and no place for anything else but behind them.
        MediaType::Bmp => bmp_parts(file),
        MediaType::Tiff => Some(Vec::new()),
        MediaType::Heic | MediaType::Avif => return Err(StripError::StoredOnly { format }),
    };
    Ok((format, parts.ok_or(StripError::Damaged { format })?))
}

/// A BMP says in its header where it ends; what follows is nothing of it. Files with a false length are common, so
/// only the end that rows lead to is believed.
fn bmp_parts(file: &[u8]) -> Option<Vec<Part<'_>>> {
    let end = crate::upload::bmp::end(file)
        .unwrap_or(file.len())
        .min(file.len());
    let (picture, behind) = file.split_at_checked(end)?;
    Some(with_trailer(
        Vec::from([Part::new(picture, "BMP", Role::Picture)]),
        behind,
    ))
}
