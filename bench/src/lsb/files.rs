//! Hiding and revealing, file to file, each side in a process of its own: 12 megapixels, a payload of 3.4 MB.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pictures;
use super::watch::{self, Taken};
use crate::report::Row;

/// The ratio that we promise: in `sealed`, where the same payload is delivered in a carrier of our choice, and in
/// `cover`, where both hide in the same picture and the picture's own encoding is the limit.
const DUE_SEALED: f64 = 5.0;
const DUE_COVER_HIDING: f64 = 2.0;
const DUE_COVER_REVEALING: f64 = 2.5;
const DUE_MEMORY: f64 = 1.0;
/// Speed must not be bought with larger files.
const DUE_SIZE: f64 = 1.0;

/// The files that both sides work on.
struct Bench {
    folder: PathBuf,
    payload: PathBuf,
    cover: PathBuf,
    peer: PathBuf,
}

pub(super) fn run(rounds: u32, peer: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("bench-lsb-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(rounds, peer, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(rounds: u32, peer: &Path, folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let bench = Bench {
        folder: folder.to_owned(),
        payload: folder.join("payload.bmp"),
        cover: folder.join("cover.png"),
        peer: peer.to_owned(),
    };
    fs::write(&bench.payload, pictures::incompressible(1200, 945))?;
    fs::write(&bench.cover, pictures::photograph(4000, 3000)?)?;
    // The peer reveals to this folder, and does not create it.
    fs::create_dir_all(folder.join("peer"))?;
    let has_peer = Command::new(peer).arg("--version").output().is_ok();
    if !has_peer {
        eprintln!(
            "{} is not installed, so only our own figures are shown: cargo install stegano-cli --version 0.6.1",
            peer.display()
        );
    }
    let taken = (0..rounds.max(1)).map(|_| bench.round(has_peer));
    let taken: Vec<[Taken; 6]> = taken.collect::<Result<_, _>>()?;
    let [
        sealed_hide,
        sealed_reveal,
        cover_hide,
        cover_reveal,
        peer_hide,
        peer_reveal,
    ] = std::array::from_fn(|job| watch::usual(taken.iter().map(|round| round[job])));
    let mut rows = Vec::new();
    for (work, ours, peer, due) in [
        ("hide, sealed", sealed_hide, peer_hide, DUE_SEALED),
        ("reveal, sealed", sealed_reveal, peer_reveal, DUE_SEALED),
        ("hide, cover", cover_hide, peer_hide, DUE_COVER_HIDING),
        ("reveal, cover", cover_reveal, peer_reveal, DUE_COVER_REVEALING),
    ] {
        rows.push(row(
            work.to_owned(),
            ours.milliseconds,
            peer.milliseconds,
            "ms",
            due,
        ));
        if let (Some(ours), Some(peer)) = (ours.peak_megabytes, peer.peak_megabytes) {
            rows.push(row(format!("{work}: peak memory"), ours, peer, "MB", DUE_MEMORY));
        }
    }
    let megabytes =
        |name: &str| fs::metadata(folder.join(name)).map_or(f64::NAN, |file| file.len() as f64 / 1e6);
    let (ours, peer) = (megabytes("cover-out.png"), megabytes("peer.png"));
    rows.push(row(
        "hide, cover: size of the file".to_owned(),
        ours,
        peer,
        "MB",
        DUE_SIZE,
    ));
    Ok(rows)
}

/// Makes a row in which less is better.
fn row(work: String, ours: f64, peer: f64, unit: &'static str, due: f64) -> Row {
    Row {
        work,
        ours,
        peer,
        unit,
        ratio: peer / ours,
        due,
    }
}

impl Bench {
    /// Runs every job once, ours and the peer's in turns, and compares what came out with what went in.
    fn round(&self, has_peer: bool) -> Result<[Taken; 6], Box<dyn Error>> {
        let file = |name: &str| self.folder.join(name);
        let none = Taken {
            milliseconds: f64::NAN,
            peak_megabytes: Some(f64::NAN),
        };
        let (mut peer_hide, mut peer_reveal) = (none, none);
        let sealed_hide = self.ours("hide", &self.payload, &file("sealed.png"), false)?;
        if has_peer {
            let mut command = Command::new(&self.peer);
            command.arg("hide").args(["--password", "x"]);
            command
                .arg("--in")
                .arg(&self.cover)
                .arg("--out")
                .arg(file("peer.png"));
            command.arg("--data").arg(&self.payload);
            peer_hide = watch::run(&mut command)?;
        }
        let cover_hide = self.ours("hide", &self.payload, &file("cover-out.png"), true)?;
        let sealed_reveal = self.ours("reveal", &file("sealed.png"), &file("revealed.bmp"), false)?;
        self.check(&file("revealed.bmp"))?;
        if has_peer {
            let mut command = Command::new(&self.peer);
            command.arg("unveil").args(["--password", "x"]);
            command
                .arg("--in")
                .arg(file("peer.png"))
                .arg("--out")
                .arg(file("peer"));
            peer_reveal = watch::run(&mut command)?;
            self.check(&file("peer").join("payload.bmp"))?;
        }
        let cover_reveal = self.ours("reveal", &file("cover-out.png"), &file("revealed.bmp"), false)?;
        self.check(&file("revealed.bmp"))?;
        Ok([
            sealed_hide,
            sealed_reveal,
            cover_hide,
            cover_reveal,
            peer_hide,
            peer_reveal,
        ])
    }

    fn ours(&self, what: &str, input: &Path, output: &Path, in_cover: bool) -> io::Result<Taken> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("lsb-job").arg(what).arg(input).arg(output);
        if in_cover {
            command.arg("--cover").arg(&self.cover);
        }
        watch::run(&mut command)
    }

    fn check(&self, revealed: &Path) -> Result<(), Box<dyn Error>> {
        let same = fs::read(revealed)? == fs::read(&self.payload)?;
        fs::remove_file(revealed)?;
        if same {
            Ok(())
        } else {
            Err("the revealed file differs from the original".into())
        }
    }
}
