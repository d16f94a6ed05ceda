//! Names of new files, made from the names of others.

use std::path::Path;

use lsb_core::FileName;

/// The most bytes of a name in common file systems.
const MOST_BYTES: usize = 255;

/// Returns the name of a file without its extension, for the name of a file that is made from it.
///
/// Characters that [`FileName`] refuses, and those with a meaning to a shell or to Windows, become `_`; leading dots
/// and dashes go, so that the new file is neither hidden nor an option.
#[must_use]
pub fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_harmless = |letter: char| {
        !r#"*?"<>|/\"#.contains(letter) && FileName::from_untrusted(&format!("x{letter}x")).is_some()
    };
    let replaced = stem
        .chars()
        .map(|letter| if is_harmless(letter) { letter } else { '_' });
    let replaced: String = replaced.collect();
    let trimmed = replaced.trim_start_matches(['.', '-', ' ']);
    let name = shortened(trimmed, "");
    // What is left to be refused is the name of a device, a blank at an end, or nothing at all.
    [name.clone(), format!("_{}", name.trim_end_matches(['.', ' ']))]
        .into_iter()
        .find(|name| name != "_" && FileName::from_untrusted(name).is_some())
        .unwrap_or_else(|| "picture".to_owned())
}

/// Appends to a stem, which is shortened if the name would be too long.
#[must_use]
pub fn composed(stem: &str, rest: &str) -> String {
    shortened(&format!("{stem}{rest}"), rest)
}

/// Returns the name to try when the earlier ones are taken: `a.png`, `a-2.png`, `a-3.png`.
pub(super) fn numbered(name: &str, number: u32) -> String {
    if number <= 1 {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    composed(stem, &format!("-{number}{extension}"))
}

/// Splits a name into its stem and its extension with the dot.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 16 => name.split_at(dot),
        _ => (name, ""),
    }
}

/// Removes characters before the kept end until the name is short enough.
fn shortened(name: &str, kept: &str) -> String {
    if name.len() <= MOST_BYTES {
        return name.to_owned();
    }
    let kept = if kept.is_empty() { split(name).1 } else { kept };
    let room = MOST_BYTES.saturating_sub(kept.len());
    let mut end = room.min(name.len() - kept.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{kept}", name.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_is_harmless() {
        for (path, expected) in [
            ("folder/holiday.jpg", "holiday"),
            ("two words.v2.png", "two words.v2"),
            (".bashrc", "bashrc"),
            ("--rf.png", "rf"),
            ("CON.png", "_CON"),
            ("lpt1", "_lpt1"),
            ("a\x1b[2J\n.png", "a_[2J_"),
            ("gnp\u{202e}exe.jpg", "gnp_exe"),
            ("a:b?.png", "a_b_"),
            ("trailing .png", "_trailing"),
            ("---.png", "picture"),
            ("-", "picture"),
            ("..", "picture"),
        ] {
            assert_eq!(stem(Path::new(path)), expected, "{path:?}");
        }
    }

    #[test]
    fn a_name_has_255_bytes_at_most_and_keeps_its_ending() {
        let long = composed(&"ä".repeat(200), ".jpg");
        assert!(long.len() <= 255 && long.ends_with("ä.jpg"), "{long}");
        assert!(stem(Path::new(&"ä".repeat(200))).len() <= 255);
        let numbered = numbered(&long, 12);
        assert!(
            numbered.len() <= 255 && numbered.ends_with("ä-12.jpg"),
            "{numbered}"
        );
        let composed = composed(&"x".repeat(255), "_encrypted_lsb.png");
        assert!(composed.len() == 255 && composed.ends_with("x_encrypted_lsb.png"));
    }
}
