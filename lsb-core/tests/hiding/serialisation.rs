//! What a ledger stores, as `serde` writes and reads it.

use crate::fixtures::{CLUSTER, Fixture};
use lsb_core::envelope::{Grant, Policy, UserName, Views};
use lsb_core::{ObjectId, PublicKey, Signature};

#[test]
fn values_come_back_and_ids_are_hexadecimal() {
    let policy = Fixture::new().policy;
    let text = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    assert!(
        text.contains(&format!("\"owner_key\":\"{}\"", policy.owner_key())),
        "{text}"
    );
    let signature = Signature::from_bytes([0xab; 64]);
    assert_eq!(
        serde_json::to_string(&signature).unwrap(),
        format!("\"{}\"", "ab".repeat(64))
    );
    assert_eq!(
        serde_json::from_str::<Signature>(&format!("\"{signature}\"")).unwrap(),
        signature
    );
    assert_eq!(CLUSTER.to_string().parse(), Ok(CLUSTER));
    assert!(serde_json::from_str::<ObjectId>("\"abc\"").is_err());
    assert!("zz".repeat(16).parse::<ObjectId>().is_err());
}

#[test]
fn what_no_constructor_makes_is_not_read() {
    assert!(serde_json::from_str::<UserName>("\"Alice\"").is_err());
    assert!(serde_json::from_str::<UserName>("\"a/b\"").is_err());
    let grant = Grant::new(UserName::parse("bob").unwrap(), Views::Total(1));
    let key = PublicKey::from_bytes([1; 32]);
    let twice = serde_json::json!({ "owner": "alice", "owner_key": key, "grants": [grant, grant] });
    assert!(serde_json::from_value::<Policy>(twice).is_err());
}
