//! `raft-core` over another transport: three servers in three threads, which speak UDP on the loopback interface.
//!
//! ```text
//! cargo run --release --example transport
//! ```
//!
//! UDP loses, duplicates and reorders messages, which Raft tolerates: what is lost is sent again. A transport must
//! authenticate its peers, which plain UDP does not: beyond one machine use a transport that does, as `node` does with
//! TLS. The "disk" is memory here; `store.rs` beside this file has a real one.

use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::UdpSocket;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use raft_core::codec::{DecodeLimits, decode_envelope, encode_envelope};
use raft_core::replica::{Input, Output, Replica, SnapshotError, StateMachine};
use raft_core::{
    Boot, Config, Durable, Envelope, Event, GroupId, Halt, Identity, Incarnation, LoadEntries, LogId,
    Membership, NodeId, Notice, ProposalId, Rejection, RoleName, Setup,
};

const SERVERS: u64 = 3;
const TICK: Duration = Duration::from_millis(10);
/// The largest message, as no datagram on the loopback interface is larger.
const DATAGRAM_BYTES: usize = 60_000;

/// The state machine: it counts lines.
#[derive(Default)]
struct Lines(u64);

impl StateMachine for Lines {
    /// The number of lines.
    type Response = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, _at: LogId, _command: &[u8]) -> Result<u64, Halt> {
        self.0 += 1;
        Ok(self.0)
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let bytes = snapshot.try_into();
        let count = bytes.map_err(|_| SnapshotError("a count has eight bytes".into()))?;
        Ok(Self(u64::from_be_bytes(count)))
    }
}

/// A client's request and its answer, matched by the number of the proposal.
struct Request(ProposalId, String);
enum Answer {
    Done(ProposalId, u64),
    /// The proposal is in no log and never will be.
    TryAgain(ProposalId),
    /// The proposal cannot be done, or its outcome is unknown: to ask again might do it twice. Clients that must ask
    /// again use `raft_core::sessions`.
    GiveUp(ProposalId, String),
}

struct Server {
    replica: Replica<Lines>,
    disk: Durable,
    socket: UdpSocket,
    peers: Vec<std::net::SocketAddr>,
    answers: Sender<Answer>,
}

impl Server {
    /// Runs until all clients are gone.
    fn run(mut self, requests: &Receiver<Request>) -> Result<(), std::io::Error> {
        let (started, mut ticks) = (Instant::now(), 0);
        let mut datagram = vec![0; DATAGRAM_BYTES];
        self.socket.set_read_timeout(Some(TICK))?;
        loop {
            let received = match self.socket.recv(&mut datagram) {
                Ok(length) => decode(&datagram[..length]),
                // Nothing came within a tick, or a peer has not started yet: both are everyday events for Raft.
                Err(_) => None,
            };
            // The clock advances first, so that a late message meets the state of its arrival.
            let now = (started.elapsed().as_millis() / TICK.as_millis()) as u64;
            self.replica.step(Event::Tick(now - ticks));
            ticks = now;
            if let Some(envelope) = received {
                self.replica.step(Event::Receive(envelope));
            }
            // Commands that are stepped before the next drain are replicated together.
            loop {
                match requests.try_recv() {
                    Ok(Request(id, line)) => {
                        let command = line.into_bytes().into();
                        self.replica.step(Event::Propose { id, payload: command });
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        let mut outputs = Vec::new();
        self.replica.drain(&mut outputs);
        while !outputs.is_empty() {
            for output in outputs.drain(..) {
                match output {
                    Output::Persist(persist) => {
                        self.disk.write(&persist);
                        self.replica.step(Event::Persisted(persist.ticket));
                    }
                    Output::LoadEntries(LoadEntries {
                        ticket,
                        first,
                        last,
                        max_bytes,
                    }) => {
                        let entries = self.disk.load(first, last, max_bytes);
                        self.replica.step(Event::EntriesLoaded { ticket, entries });
                    }
                    // This disk is memory, and ends with the process: what a snapshot covers need not be read back.
                    Output::WriteSnapshot { last, bytes } => {
                        drop(bytes);
                        self.replica.step(Input::SnapshotWritten { last });
                    }
                    Output::DiscardSnapshot { .. } => {}
                    Output::Send(envelope) => self.send(&envelope),
                    Output::Done { id, response, .. } => self.tell(Answer::Done(id, response)),
                    Output::Notice(Notice::Superseded { id }) => self.tell(Answer::TryAgain(id)),
                    Output::Notice(Notice::Unknown { id }) => {
                        self.tell(Answer::GiveUp(id, "its outcome is unknown".into()))
                    }
                    Output::Notice(Notice::Rejected { id, reason, .. }) => self.tell(match reason {
                        Rejection::NotLeader { .. }
                        | Rejection::Transferring { .. }
                        | Rejection::Busy { .. } => Answer::TryAgain(id),
                        reason => Answer::GiveUp(id, reason.to_string()),
                    }),
                    Output::Notice(Notice::RoleChanged {
                        role: RoleName::Leader,
                        term,
                    }) => {
                        println!(
                            "server {} leads in term {term}",
                            self.replica.raft().identity().node
                        );
                    }
                    Output::Changed { .. } | Output::Answered { .. } | Output::Notice(_) => {}
                    Output::SnapshotInstalled { .. } | Output::SnapshotRefused { .. } => {}
                }
            }
            self.replica.drain(&mut outputs);
        }
    }

    /// A client that is gone does not receive the answer, which does no harm.
    fn tell(&self, answer: Answer) {
        drop(self.answers.send(answer));
    }

    fn send(&self, envelope: &Envelope) {
        let to = self.peers[envelope.to.value() as usize - 1];
        // A datagram that cannot be sent counts as lost.
        drop(self.socket.send_to(&encode_envelope(envelope), to));
    }
}

/// Decodes a datagram. Anything may arrive: what is malformed is dropped.
fn decode(datagram: &[u8]) -> Option<Envelope> {
    decode_envelope(datagram, DecodeLimits::default()).ok()
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).is_some() {
        println!("Three servers in one process agree on ten lines over UDP.\nUsage: transport");
        return Ok(());
    }
    let sockets: Vec<UdpSocket> = (0..SERVERS)
        .map(|_| UdpSocket::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let peers: Vec<_> = sockets
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<Result<_, _>>()?;
    let (answers, told) = mpsc::channel();
    let (mut doors, mut threads) = (Vec::new(), Vec::new());
    for (number, socket) in (1..).zip(sockets) {
        let mut config = Config::default();
        config.limits.message_bytes = DATAGRAM_BYTES / 4;
        config.snapshots.chunk_bytes = DATAGRAM_BYTES / 4;
        // Every server accepts commands, and forwards them to the leader.
        config.options.forwarding = true;
        let (group, node, incarnation) = (GroupId::new(1), NodeId::new(number), Incarnation::new(number));
        let identity = Identity {
            group,
            node,
            incarnation,
            boot: Boot::new(1, RandomState::new().build_hasher().finish() as u32),
        };
        let bootstrap = Membership::of_voters((1..=SERVERS).map(NodeId::new));
        let setup = Setup {
            identity,
            config,
            bootstrap,
            durable: Durable::default(),
        };
        let replica = Replica::new(setup, Lines::default(), None)?;
        let server = Server {
            replica,
            disk: Durable::default(),
            socket,
            peers: peers.clone(),
            answers: answers.clone(),
        };
        let (door, requests) = mpsc::channel();
        doors.push(door);
        threads.push(thread::spawn(move || server.run(&requests)));
    }
    for number in 1..=10_u64 {
        let (id, door) = (ProposalId::new(number), &doors[number as usize % doors.len()]);
        door.send(Request(id, format!("line {number}")))?;
        loop {
            match told.recv_timeout(Duration::from_secs(10))? {
                Answer::Done(done, lines) if done == id => {
                    break println!("line {number} is in the log; there are {lines}");
                }
                // For example, no leader is elected yet.
                Answer::TryAgain(again) if again == id => {
                    thread::sleep(TICK);
                    door.send(Request(id, format!("line {number}")))?;
                }
                Answer::GiveUp(lost, why) if lost == id => return Err(format!("line {number}: {why}").into()),
                // The answer to an earlier line.
                _ => {}
            }
        }
    }
    drop(doors);
    for thread in threads {
        thread.join().map_err(|_| "a server panicked")??;
    }
    Ok(())
}
