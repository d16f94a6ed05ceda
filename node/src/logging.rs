//! The destination of the programs' logs.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sends logs to standard error. Without `RUST_LOG`, only what needs attention is logged.
///
/// `RUST_LOG` is a level (`info`), or levels of modules (`warn,node::transport=debug`). Spans and fields cannot be
/// filtered: this program has none, and the filter that knows them brings in regular expressions.
pub fn to_standard_error() {
    let wanted = std::env::var("RUST_LOG").ok();
    let filter = wanted
        .and_then(|wanted| wanted.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let printer = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // A log that cannot be written, for example on a full disk, must not stop the program.
        .log_internal_errors(false);
    tracing_subscriber::registry().with(printer).with(filter).init();
}
