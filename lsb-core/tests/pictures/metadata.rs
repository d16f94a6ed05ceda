//! What is published says nothing that is not needed to show the picture right, unless that is asked for.

use crate::fixtures::jpeg::RawJpeg;
use crate::fixtures::round_trip::{check_sealed, labelled, raster};
use crate::fixtures::{CLUSTER, CREATED, Fixture, RawPng, contains, denied_picture, photo, png, raw_tiff};
use image::ExtendedColorType;
use lsb_core::label::{self, LABEL_BITS, LabelRequest, LabelledPicture};
use lsb_core::metadata::{self, Item, Kind};
use lsb_core::picture::{self, Keep};
use lsb_core::seal::{self, Shown};
use lsb_core::upload::{MediaType, inspect};
use lsb_core::{ErrorKind, Limits, bits::BitsPerSample};

/// EXIF with an orientation, a camera, a position of 48.5 N and 2.25 E, and a thumbnail.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"MM\0*\0\0\0\x08".to_vec();
    let line = |tag: u16, kind: u16, count: u32, value: u32| {
        [
            tag.to_be_bytes().as_slice(),
            &kind.to_be_bytes(),
            &count.to_be_bytes(),
            &value.to_be_bytes(),
        ]
        .concat()
    };
    // At 8: three lines, then the next directory at 50; 30 bytes of it; positions at 80.
    block.extend([0, 3]);
    block.extend(line(0x010f, 2, 4, u32::from_be_bytes(*b"Cam\0")));
    block.extend(line(0x0112, 3, 1, u32::from(orientation) << 16));
    block.extend(line(0x8825, 4, 1, 80));
    block.extend(50u32.to_be_bytes());
    block.extend([0, 2]);
    block.extend(line(0x0201, 4, 1, 182));
    block.extend(line(0x0202, 4, 1, 9));
    block.extend([0; 4]);
    block.extend([0, 4]);
    block.extend(line(1, 2, 2, u32::from_be_bytes(*b"N\0\0\0")));
    block.extend(line(2, 5, 3, 134));
    block.extend(line(3, 2, 2, u32::from_be_bytes(*b"E\0\0\0")));
    block.extend(line(4, 5, 3, 158));
    block.extend([0; 4]);
    for number in [48u32, 1, 30, 1, 0, 1, 2, 1, 15, 1, 0, 1] {
        block.extend(number.to_be_bytes());
    }
    assert_eq!(block.len(), 182);
    block.extend(b"thumbnail");
    block
}

/// 160 × 120 grey pixels among metadata of every kind, before and after the pixels.
fn talkative_png() -> Vec<u8> {
    let rows: Vec<u8> = (0..120).flat_map(|_| [vec![0], vec![90; 160]].concat()).collect();
    RawPng::new(160, 120, 8, 0, false)
        .chunk(b"gAMA", &45455u32.to_be_bytes())
        .chunk(b"pHYs", &[0, 0, 0, 1, 0, 0, 0, 2, 0])
        .chunk(b"iDOT", &[0, 0, 0, 2, 0, 0, 0, 0])
        .chunk(b"sPLT", b"colours of alice\0\x08")
        .chunk(b"prVt", b"private, safe to copy")
        .chunk(b"prVT", b"private, not safe to copy")
        .chunk(b"eXIf", &exif(6))
        .chunk(b"tEXt", b"parameters\0a prompt")
        .data(&rows)
        .chunk(b"tIME", &[7, 0xe8, 1, 2, 3, 4, 5])
        .chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>")
        .end()
}

fn labelled_with(photograph: &[u8], keep: Keep) -> LabelledPicture {
    let fixture = Fixture::new();
    let request = LabelRequest {
        photograph,
        denied_picture: &png(1, 1, ExtendedColorType::L8, &[128]),
        policy: &fixture.policy,
        cluster: CLUSTER,
        created: CREATED,
        owner: &fixture.owner,
        bits: LABEL_BITS,
        keep,
        limits: &Limits::DEFAULT,
    };
    label::protect(&request).unwrap()
}

#[test]
fn labels_and_covers_publish_only_what_shows_the_picture_right() {
    let file = talkative_png();
    let labelled = labelled(&file, &Limits::DEFAULT).unwrap();
    let fixture = Fixture::new();
    let denied = denied_picture();
    let small = png(2, 2, ExtendedColorType::L8, &[1; 4]);
    let mut request = fixture.request(&small, &small);
    request.shown = Shown::Cover;
    let sealed = seal::seal(&request).unwrap();
    let covered =
        picture::embed_in_cover(&sealed.envelope, &file, BitsPerSample::One, &Limits::DEFAULT).unwrap();
    for published in [&labelled.file, &covered] {
        for hidden in [
            b"iDOT", b"prVt", b"prVT", b"eXIf", b"tEXt", b"tIME", b"iTXt", b"Cam\0", b"thum", b"prom",
        ] {
            assert!(
                !contains(published, hidden),
                "{:?}",
                hidden.escape_ascii().to_string()
            );
        }
        assert!(contains(published, b"gAMA") && contains(published, b"pHYs"));
        // Held on its side, and published upright: pixels and their shape.
        let upright = raster(published, &Limits::DEFAULT);
        assert_eq!((upright.width(), upright.height()), (120, 160));
        assert!(contains(published, b"pHYs\0\0\0\x02\0\0\0\x01\0"));
        assert!(
            metadata::list(published)
                .unwrap()
                .iter()
                .all(|item| item.kind.is_needed())
        );
    }
    assert!(labelled.kept.is_empty());
    assert!(!contains(
        &picture::preview_of(&denied, &Limits::DEFAULT).unwrap(),
        b"tEXt"
    ));
}

#[test]
fn what_is_kept_on_request_is_named_and_unsafe_chunks_go_all_the_same() {
    let labelled = labelled_with(&talkative_png(), Keep::Everything);
    for kept in [b"prVt", b"eXIf", b"tEXt", b"tIME", b"iTXt"] {
        assert!(
            contains(&labelled.file, kept),
            "{:?}",
            kept.escape_ascii().to_string()
        );
    }
    assert!(!contains(&labelled.file, b"iDOT") && !contains(&labelled.file, b"prVT"));
    let kinds: Vec<Kind> = labelled.kept.iter().map(|item| item.kind).collect();
    for kind in [
        Kind::Location,
        Kind::Thumbnail,
        Kind::Camera,
        Kind::Text,
        Kind::Time,
        Kind::Xmp,
        Kind::Private,
    ] {
        assert!(kinds.contains(&kind), "{kind}");
    }
    // The orientation was carried out, so the EXIF that is kept must not ask for it again.
    let again = raster(&labelled.file, &Limits::DEFAULT);
    assert_eq!((again.width(), again.height()), (120, 160));

    let jpeg = with_segments();
    let labelled = labelled_with(&jpeg, Keep::Everything);
    assert!(contains(&labelled.file, b"eXIf"));
    assert!(labelled.kept.iter().any(|item| item.kind == Kind::Location));
    assert_eq!(raster(&labelled.file, &Limits::DEFAULT).width(), 120);
    assert!(!contains(&labelled_with(&jpeg, Keep::Shown).file, b"Cam\0"));
}

/// A JPEG with EXIF, XMP, a comment, bytes between its segments and bytes behind its end.
// Pixels that were turned upright must not be turned again by whoever reads the metadata that was kept.
#[test]
fn an_orientation_of_any_kind_of_number_is_carried_out_once() {
    let rows: Vec<u8> = (0..120).flat_map(|_| [vec![0], vec![90; 160]].concat()).collect();
    for (kind, value) in [
        (3u16, [0, 6, 0, 0]),
        (4, [0, 0, 0, 6]),
        (8, [0, 6, 0, 0]),
        (9, [0, 0, 0, 6]),
    ] {
        // The entry is there twice, as some programs leave it.
        let line = [&[1, 0x12][..], &kind.to_be_bytes(), &[0, 0, 0, 1], &value].concat();
        let block = [&b"MM\0*\0\0\0\x08\0\x02"[..], &line, &line, &[0; 4]].concat();
        let file = RawPng::new(160, 120, 8, 0, false)
            .chunk(b"eXIf", &block)
            .data(&rows)
            .end();
        let labelled = labelled_with(&file, Keep::Everything).file;
        let upright = raster(&labelled, &Limits::DEFAULT);
        assert_eq!((upright.width(), upright.height()), (120, 160), "kind {kind}");
        assert!(contains(&labelled, b"eXIf"));
        assert!(!contains(&labelled, &line), "kind {kind}");
    }
}

fn with_segments() -> Vec<u8> {
    let file = RawJpeg::new(160, 120, 1).noise(4).end();
    let segment = |marker: u8, content: &[u8]| {
        let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
        [&[0xff, marker], length.as_slice(), content].concat()
    };
    [
        &file[..2],
        &segment(0xe1, &[b"Exif\0\0".as_slice(), &exif(6)].concat()),
        &segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        &segment(0xfe, b"a comment"),
        &file[2..],
        b"a moving picture",
    ]
    .concat()
}

#[test]
fn a_file_is_stripped_without_touching_its_pixels() {
    let tiff = raw_tiff(
        &[
            (256, 10),
            (257, 10),
            (258, 8),
            (259, 1),
            (262, 1),
            (271, u32::from_be_bytes(*b"Cam\0")),
            (274, 3),
            (278, 10),
        ],
        &[77; 100],
    );
    for (file, orientation) in [(talkative_png(), true), (with_segments(), true), (tiff, true)] {
        let before = metadata::list(&file).unwrap();
        assert!(before.iter().any(|item| item.kind == Kind::Camera), "{before:?}");
        let stripped = metadata::strip(&file).unwrap();
        let left = metadata::list(&stripped.file).unwrap();
        assert!(left.iter().all(|item| item.kind.is_needed()), "{left:?}");
        assert_eq!(
            left.iter().any(|item| item.kind == Kind::Orientation),
            orientation
        );
        for said in [b"Cam\0".as_slice(), b"thumbnail", b"colours of alice"] {
            assert!(!contains(&stripped.file, said), "{}", said.escape_ascii());
        }
        assert_eq!(
            stripped.removed.len() + stripped.kept.len(),
            before.len(),
            "everything is either removed or kept"
        );
        assert_eq!(
            raster(&stripped.file, &Limits::DEFAULT),
            raster(&file, &Limits::DEFAULT)
        );
        // What is stripped already stays as it is.
        assert_eq!(metadata::strip(&stripped.file).unwrap().file, stripped.file);
    }
}

/// Appends a page to a TIFF: the lines of its directory, of one number each, and its pixels.
fn with_page(mut file: Vec<u8>, lines: &[(u16, u32)], pixels: &[u8]) -> Vec<u8> {
    let number = |file: &[u8], at: usize| u32::from_be_bytes(*file[at..].first_chunk().unwrap()) as usize;
    let mut next_at = 4;
    while number(&file, next_at) != 0 {
        let at = number(&file, next_at);
        let count = u16::from_be_bytes([file[at], file[at + 1]]);
        next_at = at + 2 + usize::from(count) * 12;
    }
    let pixels_at = u32::try_from(file.len()).unwrap();
    file.extend(pixels);
    let at = u32::try_from(file.len()).unwrap();
    file[next_at..next_at + 4].copy_from_slice(&at.to_be_bytes());
    let mut lines = lines.to_vec();
    lines.extend([(273, pixels_at), (279, u32::try_from(pixels.len()).unwrap())]);
    lines.sort_unstable();
    file.extend(u16::try_from(lines.len()).unwrap().to_be_bytes());
    for (tag, value) in lines {
        file.extend([&tag.to_be_bytes()[..], &[0, 4, 0, 0, 0, 1], &value.to_be_bytes()].concat());
    }
    file.extend([0; 4]);
    file
}

#[test]
fn a_tiff_loses_its_thumbnails_and_keeps_its_other_pages() {
    let page = [(256, 8), (257, 2), (258, 8), (262, 1), (277, 1)];
    let reduced = |tag: u16, value: u32| [&[(tag, value)][..], &page].concat();
    let mut file = raw_tiff(&page, b"the first picture");
    file = with_page(file, &reduced(254, 1), b"a thumbnail     ");
    file = with_page(file, &reduced(254, 2), b"the second page ");
    file = with_page(file, &reduced(255, 2), b"another small   ");
    check_stripped(
        &file,
        &[b"thumbnail", b"another small"],
        &[],
        &[Kind::Thumbnail, Kind::Thumbnail],
    );
    let stripped = metadata::strip(&file).unwrap().file;
    assert!(contains(&stripped, b"the second page"));
    // Two directories are left, the second of which has no successor.
    let again = with_page(stripped.clone(), &page, b"the third page  ");
    let places = |file: &[u8]| file.windows(4).filter(|line| line == &[1, 0x11, 0, 4]).count();
    assert_eq!((places(&stripped), places(&again)), (2, 3));
}

// Otherwise a megabyte of directories would be as much work as a terabyte of strips.
#[test]
fn directories_that_share_a_list_of_strips_are_damaged() {
    let page = [(256, 8), (257, 2), (258, 8), (262, 1), (277, 1)];
    let mut file = raw_tiff(&page, &[0; 1 << 12]);
    for _ in 0..9 {
        file = with_page(file, &page, &[7; 4]);
        // Its list becomes that of a thousand strips at the first one's pixels.
        let directory = file.len() - 4 - 7 * 12;
        for line in (directory..file.len() - 4).step_by(12) {
            if let [1, 0x11, ..] | [1, 0x17, ..] = file[line..] {
                file[line + 4..line + 8].copy_from_slice(&1000u32.to_be_bytes());
                file[line + 8..line + 12].copy_from_slice(&100u32.to_be_bytes());
            }
        }
    }
    for error in [
        metadata::list(&file).unwrap_err(),
        metadata::strip(&file).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Damaged);
    }
}

#[test]
fn a_position_is_told_in_degrees() {
    let items = metadata::list(&talkative_png()).unwrap();
    let position = items.iter().find(|item| item.kind == Kind::Location).unwrap();
    assert_eq!(position.text.as_deref(), Some("48.5000 N 2.2500 E"));
    let text = items.iter().find(|item| item.kind == Kind::Text).unwrap();
    assert_eq!(
        (text.place.as_str(), text.text.as_deref()),
        ("tEXt", Some("parameters"))
    );
    for name in ["chelsea.png", "rocket.jpg", "grace_hopper.jpg"] {
        metadata::strip(&photo(name)).unwrap();
    }
    assert_eq!(
        metadata::list(b"a text").unwrap_err().kind(),
        ErrorKind::NotAPicture
    );
}

#[test]
fn a_chunk_before_the_header_is_named_if_pixels_cannot_be_shown_without_it() {
    let rows = [0, 90];
    let header = RawPng::new(1, 1, 8, 0, false).chunk(b"CgBI", &[0x50, 0, 0x20, 2]);
    let file = header.data(&rows).end();
    // Apple's chunk belongs before the header.
    let (signature, rest) = file.split_at(8);
    let (header, rest) = rest.split_at(25);
    let (apple, rest) = rest.split_at(16);
    let file = [signature, apple, header, rest].concat();
    check_sealed(&file, MediaType::Png);
    for shown in [
        picture::decode(&file, u64::MAX, &Limits::DEFAULT).unwrap_err(),
        picture::preview_of(&file, &Limits::DEFAULT).unwrap_err(),
    ] {
        assert_eq!(shown.kind(), ErrorKind::Unsupported);
        assert!(shown.to_string().contains("CgBI"), "{shown}");
    }
}

#[test]
fn a_critical_chunk_that_nobody_knows_is_named() {
    let file = RawPng::new(1, 1, 8, 0, false)
        .chunk(b"NEWc", b"?")
        .data(&[0, 1])
        .end();
    let error = picture::decode(&file, u64::MAX, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("NEWc") && error.to_string().contains("sealed"),
        "{error}"
    );
    // Stored as it is, it is whole.
    inspect(&file, &Limits::DEFAULT).unwrap();
}

/// Takes everything out that can be, and looks at what is left: the same pixels, and nothing that was said.
fn check_stripped(file: &[u8], said: &[&[u8]], needed: &[Kind], unneeded: &[Kind]) {
    let kinds = |items: &[Item]| items.iter().map(|item| item.kind).collect::<Vec<_>>();
    for what in said {
        assert!(contains(file, what));
    }
    let stripped = metadata::strip(file).unwrap();
    assert_eq!(kinds(&stripped.kept), needed);
    assert_eq!(kinds(&stripped.removed), unneeded);
    for what in said {
        assert!(!contains(&stripped.file, what), "{}", what.escape_ascii());
    }
    assert_eq!(
        raster(&stripped.file, &Limits::DEFAULT),
        raster(file, &Limits::DEFAULT)
    );
    let left = metadata::list(&stripped.file).unwrap();
    assert!(left.iter().all(|item| item.kind.is_needed()), "{left:?}");
    inspect(&stripped.file, &Limits::DEFAULT).unwrap();
    assert_eq!(metadata::strip(&stripped.file).unwrap().file, stripped.file);
}

#[test]
fn a_webp_is_stripped_and_its_header_says_so() {
    let picture = image::GrayImage::from_fn(24, 8, |x, y| image::Luma([(x * 9 + y) as u8]));
    let mut still = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageLuma8(picture)
        .write_to(&mut still, image::ImageFormat::WebP)
        .unwrap();
    let still = still.into_inner();
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        let padding = vec![0; content.len() % 2];
        [kind.as_slice(), &length, content, &padding].concat()
    };
    // Profile, EXIF and XMP are promised.
    let body = [
        b"WEBP".as_slice(),
        &chunk(b"VP8X", &[0x2c, 0, 0, 0, 23, 0, 0, 7, 0, 0]),
        &chunk(b"ICCP", b"a profile"),
        &still[12..],
        &chunk(b"EXIF", &exif(6)),
        &chunk(b"XMP ", b"<x>somebody</x>"),
        &chunk(b"prvt", b"something private"),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    let file = [b"RIFF".as_slice(), &length, &body, b"a moving picture"].concat();
    check_stripped(
        &file,
        &[b"Cam\0", b"somebody", b"private", b"a moving picture"],
        &[Kind::Profile, Kind::Orientation],
        &[
            Kind::Location,
            Kind::Thumbnail,
            Kind::Camera,
            Kind::Xmp,
            Kind::Private,
            Kind::Trailer,
        ],
    );
    let stripped = metadata::strip(&file).unwrap().file;
    assert_eq!(stripped[20], 0x28, "profile and EXIF, which has the orientation");
}

#[test]
fn a_gif_is_stripped_and_still_moves() {
    let mut file = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut file);
    encoder.set_repeat(image::codecs::gif::Repeat::Infinite).unwrap();
    let picture = image::RgbaImage::from_pixel(9, 7, image::Rgba([200, 10, 10, 255]));
    encoder.encode_frame(image::Frame::new(picture)).unwrap();
    drop(encoder);
    assert_eq!(file.pop(), Some(0x3b));
    file.extend(b"\x21\xfe\x0aby nobody \0");
    file.extend(b"\x21\xff\x0bXMP DataXMP\x08<x>me</x\0");
    file.extend(b"\x21\xff\x0bPRIVATE 1.0\x06secret\0");
    file.extend(b"\x3ba moving picture");
    check_stripped(
        &file,
        &[b"by nobody", b"<x>me", b"secret", b"a moving picture"],
        &[Kind::Animation],
        &[Kind::Text, Kind::Xmp, Kind::Private, Kind::Trailer],
    );
}

#[test]
fn a_bmp_is_stripped_of_what_stands_behind_it() {
    let picture = image::RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8, y as u8, 9]));
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, image::ImageFormat::Bmp).unwrap();
    let whole = file.into_inner();
    let file = [whole.as_slice(), b"a moving picture"].concat();
    check_stripped(&file, &[b"a moving picture"], &[], &[Kind::Trailer]);
    assert_eq!(metadata::strip(&file).unwrap().file, whole);
}

/// What is behind the last whole part of a file that is cut off may be pixels, and stays.
#[test]
fn stripping_a_file_without_its_end_keeps_every_pixel() {
    let jpeg = with_segments();
    let end = jpeg.windows(2).position(|marker| marker == [0xff, 0xd9]).unwrap();
    let png = talkative_png();
    for cut in [&jpeg[..end], &png[..png.len() - 12], &png[..png.len() - 5]] {
        let stripped = metadata::strip(cut).unwrap();
        assert_eq!(
            raster(&stripped.file, &Limits::DEFAULT),
            raster(cut, &Limits::DEFAULT)
        );
        assert!(!contains(&stripped.file, b"Cam\0"));
    }
}

/// Two entries that claim so many bytes that their sum is beyond all numbers.
#[test]
fn false_counts_are_listed_and_stripped_without_a_panic() {
    let mut file = b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0".to_vec();
    for (tag, kind, count) in [
        (256u16, 3u16, 1u64),
        (257, 3, 1),
        (50_000, 1, u64::MAX),
        (50_001, 1, u64::MAX),
    ] {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(1u64.to_le_bytes());
    }
    file.extend([0; 8]);
    metadata::list(&file).unwrap();
    let stripped = metadata::strip(&file).unwrap();
    assert!(metadata::list(&stripped.file).unwrap().is_empty());
}

/// Of pixels that are cut off, what there is stays: it may be all that is left of them.
#[test]
fn stripping_a_cut_file_keeps_what_there_is_of_its_pixels() {
    let picture = image::DynamicImage::ImageRgb8(image::RgbImage::from_fn(64, 48, |x, y| {
        image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8])
    }));
    let encoded = |format| {
        let mut file = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        file.into_inner()
    };
    use image::ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    for format in [Png, Jpeg, WebP, Gif, Bmp] {
        let whole = encoded(format);
        let cut = &whole[..whole.len() * 3 / 4];
        let stripped = metadata::strip(cut).unwrap();
        assert!(stripped.file.ends_with(&cut[cut.len() - 100..]), "{format:?}");
    }
}
