//! Core, ledger and store together: three servers on three disks that crash, and views that are charged exactly once.

use std::collections::BTreeMap;

use crate::disk::MemoryDisk;
use crate::samples;
use lsb_core::UnixSeconds;
use lsb_core::envelope::Views;
use lsb_core::seal::SigningKey;
use lsb_core::{ObjectId, RequestId};
use node::ledger::query::{Answer, Query};
use node::ledger::request::{Signed, ViewRequest};
use node::ledger::{Action, Command, Ledger, Outcome, encode_command};
use node::store::{NewFolder, Store, StoreOptions};
use raft_core::codec::{DecodeLimits, decode_envelope, encode_envelope};
use raft_core::replica::{Input, Output, Replica, StateMachine};
use raft_core::{
    Config, Envelope, Event, GroupId, Incarnation, LoadEntries, Membership, NodeId, ProposalId, RoleName,
    Setup, Snapshots,
};

const SERVERS: usize = 3;

struct Server {
    replica: Replica<Ledger>,
    store: Store<MemoryDisk>,
}

/// The running servers, their disks, and the messages in flight between them.
struct Cluster {
    disks: Vec<MemoryDisk>,
    servers: Vec<Option<Server>>,
    wire: Vec<Envelope>,
    answers: BTreeMap<u64, Outcome>,
    proposals: u64,
    random: u64,
}

fn start(disk: &MemoryDisk, number: usize) -> Server {
    let id = number as u64 + 1;
    let new = NewFolder {
        boot_nonce: 5,
        group: GroupId::new(1),
        node: NodeId::new(id),
        incarnation: Incarnation::new(id),
        bootstrap: Membership::of_voters((1..=SERVERS as u64).map(NodeId::new)),
    };
    let options = StoreOptions {
        segment_bytes: 16 << 10,
    };
    let (store, opened) = Store::create_or_open_on(disk.clone(), &new, options).unwrap();
    let snapshots = Snapshots {
        every_entries: 8,
        keep_entries: 2,
        ..Snapshots::default()
    };
    let setup = Setup {
        identity: opened.identity,
        config: Config {
            snapshots,
            ..Config::default()
        },
        bootstrap: opened.bootstrap,
        durable: opened.durable,
    };
    let replica = Replica::new(setup, Ledger::new(), opened.snapshot).unwrap();
    Server { replica, store }
}

impl Cluster {
    fn new() -> Self {
        let disks: Vec<MemoryDisk> = (0..SERVERS).map(|_| MemoryDisk::default()).collect();
        let servers = disks
            .iter()
            .enumerate()
            .map(|(number, disk)| Some(start(disk, number)))
            .collect();
        Self {
            disks,
            servers,
            wire: Vec::new(),
            answers: BTreeMap::new(),
            proposals: 0,
            random: 42,
        }
    }

    fn tick(&mut self) {
        for server in self.servers.iter_mut().flatten() {
            server.replica.step(Event::Tick(1));
            loop {
                let mut outputs = Vec::new();
                server.replica.drain(&mut outputs);
                if outputs.is_empty() {
                    break;
                }
                for output in outputs {
                    match output {
                        Output::Persist(persist) => {
                            let ticket = persist.ticket;
                            server.store.persist(&[persist]).unwrap();
                            server.replica.step(Event::Persisted(ticket));
                        }
                        Output::WriteSnapshot { last, bytes } => {
                            server.store.snapshots().write(last, &bytes).unwrap();
                            server.replica.step(Input::SnapshotWritten { last });
                        }
                        Output::DiscardSnapshot { last } => server.store.snapshots().discard(last),
                        Output::LoadEntries(LoadEntries {
                            ticket,
                            first,
                            last,
                            max_bytes,
                        }) => {
                            let entries = server.store.load_entries(first, last, max_bytes).unwrap();
                            server.replica.step(Event::EntriesLoaded {
                                ticket,
                                entries: entries.into(),
                            });
                        }
                        Output::Send(envelope) => {
                            self.wire.push(
                                decode_envelope(&encode_envelope(&envelope), DecodeLimits::default())
                                    .unwrap(),
                            );
                        }
                        Output::Done { id, response, .. } => drop(self.answers.insert(id.value(), response)),
                        _ => {}
                    }
                }
            }
        }
        for envelope in std::mem::take(&mut self.wire) {
            let number = usize::try_from(envelope.to.value()).unwrap() - 1;
            if let Some(server) = &mut self.servers[number] {
                server.replica.step(Event::Receive(envelope));
            }
        }
    }

    fn leader(&self) -> Option<usize> {
        let leads = |server: &Server| server.replica.raft().vitals().role == RoleName::Leader;
        (0..SERVERS)
            .filter(|&number| self.servers[number].as_ref().is_some_and(leads))
            .max_by_key(|&number| {
                self.servers[number]
                    .as_ref()
                    .map(|server| server.replica.raft().vitals().term)
            })
    }

    /// Proposes until it is answered; a client would send the same request again.
    fn propose(&mut self, action: &Action) -> Outcome {
        let command = encode_command(&Command {
            time: UnixSeconds(1000),
            action: action.clone(),
        });
        for _ in 0..100 {
            let Some(leader) = self.leader() else {
                self.tick();
                continue;
            };
            self.proposals += 1;
            let id = ProposalId::new(self.proposals);
            let server = self.servers[leader].as_mut().unwrap();
            server.replica.step(Event::Propose {
                id,
                payload: command.clone(),
            });
            for _ in 0..20 {
                self.tick();
                if let Some(outcome) = self.answers.remove(&self.proposals) {
                    return outcome;
                }
            }
        }
        panic!("no answer");
    }

    /// Cuts a server's power: of what its disk was not told to sync, anything may be left.
    fn crash(&mut self, number: usize) {
        let random = &mut self.random;
        self.disks[number] = self.disks[number].after_crash(|| {
            *random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *random >> 60 & 1 == 1
        });
        // When it is dropped, the server's own store still writes to the old disk, which is no longer used.
        self.servers[number] = None;
    }

    fn restart(&mut self, number: usize) {
        self.servers[number] = Some(start(&self.disks[number], number));
    }
}

fn view(number: u8) -> Action {
    let key = SigningKey::from_bytes(&[4; 32]);
    let Some(Action::View(signed)) = samples::commands()
        .into_iter()
        .map(|(_, command)| command.action)
        .nth(3)
    else {
        panic!("the fourth sample is a view");
    };
    let request = ViewRequest {
        request: RequestId::from_bytes([number; 16]),
        ..signed.request
    };
    Action::View(Signed::sign(request, &key).unwrap())
}

#[test]
fn leaders_lose_power_and_every_view_is_charged_once() {
    let mut cluster = Cluster::new();
    for (name, command) in samples::commands().into_iter().take(3) {
        let outcome = cluster.propose(&command.action);
        assert!(
            matches!(
                outcome,
                Outcome::Begun | Outcome::Enrolled { .. } | Outcome::Protected { .. }
            ),
            "{name}: {outcome:?}"
        );
    }
    let mut charged = BTreeMap::new();
    for number in 0..24 {
        let Outcome::Granted(granted) = cluster.propose(&view(number)) else {
            panic!("view {number}")
        };
        charged.insert(number, granted.index);
        if number % 3 == 2 {
            let leader = cluster.leader().unwrap();
            cluster.crash(leader);
            // The others continue, and recognise the request of a moment ago.
            let Outcome::Granted(again) = cluster.propose(&view(number)) else {
                panic!("view {number} again")
            };
            assert!(again.repeated);
            assert_eq!(again.index, granted.index);
            cluster.restart(leader);
        }
    }
    assert_eq!(
        charged.values().collect::<std::collections::BTreeSet<_>>().len(),
        24
    );

    // All servers lose power at once; what was acknowledged is there.
    (0..SERVERS).for_each(|number| cluster.crash(number));
    (0..SERVERS).for_each(|number| cluster.restart(number));
    for (&number, &index) in &charged {
        let Outcome::Granted(again) = cluster.propose(&view(number)) else {
            panic!("view {number} at last")
        };
        assert_eq!((again.repeated, again.index), (true, index));
    }
    (0..100).for_each(|_| cluster.tick());
    let hashes: Vec<[u8; 32]> = cluster
        .servers
        .iter()
        .flatten()
        .map(|server| server.replica.machine().state_hash())
        .collect();
    assert_eq!(hashes.len(), SERVERS);
    assert!(
        hashes.windows(2).all(|pair| pair[0] == pair[1]),
        "all servers hold the same ledger"
    );

    let ledger = cluster.servers[0].as_ref().unwrap().replica.machine();
    ledger.verify_audit().unwrap();
    let Answer::Object(Some(facts)) = ledger.query(Query::Object(ObjectId::from_bytes([2; 16]))) else {
        panic!()
    };
    assert_eq!(facts.grants[0].charged, 24);
    assert_eq!(facts.grants[0].remaining, Views::Unlimited);
    assert!(
        cluster
            .servers
            .iter()
            .flatten()
            .all(|server| server.replica.raft().snapshot().is_some())
    );
}
