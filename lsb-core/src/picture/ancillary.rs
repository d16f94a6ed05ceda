//! What a written PNG says beside its pixels.

use alloc::string::String;
use alloc::vec::Vec;

use crate::metadata::{self, Exif, Item};
use crate::upload::png::Chunk;
use crate::upload::{Chunks, UploadError};

/// What becomes of metadata that a viewer does not need to show the picture right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// It stays behind: what is published says nothing about who took the photograph, where and when.
    #[default]
    Shown,
    /// What a PNG can hold is kept: EXIF without the orientation that was carried out, texts, times, and chunks that
    /// are safe to copy.
    Everything,
}

/// The chunks beside the pixels of a file that is written: profile, gamma, density, and whatever else was asked for.
/// They are copied as they are, and never unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancillary {
    before_pixels: Vec<u8>,
    after_pixels: Vec<u8>,
}

/// What a PNG says beside its pixels.
pub(super) struct Said {
    pub(super) ancillary: Ancillary,
    pub(super) kept: Vec<Item>,
    /// 1 to 8, as EXIF counts them.
    pub(super) orientation: u8,
}

impl Ancillary {
    pub(super) fn is_empty(&self) -> bool {
        self.before_pixels.is_empty() && self.after_pixels.is_empty()
    }

    /// Adds a chunk before the pixels.
    pub(super) fn add(&mut self, kind: [u8; 4], content: &[u8]) {
        self.before_pixels.extend(metadata::png_chunk(kind, content));
    }

    /// The content of the first chunk of a kind before the pixels.
    pub(super) fn chunk(&self, kind: [u8; 4]) -> Option<&[u8]> {
        let mut rest = self.before_pixels.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (found, behind) = behind.split_first_chunk::<4>()?;
            let (content, behind) = behind.split_at_checked(length)?;
            if *found == kind {
                return Some(content);
            }
            rest = behind.get(4..)?;
        }
        None
    }

    /// What the file's samples are to the power of, to give light; none if something better says what they mean.
    pub(super) fn gamma(&self) -> Option<f64> {
        let better = [*b"iCCP", *b"sRGB", *b"cICP"];
        if better.into_iter().any(|kind| self.chunk(kind).is_some()) {
            return None;
        }
        let gamma = self
            .chunk(*b"gAMA")?
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes));
        let gamma = gamma.filter(|gamma| (1..=1_000_000).contains(gamma))?;
        Some(100_000.0 / f64::from(gamma))
    }

    /// For pixels whose rows became columns.
    pub(super) fn turn_density(&mut self) {
        let framed = [crate::upload::SIGNATURE.as_slice(), &self.before_pixels].concat();
        let mut turned = Vec::with_capacity(self.before_pixels.len());
        for chunk in Chunks::unchecked(&framed) {
            match (&chunk.kind, chunk.content) {
                (b"pHYs", [across @ .., _, _, _, _, _]) if chunk.content.len() == 9 => {
                    let rest = chunk.content.get(across.len()..).unwrap_or_default();
                    let (down, unit) = rest.split_at(4);
                    turned.extend(metadata::png_chunk(*b"pHYs", &[down, across, unit].concat()));
                }
                _ => turned.extend_from_slice(chunk.whole),
            }
        }
        self.before_pixels = turned;
    }

    /// Puts the chunks into a newly encoded file, before or after the pixels as they stood.
    pub(super) fn weave(&self, encoded: &[u8]) -> Vec<u8> {
        let extra = self.before_pixels.len() + self.after_pixels.len();
        let mut woven = Vec::with_capacity(encoded.len() + extra);
        woven.extend_from_slice(encoded.get(..8).unwrap_or_default());
        for chunk in Chunks::unchecked(encoded) {
            if chunk.kind == *b"IEND" {
                woven.extend_from_slice(&self.after_pixels);
            }
            woven.extend_from_slice(chunk.whole);
            if chunk.kind == *b"IHDR" {
                woven.extend_from_slice(&self.before_pixels);
            }
        }
        woven
    }
}

/// Reads what a PNG says beside its pixels, and keeps what is still true of pixels that are written anew.
///
/// # Errors
///
/// [`UploadError::UnknownChunk`] for a critical chunk that nobody knows: the pixels cannot be shown right without it.
pub(super) fn said_by(file: &[u8], keep: Keep) -> Result<Said, UploadError> {
    let mut said = Said {
        ancillary: Ancillary::default(),
        kept: Vec::new(),
        orientation: 1,
    };
    let mut pixels_seen = false;
    for chunk in Chunks::new(file) {
        let chunk = chunk?;
        let kind = chunk.kind;
        pixels_seen |= kind == *b"IDAT";
        let critical = kind[0] & 0x20 == 0;
        if critical && !metadata::is_known_critical(&kind) {
            return Err(UploadError::UnknownChunk { kind });
        }
        let exif = Exif::parse(chunk.content).filter(|_| kind == *b"eXIf");
        if let Some(orientation) = exif.as_ref().and_then(Exif::orientation) {
            said.orientation = orientation;
        }
        if critical || describes_old_samples(&kind) || !chunk.checksum_fits() {
            continue;
        }
        let copied = match exif {
            _ if describes_colors(&kind) => chunk.whole.to_vec(),
            _ if keep == Keep::Shown || !may_be_copied(&chunk) => continue,
            Some(exif) => metadata::png_chunk(*b"eXIf", &exif.turned_upright()),
            None => chunk.whole.to_vec(),
        };
        if !describes_colors(&kind) {
            let name = String::from_utf8_lossy(&kind);
            said.kept
                .extend(metadata::items_of_chunk(chunk.whole, &name, &kind, chunk.content));
        }
        if pixels_seen {
            said.ancillary.after_pixels.extend(copied);
        } else {
            said.ancillary.before_pixels.extend(copied);
        }
    }
    Ok(said)
}

/// What says how the samples are meant: profile, gamma, primaries, density.
const fn describes_colors(kind: &[u8; 4]) -> bool {
    matches!(
        kind,
        b"iCCP" | b"sRGB" | b"cICP" | b"mDCV" | b"cLLI" | b"gAMA" | b"cHRM" | b"pHYs"
    )
}

/// The fourth letter says whether a chunk stays true when pixels change (§5.4): `iDOT` holds offsets of the old
/// pixel data. What the specification itself defines is judged by name.
const fn may_be_copied(chunk: &Chunk<'_>) -> bool {
    matches!(&chunk.kind, b"tIME") || chunk.kind[3] & 0x20 != 0
}

/// Chunks that describe the samples as they stood in the old file, and not as they stand in the new one: transparency
/// key, what refers to the palette or to the original depth, and an animation's other frames.
const fn describes_old_samples(kind: &[u8; 4]) -> bool {
    matches!(
        kind,
        b"tRNS" | b"bKGD" | b"hIST" | b"sBIT" | b"sPLT" | b"acTL" | b"fcTL" | b"fdAT"
    )
}
