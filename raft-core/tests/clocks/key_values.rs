//! The rules at work: keys and values that expire by the time in commands.

use std::collections::{BTreeMap, VecDeque};

use raft_core::replica::{Output, Replica, SnapshotError, StateMachine};
use raft_core::{
    Boot, Config, Durable, Envelope, Event, GroupId, Halt, Identity, Incarnation, LogId, Membership, Options,
    ProposalId, RoleName, Setup, WallTime,
};

use super::{BEGINNING, TICK, TWO_YEARS, node};

const SECOND: u64 = 1_000_000;

/// Values until they expire. The time is the greatest that any command has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct KeyValues {
    now: u64,
    values: BTreeMap<u8, (u8, u64)>,
}

/// Sets a key for so many seconds. It carries a time if a leader's host stamped it.
fn set(key: u8, value: u8, seconds: u8, time: Option<WallTime>) -> Vec<u8> {
    let mut command = vec![key, value, seconds];
    command.extend(time.into_iter().flat_map(|time| time.value().to_be_bytes()));
    command
}

impl StateMachine for KeyValues {
    type Response = ();
    type Query = u8;
    type Answer = Option<u8>;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<(), Halt> {
        let Some((&[key, value, seconds], time)) = command.split_first_chunk::<3>() else {
            return Ok(());
        };
        if let Some(&time) = time.first_chunk::<8>() {
            self.now = self.now.max(u64::from_be_bytes(time));
        }
        let now = self.now;
        self.values.retain(|_, (_, expires)| *expires > now);
        let expires = now.saturating_add(u64::from(seconds) * SECOND);
        self.values.insert(key, (value, expires));
        Ok(())
    }

    fn query(&self, key: u8) -> Option<u8> {
        self.values.get(&key).map(|(value, _)| *value)
    }

    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&self, _snapshot: &[u8]) -> Result<Self, SnapshotError> {
        Err(SnapshotError("these logs are too short for snapshots".into()))
    }
}

/// Three servers, whose hosts give their wall times; that of server 1 is two years ahead.
struct Service {
    servers: Vec<Replica<KeyValues>>,
    wire: VecDeque<Envelope>,
    right: u64,
    proposals: u64,
}

impl Service {
    fn new() -> Self {
        let server = |number: u64| {
            let options = Options {
                forwarding: true,
                persists_at_once: true,
                // Server 1 campaigns first.
                yields: u32::from(number > 1),
                ..Options::default()
            };
            let setup = Setup {
                identity: Identity {
                    group: GroupId::new(1),
                    node: node(number),
                    incarnation: Incarnation::new(number),
                    boot: Boot::new(1, 1),
                },
                config: Config {
                    options,
                    ..Config::default()
                },
                bootstrap: Membership::of_voters((1..=3).map(node)),
                durable: Durable::default(),
            };
            Replica::new(setup, KeyValues::default(), None).expect("the settings are valid")
        };
        Self {
            servers: (1..=3).map(server).collect(),
            wire: VecDeque::new(),
            right: BEGINNING,
            proposals: 0,
        }
    }

    fn step(&mut self, place: usize, event: Event) {
        self.servers[place].step(event);
        let mut outputs = Vec::new();
        self.servers[place].drain(&mut outputs);
        for output in outputs {
            if let Output::Send(envelope) = output {
                self.wire.push_back(envelope);
            }
        }
    }

    /// Lets this many ticks pass, and delivers every message at once.
    fn pass(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.right += TICK;
            for place in 0..3 {
                let ahead = if place == 0 { TWO_YEARS } else { 0 };
                self.step(place, Event::Tick(1));
                let shown = WallTime::new(self.right.saturating_add_signed(ahead));
                self.step(place, Event::WallTime(shown));
            }
            while let Some(envelope) = self.wire.pop_front() {
                let to = envelope.to.value() as usize - 1;
                self.step(to, Event::Receive(envelope));
            }
        }
    }

    /// A host that stamps what it may, and else proposes without a time.
    fn set(&mut self, place: usize, key: u8, value: u8, seconds: u8) {
        let time = self.servers[place].raft().stamp().ok();
        self.proposals += 1;
        let id = ProposalId::new(self.proposals);
        let payload = set(key, value, seconds, time).into();
        self.step(place, Event::Propose { id, payload });
    }

    fn leader(&self) -> Option<usize> {
        let leads = |server: &Replica<KeyValues>| server.raft().vitals().role == RoleName::Leader;
        self.servers.iter().position(leads)
    }
}

// The case that this is all about: one request through a server whose clock was two years ahead made everything expire,
// and nothing could ever set the time back.
#[test]
fn values_expire_by_the_time_in_commands_although_one_clock_is_years_ahead() {
    let mut service = Service::new();
    let mut ticks_led_by_it = 0;
    for _ in 0..200 {
        service.pass(1);
        ticks_led_by_it += u64::from(service.leader() == Some(0));
        // A request through it at every moment, whether it leads or not.
        service.set(0, 9, 9, 1);
    }
    assert!(ticks_led_by_it > 0, "it was elected first");
    let leader = service.leader().expect("there is a leader");
    assert_ne!(leader, 0, "it has handed over");

    service.set(leader, 1, 10, 60);
    service.set(0, 2, 20, 1);
    service.pass(3);
    let read = |service: &Service, key| {
        let mut answers = service.servers.iter().map(|server| server.machine().query(key));
        let first = answers.next().expect("there are three");
        assert!(answers.all(|answer| answer == first), "all servers agree");
        first
    };
    assert_eq!((read(&service, 1), read(&service, 2)), (Some(10), Some(20)));
    // Two seconds later the second is gone, as the next command says, and the first is there.
    service.pass(20);
    service.set(leader, 3, 30, 60);
    service.pass(3);
    assert_eq!((read(&service, 1), read(&service, 2)), (Some(10), None));
    service.pass(700);
    service.set(leader, 3, 30, 60);
    service.pass(3);
    assert_eq!(read(&service, 1), None);
    for server in &service.servers {
        let now = server.machine().now;
        assert!(
            now.abs_diff(service.right) < SECOND,
            "no command brought another time"
        );
    }
}
