//! A GIF file, block by block (GIF89a specification, §15 to §27).

use super::bytes::Walk;
use super::{MediaType, UploadError};
use crate::capacity::Size;

const IMAGE: u8 = 0x2c;
const EXTENSION: u8 = 0x21;
const TRAILER: u8 = 0x3b;

/// What a GIF consists of.
pub(super) struct Gif {
    pub(super) size: Size,
    /// How many pictures it has: more than one is an animation.
    pub(super) frames: u32,
}

pub(super) fn inspect(
    file: &[u8],
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Gif, UploadError> {
    let mut walk = Walk::new(file, MediaType::Gif);
    walk.skip(6)?;
    let size = Size {
        width: u32::from(walk.u16_little()?),
        height: u32::from(walk.u16_little()?),
    };
    check_size(size)?;
    let flags = walk.u8()?;
    walk.skip(2)?;
    walk.skip(color_table_bytes(flags))?;
    let mut frames = 0u32;
    loop {
        match walk.u8()? {
            IMAGE => {
                frames += 1;
                walk.skip(8)?;
                let flags = walk.u8()?;
                walk.skip(color_table_bytes(flags))?;
                // The number of bits that codes begin with.
                walk.skip(1)?;
                skip_sub_blocks(&mut walk)?;
            }
            EXTENSION => {
                walk.skip(1)?;
                skip_sub_blocks(&mut walk)?;
            }
            TRAILER if frames == 0 => return Err(walk.damaged("it has no picture")),
            TRAILER => return Ok(Gif { size, frames }),
            _ => return Err(walk.damaged("a block of an unknown kind")),
        }
    }
}

const fn color_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// Each sub-block has its length in one byte; one of length zero ends them.
fn skip_sub_blocks(walk: &mut Walk<'_>) -> Result<(), UploadError> {
    loop {
        match walk.u8()? {
            0 => return Ok(()),
            length => walk.skip(usize::from(length))?,
        }
    }
}
