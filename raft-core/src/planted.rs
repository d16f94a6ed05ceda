//! The bank of planted bugs: common mistakes in implementations of Raft, each with a switch of its own at the line
//! where it would be made. They measure how well tests and simulations find bugs. They exist only in builds with the
//! feature `planted-bugs`; in all other builds [`planted!`](crate) is the constant `false`.
//!
//! A bug is on in one thread, for as long as its [`Planted`] lives, so that tests that run in parallel do not affect
//! each other. This feature needs the standard library for that; nothing else in the crate does.
//!
//! Other crates keep banks of their own with [`planted_bank!`](crate::planted_bank), and share the switch.

extern crate std;

use core::cell::Cell;

std::thread_local! {
    static ON: Cell<Option<&'static Bug>> = const { Cell::new(None) };
}

/// A bug that can be planted.
#[derive(Debug)]
pub struct Bug {
    /// The stable name, in kebab case.
    pub name: &'static str,
    /// What the bug breaks: votes, durability, truncation and so on.
    pub family: &'static str,
    /// What the line with the mistake does, in one sentence.
    pub sentence: &'static str,
}

impl Bug {
    /// Returns whether this bug is on in this thread.
    pub fn is_on(&'static self) -> bool {
        ON.get().is_some_and(|on| core::ptr::eq(on, self))
    }

    /// Switches the bug on in this thread until the guard is dropped. It replaces a bug that is on.
    pub fn plant(&'static self) -> Planted {
        ON.set(Some(self));
        Planted {
            _of_this_thread: core::marker::PhantomData,
        }
    }
}

/// Keeps a bug switched on in the thread that planted it.
#[derive(Debug)]
#[must_use = "the bug is on for as long as this lives"]
pub struct Planted {
    _of_this_thread: core::marker::PhantomData<*const ()>,
}

impl Drop for Planted {
    fn drop(&mut self) {
        ON.set(None);
    }
}

/// Declares a bank of planted bugs: by family, a constant, a name and a sentence for each. `BANK` lists them all.
#[macro_export]
macro_rules! planted_bank {
    ($($family:literal { $($bug:ident $name:literal $sentence:literal)* })*) => {
        $($(
            #[doc = $sentence]
            pub static $bug: $crate::planted::Bug = $crate::planted::Bug {
                name: $name,
                family: $family,
                sentence: $sentence,
            };
        )*)*

        /// Every bug of this bank.
        pub static BANK: &[&$crate::planted::Bug] = &[$($(&$bug,)*)*];
    };
}

planted_bank! {
    "votes" {
        VOTES_TWICE "votes-twice"
            "A server that has voted in a term grants its vote to another candidate of the same term."
        VOTES_FOR_ANY_LOG "votes-for-any-log"
            "A vote is granted without checking that the candidate's log is up-to-date."
        COMPARES_LENGTH_ONLY "compares-length-only"
            "The log with the higher index counts as up-to-date, whatever its last term."
        COMPARES_TERM_ONLY "compares-term-only"
            "The log with the later last term counts as up-to-date, however short it is."
        COUNTS_REFUSALS "counts-refusals"
            "A candidate counts every reply to its request for votes, including refusals."
        COUNTS_OLD_VOTES "counts-old-votes"
            "A vote granted in an earlier term counts in the campaign of this one."
        COUNTS_ITSELF_FOR_OTHER_FOLDER "counts-itself-for-other-folder"
            "A server counts itself and campaigns by a configuration that means another data folder of its id."
        HEARS_EARLIER_STARTS "hears-earlier-starts"
            "What arrives from a start of a data folder that is over, or from a copy of it, counts."
        SPEAKS_ALTHOUGH_SILENCED "speaks-although-silenced"
            "A server that was told that its data folder went back, or was copied, goes on as before."
        SILENCE_NOT_WRITTEN "silence-not-written"
            "A server that was told that its data folder went back, or was copied, forgets it at its next start."
        HALF_ELECTS "half-elects"
            "Exactly half of the voters pass for a majority."
        FORGETS_VOTE_AT_RESTART "forgets-vote-at-restart"
            "A server that restarts remembers its term and forgets its vote."
        KEEPS_VOTE_ACROSS_TERMS "keeps-vote-across-terms"
            "A new term does not clear the vote of the previous term."
    }
    "durability" {
        GRANTS_BEFORE_DURABLE "grants-before-durable"
            "A granted vote is sent before it is durable."
        OWN_VOTE_BEFORE_DURABLE "own-vote-before-durable"
            "A candidate counts its own vote before it is durable."
        VOTE_NOT_WRITTEN "vote-not-written"
            "A vote alone, without a new term, is not written."
        TERM_BEFORE_DURABLE "term-before-durable"
            "Messages of a new term are sent before the term is durable."
        ACKS_BEFORE_DURABLE "acks-before-durable"
            "An append is acknowledged before its entries are durable."
        LEADER_COUNTS_UNSYNCED "leader-counts-unsynced"
            "A leader counts its own entries for commitment before they are durable."
        RELEASES_EVERYTHING "releases-everything"
            "When any write becomes durable, all held messages are sent, including those that wait for later writes."
        RELEASES_OLD_TERMS "releases-old-terms"
            "Held messages of an earlier term are still sent."
        DURABLE_BEYOND_TRUNCATION "durable-beyond-truncation"
            "A truncation leaves the durable index where it was, so the new entries up to it pass for durable."
        WRITE_BEYOND_TRUNCATION "write-beyond-truncation"
            "A write in flight when the log is truncated still makes its old end count as durable."
        TRUNCATION_NOT_WRITTEN "truncation-not-written"
            "A truncation that new entries follow is not written to the disk."
        APPLIES_BEFORE_DURABLE "applies-before-durable"
            "Committed entries are applied before they are durable on this server."
        WRITES_LAST "writes-last"
            "With persists_at_once, a write is handed out after the messages that depend on it."
    }
    "truncation" {
        TRUNCATES_ON_DUPLICATES "truncates-on-duplicates"
            "Every append truncates the log right after prev, even if no entry conflicts."
        KEEPS_CONFLICTS "keeps-conflicts"
            "An entry whose index is in the log already is taken for the same entry, whatever its term."
        PREV_BY_INDEX "prev-by-index"
            "The check for prev compares its index and not its term."
    }
    "commitment" {
        COMMITS_OLD_TERMS "commits-old-terms"
            "A leader commits entries of earlier terms by counting (Figure 8)."
        HALF_COMMITS "half-commits"
            "Entries that exactly half of the voters hold are committed."
        COMMITS_UNVERIFIED "commits-unverified"
            "A follower commits up to the leader's commit index, beyond the last entry that the append verified."
        COMMIT_GOES_BACK "commit-goes-back"
            "A commit index lower than the known one is taken over."
        SUPERSEDED_AT_TRUNCATION "superseded-at-truncation"
            "A proposal whose entry is truncated is reported as superseded, although a later leader may still commit it."
        DONE_BY_INDEX "done-by-index"
            "Any entry that is applied at a proposal's index is taken for the proposal."
        APPLIED_BEFORE_TOLD "applied-before-told"
            "With applies_at_once, entries count as applied before they are handed to the host."
        EVICTS_UNAPPLIED "evicts-unapplied"
            "Durable entries are evicted from memory before they are applied."
    }
    "reads" {
        READS_WITHOUT_QUORUM "reads-without-quorum"
            "A leader answers reads without confirming its leadership with a quorum."
        READS_JOIN_EARLIER_ROUND "reads-join-earlier-round"
            "A read is confirmed by a read round that began before the read arrived."
        READS_BEFORE_OWN_COMMIT "reads-before-own-commit"
            "A new leader answers reads at its commit index before it has committed an entry of its own term."
        READS_BEFORE_APPLY "reads-before-apply"
            "A confirmed read is answered before the state machine has applied its read index."
        FOLLOWER_READS_BEFORE_APPLY "follower-reads-before-apply"
            "A follower answers a read that the leader confirmed before its own state machine has applied the read index."
        LEASE_FROM_ANSWER "lease-from-answer"
            "A lease begins when its round is confirmed instead of when the round was sent."
        LEASE_OUTLIVES_TRANSFER "lease-outlives-transfer"
            "A leader that has told another server to campaign still relies on its lease."
        LEASE_BY_OWN_SETTINGS "lease-by-own-settings"
            "A leader takes every voter's promise to be as long as its own settings would make it."
        FORGETS_LEASE_AT_RESTART "forgets-lease-at-restart"
            "A server that restarts grants its vote at once, although it may have confirmed a lease just before."
        VOTES_WITHIN_A_LEASE "votes-within-a-lease"
            "A voter that learns of a later term forgets that a leader may hold a lease by its reply."
        CONFIRMS_BY_LATER_TERM "confirms-by-later-term"
            "Replies of a later term confirm a leader instead of deposing it."
    }
    "witnesses" {
        WITNESS_CAMPAIGNS "witness-campaigns"
            "A witness campaigns, and leads although its log holds no commands."
        ANY_NUMBER_OF_WITNESSES "any-number-of-witnesses"
            "A change of the configuration may make half of the voters or more witnesses."
        WITNESSES_HEAR_FIRST "witnesses-hear-first"
            "A leader sends its witnesses entries that are not durable on its own disk yet."
        SENDS_COMMANDS_TO_WITNESSES "sends-commands-to-witnesses"
            "A witness is sent commands in full, like the other voters."
    }
    "forwarding" {
        FORWARDS_FROM_OUTSIDE "forwards-from-outside"
            "A server that knows of its removal forwards proposals, and waits for entries that are never sent to it."
        FORWARDS_TWICE "forwards-twice"
            "A leader appends every copy of a forwarded command that the network has duplicated."
        KEEPS_FORWARDING_COSTS "keeps-forwarding-costs"
            "A forwarded command that is seen in the log still counts against the limit of waiting bytes."
        BUSY_AT_THE_FIRST "busy-at-the-first"
            "A server counts as busy as soon as one of its clients waits for the outcome of a proposal."
        JUDGES_REFUSALS_ANEW "judges-refusals-anew"
            "A copy of a forwarded command that was refused is judged anew, when the reason may have passed."
    }
    "snapshots" {
        KEEPS_SUFFIX_BEHIND_SNAPSHOT "keeps-suffix-behind-snapshot"
            "A log that reaches the end of an arriving snapshot is kept, although it has a different entry there."
        DISCARDS_SUFFIX_BEHIND_SNAPSHOT "discards-suffix-behind-snapshot"
            "An arriving snapshot discards the whole log, although the log holds the snapshot's last entry and entries after it."
        FORGETS_CONFIGURATION "forgets-configuration"
            "The configuration of an installed snapshot is not taken over."
        SNAPSHOTS_NEWEST_CONFIGURATION "snapshots-newest-configuration"
            "The description of a snapshot holds the newest configuration instead of the one in force at its last entry."
        PIECES_OUT_OF_ORDER "pieces-out-of-order"
            "A chunk of a snapshot is appended whatever its offset is."
        MIXES_SNAPSHOTS "mixes-snapshots"
            "Chunks of two snapshots are put together."
        COMPACTS_TOO_FAR "compacts-too-far"
            "The log is compacted one entry beyond the snapshot."
        ACKS_SNAPSHOT_BEFORE_DURABLE "acks-snapshot-before-durable"
            "A snapshot is acknowledged before it is durable."
        NAMES_UNWRITTEN_SNAPSHOTS "names-unwritten-snapshots"
            "The core hears of a snapshot when its write begins, and not when it ends."
        ADOPTS_UNWRITTEN_SNAPSHOTS "adopts-unwritten-snapshots"
            "A snapshot that arrived is installed while its bytes are still being written."
        WRITES_SNAPSHOT_AFTER_SNAPSHOT "writes-snapshot-after-snapshot"
            "A snapshot is taken whenever one is due, although the last one is still being written."
        COMPACTS_WHAT_PEERS_NEED "compacts-what-peers-need"
            "A leader compacts entries that a slow peer needs next, which is then sent one snapshot after another."
        SENDS_NEEDLESS_SNAPSHOTS "sends-needless-snapshots"
            "A transfer goes on although the peer holds so much that the log suffices."
        LOADS_WITHOUT_END "loads-without-end"
            "Entries that the store cannot read are asked for again and again, although a snapshot covers them."
        LABELS_SNAPSHOT_EARLY "labels-snapshot-early"
            "The description of a snapshot names the entry before its last one as its last."
        RESTORES_APPLIED_FROM_COMMIT "restores-applied-from-commit"
            "After a restart, everything up to the commit index counts as applied."
        REPLAYS_FROM_LOG_START "replays-from-log-start"
            "After a restart, the log is applied from its first entry on, although the snapshot covers more."
        KEEPS_QUERIES "keeps-queries"
            "The query of a read that was refused is kept."
        KEEPS_RESPONSES "keeps-responses"
            "A follower keeps the responses of its state machine, although no client of its own waits for them."
        LEAVES_OLD_LOG "leaves-old-log"
            "An old log that remained on the disk after a torn installation of a snapshot is not removed."
    }
    "sessions" {
        APPLIES_RETRIES "applies-retries"
            "A command that a client sends again is applied again."
        APPLIES_STALE_NUMBERS "applies-stale-numbers"
            "A late copy of a command whose answer the client has heard is applied again."
        FORGETS_ONE_TOO_MANY "forgets-one-too-many"
            "The outcome of the first unanswered command is forgotten together with the answered ones."
        OUTCOMES_NOT_IN_SNAPSHOT "outcomes-not-in-snapshot"
            "A snapshot holds the sessions without their outcomes."
        SESSION_TIME_GOES_BACK "session-time-goes-back"
            "The time of sessions is that of the last command, even if it is earlier than that of the one before."
    }
    "progress" {
        REWINDS_BELOW_MATCH "rewinds-below-match"
            "A rejection sets the next index to send below the match index."
        PROBES_ONCE "probes-once"
            "A probe that was lost is not repeated."
        NEVER_ASKS_AGAIN "never-asks-again"
            "A peer whose window of appends was lost is never probed again."
        KEEPS_WINDOW_BYTES "keeps-window-bytes"
            "An append that was acknowledged still counts against the bytes of its peer's window."
        KEEPS_UNCOMMITTED_COSTS "keeps-uncommitted-costs"
            "A command that is committed still counts against the limit of uncommitted bytes."
        LOADS_ONCE "loads-once"
            "A peer waits for old entries for ever once some have been loaded for it."
        COMMITS_ON_ACKS_ONLY "commits-on-acks-only"
            "A leader applies its commit rule when a peer acknowledges, but not when its own write becomes durable."
        LEADS_WITH_STALLED_DISK "leads-with-stalled-disk"
            "A leader whose disk has stalled keeps leading, although it cannot answer any client."
        LEADS_WITHOUT_QUORUM "leads-without-quorum"
            "A leader without an active quorum does not step down."
        SILENT_TO_EARLIER_TERMS "silent-to-earlier-terms"
            "A server does not answer messages of an earlier term with its own term."
        NO_NOOP "no-noop"
            "A new leader appends no entry of its own term."
        HEARTBEATS_WITHOUT_COMMIT "heartbeats-without-commit"
            "Heartbeats do not carry the commit index."
        CAMPAIGNS_ONCE "campaigns-once"
            "A candidate whose campaign failed does not try again."
        IGNORES_LOST_PIECES "ignores-lost-pieces"
            "A leader ignores that a receiver of a snapshot has restarted and lost the chunks it had."
        WAITS_FOR_NEXT_WRITE "waits-for-next-write"
            "The acknowledgement of entries that are durable already waits for the next write."
        COUNTS_ON_REPLIES_ONLY "counts-on-replies-only"
            "A candidate counts votes when a reply arrives, but not when its own vote becomes durable."
        FORGETS_READS "forgets-reads"
            "A leader that steps down drops the reads that it has not answered."
    }
    "stability" {
        HELPS_REBELS "helps-rebels"
            "A pre-vote is granted although the voter hears a leader."
        CANDIDATES_HEAR_NOBODY "candidates-hear-nobody"
            "A server that campaigns forgets that it hears a leader, and grants others the pre-votes that it should deny."
        FOLLOWS_ANY_CAMPAIGN "follows-any-campaign"
            "A request for votes moves a server to the candidate's term although the server hears a leader."
        SKIPS_PRE_VOTE "skips-pre-vote"
            "A campaign that failed is repeated in the next term without a pre-vote."
        STEPS_DOWN_LATE "steps-down-late"
            "A leader without an active quorum stays leader for four election timeouts."
        NEEDS_EVERYBODY "needs-everybody"
            "A leader steps down when it does not hear from every other voter."
        CAMPAIGNS_REGARDLESS "campaigns-regardless"
            "A follower that hears its leader does not reset its election timer."
        ASKS_FOR_NOTHING "asks-for-nothing"
            "With every heartbeat, a leader probes followers for entries that they have acknowledged already."
        SAME_TIMEOUTS "same-timeouts"
            "Election timeouts are the same on all servers."
    }
    "membership" {
        AGREES_BY_ONE_HALF "agrees-by-one-half"
            "A majority of a joint configuration's incoming half is enough to elect."
        COMMITS_BY_ONE_HALF "commits-by-one-half"
            "Entries that a majority of a joint configuration's incoming half holds are committed."
        LEARNERS_COUNT "learners-count"
            "Learners count for commitment."
        LEARNERS_CAMPAIGN "learners-campaign"
            "A learner that hears no leader campaigns."
        REMOVED_CAMPAIGN "removed-campaign"
            "A server that knows of its removal still campaigns."
        KEEPS_CUT_OFF_CONFIGURATION "keeps-cut-off-configuration"
            "A configuration whose entry is truncated stays in force."
        CHANGES_BEFORE_OWN_COMMIT "changes-before-own-commit"
            "A leader appends a configuration before it has committed an entry of its own term (the bug of 2015)."
        CHANGES_BEFORE_LAST_CHANGE "changes-before-last-change"
            "A configuration is appended before the last one is committed."
        REPLACES_AT_ONCE "replaces-at-once"
            "Any number of voters is added and removed at once, without a joint configuration."
        LEAVES_JOINT_EARLY "leaves-joint-early"
            "A joint configuration is left before it is committed."
        ASKS_ONE_HALF "asks-one-half"
            "A candidate asks only the incoming half of a joint configuration for votes."
        STAYS_JOINT "stays-joint"
            "A leader leaves its own joint configurations, but not one that it inherited."
        REMOVED_LEADER_STAYS "removed-leader-stays"
            "A leader keeps leading after the configuration that removes it is committed."
        CHANGES_WITHOUT_HEALTH "changes-without-health"
            "A change is made even if its voters have no healthy quorum, and nobody forces it."
        COUNTS_UNHEARD_AS_HEALTHY "counts-unheard-as-healthy"
            "A new leader takes voters for healthy that it has not heard yet."
        IGNORES_EXPECTATION "ignores-expectation"
            "A change is made even if the configuration in force is not the one that its caller expected."
    }
    "transfer" {
        PROPOSALS_DURING_TRANSFER "proposals-during-transfer"
            "A leader accepts proposals while it hands over leadership."
        TELLS_TARGET_EARLY "tells-target-early"
            "The target of a transfer is told to campaign before it holds the whole log."
        OBEYS_STALE_LEADER "obeys-stale-leader"
            "A leader's order to campaign is obeyed in later terms as well."
        TRANSFERS_WITHOUT_END "transfers-without-end"
            "A transfer that fails is never aborted."
        HANDS_OVER_SILENTLY "hands-over-silently"
            "A leader that is deposed during a transfer does not report that the transfer is over."
    }
    "clusters" {
        COMPARES_FOUNDINGS_ALONE "compares-foundings-alone"
            "Two clusters that were founded with the same list take each other's messages for their own."
    }
    "levels" {
        SKIPS_UNKNOWN_COMMANDS "skips-unknown-commands"
            "A command that the state machine does not understand is skipped, and the next one is applied."
        PASSES_HIGHER_LEVEL "passes-higher-level"
            "A server applies an entry that raises the level beyond that of its program, and what follows."
        TAKES_HIGHER_SNAPSHOTS "takes-higher-snapshots"
            "A server installs a snapshot of a higher level than that of its program."
        STARTS_BELOW_FOLDER "starts-below-folder"
            "A program starts on a folder of a higher level."
        SNAPSHOTS_FORGET_LEVEL "snapshots-forget-level"
            "A snapshot does not say which level of the log was in force."
        RAISES_WITHOUT_SILENT "raises-without-silent"
            "The level is raised to what those members understand that have said so; silent ones do not count."
        LEVEL_AT_APPEND "level-at-append"
            "A level counts as in force from its append on, before it is committed."
        HALTED_CAMPAIGN "halted-campaign"
            "A halted server campaigns."
        HALTED_LEADER_STAYS "halted-leader-stays"
            "A leader that halts goes on to lead."
        ANSWERS_READS_HALTED "answers-reads-halted"
            "A read that became ready together with the entry that halts the server is answered from the state before."
    }
    "clocks" {
        STAMPS_ANY_TIME "stamps-any-time"
            "A leader lets commands carry whatever its own wall clock shows."
        MEDIAN_OF_WHO_ANSWERS "median-of-who-answers"
            "The median of the clocks that are known is taken for that of all voters' clocks."
    }
    "codec" {
        CHECKSUM_UNCHECKED "checksum-unchecked"
            "An envelope is decoded without a check of its checksum."
        CHECKSUM_OF_THE_FRONT "checksum-of-the-front"
            "The checksum covers only the first 64 bytes of an envelope's body."
        RECIPIENT_NOT_ENCODED "recipient-not-encoded"
            "An envelope's bytes do not say which incarnation it is for."
    }
}
