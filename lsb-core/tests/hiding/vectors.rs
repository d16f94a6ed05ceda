//! The layout is frozen: what was written then is read now, and written the same.
//!
//! The files in `tests/vectors` are described in `docs/envelope.md`. They are kept as they are; a
//! new version of a part of the layout gets new ones beside them.

use std::path::PathBuf;

use crate::fixtures::{CLUSTER, CREATED};
use data_encoding::HEXLOWER;
use lsb_core::bits::BitsPerSample;
use lsb_core::envelope::{
    Draft, Envelope, Grant, Header, Manifest, Mode, Policy, RemainingViews, SectionKind, Status, Suite,
    UserName, Views,
};
use lsb_core::preamble::{BodyChecksum, Preamble};
use lsb_core::raster::{Colors, Raster, Samples};
use lsb_core::seal::{
    ExchangeKey, LedgerShare, ObjectSecrets, PictureShare, ReleaseContext, SealRequest, ShareForCluster,
    ShareForViewer, Shown, SigningKey, open, seal_with, sign,
};
use lsb_core::upload::MediaType;
use lsb_core::{FileName, Layout, Limits, ObjectId, PolicyVersion, RequestId, UnixSeconds, carrier, picture};

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", name]
        .iter()
        .collect()
}

fn vector(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(path(name)).unwrap();
    if !name.ends_with(".hex") {
        return bytes;
    }
    let digits: Vec<u8> = bytes.into_iter().filter(u8::is_ascii_hexdigit).collect();
    HEXLOWER.decode(&digits).unwrap()
}

/// The bytes `first`, `first + 1`, and so on.
fn counting<const N: usize>(first: u8) -> [u8; N] {
    core::array::from_fn(|index| first + u8::try_from(index).unwrap())
}

fn owner() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn policy() -> Policy {
    let name = |text| UserName::parse(text).unwrap();
    let mut bob = Grant::new(name("bob"), Views::Total(3));
    bob.not_before = Some(UnixSeconds(1_700_000_100));
    bob.expires = Some(UnixSeconds(1_900_000_000));
    let grants = vec![Grant::new(name("alice"), Views::Unlimited), bob];
    Policy::new(name("alice"), owner().public(), grants).unwrap()
}

fn secrets() -> ObjectSecrets {
    ObjectSecrets {
        object: ObjectId::from_bytes(counting(0x10)),
        picture_share: PictureShare::from_bytes(counting(0x20)),
        ledger_share: LedgerShare::from_bytes(counting(0x40)),
    }
}

fn sealed() -> Envelope {
    sealed_as(Shown::DeniedPicture)
}

fn sealed_as(shown: Shown<'_>) -> Envelope {
    let (owner, policy) = (owner(), policy());
    let request = SealRequest {
        original: &vector("original.png"),
        name: None,
        denied_picture: &vector("denied.png"),
        shown,
        policy: &policy,
        cluster: CLUSTER,
        created: CREATED,
        owner: &owner,
        limits: &Limits::DEFAULT,
    };
    seal_with(&request, secrets()).unwrap().envelope
}

/// The sealed envelope with everything that can stand behind its contents.
fn registered() -> Envelope {
    let sealed = sealed();
    let cluster = SigningKey::from_bytes(&[9; 32]);
    let receipt = cluster.sign_receipt(sealed.manifest(), 5, UnixSeconds(1_700_000_002));
    let remaining =
        [("alice", Views::Unlimited), ("bob", Views::Total(2))].map(|(user, views)| RemainingViews {
            user: UserName::parse(user).unwrap(),
            views,
        });
    let status = Status {
        as_of: UnixSeconds(1_700_000_500),
        log_index: 8,
        remaining: remaining.to_vec(),
    };
    sealed.with_receipt(receipt).with_status(Some(status)).unwrap()
}

/// The files whose metadata needs version 2: which original, under which name and object id, in which picture.
const SECOND: [(&str, &str, Option<&str>, u8); 2] = [
    ("named.png", "original.png", Some("Größe 1 (neu).png"), 0x30),
    ("stored.png", "original.heic", None, 0x50),
];

fn sealed_in_version_2((_, original, name, first): (&str, &str, Option<&str>, u8)) -> Envelope {
    let (owner, policy) = (owner(), policy());
    let name = name.map(|name| FileName::from_untrusted(name).unwrap());
    let request = SealRequest {
        original: &vector(original),
        name: name.as_ref(),
        denied_picture: &vector("denied.png"),
        shown: Shown::DeniedPicture,
        policy: &policy,
        cluster: CLUSTER,
        created: CREATED,
        owner: &owner,
        limits: &Limits::DEFAULT,
    };
    // Two originals, so two keys: an object id gives its own.
    let object = ObjectId::from_bytes(counting(first));
    let secrets = ObjectSecrets { object, ..secrets() };
    seal_with(&request, secrets).unwrap().envelope
}

fn label() -> Envelope {
    let policy = policy();
    let header = Header {
        mode: Mode::Label,
        suite: Suite::One,
        object: secrets().object,
        cluster: CLUSTER,
        created: CREATED,
        policy_version: PolicyVersion(3),
        policy_hash: policy.hash(),
    };
    let draft = Draft::new(
        header,
        policy,
        vec![(SectionKind::DeniedPicture, vector("denied.png"))],
    )
    .unwrap();
    sign(draft, &owner()).unwrap()
}

fn preamble() -> Preamble {
    let body = registered().into_bytes();
    Preamble {
        layout: Layout::plain(BitsPerSample::Three),
        channel_mask: 0b111,
        body_bytes: u32::try_from(body.len()).unwrap(),
        body_checksum: BodyChecksum::of(&body),
    }
}

fn context() -> ReleaseContext {
    ReleaseContext {
        cluster: CLUSTER,
        object: secrets().object,
        request: RequestId::from_bytes(counting(0x60)),
        log_index: 6,
    }
}

/// The pictures of the vectors: sixteen bits, transparent pixels, shapes that end inside a block.
fn grey_picture() -> Raster {
    let samples = (0..150 * 100u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 16) as u16);
    Raster::new(150, 100, Colors::Grey, Samples::Sixteen(samples.collect())).unwrap()
}

fn cover_picture() -> Raster {
    let pixels = (0..120 * 90u32).flat_map(|place| {
        let [red, green, blue, _] = place.wrapping_mul(2_654_435_761).to_be_bytes();
        [red, green, blue, if place % 5 == 0 { 0 } else { 255 }]
    });
    Raster::new(120, 90, Colors::Rgba, Samples::Eight(pixels.collect())).unwrap()
}

fn file_of(raster: Raster) -> Vec<u8> {
    picture::encode_png(raster, &picture::Ancillary::default()).unwrap()
}

fn samples_of(file: &[u8]) -> Raster {
    picture::decode_png(file, u64::MAX, &Limits::DEFAULT)
        .unwrap()
        .raster
}

/// Every picture that carries, written anew.
fn carriers() -> [(&'static str, Vec<u8>); 4] {
    let (preview, limits) = (vector("denied.png"), &Limits::DEFAULT);
    let mut label_picture = grey_picture();
    carrier::write(&mut label_picture, BitsPerSample::Four, label().as_bytes()).unwrap();
    let cover = sealed_as(Shown::Cover);
    let cover = picture::embed_in_cover(&cover, &file_of(cover_picture()), BitsPerSample::Two, limits);
    let preview = picture::embed(&sealed_as(Shown::Preview(&preview)), limits);
    [
        ("sealed.png", picture::embed(&registered(), limits).unwrap()),
        ("preview.png", preview.unwrap()),
        ("cover.png", cover.unwrap()),
        ("label.png", file_of(label_picture)),
    ]
}

#[test]
fn pictures_carry_as_they_carried() {
    for (name, file) in carriers() {
        // How a PNG is compressed is no part of the layout; its samples are.
        assert!(samples_of(&file) == samples_of(&vector(name)), "{name}");
        let envelope = picture::extract(&vector(name), &Limits::DEFAULT).unwrap();
        envelope.verify_signature().unwrap();
        if envelope.header().mode != Mode::Label {
            let opened = open(&envelope, &LedgerShare::from_bytes(counting(0x40))).unwrap();
            assert_eq!(opened.bytes, vector("original.png"), "{name}");
        }
    }
}

#[test]
fn metadata_of_version_2_is_written_and_read_as_it_was() {
    for second in SECOND {
        let (file, original, name, _) = second;
        let envelope = picture::extract(&vector(file), &Limits::DEFAULT).unwrap();
        assert!(envelope == sealed_in_version_2(second), "{file}");
        let opened = open(&envelope, &LedgerShare::from_bytes(counting(0x40))).unwrap();
        assert!(opened.bytes == vector(original), "{file}");
        assert_eq!(opened.metadata.stored_name.as_deref(), name);
        assert_eq!(
            opened
                .metadata
                .file_name()
                .map(|name| name.to_string())
                .as_deref(),
            name
        );
        assert_eq!(Some(opened.metadata.media_type), MediaType::sniff(&opened.bytes));
        // A tag of 16 bytes follows. A name's length does not show.
        let sealed = envelope.section(SectionKind::OriginalMetadata).unwrap();
        assert_eq!(sealed.len(), 306 + 16, "{file}");
    }
    let sealed = sealed();
    let first = sealed.section(SectionKind::OriginalMetadata).unwrap();
    assert_eq!(
        first.len(),
        50 + 16,
        "what version 1 can say is said in version 1"
    );
}

#[test]
fn what_is_written_is_what_was_written() {
    assert_eq!(policy().to_bytes(), vector("policy.hex"));
    assert_eq!(sealed().manifest().to_bytes(), vector("manifest.hex"));
    assert!(registered().as_bytes() == vector("sealed.envelope"));
    assert!(label().as_bytes() == vector("label.envelope"));
    assert_eq!(preamble().to_bytes().as_slice(), vector("preamble.hex"));
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(Policy::parse(&vector("policy.hex")).unwrap(), policy());
    assert_eq!(
        Manifest::parse(&vector("manifest.hex")).unwrap(),
        *sealed().manifest()
    );
    assert_eq!(
        Preamble::parse(vector("preamble.hex").as_slice().try_into().unwrap()).unwrap(),
        preamble()
    );
    let label = Envelope::parse(vector("label.envelope")).unwrap();
    label.verify_signature().unwrap();
    assert_eq!(label.denied_picture(), vector("denied.png"));

    let envelope = picture::extract(&vector("sealed.png"), &Limits::DEFAULT).unwrap();
    assert!(envelope.as_bytes() == vector("sealed.envelope"));
    envelope.verify_signature().unwrap();
    let cluster = SigningKey::from_bytes(&[9; 32]).public();
    assert_eq!(envelope.verify_receipt(&cluster).unwrap().unwrap().log_index, 5);
    assert_eq!(envelope.status().unwrap().remaining.len(), 2);
    let opened = open(&envelope, &LedgerShare::from_bytes(counting(0x40))).unwrap();
    assert_eq!(opened.bytes, vector("original.png"));
}

#[test]
fn shares_that_were_sealed_are_opened() {
    let (cluster_key, viewer_key) = (
        ExchangeKey::from_bytes(counting(0x80)),
        ExchangeKey::from_bytes(counting(0xa0)),
    );
    let for_cluster = ShareForCluster::from_bytes(vector("share-for-cluster.hex").try_into().unwrap());
    let opened =
        LedgerShare::open_for_cluster(&for_cluster, &cluster_key, CLUSTER, secrets().object).unwrap();
    assert_eq!(opened.expose_bytes(), &counting::<32>(0x40));
    let for_viewer = ShareForViewer::from_bytes(vector("share-for-viewer.hex").try_into().unwrap());
    let opened = LedgerShare::open_for_viewer(&for_viewer, &viewer_key, &context()).unwrap();
    assert_eq!(opened.expose_bytes(), &counting::<32>(0x40));
}
