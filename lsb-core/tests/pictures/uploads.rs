//! Uploads are judged before they are decoded: bombs, lies, and files that are cut off.

use crate::fixtures::{RawPng, denied_picture, photo, png};
use image::ExtendedColorType;
use lsb_core::picture::{self, decode_png};
use lsb_core::upload::{MediaType, Unusual, UploadError, inspect, inspect_png, inspect_stored};
use lsb_core::{ErrorKind, Limits};
use proptest::collection::vec;
use proptest::prelude::*;

/// 74 bytes that claim 100,000 × 100,000 pixels.
fn bomb() -> Vec<u8> {
    RawPng::new(100_000, 100_000, 8, 2, false)
        .chunk(
            b"IDAT",
            &[0x78, 0x9c, 0x63, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        )
        .end()
}

fn kind(file: &[u8]) -> ErrorKind {
    let error = inspect(file, &Limits::DEFAULT).unwrap_err();
    if MediaType::sniff(file) == Some(MediaType::Png) {
        // Every path that decodes says the same.
        assert_eq!(
            decode_png(file, u64::MAX, &Limits::DEFAULT).unwrap_err().kind(),
            error.kind()
        );
        assert_eq!(
            picture::extract(file, &Limits::DEFAULT).unwrap_err().kind(),
            error.kind()
        );
        assert_eq!(
            picture::carrier_for(file, 10, &Limits::DEFAULT)
                .unwrap_err()
                .kind(),
            error.kind()
        );
    }
    error.kind()
}

#[test]
fn real_photographs_are_accepted() {
    for (name, media_type) in [
        ("chelsea.png", MediaType::Png),
        ("rocket.jpg", MediaType::Jpeg),
        ("grace_hopper.jpg", MediaType::Jpeg),
    ] {
        let upload = inspect(&photo(name), &Limits::DEFAULT).unwrap();
        assert_eq!(upload.media_type, media_type);
        let decoded = image::load_from_memory(&photo(name)).unwrap();
        assert_eq!(
            (upload.size.width, upload.size.height),
            (decoded.width(), decoded.height())
        );
    }
}

#[test]
fn a_header_is_refused_for_what_it_claims() {
    assert_eq!(bomb().len(), 74);
    assert_eq!(kind(&bomb()), ErrorKind::TooLarge);
    let text = inspect(&bomb(), &Limits::DEFAULT).unwrap_err().to_string();
    assert!(
        text.contains("100000×100000") && text.contains("100000000"),
        "{text}"
    );
    // Within the limit on pixels, and still more than the data can hold.
    let liar = RawPng::new(9000, 9000, 8, 2, false).data(&[0; 1000]).end();
    assert!(matches!(
        inspect(&liar, &Limits::DEFAULT),
        Err(UploadError::FalseHeader { .. })
    ));
    assert_eq!(kind(&liar), ErrorKind::Damaged);
    // Within the limit on pixels, and above the limit on memory.
    let wide = RawPng::new(10_000, 9_999, 16, 6, false)
        .chunk(b"IDAT", &vec![0; 1_000_000])
        .end();
    assert!(matches!(
        inspect(&wide, &Limits::DEFAULT),
        Err(UploadError::TooManyDecodedBytes { .. })
    ));
    assert_eq!(kind(&wide), ErrorKind::TooLarge);
    // A palette's colours and a key become samples of their own.
    let keyed = RawPng::new(2, 2, 8, 3, false)
        .chunk(b"PLTE", &[0; 6])
        .chunk(b"tRNS", &[0])
        .data(&[0; 6])
        .end();
    let limited = |decoded_bytes| Limits {
        decoded_bytes,
        ..Limits::DEFAULT
    };
    inspect(&keyed, &limited(16)).unwrap();
    assert_eq!(
        inspect(&keyed, &limited(15)),
        Err(UploadError::TooManyDecodedBytes { bytes: 16, limit: 15 })
    );
}

#[test]
fn a_jpeg_with_a_false_header_is_refused_without_decoding() {
    let mut file = photo("rocket.jpg");
    let header = file
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0] || marker == [0xff, 0xc2])
        .unwrap();
    file[header + 5..header + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(kind(&file), ErrorKind::TooLarge);
    file[header + 5..header + 9].copy_from_slice(&[0, 0, 1, 0]);
    assert_eq!(kind(&file), ErrorKind::Damaged);
}

#[test]
fn limits_name_both_sides() {
    let file = photo("chelsea.png");
    let limits = Limits {
        upload_bytes: 1000,
        ..Limits::DEFAULT
    };
    let error = inspect(&file, &limits).unwrap_err();
    assert_eq!(
        error,
        UploadError::TooManyBytes {
            bytes: file.len() as u64,
            limit: 1000
        }
    );
    let limits = Limits {
        pixels: 451 * 300 - 1,
        ..Limits::DEFAULT
    };
    assert_eq!(inspect(&file, &limits).unwrap_err().kind(), ErrorKind::TooLarge);
    let limits = Limits {
        pixels: 451 * 300,
        ..Limits::DEFAULT
    };
    inspect(&file, &limits).unwrap();
}

/// A file that is cut off is refused wherever it would be shown; without its end marker alone it is accepted with a
/// note. Stored, it is accepted as soon as its header is there.
#[test]
fn a_cut_file_is_never_shown_as_if_it_were_whole() {
    for (name, step) in [
        ("", 1),
        ("chelsea.png", 997),
        ("rocket.jpg", 997),
        ("grace_hopper.jpg", 997),
        ("formats/progressive.jpg", 3),
        ("formats/cmyk.jpg", 7),
    ] {
        let file = if name.is_empty() {
            denied_picture()
        } else {
            photo(name)
        };
        let whole = picture::decode(&file, u64::MAX, &Limits::DEFAULT).unwrap().raster;
        for length in (8..file.len()).step_by(step).chain(file.len() - 40..file.len()) {
            let cut = &file[..length];
            let stored = inspect_stored(cut, &Limits::DEFAULT);
            match picture::decode(cut, u64::MAX, &Limits::DEFAULT) {
                Ok(decoded) => {
                    assert_eq!(decoded.raster, whole, "{name} {length}");
                    let inspected = inspect(cut, &Limits::DEFAULT).unwrap();
                    assert_eq!(inspected.unusual, Some(Unusual::EndMissing), "{name} {length}");
                    assert_eq!(stored, Ok(inspected));
                    // At most the end marker of a JPEG, and the last chunk of a PNG.
                    assert!(file.len() - length <= 12, "{name} {length}");
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Damaged, "{name} {length}: {error}");
                    match stored {
                        Ok(upload) => assert!(upload.unusual.is_some(), "{name} {length}"),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Damaged);
                            // The longest way to a header among these files.
                            assert!(length < 1000, "{name} {length}: {error}");
                        }
                    }
                }
            }
        }
    }
    for length in 0..8 {
        let error = inspect_stored(&denied_picture()[..length], &Limits::DEFAULT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAPicture, "{length}");
    }
}

#[test]
fn every_flipped_bit_of_a_png_is_noticed() {
    let card = denied_picture();
    let whole = picture::decode(&card, u64::MAX, &Limits::DEFAULT).unwrap().raster;
    for bit in 0..card.len() * 8 {
        let mut file = card.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        match picture::decode(&file, u64::MAX, &Limits::DEFAULT) {
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Damaged | ErrorKind::NotAPicture | ErrorKind::TooLarge
                ),
                "bit {bit}: {error}"
            ),
            // In the last chunk, which holds nothing.
            Ok(decoded) => {
                assert!(bit / 8 >= card.len() - 12, "bit {bit}");
                assert_eq!(decoded.raster, whole);
                let unusual = inspect(&file, &Limits::DEFAULT).unwrap().unusual;
                assert_eq!(unusual, Some(Unusual::EndMissing));
            }
        }
    }
}

#[test]
fn broken_rules_are_named() {
    let data = || RawPng::new(1, 1, 8, 0, false);
    let problem = |file: Vec<u8>| match inspect(&file, &Limits::DEFAULT).unwrap_err() {
        UploadError::Damaged { problem, .. } => problem,
        other => panic!("{other}"),
    };
    assert_eq!(problem(data().end()), "no pixel data");
    assert_eq!(
        problem(RawPng::new(1, 1, 8, 3, false).data(&[0, 1]).end()),
        "no palette, which its colour type needs"
    );
    assert_eq!(
        problem(RawPng::new(0, 1, 8, 0, false).end()),
        "a width or height of zero, or above 2147483647"
    );
    assert_eq!(
        problem(RawPng::new(1, 1, 16, 3, false).end()),
        "a combination of colour type and depth that does not exist"
    );
    let animated = data()
        .chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0])
        .data(&[0, 1])
        .end();
    let format = MediaType::Png;
    assert_eq!(
        inspect(&animated, &Limits::DEFAULT),
        Err(UploadError::Animated { format })
    );
}

#[test]
fn what_hides_in_a_profile_is_never_unpacked() {
    // 16 MB of zeros in a compressed text, and a profile that is no profile: neither is looked at.
    let packed = RawPng::new(2, 2, 8, 0, false)
        .chunk(
            b"iCCP",
            &[b"bomb\0\0".as_slice(), &[0x78, 0xda, 0xff, 0xff]].concat(),
        )
        .chunk(b"zTXt", &[b"bomb\0\0".as_slice(), &vec![0xaa; 100_000]].concat())
        .data(&[0, 1, 2, 0, 3, 4])
        .end();
    let limits = Limits {
        decoded_bytes: 4,
        ..Limits::DEFAULT
    };
    inspect(&packed, &limits).unwrap();
    let decoded = decode_png(&packed, u64::MAX, &Limits::DEFAULT).unwrap();
    assert_eq!((decoded.raster.width(), decoded.raster.height()), (2, 2));
}

#[test]
fn pixel_data_that_is_too_short_is_damage() {
    let short = RawPng::new(100, 100, 8, 0, false).data(&[0; 5000]).end();
    inspect(&short, &Limits::DEFAULT).unwrap();
    let error = decode_png(&short, u64::MAX, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[test]
fn bytes_behind_the_end_are_kept_and_accepted() {
    for name in ["chelsea.png", "rocket.jpg"] {
        let mut file = photo(name);
        file.extend(b"a moving picture");
        inspect(&file, &Limits::DEFAULT).unwrap();
    }
}

#[test]
fn a_jpeg_that_should_be_a_png_is_named() {
    let error = inspect_png(&photo("rocket.jpg"), &Limits::DEFAULT).unwrap_err();
    assert_eq!(
        error,
        UploadError::WrongFormat {
            found: MediaType::Jpeg,
            needed: MediaType::Png
        }
    );
}

#[test]
fn a_protected_picture_saved_as_jpeg_says_so() {
    let error = picture::extract(&photo("rocket.jpg"), &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotProtected);
    let text = error.to_string();
    assert!(text.contains("JPEG") && text.contains("re-encoded"), "{text}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), start in 0usize..3) {
        let mut file = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0xff, 0xd8, 0xff], &[]][start].to_vec();
        file.extend(bytes);
        let _ = inspect(&file, &Limits::DEFAULT);
        let _ = picture::extract(&file, &Limits::DEFAULT);
    }

    #[test]
    fn damaged_photographs_never_panic(place in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut file = photo("rocket.jpg");
        let place = place.index(2000);
        file[place] = value;
        let _ = inspect(&file, &Limits::DEFAULT);
    }

    /// Chunks with checksums that fit reach the rules behind the checksums, and the decoder.
    #[test]
    fn arbitrary_chunks_never_panic(
        depth in proptest::sample::select([1u8, 2, 4, 8, 16].as_slice()), color_type in 0u8..7,
        interlaced in any::<bool>(), width in 1u32..20, height in 1u32..20,
        chunks in vec((proptest::sample::select(vec![*b"PLTE", *b"tRNS", *b"IDAT", *b"iCCP", *b"fcTL", *b"IHDR"]),
            vec(any::<u8>(), 0..40)), 0..5), data in vec(any::<u8>(), 1..2000),
    ) {
        let mut file = RawPng::new(width, height, depth, color_type, interlaced);
        for (kind, content) in &chunks {
            file = file.chunk(kind, content);
        }
        let file = file.data(&data).end();
        let inspected = inspect(&file, &Limits::DEFAULT);
        let decoded = decode_png(&file, u64::MAX, &Limits::DEFAULT);
        prop_assert!(inspected.is_ok() || decoded.is_err());
        let _ = picture::carrier_for(&file, 100, &Limits::DEFAULT);
    }
}

#[test]
fn every_kind_of_png_that_the_encoder_writes_is_accepted() {
    for (colors, bytes) in [(ExtendedColorType::L8, 1), (ExtendedColorType::Rgba16, 8)] {
        inspect(&png(3, 2, colors, &vec![1; 6 * bytes]), &Limits::DEFAULT).unwrap();
    }
}
