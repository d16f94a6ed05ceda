//! The service's ledger under simulation.

use lsb_core::UnixSeconds;
use lsb_core::envelope::UserName;
use lsb_core::seal::SigningKey;
use lsb_core::{ClusterId, Signature};
use node::ledger::request::{EnrolRequest, RequestError, Signed};
use node::ledger::{Action, Command, Genesis, Ledger as Machine, Outcome, encode_command};
use node_sim::Ledger;
use raft_core::replica::StateMachine;
use raft_core::{Index, LogId, Term};
use sim::kv::KeyValue;
use sim::{Canary, Coverage, Probe, Profile, Schedule, ScheduleError, Verdict};

#[test]
fn the_ledger_keeps_its_promises_in_a_hundred_and_fifty_seeds() {
    let (ledger, mut coverage) = (Ledger::new(), Coverage::default());
    for seed in 0..150 {
        let schedule = Profile::Swarm.schedule_for(seed, &ledger);
        let report = sim::run(&schedule, &ledger).expect("a generated schedule can be run");
        assert_eq!(report.verdict(&schedule.expect), Verdict::Pass, "seed {seed}");
        coverage.merge(&report.coverage);
    }
    for probe in [
        Probe::AnswerRepeated,
        Probe::RestartFromSnapshot,
        Probe::InstallSnapshot,
    ] {
        assert!(coverage.count(probe) > 5, "{probe} happened too seldom");
    }
}

#[test]
fn a_schedule_says_for_which_machine_it_is_and_is_refused_by_another() {
    let schedule = Profile::Calm.schedule_for(1, &Ledger::new());
    let read = Schedule::from_toml(&schedule.to_toml().expect("it can be written")).expect("it is sound");
    assert_eq!(read, schedule);
    let refused = sim::run(&schedule, &KeyValue);
    assert_eq!(
        refused,
        Err(ScheduleError::OtherWorkload {
            wanted: "ledger".to_owned(),
            given: "kv"
        })
    );
}

/// The simulator proposes what the edge of a server would have verified, with a placeholder for the signature. That is
/// sound only as long as no code past the edge looks at signatures.
#[test]
fn signatures_are_verified_at_the_edge_and_never_looked_at_again() {
    let (key, cluster) = (SigningKey::from_bytes(&[3; 32]), ClusterId::from_bytes([7; 16]));
    let request = EnrolRequest {
        cluster,
        user: UserName::parse("alice").expect("a name"),
        key: key.public(),
    };
    let signed = Signed::sign(request, &key).expect("it is alice's key");
    let placeholder = Signed {
        signature: Signature::from_bytes([0; 64]),
        ..signed.clone()
    };
    assert_eq!(signed.verify(cluster), Ok(()));
    assert_eq!(placeholder.verify(cluster), Err(RequestError::Signature));

    let applied = |enrol: Signed<EnrolRequest>| {
        let mut machine = Machine::new();
        let genesis = Genesis {
            cluster,
            denied_picture_hash: [1; 32],
        };
        let actions = [Action::Genesis(genesis), Action::Enrol(enrol)];
        let outcomes: Vec<Outcome> = (1..)
            .zip(actions)
            .map(|(index, action)| {
                let time = UnixSeconds(index);
                let at = LogId::new(Term::new(1), Index::new(index).expect("positions begin at 1"));
                machine
                    .apply(at, &encode_command(&Command { time, action }))
                    .expect("the command is understood")
            })
            .collect();
        (outcomes, machine.state_hash())
    };
    assert_eq!(applied(signed), applied(placeholder));
}

#[test]
fn the_services_frames_survive_the_wire_and_damaged_ones_are_refused() {
    let mut schedule = Profile::Calm.schedule_for(1, &Ledger::new());
    schedule.knobs.encode_messages = true;
    schedule.weather.network.corrupt_permyriad = 3_000;
    let report = sim::run(&schedule, &Ledger::new()).expect("the schedule is valid");
    assert_eq!(report.violation, None);
    assert!(report.coverage.count(Probe::MessageCorrupted) > 20);
}

/// A campaign with the ledger finds the mistakes that are made on purpose, of every profile.
#[test]
fn every_canary_is_found_by_every_profile() {
    let ledger = Ledger::new();
    for profile in [Profile::Swarm, Profile::Calm, Profile::Hell, Profile::Bench] {
        for canary in Canary::ALL {
            for start in [0, 4_711] {
                let schedule = |seed| profile.schedule_for(seed, &ledger);
                let found = canary.hunt(start..start + 16, schedule, &ledger);
                let found = found.expect("the schedules can be run");
                assert!(found.is_some(), "{profile:?} from {start}: {canary:?}");
            }
        }
    }
}
