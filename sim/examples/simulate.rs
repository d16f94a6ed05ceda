//! A user's state machine under simulation: a lock service whose snapshot forgets something.
//!
//! A lock is granted with a token that grows with every grant, so that a storage service can reject a client with an
//! old one. The counter of tokens is missing in the snapshot: a server that starts from a snapshot, or is sent one,
//! counts from the beginning. Tests without snapshots pass; the simulator finds the bug within a few seeds, and shows
//! the few steps that it takes.

use std::collections::BTreeMap;
use std::process::ExitCode;

use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::{Halt, LogId};
use sim::schedule::WorkloadPlan;
use sim::{Call, Found, Profile, Workload};

/// The holder of each lock, and the token of the last grant.
#[derive(Default)]
struct Locks {
    holders: BTreeMap<u8, u8>,
    last_token: u64,
    forgets: bool,
}

impl StateMachine for Locks {
    /// The token, if the lock was granted.
    type Response = Option<u64>;
    type Query = u8;
    type Answer = Option<u8>;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<Option<u64>, Halt> {
        let &[lock, client, ..] = command else {
            return Ok(None);
        };
        Ok(match self.holders.get(&lock) {
            Some(holder) => {
                if *holder == client {
                    self.holders.remove(&lock);
                }
                None
            }
            None => {
                self.holders.insert(lock, client);
                self.last_token += 1;
                Some(self.last_token)
            }
        })
    }

    fn query(&self, lock: u8) -> Option<u8> {
        self.holders.get(&lock).copied()
    }

    fn snapshot(&self) -> Vec<u8> {
        let token = if self.forgets { 0 } else { self.last_token };
        let holders = self.holders.iter().flat_map(|(lock, client)| [*lock, *client]);
        token.to_be_bytes().into_iter().chain(holders).collect()
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let (token, holders) = snapshot
            .split_first_chunk()
            .ok_or(SnapshotError("it is truncated".into()))?;
        Ok(Self {
            holders: holders.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(),
            last_token: u64::from_be_bytes(*token),
            forgets: self.forgets,
        })
    }
}

/// Clients that take a lock, and release it when they ask again. The workload needs nothing else.
struct Locking {
    forgets: bool,
}

impl Workload for Locking {
    type Machine = Locks;

    fn machine(&self, _plan: &WorkloadPlan) -> Locks {
        let forgets = self.forgets;
        Locks {
            forgets,
            ..Locks::default()
        }
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        let mut command = vec![call.choice as u8, call.client];
        command.extend(call.attempt.to_be_bytes());
        command
    }

    fn query(&self, choice: u64) -> u8 {
        choice as u8
    }
}

fn main() -> Result<ExitCode, sim::ScheduleError> {
    let flawed = Locking { forgets: true };
    let Some(found) = sim::sweep(Profile::Swarm, 0..1_000, &flawed)? else {
        eprintln!("no violation was found in a thousand seeds: the simulator has a bug");
        return Ok(ExitCode::FAILURE);
    };
    println!("seed {} finds: {}", found.seed, found.verdict);
    if let Some(shrunk) = sim::shrink(&found.schedule, &flawed, &mut |_, _| {})? {
        let (before, after) = (shrunk.items_before, shrunk.items_after);
        println!(
            "{before} faults and operations shrink to {after}; sim::replay shows the run, which ends like this:\n"
        );
        let mut trace = Vec::new();
        sim::replay(&shrunk.schedule, &flawed, &mut |event| trace.push(event))?;
        trace
            .iter()
            .rev()
            .take(12)
            .rev()
            .for_each(|event| println!("{event}"));
        println!("\nshrunk.schedule.to_toml() is the regression to keep.");
    }
    let corrected = Locking { forgets: false };
    let seeds = 0..found.seed + 300;
    if let Some(Found { seed, verdict, .. }) = sim::sweep(Profile::Swarm, seeds.clone(), &corrected)? {
        eprintln!("seed {seed} fails with the corrected machine: {verdict}");
        return Ok(ExitCode::FAILURE);
    }
    println!("With the token in the snapshot, seeds {seeds:?} pass.");
    Ok(ExitCode::SUCCESS)
}
