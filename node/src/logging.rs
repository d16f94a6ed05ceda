//! The destination of the programs' logs.
//!
//! A log line is handed to a thread that writes it, through a queue of 4,096 lines. If the reader of
//! standard error stops reading, the thread waits for it, the queue fills, and further lines are dropped and counted.
//! The program itself never waits for its log: a server with a full pipe goes on, and says how many lines it dropped as
//! soon as it can.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How many lines wait for a slow reader; more are dropped.
const QUEUED_LINES: usize = 4096;

/// How long the end of the program waits for its last lines.
const FAREWELL: Duration = Duration::from_millis(500);

/// How soon dropped lines are reported while nothing else is logged.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// Sends logs to standard error. Without `RUST_LOG`, only what needs attention is logged.
///
/// `RUST_LOG` is a level (`info`), or levels of modules (`warn,node::transport=debug`). Spans and fields cannot be
/// filtered: this program has none, and the filter that knows them brings in regular expressions.
///
/// The logs end when the returned value is dropped: it waits a moment for lines that are still queued.
#[must_use = "the last lines are lost without it"]
pub fn to_standard_error() -> Logs {
    let wanted = std::env::var("RUST_LOG").ok();
    let filter = wanted
        .and_then(|wanted| wanted.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let (queue, logs) = Queue::start(io::stderr());
    let printer = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(queue)
        // A log that cannot be written, for example on a full disk, must not stop the program.
        .log_internal_errors(false);
    tracing_subscriber::registry().with(printer).with(filter).init();
    logs
}

/// The thread that writes the logs.
#[derive(Debug)]
pub struct Logs {
    writer: thread::JoinHandle<()>,
    end: SyncSender<Note>,
}

impl Drop for Logs {
    fn drop(&mut self) {
        // A full queue means a reader that does not read: there is nothing to wait for.
        if self.end.try_send(Note::End).is_err() {
            return;
        }
        let deadline = Instant::now() + FAREWELL;
        while !self.writer.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

enum Note {
    Line(Vec<u8>),
    End,
}

/// The way from the program to the thread that writes.
#[derive(Clone, Debug)]
struct Queue {
    notes: SyncSender<Note>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    fn start(destination: impl Write + Send + 'static) -> (Self, Logs) {
        let (notes, queued) = sync_channel(QUEUED_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let writer = thread::spawn(move || write_all(destination, &queued, &counted));
        let end = notes.clone();
        (Self { notes, dropped }, Logs { writer, end })
    }
}

/// Writes until it is told to end. Errors of the destination are ignored: there is nowhere to report them.
fn write_all(mut destination: impl Write, queued: &Receiver<Note>, dropped: &AtomicU64) {
    loop {
        let note = queued.recv_timeout(REPORT_PAUSE);
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                destination,
                "WARN {lost} log lines were dropped: standard error is not read fast enough"
            );
        }
        match note {
            Ok(Note::Line(line)) => {
                let _ = destination.write_all(&line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Note::End) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// One line that is being formatted. It is queued when it is dropped.
struct Line<'a> {
    bytes: Vec<u8>,
    queue: &'a Queue,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() && self.queue.notes.try_send(Note::Line(line)).is_err() {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            bytes: Vec::new(),
            queue: self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex};

    /// A destination that stands still until it is told to go on.
    #[derive(Clone, Default)]
    struct Pipe {
        open: Arc<(Mutex<bool>, Condvar)>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (open, opened) = &*self.open;
            let mut open = open.lock().unwrap();
            while !*open {
                open = opened.wait(open).unwrap();
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_pipe_never_blocks_and_dropped_lines_are_counted() {
        let pipe = Pipe::default();
        let (queue, logs) = Queue::start(pipe.clone());
        let lines = QUEUED_LINES + 100;
        // The pipe stands still: were one of these lines to wait for it, this test would never end.
        for line in 0..lines {
            writeln!(queue.make_writer(), "line {line}").unwrap();
        }
        *pipe.open.0.lock().unwrap() = true;
        pipe.open.1.notify_all();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = String::from_utf8(pipe.written.lock().unwrap().clone()).unwrap();
            let written = text.lines().filter(|line| line.starts_with("line ")).count();
            let dropped: usize = text
                .lines()
                .filter_map(|line| {
                    line.strip_prefix("WARN ")?
                        .split(' ')
                        .next()?
                        .parse::<usize>()
                        .ok()
                })
                .sum();
            if written + dropped == lines && dropped > 0 {
                break;
            }
            assert!(Instant::now() < deadline, "{written} written, {dropped} dropped");
            thread::sleep(Duration::from_millis(10));
        }
        drop(logs);
    }

    #[test]
    fn the_last_lines_are_written_before_the_program_ends() {
        let pipe = Pipe::default();
        *pipe.open.0.lock().unwrap() = true;
        let (queue, logs) = Queue::start(pipe.clone());
        writeln!(queue.make_writer(), "farewell").unwrap();
        drop(logs);
        assert_eq!(*pipe.written.lock().unwrap(), b"farewell\n");
    }
}
