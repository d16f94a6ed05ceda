//! Decoding pictures, in this process and in child processes, and what a person is told when it fails.
//!
//! Apart from the service's tests, which start dozens of processes: a test here writes scripts and executes them, and
//! no file can be executed while a process that was just forked still has it open for writing.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[cfg(unix)]
mod children;
mod diagnosis;
