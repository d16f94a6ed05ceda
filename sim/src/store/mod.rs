//! The store that ships, on a simulated disk of bytes.
//!
//! Clusters are simulated on disks that hold values. Here it is the other way round: one server's
//! [`node::store::Store`], unchanged, redb included, on a disk of sectors that tears, loses, reorders, rots and lies.
//! A [`StoreSchedule`] says what the store is asked and what its disk does; [`run`] carries it out and compares what
//! the store says with a model.
//!
//! It has a type of schedule of its own, because nothing of a cluster's applies: there is no time, no network
//! and no client, and what is counted is calls to the disk. Seeds, hashes, oracles' names, verdicts and the command are
//! shared.
//!
//! What is promised depends on the class:
//!
//! * **A**, the disk keeps its contract: [`node::store::Disk`]. The store can always be opened; what it acknowledged
//!   is there; what it did not is there wholly or not at all.
//! * **B**, bytes change: rot, and sectors that a crash leaves as garbage. Every answer is right, or a typed error.
//! * **C**, whole sectors go missing or come back: lost and misdirected writes, syncs that lie, files that
//!   become what they were. What is left is well-formed and old, which no checksum can see: acknowledged writes may be
//!   gone. Nothing panics, and nothing is read that was never written.

mod disk;
mod generate;
mod model;
mod run;
mod schedule;
mod sectors;
mod shrink;

pub use run::{StoreReport, replay, run};
pub use schedule::{Change, DiskFault, DiskFaultKind, Keep, Step, StoreProfile, StoreSchedule, Write};
pub use shrink::{ShrunkStore, shrink};
