//! A PNG file, chunk by chunk (PNG specification, third edition, §5).

use super::error::UploadError;
use super::media_type::{MediaType, SIGNATURE};
use super::unusual::Unusual;
use crate::limits::Limits;
use crate::raster::Colors;
use crate::size::{LARGEST_SIDE, Size};

/// Deflate copies up to 258 bytes for two bits at best (RFC 1951, §3.2.5), so its output is at most
/// 1032 times its input. A header that claims more is false, and is refused before memory is spent.
const MOST_EXPANSION: u64 = 1032;

/// A chunk: its type, its content, and all of its bytes with length and checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: [u8; 4],
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
    offset: usize,
}

impl Chunk<'_> {
    /// Whether its type is four letters, as that of every chunk is (§5.3).
    pub(crate) fn has_name(&self) -> bool {
        self.kind.iter().all(u8::is_ascii_alphabetic)
    }

    /// Whether the checksum is that of type and content.
    pub(crate) fn checksum_fits(&self) -> bool {
        let Some((checked, checksum)) = self.whole.split_last_chunk::<4>() else {
            return false;
        };
        crc32fast::hash(checked.get(4..).unwrap_or_default()) == u32::from_be_bytes(*checksum)
    }

    fn damaged(&self, problem: &'static str) -> UploadError {
        UploadError::Damaged {
            format: MediaType::Png,
            offset: self.offset,
            problem,
        }
    }
}

/// The chunks of a file that starts with the signature, up to and including `IEND`. A file may end without one behind
/// its pixels.
pub(crate) struct Chunks<'a> {
    file: &'a [u8],
    offset: usize,
    ended: bool,
    pixels_seen: bool,
    end_is_missing: bool,
    checksum_is_wrong: bool,
}

/// Chunks that viewers pass over when their checksum is wrong: all that describe nothing that pixels are made of
/// (§13.1, ancillary chunks).
const fn is_beside_the_pixels(kind: &[u8; 4]) -> bool {
    kind[0] & 0x20 != 0 && !matches!(kind, b"tRNS")
}

impl<'a> Chunks<'a> {
    pub(crate) fn new(file: &'a [u8]) -> Self {
        Self {
            file,
            offset: SIGNATURE.len(),
            ended: false,
            pixels_seen: false,
            end_is_missing: false,
            checksum_is_wrong: false,
        }
    }

    /// The chunks that are there whole, whatever their checksums say.
    pub(crate) fn unchecked(file: &'a [u8]) -> impl Iterator<Item = Chunk<'a>> {
        let mut chunks = Self::new(file);
        core::iter::from_fn(move || {
            let chunk = chunks.read().filter(|_| !chunks.ended)?;
            chunks.offset += chunk.whole.len();
            chunks.ended = chunk.kind == *b"IEND";
            Some(chunk)
        })
    }

    fn read(&self) -> Option<Chunk<'a>> {
        let whole = self.file.get(self.offset..)?;
        let (length, rest) = whole.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (content, rest) = rest.split_at_checked(length)?;
        rest.first_chunk::<4>()?;
        let whole = whole.get(..length.checked_add(12)?)?;
        Some(Chunk {
            kind: *kind,
            content,
            whole,
            offset: self.offset,
        })
    }

    /// Whether the file ended behind its pixels and without `IEND`.
    pub(crate) const fn end_is_missing(&self) -> bool {
        self.end_is_missing
    }

    /// Whether the file ends here, inside of a chunk that is none of pixels, or with bytes that are no chunk: an end that
    /// is damaged, or whatever stands before it.
    fn ends_behind_pixels(&self) -> bool {
        let kind = self.file.get(self.offset + 4..self.offset + 8);
        self.pixels_seen
            && kind != Some(b"IDAT")
            && self.read().is_none_or(|chunk| {
                !chunk.has_name() || !is_beside_the_pixels(&chunk.kind) && !chunk.checksum_fits()
            })
    }

    /// The next chunk, its checksum verified.
    fn checked(&mut self) -> Result<Chunk<'a>, UploadError> {
        let cut_off = UploadError::CutOff {
            format: MediaType::Png,
            bytes: self.file.len(),
        };
        let chunk = self.read().ok_or(cut_off)?;
        if !chunk.checksum_fits() {
            if !is_beside_the_pixels(&chunk.kind) {
                return Err(chunk.damaged("a chunk's checksum is wrong"));
            }
            self.checksum_is_wrong = true;
        }
        self.pixels_seen |= chunk.kind == *b"IDAT";
        self.offset += chunk.whole.len();
        Ok(chunk)
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, UploadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.ended && self.ends_behind_pixels() {
            (self.ended, self.end_is_missing) = (true, true);
        }
        if self.ended {
            return None;
        }
        let chunk = self.checked();
        self.ended = match &chunk {
            Ok(chunk) => chunk.kind == *b"IEND",
            Err(_) => true,
        };
        Some(chunk)
    }
}

/// What `IHDR` says, and what decoding will make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PngHeader {
    pub(crate) size: Size,
    bit_depth: u8,
    color_type: u8,
    interlaced: bool,
    transparency: bool,
}

impl PngHeader {
    fn parse(chunk: &Chunk<'_>) -> Result<Self, UploadError> {
        if chunk.kind != *b"IHDR" {
            return Err(chunk.damaged("the first chunk is not the header"));
        }
        let (width, rest) = chunk
            .content
            .split_first_chunk::<4>()
            .ok_or(chunk.damaged("a short header"))?;
        let (height, rest) = rest
            .split_first_chunk::<4>()
            .ok_or(chunk.damaged("a short header"))?;
        let [bit_depth, color_type, compression, filter, interlace] = *rest else {
            return Err(chunk.damaged("a header of the wrong length"));
        };
        let size = Size {
            width: u32::from_be_bytes(*width),
            height: u32::from_be_bytes(*height),
        };
        let sides = 1..=LARGEST_SIDE;
        if !sides.contains(&size.width) || !sides.contains(&size.height) {
            return Err(chunk.damaged("a width or height of zero, or above 2147483647"));
        }
        // §11.2.1, table of allowed combinations.
        let valid = match color_type {
            0 => matches!(bit_depth, 1 | 2 | 4 | 8 | 16),
            3 => matches!(bit_depth, 1 | 2 | 4 | 8),
            2 | 4 | 6 => matches!(bit_depth, 8 | 16),
            _ => false,
        };
        if !valid {
            return Err(chunk.damaged("a combination of colour type and depth that does not exist"));
        }
        if compression != 0 || filter != 0 || interlace > 1 {
            return Err(chunk.damaged("a compression, filter or interlace method that does not exist"));
        }
        Ok(Self {
            size,
            bit_depth,
            color_type,
            interlaced: interlace == 1,
            transparency: false,
        })
    }

    /// What a pixel consists of after palettes and transparency keys are expanded.
    pub(crate) const fn decoded_colors(&self) -> Colors {
        match (self.color_type, self.transparency) {
            (0, false) => Colors::Grey,
            (0, true) | (4, _) => Colors::GreyAlpha,
            (2 | 3, false) => Colors::Rgb,
            _ => Colors::Rgba,
        }
    }

    /// How many bytes the decoded samples take.
    pub(crate) const fn decoded_bytes(&self) -> u64 {
        let depth = if self.bit_depth == 16 { 2 } else { 1 };
        self.size
            .pixels()
            .saturating_mul(self.decoded_colors().samples() as u64 * depth)
    }

    /// How many bytes the compressed data must give at least.
    const fn filtered_bytes(&self) -> u64 {
        let samples = match self.color_type {
            0 | 3 => 1,
            4 => 2,
            2 => 3,
            _ => 4,
        };
        let row_bits = self.size.width as u64 * samples * self.bit_depth as u64;
        if self.interlaced {
            // How the seven passes fill their rows is a longer story; the bits are certain.
            row_bits.saturating_mul(self.size.height as u64) / 8
        } else {
            // Each row begins with a filter byte.
            (row_bits.div_ceil(8) + 1).saturating_mul(self.size.height as u64)
        }
    }
}

/// What the chunks of a PNG say.
pub(super) struct Png {
    pub(super) size: Size,
    pub(super) animated: bool,
    pub(super) unusual: Option<Unusual>,
}

/// Walks a whole file.
pub(super) fn inspect(
    file: &[u8],
    limits: &Limits,
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Png, UploadError> {
    let mut chunks = Chunks::new(file);
    let cut_off = UploadError::CutOff {
        format: MediaType::Png,
        bytes: file.len(),
    };
    let mut first = chunks.next().ok_or(cut_off)??;
    // Apple's tools put a chunk of their own before the header.
    while !matches!(&first.kind, b"IHDR" | b"PLTE" | b"IDAT" | b"IEND") {
        first = chunks.next().ok_or(cut_off)??;
    }
    let mut header = PngHeader::parse(&first)?;
    // The size is judged before the rest is walked: a bomb is refused for what it claims.
    check_size(header.size)?;
    let (mut palette, mut compressed, mut data_ended, mut animated) = (false, 0u64, false, false);
    let mut last = first;
    for chunk in chunks.by_ref() {
        let chunk = chunk?;
        match &chunk.kind {
            // One frame is no animation, and behind the pixels the chunk is to be ignored (§11.3.6.1).
            b"acTL" if compressed == 0 && chunk.checksum_fits() => animated = frames(chunk.content) > 1,
            b"IHDR" => return Err(chunk.damaged("a second header")),
            b"PLTE" => {
                let length = chunk.content.len();
                // Beside colours that need none, it is a suggestion.
                if header.color_type == 3 && (length == 0 || length % 3 != 0 || length > 768) {
                    return Err(chunk.damaged("a palette of an impossible length"));
                }
                palette = true;
            }
            b"tRNS" => header.transparency = true,
            // What stands behind the first run of them is no part of the pixels (§5.6).
            b"IDAT" if data_ended => (),
            b"IDAT" => compressed += chunk.content.len() as u64,
            _ => (),
        }
        if compressed > 0 && chunk.kind != *b"IDAT" {
            data_ended = true;
        }
        last = chunk;
    }
    if compressed == 0 {
        return Err(last.damaged("no pixel data"));
    }
    if header.color_type == 3 && !palette {
        return Err(last.damaged("no palette, which its colour type needs"));
    }
    check_claims(header, compressed, limits)?;
    let unusual = if chunks.end_is_missing() {
        Some(Unusual::EndMissing)
    } else if chunks.checksum_is_wrong {
        Some(Unusual::Checksum)
    } else {
        None
    };
    Ok(Png {
        size: header.size,
        animated,
        unusual,
    })
}

/// How many frames an `acTL` chunk promises.
fn frames(content: &[u8]) -> u32 {
    content
        .first_chunk::<4>()
        .map_or(0, |frames| u32::from_be_bytes(*frames))
}

fn check_claims(header: PngHeader, compressed: u64, limits: &Limits) -> Result<(), UploadError> {
    let (bytes, limit) = (header.decoded_bytes(), limits.decoded_bytes);
    if bytes > limit {
        return Err(UploadError::TooManyDecodedBytes { bytes, limit });
    }
    let (claimed, possible) = (header.filtered_bytes(), compressed.saturating_mul(MOST_EXPANSION));
    if claimed > possible {
        return Err(UploadError::FalseHeader {
            format: MediaType::Png,
            claimed,
            compressed,
            possible,
        });
    }
    Ok(())
}
