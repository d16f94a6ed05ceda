//! The name of a file, as far as it can be trusted.

use core::fmt;

use alloc::format;
use alloc::string::String;

use crate::upload::MediaType;

/// A file's name that can be created in a folder without harm, on every system.
///
/// Names travel with sealed pictures, and whoever sealed one chose its name: it is a stranger's. This type holds only
/// what [`FileName::from_untrusted`] lets through. It is a name and never a path. It does not say that no file has it
/// already: whoever writes one refuses to overwrite, and to follow a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// The most bytes of a name, which is what common file systems take.
    pub const MOST_BYTES: usize = 255;

    /// The last component of a stranger's path, if it is a safe name. Nothing is replaced or cut short: a name is
    /// safe as it is, or there is none.
    ///
    /// Refused are
    ///
    /// * an empty name, and one of more than [`FileName::MOST_BYTES`] bytes in UTF-8;
    /// * control characters, which a terminal carries out, and characters that turn the direction of writing or have
    ///   no width, which show one name and mean another;
    /// * a leading dot, which hides a file or climbs out of its folder, and a leading dash, which programs take for
    ///   an option;
    /// * what Windows reads as something else: names of devices with any ending (`NUL`, `com1.png`), a colon, which
    ///   names a drive or a stream, and a dot or a space at the end, which it drops. White space at the start goes with it.
    ///
    /// Both `/` and `\` separate components, whatever the system.
    ///
    /// ```
    /// use lsb_core::FileName;
    ///
    /// let name = FileName::from_untrusted(r"C:\Users\alice\Sommer 2026.jpg").unwrap();
    /// assert_eq!(name.as_str(), "Sommer 2026.jpg");
    /// for stranger in ["../.bashrc", "-rf", "nul.png", "a\u{1b}[2J.png", "photos/", ""] {
    ///     assert_eq!(FileName::from_untrusted(stranger), None);
    /// }
    /// ```
    #[must_use]
    pub fn from_untrusted(path: &str) -> Option<Self> {
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let is_safe = !name.is_empty()
            && name.len() <= Self::MOST_BYTES
            && !name.starts_with(['.', '-'])
            && !name.ends_with('.')
            && name.trim() == name
            && !name.chars().any(|letter| letter == ':' || is_deceptive(letter))
            && !is_device(name);
        is_safe.then(|| Self(name.into()))
    }

    /// The name, as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that ends as files of `format` do: this one, or with the usual ending added. So a picture is never
    /// written under the name of a program. `None` if there is no room for the ending.
    ///
    /// ```
    /// use lsb_core::{FileName, upload::MediaType};
    ///
    /// let named = |name| FileName::from_untrusted(name).unwrap().for_format(MediaType::Jpeg).unwrap();
    /// assert_eq!(named("a.JPEG").as_str(), "a.JPEG");
    /// assert_eq!(named("a.exe").as_str(), "a.exe.jpg");
    /// ```
    #[must_use]
    pub fn for_format(self, format: MediaType) -> Option<Self> {
        let ending = self.0.rsplit_once('.').map_or("", |(_, ending)| ending);
        let extensions = format.extensions();
        if extensions.iter().any(|known| ending.eq_ignore_ascii_case(known)) {
            return Some(self);
        }
        Self::from_untrusted(&format!("{}.{}", self.0, format.extension()))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for FileName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Characters that a person does not see, or that move those that they see: controls, ends of lines and paragraphs,
/// marks and overrides of direction (Unicode Standard Annex 9), and those without width. The joiners stay, without
/// which some scripts cannot be written.
fn is_deceptive(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Whether Windows opens a device under this name, whatever folder it is in and whatever comes after its first dot.
fn is_device(name: &str) -> bool {
    const DEVICES: [&str; 7] = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"];
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let is_port = |prefix: &str| {
        let number = stem
            .get(..prefix.len())
            .filter(|start| start.eq_ignore_ascii_case(prefix))
            .and_then(|_| stem.get(prefix.len()..))
            .unwrap_or_default();
        let mut letters = number.chars();
        let first = letters.next();
        // The superscripts count as digits to Windows.
        letters.next().is_none() && first.is_some_and(|digit| digit.is_ascii_digit() || "¹²³".contains(digit))
    };
    DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) || is_port("com") || is_port("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe(path: &str) -> Option<String> {
        FileName::from_untrusted(path).map(|name| name.0)
    }

    #[test]
    fn the_last_component_is_the_name() {
        for (path, name) in [
            ("photo.jpg", "photo.jpg"),
            ("/etc/../passwd", "passwd"),
            (r"..\..\Windows\system32\a.dll", "a.dll"),
            (r"/a\b/c d.png", "c d.png"),
            ("Größe 1 (2).jpeg", "Größe 1 (2).jpeg"),
            ("日本.webp", "日本.webp"),
            ("👩\u{200d}🚀.png", "👩\u{200d}🚀.png"),
            ("console.png", "console.png"),
            ("com10.png", "com10.png"),
            ("comb", "comb"),
            ("lptx", "lptx"),
            ("a-b..c", "a-b..c"),
            ("~user", "~user"),
        ] {
            assert_eq!(safe(path).as_deref(), Some(name), "{path}");
        }
    }

    #[test]
    fn what_harms_somewhere_is_no_name() {
        for path in [
            "",
            ".",
            "..",
            "/",
            "a/",
            "a\\",
            "a/..",
            ".hidden",
            "-",
            "--help",
            "a.",
            "a ",
            " a",
            "a\u{a0}",
            "a\nb",
            "a\rb",
            "a\0b",
            "\u{1b}[2J",
            "a\u{7f}",
            "a\u{9b}2J",
            "a:b",
            "C:",
            "a\u{202e}gpj.exe",
            "a\u{200b}b",
            "a\u{2066}b",
            "\u{feff}a",
            "a\u{2028}b",
            "a\u{e0041}b",
            "con",
            "CON",
            "Con.png",
            "nul.tar.gz",
            "aux .txt",
            "prn",
            "COM1",
            "com1.png",
            "lpt9",
            "lpt0",
            "com²",
            "LPT³.jpg",
            "conin$",
            "CONOUT$.x",
            "clock$",
        ] {
            assert_eq!(safe(path), None, "{path:?}");
        }
    }

    #[test]
    fn a_name_has_255_bytes_at_most() {
        let longest = "ä".repeat(127) + "b";
        assert_eq!(safe(&longest).as_deref(), Some(longest.as_str()));
        assert_eq!(safe(&(longest.clone() + "c")), None);
        // However long the path before it is.
        assert_eq!(
            safe(&("d/".repeat(1000) + &longest)).as_deref(),
            Some(longest.as_str())
        );
        let name = FileName::from_untrusted(&longest).unwrap();
        assert_eq!(name.for_format(MediaType::Png), None);
    }

    #[test]
    fn a_name_is_its_own_last_component() {
        for path in ["a", "x/photo.jpg", "Größe 1.png"] {
            let name = FileName::from_untrusted(path).unwrap();
            assert_eq!(FileName::from_untrusted(name.as_str()), Some(name));
        }
    }

    #[test]
    fn endings_are_those_of_the_format() {
        for (name, format, expected) in [
            ("a.png", MediaType::Png, "a.png"),
            ("a.PNG", MediaType::Png, "a.PNG"),
            ("a", MediaType::Png, "a.png"),
            ("png", MediaType::Png, "png.png"),
            ("a.tiff", MediaType::Tiff, "a.tiff"),
            ("a.jpg", MediaType::Png, "a.jpg.png"),
            ("a.desktop", MediaType::Heic, "a.desktop.heic"),
            ("a.heif", MediaType::Heic, "a.heif"),
            ("a.avif", MediaType::Avif, "a.avif"),
        ] {
            let name = FileName::from_untrusted(name)
                .unwrap()
                .for_format(format)
                .unwrap();
            assert_eq!(name.as_str(), expected);
        }
    }
}
