//! Bytes out of a picture: parsing never panics, and every value has one encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lsb_core::envelope::{Envelope, Manifest};

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = Envelope::parse(data.to_vec()) {
        assert_eq!(envelope.as_bytes(), data, "an envelope has one encoding");
        let _ = envelope.verify_signature();
        let _ = envelope.policy();
    }
    if let Ok(manifest) = Manifest::parse(data) {
        assert_eq!(manifest.to_bytes(), data, "a manifest has one encoding");
    }
});
