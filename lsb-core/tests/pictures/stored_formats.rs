//! HEIC and AVIF are stored as they are and never decoded; everything else says so.

use crate::fixtures::heif::{avif, brands, heic, iso_box, meta};
use crate::fixtures::round_trip::{check_sealed, labelled};
use crate::fixtures::{Fixture, denied_picture, noise, photo};
use lsb_core::capacity::Size;
use lsb_core::metadata::{self, StripError};
use lsb_core::seal::{SealRequest, Shown, open, seal};
use lsb_core::upload::{MediaType, UploadError, inspect};
use lsb_core::{Error, ErrorKind, Limits, picture};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMITS: &Limits = &Limits::DEFAULT;

fn files() -> [(Vec<u8>, MediaType, Size); 2] {
    let size = |width, height| Size { width, height };
    [
        (heic(), MediaType::Heic, size(4032, 3024)),
        (avif(), MediaType::Avif, size(640, 480)),
    ]
}

#[test]
fn what_is_sealed_comes_back_byte_for_byte() {
    for (file, format, size) in files() {
        let upload = inspect(&file, LIMITS).unwrap();
        assert_eq!((upload.media_type, upload.size), (format, size));
        check_sealed(&file, format);
        let behind = [file, noise(100, 3)].concat();
        check_sealed(&behind, format);
    }
}

#[test]
fn a_cover_hides_it_as_well() {
    for (file, format, _) in files() {
        let (fixture, denied) = (Fixture::new(), denied_picture());
        let request = SealRequest {
            shown: Shown::Cover,
            ..fixture.request(&file, &denied)
        };
        let sealed = seal(&request).unwrap();
        let cover = photo("chelsea.png");
        let bits = picture::COVER_BITS;
        let hidden = picture::embed_in_cover(&sealed.envelope, &cover, bits, LIMITS).unwrap();
        let envelope = picture::extract(&hidden, LIMITS).unwrap();
        let opened = open(&envelope, &sealed.ledger_share).unwrap();
        assert!(opened.bytes == file);
        assert_eq!(opened.metadata.media_type, format);
    }
}

#[test]
fn where_pixels_are_needed_the_reason_is_said() {
    for (file, format, _) in files() {
        let errors = [
            picture::preview_of(&file, LIMITS).unwrap_err(),
            labelled(&file, LIMITS).unwrap_err(),
            picture::decode(&file, u64::MAX, LIMITS).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let text = error.to_string();
            let named = text.contains(&format.to_string()) && text.contains("`sealed`");
            assert!(named && text.contains("does not decode"), "{text}");
        }
        // As a denied picture, it is not the PNG that is needed.
        let error = seal(&Fixture::new().request(&denied_picture(), &file)).unwrap_err();
        assert!(matches!(
            error,
            Error::Upload(UploadError::WrongFormat { found, needed: MediaType::Png }) if found == format
        ));
    }
}

#[test]
fn nothing_is_looked_for_in_it() {
    for (file, format, _) in files() {
        let error = picture::extract(&file, LIMITS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotProtected);
        assert!(error.to_string().contains(&format.to_string()), "{error}");
        let unknown = StripError::StoredOnly { format };
        assert_eq!(metadata::list(&file), Err(unknown));
        assert_eq!(metadata::strip(&file).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn brands_tell_the_format() {
    for (major, compatible, format) in [
        (b"heix", [b"mif1", b"heix"], Some(MediaType::Heic)),
        (b"mif1", [b"heic", b"miaf"], Some(MediaType::Heic)),
        (b"mif1", [b"avif", b"miaf"], Some(MediaType::Avif)),
        (b"mif1", [b"miaf", b"mif2"], None),
        (b"isom", [b"mp42", b"iso2"], None),
    ] {
        let file = [brands(major, &compatible), meta(&[(8, 8)])].concat();
        assert_eq!(MediaType::sniff(&file), format);
    }
}

#[test]
fn sequences_are_animations() {
    for (brand, format) in [
        (b"avis", MediaType::Avif),
        (b"hevc", MediaType::Heic),
        (b"msf1", MediaType::Heic),
    ] {
        let file = [brands(brand, &[b"heic"]), meta(&[(8, 8)])].concat();
        assert_eq!(inspect(&file, LIMITS), Err(UploadError::Animated { format }));
        let first_frame = Limits {
            first_frame: true,
            ..*LIMITS
        };
        assert_eq!(inspect(&file, &first_frame).unwrap().media_type, format);
    }
}

#[test]
fn what_is_cut_off_too_large_or_without_a_size_is_refused() {
    for (file, format, size) in files() {
        // A cut between two boxes leaves nothing that is missing; one inside of any is noticed.
        let data = file.windows(4).position(|kind| kind == b"mdat").unwrap() - 4;
        for length in (data + 8..file.len()).step_by(7) {
            let cut = UploadError::CutOff {
                format,
                bytes: length,
            };
            assert_eq!(inspect(&file[..length], LIMITS), Err(cut), "{length}");
        }
        for length in 16..data {
            let error = inspect(&file[..length], LIMITS).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{length}: {error}");
        }
        let small = Limits {
            pixels: size.pixels() - 1,
            ..*LIMITS
        };
        let limit = small.pixels;
        assert_eq!(
            inspect(&file, &small),
            Err(UploadError::TooManyPixels { size, limit })
        );
    }
    for sizes in [&[][..], &[(0, 8)]] {
        let file = [brands(b"heic", &[]), meta(sizes)].concat();
        assert_eq!(inspect(&file, LIMITS).unwrap_err().kind(), ErrorKind::Damaged);
    }
    // A box that says it has fewer bytes than its header.
    let short = [brands(b"heic", &[]), meta(&[(8, 8)]), b"\0\0\0\x07mdat".to_vec()].concat();
    assert_eq!(inspect(&short, LIMITS).unwrap_err().kind(), ErrorKind::Damaged);
    // Bytes behind the end that look like a box, and are none.
    let appended = [
        brands(b"heic", &[]),
        meta(&[(8, 8)]),
        b"a text behind it".to_vec(),
    ]
    .concat();
    assert_eq!(inspect(&appended, LIMITS).unwrap().media_type, MediaType::Heic);
}

#[test]
fn lengths_of_every_width_are_read() {
    let large = |kind: &[u8; 4], content: &[u8]| {
        let length = content.len() as u64 + 16;
        [
            &1u32.to_be_bytes(),
            kind.as_slice(),
            &length.to_be_bytes(),
            content,
        ]
        .concat()
    };
    let start = [brands(b"heic", &[]), meta(&[(8, 8)])].concat();
    for end in [
        large(b"mdat", b"pixels"),
        [&[0; 4], b"mdat".as_slice(), b"pixels to the end"].concat(),
    ] {
        check_sealed(&[start.clone(), end].concat(), MediaType::Heic);
    }
    let cut = [start, large(b"mdat", b"pixels")[..12].to_vec()].concat();
    assert!(matches!(inspect(&cut, LIMITS), Err(UploadError::CutOff { .. })));
}

proptest! {
    #[test]
    fn arbitrary_boxes_never_panic(
        boxes in vec((0usize..8, vec(any::<u8>(), 0..40)), 0..8),
        place in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let kinds = [b"ftyp", b"meta", b"iprp", b"ipco", b"ispe", b"mdat", b"free", b"\0\xffab"];
        let boxes = boxes.iter().map(|(kind, content)| iso_box(kinds[*kind], content));
        let mut file = [vec![brands(b"heic", &[]), meta(&[(3, 3)])], boxes.collect()].concat().concat();
        let place = place.index(file.len());
        file[place] = value;
        let _ = inspect(&file, LIMITS);
        let _ = metadata::list(&file);
        prop_assert!(picture::decode(&file, u64::MAX, LIMITS).is_err());
    }
}
