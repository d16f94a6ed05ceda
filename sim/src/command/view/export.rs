//! Writes the run in the formats of ShiViz and Perfetto.

#![expect(
    clippy::float_arithmetic,
    reason = "Perfetto counts microseconds, with fractions; no run sees them"
)]

use std::collections::BTreeMap;
use std::io::Write;

use crate::recording::ROLES;
use crate::{Place, TraceEvent};
use serde_json::json;

use super::Filmed;

/// The name of a place for ShiViz: without spaces.
fn name(place: Place) -> String {
    place.to_string().replace(' ', "")
}

/// ShiViz: the regular expression that reads the file, an empty line, and then two lines for each event: its place with
/// a vector clock in JSON, and what happened.
pub(super) fn shiviz(filmed: &Filmed<'_>, file: &mut dyn Write) -> std::io::Result<()> {
    writeln!(file, "(?<host>\\S*) (?<clock>{{.*}})\\n(?<event>.*)\n")?;
    // A clock counts lines, and not events: what happens in the course of an event happens one after the other.
    let mut clocks: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    // The clock at the end of each event, for those that it causes.
    let mut ends: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
    for line in filmed.recording.lines() {
        let place = name(line.place);
        let clock = clocks.entry(place.clone()).or_default();
        if let Some(cause) = ends.get(&line.cause).filter(|_| line.cause != line.number) {
            for (other, count) in cause {
                let known = clock.entry(other.clone()).or_default();
                *known = (*known).max(*count);
            }
        }
        *clock.entry(place.clone()).or_default() += 1;
        ends.insert(line.number, clock.clone());
        let clock = json!(clock);
        let micros = line.at.value() / 1_000;
        writeln!(
            file,
            "{place} {clock}\n{} {} [{}.{:03} ms, #{}]",
            line.what,
            line.detail,
            micros / 1_000,
            micros % 1_000,
            line.number
        )?;
    }
    Ok(())
}

/// Perfetto and chrome://tracing: a process per place, a slice per role, an instant per line, a flow per message.
pub(super) fn perfetto(filmed: &Filmed<'_>, file: &mut dyn Write) -> std::io::Result<()> {
    let mut first = true;
    let mut write = |event: serde_json::Value| {
        let comma = if std::mem::take(&mut first) {
            "{\"traceEvents\":[\n"
        } else {
            ",\n"
        };
        write!(file, "{comma}{event}")
    };
    for server in 1..=u64::from(filmed.recording.servers) {
        write(
            json!({ "ph": "M", "pid": server, "name": "process_name", "args": { "name": format!("server {server}") } }),
        )?;
    }
    for client in 1..=u64::from(filmed.recording.clients) {
        write(
            json!({ "ph": "M", "pid": 100 + client, "name": "process_name", "args": { "name": format!("client {client}") } }),
        )?;
    }
    write(json!({ "ph": "M", "pid": 200, "name": "process_name", "args": { "name": "faults" } }))?;
    let mut origins: BTreeMap<u64, (u64, f64)> = BTreeMap::new();
    let mut times: Vec<(u64, f64)> = Vec::new();
    for (line, number) in filmed.recording.lines().zip(0_u64..) {
        let (pid, at) = (process(line.place), micros(line.at.value()));
        times.push((line.number, at));
        let name = format!("{} {}", line.what, first_words(&line));
        write(json!({
            "ph": "X", "pid": pid, "tid": 2, "ts": at, "dur": 1, "name": name,
            "args": { "event": line.number, "cause": line.cause, "detail": line.detail },
        }))?;
        if matches!(line.what, "receive" | "request" | "hear")
            && let Some(&(from, sent)) = origins.get(&line.cause)
        {
            let flow = |ph: &str, pid, ts| json!({ "ph": ph, "id": number, "pid": pid, "tid": 2, "ts": ts, "cat": "message", "name": "message", "bp": "e" });
            write(flow("s", from, sent))?;
            write(flow("f", pid, at))?;
        }
        origins.entry(line.number).or_insert((pid, at));
    }
    for (states, server) in filmed.recording.states.iter().zip(1_u64..) {
        for (role, term, from, to) in roles(states, &times, micros(filmed.report.at.value())) {
            write(json!({
                "ph": "X", "pid": server, "tid": 1, "ts": from, "dur": to - from, "cat": "role",
                "name": format!("{role}, term {term}"),
            }))?;
        }
    }
    writeln!(file, "\n],\"displayTimeUnit\":\"ms\"}}")
}

/// The first words of a detail, as a short name.
fn first_words(line: &TraceEvent) -> String {
    let words: Vec<&str> = line.detail.split_whitespace().take(5).collect();
    words.join(" ")
}

const fn process(place: Place) -> u64 {
    match place {
        Place::Server(node) => node.value(),
        Place::Client(client) => 100 + client as u64,
        Place::World => 200,
    }
}

/// The format counts microseconds, with fractions.
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1_000.0
}

/// The spans of time in which a server had one role and term.
fn roles(states: &[u64], times: &[(u64, f64)], end: f64) -> Vec<(&'static str, u64, f64, f64)> {
    let time_of = |event: u64| {
        let next = times.partition_point(|(number, _)| *number <= event);
        next.checked_sub(1)
            .and_then(|last| times.get(last))
            .map_or(0.0, |(_, at)| *at)
    };
    let mut spans: Vec<(&'static str, u64, f64, f64)> = Vec::new();
    let (mut event, mut role, mut term) = (0, 0, 0);
    let mut column = states.iter().copied();
    while let (Some(later), Some(mask)) = (column.next(), column.next()) {
        event += later;
        for field in (0..u64::BITS).filter(|field| mask >> field & 1 == 1) {
            let value = column.next().unwrap_or_default();
            match field {
                0 => role = value,
                2 => term = value,
                _ => {}
            }
        }
        let name = usize::try_from(role)
            .ok()
            .and_then(|role| ROLES.get(role))
            .copied()
            .unwrap_or("");
        let at = time_of(event);
        match spans.last_mut() {
            Some((last, of, _, _)) if *last == name && *of == term => {}
            last => {
                if let Some((_, _, _, to)) = last {
                    *to = at;
                }
                spans.push((name, term, at, end));
            }
        }
    }
    spans
}
