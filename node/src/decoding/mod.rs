//! Decoding of picture files in processes of their own, with limits of memory and time.
//!
//! A library can neither end a loop nor survive an allocation that the system refuses. So the programs `client` and
//! `server` start themselves again for every file that they decode:
//!
//! ```text
//!   client, server                          child: the same program, `decode-picture`
//!   ─────────────                           ────────────────────────────────────────
//!   request, file, envelope ── stdin ────▶  sets its limits, decodes
//!   PNG, envelope, facts    ◀── stdout ───  or the reason why not
//! ```
//!
//! The child has no environment, opens no file, and ends with its parent. Its reply is checked like any other input.
//! A program that embeds this crate and does not call [`worker::run_if_asked`] uses [`Decoder::in_this_process`],
//! with the limits of `lsb_core` alone.

mod child;
mod diagnosis;
mod findings;
mod job;
pub mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lsb_core::bits::BitsPerSample;
use lsb_core::capacity::{CapacityError, Remedy, Size};
use lsb_core::envelope::{Envelope, Policy};
use lsb_core::label::{self, LabelTerms};
use lsb_core::metadata::StripError;
use lsb_core::preamble::Preamble;
use lsb_core::raster::Colors;
use lsb_core::seal::SigningKey;
use lsb_core::upload::UploadError;
use lsb_core::{ClusterId, ErrorKind, Limits, UnixSeconds};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};

pub use self::findings::Finding;
use self::job::{Job, Reply, Request};
use crate::client::ErrorClass;

/// What one child process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// The most memory, in bytes of address space.
    pub memory_bytes: u64,
    /// The most processor time, in whole seconds.
    pub cpu_seconds: u64,
    /// The most time by the clock, for a machine that is busy.
    pub wall: Duration,
}

impl ProcessLimits {
    /// The default limits. The memory is the most that [`Limits::DEFAULT`] can add up to: the file twice, the decoded
    /// samples three times, the envelope twice, and 256 MiB for the program itself.
    pub const DEFAULT: Self = Self {
        memory_bytes: 2 * Limits::DEFAULT.carrier_bytes
            + 3 * Limits::DEFAULT.decoded_bytes
            + 2 * Limits::DEFAULT.upload_bytes
            + (256 << 20),
        cpu_seconds: 30,
        wall: Duration::from_secs(90),
    };
}

/// Why a picture was not decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodingError {
    /// The library rejected the file.
    #[error("{}", .0.message)]
    Picture(Verdict),
    /// The child reached its limit of memory.
    #[error(
        "the picture needs more than {} MiB of memory to decode, which is the limit: it is too large or malformed. \
         Save it anew, or smaller, with another program",
        limit_bytes >> 20
    )]
    Memory {
        /// The limit.
        limit_bytes: u64,
    },
    /// The child reached a limit of time.
    #[error(
        "the picture takes more than {limit_seconds} s of {what} to decode, which is the limit: it is too large or \
         malformed. Save it anew, or smaller, with another program"
    )]
    Time {
        /// The limit.
        limit_seconds: u64,
        /// Processor time or time by the clock.
        what: &'static str,
    },
    /// The child ended in another way.
    #[error(
        "the picture's decoder crashed ({how}); nothing else was harmed. Save the picture anew with another program, \
         and please report the file"
    )]
    Crashed {
        /// The signal or status, and what the child said last.
        how: String,
    },
    /// The child could not be started, or the pipes to it failed.
    #[error("the process that decodes pictures cannot be used: {0}")]
    System(#[from] std::io::Error),
}

/// An error of the library about a file, as it travels from a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The kind of error.
    pub class: ErrorClass,
    /// The error's message.
    pub message: String,
    /// The setting that would help.
    pub advice: Option<Advice>,
}

/// A setting that makes the operation possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Advice {
    /// Take the first frame of an animated file.
    FirstFrame,
    /// Use so many bits of each sample.
    Bits(u8),
}

impl Verdict {
    /// Returns the verdict that corresponds to an error of the library.
    #[must_use]
    pub fn of(error: &lsb_core::Error) -> Self {
        let class = match (error.kind(), error) {
            // A file of a kind that no decoder knows is as little use to a command as a text.
            (
                ErrorKind::Unsupported,
                lsb_core::Error::Picture(_)
                | lsb_core::Error::Upload(UploadError::UnknownChunk { .. } | UploadError::StoredOnly { .. }),
            ) => ErrorClass::NotAPicture,
            (kind, _) => class_of(kind),
        };
        let advice = match error {
            lsb_core::Error::Upload(UploadError::Animated { .. }) => Some(Advice::FirstFrame),
            lsb_core::Error::Capacity(CapacityError {
                remedy: Remedy::MoreBits(bits),
                ..
            }) => Some(Advice::Bits(bits.count())),
            _ => None,
        };
        Self {
            class,
            message: crate::with_causes(error),
            advice,
        }
    }

    /// Returns the verdict on a file whose metadata cannot be told from its pixels.
    pub(crate) fn of_metadata(error: StripError) -> Self {
        let class = match error {
            StripError::StoredOnly { .. } => ErrorClass::NotAPicture,
            other => class_of(other.kind()),
        };
        Self {
            class,
            message: error.to_string(),
            advice: None,
        }
    }
}

const fn class_of(kind: ErrorKind) -> ErrorClass {
    match kind {
        ErrorKind::NotAPicture => ErrorClass::NotAPicture,
        ErrorKind::NotProtected => ErrorClass::NotProtected,
        ErrorKind::InvalidRequest => ErrorClass::Usage,
        ErrorKind::Damaged | ErrorKind::Tampered => ErrorClass::Damaged,
        _ => ErrorClass::Other,
    }
}

impl From<Verdict> for DecodingError {
    fn from(verdict: Verdict) -> Self {
        Self::Picture(verdict)
    }
}

impl From<lsb_core::Error> for DecodingError {
    fn from(error: lsb_core::Error) -> Self {
        Self::Picture(Verdict::of(&error))
    }
}

impl DecodingError {
    /// Returns the class of the error.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Picture(verdict) => verdict.class,
            _ => ErrorClass::Other,
        }
    }
}

/// The size and type of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measures {
    /// The size.
    pub size: Size,
    /// The samples of its pixels.
    pub colors: Colors,
    /// Bits per sample, 8 or 16.
    pub depth: u8,
    /// How many samples can carry.
    pub carrier_samples: u64,
}

/// The parts of a protected file that everyone who has it can read.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The picture.
    pub picture: Measures,
    /// How the body lies in it.
    pub preamble: Preamble,
    /// The body.
    pub envelope: Envelope,
}

impl Carried {
    fn of(reply: Reply) -> Result<Self, DecodingError> {
        Ok(Self {
            picture: reply.measures()?,
            preamble: reply.preamble()?,
            envelope: envelope(reply.bytes)?,
        })
    }
}

/// The input of a label, besides the photograph.
#[derive(Clone, Debug)]
pub struct LabelInput {
    /// The denied picture's bytes.
    pub denied_picture: Vec<u8>,
    /// Who may view.
    pub policy: Policy,
    /// Whose ledger counts.
    pub cluster: ClusterId,
    /// Now, by the owner's clock.
    pub created: UnixSeconds,
    /// The key that signs. It never goes where pictures are decoded: a label covers its policy and the denied picture,
    /// and nothing that is found in the photograph.
    pub owner: SigningKey,
    /// How many bits carry.
    pub bits: BitsPerSample,
    /// Whether metadata that is not needed to show the photograph right is kept, as far as a PNG can hold it.
    pub keep: bool,
}

/// The result of inspecting a file.
#[derive(Debug)]
pub struct Inspected {
    /// All metadata in the file; `None` if it is of a format whose metadata is not known, or not a picture.
    pub metadata: Option<Vec<Finding>>,
    /// The protected picture, or the reason why the file is not one.
    pub carried: Result<Carried, DecodingError>,
}

/// A picture file that was made from another one.
#[derive(Clone, Debug)]
pub struct Made {
    /// The file.
    pub file: Vec<u8>,
    /// The metadata that was kept.
    pub kept: Vec<Finding>,
    /// The metadata that was left out, because a viewer does not need it.
    pub removed: Vec<Finding>,
}

impl Made {
    fn of(reply: Reply) -> Self {
        Self {
            file: reply.bytes,
            kept: reply.metadata.unwrap_or_default(),
            removed: reply.removed,
        }
    }
}

/// Decodes pictures, a bounded number at a time.
#[derive(Clone, Debug)]
pub struct Decoder {
    place: Place,
    running: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
enum Place {
    Here,
    Children { program: PathBuf, limits: ProcessLimits },
}

impl Decoder {
    /// Returns a decoder that works in this process: for programs that embed this crate, and for tests.
    #[must_use]
    pub fn in_this_process() -> Self {
        Self::new(Place::Here)
    }

    /// Returns a decoder that works in children of `program`, whose `main` calls [`worker::run_if_asked`] before
    /// anything else.
    #[must_use]
    pub fn in_children_of(program: PathBuf, limits: ProcessLimits) -> Self {
        Self::new(Place::Children { program, limits })
    }

    /// Returns a decoder that works in children of the running program, whose `main` has called
    /// [`worker::run_if_asked`].
    ///
    /// # Errors
    ///
    /// The program's file cannot be found.
    pub fn in_children(limits: ProcessLimits) -> std::io::Result<Self> {
        // This link names the running file even after it was replaced or removed.
        let running = PathBuf::from("/proc/self/exe");
        let program = match running.exists() {
            true => running,
            false => std::env::current_exe()?,
        };
        Ok(Self::in_children_of(program, limits))
    }

    fn new(place: Place) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        Self {
            place,
            running: Arc::new(Semaphore::new(processors)),
        }
    }

    /// Limits the decoder to this number of pictures at a time.
    #[must_use]
    pub fn at_most(mut self, pictures: usize) -> Self {
        self.running = Arc::new(Semaphore::new(pictures.max(1)));
        self
    }

    /// Reads the envelope out of a protected picture. Its structure and hashes are checked, its signature is not.
    ///
    /// # Errors
    ///
    /// [`DecodingError`].
    pub async fn extract(&self, file: Vec<u8>, limits: &Limits) -> Result<Envelope, DecodingError> {
        let reply = self.run(Job::Extract, limits, vec![file]).await?;
        envelope(reply.bytes)
    }

    /// Reads the envelope like [`Decoder::extract`], with its layout in the picture and the file's metadata.
    ///
    /// # Errors
    ///
    /// [`DecodingError`]: the file could not be inspected. That it is not a protected picture is a result, in
    /// [`Inspected::carried`].
    pub async fn inspect(&self, file: Vec<u8>, limits: &Limits) -> Result<Inspected, DecodingError> {
        let mut reply = self.run(Job::Inspect, limits, vec![file]).await?;
        let metadata = reply.metadata.take();
        let carried = match reply.verdict.take() {
            Some(verdict) => Err(verdict.into()),
            None => Carried::of(reply),
        };
        Ok(Inspected { metadata, carried })
    }

    /// Lists the metadata of a file of any format.
    ///
    /// # Errors
    ///
    /// [`DecodingError`].
    pub async fn metadata(&self, file: Vec<u8>, limits: &Limits) -> Result<Vec<Finding>, DecodingError> {
        let reply = self.run(Job::List, limits, vec![file]).await?;
        reply.metadata.ok_or_else(|| malformed("a list"))
    }

    /// Removes the metadata that a viewer does not need. The pixels are not touched.
    ///
    /// # Errors
    ///
    /// [`DecodingError`].
    pub async fn strip(&self, file: Vec<u8>, limits: &Limits) -> Result<Made, DecodingError> {
        Ok(Made::of(self.run(Job::Strip, limits, vec![file]).await?))
    }

    /// Decodes a picture of any format, and returns its size and type.
    ///
    /// # Errors
    ///
    /// [`DecodingError`].
    pub async fn measure(&self, file: Vec<u8>, limits: &Limits) -> Result<Measures, DecodingError> {
        self.run(Job::Measure, limits, vec![file]).await?.measures()
    }

    /// Makes the preview of a picture, a small PNG.
    ///
    /// # Errors
    ///
    /// [`DecodingError`].
    pub async fn preview(&self, original: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, DecodingError> {
        Ok(self.run(Job::Preview, limits, vec![original]).await?.bytes)
    }

    /// Hides an envelope of mode `sealed` or `preview` in the picture that it brings.
    ///
    /// # Errors
    ///
    /// [`DecodingError`].
    pub async fn embed(
        &self,
        envelope: Vec<u8>,
        bits: BitsPerSample,
        limits: &Limits,
    ) -> Result<Vec<u8>, DecodingError> {
        let job = Job::Embed { bits: bits.count() };
        Ok(self.run(job, limits, vec![envelope]).await?.bytes)
    }

    /// Hides an envelope of mode `cover`, which is made while the cover is decoded. With `keep` the cover keeps its
    /// metadata, as far as a PNG can hold it.
    ///
    /// # Errors
    ///
    /// [`DecodingError`]; the error of `envelope` comes first.
    pub async fn cover<E>(
        &self,
        cover: Vec<u8>,
        envelope: impl Future<Output = Result<Vec<u8>, E>>,
        bits: BitsPerSample,
        keep: bool,
        limits: &Limits,
    ) -> Result<Result<Made, DecodingError>, E> {
        let (sender, blobs) = mpsc::channel(2);
        // The channel has room for both.
        let _ = sender.send(cover).await;
        let bits = bits.count();
        let job = Job::Cover { bits, keep };
        let feeding = async {
            let bytes = envelope.await?;
            // A decoder that failed no longer receives, and says why itself.
            let _ = sender.send(bytes).await;
            drop(sender);
            Ok(())
        };
        let (fed, made) = tokio::join!(feeding, self.run_with(job, limits, blobs));
        fed.map(|()| made.map(Made::of))
    }

    /// Labels a photograph: signs here, and hides what was signed where pictures are decoded. Returns the PNG file and
    /// the envelope that it carries.
    ///
    /// # Errors
    ///
    /// [`DecodingError`].
    pub async fn label(
        &self,
        photograph: Vec<u8>,
        input: LabelInput,
        limits: &Limits,
    ) -> Result<(Made, Envelope), DecodingError> {
        let signed = label::sign(&LabelTerms {
            denied_picture: &input.denied_picture,
            policy: &input.policy,
            cluster: input.cluster,
            created: input.created,
            owner: &input.owner,
            limits,
        })?;
        let job = Job::Label {
            bits: input.bits.count(),
            keep: input.keep,
        };
        let blobs = vec![photograph, signed.as_bytes().to_vec()];
        Ok((Made::of(self.run(job, limits, blobs).await?), signed))
    }

    async fn run(&self, job: Job, limits: &Limits, blobs: Vec<Vec<u8>>) -> Result<Reply, DecodingError> {
        let (sender, receiver) = mpsc::channel(blobs.len().max(1));
        for blob in blobs {
            let _ = sender.send(blob).await;
        }
        drop(sender);
        self.run_with(job, limits, receiver).await
    }

    async fn run_with(
        &self,
        job: Job,
        limits: &Limits,
        mut blobs: mpsc::Receiver<Vec<u8>>,
    ) -> Result<Reply, DecodingError> {
        let turn = self.running.acquire().await;
        let _turn = turn.map_err(|_| malformed("no turn"))?;
        match &self.place {
            Place::Children {
                program,
                limits: process,
            } => {
                let request = Request::new(job, limits, process);
                child::run(program, &request, process, blobs).await
            }
            Place::Here => {
                let request = Request::new(job, limits, &ProcessLimits::DEFAULT);
                let work = move || {
                    let blobs = Mutex::new(&mut blobs);
                    let mut next = || {
                        let mut blobs = blobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        let missing = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                        blobs.blocking_recv().ok_or_else(missing)
                    };
                    job::run(&request, &mut next)
                };
                let done = tokio::task::spawn_blocking(work).await;
                done.map_err(|error| DecodingError::Crashed {
                    how: error.to_string(),
                })?
            }
        }
    }
}

fn envelope(bytes: Vec<u8>) -> Result<Envelope, DecodingError> {
    Ok(Envelope::parse(bytes).map_err(lsb_core::Error::from)?)
}

/// Returns the error about a reply that breaks the protocol.
fn malformed(what: &str) -> DecodingError {
    DecodingError::Crashed {
        how: format!("its reply is malformed: {what}"),
    }
}
