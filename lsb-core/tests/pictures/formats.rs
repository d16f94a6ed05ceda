//! Every format in, the exact file out; and pictures made of it keep their size, their samples, their
//! orientation and their colours' meaning.

use std::io::Cursor;

use crate::fixtures::jpeg::RawJpeg;
use crate::fixtures::round_trip::{check_labelled, check_sealed, eight_bits, labelled, raster};
use crate::fixtures::{Fixture, RawPng, denied_picture, noise, photo, raw_tiff};
use image::{DynamicImage, Frame, ImageFormat, RgbaImage};
use lsb_core::raster::{Colors, Samples};
use lsb_core::upload::{MediaType, UploadError, inspect};
use lsb_core::{ErrorKind, Limits, metadata, picture, seal};
use proptest::prelude::*;

const FIRST_FRAME: Limits = Limits {
    first_frame: true,
    ..Limits::DEFAULT
};

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn rgb(width: u32, height: u32, seed: u64) -> DynamicImage {
    let samples = noise(width as usize * height as usize * 3, seed);
    DynamicImage::ImageRgb8(image::RgbImage::from_raw(width, height, samples).unwrap())
}

const LOSSLESS: [(ImageFormat, MediaType); 4] = [
    (ImageFormat::Png, MediaType::Png),
    (ImageFormat::WebP, MediaType::WebP),
    (ImageFormat::Bmp, MediaType::Bmp),
    (ImageFormat::Tiff, MediaType::Tiff),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_format_and_shape_comes_back(
        format in 0usize..LOSSLESS.len(), width in 1u32..200, height in 1u32..200, seed in any::<u64>(), tall in any::<bool>(),
    ) {
        let (format, media_type) = LOSSLESS[format];
        let picture = rgb(width, height, seed);
        let file = encoded(&picture, format);
        check_sealed(&file, media_type);
        let decoded = raster(&file, &Limits::DEFAULT);
        prop_assert_eq!(eight_bits(&decoded), picture.as_bytes());
        // Labels need some room: 6,000 pixels have it.
        let other = 6000u32.div_ceil(width);
        let (width, height) = if tall { (width, other) } else { (other, width) };
        check_labelled(&encoded(&rgb(width, height, seed), format));
    }

    #[test]
    fn gifs_of_every_shape_come_back(width in 1u32..200, height in 1u32..200, grey in any::<u8>(), clear in any::<bool>()) {
        let pixel = image::Rgba([grey, grey, grey, if clear { 0 } else { 255 }]);
        let mut picture = RgbaImage::from_pixel(width, height, image::Rgba([grey, grey, grey, 255]));
        picture.put_pixel(width - 1, height - 1, pixel);
        let file = encoded(&DynamicImage::ImageRgba8(picture), ImageFormat::Gif);
        check_sealed(&file, MediaType::Gif);
        let decoded = raster(&file, &Limits::DEFAULT);
        prop_assert_eq!(decoded.size(), inspect(&file, &Limits::DEFAULT).unwrap().size);
        prop_assert!(eight_bits(&decoded)[0].abs_diff(grey) <= 1 || (width, height) == (1, 1) && clear);
        let carriers = u64::from(width * height) - u64::from(clear);
        prop_assert_eq!(decoded.carrier_samples(), carriers * 3);
    }

    #[test]
    fn jpegs_of_every_kind_and_shape_come_back(
        components in proptest::sample::select([1usize, 3, 4].as_slice()), width in 1u16..300, height in 1u16..300, seed in any::<u64>(),
    ) {
        let file = RawJpeg::new(width, height, components).noise(seed).end();
        check_sealed(&file, MediaType::Jpeg);
        let decoded = raster(&file, &Limits::DEFAULT);
        prop_assert_eq!(decoded.size(), inspect(&file, &Limits::DEFAULT).unwrap().size);
        prop_assert_eq!(decoded.colors(), if components == 1 { Colors::Grey } else { Colors::Rgb });
        if u32::from(width) * u32::from(height) > 20_000 {
            check_labelled(&file);
        }
    }
}

#[test]
fn sixteen_bits_and_alpha_keep_their_type_and_depth() {
    let (width, height) = (150u32, 120u32);
    let count = (width * height) as usize;
    let wide = |samples: usize| -> Vec<u16> {
        let bytes = noise(count * samples * 2, 3);
        bytes
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect()
    };
    let deep = DynamicImage::ImageRgb16(image::ImageBuffer::from_raw(width, height, wide(3)).unwrap());
    let grey = DynamicImage::ImageLuma16(image::ImageBuffer::from_raw(width, height, wide(1)).unwrap());
    let mut samples = noise(count * 4, 4);
    samples
        .chunks_exact_mut(4)
        .for_each(|pixel| pixel[3] |= if pixel[0] > 100 { 255 } else { 0 });
    let alpha = DynamicImage::ImageRgba8(RgbaImage::from_raw(width, height, samples).unwrap());
    for (picture, format) in [
        (&deep, ImageFormat::Tiff),
        (&grey, ImageFormat::Tiff),
        (&deep, ImageFormat::Png),
        (&alpha, ImageFormat::WebP),
        (&alpha, ImageFormat::Tiff),
        (&alpha, ImageFormat::Bmp),
    ] {
        let file = encoded(picture, format);
        check_labelled(&file);
        let decoded = raster(&file, &Limits::DEFAULT);
        let depth = matches!(decoded.samples(), Samples::Sixteen(_));
        assert_eq!(
            depth,
            picture.color().bytes_per_pixel() / picture.color().channel_count() == 2,
            "{format:?}"
        );
        assert_eq!(
            decoded.colors().has_alpha(),
            picture.color().has_alpha(),
            "{format:?}"
        );
    }
}

#[test]
fn a_cmyk_jpeg_shows_its_colours() {
    // Adobe stores inverted inks: 255 is none. White paper, and then pure cyan.
    for (inks, expected) in [
        ([255, 255, 255, 255], [255, 255, 255]),
        ([0, 255, 255, 255], [0, 255, 255]),
    ] {
        let file = RawJpeg::new(32, 24, 4).flat(&inks).adobe(0).end();
        let decoded = raster(&file, &Limits::DEFAULT);
        let pixel = &eight_bits(&decoded)[..3];
        assert!(
            pixel
                .iter()
                .zip(expected)
                .all(|(is, should)| is.abs_diff(should) <= 4),
            "{pixel:?} {expected:?}"
        );
    }
}

/// The smallest bytes that call themselves a profile of this colour space.
fn profile(space: &[u8; 4], length: usize) -> Vec<u8> {
    let mut profile = noise(length, 8);
    profile[16..20].copy_from_slice(space);
    profile[36..40].copy_from_slice(b"acsp");
    profile
}

/// A BMP of 160 × 120 black pixels with the fifth version of the header, and what it names behind them.
fn bmp_with_profile(kind: &[u8; 4], behind: &[u8]) -> Vec<u8> {
    let pixels = 160 * 120 * 3;
    let bytes = u32::try_from(behind.len()).unwrap();
    let mut file = b"BM".to_vec();
    for number in [0, 0, 14 + 124, 124, 160, 120, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        file.extend(u32::to_le_bytes(number));
    }
    // Masks, then the kind, then end points, gamma and intent.
    file.extend([0; 16]);
    file.extend(kind);
    file.extend([0; 52]);
    for number in [124 + pixels, bytes, 0] {
        file.extend(number.to_le_bytes());
    }
    file.resize(14 + 124 + pixels as usize, 0);
    file.extend(behind);
    file
}

#[test]
fn the_profile_of_a_bmp_survives_and_the_name_of_one_does_not() {
    let profile = profile(b"RGB ", 500);
    let file = bmp_with_profile(b"DEBM", &profile);
    let labelled = labelled(&file, &Limits::DEFAULT).unwrap();
    let mut decoder = image::codecs::png::PngDecoder::new(Cursor::new(&labelled.file)).unwrap();
    let found = image::ImageDecoder::icc_profile(&mut decoder).unwrap();
    assert_eq!(found.as_deref(), Some(profile.as_slice()));
    assert_eq!(metadata::strip(&file).unwrap().file, file);
    let linked = bmp_with_profile(b"KNIL", b"C:\\Users\\alice\\screen.icc\0");
    let stripped = metadata::strip(&linked).unwrap();
    assert_eq!(
        raster(&stripped.file, &Limits::DEFAULT),
        raster(&linked, &Limits::DEFAULT)
    );
    assert!(!stripped.file.windows(5).any(|word| word == b"alice"));
}

#[test]
fn a_colour_profile_survives_and_one_of_other_colours_does_not() {
    let length = 205_000;
    for (components, space, kept) in [
        (3, b"RGB ", true),
        (1, b"GRAY", true),
        (4, b"CMYK", false),
        (3, b"CMYK", false),
    ] {
        let profile = profile(space, length);
        let file = RawJpeg::new(160, 120, components)
            .noise(1)
            .profile(&profile)
            .end();
        let labelled = labelled(&file, &Limits::DEFAULT).unwrap();
        let mut decoder = image::codecs::png::PngDecoder::new(Cursor::new(&labelled.file)).unwrap();
        let found = image::ImageDecoder::icc_profile(&mut decoder).unwrap();
        assert_eq!(
            found.as_deref() == Some(profile.as_slice()),
            kept,
            "{components} components"
        );
        assert_eq!(found.is_some(), kept);
    }
}

fn animated_gif(frames: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut file);
    for frame in 0..frames {
        let grey = u8::try_from(40 + frame * 150).unwrap();
        let picture = RgbaImage::from_pixel(160, 120, image::Rgba([grey, grey, grey, 255]));
        encoder.encode_frame(Frame::new(picture)).unwrap();
    }
    drop(encoder);
    file
}

fn animated_webp(frames: u32) -> Vec<u8> {
    let still = encoded(&rgb(160, 120, 3), ImageFormat::WebP);
    let picture = &still[12..];
    let mut frame = vec![0; 6];
    frame.extend(159u32.to_le_bytes()[..3].iter().chain(&119u32.to_le_bytes()[..3]));
    frame.extend([10, 0, 0, 0]);
    frame.extend(picture);
    let mut body = b"WEBPVP8X\x0a\0\0\0\x02\0\0\0".to_vec();
    body.extend(159u32.to_le_bytes()[..3].iter().chain(&119u32.to_le_bytes()[..3]));
    body.extend(b"ANIM\x06\0\0\0\0\0\0\0\0\0");
    for _ in 0..frames {
        body.extend(b"ANMF");
        body.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
        body.extend(&frame);
    }
    let mut file = b"RIFF".to_vec();
    file.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    file.extend(body);
    file
}

fn animated_png() -> Vec<u8> {
    let control = |number: u32| {
        let mut content = number.to_be_bytes().to_vec();
        content.extend([160u32, 120, 0, 0].iter().flat_map(|value| value.to_be_bytes()));
        content.extend([0, 1, 0, 10, 0, 0]);
        content
    };
    let rows = |grey: u8| -> Vec<u8> {
        (0..120)
            .flat_map(|_| [vec![0], vec![grey; 160]].concat())
            .collect()
    };
    let mut second = 2u32.to_be_bytes().to_vec();
    second.extend([0x78, 0x01, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 1]);
    RawPng::new(160, 120, 8, 0, false)
        .chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0])
        .chunk(b"fcTL", &control(0))
        .data(&rows(40))
        .chunk(b"fcTL", &control(1))
        .chunk(b"fdAT", &second)
        .end()
}

#[test]
fn an_animation_is_refused_unless_its_first_frame_is_asked_for() {
    for (file, format) in [
        (animated_gif(2), MediaType::Gif),
        (animated_webp(2), MediaType::WebP),
        (animated_png(), MediaType::Png),
    ] {
        let error = inspect(&file, &Limits::DEFAULT).unwrap_err();
        assert_eq!(error, UploadError::Animated { format });
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("ask for its first frame"), "{error}");
        assert!(picture::decode(&file, u64::MAX, &Limits::DEFAULT).is_err());
        // Whoever looks for something hidden is not sent to choose a frame: there is nothing in any.
        let nothing = picture::inspect(&file, &Limits::DEFAULT).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::NotProtected, "{nothing}");
        assert_eq!(inspect(&file, &FIRST_FRAME).unwrap().media_type, format);
        // What is stored is the whole file; what is shown is its first frame.
        let fixture = Fixture::new();
        let denied = denied_picture();
        let mut request = fixture.request(&file, &denied);
        assert!(seal::seal(&request).is_err());
        request.limits = &FIRST_FRAME;
        let sealed = seal::seal(&request).unwrap();
        assert_eq!(
            seal::open(&sealed.envelope, &sealed.ledger_share).unwrap().bytes,
            file
        );
        let labelled = labelled(&file, &FIRST_FRAME).unwrap();
        assert!(
            !labelled
                .file
                .windows(4)
                .any(|kind| kind == b"acTL" || kind == b"fdAT")
        );
        let still = raster(&labelled.file, &Limits::DEFAULT);
        assert_eq!((still.width(), still.height()), (160, 120));
        if format != MediaType::WebP {
            assert!(eight_bits(&still)[0].abs_diff(40) <= 1, "the first frame's grey");
        }
    }
    // One frame is no animation, and a second one that is cut off still makes one.
    for (file, format) in [
        (animated_gif(1), MediaType::Gif),
        (animated_webp(1), MediaType::WebP),
    ] {
        check_sealed(&file, format);
        check_labelled(&file);
    }
    let cut = animated_webp(2);
    let cut = inspect(&cut[..cut.len() - 9], &Limits::DEFAULT).unwrap_err();
    assert_eq!(
        cut,
        UploadError::Animated {
            format: MediaType::WebP
        }
    );
}

#[test]
fn a_lossless_copy_in_another_format_keeps_everything() {
    let sealed = Fixture::new().seal(&denied_picture(), &denied_picture());
    let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
    let copy = image::load_from_memory(&file).unwrap();
    for (format, _) in LOSSLESS {
        let copy = encoded(&copy, format);
        assert_eq!(
            picture::extract(&copy, &Limits::DEFAULT).unwrap(),
            sealed.envelope,
            "{format:?}"
        );
    }
    // A palette of 256 colours destroys it.
    let error = picture::extract(&encoded(&copy, ImageFormat::Gif), &Limits::DEFAULT).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotProtected | ErrorKind::Damaged),
        "{error}"
    );
}

/// Files that are cut off, or claim more than they have, in every format.
#[test]
fn what_is_cut_off_or_false_is_refused() {
    let picture = rgb(60, 50, 1);
    let files = [
        encoded(&picture, ImageFormat::WebP),
        encoded(&picture, ImageFormat::Bmp),
        encoded(&picture, ImageFormat::Tiff),
        animated_gif(1),
        RawJpeg::new(60, 50, 3).noise(2).end(),
    ];
    let without_picture = b"GIF89a\x01\0\x01\0\0\0\0\x3b";
    let error = inspect(without_picture, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    for file in files {
        let format = MediaType::sniff(&file).unwrap();
        let whole = raster(&file, &Limits::DEFAULT);
        for length in (12..file.len()).step_by(1 + file.len() / 300) {
            let cut = &file[..length];
            match picture::decode(cut, u64::MAX, &Limits::DEFAULT) {
                Err(error) => assert_eq!(
                    error.kind(),
                    ErrorKind::Damaged,
                    "{format} cut at {length}: {error}"
                ),
                // What is missing is no pixel: the end marker, or a TIFF's metadata.
                Ok(decoded) => assert_eq!(decoded.raster, whole, "{format} cut at {length}"),
            }
        }
        let small = Limits {
            pixels: 60 * 50 - 1,
            ..Limits::DEFAULT
        };
        assert_eq!(
            inspect(&file, &small).unwrap_err().kind(),
            ErrorKind::TooLarge,
            "{format}"
        );
        let small = Limits {
            decoded_bytes: 60 * 50 - 1,
            ..Limits::DEFAULT
        };
        let error = picture::decode(&file, u64::MAX, &small).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{format}: {error}");
    }
}

/// Nothing is wrong with such a file, and copying it again would not help.
#[test]
fn what_the_decoders_do_not_know_is_unsupported_and_not_damaged() {
    let grey_floats = raw_tiff(
        &[
            (256, 1),
            (257, 1),
            (258, 32),
            (259, 1),
            (262, 1),
            (278, 1),
            (339, 3),
        ],
        &1f32.to_be_bytes(),
    );
    let colour_floats = encoded(
        &DynamicImage::ImageRgb32F(rgb(2, 2, 1).to_rgb32f()),
        ImageFormat::Tiff,
    );
    for file in [grey_floats, colour_floats] {
        let error = picture::decode(&file, u64::MAX, &Limits::DEFAULT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        // It can be stored and shown again as it is all the same.
        check_sealed(&file, MediaType::Tiff);
    }
}

#[test]
fn eleven_kilobytes_of_jpeg_cannot_claim_a_hundred_million_pixels() {
    let mut file = RawJpeg::new(600, 600, 1).noise(5).end();
    let header = file.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    file[header + 5..header + 9].copy_from_slice(&[0x27, 0x10, 0x27, 0x10]);
    assert!(file.len() < 20_000, "{}", file.len());
    let error = inspect(&file, &Limits::DEFAULT).unwrap_err();
    assert!(
        matches!(
            error,
            UploadError::FalseHeader {
                format: MediaType::Jpeg,
                ..
            }
        ),
        "{error}"
    );
    let started = std::time::Instant::now();
    assert_eq!(
        picture::decode(&file, u64::MAX, &Limits::DEFAULT)
            .unwrap_err()
            .kind(),
        ErrorKind::Damaged
    );
    assert!(started.elapsed().as_secs() < 2);
}

#[test]
fn the_photographs_are_labelled_covered_and_previewed() {
    for name in ["chelsea.png", "rocket.jpg", "grace_hopper.jpg"] {
        check_labelled(&photo(name));
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        which in 0usize..6, flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let picture = rgb(40, 30, 1);
        let mut file = match which {
            0 => encoded(&picture, ImageFormat::WebP),
            1 => encoded(&picture, ImageFormat::Bmp),
            2 => encoded(&picture, ImageFormat::Tiff),
            3 => animated_gif(2),
            4 => animated_webp(2),
            _ => RawJpeg::new(40, 30, 4).noise(2).end(),
        };
        for (place, value) in flips {
            let place = place.index(file.len().min(200));
            file[place] = value;
        }
        let limits = Limits { pixels: 1 << 20, decoded_bytes: 1 << 22, first_frame: true, ..Limits::DEFAULT };
        let inspected = inspect(&file, &limits);
        let decoded = picture::decode(&file, u64::MAX, &limits);
        prop_assert!(inspected.is_ok() || decoded.is_err());
        let _ = picture::extract(&file, &limits);
    }
}
