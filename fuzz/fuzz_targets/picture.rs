//! A file that may be a picture: inspecting and decoding it never panics and stays within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lsb_core::{Limits, picture, upload};

fuzz_target!(|data: &[u8]| {
    let most_bytes = 1 << 20;
    let limits = Limits {
        pixels: 1 << 16,
        decoded_bytes: most_bytes,
        ..Limits::DEFAULT
    };
    let _ = upload::inspect(data, &limits);
    if let Ok(carried) = picture::inspect(data, &limits) {
        let _ = carried.envelope.verify_signature();
        assert!(
            carried.preamble.layout.body_bytes(carried.carrier_samples)
                >= u64::from(carried.preamble.body_bytes)
        );
    }
    if let Ok(decoded) = picture::decode_png(data, most_bytes, &limits) {
        let file = picture::encode_png(decoded.raster, &decoded.ancillary);
        assert!(file.is_ok(), "a decoded picture can be encoded");
    }
});
