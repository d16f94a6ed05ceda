//! Standard output, standard error, and panics.
//!
//! A closed pipe (`| head`) is not an error: its reader does not want the rest, and the exit status still reports the
//! outcome of the runs. Any other failure loses output that was asked for, so it ends the command.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use super::Ending;

/// How the program is called. One process is one program, whose every thread may have to name it.
static PROGRAM: OnceLock<String> = OnceLock::new();

/// Does the work under this name. A process has one; the first is kept.
pub(super) fn named<R>(name: String, work: impl FnOnce() -> R) -> R {
    PROGRAM.get_or_init(|| name);
    work()
}

/// Returns how the program is called, as a shell reads it.
pub(super) fn program() -> &'static str {
    PROGRAM.get().map_or("sim", String::as_str)
}

/// Returns a text about the program with its name in place of `sim`.
pub(super) fn renamed(text: &str) -> String {
    match program() {
        "sim" => text.to_owned(),
        name => text
            .replace("  sim ", &format!("  {name} "))
            .replace("; sim ", &format!("; {name} ")),
    }
}

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::command::output::print(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(super) use say;

/// Prints text that has its line ends.
pub(super) fn print(text: fmt::Arguments<'_>) {
    is_open(io::stdout().write_fmt(text));
}

/// Prints a line about the command itself to standard error.
pub(super) fn complain(message: &str) {
    eprintln!("{}: {message}", program());
}

/// Whether the pipe is still open after this write to standard output. Ends the command if the write failed otherwise.
pub(super) fn is_open(written: io::Result<()>) -> bool {
    match written {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
        Err(error) => {
            complain(&format!("standard output: {error}"));
            std::process::exit(Ending::Usage as i32)
        }
    }
}

/// Writes what is still buffered, because an error of the flush at exit would be lost.
pub(super) fn flush() {
    is_open(io::stdout().flush());
}

thread_local! {
    /// The last panic of this thread.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps panics from being printed: panics of the simulated code are findings, reported with their seed, and printing
/// each would be thousands. The panic is only stored, and [`Unwinding`] prints it if it is not caught.
pub(super) fn note_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANIC.with_borrow_mut(|noted| *noted = panic.to_string());
    }));
}

/// Prints the panic that unwinds past it, when it is held at the foot of a thread.
pub(super) struct Unwinding;

impl Drop for Unwinding {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let panic = PANIC.with_borrow(String::clone);
            // Standard error may be closed; a second panic because of that would abort the process.
            let _closed = writeln!(io::stderr(), "{}: {panic}", program());
        }
    }
}
