//! JPEG: what the decoder needs of a file, and whether every block of it is there.

mod bits;
mod blocks;
mod scans;

use alloc::vec::Vec;

use crate::upload::UploadError;
use crate::upload::jpeg::{
    END_OF_IMAGE, Frame, NUMBER_OF_LINES, Piece, Pieces, START_OF_SCAN, is_frame_header,
};

const APP0: u8 = 0xe0;
const ADOBE: u8 = 0xee;

/// The file as the decoder understands it, after every block was found to be there.
///
/// Stray bytes between segments go, and so does a segment that stops the decoder though it says nothing; a number of
/// lines behind the first scan moves to the header, and an end marker that is missing is added. What three components
/// mean is said by their numbers alone.
///
/// # Errors
///
/// [`UploadError`] if a part of the pixels is missing or damaged: the decoder fills it with grey and says nothing.
pub(super) fn prepared(file: &[u8]) -> Result<Vec<u8>, UploadError> {
    let ends = Pieces::new(file).any(|piece| {
        matches!(
            piece,
            Piece::Alone {
                whole: [.., END_OF_IMAGE]
            }
        )
    });
    without_surprises(file).map_err(|error| match error {
        // Without an end marker, what is missing is the end.
        UploadError::PixelsMissing { format, .. } if !ends => UploadError::CutOff {
            format,
            bytes: file.len(),
        },
        error => error,
    })
}

fn without_surprises(file: &[u8]) -> Result<Vec<u8>, UploadError> {
    let Facts { lines, numbers } = Facts::of(file);
    let mut prepared = Vec::with_capacity(file.len() + 2);
    prepared.extend_from_slice(file.get(..2).unwrap_or_default());
    let mut scans = scans::Scans::default();
    for piece in Pieces::new(file) {
        match piece {
            Piece::Stray { .. } => continue,
            Piece::Alone {
                whole: [.., END_OF_IMAGE],
            } => break,
            // A second start, restart markers between segments: nothing to decode.
            Piece::Alone { .. } => continue,
            // Adobe's marker has twelve bytes; the decoder takes others for damage. Of three components it says nothing
            // that their numbers do not say now.
            Piece::Segment {
                marker: ADOBE,
                content,
                ..
            } if numbers.is_some() || colors_by_adobe(content).is_none() => continue,
            Piece::Segment {
                marker: NUMBER_OF_LINES,
                ..
            } => continue,
            // The decoder looks into more segments than are asked for, and stops at some that are too short.
            Piece::Segment { marker, content, .. } if !is_asked_for(marker, content) => continue,
            Piece::Segment {
                marker,
                whole,
                content,
            } => {
                let start = prepared.len();
                prepared.extend_from_slice(whole);
                if is_frame_header(marker) {
                    let mut frame = Frame::parse(content, marker, start)?;
                    if frame.size.height == 0 {
                        frame.size.height = u32::from(lines);
                        // Behind the precision, counted from the end, because any number of FF may precede the marker.
                        let at = prepared.len() - content.len() + 1;
                        if let Some(place) = prepared.get_mut(at..at + 2) {
                            place.copy_from_slice(&lines.to_be_bytes());
                        }
                    }
                    if let Some((old, new)) = numbers {
                        let components = prepared.len() - content.len() + COMPONENTS_AT;
                        renumber(prepared.get_mut(components..).unwrap_or_default(), 3, old, new);
                    }
                    scans.begin(frame);
                } else {
                    scans.table(marker, content)?;
                }
            }
            Piece::Scan { whole } => {
                scans.scan(whole)?;
                let start = prepared.len();
                prepared.extend_from_slice(whole);
                if let (Some((old, new)), Some(header_at)) = (numbers, scan_header_at(whole)) {
                    let header = prepared.get_mut(start + header_at..).unwrap_or_default();
                    if let Some((count, chosen)) = header.split_first_mut() {
                        let chosen = chosen.get_mut(..usize::from(*count) * 2).unwrap_or_default();
                        renumber(chosen, 2, old, new);
                    }
                }
            }
        }
    }
    scans.end()?;
    prepared.extend([0xff, END_OF_IMAGE]);
    Ok(prepared)
}

/// Where the components of a frame begin: behind the precision, the sides, and their count (§B.2.2).
const COMPONENTS_AT: usize = 6;
/// The components' numbers by which the decoder knows luma and chroma, and red, green and blue.
const LUMA_AND_CHROMA: [u8; 3] = [1, 2, 3];
const RED_GREEN_BLUE: [u8; 3] = *b"RGB";

/// What stands elsewhere than where the decoder looks for it.
struct Facts {
    /// The number of lines that stands behind the first scan, or zero (§B.2.5).
    lines: u16,
    /// The numbers of three components, and those that say what they mean.
    numbers: Option<([u8; 3], [u8; 3])>,
}

impl Facts {
    fn of(file: &[u8]) -> Self {
        let (mut lines, mut numbers, mut jfif, mut adobe, mut scanned) = (None, None, false, None, false);
        for piece in Pieces::new(file) {
            match piece {
                Piece::Segment {
                    marker: NUMBER_OF_LINES,
                    content,
                    ..
                } if lines.is_none() => {
                    lines = Some(
                        content
                            .first_chunk()
                            .map_or(0, |lines| u16::from_be_bytes(*lines)),
                    );
                }
                Piece::Segment {
                    marker: APP0,
                    content,
                    ..
                } if !scanned => jfif |= content.starts_with(b"JFIF\0"),
                Piece::Segment {
                    marker: ADOBE,
                    content,
                    ..
                } if !scanned => adobe = colors_by_adobe(content).or(adobe),
                Piece::Segment { marker, content, .. } if !scanned && is_frame_header(marker) => {
                    numbers = match content.get(COMPONENTS_AT..) {
                        Some(&[first, _, _, second, _, _, third, _, _]) => Some([first, second, third]),
                        _ => None,
                    };
                }
                Piece::Scan { .. } => scanned = true,
                _ => (),
            }
        }
        // As every decoder decides that descends from the first one: JFIF allows nothing else than luma and chroma, then
        // Adobe's marker counts, then the numbers do.
        let meant = |numbers: [u8; 3]| match adobe {
            _ if jfif => LUMA_AND_CHROMA,
            Some(0) => RED_GREEN_BLUE,
            None if numbers == RED_GREEN_BLUE => RED_GREEN_BLUE,
            _ => LUMA_AND_CHROMA,
        };
        Self {
            lines: lines.unwrap_or(0),
            numbers: numbers.map(|numbers| (numbers, meant(numbers))),
        }
    }
}

/// Whether a segment is not an application's, or says something that is asked for: EXIF, XMP, a profile, or what colours
/// mean.
fn is_asked_for(marker: u8, content: &[u8]) -> bool {
    match marker {
        0xe1 => content.starts_with(b"Exif\0") || content.starts_with(b"http://ns.adobe.com/xap/1.0/\0"),
        0xe2 => content.starts_with(b"ICC_PROFILE\0"),
        ADOBE => true,
        _ => !matches!(marker, APP0..=0xef),
    }
}

/// What Adobe's marker says of the colours: 0 is as they are, 1 luma and chroma, 2 the same and black.
fn colors_by_adobe(content: &[u8]) -> Option<u8> {
    content.get(11).copied().filter(|_| content.starts_with(b"Adobe"))
}

/// Where a scan's header begins, behind its marker and its length.
fn scan_header_at(whole: &[u8]) -> Option<usize> {
    let marker = whole.iter().position(|byte| *byte == START_OF_SCAN)?;
    Some(marker + 3)
}

/// Writes other numbers for components, each of which takes so many bytes.
fn renumber(components: &mut [u8], bytes: usize, old: [u8; 3], new: [u8; 3]) {
    for component in components.chunks_exact_mut(bytes) {
        let known = old
            .iter()
            .zip(new)
            .find(|(old, _)| component.first() == Some(*old));
        if let (Some((_, new)), Some(number)) = (known, component.first_mut()) {
            *number = new;
        }
    }
}
