//! The oracles: what must hold in every run, each an exact check that correct code never fails.
//!
//! They watch from outside: through the library's read-only accessors, its outputs, and the disks' durable images. So
//! they share no code with what they judge. Each has a unit test that feeds it a violation.

pub(crate) mod apply;
pub(crate) mod budget;
pub(crate) mod client;
pub(crate) mod clocks;
pub(crate) mod commit;
pub(crate) mod durability;
pub(crate) mod election;
pub(crate) mod facts;
pub(crate) mod leases;
pub(crate) mod levels;
pub(crate) mod liveness;
pub(crate) mod log;
pub(crate) mod membership;
pub(crate) mod quiescence;
pub(crate) mod reads;
pub(crate) mod recovery;
pub(crate) mod resources;
pub(crate) mod service;
pub(crate) mod stability;
pub(crate) mod transfer;
pub(crate) mod wakeups;

use std::fmt;

use raft_core::{Index, LogId, Raft};
use serde::{Deserialize, Serialize};

macro_rules! oracles {
    ($($name:ident $(= $doc:literal)*,)*) => {
        /// Names one check. The letters are S for safety, C for what clients see, L for liveness, D for the store on
        /// its disk.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Oracle {
            $($(#[doc = $doc])* $name,)*
        }

        impl Oracle {
            /// All oracles, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns what the oracle checks, in one sentence.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),*),)*
                }
            }
        }
    };
}

oracles! {
    S1 = "Election safety: a term has at most one leader, and a quorum of its configuration voted for it (paper §5.2, §6).",
    S2 = "Leader append-only: a leader never removes or replaces entries of its log (paper §5.3).",
    S3 = "Log matching: entries with the same index and term have the same content and the same predecessor (paper §5.3).",
    S4 = "Leader completeness: a new leader holds every entry that was committed in an earlier term (paper §5.4).",
    S5 = "State-machine safety: no two servers commit different entries at the same index (paper §5.4.3).",
    S6 = "Committed entries are immutable: none is truncated, and no snapshot contradicts one.",
    S7 = "When an entry is first committed, the disks of a quorum hold it.",
    S8 = "A leader advances its commit index only to an entry of its own term (paper §5.4.2, Figure 8).",
    S9 = "What a leader believes about a follower's log is on the follower's disk.",
    S10 = "A follower commits no further than the leader of its term has verified its log.",
    S11 = "Terms never decrease, in memory or on disk (paper §5.1).",
    S12 = "A vote on the wire is the only one of its server in that term, and is on its disk (paper §5.2).",
    S13 = "What a message promises is on the sender's disk when the message leaves, and so are the entries that a leader sends to a witness.",
    S14 = "Commit and applied indexes never decrease, and compacted <= snapshot <= applied <= commit <= last.",
    S15 = "The state machine sees every committed command once and in order.",
    S16 = "State machines that have applied the same entries are equal, and have given the same responses.",
    S17 = "A snapshot is the state that the committed entries up to its end lead to, configuration included.",
    S18 = "A configuration is in force from its append until it is truncated. Configurations change one at a time, after an entry of the leader's term is committed, and their quorums overlap (paper §6; dissertation §4.1 and its correction of 2015).",
    S19 = "A server that knows it is no longer a voter neither campaigns nor leads (dissertation §4.2.2).",
    S20 = "A leader appends nothing during a leadership transfer, and only the server that it told to campaign does so (dissertation §3.10).",
    S21 = "A server whose disk was lost takes no part until a committed configuration admits its new disk, and then casts no vote in the terms in which the lost disk may have voted. One that was told that its disk went back, or was copied, notes it and sends nothing more.",
    S22 = "A server starts from every disk that a crash within the contract can leave, and from none with a rotten record.",
    S23 = "A message whose bytes were damaged is not taken for another message.",
    S24 = "The run stays within its budget of events, and every window within its limits.",
    S25 = "Nothing panics and no arithmetic overflows.",
    S26 = "No command is committed before its level is in force. A server applies nothing that its program does not understand, and one that cannot go on neither campaigns nor goes on leading. The level rises only to what every member understands.",
    S27 = "Nothing that another cluster says changes what a server stands for.",
    Core = "The library's own invariants hold after every step.",
    C1 = "An acknowledged write is committed where the acknowledgement says.",
    C2 = "What clients see is linearizable, witnessed by the order of the log.",
    C3 = "What clients see is linearizable, by a search that does not look at the log.",
    C4 = "A read reflects everything that was committed when it arrived, and since then a quorum has confirmed its leader or is bound to it by a lease (paper §8, dissertation §6.4.1).",
    C6 = "A request that is repeated in its session is applied once and answered the same, and sessions end where the rules say (dissertation §6.3).",
    C7 = "A rejected request has no effect, and every request has one outcome.",
    C8 = "Every committed command was proposed by a client, and is committed once.",
    C9 = "What clients are told agrees with the workload's own rules, over the whole log.",
    C10 = "A leader lets commands carry a time only near the median of the voters' wall clocks.",
    C11 = "A server in good order turns no request away without a reason, and leaves none unknown.",
    L1 = "A healed core elects a leader and agrees on everything.",
    L2 = "A healed core serves every client.",
    L3 = "A healthy leader that reaches a healthy quorum stays the leader, whatever happens to the other servers.",
    L4 = "No server disturbs a leader whose heartbeats arrive: no election without a reason, no campaign without a pre-vote (dissertation §9.6).",
    L5 = "A leader without an active quorum, or with a stalled disk, steps down (dissertation §6.2), and no request is left without an outcome.",
    L6 = "A healthy follower of a healthy leader catches up, step by step.",
    L7 = "A healed core leaves a joint configuration, and is led by one of its voters (dissertation §4.2.2, §4.3).",
    L8 = "An idle cluster sends heartbeats, and nothing else.",
    L9 = "In good weather a fault causes few elections.",
    L10 = "Nothing waits for a disk longer than the disk takes.",
    D1 = "What the shipping store acknowledged survives every crash, and what it did not acknowledge is there wholly or not at all.",
    D2 = "On a disk that keeps its contract the shipping store can be opened and used.",
    D3 = "What the shipping store reads back is what was written to it, whatever its disk does.",
    D4 = "A shipping store that has failed acknowledges nothing more until it is opened again.",
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What an oracle has found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{oracle}: {message}")]
pub struct Violation {
    /// The oracle.
    pub oracle: Oracle,
    /// What it saw.
    pub message: String,
}

/// An oracle's judgement: no objection, or a violation.
pub(crate) type Judgement = Result<(), Violation>;

/// Reports a violation.
pub(crate) fn violated<T>(oracle: Oracle, message: String) -> Result<T, Violation> {
    Err(Violation { oracle, message })
}

/// A server's log as the oracles see it.
pub(crate) trait LogView {
    /// The entry at this position, from the last one that was compacted to the last.
    fn log_id(&self, at: Index) -> Option<LogId>;

    /// The first retained position.
    fn first_index(&self) -> Index;

    /// The last entry that the latest snapshot covers.
    fn snapshot_last(&self) -> Option<LogId>;
}

impl LogView for Raft {
    fn log_id(&self, at: Index) -> Option<LogId> {
        Self::log_id(self, at)
    }

    fn first_index(&self) -> Index {
        Self::first_index(self)
    }

    fn snapshot_last(&self) -> Option<LogId> {
        self.snapshot().map(|meta| meta.last)
    }
}

/// The number of an optional position, 0 for none.
pub(crate) fn count(index: Option<Index>) -> u64 {
    index.map_or(0, Index::value)
}

/// The positions after `from` up to and including `to`.
pub(crate) fn positions(from: Option<Index>, to: Option<Index>) -> impl Iterator<Item = Index> {
    (count(from) + 1..=count(to)).filter_map(Index::new)
}

/// Everything shared by the unit tests of the oracles.
#[cfg(test)]
pub(crate) mod fixture {
    use raft_core::{
        Entry, EntryBody, Index, LogId, Membership, NodeId, Payload, Persist, RoleName, Term, Ticket, Vitals,
    };

    use super::{Judgement, LogView, Oracle, facts::Facts};

    pub(crate) fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term::new(term), Index::new(index).unwrap())
    }

    pub(crate) fn at(index: u64) -> Index {
        Index::new(index).unwrap()
    }

    pub(crate) fn node(id: u64) -> NodeId {
        NodeId::new(id)
    }

    pub(crate) fn command(term: u64, index: u64, text: &str) -> Entry {
        Entry {
            id: id(term, index),
            body: EntryBody::Command(Payload::from(text.as_bytes())),
        }
    }

    pub(crate) fn three() -> Membership {
        Membership::of_voters([1, 2, 3].map(NodeId::new))
    }

    /// A joint configuration, which only the library makes, so a test has to decode one.
    pub(crate) fn joint(voters: &[u64], outgoing: &[u64]) -> Membership {
        let text = format!(
            r#"{{"voters":{voters:?},"outgoing":{outgoing:?},"learners":[],"witnesses":[],"incarnations":{{}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    /// Facts that know these entries, the first `committed` of them as committed by their own terms' leaders.
    pub(crate) fn facts(entries: &[Entry], committed: usize) -> Facts {
        let mut facts = Facts::new(three());
        let mut prev = None;
        for entry in entries {
            facts.learn(entry, Some(prev)).unwrap();
            prev = Some(entry.id.term);
        }
        for entry in entries.iter().take(committed) {
            facts.commit(node(1), entry.id, entry.id.term).unwrap();
        }
        facts
    }

    pub(crate) fn persist(entries: Vec<Entry>) -> Persist {
        Persist {
            ticket: Ticket::new(1),
            hard_state: None,
            snapshot: None,
            truncate_from: None,
            entries: entries.into(),
            commit: None,
            compact_to: None,
            sync: true,
        }
    }

    pub(crate) fn vitals(role: RoleName, term: u64, last: Option<LogId>, commit: u64) -> Vitals {
        Vitals {
            role,
            term: Term::new(term),
            leader: None,
            last,
            durable: last.map(|last| last.index),
            commit: Index::new(commit),
            applied: None,
        }
    }

    /// A log given by the terms of its entries, from 1 on.
    pub(crate) struct Terms(pub(crate) Vec<u64>);

    impl LogView for Terms {
        fn log_id(&self, at: Index) -> Option<LogId> {
            let term = self.0.get(usize::try_from(at.value() - 1).unwrap())?;
            Some(LogId::new(Term::new(*term), at))
        }

        fn first_index(&self) -> Index {
            Index::FIRST
        }

        fn snapshot_last(&self) -> Option<LogId> {
            None
        }
    }

    #[track_caller]
    pub(crate) fn reports(oracle: Oracle, judgement: Judgement) {
        assert_eq!(judgement.map_err(|violation| violation.oracle), Err(oracle));
    }
}
