//! What is simulated in seconds takes minutes in a build without optimisation, which an embedder's development profile
//! is. The crate says so.

use std::sync::Once;

const ADVICE: &str = "\
sim is built without optimisation, and runs ten to twenty times slower than it could. In the Cargo.toml of your workspace:

    [profile.dev.package]
    raft-core.opt-level = 3
    sim.opt-level = 3
    rand_chacha.opt-level = 3
";

/// Prints the advice to standard error, once in a process, if it applies.
pub(crate) fn tell() {
    static TOLD: Once = Once::new();
    if cfg!(unoptimised) {
        TOLD.call_once(|| eprintln!("{ADVICE}"));
    }
}
