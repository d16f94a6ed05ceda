//! Command lines to paste: quotes a word for a shell, and a file name for `replay`.

use std::path::Path;

use super::subject::Subject;
use super::{Command, scenario};
use crate::Profile;

/// Quotes a word so that a POSIX shell reads it back.
pub(super) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Writes a file name where a seed or a scenario could stand as well. A name that would be taken for either, or for an
/// option, gets its folder.
pub(super) fn file(path: &Path) -> String {
    let name = path.display().to_string();
    let is_mistaken = name.starts_with('-') || name.parse::<u64>().is_ok() || scenario::text(&name).is_some();
    word(&match is_mistaken {
        true => format!("./{name}"),
        false => name,
    })
}

/// Returns the options that must follow a seed so that it gives the same schedule.
pub(super) fn words_of_seed(profile: Profile, subject: &dyn Subject, command: &Command) -> String {
    let profile = match profile {
        Profile::Swarm => String::new(),
        other => format!(" --profile {}", other.name()),
    };
    let is_first = command
        .subject(None)
        .is_some_and(|first| first.name() == subject.name());
    let workload = match is_first {
        true => String::new(),
        false => format!(" --workload {}", word(subject.name())),
    };
    profile + &workload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        for (name, pasted) in [
            ("night/seed-7.toml", "night/seed-7.toml"),
            ("two words.toml", "'two words.toml'"),
            ("$HOME", "'$HOME'"),
            ("~", "'~'"),
            ("it's", r"'it'\''s'"),
            ("4711", "./4711"),
            ("power_cut", "./power_cut"),
            ("-case.toml", "./-case.toml"),
            ("-a case.toml", "'./-a case.toml'"),
        ] {
            assert_eq!(file(Path::new(name)), pasted);
        }
        assert_eq!(word(""), "''");
        assert_eq!(word("4711"), "4711");
    }
}
