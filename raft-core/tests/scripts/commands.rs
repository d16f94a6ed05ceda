//! The commands of a script.
//!
//! | command | what it does |
//! |---|---|
//! | `cluster 3 [keep=0] [chunk=16] [bytes=36] [inflight=2] [forwarding] [lease]` | servers 1 to 3, bound to their folders, in term 1 with empty logs |
//! | `empty 3` | servers 1 to 3 with empty disks, to start a cluster for the first time |
//! | `new 4` | a server with an empty disk that knows no other, to be added |
//! | `disk 2 3 1 1 2 [commit=1]` | server 2 restarts in term 3, with a log of entries of the terms 1, 1 and 2 |
//! | `campaign 1`, `elect 1` | campaigns; `elect` then delivers everything, and a heartbeat after it |
//! | `propose 1 a`, `read 1 r [lease]` | a client's command, or read, and its name |
//! | `change 1 learner 4`, `promote`, `demote`, `remove`, `replace 1,2,4 [5]` | a change; `expect=t2@3` compares first, `expect=first` with the first configuration |
//! | `transfer 1 2`, `snapshot 1` | hands leadership over; takes a snapshot |
//! | `tick 1 10` | time passes at one server |
//! | `run 30` | time passes everywhere, and everything is delivered after each tick |
//! | `wire` | lists the messages in flight |
//! | `deliver [1->2] [Append]` | delivers those that are in flight now, and shows them |
//! | `settle` | delivers everything, and what that leads to, without showing it |
//! | `drop …`, `copy …` | loses messages in flight, or sends them twice |
//! | `later …`, `replay` | keeps a copy of messages in flight, and sends it after all others |
//! | `cut 1->2`, `cut 1-2`, `isolate 1`, `heal` | links lose all messages from now on |
//! | `crash 1`, `restart 1`, `wipe 1` | unwritten data is lost; a wiped server starts on an empty disk |
//! | `slow 1`, `write 1`, `fast 1`, `fail 1` | writes wait; one is made; all are made; the disk fails |
//! | `status [1]`, `log [1]`, `members 1`, `peers 1` | shows a server, or all |

use std::collections::BTreeSet;

use raft_core::replica::Input;
use raft_core::{
    Change, Config, Durable, Envelope, Event, Expected, HardState, Index, Lease, LogId, Membership, NodeId,
    ProposalId, ReadId, ReadMode, RoleName, Snapshots, Term,
};

use crate::support::Disk;
use crate::support::scene;
use crate::words;
use crate::world::World;

pub(crate) fn carry_out(world: &mut World, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        ["cluster", count, ref options @ ..] => cluster(world, number(count)?, options),
        ["empty", count] => {
            let count = number(count)?;
            let bootstrap = Membership::of_voters((1..=count).map(NodeId::new));
            (1..=count).for_each(|id| world.start(id, id, Disk::default(), bootstrap.clone()));
            Ok(())
        }
        ["new", id] => {
            let id = number(id)?;
            world.start(id, id, Disk::default(), Membership::default());
            Ok(())
        }
        ["disk", id, term, ref log @ ..] => disk(world, number(id)?, number(term)?, log),
        ["campaign", id] => world.step(number(id)?, Input::Event(Event::Campaign)),
        ["elect", id] => {
            world.step(number(id)?, Input::Event(Event::Campaign))?;
            settle(world)?;
            tick(world, number(id)?, 2)?;
            settle(world)?;
            elected(world, number(id)?)
        }
        ["propose", id, command] => {
            let proposal = ProposalId::new(world.name(command));
            let command = command.as_bytes().into();
            world.step(
                number(id)?,
                Input::Event(Event::Propose {
                    id: proposal,
                    payload: command,
                }),
            )
        }
        ["read", id, name] => read(world, number(id)?, name, ReadMode::Quorum),
        ["read", id, name, "lease"] => read(world, number(id)?, name, ReadMode::Lease),
        ["change", id, ref change @ ..] => reconfigure(world, number(id)?, change),
        ["transfer", id, to] => {
            let to = NodeId::new(number(to)?);
            world.step(number(id)?, Input::Event(Event::Transfer { to }))
        }
        ["snapshot", id] => world.step(number(id)?, Input::TakeSnapshot),
        ["tick", id, ticks] => tick(world, number(id)?, number(ticks)?),
        ["run", ticks] => run(world, number(ticks)?),
        ["wire"] => {
            let lines = world.wire.iter().map(words::envelope);
            world.news.extend(lines);
            Ok(())
        }
        ["settle"] => settle(world),
        ["deliver", ref which @ ..] => {
            for envelope in take(world, which)? {
                world.news.push(words::envelope(&envelope));
                deliver(world, envelope)?;
            }
            Ok(())
        }
        ["drop", ref which @ ..] => take(world, which).map(|_| ()),
        ["copy", ref which @ ..] => {
            let taken = take(world, which)?;
            world.wire.extend(taken.iter().cloned());
            world.wire.extend(taken);
            Ok(())
        }
        ["later", ref which @ ..] => {
            let taken = take(world, which)?;
            world.later.extend(taken.iter().cloned());
            world.wire.extend(taken);
            Ok(())
        }
        ["replay"] => {
            world.wire.append(&mut world.later);
            Ok(())
        }
        ["cut", links] => {
            world.cut.extend(links_of(links)?);
            Ok(())
        }
        ["isolate", id] => {
            let id = number(id)?;
            let others = (1..=9).filter(|&other| other != id);
            world
                .cut
                .extend(others.flat_map(|other| [(id, other), (other, id)]));
            Ok(())
        }
        ["heal"] => {
            world.cut.clear();
            Ok(())
        }
        ["crash", id] => world.crash(number(id)?),
        ["restart", id] => world.restart(number(id)?),
        ["wipe", id] => world.start_wiped(number(id)?),
        ["slow", id] => {
            world.server(number(id)?)?.slow_disk = true;
            Ok(())
        }
        ["write", id] => world.write(number(id)?),
        ["fast", id] => world.write_all(number(id)?),
        ["fail", id] => world.fail_disk(number(id)?),
        [what @ ("status" | "log" | "members" | "peers"), ref ids @ ..] => show(world, what, ids),
        _ => Err(format!("there is no such command: {line}")),
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

fn cluster(world: &mut World, count: u64, options: &[&str]) -> Result<(), String> {
    let mut config = Config {
        snapshots: Snapshots {
            keep_entries: 0,
            chunk_bytes: 16,
            ..Snapshots::default()
        },
        ..Config::default()
    };
    for option in options {
        match option.split_once('=') {
            Some(("keep", entries)) => config.snapshots.keep_entries = number(entries)?,
            Some(("bytes", bytes)) => config.limits.message_bytes = number(bytes)? as usize,
            Some(("inflight", messages)) => config.limits.inflight_messages = number(messages)? as usize,
            Some(("chunk", bytes)) => config.snapshots.chunk_bytes = number(bytes)? as usize,
            None if *option == "forwarding" => config.options.forwarding = true,
            None if *option == "lease" => config.options.lease = Some(Lease { drift_permyriad: 500 }),
            _ => return Err(format!("there is no such option: {option}")),
        }
    }
    world.config = config;
    for id in 1..=count {
        let durable = Durable {
            hard_state: HardState {
                term: Term::new(1),
                vote: None,
                ..HardState::default()
            },
            ..Durable::default()
        };
        world.start(
            id,
            id,
            Disk {
                durable,
                ..Disk::default()
            },
            scene::voters(count),
        );
    }
    // Following goes without mention.
    world.news.clear();
    Ok(())
}

/// Restarts a server in this term, with a log of entries of these terms in place of its own.
fn disk(world: &mut World, id: u64, term: u64, log: &[&str]) -> Result<(), String> {
    let count = world.servers.len() as u64;
    let mut durable = Durable {
        hard_state: HardState {
            term: Term::new(term),
            vote: None,
            ..HardState::default()
        },
        ..Durable::default()
    };
    let mut terms = Vec::new();
    for word in log {
        match word.strip_prefix("commit=") {
            Some(commit) => durable.commit = Index::new(number(commit)?),
            None => terms.push(number(word)?),
        }
    }
    durable.entries = scene::entries(0, &terms);
    for entry in &mut durable.entries {
        // The command names its origin: `4.2` is the second entry, of term 4.
        let command = format!("{}.{}", entry.id.term, entry.id.index);
        entry.body = raft_core::EntryBody::Command(command.as_bytes().into());
    }
    world.start(
        id,
        id,
        Disk {
            durable,
            ..Disk::default()
        },
        scene::voters(count),
    );
    world.news.clear();
    Ok(())
}

/// Drops the course of an election from the output: elections have scripts of their own.
fn elected(world: &mut World, id: u64) -> Result<(), String> {
    if world.server(id)?.replica.raft().vitals().role != RoleName::Leader {
        return Err(format!("server {id} was not elected: {}", world.news.join("; ")));
    }
    let is_course = |news: &String| {
        ["candidate", "follower", "commits"]
            .iter()
            .any(|word| news.contains(word))
    };
    world.news.retain(|news| !is_course(news));
    Ok(())
}

fn read(world: &mut World, id: u64, name: &str, mode: ReadMode) -> Result<(), String> {
    let read = ReadId::new(world.name(name));
    world.step(
        id,
        Input::Read {
            id: read,
            mode,
            query: (),
        },
    )
}

fn nodes(list: &str) -> Result<BTreeSet<NodeId>, String> {
    list.split(',')
        .map(|word| number(word).map(NodeId::new))
        .collect()
}

fn log_id(word: &str) -> Result<LogId, String> {
    let parts = word.strip_prefix('t').and_then(|rest| rest.split_once('@'));
    let (term, index) = parts.ok_or_else(|| format!("{word} is no t1@1"))?;
    let index = Index::new(number(index)?).ok_or("positions begin at 1")?;
    Ok(LogId::new(Term::new(number(term)?), index))
}

fn reconfigure(world: &mut World, id: u64, words: &[&str]) -> Result<(), String> {
    let name = words.join(" ");
    let (expect, words) = match words {
        [rest @ .., "expect=first"] => (Expected::This(None), rest),
        [rest @ .., last] if last.starts_with("expect=") => {
            (Expected::This(Some(log_id(&last["expect=".len()..])?)), rest)
        }
        _ => (Expected::Any, words),
    };
    let node = |word| number(word).map(NodeId::new);
    let change = match *words {
        ["learner", who] => Change::AddLearner(node(who)?),
        ["promote", who] => Change::Promote(node(who)?),
        ["demote", who] => Change::Demote(node(who)?),
        ["remove", who] => Change::Remove(node(who)?),
        ["replace", voters] => Change::Replace {
            voters: nodes(voters)?,
            learners: BTreeSet::new(),
        },
        ["replace", voters, learners] => Change::Replace {
            voters: nodes(voters)?,
            learners: nodes(learners)?,
        },
        _ => return Err(format!("there is no such change: {name}")),
    };
    let proposal = ProposalId::new(world.name(&name));
    world.step(
        id,
        Event::ChangeMembership {
            id: proposal,
            expect,
            change,
            force: false,
        },
    )
}

fn tick(world: &mut World, id: u64, ticks: u64) -> Result<(), String> {
    (0..ticks).try_for_each(|_| world.step(id, Event::Tick(1)))
}

fn run(world: &mut World, ticks: u64) -> Result<(), String> {
    for _ in 0..ticks {
        for id in world.servers.keys().copied().collect::<Vec<_>>() {
            world.step(id, Event::Tick(1))?;
        }
        settle(world)?;
    }
    Ok(())
}

/// A message to a server that is down is lost.
fn deliver(world: &mut World, envelope: Envelope) -> Result<(), String> {
    let to = envelope.to.value();
    if world.servers.contains_key(&to) {
        world.step(to, Event::Receive(envelope))
    } else {
        Ok(())
    }
}

fn settle(world: &mut World) -> Result<(), String> {
    // Nothing goes on for ever without a tick; if it does, that is the finding.
    for _ in 0..10_000 {
        match world.wire.pop_front() {
            Some(envelope) => deliver(world, envelope)?,
            None => return Ok(()),
        }
    }
    Err("messages lead to messages without end".into())
}

fn link(word: &str) -> Result<(u64, u64), String> {
    let (from, to) = word
        .split_once("->")
        .ok_or_else(|| format!("{word} is no 1->2"))?;
    Ok((number(from)?, number(to)?))
}

/// One direction of `1->2`, both of `1-2`.
fn links_of(word: &str) -> Result<Vec<(u64, u64)>, String> {
    match word.split_once('-') {
        Some((one, other)) if !other.starts_with('>') => {
            let (one, other) = (number(one)?, number(other)?);
            Ok(vec![(one, other), (other, one)])
        }
        _ => Ok(vec![link(word)?]),
    }
}

/// Takes the selected messages off the wire: all, those of a link, those of a kind. It is an error if there are none.
fn take(world: &mut World, which: &[&str]) -> Result<Vec<Envelope>, String> {
    let (mut links, mut kind) = (None, None);
    for word in which {
        if word.contains('-') {
            links = Some(links_of(word)?)
        } else {
            kind = Some(*word)
        }
    }
    let is_meant = |envelope: &Envelope| {
        let link = (envelope.from.value(), envelope.to.value());
        links.as_ref().is_none_or(|links| links.contains(&link))
            && kind.is_none_or(|kind| kind == envelope.message.name())
    };
    let all = std::mem::take(&mut world.wire);
    let (taken, left): (Vec<_>, Vec<_>) = all.into_iter().partition(is_meant);
    world.wire = left.into();
    if taken.is_empty() {
        Err(format!("nothing like it is under way: {}", which.join(" ")))
    } else {
        Ok(taken)
    }
}

fn show(world: &mut World, what: &str, ids: &[&str]) -> Result<(), String> {
    let ids = match ids {
        [] => world.servers.keys().copied().collect(),
        ids => ids.iter().map(|id| number(id)).collect::<Result<Vec<u64>, _>>()?,
    };
    for id in ids {
        let raft = world.server(id)?.replica.raft();
        let (status, vitals) = (raft.status(), raft.vitals());
        let text = match what {
            "log" => words::log(raft),
            "members" => words::membership(raft.membership()),
            "peers" => {
                let peers = status.peers.iter().map(|peer| {
                    let matched = words::index(peer.matched);
                    format!(
                        "{} holds {matched}, next {}, {:?}",
                        peer.node, peer.next, peer.feeding
                    )
                });
                peers.collect::<Vec<_>>().join("; ")
            }
            _ => {
                let fenced = if status.fenced { ", fenced" } else { "" };
                let failed = if status.failed { ", failed" } else { "" };
                format!(
                    "{} in term {}, log ends with {}, commit {}{fenced}{failed}",
                    words::role(vitals.role),
                    vitals.term,
                    words::log_id(vitals.last),
                    words::index(vitals.commit)
                )
            }
        };
        world.news.push(format!("{id}: {text}"));
    }
    Ok(())
}
