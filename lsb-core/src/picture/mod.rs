//! Picture files: every format in, PNG out, and the pictures that carry.
//!
//! Every file is walked by [`crate::upload`] before a decoder sees it, and a PNG's decoder is given only
//! the chunks that pixels are made of. So limits hold on every path, and what hides in colour
//! profiles and texts (205 KB of compressed profile can cost 400 MB) is never unpacked.

mod ancillary;
mod bmp;
mod decode;
mod denied;
mod encode;
pub(crate) mod error;
mod file;
mod flat;
mod guard;
mod jpeg;
mod preview;
mod scale;
mod standard;
mod tiff;

use alloc::vec::Vec;

pub use ancillary::{Ancillary, Keep};
pub use decode::{decode, decode_keeping};
pub use denied::{SEALED_BITS, carrier_for};
pub use encode::encode_png;
pub use error::PictureError;
pub use file::{DecodedPicture, decode_png};
pub use preview::{PREVIEW_SIDE, preview_of};

use crate::bits::BitsPerSample;
use crate::carrier;
use crate::envelope::{Envelope, Mode, SectionKind};
use crate::error::Error;
use crate::layout::Layout;
use crate::limits::Limits;
use crate::preamble::Preamble;
use crate::raster::{Colors, Raster, Samples};
use crate::size::Size;
use crate::upload::{self, MediaType, UploadError};

/// How many bits of each sample carry in mode `cover`, unless something else is asked for: the least visible.
pub const COVER_BITS: BitsPerSample = BitsPerSample::One;

/// Hides an envelope of mode `sealed` or `preview` in the picture that it brings, and writes the PNG file.
///
/// That is the envelope's access-denied picture or its preview, enlarged just as far as the envelope
/// needs, and never made smaller. The same envelope always gives the same file.
///
/// # Errors
///
/// [`Error`]: the picture cannot be decoded, the carrier would pass [`Limits::pixels`], or the
/// envelope is of another mode.
pub fn embed(envelope: &Envelope, limits: &Limits) -> Result<Vec<u8>, Error> {
    embed_with(envelope, SEALED_BITS, limits)
}

/// As [`embed`], with any number of bits per sample: fewer are less visible and make a larger picture.
///
/// # Errors
///
/// As [`embed`].
pub fn embed_with(envelope: &Envelope, bits: BitsPerSample, limits: &Limits) -> Result<Vec<u8>, Error> {
    let body = envelope.as_bytes();
    let body_bytes = body.len() as u64;
    let mut raster = match envelope.header().mode {
        Mode::Sealed => denied::enlarged(envelope.denied_picture(), body_bytes, bits, 0, limits)?,
        Mode::Preview => {
            let preview = envelope.section(SectionKind::Preview).unwrap_or_default();
            upload::inspect_png(preview, &limits.of_preview())?;
            let mut raster = denied::enlarged(preview, body_bytes, bits, preview::SHOWN_SIDE, limits)?;
            let size = raster.size();
            if let Samples::Eight(samples) = raster.samples_mut() {
                preview::draw_banner(samples, size);
            }
            raster
        }
        mode @ (Mode::Cover | Mode::Label) => return Err(PictureError::OtherCarrier { mode }.into()),
    };
    carrier::write(&mut raster, bits, body)?;
    Ok(encode_png(raster, &Ancillary::default())?)
}

/// Hides an envelope of mode `cover` in a picture of any format, and writes it as a PNG of the same type and depth.
///
/// The body is scattered over the whole picture by ±1 matching; the order comes from the envelope's object
/// id, so the same envelope in the same picture always gives the same file.
///
/// # Errors
///
/// [`Error`]: the cover is no whole picture, too large, or has no room; the envelope is of another mode.
pub fn embed_in_cover(
    envelope: &Envelope,
    cover: &[u8],
    bits: BitsPerSample,
    limits: &Limits,
) -> Result<Vec<u8>, Error> {
    embed_in_decoded(envelope, decode(cover, limits.carrier_bytes, limits)?, bits)
}

/// As [`embed_in_cover`], in a picture that is decoded already: whoever lets go of the cover's file first needs less
/// memory.
///
/// # Errors
///
/// As [`embed_in_cover`].
pub fn embed_in_decoded(
    envelope: &Envelope,
    cover: DecodedPicture,
    bits: BitsPerSample,
) -> Result<Vec<u8>, Error> {
    let header = envelope.header();
    if header.mode != Mode::Cover {
        return Err(PictureError::OtherCarrier { mode: header.mode }.into());
    }
    let DecodedPicture {
        mut raster,
        ancillary,
        kept: _,
    } = cover;
    let salt = header
        .object
        .as_bytes()
        .first_chunk()
        .copied()
        .unwrap_or_default();
    let layout = Layout::scattered(bits, u64::from_be_bytes(salt));
    carrier::write(&mut raster, layout, envelope.as_bytes())?;
    Ok(encode_png(raster, &ancillary)?)
}

/// What a protected file shows to everyone who has it.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The picture's size.
    pub size: Size,
    /// The samples of its pixels.
    pub colors: Colors,
    /// Bits per sample of the file: 8 or 16.
    pub depth: u8,
    /// How many samples can carry.
    pub carrier_samples: u64,
    /// How the body lies in them.
    pub preamble: Preamble,
    /// The body.
    pub envelope: Envelope,
}

/// Reads the envelope out of a protected picture file, and says how it lay there.
///
/// The file is a PNG, or a lossless copy of one in another format. Structure and hashes are checked; the
/// signature is not: call `Envelope::verify_signature`.
///
/// # Errors
///
/// [`Error`], whose kind tells a file that is no picture from a picture that carries nothing
/// ([`NotProtected`](crate::ErrorKind::NotProtected)), a damaged and a tampered one.
pub fn inspect(file: &[u8], limits: &Limits) -> Result<Carried, Error> {
    let raster = decode_carrier(file, limits)?;
    let preamble = carrier::read_preamble(&raster).map_err(carrier::CarrierError::from)?;
    let body = carrier::read(&raster)?;
    let (size, colors, carrier_samples) = (raster.size(), raster.colors(), raster.carrier_samples());
    let depth = match raster.samples() {
        Samples::Eight(_) => 8,
        Samples::Sixteen(_) => 16,
    };
    drop(raster);
    Ok(Carried {
        size,
        colors,
        depth,
        carrier_samples,
        preamble,
        envelope: Envelope::parse(body)?,
    })
}

/// As [`inspect`], for the envelope alone.
///
/// # Errors
///
/// As [`inspect`].
pub fn extract(file: &[u8], limits: &Limits) -> Result<Envelope, Error> {
    let raster = decode_carrier(file, limits)?;
    let body = carrier::read(&raster)?;
    drop(raster);
    Ok(Envelope::parse(body)?)
}

fn decode_carrier(file: &[u8], limits: &Limits) -> Result<Raster, Error> {
    match MediaType::sniff(file) {
        Some(MediaType::Jpeg) => return Err(UploadError::JpegCannotCarry.into()),
        Some(format) if !format.is_decoded() => return Err(UploadError::CannotCarry { format }.into()),
        _ => (),
    }
    // Nothing of ours moves, so an animation is a picture like any other that carries nothing.
    let limits = Limits {
        first_frame: true,
        ..*limits
    };
    Ok(decode::decode_stored(file, limits.carrier_bytes, &limits)?.raster)
}
