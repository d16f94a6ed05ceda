//! The client's command: its files, its JSON, its exit status, and what it says about bad input.

use std::fs;

use lsb_core::Limits;
use lsb_core::envelope::SectionKind;
use lsb_core::raster::{Raster, Samples};
use lsb_core::{carrier, picture};
use serde_json::Value;

use crate::harness::{Cluster, PHOTO, UNIFIED_IMAGE, ended};

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[tokio::test]
async fn the_documented_commands_write_the_documented_files() {
    let cluster = Cluster::started(3);
    cluster.leader().await;
    ended(
        &cluster.client(&[
            "encrypt",
            "--input",
            "photo.png",
            "--owner",
            "alice",
            "--grant",
            "bob=1",
        ]),
        0,
        "",
    );
    let protected = fs::read(cluster.path("encrypted_lsb_image.png")).unwrap();
    assert!(picture::extract(&protected, &Limits::DEFAULT).is_ok());

    let view = |user: &str| {
        let arguments = [
            "view",
            "--input",
            "encrypted_lsb_image.png",
            "--user",
            user,
            "--json",
        ];
        let output = cluster.client(&arguments);
        (
            output.status.code(),
            json(&output),
            fs::read(cluster.path("viewable_image.png")).unwrap(),
        )
    };
    let (code, said, file) = view("alice");
    assert_eq!(
        (code, &said["outcome"], &said["remaining"]),
        (Some(0), &Value::from("granted"), &Value::from(4))
    );
    assert_eq!(
        (&said["reason"], &said["output"]),
        (&Value::Null, &Value::from("viewable_image.png"))
    );
    assert!(file == PHOTO);
    let (code, said, file) = view("bob");
    assert_eq!((code, &said["remaining"]), (Some(0), &Value::from(0)));
    assert!(file == PHOTO);
    let (code, said, file) = view("bob");
    assert_eq!(
        (code, &said["outcome"], &said["reason"]),
        (Some(3), &Value::from("denied"), &Value::from("exhausted"))
    );
    assert!(file == UNIFIED_IMAGE);
    let (code, said, file) = view("mallory");
    assert_eq!((code, &said["reason"]), (Some(3), &Value::from("not_listed")));
    assert!(file == UNIFIED_IMAGE);
    // On another machine, bob's name is not enough.
    let keys = cluster.path("elsewhere").display().to_string();
    let stranger = [
        "view",
        "-i",
        "encrypted_lsb_image.png",
        "-u",
        "bob",
        "--json",
        "--keys",
        &keys,
    ];
    let output = cluster.client(&stranger);
    ended(&output, 3, "");
    assert_eq!(json(&output)["reason"], "unknown_device");

    let status = json(&cluster.client(&["status", "--json"]));
    let servers = status.as_array().unwrap();
    assert_eq!(servers.len(), 3);
    for (server, port) in servers.iter().zip(&cluster.ports) {
        assert_eq!(server["address"], format!("127.0.0.1:{port}"));
        assert_eq!(server["reachable"], true);
        assert!(["leader", "follower"].contains(&server["role"].as_str().unwrap()));
        for field in ["term", "commit", "applied"] {
            assert!(server[field].as_u64().unwrap() > 0, "{field}");
        }
        assert!(server["leader"].as_str().unwrap().starts_with("server"));
    }
}

#[tokio::test]
async fn pictures_may_come_from_and_go_to_pipes_and_labels_say_what_they_are() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    let output = cluster.client(&["encrypt", "-i", "photo.png", "-u", "alice", "-o", "-"]);
    ended(&output, 0, "Protected photo.png");
    assert!(picture::extract(&output.stdout, &Limits::DEFAULT).is_ok());
    let output = cluster.client(&[
        "encrypt",
        "-i",
        "photo.png",
        "-u",
        "alice",
        "-m",
        "label",
        "-o",
        "label.png",
    ]);
    ended(&output, 0, "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("A label keeps nothing secret"));
    let output = cluster.client(&["view", "-i", "label.png", "-u", "alice"]);
    ended(&output, 0, "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("only a label"));
    let same =
        fs::read(cluster.path("viewable_image.png")).unwrap() == fs::read(cluster.path("label.png")).unwrap();
    assert!(same);
    ended(&cluster.client(&["view", "-i", "label.png", "-u", "bob"]), 3, "");
}

#[tokio::test]
async fn every_mode_delivers_the_exact_file() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    let rocket = include_bytes!("../../../examples/photos/rocket.jpg");
    fs::write(cluster.path("rocket.jpg"), rocket).unwrap();
    for (settings, mode, bits) in [
        (&["--bits", "1"][..], "sealed", 1),
        (&["--mode", "preview"], "preview", 3),
        (&["--mode", "preview", "--bits", "2"], "preview", 2),
        (&["--cover", "photo.png", "--bits", "4"], "cover", 4),
        (&["--mode", "label", "--bits", "2"], "label", 2),
    ] {
        let encrypt = ["encrypt", "-i", "rocket.jpg", "-u", "alice", "-g", "bob=1"];
        ended(&cluster.client(&[&encrypt, settings].concat()), 0, "");
        let output = cluster.client(&["inspect", "-i", "encrypted_lsb_image.png", "--json"]);
        ended(&output, 0, "");
        let told = json(&output);
        assert_eq!(
            (&told["mode"], &told["bits"]),
            (&Value::from(mode), &Value::from(bits))
        );
        let view = |user: &str, code: i32| {
            let output = cluster.client(&["view", "-i", "encrypted_lsb_image.png", "-u", user]);
            ended(&output, code, "");
            fs::read(cluster.path("viewable_image.png")).unwrap()
        };
        let seen = view("bob", 0);
        if mode == "label" {
            assert!(seen == fs::read(cluster.path("encrypted_lsb_image.png")).unwrap());
        } else {
            assert!(seen == rocket, "{mode}: byte for byte");
        }
        assert!(view("bob", 3) == UNIFIED_IMAGE, "{mode}: once only");
    }
    // A cover without room is an error that says what would do.
    let output = cluster.client(&[
        "encrypt",
        "-i",
        "rocket.jpg",
        "-u",
        "alice",
        "--cover",
        "photo.png",
    ]);
    ended(&output, 1, "it fits with 3 bits per sample");
}

#[tokio::test]
async fn files_that_cannot_be_viewed_are_told_apart() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    ended(
        &cluster.client(&["encrypt", "-i", "photo.png", "-u", "alice", "-g", "bob=1"]),
        0,
        "",
    );
    let protected = fs::read(cluster.path("encrypted_lsb_image.png")).unwrap();
    let view = |name: &str, bytes: &[u8], code: i32, error: &str| {
        fs::write(cluster.path(name), bytes).unwrap();
        ended(&cluster.client(&["view", "-i", name, "-u", "alice"]), code, error);
        assert_eq!(fs::read(cluster.path(name)).unwrap(), bytes, "{name} was changed");
        assert!(
            !cluster.path("viewable_image.png").exists(),
            "{name} left an output"
        );
    };
    view(
        "text.png",
        b"this is no picture",
        4,
        "neither PNG, JPEG, WebP, BMP, TIFF nor GIF",
    );
    view("empty.png", b"", 4, "the file is empty");
    view("plain.png", PHOTO, 4, "carries nothing of ours");
    view(
        "saved.jpg",
        include_bytes!("../../../examples/photos/rocket.jpg"),
        4,
        "re-encoded as JPEG",
    );
    view("cut.png", &protected[..protected.len() / 2], 5, "cut off");
    view(
        "edited.png",
        &edited(&protected, |samples| samples[4000] ^= 1),
        5,
        "damaged",
    );
    view("forged.png", &forged(&protected), 5, "tampered");
    view("bomb.png", &bomb(), 1, "pixels");
    ended(
        &cluster.client(&["view", "-i", "missing.png", "-u", "alice"]),
        1,
        "missing.png",
    );
    ended(
        &cluster.client(&["view", "-i", "photo.png", "-u", "alice", "-o", "./photo.png"]),
        2,
        "overwrite the input",
    );
    assert_eq!(fs::read(cluster.path("photo.png")).unwrap(), PHOTO);
    // None of this was charged.
    ended(
        &cluster.client(&["view", "-i", "encrypted_lsb_image.png", "-u", "alice", "--json"]),
        0,
        "",
    );
}

#[tokio::test]
async fn files_that_cannot_be_protected_are_told_apart() {
    let mut cluster = Cluster::new(1);
    cluster.flags[0] = vec!["--max-upload-mib".into(), "1".into()];
    cluster.start(0);
    cluster.leader().await;
    let encrypt = |name: &str, bytes: &[u8], code: i32, error: &str| {
        fs::write(cluster.path(name), bytes).unwrap();
        ended(
            &cluster.client(&["encrypt", "-i", name, "-u", "alice"]),
            code,
            error,
        );
        assert!(
            !cluster.path("encrypted_lsb_image.png").exists(),
            "{name} left an output"
        );
    };
    encrypt(
        "text.txt",
        b"this is no picture",
        4,
        "neither PNG, JPEG, WebP, BMP, TIFF nor GIF",
    );
    encrypt("cut.png", &PHOTO[..20], 5, "cut off");
    encrypt("bomb.png", &bomb(), 1, "100000");
    let large = [PHOTO, &vec![0; 1 << 20]].concat();
    encrypt("large.png", &large, 1, "the limit is 1048576");
    ended(
        &cluster.client(&["encrypt", "-i", "missing.png", "-u", "alice"]),
        1,
        "missing.png",
    );
}

// A file of which only the bytes are needed is sealed and comes back as it is, with a note; where its pixels are to be
// shown, what is missing is an error.
#[tokio::test]
async fn a_picture_that_is_cut_off_is_sealed_as_it_is_and_never_shown() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    let cut = &PHOTO[..PHOTO.len() / 2];
    fs::write(cluster.path("cut.png"), cut).unwrap();
    let encrypt = ["encrypt", "-i", "cut.png", "-u", "alice"];
    for mode in ["preview", "label"] {
        ended(
            &cluster.client(&[&encrypt[..], &["--mode", mode]].concat()),
            5,
            "cut off",
        );
    }
    let sealed = cluster.client(&encrypt);
    ended(&sealed, 0, "");
    let told =
        String::from_utf8_lossy(&sealed.stdout).into_owned() + &String::from_utf8_lossy(&sealed.stderr);
    assert!(
        told.contains("sealed as it is") && told.contains("cut off"),
        "{told}"
    );
    ended(
        &cluster.client(&[
            "view",
            "-i",
            "encrypted_lsb_image.png",
            "-u",
            "alice",
            "-o",
            "seen.png",
        ]),
        0,
        "",
    );
    assert_eq!(fs::read(cluster.path("seen.png")).unwrap(), cut);
}

#[test]
fn command_lines_and_names_that_cannot_be_meant_are_usage() {
    let cluster = Cluster::new(1);
    let owner = |name: &str, error: &str| {
        ended(
            &cluster.client(&["encrypt", "-i", "photo.png", "-u", name]),
            2,
            error,
        );
    };
    owner("al/ice", "slash");
    owner("ali\nce", "control");
    // The second letter is Cyrillic.
    owner("p\u{430}ul", "look");
    owner("a", "2");
    ended(&cluster.client(&["encrypt", "-i", "photo.png"]), 2, "--owner");
    ended(
        &cluster.client(&["encrypt", "-i", "photo.png", "-u", "alice", "-g", "bob"]),
        2,
        "USER=VIEWS",
    );
    ended(
        &cluster.client(&["encrypt", "-i", "photo.png", "-u", "alice", "-g", "bob=-1"]),
        2,
        "bob=-1",
    );
    ended(&cluster.client(&["no-such-command"]), 2, "no-such-command");
}

#[test]
fn a_list_of_servers_that_cannot_be_read_names_the_line() {
    let cluster = Cluster::new(1);
    let status = |text: &[u8], error: &str| {
        fs::write(cluster.path("servers.conf"), text).unwrap();
        ended(&cluster.client(&["status"]), 2, error);
    };
    status(
        b"# fine\n127.0.0.1:8080\nlocalhost\n",
        "servers.conf, line 3: `localhost` has no port",
    );
    status(b"127.0.0.1:99999\n", "line 1");
    status(b"\xff\xfe", "UTF-8");
    status(b"", "lists no server");
    fs::remove_file(cluster.path("servers.conf")).unwrap();
    ended(&cluster.client(&["status"]), 2, "cannot read the list of servers");
}

#[test]
fn without_any_server_the_connection_times_out() {
    let cluster = Cluster::new(2);
    let output = cluster.client(&["encrypt", "-i", "photo.png", "-u", "alice", "--timeout", "1"]);
    ended(&output, 6, "Connection timeout");
    let output = cluster.client(&["status", "--json"]);
    ended(&output, 6, "");
    assert_eq!(json(&output)[1]["reachable"], false);
    assert_eq!(json(&output)[1]["role"], Value::Null);
}

/// The picture after a change to its samples.
fn edited(protected: &[u8], edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let decoded = picture::decode_png(protected, Limits::DEFAULT.carrier_bytes, &Limits::DEFAULT).unwrap();
    let (width, height, colors) = (
        decoded.raster.width(),
        decoded.raster.height(),
        decoded.raster.colors(),
    );
    let Samples::Eight(mut samples) = decoded.raster.into_samples() else {
        panic!("a carrier has eight bits per sample");
    };
    edit(&mut samples);
    let raster = Raster::new(width, height, colors, Samples::Eight(samples)).unwrap();
    picture::encode_png(raster, &decoded.ancillary).unwrap()
}

/// The picture with other rules in it, hidden like the genuine ones.
fn forged(protected: &[u8]) -> Vec<u8> {
    let envelope = picture::extract(protected, &Limits::DEFAULT).unwrap();
    let rules = envelope.section(SectionKind::Policy).unwrap().to_vec();
    let mut bytes = envelope.into_bytes();
    let place = bytes
        .windows(rules.len())
        .position(|window| *window == rules)
        .unwrap();
    bytes[place + rules.len() - 1] ^= 1;
    let mut decoded =
        picture::decode_png(protected, Limits::DEFAULT.carrier_bytes, &Limits::DEFAULT).unwrap();
    carrier::write(&mut decoded.raster, picture::SEALED_BITS, &bytes).unwrap();
    picture::encode_png(decoded.raster, &decoded.ancillary).unwrap()
}

/// A PNG of 74 bytes that claims 100000 × 100000 pixels.
fn bomb() -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        file.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let start = file.len();
        file.extend_from_slice(kind);
        file.extend_from_slice(data);
        let checksum = crc32fast::hash(&file[start..]);
        file.extend_from_slice(&checksum.to_be_bytes());
    };
    let side = 100_000_u32.to_be_bytes();
    chunk(b"IHDR", &[side.as_slice(), &side, &[8, 2, 0, 0, 0]].concat());
    chunk(
        b"IDAT",
        &[
            0x78, 0x9c, 0x03, 0, 0, 0, 0, 0, 1, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
        ],
    );
    chunk(b"IEND", &[]);
    assert_eq!(file.len(), 74);
    file
}
