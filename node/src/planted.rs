//! Planted bugs of the service: mistakes at the lines where the ledger counts and where bytes are made and read, to measure
//! how well simulations find them. See [`raft_core::planted`]; no normal build has them.

raft_core::planted_bank! {
    "quotas" {
        GRANTS_ONE_MORE "grants-one-more"
            "A grant of so many views allows one more."
        CHARGES_REPEATS "charges-repeats"
            "A request that was answered before is decided and charged again."
        FORGETS_DENIALS "forgets-denials"
            "A denial is not kept, so that a repeated request may be charged after its client was told no."
        AGE_BEFORE_OUTCOME "age-before-outcome"
            "A request's age is judged before its stored outcome is looked up, so that a charged view is never delivered."
        ACKNOWLEDGED_WITHOUT_MARKER "acknowledged-without-marker"
            "An acknowledged outcome is forgotten at once, and a late copy of its request is charged."
        ANY_CONTENT "any-content"
            "A stored outcome answers any request with its number, whatever it asks for."
        ANY_DEVICE "any-device"
            "A view is granted to whoever names the user, with any device's key."
        LEDGER_TIME_GOES_BACK "ledger-time-goes-back"
            "The ledger's time is that of the last command, even if it is earlier than the one before."
    }    "codec" {
        CHECKSUM_UNCHECKED "checksum-unchecked"
            "A frame is decoded without a look at its checksum."
        CHECKSUM_OF_THE_FRONT "checksum-of-the-front"
            "The checksum covers the first 64 bytes of a frame's body and no more."
        RECIPIENT_NOT_ENCODED "recipient-not-encoded"
            "A frame does not say which incarnation it is for."
    }
}
