//! The codec: its bytes never change, and no bytes do harm.
//!
//! The golden files contain one encoding per line, named, in hexadecimal. A change of any line is a change of the log: it
//! needs a new version and code that reads the old one. Run with `BLESS=1` to write the lines of
//! *new* kinds; existing lines are never rewritten.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use crate::samples;
use node::codec::CodecError;
use node::ledger::{decode_command, encode_command};
use proptest::prelude::*;

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
fn a_command_that_is_empty_of_another_version_or_continued_is_refused() {
    assert!(matches!(decode_command(&[]), Err(CodecError::Empty)));
    assert!(matches!(
        decode_command(&[2, 0]),
        Err(CodecError::Version { found: 2, known: 1 })
    ));
    for (_, command) in samples::commands() {
        let bytes = encode_command(&command);
        for length in 1..bytes.len() {
            assert!(matches!(
                decode_command(&bytes[..length]),
                Err(CodecError::Malformed(_))
            ));
        }
        assert!(matches!(
            decode_command(&[&bytes[..], &[0]].concat()),
            Err(CodecError::Trailing { surplus: 1 })
        ));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode_command(&bytes);
        let _ = decode_command(&[&[1], bytes.as_slice()].concat());
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
