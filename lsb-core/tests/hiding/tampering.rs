//! Whatever is changed in a protected file: never a wrong picture, always an error that says why.

use crate::fixtures::{Fixture, denied_picture, noise, photo, png};
use image::{ExtendedColorType, ImageEncoder};
use lsb_core::envelope::{ENTRY_BYTES, Envelope, HEADER_BYTES, SectionKind};
use lsb_core::picture::{self, SEALED_BITS, decode_png};
use lsb_core::preamble::PREAMBLE_SAMPLES;
use lsb_core::raster::{Colors, Raster, Samples};
use lsb_core::seal::{SealedObject, open};
use lsb_core::{Error, ErrorKind, Limits, carrier};

/// A small original: the card itself.
fn sealed() -> SealedObject {
    Fixture::new().seal(&denied_picture(), &denied_picture())
}

/// Everything a viewer does, from the envelope's bytes to the original's.
fn view(bytes: Vec<u8>, sealed: &SealedObject) -> Result<Vec<u8>, Error> {
    let envelope = Envelope::parse(bytes)?;
    envelope.verify_signature()?;
    Ok(open(&envelope, &sealed.ledger_share)?.bytes)
}

#[test]
fn every_flipped_bit_of_what_the_owner_signed_is_noticed() {
    let sealed = sealed();
    let bytes = sealed.envelope.as_bytes();
    assert_eq!(view(bytes.to_vec(), &sealed).unwrap(), denied_picture());
    let manifest = HEADER_BYTES + 4 * ENTRY_BYTES + 64;
    let contents: usize = sealed
        .envelope
        .manifest()
        .sections()
        .iter()
        .map(|entry| entry.length as usize)
        .sum();
    // Every bit of header, table and signature, and of the contents behind them.
    for bit in 0..(manifest + contents) * 8 {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = view(bytes, &sealed).unwrap_err();
        let kind = error.kind();
        let expected = match bit / 8 {
            // Version, mode, suite and the kinds and lengths of sections may also look like those
            // of a newer program, or of one that was cut off.
            0..8 | HEADER_BYTES.. if bit / 8 < manifest => {
                matches!(
                    kind,
                    ErrorKind::Tampered | ErrorKind::Unsupported | ErrorKind::Damaged
                )
            }
            88..HEADER_BYTES => matches!(
                kind,
                ErrorKind::Tampered | ErrorKind::Unsupported | ErrorKind::Damaged
            ),
            _ => kind == ErrorKind::Tampered,
        };
        assert!(expected, "bit {bit}: {error}");
    }
}

#[test]
fn hashes_that_are_made_right_again_do_not_make_the_signature_right() {
    use sha2::{Digest, Sha256};
    let sealed = sealed();
    for (index, kind) in [
        SectionKind::Policy,
        SectionKind::DeniedPicture,
        SectionKind::Original,
        SectionKind::OriginalMetadata,
    ]
    .into_iter()
    .enumerate()
    {
        let mut bytes = sealed.envelope.as_bytes().to_vec();
        let content = sealed.envelope.section(kind).unwrap();
        let start = bytes
            .windows(content.len())
            .position(|window| window == content)
            .unwrap();
        let changed = start + content.len() - 1;
        bytes[changed] ^= 0x40;
        let hash = Sha256::digest(&bytes[start..start + content.len()]);
        let entry = HEADER_BYTES + index * ENTRY_BYTES;
        bytes[entry + 8..entry + 40].copy_from_slice(&hash);
        if kind == SectionKind::Policy {
            bytes[56..88].copy_from_slice(&hash);
        }
        let error = view(bytes, &sealed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tampered, "{kind:?}: {error}");
        assert!(error.to_string().contains("signature"), "{kind:?}: {error}");
    }
}

#[test]
fn two_files_cannot_be_spliced() {
    // Mallory, an owner too, puts her policy and signature around alice's ciphertext.
    let (alice, mallory) = (sealed(), Fixture::new());
    let original = alice.envelope.section(SectionKind::Original).unwrap();
    let hers = mallory.seal(&denied_picture(), &denied_picture());
    let sections = [SectionKind::DeniedPicture, SectionKind::OriginalMetadata]
        .map(|kind| (kind, hers.envelope.section(kind).unwrap().to_vec()));
    let sections = [
        sections.to_vec(),
        vec![(SectionKind::Original, original.to_vec())],
    ]
    .concat();
    let draft =
        lsb_core::envelope::Draft::new(*hers.envelope.header(), mallory.policy.clone(), sections).unwrap();
    // The message that is signed begins with its purpose.
    let message = draft.signed_message();
    let (purpose, signed) = message.split_at(message.iter().position(|byte| *byte == 0).unwrap());
    let signature = mallory
        .owner
        .sign(std::str::from_utf8(purpose).unwrap(), &signed[1..]);
    let spliced = draft.finish(signature);
    spliced.verify_signature().unwrap();
    // Neither share opens it: the keys are bound to the header.
    for share in [&alice.ledger_share, &hers.ledger_share] {
        assert_eq!(open(&spliced, share).unwrap_err().kind(), ErrorKind::WrongKey);
    }
}

/// The samples of a protected file.
fn samples(file: &[u8]) -> (u32, u32, Vec<u8>) {
    let raster = decode_png(file, u64::MAX, &Limits::DEFAULT).unwrap().raster;
    let (width, height) = (raster.width(), raster.height());
    match raster.into_samples() {
        Samples::Eight(samples) => (width, height, samples),
        Samples::Sixteen(_) => panic!("sealed carriers have eight bits"),
    }
}

fn read(width: u32, height: u32, samples: Vec<u8>) -> Result<Vec<u8>, Error> {
    Ok(carrier::read(
        &Raster::new(width, height, Colors::Rgb, Samples::Eight(samples)).unwrap(),
    )?)
}

#[test]
fn flips_of_carrying_bits_are_damage_and_all_others_change_nothing() {
    let sealed = sealed();
    let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
    let (width, height, samples) = samples(&file);
    let body_bits = sealed.envelope.as_bytes().len() * 8;
    let body_samples = body_bits.div_ceil(3);
    let places = (0..PREAMBLE_SAMPLES + 2000).chain((PREAMBLE_SAMPLES..samples.len()).step_by(7));
    for place in places {
        for bit in [0, 1, 2, 3, 7] {
            let mut touched = samples.clone();
            touched[place] ^= 1 << bit;
            let result = read(width, height, touched);
            let in_body = place
                .checked_sub(PREAMBLE_SAMPLES)
                .filter(|place| *place < body_samples);
            // The body's bits fill a sample from the top of its three bits.
            let carries = match in_body {
                None => place < PREAMBLE_SAMPLES && bit == 0,
                Some(sample) => bit < 3 && sample * 3 + (2 - bit) < body_bits,
            };
            if carries {
                assert_eq!(
                    result.unwrap_err().kind(),
                    ErrorKind::Damaged,
                    "sample {place}, bit {bit}"
                );
            } else {
                assert_eq!(
                    result.unwrap(),
                    sealed.envelope.as_bytes(),
                    "sample {place}, bit {bit}"
                );
            }
        }
    }
}

#[test]
fn a_lossless_copy_keeps_everything() {
    let sealed = Fixture::new().seal(&photo("chelsea.png"), &denied_picture());
    let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
    let (width, height, samples) = samples(&file);
    let with_alpha: Vec<u8> = samples
        .chunks_exact(3)
        .flat_map(|p| [p[0], p[1], p[2], 255])
        .collect();
    let recompressed = |colors, samples: &[u8]| {
        use image::codecs::png::{CompressionType, FilterType, PngEncoder};
        let mut copy = Vec::new();
        let encoder = PngEncoder::new_with_quality(&mut copy, CompressionType::Default, FilterType::Sub);
        encoder.write_image(samples, width, height, colors).unwrap();
        copy
    };
    let copies = [
        recompressed(ExtendedColorType::Rgb8, samples.as_slice()),
        recompressed(ExtendedColorType::Rgba8, with_alpha.as_slice()),
    ];
    for copy in copies {
        assert!(copy != file);
        assert_eq!(
            picture::extract(&copy, &Limits::DEFAULT).unwrap(),
            sealed.envelope
        );
    }
}

#[test]
fn what_destroys_the_hidden_part_is_said() {
    let sealed = Fixture::new().seal(&photo("chelsea.png"), &denied_picture());
    let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
    let (width, height, samples) = samples(&file);
    let picture = image::RgbImage::from_raw(width, height, samples.clone()).unwrap();
    let kind = |file: &[u8]| picture::extract(file, &Limits::DEFAULT).unwrap_err().kind();

    let mut jpeg = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95);
    picture.write_with_encoder(encoder).unwrap();
    assert_eq!(kind(&jpeg), ErrorKind::NotProtected);

    let back = image::load_from_memory(&jpeg).unwrap().into_rgb8();
    let back = png(width, height, ExtendedColorType::Rgb8, back.as_raw());
    assert_eq!(kind(&back), ErrorKind::NotProtected);
    let text = picture::extract(&back, &Limits::DEFAULT).unwrap_err().to_string();
    assert!(
        text.contains("never protected") && text.contains("JPEG"),
        "{text}"
    );

    let cropped = png(
        width,
        height / 2,
        ExtendedColorType::Rgb8,
        &samples[..(width * (height / 2) * 3) as usize],
    );
    assert_eq!(kind(&cropped), ErrorKind::Damaged);

    let half = image::imageops::resize(
        &picture,
        width / 2,
        height / 2,
        image::imageops::FilterType::Triangle,
    );
    assert_eq!(
        kind(&png(
            width / 2,
            height / 2,
            ExtendedColorType::Rgb8,
            half.as_raw()
        )),
        ErrorKind::NotProtected
    );

    let drawn_over: Vec<u8> = samples
        .iter()
        .enumerate()
        .map(|(place, sample)| if place > 90_000 { 255 } else { *sample })
        .collect();
    assert_eq!(
        kind(&png(width, height, ExtendedColorType::Rgb8, &drawn_over)),
        ErrorKind::Damaged
    );

    // The last chunk says nothing but that it is the last one.
    let pixels_end = file.len() - 12;
    for length in pixels_end..file.len() {
        let found = picture::extract(&file[..length], &Limits::DEFAULT).unwrap();
        assert_eq!(found, sealed.envelope);
    }
    for length in (8..pixels_end).step_by(997).chain(pixels_end - 20..pixels_end) {
        assert_eq!(
            kind(&file[..length]),
            ErrorKind::Damaged,
            "cut off after {length}"
        );
    }
}

#[test]
fn what_moves_every_sample_destroys_the_hidden_part() {
    let sealed = Fixture::new().seal(&photo("chelsea.png"), &denied_picture());
    let file = picture::embed(&sealed.envelope, &Limits::DEFAULT).unwrap();
    let (width, height, samples) = samples(&file);
    let check = |what: &str, file: &[u8]| {
        let started = std::time::Instant::now();
        let error = picture::extract(file, &Limits::DEFAULT).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NotProtected | ErrorKind::Damaged),
            "{what}: {error}"
        );
        assert!(started.elapsed().as_secs() < 1, "{what}");
    };
    let moved = |change: &dyn Fn(u8) -> u8| -> Vec<u8> { samples.iter().copied().map(change).collect() };
    let gamma = moved(&|sample| ((f64::from(sample) / 255.0).powf(1.0 / 1.1) * 255.0).round() as u8);
    check("gamma", &png(width, height, ExtendedColorType::Rgb8, &gamma));
    let brighter = moved(&|sample| sample.saturating_add(1));
    check(
        "brightness",
        &png(width, height, ExtendedColorType::Rgb8, &brighter),
    );
    // Faded a little, and its colours multiplied by the alpha and divided by it again: not one pixel is opaque any
    // more.
    let faded: Vec<u8> = samples
        .chunks_exact(3)
        .flat_map(|pixel| {
            let through = |sample: u8| ((u32::from(sample) * 250 + 127) / 255 * 255 / 250) as u8;
            [through(pixel[0]), through(pixel[1]), through(pixel[2]), 250]
        })
        .collect();
    check(
        "premultiplied alpha",
        &png(width, height, ExtendedColorType::Rgba8, &faded),
    );
}

#[test]
fn pictures_without_anything_are_not_protected() {
    let kind = |file: &[u8]| picture::extract(file, &Limits::DEFAULT).unwrap_err().kind();
    assert_eq!(kind(&photo("chelsea.png")), ErrorKind::NotProtected);
    assert_eq!(kind(&denied_picture()), ErrorKind::NotProtected);
    assert_eq!(
        kind(&png(1, 1, ExtendedColorType::L8, &[0])),
        ErrorKind::NotProtected
    );
    for seed in 0..50 {
        assert_eq!(
            kind(&png(60, 60, ExtendedColorType::Rgb8, &noise(10_800, seed))),
            ErrorKind::NotProtected
        );
    }
}

#[test]
fn a_body_that_is_no_envelope_is_refused() {
    let mut raster = picture::carrier_for(&denied_picture(), 1000, &Limits::DEFAULT).unwrap();
    carrier::write(&mut raster, SEALED_BITS, &[0x42; 1000]).unwrap();
    let file = picture::encode_png(raster, &picture::Ancillary::default()).unwrap();
    assert_eq!(
        picture::extract(&file, &Limits::DEFAULT).unwrap_err().kind(),
        ErrorKind::Tampered
    );
}
