//! What the repository's Markdown says about files is true: every link leads somewhere, every anchor exists, a link with
//! a function's name leads to that function's line, every path in code exists, prose wraps at 100 columns, and the book
//! lists every page. Where the book is built (`mdbook build docs`) and up to date, the same holds for its pages.
//!
//! When functions have moved, the lines in links are renewed by
//!
//! ```text
//! UPDATE_LINKS=1 cargo test --test documents
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Prose is no wider than this, in characters.
const COLUMNS: usize = 100;

/// Folders of the repository. Code in the text that begins with one of them is a path.
const FOLDERS: [&str; 9] = [
    "raft-core/",
    "lsb-core/",
    "sim/",
    "node/",
    "examples/",
    "bench/",
    "fuzz/",
    "docs/",
    ".ci/",
];

#[test]
fn every_link_in_the_sources_leads_somewhere() {
    expect_none(&broken_in_sources(&root()));
}

#[test]
fn every_link_with_a_function_s_name_leads_to_its_line() {
    let root = root();
    let is_update = std::env::var_os("UPDATE_LINKS").is_some();
    let mut wrong = Vec::new();
    for file in files(&root, "md") {
        let text = read(&file);
        let (renewed, found) = renew_function_links(&root, &file, &text);
        if is_update && renewed != text {
            fs::write(&file, renewed).expect("a page can be written");
        } else {
            wrong.extend(found);
        }
    }
    expect_none(&wrong);
}

#[test]
fn prose_wraps_at_100_columns() {
    let root = root();
    let mut wide = Vec::new();
    for file in files(&root, "md") {
        wide.extend(too_wide(&shown(&root, &file), &read(&file)));
    }
    expect_none(&wide);
}

#[test]
fn the_book_has_every_page() {
    let docs = root().join("docs");
    let summary = read(&docs.join("SUMMARY.md"));
    let listed: BTreeSet<PathBuf> = links(&summary)
        .iter()
        .map(|link| normal(&docs.join(&link.target)))
        .collect();
    let there: BTreeSet<PathBuf> = files(&docs, "md")
        .into_iter()
        .filter(|file| !file.ends_with("SUMMARY.md"))
        .collect();
    assert_eq!(
        listed, there,
        "docs/SUMMARY.md on the left, the files on the right"
    );
}

#[test]
fn the_profiles_to_copy_are_those_of_the_workspace() {
    let root = root();
    let (page, manifest) = (read(&root.join("README.md")), read(&root.join("Cargo.toml")));
    let (shown, ours) = (sections(&page), sections(&manifest));
    let profiles = || {
        shown
            .iter()
            .filter(|(heading, _)| heading.starts_with("[profile."))
    };
    assert!(profiles().count() > 0, "README.md shows profiles");
    for (heading, lines) in profiles() {
        assert_eq!(Some(lines), ours.get(heading), "{heading} of Cargo.toml");
    }
}

#[test]
fn every_link_in_the_built_book_leads_somewhere() {
    let root = root();
    let book = root.join("target/book");
    if is_up_to_date(&root.join("docs"), &book.join("index.html")) {
        expect_none(&broken_in_pages(&root, &book));
    }
}

#[test]
fn a_broken_link_is_found() {
    let root = folder("broken_links");
    write(&root, "raft-core/src/lib.rs", "one\ntwo\n");
    write(&root, "docs/b.md", "# There\n\nText.\n\n## There\n");
    write(
        &root,
        "docs/a.md",
        "# A page\n\n\
         [good](b.md), [its part](b.md#there), [the second](b.md#there-1), [here](#a-page), `raft-core/src/lib.rs`,\n\
         [a line](../raft-core/src/lib.rs#L2), <https://example.org>, `[code](is-none.md)`, [out](https://example.org).\n\n\
         ```text\n[code](is-none.md)\n```\n\n\
         [no file](c.md) ![no picture](c.png)\n[no part](b.md#elsewhere) [no line](../raft-core/src/lib.rs#L3)\n\n\
         `raft-core/src/gone.rs` [outside](../../b.md) [by name]\n\n[by name]: d.md\n",
    );
    let found = broken_in_sources(&root);
    let expected = [
        "docs/a.md:10: c.md is not there",
        "docs/a.md:10: c.png is not there",
        "docs/a.md:11: b.md has no part #elsewhere",
        "docs/a.md:11: ../raft-core/src/lib.rs has no part #L3",
        "docs/a.md:13: raft-core/src/gone.rs is not there",
        "docs/a.md:13: ../../b.md is outside the repository",
        "docs/a.md:15: d.md is not there",
    ];
    assert_eq!(sorted(found), sorted(expected.map(String::from).to_vec()));
}

#[test]
fn a_link_to_the_wrong_line_of_a_function_is_found_and_renewed() {
    let root = folder("function_links");
    let source = "fn other() {}\n\n/// Calls fn one().\npub(super) fn one<T>(t: T) {}\n\nfn one_more() {}\n\nfn one() {}\n";
    write(&root, "src/a.rs", source);
    let page = |one: usize, more: usize| {
        format!(
            "[`one`](src/a.rs#L{one}), [`one_more`](src/a.rs#L{more}), [a.rs](src/a.rs#L1), [`a`](src/a.rs)\n\n    [`one`](src/a.rs#L1)\n"
        )
    };
    let at = root.join("page.md");
    let nothing = Vec::<String>::new();
    assert_eq!(
        renew_function_links(&root, &at, &page(4, 6)),
        (page(4, 6), nothing.clone())
    );
    assert_eq!(
        renew_function_links(&root, &at, &page(8, 6)),
        (page(8, 6), nothing)
    );
    let wrong = vec!["page.md:1: `one` is at line 4 of src/a.rs, not at 3".into()];
    assert_eq!(renew_function_links(&root, &at, &page(3, 6)), (page(4, 6), wrong));
    let (_, wrong) = renew_function_links(&root, &at, "[`two`](src/a.rs#L1)\n");
    assert_eq!(wrong, ["page.md:1: src/a.rs has no function `two`"]);
}

#[test]
fn a_broken_link_in_a_built_page_is_found() {
    let root = folder("broken_pages");
    write(&root, "docs/c.md", "");
    write(&root, "target/book/b.html", "<h1 id=\"there\">There</h1>");
    write(
        &root,
        "target/book/a.html",
        "<a href=\"b.html#there\">good</a> <a href=\"../../docs/c%2Emd\">good</a> <a href=\"https://example.org\">out</a> <img src=\"c.png\">\n\
         <a href=\"b.html#elsewhere\">no part</a> <a href=\"c.html\">no file</a> <a href=\"#top\">no part</a>",
    );
    let expected = [
        "target/book/a.html:1: c.png is not there",
        "target/book/a.html:2: b.html has no part #elsewhere",
        "target/book/a.html:2: c.html is not there",
        "target/book/a.html:2: a.html has no part #top",
    ];
    let found = broken_in_pages(&root, &root.join("target/book"));
    assert_eq!(sorted(found), sorted(expected.map(String::from).to_vec()));
}

#[test]
fn a_wide_line_is_found() {
    let wide = "word ".repeat(30);
    let text = format!(
        "{wide}\n\n| {wide} |\n\n```text\n{wide}\n```\n\n    {wide}\n\n[short](https://example.org/{})\n* {wide}\n",
        "long".repeat(30)
    );
    let expected = ["a.md:1: 150 columns", "a.md:12: 152 columns"];
    assert_eq!(too_wide("a.md", &text), expected.map(String::from).to_vec());
}

#[test]
fn a_heading_becomes_the_anchor_that_forges_and_the_book_make_of_it() {
    let text = "# `sim store`, and *more*: §3\n\n## A_b c-d\n\n## [Link](x.md)\n";
    assert_eq!(
        anchors(text),
        ["sim-store-and-more-3", "a_b-c-d", "link"].map(String::from)
    );
}

/// The settings below each heading of a TOML text, which may stand in a page.
fn sections(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let (mut sections, mut heading) = (BTreeMap::<&str, Vec<&str>>::new(), None);
    for line in text.lines() {
        if line.starts_with('[') {
            sections.insert(line, Vec::new());
            heading = Some(line);
        } else if line.starts_with("```") {
            heading = None;
        } else if !line.is_empty()
            && !line.starts_with('#')
            && let Some(lines) = heading.and_then(|heading| sections.get_mut(heading))
        {
            lines.push(line);
        }
    }
    sections
}

struct Link {
    line: usize,
    target: String,
}

/// What is wrong with links, anchors and paths in all Markdown below the root.
fn broken_in_sources(root: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files(root, "md") {
        let (shown, text) = (shown(root, &file), read(&file));
        for link in links(&text) {
            if let Some(what) = wrong_with(root, &file, &link.target) {
                broken.push(format!("{shown}:{}: {what}", link.line));
            }
        }
        for path in paths_in_code(&text) {
            if !root.join(&path.target).exists() {
                broken.push(format!("{shown}:{}: {} is not there", path.line, path.target));
            }
        }
    }
    broken
}

/// The text with the right line in every link of the form ``[`name`](path#L12)``, and which of them had another. Of
/// several functions of that name in the file, any is right, and the nearest one replaces a wrong line.
fn renew_function_links(root: &Path, file: &Path, text: &str) -> (String, Vec<String>) {
    let (mut renewed, mut wrong) = (text.to_owned(), Vec::new());
    for (number, line, _) in lines(text).into_iter().filter(|line| !line.2) {
        for rest in line.split("[`").skip(1) {
            let Some((name, rest)) = rest.split_once("`](") else {
                continue;
            };
            let target = rest.split(')').next().unwrap_or_default();
            let Some((path, at)) = target.split_once("#L") else {
                continue;
            };
            let source = normal(&file.parent().expect("a file is in a folder").join(path));
            let there = match fs::read_to_string(&source) {
                Ok(source) => function_lines(&source, name),
                // A link without its file is found by another test.
                Err(_) => continue,
            };
            let at: usize = at.parse().unwrap_or(0);
            let (place, from) = (format!("{}:{number}", shown(root, file)), shown(root, &source));
            match there.iter().min_by_key(|line| line.abs_diff(at)) {
                None => wrong.push(format!("{place}: {from} has no function `{name}`")),
                Some(&line) if line != at => {
                    wrong.push(format!(
                        "{place}: `{name}` is at line {line} of {from}, not at {at}"
                    ));
                    let link = |target: &str| format!("[`{name}`]({target})");
                    renewed = renewed.replace(&link(target), &link(&format!("{path}#L{line}")));
                }
                Some(_) => {}
            }
        }
    }
    (renewed, wrong)
}

/// The lines at which functions of this name begin.
fn function_lines(source: &str, name: &str) -> Vec<usize> {
    let begins = |line: &str| {
        let rest = line
            .split_once("fn ")
            .and_then(|(_, rest)| rest.strip_prefix(name));
        !line.trim_start().starts_with("//") && rest.is_some_and(|rest| rest.starts_with(['(', '<']))
    };
    let numbered = source.lines().enumerate();
    numbered
        .filter(|(_, line)| begins(line))
        .map(|(at, _)| at + 1)
        .collect()
}

/// The same for the pages of a built book, which may lead out of it into the repository.
fn broken_in_pages(root: &Path, book: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files(book, "html") {
        // The first two repeat the other pages; the third is shown at any address.
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if ["print.html", "toc.html", "404.html"].contains(&name) {
            continue;
        }
        let text = read(&file);
        for link in attributes(&text, &["href", "src"]) {
            if let Some(what) = wrong_with(root, &file, &link.target) {
                broken.push(format!("{}:{}: {what}", shown(root, &file), link.line));
            }
        }
    }
    broken
}

/// Why a link in a file does not lead anywhere.
fn wrong_with(root: &Path, file: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") || target.starts_with("data:") {
        return None;
    }
    let target = target.replace("%2E", ".");
    let (path, part) = target.split_once('#').unwrap_or((&target, ""));
    let path = path.split('?').next().unwrap_or_default();
    let to = match path {
        "" => file.to_path_buf(),
        _ => normal(&file.parent().expect("a file is in a folder").join(path)),
    };
    if !to.starts_with(root) {
        return Some(format!("{path} is outside the repository"));
    }
    if !to.exists() {
        return Some(format!("{path} is not there"));
    }
    let name = to.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let has_it = part.is_empty()
        || match to.extension().and_then(|ending| ending.to_str()) {
            Some("md") => anchors(&read(&to)).iter().any(|anchor| anchor == part),
            Some("html") => attributes(&read(&to), &["id", "name"])
                .iter()
                .any(|id| id.target == part),
            _ => has_lines(&to, part),
        };
    let shown = if path.is_empty() { name } else { path };
    (!has_it).then(|| format!("{shown} has no part #{part}"))
}

/// Whether a file has the line of `#L12`, or the last one of `#L12-L20`.
fn has_lines(file: &Path, part: &str) -> bool {
    let last = part.rsplit('-').next().unwrap_or(part);
    let line: Option<usize> = last.strip_prefix('L').and_then(|number| number.parse().ok());
    line.is_some_and(|line| (1..=read(file).lines().count()).contains(&line))
}

/// The lines of a text with their numbers, and whether each is code.
fn lines(text: &str) -> Vec<(usize, &str, bool)> {
    let (mut fenced, mut indented, mut blank) = (false, false, true);
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        indented = line.starts_with("    ") && (blank || indented);
        lines.push((number + 1, line, fenced || fence || indented));
        fenced ^= fence;
        blank = line.trim().is_empty();
    }
    lines
}

/// A line in which what stands between backticks is blank.
fn without_code(line: &str) -> String {
    let mut code = false;
    let keep = |character: char| {
        code ^= character == '`';
        if code || character == '`' { ' ' } else { character }
    };
    line.chars().map(keep).collect()
}

fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (number, line, _) in lines(text).into_iter().filter(|line| !line.2) {
        let line = without_code(line);
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target);
        // `[name]: target`, which `[text][name]` goes by.
        let definition = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "))
            .map(|(_, target)| target);
        for target in targets.chain(definition) {
            links.push(Link {
                line: number,
                target: target.trim().to_owned(),
            });
        }
    }
    links
}

/// What stands between backticks and begins with a folder of the repository.
fn paths_in_code(text: &str) -> Vec<Link> {
    let mut paths = Vec::new();
    for (number, line, _) in lines(text).into_iter().filter(|line| !line.2) {
        for code in line.split('`').skip(1).step_by(2) {
            let path = code.split("::").next().unwrap_or(code);
            let plain = path
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "/._-".contains(character));
            if plain && FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                paths.push(Link {
                    line: number,
                    target: path.to_owned(),
                });
            }
        }
    }
    paths
}

/// The values of these attributes in a page.
fn attributes(page: &str, names: &[&str]) -> Vec<Link> {
    let mut values = Vec::new();
    for (number, line) in page.lines().enumerate() {
        for name in names {
            for rest in line.split(&format!(" {name}=\"")).skip(1) {
                let value = rest.split('"').next().unwrap_or_default();
                values.push(Link {
                    line: number + 1,
                    target: value.replace("&amp;", "&"),
                });
            }
        }
    }
    values
}

/// The anchors of a text's headings.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    for (_, line, _) in lines(text).into_iter().filter(|line| !line.2) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        // Of a link, its text.
        let words = heading.trim().split("](").enumerate().map(|(at, part)| {
            if at == 0 {
                part
            } else {
                part.split_once(')').map_or("", |(_, rest)| rest)
            }
        });
        let anchor: String = words
            .collect::<String>()
            .to_lowercase()
            .chars()
            .filter(|character| character.is_alphanumeric() || " -_".contains(*character))
            .map(|character| if character == ' ' { '-' } else { character })
            .collect();
        let times = seen.entry(anchor.clone()).or_default();
        anchors.push(if *times == 0 {
            anchor
        } else {
            format!("{anchor}-{times}")
        });
        *times += 1;
    }
    anchors
}

/// Lines of prose that are wider than they may be. Where a link leads does not count, as it cannot be wrapped.
fn too_wide(shown: &str, text: &str) -> Vec<String> {
    let mut wide = Vec::new();
    for (number, line, is_code) in lines(text) {
        let is_definition = line.starts_with('[') && line.contains("]: ");
        if is_code || is_definition || line.starts_with(['|', '#', '<']) || line.starts_with("![") {
            continue;
        }
        let columns: usize = line
            .split("](")
            .enumerate()
            .map(|(at, part)| {
                if at == 0 {
                    part
                } else {
                    part.split_once(')').map_or(part, |(_, rest)| rest)
                }
            })
            .map(|part| part.chars().count())
            .sum();
        if columns > COLUMNS {
            wide.push(format!("{shown}:{number}: {columns} columns"));
        }
    }
    wide
}

/// Whether a page was built after the last change of the book's sources.
fn is_up_to_date(docs: &Path, page: &Path) -> bool {
    let changed = |file: &Path| fs::metadata(file).and_then(|about| about.modified()).ok();
    let Some(built) = changed(page) else {
        return false;
    };
    let mut sources = files(docs, "md");
    sources.push(docs.join("book.toml"));
    sources
        .iter()
        .all(|source| changed(source).is_some_and(|changed| changed <= built))
}

/// All files with this ending below a folder, but for what is built or kept by tools.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be listed") {
            let entry = entry.expect("a folder can be listed");
            let (path, name) = (entry.path(), entry.file_name());
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && name != "target" && name != ".git" {
                folders.push(path);
            } else if !is_folder && path.extension().is_some_and(|found| found == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    normal(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

/// The path without `.` and `..`, whatever is there.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

fn shown(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// An empty folder for a test's files.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an old folder can be removed");
    }
    folder
}

fn write(root: &Path, name: &str, text: &str) {
    let file = root.join(name);
    fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("a folder can be made");
    fs::write(file, text).expect("a file can be written");
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn expect_none(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} to be put right:\n{}",
        problems.len(),
        problems.join("\n")
    );
}
