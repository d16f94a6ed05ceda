//! What mode `preview` shows: a photograph made so small and blurred that only its mood is left, under a
//! banner that says what it is.

use alloc::vec::Vec;

use super::ancillary::Ancillary;
use super::decode::decode;
use super::encode::encode_png;
use super::error::PictureError;
use super::file::DecodedPicture;
use super::flat;
use super::standard;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Colors, Raster, Samples};
use crate::size::Size;

/// The longer side of a preview, in pixels.
pub const PREVIEW_SIDE: u32 = 64;
/// A preview has at most this part of the original's columns and rows, however small the original is.
const SMALLEST_REDUCTION: u32 = 8;
/// The longer side of the picture that a preview is shown as, at least.
pub(super) const SHOWN_SIDE: u64 = 640;

/// Makes a preview of a photograph of any format: a small PNG.
///
/// # Errors
///
/// [`Error`]: the photograph is no whole picture or too large, or cannot be decoded.
pub fn preview_of(photograph: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let DecodedPicture {
        raster, ancillary, ..
    } = decode(photograph, limits.upload_bytes, limits)?;
    let from = raster.size();
    let long = from.width.max(from.height);
    let side = PREVIEW_SIDE.min(long / SMALLEST_REDUCTION).max(1);
    let shorter = |pixels: u32| {
        let scaled = u64::from(pixels) * u64::from(side) / u64::from(long.max(1));
        u32::try_from(scaled).unwrap_or(side).max(1)
    };
    let to = Size {
        width: shorter(from.width),
        height: shorter(from.height),
    };
    let colors = raster.colors();
    let opaque = flat::flatten(&raster);
    drop(raster);
    // A preview says nothing of its colours, so they must be those that viewers expect.
    let small = standard::standard(shrink(&opaque, from, to), colors, &ancillary);
    let small = blur(&blur(&small, to), to);
    let raster = Raster::new(to.width, to.height, Colors::Rgb, Samples::Eight(small));
    Ok(encode_png(
        raster.map_err(PictureError::Shape)?,
        &Ancillary::default(),
    )?)
}

/// The mean of the source pixels that each target pixel covers.
fn shrink(samples: &[u8], from: Size, to: Size) -> Vec<u8> {
    let cover = |target: u32, from: u32, to: u32| {
        let edge = |place: u32| (u64::from(place) * u64::from(from) / u64::from(to)) as usize;
        edge(target)..edge(target + 1).max(edge(target) + 1)
    };
    let row_samples = from.width as usize * 3;
    let mut small = Vec::with_capacity(to.width as usize * to.height as usize * 3);
    for y in 0..to.height {
        let rows = cover(y, from.height, to.height);
        for x in 0..to.width {
            let columns = cover(x, from.width, to.width);
            let mut sums = [0u64; 3];
            for row in rows.clone() {
                let range = row * row_samples + columns.start * 3..row * row_samples + columns.end * 3;
                for pixel in samples.get(range).unwrap_or_default().as_chunks::<3>().0 {
                    for (sum, sample) in sums.iter_mut().zip(pixel) {
                        *sum += u64::from(*sample);
                    }
                }
            }
            let count = (rows.len() * columns.len()) as u64;
            small.extend(sums.map(|sum| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX)));
        }
    }
    small
}

/// The mean of each pixel and its neighbours.
fn blur(samples: &[u8], size: Size) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut blurred = Vec::with_capacity(samples.len());
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let (mut sum, mut count) = (0u32, 0u32);
                for row in y.saturating_sub(1)..(y + 2).min(height) {
                    for column in x.saturating_sub(1)..(x + 2).min(width) {
                        let sample = samples.get((row * width + column) * 3 + channel);
                        sum += u32::from(*sample.unwrap_or(&0));
                        count += 1;
                    }
                }
                blurred.push(u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX));
            }
        }
    }
    blurred
}

/// The letters of the banner, five columns and seven rows each, the leftmost column the highest bit.
const LETTERS: [[u8; 7]; 7] = {
    const P: [u8; 7] = [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000];
    const R: [u8; 7] = [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001];
    const E: [u8; 7] = [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111];
    const V: [u8; 7] = [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b00100];
    const I: [u8; 7] = [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110];
    const W: [u8; 7] = [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b11011, 0b10001];
    [P, R, E, V, I, E, W]
};
/// Columns of the text: five and a gap for each letter, but for the last gap.
const TEXT_WIDTH: usize = LETTERS.len() * 6 - 1;
/// Rows of the banner: the letters', and three above and below.
const BANNER_HEIGHT: usize = 7 + 2 * 3;

const BAND: [u8; 3] = [24, 24, 28];
const TEXT: [u8; 3] = [240, 240, 240];

/// Draws the word PREVIEW on a dark band along the lower edge, as large as suits the picture; a picture too
/// small for it stays as it is.
pub(super) fn draw_banner(samples: &mut [u8], size: Size) {
    let (width, height) = (size.width as usize, size.height as usize);
    let scale = (width * 2 / 5 / TEXT_WIDTH).min(height / 4 / BANNER_HEIGHT);
    if scale == 0 {
        return;
    }
    let (top, left) = (height - BANNER_HEIGHT * scale, (width - TEXT_WIDTH * scale) / 2);
    let rows = samples.chunks_exact_mut(width * 3).enumerate().skip(top);
    for (y, row) in rows {
        let letter_row = ((y - top) / scale).checked_sub(3).filter(|row| *row < 7);
        for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let lit = letter_row.zip(x.checked_sub(left)).is_some_and(|(row, across)| {
                let column = across / scale;
                let letter = LETTERS.get(column / 6);
                let bits = letter.and_then(|letter| letter.get(row)).copied().unwrap_or(0);
                // The sixth column is the gap.
                bits << (column % 6) & 0b10000 != 0
            });
            *pixel = if lit { TEXT } else { BAND };
        }
    }
}
