//! Picture files: PNG in, PNG out, and the access-denied picture that carries.
//!
//! Every file is walked by [`crate::upload`] before a decoder sees it, and the decoder is given only
//! the chunks that pixels are made of. So limits hold on every path, and what hides in colour
//! profiles and texts (205 KB of compressed profile can cost 400 MB) is never unpacked.

mod denied;
mod file;
mod scale;

pub use denied::carrier_for;
pub use file::{Ancillary, DecodedPng, PictureError, decode_png, encode_png};

use crate::bits::BitsPerSample;
use crate::carrier;
use crate::envelope::{Envelope, Mode};
use crate::error::Error;
use crate::limits::Limits;
use crate::upload::{MediaType, UploadError};

/// How many bits of each sample carry in mode `sealed`.
pub const SEALED_BITS: BitsPerSample = BitsPerSample::Three;

/// Hides an envelope in its own access-denied picture and writes the PNG file.
///
/// The picture is the rendering of the envelope's denied-picture section, enlarged just as far as
/// the envelope needs, and never made smaller. The same envelope always gives the same file.
///
/// # Errors
///
/// [`Error`]: the denied picture cannot be decoded, the picture would pass [`Limits::pixels`], or the
/// envelope is a label, which only its photograph carries.
pub fn embed(envelope: &Envelope, limits: &Limits) -> Result<alloc::vec::Vec<u8>, Error> {
    if envelope.header().mode == Mode::Label {
        return Err(PictureError::LabelNeedsItsPhotograph.into());
    }
    let body = envelope.as_bytes();
    let mut raster = carrier_for(envelope.denied_picture(), body.len() as u64, limits)?;
    carrier::write(&mut raster, SEALED_BITS, body)?;
    Ok(encode_png(raster, &Ancillary::default())?)
}

/// Reads the envelope out of a protected PNG file.
///
/// Structure and hashes are checked; the signature is not: call `Envelope::verify_signature`.
///
/// # Errors
///
/// [`Error`], whose kind tells a file that is no picture from a picture that carries nothing
/// ([`NotProtected`](crate::ErrorKind::NotProtected)), a damaged and a tampered one.
pub fn extract(file: &[u8], limits: &Limits) -> Result<Envelope, Error> {
    if MediaType::sniff(file) == Some(MediaType::Jpeg) {
        return Err(UploadError::JpegCannotCarry.into());
    }
    let DecodedPng { raster, .. } = decode_png(file, limits.carrier_bytes, limits)?;
    let body = carrier::read(&raster)?;
    drop(raster);
    Ok(Envelope::parse(body)?)
}
