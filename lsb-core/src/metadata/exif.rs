//! EXIF: a TIFF directory with others below it (CIPA DC-008).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::item::{Item, Kind};
use crate::tags::{
    Directory, EXIF_DIRECTORY, Entry, GPS_DIRECTORY, ORIENTATION, STRIP_OFFSETS, THUMBNAIL_BYTES,
    THUMBNAIL_OFFSET, Tiff,
};

/// A block of EXIF whose first directory can be read.
pub(crate) struct Exif<'a> {
    block: &'a [u8],
    tiff: Tiff<'a>,
    first: Directory,
}

/// What a tag is about, as far as it is known to say something about somebody.
pub(super) const fn kind_of(tag: u16) -> Option<Kind> {
    match tag {
        // Make, model, software, host, lens, serial numbers, maker's notes.
        0x010f | 0x0110 | 0x0131 | 0x013c | 0x927c | 0xa430..=0xa435 | 0xc614 | 0xc62f => Some(Kind::Camera),
        // Times and time zones.
        0x0132 | 0x9003 | 0x9004 | 0x9010..=0x9012 | 0x9290..=0x9292 => Some(Kind::Time),
        // Document, description, page, artist, copyright, comments, Windows' texts, sounds, unique ids.
        0x010d | 0x010e | 0x011d | 0x013b | 0x8298 | 0x9286 | 0x9c9b..=0x9c9f | 0xa420 | 0xa004 => {
            Some(Kind::Text)
        }
        _ => None,
    }
}

impl<'a> Exif<'a> {
    /// Reads a block, with or without the `Exif\0\0` that JPEG puts before it and some programs put elsewhere.
    pub(crate) fn parse(block: &'a [u8]) -> Option<Self> {
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        // Some programs wrote the prefix twice.
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        let tiff = Tiff::open(block)?;
        let first = tiff.directory(tiff.first()?)?;
        Some(Self { block, tiff, first })
    }

    /// How the picture is held: 1 to 8.
    pub(crate) fn orientation(&self) -> Option<u8> {
        self.tiff.orientation(&self.first)
    }

    /// The block with another orientation, for pixels that were turned upright.
    #[cfg(feature = "image")]
    pub(crate) fn turned_upright(&self) -> Vec<u8> {
        let mut block = self.block.to_vec();
        // An entry that is there twice is turned twice: which one counts is up to the reader.
        let entries = self.first.entries.iter();
        for entry in entries.filter(|entry| entry.tag == ORIENTATION && entry.count > 0) {
            self.tiff.put_orientation(entry, 1, &mut block);
        }
        block
    }

    fn below(&self, tag: u16) -> Option<Directory> {
        let at = self.tiff.number(self.first.entry(tag)?, 0)?;
        self.tiff.directory(usize::try_from(at).ok()?)
    }

    /// What it says, by what it is about.
    pub(super) fn items(&self, place: &str) -> Vec<Item> {
        let mut items = Vec::new();
        if let Some(orientation) = self.orientation() {
            let item = Item::new(Kind::Orientation, place, 2);
            items.push(item.with_text(&format!("{orientation}")));
        }
        if let Some(position) = self.below(GPS_DIRECTORY).filter(|gps| !gps.entries.is_empty()) {
            let bytes = total_bytes(position.entries.iter());
            let item = Item::new(Kind::Location, format!("{place} GPS"), bytes);
            items.push(item.with_text(&self.position(&position).unwrap_or_default()));
        }
        if let Some(bytes) = self.thumbnail() {
            items.push(Item::new(Kind::Thumbnail, format!("{place} thumbnail"), bytes));
        }
        let below = self.below(EXIF_DIRECTORY);
        let below = below.iter().flat_map(|directory| directory.entries.iter());
        let entries: Vec<&Entry> = self.first.entries.iter().chain(below).collect();
        for kind in [Kind::Camera, Kind::Time, Kind::Text] {
            let about = entries.iter().filter(|entry| kind_of(entry.tag) == Some(kind));
            let bytes = total_bytes(about.clone().copied());
            let texts = about
                .filter(|entry| entry.kind == 2)
                .filter_map(|entry| self.tiff.text(entry));
            let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
            if bytes > 0 {
                items.push(Item::new(kind, place, bytes).with_text(&texts.join(", ")));
            }
        }
        let links = [ORIENTATION, EXIF_DIRECTORY, GPS_DIRECTORY];
        let other = entries
            .iter()
            .filter(|entry| kind_of(entry.tag).is_none() && !links.contains(&entry.tag));
        let bytes = total_bytes(other.copied());
        if bytes > 0 {
            items.push(Item::new(Kind::Exif, place, bytes));
        }
        if items.is_empty() {
            items.push(Item::new(Kind::Exif, place, self.block.len()));
        }
        items
    }

    /// How many bytes the thumbnail in the second directory has.
    fn thumbnail(&self) -> Option<usize> {
        let second = self
            .tiff
            .directory(self.first.next)
            .filter(|_| self.first.next != 0)?;
        second.entry(THUMBNAIL_OFFSET).or(second.entry(STRIP_OFFSETS))?;
        let bytes = second
            .entry(THUMBNAIL_BYTES)
            .and_then(|entry| self.tiff.number(entry, 0));
        Some(bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0))
    }

    /// Degrees north and east, as maps take them.
    fn position(&self, gps: &Directory) -> Option<String> {
        let degrees = |tag: u16| {
            let entry = gps.entry(tag)?;
            let part = |index| self.tiff.fraction(entry, index);
            Some(part(0)? + part(1).unwrap_or(0.0) / 60.0 + part(2).unwrap_or(0.0) / 3600.0)
        };
        let side = |tag: u16| {
            gps.entry(tag)
                .and_then(|entry| self.tiff.text(entry))
                .unwrap_or_default()
        };
        Some(format!(
            "{:.4} {} {:.4} {}",
            degrees(2)?,
            side(1),
            degrees(4)?,
            side(3)
        ))
    }
}

/// How many bytes the values of entries take: a false count says anything.
pub(super) fn total_bytes<'a>(entries: impl Iterator<Item = &'a Entry>) -> usize {
    entries.map(Entry::value_bytes).fold(0, usize::saturating_add)
}

/// A block of EXIF that says how a picture is held and nothing else.
pub(crate) fn orientation_block(orientation: u8) -> Vec<u8> {
    let mut block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0]);
    block
}
