//! The command `client`: reads files, calls the library, writes files, and reports the result.

mod arguments;
mod batch;
mod disclosure;
mod encrypt;
mod offline;
mod report;
mod view;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, Command, Shared};
use clap::Parser;
use node::api::Role;
use node::client::{Client, ClientError, ErrorClass, Options, default_keys, files};
use node::decoding::{Advice, Decoder, ProcessLimits, worker};
use node::settings::servers_conf;
use report::Speaker;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// After this time without a result, a person is told that the command still works.
const QUIET: Duration = Duration::from_secs(1);

/// How long the work may take to stop. After that it waits for something that does not come.
const TIME_TO_STOP: Duration = Duration::from_secs(1);

/// The stack of the thread that does the work: as much as a main thread has on Linux.
const STACK_BYTES: usize = 8 << 20;

/// The largest certificate file that is read.
const AUTHORITY_LIMIT_BYTES: u64 = 64 << 10;

fn main() -> ExitCode {
    if let Some(code) = worker::run_if_asked() {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return of_command_line(&error),
    };
    let _logs = node::logging::to_standard_error();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = run_until_asked_to_stop(&runtime, arguments);
    // A thread that waits for a slow file or pipe would hold the program up.
    runtime.shutdown_background();
    code
}

/// Does the work on a thread of its own: one that waits for standard input, or for a file on a slow disk, hears no
/// signal.
fn run_until_asked_to_stop(runtime: &Runtime, arguments: Arguments) -> ExitCode {
    let (stop, stopped) = oneshot::channel::<()>();
    let (done, mut ended) = oneshot::channel();
    let handle = runtime.handle().clone();
    let work = move || {
        let code = handle.block_on(async {
            tokio::select! {
                code = work(arguments) => code,
                // Dropping the work stops its decoders and removes its temporary files.
                _ = stopped => ExitCode::FAILURE,
            }
        });
        let _ = done.send(code);
    };
    let started = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work);
    if let Err(error) = started {
        let _ = writeln!(std::io::stderr(), "error: cannot start: {error}");
        return ExitCode::FAILURE;
    }
    runtime.block_on(async {
        tokio::select! {
            code = &mut ended => code.unwrap_or(ExitCode::FAILURE),
            code = asked_to_stop() => {
                drop(stop);
                let _ = tokio::time::timeout(TIME_TO_STOP, ended).await;
                ExitCode::from(code)
            }
        }
    })
}

async fn work(arguments: Arguments) -> ExitCode {
    let speaker = speaker(&arguments.shared, arguments.command.output());
    let ended = if arguments.command.has_progress() {
        run(arguments).await
    } else {
        with_patience(run(arguments)).await
    };
    ended.unwrap_or_else(|failure| failure.report(&speaker, None))
}

/// Waits for Ctrl+C or a request to end, and returns the exit status that shells use for it.
async fn asked_to_stop() -> u8 {
    const INTERRUPTED: u8 = 130;
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        const TERMINATED: u8 = 143;
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return INTERRUPTED,
                _ = terminate.recv() => return TERMINATED,
            }
        }
    }
    let _ = tokio::signal::ctrl_c().await;
    INTERRUPTED
}

/// Prints what clap returns about a command line: help, the version, or an error that quotes it.
fn of_command_line(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let text = files::printable(&text);
    let _ = if error.use_stderr() {
        write!(std::io::stderr(), "{text}")
    } else {
        write!(std::io::stdout(), "{text}")
    };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit_status(ErrorClass::Usage)))
}

struct Failure {
    error: ClientError,
    class: ErrorClass,
    /// Further fields of the JSON, which are known in spite of the error.
    known: Vec<(&'static str, Value)>,
}

impl Failure {
    /// Reports the error to people and, with `--json`, to scripts; with the file if it is one of several.
    fn report(&self, speaker: &Speaker, input: Option<&Path>) -> ExitCode {
        let mut message = node::with_causes(&self.error);
        if let Some(advice) = self.error.advice() {
            message.push_str(&format!(" ({})", option_that_helps(advice)));
        }
        let mut value = json!({ "outcome": "error", "reason": message, "remaining": null, "output": null });
        if let Some(input) = input {
            report::insert_path(&mut value, "input", input);
        }
        for (key, known) in &self.known {
            value[*key] = known.clone();
        }
        speaker.print(&value);
        let place = input.map(files::shown).filter(|name| !message.contains(name));
        let place = place.map(|name| format!("{name}: ")).unwrap_or_default();
        speaker.complain(&format!("error: {place}{message}"));
        ExitCode::from(exit_status(self.class))
    }
}

impl<E: Into<ClientError>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Self {
            class: error.class(),
            error,
            known: Vec::new(),
        }
    }
}

fn exit_status(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::Other => 1,
        ErrorClass::Usage => 2,
        ErrorClass::Denied => 3,
        ErrorClass::NotAPicture | ErrorClass::NotProtected => 4,
        ErrorClass::Damaged => 5,
        ErrorClass::Unavailable => 6,
    }
}

/// Returns the option that does what the library advises.
fn option_that_helps(advice: Advice) -> String {
    match advice {
        Advice::FirstFrame => "--first-frame".to_owned(),
        Advice::Bits(bits) => format!("--bits {bits}"),
    }
}

/// Returns a decoder that works in children of this program.
fn decoder(shared: &Shared) -> Result<Decoder, ClientError> {
    let limits = ProcessLimits {
        memory_bytes: shared.decoder_memory.saturating_mul(1 << 20),
        cpu_seconds: shared.decoder_seconds,
        wall: Duration::from_secs(shared.decoder_seconds.saturating_mul(3)),
    };
    Ok(Decoder::in_children(limits)?)
}

/// Waits for the result, and tells a person on a terminal if that takes a while.
async fn with_patience<T>(work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let early = tokio::time::timeout(QUIET, work.as_mut()).await;
    match early {
        Ok(done) => done,
        Err(_) => {
            if std::io::stderr().is_terminal() {
                let _ = writeln!(std::io::stderr(), "still working, or waiting for a leader …");
            }
            work.await
        }
    }
}

async fn run(Arguments { shared, command }: Arguments) -> Result<ExitCode, Failure> {
    match command {
        Command::Encrypt(wanted) => encrypt::run(&shared, &wanted).await,
        Command::View(wanted) => view::run(&shared, &wanted).await,
        Command::Capacity(wanted) => {
            offline::capacity(speaker(&shared, Path::new("")), &decoder(&shared)?, &wanted).await
        }
        Command::Inspect(wanted) => {
            offline::inspect(speaker(&shared, Path::new("")), &decoder(&shared)?, &wanted).await
        }
        Command::Status => status(&shared).await,
    }
}

fn client(shared: &Shared) -> Result<Client, ClientError> {
    let authority = shared
        .authority
        .as_deref()
        .map(|path| files::read(path, AUTHORITY_LIMIT_BYTES))
        .transpose()?;
    Client::new(Options {
        servers: servers_conf::read(&shared.servers)?,
        keys: match &shared.keys {
            Some(folder) => folder.clone(),
            None => default_keys()?,
        },
        authority,
        insecure: shared.insecure,
        patience: Duration::from_secs(shared.timeout),
        decoder: decoder(shared)?,
    })
}

/// Returns where text goes, given the output of pictures.
fn speaker(shared: &Shared, output: &Path) -> Speaker {
    Speaker {
        json: shared.json,
        output_is_standard: files::is_standard_output(output),
        progress: None,
    }
}

async fn status(shared: &Shared) -> Result<ExitCode, Failure> {
    let client = client(shared)?;
    let reports = client.status().await;
    report::status(&speaker(shared, Path::new("")), &reports);
    let led = reports.iter().any(|report| report.role == Some(Role::Leader));
    Ok(if led {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit_status(ErrorClass::Unavailable))
    })
}
