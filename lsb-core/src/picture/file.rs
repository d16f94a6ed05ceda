//! PNG files to samples and back.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder};

use super::ancillary::{self, Ancillary, Keep};
use super::error::PictureError;
use super::guard::guarded;
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{self, Item};
use crate::raster::{Colors, Raster, Samples};
use crate::upload::png::Chunk;
use crate::upload::{self, Chunks, MediaType, UploadError};

/// A decoded file.
#[derive(Clone, Debug)]
pub struct DecodedPicture {
    /// The samples, with palettes and transparency keys expanded.
    pub raster: Raster,
    /// What a file that is written with these samples says beside them.
    pub ancillary: Ancillary,
    /// The metadata in it that is not needed to show the picture right: none, unless [`Keep::Everything`] was
    /// asked for.
    pub kept: Vec<Item>,
}

/// What is made of a file's pixels, and of what it says about them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be shown or written anew: upright, with the metadata that is asked for.
    Show(Keep),
    /// To look for hidden bits: rows as they are stored, and nothing else.
    Read,
}

/// Decodes a PNG file, upright, after its structure and its claims were checked against the limits.
///
/// `most_bytes` is the limit on the file itself: [`Limits::upload_bytes`] or
/// [`Limits::carrier_bytes`].
///
/// # Errors
///
/// [`UploadError`] if the file is no PNG, too large or damaged; [`PictureError`] if its pixel data
/// is.
pub fn decode_png(file: &[u8], most_bytes: u64, limits: &Limits) -> Result<DecodedPicture, Error> {
    upload::inspect_png_of(file, most_bytes, limits)?;
    decode_inspected(file, limits, Purpose::Show(Keep::Shown))
}

/// As [`decode_png`], for a file that is a PNG or nothing known.
pub(super) fn decode_png_of(
    file: &[u8],
    most_bytes: u64,
    limits: &Limits,
    purpose: Purpose,
) -> Result<DecodedPicture, Error> {
    upload::inspect_of(file, most_bytes, limits)?;
    decode_inspected(file, limits, purpose)
}

/// The limits that decoders know themselves: on their buffers, beside the samples.
pub(super) fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut decoder_limits = image::Limits::no_limits();
    decoder_limits.max_alloc = Some(limits.decoded_bytes);
    decoder_limits
}

fn decode_inspected(file: &[u8], limits: &Limits, purpose: Purpose) -> Result<DecodedPicture, Error> {
    let said = match purpose {
        Purpose::Show(keep) => Some(ancillary::said_by(file, keep)?),
        Purpose::Read => None,
    };
    let (pixels, end_is_missing) = only_pixels(file)?;
    let picture = guarded(MediaType::Png, || {
        // The decoder's own buffers: a few rows, and a window of 32 KiB.
        let decoder = PngDecoder::with_limits(Cursor::new(&pixels), decoder_limits(limits));
        let decoder = decoder.map_err(|error| PictureError::of_decoder(MediaType::Png, error))?;
        // `DynamicImage::from_decoder` allocates whatever the decoder says, whatever `max_alloc` says.
        let (bytes, limit) = (decoder.total_bytes(), limits.decoded_bytes);
        if bytes > limit {
            return Err(UploadError::TooManyDecodedBytes { bytes, limit }.into());
        }
        Ok(match DynamicImage::from_decoder(decoder) {
            Ok(picture) => picture,
            Err(_) if end_is_missing => {
                return Err(UploadError::CutOff {
                    format: MediaType::Png,
                    bytes: file.len(),
                }
                .into());
            }
            Err(error) => return Err(PictureError::Decode(error).into()),
        })
    })?;
    drop(pixels);
    let Some(said) = said else {
        return Ok(DecodedPicture {
            raster: to_raster(picture)?,
            ancillary: Ancillary::default(),
            kept: Vec::new(),
        });
    };
    let (mut picture, mut ancillary) = (picture, said.ancillary);
    picture.apply_orientation(Orientation::from_exif(said.orientation).unwrap_or(Orientation::NoTransforms));
    if said.orientation > 4 {
        ancillary.turn_density();
    }
    Ok(DecodedPicture {
        raster: to_raster(picture)?,
        ancillary,
        kept: said.kept,
    })
}

/// Where the header's content says what samples mean: behind the sides and the depth.
const COLOR_TYPE_AT: usize = 9;

/// The chunks that a decoder needs, and whether the last one is missing in the file. What hides in profiles and texts
/// is never unpacked.
fn only_pixels(file: &[u8]) -> Result<(Cow<'_, [u8]>, bool), UploadError> {
    let mut whole = true;
    let mut chunks = Chunks::new(file);
    let mut needed = Needed::default();
    let mut count = 0;
    for chunk in chunks.by_ref() {
        whole &= needed.takes(&chunk?);
        count += 1;
    }
    let end_is_missing = chunks.end_is_missing();
    // Our own files hold nothing but pixels, and need no copy.
    if whole && !end_is_missing {
        return Ok((Cow::Borrowed(file), false));
    }
    let mut pixels = Vec::with_capacity(file.len());
    pixels.extend_from_slice(file.get(..8).unwrap_or_default());
    let mut needed = Needed::default();
    // The checksums were verified a moment ago.
    let checked = Chunks::unchecked(file).take(count);
    for chunk in checked.filter(|chunk| needed.takes(chunk)) {
        if chunk.kind != *b"IEND" || !end_is_missing {
            pixels.extend_from_slice(chunk.whole);
        }
    }
    if end_is_missing {
        pixels.extend(metadata::png_chunk(*b"IEND", &[]));
    }
    Ok((Cow::Owned(pixels), end_is_missing))
}

/// Which chunks are needed for pixels, one after the other.
#[derive(Default)]
struct Needed {
    is_indexed: bool,
    data_begun: bool,
    data_ended: bool,
}

impl Needed {
    fn takes(&mut self, chunk: &Chunk<'_>) -> bool {
        let is_data = chunk.kind == *b"IDAT";
        self.data_ended |= self.data_begun && !is_data;
        self.data_begun |= is_data;
        match &chunk.kind {
            b"IHDR" => {
                self.is_indexed = chunk.content.get(COLOR_TYPE_AT) == Some(&3);
                true
            }
            b"PLTE" => self.is_indexed,
            // Data in a second place is none of the pixels.
            b"IDAT" => !self.data_ended,
            kind => matches!(kind, b"tRNS" | b"IEND"),
        }
    }
}

pub(super) fn to_raster(picture: DynamicImage) -> Result<Raster, PictureError> {
    let (width, height) = (picture.width(), picture.height());
    let (colors, samples) = match picture {
        DynamicImage::ImageLuma8(picture) => (Colors::Grey, Samples::Eight(picture.into_raw())),
        DynamicImage::ImageLumaA8(picture) => (Colors::GreyAlpha, Samples::Eight(picture.into_raw())),
        DynamicImage::ImageRgb8(picture) => (Colors::Rgb, Samples::Eight(picture.into_raw())),
        DynamicImage::ImageRgba8(picture) => (Colors::Rgba, Samples::Eight(picture.into_raw())),
        DynamicImage::ImageLuma16(picture) => (Colors::Grey, Samples::Sixteen(picture.into_raw())),
        DynamicImage::ImageLumaA16(picture) => (Colors::GreyAlpha, Samples::Sixteen(picture.into_raw())),
        DynamicImage::ImageRgb16(picture) => (Colors::Rgb, Samples::Sixteen(picture.into_raw())),
        DynamicImage::ImageRgba16(picture) => (Colors::Rgba, Samples::Sixteen(picture.into_raw())),
        _ => return Err(PictureError::Samples),
    };
    Ok(Raster::new(width, height, colors, samples)?)
}
