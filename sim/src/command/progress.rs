//! How far a command is, in one line on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One line that is drawn over and over, and removed at the end. There is none where standard error is not a terminal.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Begins to show how much of so many is done, with the rate and the time that is left.
    pub(super) fn of(total: u64, what: &str) -> Self {
        Self::new(
            Some(total),
            &format!("{{pos}} of {{len}} {what}, {{per_sec}}, {{eta}} left{{msg}}"),
        )
    }

    /// Begins to show how much is done, without an end in sight.
    pub(super) fn open(what: &str) -> Self {
        Self::new(None, &format!("{{pos}} {what}, {{per_sec}}, {{elapsed}}{{msg}}"))
    }

    fn new(total: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        // The templates above are valid; one that was not would only be shown otherwise.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self(bar)
    }

    /// Shows nothing.
    pub(super) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Shows nothing in a command that prints for machines.
    pub(super) fn unless(self, is_hidden: bool) -> Self {
        if is_hidden {
            self.0.set_draw_target(ProgressDrawTarget::hidden());
        }
        self
    }

    /// Shows that so many are done, and a text after it.
    pub(super) fn show(&self, done: u64, more: impl FnOnce() -> String) {
        if !self.0.is_hidden() {
            self.0.set_message(more());
            self.0.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
