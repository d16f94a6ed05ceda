//! An embedded policy: parsing never panics, and every value has one encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lsb_core::envelope::{MOST_GRANTS, Policy};

fuzz_target!(|data: &[u8]| {
    if let Ok(policy) = Policy::parse(data) {
        assert_eq!(policy.to_bytes(), data, "a policy has one encoding");
        assert!(policy.grants().len() <= MOST_GRANTS);
        let grants = policy.grants().to_vec();
        let again = Policy::new(policy.owner().clone(), *policy.owner_key(), grants);
        assert_eq!(again.as_ref(), Ok(&policy), "a parsed policy can be constructed");
    }
});
