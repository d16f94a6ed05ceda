//! What a person is told about a protected picture that was changed on its way.

use lsb_core::bits::BitsPerSample;
use lsb_core::raster::{Colors, Raster, Samples};
use lsb_core::{Layout, Limits, carrier, picture};
use node::client::ErrorClass;
use node::decoding::{Decoder, DecodingError};
use proptest::prelude::*;

const SEALED: &[u8] = include_bytes!("../../../lsb-core/tests/vectors/sealed.png");
const COVER: &[u8] = include_bytes!("../../../lsb-core/tests/vectors/cover.png");
const ENVELOPE: &[u8] = include_bytes!("../../../lsb-core/tests/vectors/sealed.envelope");

async fn told(file: Vec<u8>) -> DecodingError {
    let decoder = Decoder::in_this_process();
    let inspected = decoder.inspect(file.clone(), &Limits::DEFAULT).await.unwrap();
    let error = decoder.extract(file, &Limits::DEFAULT).await.unwrap_err();
    assert_eq!(inspected.carried.unwrap_err().to_string(), error.to_string());
    error
}

fn decoded(file: &[u8]) -> Raster {
    picture::decode(file, u64::MAX, &Limits::DEFAULT).unwrap().raster
}

fn png(raster: Raster) -> Vec<u8> {
    picture::encode_png(raster, &Default::default()).unwrap()
}

fn eight(raster: &Raster) -> &[u8] {
    match raster.samples() {
        Samples::Eight(samples) => samples,
        Samples::Sixteen(_) => panic!("eight bits are expected"),
    }
}

/// The picture whose pixel at (x, y) is the one of `from` at `place(x, y)`.
fn moved(from: &Raster, width: u32, height: u32, place: impl Fn(u32, u32) -> (u32, u32)) -> Vec<u8> {
    let per_pixel = from.colors().samples();
    let mut samples = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (x, y) = place(x, y);
            let at = (y * from.width() + x) as usize * per_pixel;
            samples.extend_from_slice(&eight(from)[at..at + per_pixel]);
        }
    }
    png(Raster::new(width, height, from.colors(), Samples::Eight(samples)).unwrap())
}

#[tokio::test]
async fn a_turned_or_enlarged_picture_is_told_so() {
    for file in [SEALED, COVER] {
        let from = decoded(file);
        let (width, height) = (from.width(), from.height());
        let (right, below) = (width - 1, height - 1);
        for (copy, said) in [
            (
                moved(&from, height, width, |x, y| (y, below - x)),
                "was rotated by 90° clockwise",
            ),
            (
                moved(&from, width, height, |x, y| (right - x, below - y)),
                "was rotated by 180°",
            ),
            (
                moved(&from, height, width, |x, y| (right - y, x)),
                "was rotated by 90° counterclockwise",
            ),
            (
                moved(&from, width, height, |x, y| (right - x, y)),
                "was mirrored left to right",
            ),
            (
                moved(&from, width, height, |x, y| (x, below - y)),
                "was mirrored top to bottom",
            ),
            (
                moved(&from, height, width, |x, y| (y, x)),
                "was mirrored and rotated",
            ),
            (
                moved(&from, height, width, |x, y| (right - y, below - x)),
                "was mirrored and rotated",
            ),
            (
                moved(&from, width * 2, height * 2, |x, y| (x / 2, y / 2)),
                "was resized to 2 times its width and height",
            ),
            (
                moved(&from, width * 3, height * 3, |x, y| (x / 3, y / 3)),
                "was resized to 3 times its width and height",
            ),
            (
                moved(&from, width, height / 2, |x, y| (x, y)),
                "since it was protected",
            ),
        ] {
            let error = told(copy).await;
            assert!(error.to_string().contains(said), "{said}: {error}");
            assert_eq!(error.class(), ErrorClass::Damaged, "{said}");
        }
        // What cannot be told is not told: a smaller copy has lost every trace.
        let error = told(moved(&from, width / 2, height / 2, |x, y| (x * 2, y * 2))).await;
        assert_eq!(error.class(), ErrorClass::NotProtected);
        for cause in ["JPEG", "resized", "16 to 8 bits", "transparency"] {
            assert!(error.to_string().contains(cause), "{error}");
        }
    }
}

#[tokio::test]
async fn a_picture_that_lost_its_transparency_is_told_so() {
    let side = 400;
    // A round picture on nothing, as logos are: its first rows are transparent.
    let inside = |x: u32, y: u32| (x.abs_diff(200)).pow(2) + (y.abs_diff(200)).pow(2) < 190 * 190;
    let places = || (0..side).flat_map(move |y| (0..side).map(move |x| (x, y)));
    let pixels = places().flat_map(|(x, y)| match inside(x, y) {
        true => [90, (x % 200) as u8, (y % 200) as u8, 255],
        false => [0; 4],
    });
    let transparent = Raster::new(side, side, Colors::Rgba, Samples::Eight(pixels.collect())).unwrap();
    for layout in [
        Layout::from(BitsPerSample::Four),
        Layout::scattered(BitsPerSample::Four, 7),
    ] {
        let mut carrying = transparent.clone();
        carrier::write(&mut carrying, layout, ENVELOPE).unwrap();
        assert!(carrier::read(&carrying).is_ok());
        for background in [[0; 3], [255; 3], [17, 34, 51]] {
            let flat = eight(&carrying).chunks_exact(4).flat_map(|pixel| match pixel[3] {
                255 => [pixel[0], pixel[1], pixel[2]],
                _ => background,
            });
            let flat = Raster::new(side, side, Colors::Rgb, Samples::Eight(flat.collect())).unwrap();
            let error = told(png(flat)).await;
            assert!(
                error.to_string().contains("saved without its alpha channel"),
                "{error}"
            );
            assert_eq!(error.class(), ErrorClass::Damaged);
        }
    }
}

#[tokio::test]
async fn a_format_that_loses_bits_is_named() {
    let formats = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../lsb-core/tests/photos/formats");
        std::fs::read(format!("{folder}/{name}")).unwrap()
    };
    let copied = |sample: u16| sample << 8 | sample;
    let samples = (0..64 * 64 * 3).map(|sample| copied(sample % 251)).collect();
    let doubled = png(Raster::new(64, 64, Colors::Rgb, Samples::Sixteen(samples)).unwrap());
    for (file, said) in [
        (formats("palette.png"), "a palette of at most 256 colours"),
        (formats("palette.gif"), "GIF, which has a palette of at most 256"),
        (formats("lossy.webp"), "was saved as lossy WebP"),
        (formats("grey.jpg"), "re-encoded as JPEG"),
        (doubled, "reduced from 16 to 8 bits"),
    ] {
        let error = told(file).await;
        assert!(error.to_string().contains(said), "{said}: {error}");
        // It may never have been protected.
        assert_eq!(error.class(), ErrorClass::NotProtected, "{said}");
    }
}

#[tokio::test]
async fn the_checksum_of_a_preamble_is_told_without_riddles() {
    let from = decoded(SEALED);
    let mut samples = eight(&from).to_vec();
    // Behind the magic, within the preamble.
    samples[100] ^= 1;
    let edited = Raster::new(
        from.width(),
        from.height(),
        from.colors(),
        Samples::Eight(samples),
    );
    let error = told(png(edited.unwrap())).await;
    assert_eq!(error.class(), ErrorClass::Damaged);
    let text = error.to_string();
    assert!(
        text.contains("was edited or re-encoded") && !text.contains("magic"),
        "{text}"
    );
}

#[tokio::test]
async fn a_text_is_not_a_picture_whatever_its_first_letters() {
    for text in [
        "BM is how a bitmap begins, and this is a text",
        "GIF89a is how a GIF begins, and this is a text",
        "II*\tis nearly how a TIFF begins, and this is a text",
        "RIFF, the chunks of a WEBP, and this is a text",
        "P",
        "<svg xmlns='http://www.w3.org/2000/svg'></svg>",
    ] {
        let error = told(text.into()).await;
        assert_eq!(error.class(), ErrorClass::NotAPicture, "{text}: {error}");
        assert!(error.to_string().contains("not a picture"), "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In this process a panic would be another error.
    #[test]
    fn no_picture_makes_the_search_for_a_cause_panic(
        width in 1u32..40,
        height in 1u32..40,
        colors in prop::sample::select(vec![Colors::Grey, Colors::GreyAlpha, Colors::Rgb, Colors::Rgba]),
        sixteen in any::<bool>(),
        values in prop::collection::vec(prop::sample::select(vec![0u8, 1, 128, 254, 255]), 1..64),
    ) {
        let count = (width * height) as usize * colors.samples();
        let values = values.into_iter().cycle().take(count);
        let samples = match sixteen {
            true => Samples::Sixteen(values.map(|value| u16::from(value) << 8 | u16::from(value)).collect()),
            false => Samples::Eight(values.collect()),
        };
        let file = png(Raster::new(width, height, colors, samples).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(told(file));
        prop_assert!(matches!(error, DecodingError::Picture(_)), "{error}");
        prop_assert_eq!(error.class(), ErrorClass::NotProtected);
    }
}

/// A TIFF of one pixel with a compression that nothing here decodes (JPEG 2000).
fn strange_tiff() -> Vec<u8> {
    let entries: [(u16, u16); 9] = [
        (256, 1),
        (257, 1),
        (258, 8),
        (259, 34_712),
        (262, 1),
        (273, 122),
        (277, 1),
        (278, 1),
        (279, 4),
    ];
    let mut file = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, value) in entries {
        // One number of 16 bits.
        let fields = [
            tag.to_le_bytes(),
            [3, 0],
            [1, 0],
            [0, 0],
            value.to_le_bytes(),
            [0, 0],
        ];
        file.extend(fields.concat());
    }
    file.extend([0; 8]);
    file
}

#[tokio::test]
async fn a_picture_of_a_kind_that_is_not_supported_is_named_and_no_failure() {
    let error = told(strange_tiff()).await;
    assert_eq!(error.class(), ErrorClass::NotAPicture, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("a TIFF of a kind that this program does not decode"),
        "{text}"
    );
    let decoder = Decoder::in_this_process();
    let error = decoder
        .measure(strange_tiff(), &Limits::DEFAULT)
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotAPicture, "{error}");
    assert!(error.to_string().contains("`sealed` takes it"), "{error}");
}
