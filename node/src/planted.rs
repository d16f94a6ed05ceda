//! Planted bugs of the service: mistakes at the lines where the ledger counts and where the store writes and reads,
//! to measure how well simulations find them. See [`raft_core::planted`]; normal builds have none.

raft_core::planted_bank! {
    "quotas" {
        GRANTS_ONE_MORE "grants-one-more"
            "A grant of so many views allows one more."
        CHARGES_REPEATS "charges-repeats"
            "A request that was answered before is decided and charged again."
        FORGETS_DENIALS "forgets-denials"
            "A denial is not kept, so that a repeated request may be charged after its client was told of the denial."
        AGE_BEFORE_OUTCOME "age-before-outcome"
            "A request's age is judged before its stored outcome is looked up, so that a charged view is never delivered."
        ACKNOWLEDGED_WITHOUT_MARKER "acknowledged-without-marker"
            "An acknowledged outcome is forgotten at once, and a late copy of its request is charged."
        ANY_CONTENT "any-content"
            "A stored outcome answers any request with its number, whatever it asks for."
        ANY_DEVICE "any-device"
            "A view is granted to anyone who names the user, with any device's key."
        LEDGER_TIME_GOES_BACK "ledger-time-goes-back"
            "The ledger's time is that of the last command, even if it is earlier than the one before."
    }
    "store" {
        TRUSTS_UNSYNCED_HEADER "trusts-unsynced-header"
            "A start uses a header that may only be in the page cache, and overwrites the journal that the durable header needs."
        TRUSTS_UNSYNCED_RECORD "trusts-unsynced-record"
            "A start replays the journal's last record without making it durable first."
        TRUSTS_UNSYNCED_NAMES "trusts-unsynced-names"
            "A start takes the names of the files for durable, although the process that gave them may have died before they were."
        DIES_WITH_THE_DATABASE "dies-with-the-database"
            "A panic of the database is a panic of the store."
        RECORDS_UNCHECKED "records-unchecked"
            "A record is read without a check of its checksum."
        BLOCKS_UNCHECKED "blocks-unchecked"
            "A block is read without a check of its checksum."
        SNAPSHOTS_UNCHECKED "snapshots-unchecked"
            "A snapshot is read without a check of its checksum."
        ACKNOWLEDGES_UNSYNCED "acknowledges-unsynced"
            "A journal record is acknowledged as soon as it is written."
        CHECKPOINTS_UNSYNCED "checkpoints-unsynced"
            "A checkpoint writes its header without waiting for the blocks."
        SNAPSHOTS_UNSYNCED "snapshots-unsynced"
            "A snapshot is given its name, and counts, before its bytes are durable."
        TORN_IS_DAMAGED "torn-is-damaged"
            "A record that a crash interrupted is taken for damage."
        DAMAGED_IS_TORN "damaged-is-torn"
            "A damaged sector of the journal is taken for one that was never written."
    }
}
