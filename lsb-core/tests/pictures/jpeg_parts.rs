//! JPEGs of which a part is missing or damaged: refused where decoders would show grey, and accepted with everything
//! beside the pixels that others pass over.

use core::ops::Range;

use crate::fixtures::jpeg::RawJpeg;
use crate::fixtures::round_trip::{check_sealed, raster};
use crate::fixtures::{noise, photo};
use lsb_core::upload::{MediaType, Unusual, inspect, inspect_stored};
use lsb_core::{ErrorKind, Limits, picture};

/// 10 intervals of five blocks.
fn with_intervals() -> Vec<u8> {
    RawJpeg::new(80, 40, 1).noise(3).restart(5).end()
}

/// Where each interval lies, without its marker.
fn intervals(file: &[u8]) -> Vec<Range<usize>> {
    let scan = position(file, &[0xff, 0xda]);
    // The marker, its length, one component, and the coefficients.
    let data = scan + 2 + 8;
    let mut start = data;
    let mut found = Vec::new();
    for at in data..file.len() - 1 {
        if let [0xff, 0xd0..=0xd7 | 0xd9] = file[at..at + 2] {
            found.push(start..at);
            start = at + 2;
        }
    }
    found
}

fn position(file: &[u8], what: &[u8]) -> usize {
    file.windows(what.len())
        .position(|window| window == what)
        .unwrap()
}

fn check_refused(file: &[u8], what: &str) {
    match picture::decode(file, u64::MAX, &Limits::DEFAULT) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "{what}: {error}"),
        Ok(_) => panic!("accepted: {what}"),
    }
    picture::preview_of(file, &Limits::DEFAULT).unwrap_err();
    // Stored as it is, it is accepted.
    inspect_stored(file, &Limits::DEFAULT).unwrap();
}

fn check_same(file: &[u8], whole: &[u8], unusual: Option<Unusual>) {
    assert_eq!(raster(file, &Limits::DEFAULT), raster(whole, &Limits::DEFAULT));
    assert_eq!(inspect(file, &Limits::DEFAULT).unwrap().unusual, unusual);
    check_sealed(file, MediaType::Jpeg);
}

#[test]
fn every_interval_must_be_there_and_whole() {
    let whole = with_intervals();
    let found = intervals(&whole);
    assert_eq!(found.len(), 10);
    check_same(&whole, &whole, None);
    for (number, interval) in found.iter().enumerate() {
        let with = |range: Range<usize>, content: &[u8]| {
            [&whole[..range.start], content, &whole[range.end..]].concat()
        };
        check_refused(&with(interval.clone(), &[]), "an interval without data");
        let tail = interval.end - 2..interval.end;
        check_refused(&with(tail, &[]), "two bytes are missing");
        check_refused(
            &with(interval.start..interval.start, &[0x5a; 9]),
            "bytes too many",
        );
        if number + 1 < found.len() {
            check_refused(&with(interval.clone(), &vec![0; interval.len()]), "zeros");
            check_refused(
                &with(interval.start..interval.end + 2, &[]),
                "no interval, no marker",
            );
            check_refused(&with(interval.end..interval.end + 2, &[]), "no marker");
        }
    }
    let swapped = [
        &whole[..found[2].start],
        &whole[found[3].start..found[3].end + 2],
        &whole[found[2].start..found[2].end + 2],
        &whole[found[4].start..],
    ]
    .concat();
    check_refused(&swapped, "in another order");
}

/// Holes of a hundred bytes in photographs, baseline and progressive. Codes that went astray find their way again, and
/// now and then as many blocks come out as there should be: that cannot be told from another picture.
#[test]
fn a_hole_in_a_scan_is_found() {
    let mut missed = Vec::new();
    for name in [
        "rocket.jpg",
        "grace_hopper.jpg",
        "formats/progressive.jpg",
        "formats/grey.jpg",
        "formats/cmyk.jpg",
    ] {
        let whole = photo(name);
        let start = position(&whole, &[0xff, 0xda]) + 16;
        for step in 0..40 {
            let mut file = whole.clone();
            let at = start + step * (file.len() - start - 120) / 40;
            file.drain(at..at + 100);
            match picture::decode(&file, u64::MAX, &Limits::DEFAULT) {
                Ok(_) => missed.push((name, at)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "{name} at {at}: {error}"),
            }
        }
    }
    assert!(missed.len() <= 8, "of 200 holes, not found: {missed:?}");
}

#[test]
fn a_scan_that_would_finish_the_picture_is_missed() {
    let whole = photo("formats/progressive.jpg");
    let scans: Vec<usize> = (0..whole.len() - 1)
        .filter(|at| whole[*at..*at + 2] == [0xff, 0xda])
        .collect();
    assert!(scans.len() > 4);
    // Without its last scan, whether there is an end marker or none.
    let last = *scans.last().unwrap();
    check_refused(&[&whole[..last], &[0xff, 0xd9]].concat(), "no last scan");
    check_refused(&whole[..last], "no last scan and no end");
}

/// A scan of a few bytes can keep a decoder busy with all blocks.
#[test]
fn scans_without_end_are_refused() {
    let whole = photo("formats/progressive.jpg");
    let first = position(&whole, &[0xff, 0xda]);
    let marker = |pair: &[u8]| pair[0] == 0xff && pair[1] != 0;
    let length = 2 + whole[first + 2..].windows(2).position(marker).unwrap();
    let scan = &whole[first..first + length];
    let with = |count: usize| [&whole[..first], &scan.repeat(count), &whole[first..]].concat();
    check_same(&with(3), &whole, None);
    let error = picture::decode(&with(1000), u64::MAX, &Limits::DEFAULT).unwrap_err();
    assert!(error.to_string().contains("more scans"), "{error}");
}

#[test]
fn padding_and_missing_ends_are_accepted() {
    let whole = with_intervals();
    let last = intervals(&whole).pop().unwrap();
    check_same(&whole[..last.end], &whole, Some(Unusual::EndMissing));
    check_same(&whole[..last.end + 1], &whole, Some(Unusual::EndMissing));
    for padding in [[0u8; 5].as_slice(), &[0xff; 4]] {
        let padded = [&whole[..last.end], padding, &whole[last.end..]].concat();
        check_same(&padded, &whole, None);
    }
    let behind = [whole.as_slice(), &noise(200, 9)].concat();
    check_same(&behind, &whole, None);
}

#[test]
fn segments_that_say_nothing_are_passed_over() {
    let whole = RawJpeg::new(64, 48, 3).noise(5).adobe(0).end();
    let frame = position(&whole, &[0xff, 0xc0]);
    let with = |content: &[u8]| [&whole[..frame], content, &whole[frame..]].concat();
    for content in [
        // Adobe's marker without what it should say.
        [0xff, 0xee, 0, 7, b'A', b'd', b'o', b'b', b'e'].as_slice(),
        // An application's marker that is empty, a second start, and bytes that belong to nothing.
        &[0xff, 0xe1, 0, 2],
        &[0xff, 0xd8],
        &[0, 0, 7],
        // Any number of FF may stand before a marker.
        &[0xff, 0xff, 0xff],
    ] {
        check_same(&with(content), &whole, None);
    }
}

#[test]
fn the_number_of_lines_may_follow_the_scan() {
    let whole = RawJpeg::new(40, 24, 1).noise(8).end();
    let frame = position(&whole, &[0xff, 0xc0]);
    let mut file = whole.clone();
    file[frame + 5..frame + 7].copy_from_slice(&[0, 0]);
    let without = file.clone();
    let end = file.len() - 2;
    file.splice(end..end, [0xff, 0xdc, 0, 4, 0, 24]);
    assert_eq!(inspect(&file, &Limits::DEFAULT).unwrap().size.height, 24);
    check_same(&file, &whole, None);
    let error = inspect(&without, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[test]
fn a_jpeg_in_a_tiff_must_be_whole_as_well() {
    for name in ["jpeg.tif", "jpeg-L.tif"] {
        let path = format!("{}/tests/pillow/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut file = std::fs::read(path).unwrap();
        picture::decode(&file, u64::MAX, &Limits::DEFAULT).unwrap();
        let data = position(&file, &[0xff, 0xda]) + 100;
        file[data..data + 100].fill(0);
        check_refused(&file, name);
    }
}
