//! Watches a run and records what changes.

use std::collections::BTreeMap;

use raft_core::{EntryBody, HardState, Index, LogId, Membership, NodeId, Raft, RoleName, Vitals};

use super::texts::Texts;
use super::{FIELDS, Lines, MATCHED, Recording, number_of};
use crate::disk::Disk;
use crate::network::Links;
use crate::places::place_of;
use crate::report::{Place, TraceEvent};
use crate::schedule::Schedule;

/// An observer of the events of a run.
pub(crate) trait Observer {
    /// Whether it wants the events, each of which costs a formatted text.
    fn listens(&self) -> bool {
        true
    }

    /// An event has happened.
    fn told(&mut self, event: TraceEvent);

    /// An event is over, and these are the states of all servers.
    fn stands(&mut self, _event: u64, _servers: &mut dyn Iterator<Item = Standing<'_>>, _cuts: Links) {}
}

impl Observer for &mut dyn FnMut(TraceEvent) {
    fn told(&mut self, event: TraceEvent) {
        self(event);
    }
}

/// The state of a server.
pub(crate) struct Standing<'a> {
    /// The state machine of Raft, while the process runs.
    pub(crate) raft: Option<&'a Raft>,
    pub(crate) vitals: &'a Vitals,
    pub(crate) disk: &'a Disk,
    /// The bits of [`FLAGS`](super::FLAGS).
    pub(crate) flags: u64,
}

type State = [u64; FIELDS.len()];

/// One entry as it is drawn: its term, and its kind.
type Drawn = (u64, u64);

/// The recorded state of one server.
#[derive(Default)]
struct Known {
    state: State,
    state_event: u64,
    /// The latest configuration, and its number.
    membership: Option<(Membership, u64)>,
    first: u64,
    log: Vec<Drawn>,
    log_event: u64,
    /// Whether its disk was written to, or replaced.
    may_have_new_log: bool,
}

/// Records a run.
pub(crate) struct Recorder {
    recording: Recording,
    servers: Vec<Known>,
    kinds: BTreeMap<&'static str, u16>,
    memberships: BTreeMap<String, u64>,
    last_event: u64,
    last_at: u64,
    cuts: Links,
    cuts_event: u64,
}

impl Recorder {
    pub(crate) fn new(schedule: &Schedule) -> Self {
        Self {
            recording: Recording {
                servers: 0,
                clients: schedule.workload.clients,
                lines: Lines::default(),
                kinds: Vec::new(),
                texts: Texts::default(),
                states: Vec::new(),
                logs: Vec::new(),
                cuts: Vec::new(),
                memberships: vec![String::new()],
            },
            servers: Vec::new(),
            kinds: BTreeMap::new(),
            memberships: BTreeMap::new(),
            last_event: 0,
            last_at: 0,
            cuts: Links::default(),
            cuts_event: 0,
        }
    }

    pub(crate) fn into_recording(self) -> Recording {
        self.recording
    }

    fn add_server(&mut self) {
        self.servers.push(Known::default());
        self.recording.servers += 1;
        self.recording.states.push(Vec::new());
        self.recording.logs.push(Vec::new());
    }

    fn kind(&mut self, what: &'static str) -> u16 {
        let kinds = &mut self.recording.kinds;
        *self.kinds.entry(what).or_insert_with(|| {
            kinds.push(what);
            u16::try_from(kinds.len() - 1).unwrap_or(u16::MAX)
        })
    }

    /// Returns the number of the configuration that a server is in.
    fn membership(&mut self, place: usize, membership: &Membership) -> u64 {
        let Some(known) = self.servers.get_mut(place) else {
            return 0;
        };
        if let Some((latest, number)) = &known.membership
            && latest == membership
        {
            return *number;
        }
        let all = &mut self.recording.memberships;
        let number = *self
            .memberships
            .entry(described(membership))
            .or_insert_with_key(|text| {
                all.push(text.clone());
                all.len() as u64 - 1
            });
        known.membership = Some((membership.clone(), number));
        number
    }

    fn write_state(&mut self, event: u64, place: usize, state: State) {
        let (Some(known), Some(states)) = (self.servers.get_mut(place), self.recording.states.get_mut(place))
        else {
            return;
        };
        if known.state == state {
            return;
        }
        let changed = |&(number, (old, new)): &(usize, (&u64, &u64))| (old != new).then_some(1 << number);
        let mask: u64 = (known.state.iter().zip(&state).enumerate())
            .filter_map(|change| changed(&change))
            .sum();
        states.extend([event - known.state_event, mask]);
        let values = state.iter().enumerate();
        states.extend(
            values
                .filter(|(number, _)| mask >> number & 1 == 1)
                .map(|(_, value)| value),
        );
        known.state = state;
        known.state_event = event;
    }

    fn write_log(&mut self, event: u64, place: usize, disk: &Disk) {
        let (Some(known), Some(logs)) = (self.servers.get_mut(place), self.recording.logs.get_mut(place))
        else {
            return;
        };
        let image = disk.written();
        let mut entries = image.entries().peekable();
        let count = image.entries().size_hint().0;
        let first = entries.peek().map_or_else(
            || image.snapshot_last().map_or(1, |last| last.index.value() + 1),
            |entry| entry.id.index.value(),
        );
        let is_same = first == known.first && count == known.log.len();
        if !known.may_have_new_log && is_same {
            return;
        }
        known.may_have_new_log = false;
        // A log that begins earlier than before, or after a gap, is recorded as a whole.
        let end = known.first + known.log.len() as u64;
        if first < known.first || first > end {
            known.log.clear();
            known.first = first;
        }
        let dropped = usize::try_from(first - known.first).unwrap_or(usize::MAX);
        known.log.drain(..dropped.min(known.log.len()));
        let has_moved = known.first != first || !is_same;
        known.first = first;
        let mut kept = 0;
        let drawn = |entry: &raft_core::Entry| {
            let body = match entry.body {
                EntryBody::Noop | EntryBody::Founding(_) => 0,
                EntryBody::Command(_) | EntryBody::Forwarded(_) => 1,
                EntryBody::Membership(_) => 2,
                EntryBody::Withheld => 3,
                EntryBody::Level(_) => 4,
            };
            (entry.id.term.value(), body)
        };
        while let Some(entry) = entries.peek()
            && known.log.get(kept) == Some(&drawn(entry))
        {
            kept += 1;
            entries.next();
        }
        let has_changed = entries.peek().is_some() || kept < known.log.len();
        if !has_changed && !has_moved {
            return;
        }
        known.log.truncate(kept);
        let mut runs: Vec<(Drawn, u64)> = Vec::new();
        for entry in entries {
            let entry = drawn(entry);
            known.log.push(entry);
            match runs.last_mut() {
                Some((last, count)) if *last == entry => *count += 1,
                _ => runs.push((entry, 1)),
            }
        }
        let from = first + kept as u64;
        logs.extend([event - known.log_event, first, from, runs.len() as u64]);
        for ((term, body), count) in runs {
            logs.extend([term, body, count]);
        }
        known.log_event = event;
    }
}

impl Observer for Recorder {
    fn told(&mut self, event: TraceEvent) {
        let place = number_of(event.place);
        if let Place::Server(node) = event.place
            && matches!(event.what, "persist" | "start" | "crash")
            && let Some(known) = self.servers.get_mut(place_of(node))
        {
            known.may_have_new_log = true;
        }
        let kind = self.kind(event.what);
        let lines = &mut self.recording.lines;
        let at = event.at.value();
        lines.event.push(event.number - self.last_event);
        lines.at.push(at - self.last_at);
        lines.cause.push(event.number - event.cause);
        lines.place.push(place);
        lines.kind.push(kind);
        self.recording.texts.push(&event.detail);
        (self.last_event, self.last_at) = (event.number, at);
    }

    fn stands(&mut self, event: u64, servers: &mut dyn Iterator<Item = Standing<'_>>, cuts: Links) {
        for (place, standing) in servers.enumerate() {
            if self.servers.len() <= place {
                self.add_server();
            }
            let membership = match standing.raft {
                Some(raft) => self.membership(place, raft.membership()),
                None => 0,
            };
            self.write_state(event, place, state_of(&standing, membership));
            self.write_log(event, place, standing.disk);
        }
        if self.cuts != cuts {
            let servers = self.recording.servers;
            self.recording.cuts.push(event - self.cuts_event);
            let row = |from| cuts.from(from);
            self.recording.cuts.extend((0..usize::from(servers)).map(row));
            (self.cuts, self.cuts_event) = (cuts, event);
        }
    }
}

/// The values of [`FIELDS`].
fn state_of(standing: &Standing<'_>, membership: u64) -> State {
    let of_index = |index: Option<Index>| index.map_or(0, Index::value);
    let of_node = |node: Option<NodeId>| node.map_or(0, NodeId::value);
    let of_id = |id: Option<LogId>| id.map_or(0, |id| id.index.value());
    let (written, durable) = (standing.disk.written(), standing.disk.durable());
    // The mark is after the last entry that is as durable as it is written; entries that will be truncated do not
    // count.
    let mut mark = durable.last().min(written.last()).map(|id| id.index);
    while let Some(index) = mark
        && durable.log_id(index) != written.log_id(index)
    {
        mark = index.previous();
    }
    let mut state = [0; FIELDS.len()];
    let (role, term, vote, leader, last, commit, applied) = match standing.raft {
        Some(raft) => {
            let vitals = standing.vitals;
            if vitals.role == RoleName::Leader {
                for (matched, peer) in state[MATCHED..].iter_mut().zip(1..) {
                    let progress = raft.progress(NodeId::new(peer));
                    *matched = of_index(progress.and_then(|peer| peer.matched));
                }
            }
            (
                role_number(vitals.role),
                vitals.term,
                raft.hard_state().vote,
                vitals.leader,
                vitals.last,
                vitals.commit,
                vitals.applied,
            )
        }
        None => {
            let HardState { term, vote, .. } = durable.hard_state;
            (0, term, vote, None, written.last(), durable.commit, None)
        }
    };
    let own = [
        role,
        standing.flags,
        term.value(),
        of_node(vote),
        of_node(leader),
        of_id(last),
        of_index(mark),
        of_index(commit),
        of_index(applied),
        of_id(written.snapshot_last()),
        membership,
    ];
    state[..MATCHED].copy_from_slice(&own);
    state
}

/// Returns the number of a role in [`ROLES`](super::ROLES).
const fn role_number(role: RoleName) -> u64 {
    match role {
        RoleName::Joining => 1,
        RoleName::Follower => 2,
        RoleName::PreCandidate => 3,
        RoleName::Candidate => 4,
        RoleName::Leader => 5,
    }
}

/// Describes a configuration in words.
fn described(membership: &Membership) -> String {
    let list = |nodes: &mut dyn Iterator<Item = NodeId>| {
        let nodes: Vec<String> = nodes.map(|node| node.to_string()).collect();
        nodes.join(" ")
    };
    let mut text = format!("voters {}", list(&mut membership.voters()));
    if membership.is_joint() {
        text = format!("joint: {text}, outgoing {}", list(&mut membership.outgoing()));
    }
    for (name, nodes) in [
        ("learners", list(&mut membership.learners())),
        ("witnesses", list(&mut membership.witnesses())),
    ] {
        if !nodes.is_empty() {
            text += &format!(", {name} {nodes}");
        }
    }
    text
}
