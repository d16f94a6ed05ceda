//! The server's command: reads its settings, starts it, and stops it when asked.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use node::decoding::{Decoder, ProcessLimits, worker};
use node::server::Server;
use node::settings::{ServerArguments, ServerSettings};

/// The exit code for a wrong command line, or wrong settings.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    if let Some(code) = worker::run_if_asked() {
        return code;
    }
    let arguments = ServerArguments::parse();
    let _logs = node::logging::to_standard_error();
    let settings = match arguments.settings() {
        Ok(settings) => settings,
        Err(error) => {
            complain(&format!("{error}\n\nFor examples, try 'server --help'."));
            return ExitCode::from(USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(run(settings))
}

async fn run(settings: ServerSettings) -> ExitCode {
    let banner = settings.clone();
    let decoder = match Decoder::in_children(ProcessLimits::DEFAULT) {
        Ok(decoder) => decoder,
        Err(error) => return fail(&error),
    };
    let mut server = match Server::start(settings, decoder).await {
        Ok(server) => server,
        Err(error) => return fail(&error),
    };
    welcome(&banner, &server);
    tokio::select! {
        () = asked_to_stop() => {
            server.stop().await;
            say("stopped");
            ExitCode::SUCCESS
        }
        error = server.failed() => fail(&error),
    }
}

/// Prints what runs where, and what to do next.
fn welcome(settings: &ServerSettings, server: &Server) {
    let encrypted = if settings.clients_use_tls() {
        "HTTPS"
    } else {
        "HTTP"
    };
    let servers = settings.peers.len() + 1;
    let majority = servers / 2 + 1;
    say(&format!(
        "{} serves clients at {} ({encrypted}), and other servers on port {}\n  \
         data: {}   cluster: {}\n  \
         {majority} of {servers} servers are needed; an election takes {} to {} s. Watch it with RUST_LOG=info, or ask `client status`.",
        settings.server_id,
        settings.address,
        settings.port + node::settings::CONSENSUS_PORT_OFFSET,
        settings.data_dir.display(),
        server.cluster(),
        seconds(settings.timeouts.election_min_ms),
        seconds(settings.timeouts.election_max_ms),
    ));
    if settings.clients_use_tls() {
        let authority = settings.data_dir.join(node::server::AUTHORITY_FILE);
        say(&format!(
            "  clients on other machines need a copy of {} (--authority)",
            authority.display()
        ));
    }
}

fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        (ms / 1000).to_string()
    } else {
        format!("{:.2}", ms as f64 / 1000.0)
    }
}

/// A closed standard output is no reason to stop serving.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    complain(&node::with_causes(error));
    ExitCode::FAILURE
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// Waits for Ctrl+C, or for the signal by which service managers stop their services.
async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
