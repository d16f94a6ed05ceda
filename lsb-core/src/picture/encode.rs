//! Writing PNG files.

use alloc::vec::Vec;
use std::io::Write;

use super::ancillary::Ancillary;
use super::error::PictureError;
use crate::raster::{Colors, Raster, Samples};

/// Compressed pixels leave the encoder in pieces of this size, so that they are in memory once and not twice.
const PIECE_BYTES: usize = 1 << 18;
/// Rows of 16 bits are turned around in portions of so many samples.
const PORTION_SAMPLES: usize = 1 << 12;
/// Rows that choose the filter, of a picture that has so many times as many.
const SAMPLE_ROWS: u32 = 64;
const SAMPLED_ONE_OF: u32 = 8;
/// The average filter may cost one part in so many. Half of it goes to the sample's first row, which has no row above.
const TOLERATED_PART: usize = 16;

/// Encodes samples as a PNG file, never interlaced (interlaced writing is broken in png 0.18.1).
///
/// The fast setting: the default level takes 25 times as long for hidden bits that hardly compress, and without a
/// filter a flat card takes eight times the space. What does not compress at all is stored.
///
/// # Errors
///
/// [`PictureError::Encode`] if the picture cannot be written.
pub fn encode_png(raster: Raster, ancillary: &Ancillary) -> Result<Vec<u8>, PictureError> {
    // The fast setting spends twelve bits on a byte at most. Growing would copy the file a few times over, and hold it
    // twice while it does; pages that are never written to cost nothing.
    let most_bytes = stored_bytes(&raster) / 2 * 3;
    let mut encoded = Vec::with_capacity(usize::try_from(most_bytes).unwrap_or_default());
    let filter = filter_for(&raster)?;
    write(&mut encoded, &raster, png::Compression::Fast, filter)?;
    if encoded.len() as u64 > stored_bytes(&raster) {
        encoded.clear();
        write(&mut encoded, &raster, png::Compression::NoCompression, filter)?;
    }
    drop(raster);
    if ancillary.is_empty() {
        return Ok(encoded);
    }
    Ok(ancillary.weave(&encoded))
}

/// The filter of all rows: the average of two neighbours where it costs next to nothing, else whatever suits each row
/// best.
///
/// Hidden bits are noise, and the average of two neighbours halves it, so that photographs that carry much take as
/// little space with it as with a choice for each row, which takes longer to make and to undo. It takes twice the space
/// for a drawing that carries little; a few rows tell.
fn filter_for(raster: &Raster) -> Result<png::Filter, PictureError> {
    let Some(sample) = sample_rows(raster)? else {
        return Ok(png::Filter::Adaptive);
    };
    let bytes_with = |filter| {
        let mut encoded = Vec::new();
        write(&mut encoded, &sample, png::Compression::Fast, filter)?;
        Ok::<_, PictureError>(encoded.len())
    };
    let (average, adaptive) = (bytes_with(png::Filter::Avg)?, bytes_with(png::Filter::Adaptive)?);

    Ok(if average <= adaptive + adaptive / TOLERATED_PART {
        png::Filter::Avg
    } else {
        png::Filter::Adaptive
    })
}

/// The rows in the middle of a large picture; a small one is not worth it.
fn sample_rows(raster: &Raster) -> Result<Option<Raster>, PictureError> {
    if raster.height() < SAMPLED_ONE_OF * SAMPLE_ROWS {
        return Ok(None);
    }
    let samples = match raster.samples() {
        Samples::Eight(samples) => Samples::Eight(middle(samples, raster.height())),
        Samples::Sixteen(samples) => Samples::Sixteen(middle(samples, raster.height())),
    };
    Ok(Some(Raster::new(
        raster.width(),
        SAMPLE_ROWS,
        raster.colors(),
        samples,
    )?))
}

fn middle<S: Copy>(samples: &[S], height: u32) -> Vec<S> {
    let row_samples = samples.len() / height as usize;
    let rows = samples.chunks_exact(row_samples);
    let before = (height - SAMPLE_ROWS) / 2;
    rows.skip(before as usize)
        .take(SAMPLE_ROWS as usize)
        .flatten()
        .copied()
        .collect()
}

fn write(
    encoded: &mut Vec<u8>,
    raster: &Raster,
    compression: png::Compression,
    filter: png::Filter,
) -> Result<(), PictureError> {
    let mut writer = header(encoded, raster, compression, filter)?;
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
    filter: png::Filter,
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
    encoder.set_filter(filter);
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
