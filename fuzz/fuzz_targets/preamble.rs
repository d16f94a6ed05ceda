//! The first 32 hidden bytes: parsing never panics, every value has one encoding, and no length in them leads to
//! arithmetic that overflows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lsb_core::preamble::{MAGIC, PREAMBLE_BYTES, Preamble};

fuzz_target!(|data: &[u8]| {
    let Some(bytes) = data.first_chunk::<PREAMBLE_BYTES>() else {
        return;
    };
    check(bytes);
    // With a valid magic and checksum, without which the checks after them would never be reached.
    let mut ours = *bytes;
    ours[..4].copy_from_slice(&MAGIC);
    let checksum = crc32fast::hash(&ours[..PREAMBLE_BYTES - 4]);
    ours[PREAMBLE_BYTES - 4..].copy_from_slice(&checksum.to_be_bytes());
    check(&ours);
});

fn check(bytes: &[u8; PREAMBLE_BYTES]) {
    if let Ok(preamble) = Preamble::parse(bytes) {
        assert_eq!(&preamble.to_bytes(), bytes, "a preamble has one encoding");
        let body_bytes = u64::from(preamble.body_bytes);
        let samples = preamble.layout.samples_needed(body_bytes);
        assert!(preamble.layout.body_bytes(samples) >= body_bytes);
        assert!(preamble.layout.body_bytes(u64::MAX) > 0);
    }
}
