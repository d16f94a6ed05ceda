//! TIFF: the decoder unpacks its samples, and what they mean is carried out here.
//!
//! The decoder knows few of the many kinds that exist, and takes some for others. So it is given a directory of its
//! own, in which every picture is a number of bands; the original one says what they are.

mod layout;
mod meaning;
mod raw;

use std::io::Cursor;

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use image::error::{DecodingError, LimitError, LimitErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, ImageError, ImageFormat};
use tiff::TiffError;
use tiff::decoder::{Decoder, DecodingResult, Limits as DecoderLimits};

use self::layout::Layout;
use self::raw::{Raw, unsupported};
use super::error::PictureError;
use super::jpeg;
use crate::error::Error;
use crate::limits::Limits;
use crate::tags::{self, Tiff};
use crate::upload::{MediaType, UploadError};

/// A decoded file, and what it says beside its pixels.
pub(super) struct Read {
    pub(super) picture: DynamicImage,
    pub(super) orientation: Option<Orientation>,
    pub(super) profile: Vec<u8>,
    pub(super) xmp: Vec<u8>,
}

pub(super) fn read(file: &[u8], limits: &Limits) -> Result<Read, Error> {
    let tiff = Tiff::open(file).ok_or(CUT_OFF)?;
    let directory = tiff.first().and_then(|at| tiff.directory(at)).ok_or(CUT_OFF)?;
    let layout = Layout::of(&tiff, &directory, file.len()).map_err(unsupported)?;
    let (bytes, limit) = (layout.decoded_bytes(), limits.decoded_bytes);
    if bytes > limit {
        return Err(UploadError::TooManyDecodedBytes { bytes, limit }.into());
    }
    let raw = unpacked(file, &tiff, &directory, &layout, limits)?;
    let value = |tag| directory.entry(tag).and_then(|entry| tiff.value(entry));
    Ok(Read {
        picture: meaning::picture(raw, &layout)?,
        orientation: tiff.orientation(&directory).and_then(Orientation::from_exif),
        profile: value(tags::PROFILE).unwrap_or_default().to_vec(),
        xmp: value(tags::XMP).unwrap_or_default().to_vec(),
    })
}

const CUT_OFF: UploadError = UploadError::Damaged {
    format: MediaType::Tiff,
    offset: 0,
    problem: "its first directory is missing",
};

fn unpacked(
    file: &[u8],
    tiff: &Tiff<'_>,
    directory: &tags::Directory,
    layout: &Layout,
    limits: &Limits,
) -> Result<Raw, Error> {
    if layout.compression == layout::JPEG {
        let tables = directory
            .entry(tags::JPEG_TABLES)
            .and_then(|entry| tiff.value(entry));
        for piece in layout.pieces_of(file) {
            check_jpeg(piece, tables)?;
        }
    }
    let prepared = layout.prepared(file, tiff, directory);
    let most = usize::try_from(limits.decoded_bytes).unwrap_or(usize::MAX);
    let mut decoder_limits = DecoderLimits::default();
    decoder_limits.decoding_buffer_size = most;
    decoder_limits.intermediate_buffer_size = most;
    decoder_limits.ifd_value_size = most;
    let decoder = Decoder::new(Cursor::new(prepared)).map_err(problem)?;
    let mut decoder = decoder.with_limits(decoder_limits);
    let mut result = DecodingResult::U8(Vec::new());
    let order = decoder.read_image_to_buffer(&mut result).map_err(problem)?;
    let given = result.as_buffer(0).as_bytes().len();
    if given < order.complete_len {
        let (bytes, limit) = (order.complete_len as u64, limits.decoded_bytes);
        return Err(UploadError::TooManyDecodedBytes { bytes, limit }.into());
    }
    match result {
        DecodingResult::U8(bytes) => Ok(layout.numbers(bytes)),
        DecodingResult::U16(numbers) => Ok(Raw::Sixteen(layout.interleaved(numbers))),
        _ => Err(unsupported("samples of another kind".into())),
    }
}

/// Whether every block of a JPEG is there that is a strip or a tile: its tables may stand apart from it, as a JPEG of
/// their own without pixels.
fn check_jpeg(piece: &[u8], tables: Option<&[u8]>) -> Result<(), UploadError> {
    let tables = tables.and_then(|tables| tables.get(..tables.len().saturating_sub(2)));
    let whole = match (tables, piece.get(2..)) {
        (Some(tables), Some(rest)) => [tables, rest].concat().into(),
        _ => Cow::Borrowed(piece),
    };
    jpeg::prepared(&whole).map(|_| ()).map_err(|error| match error {
        UploadError::PixelsMissing { problem, .. } => UploadError::PixelsMissing {
            format: MediaType::Tiff,
            problem,
        },
        UploadError::CutOff { .. } => UploadError::PixelsMissing {
            format: MediaType::Tiff,
            problem: "a strip or a tile of it is cut off",
        },
        error => error,
    })
}

/// What a decoder's error means to whoever has the file.
fn problem(error: TiffError) -> Error {
    let source = match error {
        TiffError::UnsupportedError(what) => return unsupported(what.to_string()),
        TiffError::LimitsExceeded => {
            ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory))
        }
        TiffError::IoError(error) => ImageError::IoError(error),
        error => ImageError::Decoding(DecodingError::new(ImageFormat::Tiff.into(), format!("{error}"))),
    };
    PictureError::Decode(source).into()
}
