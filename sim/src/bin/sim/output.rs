//! Standard output, and panics.
//!
//! A closed pipe (`| head`) is no error: whoever closed it does not want the rest, and the exit status goes on saying
//! what the runs came to. Any other failure loses what was asked for, so it ends the command.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, Write};

use crate::Ending;

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::print(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(crate) use say;

/// Prints text that has its line ends.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    is_open(io::stdout().write_fmt(text));
}

/// Whether the pipe is still open, by what a write to standard output came to. Ends the command if it failed otherwise.
pub(crate) fn is_open(written: io::Result<()>) -> bool {
    match written {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
        Err(error) => {
            eprintln!("sim: standard output: {error}");
            std::process::exit(Ending::Usage as i32)
        }
    }
}

/// Writes what is still buffered: nobody would look at an error of the flush at exit.
pub(crate) fn flush() {
    is_open(io::stdout().flush());
}

thread_local! {
    /// The last panic of this thread.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Panics of what is simulated are findings, reported with their seed; printing each would be thousands. So a panic is
/// only noted, and [`Unwinding`] prints it if nobody has caught it.
pub(crate) fn note_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANIC.with_borrow_mut(|noted| *noted = panic.to_string());
    }));
}

/// Held at the foot of a thread, prints the panic that unwinds past it.
pub(crate) struct Unwinding;

impl Drop for Unwinding {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let panic = PANIC.with_borrow(String::clone);
            // A second panic, because nobody listens, would abort the process.
            let _unheard = writeln!(io::stderr(), "sim: {panic}");
        }
    }
}
