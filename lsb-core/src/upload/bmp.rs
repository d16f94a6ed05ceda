//! A BMP file: its headers, and whether all rows are there.

use super::bytes::Walk;
use super::error::UploadError;
use super::media_type::MediaType;
use crate::size::Size;

const CORE_HEADER_BYTES: u32 = 12;
const SMALLEST_INFO_HEADER_BYTES: u32 = 40;
/// Compression methods that store rows as they are: none, and none with masks for the colours.
const UNCOMPRESSED: [u32; 3] = [0, 3, 6];

pub(super) fn inspect(
    file: &[u8],
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Size, UploadError> {
    let mut walk = Walk::new(file, MediaType::Bmp);
    walk.skip(10)?;
    let pixels_at = walk.u32_little()?;
    let (width, height, depth, compression, stored) = match walk.u32_little()? {
        CORE_HEADER_BYTES => {
            let (width, height) = (u32::from(walk.u16_little()?), u32::from(walk.u16_little()?));
            walk.skip(2)?;
            (width, height, walk.u16_little()?, 0, 0)
        }
        SMALLEST_INFO_HEADER_BYTES.. => {
            let width = walk.u32_little()?;
            // A negative height says that rows stand from the top.
            let height = walk.array().map(i32::from_le_bytes)?.unsigned_abs();
            walk.skip(2)?;
            let depth = walk.u16_little()?;
            (width, height, depth, walk.u32_little()?, walk.u32_little()?)
        }
        _ => return Err(walk.damaged("a header of an unknown kind")),
    };
    let size = Size { width, height };
    if width > i32::MAX as u32 {
        return Err(walk.damaged("a negative width"));
    }
    check_size(size)?;
    let rows = if UNCOMPRESSED.contains(&compression) {
        // Each row is filled up to four bytes.
        let row = (u64::from(width) * u64::from(depth)).div_ceil(32) * 4;
        row.saturating_mul(u64::from(height))
    } else {
        u64::from(stored)
    };
    if u64::from(pixels_at).saturating_add(rows) > file.len() as u64 {
        return Err(walk.cut_off());
    }
    Ok(size)
}

/// Where a file's rows end, if they are stored as they are.
pub(crate) fn end(file: &[u8]) -> Option<usize> {
    let number = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk::<4>()?));
    let (pixels_at, header) = (number(10)?, number(14)?);
    if header < SMALLEST_INFO_HEADER_BYTES || !UNCOMPRESSED.contains(&number(30)?) {
        return None;
    }
    let (width, height) = (number(18)?, number(22)?.cast_signed().unsigned_abs());
    let depth = number(28)? & 0xffff;
    let row = (u64::from(width) * u64::from(depth)).div_ceil(32) * 4;
    let mut end = row
        .checked_mul(u64::from(height))?
        .checked_add(u64::from(pixels_at))?;
    // The fifth version of the header names a profile, which stands behind the rows (BITMAPV5HEADER).
    if header >= 124 {
        let (profile_at, profile_bytes) = (number(14 + 112)?, number(14 + 116)?);
        end = end.max(14 + u64::from(profile_at) + u64::from(profile_bytes));
    }
    usize::try_from(end).ok()
}
