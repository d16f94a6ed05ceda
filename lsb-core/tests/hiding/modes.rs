//! Modes `preview` and `cover`: what is seen, what is hidden, and that the original comes out byte for byte.

use crate::fixtures::{Fixture, denied_picture, noise, photo, png};
use image::ExtendedColorType;
use lsb_core::bits::BitsPerSample;
use lsb_core::envelope::{Draft, Envelope, Mode, SectionKind};
use lsb_core::raster::{Raster, Samples};
use lsb_core::seal::{self, SealedObject, Shown};
use lsb_core::{Error, ErrorKind, Layout, Limits, carrier, picture};

fn sealed_as(original: &[u8], shown: Shown<'_>) -> SealedObject {
    let (fixture, denied) = (Fixture::new(), denied_picture());
    let mut request = fixture.request(original, &denied);
    request.shown = shown;
    seal::seal(&request).unwrap()
}

fn raster(file: &[u8]) -> Raster {
    picture::decode(file, u64::MAX, &Limits::DEFAULT).unwrap().raster
}

fn eight_bits(raster: Raster) -> Vec<u8> {
    match raster.into_samples() {
        Samples::Eight(samples) => samples,
        Samples::Sixteen(_) => panic!("eight bits were expected"),
    }
}

fn check_opens(file: &[u8], sealed: &SealedObject, original: &[u8]) {
    let envelope = picture::extract(file, &Limits::DEFAULT).unwrap();
    envelope.verify_signature().unwrap();
    assert_eq!(envelope, sealed.envelope);
    assert_eq!(envelope.denied_picture(), denied_picture());
    assert_eq!(
        seal::open(&envelope, &sealed.ledger_share).unwrap().bytes,
        original
    );
}

#[test]
fn a_preview_is_small_blurred_and_says_what_it_is() {
    for name in ["chelsea.png", "rocket.jpg", "grace_hopper.jpg"] {
        let original = photo(name);
        let preview = picture::preview_of(&original, &Limits::DEFAULT).unwrap();
        let (small, large) = (raster(&preview), raster(&original));
        assert_eq!(
            small.width().max(small.height()),
            picture::PREVIEW_SIDE.min(large.width().max(large.height()) / 8)
        );
        let sealed = sealed_as(&original, Shown::Preview(&preview));
        assert_eq!(
            sealed.envelope.section(SectionKind::Preview),
            Some(preview.as_slice())
        );
        let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
        check_opens(&file, &sealed, &original);
        // The proportions are the photograph's, and the lower edge is the banner's dark band.
        let shown = raster(&file);
        let (width, height) = (shown.width(), shown.height());
        assert!(width.max(height) >= 640);
        let ratio = f64::from(width) / f64::from(height);
        let expected = f64::from(small.width()) / f64::from(small.height());
        assert!((ratio - expected).abs() < 0.02, "{ratio} and {expected}");
        let samples = eight_bits(shown);
        let last_row = &samples[samples.len() - width as usize * 3..];
        assert!(last_row.iter().all(|sample| *sample < 40), "the band");
        assert!(
            samples[..samples.len() / 2].iter().any(|sample| *sample > 60),
            "no band above"
        );
    }
}

#[test]
fn a_preview_that_is_not_small_is_refused() {
    let (fixture, original, denied) = (Fixture::new(), denied_picture(), denied_picture());
    let large = png(65, 64, ExtendedColorType::L8, &[9; 65 * 64]);
    let mut request = fixture.request(&original, &denied);
    request.shown = Shown::Preview(&large);
    assert_eq!(seal::seal(&request).unwrap_err().kind(), ErrorKind::TooLarge);
    // Nor does anybody decode it who hides an envelope that somebody else made.
    let sections = [
        (SectionKind::DeniedPicture, denied.clone()),
        (SectionKind::Preview, large.clone()),
        (SectionKind::Original, vec![1]),
        (SectionKind::OriginalMetadata, vec![1]),
    ];
    let small = sealed_as(&original, Shown::Preview(&denied));
    let header = *small.envelope.header();
    let draft = Draft::new(header, fixture.policy.clone(), sections.to_vec()).unwrap();
    let forged = draft.finish(*small.envelope.manifest().signature());
    let error = picture::embed(&forged, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}

#[test]
fn the_banner_reads_preview() {
    let original = png(2000, 1000, ExtendedColorType::L8, &[128; 2_000_000]);
    let preview = picture::preview_of(&original, &Limits::DEFAULT).unwrap();
    let sealed = sealed_as(&denied_picture(), Shown::Preview(&preview));
    let shown = raster(&picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap());
    let (width, height) = (shown.width() as usize, shown.height() as usize);
    let samples = eight_bits(shown);
    // As the code draws it: as large as two fifths of the width and a quarter of the height allow.
    let scale = (width * 2 / 5 / 41).min(height / 4 / 13);
    assert!(scale > 0);
    let (left, top) = ((width - 41 * scale) / 2, height - 13 * scale + 3 * scale);
    let lit =
        |column: usize, row: usize| samples[((top + row * scale) * width + left + column * scale) * 3] > 128;
    let rows: Vec<String> = (0..7)
        .map(|row| {
            (0..41)
                .map(|column| if lit(column, row) { '#' } else { '.' })
                .collect()
        })
        .collect();
    let expected = "\
####..####..#####.#...#..###..#####.#...#
#...#.#...#.#.....#...#...#...#.....#...#
#...#.#...#.#.....#...#...#...#.....#...#
####..####..####..#...#...#...####..#.#.#
#.....#.#...#.....#...#...#...#.....#.#.#
#.....#..#..#......#.#....#...#.....##.##
#.....#...#.#####...#....###..#####.#...#";
    assert_eq!(rows.join("\n"), expected);
}

#[test]
fn previews_of_every_shape_carry() {
    for (width, height) in [(1, 1), (1, 500), (500, 1), (8, 8), (9, 700), (65, 64)] {
        let original = png(
            width,
            height,
            ExtendedColorType::Rgb8,
            &noise((width * height * 3) as usize, 5),
        );
        let preview = picture::preview_of(&original, &Limits::DEFAULT).unwrap();
        let sealed = sealed_as(&original, Shown::Preview(&preview));
        check_opens(
            &picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap(),
            &sealed,
            &original,
        );
    }
}

#[test]
fn a_cover_of_every_kind_stays_of_its_kind() {
    let kinds = [
        (ExtendedColorType::L8, 1),
        (ExtendedColorType::La8, 2),
        (ExtendedColorType::Rgb8, 3),
        (ExtendedColorType::Rgba8, 4),
        (ExtendedColorType::L16, 2),
        (ExtendedColorType::La16, 4),
        (ExtendedColorType::Rgb16, 6),
        (ExtendedColorType::Rgba16, 8),
    ];
    let original = denied_picture();
    for (colors, bytes) in kinds {
        // Alpha of noise is hardly ever opaque: such covers are made opaque.
        let mut samples = noise(300 * 200 * bytes, 6);
        let alpha = match colors {
            ExtendedColorType::La8 | ExtendedColorType::Rgba8 => 1,
            ExtendedColorType::La16 | ExtendedColorType::Rgba16 => 2,
            _ => 0,
        };
        samples
            .chunks_exact_mut(bytes)
            .for_each(|pixel| pixel[bytes - alpha..].fill(255));
        let cover = png(300, 200, colors, &samples);
        let before = raster(&cover);
        for bits in BitsPerSample::ALL {
            let sealed = sealed_as(&original, Shown::Cover);
            let file = picture::embed_in_cover(&sealed.envelope, &cover, bits, &Limits::DEFAULT).unwrap();
            check_opens(&file, &sealed, &original);
            let carried = picture::inspect(&file, &Limits::DEFAULT).unwrap();
            assert_eq!((carried.size, carried.colors), (before.size(), before.colors()));
            assert_eq!(carried.envelope.header().mode, Mode::Cover);
            assert!(carried.preamble.layout.matched && carried.preamble.layout.scatter_salt.is_some());
            assert_eq!(carried.preamble.layout.bits, bits);
            assert_eq!(
                file,
                picture::embed_in_cover(&sealed.envelope, &cover, bits, &Limits::DEFAULT).unwrap(),
                "the same every time"
            );
        }
    }
}

#[test]
fn a_photograph_covers_another() {
    let (original, cover) = (photo("grace_hopper.jpg"), photo("rocket.jpg"));
    let sealed = sealed_as(&original, Shown::Cover);
    let file =
        picture::embed_in_cover(&sealed.envelope, &cover, BitsPerSample::Two, &Limits::DEFAULT).unwrap();
    check_opens(&file, &sealed, &original);
    let (before, after) = (eight_bits(raster(&cover)), eight_bits(raster(&file)));
    let changed = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(old, new)| old.abs_diff(*new) <= 3)
    );
    // Spread over the whole picture: each quarter changes as much as the others.
    let quarter = before.len() / 4;
    for place in 0..4 {
        let range = place * quarter..(place + 1) * quarter;
        let here = before[range.clone()]
            .iter()
            .zip(&after[range])
            .filter(|(old, new)| old != new)
            .count();
        assert!(
            here * 4 > changed * 9 / 10 && here * 4 < changed * 11 / 10,
            "{here} of {changed}"
        );
    }
}

#[test]
fn a_cover_without_room_says_what_would_do() {
    let sealed = sealed_as(&photo("chelsea.png"), Shown::Cover);
    let cover = png(700, 500, ExtendedColorType::Rgb8, &noise(1_050_000, 4));
    let error =
        picture::embed_in_cover(&sealed.envelope, &cover, BitsPerSample::One, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Capacity);
    let text = error.to_string();
    assert!(text.contains("it fits with 2 bits per sample"), "{text}");
    picture::embed_in_cover(&sealed.envelope, &cover, BitsPerSample::Two, &Limits::DEFAULT).unwrap();
    let tiny = png(100, 50, ExtendedColorType::Rgb8, &noise(15_000, 4));
    let error =
        picture::embed_in_cover(&sealed.envelope, &tiny, BitsPerSample::One, &Limits::DEFAULT).unwrap_err();
    let Error::Capacity(error) = error else {
        panic!("{error}")
    };
    let lsb_core::capacity::Remedy::LargerPicture(size) = error.remedy else {
        panic!("{error}")
    };
    let large_enough = |width: u32, height: u32| {
        let samples = noise((width * height * 3) as usize, 4);
        let cover = png(width, height, ExtendedColorType::Rgb8, &samples);
        picture::embed_in_cover(&sealed.envelope, &cover, BitsPerSample::One, &Limits::DEFAULT).is_ok()
    };
    assert!(large_enough(size.width, size.height) && !large_enough(size.width - 1, size.height - 1));
}

#[test]
fn every_mode_has_its_own_carrier() {
    let (original, cover) = (denied_picture(), photo("chelsea.png"));
    let preview = picture::preview_of(&original, &Limits::DEFAULT).unwrap();
    for (shown, in_own, in_cover) in [
        (Shown::DeniedPicture, true, false),
        (Shown::Preview(&preview), true, false),
        (Shown::Cover, false, true),
    ] {
        let sealed = sealed_as(&original, shown);
        let own = picture::embed(&sealed.envelope, &Limits::DEFAULT);
        assert_eq!(own.is_ok(), in_own);
        let covered = picture::embed_in_cover(&sealed.envelope, &cover, BitsPerSample::One, &Limits::DEFAULT);
        assert_eq!(covered.is_ok(), in_cover);
        for error in [own, covered].into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
        }
    }
}

#[test]
fn fewer_bits_make_a_larger_picture() {
    let sealed = Fixture::new().seal(&photo("chelsea.png"), &denied_picture());
    let mut last = u64::MAX;
    for bits in BitsPerSample::ALL {
        let file = picture::embed_with(&sealed.envelope, bits, &Limits::DEFAULT).unwrap();
        let carried = picture::inspect(&file, &Limits::DEFAULT).unwrap();
        assert_eq!(carried.envelope, sealed.envelope);
        assert_eq!(carried.preamble.layout, Layout::plain(bits));
        assert!(carried.size.pixels() < last);
        last = carried.size.pixels();
    }
}

/// Every bit of the preamble and of what its owner signed, and ten thousand others.
#[test]
fn no_flipped_bit_gives_a_wrong_picture_in_any_mode() {
    let original = denied_picture();
    let preview = picture::preview_of(&original, &Limits::DEFAULT).unwrap();
    let cover = png(150, 120, ExtendedColorType::Rgb8, &noise(54_000, 2));
    for shown in [Shown::DeniedPicture, Shown::Preview(&preview), Shown::Cover] {
        let sealed = sealed_as(&original, shown);
        let body = sealed.envelope.as_bytes();
        let file = match shown {
            Shown::Cover => {
                picture::embed_in_cover(&sealed.envelope, &cover, BitsPerSample::Two, &Limits::DEFAULT)
            }
            _ => picture::embed(&sealed.envelope, &Limits::DEFAULT),
        };
        let (file, manifest) = (file.unwrap(), sealed.envelope.manifest().to_bytes().len());
        // As somebody who knows the format would do it: the checksums of the body are made right again.
        let layout = picture::inspect(&file, &Limits::DEFAULT).unwrap().preamble.layout;
        let mut carrier_raster = raster(&file);
        for bit in (0..manifest * 8).chain((manifest * 8..body.len() * 8).step_by(3)) {
            let mut flipped = body.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let viewed = Envelope::parse(flipped)
                .map_err(Error::from)
                .and_then(|envelope| {
                    envelope.verify_signature()?;
                    Ok(seal::open(&envelope, &sealed.ledger_share)?.bytes)
                });
            match viewed {
                // Behind the signed part stand the receipt's length and the advisory status, which nothing vouches for.
                Ok(bytes) => assert!(bytes == original && bit / 8 > manifest, "bit {bit}"),
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::Tampered | ErrorKind::Damaged | ErrorKind::Unsupported
                    ),
                    "bit {bit}: {error}"
                ),
            }
        }
        let mut flipped = body.to_vec();
        flipped[manifest + 1] ^= 1;
        carrier::write(&mut carrier_raster, layout, &flipped).unwrap();
        let touched = picture::encode_png(carrier_raster, &picture::Ancillary::default()).unwrap();
        assert_eq!(
            picture::extract(&touched, &Limits::DEFAULT).unwrap_err().kind(),
            ErrorKind::Tampered
        );
        // As it happens: without the checksums. Ten thousand samples, the first 256 among them.
        let samples = eight_bits(raster(&file));
        let size = raster(&file).size();
        let colors = raster(&file).colors();
        for place in (0..256).chain((256..samples.len()).step_by(samples.len().div_ceil(600))) {
            for bit in 0..8 {
                let mut touched = samples.clone();
                touched[place] ^= 1 << bit;
                let touched = Raster::new(size.width, size.height, colors, Samples::Eight(touched)).unwrap();
                match carrier::read(&touched) {
                    Ok(read) => assert!(read == body, "sample {place}, bit {bit}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "sample {place}, bit {bit}"),
                }
            }
        }
    }
}
