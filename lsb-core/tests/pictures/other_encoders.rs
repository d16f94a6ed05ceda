//! Files as other programs write them: what Pillow 13 (libwebp, libjpeg-turbo, libtiff) made of one corner of
//! `chelsea.png`. The encoders that the other tests use write lossless WebP, baseline JPEG and plain TIFF only.

use crate::fixtures::round_trip::{check_labelled, check_sealed, eight_bits, raster};
use crate::fixtures::{Fixture, denied_picture, photo};
use lsb_core::bits::BitsPerSample;
use lsb_core::raster::{Colors, Raster};
use lsb_core::seal::{SealRequest, Shown, open, seal};
use lsb_core::upload::MediaType;
use lsb_core::{Limits, picture};

/// The corner that all of them show.
const CORNER: (u32, u32) = (120, 60);

/// Each file, what it is, the samples it decodes to, and how far from the photograph they are on average at most.
const FILES: [(&str, MediaType, Colors, u64); 11] = [
    ("lossy.webp", MediaType::WebP, Colors::Rgb, 6),
    ("lossy-alpha.webp", MediaType::WebP, Colors::Rgba, 6),
    ("progressive.jpg", MediaType::Jpeg, Colors::Rgb, 6),
    ("cmyk.jpg", MediaType::Jpeg, Colors::Rgb, 6),
    ("grey.jpg", MediaType::Jpeg, Colors::Grey, 4),
    ("palette.png", MediaType::Png, Colors::Rgb, 9),
    ("palette.bmp", MediaType::Bmp, Colors::Rgb, 9),
    // Interlaced, too.
    ("palette.gif", MediaType::Gif, Colors::Rgba, 9),
    ("lzw-grey.tif", MediaType::Tiff, Colors::Grey, 1),
    ("deflate-rgb.tif", MediaType::Tiff, Colors::Rgb, 0),
    // Black and white dots: only their density is that of the photograph.
    ("one-bit.tif", MediaType::Tiff, Colors::Grey, 255),
];

fn file(name: &str) -> Vec<u8> {
    photo(&format!("formats/{name}"))
}

/// The mean difference between a picture's opaque pixels and the corner, grey compared with grey.
fn mean_difference(raster: &Raster, photograph: &Raster) -> u64 {
    let (colors, has_alpha) = (raster.colors().colors(), raster.colors().has_alpha());
    let (mut sum, mut count) = (0, 0);
    let pixels = eight_bits(raster).chunks_exact(raster.colors().samples());
    for (place, pixel) in (0u32..).zip(pixels) {
        if has_alpha && pixel.last() != Some(&255) {
            continue;
        }
        let (x, y) = (
            CORNER.0 + place % raster.width(),
            CORNER.1 + place / raster.width(),
        );
        let start = (y * photograph.width() + x) as usize * 3;
        let [red, green, blue] = eight_bits(photograph)[start..start + 3] else {
            unreachable!("three samples")
        };
        // ITU-R BT.601, as Pillow makes grey.
        let grey = (299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) + 500) / 1000;
        let expected = if colors == 1 {
            [u8::try_from(grey).unwrap(); 3]
        } else {
            [red, green, blue]
        };
        sum += pixel[..colors]
            .iter()
            .zip(expected)
            .map(|(is, was)| u64::from(is.abs_diff(was)))
            .sum::<u64>();
        count += colors as u64;
    }
    sum / count
}

#[test]
fn files_of_other_programs_show_what_they_should() {
    let photograph = raster(&photo("chelsea.png"), &Limits::DEFAULT);
    for (name, _, colors, most) in FILES {
        let decoded = raster(&file(name), &Limits::DEFAULT);
        assert_eq!(decoded.colors(), colors, "{name}");
        let difference = mean_difference(&decoded, &photograph);
        assert!(difference <= most, "{name}: {difference}");
    }
}

#[test]
fn files_of_other_programs_come_back_byte_for_byte_and_can_be_labelled() {
    for (name, media_type, _, _) in FILES {
        check_sealed(&file(name), media_type);
        check_labelled(&file(name));
    }
}

#[test]
fn files_of_other_programs_can_cover() {
    let original = denied_picture();
    for (name, _, colors, _) in FILES {
        let fixture = Fixture::new();
        let request = SealRequest {
            shown: Shown::Cover,
            ..fixture.request(&original, &original)
        };
        let sealed = seal(&request).unwrap();
        let covered = picture::embed_in_cover(
            &sealed.envelope,
            &file(name),
            BitsPerSample::Two,
            &Limits::DEFAULT,
        )
        .unwrap();
        assert_eq!(raster(&covered, &Limits::DEFAULT).colors(), colors, "{name}");
        let found = picture::extract(&covered, &Limits::DEFAULT).unwrap();
        assert!(
            open(&found, &sealed.ledger_share).unwrap().bytes == original,
            "{name}"
        );
    }
}
