//! Finds out what happened to a protected picture that can no longer be read, where the file itself tells.
//!
//! A preamble has a checksum. So a picture in which it appears once a change is undone was protected, and was changed
//! in exactly that way: turned, enlarged, flattened. A lossy format shows only that no hidden bits can be left. Some
//! changes leave no trace: from 16 to 8 bits, or to a smaller size.

use lsb_core::bits::Sample;
use lsb_core::carrier::{self, CarrierError};
use lsb_core::preamble::{PREAMBLE_SAMPLES, PreambleError};
use lsb_core::raster::{Raster, Samples};
use lsb_core::upload::MediaType;
use lsb_core::{Error, Limits, picture};

use super::Verdict;
use crate::client::ErrorClass;

/// The largest factor of an enlarged copy that is looked for.
const MOST_ENLARGED: u32 = 4;

/// The most samples that are searched for a preamble. In a picture that is nearly all transparent it may lie farther
/// from the start; then its cause is not told.
const MOST_SEARCHED_SAMPLES: usize = 1 << 22;

/// The advice that ends every message.
const ADVICE: &str = "Use the file exactly as it was received";

/// Returns the verdict on a file out of which no body could be read.
pub(super) fn verdict(file: &[u8], limits: &Limits, error: &Error) -> Verdict {
    let verdict = Verdict::of(error);
    if let (Error::Picture(_), ErrorClass::NotAPicture, Some(format)) =
        (error, verdict.class, MediaType::sniff(file))
    {
        // The library's message is about modes, of which there is no choice here.
        let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})"));
        return Verdict {
            message: format!(
                "this is a {format} of a kind that this program does not decode{}, so it cannot be a protected \
                 picture. {ADVICE}",
                cause.unwrap_or_default()
            ),
            ..verdict
        };
    }
    let Error::Carrier(problem) = error else {
        return verdict;
    };
    let limits = Limits {
        first_frame: true,
        ..*limits
    };
    let Ok(decoded) = picture::decode(file, limits.carrier_bytes, &limits) else {
        return verdict;
    };
    if let Some(what) = undone(&decoded.raster) {
        return Verdict {
            class: ErrorClass::Damaged,
            message: format!(
                "this is a protected picture that was {what} since, which destroys the hidden part. {ADVICE}"
            ),
            advice: None,
        };
    }
    let Some(what) = lossy(file, &decoded.raster) else {
        return verdict;
    };
    let message = match problem {
        CarrierError::Preamble(PreambleError::NotOurs) => format!(
            "this picture carries nothing of ours: it {what}. Either it was never protected, or that destroyed the \
             hidden part. {ADVICE}"
        ),
        _ => format!("the hidden part is damaged: the picture {what}. {ADVICE}"),
    };
    Verdict { message, ..verdict }
}

/// Returns a change after which no hidden bits can be left, as far as the file tells.
fn lossy(file: &[u8], raster: &Raster) -> Option<&'static str> {
    /// Where a PNG's header has its colour type, and the type that means a palette (PNG specification, §11.2.1).
    const COLOR_TYPE_AT: usize = 25;
    const PALETTE: u8 = 3;
    match MediaType::sniff(file)? {
        MediaType::Png if file.get(COLOR_TYPE_AT) == Some(&PALETTE) => {
            Some("was saved with a palette of at most 256 colours")
        }
        MediaType::Gif => Some("was saved as GIF, which has a palette of at most 256 colours"),
        // A simple file begins with the one chunk of its pixels, and a lossy one's has a blank in its name.
        MediaType::WebP if file.windows(4).take(1 << 12).any(|name| name == b"VP8 ") => {
            Some("was saved as lossy WebP")
        }
        _ if is_eight_bits_in_sixteen(raster) => {
            Some("was reduced from 16 to 8 bits per sample and saved with 16 bits again")
        }
        _ => None,
    }
}

/// Whether every sample of 16 bits is one of 8 bits, written twice.
fn is_eight_bits_in_sixteen(raster: &Raster) -> bool {
    let Samples::Sixteen(samples) = raster.samples() else {
        return false;
    };
    let copied = |sample: &u16| sample >> 8 == sample & 0xff;
    // Black and white are the same in both depths.
    samples.iter().all(copied) && samples.iter().any(|sample| !matches!(*sample, 0 | u16::MAX))
}

/// Returns the change that was found by undoing it.
fn undone(raster: &Raster) -> Option<String> {
    match raster.samples() {
        Samples::Eight(samples) => undone_of(raster, samples, Samples::Eight),
        Samples::Sixteen(samples) => undone_of(raster, samples, Samples::Sixteen),
    }
}

fn undone_of<S: Sample + Default>(
    raster: &Raster,
    samples: &[S],
    wrap: fn(Vec<S>) -> Samples,
) -> Option<String> {
    let begins = |view: &View| begins_with_preamble(raster, samples, view, wrap);
    if let Some(turn) = TURNS.iter().find(|turn| begins(&turn.undo(raster))) {
        return Some(turn.name.to_owned());
    }
    if let Some(factor) = (2..=MOST_ENLARGED).find(|factor| begins(&shrunk(raster, *factor))) {
        return Some(format!("resized to {factor} times its width and height"));
    }
    lost_transparency(raster, samples, wrap)
        .then(|| "saved without its alpha channel, that is, without transparency".to_owned())
}

/// A picture whose pixels are those of another one at other places.
struct View {
    width: u32,
    height: u32,
    place: Box<dyn Fn(u32, u32) -> (u32, u32)>,
}

/// A turn, and how it is undone: columns and rows change places first, then each may be counted from the other end.
struct Turn {
    name: &'static str,
    swapped: bool,
    from_right: bool,
    from_below: bool,
}

const fn turn(name: &'static str, swapped: bool, from_right: bool, from_below: bool) -> Turn {
    Turn {
        name,
        swapped,
        from_right,
        from_below,
    }
}

/// All rotations and reflections of a picture, without the identity.
const TURNS: [Turn; 7] = [
    turn("rotated by 90° clockwise", true, true, false),
    turn("rotated by 180°", false, true, true),
    turn("rotated by 90° counterclockwise", true, false, true),
    turn("mirrored left to right", false, true, false),
    turn("mirrored top to bottom", false, false, true),
    turn("mirrored and rotated", true, false, false),
    turn("mirrored and rotated", true, true, true),
];

impl Turn {
    fn undo(&self, raster: &Raster) -> View {
        let (last_column, last_row) = (raster.width() - 1, raster.height() - 1);
        let Self {
            swapped,
            from_right,
            from_below,
            ..
        } = *self;
        let (width, height) = if swapped {
            (raster.height(), raster.width())
        } else {
            (raster.width(), raster.height())
        };
        let place = move |x, y| {
            let (x, y) = if swapped { (y, x) } else { (x, y) };
            let x = if from_right { last_column - x } else { x };
            let y = if from_below { last_row - y } else { y };
            (x, y)
        };
        View {
            width,
            height,
            place: Box::new(place),
        }
    }
}

/// Returns the picture before each pixel was enlarged to a square.
fn shrunk(raster: &Raster, factor: u32) -> View {
    View {
        width: raster.width() / factor,
        height: raster.height() / factor,
        place: Box::new(move |x, y| (x * factor, y * factor)),
    }
}

/// Whether a preamble stands at the beginning of a view. Only as many rows are made as hold one.
fn begins_with_preamble<S: Sample + Default>(
    raster: &Raster,
    samples: &[S],
    view: &View,
    wrap: fn(Vec<S>) -> Samples,
) -> bool {
    let (colors, per_pixel) = (raster.colors(), raster.colors().samples());
    let (mut rows, mut carriers) = (Vec::new(), 0);
    let mut height = 0;
    while height < view.height && carriers < PREAMBLE_SAMPLES && rows.len() < MOST_SEARCHED_SAMPLES {
        for x in 0..view.width {
            let (x, y) = (view.place)(x, height);
            let at = (y as usize * raster.width() as usize + x as usize) * per_pixel;
            let pixel = samples.get(at..at + per_pixel).unwrap_or_default();
            rows.extend_from_slice(pixel);
            if !colors.has_alpha() || pixel.last() == Some(&S::OPAQUE) {
                carriers += 1;
            }
        }
        height += 1;
    }
    let beginning = Raster::new(view.width, height, colors, wrap(rows));
    beginning.is_ok_and(|beginning| carrier::read_preamble(&beginning).is_ok())
}

/// Whether the body can be read as soon as the pixels of one colour are left out, as transparent ones are: programs
/// that drop an alpha channel give those one colour.
fn lost_transparency<S: Sample + Default>(
    raster: &Raster,
    samples: &[S],
    wrap: fn(Vec<S>) -> Samples,
) -> bool {
    let (colors, per_pixel) = (raster.colors(), raster.colors().samples());
    if colors.has_alpha() {
        return false;
    }
    let pixels = || samples.chunks_exact(per_pixel);
    let darkest = pixels().find(|pixel| pixel.iter().all(|sample| *sample == S::default()));
    let brightest = pixels().find(|pixel| pixel.iter().all(|sample| *sample == S::OPAQUE));
    let backgrounds = [pixels().next(), darkest, brightest];
    let without = |background: &[S], most: usize| {
        let left = pixels().filter(|pixel| *pixel != background).take(most);
        let left: Vec<S> = left.flatten().copied().collect();
        let width = u32::try_from(left.len() / per_pixel).unwrap_or_default();
        Raster::new(width, 1, colors, wrap(left)).ok()
    };
    // The whole picture is copied only for the sake of a preamble.
    let begins = |background: &&[S]| {
        let beginning = without(background, PREAMBLE_SAMPLES);
        beginning.is_some_and(|beginning| carrier::read_preamble(&beginning).is_ok())
    };
    let mut backgrounds = backgrounds.into_iter().flatten().filter(begins);
    backgrounds.any(|background| {
        let opaque = without(background, usize::MAX);
        opaque.is_some_and(|opaque| carrier::read(&opaque).is_ok())
    })
}
