//! The codec: its bytes never change, and no bytes do harm.
//!
//! The golden files contain one encoding per line, named, in hexadecimal. A change of any line is a change of the wire
//! or of the log: it needs a new version and code that reads the old one. Run with `BLESS=1` to write the lines of
//! *new* kinds; existing lines are never rewritten.

#![expect(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

mod samples;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use node::codec::{CodecError, FRAME_LIMIT_BYTES, decode_envelope, encode_envelope};
use node::ledger::{decode_command, encode_command};
use proptest::prelude::*;
use raft_core::{
    Entry, EntryBody, Envelope, GroupId, Incarnation, Index, LogId, Message, NodeId, Payload, PeerSession,
    Round, Term,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn check_against_golden(file: &str, encoded: &[(String, Vec<u8>)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let golden: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut added = String::new();
    for (name, bytes) in encoded {
        match golden.get(name.as_str()) {
            Some(&line) => assert_eq!(line, hex(bytes), "the bytes of {name} have changed"),
            None => writeln!(added, "{name} {}", hex(bytes)).unwrap(),
        }
    }
    if !added.is_empty() {
        assert!(std::env::var_os("BLESS").is_some(), "{file} lacks:\n{added}");
        std::fs::write(&path, format!("{text}{added}")).unwrap();
    }
    let names: Vec<&str> = encoded.iter().map(|(name, _)| name.as_str()).collect();
    for name in golden.keys() {
        assert!(names.contains(name), "{name} is pinned, but no longer tested");
    }
}

#[test]
fn messages_have_their_golden_bytes() {
    let encoded: Vec<(String, Vec<u8>)> = samples::envelopes()
        .into_iter()
        .map(|(name, envelope)| {
            let bytes = encode_envelope(&envelope);
            assert_eq!(decode_envelope(&bytes).unwrap(), envelope);
            (name.to_owned(), bytes)
        })
        .collect();
    check_against_golden("messages.hex", &encoded);
}

#[test]
fn commands_have_their_golden_bytes() {
    let encoded: Vec<(String, Vec<u8>)> = samples::commands()
        .into_iter()
        .map(|(name, command)| {
            let bytes = encode_command(&command);
            assert_eq!(decode_command(&bytes).unwrap(), command);
            (name.to_owned(), bytes.to_vec())
        })
        .collect();
    check_against_golden("commands.hex", &encoded);
}

#[test]
fn a_frame_that_differs_in_one_bit_is_refused() {
    for (_, envelope) in samples::envelopes() {
        let frame = encode_envelope(&envelope);
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(
                decode_envelope(&changed),
                Err(CodecError::Checksum | CodecError::Version { .. })
            ));
        }
    }
}

#[test]
fn a_frame_that_is_too_short_too_long_or_continued_is_refused() {
    let (_, envelope) = samples::envelopes().swap_remove(0);
    let frame = encode_envelope(&envelope);
    for length in 0..frame.len() {
        assert!(decode_envelope(&frame[..length]).is_err());
    }
    let large = vec![1; FRAME_LIMIT_BYTES + 1];
    assert!(matches!(
        decode_envelope(&large),
        Err(CodecError::TooLarge { size, limit: FRAME_LIMIT_BYTES }) if size == FRAME_LIMIT_BYTES + 1
    ));
    let continued = seal(&[&frame[5..], &[0]].concat());
    assert!(matches!(
        decode_envelope(&continued),
        Err(CodecError::Trailing { surplus: 1 })
    ));
}

/// A frame with a correct checksum around any body.
fn seal(body: &[u8]) -> Vec<u8> {
    let checksum = crc32fast::hash(&[&[1], body].concat());
    [&[1], checksum.to_be_bytes().as_slice(), body].concat()
}

#[test]
fn an_index_of_zero_is_refused() {
    let (_, envelope) = samples::envelopes()
        .into_iter()
        .find(|(name, _)| *name == "Append")
        .expect("there is a sample");
    let frame = encode_envelope(&envelope);
    let first_index = 7_u64.to_be_bytes();
    let place = frame
        .windows(8)
        .position(|window| window == first_index)
        .expect("an index of 7 is in the sample");
    let mut body = frame[5..].to_vec();
    body[place - 5..place + 3].fill(0);
    assert!(matches!(
        decode_envelope(&seal(&body)),
        Err(CodecError::Malformed(_))
    ));
}

#[test]
fn a_length_without_bytes_after_it_claims_no_memory() {
    // An append whose number of entries is 2^60: the bytes end, and so does the decoding.
    let empty = Envelope {
        message: Message::Append {
            session: PeerSession::new(1),
            round: Round::new(1),
            prev: None,
            commit: None,
            entries: Vec::new().into(),
        },
        ..samples::envelopes().swap_remove(0).1
    };
    let frame = encode_envelope(&empty);
    let mut body = frame[5..].to_vec();
    let length = body.len();
    body[length - 8..].copy_from_slice(&(1_u64 << 60).to_be_bytes());
    assert!(matches!(
        decode_envelope(&seal(&body)),
        Err(CodecError::Malformed(_))
    ));
}

#[test]
fn everything_that_the_core_s_default_limits_allow_fits_into_a_frame() {
    let limits = raft_core::Limits::default();
    let (_, sample) = samples::envelopes().swap_remove(0);
    let id = LogId::new(Term::new(1), Index::FIRST);
    for body in [
        EntryBody::Noop,
        EntryBody::Command(Payload::from(vec![1; limits.message_bytes])),
    ] {
        let entry = Entry { id, body };
        let count = (limits.message_bytes / entry.cost_bytes()).max(1);
        let message = Message::Append {
            session: PeerSession::new(1),
            round: Round::new(1),
            prev: Some(id),
            commit: Some(Index::FIRST),
            entries: vec![entry; count].into(),
        };
        let frame = encode_envelope(&Envelope {
            message,
            ..sample.clone()
        });
        assert!(frame.len() <= FRAME_LIMIT_BYTES);
        assert!(decode_envelope(&frame).is_ok());
    }
    let chunk = raft_core::Snapshots::default().chunk_bytes;
    assert!(chunk + 4096 <= FRAME_LIMIT_BYTES);
}

fn entry() -> impl Strategy<Value = Entry> {
    let body = prop_oneof![
        Just(EntryBody::Noop),
        proptest::collection::vec(any::<u8>(), 0..300)
            .prop_map(|bytes| EntryBody::Command(Payload::from(bytes))),
    ];
    (any::<u64>(), 1_u64.., body).prop_map(|(term, index, body)| Entry {
        id: LogId::new(Term::new(term), Index::new(index).unwrap()),
        body,
    })
}

proptest! {
    #[test]
    fn any_append_comes_back_as_it_was(
        numbers in any::<[u64; 8]>(),
        to_incarnation in any::<Option<u64>>(),
        entries in proptest::collection::vec(entry(), 0..20),
    ) {
        let envelope = Envelope {
            group: GroupId::new(numbers[0]),
            from: NodeId::new(numbers[1]),
            from_incarnation: Incarnation::new(numbers[2]),
            to: NodeId::new(numbers[3]),
            to_incarnation: to_incarnation.map(Incarnation::new),
            term: Term::new(numbers[4]),
            message: Message::Append {
                session: PeerSession::new(numbers[5]),
                round: Round::new(numbers[6]),
                prev: entries.first().map(|entry| entry.id),
                commit: Index::new(numbers[7]),
                entries: entries.into(),
            },
        };
        prop_assert_eq!(decode_envelope(&encode_envelope(&envelope)).unwrap(), envelope);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode_envelope(&bytes);
        let _ = decode_command(&bytes);
        let _ = decode_envelope(&seal(&bytes));
        let _ = decode_command(&[&[1], bytes.as_slice()].concat());
    }

    #[test]
    fn any_change_of_a_message_is_decoded_or_refused(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        replacement in proptest::collection::vec(any::<u8>(), 1..9),
    ) {
        let samples = samples::envelopes();
        let mut body = encode_envelope(&which.get(&samples).1)[5..].to_vec();
        let start = place.index(body.len());
        let end = body.len().min(start + replacement.len());
        body[start..end].copy_from_slice(&replacement[..end - start]);
        if let Ok(envelope) = decode_envelope(&seal(&body)) {
            // Bytes that decode have one canonical form.
            let again = decode_envelope(&encode_envelope(&envelope)).unwrap();
            prop_assert_eq!(again, envelope);
        }
    }

    #[test]
    fn any_change_of_a_command_is_decoded_or_refused(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        replacement in proptest::collection::vec(any::<u8>(), 1..9),
    ) {
        let samples = samples::commands();
        let mut bytes = encode_command(&which.get(&samples).1).to_vec();
        let start = place.index(bytes.len());
        let end = bytes.len().min(start + replacement.len());
        bytes[start..end].copy_from_slice(&replacement[..end - start]);
        if let Ok(command) = decode_command(&bytes) {
            prop_assert_eq!(decode_command(&encode_command(&command)).unwrap(), command);
        }
    }
}
