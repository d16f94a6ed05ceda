//! A TIFF file: its first directory, and whether the pixels that it names are there (TIFF 6.0, §2).

use super::bytes::Walk;
use super::{MediaType, UploadError};
use crate::capacity::Size;

const IMAGE_WIDTH: u16 = 256;
const IMAGE_LENGTH: u16 = 257;
const STRIP_OFFSETS: u16 = 273;
const STRIP_BYTE_COUNTS: u16 = 279;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTE_COUNTS: u16 = 325;

/// A line of a directory: what it is, the size of one number, how many there are, and where.
#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    number_bytes: usize,
    count: usize,
    offset: usize,
}

struct Reader<'a> {
    walk: Walk<'a>,
    little: bool,
}

pub(super) fn inspect(
    file: &[u8],
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Size, UploadError> {
    let mut reader = Reader {
        walk: Walk::new(file, MediaType::Tiff),
        little: file.starts_with(b"II"),
    };
    reader.walk.skip(4)?;
    let directory = reader.u32()? as usize;
    reader.walk.seek(directory)?;
    let entries = usize::from(reader.u16()?);
    let (mut size, mut offsets, mut lengths) = (Size { width: 0, height: 0 }, None, None);
    for line in 0..entries {
        reader.walk.seek(directory + 2 + line * 12)?;
        let entry = reader.entry()?;
        match entry.tag {
            IMAGE_WIDTH => size.width = reader.number(&entry, 0)?,
            IMAGE_LENGTH => size.height = reader.number(&entry, 0)?,
            STRIP_OFFSETS | TILE_OFFSETS => offsets = Some(entry),
            STRIP_BYTE_COUNTS | TILE_BYTE_COUNTS => lengths = Some(entry),
            _ => (),
        }
    }
    check_size(size)?;
    let (Some(offsets), Some(lengths)) = (offsets, lengths) else {
        return Err(reader.walk.damaged("it does not say where its pixels are"));
    };
    if offsets.count != lengths.count || offsets.count == 0 {
        return Err(reader.walk.damaged("its lists of pixel data do not match"));
    }
    for index in 0..offsets.count {
        let (start, length) = (reader.number(&offsets, index)?, reader.number(&lengths, index)?);
        if u64::from(start) + u64::from(length) > file.len() as u64 {
            return Err(reader.walk.cut_off());
        }
    }
    Ok(size)
}

impl Reader<'_> {
    fn u16(&mut self) -> Result<u16, UploadError> {
        let bytes = self.walk.array()?;
        Ok(if self.little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn u32(&mut self) -> Result<u32, UploadError> {
        let bytes = self.walk.array()?;
        Ok(if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    fn entry(&mut self) -> Result<Entry, UploadError> {
        let (tag, kind) = (self.u16()?, self.u16()?);
        let count = self.u32()? as usize;
        // Only whole numbers of 16 and 32 bits are of interest here.
        let number_bytes = match kind {
            3 => 2,
            4 => 4,
            _ => 0,
        };
        // What fits into four bytes stands in the line itself.
        let here = self.walk.offset();
        let inside = count.saturating_mul(number_bytes) <= 4;
        let offset = if inside { here } else { self.u32()? as usize };
        Ok(Entry {
            tag,
            number_bytes,
            count,
            offset,
        })
    }

    fn number(&mut self, entry: &Entry, index: usize) -> Result<u32, UploadError> {
        let place = entry
            .offset
            .saturating_add(index.saturating_mul(entry.number_bytes));
        self.walk.seek(place)?;
        match entry.number_bytes {
            2 => self.u16().map(u32::from),
            4 => self.u32(),
            _ => Err(self.walk.damaged("a number of an unknown kind")),
        }
    }
}
