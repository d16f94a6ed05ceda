//! The codec: its bytes never change, and no bytes do harm.

#![expect(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

mod golden;
mod refusals;
mod samples;

use raft_core::codec::{
    DecodeError, DecodeLimits, Record, decode_envelope, decode_record, encode_envelope, encode_record,
};
use raft_core::{Envelope, Membership, NodeId};

/// The bytes of an envelope's header: version and checksum.
const HEADER_BYTES: usize = 5;

fn decoded(bytes: &[u8]) -> Result<Envelope, DecodeError> {
    decode_envelope(bytes, DecodeLimits::default())
}

fn record<R: Record>(record: &R) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(record, &mut bytes);
    bytes
}

fn from_record<R: Record>(bytes: &[u8]) -> Result<R, DecodeError> {
    decode_record(bytes, DecodeLimits::NONE)
}

/// The body of a sample's envelope.
fn body_of(name: &str) -> Vec<u8> {
    let mut all = samples::envelopes().into_iter();
    let (_, envelope) = all.find(|(other, _)| *other == name).expect("there is a sample");
    encode_envelope(&envelope).split_off(HEADER_BYTES)
}

/// An envelope's bytes with a correct checksum around any body.
fn seal(body: &[u8]) -> Vec<u8> {
    let checksum = crc32fast::hash(&[&[1], body].concat());
    [&[1], checksum.to_be_bytes().as_slice(), body].concat()
}

/// Sets of servers as they stand in a record.
fn membership_bytes(sets: [&[u64]; 4], bound: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = vec![1];
    let mut put = |number: u64| bytes.extend(number.to_be_bytes());
    for set in sets {
        put(set.len() as u64);
        set.iter().for_each(|&node| put(node));
    }
    put(bound.len() as u64);
    for &(node, incarnation) in bound {
        put(node);
        put(incarnation);
    }
    bytes
}

#[test]
fn a_joint_configuration_keeps_both_halves() {
    let bytes = membership_bytes([&[2, 3, 4], &[1, 2, 3], &[1], &[4]], &[(1, 11), (4, 44)]);
    let joint: Membership = from_record(&bytes).unwrap();
    assert!(joint.is_joint());
    assert_eq!(joint.outgoing().collect::<Vec<_>>(), [1, 2, 3].map(NodeId::new));
    assert_eq!(record(&joint), bytes);
}

#[test]
fn a_write_is_kept_without_what_is_about_the_writing() {
    let lazy = raft_core::Persist {
        ticket: raft_core::Ticket::new(77),
        sync: false,
        ..samples::persist()
    };
    assert_eq!(from_record(&record(&lazy)), Ok(samples::persist()));
}
