//! The server's command line and its TOML file, merged and checked.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use clap::Parser;
use serde::Deserialize;

use super::address::{Address, AddressError, CONSENSUS_PORT_OFFSET, parse_port};
use super::limits::{LimitChoices, LimitError};
use super::{ServerSettings, TICK, Timeouts};
use crate::cluster_key::{ClusterKey, ClusterKeyError};

const EXAMPLES: &str = "\
Three servers on one machine, each in a terminal of its own:

  server 8080 server1 127.0.0.1:8081 127.0.0.1:8082
  server 8081 server2 127.0.0.1:8080 127.0.0.1:8082
  server 8082 server3 127.0.0.1:8080 127.0.0.1:8081

Two of the three are enough. Set RUST_LOG=info to watch them become Follower, Candidate and Leader, and ask
`client status` who leads. Then protect a picture:

  client encrypt --input photo.png --owner alice --grant bob=3

On several machines, copy the cluster key of the first server to the others, and say where each one is reached:

  server 8080 server1 b.example.org:8080 c.example.org:8080 --advertise a.example.org --cluster-key /etc/raft-lsb/cluster.key";

/// Keeps the ledger of who may view which picture how often, together with its peers.
///
/// Serves clients on PORT and talks to the other servers on PORT + 1000 (always over mutual TLS).
#[derive(Clone, Debug, Parser)]
#[command(name = "server", version, after_help = EXAMPLES)]
pub struct ServerArguments {
    /// The port for clients, from 1 to 64535; the port 1000 above it is for the other servers.
    #[arg(value_name = "PORT")]
    port: String,
    /// A name of your choice for this server, different on each.
    #[arg(value_name = "SERVER_ID")]
    server_id: String,
    /// The other servers: host:port, with the port for clients.
    #[arg(value_name = "PEER")]
    peers: Vec<String>,
    /// Reads settings from this TOML file; flags take precedence. Its keys are the names of the flags below; those of
    /// the limits are in its table `[limits]`.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    #[command(flatten)]
    choices: Choices,
}

/// The settings of both the command line and the TOML file.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Choices {
    /// The folder for the data [default: ./data/SERVER_ID].
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The address of this machine to listen on [default: 127.0.0.1, or every address when --advertise is not
    /// loopback].
    #[arg(long, value_name = "IP")]
    listen: Option<IpAddr>,
    /// How the other servers and clients reach this server: a host, or host:port. Needed as soon as a peer is on
    /// another machine.
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// The key that all servers of the cluster share [default: cluster.key in your configuration folder, created when
    /// missing].
    #[arg(long, value_name = "FILE")]
    cluster_key: Option<PathBuf>,
    /// The picture that people without permission see [default: ./unified_image.png, else a built-in one].
    #[arg(long, value_name = "FILE")]
    unified_image: Option<PathBuf>,
    /// The shortest time without heartbeats before a server campaigns [default: 3000].
    #[arg(long, value_name = "MS")]
    election_timeout_min_ms: Option<u64>,
    /// The longest such time [default: 6000].
    #[arg(long, value_name = "MS")]
    election_timeout_max_ms: Option<u64>,
    /// The interval between a leader's heartbeats [default: 1000].
    #[arg(long, value_name = "MS")]
    heartbeat_ms: Option<u64>,
    /// The largest upload that is accepted, in MiB [default: 32]. Protecting one picture takes about ten times as much
    /// memory.
    #[arg(long, value_name = "MIB")]
    max_upload_mib: Option<u64>,
    /// Serves clients on other machines without TLS: their pictures' policies and requests can then be read on the way.
    #[arg(long, num_args = 0, default_missing_value = "true")]
    insecure: Option<bool>,
    #[command(flatten)]
    #[serde(default)]
    limits: LimitChoices,
}

/// Why a server cannot start with its settings. The operator is wrong.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The port for clients is unusable.
    #[error("PORT: {0}")]
    Port(#[source] AddressError),
    /// An address is malformed.
    #[error("{what}: {source}")]
    Address {
        /// Which address.
        what: &'static str,
        /// What is wrong.
        source: AddressError,
    },
    /// The name is unusable.
    #[error("SERVER_ID: `{}` is not a usable name; choose up to 64 letters, digits, `-`, `_` and `.`, beginning with a letter or a digit", .name.escape_debug())]
    ServerId {
        /// The name.
        name: String,
    },
    /// A peer is this server.
    #[error("the peer {address} is this server itself; list only the others")]
    PeerIsSelf {
        /// The address.
        address: Address,
    },
    /// A peer is listed twice.
    #[error("the peer {address} is listed twice")]
    DuplicatePeer {
        /// The address.
        address: Address,
    },
    /// The port of one server is the consensus port of another on the same host.
    #[error(
        "port {port} of {of} is also the consensus port of {other} ({} + {CONSENSUS_PORT_OFFSET}): choose ports that are not exactly {CONSENSUS_PORT_OFFSET} apart",
        other.port()
    )]
    PortCollision {
        /// The port.
        port: u16,
        /// The server that serves clients on it.
        of: Address,
        /// The server that uses it for consensus.
        other: Address,
    },
    /// Peers on other machines could not reach this server.
    #[error(
        "the peer {peer} is on another machine, so this server must advertise its own address; add --advertise HOST, with a name or an address that the peers can dial"
    )]
    AdvertiseRequired {
        /// The peer.
        peer: Address,
    },
    /// The advertised address could not be reached.
    #[error(
        "this server advertises {address}, but listens on {listen} only; add --listen with an address that others can reach, such as 0.0.0.0"
    )]
    ListensElsewhere {
        /// The advertised address.
        address: Address,
        /// The address on which it listens.
        listen: IpAddr,
    },
    /// The election timeout's range is empty.
    #[error("--election-timeout-min-ms ({min}) must not be more than --election-timeout-max-ms ({max})")]
    ElectionTimeout {
        /// The lower end.
        min: u64,
        /// The upper end.
        max: u64,
    },
    /// Followers would campaign between two heartbeats.
    #[error(
        "--heartbeat-ms ({heartbeat}) must be at most half of --election-timeout-min-ms ({min}), so that one lost heartbeat does not cause an election"
    )]
    Heartbeat {
        /// The heartbeat.
        heartbeat: u64,
        /// The lower end of the election timeout.
        min: u64,
    },
    /// A timeout is out of range.
    #[error("--{name} is {ms} ms; choose from {} to {LONGEST_TIMEOUT_MS} ms", TICK.as_millis())]
    TimeoutRange {
        /// The flag.
        name: &'static str,
        /// The value.
        ms: u64,
    },
    /// The upload limit is out of range.
    #[error("--max-upload-mib is {mib}; choose from 1 to {LARGEST_UPLOAD_MIB}")]
    UploadLimit {
        /// The value.
        mib: u64,
    },
    /// A limit is out of range.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The TOML file cannot be read.
    #[error("cannot read the settings in {}: {source}", path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The TOML file is malformed.
    #[error("{}: {source}", path.display())]
    FileMalformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// There is no folder for the default cluster key.
    #[error(transparent)]
    ClusterKey(#[from] ClusterKeyError),
}

const LONGEST_TIMEOUT_MS: u64 = 3_600_000;
const LARGEST_UPLOAD_MIB: u64 = 256;
const DEFAULT_UPLOAD_MIB: u64 = 32;

impl ServerArguments {
    /// Merges the file in and checks all settings.
    ///
    /// # Errors
    ///
    /// The first mistake, with what to do about it.
    pub fn settings(self) -> Result<ServerSettings, SettingsError> {
        let file = self
            .config
            .as_deref()
            .map_or_else(|| Ok(Choices::default()), read_file)?;
        let choices = self.choices.or(file);
        let port = parse_port(&self.port).map_err(SettingsError::Port)?;
        let server_id = check_server_id(self.server_id)?;
        let peers = parse_peers(&self.peers)?;
        let address = match &choices.advertise {
            Some(text) => parse_advertised(text, port)?,
            None => Address::loopback(port).map_err(SettingsError::Port)?,
        };
        if choices.advertise.is_none()
            && let Some(peer) = peers.iter().find(|peer| !peer.is_loopback())
        {
            return Err(SettingsError::AdvertiseRequired { peer: peer.clone() });
        }
        check_addresses(&address, &peers)?;
        let listen = match choices.listen {
            Some(listen) => listen,
            None if address.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        };
        if !address.is_loopback() && listen.is_loopback() {
            return Err(SettingsError::ListensElsewhere { address, listen });
        }
        let timeouts = choices.timeouts()?;
        let upload_mib = choices.max_upload_mib.unwrap_or(DEFAULT_UPLOAD_MIB);
        if !(1..=LARGEST_UPLOAD_MIB).contains(&upload_mib) {
            return Err(SettingsError::UploadLimit { mib: upload_mib });
        }
        let create_cluster_key = choices.cluster_key.is_none();
        Ok(ServerSettings {
            data_dir: choices
                .data_dir
                .unwrap_or_else(|| Path::new("data").join(&server_id)),
            cluster_key: match choices.cluster_key {
                Some(path) => path,
                None => ClusterKey::default_path()?,
            },
            create_cluster_key,
            unified_image_required: choices.unified_image.is_some(),
            unified_image: choices
                .unified_image
                .unwrap_or_else(|| "unified_image.png".into()),
            upload_limit_bytes: (upload_mib as usize) << 20,
            insecure: choices.insecure.unwrap_or(false),
            limits: choices.limits.limits()?,
            server_id,
            address,
            listen,
            port,
            peers,
            timeouts,
        })
    }
}

impl Choices {
    /// Returns these settings, filled up with the other's where none was given here.
    fn or(self, other: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(other.data_dir),
            listen: self.listen.or(other.listen),
            advertise: self.advertise.or(other.advertise),
            cluster_key: self.cluster_key.or(other.cluster_key),
            unified_image: self.unified_image.or(other.unified_image),
            election_timeout_min_ms: self.election_timeout_min_ms.or(other.election_timeout_min_ms),
            election_timeout_max_ms: self.election_timeout_max_ms.or(other.election_timeout_max_ms),
            heartbeat_ms: self.heartbeat_ms.or(other.heartbeat_ms),
            max_upload_mib: self.max_upload_mib.or(other.max_upload_mib),
            insecure: self.insecure.or(other.insecure),
            limits: self.limits.or(other.limits),
        }
    }

    fn timeouts(&self) -> Result<Timeouts, SettingsError> {
        let standard = Timeouts::default();
        let timeouts = Timeouts {
            election_min_ms: self.election_timeout_min_ms.unwrap_or(standard.election_min_ms),
            election_max_ms: self.election_timeout_max_ms.unwrap_or(standard.election_max_ms),
            heartbeat_ms: self.heartbeat_ms.unwrap_or(standard.heartbeat_ms),
        };
        for (name, ms) in [
            ("election-timeout-min-ms", timeouts.election_min_ms),
            ("election-timeout-max-ms", timeouts.election_max_ms),
            ("heartbeat-ms", timeouts.heartbeat_ms),
        ] {
            if !(TICK.as_millis() as u64..=LONGEST_TIMEOUT_MS).contains(&ms) {
                return Err(SettingsError::TimeoutRange { name, ms });
            }
        }
        let Timeouts {
            election_min_ms: min,
            election_max_ms: max,
            heartbeat_ms: heartbeat,
        } = timeouts;
        if min > max {
            return Err(SettingsError::ElectionTimeout { min, max });
        }
        if heartbeat.saturating_mul(2) > min {
            return Err(SettingsError::Heartbeat { heartbeat, min });
        }
        Ok(timeouts)
    }
}

fn read_file(path: &Path) -> Result<Choices, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::FileUnreadable {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|source| SettingsError::FileMalformed {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// The name becomes a folder's and appears in log lines, so it is limited to characters that are harmless in both.
fn check_server_id(name: String) -> Result<String, SettingsError> {
    let begins_well = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if begins_well && name.len() <= 64 && name.bytes().all(harmless) {
        Ok(name)
    } else {
        Err(SettingsError::ServerId { name })
    }
}

fn parse_peers(texts: &[String]) -> Result<Vec<Address>, SettingsError> {
    texts
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|source| SettingsError::Address { what: "PEER", source })
        })
        .collect()
}

/// `--advertise` takes a host, to which the port is added, or host:port where a gateway changes the port.
fn parse_advertised(text: &str, port: u16) -> Result<Address, SettingsError> {
    match Address::from_parts(text, port) {
        Ok(address) => Ok(address),
        Err(AddressError::Host { .. }) => text.parse().map_err(|source| SettingsError::Address {
            what: "--advertise",
            source,
        }),
        Err(source) => Err(SettingsError::Address {
            what: "--advertise",
            source,
        }),
    }
}

fn check_addresses(own: &Address, peers: &[Address]) -> Result<(), SettingsError> {
    let mut seen: Vec<&Address> = Vec::new();
    for peer in peers {
        if peer == own {
            return Err(SettingsError::PeerIsSelf {
                address: peer.clone(),
            });
        }
        if seen.contains(&peer) {
            return Err(SettingsError::DuplicatePeer {
                address: peer.clone(),
            });
        }
        seen.push(peer);
    }
    seen.push(own);
    for of in &seen {
        for other in &seen {
            if of.shares_host_with(other) && of.port() == other.consensus_port() {
                return Err(SettingsError::PortCollision {
                    port: of.port(),
                    of: (*of).clone(),
                    other: (*other).clone(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str) -> Result<ServerSettings, String> {
        let words = std::iter::once("server").chain(line.split_whitespace());
        let arguments = ServerArguments::try_parse_from(words).map_err(|error| error.to_string())?;
        arguments.settings().map_err(|error| error.to_string())
    }

    fn refused(line: &str, because: &str) {
        let error = settings(line).expect_err(line);
        assert!(error.contains(because), "{line}: {error}");
    }

    #[test]
    fn the_plain_command_line_has_the_documented_defaults() {
        let settings = settings("8080 server1 127.0.0.1:8081 localhost:8082 --cluster-key k")
            .expect("a plain command line");
        assert_eq!(settings.address.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.address.consensus(), "127.0.0.1:9080");
        assert_eq!(settings.data_dir, Path::new("data/server1"));
        assert_eq!(
            settings.timeouts,
            Timeouts {
                election_min_ms: 3000,
                election_max_ms: 6000,
                heartbeat_ms: 1000
            }
        );
        assert!(!settings.clients_use_tls());
        assert!(settings.listen.is_loopback());
    }

    #[test]
    fn impossible_ports_and_peers_are_refused() {
        refused("64536 s", "choose one from 1 to 64535");
        refused("0 s", "choose one from 1 to 64535");
        refused("http s", "choose one from 1 to 64535");
        refused("8080 s 127.0.0.1:65000", "choose one from 1 to 64535");
        refused("8080 s 127.0.0.1", "has no port");
        refused("8080 s localhost:8080", "is this server itself");
        refused("8080 s 127.0.0.1:8081 127.0.0.1:8081", "listed twice");
        refused(
            "9080 s 127.0.0.1:8080",
            "port 9080 of 127.0.0.1:9080 is also the consensus port of 127.0.0.1:8080",
        );
        refused(
            "8080 s 127.0.0.1:9080",
            "port 9080 of 127.0.0.1:9080 is also the consensus port of 127.0.0.1:8080",
        );
        refused(
            "8080 s 127.0.0.1:8081 127.0.0.1:9081",
            "also the consensus port of 127.0.0.1:8081",
        );
        refused("8080 ../s", "not a usable name");
        refused("8080 .. 127.0.0.1:8081", "not a usable name");
    }

    #[test]
    fn peers_on_other_machines_need_an_advertised_address() {
        refused("8080 s 10.0.0.2:8080", "add --advertise HOST");
        refused(
            "8080 s 10.0.0.2:8080 --advertise 10.0.0.1 --listen 127.0.0.1",
            "listens on 127.0.0.1 only",
        );
        let settings =
            settings("8080 s 10.0.0.2:9080 --advertise 10.0.0.1 --cluster-key k").expect("two machines");
        assert_eq!(settings.address.to_string(), "10.0.0.1:8080");
        assert!(settings.clients_use_tls());
    }

    #[test]
    fn timeouts_must_fit_each_other() {
        refused(
            "8080 s --election-timeout-min-ms 7000",
            "(7000) must not be more than",
        );
        refused("8080 s --heartbeat-ms 3000", "must be at most half of");
        refused("8080 s --heartbeat-ms 0", "choose from 10 to");
        refused("8080 s --max-upload-mib 0", "choose from 1 to 256");
    }

    #[test]
    fn flags_take_precedence_over_the_file_and_unknown_keys_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("server.toml");
        std::fs::write(
            &path,
            "heartbeat-ms = 50\nelection-timeout-min-ms = 200\ncluster-key = \"k\"\n",
        )
        .unwrap();
        let line = format!("8080 s --heartbeat-ms 70 --config {}", path.display());
        let merged = settings(&line).expect("a file and a flag");
        assert_eq!(
            merged.timeouts,
            Timeouts {
                election_min_ms: 200,
                election_max_ms: 6000,
                heartbeat_ms: 70
            }
        );
        std::fs::write(&path, "hartbeat-ms = 50\n").unwrap();
        refused(&line, "hartbeat-ms");
        std::fs::write(&path, "[limits]\nmax-connections = 7\ndenials-per-minute = 8\n").unwrap();
        let line = format!(
            "8080 s --cluster-key k --max-connections 9 --config {}",
            path.display()
        );
        let merged = settings(&line).expect("limits of a file and a flag").limits;
        assert_eq!((merged.connections, merged.denials_per_minute), (9, 8));
        std::fs::write(&path, "[limits]\nconnections = 7\n").unwrap();
        refused(&line, "max-connections");
        refused(
            "8080 s --cluster-key k --requests-per-second 0",
            "choose from 1 to",
        );
    }
}
