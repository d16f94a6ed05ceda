//! The `sim` command, with the key-value store of the library: what [`sim::main`] makes of any workload.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::Command::new(sim::kv::KeyValue).name("sim").main()
}
