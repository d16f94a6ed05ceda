//! Planted bugs: those of the host's duties, which the simulator carries out itself, and the list of all banks.
//!
//! See [`raft_core::planted`] for what a planted bug is and how it is switched on.

pub use raft_core::planted::{Bug, Planted};

raft_core::planted_bank! {
    "storage" {
        COMPACTS_BEFORE_SNAPSHOT "compacts-before-snapshot"
            "The store removes compacted entries before it writes the snapshot that covers them."
        WRITES_TERM_LAST "writes-term-last"
            "The store writes term and vote after the entries."
        WRITES_LOG_BEFORE_SNAPSHOT "writes-log-before-snapshot"
            "The store cuts the log and writes entries before it writes the snapshot that they follow."
        TRUNCATES_LAST "truncates-last"
            "The store cuts the log after it has written the entries that take the place of what is cut."
        SYNC_COVERS_LATER "sync-covers-later"
            "A sync that ends is taken to cover what was written while it was under way."
        READS_UNCHECKED "reads-unchecked"
            "After a crash the log is read on behind a write that is missing."
    }
}

/// Every bug that can be planted, of all crates.
pub fn bank() -> impl Iterator<Item = &'static Bug> {
    raft_core::planted::BANK.iter().chain(BANK).copied()
}

/// The bug of this name.
pub fn find(name: &str) -> Option<&'static Bug> {
    bank().find(|bug| bug.name == name)
}
