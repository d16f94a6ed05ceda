//! Proposals per second of raft-core and of the crate `raft`, on the same work.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use clap::Args;

use crate::report::Row;

mod ours;
mod peer;

const PAYLOAD_BYTES: usize = 256;

/// The number of entries after which both sides take a snapshot, and how many they keep before it.
const SNAPSHOT_EVERY: u64 = 10_000;
const SNAPSHOT_KEEP: u64 = 1_000;

/// The ratio that we promise at every batch size.
const DUE: f64 = 3.0;

#[derive(Args)]
pub(crate) struct Options {
    /// How long each side works on each row, in milliseconds and in each of the rounds.
    #[arg(long, default_value_t = 100)]
    milliseconds: u64,
    /// How many rounds, in which the sides take turns. The round with the median ratio is reported: machines have
    /// better and worse moments, and the best of each side would compare one side's luck with the other's.
    #[arg(long, default_value = "15")]
    rounds: NonZeroU16,
}

/// A cluster that works through batches of proposals, applied on every node.
trait Cluster {
    /// Proposes `batch` commands and runs until the leader has applied all of them.
    fn work(&mut self, batch: usize);
    /// Runs until every node has applied what was proposed; returns how many commands each has applied.
    fn settle(&mut self) -> Vec<u64>;
}

/// Measures each row when it is asked for.
pub(crate) fn run(options: &Options) -> impl Iterator<Item = Row> {
    let works = [3, 5].map(|nodes| [1, 16, 256].map(|batch| (nodes, batch)));
    works
        .into_iter()
        .flatten()
        .map(|(nodes, batch)| measure(options, nodes, batch))
}

fn measure(options: &Options, nodes: u64, batch: usize) -> Row {
    let duration = Duration::from_millis(options.milliseconds);
    let rounds: Vec<(f64, [f64; 2])> = (0..options.rounds.get())
        .map(|_| {
            let ours = rate(&mut ours::Cluster::new(nodes), batch, duration);
            let peer = [true, false].map(|batch_append| {
                let mut cluster = peer::Cluster::new(nodes, batch_append);
                rate(&mut cluster, batch, duration)
            });
            (ours, peer)
        })
        .collect();
    // The peer runs with the setting that is faster at this work, by the median: the better of two in every round would
    // be its luck.
    let [median_on, median_off] = [0, 1].map(|setting| {
        let mut rates: Vec<f64> = rounds.iter().map(|(_, peer)| peer[setting]).collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    });
    let faster = usize::from(median_off > median_on);
    let mut rows: Vec<Row> = rounds
        .into_iter()
        .map(|(ours, peer)| Row {
            work: format!("{nodes} nodes, batches of {batch}"),
            ours,
            peer: peer[faster],
            unit: "proposals/s",
            ratio: ours / peer[faster],
            due: DUE,
        })
        .collect();
    rows.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    rows.swap_remove(rows.len() / 2)
}

fn rate(cluster: &mut impl Cluster, batch: usize, duration: Duration) -> f64 {
    for _ in 0..64 {
        cluster.work(batch);
    }
    let (begin, mut proposals) = (Instant::now(), 0_u64);
    while begin.elapsed() < duration {
        for _ in 0..16 {
            cluster.work(batch);
            proposals += batch as u64;
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let proposed = proposals + 64 * batch as u64;
    assert!(
        cluster.settle().iter().all(|&applied| applied == proposed),
        "every node applies every command exactly once"
    );
    proposals as f64 / seconds
}
