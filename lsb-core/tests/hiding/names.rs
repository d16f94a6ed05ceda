//! Names of users: one spelling each, and an error that says what is wrong. Names of files: safe, or none.

use std::path::{Component, Path};

use lsb_core::envelope::{NameError, UserName};
use lsb_core::{FileName, HexError, ObjectId};
use proptest::prelude::*;

fn error(text: &str) -> NameError {
    UserName::parse(text).unwrap_err()
}

#[test]
fn capitals_are_folded() {
    assert_eq!(UserName::parse("Alice.B-c_9").unwrap().as_str(), "alice.b-c_9");
    assert_eq!(UserName::parse_stored("Alice").unwrap_err(), NameError::NotFolded);
    assert_eq!(UserName::parse("42").unwrap().as_str(), "42");
}

#[test]
fn each_mistake_is_told_apart() {
    assert_eq!(error(""), NameError::TooShort { characters: 0 });
    assert_eq!(error("a"), NameError::TooShort { characters: 1 });
    assert!(UserName::parse(&"a".repeat(32)).is_ok());
    assert_eq!(error(&"a".repeat(33)), NameError::TooLong { characters: 33 });
    assert_eq!(
        error("alice/bob"),
        NameError::Slash {
            character: '/',
            place: 6
        }
    );
    assert_eq!(error("..\\x"), NameError::Start { character: '.' });
    assert_eq!(
        error("al\\x"),
        NameError::Slash {
            character: '\\',
            place: 3
        }
    );
    assert_eq!(
        error("alice\n"),
        NameError::Control {
            character: '\n',
            place: 6
        }
    );
    assert_eq!(
        error("al\u{1b}[31m"),
        NameError::Control {
            character: '\u{1b}',
            place: 3
        }
    );
    assert_eq!(
        error("al\u{2028}x"),
        NameError::Control {
            character: '\u{2028}',
            place: 3
        }
    );
    assert_eq!(
        error("аlice"),
        NameError::LookAlike {
            character: 'а',
            place: 1
        }
    );
    assert_eq!(
        error("aliſe"),
        NameError::LookAlike {
            character: 'ſ',
            place: 4
        }
    );
    assert_eq!(error("-alice"), NameError::Start { character: '-' });
    assert_eq!(
        error("al ice"),
        NameError::Character {
            character: ' ',
            place: 3
        }
    );
    assert_eq!(
        error("alice:"),
        NameError::Character {
            character: ':',
            place: 6
        }
    );
}

#[test]
fn the_message_shows_what_cannot_be_seen() {
    assert!(error("аlice").to_string().contains("U+0430"));
    assert!(error("alice\n").to_string().contains(r"'\n'"));
    assert!(!error("alice\nroot").to_string().contains('\n'));
}

#[test]
fn an_id_is_read_from_digits_of_either_case_and_from_nothing_else() {
    let id = ObjectId::from_bytes(*b"\0\x01\x0f\x10\x7f\x80\xab\xff\0\0\0\0\0\0\0\x09");
    let text = id.to_string();
    assert_eq!(text, "00010f107f80abff0000000000000009");
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(text.to_uppercase().parse(), Ok(id));
    for wrong in [
        "",
        "0",
        &text[1..],
        &text[2..],
        &format!("{text}0"),
        &format!("{text}00"),
        &text.replace("ab", "ag"),
        &text.replace("00010", "0 010"),
        &text.replace("00010", "+0010"),
        &text.replace("ab", "ä"),
    ] {
        let (expected, found) = (32, wrong.len());
        assert_eq!(
            wrong.parse::<ObjectId>(),
            Err(HexError { expected, found }),
            "{wrong:?}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_accepted_matches_the_rule(text in "\\PC{0,40}") {
        if let Ok(name) = UserName::parse(&text) {
            let bytes = name.as_str().as_bytes();
            prop_assert!((2..=32).contains(&bytes.len()));
            prop_assert!(bytes[0].is_ascii_lowercase() || bytes[0].is_ascii_digit());
            prop_assert!(bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(byte)));
            prop_assert_eq!(UserName::parse_stored(name.as_str()), Ok(name));
        }
    }

    #[test]
    fn whatever_matches_the_rule_is_accepted(text in "[A-Za-z0-9][A-Za-z0-9._-]{1,31}") {
        let name = UserName::parse(&text).unwrap();
        prop_assert_eq!(name.as_str(), text.to_ascii_lowercase());
    }

    #[test]
    fn a_safe_file_name_is_one_ordinary_component(
        parts in prop::collection::vec(
            prop_oneof![
                Just("/".to_owned()), Just("\\\\".to_owned()), Just("..".to_owned()), Just(".".to_owned()),
                Just("nul".to_owned()), Just(":".to_owned()), Just("\u{202e}".to_owned()), "\\PC{0,9}",
                any::<String>(), "[a-z]{1,90}",
            ],
            0..6,
        ),
    ) {
        let path = parts.concat();
        if let Some(name) = FileName::from_untrusted(&path) {
            let components: Vec<Component<'_>> = Path::new(name.as_str()).components().collect();
            prop_assert_eq!(components, [Component::Normal(name.as_str().as_ref())]);
            prop_assert!(path.ends_with(name.as_str()) && name.as_str().len() <= 255);
            prop_assert!(!name.as_str().contains(|letter: char| letter.is_control()));
            prop_assert_eq!(FileName::from_untrusted(name.as_str()), Some(name));
        }
    }
}
