//! The bank of planted bugs of the service: it is sound, and random search finds its quick bugs.

#[path = "../../../sim/tests/bugs/sites.rs"]
mod sites;

use std::path::{Path, PathBuf};
use std::process::Command;

use node::planted::BANK;
use node_sim::{Ledger, ShippingStore};
use sim::planted::{Bug, hunt, hunt_store};
use sim::store::StoreSchedule;
use sim::{Oracle, Profile};

fn bank() -> impl Iterator<Item = &'static Bug> {
    BANK.iter().copied()
}

fn bug(name: &str) -> &'static Bug {
    bank()
        .find(|bug| bug.name == name)
        .unwrap_or_else(|| panic!("the bank has {name}"))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_bug_has_a_name_of_its_own_and_a_sentence() {
    // Also beside those of the library, which are found by the same names.
    sites::are_described(bank().chain(sim::planted::bank()));
}

/// Each bug of the bank is at exactly one site, and each site has a bug of the bank.
#[test]
fn the_sites_of_all_forms_are_exactly_the_bugs_of_the_bank() {
    sites::are_exactly(bank(), &[repository().join("node/src")]);
}

#[test]
fn random_search_finds_bugs_of_the_ledger() {
    let ledger = Ledger::new();
    for name in ["grants-one-more", "charges-repeats", "any-device"] {
        let found = hunt(
            bug(name),
            0..100,
            |seed| Profile::Swarm.schedule_for(seed, &ledger),
            &ledger,
        );
        let oracle = found.map(|find| find.oracle);
        assert!(
            matches!(oracle, Some(Oracle::C6 | Oracle::C9)),
            "{name}: {oracle:?}"
        );
    }
}

#[test]
fn random_search_finds_bugs_of_the_store_that_ships() {
    for (name, oracles) in [
        ("names-unsynced-segments", &[Oracle::D2][..]),
        ("leaves-segments-unsynced", &[Oracle::D2]),
        ("acknowledges-unsynced", &[Oracle::D1, Oracle::D2]),
        ("snapshots-unsynced", &[Oracle::D2]),
        ("snapshots-unchecked", &[Oracle::D3]),
        ("torn-is-damaged", &[Oracle::D2]),
        ("damaged-is-torn", &[Oracle::D1]),
        ("goes-on-after-failure", &[Oracle::D4]),
    ] {
        let oracle = hunt_store(bug(name), 0..400, &ShippingStore).map(|find| find.oracle);
        assert!(
            oracle.is_some_and(|oracle| oracles.contains(&oracle)),
            "{name} was found by {oracle:?}"
        );
    }
}

/// Regressions of the store, each of which finds the bug that it is named after.
#[test]
fn the_store_s_regressions_find_what_they_are_named_after() {
    for (name, oracle) in [
        ("trusts-unsynced-record", Oracle::D2),
        ("trusts-unsynced-names", Oracle::D2),
        ("names-unsynced-segments", Oracle::D2),
        ("leaves-segments-unsynced", Oracle::D2),
        ("ends-anywhere", Oracle::D1),
        ("stale-validates", Oracle::D2),
        ("damaged-is-torn", Oracle::D1),
    ] {
        let file = format!("node/simulation/regressions/{}.toml", name.replace('-', "_"));
        let text = std::fs::read_to_string(repository().join(&file)).expect("the file can be read");
        let schedule = StoreSchedule::from_toml(&text).expect("the schedule is sound");
        let _planted = bug(name).plant();
        let found = sim::store::run(&schedule, &ShippingStore)
            .violation
            .map(|violation| violation.oracle);
        assert_eq!(found, Some(oracle), "{file}");
    }
}

/// The command searches for bugs of the ledger with clusters, and for those of the store on its disk.
#[test]
fn the_command_finds_bugs_of_both_kinds() {
    let output = Command::new(env!("CARGO_BIN_EXE_node-sim"))
        .args(["bugs", "--ranges", "1", "--seeds", "300", "--no-shrink", "--json"])
        .args(["--bug", "any-device", "--bug", "acknowledges-unsynced"])
        .output()
        .expect("the command can be started");
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the output is JSON");
    let rows = rows.as_array().expect("an array of rows");
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["found"], true, "{row}");
    }
    assert_eq!(output.status.code(), Some(0));
}
