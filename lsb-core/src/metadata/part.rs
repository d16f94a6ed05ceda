//! The parts of a file by what they are for.

use alloc::string::String;
use alloc::vec::Vec;

use super::exif::Exif;
use super::item::{Item, Kind};

/// A part of a file: its parts, one behind the other, are the file.
pub(super) struct Part<'a> {
    pub(super) whole: &'a [u8],
    /// What the format calls it.
    pub(super) name: String,
    pub(super) role: Role<'a>,
}

pub(super) enum Role<'a> {
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
    pub(super) fn new(whole: &'a [u8], name: impl Into<String>, role: Role<'a>) -> Self {
        Self {
            whole,
            name: name.into(),
            role,
        }
    }

    pub(super) fn items(&self) -> Vec<Item> {
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

pub(super) fn with_trailer<'a>(mut parts: Vec<Part<'a>>, behind: &'a [u8]) -> Vec<Part<'a>> {
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
pub(super) fn with_rest_of_pixels<'a>(mut parts: Vec<Part<'a>>, rest: &'a [u8]) -> Vec<Part<'a>> {
    parts.push(Part::new(rest, "a part that is cut off", Role::Picture));
    parts
}
