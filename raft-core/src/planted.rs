//! The bank of planted bugs: mistakes that people make when they write Raft, each behind a switch of its own at the
//! line where it would be made. They exist to measure how well tests and simulations find bugs, and only in builds with
//! the feature `planted-bugs`; everywhere else [`planted!`](crate) is the constant `false`.
//!
//! A bug is on for one thread and for as long as its [`Planted`] lives, so that tests which run side by side do not
//! infect each other. That is why this feature, and nothing else in the crate, needs the standard library.
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
    /// Its stable name, in kebab case.
    pub name: &'static str,
    /// What it breaks: votes, durability, truncation and so on.
    pub family: &'static str,
    /// What the line with the mistake does, in one sentence.
    pub sentence: &'static str,
}

impl Bug {
    /// Whether this bug is on in this thread.
    pub fn is_on(&'static self) -> bool {
        ON.get().is_some_and(|on| core::ptr::eq(on, self))
    }

    /// Switches the bug on in this thread, in place of any other, until the guard is dropped.
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
            "A vote is granted without asking whether the candidate's log is up-to-date."
        COMPARES_LENGTH_ONLY "compares-length-only"
            "The log with the higher index counts as up-to-date, whatever its last term."
        COMPARES_TERM_ONLY "compares-term-only"
            "The log with the later last term counts as up-to-date, however short it is."
        COUNTS_REFUSALS "counts-refusals"
            "A candidate counts every answer to its request for votes, refusals too."
        COUNTS_OLD_VOTES "counts-old-votes"
            "A vote granted in an earlier term counts in the campaign of this one."
        HALF_ELECTS "half-elects"
            "Half of the voters, and not more than half, are enough to agree."
        FORGETS_VOTE_AT_RESTART "forgets-vote-at-restart"
            "A server that starts again remembers its term and not whom it voted for."
        KEEPS_VOTE_ACROSS_TERMS "keeps-vote-across-terms"
            "A new term does not clear the vote of the one before."
    }
    "durability" {
        GRANTS_BEFORE_DURABLE "grants-before-durable"
            "A granted vote leaves before it is on the disk."
        OWN_VOTE_BEFORE_DURABLE "own-vote-before-durable"
            "A candidate counts its own vote before it is on the disk."
        VOTE_NOT_WRITTEN "vote-not-written"
            "A vote alone, without a new term, is not written."
        TERM_BEFORE_DURABLE "term-before-durable"
            "Messages of a new term leave before the term is on the disk."
        ACKS_BEFORE_DURABLE "acks-before-durable"
            "An append is acknowledged before its entries are on the disk."
        LEADER_COUNTS_UNSYNCED "leader-counts-unsynced"
            "A leader counts its own log as held before it is on its disk."
        RELEASES_EVERYTHING "releases-everything"
            "When any write is durable, every held message leaves, those of later writes too."
        RELEASES_OLD_TERMS "releases-old-terms"
            "Held messages of a term that has passed still leave."
        DURABLE_BEYOND_TRUNCATION "durable-beyond-truncation"
            "A truncation leaves the durable index where it was, and the new entries behind it pass for durable."
        WRITE_BEYOND_TRUNCATION "write-beyond-truncation"
            "A write that is under way when the log is cut still counts up to its old end when it is done."
        TRUNCATION_NOT_WRITTEN "truncation-not-written"
            "A truncation that new entries follow is not written to the disk."
        APPLIES_BEFORE_DURABLE "applies-before-durable"
            "What is committed is applied before it is on the server's own disk."
        WRITES_LAST "writes-last"
            "A host that writes before it goes on finds a write behind the messages that rest on it."
    }
    "truncation" {
        TRUNCATES_ON_DUPLICATES "truncates-on-duplicates"
            "Every append cuts the log right behind prev, although nothing conflicts."
        KEEPS_CONFLICTS "keeps-conflicts"
            "An entry at an index that the log has already is taken for the same entry."
        PREV_BY_INDEX "prev-by-index"
            "The check for prev compares its index and not its term."
    }
    "commitment" {
        COMMITS_OLD_TERMS "commits-old-terms"
            "A leader commits entries of earlier terms by counting (Figure 8)."
        HALF_COMMITS "half-commits"
            "What half of the voters hold, and not more than half, is committed."
        COMMITS_UNVERIFIED "commits-unverified"
            "A follower commits to the leader's commit index, beyond what the append verified."
        COMMIT_GOES_BACK "commit-goes-back"
            "A commit index lower than the known one is believed."
        SUPERSEDED_AT_TRUNCATION "superseded-at-truncation"
            "A proposal that is cut off is reported as lost, although a later leader may still commit it."
        DONE_BY_INDEX "done-by-index"
            "Whatever is applied at a proposal's index is taken for the proposal."
        APPLIED_BEFORE_TOLD "applied-before-told"
            "What a host is to apply at once counts as applied before the host has heard of it."
        EVICTS_UNAPPLIED "evicts-unapplied"
            "What is durable leaves memory, whether it is applied or not."
    }
    "reads" {
        READS_WITHOUT_QUORUM "reads-without-quorum"
            "A leader answers reads without asking anybody whether it still leads."
        READS_JOIN_EARLIER_ROUND "reads-join-earlier-round"
            "A read is confirmed by a round that began before it."
        READS_BEFORE_OWN_COMMIT "reads-before-own-commit"
            "A new leader takes its commit index for the latest before it has committed in its own term."
        READS_BEFORE_APPLY "reads-before-apply"
            "A confirmed read is answered before the state machine has caught up with it."
        FOLLOWER_READS_BEFORE_APPLY "follower-reads-before-apply"
            "A follower answers a read when the leader confirms it, before its own state machine has caught up."
        LEASE_FROM_ANSWER "lease-from-answer"
            "A lease counts from when the round was confirmed, and not from when it began."
        LEASE_OUTLIVES_TRANSFER "lease-outlives-transfer"
            "A leader that has told another server to campaign relies on its lease."
        FORGETS_LEASE_AT_RESTART "forgets-lease-at-restart"
            "A server that starts again gives its vote at once, although it may have confirmed a round just before."
        VOTES_WITHIN_A_LEASE "votes-within-a-lease"
            "A voter that has learnt of a later term forgets that its leader may rely on it."
        CONFIRMS_BY_LATER_TERM "confirms-by-later-term"
            "Answers of a later term confirm a leader instead of deposing it."
    }
    "witnesses" {
        WITNESS_CAMPAIGNS "witness-campaigns"
            "A witness campaigns, and leads with a log of which it holds no command."
        ANY_NUMBER_OF_WITNESSES "any-number-of-witnesses"
            "A change may leave half of the voters or more without the commands."
        WITNESSES_HEAR_FIRST "witnesses-hear-first"
            "A leader sends its witnesses what its own disk does not hold yet."
        SENDS_COMMANDS_TO_WITNESSES "sends-commands-to-witnesses"
            "A witness is sent commands in full like the others."
    }
    "forwarding" {
        FORWARDS_FROM_OUTSIDE "forwards-from-outside"
            "A server that knows of its removal passes proposals on, and waits for entries that nobody sends it."
        FORWARDS_TWICE "forwards-twice"
            "A leader takes in every copy of a command that was passed on to it."
    }
    "snapshots" {
        KEEPS_SUFFIX_BEHIND_SNAPSHOT "keeps-suffix-behind-snapshot"
            "A log that reaches to an arriving snapshot's end is kept, although it has another entry there."
        DISCARDS_SUFFIX_BEHIND_SNAPSHOT "discards-suffix-behind-snapshot"
            "An arriving snapshot discards the whole log, although the log holds its last entry and more."
        FORGETS_CONFIGURATION "forgets-configuration"
            "An installed snapshot's configuration is not taken over."
        SNAPSHOTS_NEWEST_CONFIGURATION "snapshots-newest-configuration"
            "A snapshot's description has the newest configuration, and not the one in force at its end."
        PIECES_OUT_OF_ORDER "pieces-out-of-order"
            "A snapshot's piece is appended wherever it belongs."
        MIXES_SNAPSHOTS "mixes-snapshots"
            "Pieces of two snapshots are put together."
        COMPACTS_TOO_FAR "compacts-too-far"
            "The log is compacted one entry beyond the snapshot."
        ACKS_SNAPSHOT_BEFORE_DURABLE "acks-snapshot-before-durable"
            "A snapshot is acknowledged before it is on the disk."
        LABELS_SNAPSHOT_EARLY "labels-snapshot-early"
            "A snapshot is said to end one entry before it does."
        RESTORES_APPLIED_FROM_COMMIT "restores-applied-from-commit"
            "After a restart everything up to the commit index passes for applied."
        REPLAYS_FROM_LOG_START "replays-from-log-start"
            "After a restart the log is applied from its first entry on, although the snapshot covers more."
        LEAVES_OLD_LOG "leaves-old-log"
            "A log that a torn install left behind is not removed from the disk."
    }
    "sessions" {
        APPLIES_RETRIES "applies-retries"
            "A command that is sent again is applied again."
        APPLIES_STALE_NUMBERS "applies-stale-numbers"
            "A late copy of a command whose answer the client has heard is applied again."
        FORGETS_ONE_TOO_MANY "forgets-one-too-many"
            "The outcome of the first unanswered command is forgotten with those that are answered."
        OUTCOMES_NOT_IN_SNAPSHOT "outcomes-not-in-snapshot"
            "A snapshot has the sessions and not what they remember."
        SESSION_TIME_GOES_BACK "session-time-goes-back"
            "The time of sessions is that of the last command, even if it is earlier than the one before."
    }
    "progress" {
        REWINDS_BELOW_MATCH "rewinds-below-match"
            "A refusal sets the next entry to send below what is known to match."
        PROBES_ONCE "probes-once"
            "A probe that was lost is not repeated."
        NEVER_ASKS_AGAIN "never-asks-again"
            "A window whose appends were lost is never asked about."
        LOADS_ONCE "loads-once"
            "A peer waits for old entries for ever once some have been read back for it."
        COMMITS_ON_ACKS_ONLY "commits-on-acks-only"
            "A leader looks at its commit rule when a peer acknowledges, and not when its own disk does."
        LEADS_WITH_STALLED_DISK "leads-with-stalled-disk"
            "A leader whose disk has stalled leads on, and answers nobody."
        LEADS_WITHOUT_QUORUM "leads-without-quorum"
            "A leader that hears nobody does not step down."
        SILENT_TO_EARLIER_TERMS "silent-to-earlier-terms"
            "A server does not tell those of an earlier term which term it is."
        NO_NOOP "no-noop"
            "A new leader appends no entry of its own term."
        HEARTBEATS_WITHOUT_COMMIT "heartbeats-without-commit"
            "Heartbeats do not say what is committed."
        CAMPAIGNS_ONCE "campaigns-once"
            "A candidate whose campaign came to nothing does not try again."
        IGNORES_LOST_PIECES "ignores-lost-pieces"
            "A receiver of a snapshot that was started again is not believed that it has nothing."
        WAITS_FOR_NEXT_WRITE "waits-for-next-write"
            "The acknowledgement of what is on the disk already waits for the next write."
        COUNTS_ON_REPLIES_ONLY "counts-on-replies-only"
            "A candidate counts votes when a reply arrives, and not when its own vote is durable."
        FORGETS_READS "forgets-reads"
            "A leader that steps down forgets the reads that it has not answered."
    }
    "stability" {
        HELPS_REBELS "helps-rebels"
            "A pre-vote is granted although the voter hears a leader."
        FOLLOWS_ANY_CAMPAIGN "follows-any-campaign"
            "A request for votes moves a server on to its term although it hears a leader."
        SKIPS_PRE_VOTE "skips-pre-vote"
            "A campaign that came to nothing is repeated in the next term without asking first."
        STEPS_DOWN_LATE "steps-down-late"
            "A leader that hears nobody stays for four election timeouts."
        NEEDS_EVERYBODY "needs-everybody"
            "A leader steps down when it does not hear one of the others."
        CAMPAIGNS_REGARDLESS "campaigns-regardless"
            "A follower that hears its leader does not put off its own campaign."
        ASKS_FOR_NOTHING "asks-for-nothing"
            "With every heartbeat a leader asks its followers whether they have what they have acknowledged."
        SAME_TIMEOUTS "same-timeouts"
            "Election timeouts are the same for all."
    }
    "membership" {
        AGREES_BY_ONE_HALF "agrees-by-one-half"
            "A majority of a joint configuration's incoming half is enough to elect."
        COMMITS_BY_ONE_HALF "commits-by-one-half"
            "What a majority of a joint configuration's incoming half holds is committed."
        LEARNERS_COUNT "learners-count"
            "What learners hold counts for commitment."
        LEARNERS_CAMPAIGN "learners-campaign"
            "A learner that hears no leader campaigns."
        REMOVED_CAMPAIGN "removed-campaign"
            "A server that knows of its removal campaigns all the same."
        KEEPS_CUT_OFF_CONFIGURATION "keeps-cut-off-configuration"
            "A configuration that is cut off stays in force."
        CHANGES_BEFORE_OWN_COMMIT "changes-before-own-commit"
            "A leader appends a configuration before it has committed anything in its term (the bug of 2015)."
        CHANGES_BEFORE_LAST_CHANGE "changes-before-last-change"
            "A configuration is appended before the last one is committed."
        REPLACES_AT_ONCE "replaces-at-once"
            "Any number of voters come and go at once, without a joint configuration."
        LEAVES_JOINT_EARLY "leaves-joint-early"
            "A joint configuration is left before it is committed."
        ASKS_ONE_HALF "asks-one-half"
            "A candidate asks a joint configuration's incoming half for votes, and not the other one."
        STAYS_JOINT "stays-joint"
            "A leader leaves its own joint configurations and none that it inherited."
        REMOVED_LEADER_STAYS "removed-leader-stays"
            "A leader goes on leading when the configuration without it is committed."
        IGNORES_EXPECTATION "ignores-expectation"
            "A change is made whatever configuration its operator meant."
    }
    "transfer" {
        PROPOSALS_DURING_TRANSFER "proposals-during-transfer"
            "A leader that hands over takes in proposals meanwhile."
        TELLS_TARGET_EARLY "tells-target-early"
            "The target of a transfer is told to campaign before it holds the whole log."
        OBEYS_STALE_LEADER "obeys-stale-leader"
            "A leader's wish for a campaign counts in later terms, too."
        TRANSFERS_WITHOUT_END "transfers-without-end"
            "A transfer that comes to nothing is never given up."
        HANDS_OVER_SILENTLY "hands-over-silently"
            "A leader that is deposed while it hands over does not say that the transfer is over."
    }
}
