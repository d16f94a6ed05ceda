//! Picture files of every format, decoded within the limits.

use std::io::Cursor;

use alloc::vec::Vec;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::ancillary::{Ancillary, Keep};
use super::error::PictureError;
use super::file::{self, DecodedPicture, Purpose};
use super::guard::guarded;
use super::{bmp, jpeg, tiff};
use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{self, Exif};
use crate::raster::{Colors, Raster};
use crate::upload::{self, MediaType, UploadError, gif, webp};

/// Decodes a file of any format, upright, with straight alpha, after its structure and its claims were checked.
///
/// `most_bytes` is the limit on the file itself: [`Limits::upload_bytes`] or
/// [`Limits::carrier_bytes`]. What the file says of its pixels comes with them as PNG says it: the orientation is
/// carried out, and a colour profile becomes a chunk. Other metadata, such as the place where a photograph was
/// taken, stays behind; [`decode_keeping`] keeps it.
///
/// # Errors
///
/// [`UploadError`] if the file is no picture, too large or damaged; [`PictureError`] if its pixel data is.
pub fn decode(file: &[u8], most_bytes: u64, limits: &Limits) -> Result<DecodedPicture, Error> {
    decode_keeping(file, most_bytes, limits, Keep::Shown)
}

/// As [`decode`], with a choice of what becomes of other metadata. [`DecodedPicture::kept`] says what was kept.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_keeping(
    file: &[u8],
    most_bytes: u64,
    limits: &Limits,
    keep: Keep,
) -> Result<DecodedPicture, Error> {
    decode_as(file, most_bytes, limits, Purpose::Show(keep))
}

/// As [`decode`], but with the rows as they are stored: where hidden bits are looked for.
pub(super) fn decode_stored(file: &[u8], most_bytes: u64, limits: &Limits) -> Result<DecodedPicture, Error> {
    decode_as(file, most_bytes, limits, Purpose::Read)
}

fn decode_as(
    file: &[u8],
    most_bytes: u64,
    limits: &Limits,
    purpose: Purpose,
) -> Result<DecodedPicture, Error> {
    let (media_type, format) = match MediaType::sniff(file) {
        None | Some(MediaType::Png) => return file::decode_png_of(file, most_bytes, limits, purpose),
        Some(found @ MediaType::Jpeg) => (found, ImageFormat::Jpeg),
        Some(found @ MediaType::WebP) => (found, ImageFormat::WebP),
        Some(found @ MediaType::Bmp) => (found, ImageFormat::Bmp),
        Some(found @ MediaType::Tiff) => (found, ImageFormat::Tiff),
        Some(found @ MediaType::Gif) => (found, ImageFormat::Gif),
        Some(format @ (MediaType::Heic | MediaType::Avif)) => {
            return Err(UploadError::StoredOnly { format }.into());
        }
    };
    upload::inspect_of(file, most_bytes, limits)?;
    guarded(media_type, || {
        decode_inspected(file, (media_type, format), limits, purpose)
    })
}

/// A decoded file as it is stored, and what it says of its pixels.
struct Read {
    picture: DynamicImage,
    orientation: Option<Orientation>,
    profile: Vec<u8>,
    exif: Vec<u8>,
    xmp: Vec<u8>,
}

/// The one place where a file of another format than PNG becomes an upright picture with straight alpha, and what it
/// says beside its pixels becomes chunks.
fn decode_inspected(
    file: &[u8],
    (media_type, format): (MediaType, ImageFormat),
    limits: &Limits,
    purpose: Purpose,
) -> Result<DecodedPicture, Error> {
    let read = match format {
        ImageFormat::Tiff => {
            let read = tiff::read(file, limits)?;
            Read {
                picture: read.picture,
                orientation: read.orientation,
                profile: read.profile,
                exif: Vec::new(),
                xmp: read.xmp,
            }
        }
        ImageFormat::Bmp => {
            let (prepared, upside_down) = bmp::prepared(file);
            let mut read = read(&prepared, (media_type, format), limits)?;
            if upside_down {
                read.picture = read.picture.flipv();
            }
            read.profile = upload::bmp::profile(file).unwrap_or_default().to_vec();
            read
        }
        ImageFormat::Jpeg => read(&jpeg::prepared(file)?, (media_type, format), limits)?,
        ImageFormat::WebP => read(&webp::with_what_is_there(file), (media_type, format), limits)?,
        ImageFormat::Gif => read(&gif::prepared(file), (media_type, format), limits)?,
        _ => read(file, (media_type, format), limits)?,
    };
    let mut ancillary = Ancillary::default();
    let mut kept = Vec::new();
    if purpose == Purpose::Show(Keep::Everything) {
        if let Some(exif) = Exif::parse(&read.exif) {
            let block = exif.turned_upright();
            ancillary.add(*b"eXIf", &block);
            kept.extend(metadata::items_of_chunk(&block, "eXIf", b"eXIf", &block));
        }
        if core::str::from_utf8(&read.xmp).is_ok() && !read.xmp.is_empty() {
            // Keyword, not compressed, no language, no translation.
            let content = [b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(), &read.xmp].concat();
            ancillary.add(*b"iTXt", &content);
            kept.extend(metadata::items_of_chunk(&content, "iTXt", b"iTXt", &content));
        }
    }
    let mut picture = read.picture;
    if purpose != Purpose::Read {
        picture.apply_orientation(read.orientation.unwrap_or(Orientation::NoTransforms));
    }
    let raster = file::to_raster(picture)?;
    if fits(&read.profile, &raster) {
        ancillary.add(*b"iCCP", &profile_chunk(&read.profile));
    }
    Ok(DecodedPicture {
        raster,
        ancillary,
        kept,
    })
}

fn read(file: &[u8], (media_type, format): (MediaType, ImageFormat), limits: &Limits) -> Result<Read, Error> {
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(file::decoder_limits(limits));
    let problem = |error| PictureError::of_decoder(media_type, error);
    let mut decoder = reader.into_decoder().map_err(problem)?;
    // `DynamicImage::from_decoder` allocates whatever the decoder says, whatever the limits say.
    let (bytes, limit) = (decoder.total_bytes(), limits.decoded_bytes);
    if bytes > limit {
        return Err(UploadError::TooManyDecodedBytes { bytes, limit }.into());
    }
    let exif = decoder.exif_metadata().ok().flatten().unwrap_or_default();
    // The decoders know fewer kinds of numbers, and do not find what begins with a second prefix.
    let heeded = match media_type {
        MediaType::WebP => webp::exif(file),
        _ => Some(exif.as_slice()),
    };
    let orientation = heeded
        .and_then(Exif::parse)
        .and_then(|exif| exif.orientation())
        .and_then(Orientation::from_exif);
    Ok(Read {
        orientation,
        profile: decoder.icc_profile().unwrap_or_default().unwrap_or_default(),
        exif,
        xmp: decoder.xmp_metadata().ok().flatten().unwrap_or_default(),
        picture: DynamicImage::from_decoder(decoder).map_err(problem)?,
    })
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

/// The content of an `iCCP` chunk: a name, the compression method, and the profile as a zlib stream (PNG
/// specification, third edition, §11.3.2.3).
fn profile_chunk(profile: &[u8]) -> Vec<u8> {
    // The fastest level: profiles are small, and a hostile one may be as large as the file.
    const LEVEL: u8 = 1;
    let compressed = miniz_oxide::deflate::compress_to_vec_zlib(profile, LEVEL);
    [b"ICC profile\0\0".as_slice(), &compressed].concat()
}
