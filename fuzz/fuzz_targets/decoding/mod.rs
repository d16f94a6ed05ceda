//! A file of one format to protect, or to hide in: whatever it contains, no public function that reads it panics or
//! returns more than the limits allow; a decoded picture can carry a payload, and be read again.

use lsb_core::bits::BitsPerSample;
use lsb_core::picture::{self, Keep};
use lsb_core::raster::Samples;
use lsb_core::upload::{self, MediaType};
use lsb_core::{Layout, Limits, carrier, metadata};

const LIMITS: Limits = Limits {
    upload_bytes: 1 << 20,
    carrier_bytes: 1 << 20,
    pixels: 1 << 16,
    decoded_bytes: 1 << 20,
    first_frame: true,
};

pub fn check(format: MediaType, data: &[u8]) {
    // Each format has a target of its own, and a corpus of its own.
    if MediaType::sniff(data) != Some(format) {
        return;
    }
    let inspected = upload::inspect(data, &LIMITS);
    let stored = upload::inspect_stored(data, &LIMITS);
    let stripped = metadata::strip(data);
    // Without its metadata, a file of a few bytes may look like a text.
    if let Ok(stripped) = &stripped
        && MediaType::sniff(&stripped.file) == Some(format)
    {
        metadata::list(&stripped.file).expect("what was stripped can be listed");
    }
    let _ = metadata::list(data);
    let Ok(decoded) = picture::decode(data, LIMITS.carrier_bytes, &LIMITS) else {
        let _ = picture::preview_of(data, &LIMITS);
        let _ = picture::inspect(data, &LIMITS);
        return;
    };
    let upload = inspected.expect("a decoded file passes inspection");
    assert_eq!(stored, Ok(upload), "what is whole is stored as such");
    let _ = picture::preview_of(data, &LIMITS).expect("a picture that can be decoded has a preview");
    let _ = picture::decode_keeping(data, LIMITS.carrier_bytes, &LIMITS, Keep::Everything)
        .expect("what is kept beside the pixels changes nothing about them");
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
}
