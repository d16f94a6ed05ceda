//! The runner: one thread, one queue, one schedule.
//!
//! ```text
//!            ┌────────────────────────── queue ──────────────────────────┐
//!            ▼                                                           │
//!   event ──▶ step (advance the clock, feed the replica, drain it)       │
//!                 │ oracles judge the step                               │
//!                 ▼                                                      │
//!             carry out each output ──▶ network · disk · clients ────────┘
//!                 │ a trigger may strike between any two of them
//! ```

mod answers;
mod arrivals;
mod clients;
mod configurations;
mod damage;
mod heal;
mod nemesis;
mod observe;
mod operator;
mod outputs;
mod process;
mod programs;
mod quiet;
mod server;
mod snapshots;
mod stamps;
mod step;
mod strangers;
mod targets;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};

use raft_core::{Envelope, Index, LogId, Membership, NodeId, Payload, Ticket};

use self::clients::Clients;
pub(crate) use self::clients::planned;
use self::damage::Backup;
use self::heal::Phase;
use self::nemesis::Nemesis;
use self::operator::Operator;
use self::quiet::Quiet;
use self::server::Server;
use crate::canary::Canary;
use crate::coverage::{Coverage, Probe};
use crate::hash::Rolling;
use crate::history::{History, HistoryEvent};
use crate::nanos::Nanos;
use crate::network::Network;
use crate::oracle::apply::Snapshots;
use crate::oracle::budget::Budget;
use crate::oracle::client::{Attempts, Outcome};
use crate::oracle::commit::Commits;
use crate::oracle::durability::Promises;
use crate::oracle::election::Elections;
use crate::oracle::facts::Facts;
use crate::oracle::transfer::Transfers;
use crate::oracle::{Judgement, Oracle, Violation, violated};
use crate::places::node_at;
use crate::queue::Queue;
use crate::random::{Domain, Seed};
use crate::recording::Observer;
use crate::report::{Place, Report, TraceEvent};
use crate::schedule::{Cluster, DiskWeather, Schedule, ScheduleError};
use crate::witness::Shared;
use crate::workload::{ResponseOf, Workload, fits};

/// Runs a schedule and judges it.
pub fn run<W: Workload>(schedule: &Schedule, workload: &W) -> Result<Report, ScheduleError> {
    fits(schedule, workload)?;
    Simulation::new(schedule, workload, None).run()
}

/// Runs a schedule and reports every event as it happens.
pub fn replay<W: Workload>(
    schedule: &Schedule,
    workload: &W,
    each: &mut dyn FnMut(TraceEvent),
) -> Result<Report, ScheduleError> {
    let mut each = each;
    observe(schedule, workload, &mut each)
}

/// Runs a schedule with an observer.
pub(crate) fn observe<W: Workload>(
    schedule: &Schedule,
    workload: &W,
    observer: &mut dyn Observer,
) -> Result<Report, ScheduleError> {
    fits(schedule, workload)?;
    Simulation::new(schedule, workload, Some(observer)).run()
}

/// Runs a schedule and records what clients did and were told.
pub fn record<W: Workload>(
    schedule: &Schedule,
    workload: &W,
) -> Result<(Report, Vec<HistoryEvent<W>>), ScheduleError> {
    fits(schedule, workload)?;
    let mut simulation = Simulation::new(schedule, workload, None);
    simulation.history = Some(History::new());
    let report = simulation.run()?;
    let history = simulation.history.take().map(|history| history.events);
    Ok((report, history.unwrap_or_default()))
}

/// Runs a schedule with a mistake of the host.
pub(crate) fn run_with<W: Workload>(
    canary: Canary,
    schedule: &Schedule,
    workload: &W,
) -> Result<Report, ScheduleError> {
    fits(schedule, workload)?;
    let mut simulation = Simulation::new(schedule, workload, None);
    simulation.canary = Some(canary);
    simulation.run()
}

/// An event that is scheduled.
enum Event {
    /// A server starts, for the first time or again.
    Start { server: usize },
    /// A server's deadline is reached.
    Wake { server: usize, boot: u64 },
    /// A message arrives that was sent in the course of event `sent`.
    Deliver { envelope: Box<Envelope>, sent: u64 },
    /// A sync ends.
    Synced {
        server: usize,
        boot: u64,
        ticket: Ticket,
    },
    /// A server is told that a sync has ended, later than it did because it was paused.
    Persisted {
        server: usize,
        boot: u64,
        ticket: Ticket,
    },
    /// The write of a snapshot ends; without bytes it has failed.
    SnapshotWritten {
        server: usize,
        boot: u64,
        last: LogId,
        bytes: Option<Payload>,
    },
    /// A slow machine has done what its server gave it.
    Applied { server: usize, boot: u64 },
    /// Entries have been read back.
    Loaded { server: usize, boot: u64, load: Load },
    /// A client begins an operation, or attempts it again.
    Attempt { operation: usize },
    /// A client's request arrives.
    Request {
        server: usize,
        attempt: u64,
        command: Option<Payload>,
    },
    /// A server's answer arrives.
    Response { attempt: u64, hint: Option<NodeId> },
    /// A client stops waiting.
    GiveUp { attempt: u64 },
    /// A fault strikes.
    Strike { fault: usize, subject: Option<usize> },
    /// Flapping links change their state.
    Flap { fault: usize },
    /// A fault ends.
    Relent { fault: usize, servers: u8 },
    /// A disk reports a failure.
    DiskFails { server: usize, boot: u64 },
    /// A process dies of an earlier fault.
    Die { server: usize, boot: u64, fault: usize },
    /// A server receives a command of its host, such as to campaign or to take a snapshot.
    Command { server: usize, command: HostCommand },
    /// An operator asks for a change that is not made yet.
    Operate { wish: usize },
    /// The faults end.
    Heal,
    /// The healed cluster is examined.
    Examine,
}

/// A command of the host to a server.
#[derive(Clone, Copy, Debug)]
enum HostCommand {
    Campaign,
    /// An operator's attempt to have the configuration changed, by its number.
    ChangeMembership(usize),
    /// An operator wants this server to lead.
    Transfer(NodeId),
    TakeSnapshot,
    Unreachable(NodeId),
}

/// Entries that a server wants to have read back.
#[derive(Clone, Copy, Debug)]
struct Load {
    ticket: Ticket,
    first: Index,
    last: Index,
    max_bytes: usize,
}

/// An event with the number of the event that caused it.
struct Caused {
    cause: u64,
    event: Event,
}

/// All oracles with their memory.
struct Oracles<W: Workload> {
    facts: Facts,
    elections: Elections,
    commits: Commits,
    promises: Promises,
    snapshots: Snapshots,
    transfers: Transfers,
    attempts: Attempts<W>,
    responses: Shared<ResponseOf<W>>,
}

/// One run.
struct Simulation<'a, W: Workload> {
    schedule: &'a Schedule,
    workload: &'a W,
    seed: Seed,
    now: Nanos,
    /// The number of the current event.
    event: u64,
    queue: Queue<Caused>,
    network: Network,
    /// Whether messages between servers are encoded, or travel on connections or slow links, instead of being values
    /// with a delay.
    is_wired: bool,
    /// The bytes of an earlier message, which damage may splice into a later one.
    earlier_bytes: Vec<u8>,
    client_network: Network,
    disk_weather: DiskWeather,
    servers: Vec<Server<W>>,
    /// How many of them the cluster began with.
    founders: usize,
    /// Messages on links that keep them, each with the event that sent it.
    held: Vec<(Envelope, u64)>,
    oracles: Oracles<W>,
    /// The mistake that the host makes, if any.
    canary: Option<Canary>,
    /// The previous request's outcome, for a host that confuses them.
    confused: Option<Outcome<W>>,
    /// Which of the disks' promises are still kept.
    budget: Budget,
    /// The servers whose disks faults have damaged, one bit each.
    damaged: u8,
    backups: Vec<Backup>,
    clients: Clients,
    nemesis: Nemesis,
    operator: Operator,
    /// The servers that run the newer of two programs from now on, whatever is drawn, one bit each.
    upgraded: u8,
    /// Which servers are healthy.
    quiet: Quiet,
    /// Which snapshots are on their way.
    fed: snapshots::Fed,
    phase: Phase,
    /// Why the run says nothing: the workload has broken its own statement.
    misfit: Option<ScheduleError>,
    /// The largest command that the workload states, in bytes.
    largest_command: u64,
    /// When everything that links had in their queues at the heal has arrived. That takes a minute at worst, and
    /// nothing that is sent meanwhile overtakes it.
    drained: Nanos,
    coverage: Coverage,
    hash: Rolling,
    outputs: Vec<step::OutputOf<W>>,
    trace: Option<&'a mut dyn Observer>,
    history: Option<History<W>>,
}

/// A scan of all disks takes time in proportion to their logs, so it happens only every so many events.
const SCAN_EVERY_EVENTS: u64 = 4096;

impl<'a, W: Workload> Simulation<'a, W> {
    fn new(schedule: &'a Schedule, workload: &'a W, trace: Option<&'a mut dyn Observer>) -> Self {
        let seed = Seed(schedule.seed);
        let count = usize::from(schedule.cluster.all_servers());
        let founders = usize::from(schedule.cluster.servers);
        Self {
            schedule,
            workload,
            seed,
            now: Nanos::ZERO,
            event: 0,
            queue: Queue::new(schedule.knobs.shuffle_ties.then_some(seed)),
            network: Network::new(seed, Domain::Link, schedule.weather.network),
            is_wired: wire::is_wired(schedule),
            earlier_bytes: Vec::new(),
            client_network: Network::new(seed, Domain::ClientLink, schedule.weather.network),
            disk_weather: schedule.weather.disk,
            servers: (0..count)
                .map(|place| Server::new(seed, schedule, place))
                .collect(),
            founders,
            held: Vec::new(),
            oracles: Oracles {
                facts: Facts::new(first_configuration(&schedule.cluster))
                    .with_programs(schedule.knobs.programs),
                elections: Elections::default(),
                commits: Commits::new(count),
                promises: Promises::default(),
                snapshots: Snapshots::default(),
                transfers: Transfers::new(count),
                attempts: Attempts::new(),
                responses: Shared::default(),
            },
            canary: None,
            confused: None,
            budget: Budget::new(founders, count),
            damaged: 0,
            backups: Vec::new(),
            clients: Clients::new(schedule),
            nemesis: Nemesis::new(schedule),
            operator: Operator::default(),
            upgraded: 0,
            quiet: Quiet::new(schedule, workload.apply_takes()),
            fed: snapshots::Fed::default(),
            phase: Phase::Faulty,
            misfit: None,
            largest_command: schedule.largest_command(workload.sizes(&schedule.workload)),
            drained: Nanos::ZERO,
            coverage: Coverage::default(),
            hash: Rolling::default(),
            outputs: Vec::with_capacity(64),
            trace,
            history: None,
        }
    }

    fn run(&mut self) -> Result<Report, ScheduleError> {
        // S25. After a panic only the simulation's counters are used, so a broken invariant inside it cannot matter.
        let ended = catch_unwind(AssertUnwindSafe(|| self.run_events()));
        let judgement = ended.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a message");
            violated(Oracle::S25, format!("panicked: {text}"))
        });
        if let Some(misfit) = self.misfit.take() {
            return Err(misfit);
        }
        if let Err(violation) = &judgement {
            self.hash.word(violation.oracle as u64 + 1);
        }
        Ok(Report {
            violation: judgement.err(),
            at: self.now,
            events: self.event,
            hash: self.hash.finish(),
            committed: self.oracles.facts.all_committed().len() as u64,
            attempts: self.oracles.attempts.len() as u64,
            elections: self.oracles.elections.count() as u64,
            coverage: self.coverage.clone(),
        })
    }

    fn run_events(&mut self) -> Judgement {
        self.begin();
        while self.phase != Phase::Over {
            let Caused { cause, event } = self.next_event()?;
            if self.quiet.is_due(self.now) {
                self.survey()?;
            }
            let judgement = self.happen(cause, event);
            self.show();
            judgement?;
            if self.event.is_multiple_of(SCAN_EVERY_EVENTS) {
                self.ruled(self.scan_disks())?;
            }
        }
        Ok(())
    }

    /// S24: there is always a next event, and never too many of them.
    fn next_event(&mut self) -> Result<Caused, Violation> {
        let Some((at, caused)) = self.queue.pop() else {
            return violated(Oracle::S24, "no event is left".to_owned());
        };
        self.now = at;
        self.event += 1;
        if self.event > self.schedule.event_budget {
            let message = format!("more than {} events by {at}", self.schedule.event_budget);
            return violated(Oracle::S24, message);
        }
        Ok(caused)
    }

    fn begin(&mut self) {
        for server in 0..self.servers.len() {
            let draw = self.seed.quick(Domain::Timers, server as u64, 0, 1);
            let at = Nanos::new(draw.below(self.schedule.cluster.start_within.value().max(1)));
            self.push(at, Event::Start { server });
        }
        for (fault, at) in self.nemesis.timed(self.schedule) {
            self.push(at, Event::Strike { fault, subject: None });
        }
        for (operation, at) in self.clients.starts() {
            self.push(at, Event::Attempt { operation });
        }
        self.push(self.schedule.heal.at, Event::Heal);
    }

    fn push(&mut self, at: Nanos, event: Event) {
        self.queue.push(
            at,
            Caused {
                cause: self.event,
                event,
            },
        );
    }

    fn push_after(&mut self, delay: Nanos, event: Event) {
        self.push(self.now + delay, event);
    }

    /// Takes an event into the rolling hash: its kind, and the server or client that it concerns.
    fn hash_event(&mut self, kind: u64, whom: u64) {
        self.hash.word(self.now.value());
        self.hash.word(kind << 32 | whom);
    }

    fn happen(&mut self, cause: u64, event: Event) -> Judgement {
        match event {
            Event::Deliver { envelope, sent } => self.deliver(sent, envelope),
            Event::Wake { server, boot } => self.wake(cause, server, boot),
            Event::Synced { server, boot, ticket } => self.synced(cause, server, boot, ticket),
            Event::Persisted { server, boot, ticket } => self.persisted(server, boot, ticket),
            Event::SnapshotWritten {
                server,
                boot,
                last,
                bytes,
            } => self.snapshot_written(cause, server, boot, last, bytes),
            Event::Applied { server, boot } => {
                self.applied(server, boot);
                Ok(())
            }
            Event::Loaded { server, boot, load } => self.loaded(cause, server, boot, load),
            Event::Attempt { operation } => {
                self.attempt(cause, operation);
                Ok(())
            }
            Event::Request {
                server,
                attempt,
                command,
            } => self.request(cause, server, attempt, command),
            Event::Response { attempt, hint } => self.response(cause, attempt, hint),
            Event::GiveUp { attempt } => {
                self.give_up(cause, attempt);
                Ok(())
            }
            Event::Start { server } => self.start(cause, server),
            Event::Strike { fault, subject } => {
                self.strike(fault, subject);
                Ok(())
            }
            Event::Flap { fault } => {
                self.flap(fault);
                Ok(())
            }
            Event::Relent { fault, servers } => {
                self.end_fault(fault, servers);
                Ok(())
            }
            Event::DiskFails { server, boot } => self.disk_fails(cause, server, boot),
            Event::Die { server, boot, fault } => {
                self.die(server, boot, fault);
                Ok(())
            }
            Event::Command { server, command } => self.command(cause, server, command),
            Event::Operate { wish } => {
                self.ask_leader(wish);
                Ok(())
            }
            Event::Heal => {
                self.heal();
                Ok(())
            }
            Event::Examine => self.examine(),
        }
    }

    /// Counts something that happened to a server, and lets the faults that wait for it strike.
    fn happened(&mut self, probe: Probe, subject: Option<usize>) {
        let nth = self.coverage.hit(probe);
        if self.nemesis.is_watched(probe) && self.phase == Phase::Faulty {
            self.trigger(probe, nth, subject);
        }
    }

    fn tells(&self) -> bool {
        self.trace.as_ref().is_some_and(|observer| observer.listens())
    }

    /// Reports an event to the observer. Formatting is expensive, so check [`Self::tells`] first.
    fn tell(&mut self, cause: u64, place: Place, what: &'static str, detail: String) {
        let (number, at) = (self.event, self.now);
        if let Some(trace) = &mut self.trace {
            trace.told(TraceEvent {
                number,
                cause,
                at,
                place,
                what,
                detail,
            });
        }
    }

    /// Reports the fate of a message.
    fn tell_message(&mut self, cause: u64, at: NodeId, what: &'static str, envelope: &Envelope) {
        if self.tells() {
            let detail = crate::report::describe(envelope);
            self.tell(cause, Place::Server(at), what, detail);
        }
    }

    /// Shows the state of all servers to the observer.
    fn show(&mut self) {
        if let Some(observer) = &mut self.trace {
            let mut standings = self.servers.iter().map(Server::standing);
            observer.stands(self.event, &mut standings, self.network.cut_links());
        }
    }

    /// S6 over all disks, those of crashed servers included: what a disk records as committed is committed.
    fn scan_disks(&self) -> Judgement {
        for server in &self.servers {
            let image = server.disk.durable();
            for entry in image
                .entries()
                .take_while(|entry| Some(entry.id.index) <= image.commit)
            {
                let committed = self.oracles.facts.committed(entry.id.index);
                if committed.is_none_or(|committed| committed.id != entry.id) {
                    let message = format!(
                        "the disk of server {} records {} as committed, but {:?} is committed there",
                        server.node,
                        entry.id,
                        committed.map(|committed| committed.id)
                    );
                    return violated(Oracle::S6, message);
                }
            }
        }
        Ok(())
    }
}

/// Returns the configuration that a cluster of so many servers begins with.
fn first_configuration(cluster: &Cluster) -> Membership {
    let node = |place: usize| node_at(place);
    let founders = 0..usize::from(cluster.servers);
    let witnesses = founders.clone().filter(|&place| cluster.is_witness(place));
    Membership::of_voters(founders.map(node)).with_witnesses(witnesses.map(node))
}

/// Core: the library's own check of its state after a step.
fn core_holds(node: NodeId, invariants: Result<(), &'static str>) -> Judgement {
    invariants.map_err(|broken| Violation {
        oracle: Oracle::Core,
        message: format!("server {node} breaks its own rule: {broken}"),
    })
}

#[cfg(test)]
mod tests {
    use raft_core::{Persist, SnapshotMeta, Term};

    use super::*;
    use crate::Profile;
    use crate::kv::KeyValue;
    use crate::oracle::fixture::{command, node, persist, reports, three};

    /// Starts a server from a disk that holds what these writes left.
    fn start_from(writes: &[(Persist, Option<Payload>)]) -> Judgement {
        let schedule = Profile::Calm.schedule(1);
        let mut simulation = Simulation::new(&schedule, &KeyValue, None);
        let disk = &mut simulation.servers[0].disk;
        for (persist, snapshot) in writes {
            let weather = &schedule.weather.disk;
            disk.issue(Nanos::ZERO, weather, persist.clone(), snapshot.clone());
            disk.synced(Nanos::ZERO, &schedule.weather.disk, persist.ticket);
        }
        simulation.start(0, 0)
    }

    #[test]
    fn s22_reports_a_disk_that_no_server_can_start_from() {
        let mut log = persist(vec![command(1, 1, "a"), command(1, 2, "b")]);
        log.hard_state = Some(Box::new(raft_core::HardState {
            term: Term::new(1),
            vote: None,
            ..raft_core::HardState::default()
        }));
        assert_eq!(start_from(&[(log.clone(), None)]), Ok(()));
        // A log with a gap.
        let gap = persist(vec![command(1, 4, "d")]);
        reports(Oracle::S22, start_from(&[(log.clone(), None), (gap, None)]));
        // A snapshot whose bytes do not decode to a state.
        let mut snapshot = persist(vec![]);
        snapshot.snapshot = Some(Box::new(SnapshotMeta {
            cluster: raft_core::ClusterId::UNKNOWN,
            last: LogId::new(Term::new(1), Index::FIRST),
            membership: three().into(),
            membership_id: None,
            withheld: false,
            level: raft_core::Level::ZERO,
        }));
        let bytes = Payload::from(b"nonsense".as_slice());
        reports(Oracle::S22, start_from(&[(log, None), (snapshot, Some(bytes))]));
    }

    #[test]
    fn s24_reports_a_run_beyond_its_budget_and_one_without_a_next_event() {
        let mut schedule = Profile::Calm.schedule(1);
        let mut idle = Simulation::new(&schedule, &KeyValue, None);
        reports(Oracle::S24, idle.next_event().map(drop));
        schedule.event_budget = 10;
        let report = run(&schedule, &KeyValue).unwrap();
        assert_eq!(
            report.violation.map(|violation| violation.oracle),
            Some(Oracle::S24)
        );
        assert_eq!(report.events, 11);
    }

    #[test]
    fn s21_reports_a_server_from_outside_that_sends_before_it_is_admitted() {
        let mut schedule = Profile::Calm.schedule(1);
        schedule.cluster.spares = 1;
        let mut simulation = Simulation::new(&schedule, &KeyValue, None);
        let envelope = |from, message| Envelope {
            group: raft_core::GroupId::new(1),
            cluster: raft_core::ClusterId::UNKNOWN,
            from_boot: raft_core::Boot::new(1, 1),
            from: node(from),
            from_incarnation: raft_core::Incarnation::new(1),
            to: node(1),
            to_incarnation: None,
            term: Term::new(1),
            message,
        };
        let granted = raft_core::Message::VoteReply { granted: true };
        let mut says = |from: u64, message| {
            simulation.outsider_sends_only_hello(from as usize - 1, &envelope(from, message))
        };
        assert_eq!(says(4, raft_core::Message::Hello), Ok(()));
        assert_eq!(says(3, granted.clone()), Ok(()), "it was there from the start");
        reports(Oracle::S21, says(4, granted));
    }

    /// The request of a server that knows of its removal, while a sync from before the heal still stalls.
    #[test]
    fn l5_waits_for_the_disk_of_a_removed_server_and_no_longer() {
        let text = include_str!("../../regressions/removed_while_its_disk_stalls.toml");
        let found = Schedule::from_toml(text).unwrap();
        // Which draws stall the disk at the right time changes with every message that is sent.
        let schedules = (0..2_000).map(|n| Schedule {
            seed: found.seed + n,
            ..found.clone()
        });
        let stalls_to_the_end = |schedule: Schedule| {
            let mut simulation = Simulation::new(&schedule, &KeyValue, None);
            simulation.begin();
            loop {
                let Caused { cause, event } = simulation.next_event().unwrap();
                simulation.happen(cause, event).unwrap();
                match simulation.phase {
                    Phase::Quiet { core, .. } if simulation.outcomes_wait_for_disks(core) => break,
                    Phase::Over => return None,
                    _ => {}
                }
            }
            let Phase::Quiet { core, .. } = simulation.phase else {
                return None;
            };
            let (place, _) = simulation.without_outcome(core).next()?;
            // It is no member any more.
            (simulation.belonging(core) & 1 << place == 0).then(|| {
                // Its sync would have ended by then, and it has said nothing.
                simulation.now += schedule.weather.disk.stall;
                let waits = simulation.outcomes_wait_for_disks(core);
                (waits, simulation.every_request_has_an_outcome(core))
            })
        };
        let (waits, judged) = schedules
            .into_iter()
            .find_map(stalls_to_the_end)
            .expect("one of these seeds stalls a removed server's disk until all is quiet");
        assert!(!waits);
        reports(Oracle::L5, judged);
    }

    #[test]
    fn core_reports_an_invariant_of_the_library_that_broke() {
        assert_eq!(core_holds(node(1), Ok(())), Ok(()));
        reports(Oracle::Core, core_holds(node(1), Err("commit is beyond the log")));
    }
}
