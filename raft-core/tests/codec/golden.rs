//! The golden files contain one encoding per line, named, in hexadecimal. Once a version is released, no line of its
//! files may change: what it cannot say needs a new version, with files of its own. Run with `BLESS=1` to write the
//! lines of *new* kinds; existing lines are never rewritten.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn check_against_golden(file: &str, encoded: &[(&str, Vec<u8>)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let golden: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut added = String::new();
    for (name, bytes) in encoded {
        match golden.get(name) {
            Some(&line) => assert_eq!(line, hex(bytes), "the bytes of {name} have changed"),
            None => writeln!(added, "{name} {}", hex(bytes)).unwrap(),
        }
    }
    if !added.is_empty() {
        assert!(std::env::var_os("BLESS").is_some(), "{file} lacks:\n{added}");
        std::fs::write(&path, format!("{text}{added}")).unwrap();
    }
    for name in golden.keys() {
        let is_tested = encoded.iter().any(|(tested, _)| tested == name);
        assert!(is_tested, "{name} is pinned, but no longer tested");
    }
}

#[test]
fn envelopes_have_their_golden_bytes() {
    let encoded: Vec<(&str, Vec<u8>)> = samples::envelopes()
        .into_iter()
        .map(|(name, envelope)| {
            let bytes = encode_envelope(&envelope);
            assert_eq!(decoded(&bytes), Ok(envelope));
            (name, bytes)
        })
        .collect();
    check_against_golden("envelopes_v1.hex", &encoded);
}

#[test]
fn records_have_their_golden_bytes() {
    let mut encoded = Vec::new();
    let mut add = |name, bytes: Vec<u8>| encoded.push((name, bytes));
    add("Persist", round(&samples::persist()));
    add("Persist.empty", round(&samples::empty_persist()));
    add("Durable", round(&samples::durable()));
    add("Durable.empty", round(&raft_core::Durable::default()));
    let names = [
        "Entry.Noop",
        "Entry.Command",
        "Entry.Membership",
        "Entry.Withheld",
        "Entry.Forwarded",
        "Entry.Founding",
        "Entry.Level",
    ];
    assert_eq!(names.len(), samples::entries().len());
    for (name, entry) in names.into_iter().zip(samples::entries()) {
        add(name, round(&entry));
    }
    add("SnapshotMeta", round(&samples::meta()));
    let witness = raft_core::SnapshotMeta {
        membership_id: None,
        withheld: true,
        ..samples::meta()
    };
    add("SnapshotMeta.withheld", round(&witness));
    add("Identity", round(&samples::identity()));
    add("Membership", round(&samples::full_membership()));
    add("Membership.empty", round(&Membership::default()));
    check_against_golden("records_v1.hex", &encoded);
}

/// Encodes a record, and checks that it decodes to what it was.
fn round<R: Record + PartialEq + std::fmt::Debug>(value: &R) -> Vec<u8> {
    let bytes = record(value);
    assert_eq!(from_record::<R>(&bytes).as_ref(), Ok(value));
    bytes
}

#[test]
fn every_kind_of_message_and_of_entry_has_a_golden_line() {
    let known = |mut body: Vec<u8>, place: usize| {
        let mut is_known = |number: u32| {
            body[place..place + 4].copy_from_slice(&number.to_be_bytes());
            // What stands after the number belongs to another kind, and may be refused for itself.
            let unknown = |kind| Err(DecodeError::UnknownVariant { kind, found: number });
            let outcome = decoded(&seal(&body));
            outcome != unknown("Message") && outcome != unknown("EntryBody")
        };
        (0..).take_while(|&number| is_known(number)).count()
    };
    // Both numbers stand at fixed places: after the addresses, and after the first entry's id.
    let message_at = body_of("Hello").len() - 4;
    let mut kinds: Vec<&str> = samples::envelopes()
        .iter()
        .map(|(_, envelope)| envelope.message.name())
        .collect();
    kinds.dedup();
    assert_eq!(known(body_of("Hello"), message_at), kinds.len());
    let first_entry_at = message_at + 4 + 4 + 8 + 17 + 9 + 8;
    let entries = known(body_of("Append"), first_entry_at + 16);
    assert_eq!(entries, samples::entries().len());
}
