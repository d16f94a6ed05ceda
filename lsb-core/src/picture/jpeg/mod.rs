//! JPEG: what the decoder needs of a file, and whether every block of it is there.

mod bits;
mod blocks;
mod scans;

use alloc::vec::Vec;

use crate::upload::UploadError;
use crate::upload::jpeg::{END_OF_IMAGE, Frame, NUMBER_OF_LINES, Piece, Pieces, is_frame_header};

const ADOBE: u8 = 0xee;

/// The file as the decoder understands it, after every block was found to be there.
///
/// Stray bytes between segments go, and so does a segment that stops the decoder though it says nothing; a number of
/// lines behind the first scan moves to the header, and an end marker that is missing is added.
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
    let lines = number_of_lines(file);
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
            // Adobe's marker has twelve bytes; the decoder takes others for damage.
            Piece::Segment {
                marker: ADOBE,
                content,
                ..
            } if content.len() < 12 || !content.starts_with(b"Adobe") => continue,
            Piece::Segment {
                marker: NUMBER_OF_LINES,
                ..
            } => continue,
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
                    scans.begin(frame);
                } else {
                    scans.table(marker, content)?;
                }
            }
            Piece::Scan { whole } => {
                scans.scan(whole)?;
                prepared.extend_from_slice(whole);
            }
        }
    }
    scans.end()?;
    prepared.extend([0xff, END_OF_IMAGE]);
    Ok(prepared)
}

/// The number of lines that stands behind the first scan, or zero (§B.2.5).
fn number_of_lines(file: &[u8]) -> u16 {
    let lines = Pieces::new(file).find_map(|piece| match piece {
        Piece::Segment {
            marker: NUMBER_OF_LINES,
            content,
            ..
        } => content.first_chunk().map(|lines| u16::from_be_bytes(*lines)),
        _ => None,
    });
    lines.unwrap_or(0)
}
