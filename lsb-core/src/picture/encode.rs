//! Writing PNG files.

use alloc::vec::Vec;
use std::io::Write;

use super::file::{Ancillary, PictureError, weave};
use crate::raster::{Colors, Raster, Samples};

/// Compressed pixels leave the encoder in pieces of this size, so that they are in memory once and not twice.
const PIECE_BYTES: usize = 1 << 18;
/// Rows of 16 bits are turned around in portions of so many samples.
const PORTION_SAMPLES: usize = 1 << 12;

/// Encodes samples as a PNG file, never interlaced (interlaced writing is broken in png 0.18.1).
///
/// The fast setting with the adaptive filter: the default level takes 25 times as long for hidden
/// bits that hardly compress, and without a filter a flat card takes eight times the space. What does not compress at all
/// is stored.
///
/// # Errors
///
/// [`PictureError::Encode`] if the picture cannot be written.
pub fn encode_png(raster: Raster, ancillary: &Ancillary) -> Result<Vec<u8>, PictureError> {
    // The fast setting spends twelve bits on a byte at most. Growing would copy the file a few times over, and hold it twice
    // while it does; pages that are never written to cost nothing.
    let most_bytes = stored_bytes(&raster) / 2 * 3;
    let mut encoded = Vec::with_capacity(usize::try_from(most_bytes).unwrap_or_default());
    write(&mut encoded, &raster, png::Compression::Fast)?;
    if encoded.len() as u64 > stored_bytes(&raster) {
        encoded.clear();
        write(&mut encoded, &raster, png::Compression::NoCompression)?;
    }
    drop(raster);
    if *ancillary == Ancillary::default() {
        return Ok(encoded);
    }
    Ok(weave(&encoded, ancillary))
}

fn write(encoded: &mut Vec<u8>, raster: &Raster, compression: png::Compression) -> Result<(), PictureError> {
    let mut writer = header(encoded, raster, compression)?;
    let mut stream = writer.stream_writer_with_size(PIECE_BYTES)?;
    match raster.samples() {
        Samples::Eight(samples) => stream.write_all(samples),
        Samples::Sixteen(samples) => samples
            .chunks(PORTION_SAMPLES)
            .try_for_each(|portion| stream.write_all(&big_endian(portion))),
    }
    .map_err(png::EncodingError::from)?;
    stream.finish()?;
    Ok(writer.finish()?)
}

fn header<'a>(
    encoded: &'a mut Vec<u8>,
    raster: &Raster,
    compression: png::Compression,
) -> Result<png::Writer<&'a mut Vec<u8>>, PictureError> {
    let mut encoder = png::Encoder::new(encoded, raster.width(), raster.height());
    encoder.set_color(match raster.colors() {
        Colors::Grey => png::ColorType::Grayscale,
        Colors::GreyAlpha => png::ColorType::GrayscaleAlpha,
        Colors::Rgb => png::ColorType::Rgb,
        Colors::Rgba => png::ColorType::Rgba,
    });
    encoder.set_depth(match raster.samples() {
        Samples::Eight(_) => png::BitDepth::Eight,
        Samples::Sixteen(_) => png::BitDepth::Sixteen,
    });
    encoder.set_compression(compression);
    encoder.set_filter(png::Filter::Adaptive);
    Ok(encoder.write_header()?)
}

/// How long the file is at least if nothing is compressed: each row begins with a filter byte.
fn stored_bytes(raster: &Raster) -> u64 {
    let samples = match raster.samples() {
        Samples::Eight(samples) => samples.len(),
        Samples::Sixteen(samples) => samples.len() * 2,
    };
    // Five bytes for each stored block of 64 KiB, and a little for the chunks around them.
    let bytes = samples as u64 + u64::from(raster.height());
    bytes + bytes / 10_000 + 100
}

fn big_endian(samples: &[u16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_be_bytes()).collect()
}
