//! manual follows
#![forbid(unsafe_code)]
#![deny(
    clippy::float_arithmetic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

mod clock;
mod coverage;
mod disk;
mod generate;
mod hash;
pub mod kv;
mod nanos;
mod network;
mod oracle;
mod queue;
mod random;
mod report;
pub mod schedule;
mod witness;
mod workload;
mod world;

pub use coverage::{Coverage, Probe};
pub use generate::Profile;
pub use nanos::{Nanos, NanosError};
pub use oracle::{Oracle, Violation};
pub use report::{Place, Report, TraceEvent, Verdict};
pub use schedule::{Schedule, ScheduleError};
pub use workload::Workload;
pub use world::{replay, run};
