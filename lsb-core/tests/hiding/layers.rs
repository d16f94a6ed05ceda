//! No two modules import each other, however far around: those above know those below, and never the other way.
//!
//! Read off the imports as they stand in the source: `use`, and paths that are written out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's path below the crate: `["seal", "stream"]`. The crate's root is no module here: it only hands names on.
type Module = Vec<String>;
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// The text of every module.
fn sources(folder: &Path, above: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let below = || [above.as_slice(), &[stem.to_owned()]].concat();
        if path.is_dir() {
            sources(&path, &below(), found);
        } else if stem != "lib" {
            let module = if stem == "mod" { above.clone() } else { below() };
            found.insert(module, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The code without comments and unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths in `a::{b, c::{d, e}}`.
fn spread(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((start, inside)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.to_owned()];
    };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let (mut branches, mut depth) = (vec![String::new()], 0);
    for letter in inside.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(String::new());
                continue;
            }
            _ => (),
        }
        branches.last_mut().unwrap().push(letter);
    }
    let branches = branches.iter().filter(|branch| !branch.trim().is_empty());
    branches
        .flat_map(|branch| spread(&format!("{start}{}", branch.trim())))
        .collect()
}

/// Every path in a module's code: imported, or written out.
fn paths(code: &str) -> Vec<String> {
    let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let mut paths = Vec::new();
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let line = statement.rfind("use ").filter(|at| {
            let before = statement[..*at].lines().next_back().unwrap_or_default();
            matches!(before.trim(), "" | "pub" | "pub(crate)" | "pub(super)")
        });
        match line {
            Some(at) => {
                paths.extend(spread(statement[at + 4..].trim_end_matches(';')));
                rest.push_str(&statement[..at]);
            }
            None => rest.push_str(statement),
        }
    }
    let words = rest.split(|letter| !is_path(letter) && letter != '$');
    paths.extend(words.filter(|word| word.contains("::")).map(str::to_owned));
    paths
}

/// The module that a path leads to, as seen from `from`.
fn target(path: &str, from: &Module, modules: &BTreeSet<Module>) -> Option<Module> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut place: Vec<&str> = from.iter().map(String::as_str).collect();
    match parts[0] {
        "crate" => {
            place.clear();
            parts.remove(0);
        }
        "super" => {
            while parts.first() == Some(&"super") {
                place.pop();
                parts.remove(0);
            }
        }
        // A module below this one, or a name that was imported.
        below => {
            place.push(below);
            parts.remove(0);
            modules
                .contains(&place.iter().map(|part| part.to_string()).collect::<Module>())
                .then_some(())?;
        }
    }
    place.extend(parts);
    let whole: Module = place.iter().map(|part| part.to_string()).collect();
    let lengths = (1..=whole.len()).rev();
    let longest = lengths
        .map(|length| whole[..length].to_vec())
        .find(|part| modules.contains(part))?;
    (longest != *from).then_some(longest)
}

fn imports(sources: &BTreeMap<Module, String>) -> Imports {
    let modules: BTreeSet<Module> = sources.keys().cloned().collect();
    let of = |(module, text): (&Module, &String)| {
        let targets = paths(&code(text)).into_iter();
        let targets = targets.filter_map(|path| target(&path, module, &modules));
        (module.clone(), targets.collect())
    };
    sources.iter().map(of).collect()
}

/// What is left when modules that import nothing more are taken away, again and again: circles, and what is above them.
fn tied(mut imports: Imports) -> Imports {
    loop {
        let free: Vec<Module> = imports
            .iter()
            .filter(|(_, targets)| targets.is_empty())
            .map(|(module, _)| module.clone())
            .collect();
        if free.is_empty() {
            return imports;
        }
        for module in free {
            imports.remove(&module);
            imports.values_mut().for_each(|targets| {
                targets.remove(&module);
            });
        }
    }
}

#[test]
fn modules_know_only_those_below_them() {
    let mut found = BTreeMap::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &Vec::new(),
        &mut found,
    );
    assert!(found.len() > 50, "{} modules were found", found.len());
    let imports = imports(&found);
    let arrows: usize = imports.values().map(BTreeSet::len).sum();
    assert!(arrows > 2 * found.len(), "{arrows} imports were found");
    let tied = tied(imports);
    let arrows = tied.iter().flat_map(|(module, targets)| {
        let arrow = |target: &Module| format!("{} -> {}", module.join("::"), target.join("::"));
        targets.iter().map(arrow)
    });
    let arrows: Vec<String> = arrows.collect();
    assert!(
        arrows.is_empty(),
        "these import each other, or stand above some that do: {arrows:#?}"
    );
}

#[test]
fn a_circle_would_be_noticed() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let check = |files: &[(&str, &str)]| {
        let sources = files
            .iter()
            .map(|(path, text)| (module(path), (*text).to_owned()));
        tied(imports(&sources.collect())).into_keys().collect::<Vec<_>>()
    };
    let ground = ("ground", "pub struct Size;");
    let nothing: [Module; 0] = [];
    // A floor over another, in every spelling; comments and tests tie nothing.
    let below = "//! See [`crate::above`].\nuse core::fmt;\n#[cfg(test)]\nmod tests { use crate::above::A; }";
    let above = "use crate::{ground::{Size, self}, below};\nfn f() { crate::ground::f() }";
    assert_eq!(check(&[ground, ("below", below), ("above", above)]), nothing);
    for (first, second) in [
        ("use crate::b::B;", "use crate::a::A;"),
        (
            "use crate::{ground::Size, b::{B, C as D}};",
            "fn f() -> crate::a::A { todo() }",
        ),
        (
            "pub(crate) use super::b::B;",
            "struct B;\npub use crate::{\n    a::A,\n};",
        ),
    ] {
        assert_eq!(
            check(&[ground, ("a", first), ("b", second)]),
            [module("a"), module("b")]
        );
    }
    // Parent and child.
    let (parent, child) = (("p", "mod c;\nfn f() { c::g() }"), ("p::c", "use super::T;"));
    assert_eq!(check(&[parent, child]), [module("p"), module("p::c")]);
    assert_eq!(
        check(&[parent, ("p::c", "use super::d::T;"), ("p::d", "struct T;")]),
        nothing
    );
}
