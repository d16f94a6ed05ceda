//! Three servers as separate processes, so that one can be killed without warning.
//!
//! The program starts itself again in the role of a server, with the same command line as the `server` binary.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use clap::Parser;
use node::client::{Client, ClientError, Options};
use node::decoding::Decoder;
use node::server::Server;
use node::settings::{Address, CONSENSUS_PORT_OFFSET, LARGEST_PORT, ServerArguments};

/// The first argument of a process in the role of a server.
pub(crate) const ROLE: &str = "--in-the-role-of-a-server";

/// The servers of one cluster.
pub(crate) struct Servers {
    folder: PathBuf,
    ports: Vec<u16>,
    children: Vec<Option<Child>>,
}

impl Servers {
    /// Starts three servers on free ports of this machine, with their data in `folder`.
    pub(crate) fn start(folder: PathBuf) -> std::io::Result<Self> {
        // The key that makes three processes one cluster; for a real one, an operator copies it.
        node::cluster_key::ClusterKey::create_or_load(&folder.join("cluster.key"))
            .map_err(std::io::Error::other)?;
        let mut servers = Self {
            folder,
            ports: free_ports(3)?,
            children: vec![None, None, None],
        };
        for number in 0..servers.ports.len() {
            servers.start_one(number)?;
        }
        Ok(servers)
    }

    /// Starts server `number`, or starts it again with the same command.
    pub(crate) fn start_one(&mut self, number: usize) -> std::io::Result<()> {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let name = format!("server{}", number + 1);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ROLE).arg(self.ports[number].to_string()).arg(&name);
        let peers = self.ports.iter().filter(|port| **port != self.ports[number]);
        command.args(peers.map(|port| format!("127.0.0.1:{port}")));
        command.args(["--data-dir", &path(&name), "--cluster-key", &path("cluster.key")]);
        command.args(["--unified-image", &path("unified_image.png")]);
        // The defaults, 3 to 6 seconds, are made for watching; these make the story quick.
        command.args([
            "--election-timeout-min-ms",
            "300",
            "--election-timeout-max-ms",
            "600",
            "--heartbeat-ms",
            "100",
        ]);
        self.children[number] = Some(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?);
        Ok(())
    }

    /// Ends a server as a power cut would: SIGKILL, without a shutdown.
    pub(crate) fn kill(&mut self, number: usize) -> std::io::Result<()> {
        match self.children[number].take() {
            Some(mut child) => child.kill().and_then(|()| child.wait()).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Makes a client on a machine of its own, which has its own folder of keys.
    pub(crate) fn client(&self, machine: &str) -> Result<Client, ClientError> {
        Client::new(Options {
            servers: self
                .ports
                .iter()
                .filter_map(|port| Address::loopback(*port).ok())
                .collect(),
            keys: self.folder.join(format!("keys of {machine}")),
            authority: None,
            insecure: false,
            patience: node::client::DEFAULT_PATIENCE,
            decoder: Decoder::in_this_process(),
        })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for number in 0..self.children.len() {
            let _ = self.kill(number);
        }
    }
}

/// Finds ports that are free now, together with the consensus ports above them.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let mut held = Vec::new();
    while held.len() < count {
        let clients = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = clients.local_addr()?.port();
        if port > LARGEST_PORT {
            continue;
        }
        if let Ok(consensus) = TcpListener::bind((Ipv4Addr::LOCALHOST, port + CONSENSUS_PORT_OFFSET)) {
            held.push((port, clients, consensus));
        }
    }
    Ok(held.into_iter().map(|(port, ..)| port).collect())
}

/// Runs a process in the role of a server: it serves until it is killed, or the program that started it ends.
pub(crate) fn serve(arguments: impl Iterator<Item = String>) -> ExitCode {
    std::thread::spawn(|| {
        // Nothing is ever written to this pipe: reading from it ends when the other end is closed.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let arguments = std::iter::once("server".to_owned()).chain(arguments);
    let settings = ServerArguments::parse_from(arguments).settings();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime.block_on(async {
                let settings = settings.map_err(|error| error.to_string())?;
                let mut server = Server::start(settings, Decoder::in_this_process())
                    .await
                    .map_err(|error| node::with_causes(&error))?;
                Err::<(), String>(server.failed().await.to_string())
            })
        });
    eprintln!("a server stopped: {}", outcome.err().unwrap_or_default());
    ExitCode::FAILURE
}
