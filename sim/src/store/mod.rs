//! Runs a store on a simulated disk of bytes.
//!
//! Clusters are simulated on disks that hold values. Here one server's store, unchanged, runs on a disk of sectors that
//! tears, loses, reorders, rots and lies. Any store can: [`StoreUnderTest`] opens it on a [`SimulatedDisk`]. A
//! [`StoreSchedule`] lists the store's tasks and the disk's faults. [`run`] carries it out and compares the store's
//! answers with a model. The service's store is simulated in `node/simulation`.
//!
//! It has a type of schedule of its own, because nothing of a cluster's applies: there is no time, no network and no
//! client, and the unit is a call to the disk. Seeds, hashes, oracles' names, verdicts and the command are shared.
//!
//! The promises depend on the class:
//!
//! * **A**: the disk keeps its contract, that of [`SimulatedDisk`]. The store can always be opened; what it acknowledged is
//!   there; what it did not acknowledge is there wholly or not at all.
//! * **B**: bytes change, by rot and by sectors that a crash leaves as garbage. Every answer is right, or a typed
//!   error.
//! * **C**: whole sectors go missing or come back, by lost and misdirected writes, syncs that lie, and files that
//!   return to earlier contents. What is left is well-formed and old, which no checksum can detect, so acknowledged
//!   writes may be gone. Nothing panics, and nothing is read that was never written.

mod disk;
mod generate;
mod model;
mod run;
mod schedule;
mod sectors;
mod shrink;
mod subject;

pub use disk::{SimulatedDisk, SimulatedFile};
pub use run::{StoreReport, replay, run};
pub use schedule::{Change, DiskFault, DiskFaultKind, Keep, Step, StoreProfile, StoreSchedule, Write};
pub use shrink::{ShrunkStore, shrink};
pub use subject::{NewStore, OpenStore, Opened, StoreFailure, StoreUnderTest};
