//! What people and scripts are told about metadata.

use lsb_core::FileName;
use node::client::{Disclosure, Mode};
use node::decoding::Finding;
use serde_json::{Value, json};

/// Returns what became of metadata, for a person who has protected one picture.
pub(super) fn lines(mode: &Mode, metadata: &Disclosure) -> Vec<String> {
    let note = metadata.unusual.map(|unusual| {
        let what = if *mode == Mode::Label {
            ""
        } else {
            ", which is sealed as it is"
        };
        format!("Note on the original{what}: {unusual}.")
    });
    let mut lines: Vec<String> = note.into_iter().collect();
    let mut list = |title: &str, findings: &[Finding]| {
        if !findings.is_empty() {
            lines.push(title.to_owned());
            lines.extend(findings.iter().map(|finding| format!("  {finding}")));
        }
    };
    list("Metadata that was kept, for everyone to read:", &metadata.public);
    list(
        "Metadata that was left out of what everyone sees:",
        &metadata.left_out,
    );
    list(
        "Metadata that was removed from the original before it was sealed:",
        &metadata.stripped,
    );
    if *mode == Mode::Label {
        return lines;
    }
    let name = metadata.name.as_ref();
    let original = name.map_or("the original file".to_owned(), |name| {
        format!("the original file, {name},")
    });
    match &metadata.sealed {
        Some(sealed) if !sealed.is_empty() => {
            list(&format!("Viewers get {original} with its own metadata:"), sealed);
            lines.push("To remove it before the original is sealed, use --strip-metadata.".to_owned());
        }
        Some(_) => lines.push(format!(
            "Viewers get {original} without metadata that gives anything away."
        )),
        None => lines.push(format!(
            "Viewers get {original} with its own metadata, which could not be listed, for example the place and time \
             of a photograph."
        )),
    }
    lines
}

/// Returns the same for one line of many: nothing, or a note in parentheses.
pub(super) fn in_short(metadata: &Disclosure) -> String {
    let notes = [
        ("everyone can read", metadata.public.as_slice()),
        ("viewers get", metadata.sealed.as_deref().unwrap_or_default()),
        ("left out", &metadata.left_out),
        ("removed", &metadata.stripped),
    ];
    let notes = notes.into_iter().filter(|(_, findings)| !findings.is_empty());
    let unusual = metadata
        .unusual
        .map(|unusual| format!("sealed as it is: {unusual}"));
    let notes: Vec<String> = notes
        .map(|(what, findings)| format!("{what}: {}", kinds(findings)))
        .chain(unusual)
        .collect();
    if notes.is_empty() {
        String::new()
    } else {
        format!(" ({})", notes.join("; "))
    }
}

/// Returns the same for scripts.
pub(super) fn json(metadata: &Disclosure) -> Value {
    json!({
        "public": metadata.public,
        "left_out": metadata.left_out,
        "sealed": metadata.sealed,
        "stripped": metadata.stripped,
        "name": metadata.name.as_ref().map(FileName::as_str),
        "unusual": metadata.unusual.map(|unusual| unusual.to_string()),
    })
}

/// Returns the kinds of metadata, each once, in the order of the file.
fn kinds(findings: &[Finding]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for finding in findings {
        if !kinds.contains(&finding.kind.as_str()) {
            kinds.push(&finding.kind);
        }
    }
    kinds.join(", ")
}

/// Returns what a file says beside its pixels, for people.
pub(super) fn of_file(metadata: Option<&[Finding]>) -> Vec<String> {
    let Some(metadata) = metadata else {
        return vec!["The metadata of this file cannot be listed, and may give something away.".to_owned()];
    };
    let mut lines = Vec::new();
    for (title, needed) in [
        ("Metadata that everyone who has the file can read:", false),
        ("Metadata that shows the picture right:", true),
    ] {
        let findings: Vec<&Finding> = metadata
            .iter()
            .filter(|finding| finding.needed == needed)
            .collect();
        if !findings.is_empty() {
            lines.push(title.to_owned());
            lines.extend(findings.iter().map(|finding| format!("  {finding}")));
        } else if !needed {
            lines.push("The file has no metadata that gives anything away.".to_owned());
        }
    }
    lines
}
