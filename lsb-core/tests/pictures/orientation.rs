//! A picture that its metadata turns is stored as it is, and what is made of it stands upright.

use std::io::Cursor;

use crate::fixtures::jpeg::RawJpeg;
use crate::fixtures::round_trip::{check_sealed, eight_bits, labelled, raster};
use crate::fixtures::{Fixture, denied_picture, raw_tiff};
use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat};
use lsb_core::raster::Raster;
use lsb_core::upload::MediaType;
use lsb_core::{Limits, picture};

#[test]
fn a_rotated_jpeg_is_labelled_upright() {
    // Eight orientations of a picture of 240 × 80, dark left and bright right, as stored.
    let stored = |orientation: u8| {
        RawJpeg::new(240, 80, 1)
            .halves(40, 200)
            .exif_orientation(orientation)
            .end()
    };
    let plain = raster(&stored(1), &Limits::DEFAULT);
    assert_eq!((plain.width(), plain.height()), (240, 80));
    let corner = |raster: &Raster, x: u32, y: u32| eight_bits(raster)[(y * raster.width() + x) as usize];
    // Where the bright half is: right, left, left, right, bottom, bottom, top, top.
    for (orientation, turned, bright) in [
        (1, false, (239, 40)),
        (2, false, (0, 40)),
        (3, false, (0, 40)),
        (4, false, (239, 40)),
        (5, true, (40, 239)),
        (6, true, (40, 239)),
        (7, true, (40, 0)),
        (8, true, (40, 0)),
    ] {
        let file = stored(orientation);
        // The file's own bytes are what is sealed; a label's pixels stand upright.
        check_sealed(&file, MediaType::Jpeg);
        let labelled = labelled(&file, &Limits::DEFAULT).unwrap();
        let upright = raster(&labelled.file, &Limits::DEFAULT);
        assert_eq!(
            upright.width() < upright.height(),
            turned,
            "orientation {orientation}"
        );
        assert!(
            corner(&upright, bright.0, bright.1) > 150,
            "orientation {orientation}"
        );
        let preview = picture::preview_of(&file, &Limits::DEFAULT).unwrap();
        let preview = raster(&preview, &Limits::DEFAULT);
        assert_eq!(
            preview.width() < preview.height(),
            turned,
            "orientation {orientation}"
        );
    }
}

/// What EXIF says of a picture's orientation, as WebP files and TIFF directories have it.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

/// A lossless WebP with an extended header, and its orientation behind the picture.
fn turned_webp(picture: &DynamicImage, orientation: u8) -> Vec<u8> {
    let mut still = Cursor::new(Vec::new());
    picture.write_to(&mut still, ImageFormat::WebP).unwrap();
    let still = still.into_inner();
    let mut body = b"WEBPVP8X\x0a\0\0\0\x08\0\0\0".to_vec();
    for side in [picture.width(), picture.height()] {
        body.extend(&(side - 1).to_le_bytes()[..3]);
    }
    body.extend(&still[12..]);
    let exif = exif(orientation);
    body.extend(b"EXIF");
    body.extend(u32::try_from(exif.len()).unwrap().to_le_bytes());
    body.extend(exif);
    [
        b"RIFF".as_slice(),
        &u32::try_from(body.len()).unwrap().to_le_bytes(),
        &body,
    ]
    .concat()
}

/// A grey TIFF of 240 × 80 in one strip, with its orientation in the directory.
fn turned_tiff(picture: &DynamicImage, orientation: u8) -> Vec<u8> {
    raw_tiff(
        &[
            (256, 240),
            (257, 80),
            (258, 8),
            (259, 1),
            (262, 1),
            (274, orientation.into()),
            (278, 80),
        ],
        &picture.to_luma8().into_raw(),
    )
}

#[test]
fn other_rotated_pictures_are_labelled_upright() {
    let halves = image::GrayImage::from_fn(240, 80, |x, _| image::Luma([if x < 120 { 40 } else { 200 }]));
    let picture = DynamicImage::ImageLuma8(halves);
    for orientation in 1..=8 {
        let expected = {
            let mut picture = picture.clone();
            picture.apply_orientation(Orientation::from_exif(orientation).unwrap());
            picture.to_luma8()
        };
        for file in [
            turned_webp(&picture, orientation),
            turned_tiff(&picture, orientation),
        ] {
            let format = MediaType::sniff(&file).unwrap();
            check_sealed(&file, format);
            let upright = raster(&labelled(&file, &Limits::DEFAULT).unwrap().file, &Limits::DEFAULT);
            assert_eq!(
                (upright.width(), upright.height()),
                expected.dimensions(),
                "{format} {orientation}"
            );
            let first_samples = eight_bits(&upright).chunks_exact(upright.colors().samples());
            let close = first_samples
                .zip(expected.as_raw())
                .all(|(is, was)| is[0].abs_diff(*was) <= 1);
            assert!(close, "{format} {orientation}");
        }
    }
}

/// A program that copies a protected picture may also note how it is held. The bits lie where they lay.
#[test]
fn hidden_bits_are_found_whatever_the_orientation_says() {
    let sealed = Fixture::new().seal(&denied_picture(), &denied_picture());
    let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
    let copy = image::load_from_memory(&file).unwrap();
    for orientation in 1..=8 {
        let turned = turned_webp(&copy, orientation);
        assert_eq!(
            picture::extract(&turned, &Limits::DEFAULT).unwrap(),
            sealed.envelope,
            "{orientation}"
        );
    }
}
