//! What a disk says must make sense as a whole before a server believes any of it.

use crate::config::{ConfigError, Setup};
use crate::log::Log;
use crate::types::{Entry, EntryBody, Index, LogId, Term};

/// Why a server cannot start from what it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Two neighbouring entries of the log are not consecutive.
    #[error("the stored log is corrupt: entry {next} follows {previous}")]
    Gap {
        /// The earlier one, or what the snapshot covers.
        previous: LogId,
        /// The one after it.
        next: LogId,
    },
    /// The log does not begin at 1 and no snapshot covers what is missing.
    #[error(
        "the stored log is corrupt: it begins with {first}, and there is no snapshot of what came before"
    )]
    Headless {
        /// The first entry.
        first: LogId,
    },
    /// An entry is of a later term than the server ever heard of.
    #[error("the stored log is corrupt: it holds {entry}, but the stored term is {term}")]
    TermTooLate {
        /// The entry.
        entry: LogId,
        /// The stored term.
        term: Term,
    },
    /// A stored term or position is so close to the end of its range that no cluster can have got there.
    #[error("the stored state is corrupt: no cluster ever counts up to {number}")]
    OutOfRange {
        /// The number.
        number: u64,
    },
    /// More is committed than there is.
    #[error("the stored log is corrupt: {commit} is committed, but the log ends at {last:?}")]
    CommitTooLate {
        /// The stored commit index.
        commit: Index,
        /// The last entry.
        last: Option<LogId>,
    },
    /// A data folder is a witness's from its beginning, or it never is.
    #[error(
        "this server's settings and its data folder contradict each other: a witness's log holds no commands, and any other log holds \
         all of them; start it as what it was, or with an empty folder, after it was removed and added again as what it shall be"
    )]
    Misfit,
    /// The first configuration has no voter that could lead, or too few.
    #[error("the first configuration must have fewer witnesses than half of its voters")]
    TooManyWitnesses,
    /// The snapshot's bytes are missing, or there are bytes without a description of them.
    #[error("the stored snapshot is corrupt: {0}")]
    Snapshot(alloc::string::String),
}

/// The log that a disk holds.
pub(crate) struct Restored {
    pub(crate) log: Log,
    /// Whether stored entries do not belong to it. They must leave the disk before anything is appended, lest the next start
    /// finds them in the midst of what came after.
    pub(crate) discarded: bool,
}

/// Builds the log out of what the disk holds, or says what is wrong with it.
///
/// A crash may leave a new snapshot beside an old log (see [`Persist`](crate::Persist)). That is
/// resolved by the rule for an arriving snapshot (paper §7): the log is kept if it holds the snapshot's last entry or
/// begins right behind it, and discarded otherwise.
pub(crate) fn restore_log(setup: &Setup) -> Result<Restored, RestoreError> {
    let durable = &setup.durable;
    let term = durable.hard_state.term;
    let is_witness = setup.config.options.witness;
    let is_misfit = |entry: &Entry| match entry.body {
        EntryBody::Withheld => !is_witness,
        EntryBody::Command(_) | EntryBody::Forwarded(_) => is_witness,
        EntryBody::Noop | EntryBody::Membership(_) => false,
    };
    let snapshot = durable.snapshot.as_ref();
    if durable.entries.iter().any(is_misfit) || snapshot.is_some_and(|meta| meta.withheld != is_witness) {
        return Err(RestoreError::Misfit);
    }
    if !setup.bootstrap.witnesses_are_few() {
        return Err(RestoreError::TooManyWitnesses);
    }
    let mut log = Log::new(setup.bootstrap.clone(), durable.snapshot.clone());
    let covered = durable.snapshot.as_ref().map(|meta| meta.last);

    for (entry, next) in durable.entries.iter().zip(durable.entries.iter().skip(1)) {
        if next.id.index != entry.id.index.next() || next.id.term < entry.id.term {
            return Err(RestoreError::Gap {
                previous: entry.id,
                next: next.id,
            });
        }
    }
    if term.is_malformed() {
        return Err(RestoreError::OutOfRange { number: term.value() });
    }
    for newest in durable
        .entries
        .last()
        .map(|entry| entry.id)
        .into_iter()
        .chain(covered)
    {
        if newest.term > term {
            return Err(RestoreError::TermTooLate { entry: newest, term });
        }
        if newest.index.is_malformed() {
            return Err(RestoreError::OutOfRange {
                number: newest.index.value(),
            });
        }
    }

    let mut discarded = false;
    let mut entries = durable.entries.iter().peekable();
    if let (Some(first), Some(covered)) = (entries.peek().map(|entry| entry.id), covered) {
        if first.index > covered.index.next() {
            return Err(RestoreError::Gap {
                previous: covered,
                next: first,
            });
        }
        let at_snapshot = durable
            .entries
            .iter()
            .find(|entry| entry.id.index == covered.index);
        let follows = first.index == covered.index.next();
        if follows && first.term < covered.term {
            return Err(RestoreError::Gap {
                previous: covered,
                next: first,
            });
        }
        if at_snapshot.is_some_and(|entry| entry.id == covered) {
            // The log reaches back further than the snapshot. The term of the entry before its first is not
            // known any more, so the first becomes the base.
            log.rebase(first);
            entries.next();
        } else if !follows {
            discarded = true;
            entries = [].iter().peekable();
        }
    } else if let Some(first) = entries.peek().filter(|entry| entry.id.index != Index::FIRST) {
        return Err(RestoreError::Headless { first: first.id });
    }
    for entry in entries {
        log.append(entry.clone());
    }

    match durable.commit {
        Some(commit) if Some(commit) > log.last_index() => Err(RestoreError::CommitTooLate {
            commit,
            last: log.last(),
        }),
        _ => Ok(Restored { log, discarded }),
    }
}
