//! Bytes off a disk whose checksum holds: decoding never panics, and what decodes encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raft_core::codec::{DecodeLimits, Record, decode_record, encode_record};
use raft_core::{Durable, Entry, Identity, Membership, Persist, SnapshotMeta};

fuzz_target!(|data: &[u8]| {
    one::<Persist>(data);
    one::<Durable>(data);
    one::<Entry>(data);
    one::<SnapshotMeta>(data);
    one::<Identity>(data);
    one::<Membership>(data);
});

fn one<R: Record>(data: &[u8]) {
    if let Ok(record) = decode_record::<R>(data, DecodeLimits::NONE) {
        let mut bytes = Vec::new();
        encode_record(&record, &mut bytes);
        assert_eq!(bytes, data, "a record has one encoding");
    }
}
