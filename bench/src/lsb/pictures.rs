//! Pictures to work with, the same in every run.

use lsb_core::picture::{self, Ancillary, PictureError};
use lsb_core::raster::{Colors, Raster, Samples};

/// Makes bytes without a pattern.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut coins = lsb_core::bits::Coins::seeded(seed);
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        bytes.extend_from_slice(&coins.toss().to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Makes a picture that compresses about as a photograph does: soft shapes, with a little noise of a camera's sensor.
pub(super) fn photograph(width: u32, height: u32) -> Result<Vec<u8>, PictureError> {
    let grain = noise(width as usize * height as usize * 3, 3);
    let mut samples = Vec::with_capacity(grain.len());
    for (place, grain) in (0u64..).zip(grain.as_chunks::<3>().0) {
        let (x, y) = (
            (place % u64::from(width)) as f64 / 400.0,
            (place / u64::from(width)) as f64 / 300.0,
        );
        let light = (x.sin() * y.cos() + (x * 0.3 + y * 0.7).sin()).mul_add(50.0, 120.0);
        for (channel, grain) in grain.iter().enumerate() {
            samples.push((light + channel as f64 * 9.0) as u8 + grain % 7);
        }
    }
    let raster = Raster::new(width, height, Colors::Rgb, Samples::Eight(samples))?;
    picture::encode_png(raster, &Ancillary::default())
}

/// Makes a BMP of so many columns and rows without a pattern: an original that does not compress.
pub(super) fn incompressible(width: u32, height: u32) -> Vec<u8> {
    let pixels = noise(width as usize * height as usize * 3, 4);
    let mut file = b"BM".to_vec();
    let whole = u32::try_from(54 + pixels.len()).unwrap_or(u32::MAX);
    for number in [whole, 0, 54, 40, width, height] {
        file.extend_from_slice(&number.to_le_bytes());
    }
    // One plane of 24 bits; the other fields are zero.
    file.extend_from_slice(&[1, 0, 24, 0]);
    file.extend_from_slice(&[0; 24]);
    file.extend_from_slice(&pixels);
    file
}
