//! The shipping store on the simulated disk of bytes.

use std::collections::BTreeMap;

use node_sim::ShippingStore;
use sim::store::{StoreSchedule, run};

/// Some hundred seeds of every class.
#[test]
fn the_store_passes_on_every_kind_of_disk() {
    let mut struck = BTreeMap::new();
    let (mut opened, mut acknowledged, mut refused, mut forgotten) = (0, 0, 0, 0);
    for seed in 0..300 {
        let report = run(&StoreSchedule::of(seed), &ShippingStore);
        assert_eq!(report.violation, None, "seed {seed}");
        for (name, count) in &report.struck {
            *struck.entry(*name).or_insert(0) += count;
        }
        opened += report.opened;
        acknowledged += report.acknowledged;
        refused += u64::from(report.is_refused);
        forgotten += report.forgotten;
    }
    assert_eq!(struck.len(), 11, "every kind of fault has struck: {struck:?}");
    assert!(opened > 1_000 && acknowledged > 2_000, "{opened} {acknowledged}");
    assert!(refused > 10 && forgotten > 0, "{refused} {forgotten}");
}

#[test]
fn a_schedule_has_the_same_outcome_twice() {
    for seed in 0..20 {
        let schedule = StoreSchedule::of(seed);
        assert_eq!(
            run(&schedule, &ShippingStore),
            run(&schedule, &ShippingStore),
            "seed {seed}"
        );
    }
}

#[test]
fn every_bug_of_the_store_that_was_found_stays_fixed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");
    let mut files = 0;
    for file in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = file.expect("the folder can be listed").path();
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let schedule = StoreSchedule::from_toml(&text).expect("the schedule is sound");
        let report = run(&schedule, &ShippingStore);
        assert_eq!(report.violation, None, "{}", path.display());
        assert!(report.opened > 0 || report.is_refused, "{}", path.display());
        files += 1;
    }
    assert!(files >= 12);
}
