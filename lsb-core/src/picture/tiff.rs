//! Kinds of TIFF that the decoder takes for others: made into what it knows before, and put right behind it.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use image::{DynamicImage, RgbImage};

use crate::tags::{Directory, Tiff};

const IMAGE_WIDTH: u16 = 256;
const IMAGE_LENGTH: u16 = 257;
const BITS_PER_SAMPLE: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const PLANAR_CONFIGURATION: u16 = 284;
const COLOR_MAP: u16 = 320;
const TILE_WIDTH: u16 = 322;
const TILE_LENGTH: u16 = 323;
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
    /// The samples are luma and two differences of colours, and not colours.
    luma_and_chroma: bool,
    /// The picture's own columns and rows, of more that were decoded.
    cropped_to: Option<(u32, u32)>,
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
        luma_and_chroma: false,
        cropped_to: None,
    };
    // With a tile for each colour, the decoder panics where the last tiles reach below the picture (tiff 0.11.3). They
    // are there whole, so the picture is decoded as far as they reach, and cropped.
    if number(PLANAR_CONFIGURATION) == Some(2) && directory.entry(TILE_WIDTH).is_some() {
        afterwards.cropped_to = widened(&tiff, &directory, &mut prepared);
    }
    // The decoder delivers the components of such a JPEG as they are, if it believes that they are colours.
    if number(PHOTOMETRIC) == Some(6) && number(COMPRESSION) == Some(7) {
        afterwards.luma_and_chroma = true;
        set_photometric(&tiff, &directory, 2, &mut prepared);
    }
    if number(PHOTOMETRIC) == Some(3) && number(BITS_PER_SAMPLE) == Some(8) {
        afterwards.palette = palette(&tiff, &directory);
        if afterwards.palette.is_some() {
            set_photometric(&tiff, &directory, 1, &mut prepared);
        }
    }
    (prepared, afterwards)
}

/// Says in the file that its samples mean something else (§8, PhotometricInterpretation).
fn set_photometric(tiff: &Tiff<'_>, directory: &Directory, meaning: u8, file: &mut Cow<'_, [u8]>) {
    let Some(entry) = directory.entry(PHOTOMETRIC).filter(|entry| entry.kind == 3) else {
        return;
    };
    let value = if tiff.is_little() {
        [meaning, 0]
    } else {
        [0, meaning]
    };
    if let Some(place) = file.to_mut().get_mut(entry.value_at..entry.value_at + 2) {
        place.copy_from_slice(&value);
    }
}

/// Gives the picture the size of all its tiles, and returns its own; none if that is the same or nothing certain.
fn widened(tiff: &Tiff<'_>, directory: &Directory, file: &mut Cow<'_, [u8]>) -> Option<(u32, u32)> {
    let side = |own: u16, tile: u16| {
        let (own, tile) = (directory.entry(own)?, directory.entry(tile)?);
        let number = |entry| u32::try_from(tiff.number(entry, 0)?).ok();
        let (pixels, tile) = (number(own)?, number(tile).filter(|tile| *tile > 0)?);
        Some((own, pixels, pixels.div_ceil(tile).checked_mul(tile)?))
    };
    let sides = [side(IMAGE_WIDTH, TILE_WIDTH)?, side(IMAGE_LENGTH, TILE_LENGTH)?];
    let [(_, width, whole_width), (_, height, whole_height)] = sides;
    if (width, height) == (whole_width, whole_height) {
        return None;
    }
    for (entry, _, whole) in sides {
        let bytes = entry.value_bytes().min(8);
        let number = u64::from(whole).to_be_bytes();
        let mut number = number.get(8 - bytes..)?.to_vec();
        if tiff.is_little() {
            number.reverse();
        }
        file.to_mut()
            .get_mut(entry.value_at..entry.value_at + bytes)?
            .copy_from_slice(&number);
    }
    Some((width, height))
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

/// Red, green and blue of luma and chroma (ITU-T T.871, §7), in 65,536ths.
fn colors_of([luma, blue, red]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (luma, blue, red) = (i32::from(luma) << 16, i32::from(blue) - 128, i32::from(red) - 128);
    let shades = [
        luma + 91_881 * red,
        luma - 22_554 * blue - 46_802 * red,
        luma + 116_130 * blue,
    ];
    shades.map(|shade| u8::try_from(((shade + HALF) >> 16).clamp(0, 255)).unwrap_or(u8::MAX))
}

impl Afterwards {
    pub(super) fn apply(&self, mut picture: DynamicImage) -> DynamicImage {
        if let Some((width, height)) = self.cropped_to {
            picture = picture.crop_imm(0, 0, width, height);
        }
        if let (true, DynamicImage::ImageRgb8(picture)) = (self.luma_and_chroma, &mut picture) {
            for pixel in picture.pixels_mut() {
                pixel.0 = colors_of(pixel.0);
            }
        }
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
