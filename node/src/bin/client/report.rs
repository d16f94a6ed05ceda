//! The client's output for people and scripts.

use std::io::Write;
use std::path::Path;

use data_encoding::HEXLOWER;
use indicatif::ProgressBar;
use lsb_core::FileName;
use lsb_core::envelope::{Policy, Views};
use lsb_core::upload::MediaType;
use node::api::{Reason, Role};
use node::client::files::{self, shown};
use node::client::{Mode, Protected, ServerReport, ViewOutcome, Viewing};
use serde_json::{Value, json};

use super::disclosure;

/// Prints text. It goes to standard error when a picture goes to standard output.
#[derive(Clone)]
pub(crate) struct Speaker {
    pub(crate) json: bool,
    pub(crate) output_is_standard: bool,
    /// The bar, which is hidden while text is printed.
    pub(crate) progress: Option<ProgressBar>,
}

impl Speaker {
    pub(crate) fn with_progress(self, bar: ProgressBar) -> Self {
        Self {
            progress: Some(bar),
            ..self
        }
    }

    /// Shows how many files are done, and the next one.
    pub(crate) fn show_progress(&self, done: usize, next: &str) {
        if let Some(bar) = &self.progress {
            bar.set_position(done as u64);
            bar.set_message(next.to_owned());
        }
    }

    pub(crate) fn end_progress(&self) {
        if let Some(bar) = &self.progress {
            bar.finish_and_clear();
        }
    }

    /// Runs something that prints, while the bar is hidden.
    pub(crate) fn quietly<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.progress {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Prints text for people, unless the output is JSON. A closed pipe is not an error.
    pub(crate) fn say(&self, text: &str) {
        if !self.json {
            self.put(&files::printable(text));
        }
    }

    /// Prints JSON, if that is the output.
    pub(crate) fn print(&self, value: &Value) {
        if self.json {
            self.put(&value.to_string());
        }
    }

    /// Prints an error for people, also when the output is JSON.
    pub(crate) fn complain(&self, text: &str) {
        let text = files::printable(text);
        let _ = self.quietly(|| writeln!(std::io::stderr(), "{text}"));
    }

    fn put(&self, line: &str) {
        let _ = self.quietly(|| match self.output_is_standard {
            true => writeln!(std::io::stderr(), "{line}"),
            false => writeln!(std::io::stdout(), "{line}"),
        });
    }
}

/// Adds a path to a JSON object so that it names the file exactly. It is null for standard input and output, and for a
/// name that is not UTF-8, whose bytes are added in hexadecimal.
pub(crate) fn insert_path(value: &mut Value, key: &str, path: &Path) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    let text = path.to_str().filter(|text| *text != "-");
    fields.insert(key.to_owned(), json!(text));
    if path.to_str().is_none() {
        let bytes = HEXLOWER.encode(path.as_os_str().as_encoded_bytes());
        fields.insert(format!("{key}_hex"), json!(bytes));
    }
}

/// Reports a protected picture.
pub(crate) fn protected(speaker: &Speaker, input: &Path, output: &Path, mode: &Mode, protected: &Protected) {
    let metadata = &protected.metadata;
    let grants: Vec<Value> = protected
        .policy
        .grants()
        .iter()
        .map(|grant| json!({ "user": grant.user.as_str(), "views": number(grant.views) }))
        .collect();
    let mut value = json!({
        "outcome": "protected",
        "object": protected.object.to_string(),
        "owner": protected.policy.owner().as_str(),
        "grants": grants,
        "metadata": disclosure::json(metadata),
    });
    insert_path(&mut value, "input", input);
    insert_path(&mut value, "output", output);
    speaker.print(&value);
    if speaker.progress.is_some() {
        // One line for each of many files.
        let note = disclosure::in_short(metadata);
        return speaker.say(&format!("{} → {}{note}", shown(input), shown(output)));
    }
    speaker.say(&format!(
        "Protected {} for {}.",
        named(input, "standard input"),
        protected.policy.owner()
    ));
    speaker.say(&format!(
        "  file     {} ({})",
        named(output, "standard output"),
        size(protected.picture.len())
    ));
    speaker.say(&format!("  views    {}", views(&protected.policy)));
    speaker.say(&format!("  object   {}", protected.object));
    if !speaker.output_is_standard {
        note_format(speaker, output, MediaType::Png);
    }
    if *mode == Mode::Label {
        speaker.say("A label keeps nothing secret: everyone who has the file sees the photograph, and only cooperating programs check the label.");
    }
    for line in disclosure::lines(mode, metadata) {
        speaker.say(&line);
    }
    speaker.say(
        "Pass the file on exactly as it is: JPEG, resizing and most messengers destroy the hidden part.",
    );
    if !speaker.output_is_standard {
        speaker.say(&format!(
            "View it with: client view --input {} --user {}",
            quoted(output),
            protected.policy.owner()
        ));
    }
}

/// Returns a path as a word of a command line.
fn quoted(path: &Path) -> String {
    let text = shown(path);
    let plain = |letter: char| letter.is_alphanumeric() || "_-./+@%=:,".contains(letter);
    let text = match text.starts_with('-') {
        true => format!("./{text}"),
        false => text,
    };
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Returns what an input or output is called in a sentence.
fn named(path: &Path, standard: &str) -> String {
    match path.as_os_str() == "-" {
        true => standard.to_owned(),
        false => shown(path),
    }
}

/// Notes the format of a file whose name has another extension. Returns whether that was so.
fn note_format(speaker: &Speaker, output: &Path, format: MediaType) -> bool {
    let extension = output.extension().and_then(|extension| extension.to_str());
    let named = extension.unwrap_or_default().to_ascii_lowercase();
    let differs = !format.extensions().contains(&named.as_str());
    if differs {
        speaker.say(&format!(
            "Note: {} is a {format} file, although its name does not end in .{}.",
            shown(output),
            format.extension()
        ));
    }
    differs
}

/// Reports a view that was granted or denied.
pub(crate) fn viewed(speaker: &Speaker, input: &Path, output: &Path, viewing: &Viewing) {
    let outcome = &viewing.outcome;
    if viewing.resumed {
        speaker.say("An earlier attempt to view this picture was interrupted. This is its answer, and it was charged once.");
    }
    let mut value = match outcome {
        ViewOutcome::Granted {
            remaining,
            name,
            picture,
            ..
        } => {
            let name = name.as_ref().map(FileName::as_str);
            let media_type = MediaType::sniff(picture).map(MediaType::mime);
            json!({ "outcome": "granted", "reason": null, "remaining": remaining, "name": name, "media_type": media_type })
        }
        ViewOutcome::Denied { reason, .. } => {
            let remaining = (*reason == Reason::Exhausted).then_some(0);
            json!({ "outcome": "denied", "reason": reason.to_string(), "remaining": remaining })
        }
    };
    insert_path(&mut value, "input", input);
    insert_path(&mut value, "output", output);
    speaker.print(&value);
    if speaker.progress.is_some() {
        // One line for each of many files.
        let note = match outcome {
            ViewOutcome::Granted { remaining, .. } => left(*remaining),
            ViewOutcome::Denied { message, .. } => format!("denied: {message}"),
        };
        return speaker.say(&format!("{} → {} ({note})", shown(input), shown(output)));
    }
    match outcome {
        ViewOutcome::Granted {
            picture,
            remaining,
            label,
            name,
        } => {
            speaker.say(&format!(
                "Granted: {} ({}), {}.",
                named(output, "standard output"),
                size(picture.len()),
                left(*remaining)
            ));
            if let Some(format) = MediaType::sniff(picture).filter(|_| !speaker.output_is_standard) {
                let noted = note_format(speaker, output, format);
                if let Some(name) = name.as_ref().filter(|_| noted) {
                    speaker.say(&format!(
                        "Its own name is {name}, which it gets with --output-dir FOLDER."
                    ));
                }
            }
            if *label {
                speaker.say("It is only a label: the file shows the same photograph to everyone who has it.");
            }
        }
        ViewOutcome::Denied { reason, message, .. } => {
            speaker.say(&format!(
                "Denied: {message}. The access-denied picture is in {}.",
                named(output, "standard output")
            ));
            speaker.say(advice(*reason));
        }
    }
}

fn left(remaining: Option<u32>) -> String {
    match remaining {
        None => "views without limit".to_owned(),
        Some(0) => "no view remains".to_owned(),
        Some(1) => "1 view remains".to_owned(),
        Some(views) => format!("{views} views remain"),
    }
}

fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::UnknownDevice => {
            "The name is bound to the key of another machine. View the picture there, or copy the key folder from there."
        }
        Reason::NotListed | Reason::Exhausted | Reason::Expired | Reason::NotYet => {
            "Ask the owner of the picture for views."
        }
        Reason::RequestTooOld | Reason::RequestTooLong => "Check this machine's clock, and try again.",
        Reason::RequestReused | Reason::AlreadyAcknowledged => "Try again.",
    }
}

/// Reports the status of the servers, one line each.
pub(crate) fn status(speaker: &Speaker, reports: &[ServerReport]) {
    speaker.print(&serde_json::to_value(reports).unwrap_or_default());
    let width = reports
        .iter()
        .map(|report| report.address.len())
        .max()
        .unwrap_or(0)
        .max(7);
    let named = |report: &ServerReport| report.server_id.clone().unwrap_or_default();
    let name_width = reports
        .iter()
        .map(|report| named(report).len())
        .max()
        .unwrap_or(0)
        .max(6);
    speaker.say(&format!(
        "{:width$}  {:name_width$}  {:9}  {:>5}  {:>7}  {:>7}  leader",
        "address", "server", "role", "term", "commit", "applied"
    ));
    for report in reports {
        let Some(role) = report.role.filter(|_| report.reachable) else {
            let trouble = report.trouble.as_deref().unwrap_or("no answer");
            speaker.say(&format!(
                "{:width$}  {:name_width$}  unreachable: {trouble}",
                report.address, ""
            ));
            continue;
        };
        speaker.say(&format!(
            "{:width$}  {:name_width$}  {:9}  {:>5}  {:>7}  {:>7}  {}",
            report.address,
            named(report),
            role,
            report.term.unwrap_or(0),
            report.commit.unwrap_or(0),
            report.applied.unwrap_or(0),
            report.leader.as_deref().unwrap_or("none"),
        ));
        if let Some(trouble) = &report.trouble {
            speaker.say(&format!("{:width$}  ! {trouble}", ""));
        }
    }
    if reports.iter().all(|report| report.role != Some(Role::Leader)) {
        if reports.iter().any(|report| report.reachable) {
            speaker.say("No leader elected yet: wait for an election (3 to 6 seconds), and check that a majority of the servers is running.");
        } else {
            speaker.say("Connection timeout: no server answers. Check that the addresses in servers.conf are those of running servers.");
        }
    }
}

fn views(policy: &Policy) -> String {
    let grants = policy.grants().iter().map(|grant| match grant.views {
        Views::Unlimited => format!("{} without limit", grant.user),
        Views::Total(1) => format!("{} once", grant.user),
        Views::Total(views) => format!("{} {views} times", grant.user),
    });
    grants.collect::<Vec<_>>().join(", ")
}

pub(crate) fn number(views: Views) -> Option<u32> {
    match views {
        Views::Total(views) => Some(views),
        Views::Unlimited => None,
    }
}

fn size(bytes: usize) -> String {
    size_of(bytes as u64)
}

pub(crate) fn size_of(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
    }
}
