//! Somebody else's state machine under simulation, with the whole `sim` command.
//!
//! The machine is a store of documents with versions (`simulate/documents.rs`). Its clients edit what they have read:
//! an edit names the version that the client saw last. With a bug, the snapshot leaves out removed documents, so that
//! their versions come back. Tests without snapshots pass; the simulator finds the bug within a few seeds.
//!
//! ```text
//! cargo run --release --example simulate                                      finds the bug, and shrinks it
//! cargo run --release --example simulate -- run --seeds 0..2000               the machine without the bug
//! cargo run --release --example simulate -- run --seeds 0..100 --workload forgetful
//! cargo run --release --example simulate -- view 3 --workload forgetful -o run.html
//! ```

#[path = "simulate/documents.rs"]
mod documents;

use std::process::ExitCode;

use sim::schedule::WorkloadPlan;
use sim::{Asks, Call, Found, HistoryEvent, Model, Opinion, Profile, Request, Sizes, Told, Workload};

use documents::{Document, Documents, Outcome, edit};

/// Clients that edit documents.
#[derive(Clone, Copy)]
struct Editing {
    forgets_removed: bool,
}

/// The largest text.
const TEXT_BYTES: u64 = 2_000;

/// The version that a client expects: the one that it saw last, if it saw this document last.
fn expected(memory: u64, choice: u64) -> u64 {
    if memory >> 48 == choice + 1 {
        memory & ((1 << 48) - 1)
    } else {
        0
    }
}

/// The new text of a request, of some length up to the largest; every fifth request removes the document.
fn text(request: u64) -> Option<String> {
    let length = request.wrapping_mul(977) % TEXT_BYTES;
    let filler = ".".repeat(usize::try_from(length).unwrap_or(0));
    (request % 5 != 4).then(|| format!("edit {request} {filler}"))
}

impl Workload for Editing {
    type Machine = Documents;

    fn machine(&self, _plan: &WorkloadPlan) -> Documents {
        Documents::new(self.forgets_removed)
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        let (name, expected) = (
            format!("document-{}", call.choice),
            expected(call.memory, call.choice),
        );
        edit(&name, expected, text(call.request).as_deref())
    }

    fn query(&self, choice: u64) -> String {
        format!("document-{choice}")
    }

    fn name(&self) -> &'static str {
        if self.forgets_removed {
            "forgetful"
        } else {
            "documents"
        }
    }

    fn sizes(&self, plan: &WorkloadPlan) -> Sizes {
        Sizes {
            command_bytes: TEXT_BYTES + 100,
            snapshot_bytes: plan.choices * (TEXT_BYTES + 100),
            ..Sizes::default()
        }
    }

    /// The version of the document that the client saw last, and which document that is.
    fn remember(&self, memory: u64, call: &Call, told: Told<'_, Self>) -> u64 {
        let version = match told {
            Told::Response(Outcome::Edited(version) | Outcome::Conflict(version)) => *version,
            Told::Response(Outcome::Unreadable) => return memory,
            Told::Answer(document) => document.as_ref().map_or(0, |document| document.version),
        };
        (call.choice + 1) << 48 | version
    }

    /// A client that has a document in front of it mostly goes on with it.
    fn asks(&self, client: u8, memory: u64, drawn: Asks) -> Asks {
        let goes_on = memory > 0 && !(memory ^ u64::from(client)).is_multiple_of(4);
        let choice = if goes_on { (memory >> 48) - 1 } else { drawn.choice };
        Asks { choice, ..drawn }
    }

    fn opinion(&self, history: &[HistoryEvent<Self>], steps: u64) -> Option<Opinion> {
        Some(sim::linearizable(history, &Versions, steps))
    }
}

/// One document by itself: its version and text.
struct Versions;

impl Model<Editing> for Versions {
    type State = (u64, Option<String>);

    fn start(&self, _choice: u64) -> Self::State {
        (0, None)
    }

    fn write(&self, state: &Self::State, asked: &Request, told: Option<&Outcome>) -> Option<Self::State> {
        let (after, outcome) = match expected(asked.memory, asked.choice) == state.0 {
            true => ((state.0 + 1, text(asked.request)), Outcome::Edited(state.0 + 1)),
            false => (state.clone(), Outcome::Conflict(state.0)),
        };
        told.is_none_or(|told| *told == outcome).then_some(after)
    }

    fn reads(&self, state: &Self::State, answer: &Option<Document>) -> bool {
        let Document { version, text } = answer.clone().unwrap_or(Document {
            version: 0,
            text: None,
        });
        (version, text) == *state
    }
}

fn main() -> ExitCode {
    let command = sim::Command::new(Editing {
        forgets_removed: false,
    })
    .workload(Editing {
        forgets_removed: true,
    })
    .about("Simulates a store of documents; --workload forgetful is the same with a planted bug.");
    match std::env::args_os().len() {
        1 => tour().unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        }),
        _ => command.main(),
    }
}

/// What the commands `run`, `shrink` and `replay` do, by the library alone.
fn tour() -> Result<ExitCode, sim::ScheduleError> {
    let (flawed, sound) = (
        Editing {
            forgets_removed: true,
        },
        Editing {
            forgets_removed: false,
        },
    );
    let Some(found) = sim::sweep(Profile::Swarm, 0..1_000, &flawed)? else {
        eprintln!("no violation was found in a thousand seeds: the simulator has a bug");
        return Ok(ExitCode::FAILURE);
    };
    println!("seed {} finds: {}", found.seed, found.verdict);
    if let Some(shrunk) = sim::shrink(&found.schedule, &flawed, &mut |_, _| {})? {
        let (before, after) = (shrunk.items_before, shrunk.items_after);
        println!("{before} faults and operations shrink to {after}, whose run ends like this:\n");
        let mut trace = Vec::new();
        sim::replay(&shrunk.schedule, &flawed, &mut |event| trace.push(event))?;
        let last = trace.len().saturating_sub(12);
        for event in trace.iter().skip(last) {
            // What a client is told may be a long text.
            println!("{:.150}", event.to_string());
        }
    }
    let seeds = 0..found.seed + 300;
    if let Some(Found { seed, verdict, .. }) = sim::sweep(Profile::Swarm, seeds.clone(), &sound)? {
        eprintln!("seed {seed} fails with the corrected machine: {verdict}");
        return Ok(ExitCode::FAILURE);
    }
    println!("\nWith removed documents in the snapshot, seeds {seeds:?} pass.");
    println!(
        "Look at the run: cargo run --release --example simulate -- view {} --workload forgetful -o run.html",
        found.seed
    );
    Ok(ExitCode::SUCCESS)
}
