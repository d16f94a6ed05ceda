//! The work of a child: its request, its reply, and the function that does it in either process.

use std::io;

use lsb_core::bits::BitsPerSample;
use lsb_core::capacity::Size;
use lsb_core::envelope::Envelope;
use lsb_core::label;
use lsb_core::picture::Keep;
use lsb_core::preamble::Preamble;
use lsb_core::raster::{Colors, Raster, Samples};
use lsb_core::{Limits, metadata, picture};
use serde::{Deserialize, Serialize};

use super::diagnosis;
use super::findings::{Finding, findings};
use super::{DecodingError, Measures, ProcessLimits, Verdict, malformed};

/// One piece of work. The files come after it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Job {
    /// A protected picture's envelope.
    Extract,
    /// The same with the picture's size and type, and the metadata of any file.
    Inspect,
    /// The metadata of a file.
    List,
    /// A file without the metadata that a viewer does not need.
    Strip,
    /// The size and type of a picture of any format.
    Measure,
    /// A preview.
    Preview,
    /// An envelope in the picture that it brings.
    Embed { bits: u8 },
    /// First the cover, then the envelope to hide in it.
    Cover { bits: u8, keep: bool },
    /// The photograph, then the signed envelope to hide in it. The key that signed stays with the parent.
    Label { bits: u8, keep: bool },
}

/// The head of a request; the files follow it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) job: Job,
    upload_bytes: u64,
    carrier_bytes: u64,
    pixels: u64,
    decoded_bytes: u64,
    first_frame: bool,
    /// The child's own limits, which it sets before it reads a file.
    pub(super) memory_bytes: u64,
    pub(super) cpu_seconds: u64,
}

impl Request {
    pub(super) fn new(job: Job, limits: &Limits, process: &ProcessLimits) -> Self {
        Self {
            job,
            upload_bytes: limits.upload_bytes,
            carrier_bytes: limits.carrier_bytes,
            pixels: limits.pixels,
            decoded_bytes: limits.decoded_bytes,
            first_frame: limits.first_frame,
            memory_bytes: process.memory_bytes,
            cpu_seconds: process.cpu_seconds,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            upload_bytes: self.upload_bytes,
            carrier_bytes: self.carrier_bytes,
            pixels: self.pixels,
            decoded_bytes: self.decoded_bytes,
            first_frame: self.first_frame,
        }
    }
}

/// The reply; its bytes follow the head.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reply {
    width: u32,
    height: u32,
    samples: usize,
    depth: u8,
    carrier_samples: u64,
    preamble: Vec<u8>,
    /// All metadata of a file that was read, if it can be listed; the kept metadata of a file that was made.
    pub(super) metadata: Option<Vec<Finding>>,
    /// The metadata that was left out of a file that was made.
    pub(super) removed: Vec<Finding>,
    /// The reason why the file is not a protected picture, if it is not.
    pub(super) verdict: Option<Verdict>,
    #[serde(skip)]
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    fn of_bytes(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    fn of_carried(carried: picture::Carried) -> Self {
        let picture::Carried {
            size,
            colors,
            depth,
            carrier_samples,
            preamble,
            envelope,
        } = carried;
        Self {
            preamble: preamble.to_bytes().to_vec(),
            bytes: envelope.into_bytes(),
            ..Self::of_measures(size, colors, depth, carrier_samples)
        }
    }

    fn of_measures(size: Size, colors: Colors, depth: u8, carrier_samples: u64) -> Self {
        Self {
            width: size.width,
            height: size.height,
            samples: colors.samples(),
            depth,
            carrier_samples,
            ..Self::default()
        }
    }

    fn of_raster(raster: &Raster) -> Self {
        let depth = match raster.samples() {
            Samples::Eight(_) => 8,
            Samples::Sixteen(_) => 16,
        };
        Self::of_measures(raster.size(), raster.colors(), depth, raster.carrier_samples())
    }

    pub(super) fn measures(&self) -> Result<Measures, DecodingError> {
        let colors = match self.samples {
            1 => Colors::Grey,
            2 => Colors::GreyAlpha,
            3 => Colors::Rgb,
            4 => Colors::Rgba,
            _ => return Err(malformed("the samples of a pixel")),
        };
        Ok(Measures {
            size: Size {
                width: self.width,
                height: self.height,
            },
            colors,
            depth: self.depth,
            carrier_samples: self.carrier_samples,
        })
    }

    pub(super) fn preamble(&self) -> Result<Preamble, DecodingError> {
        let bytes = self.preamble.as_slice().try_into();
        let bytes = bytes.map_err(|_| malformed("the preamble's length"))?;
        Ok(Preamble::parse(bytes).map_err(lsb_core::Error::from)?)
    }
}

/// Does the work. `next` returns the files in their order.
pub(super) fn run(
    request: &Request,
    next: &mut dyn FnMut() -> io::Result<Vec<u8>>,
) -> Result<Reply, DecodingError> {
    let limits = request.limits();
    let file = next()?;
    Ok(match &request.job {
        Job::Extract => match picture::extract(&file, &limits) {
            Ok(envelope) => Reply::of_bytes(envelope.into_bytes()),
            Err(error) => return Err(diagnosis::verdict(&file, &limits, &error).into()),
        },
        Job::Inspect => {
            let mut reply = match picture::inspect(&file, &limits) {
                Ok(carried) => Reply::of_carried(carried),
                Err(error) => Reply {
                    verdict: Some(diagnosis::verdict(&file, &limits, &error)),
                    ..Reply::default()
                },
            };
            reply.metadata = metadata::list(&file).ok().map(|items| findings(&items));
            reply
        }
        Job::List => Reply {
            metadata: Some(findings(&metadata::list(&file).map_err(Verdict::of_metadata)?)),
            ..Reply::default()
        },
        Job::Strip => {
            let stripped = metadata::strip(&file).map_err(Verdict::of_metadata)?;
            Reply {
                metadata: Some(findings(&stripped.kept)),
                removed: findings(&stripped.removed),
                ..Reply::of_bytes(stripped.file)
            }
        }
        Job::Measure => Reply::of_raster(&picture::decode(&file, limits.carrier_bytes, &limits)?.raster),
        Job::Preview => Reply::of_bytes(picture::preview_of(&file, &limits)?),
        Job::Embed { bits } => {
            let envelope = parse(file)?;
            Reply::of_bytes(picture::embed_with(&envelope, count(*bits)?, &limits)?)
        }
        Job::Cover { bits, keep } => {
            let cover = picture::decode_keeping(&file, limits.carrier_bytes, &limits, kept(*keep))?;
            let removed = left_out(&file, *keep);
            drop(file);
            let envelope = parse(next()?)?;
            Reply {
                metadata: Some(findings(&cover.kept)),
                removed,
                ..Reply::of_bytes(picture::embed_in_decoded(&envelope, cover, count(*bits)?)?)
            }
        }
        Job::Label { bits, keep } => {
            let (envelope, bits) = (parse(next()?)?, count(*bits)?);
            let labelled = label::embed(envelope, &file, bits, kept(*keep), &limits)?;
            Reply {
                metadata: Some(findings(&labelled.kept)),
                removed: left_out(&file, *keep),
                ..Reply::of_bytes(labelled.file)
            }
        }
    })
}

const fn kept(keep: bool) -> Keep {
    if keep { Keep::Everything } else { Keep::Shown }
}

/// Returns the metadata that a published picture leaves out.
fn left_out(file: &[u8], keep: bool) -> Vec<Finding> {
    // The picture was decoded, so a list that fails costs no more than a message.
    let mut items = metadata::list(file).unwrap_or_default();
    items.retain(|item| !keep && !item.kind.is_needed());
    findings(&items)
}

fn parse(bytes: Vec<u8>) -> Result<Envelope, DecodingError> {
    Ok(Envelope::parse(bytes).map_err(lsb_core::Error::from)?)
}

fn count(bits: u8) -> Result<BitsPerSample, DecodingError> {
    BitsPerSample::from_count(bits).ok_or_else(|| malformed("a number of bits"))
}
