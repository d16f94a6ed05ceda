//! A BMP file: its headers, and whether all rows are there.

use super::bytes::Walk;
use super::error::UploadError;
use super::media_type::MediaType;
use crate::size::Size;

/// The header of the file, before that of the bitmap.
pub(crate) const FILE_HEADER_BYTES: u32 = 14;
/// OS/2's first header, and the shortest of its second, which ends anywhere behind the depth.
const CORE_HEADER_BYTES: u32 = 12;
const SHORTEST_HEADER_BYTES: u32 = 16;
/// BITMAPINFOHEADER.
pub(crate) const INFO_HEADER_BYTES: u32 = 40;
/// BITMAPV5HEADER, which names a profile.
const PROFILE_HEADER_BYTES: u32 = 124;
/// Compression methods that store rows as they are: none, and none with masks for the colours.
const UNCOMPRESSED: [u32; 3] = [0, 3, 6];

/// What the headers say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Where the pixels are said to be.
    named_pixels_at: u32,
    pub(crate) bytes: u32,
    pub(crate) size: Size,
    /// Whether rows stand from the top: the height is negative.
    pub(crate) top_down: bool,
    pub(crate) depth: u16,
    pub(crate) compression: u32,
    /// How many bytes compressed pixels take.
    stored: u32,
    /// How many colours the palette has; 0 if as many as there can be.
    colors: u32,
}

impl Header {
    pub(crate) fn parse(file: &[u8]) -> Result<Self, UploadError> {
        let mut walk = Walk::new(file, MediaType::Bmp);
        walk.skip(10)?;
        let named_pixels_at = walk.u32_little()?;
        let bytes = walk.u32_little()?;
        let mut header = Self {
            named_pixels_at,
            bytes,
            size: Size { width: 0, height: 0 },
            top_down: false,
            depth: 0,
            compression: 0,
            stored: 0,
            colors: 0,
        };
        if bytes == CORE_HEADER_BYTES {
            header.size = Size {
                width: u32::from(walk.u16_little()?),
                height: u32::from(walk.u16_little()?),
            };
        } else if bytes >= SHORTEST_HEADER_BYTES {
            let (width, height) = (walk.u32_little()?, walk.u32_little()?.cast_signed());
            if width > i32::MAX as u32 {
                return Err(walk.damaged("a negative width"));
            }
            header.size = Size {
                width,
                height: height.unsigned_abs(),
            };
            header.top_down = height < 0;
        } else {
            return Err(walk.damaged("a header of an unknown kind"));
        }
        walk.skip(2)?;
        header.depth = walk.u16_little()?;
        if bytes >= INFO_HEADER_BYTES {
            header.compression = walk.u32_little()?;
            header.stored = walk.u32_little()?;
            walk.skip(8)?;
            header.colors = walk.u32_little()?;
        }
        Ok(header)
    }

    /// Where the pixels are: some programs leave the palette out of the account, or name no place at all.
    pub(crate) fn pixels_at(&self) -> u32 {
        let behind_header = FILE_HEADER_BYTES.saturating_add(self.bytes);
        if self.named_pixels_at != 0 && (self.named_pixels_at != behind_header || self.depth > 8) {
            return self.named_pixels_at;
        }
        let colors = match (self.colors, self.depth) {
            (0, depth @ 1..=8) => 1 << depth,
            (colors, _) => colors,
        };
        let color_bytes = if self.bytes == CORE_HEADER_BYTES { 3 } else { 4 };
        // The masks of the colours, which stand in longer headers.
        let masks = match self.compression {
            3 if self.bytes == INFO_HEADER_BYTES => 12,
            6 if self.bytes == INFO_HEADER_BYTES => 16,
            _ => 0,
        };
        behind_header
            .saturating_add(masks)
            .saturating_add(colors.saturating_mul(color_bytes))
    }

    /// Where the rows end, if they are stored as they are: each is filled up to four bytes.
    pub(crate) fn rows_end(&self) -> Option<u64> {
        if !UNCOMPRESSED.contains(&self.compression) {
            return None;
        }
        let row = self.row_bits().div_ceil(32) * 4;
        row.checked_mul(u64::from(self.size.height))?
            .checked_add(u64::from(self.pixels_at()))
    }

    fn row_bits(&self) -> u64 {
        u64::from(self.size.width) * u64::from(self.depth)
    }

    /// Where the last pixel ends: what fills up the last row may be missing.
    fn pixels_end(&self) -> Option<u64> {
        let filling = self.row_bits().div_ceil(32) * 4 - self.row_bits().div_ceil(8);
        Some(self.rows_end()?.saturating_sub(filling))
    }
}

pub(super) fn inspect(
    file: &[u8],
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Size, UploadError> {
    let header = Header::parse(file)?;
    check_size(header.size)?;
    let stored = u64::from(header.pixels_at()) + u64::from(header.stored);
    if header.pixels_end().unwrap_or(stored) > file.len() as u64 {
        return Err(UploadError::CutOff {
            format: MediaType::Bmp,
            bytes: file.len(),
        });
    }
    Ok(header.size)
}

/// Where the profile is that a file brings with it. The fifth version of the header names one, which stands anywhere
/// behind it (BITMAPV5HEADER); others are the names of files elsewhere, and nothing that shows the picture right.
fn profile_range(file: &[u8]) -> Option<core::ops::Range<usize>> {
    /// `PROFILE_EMBEDDED`, in the order of bytes that the file has.
    const EMBEDDED: &[u8] = b"DEBM";
    let header = file.get(FILE_HEADER_BYTES as usize..)?;
    let number = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk::<4>()?) as usize);
    if number(0)? < PROFILE_HEADER_BYTES as usize || header.get(56..60) != Some(EMBEDDED) {
        return None;
    }
    let start = number(112)?.checked_add(FILE_HEADER_BYTES as usize)?;
    Some(start..start.checked_add(number(116)?)?)
}

/// The profile that a file brings with it.
#[cfg(feature = "image")]
pub(crate) fn profile(file: &[u8]) -> Option<&[u8]> {
    file.get(profile_range(file)?)
}

/// Where a file's rows end, if they are stored as they are, and the profile behind them.
pub(crate) fn end(file: &[u8]) -> Option<usize> {
    let header = Header::parse(file).ok()?;
    if header.bytes < INFO_HEADER_BYTES {
        return None;
    }
    let end = usize::try_from(header.rows_end()?).ok()?;
    Some(profile_range(file).map_or(end, |profile| end.max(profile.end)))
}
