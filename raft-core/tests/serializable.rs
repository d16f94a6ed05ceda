//! What goes over an operator's wire, or onto a status page, implements serde's traits: feature `serde`.
#![cfg(feature = "serde")]

use raft_core::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn is_serializable<T: Serialize + DeserializeOwned>() -> &'static str {
    core::any::type_name::<T>()
}

// That it compiles is the test. The list is complete if every type of a field is in it or in serde itself.
#[test]
fn messages_requests_outcomes_and_status_are_serializable() {
    let messages = [
        is_serializable::<Envelope>(),
        is_serializable::<Entry>(),
        is_serializable::<Persist>(),
    ];
    let requests = [
        is_serializable::<Change>(),
        is_serializable::<Expected>(),
        is_serializable::<ReadMode>(),
        is_serializable::<LoadEntries>(),
    ];
    let outcomes = [
        is_serializable::<Rejection>(),
        is_serializable::<ChangeRejection>(),
        is_serializable::<ChangeError>(),
        is_serializable::<TransferOutcome>(),
        is_serializable::<Ailment>(),
        is_serializable::<Unfit>(),
        is_serializable::<Waiting>(),
        is_serializable::<Halt>(),
        is_serializable::<Halted>(),
    ];
    let status = [
        is_serializable::<Status>(),
        is_serializable::<Vitals>(),
        is_serializable::<PeerStatus>(),
        is_serializable::<Greeted>(),
        is_serializable::<Ignored>(),
        is_serializable::<Clocks>(),
        is_serializable::<Membership>(),
        is_serializable::<Trace>(),
    ];
    let all = messages.iter().chain(&requests).chain(&outcomes).chain(&status);
    assert!(all.into_iter().all(|name| name.starts_with("raft_core::")));
}
