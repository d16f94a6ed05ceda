//! Measures us beside others: the same work, in one process and one run, so that a noisy machine is noisy for both.

use clap::{Parser, Subcommand};

mod core;
mod report;

/// Others measured beside us. Every row says what was done, how fast each side was, and the ratio; above 1 is in our
/// favour. Absolute figures belong to the machine and the minute; only the ratio travels.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Print a JSON array of rows {work, ours, peer, unit, ratio, due} instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// raft-core beside the crate `raft` 0.7: nodes in one thread, 256-byte entries, apply included.
    Core(core::Options),
}

fn main() {
    let arguments = Arguments::parse();
    let rows = match arguments.what {
        What::Core(options) => core::run(&options),
    };
    report::print(&rows, arguments.json);
}
