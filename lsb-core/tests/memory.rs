//! The peak memory of one operation stays below what [`Limits`] promises: the file twice, the decoded samples three
//! times, the envelope twice, and a megabyte for tables and windows.
//!
//! A program of its own: it counts allocations, so all of it runs on an allocator that does, and no other test should.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod fixtures;

use std::io::Cursor;

use allocation_counter::measure;
use fixtures::jpeg::RawJpeg;
use fixtures::{Fixture, denied_picture, noise, photo};
use image::{DynamicImage, ImageFormat};
use lsb_core::bits::BitsPerSample;
use lsb_core::raster::{Raster, Samples};
use lsb_core::seal::{self, SealRequest, Shown};
use lsb_core::{Limits, picture};

const TABLES: u64 = 1 << 20;
const SIDES: (u32, u32) = (1200, 900);

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let (width, height) = SIDES;
    let samples = noise((width * height * 4) as usize, 1);
    let alpha = DynamicImage::ImageRgba8(image::RgbaImage::from_raw(width, height, samples).unwrap());
    let colours = DynamicImage::ImageRgb8(alpha.to_rgb8());
    let deep = DynamicImage::ImageRgb16(colours.to_rgb16());
    let (side, other) = (1200, 900);
    vec![
        ("PNG", encoded(&colours, ImageFormat::Png)),
        ("PNG of 16 bits", encoded(&deep, ImageFormat::Png)),
        ("WebP", encoded(&alpha, ImageFormat::WebP)),
        ("BMP", encoded(&colours, ImageFormat::Bmp)),
        ("TIFF", encoded(&deep, ImageFormat::Tiff)),
        ("GIF", encoded(&colours, ImageFormat::Gif)),
        ("JPEG", RawJpeg::new(side, other, 3).noise(2).end()),
        (
            "JPEG to be turned",
            RawJpeg::new(side, other, 3).noise(2).exif_orientation(6).end(),
        ),
        ("CMYK", RawJpeg::new(side, other, 4).noise(2).end()),
        ("lossy WebP", photo("formats/lossy.webp")),
        ("progressive JPEG", photo("formats/progressive.jpg")),
    ]
}

fn decoded_bytes(raster: &Raster) -> u64 {
    (match raster.samples() {
        Samples::Eight(samples) => samples.len(),
        Samples::Sixteen(samples) => samples.len() * 2,
    }) as u64
}

#[test]
fn every_operation_stays_below_the_stated_bound() {
    let limits = Limits::DEFAULT;
    let fixture = Fixture::new();
    let denied = denied_picture();
    for (name, file) in files() {
        let samples = decoded_bytes(&picture::decode(&file, u64::MAX, &limits).unwrap().raster);
        let request = SealRequest {
            shown: Shown::Cover,
            ..fixture.request(&denied, &denied)
        };
        let sealed = seal::seal(&request).unwrap();
        let bound = |file: &[u8]| {
            2 * file.len() as u64 + 3 * samples + 2 * sealed.envelope.as_bytes().len() as u64 + TABLES
        };
        let check = |what: &str, file: &[u8], work: &mut dyn FnMut()| {
            let used = measure(work).bytes_max;
            let bound = bound(file);
            assert!(
                used <= bound,
                "{what} {name}: {used} bytes, and {bound} are stated"
            );
        };
        check("decode", &file, &mut || {
            drop(picture::decode(&file, u64::MAX, &limits).unwrap());
        });
        let mut protected = Vec::new();
        check("hide in", &file, &mut || {
            protected =
                picture::embed_in_cover(&sealed.envelope, &file, BitsPerSample::Two, &limits).unwrap();
        });
        let larger = if protected.len() > file.len() {
            &protected
        } else {
            &file
        };
        check("read from", larger, &mut || {
            drop(picture::extract(&protected, &limits).unwrap());
        });
        check("preview", &file, &mut || {
            drop(picture::preview_of(&file, &limits).unwrap())
        });
    }
}
