//! Keeps `docs/rules.md` true: everything that it names exists, and no rule's test is missing from it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The files whose every test is the test of a rule.
const RULE_FILES: [&str; 28] = [
    "allocation",
    "elections",
    "replication",
    "commitment",
    "persistence",
    "snapshots",
    "snapshot_writes",
    "catching_up",
    "replica",
    "reads",
    "sessions",
    "proposals",
    "first_start",
    "identities",
    "boots",
    "restore",
    "leadership_transfer",
    "halting",
    "levels",
    "membership",
    "limits",
    "leases",
    "clocks",
    "forwarding",
    "stalled_disk",
    "witnesses",
    "trace",
    "model",
];

fn crate_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder with this ending.
fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.expect("it can be listed").path());
    files
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// The source of a test, which is a file or all files of a folder.
fn test_source(file: &str) -> String {
    let tests = crate_root().join("tests");
    let folder = tests.join(file);
    if folder.is_dir() {
        files_in(&folder, "rs").iter().map(|path| read(path)).collect()
    } else {
        read(&folder.with_extension("rs"))
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("docs/rules.md names {}: {error}", path.display()))
}

/// The names in backticks in the given column of every row of every table.
fn named_in_column(column: usize) -> Vec<String> {
    let rules = read(&crate_root().join("../docs/rules.md"));
    let rows = rules
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'));
    let cells = rows.map(|row| {
        row.split('|')
            .nth(column)
            .expect("a row has four columns")
            .to_string()
    });
    let names = cells.flat_map(|cell| {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_string)
            .collect::<Vec<_>>()
    });
    let names: Vec<String> = names.collect();
    assert!(names.len() > 50, "the tables are read");
    names
}

fn split(name: &str) -> (&str, &str) {
    name.rsplit_once("::")
        .unwrap_or_else(|| panic!("{name} is no `file::name`"))
}

/// The functions of a file that directly follow `#[test]`.
fn tests_in(source: &str) -> BTreeSet<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let tests = lines.windows(2).filter(|pair| pair[0] == "#[test]");
    tests
        .filter_map(|pair| Some(pair[1].strip_prefix("fn ")?.split('(').next()?.to_string()))
        .collect()
}

#[test]
fn every_function_that_the_rules_name_exists() {
    for name in named_in_column(3) {
        let (file, function) = split(&name);
        let source = read(&crate_root().join("src").join(file));
        assert!(
            source.contains(&format!("fn {function}(")) || source.contains(&format!("fn {function}<")),
            "docs/rules.md names {name}, which does not exist"
        );
    }
}

#[test]
fn every_test_that_the_rules_name_exists() {
    for name in named_in_column(4) {
        let (file, test) = split(&name);
        let source = match file.strip_prefix("src/") {
            Some(_) => read(&crate_root().join(file)),
            None => test_source(file),
        };
        assert!(
            tests_in(&source).contains(test),
            "docs/rules.md names {name}, which does not exist"
        );
    }
}

#[test]
fn every_test_of_a_rule_is_named_by_the_rules() {
    let named: BTreeSet<String> = named_in_column(4).into_iter().collect();
    for file in RULE_FILES {
        for test in tests_in(&test_source(file)) {
            let name = format!("{file}::{test}");
            assert!(named.contains(&name), "docs/rules.md does not name {name}");
        }
    }
}

#[test]
fn every_script_is_listed_and_every_listed_script_exists() {
    let rules = read(&crate_root().join("../docs/rules.md"));
    let (_, section) = rules
        .split_once("\n## Scripts\n")
        .expect("docs/rules.md has a section about scripts");
    let rows = section.lines().take_while(|line| !line.starts_with("## "));
    let listed: Vec<&str> = rows
        .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
        .collect();
    let mut scripts = files_in(&crate_root().join("tests/scripts"), "txt");
    scripts.sort();
    let there: Vec<_> = scripts
        .iter()
        .filter_map(|path| path.file_stem()?.to_str())
        .collect();
    assert_eq!(listed, there, "docs/rules.md lists the scripts in their order");
}
