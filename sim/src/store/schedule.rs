//! One run of the store as data.

use serde::{Deserialize, Serialize};

use crate::schedule::{Class, ScheduleError};

/// Everything about one run of the store: its tasks, and its disk's faults.
///
/// Steps refer to the log at their turn ("the last three entries"), and faults to the first fitting call from a certain
/// one on. So any of them can be removed, and the rest stays valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSchedule {
    /// Distinguishes these files from schedules of clusters.
    pub profile: StoreProfile,
    /// Names the draws of contents and of what the disk loses.
    pub seed: u64,
    /// What the disk may do, and so what is promised.
    pub class: Class,
    /// The size of the store's journal, in bytes: a small one has many checkpoints.
    pub journal_bytes: u64,
    /// The store's tasks, in order.
    #[serde(rename = "step", default)]
    pub steps: Vec<Step>,
    /// The disk's faults.
    #[serde(rename = "fault", default)]
    pub faults: Vec<DiskFault>,
}

/// The kind of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreProfile {
    /// Random steps and faults.
    #[default]
    Store,
}

/// One task of the store, or an event of its process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Persist these as one group.
    Persist {
        /// The writes, in order.
        writes: Vec<Write>,
    },
    /// Read entries.
    Load {
        /// Where to begin, in parts of 10,000 of the log.
        from_permyriad: u64,
        /// The limit handed to the store, in bytes.
        max_bytes: u64,
    },
    /// Close the store cleanly, and open it.
    Reopen,
    /// Lose power between two calls, and open what is left.
    Crash {
        /// What is left.
        keep: Keep,
    },
}

/// One `Persist` of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// What it changes.
    #[serde(flatten)]
    pub change: Change,
    /// Whether it asks to be durable at once.
    pub sync: bool,
}

/// What a `Persist` changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "write")]
pub enum Change {
    /// Appends entries after the last one.
    Append {
        /// How many entries.
        count: u64,
        /// How many bytes each entry has.
        bytes: u64,
    },
    /// Truncates the log and appends other entries, of a new term.
    Replace {
        /// How many entries are truncated.
        back: u64,
        /// How many replace them.
        count: u64,
        /// How many bytes each entry has.
        bytes: u64,
    },
    /// A new term, and a vote in it.
    Vote,
    /// The commit hint: the last entry.
    Commit,
    /// A snapshot up to some entry; the log before it is compacted.
    Snapshot {
        /// How many of the last entries it does not cover.
        back: u64,
        /// How many of those that it covers stay in the log.
        retain: u64,
        /// How large it is.
        bytes: u64,
    },
    /// A leader's snapshot that replaces the whole log.
    Install {
        /// How far beyond the last entry it ends.
        ahead: u64,
        /// How large it is.
        bytes: u64,
    },
}

/// What a crash leaves of the unsynced changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All of it: only the process died.
    Everything,
    /// Nothing.
    Nothing,
    /// One drawn version of every sector.
    Drawn,
    /// The same, but a tenth of the sectors is garbage.
    Garbage,
}

/// A fault of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFault {
    /// The fault's id, which names its draws.
    pub id: u32,
    /// It strikes the first call that it can from this one on. Calls that change something are counted, from 1.
    pub at: u64,
    /// The kind of fault.
    #[serde(flatten)]
    pub kind: DiskFaultKind,
}

/// The kinds of faults of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum DiskFaultKind {
    /// The power fails in the middle of the call.
    Crash {
        /// What is left.
        keep: Keep,
    },
    /// A write fails, some of its sectors written.
    FailWrite,
    /// A sync fails and forgets what it was to write.
    FailSync,
    /// A read fails, once.
    FailRead,
    /// A read ends too early, once.
    ShortRead,
    /// Files cannot grow for a while.
    Full {
        /// For so many calls.
        operations: u64,
    },
    /// Bits of a file flip and stay flipped.
    Rot {
        /// How many.
        bits: u64,
    },
    /// A write succeeds, but in another place.
    MisdirectWrite,
    /// A write succeeds, but is never made.
    LoseWrite,
    /// A sync succeeds, but does nothing.
    LieSync,
    /// A file returns to earlier contents.
    OldImage {
        /// So many calls before.
        operations: u64,
    },
}

impl Keep {
    /// The first class that allows this remainder of a crash.
    const fn class(self) -> Class {
        match self {
            Self::Everything | Self::Nothing | Self::Drawn => Class::A,
            Self::Garbage => Class::B,
        }
    }
}

impl DiskFaultKind {
    /// Returns its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::FailWrite => "fail_write",
            Self::FailSync => "fail_sync",
            Self::FailRead => "fail_read",
            Self::ShortRead => "short_read",
            Self::Full { .. } => "full",
            Self::Rot { .. } => "rot",
            Self::MisdirectWrite => "misdirect_write",
            Self::LoseWrite => "lose_write",
            Self::LieSync => "lie_sync",
            Self::OldImage { .. } => "old_image",
        }
    }

    /// Returns the first class that has it. B is damage that a checksum can detect. C leaves whole, old, well-formed
    /// sectors, and no checksum of a sector shows that it is not the latest.
    pub const fn class(self) -> Class {
        match self {
            Self::Crash { keep } => keep.class(),
            Self::FailWrite | Self::FailSync | Self::FailRead | Self::ShortRead | Self::Full { .. } => {
                Class::A
            }
            Self::Rot { .. } => Class::B,
            Self::MisdirectWrite | Self::LoseWrite | Self::LieSync | Self::OldImage { .. } => Class::C,
        }
    }
}

const fn rank(class: Class) -> u8 {
    match class {
        Class::A => 0,
        Class::B => 1,
        Class::C => 2,
    }
}

impl StoreSchedule {
    /// Returns the number of steps and faults, which shrinking reduces.
    pub fn items(&self) -> usize {
        self.steps.len() + self.faults.len()
    }

    /// Whether a file is one of these and not a cluster's.
    pub fn is_in(text: &str) -> bool {
        #[derive(Deserialize)]
        struct Head {
            #[serde(rename = "profile")]
            _profile: StoreProfile,
        }
        toml::from_str::<Head>(text).is_ok()
    }

    /// Reads a schedule and checks it.
    ///
    /// # Errors
    ///
    /// The text is not such a schedule, or its class excludes one of its faults.
    pub fn from_toml(text: &str) -> Result<Self, ScheduleError> {
        let schedule: Self = toml::from_str(text)?;
        schedule.validate()?;
        // serde skips unknown fields of flattened types, and a misspelt one would silently change the meaning.
        let read = toml::Value::Table(toml::from_str(text)?);
        match unknown_key(&read, &toml::Value::try_from(&schedule)?) {
            Some(key) => Err(ScheduleError::UnknownStoreKey { key }),
            None => Ok(schedule),
        }
    }

    /// Writes the schedule so that [`StoreSchedule::from_toml`] reads it back unchanged.
    ///
    /// # Errors
    ///
    /// A number is beyond what TOML can hold.
    pub fn to_toml(&self) -> Result<String, ScheduleError> {
        Ok(toml::to_string(self)?)
    }

    fn validate(&self) -> Result<(), ScheduleError> {
        for (place, fault) in self.faults.iter().enumerate() {
            let id = fault.id;
            if self.faults.iter().take(place).any(|other| other.id == id) {
                return Err(ScheduleError::DuplicateFault { id });
            }
            if rank(fault.kind.class()) > rank(self.class) {
                let kind = fault.kind.name();
                return Err(ScheduleError::BeyondClass { id, kind });
            }
        }
        let bounds = [
            ("journal_bytes", self.journal_bytes, 1 << 30),
            ("a number of a step", self.largest_number(), 1 << 20),
        ];
        for (name, value, most) in bounds {
            if value > most {
                return Err(ScheduleError::Value {
                    name,
                    value: value.to_string(),
                    must: "at most what a machine can hold: 2^30 for journals, 2^20 for the rest",
                });
            }
        }
        Ok(())
    }

    fn largest_number(&self) -> u64 {
        let writes = self.steps.iter().flat_map(|step| match step {
            Step::Persist { writes } => writes.as_slice(),
            _ => &[],
        });
        let numbers = writes.flat_map(|write| match write.change {
            Change::Append { count, bytes } => [count, bytes, 0],
            Change::Replace { back, count, bytes } => [back, count, bytes],
            Change::Snapshot { back, retain, bytes } => [back, retain, bytes],
            Change::Install { ahead, bytes } => [ahead, bytes, 0],
            Change::Vote | Change::Commit => [0; 3],
        });
        numbers.max().unwrap_or_default()
    }
}

/// Returns the first key of what was read that is not in what was understood.
fn unknown_key(read: &toml::Value, understood: &toml::Value) -> Option<String> {
    match (read, understood) {
        (toml::Value::Table(read), toml::Value::Table(understood)) => {
            read.iter().find_map(|(key, value)| match understood.get(key) {
                None => Some(key.clone()),
                Some(understood) => unknown_key(value, understood),
            })
        }
        (toml::Value::Array(read), toml::Value::Array(understood)) => {
            let mut pairs = read.iter().zip(understood);
            pairs.find_map(|(read, understood)| unknown_key(read, understood))
        }
        _ => None,
    }
}
