#[test]
fn tmp() {
    std::panic::set_hook(Box::new(|_| {}));
    let range: Vec<u64> = std::env::var("SEEDS")
        .unwrap()
        .split("..")
        .map(|x| x.parse().unwrap())
        .collect();
    let mut n = 0;
    for seed in range[0]..range[1] {
        let report = sim::store::run(&sim::store::StoreSchedule::of(seed));
        if let Some(v) = report.violation {
            n += 1;
            eprintln!("seed {seed}: {v}");
        }
    }
    eprintln!("{n} of {range:?}");
}
#[test]
fn one() {
    let Ok(seed) = std::env::var("SEED") else { return };
    let seed: u64 = seed.parse().unwrap();
    let schedule = sim::store::StoreSchedule::of(seed);
    std::panic::set_hook(Box::new(|_| {}));
    let schedule = sim::store::shrink(&schedule).map_or(schedule, |s| s.schedule);
    println!("SHRUNK {schedule:#?}");
    sim::store::replay(&schedule, &mut |line| println!("{line}"));
}
