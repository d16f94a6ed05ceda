//! BMP files of every depth, with rows from the bottom and from the top, compared with what they were made of.

use crate::fixtures::noise;
use crate::fixtures::round_trip::{check_sealed, eight_bits, raster};
use lsb_core::Limits;
use lsb_core::upload::MediaType;
use proptest::prelude::*;

/// The file, and its pixels as red, green and blue from the top.
fn bmp(depth: u16, top_down: bool, width: u32, height: u32, seed: u64) -> (Vec<u8>, Vec<u8>) {
    let colors = if depth <= 8 { 1u32 << depth } else { 0 };
    let palette = noise(colors as usize * 4, seed);
    let pixels_at = 54 + colors * 4;
    let values = noise((width * height * 3) as usize, seed ^ 1);
    let (mut rows, mut shown) = (Vec::new(), Vec::new());
    for row in values.chunks(width as usize * 3) {
        let (mut packed, mut bits, mut count) = (Vec::new(), 0u16, 0);
        for pixel in row.as_chunks::<3>().0 {
            let [blue, green, red] = if depth <= 8 {
                let place = u16::from(pixel[0]) >> (8 - depth);
                bits = bits << depth | place;
                count += depth;
                if count == 8 {
                    packed.push(u8::try_from(bits & 0xff).unwrap());
                    count = 0;
                }
                *palette[usize::from(place) * 4..].first_chunk::<3>().unwrap()
            } else {
                packed.extend(pixel);
                packed.extend(&[0][..usize::from(depth == 32)]);
                *pixel
            };
            shown.extend([red, green, blue]);
        }
        if count > 0 {
            packed.push(u8::try_from(bits << (8 - count) & 0xff).unwrap());
        }
        // Each row is filled up to four bytes.
        packed.resize(packed.len().next_multiple_of(4), 0);
        rows.push(packed);
    }
    let mut signed_height = i32::try_from(height).unwrap();
    if top_down {
        signed_height = -signed_height;
    } else {
        rows.reverse();
    }
    let rows = rows.concat();
    let mut file = b"BM".to_vec();
    for number in [
        pixels_at + u32::try_from(rows.len()).unwrap(),
        0,
        pixels_at,
        40,
        width,
    ] {
        file.extend(number.to_le_bytes());
    }
    file.extend(signed_height.to_le_bytes());
    file.extend([1, 0]);
    file.extend(depth.to_le_bytes());
    file.extend([0; 24]);
    (
        [file.as_slice(), palette.as_slice(), rows.as_slice()].concat(),
        shown,
    )
}

proptest! {
    #[test]
    fn every_depth_and_shape_shows_what_it_was_made_of(
        depth in proptest::sample::select([1u16, 4, 8, 24, 32].as_slice()), top_down in any::<bool>(),
        width in 1u32..60, height in 1u32..60, seed in any::<u64>(),
    ) {
        let (file, shown) = bmp(depth, top_down, width, height, seed);
        check_sealed(&file, MediaType::Bmp);
        let decoded = raster(&file, &Limits::DEFAULT);
        prop_assert_eq!((decoded.width(), decoded.height()), (width, height));
        let samples = decoded.colors().samples();
        let found: Vec<u8> = eight_bits(&decoded).chunks(samples).flat_map(|pixel| pixel[..3].to_vec()).collect();
        prop_assert_eq!(found, shown);
    }
}
