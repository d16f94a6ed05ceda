//! The entries of a TIFF's directories by what they are for.
//!
//! Everything in a TIFF is found through offsets, so nothing is moved: an entry that is not needed leaves its
//! directory, and zeros take the place of its value.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use super::exif::{Exif, kind_of, total_bytes};
use super::item::{Item, Kind};
use super::stripped::{StripError, Stripped};
use crate::tags::{self, Directory, Entry, Tiff};
use crate::upload::MediaType;

/// A file has at most so many directories; more are a loop or an attack.
const MOST_DIRECTORIES: usize = 1000;
/// An entry leads to at most so many directories below.
const MOST_BELOW: usize = 16;
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
    for (number, directory) in chain(&tiff)?.into_iter().enumerate() {
        if is_thumbnail(&tiff, number, &directory) {
            let bytes = pixel_ranges(&tiff, &directory).map(|range| range.len());
            let bytes = bytes.fold(0, usize::saturating_add);
            items.push(Item::new(
                Kind::Thumbnail,
                format!("directory {}", number + 1),
                bytes,
            ));
            continue;
        }
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
    let (kept, gone) = kept_and_gone(&tiff)?;
    let mut wiped = Vec::new();
    for directory in &kept {
        let removable = directory.entries.iter().filter(|entry| is_removable(entry));
        wiped.extend(removable.map(Entry::value_range));
    }
    for directory in &gone {
        wiped.push(lines_of(&tiff, directory));
        wiped.extend(directory.entries.iter().map(Entry::value_range));
        wiped.extend(pixel_ranges(&tiff, directory));
    }
    let needed = needed_ranges(&tiff, &kept);
    let mut stripped = file.to_vec();
    for range in merged(wiped) {
        wipe(&mut stripped, range, &needed);
    }
    for directory in &kept {
        rewrite(&tiff, directory, successor(directory, &gone), &mut stripped);
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
    check_pieces(tiff, directories.iter())?;
    Ok(directories)
}

/// The directories that stay, and those that go: thumbnails, and what removable entries lead to.
fn kept_and_gone(tiff: &Tiff<'_>) -> Result<(Vec<Directory>, Vec<Directory>), StripError> {
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for (number, directory) in chain(tiff)?.into_iter().enumerate() {
        if is_thumbnail(tiff, number, &directory) {
            gone.push(directory);
        } else {
            kept.push(directory);
        }
    }
    // A directory that leads to itself, or to one that stays, is met once.
    let all = kept.iter().chain(&gone);
    let mut met: BTreeSet<usize> = all.map(|directory| directory.at).collect();
    let mut next: Vec<usize> = kept.iter().flat_map(|directory| below(tiff, directory)).collect();
    next.extend(gone.iter().flat_map(|directory| below(tiff, directory)));
    while let Some(at) = next.pop() {
        if !met.insert(at) {
            continue;
        }
        if met.len() > MOST_DIRECTORIES {
            return Err(DAMAGED);
        }
        if let Some(directory) = tiff.directory(at) {
            next.extend(below(tiff, &directory));
            gone.push(directory);
        }
    }
    check_pieces(tiff, gone.iter())?;
    Ok((kept, gone))
}

/// Where the directories below a directory are: EXIF, positions, smaller copies.
fn below<'a>(tiff: &'a Tiff<'_>, directory: &'a Directory) -> impl Iterator<Item = usize> + 'a {
    let links = directory
        .entries
        .iter()
        .filter(|entry| BELOW.contains(&entry.tag) || entry.tag == tags::SUB_DIRECTORIES);
    links.flat_map(move |entry| {
        let place = move |index| usize::try_from(tiff.number(entry, index)?).ok();
        (0..entry.count.min(MOST_BELOW)).filter_map(place)
    })
}

/// Lists of strips and tiles take bytes of their own, so together they are no longer than the file; if they are, several
/// directories share one, and the work would have no bound.
fn check_pieces<'a>(
    tiff: &Tiff<'_>,
    directories: impl Iterator<Item = &'a Directory>,
) -> Result<(), StripError> {
    let pieces = directories.map(|directory| pixel_ranges(tiff, directory).count());
    let mut rest = tiff.bytes().len();
    for count in pieces {
        rest = rest.checked_sub(count).ok_or(DAMAGED)?;
    }
    Ok(())
}

/// Whether a directory behind the first one is a smaller copy of another one's picture (TIFF 6.0, §8,
/// `NewSubfileType` and `SubfileType`). It may show what was cropped away or painted over since.
fn is_thumbnail(tiff: &Tiff<'_>, number: usize, directory: &Directory) -> bool {
    let value = |tag| directory.entry(tag).and_then(|entry| tiff.number(entry, 0));
    number > 0 && (value(0x00fe).is_some_and(|bits| bits & 1 == 1) || value(0x00ff) == Some(2))
}

/// The directory that follows once the thumbnails between are gone.
fn successor(directory: &Directory, thumbnails: &[Directory]) -> usize {
    let mut next = directory.next;
    // Each thumbnail is passed once at most: a chain may lead back to where it was.
    for _ in thumbnails {
        let passed = thumbnails.iter().find(|thumbnail| thumbnail.at == next);
        next = passed.map_or(next, |thumbnail| thumbnail.next);
    }
    if thumbnails.iter().any(|thumbnail| thumbnail.at == next) {
        0
    } else {
        next
    }
}

/// Where the strips, tiles and JPEGs of a directory are.
fn pixel_ranges<'a>(tiff: &'a Tiff<'_>, directory: &'a Directory) -> impl Iterator<Item = Range<usize>> + 'a {
    let thumbnail = (tags::THUMBNAIL_OFFSET, tags::THUMBNAIL_BYTES);
    let lists = tags::DATA.into_iter().chain([thumbnail]);
    let lists =
        lists.filter_map(|(offsets, counts)| Some((directory.entry(offsets)?, directory.entry(counts)?)));
    lists.flat_map(move |(offsets, counts)| {
        // Bounded by the bytes that the list takes in the file.
        let count = offsets.count.min(tiff.value(offsets).map_or(0, <[u8]>::len));
        (0..count).filter_map(move |index| {
            let place = |entry| {
                tiff.number(entry, index)
                    .and_then(|number| usize::try_from(number).ok())
            };
            let (start, bytes) = (place(offsets)?, place(counts)?);
            Some(start..start.saturating_add(bytes))
        })
    })
}

fn below_bytes(tiff: &Tiff<'_>, entry: &Entry) -> usize {
    let at = tiff.number(entry, 0).and_then(|at| usize::try_from(at).ok());
    let directory = at.and_then(|at| tiff.directory(at));
    total_bytes(directory.iter().flat_map(|directory| directory.entries.iter()))
}

/// Where pixels, and the values that lead to them, stand: a false offset must not wipe them.
fn needed_ranges(tiff: &Tiff<'_>, directories: &[Directory]) -> Vec<Range<usize>> {
    // The header, of either width.
    let header = 0..16;
    let mut ranges = Vec::from([header]);
    for directory in directories {
        // With the offset of the next one, of either width.
        let lines = lines_of(tiff, directory);
        ranges.push(lines.start..lines.end + 8);
        let needed = directory.entries.iter().filter(|entry| !is_removable(entry));
        ranges.extend(needed.map(Entry::value_range));
        ranges.extend(pixel_ranges(tiff, directory));
    }
    merged(ranges)
}

/// Where a directory's number of entries and its entries stand.
fn lines_of(tiff: &Tiff<'_>, directory: &Directory) -> Range<usize> {
    let lines = directory.entries.len() * tiff.line_bytes() + tiff.count_bytes();
    directory.at..directory.at + lines
}

fn is_removable(entry: &Entry) -> bool {
    matches!(role(entry.tag), Purpose::Removable(_))
}

/// The ranges in order. Those that overlap become one, so that their ends rise as well and a place is found by bisection.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Writes zeros over a range, but for what is needed.
fn wipe(file: &mut [u8], range: Range<usize>, needed: &[Range<usize>]) {
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

/// Closes the gaps in a directory, and puts the offset of the next one behind the last entry.
fn rewrite(tiff: &Tiff<'_>, directory: &Directory, next: usize, file: &mut [u8]) {
    let line_bytes = tiff.line_bytes();
    let first_line = directory.at + tiff.count_bytes();
    let old_lines = directory.entries.len();
    let mut kept = 0;
    for entry in &directory.entries {
        if is_removable(entry) {
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
        (end, order(next, word)),
    ] {
        if let Some(field) = file.get_mut(at..at + number.len()) {
            field.copy_from_slice(&number);
        }
    }
}
