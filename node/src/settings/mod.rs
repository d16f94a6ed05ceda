//! The settings: the server's command line and its optional TOML file, and the client's list of servers.

mod address;
mod arguments;
mod limits;
pub mod servers_conf;

pub use address::{Address, AddressError, CONSENSUS_PORT_OFFSET, LARGEST_PORT, parse_port};
pub use arguments::{ServerArguments, SettingsError};
pub use limits::{FIRST_DENIALS, FIRST_NAMES_OF_ALL, FIRST_NAMES_OF_AN_ADDRESS, LimitError, ServiceLimits};

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The length of one tick of the consensus core. It is short, because every timeout is rounded up to whole ticks and a
/// failover waits for several of them.
pub const TICK: Duration = Duration::from_millis(10);

/// All settings of a server, checked.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The server's name, as people and `client status` know it.
    pub server_id: String,
    /// The address where others reach this server.
    pub address: Address,
    /// The address of this machine on which it listens.
    pub listen: IpAddr,
    /// The port for clients. The consensus port is [`CONSENSUS_PORT_OFFSET`] above it.
    pub port: u16,
    /// The other servers.
    pub peers: Vec<Address>,
    /// The folder for the server's data.
    pub data_dir: PathBuf,
    /// The file with the key that all servers of the cluster share.
    pub cluster_key: PathBuf,
    /// Whether that file may be created: only the default one, for a trial on one machine.
    pub create_cluster_key: bool,
    /// The picture that people without permission see.
    pub unified_image: PathBuf,
    /// Whether the picture was named explicitly, so that a missing file is an error and not a warning.
    pub unified_image_required: bool,
    /// The protocol's timeouts.
    pub timeouts: Timeouts,
    /// The largest upload, in bytes.
    pub upload_limit_bytes: usize,
    /// Whether clients may connect from other machines without TLS.
    pub insecure: bool,
    /// How much of the server its clients may use.
    pub limits: ServiceLimits,
}

impl ServerSettings {
    /// Whether clients must use TLS: always beyond loopback, unless the operator chose otherwise.
    pub fn clients_use_tls(&self) -> bool {
        !self.listen.is_loopback() && !self.insecure
    }
}

/// The protocol's timeouts, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The shortest time without a leader after which a server campaigns.
    pub election_min_ms: u64,
    /// The longest such time.
    pub election_max_ms: u64,
    /// The interval between a leader's heartbeats.
    pub heartbeat_ms: u64,
}

impl Default for Timeouts {
    /// 3 to 6 seconds, and 1 second: slow enough to be watched.
    fn default() -> Self {
        Self {
            election_min_ms: 3000,
            election_max_ms: 6000,
            heartbeat_ms: 1000,
        }
    }
}

impl Timeouts {
    /// Returns the core's timing, in ticks of [`TICK`].
    pub fn timing(&self) -> raft_core::Timing {
        let tick_ms = TICK.as_millis() as u64;
        let ticks = |ms: u64| ms.div_ceil(tick_ms);
        raft_core::Timing {
            election_timeout_min_ticks: ticks(self.election_min_ms),
            election_timeout_max_ticks: ticks(self.election_max_ms),
            heartbeat_ticks: ticks(self.heartbeat_ms),
            // A piece of a snapshot takes one round trip: a peer that needs longer than two elections is unreachable.
            snapshot_timeout_ticks: ticks(self.election_max_ms).saturating_mul(2),
        }
    }
}
