//! Picture files of every format, decoded within the limits.

use std::io::Cursor;

use alloc::vec::Vec;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::file::{self, Ancillary, DecodedPicture, PictureError};
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Colors, Raster};
use crate::upload::{self, MediaType, UploadError};

/// Decodes a file of any format, upright, after its structure and its claims were checked.
///
/// `most_bytes` is the limit on the file itself: [`Limits::upload_bytes`] or
/// [`Limits::carrier_bytes`]. A PNG keeps all its chunks. What other formats say of their pixels comes with
/// them as PNG says it: the orientation is carried out, and a colour profile becomes a chunk; other
/// metadata, such as the place where a photograph was taken, stays behind.
///
/// # Errors
///
/// [`UploadError`] if the file is no picture, too large or damaged; [`PictureError`] if its pixel data is.
pub fn decode(file: &[u8], most_bytes: u64, limits: &Limits) -> Result<DecodedPicture, Error> {
    decode_as(file, most_bytes, limits, true)
}

/// As [`decode`], but with the rows as they are stored: where hidden bits are looked for.
pub(super) fn decode_stored(file: &[u8], most_bytes: u64, limits: &Limits) -> Result<DecodedPicture, Error> {
    decode_as(file, most_bytes, limits, false)
}

fn decode_as(file: &[u8], most_bytes: u64, limits: &Limits, upright: bool) -> Result<DecodedPicture, Error> {
    let format = match MediaType::sniff(file) {
        None | Some(MediaType::Png) => return file::decode_png_of(file, most_bytes, limits),
        Some(MediaType::Jpeg) => ImageFormat::Jpeg,
        Some(MediaType::WebP) => ImageFormat::WebP,
        Some(MediaType::Bmp) => ImageFormat::Bmp,
        Some(MediaType::Tiff) => ImageFormat::Tiff,
        Some(MediaType::Gif) => ImageFormat::Gif,
    };
    upload::inspect_of(file, most_bytes, limits)?;
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(file::decoder_limits(limits));
    let mut decoder = reader.into_decoder().map_err(PictureError::Decode)?;
    // `DynamicImage::from_decoder` allocates whatever the decoder says, whatever the limits say.
    let (bytes, limit) = (decoder.total_bytes(), limits.decoded_bytes);
    if bytes > limit {
        return Err(UploadError::TooManyDecodedBytes { bytes, limit }.into());
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().unwrap_or_default().unwrap_or_default();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(PictureError::Decode)?;
    if upright {
        picture.apply_orientation(orientation);
    }
    let raster = file::to_raster(picture)?;
    let ancillary = if fits(&profile, &raster) {
        Ancillary::of_chunk(*b"iCCP", &profile_chunk(&profile))
    } else {
        Ancillary::default()
    };
    Ok(DecodedPicture { raster, ancillary })
}

/// Whether a profile describes samples like these: that of a CMYK file does not describe the red, green and
/// blue that the decoder makes of it (ICC.1:2022, §7.2).
fn fits(profile: &[u8], raster: &Raster) -> bool {
    let space: &[u8] = match raster.colors() {
        Colors::Grey | Colors::GreyAlpha => b"GRAY",
        Colors::Rgb | Colors::Rgba => b"RGB ",
    };
    profile.get(36..40) == Some(b"acsp") && profile.get(16..20) == Some(space)
}

/// The content of an `iCCP` chunk: a name, the compression method, and the profile as a zlib stream of stored
/// blocks (RFC 1950, RFC 1951 §3.2.4), which costs a few bytes and no time.
fn profile_chunk(profile: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(profile.len() + profile.len() / 1000 + 64);
    content.extend_from_slice(b"ICC profile\0\0\x78\x01");
    let blocks = profile.chunks(usize::from(u16::MAX));
    let last = blocks.len().saturating_sub(1);
    for (index, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        content.push(u8::from(index == last));
        content.extend_from_slice(&length.to_le_bytes());
        content.extend_from_slice(&(!length).to_le_bytes());
        content.extend_from_slice(block);
    }
    let (mut low, mut high) = (1u32, 0u32);
    for byte in profile {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    content.extend_from_slice(&(high << 16 | low).to_be_bytes());
    content
}
