//! Checks what the disk holds as a whole before a server starts from any of it.

use crate::config::{ConfigError, Durable, Setup};
use crate::level::Level;
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
    #[error("the stored state is corrupt: the term or index {number} is out of range")]
    OutOfRange {
        /// The number.
        number: u64,
    },
    /// An entry is malformed: no correct leader can have made it.
    #[error("the stored log is corrupt: no leader can have made {entry} as it is stored")]
    Impossible {
        /// The entry.
        entry: LogId,
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
         all of them; start the server in its former kind, or remove it, add it again in its new kind, and start it with an empty folder"
    )]
    Misfit,
    /// A program of a higher level has worked on this folder. This one would not understand what it finds there, or
    /// would understand it otherwise.
    #[error(
        "this data folder is at level {folder}, and this program goes up to level {program}; start a program of level {folder} or higher"
    )]
    Level {
        /// The level of the folder.
        folder: Level,
        /// The level of the program.
        program: Level,
    },
    /// The first configuration has no voter that could lead, or too few.
    #[error("the first configuration must have fewer witnesses than half of its voters")]
    TooManyWitnesses,
    /// The snapshot's bytes are missing, or there are bytes without a description, or the description is invalid.
    #[error("the stored snapshot is corrupt: {0}")]
    Snapshot(alloc::string::String),
}

/// The log that a disk holds.
pub(crate) struct Restored {
    pub(crate) log: Log,
    /// Whether the disk holds entries that do not belong to the log. They must be removed from the disk before anything
    /// is appended; otherwise the next start finds them among later entries.
    pub(crate) discarded: bool,
}

/// Builds the log from what the disk holds, or returns what is wrong with it.
pub(crate) fn restore_log(setup: &Setup) -> Result<Restored, RestoreError> {
    let durable = &setup.durable;
    check_kind(durable, setup.config.options.witness)?;
    if !setup.bootstrap.witnesses_are_few() {
        return Err(RestoreError::TooManyWitnesses);
    }
    check_order(&durable.entries)?;
    check_range(durable)?;
    check_validity(durable)?;
    unless_planted!(STARTS_BELOW_FOLDER, check_level(durable, setup.config.level)?);
    let mut log = Log::new(setup.bootstrap.clone(), durable.snapshot.clone());
    log.measure(setup.config.snapshots.keep_bytes);
    let belonging = join_with_snapshot(durable)?;
    if let Some(base) = belonging.base {
        log.rebase(base);
    }
    for entry in belonging.entries {
        log.append(entry.clone());
    }
    match durable.commit {
        Some(commit) if Some(commit) > log.last_index() => Err(RestoreError::CommitTooLate {
            commit,
            last: log.last(),
        }),
        _ => Ok(Restored {
            log,
            discarded: belonging.discarded,
        }),
    }
}

/// Checks that a witness's log holds no commands, and that any other log holds all of them.
fn check_kind(durable: &Durable, is_witness: bool) -> Result<(), RestoreError> {
    let is_misfit = |entry: &Entry| match entry.body {
        EntryBody::Withheld => !is_witness,
        EntryBody::Command(_) | EntryBody::Forwarded(_) => is_witness,
        EntryBody::Noop | EntryBody::Founding(_) | EntryBody::Membership(_) | EntryBody::Level(_) => false,
    };
    let snapshot = durable.snapshot.as_ref();
    if durable.entries.iter().any(is_misfit) || snapshot.is_some_and(|meta| meta.withheld != is_witness) {
        return Err(RestoreError::Misfit);
    }
    Ok(())
}

/// Checks that no program of a higher level has worked on this folder. An entry that raises the level is no reason to
/// refuse: a program below it halts there, once it is committed.
fn check_level(durable: &Durable, program: Level) -> Result<(), RestoreError> {
    let of_snapshot = durable.snapshot.as_ref().map(|meta| meta.level);
    let folder = durable.hard_state.level.max(of_snapshot.unwrap_or_default());
    if folder > program {
        return Err(RestoreError::Level { folder, program });
    }
    Ok(())
}

/// Checks that indexes are consecutive and that terms never decrease (paper §5.3).
fn check_order(entries: &[Entry]) -> Result<(), RestoreError> {
    for (entry, next) in entries.iter().zip(entries.iter().skip(1)) {
        if next.id.index != entry.id.index.next() || next.id.term < entry.id.term {
            return Err(RestoreError::Gap {
                previous: entry.id,
                next: next.id,
            });
        }
    }
    Ok(())
}

/// Checks that no term is later than the stored one, and that terms and indexes are within their range.
fn check_range(durable: &Durable) -> Result<(), RestoreError> {
    let term = durable.hard_state.term;
    if term.is_malformed() {
        return Err(RestoreError::OutOfRange { number: term.value() });
    }
    let last = durable.entries.last().map(|entry| entry.id);
    let covered = durable.snapshot.as_ref().map(|meta| meta.last);
    for newest in last.into_iter().chain(covered) {
        if newest.term > term {
            return Err(RestoreError::TermTooLate { entry: newest, term });
        }
        if newest.index.is_malformed() {
            return Err(RestoreError::OutOfRange {
                number: newest.index.value(),
            });
        }
    }
    Ok(())
}

/// Checks that a correct leader can have made every entry, and a correct server can have taken the snapshot.
fn check_validity(durable: &Durable) -> Result<(), RestoreError> {
    let term = durable.hard_state.term;
    let is_impossible = |entry: &&Entry| !entry.id.is_well_formed(term) || !entry.is_well_formed();
    if let Some(entry) = durable.entries.iter().find(is_impossible) {
        return Err(RestoreError::Impossible { entry: entry.id });
    }
    match &durable.snapshot {
        Some(meta) if !meta.is_well_formed(term) => {
            let what = "no server can have taken a snapshot of this description";
            Err(RestoreError::Snapshot(what.into()))
        }
        _ => Ok(()),
    }
}

/// The stored entries that belong to the log after the stored snapshot.
struct Belonging<'a> {
    /// The entry before `entries` where that is not the snapshot's last: the log reaches back further than the
    /// snapshot.
    base: Option<LogId>,
    entries: &'a [Entry],
    discarded: bool,
}

/// Returns the stored entries that belong after the stored snapshot. A crash may leave a new snapshot beside an old log
/// (see [`Persist`](crate::Persist)). The rule for an arriving snapshot decides then (paper §7): the log is kept if it
/// holds the snapshot's last entry or begins right after it, and discarded otherwise.
fn join_with_snapshot(durable: &Durable) -> Result<Belonging<'_>, RestoreError> {
    let whole = Belonging {
        base: None,
        entries: &durable.entries,
        discarded: false,
    };
    let Some((first, after_first)) = durable.entries.split_first() else {
        return Ok(whole);
    };
    let first = first.id;
    let Some(covered) = durable.snapshot.as_ref().map(|meta| meta.last) else {
        return match first.index {
            Index::FIRST => Ok(whole),
            _ => Err(RestoreError::Headless { first }),
        };
    };
    let follows = first.index == covered.index.next();
    if first.index > covered.index.next() || (follows && first.term < covered.term) {
        return Err(RestoreError::Gap {
            previous: covered,
            next: first,
        });
    }
    let holds_last = || durable.entries.iter().any(|entry| entry.id == covered);
    if follows {
        Ok(whole)
    } else if holds_last() {
        // The term of the entry before the first is not known any more, so the first becomes the base.
        Ok(Belonging {
            base: Some(first),
            entries: after_first,
            discarded: false,
        })
    } else {
        Ok(Belonging {
            base: None,
            entries: &[],
            discarded: true,
        })
    }
}
