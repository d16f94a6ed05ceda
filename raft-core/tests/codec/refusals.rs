//! Bytes that are refused, and what they cost.

use proptest::prelude::*;
use raft_core::codec::{ENVELOPE_VERSION, RECORD_VERSION};
use raft_core::{
    Boot, ClusterId, Durable, Entry, EntryBody, GroupId, Identity, Incarnation, Index, LogId, Message,
    Payload, PeerSession, Persist, Round, SnapshotMeta, Term,
};

use super::*;

/// The offset of the message in an envelope's body with a known recipient.
const MESSAGE_AT: usize = 8 + 8 + 8 + 8 + 8 + 8 + 9 + 8;

#[test]
fn an_envelope_that_differs_in_one_bit_is_refused() {
    for (_, envelope) in samples::envelopes() {
        let bytes = encode_envelope(&envelope);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = decoded(&changed).unwrap_err();
            let expected = match bit / 8 {
                0 => DecodeError::UnknownVersion {
                    found: changed[0],
                    newest: 1,
                },
                _ => DecodeError::Checksum,
            };
            assert_eq!(error, expected);
        }
    }
}

#[test]
fn an_unknown_version_is_named_however_little_follows() {
    for found in (0..=u8::MAX).filter(|&found| found != ENVELOPE_VERSION) {
        let newest = ENVELOPE_VERSION;
        let error = DecodeError::UnknownVersion { found, newest };
        assert_eq!(decoded(&[found]), Err(error.clone()));
        assert_eq!(decoded(&[found; 400]), Err(error));
    }
    for found in (0..=u8::MAX).filter(|&found| found != RECORD_VERSION) {
        let newest = RECORD_VERSION;
        let error = DecodeError::UnknownVersion { found, newest };
        assert_eq!(from_record::<Entry>(&[found]), Err(error.clone()));
        assert_eq!(from_record::<Durable>(&[found; 400]), Err(error));
    }
    let text = decoded(&[2]).unwrap_err().to_string();
    assert!(text.contains("version 2") && text.contains("is 1"), "{text}");
}

#[test]
fn bytes_that_end_early_or_go_on_are_refused() {
    for (name, envelope) in samples::envelopes() {
        let bytes = encode_envelope(&envelope);
        for length in 0..HEADER_BYTES {
            let error = DecodeError::TooShort {
                size: length,
                header: HEADER_BYTES,
            };
            assert_eq!(decoded(&bytes[..length]), Err(error));
        }
        let body = &bytes[HEADER_BYTES..];
        for length in 0..body.len() {
            let error = decoded(&seal(&body[..length]));
            assert_eq!(error, Err(DecodeError::Incomplete), "{name} of {length} bytes");
        }
        let continued = decoded(&seal(&[body, &[0, 0]].concat()));
        assert_eq!(continued, Err(DecodeError::Trailing { surplus: 2 }), "{name}");
    }
    let bytes = record(&samples::persist());
    assert_eq!(
        from_record::<Persist>(&[]),
        Err(DecodeError::TooShort { size: 0, header: 1 })
    );
    for length in 1..bytes.len() {
        let error = from_record::<Persist>(&bytes[..length]);
        assert_eq!(error, Err(DecodeError::Incomplete));
    }
    let continued = from_record::<Persist>(&[&bytes[..], &[0]].concat());
    assert_eq!(continued, Err(DecodeError::Trailing { surplus: 1 }));
}

#[test]
fn what_exceeds_a_limit_is_refused_and_what_reaches_it_is_not() {
    let (name, envelope) = samples::envelopes().swap_remove(11);
    assert_eq!(name, "Append");
    let bytes = encode_envelope(&envelope);
    let at_most = |bytes, items| DecodeLimits { bytes, items };
    // It has seven entries, and no list in it is longer.
    assert_eq!(
        decode_envelope(&bytes, at_most(bytes.len(), 7)),
        Ok(envelope.clone())
    );
    let error = decode_envelope(&bytes, at_most(bytes.len() - 1, 7));
    let (size, limit) = (bytes.len(), bytes.len() - 1);
    assert_eq!(error, Err(DecodeError::TooLarge { size, limit }));
    let error = decode_envelope(&bytes, at_most(bytes.len(), 6));
    assert_eq!(error, Err(DecodeError::TooMany { count: 7, limit: 6 }));

    let bytes = record(&samples::full_membership());
    let decode = |limits| decode_record::<Membership>(&bytes, limits);
    assert!(decode(at_most(bytes.len(), 3)).is_ok());
    let error = decode(at_most(bytes.len(), 2));
    assert_eq!(error, Err(DecodeError::TooMany { count: 3, limit: 2 }));
    let error = decode(at_most(8, 3));
    let size = bytes.len();
    assert_eq!(error, Err(DecodeError::TooLarge { size, limit: 8 }));
}

#[test]
fn values_outside_their_types_are_refused() {
    let mut body = body_of("Append");
    // Session, round, and the log id before the entries: a present one of term 2 and index 6.
    let prev_at = MESSAGE_AT + 4 + 4 + 8;
    let index = prev_at + 1 + 8..prev_at + 1 + 16;
    assert_eq!(body[index.clone()], 6_u64.to_be_bytes());
    body[index].fill(0);
    let what = "an index of 0";
    assert_eq!(decoded(&seal(&body)), Err(DecodeError::Invalid { what }));

    let mut body = body_of("VoteReply");
    let granted = MESSAGE_AT + 4;
    body[granted] = 2;
    let what = "a truth value that is neither 0 nor 1";
    assert_eq!(decoded(&seal(&body)), Err(DecodeError::Invalid { what }));

    let mut body = body_of("Hello");
    body[MESSAGE_AT..].copy_from_slice(&200_u32.to_be_bytes());
    let (kind, found) = ("Message", 200);
    assert_eq!(
        decoded(&seal(&body)),
        Err(DecodeError::UnknownVariant { kind, found })
    );
}

#[test]
fn a_set_has_one_encoding() {
    let what = "a set that is not in ascending order";
    for (sets, bound) in [
        ([&[1, 3, 2][..], &[], &[], &[]], &[][..]),
        ([&[1, 2, 2], &[], &[], &[]], &[]),
        ([&[1], &[], &[3, 2], &[]], &[]),
        ([&[1, 2], &[], &[], &[]], &[(2, 20), (1, 10)]),
        ([&[1, 2], &[], &[], &[]], &[(1, 10), (1, 20)]),
    ] {
        let error = from_record::<Membership>(&membership_bytes(sets, bound));
        assert_eq!(error, Err(DecodeError::Invalid { what }));
    }
}

/// The most memory that is claimed while these bytes are decoded.
fn claimed(bytes: &[u8]) -> u64 {
    allocation_counter::measure(|| drop(decode_envelope(bytes, DecodeLimits::NONE))).bytes_max
}

#[test]
fn a_length_without_bytes_after_it_claims_no_memory() {
    let body = body_of("Append");
    let count_at = MESSAGE_AT + 4 + 4 + 8 + 17 + 9;
    assert_eq!(body[count_at..count_at + 8], 7_u64.to_be_bytes());
    for announced in [7_u64, 8, 1 << 20, 1 << 40, 1 << 60, u64::MAX] {
        let mut changed = body.clone();
        changed[count_at..count_at + 8].copy_from_slice(&announced.to_be_bytes());
        let bytes = seal(&changed);
        assert!(claimed(&bytes) <= 8 * bytes.len() as u64, "{announced} entries");
        assert_eq!(
            decode_envelope(&bytes, DecodeLimits::NONE).is_ok(),
            announced == 7
        );
        // Nothing follows a payload's length.
        let length_only = [&body[..count_at], &announced.to_be_bytes()].concat();
        let bytes = seal(&length_only);
        assert!(claimed(&bytes) <= 8 * bytes.len() as u64, "{announced} entries");
    }
    // The entries that take the least, as many as bytes follow.
    let noop = Entry {
        id: LogId::new(Term::new(1), Index::FIRST),
        body: EntryBody::Noop,
    };
    let (_, sample) = samples::envelopes().swap_remove(0);
    let bytes = encode_envelope(&with_entries(&sample, vec![noop; 10_000]));
    assert!(claimed(&bytes) <= 8 * bytes.len() as u64);
}

fn with_entries(sample: &Envelope, entries: Vec<Entry>) -> Envelope {
    let message = Message::Append {
        session: PeerSession::new(1),
        round: Round::new(1),
        prev: entries.first().map(|entry| entry.id),
        commit: Some(Index::FIRST),
        entries: entries.into(),
    };
    Envelope {
        message,
        ..sample.clone()
    }
}

#[test]
fn everything_that_the_core_s_default_limits_allow_is_within_the_default_limits() {
    let limits = raft_core::Limits::default();
    let (_, sample) = samples::envelopes().swap_remove(0);
    let id = LogId::new(Term::new(1), Index::FIRST);
    for body in [
        EntryBody::Noop,
        EntryBody::Command(Payload::from(vec![1; limits.message_bytes])),
    ] {
        let entry = Entry { id, body };
        let count = (limits.message_bytes / entry.cost_bytes()).max(1);
        let envelope = with_entries(&sample, vec![entry; count]);
        assert_eq!(decoded(&encode_envelope(&envelope)), Ok(envelope));
    }
    let piece = Message::SnapshotChunk {
        session: PeerSession::new(1),
        meta: Box::new(samples::meta()),
        total_bytes: u64::MAX,
        checksum: 1,
        offset: 0,
        data: vec![1; raft_core::Snapshots::default().chunk_bytes].into(),
    };
    let envelope = Envelope {
        message: piece,
        ..sample
    };
    assert_eq!(decoded(&encode_envelope(&envelope)), Ok(envelope));
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

/// Decodes bytes as every kind of record; whatever decodes encodes to the same bytes.
fn decode_as_everything(bytes: &[u8]) {
    fn one<R: Record>(bytes: &[u8]) {
        if let Ok(value) = from_record::<R>(bytes) {
            assert_eq!(record(&value), bytes);
        }
    }
    one::<Persist>(bytes);
    one::<Durable>(bytes);
    one::<Entry>(bytes);
    one::<SnapshotMeta>(bytes);
    one::<Identity>(bytes);
    one::<Membership>(bytes);
}

proptest! {
    #[test]
    fn any_append_comes_back_as_it_was(
        numbers in any::<[u64; 8]>(),
        halves in any::<[u32; 5]>(),
        to_incarnation in any::<Option<u64>>(),
        entries in proptest::collection::vec(entry(), 0..20),
    ) {
        let envelope = Envelope {
            group: GroupId::new(numbers[0]),
            from: NodeId::new(numbers[1]),
            cluster: ClusterId {
                founding: halves[0],
                nonce: halves[1],
            },
            from_incarnation: Incarnation::new(numbers[2]),
            from_boot: Boot::new(halves[2], halves[3]),
            to: NodeId::new(numbers[3]),
            to_incarnation: to_incarnation.map(Incarnation::new),
            term: Term::new(numbers[4]),
            message: Message::Append {
                session: PeerSession::new(halves[4]),
                round: Round::new(numbers[6]),
                prev: entries.first().map(|entry| entry.id),
                commit: Index::new(numbers[7]),
                entries: entries.into(),
            },
        };
        prop_assert_eq!(decoded(&encode_envelope(&envelope)), Ok(envelope));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = decoded(&bytes);
        if let Ok(envelope) = decoded(&seal(&bytes)) {
            prop_assert_eq!(encode_envelope(&envelope), seal(&bytes));
        }
        decode_as_everything(&[&[RECORD_VERSION], &bytes[..]].concat());
    }

    #[test]
    fn any_change_of_an_envelope_is_decoded_or_refused(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        replacement in proptest::collection::vec(any::<u8>(), 1..9),
    ) {
        let samples = samples::envelopes();
        let mut body = encode_envelope(&which.get(&samples).1).split_off(HEADER_BYTES);
        replace(&mut body, place, &replacement);
        if let Ok(envelope) = decoded(&seal(&body)) {
            prop_assert_eq!(encode_envelope(&envelope), seal(&body));
        }
    }

    #[test]
    fn any_change_of_a_record_is_decoded_or_refused(
        which in 0_usize..5,
        place in any::<prop::sample::Index>(),
        replacement in proptest::collection::vec(any::<u8>(), 1..9),
    ) {
        let mut bytes = match which {
            0 => record(&samples::persist()),
            1 => record(&samples::durable()),
            2 => record(&samples::meta()),
            3 => record(&samples::full_membership()),
            _ => record(&samples::entries()[4]),
        };
        replace(&mut bytes[1..], place, &replacement);
        decode_as_everything(&bytes);
    }
}

fn replace(bytes: &mut [u8], place: prop::sample::Index, replacement: &[u8]) {
    let start = place.index(bytes.len());
    let end = bytes.len().min(start + replacement.len());
    bytes[start..end].copy_from_slice(&replacement[..end - start]);
}
