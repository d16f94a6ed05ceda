//! What a picture file says beside its pixels: listed, and taken out without touching a pixel.
//!
//! [`list`] names what a file gives away: the place where a photograph was taken, a thumbnail that may show
//! what was cropped, names, times, prompts. [`strip`] takes all of it out and keeps what a viewer needs to
//! show the picture right: colour profile, gamma, orientation, density, animation. The compressed pixels are
//! copied byte by byte and never decoded.
//!
//! ```
//! use lsb_core::metadata::{self, Kind};
//!
//! # fn main() -> Result<(), lsb_core::metadata::StripError> {
//! # let photograph: &[u8] = include_bytes!("../../tests/photos/grace_hopper.jpg");
//! let stripped = metadata::strip(photograph)?;
//! assert!(metadata::list(&stripped.file)?.iter().all(|item| item.kind.is_needed()));
//! # Ok(()) }
//! ```
//!
//! # What it does not promise
//!
//! * Pixels are not looked at: a face, a street sign, a watermark or the noise of a sensor stay.
//! * A profile names its maker, and stays. It says what the colours mean.

mod exif;
mod gif;
mod jpeg;
mod png;
mod tiff;
mod webp;

use core::fmt;

use alloc::string::String;
use alloc::vec::Vec;

#[cfg(feature = "image")]
pub(crate) use exif::Exif;
#[cfg(not(feature = "image"))]
use exif::Exif;
use exif::orientation_block;
#[cfg(feature = "image")]
pub(crate) use png::{chunk as png_chunk, is_known_critical};

use crate::error::ErrorKind;
use crate::upload::MediaType;

/// What a piece of metadata is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Where the photograph was taken.
    Location,
    /// A small copy of the picture, which may show what was cropped away or painted over since.
    Thumbnail,
    /// The camera, its lens, their serial numbers, the program that wrote the file.
    Camera,
    /// When the photograph was taken or the file was changed.
    Time,
    /// Texts: descriptions, authors, comments, the prompt of a generated picture.
    Text,
    /// EXIF that is none of the above.
    Exif,
    /// XMP, which may hold any of the above and a history of edits.
    Xmp,
    /// IPTC and Photoshop's resources.
    Iptc,
    /// A part that only one program understands.
    Private,
    /// Bytes behind the end of the picture: a moving picture, a depth map, whatever someone appended.
    Trailer,
    /// What the colours mean: a profile, or coding-independent code points.
    Profile,
    /// Gamma and primaries.
    Gamma,
    /// How the picture is held.
    Orientation,
    /// Pixels per metre, or the shape of a pixel.
    Density,
    /// How frames follow one another.
    Animation,
}

impl Kind {
    /// Whether a viewer needs it to show the picture right. Such metadata is never taken out.
    #[must_use]
    pub const fn is_needed(self) -> bool {
        matches!(
            self,
            Self::Profile | Self::Gamma | Self::Orientation | Self::Density | Self::Animation
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Location => "location",
            Self::Thumbnail => "thumbnail",
            Self::Camera => "camera or program",
            Self::Time => "time",
            Self::Text => "text",
            Self::Exif => "other EXIF",
            Self::Xmp => "XMP",
            Self::Iptc => "IPTC",
            Self::Private => "private data",
            Self::Trailer => "bytes behind the end",
            Self::Profile => "colour profile",
            Self::Gamma => "gamma",
            Self::Orientation => "orientation",
            Self::Density => "density",
            Self::Animation => "animation",
        })
    }
}

/// One piece of metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is about.
    pub kind: Kind,
    /// Where the file keeps it: a chunk, a segment, a tag.
    pub place: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// What it says, where that is a short text: a position in degrees, a camera's name. It comes from the
    /// file, so it is a stranger's: control characters are replaced, and it has at most [`MOST_TEXT`] characters.
    pub text: Option<String>,
}

/// The most characters of [`Item::text`].
pub const MOST_TEXT: usize = 100;

impl Item {
    fn new(kind: Kind, place: impl Into<String>, bytes: usize) -> Self {
        Self {
            kind,
            place: place.into(),
            bytes: bytes as u64,
            text: None,
        }
    }

    fn with_text(mut self, text: &str) -> Self {
        let plain = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
        let text: String = text.trim().chars().take(MOST_TEXT).map(plain).collect();
        self.text = (!text.is_empty()).then_some(text);
        self
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}, {} bytes)", self.kind, self.place, self.bytes)?;
        match &self.text {
            Some(text) => write!(formatter, ": {text}"),
            None => Ok(()),
        }
    }
}

/// A file without what a viewer does not need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripped {
    /// The file: the same format, the same compressed pixels.
    pub file: Vec<u8>,
    /// What was taken out.
    pub removed: Vec<Item>,
    /// What was kept, because the picture would look different without it.
    pub kept: Vec<Item>,
}

/// Why metadata could not be listed or taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StripError {
    /// None of the formats that this crate knows.
    #[error("the file is not a picture of a known format, so nothing is known of its metadata")]
    NotAPicture,
    /// The file is damaged where its metadata stands.
    #[error(
        "the {format} file is damaged, so its metadata cannot be told from its pixels; save it anew first"
    )]
    Damaged {
        /// Its format.
        format: MediaType,
    },
}

impl StripError {
    /// What kind of problem this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAPicture => ErrorKind::NotAPicture,
            Self::Damaged { .. } => ErrorKind::Damaged,
        }
    }
}

/// Lists what a file says beside its pixels, in the order of the file. [`Kind::is_needed`] tells what gives
/// something away from what only describes the pixels.
///
/// # Errors
///
/// [`StripError`]: the file is no picture of a known format, or damaged before its pixels.
pub fn list(file: &[u8]) -> Result<Vec<Item>, StripError> {
    let (format, parts) = parts_of(file)?;
    if format == MediaType::Tiff {
        return tiff::list(file);
    }
    Ok(parts.iter().flat_map(Part::items).collect())
}

/// Takes out everything that a viewer does not need. What is left has the same format and the same compressed
/// pixels.
///
/// An orientation that stood in EXIF stays, in an EXIF block that says nothing else.
///
/// # Errors
///
/// [`StripError`]: the file is no picture of a known format, or damaged before its pixels.
pub fn strip(file: &[u8]) -> Result<Stripped, StripError> {
    let (format, parts) = parts_of(file)?;
    if format == MediaType::Tiff {
        return tiff::strip(file);
    }
    let (mut kept, mut removed, mut stripped) = (Vec::new(), Vec::new(), Vec::with_capacity(file.len()));
    for part in &parts {
        for item in part.items() {
            if item.kind.is_needed() {
                kept.push(item)
            } else {
                removed.push(item)
            }
        }
        match part.role {
            Role::Picture | Role::Needed(_) => stripped.extend_from_slice(part.whole),
            Role::Removable(..) => (),
            Role::Exif { block, .. } => {
                let orientation = Exif::parse(block).and_then(|exif| exif.orientation());
                if let Some(orientation) = orientation.filter(|orientation| *orientation != 1) {
                    let block = orientation_block(orientation);
                    match format {
                        MediaType::Png => stripped.extend(png::chunk(*b"eXIf", &block)),
                        MediaType::Jpeg => stripped.extend(jpeg::exif_segment(&block)),
                        _ => stripped.extend(webp::chunk(*b"EXIF", &block)),
                    }
                }
            }
        }
    }
    if format == MediaType::WebP {
        webp::mend(&mut stripped);
    }
    Ok(Stripped {
        file: stripped,
        removed,
        kept,
    })
}

/// A part of a file: its parts, one behind the other, are the file.
struct Part<'a> {
    whole: &'a [u8],
    /// What the format calls it.
    name: String,
    role: Role<'a>,
}

enum Role<'a> {
    /// Needed to decode the pixels.
    Picture,
    /// Needed to show them right.
    Needed(Kind),
    /// Not needed; with the text that it holds, if that is known.
    Removable(Kind, Option<&'a str>),
    /// EXIF: of all that it says, only the orientation is needed.
    Exif { block: &'a [u8] },
}

impl<'a> Part<'a> {
    fn new(whole: &'a [u8], name: impl Into<String>, role: Role<'a>) -> Self {
        Self {
            whole,
            name: name.into(),
            role,
        }
    }

    fn items(&self) -> Vec<Item> {
        let item = |kind| Item::new(kind, self.name.clone(), self.whole.len());
        match self.role {
            Role::Picture => Vec::new(),
            Role::Needed(kind) => Vec::from([item(kind)]),
            Role::Removable(kind, text) => Vec::from([item(kind).with_text(text.unwrap_or_default())]),
            Role::Exif { block } => match Exif::parse(block) {
                Some(exif) => exif.items(&self.name),
                None => Vec::from([item(Kind::Exif)]),
            },
        }
    }
}

/// What one chunk of a PNG says.
#[cfg(feature = "image")]
pub(crate) fn items_of_chunk(whole: &[u8], name: &str, kind: &[u8; 4], content: &[u8]) -> Vec<Item> {
    Part::new(whole, name, png::role(kind, content)).items()
}

fn parts_of(file: &[u8]) -> Result<(MediaType, Vec<Part<'_>>), StripError> {
    let format = MediaType::sniff(file).ok_or(StripError::NotAPicture)?;
    let parts = match format {
        MediaType::Png => png::parts(file),
        MediaType::Jpeg => jpeg::parts(file),
        MediaType::WebP => webp::parts(file),
        MediaType::Gif => gif::parts(file),
        // Headers and pixels, and no place for anything else but behind them.
        MediaType::Bmp => bmp_parts(file),
        MediaType::Tiff => Some(Vec::new()),
    };
    Ok((format, parts.ok_or(StripError::Damaged { format })?))
}

/// A BMP says in its header where it ends; what follows is nothing of it. Files with a false length are common, so
/// only the end that rows lead to is believed.
fn bmp_parts(file: &[u8]) -> Option<Vec<Part<'_>>> {
    let end = crate::upload::bmp::end(file)
        .unwrap_or(file.len())
        .min(file.len());
    let (picture, behind) = file.split_at_checked(end)?;
    Some(with_trailer(
        Vec::from([Part::new(picture, "BMP", Role::Picture)]),
        behind,
    ))
}

fn with_trailer<'a>(mut parts: Vec<Part<'a>>, behind: &'a [u8]) -> Vec<Part<'a>> {
    if !behind.is_empty() {
        parts.push(Part::new(
            behind,
            "behind the end",
            Role::Removable(Kind::Trailer, None),
        ));
    }
    parts
}

/// As [`with_trailer`], for a file that is cut off: the rest of a part of pixels is as much of them as there is.
fn with_rest_of_pixels<'a>(mut parts: Vec<Part<'a>>, rest: &'a [u8]) -> Vec<Part<'a>> {
    parts.push(Part::new(rest, "a part that is cut off", Role::Picture));
    parts
}
