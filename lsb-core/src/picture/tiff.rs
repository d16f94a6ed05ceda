//! Kinds of TIFF that the decoder takes for others: made into what it knows before, and put right behind it.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use image::{DynamicImage, RgbImage};

use crate::tags::{Directory, Tiff};

const BITS_PER_SAMPLE: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const COLOR_MAP: u16 = 320;
const EXTRA_SAMPLES: u16 = 338;
/// Places and lengths of pixel data, in strips and in tiles.
const DATA: [(u16, u16); 2] = [(273, 279), (324, 325)];

/// What has to be done to the pixels that the decoder delivers.
#[derive(Default)]
pub(super) struct Afterwards {
    /// The colours are multiplied by alpha (TIFF 6.0, §18: `ExtraSamples` of 1).
    premultiplied: bool,
    /// The samples are places in this palette.
    palette: Option<Vec<[u8; 3]>>,
}

/// The file as the decoder understands it.
pub(super) fn prepared(file: &[u8]) -> (Cow<'_, [u8]>, Afterwards) {
    let opened = Tiff::open(file).and_then(|tiff| Some((tiff, tiff.directory(tiff.first()?)?)));
    let Some((tiff, directory)) = opened else {
        return (Cow::Borrowed(file), Afterwards::default());
    };
    let number = |tag: u16| directory.entry(tag).and_then(|entry| tiff.number(entry, 0));
    let mut prepared = Cow::Borrowed(file);
    // The decoder ignores the order of bits (§8, FillOrder). JPEG has an order of its own.
    if number(FILL_ORDER) == Some(2) && !matches!(number(COMPRESSION), Some(6 | 7)) {
        reverse_bits(&tiff, &directory, prepared.to_mut());
    }
    let mut afterwards = Afterwards {
        premultiplied: number(EXTRA_SAMPLES) == Some(1),
        palette: None,
    };
    if number(PHOTOMETRIC) == Some(3) && number(BITS_PER_SAMPLE) == Some(8) {
        afterwards.palette = palette(&tiff, &directory);
        let photometric = directory.entry(PHOTOMETRIC).filter(|entry| entry.kind == 3);
        if let (Some(_), Some(entry)) = (&afterwards.palette, photometric) {
            let grey: [u8; 2] = if tiff.is_little() { [1, 0] } else { [0, 1] };
            if let Some(value) = prepared.to_mut().get_mut(entry.value_at..entry.value_at + 2) {
                value.copy_from_slice(&grey);
            }
        }
    }
    (prepared, afterwards)
}

/// All pixel data with the lowest bit of each byte first; data that is named twice is turned once.
fn reverse_bits(tiff: &Tiff<'_>, directory: &Directory, file: &mut [u8]) {
    let mut ranges = Vec::new();
    for (offsets, lengths) in DATA {
        let (Some(offsets), Some(lengths)) = (directory.entry(offsets), directory.entry(lengths)) else {
            continue;
        };
        // A list that is longer than the file is false, and the decoder will say so.
        for index in 0..offsets.count.min(file.len()) {
            let place = |entry| {
                tiff.number(entry, index)
                    .and_then(|number| usize::try_from(number).ok())
            };
            if let (Some(start), Some(bytes)) = (place(offsets), place(lengths)) {
                ranges.push(start..start.saturating_add(bytes).min(file.len()));
            }
        }
    }
    ranges.sort_unstable_by_key(|range| range.start);
    let mut turned = 0;
    for range in ranges {
        for byte in file
            .get_mut(range.start.max(turned)..range.end)
            .unwrap_or_default()
        {
            *byte = byte.reverse_bits();
        }
        turned = turned.max(range.end);
    }
}

/// 256 reds, then greens, then blues, of 16 bits each (§5).
fn palette(tiff: &Tiff<'_>, directory: &Directory) -> Option<Vec<[u8; 3]>> {
    let map = directory.entry(COLOR_MAP).filter(|map| map.count == 3 * 256)?;
    let byte = |index| {
        tiff.number(map, index)
            .and_then(|value| u8::try_from(value >> 8).ok())
    };
    (0..256)
        .map(|color| Some([byte(color)?, byte(color + 256)?, byte(color + 512)?]))
        .collect()
}

impl Afterwards {
    pub(super) fn apply(&self, mut picture: DynamicImage) -> DynamicImage {
        if let (Some(palette), DynamicImage::ImageLuma8(indices)) = (&self.palette, &picture) {
            let (width, height) = indices.dimensions();
            let color = |index: &u8| palette.get(usize::from(*index)).copied().unwrap_or_default();
            let samples: Vec<u8> = indices.as_raw().iter().flat_map(color).collect();
            return RgbImage::from_raw(width, height, samples).map_or(picture, DynamicImage::ImageRgb8);
        }
        if self.premultiplied {
            match &mut picture {
                DynamicImage::ImageRgba8(picture) => {
                    for pixel in picture.pixels_mut() {
                        let [colors @ .., alpha] = &mut pixel.0;
                        let alpha = u32::from(*alpha);
                        for color in colors.iter_mut().filter(|_| alpha != 0) {
                            *color = u8::try_from(u32::from(*color) * 255 / alpha).unwrap_or(u8::MAX);
                        }
                    }
                }
                DynamicImage::ImageRgba16(picture) => {
                    for pixel in picture.pixels_mut() {
                        let [colors @ .., alpha] = &mut pixel.0;
                        let alpha = u64::from(*alpha);
                        for color in colors.iter_mut().filter(|_| alpha != 0) {
                            *color = u16::try_from(u64::from(*color) * 65_535 / alpha).unwrap_or(u16::MAX);
                        }
                    }
                }
                _ => (),
            }
        }
        picture
    }
}
