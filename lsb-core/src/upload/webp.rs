//! A WebP file, chunk by chunk (RFC 9649).

#[cfg(feature = "image")]
use alloc::borrow::Cow;

use super::bytes::Walk;
use super::error::UploadError;
use super::media_type::MediaType;
use crate::size::Size;

/// Flags of the extended header (§2.7.1): an animation, EXIF, alpha.
const ANIMATED: u8 = 0b0000_0010;
#[cfg(feature = "image")]
const HAS_EXIF: u8 = 0b0000_1000;
#[cfg(feature = "image")]
const HAS_ALPHA: u8 = 0b0001_0000;

/// What a WebP file consists of.
pub(super) struct WebP {
    pub(super) size: Size,
    pub(super) animated: bool,
    /// Whether the file ends before the length that it gives, and behind its pixels.
    pub(super) end_is_missing: bool,
}

pub(super) fn inspect(
    file: &[u8],
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<WebP, UploadError> {
    let mut walk = Walk::new(file, MediaType::WebP);
    walk.skip(4)?;
    // The length counts from behind itself.
    let length = walk.u32_little()? as usize;
    let end = length.saturating_add(8);
    // The length may count a padding byte that is not there.
    let mut end_is_missing = end > file.len() + 1;
    let end = end.min(file.len());
    walk.skip(4)?;
    let (mut size, mut animated, mut pixels, mut frames) = (None, false, false, 0u32);
    let mut is_first = true;
    while walk.offset().saturating_add(8) <= end {
        let (kind, length): ([u8; 4], _) = (walk.array()?, walk.u32_little()? as usize);
        // A frame that is cut off counts: there was more than one.
        frames += u32::from(kind == *b"ANMF");
        let content = match walk.take(length) {
            // What is cut off behind the pixels is metadata, or another frame.
            Err(_) if pixels => {
                end_is_missing = true;
                break;
            }
            content => content?,
        };
        match &kind {
            // The header comes first or not at all, and the first picture is the one (§2.6, §2.7).
            b"VP8X" if is_first => {
                let (extended, canvas) = extended_header(content).ok_or(walk.damaged("a short header"))?;
                check_size(canvas)?;
                (size, animated) = (Some(canvas), extended);
            }
            b"VP8 " | b"VP8L" if !pixels => {
                let own = if kind == *b"VP8 " {
                    lossy_size(content)
                } else {
                    lossless_size(content)
                };
                let own = own.ok_or(walk.damaged("a picture without a header"))?;
                check_size(own)?;
                if size.is_some_and(|size| size != own) {
                    return Err(walk.damaged("a picture of another size than the canvas"));
                }
                (size, pixels) = (Some(own), true);
            }
            b"ANMF" => pixels = true,
            _ => (),
        }
        is_first = false;
        // Chunks of odd length are filled up.
        if length % 2 == 1 && walk.offset() < end {
            walk.skip(1)?;
        }
    }
    match size {
        Some(size) if pixels => Ok(WebP {
            size,
            // One frame is no animation.
            animated: animated && frames > 1,
            end_is_missing,
        }),
        _ if end_is_missing => Err(walk.cut_off()),
        _ => Err(walk.damaged("it has no picture")),
    }
}

/// The file up to its last whole chunk, with a length and with flags that say so: the decoder wants all that they
/// promise.
#[cfg(feature = "image")]
pub(crate) fn with_what_is_there(file: &[u8]) -> Cow<'_, [u8]> {
    /// Flags of the extended header (§2.7.1), and the chunks that they promise.
    const PROMISED: [(u8, [u8; 4]); 4] = [
        (0x20, *b"ICCP"),
        (HAS_EXIF, *b"EXIF"),
        (0x04, *b"XMP "),
        (HAS_ALPHA, *b"ALPH"),
    ];
    let mut chunks = Chunks::new(file);
    let mut missing = PROMISED.iter().fold(0, |flags, (flag, _)| flags | flag);
    for chunk in chunks.by_ref() {
        for (flag, kind) in PROMISED {
            missing &= if chunk.kind == kind { !flag } else { 0xff };
        }
        // Lossless pixels and frames have their alpha in themselves.
        if matches!(&chunk.kind, b"VP8L" | b"ANMF") {
            missing &= !HAS_ALPHA;
        }
    }
    let end = chunks.offset().min(file.len());
    let length = u32::try_from(end.saturating_sub(8) + end % 2).unwrap_or(u32::MAX);
    let promised = match file.get(12..21) {
        Some([b'V', b'P', b'8', b'X', .., flags]) => *flags,
        _ => 0,
    };
    if file.get(4..8) == Some(&length.to_le_bytes()) && promised & missing == 0 && end.is_multiple_of(2) {
        return Cow::Borrowed(file);
    }
    let mut whole = file.get(..end).unwrap_or(file).to_vec();
    whole.resize(end + end % 2, 0);
    if let Some(place) = whole.get_mut(4..8) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    if promised != 0
        && let Some(flags) = whole.get_mut(20)
    {
        *flags &= !missing;
    }
    Cow::Owned(whole)
}

/// The EXIF that a file's header announces; other programs do not look for what it does not.
#[cfg(feature = "image")]
pub(crate) fn exif(file: &[u8]) -> Option<&[u8]> {
    let mut chunks = Chunks::new(file);
    let header = chunks.next().filter(|chunk| chunk.kind == *b"VP8X")?;
    let flags = header.content.first()?;
    let exif = chunks.find(|chunk| chunk.kind == *b"EXIF")?;
    (flags & HAS_EXIF != 0).then_some(exif.content)
}

/// §2.7: flags, three reserved bytes, and the canvas's sides less one, of 24 bits.
fn extended_header(content: &[u8]) -> Option<(bool, Size)> {
    let &[flags, _, _, _, w0, w1, w2, h0, h1, h2] = content.first_chunk::<10>()?;
    let size = Size {
        width: u32::from_le_bytes([w0, w1, w2, 0]) + 1,
        height: u32::from_le_bytes([h0, h1, h2, 0]) + 1,
    };
    Some((flags & ANIMATED != 0, size))
}

/// RFC 6386, §9.1: a frame tag of three bytes, a start code, and sides of 14 bits.
fn lossy_size(content: &[u8]) -> Option<Size> {
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = content.first_chunk::<10>()? else {
        return None;
    };
    Some(Size {
        width: u32::from(u16::from_le_bytes([w0, w1]) & 0x3fff),
        height: u32::from(u16::from_le_bytes([h0, h1]) & 0x3fff),
    })
}

/// §3.4: a signature, and the sides less one, of 14 bits each.
fn lossless_size(content: &[u8]) -> Option<Size> {
    let &[0x2f, a, b, c, d] = content.first_chunk::<5>()? else {
        return None;
    };
    let bits = u32::from_le_bytes([a, b, c, d]);
    Some(Size {
        width: (bits & 0x3fff) + 1,
        height: (bits >> 14 & 0x3fff) + 1,
    })
}

/// A chunk: its type, its content, and all of its bytes with the padding.
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: [u8; 4],
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// The chunks that are there whole, inside the length that the file gives.
pub(crate) struct Chunks<'a> {
    file: &'a [u8],
    offset: usize,
}

impl<'a> Chunks<'a> {
    pub(crate) fn new(file: &'a [u8]) -> Self {
        let length = file.get(4..).and_then(<[u8]>::first_chunk::<4>);
        let length = length.map_or(0, |length| u32::from_le_bytes(*length) as usize);
        let end = length.saturating_add(8).min(file.len());
        Self {
            file: file.get(..end).unwrap_or(file),
            offset: 12,
        }
    }

    /// Where the last chunk ended.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    /// Whether something is left inside of the length, once no whole chunk is.
    pub(crate) const fn is_cut(&self) -> bool {
        self.offset < self.file.len()
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.file.get(self.offset..)?;
        let (kind, behind) = rest.split_first_chunk::<4>()?;
        let (length, behind) = behind.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let content = behind.get(..length)?;
        let whole = length
            .saturating_add(8)
            .saturating_add(length % 2)
            .min(rest.len());
        self.offset += whole;
        Some(Chunk {
            kind: *kind,
            content,
            whole: rest.get(..whole)?,
        })
    }
}
