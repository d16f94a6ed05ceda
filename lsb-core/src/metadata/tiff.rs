//! The entries of a TIFF's directories by what they are for.
//!
//! Everything in a TIFF is found through offsets, so nothing is moved: an entry that is not needed leaves its
//! directory, and zeros take the place of its value.

use alloc::format;
use alloc::vec::Vec;

use super::exif::{Exif, kind_of, total_bytes};
use super::item::{Item, Kind};
use super::stripped::{StripError, Stripped};
use crate::tags::{self, Directory, Entry, Tiff};
use crate::upload::MediaType;

/// A file has at most so many directories; more are a loop or an attack.
const MOST_DIRECTORIES: usize = 1000;
const DAMAGED: StripError = StripError::Damaged {
    format: MediaType::Tiff,
};
/// Directories below a directory: EXIF, positions, interoperability.
const BELOW: [u16; 3] = [
    tags::EXIF_DIRECTORY,
    tags::GPS_DIRECTORY,
    tags::INTEROPERABILITY_DIRECTORY,
];

pub(super) fn list(file: &[u8]) -> Result<Vec<Item>, StripError> {
    let tiff = Tiff::open(file).ok_or(DAMAGED)?;
    let mut items = Exif::parse(file).ok_or(DAMAGED)?.items("TIFF");
    // What EXIF calls "other" is here what the pixels need; the entries say it better.
    items.retain(|item| !matches!(item.kind, Kind::Exif | Kind::Thumbnail));
    for directory in chain(&tiff)? {
        for entry in &directory.entries {
            let role = role(entry.tag);
            if role == Purpose::Picture
                || kind_of(entry.tag).is_some()
                || entry.tag == tags::GPS_DIRECTORY
                || entry.tag == tags::ORIENTATION
            {
                continue;
            }
            let (Purpose::Needed(kind) | Purpose::Removable(kind)) = role else {
                continue;
            };
            let bytes = if entry.tag == tags::EXIF_DIRECTORY {
                below_bytes(&tiff, entry)
            } else {
                entry.value_bytes()
            };
            items.push(Item::new(kind, format!("tag {}", entry.tag), bytes));
        }
    }
    Ok(items)
}

pub(super) fn strip(file: &[u8]) -> Result<Stripped, StripError> {
    let items = list(file)?;
    let tiff = Tiff::open(file).ok_or(DAMAGED)?;
    let mut stripped = file.to_vec();
    let directories = chain(&tiff)?;
    let needed = needed_ranges(&tiff, &directories);
    for directory in &directories {
        let removable = |entry: &&Entry| matches!(role(entry.tag), Purpose::Removable(_));
        for entry in directory.entries.iter().filter(removable) {
            if BELOW.contains(&entry.tag) || entry.tag == tags::SUB_DIRECTORIES {
                wipe_below(&tiff, entry, &needed, &mut stripped, 0);
            }
            wipe(&mut stripped, entry.value_range(), &needed);
        }
        rewrite(&tiff, directory, &mut stripped);
    }
    // Directories that overlap are changed together with one another, and nothing is known of what comes out.
    if list(&stripped)?.iter().any(|item| !item.kind.is_needed()) {
        return Err(DAMAGED);
    }
    let (kept, removed) = items.into_iter().partition(|item| item.kind.is_needed());
    Ok(Stripped {
        file: stripped,
        removed,
        kept,
    })
}

/// What an entry is for.
#[derive(PartialEq)]
enum Purpose {
    Picture,
    Needed(Kind),
    Removable(Kind),
}

/// TIFF 6.0, and its supplements: what a decoder needs is listed, and everything else goes.
const fn role(tag: u16) -> Purpose {
    match tag {
        tags::ORIENTATION => Purpose::Needed(Kind::Orientation),
        0x011a | 0x011b | 0x0128 => Purpose::Needed(Kind::Density),
        tags::PROFILE => Purpose::Needed(Kind::Profile),
        // The transfer function, white point, primaries, and reference of black and white.
        0x012d | 0x013e | 0x013f | 0x0214 => Purpose::Needed(Kind::Gamma),
        // From the kind of page to predictors, tiles, fax, inks and JPEG's tables.
        0x00fe..=0x010c
        | 0x0111..=0x0119
        | 0x011c
        | 0x0122..=0x0125
        | 0x0129
        | 0x013d
        | 0x0140..=0x0149
        | 0x014c..=0x015b
        | 0x0200..=0x0213
        | 0x828d
        | 0x828e
        | 0x80e3..=0x80e5 => Purpose::Picture,
        tags::XMP => Purpose::Removable(Kind::Xmp),
        0x83bb | 0x8649 => Purpose::Removable(Kind::Iptc),
        tags::GPS_DIRECTORY => Purpose::Removable(Kind::Location),
        tags::EXIF_DIRECTORY => Purpose::Removable(Kind::Exif),
        tags::SUB_DIRECTORIES => Purpose::Removable(Kind::Thumbnail),
        _ => match kind_of(tag) {
            Some(kind) => Purpose::Removable(kind),
            None => Purpose::Removable(Kind::Private),
        },
    }
}

fn chain(tiff: &Tiff<'_>) -> Result<Vec<Directory>, StripError> {
    let mut directories: Vec<Directory> = Vec::new();
    let mut at = tiff.first().ok_or(DAMAGED)?;
    while at != 0 && directories.len() < MOST_DIRECTORIES && directories.iter().all(|seen| seen.at != at) {
        let directory = tiff.directory(at).ok_or(DAMAGED)?;
        // What was not read cannot be rewritten.
        if directory.is_cut {
            return Err(DAMAGED);
        }
        at = directory.next;
        directories.push(directory);
    }
    Ok(directories)
}

fn below_bytes(tiff: &Tiff<'_>, entry: &Entry) -> usize {
    let at = tiff.number(entry, 0).and_then(|at| usize::try_from(at).ok());
    let directory = at.and_then(|at| tiff.directory(at));
    total_bytes(directory.iter().flat_map(|directory| directory.entries.iter()))
}

/// Where pixels, and the values that lead to them, stand: a false offset must not wipe them.
fn needed_ranges(tiff: &Tiff<'_>, directories: &[Directory]) -> Vec<core::ops::Range<usize>> {
    // The header, of either width.
    let header = 0..16;
    let mut ranges = Vec::from([header]);
    for directory in directories {
        let lines = directory.entries.len() * tiff.line_bytes() + tiff.count_bytes() + 8;
        ranges.push(directory.at..directory.at + lines);
        for entry in directory
            .entries
            .iter()
            .filter(|entry| !matches!(role(entry.tag), Purpose::Removable(_)))
        {
            ranges.push(entry.value_range());
        }
        for (offsets, counts) in tags::DATA {
            let (Some(offsets), Some(counts)) = (directory.entry(offsets), directory.entry(counts)) else {
                continue;
            };
            // Bounded by the bytes that the list takes in the file.
            for index in 0..offsets.count.min(tiff.value(offsets).map_or(0, <[u8]>::len)) {
                let place = |entry| {
                    tiff.number(entry, index)
                        .and_then(|number| usize::try_from(number).ok())
                };
                if let (Some(start), Some(bytes)) = (place(offsets), place(counts)) {
                    ranges.push(start..start.saturating_add(bytes));
                }
            }
        }
    }
    ranges.sort_unstable_by_key(|range| range.start);
    // Ranges that overlap become one, so that their ends rise as well and a place is found by bisection.
    let mut merged: Vec<core::ops::Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Writes zeros over a range, but for what is needed.
fn wipe(file: &mut [u8], range: core::ops::Range<usize>, needed: &[core::ops::Range<usize>]) {
    let end = range.end.min(file.len());
    let mut at = range.start;
    let mut index = needed.partition_point(|other| other.end <= at);
    while at < end {
        let next = needed.get(index).cloned().unwrap_or(end..end);
        if let Some(zeroed) = file.get_mut(at..next.start.clamp(at, end)) {
            zeroed.fill(0);
        }
        at = at.max(next.end);
        index += 1;
    }
}

/// Wipes the directories that an entry leads to, and theirs.
fn wipe_below(
    tiff: &Tiff<'_>,
    entry: &Entry,
    needed: &[core::ops::Range<usize>],
    file: &mut [u8],
    depth: u8,
) {
    // EXIF has two levels; a directory that leads to itself must end somewhere.
    if depth > 3 {
        return;
    }
    for index in 0..entry.count.min(16) {
        let at = tiff.number(entry, index).and_then(|at| usize::try_from(at).ok());
        let Some(directory) = at.and_then(|at| tiff.directory(at)) else {
            continue;
        };
        for entry in &directory.entries {
            if BELOW.contains(&entry.tag) || entry.tag == tags::SUB_DIRECTORIES {
                wipe_below(tiff, entry, needed, file, depth + 1);
            }
            wipe(file, entry.value_range(), needed);
        }
        let thumbnail = (tags::THUMBNAIL_OFFSET, tags::THUMBNAIL_BYTES);
        for (offsets, counts) in tags::DATA.into_iter().chain([thumbnail]) {
            if let (Some(offsets), Some(counts)) = (directory.entry(offsets), directory.entry(counts)) {
                for index in 0..offsets.count.min(MOST_DIRECTORIES) {
                    let place = |entry| {
                        tiff.number(entry, index)
                            .and_then(|number| usize::try_from(number).ok())
                    };
                    if let (Some(start), Some(bytes)) = (place(offsets), place(counts)) {
                        wipe(file, start..start.saturating_add(bytes), needed);
                    }
                }
            }
        }
        let lines = directory.entries.len() * tiff.line_bytes() + tiff.count_bytes();
        wipe(file, directory.at..directory.at + lines, needed);
    }
}

/// Closes the gaps in a directory, and moves the offset of the next one up behind the last entry.
fn rewrite(tiff: &Tiff<'_>, directory: &Directory, file: &mut [u8]) {
    let line_bytes = tiff.line_bytes();
    let first_line = directory.at + tiff.count_bytes();
    let old_lines = directory.entries.len();
    let mut kept = 0;
    for entry in &directory.entries {
        if matches!(role(entry.tag), Purpose::Removable(_)) {
            continue;
        }
        let to = first_line + kept * line_bytes;
        // A value that stands in the line itself moves with it.
        file.copy_within(entry.line_at..entry.line_at + line_bytes, to);
        kept += 1;
    }
    let word = if tiff.is_big() { 8 } else { 4 };
    let order = |number: usize, bytes: usize| {
        let number = (number as u64).to_be_bytes();
        let mut number = number.get(8 - bytes..).unwrap_or_default().to_vec();
        if tiff.is_little() {
            number.reverse();
        }
        number
    };
    let end = first_line + kept * line_bytes;
    let old_end = (first_line + old_lines * line_bytes + word).min(file.len());
    if let Some(rest) = file.get_mut(end..old_end) {
        rest.fill(0);
    }
    for (at, number) in [
        (directory.at, order(kept, tiff.count_bytes())),
        (end, order(directory.next, word)),
    ] {
        if let Some(field) = file.get_mut(at..at + number.len()) {
            field.copy_from_slice(&number);
        }
    }
}
