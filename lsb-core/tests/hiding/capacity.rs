//! Capacity: counts at the edges, and errors that say what would do.

use lsb_core::bits::BitsPerSample;
use lsb_core::capacity::{self, Remedy, Size};
use lsb_core::carrier;
use lsb_core::raster::{Colors, Raster, Samples};
use proptest::prelude::*;

fn grey(width: u32, height: u32) -> Raster {
    let samples = vec![100; width as usize * height as usize];
    Raster::new(width, height, Colors::Grey, Samples::Eight(samples)).unwrap()
}

#[test]
fn the_last_byte_fits_and_the_next_does_not() {
    for bits in BitsPerSample::ALL {
        for pixels in 255..300 {
            let room = usize::try_from(capacity::body_bytes(u64::from(pixels), bits)).unwrap();
            let mut raster = grey(pixels, 1);
            if room > 0 {
                carrier::write(&mut raster, bits, &vec![0xa5; room]).unwrap();
                assert_eq!(carrier::read(&raster).unwrap(), vec![0xa5; room]);
            }
            let before = raster.clone();
            let error = carrier::write(&mut raster, bits, &vec![0xa5; room + 1]).unwrap_err();
            assert_eq!(error.available_bytes, room as u64);
            assert_eq!(error.needed_bytes, room as u64 + 1);
            assert_eq!(raster, before, "a refused picture is untouched");
        }
    }
}

#[test]
fn the_remedy_is_the_smallest_that_does() {
    let mut raster = grey(16, 40);
    let error = carrier::write(&mut raster, BitsPerSample::One, &[7; 130]).unwrap_err();
    assert_eq!(error.remedy, Remedy::MoreBits(BitsPerSample::Three));
    carrier::write(&mut raster, BitsPerSample::Three, &[7; 130]).unwrap();
    let error = carrier::write(&mut raster, BitsPerSample::Four, &[7; 500]).unwrap_err();
    let Remedy::LargerPicture(size) = error.remedy else {
        panic!("{error}");
    };
    carrier::write(&mut grey(size.width, size.height), BitsPerSample::Four, &[7; 500]).unwrap();
    assert!(
        carrier::write(
            &mut grey(size.width - 1, size.height - 1),
            BitsPerSample::Four,
            &[7; 500]
        )
        .is_err()
    );
}

proptest! {
    #[test]
    fn an_enlarged_size_is_the_smallest_of_its_proportions(
        width in 1u32..3000, height in 1u32..3000, pixels in 0u64..50_000_000,
    ) {
        let size = Size { width, height };
        let enlarged = size.enlarged_to(pixels).unwrap();
        prop_assert!(enlarged.pixels() >= pixels && enlarged.width >= width && enlarged.height >= height);
        let longer = enlarged.width.max(enlarged.height);
        if longer > width.max(height) {
            let smaller = u64::from(longer - 1);
            let shorter = (smaller * u64::from(width.min(height))).div_ceil(u64::from(width.max(height)));
            prop_assert!(smaller * shorter < pixels);
        }
    }
}

#[test]
fn a_size_beyond_every_file_is_none() {
    assert_eq!(Size { width: 1, height: 1 }.enlarged_to(u64::MAX), None);
}
