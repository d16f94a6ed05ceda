//! A JPEG file, marker by marker (ITU-T T.81, annex B).

use super::bytes::Walk;
use super::error::UploadError;
use super::media_type::MediaType;
use crate::size::Size;

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Walks a whole file that starts with `FF D8 FF`; `check_size` judges the size as soon as it is
/// known, before the rest is walked.
pub(super) fn inspect(
    file: &[u8],
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Size, UploadError> {
    let mut walk = Walk::new(file, MediaType::Jpeg);
    walk.skip(2)?;
    let mut header: Option<(Size, u64)> = None;
    let mut scanned = 0u64;
    loop {
        let start = walk.offset();
        match marker(&mut walk)? {
            END_OF_IMAGE => {
                let (size, blocks) = header.ok_or(damaged(start, "it ends before its header"))?;
                // A truncated file decodes without an error in most programs: the missing rows are
                // grey. So a file must have its scans and its end marker.
                return if scanned == 0 {
                    Err(damaged(start, "it has no scan"))
                } else if blocks > scanned.saturating_mul(8) {
                    Err(false_header(blocks, scanned))
                } else {
                    Ok(size)
                };
            }
            marker if is_frame_header(marker) => {
                let frame = frame_header(segment(&mut walk)?, start)?;
                check_size(frame.0)?;
                // Arithmetic coding (SOF9 and above) may spend less than a bit on a block.
                let blocks = if marker < 0xc9 { frame.1 } else { 0 };
                if header.replace((frame.0, blocks)).is_some() {
                    return Err(damaged(start, "a second header"));
                }
            }
            START_OF_SCAN => {
                if header.is_none() {
                    return Err(damaged(start, "a scan before the header"));
                }
                segment(&mut walk)?;
                let data = walk.offset();
                skip_entropy_coded_data(&mut walk)?;
                scanned += (walk.offset() - data) as u64;
            }
            // Restart and temporary markers stand alone, and decoders pass over a second start.
            0xd0..=0xd8 | 0x01 => (),
            _ => {
                segment(&mut walk)?;
            }
        }
    }
}

/// SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share their range.
const fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// Every block of 64 samples takes a bit at least: the code of its mean (§F.1.2.1). A header that claims more
/// is false, and would keep a decoder busy for minutes over a few kilobytes.
const fn false_header(blocks: u64, scanned: u64) -> UploadError {
    UploadError::FalseHeader {
        format: MediaType::Jpeg,
        claimed: blocks.saturating_mul(64),
        compressed: scanned,
        possible: scanned.saturating_mul(8 * 64),
    }
}

/// §B.2.2: precision u8, lines u16, samples per line u16, components u8, three bytes for each. Returns the size
/// and the number of blocks.
fn frame_header(segment: &[u8], offset: usize) -> Result<(Size, u64), UploadError> {
    let short = damaged(offset, "a header of the wrong length");
    let (&[_precision, h1, h0, w1, w0, components], rest) = segment.split_first_chunk::<6>().ok_or(short)?;
    if components == 0 || rest.len() != usize::from(components) * 3 {
        return Err(short);
    }
    let size = Size {
        width: u32::from(u16::from_be_bytes([w1, w0])),
        height: u32::from(u16::from_be_bytes([h1, h0])),
    };
    // A height of zero means that it follows after the scan (DNL), which no decoder in use reads.
    if size.width == 0 || size.height == 0 {
        return Err(damaged(offset, "a width or height of zero"));
    }
    // §A.1.1: each component has its share of the most finely sampled one's samples.
    let sampling = |component: &[u8; 3]| {
        let [_, factors, _] = *component;
        (u64::from(factors >> 4), u64::from(factors & 15))
    };
    let factors = || rest.as_chunks::<3>().0.iter().map(sampling);
    let (most_h, most_v) = factors().fold((0, 0), |(h, v), (own_h, own_v)| (own_h.max(h), own_v.max(v)));
    if factors().any(|(h, v)| h == 0 || v == 0) {
        return Err(damaged(offset, "a sampling factor of zero"));
    }
    let side = |pixels: u32, own: u64, most: u64| (u64::from(pixels) * own).div_ceil(most).div_ceil(8);
    let blocks = factors().map(|(h, v)| side(size.width, h, most_h) * side(size.height, v, most_v));
    Ok((size, blocks.sum()))
}

const fn damaged(offset: usize, problem: &'static str) -> UploadError {
    UploadError::Damaged {
        format: MediaType::Jpeg,
        offset,
        problem,
    }
}

/// A marker's second byte; any number of `FF` may stand before it (§B.1.1.2).
///
/// Bytes between two segments are passed over, as decoders do: some cameras leave padding there.
fn marker(walk: &mut Walk<'_>) -> Result<u8, UploadError> {
    walk.skip(stray_bytes(walk.rest()).ok_or(walk.cut_off())?)?;
    walk.skip(1)?;
    loop {
        match walk.u8()? {
            0xff => (),
            marker => return Ok(marker),
        }
    }
}

/// How many bytes stand before the next marker, if there is one.
fn stray_bytes(rest: &[u8]) -> Option<usize> {
    if let [0xff, 0x01..=0xff, ..] = rest {
        return Some(0);
    }
    rest.windows(2)
        .position(|pair| matches!(pair, [0xff, 0x01..=0xfe]))
}

/// A piece of a file: its pieces, one behind the other, are the file up to its end marker.
#[derive(Clone, Copy)]
pub(crate) enum Piece<'a> {
    /// A marker with a length and a content.
    Segment {
        marker: u8,
        whole: &'a [u8],
        content: &'a [u8],
    },
    /// A scan's header and its coded data.
    Scan { whole: &'a [u8] },
    /// A marker that stands alone.
    Alone { whole: &'a [u8] },
    /// Bytes that belong to no segment.
    Stray { whole: &'a [u8] },
}

/// The pieces behind the start marker that are there whole.
pub(crate) struct Pieces<'a> {
    file: &'a [u8],
    offset: usize,
    ended: bool,
}

impl<'a> Pieces<'a> {
    pub(crate) const fn new(file: &'a [u8]) -> Self {
        Self {
            file,
            offset: 2,
            ended: false,
        }
    }

    /// Where the last piece ended.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    fn read(&mut self) -> Result<Piece<'a>, UploadError> {
        let mut walk = Walk::new(self.file, MediaType::Jpeg);
        walk.seek(self.offset)?;
        let stray = stray_bytes(walk.rest()).ok_or(walk.cut_off())?;
        if stray > 0 {
            return Ok(Piece::Stray {
                whole: walk.take(stray)?,
            });
        }
        let start = walk.offset();
        let marker = marker(&mut walk)?;
        self.ended = marker == END_OF_IMAGE;
        let mut content: &[u8] = &[];
        if !matches!(marker, 0xd0..=END_OF_IMAGE | 0x01) {
            content = segment(&mut walk)?;
        }
        if marker == START_OF_SCAN {
            skip_entropy_coded_data(&mut walk)?;
        }
        let whole = self.file.get(start..walk.offset()).unwrap_or_default();
        Ok(match marker {
            START_OF_SCAN => Piece::Scan { whole },
            0xd0..=END_OF_IMAGE | 0x01 => Piece::Alone { whole },
            _ => Piece::Segment {
                marker,
                whole,
                content,
            },
        })
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let piece = self.read().ok()?;
        let (Piece::Segment { whole, .. }
        | Piece::Scan { whole }
        | Piece::Alone { whole }
        | Piece::Stray { whole }) = piece;
        self.offset += whole.len();
        Some(piece)
    }
}

/// The content of a segment, behind its length, which counts itself.
fn segment<'a>(walk: &mut Walk<'a>) -> Result<&'a [u8], UploadError> {
    let start = walk.offset();
    let length = usize::from(u16::from_be_bytes(walk.array()?));
    let content = length
        .checked_sub(2)
        .ok_or(damaged(start, "a segment of an impossible length"))?;
    walk.take(content)
}

/// Moves to the marker after a scan: `FF 00` is data, and restart markers belong to the scan.
fn skip_entropy_coded_data(walk: &mut Walk<'_>) -> Result<(), UploadError> {
    loop {
        let rest = walk.rest();
        let next = rest.iter().position(|byte| *byte == 0xff).ok_or(walk.cut_off())?;
        match rest.get(next + 1).ok_or(walk.cut_off())? {
            0x00 | 0xd0..=0xd7 => walk.skip(next + 2)?,
            0xff => walk.skip(next + 1)?,
            _ => return walk.skip(next),
        }
    }
}
