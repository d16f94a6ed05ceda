//! `docs/versions.md` says of every public type whether it is exhaustive on purpose. A new type is put into that table
//! when it is made, and not when somebody's match on it breaks.

#![expect(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether each public enum, and each public struct with public fields, is exhaustive.
fn types_in_sources() -> BTreeMap<String, bool> {
    let mut types = BTreeMap::new();
    let mut folders = vec![root().join("raft-core/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("planted.rs") {
                types.extend(types_of(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    types
}

fn types_of(source: &str) -> Vec<(String, bool)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut types = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let rest = line
            .strip_prefix("pub enum ")
            .or_else(|| line.strip_prefix("pub struct "));
        let Some(rest) = rest.filter(|rest| rest.ends_with('{')) else {
            continue;
        };
        let mut body = lines[at + 1..].iter().take_while(|line| **line != "}");
        if line.starts_with("pub struct ") && !body.any(|line| line.starts_with("    pub ")) {
            continue;
        }
        let name: String = rest
            .chars()
            .take_while(|letter| letter.is_alphanumeric())
            .collect();
        let before = lines[..at].iter().rev();
        let mut attributes = before.take_while(|line| line.starts_with("#[") || line.starts_with("///"));
        let is_exhaustive = !attributes.any(|line| *line == "#[non_exhaustive]");
        types.push((name, is_exhaustive));
    }
    types
}

/// What the page says of each.
fn types_on_the_page() -> BTreeMap<String, bool> {
    let page = fs::read_to_string(root().join("docs/versions.md")).unwrap();
    let (_, section) = page.split_once("## Types of the crate").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut types = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let mut columns = row.split(" | ");
        let (names, kind) = (columns.next().unwrap(), columns.next().unwrap());
        let is_exhaustive = match kind {
            "exhaustive" => true,
            "`#[non_exhaustive]`" => false,
            // A trait.
            "sealed" => continue,
            other => panic!("{other} is no kind of type"),
        };
        let names = names.split('`').skip(1).step_by(2);
        types.extend(names.map(|name| (name.to_owned(), is_exhaustive)));
    }
    types
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn the_page_of_versions_says_of_every_public_type_whether_it_is_exhaustive() {
    let sources = types_in_sources();
    assert!(
        sources.len() > 40,
        "only {} public types were found",
        sources.len()
    );
    assert_eq!(
        sources,
        types_on_the_page(),
        "the sources on the left, the page on the right"
    );
}
