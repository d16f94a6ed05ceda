//! A HEIC or AVIF file: its boxes, and the size that they name (ISO/IEC 14496-12, §4.2; 23008-12, §6).
//!
//! Such a file is stored and never decoded, so little is asked of it: it begins like one, no box that it announces
//! ends beyond the file, and it names a size. Whether its pixels decode is not known.

use super::error::UploadError;
use super::media_type::MediaType;
use crate::size::Size;

/// What the boxes say.
pub(super) struct Heif {
    pub(super) size: Size,
    /// Whether it is a sequence of pictures, by its major brand.
    pub(super) animated: bool,
}

pub(super) fn inspect(
    file: &[u8],
    format: MediaType,
    check_size: impl Fn(Size) -> Result<(), UploadError>,
) -> Result<Heif, UploadError> {
    let mut size = None;
    let mut animated = false;
    for part in Boxes::new(file, 0) {
        let part = part.map_err(|problem| problem.of(format, file.len()))?;
        match &part.kind {
            b"ftyp" => {
                let major = part.content.first_chunk::<4>();
                animated = matches!(
                    major,
                    Some(b"avis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" | b"msf1")
                );
            }
            b"meta" if size.is_none() => {
                size = largest_size(&part);
                // Known before whatever is wrong behind it.
                size.map_or(Ok(()), &check_size)?;
            }
            _ => (),
        }
    }
    let size = size.ok_or(UploadError::Damaged {
        format,
        offset: 0,
        problem: "no box names the picture's size",
    })?;
    Ok(Heif { size, animated })
}

/// The largest of the sizes among the properties: others are those of tiles, thumbnails and depth maps.
fn largest_size(meta: &IsoBox<'_>) -> Option<Size> {
    const VERSION_AND_FLAGS: usize = 4;
    let properties = meta.child(VERSION_AND_FLAGS, *b"iprp")?.child(0, *b"ipco")?;
    let sizes = properties.children(0).filter(|part| part.kind == *b"ispe");
    let sizes = sizes.filter_map(|part| {
        let (width, rest) = part.content.get(VERSION_AND_FLAGS..)?.split_first_chunk::<4>()?;
        Some(Size {
            width: u32::from_be_bytes(*width),
            height: u32::from_be_bytes(*rest.first_chunk::<4>()?),
        })
    });
    sizes.max_by_key(|size| size.pixels())
}

/// A box: what it is, and what it holds.
#[derive(Clone, Copy)]
struct IsoBox<'a> {
    kind: [u8; 4],
    content: &'a [u8],
}

impl<'a> IsoBox<'a> {
    /// The boxes inside, behind so many bytes of other fields, as far as they are whole.
    fn children(&self, skipped: usize) -> impl Iterator<Item = IsoBox<'a>> {
        Boxes::new(self.content, skipped).map_while(Result::ok)
    }

    fn child(&self, skipped: usize, kind: [u8; 4]) -> Option<IsoBox<'a>> {
        self.children(skipped).find(|part| part.kind == kind)
    }
}

/// What ends a walk before the bytes end.
enum Problem {
    /// A box that ends beyond the bytes.
    CutOff,
    /// A length that is shorter than the box's own header.
    FalseLength { offset: usize },
}

impl Problem {
    const fn of(self, format: MediaType, bytes: usize) -> UploadError {
        match self {
            Self::CutOff => UploadError::CutOff { format, bytes },
            Self::FalseLength { offset } => UploadError::Damaged {
                format,
                offset,
                problem: "a box is shorter than its own header",
            },
        }
    }
}

/// Boxes that end a file. One of another kind that is too long is none: programs append whatever they like.
const fn is_known(kind: &[u8; 4]) -> bool {
    matches!(
        kind,
        b"ftyp" | b"meta" | b"mdat" | b"idat" | b"moov" | b"moof" | b"free" | b"skip" | b"uuid"
    )
}

/// The boxes of a file or of another box, one behind the other. It ends after a problem, and before bytes that are
/// no box.
struct Boxes<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Boxes<'a> {
    const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<IsoBox<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.offset;
        let (length, rest) = self.bytes.get(start..)?.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (length, header) = match u32::from_be_bytes(*length) {
            // To the end.
            0 => (rest.len() as u64 + 8, 8),
            // A length of 64 bits follows.
            1 => match rest.first_chunk::<8>() {
                Some(length) => (u64::from_be_bytes(*length), 16),
                None => (u64::MAX, 16),
            },
            length => (u64::from(length), 8),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let content = match start.checked_add(length) {
            Some(end) => self.bytes.get(start + header..end),
            None => None,
        };
        let found = match content {
            Some(content) => Ok(IsoBox { kind: *kind, content }),
            None if !is_known(kind) => return None,
            None if length < header => Err(Problem::FalseLength { offset: start }),
            None => Err(Problem::CutOff),
        };
        self.offset = if found.is_ok() {
            start + length
        } else {
            self.bytes.len()
        };
        Some(found)
    }
}
