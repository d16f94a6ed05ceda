//! lsb-core beside memcpy, and beside the command of `stegano-cli`.

use std::path::PathBuf;

use clap::Args;

pub(crate) use pictures::noise;

use crate::report::Row;

mod files;
mod pictures;
mod samples;
mod watch;
pub(crate) mod worker;

#[derive(Args)]
pub(crate) struct Options {
    /// How many rounds. The sides take turns; each side's median counts file to file, its best round in memory.
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// The peer's command; without it, only our figures are shown.
    #[arg(long, default_value = "stegano")]
    peer: PathBuf,
}

pub(crate) fn run(options: &Options) -> Vec<Row> {
    let mut rows = samples::run(options.rounds);
    match files::run(options.rounds, &options.peer) {
        Ok(measured) => rows.extend(measured),
        Err(error) => eprintln!("file to file could not be measured: {error}"),
    }
    rows
}
