//! A preview says nothing of its colours, so it shows those of the original as sRGB, whatever the original says of them.

use crate::fixtures::jpeg::RawJpeg;
use crate::fixtures::round_trip::{eight_bits, raster};
use crate::fixtures::{RawPng, contains};
use lsb_core::{Limits, picture};

/// The primaries of sRGB as a profile has them, adapted to its white, in 65,536ths (ICC.1:2022, annex E; IEC 61966-2-1).
const RED: [i32; 3] = [28_580, 14_583, 912];
const GREEN: [i32; 3] = [25_240, 46_981, 6_362];
const BLUE: [i32; 3] = [9_377, 3_972, 46_790];
const WHITE: [i32; 3] = [63_190, 65_536, 54_061];

fn xyz(values: [i32; 3]) -> Vec<u8> {
    let mut tag = b"XYZ \0\0\0\0".to_vec();
    tag.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    tag
}

/// A curve without a point: samples are light.
fn straight() -> Vec<u8> {
    b"curv\0\0\0\0\0\0\0\0".to_vec()
}

/// A profile of the least tags that there may be (ICC.1:2022, §8.3).
fn profile(space: &[u8; 4], tags: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut header = vec![0; 128];
    header[8] = 4;
    header[12..24].copy_from_slice(&[b"mntr".as_slice(), space, b"XYZ "].concat());
    header[36..40].copy_from_slice(b"acsp");
    header[68..80].copy_from_slice(&[0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d]);
    let mut table = u32::try_from(tags.len()).unwrap().to_be_bytes().to_vec();
    let mut at = 128 + 4 + tags.len() * 12;
    let mut data = Vec::new();
    for (name, content) in tags {
        table.extend_from_slice(name.as_slice());
        table.extend(u32::try_from(at).unwrap().to_be_bytes());
        table.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        data.extend(content);
        at += content.len();
    }
    let mut whole = [header, table, data].concat();
    let length = u32::try_from(whole.len()).unwrap();
    whole[..4].copy_from_slice(&length.to_be_bytes());
    whole
}

fn rgb_profile(red: [i32; 3], green: [i32; 3], blue: [i32; 3]) -> Vec<u8> {
    profile(
        b"RGB ",
        &[
            (b"wtpt", xyz(WHITE)),
            (b"rXYZ", xyz(red)),
            (b"gXYZ", xyz(green)),
            (b"bXYZ", xyz(blue)),
            (b"rTRC", straight()),
            (b"gTRC", straight()),
            (b"bTRC", straight()),
        ],
    )
}

fn grey_profile() -> Vec<u8> {
    profile(b"GRAY", &[(b"wtpt", xyz(WHITE)), (b"kTRC", straight())])
}

/// A PNG of 80 × 80 pixels of one colour, with chunks before them.
fn png(color: &[u8], chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let color_type = if color.len() == 1 { 0 } else { 2 };
    let mut file = RawPng::new(80, 80, 8, color_type, false);
    for (kind, content) in chunks {
        file = file.chunk(kind, content);
    }
    let row = [[0].as_slice(), &color.repeat(80)].concat();
    file.data(&row.repeat(80)).end()
}

/// The content of an `iCCP` chunk, with the profile in a stored block.
fn packed(profile: &[u8]) -> Vec<u8> {
    let data = RawPng::new(1, 1, 8, 0, false).data(profile).end();
    let at = data.windows(4).position(|window| window == b"IDAT").unwrap();
    let length = usize::from(u16::from_be_bytes([data[at - 2], data[at - 1]]));
    [b"a name\0\0".as_slice(), &data[at + 4..at + 4 + length]].concat()
}

/// The colour that all of a preview has.
fn shown(file: &[u8]) -> [u8; 3] {
    let preview = picture::preview_of(file, &Limits::DEFAULT).unwrap();
    assert!(!contains(&preview, b"iCCP") && !contains(&preview, b"gAMA"));
    let preview = raster(&preview, &Limits::DEFAULT);
    let pixels = eight_bits(&preview).as_chunks::<3>().0;
    assert!(pixels.iter().all(|pixel| *pixel == pixels[0]));
    pixels[0]
}

fn check_close(found: [u8; 3], expected: [u8; 3], what: &str) {
    let close = found
        .iter()
        .zip(expected)
        .all(|(found, expected)| found.abs_diff(expected) <= 1);
    assert!(close, "{what}: {found:?}, and not {expected:?}");
}

#[test]
fn a_profile_is_carried_out() {
    let usual = rgb_profile(RED, GREEN, BLUE);
    // 55 parts of light in 255 are shown by a sample of 128 (IEC 61966-2-1).
    let file = png(&[55, 0, 255], &[(b"iCCP", packed(&usual))]);
    check_close(shown(&file), [128, 0, 255], "samples are light");
    let swapped = rgb_profile(GREEN, RED, BLUE);
    let file = png(&[255, 0, 0], &[(b"iCCP", packed(&swapped))]);
    check_close(shown(&file), [0, 255, 0], "what is called red is green");
    let file = png(&[55], &[(b"iCCP", packed(&grey_profile()))]);
    check_close(shown(&file), [128; 3], "grey");
    // A profile comes before gamma, and code points before a profile (linear, with the primaries of sRGB).
    let gamma = (b"gAMA", 45_455u32.to_be_bytes().to_vec());
    let both = [gamma.clone(), (b"iCCP", packed(&usual))];
    check_close(shown(&png(&[55, 55, 55], &both)), [128; 3], "beside gamma");
    let points = [(b"cICP", vec![1, 8, 0, 1]), (b"iCCP", packed(&swapped))];
    check_close(shown(&png(&[55, 0, 0], &points)), [128, 0, 0], "code points");
    let linear = (b"gAMA", 100_000u32.to_be_bytes().to_vec());
    assert_eq!(shown(&png(&[55, 55, 55], &[linear])), [128; 3]);
}

#[test]
fn a_profile_in_a_jpeg_is_carried_out() {
    let file = RawJpeg::new(80, 80, 1).flat(&[55]).profile(&grey_profile()).end();
    check_close(shown(&file), [128; 3], "grey");
}

#[test]
fn a_profile_that_does_not_fit_changes_nothing() {
    let usual = rgb_profile(RED, GREEN, BLUE);
    for (color, profile) in [
        ([200].as_slice(), usual.clone()),
        (&[200, 200, 200], grey_profile()),
        (&[200, 200, 200], b"no profile at all".to_vec()),
        (&[200, 200, 200], usual[..200].to_vec()),
        (&[200, 200, 200], vec![0; 60_000]),
    ] {
        let file = png(color, &[(b"iCCP", packed(&profile))]);
        assert_eq!(shown(&file), [200; 3]);
    }
    let unreadable = png(
        &[200, 200, 200],
        &[(b"iCCP", b"bomb\0\0\x78\xda\xff\xff".to_vec())],
    );
    assert_eq!(shown(&unreadable), [200; 3]);
    // How bright a screen can be is not said by a preview.
    let bright = png(&[200, 200, 200], &[(b"cICP", vec![9, 16, 0, 1])]);
    assert_eq!(shown(&bright), [200; 3]);
}
