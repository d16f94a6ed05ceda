//! Keys, signatures, shares: what opens what, and what opens nothing.

use crate::fixtures::{CLUSTER, Fixture, denied_picture, noise, photo};
use lsb_core::envelope::{Draft, Policy, SectionKind, UserName};
use lsb_core::seal::{
    CHUNK_BYTES, ExchangeKey, ExchangePublicKey, LedgerShare, ObjectSecrets, ReleaseContext, SealError,
    ShareForCluster, ShareForViewer, SigningKey, open, seal, seal_with,
};
use lsb_core::upload::{inspect, inspect_stored};
use lsb_core::{ClusterId, Error, ErrorKind, Limits, ObjectId, PublicKey, RequestId, Signature, UnixSeconds};

/// A JPEG of exactly so many bytes: a real one, and noise behind its end.
fn jpeg_of(bytes: usize) -> Vec<u8> {
    let mut file = photo("grace_hopper.jpg");
    let missing = bytes.checked_sub(file.len()).unwrap();
    file.extend(noise(missing, 1));
    file
}

#[test]
fn originals_at_the_edges_of_chunks_come_out_as_they_went_in() {
    let fixture = Fixture::new();
    for bytes in [2 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 1] {
        let original = jpeg_of(bytes);
        let sealed = fixture.seal(&original, &denied_picture());
        let opened = open(&sealed.envelope, &sealed.ledger_share).unwrap();
        assert_eq!(opened.bytes, original);
        assert_eq!(opened.metadata.bytes, bytes as u64);
    }
}

/// Also for a caller who never asked: the hashes of what another key signed are right, and its ciphertext is alice's.
#[test]
fn nothing_is_opened_that_its_owner_did_not_sign() {
    let sealed = Fixture::new().seal(&denied_picture(), &denied_picture());
    let sections = [
        SectionKind::DeniedPicture,
        SectionKind::Original,
        SectionKind::OriginalMetadata,
    ]
    .map(|kind| (kind, sealed.envelope.section(kind).unwrap().to_vec()));
    let (header, policy) = (*sealed.envelope.header(), sealed.envelope.policy().clone());
    let draft = Draft::new(header, policy, sections.to_vec()).unwrap();
    let signature = SigningKey::from_bytes(&[8; 32]).sign("raft-lsb envelope v1 owner", b"whatever");
    let forged = draft.finish(signature);
    assert_eq!(
        open(&forged, &sealed.ledger_share).unwrap_err(),
        SealError::OwnerSignature
    );
}

#[test]
fn the_picture_alone_does_not_hold_the_original_or_the_ledgers_share() {
    let original = photo("rocket.jpg");
    let sealed = Fixture::new().seal(&original, &denied_picture());
    let envelope = sealed.envelope.as_bytes();
    for window in original.chunks_exact(16).step_by(100) {
        assert!(!envelope.windows(16).any(|hidden| hidden == window));
    }
    assert!(
        !envelope
            .windows(32)
            .any(|hidden| hidden == sealed.ledger_share.expose_bytes())
    );
}

#[test]
fn the_same_original_is_never_sealed_the_same_way_twice() {
    let (fixture, original) = (Fixture::new(), photo("rocket.jpg"));
    let first = fixture.seal(&original, &denied_picture());
    let second = fixture.seal(&original, &denied_picture());
    assert_ne!(first.object(), second.object());
    let sections =
        [&first, &second].map(|sealed| sealed.envelope.section(SectionKind::Original).unwrap().to_vec());
    assert_ne!(sections[0][..64], sections[1][..64]);
    assert_ne!(sections[0][64..128], sections[1][64..128]);
    assert_eq!(
        open(&first.envelope, &second.ledger_share).unwrap_err(),
        SealError::WrongShare
    );
}

#[test]
fn every_flipped_bit_of_a_share_is_a_wrong_share() {
    let sealed = Fixture::new().seal(&photo("grace_hopper.jpg"), &denied_picture());
    for bit in 0..256 {
        let mut share = *sealed.ledger_share.expose_bytes();
        share[bit / 8] ^= 1 << (bit % 8);
        let error = open(&sealed.envelope, &LedgerShare::from_bytes(share)).unwrap_err();
        assert_eq!(error, SealError::WrongShare);
        assert_eq!(error.kind(), ErrorKind::WrongKey);
    }
}

#[test]
fn only_the_owner_that_the_policy_names_can_seal() {
    let fixture = Fixture::new();
    let other = SigningKey::from_bytes(&[8; 32]);
    let (original, denied) = (photo("grace_hopper.jpg"), denied_picture());
    let mut request = fixture.request(&original, &denied);
    request.owner = &other;
    let error = seal(&request).unwrap_err();
    assert!(
        matches!(error, Error::Seal(SealError::OtherOwner { .. })),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[test]
fn only_whole_pictures_are_sealed() {
    let fixture = Fixture::new();
    let (original, denied) = (photo("grace_hopper.jpg"), denied_picture());
    let kind = |original: &[u8], denied: &[u8]| seal(&fixture.request(original, denied)).unwrap_err().kind();
    assert_eq!(kind(b"text", &denied), ErrorKind::NotAPicture);
    assert_eq!(kind(b"", &denied), ErrorKind::NotAPicture);
    assert_eq!(kind(&original[..200], &denied), ErrorKind::Damaged);
    assert_eq!(kind(&original, &original), ErrorKind::NotAPicture);
    assert_eq!(kind(&original, &denied[..denied.len() - 20]), ErrorKind::Damaged);
    // An end marker alone may be missing.
    seal(&fixture.request(&original[..original.len() - 2], &denied)).unwrap();
}

#[test]
fn the_manifest_alone_shows_the_owners_consent() {
    let fixture = Fixture::new();
    let sealed = fixture.seal(&photo("grace_hopper.jpg"), &denied_picture());
    let manifest = sealed.envelope.manifest();
    manifest.verify_owner(&fixture.owner.public()).unwrap();
    let other = SigningKey::from_bytes(&[8; 32]).public();
    assert_eq!(manifest.verify_owner(&other), Err(SealError::OwnerSignature));
    assert_eq!(manifest.header().policy_hash, fixture.policy.hash());
}

#[test]
fn a_receipt_vouches_for_one_object_and_is_no_part_of_the_owners_signature() {
    let fixture = Fixture::new();
    let cluster = SigningKey::from_bytes(&[21; 32]);
    let sealed = fixture.seal(&photo("grace_hopper.jpg"), &denied_picture());
    assert_eq!(sealed.envelope.verify_receipt(&cluster.public()), Ok(None));
    let receipt = cluster.sign_receipt(sealed.envelope.manifest(), 42, UnixSeconds(1_700_000_005));
    let with_receipt = sealed.envelope.clone().with_receipt(receipt);
    with_receipt.verify_signature().unwrap();
    assert_eq!(with_receipt.verify_receipt(&cluster.public()), Ok(Some(&receipt)));
    let again = lsb_core::envelope::Envelope::parse(with_receipt.as_bytes().to_vec()).unwrap();
    assert_eq!(again, with_receipt);
    assert_eq!(
        again.verify_receipt(&fixture.owner.public()),
        Err(SealError::ReceiptSignature)
    );
    let other = fixture
        .seal(&photo("grace_hopper.jpg"), &denied_picture())
        .envelope
        .with_receipt(receipt);
    assert_eq!(
        other.verify_receipt(&cluster.public()),
        Err(SealError::ReceiptSignature)
    );
    let mut later = receipt;
    later.log_index += 1;
    let later = sealed.envelope.with_receipt(later);
    assert_eq!(
        later.verify_receipt(&cluster.public()),
        Err(SealError::ReceiptSignature)
    );
}

#[test]
fn a_signature_is_good_for_one_purpose_and_one_message() {
    let key = SigningKey::generate().unwrap();
    let signature = key.sign("a purpose v1", b"a message");
    key.public()
        .verify("a purpose v1", b"a message", &signature)
        .unwrap();
    for (purpose, message) in [
        ("another v1", b"a message".as_slice()),
        ("a purpose v1", b"a massage"),
        ("a purpose", b" v1a message"),
    ] {
        assert_eq!(
            key.public().verify(purpose, message, &signature),
            Err(SealError::Signature)
        );
    }
    let restored = SigningKey::from_bytes(&key.expose_bytes());
    assert_eq!(restored.public(), key.public());
    assert_eq!(restored.sign("a purpose v1", b"a message"), signature);
}

#[test]
fn keys_that_fit_every_message_are_refused() {
    // The neutral element as a key: without the strict check, R = S = 0 would sign anything.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let key = PublicKey::from_bytes(neutral);
    assert!(
        key.verify("a purpose v1", b"any message", &Signature::from_bytes(signature))
            .is_err()
    );
}

const OBJECT: ObjectId = ObjectId::from_bytes([2; 16]);

fn context() -> ReleaseContext {
    ReleaseContext {
        cluster: CLUSTER,
        object: OBJECT,
        request: RequestId::from_bytes([3; 16]),
        log_index: 99,
    }
}

#[test]
fn a_share_for_the_cluster_opens_with_its_key_and_for_its_object_only() {
    let share = LedgerShare::from_bytes([5; 32]);
    let (key, other) = (ExchangeKey::from_bytes([6; 32]), ExchangeKey::generate().unwrap());
    let sealed = share.seal_for_cluster(&key.public(), CLUSTER, OBJECT).unwrap();
    let open = |key: &ExchangeKey, cluster, object| {
        LedgerShare::open_for_cluster(&sealed, key, cluster, object).map(|share| *share.expose_bytes())
    };
    assert_eq!(open(&key, CLUSTER, OBJECT), Ok([5; 32]));
    assert_eq!(open(&other, CLUSTER, OBJECT), Err(SealError::SealedShare));
    assert_eq!(
        open(&key, ClusterId::from_bytes([0; 16]), OBJECT),
        Err(SealError::SealedShare)
    );
    assert_eq!(
        open(&key, CLUSTER, ObjectId::from_bytes([0; 16])),
        Err(SealError::SealedShare)
    );
    let as_viewer = ShareForViewer::from_bytes(*sealed.as_bytes());
    assert!(LedgerShare::open_for_viewer(&as_viewer, &key, &context()).is_err());
}

#[test]
fn a_released_share_opens_in_its_own_context_only() {
    let share = LedgerShare::from_bytes([5; 32]);
    let key = ExchangeKey::generate().unwrap();
    let sealed = share.seal_for_viewer(&key.public(), &context()).unwrap();
    let open = |context: &ReleaseContext| LedgerShare::open_for_viewer(&sealed, &key, context);
    assert_eq!(open(&context()).unwrap().expose_bytes(), &[5; 32]);
    let others = [
        ReleaseContext {
            cluster: ClusterId::from_bytes([9; 16]),
            ..context()
        },
        ReleaseContext {
            object: ObjectId::from_bytes([9; 16]),
            ..context()
        },
        ReleaseContext {
            request: RequestId::from_bytes([9; 16]),
            ..context()
        },
        ReleaseContext {
            log_index: 100,
            ..context()
        },
    ];
    for other in others {
        assert_eq!(open(&other).unwrap_err(), SealError::SealedShare);
    }
    for bit in 0..ShareForViewer::LENGTH * 8 {
        let mut bytes = *sealed.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // X25519 ignores the top bit of a public key (RFC 7748, §5), HPKE does not: it hashes it.
        let flipped = ShareForViewer::from_bytes(bytes);
        assert!(
            LedgerShare::open_for_viewer(&flipped, &key, &context()).is_err(),
            "bit {bit}"
        );
    }
    let as_cluster = ShareForCluster::from_bytes(*sealed.as_bytes());
    assert!(LedgerShare::open_for_cluster(&as_cluster, &key, CLUSTER, OBJECT).is_err());
}

#[test]
fn a_key_that_gives_no_secret_is_refused() {
    let share = LedgerShare::from_bytes([5; 32]);
    let zero = ExchangePublicKey::from_bytes([0; 32]);
    assert_eq!(
        share.seal_for_viewer(&zero, &context()).unwrap_err(),
        SealError::ExchangeKey
    );
}

#[test]
fn secrets_are_never_shown() {
    let secrets = ObjectSecrets::generate().unwrap();
    let signing = SigningKey::from_bytes(&[0xab; 32]);
    let exchange = ExchangeKey::from_bytes([0xcd; 32]);
    let shown = format!(
        "{secrets:?} {signing:?} {exchange:?} {:#?}",
        LedgerShare::from_bytes([0xef; 32])
    );
    for secret in ["abab", "cdcd", "efef", "171, 171", "205, 205", "239, 239"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let bytes = secrets.ledger_share.expose_bytes();
    assert!(!shown.contains(&format!("{:02x}{:02x}{:02x}", bytes[0], bytes[1], bytes[2])));
}

#[test]
fn a_fingerprint_is_five_groups() {
    let shown = SigningKey::from_bytes(&[7; 32])
        .public()
        .fingerprint()
        .to_string();
    assert_eq!(shown.len(), 24);
    assert_eq!(shown.split('-').map(str::len).collect::<Vec<_>>(), [4; 5]);
}

#[test]
fn the_same_secrets_give_the_same_envelope() {
    let (fixture, original, denied) = (Fixture::new(), photo("grace_hopper.jpg"), denied_picture());
    let secrets = ObjectSecrets::generate().unwrap();
    let first = seal_with(&fixture.request(&original, &denied), secrets.clone()).unwrap();
    let second = seal_with(&fixture.request(&original, &denied), secrets).unwrap();
    assert_eq!(first.envelope, second.envelope);
}

#[test]
fn a_policy_with_an_owner_who_may_not_view_is_a_policy() {
    let owner = SigningKey::from_bytes(&[7; 32]);
    Policy::new(UserName::parse("alice").unwrap(), owner.public(), vec![]).unwrap();
}

#[test]
fn a_picture_that_is_not_whole_is_sealed_as_it_is() {
    let (fixture, denied) = (Fixture::new(), denied_picture());
    for name in ["rocket.jpg", "chelsea.png"] {
        let whole = photo(name);
        let cut = &whole[..whole.len() / 2];
        assert!(inspect_stored(cut, &Limits::DEFAULT).unwrap().unusual.is_some());
        let sealed = fixture.seal(cut, &denied);
        let opened = open(&sealed.envelope, &sealed.ledger_share).unwrap();
        assert!(opened.bytes == cut, "{name}");
        assert_eq!(
            opened.metadata.size,
            inspect(&whole, &Limits::DEFAULT).unwrap().size
        );
    }
    let error = seal(&fixture.request(b"a text, and no picture", &denied)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAPicture);
}
