//! The destination of the programs' logs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sends logs to standard error. Without `RUST_LOG`, only what needs attention is logged.
pub fn to_standard_error() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // A log that cannot be written, for example on a full disk, must not stop the program.
        .log_internal_errors(false)
        .init();
}
