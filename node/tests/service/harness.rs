//! Clusters of server processes in temporary folders.
//!
//! Nothing here waits for a fixed time: everything is waited for until a deadline that only a broken program misses.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lsb_core::envelope::{Grant, UserName, Views};
use node::api::Role;
use node::client::{Client, Mode, Options, ProtectInput, Protected, ServerReport, ViewOutcome};
use node::decoding::Decoder;
use node::settings::Address;

/// Long enough for a machine that does a dozen other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A photograph.
pub(crate) const PHOTO: &[u8] = include_bytes!("../../../examples/photos/chelsea.png");

/// The picture for everybody else, as it lies at the root of the repository.
pub(crate) const UNIFIED_IMAGE: &[u8] = include_bytes!("../../../unified_image.png");

/// Servers, running or not, with a folder that serves as their working directory and as a person's home.
pub(crate) struct Cluster {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ports: Vec<u16>,
    pub(crate) children: Vec<Option<Child>>,
    /// More flags, per server.
    pub(crate) flags: Vec<Vec<String>>,
    /// How many files each server may have open; `None` for as many as this test may.
    pub(crate) open_files: Option<u32>,
}

impl Cluster {
    /// A folder with the files that a person would put there; no server runs yet.
    pub(crate) fn new(servers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("unified_image.png"), UNIFIED_IMAGE).unwrap();
        fs::write(folder.path().join("photo.png"), PHOTO).unwrap();
        let cluster = Self {
            folder,
            ports: free_ports(servers),
            children: (0..servers).map(|_| None).collect(),
            flags: vec![Vec::new(); servers],
            open_files: None,
        };
        cluster.write_servers_conf();
        cluster
    }

    /// The same with all servers started.
    pub(crate) fn started(servers: usize) -> Self {
        let mut cluster = Self::new(servers);
        for server in 0..servers {
            cluster.start(server);
        }
        cluster
    }

    pub(crate) fn write_servers_conf(&self) {
        let lines: String = self
            .ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}\n"))
            .collect();
        fs::write(self.path("servers.conf"), lines).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn name(server: usize) -> String {
        format!("server{}", server + 1)
    }

    /// The command of a server, as a person would type it, with timeouts for the impatient.
    pub(crate) fn server_command(&self, server: usize) -> Command {
        let program = env!("CARGO_BIN_EXE_server");
        let mut command = match self.open_files {
            None => self.command(program),
            Some(files) => {
                let mut shell = self.command("sh");
                shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), program]);
                shell
            }
        };
        command
            .arg(self.ports[server].to_string())
            .arg(Self::name(server));
        let peers = self.ports.iter().filter(|port| **port != self.ports[server]);
        command.args(peers.map(|port| format!("127.0.0.1:{port}")));
        command.args([
            "--election-timeout-min-ms",
            "400",
            "--election-timeout-max-ms",
            "800",
        ]);
        command.args(["--heartbeat-ms", "100"]);
        command.args(&self.flags[server]);
        command
    }

    /// Starts a server; it logs to a file that [`Cluster::log`] reads.
    pub(crate) fn start(&mut self, server: usize) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path(server))
            .unwrap();
        let mut command = self.server_command(server);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        assert!(self.children[server].replace(child).is_none(), "it runs already");
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, server: usize) {
        if let Some(mut child) = self.children[server].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn log(&self, server: usize) -> String {
        fs::read_to_string(self.log_path(server)).unwrap_or_default()
    }

    fn log_path(&self, server: usize) -> PathBuf {
        self.path(&format!("{}.log", Self::name(server)))
    }

    /// Waits until the server's log says this.
    pub(crate) fn wait_for_log(&self, server: usize, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.log(server).contains(text) {
            assert!(
                Instant::now() < deadline,
                "{} never said `{text}`:\n{}",
                Self::name(server),
                self.log(server)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs the client's command in the folder.
    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        self.client_command(arguments).output().unwrap()
    }

    /// Returns the client's command, to be run in the folder.
    pub(crate) fn client_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_client"));
        command.args(arguments);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // Everything that is not named lies in the folder: the default cluster key and the device keys, too.
        command
            .current_dir(self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("config"));
        command
            .env("HOME", self.folder.path())
            .env("RUST_LOG", "info")
            .stdin(Stdio::null());
        command
    }

    /// The client's library, on a machine of its own.
    pub(crate) fn library(&self, machine: &str) -> Client {
        self.library_asking(machine, &self.ports)
    }

    /// The same, with the servers in this order.
    pub(crate) fn library_asking(&self, machine: &str, ports: &[u16]) -> Client {
        Client::new(Options {
            servers: ports
                .iter()
                .map(|port| Address::loopback(*port).unwrap())
                .collect(),
            keys: self.path(&format!("keys-{machine}")),
            authority: None,
            insecure: false,
            patience: DEADLINE,
            decoder: Decoder::in_this_process(),
        })
        .unwrap()
    }

    /// Waits until one of the servers leads and a majority follows it, and returns its number.
    pub(crate) async fn leader(&self) -> usize {
        let client = self.library("watcher");
        let deadline = Instant::now() + DEADLINE;
        loop {
            let reports = client.status().await;
            if let Some(leader) = undisputed(&reports) {
                return leader;
            }
            assert!(
                Instant::now() < deadline,
                "no leader:\n{reports:?}\n{}",
                self.log(0)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the server has applied everything that is committed anywhere.
    pub(crate) async fn caught_up(&self, server: usize) {
        let client = self.library("watcher");
        let deadline = Instant::now() + DEADLINE;
        loop {
            let reports = client.status().await;
            let committed = reports.iter().filter_map(|report| report.commit).max();
            if committed > Some(0) && reports[server].applied == committed {
                return;
            }
            assert!(Instant::now() < deadline, "{reports:?}\n{}", self.log(server));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for server in 0..self.children.len() {
            if let Some(mut child) = self.children[server].take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if std::thread::panicking() {
            for server in 0..self.children.len() {
                eprintln!("--- {}\n{}", Self::name(server), self.log(server));
            }
        }
    }
}

fn undisputed(reports: &[ServerReport]) -> Option<usize> {
    let leader = reports
        .iter()
        .position(|report| report.role == Some(Role::Leader))?;
    let followers = reports
        .iter()
        .filter(|report| report.leader == reports[leader].server_id);
    (followers.count() > reports.len() / 2).then_some(leader)
}

/// Ports that nobody has, with the consensus ports above them. They lie below the range from which systems take the
/// ports of outgoing connections, so that nobody takes them while a server is down.
fn free_ports(count: usize) -> Vec<u16> {
    static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = taken.get_or_insert_default();
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let start = 10_000 + (std::process::id() % 1000) as u16 * 20;
    let candidates = (start..31_000).chain(10_000..start);
    let mut ports = Vec::new();
    for port in candidates {
        let unused = !taken.contains(&port) && !taken.contains(&(port + 1000));
        if ports.len() < count && unused && free(port) && free(port + 1000) {
            taken.extend([port, port + 1000]);
            ports.push(port);
        }
    }
    assert_eq!(ports.len(), count, "this machine has no free ports left");
    ports
}

pub(crate) fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

pub(crate) fn views(name: &str, views: u32) -> Grant {
    Grant::new(user(name), Views::Total(views))
}

/// Protects the photograph.
pub(crate) async fn protect(client: &Client, owner: &str, grants: Vec<Grant>) -> Protected {
    let input = ProtectInput {
        original: PHOTO.to_vec(),
        name: None,
        owner: user(owner),
        grants,
        mode: Mode::Sealed,
        bits: None,
        first_frame: false,
        keep_metadata: false,
        strip_metadata: false,
    };
    client.protect(input).await.unwrap()
}

/// Views a picture to the end.
pub(crate) async fn view(client: &Client, picture: &[u8], name: &str) -> ViewOutcome {
    let viewing = client.view(picture.to_vec(), &user(name)).await.unwrap();
    let outcome = viewing.outcome.clone();
    viewing.finish(client).await;
    outcome
}

/// The views that remain after one that must have been granted, with the right picture.
#[track_caller]
pub(crate) fn remaining(outcome: &ViewOutcome) -> u32 {
    match outcome {
        ViewOutcome::Granted {
            picture,
            remaining: Some(remaining),
            ..
        } => {
            assert!(picture == PHOTO, "another picture came out than went in");
            *remaining
        }
        other => panic!("denied: {other:?}"),
    }
}

/// What a command printed and how it ended, for assertions that explain themselves.
#[track_caller]
pub(crate) fn ended(output: &Output, code: i32, error: &str) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
    assert!(err.contains(error), "`{error}` is not in:\n{err}");
}

/// The files of a folder, with what lies in its subfolders.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
