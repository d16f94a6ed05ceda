//! The segments of a JPEG by what they are for.

use alloc::format;
use alloc::vec::Vec;

use super::item::Kind;
use super::part::{Part, Role, with_rest_of_pixels, with_trailer};
use crate::upload::jpeg::{END_OF_IMAGE, Piece, Pieces};

pub(super) fn parts(file: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::from([Part::new(file.get(..2)?, "start", Role::Picture)]);
    let mut pieces = Pieces::new(file);
    let mut ended = false;
    for piece in pieces.by_ref() {
        ended = matches!(
            piece,
            Piece::Alone {
                whole: [.., END_OF_IMAGE]
            }
        );
        parts.push(match piece {
            Piece::Segment {
                marker,
                whole,
                content,
            } => {
                let name = match marker {
                    0xe0..=0xef => format!("APP{}", marker - 0xe0),
                    0xfe => "COM".into(),
                    _ => format!("marker {marker:02x}"),
                };
                Part::new(whole, name, role(marker, content))
            }
            Piece::Scan { whole } | Piece::Alone { whole } => Part::new(whole, "scan", Role::Picture),
            Piece::Stray { whole } => {
                Part::new(whole, "between segments", Role::Removable(Kind::Private, None))
            }
        });
    }
    let rest = file.get(pieces.offset()..).unwrap_or_default();
    // An application's segment and a comment are none of pixels.
    if !ended && !matches!(rest, [] | [0xff, 0xe0..=0xef | 0xfe, ..]) {
        return Some(with_rest_of_pixels(parts, rest));
    }
    Some(with_trailer(parts, rest))
}

fn role(marker: u8, content: &[u8]) -> Role<'_> {
    match marker {
        0xe0 if content.starts_with(b"JFIF\0") && content.len() <= 16 => Role::Needed(Kind::Density),
        // An extension with a thumbnail; or a JFIF segment with one in it.
        0xe0 if content.starts_with(b"JFXX\0") || content.starts_with(b"JFIF\0") => {
            Role::Removable(Kind::Thumbnail, None)
        }
        0xe1 if content.starts_with(b"Exif\0") => Role::Exif { block: content },
        0xe1 if content.starts_with(b"http://ns.adobe.com/") => Role::Removable(Kind::Xmp, None),
        0xe2 if content.starts_with(b"ICC_PROFILE\0") => Role::Needed(Kind::Profile),
        0xed => Role::Removable(Kind::Iptc, None),
        // How the components are to be understood.
        0xee if content.starts_with(b"Adobe") => Role::Picture,
        0xe0..=0xef => Role::Removable(Kind::Private, None),
        0xfe => Role::Removable(Kind::Text, core::str::from_utf8(content).ok()),
        _ => Role::Picture,
    }
}

pub(super) fn exif_segment(block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len() + 8).unwrap_or_default();
    [b"\xff\xe1".as_slice(), &length.to_be_bytes(), b"Exif\0\0", block].concat()
}
