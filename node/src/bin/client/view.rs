//! `client view`: reads protected pictures, requests a view of each, and writes the results.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lsb_core::Limits;
use lsb_core::envelope::UserName;
use lsb_core::upload::MediaType;
use node::client::{Client, ViewOutcome, files, names};

use super::arguments::{Shared, View};
use super::batch::{self, Ended};
use super::report::{self, Speaker};
use super::{Failure, client, speaker};

pub(super) async fn run(shared: &Shared, wanted: &View) -> Result<ExitCode, Failure> {
    batch::check("view", &wanted.input, wanted.output_dir.is_some());
    let client = client(shared)?;
    let output = match &wanted.output_dir {
        Some(folder) => {
            files::check_folder(folder)?;
            Output::In(folder)
        }
        None => {
            files::check_writable(&wanted.output)?;
            Output::At(&wanted.output)
        }
    };
    let speaker = speaker(shared, wanted.output());
    batch::run(&wanted.input, &speaker, "viewed", async |input, speaker| {
        view(&client, &wanted.user, output, input, speaker).await
    })
    .await
}

/// The output of a picture.
#[derive(Clone, Copy)]
enum Output<'a> {
    At(&'a Path),
    In(&'a Path),
}

async fn view(
    client: &Client,
    user: &UserName,
    output: Output<'_>,
    input: &Path,
    speaker: &Speaker,
) -> Result<Ended, Failure> {
    if let Output::At(path) = output {
        files::check_distinct(input, path)?;
    }
    let file = files::read(input, Limits::DEFAULT.carrier_bytes)?;
    let viewing = client.view(file, user).await?;
    let (picture, ended) = match &viewing.outcome {
        ViewOutcome::Granted { picture, .. } => (picture, Ended::Done),
        ViewOutcome::Denied { picture, .. } => (picture, Ended::Denied),
    };
    let path: PathBuf = match output {
        Output::At(path) => {
            files::write(path, picture, files::Access::Private)?;
            path.to_owned()
        }
        Output::In(folder) => {
            let name = name(input, &viewing.outcome, picture);
            files::write_new(folder, &name, picture, files::Access::Private)?
        }
    };
    report::viewed(speaker, input, &path, &viewing);
    // The answer is saved by now.
    viewing.finish(client).await;
    Ok(ended)
}

/// Returns the name of a picture in an output folder: that of the original, or the protected file's with a suffix and
/// the extension of its format.
fn name(input: &Path, outcome: &ViewOutcome, picture: &[u8]) -> String {
    let what = match outcome {
        ViewOutcome::Granted { name: Some(name), .. } => return name.to_string(),
        ViewOutcome::Granted { .. } => "viewable",
        ViewOutcome::Denied { .. } => "denied",
    };
    let extension = MediaType::sniff(picture).map_or("bin", MediaType::extension);
    names::composed(&names::stem(input), &format!("_{what}.{extension}"))
}
