//! The blocks of a GIF by what they are for (GIF89a specification, §15 to §27).

use alloc::vec::Vec;

use super::item::Kind;
use super::part::{Part, Role, with_rest_of_pixels, with_trailer};
use crate::upload::gif::{Block, Blocks, IMAGE};

pub(super) fn parts(file: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut blocks = Blocks::new(file).ok()?;
    let mut parts = Vec::from([Part::new(file.get(..blocks.offset())?, "header", Role::Picture)]);
    let mut end = blocks.offset();
    while let Ok(Some(block)) = blocks.next_block() {
        end = blocks.offset();
        parts.push(match block {
            Block::Image { whole } | Block::Trailer { whole } => Part::new(whole, "image", Role::Picture),
            Block::Stray { whole } => {
                Part::new(whole, "between blocks", Role::Removable(Kind::Private, None))
            }
            Block::Extension { label, whole } => {
                // A block of eleven bytes names the application.
                let application = whole.get(3..14).unwrap_or_default();
                match label {
                    0xf9 => Part::new(whole, "graphic control", Role::Picture),
                    0x01 => Part::new(whole, "plain text", Role::Picture),
                    0xff if application == b"NETSCAPE2.0" || application == b"ANIMEXTS1.0" => {
                        Part::new(whole, "loop", Role::Needed(Kind::Animation))
                    }
                    0xff if application == b"ICCRGBG1012" => {
                        Part::new(whole, "profile", Role::Needed(Kind::Profile))
                    }
                    0xff if application == b"XMP DataXMP" => {
                        Part::new(whole, "XMP", Role::Removable(Kind::Xmp, None))
                    }
                    0xfe => {
                        let text = whole.get(3..3 + usize::from(*whole.get(2)?));
                        let text = text.and_then(|text| core::str::from_utf8(text).ok());
                        Part::new(whole, "comment", Role::Removable(Kind::Text, text))
                    }
                    _ => Part::new(whole, "application", Role::Removable(Kind::Private, None)),
                }
            }
        });
    }
    let rest = file.get(end..).unwrap_or_default();
    if !blocks.has_ended() && rest.first() == Some(&IMAGE) {
        return Some(with_rest_of_pixels(parts, rest));
    }
    Some(with_trailer(parts, rest))
}
