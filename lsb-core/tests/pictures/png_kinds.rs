//! Every kind of PNG that there is, decoded as the specification says and not only as the encoder of these tests writes
//! it: all colour types and depths, each with and without a transparency key, interlaced or not, of all sizes from 1.

use crate::fixtures::round_trip::{check_labelled, check_sealed};
use crate::fixtures::{RawPng, noise};
use lsb_core::raster::{Colors, Samples};
use lsb_core::upload::MediaType;
use lsb_core::{Limits, picture};
use proptest::prelude::*;

/// Colour types and depths (PNG specification, third edition, §11.2.1).
const KINDS: [(u8, u8); 15] = [
    (0, 1),
    (0, 2),
    (0, 4),
    (0, 8),
    (0, 16),
    (2, 8),
    (2, 16),
    (3, 1),
    (3, 2),
    (3, 4),
    (3, 8),
    (4, 8),
    (4, 16),
    (6, 8),
    (6, 16),
];

/// Where each pass begins and how far its pixels are apart, in columns and rows (§8.2).
const ADAM7: [[usize; 4]; 7] = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
];

/// A picture as it is meant, before any encoding.
struct Meant {
    color_type: u8,
    depth: u8,
    /// One transparent colour, or, with a palette, some of its colours half transparent.
    keyed: bool,
    width: usize,
    height: usize,
    /// The samples of each pixel, or its place in the palette.
    pixels: Vec<Vec<u16>>,
    palette: Vec<[u8; 3]>,
}

impl Meant {
    fn new((color_type, depth): (u8, u8), keyed: bool, width: usize, height: usize, seed: u64) -> Self {
        let samples = [1, 0, 3, 1, 2, 0, 4][usize::from(color_type)];
        let words = noise(width * height * samples * 2, seed);
        let values = words
            .as_chunks::<2>()
            .0
            .iter()
            .map(|word| u16::from_be_bytes(*word) >> (16 - depth));
        let values: Vec<u16> = values.collect();
        let colors = noise(3 << depth.min(8), seed ^ 1);
        Self {
            color_type,
            depth,
            keyed: keyed && color_type < 4,
            width,
            height,
            pixels: values.chunks(samples).map(<[u16]>::to_vec).collect(),
            palette: colors.as_chunks::<3>().0.to_vec(),
        }
    }

    /// The alpha of the first few colours of the palette; the others are opaque.
    fn palette_alpha(&self) -> Vec<u8> {
        noise(self.palette.len() / 2, 5)
    }

    fn file(&self, interlaced: bool) -> Vec<u8> {
        let (width, height) = (self.width.try_into().unwrap(), self.height.try_into().unwrap());
        let mut file = RawPng::new(width, height, self.depth, self.color_type, interlaced);
        if self.color_type == 3 {
            file = file.chunk(b"PLTE", self.palette.as_flattened());
        }
        if self.keyed && self.color_type == 3 {
            file = file.chunk(b"tRNS", &self.palette_alpha());
        } else if self.keyed {
            let key: Vec<u8> = self.pixels[0]
                .iter()
                .flat_map(|sample| sample.to_be_bytes())
                .collect();
            file = file.chunk(b"tRNS", &key);
        }
        let passes: &[[usize; 4]] = if interlaced { &ADAM7 } else { &[[0, 0, 1, 1]] };
        let filtered: Vec<u8> = passes.iter().flat_map(|pass| self.rows(*pass)).collect();
        file.data(&filtered).end()
    }

    /// The rows of one pass: a filter byte, and the samples packed from the highest bit of each byte (§7.2).
    fn rows(&self, [left, top, across, down]: [usize; 4]) -> Vec<u8> {
        let mut packed = Vec::new();
        if left >= self.width {
            return packed; // A pass without columns has no rows either.
        }
        for y in (top..self.height).step_by(down) {
            packed.push(0);
            let (mut bits, mut count) = (0u32, 0);
            let row = (left..self.width).step_by(across);
            for sample in row.flat_map(|x| &self.pixels[y * self.width + x]) {
                bits = bits << self.depth | u32::from(*sample);
                count += self.depth;
                while count >= 8 {
                    count -= 8;
                    packed.push((bits >> count & 0xff) as u8);
                }
            }
            if count > 0 {
                packed.push((bits << (8 - count) & 0xff) as u8);
            }
        }
        packed
    }

    /// What a decoder must make of it: no palette, no key, eight bits at least (§13.12: a scale of all ones is full
    /// white).
    fn expanded(&self) -> (Colors, Vec<u16>) {
        let opaque = if self.depth == 16 { u16::MAX } else { 255 };
        let colors = match (self.color_type, self.keyed) {
            (0, false) => Colors::Grey,
            (0, true) | (4, _) => Colors::GreyAlpha,
            (2 | 3, false) => Colors::Rgb,
            _ => Colors::Rgba,
        };
        let alpha = self.palette_alpha();
        let expand = |pixel: &Vec<u16>| {
            let mut expanded: Vec<u16> = match (self.color_type, self.depth) {
                (3, _) => self.palette[usize::from(pixel[0])].map(u16::from).to_vec(),
                (_, depth @ (1 | 2 | 4)) => vec![pixel[0] * 255 / ((1 << depth) - 1)],
                _ => pixel.clone(),
            };
            if self.keyed && self.color_type == 3 {
                expanded.push(
                    alpha
                        .get(usize::from(pixel[0]))
                        .map_or(opaque, |alpha| u16::from(*alpha)),
                );
            } else if self.keyed {
                expanded.push(if *pixel == self.pixels[0] { 0 } else { opaque });
            }
            expanded
        };
        (colors, self.pixels.iter().flat_map(expand).collect())
    }
}

proptest! {
    #[test]
    fn every_kind_is_decoded_as_the_specification_says(
        kind in proptest::sample::select(KINDS.as_slice()), keyed in any::<bool>(), interlaced in any::<bool>(),
        width in 1usize..40, height in 1usize..40, seed in any::<u64>(),
    ) {
        let meant = Meant::new(kind, keyed, width, height, seed);
        let file = meant.file(interlaced);
        let raster = picture::decode_png(&file, u64::MAX, &Limits::DEFAULT).unwrap().raster;
        let (colors, expected) = meant.expanded();
        prop_assert_eq!((raster.width() as usize, raster.height() as usize, raster.colors()), (width, height, colors));
        let samples: Vec<u16> = match raster.samples() {
            Samples::Eight(samples) if kind.1 < 16 => samples.iter().copied().map(u16::from).collect(),
            Samples::Sixteen(samples) if kind.1 == 16 => samples.clone(),
            _ => panic!("another depth"),
        };
        prop_assert_eq!(samples, expected);
        check_sealed(&file, MediaType::Png);
    }
}

#[test]
fn every_kind_can_be_labelled() {
    for kind in KINDS {
        for (keyed, interlaced) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut meant = Meant::new(kind, keyed, 180, 120, 9);
            if kind.0 > 3 {
                // Alpha of noise is hardly ever opaque.
                for pixel in meant.pixels.iter_mut().step_by(2) {
                    *pixel.last_mut().unwrap() = u16::MAX >> (16 - kind.1);
                }
            }
            check_labelled(&meant.file(interlaced));
        }
    }
}
