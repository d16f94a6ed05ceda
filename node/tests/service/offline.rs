//! The commands that need no server, as a person would type them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../lsb-core/tests/vectors")
        .join(name)
}

fn photo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../lsb-core/tests/photos")
        .join(name)
}

fn client(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_client"))
        .args(arguments)
        .arg("--input")
        .arg(file)
        .output()
        .unwrap()
}

fn json(arguments: &[&str], file: &Path) -> serde_json::Value {
    let output = client(&[arguments, &["--json"]].concat(), file);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn inspect_tells_what_everybody_can_read() {
    for (name, mode, bits, scattered) in [
        ("sealed.png", "sealed", 3, false),
        ("preview.png", "preview", 3, false),
        ("cover.png", "cover", 2, true),
        ("label.png", "label", 4, false),
    ] {
        let told = json(&["inspect"], &vector(name));
        assert_eq!(told["mode"], mode);
        assert_eq!(
            (&told["bits"], &told["scattered"]),
            (&bits.into(), &scattered.into()),
            "{name}"
        );
        assert_eq!(told["owner"], "alice");
        assert_eq!(told["grants"][1]["user"], "bob");
        assert_eq!(told["grants"][1]["views"], 3);
        assert_eq!(told["created"], 1_700_000_000);
        let text = String::from_utf8(client(&["inspect"], &vector(name)).stdout).unwrap();
        assert!(
            text.contains("bob may view 3 times") && text.contains("2023-11-14 22:13:20 UTC"),
            "{text}"
        );
        assert_eq!(
            text.contains("nothing in the file is secret"),
            mode == "label",
            "{text}"
        );
    }
    let told = json(&["inspect"], &vector("sealed.png"));
    assert_eq!(
        (&told["receipt"]["log_index"], &told["status"]["log_index"]),
        (&5.into(), &8.into())
    );
}

#[test]
fn inspect_says_what_is_wrong_by_its_exit_status() {
    let output = client(&["inspect"], &photo("chelsea.png"));
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("never protected"));
    let output = client(&["inspect"], &photo("rocket.jpg"));
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("JPEG"));
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.png");
    let whole = std::fs::read(vector("sealed.png")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() - 100]).unwrap();
    let output = client(&["inspect"], &cut);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cut off"));
    let output = client(&["inspect"], &folder.path().join("none.png"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn capacity_counts_every_setting() {
    let told = json(&["capacity"], &photo("chelsea.png"));
    assert_eq!((&told["width"], &told["height"]), (&451.into(), &300.into()));
    assert_eq!(told["carrier_samples"], 451 * 300 * 3);
    for (index, bits) in (1..=4u64).enumerate() {
        assert_eq!(told["settings"][index]["bits"], bits);
        // Whole groups of eight samples behind the preamble.
        assert_eq!(told["settings"][index]["bytes"], (451 * 300 * 3 - 256) / 8 * bits);
    }
    let payload = photo("grace_hopper.jpg");
    let told = json(
        &["capacity", "--payload", payload.to_str().unwrap()],
        &photo("chelsea.png"),
    );
    assert_eq!(
        (&told["settings"][0]["fits"], &told["settings"][3]["fits"]),
        (&false.into(), &true.into())
    );
}

#[test]
fn capacity_says_what_is_wrong_by_its_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let whole = std::fs::read(photo("chelsea.png")).unwrap();
    for (file, status, said) in [
        (vector("policy.hex"), 4, "not a picture"),
        (write("empty.png", b""), 4, "empty"),
        (folder.path().to_owned(), 1, "is a directory"),
        (folder.path().join("none.png"), 1, "none.png"),
        (write("moving.gif", MOVING_GIF), 1, "(--first-frame)"),
        (write("cut.png", &whole[..whole.len() / 2]), 5, "cut off"),
    ] {
        failed(&client(&["capacity"], &file), status, said);
    }
    let first = json(&["capacity", "--first-frame"], &folder.path().join("moving.gif"));
    assert_eq!((&first["width"], &first["height"]), (&2.into(), &2.into()));
}

/// Two frames of 2 × 2 pixels.
const MOVING_GIF: &[u8] = b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xff\xff\xff\
    \x2c\0\0\0\0\x02\0\x02\0\0\x02\x02\x44\x5c\0\
    \x2c\0\0\0\0\x02\0\x02\0\0\x02\x02\x44\x5c\0\x3b";

fn failed(output: &Output, status: i32, said: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{error}");
    assert!(error.contains(said), "{error}");
}

/// A cover or a folder that cannot be used is said before any server is asked: here there is none.
#[test]
fn what_is_wrong_with_cover_and_output_is_said_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let servers = folder.path().join("servers.conf");
    std::fs::write(&servers, "127.0.0.1:1\n").unwrap();
    let (text, nowhere) = (vector("policy.hex"), folder.path().join("none/output.png"));
    let output = folder.path().join("output.png");
    let encrypt = |cover: &Path, output: &Path| {
        let paths = [&servers, cover, output].map(|path: &Path| path.to_str().unwrap());
        let [servers, cover, output] = paths;
        let arguments = [
            "encrypt",
            "--owner",
            "alice",
            "--timeout",
            "1",
            "--servers",
            servers,
        ];
        client(
            &[&arguments[..], &["--cover", cover, "--output", output]].concat(),
            &photo("rocket.jpg"),
        )
    };
    failed(
        &encrypt(&text, &output),
        4,
        "the cover cannot be used: the file is not a picture",
    );
    failed(&encrypt(&photo("chelsea.png"), &nowhere), 1, "cannot write");
    failed(&encrypt(&photo("chelsea.png"), &output), 6, "no server answered");
    let view = ["view", "--user", "bob", "--servers", servers.to_str().unwrap()];
    let view = [&view[..], &["--output", nowhere.to_str().unwrap()]].concat();
    failed(&client(&view, &vector("sealed.png")), 1, "cannot write");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let cover = photo("rocket.jpg");
    let cover = cover.to_str().unwrap();
    for wrong in [
        &["encrypt", "--owner", "alice", "--mode", "cover"][..],
        &["encrypt", "--owner", "alice", "--mode", "label", "--cover", cover],
        &["encrypt", "--owner", "alice", "--bits", "5"],
    ] {
        let output = client(wrong, &photo("chelsea.png"));
        assert_eq!(
            output.status.code(),
            Some(2),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
