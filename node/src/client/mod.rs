//! The client's library: finds the leader, keeps the user's keys, and neither loses a view nor charges it twice.
//!
//! A [`Client`] is a list of servers and a folder of keys. [`Client::protect`] seals a picture and registers it;
//! [`Client::view`] requests one view of it; [`Client::status`] and [`Client::object`] query the servers. Every call
//! retries through a failover until [`Options::patience`] ends, and none charges anything twice.

mod cluster;
mod connection;
pub mod files;
mod journal;
mod keys;
pub mod names;
mod protect;
mod status;
mod view;

pub use files::FileError;
pub use journal::JournalError;
pub use keys::KeyError;
pub use protect::{Disclosure, Mode, OWNER_VIEWS, ProtectInput, Protected};
pub use status::ServerReport;
pub use view::{ViewOutcome, Viewing};

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lsb_core::envelope::UserName;
use lsb_core::{ClusterId, UnixSeconds};
use serde::{Deserialize, Serialize};

use self::cluster::Cluster;
use self::connection::Call;
use self::keys::DeviceKey;
use crate::api::{ClusterInfo, Enrolled, ErrorBody};
use crate::cluster_key::{ClusterKey, ClusterKeyError};
use crate::decoding::{Advice, Decoder, DecodingError, Verdict};
use crate::ledger::request::{EnrolRequest, RequestError, Signed};
use crate::settings::Address;
use crate::settings::servers_conf::ServersConfError;
use crate::tls::{self, TlsError};

/// The options of a client.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers, in the order in which they are tried.
    pub servers: Vec<Address>,
    /// The folder of device keys and journals; see [`default_keys`].
    pub keys: PathBuf,
    /// The certificate of the cluster's authority, in PEM, for servers on other machines.
    pub authority: Option<Vec<u8>>,
    /// Whether connections to other machines may go without TLS.
    pub insecure: bool,
    /// How long to retry through elections and failovers.
    pub patience: Duration,
    /// Where pictures are decoded.
    pub decoder: Decoder,
}

/// The default patience: a little more than two elections with the servers' default timeouts.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

/// Returns the folder of keys in the user's configuration folder, beside the cluster key of a local trial.
///
/// # Errors
///
/// An environment without a home.
pub fn default_keys() -> Result<PathBuf, ClusterKeyError> {
    Ok(ClusterKey::default_path()?.with_file_name("keys"))
}

/// A client of one cluster.
pub struct Client {
    cluster: Arc<Cluster>,
    keys: PathBuf,
    decoder: Decoder,
    /// The names that were found enrolled with this machine's keys: their requests need no further proof.
    enrolled: Mutex<BTreeSet<(ClusterId, UserName)>>,
}

impl Client {
    /// Returns a client. No server is asked yet.
    ///
    /// # Errors
    ///
    /// The certificate of the authority is malformed.
    pub fn new(options: Options) -> Result<Self, ClientError> {
        let tls = options
            .authority
            .as_deref()
            .map(tls::client_trusting)
            .transpose()?;
        let cluster = Cluster::new(options.servers, tls, options.insecure, options.patience);
        Ok(Self {
            cluster: Arc::new(cluster),
            keys: options.keys,
            decoder: options.decoder,
            enrolled: Mutex::default(),
        })
    }

    /// Returns the identity and the limits of the cluster.
    ///
    /// # Errors
    ///
    /// No server answers.
    pub async fn cluster_info(&self) -> Result<ClusterInfo, ClientError> {
        self.cluster.ask(&Call::get("/v1/cluster")).await
    }

    fn device(&self, cluster: ClusterId, user: &UserName) -> Result<DeviceKey, ClientError> {
        Ok(DeviceKey::load_or_create(&self.keys, cluster, user)?)
    }

    /// Binds the name to this device's key. This comes before the first request of an owner, because only the cluster
    /// knows whether the name is bound: its servers may have been founded anew since.
    async fn enrol(
        &self,
        cluster: ClusterId,
        user: &UserName,
        device: &DeviceKey,
    ) -> Result<(), ClientError> {
        let request = EnrolRequest {
            cluster,
            user: user.clone(),
            key: device.key.public(),
        };
        let body = serde_json::to_vec(&Signed::sign(request, &device.key)?).map_err(ClientError::Request)?;
        self.cluster
            .ask::<Enrolled>(&Call::post("/v1/users", "application/json", body))
            .await?;
        self.note_enrolled(cluster, user, true);
        Ok(())
    }

    fn is_enrolled(&self, cluster: ClusterId, user: &UserName) -> bool {
        let enrolled = self.enrolled.lock().unwrap_or_else(PoisonError::into_inner);
        enrolled.contains(&(cluster, user.clone()))
    }

    fn note_enrolled(&self, cluster: ClusterId, user: &UserName, is_enrolled: bool) {
        let mut enrolled = self.enrolled.lock().unwrap_or_else(PoisonError::into_inner);
        match is_enrolled {
            true => enrolled.insert((cluster, user.clone())),
            false => enrolled.remove(&(cluster, user.clone())),
        };
    }
}

/// Returns the time by this machine's clock.
fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixSeconds(since.map_or(0, |since| since.as_secs()))
}

/// Why a call of a client failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The list of servers cannot be used.
    #[error(transparent)]
    ServersConf(#[from] ServersConfError),
    /// Servers answer, but none of them leads.
    #[error(
        "No leader elected yet: {answering} of {listed} servers answered for {:.1} s, and none of them leads ({servers}). Elections take a few seconds; a \
         majority of the servers must be running. Check with `client status`",
        waited.as_secs_f64()
    )]
    NoLeader {
        /// How long the client waited.
        waited: Duration,
        /// How many servers answered.
        answering: usize,
        /// How many are listed.
        listed: usize,
        /// What each of them said.
        servers: String,
    },
    /// No server answers.
    #[error(
        "Connection timeout: no server answered for {:.1} s ({servers}). Check that the addresses in servers.conf are those of running servers, and that no \
         firewall is in between",
        waited.as_secs_f64()
    )]
    Unreachable {
        /// The result of each attempt.
        servers: String,
        /// How long the client tried.
        waited: Duration,
    },
    /// A server on another machine, without a certificate to check it by.
    #[error(
        "{address} is on another machine, and there is no certificate to check it by: copy authority.pem from a server's data folder and name it with --authority, or \
         accept an unprotected connection with --insecure"
    )]
    AuthorityMissing {
        /// The server.
        address: Address,
    },
    /// A server refused the request.
    #[error("{}{}", .0.message, .0.hint.as_ref().map(|hint| format!(". What to do: {hint}")).unwrap_or_default())]
    Refused(Box<ErrorBody>),
    /// A server's answer is malformed.
    #[error("a server's answer is malformed: {0}. Run the same version of server and client")]
    Answer(#[source] serde_json::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A device key is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no folder for keys.
    #[error(transparent)]
    Home(#[from] ClusterKeyError),
    /// A view cannot be recorded.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file, a policy or a key was rejected.
    #[error(transparent)]
    Picture(#[from] lsb_core::Error),
    /// A picture file was not decoded.
    #[error(transparent)]
    Decoding(#[from] DecodingError),
    /// The cover cannot be used.
    #[error("the cover cannot be used: {0}")]
    Cover(#[source] DecodingError),
    /// The picture belongs to another cluster.
    #[error(
        "the picture was protected by cluster {picture}, and these servers are cluster {asked}: name the other cluster's servers with --servers"
    )]
    OtherCluster {
        /// The picture's cluster.
        picture: ClusterId,
        /// The servers' cluster.
        asked: ClusterId,
    },
    /// Two servers have different unified images.
    #[error(
        "the servers' unified images differ: give all of them the same unified_image.png and restart them"
    )]
    UnifiedImagesDiffer,
    /// The picture that the server made does not carry what was sealed.
    #[error(
        "the picture that came back does not carry what was sealed: the server is at fault. Nothing was saved"
    )]
    PictureDiffers,
    /// The cluster's receipt is missing or does not verify.
    #[error(
        "the picture came back without a valid receipt of the cluster: whoever answered has perhaps not registered it. Nothing was saved; check that \
         servers.conf lists servers of this cluster, all of the same version"
    )]
    Receipt,
    /// A request could not be signed.
    #[error(transparent)]
    Sign(#[from] RequestError),
    /// A request could not be written.
    #[error("a request could not be written: {0}")]
    Request(#[source] serde_json::Error),
    /// A certificate was rejected.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system reported an error.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// The classes of errors that scripts tell apart by the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorClass {
    /// The command or its settings are wrong.
    Usage,
    /// The user is not allowed to do it.
    Denied,
    /// The file is not a picture, or not one of a kind that can be used.
    NotAPicture,
    /// The file is not a protected picture.
    NotProtected,
    /// The file is damaged or was tampered with.
    Damaged,
    /// No leader, or no server.
    Unavailable,
    /// Anything else.
    Other,
}

impl ClientError {
    /// Returns the class of the error.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::ServersConf(_) | Self::AuthorityMissing { .. } => ErrorClass::Usage,
            Self::File(FileError::OverwritesInput { .. }) => ErrorClass::Usage,
            Self::NoLeader { .. } | Self::Unreachable { .. } => ErrorClass::Unavailable,
            Self::Refused(body) => match body.error.as_str() {
                "NAME_TAKEN" | "UNKNOWN_OWNER" => ErrorClass::Denied,
                _ => ErrorClass::Other,
            },
            Self::Picture(error) => Verdict::of(error).class,
            Self::Decoding(error) => error.class(),
            Self::Cover(error) => match error.class() {
                class @ (ErrorClass::Damaged | ErrorClass::NotAPicture) => class,
                _ => ErrorClass::Other,
            },
            _ => ErrorClass::Other,
        }
    }

    /// Returns the setting that would help.
    pub fn advice(&self) -> Option<Advice> {
        match self {
            Self::Picture(error) => Verdict::of(error).advice,
            Self::Decoding(DecodingError::Picture(verdict))
            | Self::Cover(DecodingError::Picture(verdict)) => verdict.advice,
            _ => None,
        }
    }
}
