//! The chunks of a PNG by what they are for (PNG specification, third edition, §11).

use alloc::string::String;
use alloc::vec::Vec;

use super::item::Kind;
use super::part::{Part, Role, with_rest_of_pixels, with_trailer};
use crate::upload::SIGNATURE;
use crate::upload::png::{Chunk, Chunks};

#[cfg(feature = "image")]
/// Whether a decoder knows what a critical chunk means; a picture with another one cannot be shown right.
pub(crate) const fn is_known_critical(kind: &[u8; 4]) -> bool {
    matches!(kind, b"IHDR" | b"PLTE" | b"IDAT" | b"IEND")
}

pub(super) fn parts(file: &[u8]) -> Option<Vec<Part<'_>>> {
    let (signature, _) = file.split_at_checked(SIGNATURE.len())?;
    let mut parts = Vec::from([Part::new(signature, "signature", Role::Picture)]);
    let mut end = SIGNATURE.len();
    let (mut ended, mut pixels_seen) = (false, false);
    // Neither wrong checksums nor a missing end hide what a chunk is.
    for chunk in Chunks::unchecked(file).take_while(Chunk::has_name) {
        end += chunk.whole.len();
        ended = chunk.kind == *b"IEND";
        pixels_seen |= chunk.kind == *b"IDAT";
        parts.push(Part::new(
            chunk.whole,
            String::from_utf8_lossy(&chunk.kind),
            role(&chunk.kind, chunk.content),
        ));
    }
    let rest = file.get(end..).unwrap_or_default();
    // A chunk whose first letter is small is none of pixels, and neither is what follows them and is no chunk.
    let is_critical = rest.get(4).is_some_and(u8::is_ascii_uppercase);
    if !ended && (is_critical || !pixels_seen) {
        return Some(with_rest_of_pixels(parts, rest));
    }
    Some(with_trailer(parts, rest))
}

pub(super) fn role<'a>(kind: &[u8; 4], content: &'a [u8]) -> Role<'a> {
    match kind {
        b"tRNS" | b"bKGD" | b"hIST" | b"sBIT" => Role::Picture,
        b"iCCP" | b"sRGB" | b"cICP" | b"mDCV" | b"cLLI" | b"mDCv" | b"cLLi" => Role::Needed(Kind::Profile),
        b"gAMA" | b"cHRM" => Role::Needed(Kind::Gamma),
        b"pHYs" => Role::Needed(Kind::Density),
        b"acTL" | b"fcTL" | b"fdAT" => Role::Needed(Kind::Animation),
        b"eXIf" | b"zxIf" => Role::Exif { block: content },
        b"tIME" => Role::Removable(Kind::Time, None),
        b"iTXt" if content.starts_with(b"XML:com.adobe.xmp\0") => Role::Removable(Kind::Xmp, None),
        b"tEXt" | b"zTXt" | b"iTXt" => Role::Removable(Kind::Text, keyword(content)),
        // Suggested palettes with their names, offsets of pixel data, screenshots' scale, Fireworks' layers, C2PA, and whatever comes.
        kind if kind[0] & 0x20 != 0 => Role::Removable(Kind::Private, None),
        _ => Role::Picture,
    }
}

/// The keyword of a text chunk, and the text itself where it is neither compressed nor translated.
fn keyword(content: &[u8]) -> Option<&str> {
    let end = content.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(content.get(..end)?).ok()
}

pub(crate) fn chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut checked = Vec::with_capacity(content.len() + 4);
    checked.extend_from_slice(&kind);
    checked.extend_from_slice(content);
    let mut chunk = Vec::with_capacity(content.len() + 12);
    chunk.extend_from_slice(&u32::try_from(content.len()).unwrap_or_default().to_be_bytes());
    chunk.extend_from_slice(&checked);
    chunk.extend_from_slice(&crc32fast::hash(&checked).to_be_bytes());
    chunk
}
