//! The page: its parts and the run, put into one file.

use std::io::Write;

use crate::recording::{BODIES, FIELDS, FLAGS, ROLES};
use serde_json::json;

use super::Filmed;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// The scripts, in the order in which they depend on each other.
const SCRIPTS: [&str; 7] = [
    include_str!("model.js"),
    include_str!("words.js"),
    include_str!("timeline.js"),
    include_str!("marks.js"),
    include_str!("panels.js"),
    include_str!("legend.js"),
    include_str!("main.js"),
];

pub(super) fn write(filmed: &Filmed<'_>, file: &mut dyn Write) -> std::io::Result<()> {
    let mut rest = PAGE;
    // The parts are taken in the order in which the page names them, so that the data are never searched for names.
    while let Some((before, after)) = rest.split_once("{{") {
        file.write_all(before.as_bytes())?;
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        match name {
            "title" => file.write_all(escaped(&filmed.name).as_bytes())?,
            "style" => file.write_all(STYLE.as_bytes())?,
            "script" => {
                file.write_all(b"\"use strict\";\n")?;
                SCRIPTS
                    .iter()
                    .try_for_each(|script| file.write_all(script.as_bytes()))?;
            }
            "data" => file.write_all(data(filmed).as_bytes())?,
            _ => {}
        }
        rest = after;
    }
    file.write_all(rest.as_bytes())
}

fn data(filmed: &Filmed<'_>) -> String {
    let Filmed {
        name,
        command,
        schedule,
        report,
        recording,
    } = filmed;
    let violation = report.violation.as_ref().map(|violation| {
        json!({
            "oracle": violation.oracle.to_string(),
            "message": violation.message,
            "rule": violation.oracle.description(),
        })
    });
    let faults = schedule.faults.iter().map(
        |fault| json!({ "id": fault.id, "kind": fault.kind.name(), "lasts": fault.kind.lasts().is_some() }),
    );
    let data = json!({
        "name": name,
        "command": command,
        "purpose": schedule.purpose,
        "seed": schedule.seed,
        "schedule": schedule.to_toml().unwrap_or_else(|error| error.to_string()),
        "verdict": report.verdict(&schedule.expect).to_string(),
        "violation": violation,
        "events": report.events,
        "end_ns": report.at.value(),
        "committed": report.committed,
        "elections": report.elections,
        "hash": format!("{:016x}", report.hash),
        "faults": faults.collect::<Vec<_>>(),
        "fields": FIELDS,
        "roles": ROLES,
        "flags": FLAGS,
        "bodies": BODIES,
        "recording": recording,
    });
    // A < can only stand inside a string, where this means the same; no text can end the script that holds it.
    data.to_string().replace('<', "\\u003c")
}

/// Text inside an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
