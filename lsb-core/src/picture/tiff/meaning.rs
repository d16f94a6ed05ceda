//! What the samples of a TIFF mean (TIFF 6.0, §8, `PhotometricInterpretation`; §18, associated alpha).

use alloc::format;
use alloc::vec::Vec;

use image::{DynamicImage, ImageBuffer};

use super::layout::{JPEG, Layout};
use super::raw::{Raw, unsupported};
use crate::error::Error;
use crate::tags;

const WHITE_IS_ZERO: u64 = 0;
const BLACK_IS_ZERO: u64 = 1;
const RGB: u64 = 2;
const CMYK: u64 = 5;
const YCBCR: u64 = 6;
/// The colours are multiplied by alpha.
const ASSOCIATED: u64 = 1;
const UNASSOCIATED: u64 = 2;

/// A sample of eight or sixteen bits.
trait Sample: Copy {
    const MOST: u32;
    fn number(self) -> u32;
    /// The sample of a number, which is at most [`Self::MOST`].
    fn of(number: u32) -> Self;
}

impl Sample for u8 {
    const MOST: u32 = 255;
    fn number(self) -> u32 {
        u32::from(self)
    }
    fn of(number: u32) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Sample for u16 {
    const MOST: u32 = 65_535;
    fn number(self) -> u32 {
        u32::from(self)
    }
    fn of(number: u32) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

/// Grey or colours, each with or without alpha.
enum Samples<S> {
    Grey(Vec<S>),
    GreyAlpha(Vec<S>),
    Rgb(Vec<S>),
    Rgba(Vec<S>),
}

pub(super) fn picture(raw: Raw, layout: &Layout) -> Result<DynamicImage, Error> {
    let (width, height) = (layout.width, layout.height);
    macro_rules! built {
        ($samples:expr, $grey:ident, $grey_alpha:ident, $rgb:ident, $rgba:ident) => {
            match $samples {
                Samples::Grey(grey) => ImageBuffer::from_raw(width, height, grey).map(DynamicImage::$grey),
                Samples::GreyAlpha(grey) => {
                    ImageBuffer::from_raw(width, height, grey).map(DynamicImage::$grey_alpha)
                }
                Samples::Rgb(colors) => ImageBuffer::from_raw(width, height, colors).map(DynamicImage::$rgb),
                Samples::Rgba(colors) => {
                    ImageBuffer::from_raw(width, height, colors).map(DynamicImage::$rgba)
                }
            }
        };
    }
    let built = match raw {
        Raw::Eight(numbers) if layout.meaning == tags::PALETTE => {
            let colors = colors_of_palette(&numbers, layout);
            built!(colors, ImageLuma8, ImageLumaA8, ImageRgb8, ImageRgba8)
        }
        Raw::Eight(numbers) => {
            let samples = meant(spread(numbers, layout.bits), layout)?;
            built!(samples, ImageLuma8, ImageLumaA8, ImageRgb8, ImageRgba8)
        }
        Raw::Sixteen(numbers) => {
            let samples = meant(spread(numbers, layout.bits), layout)?;
            built!(samples, ImageLuma16, ImageLumaA16, ImageRgb16, ImageRgba16)
        }
    };
    built.ok_or_else(|| unsupported("fewer samples than pixels".into()))
}

/// Numbers of few bits over the whole range of a sample.
fn spread<S: Sample>(mut numbers: Vec<S>, bits: u32) -> Vec<S> {
    let most = (1 << bits) - 1;
    if most != S::MOST {
        for number in &mut numbers {
            *number = S::of((number.number() * S::MOST + most / 2) / most);
        }
    }
    numbers
}

fn meant<S: Sample>(numbers: Vec<S>, layout: &Layout) -> Result<Samples<S>, Error> {
    let samples = layout.samples;
    let alpha = |colors: usize| match layout.extra {
        Some(ASSOCIATED | UNASSOCIATED) => samples > colors,
        Some(_) => false,
        // Four samples of which three are colours have alpha, whether it is said or not.
        None => layout.meaning == RGB && samples == 4,
    };
    let mut made = match layout.meaning {
        WHITE_IS_ZERO | BLACK_IS_ZERO => {
            let mut numbers = numbers;
            if layout.meaning == WHITE_IS_ZERO {
                for pixel in numbers.chunks_exact_mut(samples) {
                    if let [grey, ..] = pixel {
                        *grey = S::of(S::MOST - grey.number());
                    }
                }
            }
            if alpha(1) {
                Samples::GreyAlpha(firsts(numbers, samples, 2))
            } else {
                Samples::Grey(firsts(numbers, samples, 1))
            }
        }
        RGB if samples >= 3 => {
            if alpha(3) {
                Samples::Rgba(firsts(numbers, samples, 4))
            } else {
                Samples::Rgb(firsts(numbers, samples, 3))
            }
        }
        CMYK if samples >= 4 => {
            let inks = numbers.chunks_exact(samples);
            Samples::Rgb(inks.flat_map(|pixel| inks_on_white(pixel)).collect())
        }
        YCBCR if samples == 3 && S::MOST == 255 && layout.has_whole_chroma() => {
            let pixels = numbers.as_chunks::<3>().0;
            Samples::Rgb(pixels.iter().flat_map(colors_of_luma).collect())
        }
        meaning => {
            return Err(unsupported(format!(
                "samples of the kind {meaning}, {samples} for a pixel"
            )));
        }
    };
    if layout.extra == Some(ASSOCIATED) {
        match &mut made {
            Samples::GreyAlpha(numbers) => straighten(numbers, 2),
            Samples::Rgba(numbers) => straighten(numbers, 4),
            Samples::Grey(_) | Samples::Rgb(_) => (),
        }
    }
    Ok(made)
}

/// The first samples of each pixel.
fn firsts<S: Sample>(numbers: Vec<S>, samples: usize, wanted: usize) -> Vec<S> {
    if samples == wanted {
        return numbers;
    }
    let pixels = numbers.chunks_exact(samples);
    pixels
        .flat_map(|pixel| pixel.iter().take(wanted).copied())
        .collect()
}

/// Divides colours by the alpha that they are multiplied by.
fn straighten<S: Sample>(numbers: &mut [S], samples: usize) {
    for pixel in numbers.chunks_exact_mut(samples) {
        let Some((alpha, colors)) = pixel.split_last_mut() else {
            continue;
        };
        let alpha = u64::from(alpha.number());
        for color in colors.iter_mut().filter(|_| alpha != 0) {
            let straight = u64::from(color.number()) * u64::from(S::MOST) / alpha;
            *color = S::of(u32::try_from(straight).unwrap_or(S::MOST).min(S::MOST));
        }
    }
}

/// Red, green and blue of inks on white, each of which takes away its share of the light.
fn inks_on_white<S: Sample>(pixel: &[S]) -> [S; 3] {
    let ink = |place: usize| pixel.get(place).map_or(0, |ink| ink.number());
    let left = |ink: u32| u64::from(S::MOST - ink);
    let most = u64::from(S::MOST);
    [0, 1, 2].map(|color| {
        let light = (left(ink(color)) * left(ink(3)) + most / 2) / most;
        S::of(u32::try_from(light).unwrap_or(S::MOST))
    })
}

/// Red, green and blue of luma and chroma (ITU-T T.871, §7), in 65,536ths.
fn colors_of_luma<S: Sample>(pixel: &[S; 3]) -> [S; 3] {
    const HALF: i64 = 1 << 15;
    let [luma, blue, red] = pixel.map(|sample| i64::from(sample.number()));
    let (luma, blue, red) = (luma << 16, blue - 128, red - 128);
    let shades = [
        luma + 91_881 * red,
        luma - 22_554 * blue - 46_802 * red,
        luma + 116_130 * blue,
    ];
    shades.map(|shade| S::of(u32::try_from(((shade + HALF) >> 16).clamp(0, 255)).unwrap_or(0)))
}

/// The colours that samples are places of, with alpha if there is a second sample that says so.
fn colors_of_palette(numbers: &[u8], layout: &Layout) -> Samples<u8> {
    let colors = layout.palette.len() / 3;
    let color = |place: u8| {
        [0, 1, 2].map(|band| {
            let value = layout.palette.get(band * colors + usize::from(place));
            value.map_or(0, |value| value.to_be_bytes()[0])
        })
    };
    let pixels = numbers.chunks_exact(layout.samples);
    if layout.samples > 1 && matches!(layout.extra, Some(ASSOCIATED | UNASSOCIATED)) {
        return Samples::Rgba(
            pixels
                .flat_map(|pixel| {
                    let [red, green, blue] = color(pixel.first().copied().unwrap_or(0));
                    [red, green, blue, pixel.get(1).copied().unwrap_or(255)]
                })
                .collect(),
        );
    }
    Samples::Rgb(
        pixels
            .flat_map(|pixel| color(pixel.first().copied().unwrap_or(0)))
            .collect(),
    )
}

impl Layout {
    /// Whether chroma has as many samples as luma: a JPEG brings it to as many itself.
    fn has_whole_chroma(&self) -> bool {
        self.compression == JPEG || self.chroma == (1, 1)
    }
}
