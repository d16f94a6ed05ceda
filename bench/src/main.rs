//! Measures this repository beside other crates: the same work, in one process and one run, so that a noisy machine is
//! noisy for both.

use clap::{Parser, Subcommand};

mod core;
mod lsb;
mod report;
mod store;
mod visibility;

/// Benchmarks beside other crates. Every row says what was done, how fast each side was, and the ratio; above 1 is in
/// our favour. Absolute figures belong to the machine and the moment; only the ratio is comparable.
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
    /// lsb-core: samples in memory beside memcpy, and file to file beside the command of stegano-cli 0.6.
    Lsb(lsb::Options),
    /// The service's store beside a plain preallocated file: bytes and syncs for each command.
    Store(store::Options),
    /// How far each setting of lsb-core moves samples, and what two well-known detectors see. Not a comparison.
    Visibility(visibility::Options),
    /// One job of `lsb`, file to file, in a process of its own.
    #[command(hide = true)]
    LsbJob(lsb::worker::Job),
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.what {
        What::Core(options) => report::print(core::run(&options), arguments.json),
        What::Lsb(options) => report::print(lsb::run(&options).into_iter(), arguments.json),
        What::Store(options) => match store::run(&options) {
            Ok(rows) => report::print(rows.into_iter(), arguments.json),
            Err(error) => {
                eprintln!("error: {error}");
                std::process::exit(1);
            }
        },
        What::Visibility(options) => match visibility::run(&options) {
            Ok(rows) => visibility::print(&rows, arguments.json),
            Err(error) => {
                eprintln!("error: {error}");
                std::process::exit(1);
            }
        },
        What::LsbJob(job) => {
            if let Err(error) = lsb::worker::run(&job) {
                eprintln!("error: {error}");
                std::process::exit(1);
            }
        }
    }
}
