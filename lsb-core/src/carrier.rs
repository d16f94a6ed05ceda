//! A body in a picture's samples: preamble, body, checksum.
//!
//! This layer knows nothing of envelopes, keys or files; it moves bytes into and out of a
//! [`Raster`].

use alloc::vec;
use alloc::vec::Vec;

use crate::bits::{self, BitsPerSample, Coins, Sample};
use crate::capacity::{self, CapacityError, Remedy};
use crate::error_kind::ErrorKind;
use crate::layout::{Layout, PREAMBLE_BYTES, PREAMBLE_SAMPLES};
use crate::preamble::{BodyChecksum, Preamble, PreambleError};
use crate::raster::{self, Colors, Raster, Samples};

/// The channel mask of a grey picture: its one channel, or red where it was saved as RGB.
const GREY_MASK: u8 = 0b001;

/// Why no body could be read out of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CarrierError {
    /// There is no preamble, or none that can be used.
    #[error(transparent)]
    Preamble(#[from] PreambleError),
    /// The preamble promises more than the picture can hold: it lost rows or columns.
    #[error(
        "the hidden body should have {body_bytes} bytes and the picture has room for {available_bytes}: it was \
         cropped or resized since it was protected. Use the file exactly as it was received"
    )]
    BodyCut {
        /// The length that the preamble gives.
        body_bytes: u64,
        /// What there is room for.
        available_bytes: u64,
    },
    /// The body's checksum is wrong.
    #[error(
        "the hidden body is damaged: the picture was edited or re-encoded since it was protected. Use the file \
         exactly as it was received"
    )]
    BodyDamaged,
}

impl CarrierError {
    /// What kind of problem this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Preamble(error) => error.kind(),
            Self::BodyCut { .. } | Self::BodyDamaged => ErrorKind::Damaged,
        }
    }
}

/// Hides `body` in the picture's samples.
///
/// # Errors
///
/// [`CapacityError`] if there is no room; the picture is untouched then.
pub fn write(raster: &mut Raster, layout: impl Into<Layout>, body: &[u8]) -> Result<(), CapacityError> {
    let layout = layout.into();
    let needed_bytes = body.len() as u64;
    capacity::check(raster, needed_bytes, layout, BitsPerSample::Four)?;
    let size = raster.size();
    let body_bytes = u32::try_from(body.len()).map_err(|_| CapacityError {
        needed_bytes,
        available_bytes: u64::from(u32::MAX),
        size,
        bits: layout.bits,
        remedy: Remedy::None,
    })?;
    let preamble = Preamble {
        layout,
        channel_mask: raster.colors().channel_mask(),
        body_bytes,
        body_checksum: BodyChecksum::of(body),
    };
    let colors = raster.colors();
    match raster.samples_mut() {
        Samples::Eight(samples) => write_samples(samples, colors, &preamble, body),
        Samples::Sixteen(samples) => write_samples(samples, colors, &preamble, body),
    }
    Ok(())
}

fn write_samples<S: Sample>(samples: &mut [S], colors: Colors, preamble: &Preamble, body: &[u8]) {
    if colors.has_alpha() {
        let mut carriers =
            raster::gather(samples, colors, colors.channel_mask(), carriers_used(preamble)).into_owned();
        write_carriers(&mut carriers, preamble, body);
        raster::put_back(samples, colors, &carriers);
    } else {
        write_carriers(samples, preamble, body);
    }
}

fn write_carriers<S: Sample>(carriers: &mut [S], preamble: &Preamble, body: &[u8]) {
    let Some((first, rest)) = carriers.split_at_mut_checked(PREAMBLE_SAMPLES) else {
        return;
    };
    let Layout {
        bits,
        matched,
        scatter_salt,
    } = preamble.layout;
    // Seeded by the body, so that the same body in the same picture gives the same file.
    let mut coins = matched.then(|| Coins::seeded(u64::from_be_bytes(preamble.body_checksum.0)));
    let head = preamble.to_bytes();
    match &mut coins {
        None => bits::embed(first, BitsPerSample::One, &head),
        Some(coins) => bits::embed_matched(first, BitsPerSample::One, &head, coins),
    }
    match (scatter_salt, &mut coins) {
        (None, None) => bits::embed(rest, bits, body),
        (None, Some(coins)) => bits::embed_matched(rest, bits, body, coins),
        (Some(salt), coins) => bits::scatter::embed_scattered(rest, bits, body, salt, coins.as_mut()),
    }
}

/// How many of the carrying samples matter: all of them if the body is spread over all.
fn carriers_used(preamble: &Preamble) -> usize {
    if preamble.layout.scatter_salt.is_some() {
        return usize::MAX;
    }
    let needed = preamble.layout.samples_needed(u64::from(preamble.body_bytes));
    usize::try_from(needed).unwrap_or(usize::MAX)
}

/// Reads only the preamble: says whether a picture carries a body, and how.
///
/// # Errors
///
/// [`PreambleError`] if there is none that can be used.
pub fn read_preamble(raster: &Raster) -> Result<Preamble, PreambleError> {
    let own_mask = raster.colors().channel_mask();
    match read_preamble_of(raster, own_mask) {
        // Programs save grey pictures with three equal channels; the grey samples are still there.
        Err(PreambleError::NotOurs) if own_mask != GREY_MASK => read_preamble_of(raster, GREY_MASK),
        other => other,
    }
}

fn read_preamble_of(raster: &Raster, channel_mask: u8) -> Result<Preamble, PreambleError> {
    let bytes = match raster.samples() {
        Samples::Eight(samples) => preamble_bytes(samples, raster.colors(), channel_mask),
        Samples::Sixteen(samples) => preamble_bytes(samples, raster.colors(), channel_mask),
    };
    let preamble = Preamble::parse(&bytes.ok_or(PreambleError::NotOurs)?)?;
    if preamble.channel_mask != channel_mask {
        return Err(PreambleError::UnsupportedLayout {
            flags: 0,
            channel_mask: preamble.channel_mask,
        });
    }
    Ok(preamble)
}

fn preamble_bytes<S: Sample>(
    samples: &[S],
    colors: Colors,
    channel_mask: u8,
) -> Option<[u8; PREAMBLE_BYTES]> {
    let carriers = raster::gather(samples, colors, channel_mask, PREAMBLE_SAMPLES);
    let mut bytes = [0; PREAMBLE_BYTES];
    bits::extract(carriers.get(..PREAMBLE_SAMPLES)?, BitsPerSample::One, &mut bytes);
    Some(bytes)
}

/// Reads the body that [`write()`] hid.
///
/// # Errors
///
/// [`CarrierError`]: nothing of ours, a damaged preamble, a damaged body.
pub fn read(raster: &Raster) -> Result<Vec<u8>, CarrierError> {
    let preamble = read_preamble(raster)?;
    // Before the body's bytes are allocated: the picture must have room for them.
    let opaque_pixels = raster.carrier_samples() / raster.colors().colors() as u64;
    let carriers = opaque_pixels * u64::from(preamble.channel_mask.count_ones());
    let available_bytes = preamble.layout.body_bytes(carriers);
    let body_bytes = u64::from(preamble.body_bytes);
    if body_bytes > available_bytes {
        return Err(CarrierError::BodyCut {
            body_bytes,
            available_bytes,
        });
    }
    let body = match raster.samples() {
        Samples::Eight(samples) => read_samples(samples, raster.colors(), &preamble),
        Samples::Sixteen(samples) => read_samples(samples, raster.colors(), &preamble),
    };
    if BodyChecksum::of(&body) != preamble.body_checksum {
        return Err(CarrierError::BodyDamaged);
    }
    Ok(body)
}

fn read_samples<S: Sample>(samples: &[S], colors: Colors, preamble: &Preamble) -> Vec<u8> {
    let carriers = raster::gather(samples, colors, preamble.channel_mask, carriers_used(preamble));
    let carriers = carriers.get(PREAMBLE_SAMPLES..).unwrap_or_default();
    let mut body = vec![0; preamble.body_bytes as usize];
    let bits = preamble.layout.bits;
    match preamble.layout.scatter_salt {
        None => bits::extract(carriers, bits, &mut body),
        Some(salt) => bits::scatter::extract_scattered(carriers, bits, &mut body, salt),
    }
    body
}
