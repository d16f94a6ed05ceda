//! The chunks of a WebP by what they are for (RFC 9649).

use alloc::string::String;
use alloc::vec::Vec;

use super::item::Kind;
use super::part::{Part, Role, with_rest_of_pixels, with_trailer};
use crate::upload::webp::Chunks;

/// The flags of the extended header (§2.7) that say EXIF and XMP are there.
const EXIF: u8 = 0b0000_1000;
const XMP: u8 = 0b0000_0100;

pub(super) fn parts(file: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::from([Part::new(file.get(..12)?, "RIFF", Role::Picture)]);
    let mut chunks = Chunks::new(file);
    for chunk in chunks.by_ref() {
        let role = match &chunk.kind {
            b"VP8X" | b"VP8 " | b"VP8L" | b"ALPH" => Role::Picture,
            b"ANIM" | b"ANMF" => Role::Needed(Kind::Animation),
            b"ICCP" => Role::Needed(Kind::Profile),
            b"EXIF" => Role::Exif { block: chunk.content },
            b"XMP " => Role::Removable(Kind::Xmp, None),
            _ => Role::Removable(Kind::Private, None),
        };
        parts.push(Part::new(chunk.whole, String::from_utf8_lossy(&chunk.kind), role));
    }
    let rest = file.get(chunks.offset()..).unwrap_or_default();
    // Behind the length that the file gives, whatever it looks like is no chunk.
    let kind = rest.first_chunk().filter(|_| chunks.is_cut());
    if matches!(kind, Some(b"VP8 " | b"VP8L" | b"ALPH" | b"ANMF")) {
        return Some(with_rest_of_pixels(parts, rest));
    }
    Some(with_trailer(parts, rest))
}

pub(super) fn chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = Vec::from(kind);
    chunk.extend_from_slice(&u32::try_from(content.len()).unwrap_or_default().to_le_bytes());
    chunk.extend_from_slice(content);
    if content.len() % 2 == 1 {
        chunk.push(0);
    }
    chunk
}

/// Makes the length and the flags say what is there.
pub(super) fn mend(file: &mut [u8]) {
    let has_exif = Chunks::new(file).any(|chunk| chunk.kind == *b"EXIF");
    let length = u32::try_from(file.len().saturating_sub(8)).unwrap_or(u32::MAX);
    if let Some(field) = file.get_mut(4..8) {
        field.copy_from_slice(&length.to_le_bytes());
    }
    if file.get(12..16) == Some(b"VP8X")
        && let Some(flags) = file.get_mut(20)
    {
        *flags &= !(EXIF | XMP);
        *flags |= if has_exif { EXIF } else { 0 };
    }
}
