//! Interaction scripts: commands to a small cluster, and below each its output. The file names are an index of
//! behaviours.
//!
//! A script is a text file: `#` begins a comment, an unindented line is a command (`commands.rs` lists them), indented
//! lines are its output and are compared literally. After a change that is meant to show, regenerate them and read the
//! difference:
//!
//! ```text
//! UPDATE_SCRIPTS=1 cargo test -p raft-core --test scripts
//! ```

mod commands;
#[path = "../support/mod.rs"]
mod support;
mod words;
mod world;

use std::fs;
use std::path::PathBuf;

use world::World;

fn scripts() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = fs::read_dir(&folder).expect("the folder of the scripts is there");
    let files = entries.map(|entry| entry.expect("it can be listed").path());
    let mut scripts: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    scripts
}

/// The same script with the output that its commands now give.
fn played(script: &str) -> Result<String, String> {
    let mut world = World::default();
    let mut text = String::new();
    for (number, line) in script.lines().enumerate() {
        if line.starts_with(' ') {
            continue;
        }
        text.push_str(line);
        text.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |error| format!("{}: {error}", number + 1);
        commands::carry_out(&mut world, line).map_err(at)?;
        for news in world.news.drain(..) {
            text.push_str(&format!("    {news}\n"));
        }
    }
    Ok(text)
}

/// The first mistake in a script, if there is one.
fn judge(path: &PathBuf, update: bool) -> Result<(), String> {
    let name = path.display();
    let script = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    if !script.starts_with("# ") {
        return Err(format!("{name}:1: a script begins with its purpose in a comment"));
    }
    let played = played(&script).map_err(|error| format!("{name}:{error}"))?;
    if played == script {
        return Ok(());
    }
    if update {
        return fs::write(path, played).map_err(|error| format!("{name}: {error}"));
    }
    let lines = script.lines().zip(played.lines());
    let same = lines.take_while(|(one, other)| one == other).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("the end").to_string();
    Err(format!(
        "{name}:{}: the script says\n{}\nand this happened\n{}",
        same + 1,
        line(&script),
        line(&played)
    ))
}

#[test]
fn every_script_gives_the_output_written_in_it() {
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let scripts = scripts();
    assert!(scripts.len() >= 35, "the scripts are found");
    let wrong = scripts.iter().filter_map(|path| {
        // Seen if the core itself panics.
        println!("{}", path.display());
        judge(path, update).err()
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_command_that_does_not_exist_is_an_error_with_its_line() {
    let error = played("# Nonsense.\n\ncluster 3\nfrobnicate 1\n").expect_err("there is no such command");
    assert!(error.starts_with("4: "), "{error}");
}
