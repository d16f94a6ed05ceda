//! Mode `label`: a PNG of any kind carries in its own low bits, and stays of its kind.

use crate::fixtures::{CLUSTER, CREATED, Fixture, RawPng, noise, photo, png};
use image::ExtendedColorType;
use lsb_core::envelope::Mode;
use lsb_core::label::{self, LabelRequest, LabelTerms, LabelledPicture};
use lsb_core::picture::{self, decode_png};
use lsb_core::raster::{Colors, Raster, Samples};
use lsb_core::seal::{SealError, SigningKey};
use lsb_core::{Error, ErrorKind, Limits, ObjectId};
use proptest::prelude::*;

/// The smallest denied picture: one grey pixel.
fn tiny_denied_picture() -> Vec<u8> {
    png(1, 1, ExtendedColorType::L8, &[128])
}

fn protect(photograph: &[u8], denied_picture: &[u8]) -> Result<LabelledPicture, Error> {
    let fixture = Fixture::new();
    let request = LabelRequest {
        photograph,
        denied_picture,
        policy: &fixture.policy,
        cluster: CLUSTER,
        created: CREATED,
        owner: &fixture.owner,
        bits: label::LABEL_BITS,
        keep: picture::Keep::Shown,
        limits: &Limits::DEFAULT,
    };
    label::protect_with(&request, ObjectId::from_bytes([9; 16]))
}

fn raster(file: &[u8]) -> Raster {
    decode_png(file, u64::MAX, &Limits::DEFAULT).unwrap().raster
}

/// Every sample as 16 bits, and how far two pictures are apart at most.
fn largest_difference(left: &Raster, right: &Raster) -> u16 {
    let wide = |raster: &Raster| match raster.samples() {
        Samples::Eight(samples) => samples.iter().copied().map(u16::from).collect::<Vec<_>>(),
        Samples::Sixteen(samples) => samples.clone(),
    };
    let (left, right) = (wide(left), wide(right));
    assert_eq!(left.len(), right.len());
    left.iter()
        .zip(&right)
        .map(|(left, right)| left.abs_diff(*right))
        .max()
        .unwrap_or(0)
}

fn check_round_trip(photograph: &[u8]) {
    let labelled = protect(photograph, &tiny_denied_picture()).unwrap();
    let envelope = picture::extract(&labelled.file, &Limits::DEFAULT).unwrap();
    assert_eq!(envelope, labelled.envelope);
    envelope.verify_signature().unwrap();
    assert_eq!(envelope.denied_picture(), tiny_denied_picture());
    let (before, after) = (raster(photograph), raster(&labelled.file));
    assert_eq!((before.width(), before.height()), (after.width(), after.height()));
    assert_eq!(before.colors(), after.colors());
    assert!(largest_difference(&before, &after) <= 1);
}

const KINDS: [(ExtendedColorType, usize); 8] = [
    (ExtendedColorType::L8, 1),
    (ExtendedColorType::La8, 2),
    (ExtendedColorType::Rgb8, 3),
    (ExtendedColorType::Rgba8, 4),
    (ExtendedColorType::L16, 2),
    (ExtendedColorType::La16, 4),
    (ExtendedColorType::Rgb16, 6),
    (ExtendedColorType::Rgba16, 8),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_colour_type_depth_and_shape_comes_back(
        kind in proptest::sample::select(KINDS.as_slice()), width in 1u32..300, seed in any::<u64>(),
        opaque in any::<bool>(),
    ) {
        let (colors, bytes) = kind;
        let has_alpha = matches!(
            colors,
            ExtendedColorType::La8 | ExtendedColorType::Rgba8 | ExtendedColorType::La16 | ExtendedColorType::Rgba16
        );
        // Room for the label in the opaque pixels, of which at least half are.
        let height = 20_000u32.div_ceil(width) + 1;
        let mut samples = noise(width as usize * height as usize * bytes, seed);
        if has_alpha {
            let alpha = bytes / usize::from(matches!(colors, ExtendedColorType::La8 | ExtendedColorType::La16)
                .then_some(2u8).unwrap_or(4));
            for (index, pixel) in samples.chunks_exact_mut(bytes).enumerate() {
                if opaque || index % 2 == 0 {
                    pixel[bytes - alpha..].fill(0xff);
                }
            }
        }
        check_round_trip(&png(width, height, colors, &samples));
    }
}

#[test]
fn rows_and_columns_of_one_pixel_carry() {
    check_round_trip(&png(1, 9000, ExtendedColorType::Rgb8, &noise(27_000, 1)));
    check_round_trip(&png(9000, 1, ExtendedColorType::Rgb8, &noise(27_000, 2)));
}

#[test]
fn a_photograph_carries() {
    check_round_trip(&photo("chelsea.png"));
}

#[test]
fn palettes_keys_and_few_bits_are_expanded_first() {
    let rows = |bytes_per_row: usize, seed| {
        let mut filtered = noise((bytes_per_row + 1) * 200, seed);
        filtered
            .chunks_exact_mut(bytes_per_row + 1)
            .for_each(|row| row[0] = 0);
        filtered
    };
    let palette = noise(256 * 3, 3);
    let indexed = RawPng::new(200, 200, 8, 3, false).chunk(b"PLTE", &palette);
    check_round_trip(&indexed.data(&rows(200, 4)).end());
    let keyed = RawPng::new(200, 200, 8, 3, false)
        .chunk(b"PLTE", &palette)
        .chunk(b"tRNS", &[0, 100, 200]);
    let keyed = keyed.data(&rows(200, 5)).end();
    assert_eq!(raster(&keyed).colors(), Colors::Rgba);
    check_round_trip(&keyed);
    check_round_trip(&RawPng::new(200, 200, 4, 0, false).data(&rows(100, 6)).end());
    check_round_trip(&RawPng::new(200, 200, 1, 0, false).data(&rows(25, 7)).end());
    let grey_key = RawPng::new(200, 200, 8, 0, false)
        .chunk(b"tRNS", &[0, 77])
        .data(&rows(200, 8))
        .end();
    assert_eq!(raster(&grey_key).colors(), Colors::GreyAlpha);
    check_round_trip(&grey_key);
}

#[test]
fn interlaced_pictures_are_read_and_never_written() {
    // Adam7: the seven passes of a picture of 160 × 160 grey pixels, each row with its filter byte.
    let passes = [
        (20, 20),
        (20, 20),
        (40, 20),
        (40, 40),
        (80, 40),
        (80, 80),
        (160, 80),
    ];
    let mut filtered = Vec::new();
    for (index, (width, height)) in passes.into_iter().enumerate() {
        for row in 0..height {
            filtered.push(0);
            filtered.extend(noise(width, (index * 1000 + row) as u64));
        }
    }
    let interlaced = RawPng::new(160, 160, 8, 0, true).data(&filtered).end();
    check_round_trip(&interlaced);
    let labelled = protect(&interlaced, &tiny_denied_picture()).unwrap();
    assert_eq!(labelled.file[28], 0, "the interlace method of the header");
}

#[test]
fn transparent_pixels_keep_their_exact_values() {
    let mut samples = noise(200 * 200 * 4, 11);
    for (index, pixel) in samples.chunks_exact_mut(4).enumerate() {
        pixel[3] = if index % 3 == 0 { 254 } else { 255 };
    }
    let photograph = png(200, 200, ExtendedColorType::Rgba8, &samples);
    let labelled = protect(&photograph, &tiny_denied_picture()).unwrap();
    let Samples::Eight(after) = raster(&labelled.file).into_samples() else {
        panic!("eight bits stay eight bits");
    };
    for (before, after) in samples.chunks_exact(4).zip(after.chunks_exact(4)) {
        assert_eq!(before[3], after[3]);
        assert!(before[3] == 255 || before == after);
    }
    // Flips where nothing rides change nothing.
    let mut touched = after.clone();
    touched
        .chunks_exact_mut(4)
        .step_by(3)
        .for_each(|pixel| pixel[0] ^= 1);
    assert_ne!(touched, after);
    let touched = png(200, 200, ExtendedColorType::Rgba8, &touched);
    assert_eq!(
        picture::extract(&touched, &Limits::DEFAULT).unwrap(),
        labelled.envelope
    );
}

#[test]
fn chunks_that_say_how_pixels_are_meant_survive() {
    let mut filtered = noise(301 * 200, 12);
    filtered.chunks_exact_mut(301).for_each(|row| row[0] = 0);
    let photograph = RawPng::new(100, 200, 8, 2, false)
        .chunk(b"gAMA", &45455u32.to_be_bytes())
        .chunk(b"iCCP", b"not a profile\0\0and never unpacked")
        .chunk(b"pHYs", &[0, 0, 11, 19, 0, 0, 11, 19, 1])
        .chunk(b"sBIT", &[5, 6, 5])
        .data(&filtered)
        .chunk(b"tEXt", b"Comment\0after the pixels")
        .end();
    let file = protect(&photograph, &tiny_denied_picture()).unwrap().file;
    let place = |kind: &[u8]| file.windows(4).position(|window| window == kind);
    let order = [b"IHDR", b"gAMA", b"iCCP", b"pHYs", b"IDAT", b"IEND"];
    let places: Vec<_> = order.iter().map(|kind| place(*kind).unwrap()).collect();
    assert!(places.is_sorted());
    assert_eq!(place(b"sBIT"), None, "it describes the old samples' depth");
    assert_eq!(place(b"tEXt"), None, "it says nothing of the pixels");
    check_round_trip(&photograph);
}

#[test]
fn a_grey_picture_saved_with_three_channels_still_carries() {
    let photograph = png(200, 200, ExtendedColorType::L8, &noise(40_000, 13));
    let labelled = protect(&photograph, &tiny_denied_picture()).unwrap();
    let Samples::Eight(grey) = raster(&labelled.file).into_samples() else {
        panic!("eight bits stay eight bits");
    };
    let tripled: Vec<u8> = grey.iter().flat_map(|sample| [*sample; 3]).collect();
    let with_alpha: Vec<u8> = grey
        .iter()
        .flat_map(|sample| [*sample, *sample, *sample, 255])
        .collect();
    for converted in [
        png(200, 200, ExtendedColorType::Rgb8, &tripled),
        png(200, 200, ExtendedColorType::Rgba8, &with_alpha),
    ] {
        assert_eq!(
            picture::extract(&converted, &Limits::DEFAULT).unwrap(),
            labelled.envelope
        );
    }
}

#[test]
fn a_denied_picture_that_does_not_fit_is_an_error_with_numbers() {
    let photograph = png(64, 64, ExtendedColorType::Rgb8, &noise(64 * 64 * 3, 14));
    let denied = photo("chelsea.png");
    let error = protect(&photograph, &denied).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Capacity);
    let Error::Capacity(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.available_bytes, (64 * 64 * 3 - 256) / 8);
    assert!(error.needed_bytes > denied.len() as u64);
    let text = error.to_string();
    assert!(
        text.contains("64×64") && text.contains("it fits into an opaque picture of"),
        "{text}"
    );
}

#[test]
fn a_labelled_jpeg_becomes_a_png_of_the_same_pixels() {
    for name in ["rocket.jpg", "grace_hopper.jpg"] {
        let photograph = photo(name);
        let labelled = protect(&photograph, &tiny_denied_picture()).unwrap();
        let envelope = picture::extract(&labelled.file, &Limits::DEFAULT).unwrap();
        assert_eq!(envelope, labelled.envelope);
        let before = picture::decode(&photograph, u64::MAX, &Limits::DEFAULT)
            .unwrap()
            .raster;
        let after = raster(&labelled.file);
        assert_eq!((before.size(), before.colors()), (after.size(), after.colors()));
        assert!(largest_difference(&before, &after) <= 1);
    }
}

#[test]
fn a_label_is_not_hidden_in_its_denied_picture() {
    let labelled = protect(&photo("chelsea.png"), &tiny_denied_picture()).unwrap();
    let error = picture::embed(&labelled.envelope, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[test]
fn a_label_is_signed_without_its_photograph_and_hidden_without_a_key() {
    let (fixture, denied_picture) = (Fixture::new(), tiny_denied_picture());
    let terms = LabelTerms {
        denied_picture: &denied_picture,
        policy: &fixture.policy,
        cluster: CLUSTER,
        created: CREATED,
        owner: &fixture.owner,
        limits: &Limits::DEFAULT,
    };
    let envelope = label::sign(&terms).unwrap();
    envelope.verify_signature().unwrap();
    assert_eq!(envelope.header().mode, Mode::Label);
    let hide = |envelope| {
        let (bits, keep) = (label::LABEL_BITS, picture::Keep::Shown);
        label::embed(envelope, &photo("chelsea.png"), bits, keep, &Limits::DEFAULT)
    };
    let labelled = hide(envelope.clone()).unwrap();
    let found = picture::extract(&labelled.file, &Limits::DEFAULT).unwrap();
    assert!(found == envelope && labelled.envelope == envelope);
    // Each label has a name of its own.
    assert_ne!(
        label::sign(&terms).unwrap().header().object,
        envelope.header().object
    );

    // Neither a stranger's key signs, nor is an envelope of another mode a label.
    let stranger = SigningKey::from_bytes(&[8; 32]);
    let owner = &stranger;
    let error = label::sign(&LabelTerms { owner, ..terms }).unwrap_err();
    assert!(
        matches!(error, Error::Seal(SealError::OtherOwner { .. })),
        "{error}"
    );
    let sealed = fixture.seal(&photo("rocket.jpg"), &denied_picture).envelope;
    let error = hide(sealed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let text = error.to_string();
    assert!(text.contains("mode sealed"), "{text}");
}
