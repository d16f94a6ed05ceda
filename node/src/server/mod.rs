//! A server: the replica with its disk, its links and its clients.
//!
//! ```text
//!                 ┌────────────── thread "consensus" ──────────────┐     thread "storage"
//!   peers ◄─TLS─► │ transport ◄─► shell ── Replica<Ledger> ────────┼───► Store (group commit)
//!                 └────────────────────▲───────────────────────────┘
//!                                      │ Handle: propose, read, standing
//!   clients ◄─HTTP─────────────────► http (all other threads: TLS, signatures, pictures)
//! ```
//!
//! Consensus has a thread to itself, so that neither an upload nor a slow disk delays a heartbeat.

mod descriptors;
mod founding;
mod handle;
mod picture;
mod progress;
mod shell;
mod storage;

pub use crate::listen::ListenError;
pub use crate::tls::TlsError;
pub use descriptors::TooFewFiles;
pub use picture::UnifiedImageError;

pub(crate) use handle::{Condition, Contact, Handle, RequestFailure, SILENCED, Standing};
pub(crate) use picture::UnifiedImage;
use progress::Progress;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use raft_core::replica::Replica;
use raft_core::{Config, Membership, NodeId, Setup};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot, watch};

use crate::cluster_key::{ClusterKey, ClusterKeyError};
use crate::decoding::Decoder;
use crate::http;
use crate::ledger::Ledger;
use crate::listen::listen;
use crate::settings::{Address, ServerSettings};
use crate::store::{NewFolder, Opened, Store, StoreError};
use crate::tls::Authority;
use crate::transport::{Greeting, Transport};

/// How many messages from all peers may wait for the shell. A full inbox slows the senders down.
const INBOX_MESSAGES: usize = 1024;

/// How many events of links may wait for the shell.
const LINK_EVENTS: usize = 64;

/// How long requests in progress may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// The file in the data folder with which clients on other machines verify this cluster's servers. It contains no
/// secret.
pub const AUTHORITY_FILE: &str = "authority.pem";

/// Why a server could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The cluster key cannot be used.
    #[error(transparent)]
    ClusterKey(#[from] ClusterKeyError),
    /// A port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system allows too few open files.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The contents of the data folder contradict each other.
    #[error("the data folder {} cannot be started from: {source}", folder.display())]
    Restore {
        /// The folder.
        folder: PathBuf,
        /// What the contradiction is.
        source: raft_core::RestoreError,
    },
    /// The unified image cannot be used.
    #[error(transparent)]
    UnifiedImage(#[from] UnifiedImageError),
    /// Certificates could not be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system refuses threads, sockets or randomness.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// The consensus thread ended without being told to.
    #[error(
        "the consensus thread ended unexpectedly, which is a bug of this program. Restart the server; its data folder is intact"
    )]
    Consensus,
}

/// A running server. Dropping it stops it without waiting for its clients; see [`Server::stop`].
pub struct Server {
    clients: SocketAddr,
    node: NodeId,
    cluster: lsb_core::ClusterId,
    stop_shell: Option<oneshot::Sender<()>>,
    stop_http: watch::Sender<bool>,
    http: tokio::task::JoinHandle<()>,
    consensus_ended: oneshot::Receiver<()>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Server {
    /// Starts a server with these settings. Returns as soon as it listens; it may take an election or two until it can
    /// serve.
    ///
    /// # Errors
    ///
    /// Any mistake in the settings, and any refusal of the operating system.
    pub async fn start(settings: ServerSettings, decoder: Decoder) -> Result<Self, ServerError> {
        let key = if settings.create_cluster_key {
            ClusterKey::create_or_load(&settings.cluster_key)?
        } else {
            ClusterKey::load(&settings.cluster_key)?
        };
        // The ports come before the data folder: an operator who starts a server twice should be told of the port.
        let clients = listen(settings.listen, settings.port, "clients")?;
        let consensus_port = settings
            .port
            .saturating_add(crate::settings::CONSENSUS_PORT_OFFSET);
        let consensus = listen(settings.listen, consensus_port, "other servers")?;
        let connections = descriptors::places_for_clients(
            settings.limits.connections,
            settings.peers.len(),
            http::processors(),
        )?;
        let image = UnifiedImage::load(&settings.unified_image, settings.unified_image_required)?;
        image.check_pixels(&decoder).await?;
        let (store, opened) = Store::create_or_open(&settings.data_dir, &new_folder(&settings, &key)?)?;
        if let Some(damage) = &opened.lost_end {
            tracing::error!(
                "the last write to the data folder is lost, and may have been acknowledged: {damage}"
            );
        }
        let node = opened.identity.node;
        let authority = Authority::derive(&key)?;
        let client_tls = if settings.clients_use_tls() {
            std::fs::write(settings.data_dir.join(AUTHORITY_FILE), authority.pem())?;
            Some(authority.clients(&key, node, &settings.address, settings.listen)?)
        } else {
            None
        };

        let parts = Parts {
            settings: &settings,
            key: &key,
            image: &image,
            authority,
            store,
            opened,
            consensus,
        };
        let Consensus {
            handle,
            stop: stop_shell,
            ended: consensus_ended,
            threads,
        } = parts.start()?;
        let (stop_http, stopping) = watch::channel(false);
        let address = clients.local_addr()?;
        let app = http::App::new(&settings, node, key.clone(), image, handle, decoder);
        let listener = tokio::net::TcpListener::from_std(clients)?;
        let http = tokio::spawn(http::serve(listener, client_tls, connections, app, stopping));
        Ok(Self {
            clients: address,
            node,
            cluster: key.cluster_id(),
            stop_shell: Some(stop_shell),
            stop_http,
            http,
            consensus_ended,
            threads,
        })
    }

    /// Returns the address where clients are served.
    pub fn client_address(&self) -> SocketAddr {
        self.clients
    }

    /// Returns this server's id in consensus, for log lines.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Returns the cluster that the server's key belongs to.
    pub fn cluster(&self) -> lsb_core::ClusterId {
        self.cluster
    }

    /// Waits until the server fails, which should never happen.
    ///
    /// # Errors
    ///
    /// [`ServerError::Consensus`], when it returns at all.
    pub async fn failed(&mut self) -> ServerError {
        // Whether the sender was used or dropped, the thread has ended.
        let _ = (&mut self.consensus_ended).await;
        ServerError::Consensus
    }

    /// Stops the server: accepts no new clients, gives present ones a few seconds, then stops the replica, and then the
    /// disk.
    pub async fn stop(mut self) {
        let _ = self.stop_http.send(true);
        if tokio::time::timeout(FAREWELL, &mut self.http).await.is_err() {
            tracing::info!("some clients' requests did not end in time");
            self.http.abort();
        }
        if let Some(stop) = self.stop_shell.take() {
            let _ = stop.send(());
        }
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A panic has been reported where it happened.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

/// What the consensus thread is made of.
struct Parts<'a> {
    settings: &'a ServerSettings,
    key: &'a ClusterKey,
    image: &'a UnifiedImage,
    authority: Authority,
    store: Store,
    opened: Opened,
    consensus: TcpListener,
}

/// What the caller keeps of the consensus thread.
struct Consensus {
    handle: Handle,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Parts<'_> {
    fn start(self) -> Result<Consensus, ServerError> {
        let settings = self.settings;
        let identity = self.opened.identity;
        let greeting = self.greeting();
        let (accept, dial) = self.authority.consensus(self.key, identity.node)?;
        let setup = Setup {
            identity,
            config: Config {
                seed: getrandom::u64().map_err(std::io::Error::from)?,
                timing: settings.timeouts.timing(),
                tick_micros: crate::settings::TICK.as_micros() as u64,
                ..Config::default()
            },
            bootstrap: self.opened.bootstrap,
            durable: self.opened.durable,
        };
        let replica = Replica::new(setup, Ledger::new(), self.opened.snapshot).map_err(|source| {
            ServerError::Restore {
                folder: settings.data_dir.clone(),
                source,
            }
        })?;

        let (disk, completions, mut threads) = storage::Disk::start(self.store)?;
        let (inbox, peers) = mpsc::channel(INBOX_MESSAGES);
        let (events, links) = mpsc::channel(LINK_EVENTS);
        let (requests, clients) = mpsc::channel(handle::WAITING_REQUESTS);
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = oneshot::channel();
        let transport = Transport {
            greeting,
            key: self.key.clone(),
            key_path: settings.cluster_key.clone(),
            authority: self.authority,
            accept,
            dial,
            longest_pause: longest_pause(settings),
            inbox,
            events,
            known: Mutex::default(),
        };
        let mail = shell::Mailboxes {
            disk: completions,
            peers,
            links,
            clients,
            stop: stopped,
        };
        let founding = founding::Founding::new(self.key.cluster_id(), self.image);
        let contact = Contact {
            server_id: settings.server_id.clone(),
            address: settings.address.to_string(),
        };
        let progress = Arc::new(Progress::new());
        let own = (identity.node, contact);
        let (shell, standing) = shell::Shell::new(replica, disk, mail, founding, own, Arc::clone(&progress));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = self.consensus;
        let dialled = settings.peers.clone();
        let consensus_thread = thread::Builder::new().name("consensus".into()).spawn(move || {
            let _alive = alive;
            runtime.block_on(async move {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => transport.start(listener, &dialled),
                    Err(error) => return tracing::error!("cannot listen for other servers: {error}"),
                }
                shell.run().await;
            });
        })?;
        threads.push(consensus_thread);
        let patience = Duration::from_millis(settings.timeouts.election_max_ms.saturating_mul(2).min(30_000));
        Ok(Consensus {
            handle: Handle {
                requests,
                standing,
                patience,
                progress,
            },
            stop,
            ended,
            threads,
        })
    }

    fn greeting(&self) -> Greeting {
        let identity = self.opened.identity;
        Greeting::new(
            self.key.cluster_id(),
            identity.node,
            identity.incarnation,
            &self.settings.server_id,
            &self.settings.address,
        )
    }
}

/// Returns the longest pause between dials, short enough that an election does not have to wait for it.
fn longest_pause(settings: &ServerSettings) -> Duration {
    Duration::from_millis((settings.timeouts.election_min_ms / 3).clamp(50, 1000))
}

/// Returns the contents of a new data folder: the first membership is the set of servers on the command line.
fn new_folder(settings: &ServerSettings, key: &ClusterKey) -> Result<NewFolder, ServerError> {
    let own = std::iter::once(&settings.address);
    Ok(NewFolder {
        group: key.group(),
        node: node_id(&settings.address),
        incarnation: NewFolder::draw_incarnation().map_err(std::io::Error::from)?,
        boot_nonce: NewFolder::draw_nonce().map_err(std::io::Error::from)?,
        bootstrap: Membership::of_voters(own.chain(&settings.peers).map(node_id)),
    })
}

/// Returns a server's id: the same on every server that is given the same address, and never zero.
fn node_id(address: &Address) -> NodeId {
    let digest = Sha256::digest(address.to_string());
    NodeId::new(
        digest
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes))
            .max(1),
    )
}
