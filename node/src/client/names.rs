//! Names of new files, made from the names of others.

use std::path::Path;

/// The most bytes of a name in common file systems.
const MOST_BYTES: usize = 255;

/// Names that are devices in Windows, with any ending (Microsoft, "Naming Files, Paths, and Namespaces").
const DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// A name that is safe to create in a folder, made of one that a stranger chose; none if nothing usable is left.
///
/// Only the last component counts, under either separator. Control characters and characters with a meaning to file
/// systems or to a terminal become `_`; leading dots and dashes go, so that the file is neither hidden nor an option.
#[must_use]
pub fn safe(suggested: &str) -> Option<String> {
    let last = suggested.rsplit(['/', '\\']).next().unwrap_or_default();
    let replaced = last.chars().map(|character| match character {
        ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '_',
        control if control.is_control() => '_',
        other => other,
    });
    let replaced: String = replaced.collect();
    // Windows drops dots and blanks at the end.
    let name = replaced
        .trim_start_matches(['.', '-', ' '])
        .trim_end_matches(['.', ' ']);
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_lowercase();
    if name.is_empty() {
        None
    } else if DEVICES.contains(&stem.as_str()) {
        Some(shortened(&format!("_{name}"), ""))
    } else {
        Some(shortened(name, ""))
    }
}

/// Returns the name of a file without its extension, for the name of a file that is made from it.
#[must_use]
pub fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    safe(&stem).unwrap_or_else(|| "picture".to_owned())
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
    fn a_stranger_s_name_is_one_component_and_harmless() {
        for (suggested, expected) in [
            ("holiday.jpg", Some("holiday.jpg")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\Users\\bob\\beach.png", Some("beach.png")),
            ("...bashrc", Some("bashrc")),
            ("--rf.png", Some("rf.png")),
            (".-.-x", Some("x")),
            ("CON.png", Some("_CON.png")),
            ("lpt1", Some("_lpt1")),
            ("a\x1b[2J\n.png", Some("a_[2J_.png")),
            ("gnp\u{202e}exe.jpg", Some("gnp_exe.jpg")),
            ("a:b.png", Some("a_b.png")),
            ("trailing. . ", Some("trailing")),
            ("", None),
            ("..", None),
            ("photos/", None),
        ] {
            assert_eq!(safe(suggested).as_deref(), expected, "{suggested:?}");
        }
    }

    #[test]
    fn a_name_has_255_bytes_at_most_and_keeps_its_ending() {
        let long = safe(&format!("{}.jpg", "ä".repeat(200))).unwrap();
        assert!(long.len() <= 255 && long.ends_with("ä.jpg"), "{long}");
        let numbered = numbered(&long, 12);
        assert!(
            numbered.len() <= 255 && numbered.ends_with("ä-12.jpg"),
            "{numbered}"
        );
        let composed = composed(&"x".repeat(255), "_encrypted_lsb.png");
        assert!(composed.len() == 255 && composed.ends_with("x_encrypted_lsb.png"));
    }
}
