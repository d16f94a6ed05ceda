//! What happened in a run, counted by name. Event triggers and required probes use these names.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! probes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Something worth counting. A fault can be triggered by it, and a schedule can require that it happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Probe {
            $($(#[$doc])* $name,)*
        }

        impl Probe {
            /// All probes, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the name, as schedules write it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

probes! {
    /// A server that waited for the cluster's first start began to take part.
    LeaveJoining,
    /// A server asks whether it could win an election.
    BecomePreCandidate,
    /// A server asks for votes.
    BecomeCandidate,
    /// A server won an election.
    BecomeLeader,
    /// A leader stepped down, or was deposed.
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
    /// The bytes of a snapshot began to be written.
    WriteSnapshot,
    /// The bytes of a snapshot could not be written.
    SnapshotNotWritten,
    /// A snapshot was written, and something newer was there by then.
    SnapshotDiscarded,
    /// A start removed a snapshot that was written and not named when its server died.
    OrphanRemoved,
    /// A server named a snapshot of its own.
    TakeSnapshot,
    /// A server removed entries that a snapshot covers.
    Compact,
    /// A leader sent a piece of a snapshot.
    SendSnapshot,
    /// A server named a leader's snapshot, complete and on its disk, to install it.
    IssueInstall,
    /// A server installed a leader's snapshot.
    InstallSnapshot,
    /// A server installed a snapshot and kept the log after it.
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
    /// A crash lost a write in the middle, and with it those after it.
    CrashGap,
    /// A server started again.
    Restart,
    /// A server started again with a disk that was still empty.
    RestartBlank,
    /// A server started again from a snapshot.
    RestartFromSnapshot,
    /// A server was paused.
    Pause,
    /// A leader was paused for longer than an election takes.
    PauseLeader,
    /// Links were cut.
    Partition,
    /// Clients were partitioned from a server.
    CutClients,
    /// The weather got worse.
    Storm,
    /// A disk became slow.
    SlowDisk,
    /// A sync stalled.
    DiskStall,
    /// A write failed, and its server stopped.
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
    /// Two copies of a disk have taken over from each other.
    CopyTookOver,
    /// A record on a disk rotted.
    RecordCorrupted,
    /// A server read a record that had rotted, and stopped.
    CorruptionRead,
    /// A server refused to start from a disk with a record that had rotted.
    StartRefused,
    /// A server halted before an entry that its program does not understand.
    Halted,
    /// A leader raised the level of the log.
    LevelRaised,
    /// A program did not start on a folder that a newer one had worked on, and the newer one was started.
    OlderRefused,
    /// A server with a new disk was admitted by its leader.
    NewDiskAdmitted,
    /// A fault was left out because it would have exceeded the fault budget.
    DamageSpared,
    /// A server contradicted a promise that its disk had forgotten, within the fault budget.
    PromiseBroken,
    /// A server was told that its data folder went back, and keeps silent.
    FolderSilenced,
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
    /// A leader let commands carry the time of its wall clock.
    Stamp,
    /// A leader whose wall clock was wrong handed over leadership for it.
    ClockHandover,
    /// A server was told to campaign.
    ForceCampaign,
    /// A server heard another cluster.
    StrangerHeard,
    /// A message was lost to the weather.
    MessageLost,
    /// A message arrived twice.
    MessageDuplicated,
    /// A message was delayed so that later ones could overtake it.
    MessageReordered,
    /// A message was lost on a cut link.
    MessageCut,
    /// A cut link kept a message until it is healed.
    MessageHeld,
    /// A link that flaps changed its state.
    LinkFlapped,
    /// All connections of a server broke.
    ConnectionsBroken,
    /// A connection broke, and everything in flight on it was lost.
    StreamBroken,
    /// The queue of a slow link was full when a message was sent.
    QueueFull,
    /// The bytes of a message were damaged on their way.
    MessageCorrupted,
    /// A message arrived at a server that was down.
    MessageToTheDead,
    /// A write was acknowledged to its client.
    WriteDone,
    /// A read was answered to its client.
    ReadDone,
    /// A server rejected a request.
    RequestRejected,
    /// Another leader's entry superseded a proposal.
    ProposalSuperseded,
    /// A server lost track of a proposal.
    ProposalUnknown,
    /// An attempt had no answer in time; its outcome stays unknown.
    AttemptTimedOut,
    /// A client gave an operation up after its last attempt.
    OperationGivenUp,
    /// A client has a session.
    SessionOpened,
    /// A client was told that its session has ended.
    SessionLost,
    /// A client was told the answer to a request that an earlier attempt had carried out.
    AnswerRepeated,
    /// A leader appended a configuration.
    AppendConfiguration,
    /// A leader appended a joint configuration.
    EnterJoint,
    /// A leader appended the configuration that leaves a joint one.
    LeaveJoint,
    /// A server won an election while its configuration was joint.
    ElectedInJoint,
    /// A configuration that was not committed was truncated.
    ConfigurationCutOff,
    /// A server that began outside the cluster takes part in it.
    SpareAdmitted,
    /// A leader stepped down because the configuration without its vote was committed.
    LeaderRemoved,
    /// An operator's change of the configuration is committed.
    ChangeMade,
    /// A leader rejected an operator's change.
    ChangeRefused,
    /// A leader made a change without a healthy quorum, because the operator forced it.
    ChangeForced,
    /// A leader told a server to campaign.
    SendTimeoutNow,
    /// A server forwarded commands of its clients.
    SendForward,
    /// A server asks from which index on it may answer reads.
    SendReadIndex,
    /// A leader was deposed by the server to which it handed leadership over.
    TransferDone,
    /// A leadership transfer timed out.
    TransferTimedOut,
    /// A server refused to hand leadership over.
    TransferRefused,
    /// A leader and a quorum were healthy together for so long that nothing may depose the leader.
    QuietOrder,
    /// A follower and its leader had nothing to replicate for a while.
    Idle,
    /// The faults ended.
    Heal,
    /// Servers outside the healed core stayed broken.
    RestBroken,
    /// A server outside the core kept its links to a few of its servers.
    RestHalfConnected,
    /// The core agreed on everything.
    Converged,
    /// Every client was served after the heal.
    Served,
    /// An append held fewer entries than there were to send.
    MessageLimit,
    /// A peer was due for an append, and its window was full of messages.
    WindowLimit,
    /// A peer was due for an append, and its window was full of bytes.
    WindowBytesLimit,
    /// Fewer entries were handed to the state machine at once than there were to apply.
    ApplyLimit,
    /// A command was refused for the bytes that wait already.
    UncommittedLimit,
    /// Entries that a slow peer may need were dropped from memory.
    TailLimit,
    /// A proposal was refused for the number of those that wait.
    ProposalLimit,
    /// A read was refused for the number of those that wait.
    ReadLimit,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each probe was hit.
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
    /// Returns how often this happened.
    pub fn count(&self, probe: Probe) -> u64 {
        self.counts.get(probe as usize).copied().unwrap_or_default()
    }

    /// Iterates over all probes with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Probe, u64)> + '_ {
        Probe::ALL.iter().copied().zip(self.counts.iter().copied())
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// Counts one more hit, and returns the new count.
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
