//! A GIF file, block by block (GIF89a specification, §15 to §27).

#[cfg(feature = "image")]
use alloc::borrow::Cow;
#[cfg(feature = "image")]
use alloc::vec::Vec;

use super::bytes::Walk;
use super::error::UploadError;
use super::media_type::MediaType;
use crate::size::Size;

pub(crate) const IMAGE: u8 = 0x2c;
const EXTENSION: u8 = 0x21;
const TRAILER: u8 = 0x3b;
/// Where the screen's width and height stand, behind the signature.
const SCREEN_AT: usize = 6;
/// The header with the logical screen: signature, size, flags, background, shape of a pixel.
#[cfg(feature = "image")]
const HEADER_BYTES: usize = 13;
const HAS_COLOR_TABLE: u8 = 0x80;

/// What a GIF consists of.
pub(super) struct Gif {
    pub(super) size: Size,
    /// How many pictures it has: more than one is an animation.
    pub(super) frames: u32,
    /// Whether the file ends without a trailer.
    pub(super) end_is_missing: bool,
}

pub(super) fn inspect(
    file: &[u8],
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Gif, UploadError> {
    let mut size = screen(file);
    if size.pixels() > 0 {
        check_size(size)?;
    }
    let mut blocks = Blocks::new(file)?;
    let mut frames = 0u32;
    // Bytes between blocks and a missing trailer are what every viewer passes over: the pixels are in the blocks.
    loop {
        let start = blocks.offset();
        match blocks.next_block() {
            Ok(Some(Block::Image { whole })) => {
                if frames == 0 {
                    size = enlarged(size, whole);
                    check_size(size)?;
                }
                frames += 1;
            }
            Ok(Some(_)) => (),
            Ok(None) => break,
            // What is cut off behind the frames is none of them.
            Err(UploadError::CutOff { .. }) if frames > 0 && file.get(start) == Some(&EXTENSION) => break,
            Err(error) => return Err(error),
        }
    }
    if frames == 0 {
        return Err(blocks.walk.damaged("it has no picture"));
    }
    Ok(Gif {
        size,
        frames,
        end_is_missing: !blocks.has_ended(),
    })
}

/// A block, with all of its bytes.
#[derive(Clone, Copy)]
pub(crate) enum Block<'a> {
    /// A frame.
    Image { whole: &'a [u8] },
    /// Something else, by its label.
    Extension { label: u8, whole: &'a [u8] },
    /// The end.
    Trailer { whole: &'a [u8] },
    /// Bytes that belong to no block.
    Stray { whole: &'a [u8] },
}

#[cfg(feature = "image")]
impl<'a> Block<'a> {
    const fn whole(&self) -> &'a [u8] {
        match self {
            Self::Image { whole }
            | Self::Extension { whole, .. }
            | Self::Trailer { whole }
            | Self::Stray { whole } => whole,
        }
    }
}

/// The blocks behind the header, up to and including the trailer, if there is one.
pub(crate) struct Blocks<'a> {
    file: &'a [u8],
    walk: Walk<'a>,
    ended: bool,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(file: &'a [u8]) -> Result<Self, UploadError> {
        let mut walk = Walk::new(file, MediaType::Gif);
        walk.skip(10)?;
        let flags = walk.u8()?;
        walk.skip(2)?;
        walk.skip(color_table_bytes(flags))?;
        Ok(Self {
            file,
            walk,
            ended: false,
        })
    }

    /// Whether the trailer was met.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) const fn offset(&self) -> usize {
        self.walk.offset()
    }

    /// The next block; none at the end of the file, or behind the trailer.
    pub(crate) fn next_block(&mut self) -> Result<Option<Block<'a>>, UploadError> {
        let start = self.walk.offset();
        if self.ended || self.walk.rest().is_empty() {
            return Ok(None);
        }
        let introducer = self.walk.u8()?;
        let mut label = 0;
        match introducer {
            IMAGE => {
                self.walk.skip(8)?;
                let flags = self.walk.u8()?;
                self.walk.skip(color_table_bytes(flags))?;
                // The number of bits that codes begin with.
                self.walk.skip(1)?;
                skip_sub_blocks(&mut self.walk)?;
            }
            EXTENSION => {
                label = self.walk.u8()?;
                skip_sub_blocks(&mut self.walk)?;
            }
            TRAILER => self.ended = true,
            _ => {
                let known = |byte: &u8| matches!(*byte, IMAGE | EXTENSION | TRAILER);
                let rest = self.walk.rest();
                let stray = rest.iter().position(known).unwrap_or(rest.len());
                self.walk.skip(stray)?;
            }
        }
        let whole = self.file.get(start..self.walk.offset()).unwrap_or_default();
        Ok(Some(match introducer {
            IMAGE => Block::Image { whole },
            EXTENSION => Block::Extension { label, whole },
            TRAILER => Block::Trailer { whole },
            _ => Block::Stray { whole },
        }))
    }
}

/// A number of 16 bits, or zero.
fn number(bytes: &[u8], at: usize) -> u32 {
    let number = bytes.get(at..).and_then(<[u8]>::first_chunk);
    number.map_or(0, |number| u32::from(u16::from_le_bytes(*number)))
}

/// The size of the screen (§18).
fn screen(file: &[u8]) -> Size {
    Size {
        width: number(file, SCREEN_AT),
        height: number(file, SCREEN_AT + 2),
    }
}

/// The screen that holds the first frame, which is an image block: some programs write a screen of no size, or one that
/// is too small, and others enlarge it.
fn enlarged(screen: Size, frame: &[u8]) -> Size {
    // Left, top, width and height (§20); the screen's sides have 16 bits as well.
    let end = |start, length| (number(frame, start) + number(frame, length)).min(u16::MAX.into());
    Size {
        width: screen.width.max(end(1, 5)),
        height: screen.height.max(end(3, 7)),
    }
}

/// Blocks that the specification knows; the decoder stops at others.
#[cfg(feature = "image")]
const fn is_known(block: &Block<'_>) -> bool {
    match block {
        Block::Image { .. } | Block::Trailer { .. } => true,
        // Plain text, graphic control, comment, application (§23 to §26).
        Block::Extension { label, .. } => matches!(label, 0x01 | 0xf9 | 0xfe | 0xff),
        Block::Stray { .. } => false,
    }
}

/// The file as the decoder understands it and as other decoders show it: with a screen that holds the first frame, with
/// greys if it has no colours for its frames, with an end, and without bytes and blocks that nobody knows.
#[cfg(feature = "image")]
pub(crate) fn prepared(file: &[u8]) -> Cow<'_, [u8]> {
    let (Some((header, rest)), Ok(mut blocks)) = (file.split_at_checked(HEADER_BYTES), Blocks::new(file))
    else {
        return Cow::Borrowed(file);
    };
    let has_colors = header.get(10).is_some_and(|flags| flags & HAS_COLOR_TABLE != 0);
    let colors = rest.get(..blocks.offset() - HEADER_BYTES).unwrap_or_default();
    let (mut size, mut frames, mut all_known) = (screen(file), 0u32, true);
    while let Ok(Some(block)) = blocks.next_block() {
        all_known &= is_known(&block);
        if let Block::Image { whole } = block {
            if frames == 0 {
                size = enlarged(size, whole);
            }
            frames += 1;
        }
    }
    let has_end = blocks.has_ended();
    if has_colors && has_end && all_known && size == screen(file) {
        return Cow::Borrowed(file);
    }
    let mut with = Vec::with_capacity(file.len() + 3 * 256 + 2);
    with.extend_from_slice(header);
    for (at, side) in [(SCREEN_AT, size.width), (SCREEN_AT + 2, size.height)] {
        if let Some(place) = with.get_mut(at..at + 2) {
            place.copy_from_slice(&u16::try_from(side).unwrap_or(u16::MAX).to_le_bytes());
        }
    }
    if !has_colors {
        if let Some(flags) = with.get_mut(10) {
            // Of 256 colours, which is 2 to the power of 7 + 1.
            *flags |= HAS_COLOR_TABLE | 7;
        }
        with.extend((0..=u8::MAX).flat_map(|grey| [grey; 3]));
    }
    with.extend_from_slice(colors);
    if let Ok(mut blocks) = Blocks::new(file) {
        while let Ok(Some(block)) = blocks.next_block() {
            if is_known(&block) {
                with.extend_from_slice(block.whole());
            }
        }
    }
    if !has_end {
        with.extend([0, TRAILER]);
    }
    Cow::Owned(with)
}

const fn color_table_bytes(flags: u8) -> usize {
    if flags & HAS_COLOR_TABLE == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// Each sub-block has its length in one byte; one of length zero ends them, or the end of the file.
fn skip_sub_blocks(walk: &mut Walk<'_>) -> Result<(), UploadError> {
    loop {
        if walk.rest().is_empty() {
            return Ok(());
        }
        match walk.u8()? {
            0 => return Ok(()),
            length => walk.skip(usize::from(length))?,
        }
    }
}
