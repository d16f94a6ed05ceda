//! The notation of a script's output.

use raft_core::{
    AppendOutcome, Entry, EntryBody, Envelope, Index, LogId, Membership, Message, NodeId, Raft, ReadOutcome,
    RoleName,
};

pub(crate) fn role(role: RoleName) -> &'static str {
    match role {
        RoleName::Joining => "joining",
        RoleName::Follower => "follower",
        RoleName::PreCandidate => "pre-candidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "leader",
    }
}

pub(crate) fn log_id(id: Option<LogId>) -> String {
    id.map_or_else(|| "nothing".into(), |id| id.to_string())
}

pub(crate) fn index(index: Option<Index>) -> u64 {
    index.map_or(0, Index::value)
}

fn numbers(nodes: impl Iterator<Item = NodeId>) -> String {
    let numbers: Vec<String> = nodes.map(|node| node.to_string()).collect();
    numbers.join(" ")
}

pub(crate) fn membership(membership: &Membership) -> String {
    let mut text = format!("voters {}", numbers(membership.voters()));
    if membership.is_joint() {
        text.push_str(&format!(" and outgoing {}", numbers(membership.outgoing())));
    }
    if membership.learners().next().is_some() {
        text.push_str(&format!(", learners {}", numbers(membership.learners())));
    }
    let bound = membership
        .members()
        .filter(|&node| membership.incarnation(node).is_some());
    if bound.count() < membership.len() {
        let unbound = membership
            .members()
            .filter(|&node| membership.incarnation(node).is_none());
        text.push_str(&format!(", not met {}", numbers(unbound)));
    }
    text
}

pub(crate) fn entry(entry: &Entry) -> String {
    let body = match &entry.body {
        EntryBody::Noop | EntryBody::Founding(_) => "no-op".into(),
        EntryBody::Membership(configuration) => format!("[{}]", membership(configuration)),
        EntryBody::Level(level) => format!("level {level}"),
        body => String::from_utf8_lossy(body.command().map_or(&[][..], |command| command)).into_owned(),
    };
    format!("{} {body}", entry.id)
}

fn entries(entries: &[Entry]) -> String {
    let all: Vec<String> = entries.iter().map(entry).collect();
    all.join(", ")
}

/// The log as `t1@1 a, t1@2 b`, after the entries that a snapshot covers.
pub(crate) fn log(raft: &Raft) -> String {
    let vitals = raft.vitals();
    let first = raft.first_index().value();
    let positions = (first..=index(vitals.last.map(|last| last.index))).filter_map(Index::new);
    let held: Vec<Entry> = positions.filter_map(|at| raft.entry(at).cloned()).collect();
    let covered = raft.snapshot().map(|meta| format!("snapshot of {}", meta.last));
    let held = (!held.is_empty()).then(|| entries(&held));
    [covered, held]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}

fn yes(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}

fn message(message: &Message) -> String {
    let name = message.name();
    match message {
        Message::HelloReply { standing } => format!("{name} {standing:?}"),
        Message::PreVote { last, .. } | Message::Vote { last } | Message::TransferVote { last } => {
            format!("{name}, log ends with {}", log_id(*last))
        }
        Message::PreVoteReply { granted, .. } | Message::VoteReply { granted } => {
            format!("{name} {}", yes(*granted))
        }
        Message::Append {
            prev,
            commit,
            entries: new,
            ..
        } => {
            let commit = index(*commit);
            format!(
                "{name} after {} [{}], commit {commit}",
                log_id(*prev),
                entries(new)
            )
        }
        Message::AppendReply { outcome, .. } => match outcome {
            AppendOutcome::Accepted { last } => format!("{name} holds {}", log_id(*last)),
            AppendOutcome::Rejected { prev, hint } => {
                format!("{name} lacks {}, try after {}", log_id(*prev), log_id(*hint))
            }
        },
        Message::Heartbeat { commit, .. } => format!("{name}, commit {}", log_id(*commit)),
        Message::SnapshotChunk {
            meta,
            total_bytes,
            offset,
            data,
            ..
        } => {
            let end = offset + data.len() as u64;
            format!("{name} of {}, bytes {offset}..{end} of {total_bytes}", meta.last)
        }
        Message::SnapshotReply {
            last, received_bytes, ..
        } => format!("{name} for {last}, has {received_bytes} bytes"),
        Message::Forward { commands, .. } => {
            let commands = commands
                .iter()
                .map(|(_, command)| String::from_utf8_lossy(command));
            format!("{name} {}", commands.collect::<Vec<_>>().join(", "))
        }
        Message::ForwardRefused { refused, .. } => {
            let reasons = refused.iter().map(|(_, reason)| format!("{reason:?}"));
            format!("{name} {}", reasons.collect::<Vec<_>>().join(", "))
        }
        Message::ReadIndexReply {
            outcome: ReadOutcome::Confirmed { index },
            ..
        } => format!("{name} from {index} on"),
        _ => name.into(),
    }
}

pub(crate) fn envelope(envelope: &Envelope) -> String {
    let Envelope { from, to, term, .. } = envelope;
    format!("{from}->{to} term {term}: {}", message(&envelope.message))
}
