//! The directories of a TIFF file, which are also those of EXIF (TIFF 6.0, §2; BigTIFF).
//!
//! Everything here answers "not there" to what lies outside the bytes, and never follows a directory twice.

use alloc::vec::Vec;
use core::ops::Range;

#[cfg_attr(
    not(feature = "image"),
    allow(dead_code, reason = "most are needed where pixels are decoded")
)]
mod known {
    //! The entries by which pixels are decoded and shown (TIFF 6.0, §8; its supplements).

    pub(crate) const IMAGE_WIDTH: u16 = 256;
    pub(crate) const IMAGE_LENGTH: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const FILL_ORDER: u16 = 266;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const ORIENTATION: u16 = 274;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const PLANAR_CONFIGURATION: u16 = 284;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const COLOR_MAP: u16 = 320;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_LENGTH: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const SUB_DIRECTORIES: u16 = 330;
    pub(crate) const EXTRA_SAMPLES: u16 = 338;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const JPEG_TABLES: u16 = 347;
    pub(crate) const THUMBNAIL_OFFSET: u16 = 513;
    pub(crate) const THUMBNAIL_BYTES: u16 = 514;
    pub(crate) const CHROMA_SUBSAMPLING: u16 = 530;
    pub(crate) const XMP: u16 = 700;
    pub(crate) const EXIF_DIRECTORY: u16 = 34_665;
    pub(crate) const PROFILE: u16 = 34_675;
    pub(crate) const GPS_DIRECTORY: u16 = 34_853;
    pub(crate) const INTEROPERABILITY_DIRECTORY: u16 = 40_965;

    /// Places and lengths of pixel data, in strips and in tiles.
    pub(crate) const DATA: [(u16, u16); 2] = [
        (STRIP_OFFSETS, STRIP_BYTE_COUNTS),
        (TILE_OFFSETS, TILE_BYTE_COUNTS),
    ];
    /// The value of [`PHOTOMETRIC`] of samples that are places in a palette.
    pub(crate) const PALETTE: u64 = 3;
}
pub(crate) use known::*;

/// The most entries that a directory is read with. Real ones have a few dozen.
const MOST_ENTRIES: usize = 4096;

/// Bytes that begin with a TIFF header, in either order of bytes and of either width of offsets.
#[derive(Clone, Copy)]
pub(crate) struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
}

/// A line of a directory: what it is, the kind and count of its numbers, and where they stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) tag: u16,
    pub(crate) kind: u16,
    pub(crate) count: usize,
    /// Where the value begins: in the line itself if it is short.
    pub(crate) value_at: usize,
    /// Where the line begins.
    pub(crate) line_at: usize,
}

/// A directory, and where the next one stands: 0 if there is none.
pub(crate) struct Directory {
    pub(crate) entries: Vec<Entry>,
    /// Where the number of entries stands.
    pub(crate) at: usize,
    pub(crate) next: usize,
    /// Whether it has more entries than could be read.
    pub(crate) is_cut: bool,
}

impl Directory {
    pub(crate) fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }
}

/// How many bytes a number of a kind takes; kinds that do not exist take none.
const fn unit_bytes(kind: u16) -> usize {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 0,
    }
}

/// How many bytes a whole number of 16 or 32 bits takes, with or without a sign.
const fn whole_bytes(kind: u16) -> Option<usize> {
    match kind {
        3 | 4 | 8 | 9 => Some(unit_bytes(kind)),
        _ => None,
    }
}

impl Entry {
    pub(crate) const fn value_bytes(&self) -> usize {
        self.count.saturating_mul(unit_bytes(self.kind))
    }

    pub(crate) const fn value_range(&self) -> Range<usize> {
        self.value_at..self.value_at.saturating_add(self.value_bytes())
    }
}

impl<'a> Tiff<'a> {
    /// Reads the header, if there is one.
    pub(crate) fn open(bytes: &'a [u8]) -> Option<Self> {
        let (little, big) = match bytes.first_chunk::<4>()? {
            b"II*\0" => (true, false),
            b"MM\0*" => (false, false),
            b"II+\0" => (true, true),
            b"MM\0+" => (false, true),
            _ => return None,
        };
        Some(Self { bytes, little, big })
    }

    /// All bytes, of which some are read here.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) const fn is_little(&self) -> bool {
        self.little
    }

    pub(crate) const fn is_big(&self) -> bool {
        self.big
    }

    /// How many bytes a line of a directory takes.
    pub(crate) const fn line_bytes(&self) -> usize {
        if self.big { 20 } else { 12 }
    }

    /// How many bytes the number of entries takes.
    pub(crate) const fn count_bytes(&self) -> usize {
        if self.big { 8 } else { 2 }
    }

    /// Where the first directory stands.
    pub(crate) fn first(&self) -> Option<usize> {
        let (at, bytes) = if self.big { (8, 8) } else { (4, 4) };
        self.unsigned(at, bytes)
            .and_then(|offset| usize::try_from(offset).ok())
    }

    /// An unsigned number of 1, 2, 4 or 8 bytes.
    pub(crate) fn unsigned(&self, at: usize, bytes: usize) -> Option<u64> {
        let found = self.bytes.get(at..at.checked_add(bytes)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.little {
            found.iter().rev().fold(0, add)
        } else {
            found.iter().fold(0, add)
        })
    }

    fn place(&self, at: usize, bytes: usize) -> Option<usize> {
        usize::try_from(self.unsigned(at, bytes)?).ok()
    }

    /// The directory at an offset; entries that are cut off are left out.
    pub(crate) fn directory(&self, at: usize) -> Option<Directory> {
        let count = self.place(at, self.count_bytes())?;
        let first_line = at.checked_add(self.count_bytes())?;
        let lines = count.min(MOST_ENTRIES);
        let entries = (0..lines).map_while(|line| self.entry(first_line + line * self.line_bytes()));
        let entries: Vec<_> = entries.collect();
        let word = if self.big { 8 } else { 4 };
        let next = first_line.saturating_add(count.saturating_mul(self.line_bytes()));
        let next = self.place(next, word).unwrap_or(0);
        Some(Directory {
            is_cut: entries.len() < count,
            entries,
            at,
            next,
        })
    }

    fn entry(&self, line_at: usize) -> Option<Entry> {
        let word = if self.big { 8 } else { 4 };
        let tag = u16::try_from(self.unsigned(line_at, 2)?).ok()?;
        let kind = u16::try_from(self.unsigned(line_at + 2, 2)?).ok()?;
        let count = self.place(line_at + 4, word)?;
        let here = line_at + 4 + word;
        // The word itself must be there, whether it is a value or an offset.
        let offset = self.place(here, word)?;
        let inside = count.saturating_mul(unit_bytes(kind)) <= word;
        Some(Entry {
            tag,
            kind,
            count,
            value_at: if inside { here } else { offset },
            line_at,
        })
    }

    /// How the picture is held: 1 to 8. The specification asks for a short number; other programs heed long ones as well,
    /// and do not heed bytes.
    pub(crate) fn orientation(&self, directory: &Directory) -> Option<u8> {
        let entry = directory.entry(ORIENTATION).filter(|entry| entry.count > 0)?;
        let value = self.unsigned(entry.value_at, whole_bytes(entry.kind)?)?;
        u8::try_from(value).ok().filter(|value| (1..=8).contains(value))
    }

    /// One of an entry's whole numbers.
    pub(crate) fn number(&self, entry: &Entry, index: usize) -> Option<u64> {
        let bytes = match entry.kind {
            1 | 3 | 4 | 13 | 16 | 18 => unit_bytes(entry.kind),
            _ => return None,
        };
        if index >= entry.count {
            return None;
        }
        self.unsigned(entry.value_at.checked_add(index.checked_mul(bytes)?)?, bytes)
    }

    /// Writes an orientation in place of another one.
    #[cfg(feature = "image")]
    pub(crate) fn put_orientation(&self, entry: &Entry, orientation: u8, file: &mut [u8]) {
        if let Some(bytes) = whole_bytes(entry.kind)
            && let Some(value) = file.get_mut(entry.value_at..entry.value_at.saturating_add(bytes))
        {
            value.copy_from_slice(&self.bytes_of(orientation.into(), bytes));
        }
    }

    /// The lowest bytes of a number, in this file's order.
    #[cfg(feature = "image")]
    fn bytes_of(&self, number: u64, bytes: usize) -> Vec<u8> {
        let number = number.to_be_bytes();
        let mut number = number.get(8 - bytes.min(8)..).unwrap_or_default().to_vec();
        if self.little {
            number.reverse();
        }
        number
    }

    /// Writes another first directory behind a copy of this file: numbers by tag, and the bytes of one entry more. It
    /// has no successor.
    #[cfg(feature = "image")]
    pub(crate) fn append_directory(
        &self,
        file: &mut Vec<u8>,
        mut lines: Vec<(u16, Vec<u64>)>,
        bytes: Option<(u16, &[u8])>,
    ) {
        let word = if self.big { 8 } else { 4 };
        let as_numbers = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).collect();
        lines.extend(bytes.map(|(tag, bytes)| (tag, as_numbers(bytes))));
        lines.sort_unstable_by_key(|line| line.0);
        let mut directory = self.bytes_of(lines.len() as u64, self.count_bytes());
        for (tag, numbers) in lines {
            let most = numbers.iter().copied().max().unwrap_or(0);
            let kind = match (bytes, most) {
                (Some((of_bytes, _)), _) if of_bytes == tag => 7,
                (_, 0..=0xffff) => 3,
                (_, 0x1_0000..=0xffff_ffff) => 4,
                _ => 16,
            };
            let value = numbers
                .iter()
                .flat_map(|number| self.bytes_of(*number, unit_bytes(kind)));
            let mut value: Vec<u8> = value.collect();
            directory.extend(self.bytes_of(u64::from(tag), 2));
            directory.extend(self.bytes_of(u64::from(kind), 2));
            directory.extend(self.bytes_of(numbers.len() as u64, word));
            if value.len() <= word {
                value.resize(word, 0);
                directory.extend(value);
            } else {
                directory.extend(self.bytes_of(file.len() as u64, word));
                file.extend(value);
            }
        }
        directory.extend(self.bytes_of(0, word));
        let at = self.bytes_of(file.len() as u64, word);
        file.extend(directory);
        // Where the first directory stands: behind the magic, or behind the width of offsets.
        if let Some(place) = file.get_mut(word..word * 2) {
            place.copy_from_slice(&at);
        }
    }

    /// All of an entry's bytes.
    pub(crate) fn value(&self, entry: &Entry) -> Option<&'a [u8]> {
        self.bytes.get(entry.value_range())
    }

    /// An entry's text, up to its first zero.
    pub(crate) fn text(&self, entry: &Entry) -> Option<&'a str> {
        let bytes = self.value(entry)?.split(|byte| *byte == 0).next()?;
        core::str::from_utf8(bytes).ok().map(str::trim)
    }

    /// A fraction of two numbers, such as a part of a position.
    pub(crate) fn fraction(&self, entry: &Entry, index: usize) -> Option<f64> {
        if entry.kind != 5 || index >= entry.count {
            return None;
        }
        let at = entry.value_at.checked_add(index.checked_mul(8)?)?;
        let number = |at| self.unsigned(at, 4).and_then(|number| u32::try_from(number).ok());
        let (above, below) = (f64::from(number(at)?), f64::from(number(at + 4)?));
        (below != 0.0).then(|| above / below)
    }
}
