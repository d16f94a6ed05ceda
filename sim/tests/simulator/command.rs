//! The command: its exit status, its JSON, and that the number of jobs changes nothing.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(arguments)
        .output()
        .expect("the command can be started")
}

#[track_caller]
fn ends(arguments: &[&str], status: i32) -> String {
    let output = sim(arguments);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

fn as_json(arguments: &[&str]) -> Value {
    let output = sim(arguments);
    serde_json::from_slice(&output.stdout).expect("the output is JSON")
}

/// A schedule file in a folder that cargo makes for tests.
fn file(name: &str, text: &str) -> String {
    written(name, &format!("rng = \"v1\"\nseed = 1\n{text}"))
}

/// Any file in that folder.
fn written(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("the file can be written");
    path.display().to_string()
}

#[test]
fn seeds_that_pass_end_with_0_and_say_so() {
    let text = ends(&["run", "--seeds", "0..10"], 0);
    assert!(
        text.contains("10 schedules") && text.contains("0 findings"),
        "{text}"
    );
}

#[test]
fn the_json_is_the_same_at_any_number_of_jobs() {
    let one = as_json(&["run", "--seeds", "0..60", "--json"]);
    let two = as_json(&["run", "--seeds", "0..60", "--jobs", "2", "--json"]);
    for field in [
        "schedules",
        "simulated_nanos",
        "events",
        "findings",
        "coverage",
        "hash",
    ] {
        assert!(!one[field].is_null(), "{field} is missing");
        assert_eq!(one[field], two[field], "{field}");
    }
    assert_eq!(one["schedules"], 60);
    assert!(one["schedules_per_second"].is_number());
    let hash = one["hash"].as_str().expect("the hash is a string");
    assert!(
        hash.len() == 16 && u64::from_str_radix(hash, 16).is_ok(),
        "{hash}"
    );
    assert_ne!(
        one["hash"],
        as_json(&["run", "--seeds", "1..61", "--json"])["hash"]
    );
}

#[test]
fn shards_add_up_to_the_whole() {
    let number = |value: &Value| u64::from_str_radix(value["hash"].as_str().unwrap_or(""), 16);
    let whole = as_json(&["run", "--seeds", "0..20", "--json"]);
    let shards =
        ["1/3", "2/3", "3/3"].map(|part| as_json(&["run", "--seeds", "0..20", "--shard", part, "--json"]));
    let schedules = shards
        .iter()
        .map(|shard| shard["schedules"].as_u64().unwrap_or(0));
    assert_eq!(schedules.sum::<u64>(), 20);
    let hashes = shards.iter().map(|shard| number(shard).expect("a hash in hex"));
    assert_eq!(Ok(hashes.fold(0, u64::wrapping_add)), number(&whole));
    // Merging them gives the same, in any order.
    let parts = [2, 0, 1].map(|place: usize| {
        let name = format!("shard_{place}.json");
        written(&name, &shards[place].to_string())
    });
    let [last, first, middle] = &parts;
    let merged = as_json(&["merge", last, first, middle, "--json"]);
    for same in [
        "seeds",
        "schedules",
        "hash",
        "coverage",
        "events",
        "simulated_nanos",
        "version",
        "profile",
        "linearizability",
    ] {
        assert_eq!(merged[same], whole[same], "{same}");
    }
    assert!(ends(&["merge", last, first], 2).contains("seeds 6..13 are in no part"));
    assert!(ends(&["merge", last, first, "--partial"], 0).contains("seeds 13..20"));
    assert!(ends(&["merge", first, middle, first], 2).contains("would count twice"));
    let other = whole
        .to_string()
        .replace("\"workload\":\"kv\"", "\"workload\":\"abacus\"");
    let other = written("other_workload.json", &other);
    assert!(ends(&["merge", first, &other], 2).contains("workload of one is kv, that of another abacus"));
    let files = written(
        "files.json",
        &as_json(&["run", "scenarios/power_cut.toml", "--json"]).to_string(),
    );
    assert!(ends(&["merge", &files], 2).contains("only sweeps over seeds"));
    assert!(ends(&["run", "--seeds", "0..20", "--shard", "4/3"], 2).contains("K/N"));
}

#[test]
fn a_finding_names_its_seed_its_oracle_and_what_it_saw() {
    let path = file("finding.toml", "event_budget = 100\n");
    let found = as_json(&["run", &path, "--json"]);
    let finding = &found["findings"][0];
    assert_eq!(found["findings"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&finding["seed"], &finding["oracle"]),
        (&Value::from(0), &Value::from("S24"))
    );
    assert!(
        finding["message"]
            .as_str()
            .is_some_and(|message| message.contains("100 events"))
    );
}

#[test]
fn a_violation_ends_with_1() {
    // The expected violation does not occur, which is as wrong as an unexpected one.
    let path = file("undetected.toml", "[expect]\nviolation = \"S1\"\n");
    assert!(ends(&["run", &path], 1).contains("S1"));
    assert!(ends(&["replay", &path, "--quiet"], 1).contains("S1"));
    // More events than the budget allows: S24.
    let path = file("storm.toml", "event_budget = 100\n");
    let text = ends(&["run", &path], 1);
    assert!(text.contains("S24") && text.contains("sim replay"), "{text}");
}

#[test]
fn invalid_arguments_end_with_2_and_a_sentence() {
    assert!(ends(&["run", "--seeds", "5..5"], 2).contains("no seeds"));
    assert!(ends(&["run", "--seeds", "many"], 2).contains("A..B"));
    assert!(ends(&["run"], 2).contains("--seeds"));
    assert!(ends(&["replay", "no/such/file.toml"], 2).contains("cannot be read"));
    let path = file("wrong.toml", "[cluster]\nservers = 99\n");
    assert!(ends(&["run", &path], 2).contains("1 to 7"));
}

#[test]
fn a_vacuous_run_ends_with_4() {
    let path = file("vacuous.toml", "[expect]\nprobes = [\"Crash\"]\n");
    assert!(ends(&["run", &path], 4).contains("Crash"));
    assert!(ends(&["replay", &path], 4).contains("vacuous: these never happened: Crash"));
}

#[test]
fn a_replay_has_a_line_per_event_and_a_verdict() {
    let text = ends(&["replay", "1", "--profile", "calm"], 0);
    assert!(text.lines().count() > 1_000, "{} lines", text.lines().count());
    assert!(
        text.contains("Leader of term 1") && text.contains("passed"),
        "no leader in the trace"
    );
    let quiet = ends(
        &[
            "replay",
            "1",
            "--profile",
            "calm",
            "--node",
            "1",
            "--until",
            "300ms",
        ],
        0,
    );
    assert!(quiet.lines().count() < text.lines().count() / 10);
}

#[test]
fn the_schedule_of_a_seed_runs_as_the_seed_does() {
    let text = ends(&["schedule", "7"], 0);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("seven.toml");
    std::fs::write(&path, text).expect("the file can be written");
    let last = |text: String| text.lines().last().map(str::to_owned);
    let from_file = last(ends(&["replay", &path.display().to_string(), "--quiet"], 0));
    assert_eq!(from_file, last(ends(&["replay", "7", "--quiet"], 0)));
}

#[test]
fn the_help_has_examples_and_exit_statuses() {
    let text = ends(&["--help"], 0);
    assert!(
        text.contains("Examples:") && text.contains("Exit status:"),
        "{text}"
    );
}

#[test]
fn a_file_for_another_workload_is_refused() {
    let strange = file("strange.toml", "machine = \"abacus\"\n");
    let refused = ends(&["replay", &strange], 2);
    assert!(
        refused.contains("\"abacus\"") && refused.contains("only has kv"),
        "{refused}"
    );
    let (named, asked) = (file("named.toml", "machine = \"kv\"\n"), "abacus");
    ends(&["replay", &named, "--quiet"], 0);
    assert!(ends(&["replay", &named, "--workload", asked], 2).contains("[possible values: kv]"));
}

#[test]
fn the_json_says_which_workload_was_run_and_how_many_searches_ended_without_an_answer() {
    let kv = as_json(&["run", "--seeds", "0..3", "--json"]);
    assert_eq!(kv["workload"], "kv");
    assert_eq!(kv["linearizability"]["searched"], 1);
    assert_eq!(kv["linearizability"]["unknown"], 0);
}

/// A path for a file that the command writes.
fn output(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    path.display().to_string()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).expect("the command has written the file")
}

#[test]
fn the_page_of_a_run_is_one_file_that_contains_the_run_and_loads_nothing_else() {
    let page = output("run.html");
    ends(&["view", "7", "-o", &page], 0);
    let text = read(&page);
    assert!(!text.contains("src=") && !text.contains("stylesheet") && text.contains("default-src 'none'"));
    assert!(!text.contains("{{"), "every part of the page is filled in");
    let (_, data) = text
        .split_once("<script id=\"run\" type=\"application/json\">")
        .expect("the page holds data");
    let (data, _) = data.split_once("</script>").expect("the data end");
    let data: Value = serde_json::from_str(data).expect("the data are JSON");
    let last = as_json(&["run", "--seeds", "7..8", "--json"]);
    assert_eq!(data["events"], last["events"]);
    assert_eq!(data["violation"], Value::Null);
}

#[test]
fn a_run_with_a_violation_has_a_page_that_says_so() {
    let (schedule, page) = (file("short.toml", "event_budget = 200\n"), output("short.html"));
    ends(&["view", &schedule, "-o", &page], 0);
    assert!(read(&page).contains("more than 200 events"));
    ends(&["view", &schedule], 2);
    ends(&["view", &schedule, "-o", "no/such/folder/run.html"], 2);
}

#[test]
fn exports_are_what_shiviz_and_perfetto_read() {
    let (log, trace) = (output("run.log"), output("run.json"));
    ends(&["view", "7", "--shiviz", &log, "--perfetto", &trace], 0);
    let log = read(&log);
    let mut lines = log.lines();
    assert_eq!(lines.next(), Some("(?<host>\\S*) (?<clock>{.*})\\n(?<event>.*)"));
    assert_eq!(lines.next(), Some(""));
    let mut clocks: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    while let (Some(first), Some(_)) = (lines.next(), lines.next()) {
        let (host, clock) = first.split_once(' ').expect("a host and its clock");
        let clock: Value = serde_json::from_str(clock).expect("the clock is JSON");
        let count = clocks.entry(host.to_owned()).or_default();
        *count += 1;
        assert_eq!(clock[host], *count, "a host's own clock counts its lines");
    }
    assert!(clocks.len() > 3);
    let trace: Value = serde_json::from_str(&read(&trace)).expect("the trace is JSON");
    let events = trace["traceEvents"].as_array().expect("the trace has events");
    let count = |ph: &str| events.iter().filter(|event| event["ph"] == ph).count();
    assert!(count("X") > 100 && count("s") > 10 && count("s") == count("f"));
}

#[test]
fn scenarios_are_known_by_name_in_any_folder() {
    let text = ends(&["scenario"], 0);
    assert!(
        text.contains("power_cut ") && text.contains("figure_8 "),
        "{text}"
    );
    let text = ends(&["scenario", "power_cut", "deaf_leader"], 0);
    assert!(text.contains("power_cut: All servers lose their power"), "{text}");
    let toml = sim(&["scenario", "power_cut", "--toml"]).stdout;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/power_cut.toml");
    assert_eq!(toml, std::fs::read(folder).expect("the file can be read"));
    let (by_name, by_path) = (
        ends(&["replay", "power_cut", "--quiet"], 0),
        ends(&["replay", folder, "--quiet"], 0),
    );
    assert_eq!(by_name, by_path);
    let text = ends(&["scenario", "no_such"], 2);
    assert!(text.contains("sim scenario lists them"), "{text}");
}

#[test]
fn a_soak_goes_on_where_it_was() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak");
    // Left by an earlier run of this test, if there was one.
    let _none = std::fs::remove_dir_all(&folder);
    let folder = folder.display().to_string();
    let soak = |more: &[&str]| {
        let mut arguments = vec![
            "soak",
            "--profile",
            "calm",
            "--minutes",
            "0",
            "--from",
            "100",
            "-o",
            &folder,
        ];
        arguments.extend(more);
        ends(&arguments, 0)
    };
    assert!(soak(&[]).contains("seeds 100..1124"));
    let text = soak(&["--jobs", "2"]);
    let whole = ends(&["run", "--profile", "calm", "--seeds", "100..2148", "--json"], 0);
    let whole: Value = serde_json::from_str(&whole).expect("the output is JSON");
    let hash = whole["hash"].as_str().expect("the hash is a text");
    assert!(text.contains("seeds 100..2148") && text.contains(hash), "{text}");
    let merged = ends(&["merge", &format!("{folder}/results.jsonl")], 0);
    assert!(merged.contains(hash), "{merged}");
    let text = ends(&["soak", "--minutes", "0", "-o", &folder], 2);
    assert!(
        text.contains("the profile of one is swarm, that of another calm"),
        "{text}"
    );
}

#[test]
fn histories_are_written_with_an_opinion_of_each() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("histories");
    let text = ends(
        &[
            "histories",
            "--profile",
            "calm",
            "--seeds",
            "3..6",
            "-o",
            &folder.display().to_string(),
        ],
        0,
    );
    assert!(text.contains("3 histories"), "{text}");
    let opinions = std::fs::read_to_string(folder.join("opinions.tsv")).expect("the file is there");
    assert_eq!(opinions, "3\tlinearizable\n4\tlinearizable\n5\tlinearizable\n");
    let history = std::fs::read_to_string(folder.join("4.edn")).expect("the file is there");
    assert!(
        history.contains(":type :ok, :f :write") && history.contains(", :previous "),
        "{history}"
    );
}

#[test]
fn a_search_counts_situations_and_repeats_exactly_on_one_job() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    let folder = folder.display().to_string();
    let search = || as_json(&["fuzz", "--runs", "40", "--from", "7", "-o", &folder, "--json"]);
    let found = search();
    assert_eq!((&found["runs"], &found["findings"]), (&json!(40), &json!({})));
    assert!(found["situations"].as_u64() > Some(1_000), "{found}");
    assert_eq!(found, search());
}

/// An empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left by an earlier run of this test, if there was one.
    let _none = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

fn soak_into(folder: &std::path::Path) -> Output {
    let folder = folder.display().to_string();
    sim(&["soak", "--profile", "calm", "--minutes", "0", "-o", &folder])
}

#[test]
fn a_soak_drops_an_unfinished_last_line_and_goes_on_and_merge_leaves_it_out() {
    let folder = folder("unfinished");
    let path = folder.join("results.jsonl");
    std::fs::write(&path, "").expect("the file can be written");
    let first = soak_into(&folder);
    assert_eq!(first.status.code(), Some(0), "an empty file is a new folder");
    let whole = std::fs::read_to_string(&path).expect("the file is there");
    std::fs::write(&path, format!("{whole}{}", &whole[..100])).expect("the file can be written");
    let name = path.display().to_string();
    let merged = ends(&["merge", &name], 0);
    assert!(
        merged.contains("unfinished") && merged.contains("seeds 0..1024"),
        "{merged}"
    );
    let second = soak_into(&folder);
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(told.contains("the last line was unfinished"), "{told}");
    let merged = ends(&["merge", &name], 0);
    assert!(
        merged.contains("seeds 0..2048") && !merged.contains("unfinished"),
        "{merged}"
    );
    // In the middle of the file it was not left by an interrupted write.
    std::fs::write(&path, format!("{}\n{whole}", &whole[..100])).expect("the file can be written");
    assert!(ends(&["merge", &name], 2).contains("is not what sim run --json"));
    assert_eq!(soak_into(&folder).status.code(), Some(2));
}

#[test]
fn a_second_soak_in_a_folder_is_refused() {
    let folder = folder("locked");
    let file = std::fs::File::create(folder.join("results.jsonl")).expect("the file can be made");
    file.lock().expect("the file can be locked");
    let refused = soak_into(&folder);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("another sim soak is using"), "{told}");
}

#[test]
fn results_that_no_sweep_has_are_not_merged() {
    let part = as_json(&["run", "--seeds", "3..6", "--json"]);
    for (field, wrong, told) in [
        ("seeds", json!([[3, 3], [3, 6]]), "seeds 3..3"),
        ("seeds", json!([[6, 3]]), "seeds 6..3"),
        ("seeds", json!([[3, 7]]), "4 seeds that counts 3 schedules"),
        ("schedules", json!(4), "3 seeds that counts 4 schedules"),
        ("hash", json!("+0123456789abcde"), "is not the hash of a sweep"),
        ("hash", json!("seven"), "is not the hash of a sweep"),
    ] {
        let mut part = part.clone();
        part[field] = wrong;
        let path = written("wrong_part.json", &part.to_string());
        let refused = ends(&["merge", &path], 2);
        assert!(
            refused.contains(told) && refused.contains("wrong_part.json"),
            "{refused}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_ends_with_2_and_says_so_and_a_closed_one_changes_nothing() {
    use std::process::Stdio;

    for arguments in [
        &["run", "--seeds", "0..2"][..],
        &["run", "--seeds", "0..2", "--json"],
        &["replay", "1", "--quiet", "--profile", "calm"],
        &["replay", "1", "--profile", "calm"],
        &["schedule", "1"],
        &["scenario"],
        &["--help"],
        &["--version"],
    ] {
        let full = std::fs::File::create("/dev/full").expect("the device is there");
        let command = |to: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
            command.args(arguments).stdout(to).stderr(Stdio::piped());
            command.output().expect("the command can be started")
        };
        let output = command(full.into());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            told.starts_with("sim: standard output: "),
            "{arguments:?}: {told}"
        );
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let (reader, writer) = std::io::pipe().expect("there are pipes");
        drop(reader);
        let output = command(writer.into());
        assert_eq!(
            (output.status.code(), output.stderr),
            (Some(0), Vec::new()),
            "{arguments:?}"
        );
    }
}

#[test]
fn arguments_that_cannot_work_are_rejected_before_the_run() {
    assert!(ends(&["fuzz", "--runs", "0"], 2).contains("--runs"));
    assert!(ends(&["fuzz", "--minutes", "0"], 2).contains("--minutes"));
    let path = written("no_folder", "");
    assert!(ends(&["fuzz", "--runs", "1", "-o", &path], 2).contains("is not a folder"));
    let refused = ends(&["replay", "power_cut", "--node", "99"], 2);
    assert!(refused.contains("no server 99"), "{refused}");
    assert!(ends(&["replay", "power_cut", "--node", "0"], 2).contains("no server 0"));
    let refused = ends(&["replay", "1", "--from", "2s", "--until", "1s"], 2);
    assert!(refused.contains("no event is from 2"), "{refused}");
    let target = output("no_such_folder/case.toml");
    assert!(ends(&["shrink", "1", "-o", &target], 2).contains("there is no folder"));
}

#[test]
fn results_in_words_leave_out_what_does_not_apply() {
    let text = ends(&["replay", "nope"], 2);
    assert!(text.contains("sim scenario lists them"), "{text}");
    assert!(ends(&["--version"], 0).starts_with("sim "));
    assert!(ends(&["store", "schedule", "1"], 2).contains("no store to simulate"));
    let path = file("two words.toml", "[expect]\nprobes = [\"Crash\"]\n");
    let text = ends(&["run", &path], 4);
    assert!(
        text.contains("\n1 schedule, ")
            && text.contains("\n1 finding, ")
            && !text.contains("\nnever happened"),
        "{text}"
    );
    assert!(text.contains(&format!("sim replay '{path}'")), "{text}");
    assert_eq!(text.matches("vacuous").count(), 1, "{text}");
}

#[test]
fn a_page_says_how_to_make_it_again_and_is_refused_before_the_run_where_it_cannot_be_written() {
    let path = written("page.html", "");
    ends(&["view", "1", "--profile", "calm", "-o", &path], 0);
    let page = std::fs::read_to_string(&path).expect("the page was written");
    assert!(page.contains("sim view 1 --profile calm"));
    let nowhere = "no/such/folder/page.html";
    assert!(ends(&["view", "1", "-o", nowhere], 2).contains("no/such/folder/page.html cannot be written"));
}
