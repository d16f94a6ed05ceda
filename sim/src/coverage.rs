//! What happened in a run, counted by name. The names are those of event triggers and of required probes.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! probes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Something worth counting. A schedule can strike on it, or require that it happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Probe {
            $($(#[$doc])* $name,)*
        }

        impl Probe {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name, as schedules write it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

probes! {
    /// A server left the first start's waiting room.
    LeaveJoining,
    /// A server asks whether it could win an election.
    BecomePreCandidate,
    /// A server asks for votes.
    BecomeCandidate,
    /// A server won an election.
    BecomeLeader,
    /// A leader gave up its leadership, or lost it.
    StepDown,
    /// Two running servers believe that they lead.
    TwoLeaders,
    /// A server's term or vote went to its disk.
    IssueVote,
    /// A server's new entries went to its disk.
    IssueEntries,
    /// A leader's new entries went to its disk.
    LeaderAppends,
    /// A server removed entries that another leader's replaced.
    IssueTruncate,
    /// A leader moved its commit index.
    LeaderCommits,
    /// A leader committed entries of an earlier term by one of its own (paper §5.4.2, Figure 8).
    CommitOfEarlierTerm,
    /// A server took a snapshot.
    TakeSnapshot,
    /// A server removed entries that a snapshot covers.
    Compact,
    /// A leader sent a piece of a snapshot.
    SendSnapshot,
    /// A leader's snapshot, complete, went to a server's disk to be installed.
    IssueInstall,
    /// A server installed a leader's snapshot.
    InstallSnapshot,
    /// A server installed a snapshot and kept the log behind it.
    KeepSuffix,
    /// A leader read old entries back from its disk.
    LoadEntries,
    /// A process died.
    Crash,
    /// A process died between two duties of one step.
    CrashMidStep,
    /// A process died with writes that were not synced.
    CrashUnsynced,
    /// A crash kept some of the unsynced writes and lost others.
    CrashKeptSome,
    /// A crash kept a part of a write.
    CrashTorn,
    /// A crash lost a write in the middle, and with it those behind.
    CrashGap,
    /// A server started again.
    Restart,
    /// A server started again with a disk that was still empty.
    RestartBlank,
    /// A server started again from a snapshot.
    RestartFromSnapshot,
    /// A server stood still for a while.
    Pause,
    /// A leader stood still for longer than an election takes.
    PauseLeader,
    /// Links were cut.
    Partition,
    /// Clients were cut off from a server.
    CutClients,
    /// The weather got worse.
    Storm,
    /// A disk became slow.
    SlowDisk,
    /// A sync stalled.
    DiskStall,
    /// A write failed, and its server fell silent.
    DiskFailed,
    /// A write found its disk full.
    DiskFull,
    /// A disk was lost and replaced by an empty one.
    DiskWiped,
    /// A disk began to lie about its syncs.
    DiskLies,
    /// A crash lost what a lying disk had reported as synced.
    LieExposed,
    /// An earlier state of a disk was put back.
    BackupRestored,
    /// A record on a disk rotted.
    RecordCorrupted,
    /// A server read a record that had rotted, and stopped.
    CorruptionRead,
    /// A server refused to start from a disk with a record that had rotted.
    StartRefused,
    /// A server with a new disk was let in by its leader.
    NewDiskAdmitted,
    /// A fault was left out, as it would have exceeded the fault budget.
    DamageSpared,
    /// A server contradicted a promise that its disk had forgotten, within the fault budget.
    PromiseBroken,
    /// The fault budget was exceeded: the run goes on in class C.
    BudgetExceeded,
    /// Too few sound servers were left for the heal to promise anything.
    HealUnjudged,
    /// A clock changed its rate.
    ClockRate,
    /// A clock jumped.
    ClockJump,
    /// A clock jumped back.
    ClockJumpBack,
    /// A server was told to campaign.
    ForceCampaign,
    /// A message was lost to the weather.
    MessageLost,
    /// A message arrived twice.
    MessageDuplicated,
    /// A message was held up so that later ones could overtake it.
    MessageReordered,
    /// A message was lost on a cut link.
    MessageCut,
    /// A message was kept by a cut link.
    MessageHeld,
    /// A link that flaps changed its state.
    LinkFlapped,
    /// All connections of a server broke.
    ConnectionsBroken,
    /// A connection broke, with everything under way on it.
    StreamBroken,
    /// A message found no place in the queue of a slow link.
    QueueFull,
    /// The bytes of a message were damaged on their way.
    MessageCorrupted,
    /// A message arrived at a server that was down.
    MessageToTheDead,
    /// A write was acknowledged to its client.
    WriteDone,
    /// A read was answered to its client.
    ReadDone,
    /// A server turned a request down.
    RequestRejected,
    /// Another leader's entry took a proposal's place.
    ProposalSuperseded,
    /// A server lost track of a proposal.
    ProposalUnknown,
    /// An attempt had no answer in time; its outcome stays unknown.
    AttemptTimedOut,
    /// An operation ran out of attempts.
    OperationGivenUp,
    /// A client has a session.
    SessionOpened,
    /// A client heard that its session is no more.
    SessionLost,
    /// A client heard the answer to a request that an earlier attempt had carried out.
    AnswerRepeated,
    /// A leader appended a configuration.
    AppendConfiguration,
    /// A leader appended a joint configuration.
    EnterJoint,
    /// A leader appended the configuration that leaves a joint one.
    LeaveJoint,
    /// A server won an election while its configuration was joint.
    ElectedInJoint,
    /// A configuration that was not committed was cut off.
    ConfigurationCutOff,
    /// A server that began outside the cluster takes part in it.
    SpareAdmitted,
    /// A leader stepped down because the configuration without its vote was committed.
    LeaderRemoved,
    /// An operator's change of the configuration is committed.
    ChangeMade,
    /// A leader turned an operator's change down.
    ChangeRefused,
    /// A leader told a server to campaign.
    SendTimeoutNow,
    /// A leader was deposed while it handed its leadership over.
    TransferDone,
    /// A leader gave up handing its leadership over.
    TransferTimedOut,
    /// A server did not begin to hand leadership over.
    TransferRefused,
    /// The faults ended.
    Heal,
    /// Servers outside the core stayed broken.
    RestBroken,
    /// The core agreed on everything.
    Converged,
    /// Every client was served after the heal.
    Served,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often everything happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    counts: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            counts: vec![0; Probe::ALL.len()],
        }
    }
}

impl Coverage {
    /// How often this happened.
    pub fn count(&self, probe: Probe) -> u64 {
        self.counts.get(probe as usize).copied().unwrap_or_default()
    }

    /// Everything with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Probe, u64)> + '_ {
        Probe::ALL.iter().copied().zip(self.counts.iter().copied())
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// Counts one more, and returns the how-manieth it is.
    pub(crate) fn hit(&mut self, probe: Probe) -> u64 {
        match self.counts.get_mut(probe as usize) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => 0,
        }
    }
}
