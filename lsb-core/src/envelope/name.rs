//! User names: short, ASCII, and one spelling each.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// The most characters a name may have.
pub const LONGEST_NAME: usize = 32;
/// The fewest.
pub const SHORTEST_NAME: usize = 2;

/// Why a text is not a user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing at all, or a single character.
    #[error("a user name has at least {SHORTEST_NAME} characters, this one has {characters}")]
    TooShort {
        /// How many it has.
        characters: usize,
    },
    /// More than the limit.
    #[error("a user name has at most {LONGEST_NAME} characters, this one has {characters}")]
    TooLong {
        /// How many it has.
        characters: usize,
    },
    /// A slash or backslash: a name is never part of a path.
    #[error(
        "a user name must not contain a slash or a backslash, this one has {character:?} at place {place}"
    )]
    Slash {
        /// Which of them.
        character: char,
        /// Where, counted from 1.
        place: usize,
    },
    /// A newline, a tab, an escape: a name must not forge a line of a log.
    #[error(
        "a user name must not contain line breaks or control characters, this one has {character:?} at place {place}"
    )]
    Control {
        /// Which of them.
        character: char,
        /// Where, counted from 1.
        place: usize,
    },
    /// A letter outside ASCII, which may look like another one.
    #[error(
        "a user name is written in the letters a to z; {character:?} (U+{code:04X}) at place {place} only looks \
         similar or belongs to another alphabet", code = *character as u32
    )]
    LookAlike {
        /// The character.
        character: char,
        /// Where, counted from 1.
        place: usize,
    },
    /// A name may not start with a dot, a dash or an underscore.
    #[error("a user name starts with a letter or a digit, this one with {character:?}")]
    Start {
        /// What it starts with.
        character: char,
    },
    /// Any other ASCII character: a blank, a quote, a colon.
    #[error(
        "a user name consists of letters, digits, dots, dashes and underscores, this one has {character:?} at \
         place {place}"
    )]
    Character {
        /// The character.
        character: char,
        /// Where, counted from 1.
        place: usize,
    },
    /// A stored name that is not in the form that is stored.
    #[error("a stored user name is in lower case, this one is not")]
    NotFolded,
}

/// A user's name: `[a-z0-9][a-z0-9._-]{1,31}`.
///
/// ```
/// use lsb_core::envelope::UserName;
///
/// assert_eq!(UserName::parse("Alice")?.as_str(), "alice");
/// assert!(UserName::parse("alice/../bob").is_err());
/// assert!(UserName::parse("аlice").is_err()); // a Cyrillic а
/// # Ok::<(), lsb_core::envelope::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "String", try_from = "String"))]
pub struct UserName(String);

impl UserName {
    /// Reads a name as a person types it: ASCII capitals are folded to lower case.
    ///
    /// # Errors
    ///
    /// [`NameError`], which names the first character that does not belong and its place.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // What a character is comes before how many there are, so that a name with a slash is
        // told about the slash, and a look-alike about the letter.
        for (index, character) in text.chars().enumerate() {
            check_character(character, index + 1)?;
        }
        let characters = text.len();
        if characters < SHORTEST_NAME {
            return Err(NameError::TooShort { characters });
        }
        if characters > LONGEST_NAME {
            return Err(NameError::TooLong { characters });
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// Reads a name that a program stored, which is folded already: one spelling per name.
    ///
    /// # Errors
    ///
    /// As [`UserName::parse`], and [`NameError::NotFolded`] for capitals.
    pub fn parse_stored(text: &str) -> Result<Self, NameError> {
        let name = Self::parse(text)?;
        if name.0 == text {
            Ok(name)
        } else {
            Err(NameError::NotFolded)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The length of the name in bytes, which is at most [`LONGEST_NAME`].
    pub(crate) fn length_byte(&self) -> u8 {
        u8::try_from(self.0.len()).unwrap_or(u8::MAX)
    }
}

fn check_character(character: char, place: usize) -> Result<(), NameError> {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Ok(()),
        '.' | '-' | '_' if place > 1 => Ok(()),
        '.' | '-' | '_' => Err(NameError::Start { character }),
        '/' | '\\' => Err(NameError::Slash { character, place }),
        // U+2028 and U+2029 break lines without being control characters.
        '\u{2028}' | '\u{2029}' => Err(NameError::Control { character, place }),
        _ if character.is_control() => Err(NameError::Control { character, place }),
        _ if !character.is_ascii() => Err(NameError::LookAlike { character, place }),
        _ => Err(NameError::Character { character, place }),
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for UserName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse_stored(&text)
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl AsRef<str> for UserName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&UserName> for String {
    fn from(name: &UserName) -> Self {
        name.0.to_owned()
    }
}
