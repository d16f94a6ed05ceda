//! A file of any format to protect, or to hide in: whatever it contains, decoding it never panics and never returns
//! more than the limits allow; a decoded picture can carry a payload, and be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lsb_core::bits::BitsPerSample;
use lsb_core::raster::Samples;
use lsb_core::{Layout, Limits, carrier, picture, upload};

const LIMITS: Limits = Limits {
    upload_bytes: 1 << 20,
    carrier_bytes: 1 << 20,
    pixels: 1 << 16,
    decoded_bytes: 1 << 20,
    first_frame: true,
};

fuzz_target!(|data: &[u8]| {
    let inspected = upload::inspect(data, &LIMITS);
    let Ok(decoded) = picture::decode(data, LIMITS.carrier_bytes, &LIMITS) else {
        let _ = picture::preview_of(data, &LIMITS);
        return;
    };
    let upload = inspected.expect("a decoded file passes inspection");
    let mut raster = decoded.raster;
    assert_eq!(upload.size.pixels(), raster.size().pixels(), "turned at most");
    assert!(raster.size().pixels() <= LIMITS.pixels);
    let bytes = match raster.samples() {
        Samples::Eight(samples) => samples.len(),
        Samples::Sixteen(samples) => samples.len() * 2,
    };
    assert!(bytes as u64 <= LIMITS.decoded_bytes);
    let body = &data[..data.len().min(24)];
    if carrier::write(&mut raster, Layout::scattered(BitsPerSample::One, 7), body).is_ok() {
        let file = picture::encode_png(raster, &decoded.ancillary).expect("a decoded picture can be encoded");
        let again = picture::decode_png(&file, u64::MAX, &Limits::DEFAULT)
            .expect("an encoded picture can be decoded");
        assert_eq!(carrier::read(&again.raster).as_deref(), Ok(body));
    }
});
