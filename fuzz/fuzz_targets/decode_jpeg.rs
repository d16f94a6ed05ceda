//! A JPEG to protect, or to hide in: see `decoding`.
#![no_main]

mod decoding;

use libfuzzer_sys::fuzz_target;
use lsb_core::upload::MediaType;

fuzz_target!(|data: &[u8]| decoding::check(MediaType::Jpeg, data));
