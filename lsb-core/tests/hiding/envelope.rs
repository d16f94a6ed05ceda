//! The envelope: one encoding per value, and an explicit error for everything else.

use crate::fixtures::{CLUSTER, CREATED, Fixture, denied_picture, photo};
use lsb_core::envelope::{
    Draft, ENTRY_BYTES, Envelope, EnvelopeError, Grant, HEADER_BYTES, Header, Manifest, Mode, Policy,
    PolicyError, RemainingViews, SectionKind, Status, Suite, UserName, Views,
};
use lsb_core::{ErrorKind, ObjectId, PolicyVersion, PublicKey, Signature, UnixSeconds};
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn draft(mode: Mode, sections: Vec<(SectionKind, Vec<u8>)>) -> Result<Envelope, EnvelopeError> {
    let policy = Fixture::new().policy;
    let header = Header {
        mode,
        suite: Suite::One,
        object: ObjectId::from_bytes([1; 16]),
        cluster: CLUSTER,
        created: CREATED,
        policy_version: PolicyVersion::FIRST,
        policy_hash: policy.hash(),
    };
    Ok(Draft::new(header, policy, sections)?.finish(Signature::from_bytes([3; 64])))
}

fn label() -> Envelope {
    draft(
        Mode::Label,
        vec![(SectionKind::DeniedPicture, b"denied".to_vec())],
    )
    .unwrap()
}

fn sealed() -> Envelope {
    let sections = [
        SectionKind::OriginalMetadata,
        SectionKind::DeniedPicture,
        SectionKind::Original,
    ];
    draft(
        Mode::Sealed,
        sections
            .map(|kind| (kind, format!("{kind:?}").into_bytes()))
            .to_vec(),
    )
    .unwrap()
}

/// The error of an envelope with some bytes changed.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> EnvelopeError {
    let mut bytes = sealed().into_bytes();
    change(&mut bytes);
    Envelope::parse(bytes).unwrap_err()
}

/// Where the entry of a section stands.
fn entry(index: usize) -> usize {
    HEADER_BYTES + index * ENTRY_BYTES
}

#[test]
fn it_reads_what_it_wrote() {
    for envelope in [label(), sealed()] {
        let again = Envelope::parse(envelope.as_bytes().to_vec()).unwrap();
        assert_eq!(again, envelope);
        assert_eq!(
            Manifest::parse(&envelope.manifest().to_bytes()).unwrap(),
            *envelope.manifest()
        );
        assert!(envelope.as_bytes().starts_with(&envelope.manifest().to_bytes()));
    }
    assert_eq!(
        sealed().section(SectionKind::Original),
        Some(b"Original".as_slice())
    );
    assert_eq!(label().section(SectionKind::Original), None);
}

#[test]
fn it_ends_where_it_says_and_nowhere_else() {
    let bytes = sealed().into_bytes();
    for length in 0..bytes.len() {
        let error = Envelope::parse(bytes[..length].to_vec()).unwrap_err();
        assert!(matches!(error, EnvelopeError::Truncated(_)), "{length}: {error}");
    }
    assert_eq!(
        changed(|bytes| bytes.push(0)),
        EnvelopeError::TrailingBytes { count: 1 }
    );
    let manifest = sealed().manifest().to_bytes();
    for length in 0..manifest.len() {
        assert!(Manifest::parse(&manifest[..length]).is_err());
    }
    assert!(Manifest::parse(&[manifest, vec![0]].concat()).is_err());
}

#[test]
fn the_header_is_read_strictly() {
    assert_eq!(changed(|bytes| bytes[0] = b'X'), EnvelopeError::NotAnEnvelope);
    assert_eq!(
        changed(|bytes| bytes[5] = 2),
        EnvelopeError::UnknownVersion { found: 2 }
    );
    assert_eq!(changed(|bytes| bytes[5] = 2).kind(), ErrorKind::Unsupported);
    for mode in [0, 5, 255] {
        let error = changed(|bytes| bytes[6] = mode);
        assert_eq!(error, EnvelopeError::UnsupportedMode { mode });
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    assert_eq!(
        changed(|bytes| bytes[7] = 2),
        EnvelopeError::UnsupportedSuite { suite: 2 }
    );
    assert_eq!(changed(|bytes| bytes[56] ^= 1), EnvelopeError::PolicyHash);
    assert!(matches!(
        changed(|bytes| bytes[91] = 1),
        EnvelopeError::ReservedNotZero { .. }
    ));
    assert_eq!(
        changed(|bytes| bytes[88] = 1),
        EnvelopeError::TooManySections { found: 260 }
    );
}

#[test]
fn sections_are_read_strictly() {
    assert_eq!(
        changed(|bytes| bytes[entry(3) + 1] = 4),
        EnvelopeError::DuplicateSection {
            kind: SectionKind::Original
        }
    );
    assert_eq!(
        changed(|bytes| bytes[entry(1) + 1] = 5),
        EnvelopeError::SectionDisorder {
            kind: SectionKind::Original
        }
    );
    assert_eq!(
        changed(|bytes| bytes[entry(3) + 1] = 99),
        EnvelopeError::UnknownCriticalSection { number: 99 }
    );
    assert_eq!(
        changed(|bytes| bytes[entry(0) + 3] = 0),
        EnvelopeError::SectionFlags {
            kind: SectionKind::Policy,
            flags: 0
        }
    );
    assert_eq!(
        changed(|bytes| bytes[entry(1) + 4..entry(1) + 8].fill(0)),
        EnvelopeError::EmptySection {
            kind: SectionKind::DeniedPicture
        }
    );
    assert_eq!(
        changed(|bytes| bytes[entry(1) + 1] = 3),
        EnvelopeError::MissingSection {
            kind: SectionKind::DeniedPicture,
            mode: Mode::Sealed
        }
    );
    assert_eq!(
        changed(|bytes| bytes[6] = 4),
        EnvelopeError::UnexpectedSection {
            kind: SectionKind::Original,
            mode: Mode::Label
        }
    );
    for (index, kind) in [
        SectionKind::Policy,
        SectionKind::DeniedPicture,
        SectionKind::Original,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            changed(|bytes| bytes[entry(index) + 8] ^= 1),
            EnvelopeError::SectionHash { kind }
        );
    }
    // A length of four gigabytes is refused for the bytes that are not there, and not allocated.
    let error = changed(|bytes| bytes[entry(2) + 4..entry(2) + 8].fill(0xff));
    assert!(matches!(error, EnvelopeError::Truncated(_)));
}

#[test]
fn a_later_section_that_is_not_critical_is_passed_over_and_kept() {
    let sections = vec![
        (SectionKind::Other(77), b"from the future".to_vec()),
        (SectionKind::DeniedPicture, vec![1]),
    ];
    let envelope = draft(Mode::Label, sections).unwrap();
    let again = Envelope::parse(envelope.as_bytes().to_vec()).unwrap();
    assert_eq!(
        again.section(SectionKind::Other(77)),
        Some(b"from the future".as_slice())
    );
    assert_eq!(again, envelope);
}

#[test]
fn a_draft_needs_exactly_the_sections_of_its_mode() {
    let denied = (SectionKind::DeniedPicture, vec![1]);
    let missing = EnvelopeError::MissingSection {
        kind: SectionKind::Original,
        mode: Mode::Sealed,
    };
    assert_eq!(draft(Mode::Sealed, vec![denied.clone()]).unwrap_err(), missing);
    let twice = EnvelopeError::DuplicateSection {
        kind: SectionKind::DeniedPicture,
    };
    assert_eq!(
        draft(Mode::Label, vec![denied.clone(), denied.clone()]).unwrap_err(),
        twice
    );
    let smuggled = draft(
        Mode::Label,
        vec![denied.clone(), (SectionKind::Other(4), vec![1])],
    );
    assert!(matches!(smuggled, Err(EnvelopeError::UnexpectedSection { .. })));
    let empty = draft(Mode::Label, vec![(SectionKind::DeniedPicture, vec![])]);
    assert_eq!(
        empty.unwrap_err(),
        EnvelopeError::EmptySection {
            kind: SectionKind::DeniedPicture
        }
    );
}

#[test]
fn the_status_fits_into_the_room_of_every_grant_and_changes_no_length() {
    let envelope = sealed();
    let length = envelope.as_bytes().len();
    let remaining = envelope
        .policy()
        .grants()
        .iter()
        .map(|grant| RemainingViews {
            user: grant.user.clone(),
            views: Views::Total(2),
        })
        .collect();
    let status = Status {
        as_of: CREATED,
        log_index: 17,
        remaining,
    };
    let updated = envelope.clone().with_status(Some(status.clone())).unwrap();
    assert_eq!(updated.as_bytes().len(), length);
    let again = Envelope::parse(updated.into_bytes()).unwrap();
    assert_eq!(again.status(), Some(&status));
    assert_eq!(again.clone().with_status(None).unwrap(), envelope);

    let mut crowded = status.clone();
    crowded.remaining.push(RemainingViews {
        user: name("zoe-who-has-no-room"),
        views: Views::Unlimited,
    });
    let error = again.clone().with_status(Some(crowded)).unwrap_err();
    assert!(matches!(error, EnvelopeError::StatusTooLong { .. }), "{error}");
    let mut disordered = status.clone();
    disordered.remaining.reverse();
    let mut doubled = status;
    doubled.remaining[1].user = doubled.remaining[0].user.clone();
    for wrong in [disordered, doubled] {
        assert_eq!(
            again.clone().with_status(Some(wrong)).unwrap_err(),
            EnvelopeError::StatusNotCanonical
        );
    }
    assert!(matches!(
        changed(|bytes| *bytes.last_mut().unwrap() = 1),
        EnvelopeError::ReservedNotZero { .. }
    ));
}

#[test]
fn a_policy_is_ordered_and_names_each_user_once() {
    let key = PublicKey::from_bytes([5; 32]);
    let grant = |user: &str| Grant::new(name(user), Views::Total(1));
    let policy = Policy::new(name("alice"), key, vec![grant("carol"), grant("bob")]).unwrap();
    assert_eq!(
        policy
            .grants()
            .iter()
            .map(|grant| grant.user.as_str())
            .collect::<Vec<_>>(),
        ["bob", "carol"]
    );
    assert_eq!(policy.grant(&name("carol")), Some(&grant("carol")));
    assert_eq!(policy.grant(&name("mallory")), None);
    let twice = Policy::new(
        name("alice"),
        key,
        vec![grant("bob"), grant("carol"), grant("bob")],
    );
    assert_eq!(twice.unwrap_err(), PolicyError::DuplicateGrant { place: 2 });
    let mut never = grant("bob");
    never.not_before = Some(UnixSeconds(10));
    never.expires = Some(UnixSeconds(10));
    assert!(matches!(
        Policy::new(name("alice"), key, vec![never]),
        Err(PolicyError::NeverValid { .. })
    ));
    let many = (0..1001)
        .map(|number| grant(&format!("user{number:04}")))
        .collect::<Vec<_>>();
    assert!(Policy::new(name("alice"), key, many[..1000].to_vec()).is_ok());
    assert_eq!(
        Policy::new(name("alice"), key, many).unwrap_err(),
        PolicyError::TooManyGrants { found: 1001 }
    );
}

#[test]
fn a_policy_has_one_encoding() {
    let bytes = Fixture::new().policy.to_bytes();
    assert_eq!(Policy::parse(&bytes).unwrap(), Fixture::new().policy);
    for length in 0..bytes.len() {
        assert!(matches!(
            Policy::parse(&bytes[..length]),
            Err(PolicyError::Truncated(_))
        ));
    }
    let change = |place: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[place] = value;
        Policy::parse(&bytes).unwrap_err()
    };
    assert_eq!(change(0, 2), PolicyError::UnknownVersion { found: 2 });
    assert!(
        matches!(change(2, b'A'), PolicyError::Name(_)),
        "a capital is another spelling"
    );
    assert_eq!(change(2, 0xff), PolicyError::NameNotText);
    // The first grant is alice's, unlimited: its flags, and a number of views that must be zero.
    let flags = 1 + 6 + 32 + 2 + 6;
    assert_eq!(bytes[flags], 1);
    assert_eq!(change(flags - 5, b'z'), PolicyError::Disorder { place: 2 });
    assert_eq!(change(flags, 9), PolicyError::NotCanonical { place: 1 });
    assert_eq!(change(flags + 4, 1), PolicyError::NotCanonical { place: 1 });
    assert_eq!(change(flags + 12, 1), PolicyError::NotCanonical { place: 1 });
    assert_eq!(change(flags + 20, 1), PolicyError::NotCanonical { place: 1 });
    let trailing = [bytes.clone(), vec![0]].concat();
    assert_eq!(
        Policy::parse(&trailing),
        Err(PolicyError::TrailingBytes { count: 1 })
    );
}

fn any_grant() -> impl Strategy<Value = Grant> {
    let moment = proptest::option::of(any::<u64>().prop_map(UnixSeconds));
    let views = prop_oneof![any::<u32>().prop_map(Views::Total), Just(Views::Unlimited)];
    ("[a-z0-9][a-z0-9._-]{1,31}", views, moment.clone(), moment).prop_map(
        |(user, views, not_before, expires)| Grant {
            user: name(&user),
            views,
            not_before,
            expires,
        },
    )
}

proptest! {
    #[test]
    fn every_policy_comes_back(grants in vec(any_grant(), 0..8), key in any::<[u8; 32]>()) {
        if let Ok(policy) = Policy::new(name("owner"), PublicKey::from_bytes(key), grants) {
            prop_assert_eq!(Policy::parse(&policy.to_bytes()).unwrap(), policy);
        }
    }

    #[test]
    fn arbitrary_bytes_are_an_error_or_canonical(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(envelope) = Envelope::parse(bytes.clone()) {
            prop_assert_eq!(envelope.as_bytes(), &bytes);
        }
        if let Ok(policy) = Policy::parse(&bytes) {
            prop_assert_eq!(policy.to_bytes(), bytes);
        }
    }

    /// Bytes that are nearly an envelope: some changed, and the hashes made right again, so that the
    /// parser gets past them.
    #[test]
    fn nearly_right_bytes_are_an_error_or_canonical(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), status in any::<bool>(),
    ) {
        let mut envelope = sealed();
        if status {
            let remaining = vec![RemainingViews { user: name("bob"), views: Views::Unlimited }];
            envelope = envelope.with_status(Some(Status { as_of: CREATED, log_index: 1, remaining })).unwrap();
        }
        let mut bytes = envelope.into_bytes();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        rehash(&mut bytes);
        if let Ok(envelope) = Envelope::parse(bytes.clone()) {
            prop_assert_eq!(envelope.as_bytes(), &bytes);
            prop_assert_eq!(&envelope.manifest().to_bytes(), &bytes[..entry(4) + 64]);
            let (receipt, status) = (envelope.receipt().copied(), envelope.status().cloned());
            prop_assert!(receipt.is_none());
            prop_assert_eq!(envelope.with_status(status).unwrap().into_bytes(), bytes);
        }
    }
}

/// Writes the hashes of four sections, and of the policy, where they belong.
fn rehash(bytes: &mut [u8]) {
    let mut start = entry(4) + 64;
    for index in 0..4 {
        let length = u32::from_be_bytes(bytes[entry(index) + 4..entry(index) + 8].try_into().unwrap());
        let Some(content) = bytes.get(start..start.saturating_add(length as usize)) else {
            return;
        };
        let hash = Sha256::digest(content);
        if index == 0 {
            bytes[56..88].copy_from_slice(&hash);
        }
        bytes[entry(index) + 8..entry(index) + 40].copy_from_slice(&hash);
        start += length as usize;
    }
}

#[test]
fn the_debug_form_shows_no_content() {
    let fixture = Fixture::new();
    let sealed = fixture.seal(&photo("rocket.jpg"), &denied_picture());
    let shown = format!("{sealed:?} {:?}", fixture.owner);
    assert!(shown.len() < 1000, "{shown}");
    assert!(shown.contains("LedgerShare(secret)"));
}
