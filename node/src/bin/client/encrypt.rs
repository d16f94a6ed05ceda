//! `client encrypt`: reads pictures, protects them, and writes the results.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use lsb_core::{FileName, Limits};
use node::client::{Client, ClientError, Mode, ProtectInput, files, names};

use super::arguments::{self, Encrypt, ModeArgument, Shared};
use super::batch::{self, Ended};
use super::report::{self, Speaker};
use super::{Failure, client, speaker};

/// The suffix of a protected picture's name in an output folder.
const ADDITION: &str = "_encrypted_lsb.png";

pub(super) async fn run(shared: &Shared, wanted: &Encrypt) -> Result<ExitCode, Failure> {
    batch::check("encrypt", &wanted.input, wanted.output_dir.is_some());
    let client = client(shared)?;
    match &wanted.output_dir {
        Some(folder) => files::check_folder(folder)?,
        None => files::check_writable(&wanted.output)?,
    }
    let mode = mode(wanted)?;
    check_metadata(wanted, &mode);
    let speaker = speaker(shared, wanted.output());
    batch::run(&wanted.input, &speaker, "protected", async |input, speaker| {
        protect(&client, wanted, &mode, input, speaker).await
    })
    .await
}

async fn protect(
    client: &Client,
    wanted: &Encrypt,
    mode: &Mode,
    input: &Path,
    speaker: &Speaker,
) -> Result<Ended, Failure> {
    if wanted.output_dir.is_none() {
        files::check_distinct(input, &wanted.output)?;
    }
    let original = files::read(input, Limits::DEFAULT.upload_bytes)?;
    let protecting = client.protect(ProtectInput {
        original,
        name: name(wanted, input),
        owner: wanted.owner.clone(),
        grants: wanted.grant.clone(),
        mode: mode.clone(),
        bits: wanted.bits,
        first_frame: wanted.first_frame,
        keep_metadata: wanted.keep_metadata,
        strip_metadata: wanted.strip_metadata,
    });
    let protected = protecting.await?;
    let output: PathBuf = match &wanted.output_dir {
        Some(folder) => {
            let name = names::composed(&names::stem(input), ADDITION);
            files::write_new(folder, &name, &protected.picture, files::Access::Public)?
        }
        None => {
            files::write(&wanted.output, &protected.picture, files::Access::Public)?;
            wanted.output.clone()
        }
    };
    report::protected(speaker, input, &output, mode, &protected);
    Ok(Ended::Done)
}

/// Returns the name that viewers get with the original. A name says something about its owner, as metadata does.
fn name(wanted: &Encrypt, input: &Path) -> Option<FileName> {
    if wanted.strip_metadata || input.as_os_str() == "-" {
        return None;
    }
    FileName::from_untrusted(input.file_name()?.to_str()?)
}

/// Ends the program with a usage error if a flag would have no effect, because the user expects one.
fn check_metadata(wanted: &Encrypt, mode: &Mode) {
    let message = match mode {
        Mode::Sealed | Mode::Preview if wanted.keep_metadata => {
            "--keep-metadata is about what everyone sees, in modes label and cover; a sealed original keeps its own \
             metadata anyway"
        }
        Mode::Label if wanted.strip_metadata => {
            "--strip-metadata is about a sealed original, and a label seals nothing; without --keep-metadata it has \
             no metadata that gives anything away"
        }
        _ => return,
    };
    arguments::refuse("encrypt", ErrorKind::ArgumentConflict, message)
}

/// Returns the mode, with the cover read from its file.
fn mode(wanted: &Encrypt) -> Result<Mode, ClientError> {
    Ok(match (wanted.mode(), &wanted.cover) {
        (ModeArgument::Cover, Some(cover)) => {
            if wanted.output_dir.is_none() {
                files::check_distinct(cover, &wanted.output)?;
            }
            Mode::Cover(files::read(cover, Limits::DEFAULT.carrier_bytes)?)
        }
        (ModeArgument::Cover, None) | (_, Some(_)) => arguments::refuse(
            "encrypt",
            ErrorKind::ArgumentConflict,
            "--cover names the picture that everyone sees in --mode cover, and in no other mode",
        ),
        (ModeArgument::Sealed, None) => Mode::Sealed,
        (ModeArgument::Preview, None) => Mode::Preview,
        (ModeArgument::Label, None) => Mode::Label,
    })
}
