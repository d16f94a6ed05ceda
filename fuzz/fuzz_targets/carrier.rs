//! Samples of a picture, as a decoder returns them: whatever the low bits are, reading them never panics and never
//! returns more than fits; and a hidden payload is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lsb_core::bits::BitsPerSample;
use lsb_core::raster::{Colors, Raster, Samples};
use lsb_core::{Layout, carrier};

fuzz_target!(|data: &[u8]| {
    let [shape, width, rest @ ..] = data else { return };
    let colors = [Colors::Grey, Colors::GreyAlpha, Colors::Rgb, Colors::Rgba][usize::from(shape % 4)];
    let width = u32::from(*width).max(1);
    let deep = shape & 0x10 != 0;
    let row = width as usize * colors.samples() * if deep { 2 } else { 1 };
    let rows = rest.len() / row;
    let used = &rest[..rows * row];
    let samples = if deep {
        Samples::Sixteen(
            used.chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect(),
        )
    } else {
        Samples::Eight(used.to_vec())
    };
    let Ok(mut raster) = Raster::new(width, rows as u32, colors, samples) else {
        return;
    };
    let _ = carrier::read_preamble(&raster);
    if let Ok(body) = carrier::read(&raster) {
        assert!(
            body.len() as u64 <= raster.carrier_samples(),
            "at most a whole byte per two samples"
        );
    }
    let body = &rest[..rest.len().min(64)];
    let bits = [
        BitsPerSample::One,
        BitsPerSample::Two,
        BitsPerSample::Three,
        BitsPerSample::Four,
    ];
    let layout = Layout {
        bits: bits[usize::from(shape >> 6)],
        matched: shape & 0x20 != 0,
        scatter_salt: (shape & 0x08 != 0).then(|| u64::from(width) << 32 | rest.len() as u64),
    };
    if carrier::write(&mut raster, layout, body).is_ok() {
        assert_eq!(
            carrier::read(&raster).as_deref(),
            Ok(body),
            "a hidden payload is read back"
        );
    }
});
