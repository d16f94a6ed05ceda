//! A JPEG file, marker by marker (ITU-T T.81, annex B).

use alloc::vec::Vec;

use super::bytes::Walk;
use super::error::UploadError;
use super::media_type::MediaType;
use crate::size::Size;

pub(crate) const START_OF_SCAN: u8 = 0xda;
pub(crate) const NUMBER_OF_LINES: u8 = 0xdc;
pub(crate) const END_OF_IMAGE: u8 = 0xd9;

/// What the markers of a JPEG say.
pub(super) struct Jpeg {
    pub(super) size: Size,
    /// Whether the file ends before its end marker, behind the beginning of a scan at least.
    pub(super) end_is_missing: bool,
}

/// Walks a whole file that starts with `FF D8 FF`; `check_size` judges the size as soon as it is
/// known, before the rest is walked.
///
/// That every block is there is for the decoder to find out: here a file needs a header and the beginning of a scan.
pub(super) fn inspect(
    file: &[u8],
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Jpeg, UploadError> {
    let mut walk = Walk::new(file, MediaType::Jpeg);
    walk.skip(2)?;
    let mut frame: Option<Frame> = None;
    let mut scanned = 0u64;
    let end_is_missing = loop {
        let start = walk.offset();
        let marker = match marker(&mut walk) {
            Ok(marker) => marker,
            // Everything that pixels are made of stands before the end marker.
            Err(_) if scanned > 0 => break true,
            Err(error) => return Err(error),
        };
        match marker {
            END_OF_IMAGE => break false,
            marker if is_frame_header(marker) => {
                let header = Frame::parse(segment(&mut walk)?, marker, start)?;
                // Zero says that the number of lines follows the first scan (DNL, §B.2.5).
                if header.size.height > 0 {
                    check_size(header.size)?;
                }
                if frame.replace(header).is_some() {
                    return Err(damaged(start, "a second header"));
                }
            }
            START_OF_SCAN => {
                if frame.is_none() {
                    return Err(damaged(start, "a scan before the header"));
                }
                match segment(&mut walk) {
                    Err(UploadError::CutOff { .. }) if scanned > 0 => break true,
                    header => header?,
                };
                let data = walk.offset();
                skip_entropy_coded_data(&mut walk);
                scanned += (walk.offset() - data) as u64;
            }
            NUMBER_OF_LINES => {
                let content = segment(&mut walk)?;
                let lines = content
                    .first_chunk()
                    .map_or(0, |lines| u16::from_be_bytes(*lines));
                if let Some(frame) = frame.as_mut().filter(|frame| frame.size.height == 0) {
                    frame.size.height = u32::from(lines);
                    check_size(frame.size)?;
                }
            }
            // Restart and temporary markers stand alone, and decoders pass over a second start.
            0xd0..=0xd8 | 0x01 => (),
            _ => match segment(&mut walk) {
                Ok(_) => (),
                Err(UploadError::CutOff { .. }) if scanned > 0 => break true,
                Err(error) => return Err(error),
            },
        }
    };
    let end = walk.offset();
    let frame = frame.ok_or(damaged(end, "it ends before its header"))?;
    if scanned == 0 {
        return Err(damaged(end, "it has no scan"));
    }
    if frame.size.height == 0 {
        return Err(damaged(end, "a height of zero"));
    }
    let blocks = frame.least_bits();
    if blocks > scanned.saturating_mul(8) {
        return Err(false_header(blocks, scanned));
    }
    Ok(Jpeg {
        size: frame.size,
        end_is_missing,
    })
}

/// SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share their range.
pub(crate) const fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// A header that claims more blocks than the data can hold is false, and would keep a decoder busy for minutes over a
/// few kilobytes.
const fn false_header(blocks: u64, scanned: u64) -> UploadError {
    UploadError::FalseHeader {
        format: MediaType::Jpeg,
        claimed: blocks.saturating_mul(64),
        compressed: scanned,
        possible: scanned.saturating_mul(8 * 64),
    }
}

/// A frame header (§B.2.2).
#[cfg_attr(
    not(feature = "image"),
    allow(dead_code, reason = "some of it is needed where scans are walked")
)]
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The marker's second byte, which names the process.
    pub(crate) process: u8,
    /// Bits per sample.
    pub(crate) precision: u8,
    pub(crate) size: Size,
    pub(crate) components: Vec<Component>,
}

/// A component of a frame: its number, its sampling factors, and the number of its table of quantizers.
#[cfg_attr(
    not(feature = "image"),
    allow(dead_code, reason = "some of it is needed where scans are walked")
)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Component {
    pub(crate) number: u8,
    pub(crate) across: u8,
    pub(crate) down: u8,
    pub(crate) quantizers: u8,
}

impl Frame {
    /// Precision u8, lines u16, samples per line u16, components u8, three bytes for each.
    pub(crate) fn parse(segment: &[u8], process: u8, offset: usize) -> Result<Self, UploadError> {
        let short = damaged(offset, "a header of the wrong length");
        let (&[precision, h1, h0, w1, w0, count], rest) = segment.split_first_chunk::<6>().ok_or(short)?;
        if count == 0 || rest.len() != usize::from(count) * 3 {
            return Err(short);
        }
        let size = Size {
            width: u32::from(u16::from_be_bytes([w1, w0])),
            height: u32::from(u16::from_be_bytes([h1, h0])),
        };
        if size.width == 0 {
            return Err(damaged(offset, "a width of zero"));
        }
        let component = |bytes: &[u8; 3]| Component {
            number: bytes[0],
            across: bytes[1] >> 4,
            down: bytes[1] & 15,
            quantizers: bytes[2],
        };
        let components: Vec<Component> = rest.as_chunks::<3>().0.iter().map(component).collect();
        if components.iter().any(|part| part.across == 0 || part.down == 0) {
            return Err(damaged(offset, "a sampling factor of zero"));
        }
        Ok(Self {
            process,
            precision,
            size,
            components,
        })
    }

    /// The most columns and rows of blocks that a component has in a unit of the scan.
    pub(crate) fn most_sampling(&self) -> (u32, u32) {
        self.components.iter().fold((1, 1), |(across, down), part| {
            (across.max(u32::from(part.across)), down.max(u32::from(part.down)))
        })
    }

    /// Columns and rows of a component's blocks (§A.1.1): each has its share of the most finely sampled one's samples.
    pub(crate) fn blocks(&self, part: Component) -> (u32, u32) {
        let (most_across, most_down) = self.most_sampling();
        let side = |pixels: u32, own: u8, most: u32| (pixels * u32::from(own)).div_ceil(most).div_ceil(8);
        (
            side(self.size.width, part.across, most_across),
            side(self.size.height, part.down, most_down),
        )
    }

    /// Every block of 64 samples takes a bit at least: the code of its mean (§F.1.2.1). Arithmetic coding (SOF9 and
    /// above) may spend less.
    fn least_bits(&self) -> u64 {
        if self.process >= 0xc9 {
            return 0;
        }
        let blocks = self.components.iter().map(|part| self.blocks(*part));
        blocks
            .map(|(across, down)| u64::from(across) * u64::from(down))
            .sum()
    }
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
            skip_entropy_coded_data(&mut walk);
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

/// Moves to the marker after a scan, or to the end of the file: `FF 00` is data, and restart markers belong to the
/// scan.
fn skip_entropy_coded_data(walk: &mut Walk<'_>) {
    let rest = walk.rest();
    let mut at = 0;
    let end = loop {
        let Some(next) = rest
            .get(at..)
            .unwrap_or_default()
            .iter()
            .position(|byte| *byte == 0xff)
        else {
            break rest.len();
        };
        at += next;
        match rest.get(at + 1) {
            Some(0x00 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            Some(_) => break at,
            None => break rest.len(),
        }
    };
    walk.advance(end);
}
