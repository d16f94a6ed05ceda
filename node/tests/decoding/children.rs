//! Decoding in child processes: the same answers as in this process, and a clear error for every way to fail.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lsb_core::envelope::{Policy, UserName};
use lsb_core::seal::SigningKey;
use lsb_core::{ClusterId, Limits, UnixSeconds, label};
use node::decoding::{Decoder, DecodingError, LabelInput, ProcessLimits};

const SEALED: &[u8] = include_bytes!("../../../lsb-core/tests/vectors/sealed.png");
const HOPPER: &[u8] = include_bytes!("../../../lsb-core/tests/photos/grace_hopper.jpg");
const DENIED: &[u8] = include_bytes!("../../../lsb-core/tests/vectors/denied.png");
const SEED: [u8; 32] = *b"an owner's seed, 32 bytes of it.";
const PHOTO: &[u8] = include_bytes!("../../../lsb-core/tests/photos/rocket.jpg");

fn children(limits: ProcessLimits) -> Decoder {
    Decoder::in_children_of(env!("CARGO_BIN_EXE_client").into(), limits)
}

/// A decoder whose children are this shell script.
fn script(folder: &Path, text: &str, limits: ProcessLimits) -> Decoder {
    let path: PathBuf = folder.join("decoder");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Decoder::in_children_of(path, limits)
}

#[tokio::test]
async fn a_child_answers_what_this_process_would() {
    let (here, there) = (Decoder::in_this_process(), children(ProcessLimits::DEFAULT));
    let limits = Limits::DEFAULT;
    let one = here.inspect(SEALED.to_vec(), &limits).await.unwrap();
    let two = there.inspect(SEALED.to_vec(), &limits).await.unwrap();
    assert_eq!(one.metadata, two.metadata);
    let (one, two) = (one.carried.unwrap(), two.carried.unwrap());
    assert_eq!((one.picture, one.preamble), (two.picture, two.preamble));
    assert!(one.envelope.as_bytes() == two.envelope.as_bytes());
    let one = here.preview(PHOTO.to_vec(), &limits).await.unwrap();
    assert!(one == there.preview(PHOTO.to_vec(), &limits).await.unwrap());
    for file in [&b"text"[..], b"", PHOTO, &SEALED[..SEALED.len() / 2]] {
        let one = here.extract(file.to_vec(), &limits).await.unwrap_err();
        let two = there.extract(file.to_vec(), &limits).await.unwrap_err();
        assert!(matches!(one, DecodingError::Picture(_)));
        assert_eq!((one.class(), one.to_string()), (two.class(), two.to_string()));
    }
    let one = here.metadata(HOPPER.to_vec(), &limits).await.unwrap();
    assert!(one.iter().any(|finding| finding.kind == "text"), "{one:?}");
    assert_eq!(one, there.metadata(HOPPER.to_vec(), &limits).await.unwrap());
    let one = here.strip(HOPPER.to_vec(), &limits).await.unwrap();
    let two = there.strip(HOPPER.to_vec(), &limits).await.unwrap();
    assert!(one.file == two.file && one.file.len() < HOPPER.len());
    assert_eq!((one.kept, one.removed), (two.kept, two.removed));
}

#[tokio::test]
async fn a_limit_that_is_reached_is_named() {
    // A palette of one colour: 100 megapixels in a file of a few kilobytes, and 300 MB when decoded.
    let large = lsb_core::raster::Raster::new(
        9000,
        9000,
        lsb_core::raster::Colors::Rgb,
        lsb_core::raster::Samples::Eight(vec![0; 9000 * 9000 * 3]),
    );
    let large = lsb_core::picture::encode_png(large.unwrap(), &Default::default()).unwrap();
    let memory = ProcessLimits {
        memory_bytes: 128 << 20,
        ..ProcessLimits::DEFAULT
    };
    let error = children(memory)
        .measure(large, &Limits::DEFAULT)
        .await
        .unwrap_err();
    assert!(
        matches!(error, DecodingError::Memory { limit_bytes } if limit_bytes == 128 << 20),
        "{error}"
    );
    assert!(error.to_string().contains("128 MiB of memory"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let time = ProcessLimits {
        cpu_seconds: 7,
        ..ProcessLimits::DEFAULT
    };
    let slow = script(folder.path(), "kill -XCPU $$", time);
    let error = slow.measure(PHOTO.to_vec(), &Limits::DEFAULT).await.unwrap_err();
    assert!(error.to_string().contains("7 s of processor time"), "{error}");
}

#[tokio::test]
async fn a_child_that_hangs_is_stopped_and_does_not_outlive_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ProcessLimits {
        wall: Duration::from_secs(1),
        ..ProcessLimits::DEFAULT
    };
    let pid = folder.path().join("pid");
    let hanging = script(
        folder.path(),
        &format!("echo $$ >{}\nexec sleep 600", pid.display()),
        limits,
    );
    let error = hanging
        .measure(PHOTO.to_vec(), &Limits::DEFAULT)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("1 s of time by the clock"), "{error}");
    let status = format!("/proc/{}/stat", std::fs::read_to_string(pid).unwrap().trim());
    for _ in 0..500 {
        // Gone, or dead and about to be collected.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        if text.is_empty() || text.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the child lives on");
}

#[tokio::test]
async fn a_child_that_crashes_or_talks_nonsense_is_an_error_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    for (text, said) in [
        ("kill -SEGV $$", "signal: 11"),
        ("kill -ABRT $$", "signal: 6"),
        (
            "echo 'thread main panicked at somewhere' >&2; exit 101",
            "panicked at somewhere",
        ),
        (
            "echo 'memory allocation of 5 bytes failed' >&2; kill -ABRT $$",
            "MiB of memory",
        ),
        ("exit 0", "its reply is malformed"),
        ("head -c 5000000 /dev/zero", "decoder crashed"),
    ] {
        let limits = ProcessLimits {
            wall: Duration::from_secs(10),
            ..ProcessLimits::DEFAULT
        };
        let decoder = script(folder.path(), text, limits);
        let error = decoder
            .measure(PHOTO.to_vec(), &Limits::DEFAULT)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(said), "{text}: {error}");
    }
    let missing = Decoder::in_children_of(folder.path().join("none"), ProcessLimits::DEFAULT);
    let error = missing
        .measure(PHOTO.to_vec(), &Limits::DEFAULT)
        .await
        .unwrap_err();
    assert!(matches!(error, DecodingError::System(_)), "{error}");
}

#[tokio::test]
async fn a_list_of_metadata_has_an_end() {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for _ in 0..100_000 {
        // Twelve bytes: no content, and a checksum that nobody looks at.
        file.extend(b"\0\0\0\0prVt\0\0\0\0");
    }
    let listed = Decoder::in_this_process()
        .metadata(file, &Limits::DEFAULT)
        .await
        .unwrap();
    assert_eq!(listed.len(), 501);
    let rest = listed.last().unwrap();
    assert_eq!((rest.place.as_str(), rest.bytes), ("99500 parts", 99_500 * 12));
}

#[tokio::test]
async fn the_key_that_signs_a_label_never_reaches_a_decoder() {
    let folder = tempfile::tempdir().unwrap();
    let heard = folder.path().join("heard");
    let listening = script(
        folder.path(),
        &format!("/bin/cat > '{}'", heard.display()),
        ProcessLimits::DEFAULT,
    );
    let input = || {
        let owner = SigningKey::from_bytes(&SEED);
        let alice = UserName::parse("alice").unwrap();
        LabelInput {
            denied_picture: DENIED.to_vec(),
            policy: Policy::new(alice, owner.public(), vec![]).unwrap(),
            cluster: ClusterId::from_bytes([1; 16]),
            created: UnixSeconds(1_700_000_000),
            owner,
            bits: label::LABEL_BITS,
            keep: false,
        }
    };
    let limits = Limits::DEFAULT;
    let error = listening.label(PHOTO.to_vec(), input(), &limits).await;
    error.unwrap_err();
    let heard = std::fs::read(heard).unwrap();
    let has = |bytes: &[u8]| heard.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(PHOTO) && has(DENIED), "the files are sent");
    assert!(!has(&SEED), "the key is not");
    // And what a decoder makes of them is what was signed here.
    let (made, signed) = children(ProcessLimits::DEFAULT)
        .label(PHOTO.to_vec(), input(), &limits)
        .await
        .unwrap();
    signed.verify_signature().unwrap();
    let found = Decoder::in_this_process()
        .extract(made.file, &limits)
        .await
        .unwrap();
    assert!(found.as_bytes() == signed.as_bytes());
}
