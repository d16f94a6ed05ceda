//! What the client's command tells about metadata, and what becomes of it.

use std::fs;
use std::process::Output;

use lsb_core::{Limits, metadata, picture};
use serde_json::Value;

use crate::harness::{Cluster, PHOTO, ended};

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// EXIF with a camera, and a position of 48.5 N and 2.25 E.
fn exif() -> Vec<u8> {
    let line = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        let (tag, kind, count) = (tag.to_be_bytes(), kind.to_be_bytes(), count.to_be_bytes());
        [&tag[..], &kind, &count, &value].concat()
    };
    let mut block = b"MM\0*\0\0\0\x08\0\x02".to_vec();
    block.extend(line(0x010f, 2, 4, *b"Cam\0"));
    // Its own directory, and behind that the numbers.
    block.extend(line(0x8825, 4, 1, 38u32.to_be_bytes()));
    block.extend([0; 4]);
    assert_eq!(block.len(), 38);
    block.extend([0, 4]);
    block.extend(line(1, 2, 2, *b"N\0\0\0"));
    block.extend(line(2, 5, 3, 92u32.to_be_bytes()));
    block.extend(line(3, 2, 2, *b"E\0\0\0"));
    block.extend(line(4, 5, 3, 116u32.to_be_bytes()));
    block.extend([0; 4]);
    for number in [48u32, 1, 30, 1, 0, 1, 2, 1, 15, 1, 0, 1] {
        block.extend(number.to_be_bytes());
    }
    block
}

/// The photograph with a position, a prompt that tries to move the cursor, and its gamma.
fn talkative() -> Vec<u8> {
    let mut file = PHOTO[..33].to_vec();
    let chunks: [(&[u8; 4], &[u8]); 3] = [
        (b"eXIf", &exif()),
        (b"tEXt", b"Title \x1b[2J\0a text"),
        (b"gAMA", &45455u32.to_be_bytes()),
    ];
    for (kind, content) in chunks {
        file.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        let checked = [&kind[..], content].concat();
        file.extend(&checked);
        file.extend(crc32fast::hash(&checked).to_be_bytes());
    }
    file.extend(&PHOTO[33..]);
    file
}

fn gives_away(file: &[u8]) -> bool {
    let listed = metadata::list(file).unwrap();
    listed.iter().any(|item| !item.kind.is_needed())
}

const POSITION: &str = "48.5000 N 2.2500 E";

#[tokio::test]
async fn labels_and_covers_give_nothing_away_unless_that_is_asked_for() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    fs::write(cluster.path("talkative.png"), talkative()).unwrap();
    let rocket = include_bytes!("../../../examples/photos/rocket.jpg");
    fs::write(cluster.path("rocket.jpg"), &rocket[..]).unwrap();
    let encrypt = |arguments: &[&str]| {
        let output = cluster.client(&[&["encrypt", "-u", "alice"], arguments].concat());
        ended(&output, 0, "");
        (output, fs::read(cluster.path("encrypted_lsb_image.png")).unwrap())
    };
    for arguments in [
        &["-i", "talkative.png", "-m", "label"][..],
        &["-i", "rocket.jpg", "-c", "talkative.png", "--bits", "4"],
    ] {
        let (output, file) = encrypt(arguments);
        assert!(!gives_away(&file));
        let said = text(&output);
        assert!(
            said.contains("Metadata that was left out of what everyone sees:\n  location (eXIf GPS"),
            "{said}"
        );
        assert!(said.contains(POSITION) && !said.contains('\x1b'), "{said}");
        let (output, _) = encrypt(&[arguments, &["--json"]].concat());
        let told = json(&output);
        assert_eq!(told["metadata"]["public"], Value::Array(Vec::new()));
        assert_eq!(told["metadata"]["left_out"][0]["kind"], "location");

        let (output, file) = encrypt(&[arguments, &["--keep-metadata"]].concat());
        assert!(gives_away(&file));
        let said = text(&output);
        assert!(
            said.contains("Metadata that was kept, for everyone to read:\n  location (eXIf GPS"),
            "{said}"
        );
        // And whoever has the file can find out.
        let output = cluster.client(&["inspect", "-i", "encrypted_lsb_image.png"]);
        ended(&output, 0, "");
        let said = text(&output);
        assert!(
            said.contains("everyone who has the file can read:\n  location"),
            "{said}"
        );
        assert!(said.contains(POSITION) && said.contains("gamma (gAMA"), "{said}");
        let told = json(&cluster.client(&["inspect", "-i", "encrypted_lsb_image.png", "--json"]));
        let kinds = told["metadata"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| &finding["kind"]);
        assert!(kinds.clone().any(|kind| kind == "location") && kinds.clone().any(|kind| kind == "gamma"));
    }
}

#[tokio::test]
async fn a_sealed_original_keeps_its_metadata_unless_it_is_stripped() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    fs::write(cluster.path("talkative.png"), talkative()).unwrap();
    let encrypt = |more: &[&str]| {
        let arguments = [&["encrypt", "-u", "alice", "-i", "talkative.png"], more].concat();
        let output = cluster.client(&arguments);
        ended(&output, 0, "");
        output
    };
    let view = || {
        ended(
            &cluster.client(&["view", "-i", "encrypted_lsb_image.png", "-u", "alice"]),
            0,
            "",
        );
        fs::read(cluster.path("viewable_image.png")).unwrap()
    };
    for mode in ["sealed", "preview"] {
        let said = text(&encrypt(&["-m", mode]));
        assert!(
            said.contains("Viewers get the original file, talkative.png, with its own metadata:\n  location"),
            "{said}"
        );
        assert!(
            said.contains(POSITION) && said.contains("--strip-metadata"),
            "{said}"
        );
        assert!(view() == talkative());
        assert!(!gives_away(
            &fs::read(cluster.path("encrypted_lsb_image.png")).unwrap()
        ));

        let said = text(&encrypt(&["-m", mode, "--strip-metadata"]));
        assert!(said.contains("before it was sealed:\n  location"), "{said}");
        assert!(
            said.contains("Viewers get the original file without metadata that gives anything away."),
            "{said}"
        );
        let seen = view();
        assert!(!gives_away(&seen) && seen.len() < talkative().len());
        // The pixels are those of the original, and what shows them right is there.
        let decoded = |file: &[u8]| picture::decode(file, u64::MAX, &Limits::DEFAULT).unwrap();
        assert!(decoded(&seen).raster == decoded(&talkative()).raster);
        assert!(decoded(&seen).ancillary == decoded(&talkative()).ancillary);
    }
    let told = json(&encrypt(&["--json"]));
    assert_eq!(told["metadata"]["sealed"][0]["kind"], "location");
    let told = json(&encrypt(&["--strip-metadata", "--json"]));
    assert_eq!(told["metadata"]["sealed"], Value::Array(Vec::new()));
    assert_eq!(told["metadata"]["stripped"][0]["kind"], "location");
    // Of many files each line says it.
    let said = text(&cluster.client(&[
        "encrypt",
        "-u",
        "alice",
        "-O",
        "out",
        "-i",
        "talkative.png",
        "photo.png",
    ]));
    assert!(
        said.contains("(viewers get: location, camera or program, text, XMP)"),
        "{said}"
    );
}

#[test]
fn inspect_says_what_an_unprotected_picture_gives_away() {
    let cluster = Cluster::new(1);
    fs::write(cluster.path("talkative.png"), talkative()).unwrap();
    let output = cluster.client(&["inspect", "-i", "talkative.png"]);
    ended(&output, 4, "carries nothing of ours");
    assert!(text(&output).contains(POSITION));
    let output = cluster.client(&["inspect", "-i", "talkative.png", "--json"]);
    ended(&output, 4, "carries nothing of ours");
    let told = json(&output);
    assert_eq!(told["outcome"], "error");
    assert_eq!(told["metadata"][0]["kind"], "location");
    // What is not known is not said to be nothing.
    let heic = include_bytes!("../../../lsb-core/tests/vectors/original.heic");
    fs::write(cluster.path("photo.heic"), heic).unwrap();
    let output = cluster.client(&["inspect", "-i", "photo.heic"]);
    ended(&output, 4, "HEIC");
    assert!(text(&output).contains("cannot be listed"));
    let output = cluster.client(&["inspect", "-i", "photo.heic", "--json"]);
    assert_eq!(json(&output)["metadata"], Value::Null);
    fs::write(cluster.path("text.png"), "BM, and this is a text").unwrap();
    let output = cluster.client(&["inspect", "-i", "text.png"]);
    ended(&output, 4, "not a picture");
    assert!(output.stdout.is_empty());
}

#[test]
fn flags_that_would_do_nothing_are_refused() {
    let cluster = Cluster::new(1);
    let encrypt = ["encrypt", "-u", "alice", "-i", "photo.png"];
    for (more, said) in [
        (&["--keep-metadata"][..], "in modes label and cover"),
        (&["--keep-metadata", "-m", "preview"], "in modes label and cover"),
        (&["--strip-metadata", "-m", "label"], "a label seals nothing"),
    ] {
        ended(&cluster.client(&[&encrypt[..], more].concat()), 2, said);
    }
}
