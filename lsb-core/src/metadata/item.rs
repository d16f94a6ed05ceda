//! A piece of metadata, and what it is about.

use core::fmt;

use alloc::string::String;

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
    pub(super) fn new(kind: Kind, place: impl Into<String>, bytes: usize) -> Self {
        Self {
            kind,
            place: place.into(),
            bytes: bytes as u64,
            text: None,
        }
    }

    pub(super) fn with_text(mut self, text: &str) -> Self {
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
