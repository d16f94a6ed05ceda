//! Samples as they are stored, and what is said of kinds that cannot be shown.

use alloc::string::String;
use alloc::vec::Vec;

use image::error::{UnsupportedError, UnsupportedErrorKind};
use image::{ImageError, ImageFormat};

use crate::error::Error;
use crate::picture::error::PictureError;
use crate::upload::MediaType;

/// Samples as they are stored, of as many bits as they are stored with.
pub(super) enum Raw {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

pub(super) fn unsupported(what: String) -> Error {
    let kind = UnsupportedErrorKind::GenericFeature(what);
    let source = ImageError::Unsupported(UnsupportedError::from_format_and_kind(
        ImageFormat::Tiff.into(),
        kind,
    ));
    PictureError::of_decoder(MediaType::Tiff, source).into()
}
