//! Schedules of a store, whichever store it is.

use sim::store::StoreSchedule;

/// A schedule as the command writes it is complete.
#[test]
fn a_schedule_survives_its_file() {
    for seed in 0..50 {
        let schedule = StoreSchedule::of(seed);
        let text = schedule.to_toml().expect("it can be written");
        assert_eq!(StoreSchedule::from_toml(&text).expect("it can be read"), schedule);
        assert!(StoreSchedule::is_in(&text));
    }
}
