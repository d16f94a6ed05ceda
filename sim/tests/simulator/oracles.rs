//! Every oracle has a test that feeds it a violation and sees it reported.

use std::fs;
use std::path::{Path, PathBuf};

use sim::Oracle;

/// The names of all functions right after `#[test]` in the Rust files under a folder.
fn tests_under(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            tests_under(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("the file can be read");
            let lines: Vec<&str> = source.lines().map(str::trim).collect();
            let functions = lines.windows(2).filter(|pair| pair[0] == "#[test]");
            names.extend(
                functions.filter_map(|pair| Some(pair[1].strip_prefix("fn ")?.split('(').next()?.to_owned())),
            );
        }
    }
}

#[test]
fn every_oracle_has_a_test_that_feeds_it_a_violation() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut names = Vec::new();
    tests_under(&root.join("src"), &mut names);
    tests_under(&root.join("tests"), &mut names);
    assert!(names.len() > 60, "the tests are found");
    for oracle in Oracle::ALL {
        let prefix = format!("{oracle}_reports_").to_lowercase();
        assert!(
            names.iter().any(|name| name.starts_with(&prefix)),
            "no test is called {prefix}…: feed {oracle} a violation and see it reported"
        );
    }
}
