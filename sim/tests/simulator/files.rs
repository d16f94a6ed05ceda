//! An invalid schedule file is rejected with a sentence that says what is wrong.

use sim::Schedule;

fn error(text: &str) -> String {
    Schedule::from_toml(text)
        .expect_err("the schedule is invalid")
        .to_string()
}

#[track_caller]
fn refuses(text: &str, because: &str) {
    let error = error(&format!("rng = \"v1\"\nseed = 1\n{text}"));
    assert!(error.contains(because), "{error}");
}

#[test]
fn a_minimal_file_is_a_schedule() {
    let schedule = Schedule::from_toml("rng = \"v1\"\nseed = 1\n").unwrap();
    assert_eq!(schedule, Schedule::calm(1));
}

#[test]
fn what_is_not_toml_or_of_another_version_is_refused() {
    assert!(error("seed = ").contains("not a schedule"));
    assert!(error("rng = \"v2\"\nseed = 1\n").contains("v1"));
    refuses("sed = 2\n", "unknown field `sed`");
}

#[test]
fn a_misspelt_field_of_a_fault_is_refused() {
    refuses(
        "[[fault]]\nid = 1\nat = \"1s\"\nkind = \"crash\"\ntarget = \"1\"\nrestart = \"1s\"\n",
        "has no field \"restart\"",
    );
    refuses(
        "[[fault]]\nid = 1\nat = \"1s\"\nkind = \"crush\"\ntarget = \"1\"\n",
        "crush",
    );
}

#[test]
fn faults_must_name_what_exists() {
    let crash = |id: u32, target: &str| {
        format!("[[fault]]\nid = {id}\nat = \"1s\"\nkind = \"crash\"\ntarget = \"{target}\"\n")
    };
    refuses(&crash(1, "4"), "the cluster has servers 1 to 3");
    refuses(&crash(1, "9"), "is not a target");
    refuses(&crash(1, "$boss"), "$leader");
    refuses(&crash(1, "$subject"), "needs an event: give the fault `on");
    refuses(&(crash(1, "1") + &crash(1, "2")), "two faults have the id 1");
}

#[test]
fn settings_that_cannot_be_run_are_refused() {
    refuses("[cluster]\nservers = 8\n", "1 to 7 can be simulated");
    refuses("[knobs]\nheartbeat_ticks = 50\n", "the knobs are invalid");
    refuses("[weather.network]\ndelay_min = \"1s\"\n", "at most delay_max");
    refuses("[heal]\nat = \"5 minutes\"\n", "needs a unit");
    refuses(
        "[workload]\noperations = 4294967295\n",
        "4294967295 operations, by rule and listed; at most 1000000 can be simulated",
    );
    refuses(
        "[[operation]]\nat = \"1s\"\nclient = 9\nkind = \"read\"\nchoice = 1\n",
        "there are clients 1 to 3",
    );
}
