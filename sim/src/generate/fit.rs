//! Fits a schedule to the sizes of a workload. Limits that are drawn small stay as small as that workload allows, and
//! what is large can be carried in the time that there is.

use crate::nanos::Nanos;
use crate::schedule::Schedule;
use crate::workload::Sizes;

/// For commands up to this size, links are as slow as they are drawn.
const USUAL_COMMAND_BYTES: u64 = 128;

/// The same for snapshots.
const USUAL_SNAPSHOT_BYTES: u64 = 4 << 10;

/// In how many chunks a snapshot is sent, at most: each waits for the answer to the one before it.
const MOST_CHUNKS: u64 = 128;

/// How many bytes all operations of a run may write together, or so: a run of more would take seconds of real time.
const MOST_BYTES: u64 = 32 << 20;

/// How many operations a run has at least, however large they are.
const FEWEST_OPERATIONS: u64 = 8;

impl Schedule {
    /// The bytes of the largest command of such a workload, as this schedule carries it: where two programs run, a byte
    /// says which of them a command is for.
    pub(crate) fn largest_command(&self, sizes: Sizes) -> u64 {
        sizes
            .command_bytes
            .saturating_add(u64::from(self.knobs.programs.is_some()))
    }

    /// Makes the schedule fit a workload whose commands and snapshots have these sizes.
    ///
    /// * The largest command fits into a message, and a snapshot takes a hundred messages or so.
    /// * A slow link is faster by as many times as what it carries is larger than usual, and so is its queue.
    /// * A run has fewer operations if they are so large that it would take seconds, and they take as long together.
    ///
    /// Everything else stays as it is: a limit that is drawn for one command of sixteen bytes holds one of a thousand.
    pub(crate) fn fit(&mut self, sizes: Sizes) {
        let command_bytes = self.largest_command(sizes);
        let Sizes { snapshot_bytes, .. } = sizes;
        let knobs = &mut self.knobs;
        knobs.message_bytes = knobs.message_bytes.max(command_bytes);
        knobs.snapshot_chunk_bytes = knobs.snapshot_chunk_bytes.max(snapshot_bytes / MOST_CHUNKS);

        let network = &mut self.weather.network;
        let times = (command_bytes.div_ceil(USUAL_COMMAND_BYTES))
            .max(snapshot_bytes.div_ceil(USUAL_SNAPSHOT_BYTES))
            .max(1);
        network.bytes_per_second = network.bytes_per_second.saturating_mul(times);
        if network.bytes_per_second > 0 {
            network.queue_bytes = network.queue_bytes.saturating_mul(times);
        }

        let plan = &mut self.workload;
        // A snapshot is taken after some operations, by every server.
        let per_operation = command_bytes.max(snapshot_bytes / 8).max(1);
        let most = (MOST_BYTES / per_operation).max(FEWEST_OPERATIONS);
        let operations = u64::from(plan.operations);
        if operations > most {
            plan.interval = Nanos::new(plan.interval.times(operations).value() / most);
            plan.operations = u32::try_from(most).unwrap_or(plan.operations);
        }
    }
}

/// How many entries a slow machine can apply in the shortest election timeout, at least.
const ENTRIES_PER_TIMEOUT: u64 = 16;

impl Schedule {
    /// Makes clients so slow that machines which take this long to apply an entry keep up with them, and ticks so long
    /// that a server which applies hears its leader in time (paper §5.6, the timing requirement).
    pub(crate) fn slow_down(&mut self, apply_takes: Nanos) {
        let plan = &mut self.workload;
        plan.interval = plan.interval.max(apply_takes.times(2));
        let timeout = apply_takes.times(ENTRIES_PER_TIMEOUT).value();
        let tick = Nanos::new(timeout.div_ceil(self.knobs.election_timeout_min_ticks.max(1)));
        if tick > self.cluster.tick {
            let times = tick.value().div_ceil(self.cluster.tick.value().max(1));
            self.cluster.tick = tick;
            let heal = &mut self.heal;
            for bound in [
                &mut heal.converge_within,
                &mut heal.serve_within,
                &mut heal.quiet_for,
            ] {
                *bound = bound.times(times);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Profile;
    use crate::kv::KeyValue;
    use crate::workload::Workload;

    const PROFILES: [Profile; 4] = [Profile::Swarm, Profile::Calm, Profile::Hell, Profile::Bench];

    #[test]
    fn the_schedules_of_seeds_are_made_for_key_values() {
        for profile in PROFILES {
            for seed in 0..1_000 {
                let schedule = profile.schedule(seed);
                let mut fitted = schedule.clone();
                fitted.fit(KeyValue.sizes(&schedule.workload));
                assert_eq!(fitted, schedule, "seed {seed}");
            }
        }
    }

    #[test]
    fn the_largest_command_fits_and_one_per_message_stays_one_per_message() {
        const OVERHEAD_BYTES: u64 = 32;
        for (command_bytes, seed) in [1, 16, 100, 10_000, 1_000_000].into_iter().zip(0..) {
            let sizes = Sizes {
                command_bytes,
                ..Sizes::default()
            };
            let small = |seed: &u64| Profile::Swarm.schedule(*seed).knobs.message_bytes == 48;
            let mut schedule = Profile::Swarm.schedule((seed..).find(small).expect("a quarter of the seeds"));
            schedule.fit(sizes);
            let limit = schedule.knobs.message_bytes;
            assert!(limit >= command_bytes);
            assert!(limit < 2 * (command_bytes + OVERHEAD_BYTES), "{limit}");
        }
    }

    #[test]
    fn large_commands_are_fewer_in_the_same_time_on_faster_links() {
        let mut schedule = Schedule::calm(1);
        (schedule.workload.operations, schedule.workload.interval) = (200, Nanos::from_millis(40));
        let network = &mut schedule.weather.network;
        (network.bytes_per_second, network.queue_bytes) = (5_000, 2_000);
        schedule.fit(Sizes {
            command_bytes: 1 << 20,
            snapshot_bytes: 8 << 20,
            ..Sizes::default()
        });
        assert_eq!(schedule.workload.operations, 32);
        assert_eq!(schedule.workload.interval, Nanos::from_millis(250));
        assert_eq!(schedule.weather.network.bytes_per_second, 5_000 << 13);
        assert_eq!(schedule.weather.network.queue_bytes, 2_000 << 13);
        assert_eq!(schedule.knobs.snapshot_chunk_bytes, 64 << 10);
        assert_eq!(schedule.validate(), Ok(()));
    }

    #[test]
    fn slow_machines_keep_up_with_their_clients_and_hear_their_leaders_in_time() {
        let mut schedule = Schedule::calm(1);
        schedule.cluster.tick = Nanos::from_millis(1);
        (schedule.workload.interval, schedule.heal.quiet_for) =
            (Nanos::from_millis(5), Nanos::from_millis(60));
        schedule.slow_down(Nanos::ZERO);
        assert_eq!(schedule.cluster.tick, Nanos::from_millis(1));
        schedule.slow_down(Nanos::from_millis(15));
        assert_eq!(schedule.workload.interval, Nanos::from_millis(30));
        assert_eq!(schedule.cluster.tick, Nanos::from_millis(16));
        assert_eq!(schedule.heal.quiet_for, Nanos::from_millis(960));
        assert_eq!(schedule.validate(), Ok(()));
    }
}
