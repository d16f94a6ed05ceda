//! The preamble: what is ours, what is damaged, what is newer.

use lsb_core::bits::BitsPerSample;
use lsb_core::preamble::{BodyChecksum, PREAMBLE_BYTES, Preamble, PreambleError};
use lsb_core::{ErrorKind, Layout};
use proptest::prelude::*;

fn preamble() -> Preamble {
    Preamble {
        layout: Layout::plain(BitsPerSample::Three),
        channel_mask: 0b111,
        body_bytes: 1000,
        body_checksum: BodyChecksum::of(b"a body"),
    }
}

/// A preamble with some bytes changed and a checksum that fits.
fn rewritten(change: impl FnOnce(&mut [u8; PREAMBLE_BYTES])) -> [u8; PREAMBLE_BYTES] {
    let mut bytes = preamble().to_bytes();
    change(&mut bytes);
    let checksum = crc32fast::hash(&bytes[..28]).to_be_bytes();
    bytes[28..].copy_from_slice(&checksum);
    bytes
}

#[test]
fn it_reads_what_it_wrote() {
    assert_eq!(Preamble::parse(&preamble().to_bytes()), Ok(preamble()));
}

#[test]
fn every_layout_has_its_own_encoding() {
    for bits in BitsPerSample::ALL {
        for matched in [false, true] {
            for scatter_salt in [None, Some(0), Some(u64::MAX)] {
                let mut written = preamble();
                written.layout = Layout {
                    bits,
                    matched,
                    scatter_salt,
                };
                let bytes = written.to_bytes();
                assert_eq!(Preamble::parse(&bytes), Ok(written));
                let flags = u8::from(scatter_salt.is_some()) | u8::from(matched) << 1;
                assert_eq!((bytes[5], bytes[6]), (flags, bits.count()));
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_damage() {
    for layout in [
        Layout::plain(BitsPerSample::Three),
        Layout::scattered(BitsPerSample::One, 77),
    ] {
        for place in 0..PREAMBLE_BYTES * 8 {
            let mut bytes = Preamble { layout, ..preamble() }.to_bytes();
            bytes[place / 8] ^= 1 << (place % 8);
            let error = Preamble::parse(&bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "bit {place}: {error}");
        }
    }
}

#[test]
fn up_to_three_flipped_bits_of_the_magic_are_damage_and_four_are_foreign() {
    for bits in 1..=32u32 {
        let mut bytes = preamble().to_bytes();
        let flips = u32::MAX.checked_shl(32 - bits).unwrap();
        for (byte, flip) in bytes.iter_mut().zip(flips.to_be_bytes()) {
            *byte ^= flip;
        }
        let expected = if bits <= 3 {
            PreambleError::Damaged {
                flipped_magic_bits: bits,
            }
        } else {
            PreambleError::NotOurs
        };
        assert_eq!(Preamble::parse(&bytes), Err(expected));
    }
}

#[test]
fn pictures_without_anything_are_foreign() {
    for byte in [0x00, 0xff, 0x55, 0xaa, 0x33, 0xcc, 0x0f, 0xf0] {
        assert_eq!(
            Preamble::parse(&[byte; PREAMBLE_BYTES]),
            Err(PreambleError::NotOurs)
        );
    }
}

#[test]
fn the_checksum_comes_before_the_version() {
    let mut bytes = preamble().to_bytes();
    bytes[4] = 2;
    assert_eq!(
        Preamble::parse(&bytes),
        Err(PreambleError::Damaged {
            flipped_magic_bits: 0
        })
    );
    let newer = rewritten(|bytes| bytes[4] = 2);
    assert_eq!(
        Preamble::parse(&newer),
        Err(PreambleError::NewerVersion { found: 2 })
    );
}

#[test]
fn reserved_layouts_are_unsupported_and_impossible_values_are_tampering() {
    for flags in [4, 5, 7, 0x80] {
        let error = Preamble::parse(&rewritten(|bytes| bytes[5] = flags)).unwrap_err();
        assert_eq!(
            error,
            PreambleError::UnsupportedLayout {
                flags,
                channel_mask: 7
            }
        );
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    let masked = Preamble::parse(&rewritten(|bytes| bytes[7] = 0b101)).unwrap_err();
    assert_eq!(masked.kind(), ErrorKind::Unsupported);
    let impossible: [fn(&mut [u8; 32]); 5] = [
        |bytes| bytes[4] = 0,
        |bytes| bytes[6] = 0,
        |bytes| bytes[6] = 5,
        |bytes| bytes[8..12].fill(0),
        |bytes| bytes[27] = 1,
    ];
    for change in impossible {
        assert_eq!(
            Preamble::parse(&rewritten(change)).unwrap_err().kind(),
            ErrorKind::Tampered
        );
    }
}

proptest! {
    #[test]
    fn what_parses_is_what_would_be_written(bytes in any::<[u8; 28]>(), ours in any::<bool>(), flags in 0u8..4) {
        let bytes = rewritten(|target| {
            target[..28].copy_from_slice(&bytes);
            if ours {
                target[..8].copy_from_slice(&[b'R', b'L', b'S', b'B', 1, flags, 1 + bytes[6] % 4, 7]);
                if flags & 1 == 0 {
                    target[20..28].fill(0);
                }
            }
        });
        if let Ok(preamble) = Preamble::parse(&bytes) {
            prop_assert_eq!(preamble.to_bytes(), bytes);
        } else {
            prop_assert!(!ours || bytes[8..12] == [0; 4]);
        }
    }
}
