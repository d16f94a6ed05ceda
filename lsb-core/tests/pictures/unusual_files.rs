//! Files that other programs open and show: accepted, and shown as those programs show them.

use crate::fixtures::jpeg::RawJpeg;
use crate::fixtures::round_trip::{check_sealed, eight_bits, raster};
use crate::fixtures::{RawPng, raw_tiff};
use image::ImageFormat;
use lsb_core::raster::Colors;
use lsb_core::upload::{MediaType, inspect};
use lsb_core::{ErrorKind, Limits, picture};

fn grey_rows(width: usize, height: usize, grey: u8) -> Vec<u8> {
    (0..height)
        .flat_map(|_| [vec![0], vec![grey; width]].concat())
        .collect()
}

#[test]
fn one_frame_is_no_animation_and_neither_is_what_stands_behind_the_pixels() {
    let frames = |count: u8| [0, 0, 0, count, 0, 0, 0, 0];
    let start = || RawPng::new(8, 8, 8, 0, false);
    let rows = grey_rows(8, 8, 70);
    for file in [
        start().chunk(b"acTL", &frames(1)).data(&rows).end(),
        start().data(&rows).chunk(b"acTL", &frames(3)).end(),
    ] {
        check_sealed(&file, MediaType::Png);
        assert_eq!(eight_bits(&raster(&file, &Limits::DEFAULT)), [70; 64]);
    }
    assert!(
        inspect(
            &start().chunk(b"acTL", &frames(2)).data(&rows).end(),
            &Limits::DEFAULT
        )
        .is_err()
    );
}

#[test]
fn a_wrong_checksum_beside_the_pixels_is_passed_over() {
    let mut file = RawPng::new(8, 8, 8, 0, false)
        .chunk(b"tEXt", b"Title\0a text")
        .data(&grey_rows(8, 8, 70))
        .end();
    let text = file.windows(6).position(|window| window == b"a text").unwrap();
    file[text] = b'A';
    check_sealed(&file, MediaType::Png);
    assert_eq!(eight_bits(&raster(&file, &Limits::DEFAULT)), [70; 64]);
    // A wrong checksum of the pixels themselves is damage.
    let pixels = file.windows(4).position(|window| window == b"IDAT").unwrap();
    file[pixels + 20] ^= 1;
    assert_eq!(
        inspect(&file, &Limits::DEFAULT).unwrap_err().kind(),
        ErrorKind::Damaged
    );
}

#[test]
fn a_gif_needs_no_trailer_and_may_have_bytes_between_its_blocks() {
    let mut whole = Vec::new();
    let picture = image::RgbaImage::from_pixel(9, 7, image::Rgba([200, 10, 10, 255]));
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut whole);
    encoder.encode_frame(image::Frame::new(picture)).unwrap();
    drop(encoder);
    assert_eq!(whole.pop(), Some(0x3b));
    let expected = [&whole[..], &[0x3b]].concat();
    for file in [whole.clone(), [&whole[..], &[0, 0, 0x3b]].concat()] {
        check_sealed(&file, MediaType::Gif);
        assert_eq!(
            raster(&file, &Limits::DEFAULT),
            raster(&expected, &Limits::DEFAULT)
        );
    }
    // Half a frame is no picture.
    whole.truncate(whole.len() - 3);
    assert_eq!(
        inspect(&whole, &Limits::DEFAULT).unwrap_err().kind(),
        ErrorKind::Damaged
    );
}

#[test]
fn a_jpeg_may_have_bytes_between_its_segments() {
    let file = RawJpeg::new(64, 48, 3).noise(5).adobe(0).end();
    let segment = file.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    let stray = [&file[..segment], &[0, 0, 7], &file[segment..]].concat();
    check_sealed(&stray, MediaType::Jpeg);
    assert_eq!(raster(&stray, &Limits::DEFAULT), raster(&file, &Limits::DEFAULT));
}

#[test]
fn a_text_is_no_picture_whatever_its_first_letters() {
    for text in [
        "BMW builds cars, and this is a text.",
        "GIF89a is a format of 1989.",
        "RIFF1234WEBP is one of 2010.",
        "\0\0\0\x18ftypisom is a film",
        "BM",
        "BMW\n",
        "GIF89a",
        "GIF87a\r\n",
        "RIFF",
    ] {
        let error = inspect(text.as_bytes(), &Limits::DEFAULT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAPicture, "{text}");
    }
    // Texts of other encodings: Latin-1, and one that has a control character.
    for text in [
        b"BMW fahren ist sch\xf6n, sagt ein Text in Latin-1.".as_slice(),
        b"GIF89a: sch\xf6n alt.",
        b"BM\x1b[1mbold\x1b[0m text of a terminal",
    ] {
        let error = inspect(text, &Limits::DEFAULT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAPicture, "{}", text.escape_ascii());
    }
}

#[test]
fn a_webp_is_upright_with_and_without_the_prefix_of_jpeg() {
    let picture = image::GrayImage::from_fn(24, 8, |x, _| image::Luma([if x < 12 { 40 } else { 200 }]));
    let mut still = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageLuma8(picture)
        .write_to(&mut still, ImageFormat::WebP)
        .unwrap();
    let still = still.into_inner();
    for prefix in [b"".as_slice(), b"Exif\0\0", b"Exif\0\0Exif\0\0"] {
        let exif = [
            prefix,
            b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
        ]
        .concat();
        let mut body = b"WEBPVP8X\x0a\0\0\0\x08\0\0\0\x17\0\0\x07\0\0".to_vec();
        body.extend(&still[12..]);
        body.extend(b"EXIF");
        body.extend(u32::try_from(exif.len()).unwrap().to_le_bytes());
        body.extend(exif);
        let file = [
            b"RIFF".as_slice(),
            &u32::try_from(body.len()).unwrap().to_le_bytes(),
            &body,
        ]
        .concat();
        let upright = raster(&file, &Limits::DEFAULT);
        assert_eq!((upright.width(), upright.height()), (8, 24));
        let preview = raster(
            &picture::preview_of(&file, &Limits::DEFAULT).unwrap(),
            &Limits::DEFAULT,
        );
        assert!(preview.width() < preview.height());
    }
}

/// A header behind the picture says nothing, and neither does a second picture.
#[test]
fn the_first_chunk_of_a_webp_says_what_it_is() {
    let encoded = |width, height| {
        let mut file = std::io::Cursor::new(Vec::new());
        image::DynamicImage::ImageLuma8(image::GrayImage::new(width, height))
            .write_to(&mut file, ImageFormat::WebP)
            .unwrap();
        file.into_inner()
    };
    let (first, second) = (encoded(71, 1), encoded(9, 9));
    let header = b"VP8X\x0a\0\0\0\0\0\0\0\x06\0\0\x04\0\0";
    let body = [&first[8..], header, &second[12..]].concat();
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    let file = [b"RIFF".as_slice(), &length, &body].concat();
    let upload = inspect(&file, &Limits::DEFAULT).unwrap();
    assert_eq!((upload.size.width, upload.size.height), (71, 1));
    let decoded = raster(&file, &Limits::DEFAULT);
    assert_eq!((decoded.width(), decoded.height()), (71, 1));
}

#[test]
fn a_preview_of_a_png_is_upright_and_as_bright_as_the_original() {
    let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let file = RawPng::new(96, 48, 8, 0, false)
        .chunk(b"gAMA", &100_000u32.to_be_bytes())
        .chunk(b"eXIf", exif)
        .data(&grey_rows(96, 48, 55))
        .end();
    let preview = raster(
        &picture::preview_of(&file, &Limits::DEFAULT).unwrap(),
        &Limits::DEFAULT,
    );
    assert!(preview.width() < preview.height());
    // 55 parts of light in 255 are shown by a sample of 128 (IEC 61966-2-1).
    assert!(eight_bits(&preview).iter().all(|sample| *sample == 128));
}

/// A TIFF of red, green, blue and a fourth sample, of two pixels.
fn tiff_with_alpha(extra: u16, pixels: &[u8; 8]) -> Vec<u8> {
    let lines = [
        (256, 2),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 2),
        (277, 4),
        (278, 1),
        (338, 0),
    ];
    let mut file = raw_tiff(&lines, pixels);
    // The last line: what the fourth sample is, a number of 16 bits.
    let at = 10 + 9 * 12;
    let [high, low] = extra.to_be_bytes();
    file[at..at + 12].copy_from_slice(&[1, 82, 0, 3, 0, 0, 0, 1, high, low, 0, 0]);
    file
}

#[test]
fn colours_that_are_multiplied_by_alpha_become_straight() {
    let file = tiff_with_alpha(1, &[128, 64, 0, 128, 0, 0, 0, 0]);
    assert_eq!(
        eight_bits(&raster(&file, &Limits::DEFAULT)),
        [255, 127, 0, 128, 0, 0, 0, 0]
    );
    let file = tiff_with_alpha(2, &[128, 64, 0, 128, 0, 0, 0, 0]);
    assert_eq!(
        eight_bits(&raster(&file, &Limits::DEFAULT)),
        [128, 64, 0, 128, 0, 0, 0, 0]
    );
}

#[test]
fn the_order_of_bits_in_a_tiff_is_heeded() {
    let lines = |order| {
        [
            (256, 8),
            (257, 1),
            (258, 1),
            (259, 1),
            (262, 1),
            (266, order),
            (277, 1),
            (278, 1),
        ]
    };
    let usual = raster(&raw_tiff(&lines(1), &[0b1100_1000]), &Limits::DEFAULT);
    let turned = raster(&raw_tiff(&lines(2), &[0b0001_0011]), &Limits::DEFAULT);
    assert_eq!(eight_bits(&usual), [255, 255, 0, 0, 255, 0, 0, 0]);
    assert_eq!(usual, turned);
}

#[test]
fn a_tiff_with_a_palette_shows_its_colours() {
    // The palette stands behind the two pixels: place 3 is red, place 200 is blue.
    let map_at = 8 + 2 + 9 * 12 + 4 + 2;
    let mut pixels = vec![3, 200];
    let mut map = [0u16; 768];
    (map[3], map[512 + 200]) = (0xffff, 0xabcd);
    pixels.extend(map.iter().flat_map(|value| value.to_be_bytes()));
    let lines = [
        (256, 2),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 3),
        (278, 1),
        (320, map_at),
    ];
    let mut file = raw_tiff(&lines, &pixels);
    // Each line has one number of 32 bits: the palette has 768 of 16, and the kind of picture one of 16.
    let line = |tag: u16| {
        (0..9)
            .map(|line| 10 + line * 12)
            .find(|at| file[*at..*at + 2] == tag.to_be_bytes())
    };
    let (map_line, kind_line) = (line(320).unwrap(), line(262).unwrap());
    file[map_line + 2..map_line + 8].copy_from_slice(&[0, 3, 0, 0, 3, 0]);
    file[kind_line + 2..kind_line + 12].copy_from_slice(&[0, 3, 0, 0, 0, 1, 0, 3, 0, 0]);
    let decoded = raster(&file, &Limits::DEFAULT);
    assert_eq!(
        (decoded.colors(), eight_bits(&decoded)),
        (Colors::Rgb, [255, 0, 0, 0, 0, 0xab].as_slice())
    );
}

/// Tiles of 16 × 16 for a picture of 8 × 8, each colour in a tile of its own: tiff 0.11.3 panics unless it is helped.
#[test]
fn a_tile_for_each_colour_may_reach_below_the_picture() {
    let data_at = 8 + 2 + 12 * 12 + 4;
    let lists = data_at + 3 * 256;
    let lines = [
        (256, 8),
        (257, 8),
        (258, 8),
        (259, 1),
        (262, 2),
        (277, 3),
        (284, 2),
        (322, 16),
        (323, 16),
        (324, lists),
        (325, lists + 12),
    ];
    let mut file = b"MM\0*\0\0\0\x08".to_vec();
    file.extend([0, 11]);
    for (tag, value) in lines {
        let count = if tag > 323 { 3u32 } else { 1 };
        file.extend(u16::to_be_bytes(tag));
        file.extend([0, 4]);
        file.extend(count.to_be_bytes());
        file.extend(u32::to_be_bytes(value));
    }
    file.resize(data_at as usize, 0);
    file.extend([90; 3 * 256]);
    for number in [data_at, data_at + 256, data_at + 512, 256, 256, 256] {
        file.extend(number.to_be_bytes());
    }
    check_sealed(&file, MediaType::Tiff);
    let decoded = raster(&file, &Limits::DEFAULT);
    assert_eq!((decoded.width(), decoded.height()), (8, 8));
    assert_eq!(eight_bits(&decoded), [90; 192]);
    // Looking for something hidden goes through the same place.
    let error = picture::inspect(&file, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotProtected, "{error}");
}

#[test]
fn a_tiff_with_wide_offsets_is_read() {
    let mut file = b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0".to_vec();
    let lines: [(u16, u64); 7] = [
        (256, 3),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 172),
        (279, 3),
    ];
    file.extend(7u64.to_le_bytes());
    for (tag, value) in lines {
        file.extend(tag.to_le_bytes());
        // A number of 16 bits, or of 64 where it is an offset or a length.
        file.extend(if tag > 262 { 16u16 } else { 3 }.to_le_bytes());
        file.extend(1u64.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(0u64.to_le_bytes());
    assert_eq!(file.len(), 172);
    file.extend([10, 20, 30]);
    check_sealed(&file, MediaType::Tiff);
    assert_eq!(eight_bits(&raster(&file, &Limits::DEFAULT)), [10, 20, 30]);
    file.pop();
    assert_eq!(
        inspect(&file, &Limits::DEFAULT).unwrap_err().kind(),
        ErrorKind::Damaged
    );
}
