//! Where planted bugs are in the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sim::planted::Bug;

/// Checks that each bug has a name of its own, and a sentence.
pub(crate) fn are_described(bugs: impl Iterator<Item = &'static Bug>) {
    let mut names = BTreeSet::new();
    for bug in bugs {
        assert!(names.insert(bug.name), "two bugs are called {}", bug.name);
        let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(bug.name.chars().all(kebab), "{} is not in kebab case", bug.name);
        assert!(bug.sentence.ends_with('.'), "{} has no sentence", bug.name);
    }
}

/// The sources below this folder, without the banks themselves.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("planted.rs")
        {
            into.push_str(&std::fs::read_to_string(&path).expect("the file can be read"));
        }
    }
}

/// The bug that each site of this form names, in sources without their comments. The definitions of the macros name
/// none: they have `$bug` in its place.
fn named_by<'a>(text: &'a str, form: &str) -> Vec<&'a str> {
    let sites = text.match_indices(form).filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    let named = sites.filter_map(|(at, _)| {
        let inside = within_parentheses(&text[at + form.len()..]);
        let name = match form {
            "plant!(" => inside
                .rmatch_indices("=>")
                .filter_map(|(arrow, _)| inside[..arrow].rsplit(',').next())
                .map(str::trim)
                .find(|name| is_constant(name))
                .unwrap_or_else(|| panic!("no bug is named in {form}{inside})")),
            // The module of a bank may stand before the name.
            _ => {
                let named = inside.split(',').next().unwrap_or_default().trim();
                named.rsplit("::").next().unwrap_or(named)
            }
        };
        (name != "$bug").then_some(name)
    });
    named.collect()
}

/// The text up to the parenthesis that closes the one before it.
fn within_parentheses(text: &str) -> &str {
    let mut open = 1;
    let end = text.find(|c: char| {
        open += i32::from(c == '(') - i32::from(c == ')');
        open == 0
    });
    &text[..end.expect("every parenthesis is closed")]
}

fn is_constant(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name == "$bug" || (!name.is_empty() && name.chars().all(is_part))
}

/// Checks that each of these bugs is at exactly one site in the sources below these folders, and each site has one of
/// these bugs.
pub(crate) fn are_exactly(bugs: impl Iterator<Item = &'static Bug>, folders: &[PathBuf]) {
    let mut text = String::new();
    for folder in folders {
        sources(folder, &mut text);
    }
    let constants = bugs.map(|bug| bug.name.to_uppercase().replace('-', "_"));
    let mut expected: Vec<String> = constants.collect();
    expected.sort();
    let words: Vec<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    for constant in &expected {
        let sites = words.iter().filter(|word| *word == constant).count();
        assert_eq!(sites, 1, "sites of {constant}");
    }
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let forms = ["plant!(", "unless_planted!(", "planted!("];
    let mut found: Vec<&str> = forms.iter().flat_map(|form| named_by(&code, form)).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "what the macros name, and the banks");
}
