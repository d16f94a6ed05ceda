//! Where the client's command puts its results: several files at a time, links, modes, names, pipes, and what is left
//! when it is killed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use lsb_core::{Limits, picture};
use serde_json::Value;

use crate::harness::{Cluster, DEADLINE, PHOTO, UNIFIED_IMAGE, ended};

const ROCKET: &[u8] = include_bytes!("../../../examples/photos/rocket.jpg");

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// The file that a result names; it must exist.
#[track_caller]
fn named(cluster: &Cluster, line: &Value, field: &str) -> Vec<u8> {
    let name = line[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field}: {line}"));
    fs::read(cluster.path(name)).unwrap()
}

#[tokio::test]
async fn several_files_get_names_of_their_own_and_one_that_fails_stops_no_other() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    fs::write(cluster.path("rocket.jpg"), ROCKET).unwrap();
    // Cut off in its header: behind that, a sealed original is stored as it is.
    fs::write(cluster.path("cut.png"), &PHOTO[..20]).unwrap();
    fs::create_dir(cluster.path("protected")).unwrap();
    fs::write(cluster.path("protected/photo_encrypted_lsb.png"), "kept").unwrap();
    let encrypt = ["encrypt", "-u", "alice", "-g", "bob=1", "-O", "protected"];
    let inputs = ["-i", "photo.png", "cut.png", "missing.png", "rocket.jpg"];
    let output = cluster.client(&[&encrypt[..], &inputs, &["--json"]].concat());
    // The status is that of the first file that was not done.
    ended(&output, 5, "error: cut.png: ");
    ended(&output, 5, "error: cannot read missing.png: ");
    let told = lines(&output);
    let outcomes: Vec<&str> = told.iter().filter_map(|line| line["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["protected", "error", "error", "protected", "summary"]);
    for (line, input, expected) in [
        (&told[0], "photo.png", "protected/photo_encrypted_lsb-2.png"),
        (&told[3], "rocket.jpg", "protected/rocket_encrypted_lsb.png"),
    ] {
        assert_eq!(
            (&line["input"], &line["output"]),
            (&input.into(), &expected.into())
        );
        let protected = named(&cluster, line, "output");
        assert!(picture::extract(&protected, &Limits::DEFAULT).is_ok());
    }
    for (line, input) in [(&told[1], "cut.png"), (&told[2], "missing.png")] {
        assert_eq!((&line["input"], &line["output"]), (&input.into(), &Value::Null));
    }
    let counts = ["files", "done", "denied", "failed", "not_tried"].map(|key| told[4][key].as_u64());
    assert_eq!(counts, [4, 2, 0, 2, 0].map(Some));
    assert_eq!(
        fs::read(cluster.path("protected/photo_encrypted_lsb.png")).unwrap(),
        b"kept"
    );
    assert_eq!(
        names(&cluster.path("protected")).len(),
        3,
        "nothing of the files that failed"
    );

    let view = |more: &[&str]| {
        let arguments = [
            "view",
            "-u",
            "bob",
            "-O",
            "seen",
            "-i",
            "protected/rocket_encrypted_lsb.png",
            "protected/photo_encrypted_lsb-2.png",
        ];
        cluster.client(&[&arguments[..], more].concat())
    };
    // For people one line a file and one for all of them.
    let output = view(&[]);
    ended(&output, 0, "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("2 of 2 files viewed.\n"), "{text}");
    let output = view(&["photo.png", "--json"]);
    ended(&output, 3, "error: photo.png: ");
    let told = lines(&output);
    for line in &told[..2] {
        assert_eq!(
            (&line["outcome"], &line["reason"]),
            (&"denied".into(), &"exhausted".into())
        );
        assert!(named(&cluster, line, "output") == UNIFIED_IMAGE);
    }
    let counts = ["done", "denied", "failed"].map(|key| told[3][key].as_u64());
    assert_eq!(counts, [0, 2, 1].map(Some));
    // The originals have their own names, and the access-denied pictures those of the files that were denied.
    let seen = names(&cluster.path("seen"));
    let expected = [
        "photo.png",
        "photo_encrypted_lsb-2_denied.png",
        "rocket.jpg",
        "rocket_encrypted_lsb_denied.png",
    ];
    assert!(seen.iter().eq(&expected), "{seen:?}");
    assert!(fs::read(cluster.path("seen/photo.png")).unwrap() == PHOTO);
    assert!(fs::read(cluster.path("seen/rocket.jpg")).unwrap() == ROCKET);
}

#[tokio::test]
async fn an_original_gets_its_name_back_and_harms_no_other_file() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    let round = |name: &str, more: &[&str]| {
        fs::write(cluster.path(name), ROCKET).unwrap();
        let encrypt = [&["encrypt", "-u", "alice", "-i", name], more].concat();
        ended(&cluster.client(&encrypt), 0, "");
        let view = [
            "view",
            "-i",
            "encrypted_lsb_image.png",
            "-u",
            "alice",
            "-O",
            "out",
            "--json",
        ];
        let output = cluster.client(&view);
        ended(&output, 0, "");
        let told = lines(&output).pop().unwrap();
        assert!(named(&cluster, &told, "output") == ROCKET);
        assert_eq!(told["media_type"], "image/jpeg");
        let path = told["output"].as_str().unwrap().to_owned();
        (
            path.strip_prefix("out/").unwrap().to_owned(),
            told["name"].clone(),
        )
    };
    assert_eq!(
        round("Größe 1.jpeg", &[]),
        ("Größe 1.jpeg".into(), "Größe 1.jpeg".into())
    );
    // Neither over a file nor through a link.
    fs::write(cluster.path("out/kept.jpg"), "kept").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../photo.png", cluster.path("out/kept-2.jpg")).unwrap();
    #[cfg(not(unix))]
    fs::write(cluster.path("out/kept-2.jpg"), "kept").unwrap();
    assert_eq!(round("kept.jpg", &[]).0, "kept-3.jpg");
    assert_eq!(fs::read(cluster.path("out/kept.jpg")).unwrap(), b"kept");
    assert!(fs::read(cluster.path("photo.png")).unwrap() == PHOTO);
    // A picture never gets the name of a program.
    assert_eq!(round("setup.exe", &[]).0, "setup.exe.jpg");
    // A name that is not safe everywhere is not stored, and a stripped original has none.
    let unnamed = ("encrypted_lsb_image_viewable.jpg".into(), Value::Null);
    assert_eq!(round("con.jpg", &[]), unnamed);
    fs::remove_file(cluster.path("out").join(&unnamed.0)).unwrap();
    let output = cluster.client(&["encrypt", "-u", "alice", "-i", "kept.jpg", "--strip-metadata"]);
    ended(&output, 0, "");
    let output = cluster.client(&[
        "view",
        "-i",
        "encrypted_lsb_image.png",
        "-u",
        "alice",
        "-O",
        "out",
        "--json",
    ]);
    assert_eq!(lines(&output).pop().unwrap()["name"], Value::Null);
    // Without a folder, the default name stays, with a note.
    ended(
        &cluster.client(&["encrypt", "-u", "alice", "-i", "kept.jpg"]),
        0,
        "",
    );
    let output = cluster.client(&["view", "-i", "encrypted_lsb_image.png", "-u", "alice"]);
    ended(&output, 0, "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("viewable_image.png is a JPEG file"), "{text}");
    assert!(text.contains("Its own name is kept.jpg"), "{text}");
}

#[test]
fn several_files_need_a_folder_and_end_at_once_when_no_server_answers() {
    let cluster = Cluster::new(1);
    fs::write(cluster.path("rocket.jpg"), ROCKET).unwrap();
    let encrypt = [
        "encrypt",
        "-u",
        "alice",
        "--timeout",
        "1",
        "-i",
        "photo.png",
        "rocket.jpg",
    ];
    ended(
        &cluster.client(&encrypt),
        2,
        "several files need --output-dir FOLDER",
    );
    let view = ["view", "-u", "alice", "-i", "a.png", "b.png"];
    ended(
        &cluster.client(&view),
        2,
        "several files need --output-dir FOLDER",
    );
    let both = ["encrypt", "-u", "alice", "-O", "out", "-i", "-", "-"];
    ended(&cluster.client(&both), 2, "read only once");
    // The second would wait as long for nothing.
    let output = cluster.client(&[&encrypt[..], &["-O", "out", "--json"]].concat());
    ended(&output, 6, "no server answered");
    let summary = lines(&output).pop().unwrap();
    let counts = ["files", "failed", "not_tried"].map(|key| summary[key].as_u64());
    assert_eq!(counts, [2, 1, 1].map(Some));
    assert!(names(&cluster.path("out")).is_empty());
}

#[tokio::test]
#[cfg(unix)]
async fn an_output_keeps_its_link_and_its_mode_and_new_cleartext_is_private() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let cluster = Cluster::started(1);
    cluster.leader().await;
    ended(
        &cluster.client(&["encrypt", "-i", "photo.png", "-u", "alice"]),
        0,
        "",
    );
    let mode = |name: &str| {
        let metadata = fs::metadata(cluster.path(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    let view = ["view", "-i", "encrypted_lsb_image.png", "-u", "alice"];
    ended(&cluster.client(&view), 0, "");
    assert_eq!(mode("viewable_image.png"), 0o600);
    // A name of 255 bytes leaves no room for a temporary name that grows out of it.
    let long = "x".repeat(255);
    ended(&cluster.client(&[&view[..], &["-o", &long]].concat()), 0, "");
    assert!(fs::read(cluster.path(&long)).unwrap() == PHOTO);

    fs::create_dir(cluster.path("elsewhere")).unwrap();
    fs::write(cluster.path("elsewhere/target.png"), "old").unwrap();
    fs::set_permissions(
        cluster.path("elsewhere/target.png"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    symlink("elsewhere/target.png", cluster.path("link.png")).unwrap();
    ended(
        &cluster.client(&["encrypt", "-i", "photo.png", "-u", "alice", "-o", "link.png"]),
        0,
        "",
    );
    assert!(
        fs::symlink_metadata(cluster.path("link.png"))
            .unwrap()
            .is_symlink()
    );
    let written = fs::read(cluster.path("elsewhere/target.png")).unwrap();
    assert!(picture::extract(&written, &Limits::DEFAULT).is_ok());
    assert_eq!(mode("elsewhere/target.png"), 0o600);
    assert_eq!(names(&cluster.path("elsewhere")).len(), 1);
    // A link to the input is the input.
    symlink("photo.png", cluster.path("input.png")).unwrap();
    ended(
        &cluster.client(&["encrypt", "-i", "photo.png", "-u", "alice", "-o", "input.png"]),
        2,
        "overwrite the input",
    );
    assert!(fs::read(cluster.path("photo.png")).unwrap() == PHOTO);
    // In a folder, a stranger may have left a link with the very name.
    fs::create_dir(cluster.path("out")).unwrap();
    symlink("../photo.png", cluster.path("out/rocket_encrypted_lsb.png")).unwrap();
    fs::write(cluster.path("rocket.jpg"), ROCKET).unwrap();
    ended(
        &cluster.client(&["encrypt", "-i", "rocket.jpg", "-u", "alice", "-O", "out"]),
        0,
        "",
    );
    assert!(fs::read(cluster.path("photo.png")).unwrap() == PHOTO);
    assert!(names(&cluster.path("out")).contains("rocket_encrypted_lsb-2.png"));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn words_never_mix_with_a_picture_on_standard_output() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    for more in [&[][..], &["--json"]] {
        let encrypt = [
            &["encrypt", "-i", "photo.png", "-u", "alice", "-o", "/dev/stdout"],
            more,
        ]
        .concat();
        let piped = cluster.client(&encrypt);
        ended(&piped, 0, "photo.png");
        assert!(picture::extract(&piped.stdout, &Limits::DEFAULT).is_ok());
        // The same when the shell sends standard output to a file, which has another name.
        let file = File::create(cluster.path("redirected.png")).unwrap();
        let view = [&["view", "-i", "-", "-u", "alice", "-o", "/dev/stdout"], more].concat();
        let mut command = cluster.client_command(&view);
        command.stdout(file).stderr(Stdio::piped()).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, &piped.stdout).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        ended(
            &output,
            0,
            if more.is_empty() {
                "Granted"
            } else {
                "\"outcome\":\"granted\""
            },
        );
        assert!(fs::read(cluster.path("redirected.png")).unwrap() == PHOTO);
    }
}

#[tokio::test]
#[cfg(unix)]
async fn a_killed_command_leaves_a_whole_output_or_none() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::os::unix::process::ExitStatusExt;
    const ATTEMPTS: u32 = 12;
    let cluster = Cluster::started(1);
    cluster.leader().await;
    let encrypt = [
        "encrypt",
        "-i",
        "photo.png",
        "-u",
        "alice",
        "-g",
        "alice=unlimited",
    ];
    ended(&cluster.client(&encrypt), 0, "");
    fs::create_dir(cluster.path("out")).unwrap();
    let view = [
        "view",
        "-i",
        "encrypted_lsb_image.png",
        "-u",
        "alice",
        "-o",
        "out/seen.png",
    ];
    let start = Instant::now();
    ended(&cluster.client(&view), 0, "");
    let once = start.elapsed();
    // Wherever the signal strikes, what follows must hold.
    for attempt in 0..ATTEMPTS {
        let signal = if attempt % 2 == 0 {
            Signal::KILL
        } else {
            Signal::TERM
        };
        fs::remove_file(cluster.path("out/seen.png")).unwrap_or_default();
        let mut command = cluster.client_command(&view);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(once * attempt / ATTEMPTS);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        let stopped =
            status.signal() == Some(signal.as_raw()) || status.code() == Some(128 + signal.as_raw());
        assert!(stopped || status.success(), "{status}");
        let left = names(&cluster.path("out"));
        if left.contains("seen.png") {
            assert!(fs::read(cluster.path("out/seen.png")).unwrap() == PHOTO);
        } else {
            assert!(left.is_empty(), "{left:?}");
        }
    }
    // Nor is what an interrupted view left behind in the way of the next one.
    ended(&cluster.client(&view), 0, "");
}

#[test]
#[cfg(unix)]
fn a_command_that_waits_for_standard_input_stops_when_it_is_asked_to() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::Write;
    let cluster = Cluster::new(1);
    for signal in [Signal::INT, Signal::TERM, Signal::INT, Signal::TERM] {
        let mut command = cluster.client_command(&["inspect", "-i", "-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // More than a pipe holds: once it is written, the command reads, and waits for more.
        input.write_all(&vec![0; 1 << 20]).unwrap();
        let deadline = Instant::now() + DEADLINE;
        while child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&child), signal).unwrap();
            assert!(Instant::now() < deadline, "it waits for ever");
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(input);
    }
}

#[test]
fn an_error_goes_where_a_result_would_have_gone() {
    let cluster = Cluster::new(1);
    let encrypt = ["encrypt", "-i", "missing.png", "-u", "alice", "--json"];
    let output = cluster.client(&encrypt);
    ended(&output, 1, "error: cannot read missing.png");
    assert_eq!(lines(&output)[0]["outcome"], "error");
    // Whoever expects a picture on standard output must not find words there.
    let output = cluster.client(&[&encrypt[..], &["-o", "-"]].concat());
    ended(&output, 1, "\"outcome\":\"error\"");
    assert!(output.stdout.is_empty());
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn names_are_escaped_for_people_and_exact_for_scripts() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let cluster = Cluster::started(1);
    cluster.leader().await;
    // It clears the screen, and renames the window.
    let evil = "a\x1b[2J\x1b]0;owned\x07.png";
    fs::write(cluster.path(evil), PHOTO).unwrap();
    let escape = |output: &Output| [&output.stdout[..], &output.stderr].concat().contains(&0x1b);
    let output = cluster.client(&["encrypt", "-i", evil, "-u", "alice", "-o", "\x1b[1m.png"]);
    ended(&output, 0, "");
    assert!(!escape(&output), "{output:?}");
    assert!(cluster.path("\x1b[1m.png").exists());
    for wrong in [
        &["view", "-u", "alice", "-i", evil][..],
        &["inspect", "-i", evil],
        &["inspect", "-i", "none\x1b[2J.png"],
        &["\x1b[2J"],
        &["encrypt", "-u", "al\x1b[2Jice", "-i", evil],
        &["status", "-s", "none\x1b[2J.conf"],
    ] {
        let output = cluster.client(wrong);
        assert!(!output.status.success() && !output.stderr.is_empty());
        assert!(!escape(&output), "{output:?}");
    }
    let output = cluster.client(&["encrypt", "-i", evil, "-u", "alice", "-O", "out", "--json"]);
    ended(&output, 0, "");
    let told = lines(&output).pop().unwrap();
    assert_eq!(told["input"], evil);
    assert!(named(&cluster, &told, "output").starts_with(b"\x89PNG"));
    // A name that is not text has its bytes beside it.
    let name = OsStr::from_bytes(b"caf\xe9.png");
    fs::write(cluster.folder.path().join(name), PHOTO).unwrap();
    let mut command = cluster.client_command(&["encrypt", "-u", "alice", "--json", "-i"]);
    command.arg(name).arg("-o").arg(OsStr::from_bytes(b"out\xff.png"));
    let output = command.output().unwrap();
    ended(&output, 0, "");
    let told = lines(&output).pop().unwrap();
    assert_eq!((&told["input"], &told["output"]), (&Value::Null, &Value::Null));
    for field in ["input_hex", "output_hex"] {
        let bytes = data_encoding::HEXLOWER
            .decode(told[field].as_str().unwrap().as_bytes())
            .unwrap();
        assert!(cluster.folder.path().join(OsStr::from_bytes(&bytes)).exists());
    }
}

#[tokio::test]
async fn a_name_that_does_not_fit_the_format_is_said() {
    let cluster = Cluster::started(1);
    cluster.leader().await;
    fs::write(cluster.path("rocket.jpg"), ROCKET).unwrap();
    let output = cluster.client(&["encrypt", "-i", "rocket.jpg", "-u", "alice", "-o", "x.jpg"]);
    ended(&output, 0, "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("x.jpg is a PNG file"), "{text}");
    assert!(fs::read(cluster.path("x.jpg")).unwrap().starts_with(b"\x89PNG"));
    let output = cluster.client(&["view", "-i", "x.jpg", "-u", "alice"]);
    ended(&output, 0, "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("viewable_image.png is a JPEG file"), "{text}");
    let output = cluster.client(&["view", "-i", "x.jpg", "-u", "alice", "-o", "seen.jpeg"]);
    ended(&output, 0, "");
    assert!(
        !String::from_utf8(output.stdout)
            .unwrap()
            .contains("is a JPEG file")
    );
}
