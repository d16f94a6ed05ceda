//! PNG files to samples and back.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::{DynamicImage, ImageDecoder};

use crate::envelope::Mode;
use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::raster::{Colors, Raster, Samples, ShapeError};
use crate::upload::{self, Chunks, UploadError};

/// Why a picture file could not be decoded or encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The file's structure was in order; its pixel data is not, or is of a kind that the decoder does not know.
    #[error("the picture's pixel data cannot be decoded: {0}")]
    Decode(#[source] image::ImageError),
    /// The picture could not be written.
    #[error("the picture cannot be encoded: {0}")]
    Encode(#[from] png::EncodingError),
    /// The decoder delivered something else than the header announced.
    #[error("the decoded picture is not what its header announced: {0}")]
    Shape(#[from] ShapeError),
    /// An envelope was to be hidden in a picture of another kind than its mode asks for.
    #[error(
        "an envelope of mode {mode} cannot be hidden here: `sealed` and `preview` ride in a picture of their own, \
         `cover` in the one that its owner chose, `label` in the photograph itself"
    )]
    OtherCarrier {
        /// The envelope's mode.
        mode: Mode,
    },
    /// The decoder delivered samples of a kind that PNG does not have.
    #[error(
        "the picture has samples of a kind that a PNG cannot hold, such as floating-point numbers: save it with 8 \
         or 16 bits first"
    )]
    Samples,
}

impl PictureError {
    /// What kind of problem this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Decode(image::ImageError::Unsupported(_)) | Self::Samples => ErrorKind::Unsupported,
            Self::Decode(image::ImageError::Limits(_)) => ErrorKind::TooLarge,
            Self::Decode(_) | Self::Shape(_) => ErrorKind::Damaged,
            Self::Encode(_) => ErrorKind::System,
            Self::OtherCarrier { .. } => ErrorKind::InvalidRequest,
        }
    }
}

/// The chunks of a file that say how its pixels are meant: profile, gamma, orientation, resolution,
/// texts. They are copied from file to file as they are, and never unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancillary {
    before_pixels: Vec<u8>,
    after_pixels: Vec<u8>,
}

impl Ancillary {
    /// One chunk, before the pixels.
    pub(super) fn of_chunk(kind: [u8; 4], content: &[u8]) -> Self {
        let Ok(length) = u32::try_from(content.len()) else {
            return Self::default();
        };
        let mut checked = Vec::with_capacity(content.len() + 4);
        checked.extend_from_slice(&kind);
        checked.extend_from_slice(content);
        let checksum = crc32fast::hash(&checked);
        let mut chunk = Vec::with_capacity(content.len() + 12);
        chunk.extend_from_slice(&length.to_be_bytes());
        chunk.extend_from_slice(&checked);
        chunk.extend_from_slice(&checksum.to_be_bytes());
        Self {
            before_pixels: chunk,
            after_pixels: Vec::new(),
        }
    }
}

/// A decoded file.
#[derive(Clone, Debug)]
pub struct DecodedPicture {
    /// The samples, with palettes and transparency keys expanded.
    pub raster: Raster,
    /// The rest of the file.
    pub ancillary: Ancillary,
}

/// Decodes a PNG file after its structure and its claims were checked against the limits.
///
/// `most_bytes` is the limit on the file itself: [`Limits::upload_bytes`] or
/// [`Limits::carrier_bytes`].
///
/// # Errors
///
/// [`UploadError`] if the file is no PNG, too large or damaged; [`PictureError`] if its pixel data
/// is.
pub fn decode_png(file: &[u8], most_bytes: u64, limits: &Limits) -> Result<DecodedPicture, crate::Error> {
    upload::inspect_png_of(file, most_bytes, limits)?;
    decode_inspected(file, limits)
}

/// As [`decode_png`], for a file that is a PNG or nothing known.
pub(super) fn decode_png_of(
    file: &[u8],
    most_bytes: u64,
    limits: &Limits,
) -> Result<DecodedPicture, crate::Error> {
    upload::inspect_of(file, most_bytes, limits)?;
    decode_inspected(file, limits)
}

/// The limits that decoders know themselves: on their buffers, beside the samples.
pub(super) fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut decoder_limits = image::Limits::no_limits();
    decoder_limits.max_alloc = Some(limits.decoded_bytes);
    decoder_limits
}

fn decode_inspected(file: &[u8], limits: &Limits) -> Result<DecodedPicture, crate::Error> {
    let (pixels, ancillary) = split(file)?;
    // The decoder's own buffers: a few rows, and a window of 32 KiB.
    let decoder = PngDecoder::with_limits(Cursor::new(&pixels), decoder_limits(limits));
    let decoder = decoder.map_err(PictureError::Decode)?;
    // `DynamicImage::from_decoder` allocates whatever the decoder says, whatever `max_alloc` says.
    let (bytes, limit) = (decoder.total_bytes(), limits.decoded_bytes);
    if bytes > limit {
        return Err(UploadError::TooManyDecodedBytes { bytes, limit }.into());
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(PictureError::Decode)?;
    Ok(DecodedPicture {
        raster: to_raster(picture)?,
        ancillary,
    })
}

/// Chunks that describe the samples as they stood in the old file, and not as they stand in the new
/// one: palette, transparency key, what refers to the palette or to the original depth, and an animation's
/// other frames.
const fn describes_old_samples(kind: &[u8; 4]) -> bool {
    matches!(
        kind,
        b"PLTE" | b"tRNS" | b"bKGD" | b"hIST" | b"sBIT" | b"sPLT" | b"acTL" | b"fcTL" | b"fdAT"
    )
}

/// Parts a file into what a decoder needs and the rest.
fn split(file: &[u8]) -> Result<(Cow<'_, [u8]>, Ancillary), UploadError> {
    let mut ancillary = Ancillary::default();
    let mut pixels_seen = false;
    for chunk in Chunks::new(file) {
        let chunk = chunk?;
        pixels_seen |= chunk.kind == *b"IDAT";
        if needed_for_pixels(&chunk.kind) || describes_old_samples(&chunk.kind) {
            continue;
        }
        let target = if pixels_seen {
            &mut ancillary.after_pixels
        } else {
            &mut ancillary.before_pixels
        };
        target.extend_from_slice(chunk.whole);
    }
    // Our own files hold nothing but pixels, and need no copy.
    if ancillary == Ancillary::default() {
        return Ok((Cow::Borrowed(file), ancillary));
    }
    let mut pixels = Vec::with_capacity(file.len());
    pixels.extend_from_slice(file.get(..8).unwrap_or_default());
    for chunk in Chunks::new(file) {
        let chunk = chunk?;
        if needed_for_pixels(&chunk.kind) {
            pixels.extend_from_slice(chunk.whole);
        }
    }
    Ok((Cow::Owned(pixels), ancillary))
}

const fn needed_for_pixels(kind: &[u8; 4]) -> bool {
    matches!(kind, b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" | b"IEND")
}

/// Puts the old file's other chunks into a newly encoded one, before or after the pixels as they
/// stood.
pub(super) fn weave(encoded: &[u8], ancillary: &Ancillary) -> Vec<u8> {
    let extra = ancillary.before_pixels.len() + ancillary.after_pixels.len();
    let mut woven = Vec::with_capacity(encoded.len() + extra);
    woven.extend_from_slice(encoded.get(..8).unwrap_or_default());
    for chunk in Chunks::new(encoded) {
        let Ok(chunk) = chunk else {
            unreachable!("the encoder wrote this file a moment ago");
        };
        if chunk.kind == *b"IEND" {
            woven.extend_from_slice(&ancillary.after_pixels);
        }
        woven.extend_from_slice(chunk.whole);
        if chunk.kind == *b"IHDR" {
            woven.extend_from_slice(&ancillary.before_pixels);
        }
    }
    woven
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
