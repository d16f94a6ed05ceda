//! The client's command: reads files, asks the library, writes files, and says what happened.

mod arguments;
mod offline;
mod report;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, Command, Encrypt, ModeArgument, Shared, View};
use clap::{CommandFactory, Parser};
use lsb_core::Limits;
use node::api::Role;
use node::client::{
    Client, ClientError, ErrorClass, Mode, Options, ProtectInput, ViewOutcome, default_keys, files,
};
use node::decoding::{Advice, Decoder, ProcessLimits, worker};
use node::settings::servers_conf;
use report::Speaker;
use serde_json::json;

/// After so long without a result, a person is told that something is going on.
const QUIET: Duration = Duration::from_secs(1);

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
    node::logging::to_standard_error();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let json = arguments.shared.json;
    runtime.block_on(async {
        match with_patience(run(arguments)).await {
            Ok(code) => code,
            Err(Failure { error, class }) => {
                let mut message = node::with_causes(&error);
                if let Some(advice) = error.advice() {
                    message.push_str(&format!(" ({})", option_that_helps(advice)));
                }
                if json {
                    println!(
                        "{}",
                        json!({ "outcome": "error", "reason": message, "remaining": null, "output": null })
                    );
                }
                eprintln!("error: {}", files::printable(&message));
                ExitCode::from(exit_status(class))
            }
        }
    })
}

/// What clap says of a command line, which it quotes: help, the version, or an error.
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
}

impl Failure {
    /// About a picture that need not be protected: that it is not is no answer then.
    fn of_any_picture(error: ClientError) -> Self {
        let class = match error.class() {
            ErrorClass::NotProtected => ErrorClass::Other,
            class => class,
        };
        Self { error, class }
    }
}

impl<E: Into<ClientError>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Self {
            class: error.class(),
            error,
        }
    }
}

fn exit_status(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::Other => 1,
        ErrorClass::Usage => 2,
        ErrorClass::Denied => 3,
        ErrorClass::NotProtected => 4,
        ErrorClass::Damaged => 5,
        ErrorClass::Unavailable => 6,
    }
}

/// The option of this command that does what the library's message advises.
fn option_that_helps(advice: Advice) -> String {
    match advice {
        Advice::FirstFrame => "--first-frame".to_owned(),
        Advice::Bits(bits) => format!("--bits {bits}"),
    }
}

/// Where pictures are decoded: in children of this program.
fn decoder(shared: &Shared) -> Result<Decoder, ClientError> {
    let limits = ProcessLimits {
        memory_bytes: shared.decoder_memory.saturating_mul(1 << 20),
        cpu_seconds: shared.decoder_seconds,
        wall: Duration::from_secs(shared.decoder_seconds.saturating_mul(3)),
    };
    Ok(Decoder::in_children(limits)?)
}

/// Tells a person who waits that it may take a moment longer.
async fn with_patience<T>(work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let early = tokio::time::timeout(QUIET, work.as_mut()).await;
    match early {
        Ok(done) => done,
        Err(_) => {
            if std::io::stderr().is_terminal() {
                eprintln!("still working, or waiting for a leader …");
            }
            work.await
        }
    }
}

async fn run(Arguments { shared, command }: Arguments) -> Result<ExitCode, Failure> {
    match command {
        Command::Encrypt(encrypt) => protect(&shared, encrypt).await,
        Command::View(wanted) => view(&shared, wanted).await,
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

fn speaker(shared: &Shared, output: &Path) -> Speaker {
    Speaker {
        json: shared.json,
        output_is_standard: files::is_standard_output(output),
    }
}

async fn protect(shared: &Shared, wanted: Encrypt) -> Result<ExitCode, Failure> {
    let client = client(shared)?;
    files::check_distinct(&wanted.input, &wanted.output)?;
    files::check_writable(&wanted.output)?;
    let original = files::read(&wanted.input, Limits::DEFAULT.upload_bytes)?;
    let mode = mode(&wanted)?;
    let label = mode == Mode::Label;
    let input = ProtectInput {
        original,
        owner: wanted.owner,
        grants: wanted.grant,
        mode,
        bits: wanted.bits,
        first_frame: wanted.first_frame,
    };
    let protected = client.protect(input).await.map_err(Failure::of_any_picture)?;
    files::write(&wanted.output, &protected.picture, files::Access::Public)?;
    report::protected(
        speaker(shared, &wanted.output),
        &wanted.input,
        &wanted.output,
        label,
        &protected,
    );
    Ok(ExitCode::SUCCESS)
}

/// How the picture shows itself, with the cover's file read.
fn mode(wanted: &Encrypt) -> Result<Mode, ClientError> {
    Ok(match (wanted.mode(), &wanted.cover) {
        (ModeArgument::Cover, Some(cover)) => {
            files::check_distinct(cover, &wanted.output)?;
            Mode::Cover(files::read(cover, Limits::DEFAULT.carrier_bytes)?)
        }
        (ModeArgument::Cover, None) | (_, Some(_)) => Arguments::command()
            .error(
                clap::error::ErrorKind::ArgumentConflict,
                "--cover names the picture that everybody sees in --mode cover, and in no other",
            )
            .exit(),
        (ModeArgument::Sealed, None) => Mode::Sealed,
        (ModeArgument::Preview, None) => Mode::Preview,
        (ModeArgument::Label, None) => Mode::Label,
    })
}

async fn view(shared: &Shared, wanted: View) -> Result<ExitCode, Failure> {
    let client = client(shared)?;
    files::check_distinct(&wanted.input, &wanted.output)?;
    files::check_writable(&wanted.output)?;
    let file = files::read(&wanted.input, Limits::DEFAULT.carrier_bytes)?;
    let viewing = client.view(file, &wanted.user).await?;
    let (picture, code) = match &viewing.outcome {
        ViewOutcome::Granted { picture, .. } => (picture, ExitCode::SUCCESS),
        ViewOutcome::Denied { picture, .. } => (picture, ExitCode::from(exit_status(ErrorClass::Denied))),
    };
    files::write(&wanted.output, picture, files::Access::Private)?;
    report::viewed(
        speaker(shared, &wanted.output),
        &wanted.output,
        &viewing.outcome,
        viewing.resumed,
    );
    // Only now is the answer safe.
    viewing.finish(&client).await;
    Ok(code)
}

async fn status(shared: &Shared) -> Result<ExitCode, Failure> {
    let client = client(shared)?;
    let reports = client.status().await;
    report::status(
        Speaker {
            json: shared.json,
            output_is_standard: false,
        },
        &reports,
    );
    let led = reports.iter().any(|report| report.role == Some(Role::Leader));
    Ok(if led {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit_status(ErrorClass::Unavailable))
    })
}
