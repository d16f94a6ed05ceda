//! One job, file to file, in a process of its own, like a run of the peer's command.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::thread;

use clap::{Args, ValueEnum};
use lsb_core::envelope::{Policy, UserName};
use lsb_core::picture::{self, COVER_BITS};
use lsb_core::seal::{self, LedgerShare, SealRequest, Shown, SigningKey};
use lsb_core::{ClusterId, Limits, UnixSeconds};

const DENIED_PICTURE: &[u8] = include_bytes!("../../../unified_image.png");

#[derive(Args)]
pub(crate) struct Job {
    what: What,
    /// The original, or the protected picture.
    input: PathBuf,
    /// The protected picture, or the original. The ledger's share is beside the protected picture.
    output: PathBuf,
    /// The picture to hide in.
    #[arg(long)]
    cover: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Hide,
    Reveal,
}

pub(crate) fn run(job: &Job) -> Result<(), Box<dyn Error>> {
    let limits = &Limits::DEFAULT;
    match job.what {
        What::Hide => {
            let original = fs::read(&job.input)?;
            let owner = SigningKey::generate()?;
            let policy = Policy::new(UserName::parse("alice")?, owner.public(), vec![])?;
            let seal = || {
                seal::seal(&SealRequest {
                    original: &original,
                    name: None,
                    denied_picture: DENIED_PICTURE,
                    shown: if job.cover.is_some() {
                        Shown::Cover
                    } else {
                        Shown::DeniedPicture
                    },
                    policy: &policy,
                    cluster: ClusterId::from_bytes([1; 16]),
                    created: UnixSeconds(0),
                    owner: &owner,
                    limits,
                })
            };
            let (sealed, file) = match &job.cover {
                None => {
                    let sealed = seal()?;
                    let file = picture::embed(&sealed.envelope, limits)?;
                    (sealed, file)
                }
                // As the client does: the cover is decoded while the original is sealed.
                Some(cover) => thread::scope(|threads| {
                    let file = fs::read(cover)?;
                    let decoded = threads.spawn(move || picture::decode(&file, limits.carrier_bytes, limits));
                    let sealed = seal()?;
                    let decoded = decoded.join().map_err(|_| "the cover's decoder panicked")??;
                    let file = picture::embed_in_decoded(&sealed.envelope, decoded, COVER_BITS)?;
                    Ok::<_, Box<dyn Error>>((sealed, file))
                })?,
            };
            fs::write(&job.output, file)?;
            fs::write(
                job.output.with_extension("share"),
                sealed.ledger_share.expose_bytes(),
            )?;
        }
        What::Reveal => {
            let share: [u8; 32] = fs::read(job.input.with_extension("share"))?
                .try_into()
                .map_err(|_| "a share has 32 bytes")?;
            let envelope = picture::extract(&fs::read(&job.input)?, limits)?;
            let opened = seal::open(&envelope, &LedgerShare::from_bytes(share))?;
            fs::write(&job.output, opened.bytes)?;
        }
    }
    Ok(())
}
