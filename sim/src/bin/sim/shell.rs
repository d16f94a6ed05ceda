//! Command lines to paste: quotes a word for a shell, and a file name for `sim replay`.

use std::path::Path;

use crate::ProfileName;
use crate::workload::{WorkloadName, scenario};

/// Quotes a word so that a POSIX shell reads it back.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Writes a file name where a seed or a scenario could stand as well. A name that would be taken for either, or for an
/// option, gets its folder.
pub(crate) fn file(path: &Path) -> String {
    let name = path.display().to_string();
    let is_mistaken = name.starts_with('-') || name.parse::<u64>().is_ok() || scenario(&name).is_some();
    word(&match is_mistaken {
        true => format!("./{name}"),
        false => name,
    })
}

/// Returns the options that must follow a seed so that it gives the same schedule.
pub(crate) fn words_of_seed(profile: ProfileName, workload: WorkloadName) -> String {
    let profile = match profile {
        ProfileName::Swarm => String::new(),
        other => format!(" --profile {}", other.name()),
    };
    let workload = match workload {
        WorkloadName::Kv => "",
        WorkloadName::Ledger => " --workload ledger",
    };
    profile + workload
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
