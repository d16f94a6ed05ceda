//! One run of the store as data.

use serde::{Deserialize, Serialize};

use crate::schedule::{Class, ScheduleError};

/// Everything about one run of the store: what it is asked, and what its disk does.
///
/// Steps refer to the log as it is when their turn comes ("the last three entries"), and faults to the first
/// fitting call from a certain one on, so that any of them can be taken away and the rest still makes sense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSchedule {
    /// Tells these files from those of clusters.
    pub profile: StoreProfile,
    /// Names the draws of contents and of what the disk loses.
    pub seed: u64,
    /// What the disk may do, and so what is promised.
    pub class: Class,
    /// The size of the store's journal, in bytes: a small one has many checkpoints.
    pub journal_bytes: u64,
    /// What the store is asked, in order.
    #[serde(rename = "step", default)]
    pub steps: Vec<Step>,
    /// What the disk does of its own accord.
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

/// One thing that the store is asked, or that befalls its process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Persist these as one group.
    Persist {
        /// In order.
        writes: Vec<Write>,
    },
    /// Read entries.
    Load {
        /// Where to begin, in parts of 10,000 of the log.
        from_permyriad: u64,
        /// The limit handed to the store, in bytes.
        max_bytes: u64,
    },
    /// Close the store in good order, and open it.
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
    /// Entries behind the last one.
    Append {
        /// How many.
        count: u64,
        /// Of so many bytes each.
        bytes: u64,
    },
    /// Cuts entries off and puts others, of a new term, in their place.
    Replace {
        /// How many are cut off.
        back: u64,
        /// How many take their place.
        count: u64,
        /// Of so many bytes each.
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
    /// A snapshot from elsewhere that replaces the whole log.
    Install {
        /// How far beyond the last entry it ends.
        ahead: u64,
        /// How large it is.
        bytes: u64,
    },
}

/// What a crash leaves of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All of it: only the process died.
    Everything,
    /// Nothing.
    Nothing,
    /// Of every sector one of its versions, drawn.
    Drawn,
    /// The same, but a tenth of the sectors is garbage.
    Garbage,
}

/// Something that the disk does of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFault {
    /// Its own number, which names its draws.
    pub id: u32,
    /// It strikes the first call that it can from this one on. Calls that change something are counted, from 1.
    pub at: u64,
    /// What it is.
    #[serde(flatten)]
    pub kind: DiskFaultKind,
}

/// What a disk can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum DiskFaultKind {
    /// The power goes in the middle of the call.
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
    /// A read comes to an end too early, once.
    ShortRead,
    /// Nothing grows any more for a while.
    Full {
        /// For so many calls.
        operations: u64,
    },
    /// Bits of a file turn over and stay so.
    Rot {
        /// How many.
        bits: u64,
    },
    /// A write succeeds in some other place.
    MisdirectWrite,
    /// A write succeeds and is never made.
    LoseWrite,
    /// A sync succeeds and does nothing.
    LieSync,
    /// A file becomes what it was.
    OldImage {
        /// So many calls before.
        operations: u64,
    },
}

impl Keep {
    /// Whether the store's contract with the disk allows it.
    const fn class(self) -> Class {
        match self {
            Self::Everything | Self::Nothing | Self::Drawn => Class::A,
            Self::Garbage => Class::B,
        }
    }
}

impl DiskFaultKind {
    /// Its name in files.
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

    /// The first class that has it. B is damage that a checksum can see; C leaves whole, old, well-formed
    /// sectors behind, and no checksum of a sector knows that it is not the latest.
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
    /// Steps and faults, which is what shrinking takes away.
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
    /// The text is no such schedule, or its class excludes one of its faults.
    pub fn from_toml(text: &str) -> Result<Self, ScheduleError> {
        let schedule: Self = toml::from_str(text)?;
        schedule.validate()?;
        // serde skips unknown fields of flattened types, and a misspelt one would quietly mean something else.
        let read = toml::Value::Table(toml::from_str(text)?);
        match unknown_key(&read, &toml::Value::try_from(&schedule)?) {
            Some(key) => Err(ScheduleError::UnknownStoreKey { key }),
            None => Ok(schedule),
        }
    }

    /// Writes the schedule so that [`StoreSchedule::from_toml`] reads the same one.
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
                    must: "no more than a machine can hold: 2^30 for journals, 2^20 for the rest",
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

/// The first key of what was read that is not in what was understood.
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
