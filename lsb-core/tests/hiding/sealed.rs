//! Mode `sealed`, file to file: what comes out is byte for byte what went in.

use crate::fixtures::{Fixture, denied_picture, noise, photo, png};
use image::ExtendedColorType;
use lsb_core::envelope::Status;
use lsb_core::raster::Samples;
use lsb_core::{Error, ErrorKind, Limits, UnixSeconds, capacity, picture, seal, upload};

#[test]
fn every_photograph_comes_out_as_it_went_in() {
    for name in ["chelsea.png", "rocket.jpg", "grace_hopper.jpg"] {
        let original = photo(name);
        let fixture = Fixture::new();
        let sealed = fixture.seal(&original, &denied_picture());
        let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
        let envelope = picture::extract(&file, &Limits::DEFAULT).unwrap();
        assert_eq!(envelope, sealed.envelope);
        envelope.verify_signature().unwrap();
        let opened = seal::open(&envelope, &sealed.ledger_share).unwrap();
        assert_eq!(opened.bytes, original);
        let upload = upload::inspect(&original, &Limits::DEFAULT).unwrap();
        assert_eq!(opened.metadata.media_type, upload.media_type);
        assert_eq!(opened.metadata.size, upload.size);
        assert_eq!(envelope.denied_picture(), denied_picture());
    }
}

#[test]
fn the_carrier_is_the_denied_picture_and_as_small_as_it_can_be() {
    let sealed = Fixture::new().seal(&photo("chelsea.png"), &denied_picture());
    let body = sealed.envelope.as_bytes().len() as u64;
    let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
    let raster = picture::decode_png(&file, u64::MAX, &Limits::DEFAULT)
        .unwrap()
        .raster;
    assert_eq!(
        raster.height(),
        (raster.width() * 32).div_ceil(48),
        "the proportions of the card"
    );
    let room = capacity::body_bytes(raster.carrier_samples(), picture::SEALED_BITS);
    assert!(room >= body && room < body + body / 50, "{room} for {body}");
    // The middle is the card's red, up to the bits that were replaced.
    let Samples::Eight(samples) = raster.samples() else {
        panic!("sealed carriers have eight bits");
    };
    let middle = (raster.height() / 2 * raster.width() + raster.width() / 2) as usize * 3;
    for (sample, red) in samples[middle..middle + 3].iter().zip([200u8, 30, 30]) {
        assert!(sample.abs_diff(red) <= 4);
    }
    assert_eq!(
        picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap(),
        file,
        "the same every time"
    );
}

#[test]
fn a_denied_picture_is_never_made_smaller() {
    let denied = photo("chelsea.png");
    let sealed = Fixture::new().seal(&denied_picture(), &denied);
    // 240 KB of denied picture need more than its own 451 × 300 pixels; a large flat card does not.
    let flat = png(1000, 700, ExtendedColorType::L8, &[222; 700_000]);
    let roomy = Fixture::new().seal(&denied_picture(), &flat);
    for (envelope, width, height) in [(&sealed.envelope, 451, 300), (&roomy.envelope, 1000, 700)] {
        let file = picture::embed(envelope, &Limits::DEFAULT).unwrap();
        let raster = picture::decode_png(&file, u64::MAX, &Limits::DEFAULT)
            .unwrap()
            .raster;
        assert!(raster.width() >= width && raster.height() >= height);
        assert_eq!(picture::extract(&file, &Limits::DEFAULT).unwrap(), *envelope);
    }
    let file = picture::embed(&roomy.envelope, &Limits::DEFAULT).unwrap();
    let raster = picture::decode_png(&file, u64::MAX, &Limits::DEFAULT)
        .unwrap()
        .raster;
    assert_eq!((raster.width(), raster.height()), (1000, 700));
}

#[test]
fn denied_pictures_of_every_kind_and_shape_carry() {
    let kinds = [
        (ExtendedColorType::L8, 1),
        (ExtendedColorType::La8, 2),
        (ExtendedColorType::Rgba8, 4),
        (ExtendedColorType::L16, 2),
        (ExtendedColorType::Rgb16, 6),
        (ExtendedColorType::Rgba16, 8),
    ];
    let original = photo("grace_hopper.jpg");
    for (colors, bytes) in kinds {
        for (width, height) in [(1, 1), (1, 50), (50, 1), (3, 2), (2, 3), (64, 64)] {
            let denied = png(
                width,
                height,
                colors,
                &noise((width * height) as usize * bytes, 3),
            );
            let sealed = Fixture::new().seal(&original, &denied);
            let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
            let envelope = picture::extract(&file, &Limits::DEFAULT).unwrap();
            assert_eq!(envelope.denied_picture(), denied);
            assert_eq!(
                seal::open(&envelope, &sealed.ledger_share).unwrap().bytes,
                original
            );
        }
    }
}

#[test]
fn an_original_beyond_the_limit_on_pixels_is_a_capacity_error() {
    let sealed = Fixture::new().seal(&photo("chelsea.png"), &denied_picture());
    let limits = Limits {
        pixels: 100_000,
        ..Limits::DEFAULT
    };
    let error = picture::embed(&sealed.envelope, &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Capacity);
    let Error::Capacity(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.needed_bytes, sealed.envelope.as_bytes().len() as u64);
    assert_eq!(error.available_bytes, (300_000 - 256) * 3 / 8);
}

#[test]
fn the_receipt_and_the_status_travel_with_the_file() {
    let fixture = Fixture::new();
    let sealed = fixture.seal(&photo("grace_hopper.jpg"), &denied_picture());
    let cluster = seal::SigningKey::from_bytes(&[30; 32]);
    let receipt = cluster.sign_receipt(sealed.envelope.manifest(), 7, UnixSeconds(1_700_000_009));
    let status = Status {
        as_of: UnixSeconds(1_700_000_009),
        log_index: 7,
        remaining: vec![],
    };
    let envelope = sealed
        .envelope
        .with_receipt(receipt)
        .with_status(Some(status))
        .unwrap();
    let file = picture::embed(&envelope, &Limits::DEFAULT).unwrap();
    let envelope = picture::extract(&file, &Limits::DEFAULT).unwrap();
    assert_eq!(
        envelope.verify_receipt(&cluster.public()).unwrap(),
        Some(&receipt)
    );
    assert_eq!(envelope.status().unwrap().log_index, 7);
    envelope.verify_signature().unwrap();
}
