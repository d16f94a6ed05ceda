//! Pictures of every kind, compared with their pixels as another decoder has them. `pillow/make.py` made both.

use std::path::{Path, PathBuf};

use lsb_core::raster::{Colors, Raster, Samples};
use lsb_core::upload::{MediaType, inspect};
use lsb_core::{ErrorKind, Limits, picture};

fn files(below: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/pillow")
        .join(below);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| MediaType::sniff(&std::fs::read(path).unwrap_or_default()).is_some())
        .collect();
    files.sort();
    files
}

/// Width, height, and red, green, blue and alpha of eight bits.
fn expected(path: &Path) -> (u32, u32, Vec<u8>) {
    let mut name = path.as_os_str().to_owned();
    name.push(".pam");
    let file = std::fs::read(name).unwrap();
    let end = file.windows(7).position(|window| window == b"ENDHDR\n").unwrap();
    let header = std::str::from_utf8(&file[..end]).unwrap();
    let number = |name: &str| {
        let line = header.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    (number("WIDTH"), number("HEIGHT"), file[end + 7..].to_vec())
}

/// Red, green, blue and alpha of eight bits.
fn shown(raster: &Raster) -> Vec<[u8; 4]> {
    let samples: Vec<u8> = match raster.samples() {
        Samples::Eight(samples) => samples.clone(),
        Samples::Sixteen(samples) => samples.iter().map(|sample| sample.to_be_bytes()[0]).collect(),
    };
    let pixels = samples.chunks_exact(raster.colors().samples());
    let pixel = |pixel: &[u8]| match (raster.colors(), pixel) {
        (Colors::Grey, &[grey]) => [grey, grey, grey, 255],
        (Colors::GreyAlpha, &[grey, alpha]) => [grey, grey, grey, alpha],
        (Colors::Rgb, &[red, green, blue]) => [red, green, blue, 255],
        (_, pixel) => *pixel.first_chunk().unwrap(),
    };
    pixels.map(pixel).collect()
}

/// How far samples may be from those of another decoder. Lossless formats leave no choice but for rounding: of colours
/// that were multiplied by alpha, and of sums of inks. Decoders of JPEG smooth and round in their own ways.
fn allowed(path: &Path) -> u8 {
    let name = path.file_name().unwrap().to_str().unwrap();
    match name {
        "associated.tif" | "CMYK.tif" => 1,
        name if name.ends_with(".jpg") || name.starts_with("jpeg") => 4,
        _ => 0,
    }
}

#[test]
fn pixels_are_those_of_another_decoder() {
    let limits = Limits {
        first_frame: true,
        ..Limits::DEFAULT
    };
    let files = files("");
    let mut formats: Vec<MediaType> = Vec::new();
    let mut wrong = Vec::new();
    for path in &files {
        let file = std::fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        formats.extend(MediaType::sniff(&file));
        let (width, height, samples) = expected(path);
        let decoded = match picture::decode(&file, u64::MAX, &limits) {
            Ok(decoded) => decoded.raster,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        inspect(&file, &limits).unwrap();
        if (decoded.width(), decoded.height()) != (width, height) {
            wrong.push(format!("{name}: {} x {}", decoded.width(), decoded.height()));
            continue;
        }
        let pairs = shown(&decoded)
            .into_iter()
            .zip(samples.as_chunks::<4>().0.iter().copied());
        // The colour of a pixel that is not seen at all is nobody's business.
        let differences = pairs
            .filter(|(_, expected)| expected[3] > 0)
            .map(|(found, expected)| {
                let differences = found
                    .iter()
                    .zip(expected)
                    .map(|(found, expected)| found.abs_diff(expected));
                differences.max().unwrap()
            });
        let most = differences.max().unwrap();
        if most > allowed(path) {
            wrong.push(format!("{name}: differs by {most}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        files.len(),
        wrong.join("\n")
    );
    for format in MediaType::ALL.into_iter().filter(|format| format.is_decoded()) {
        assert!(
            formats.iter().filter(|found| **found == format).count() > 5,
            "{format}"
        );
    }
}

#[test]
fn other_kinds_are_refused_in_the_same_words() {
    let files = files("refused");
    assert!(files.len() > 3);
    for path in files {
        let file = std::fs::read(&path).unwrap();
        let error = picture::decode(&file, u64::MAX, &Limits::DEFAULT).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Unsupported,
            "{}: {error}",
            path.display()
        );
        let text = error.to_string();
        assert!(
            text.starts_with("this kind of TIFF is not supported in this mode; `sealed` takes it"),
            "{text}"
        );
        inspect(&file, &Limits::DEFAULT).unwrap();
    }
}
