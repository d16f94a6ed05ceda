//! An enrolled user who goes on with their work while others attack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Cluster, protect, remaining, user, view, views};

const QUOTA: u32 = 1_000_000;

/// How many views a test takes at least: an attack is held until then.
const LEAST_VIEWS: u32 = 4;

/// Views a picture again and again, from 127.0.0.1, until the attack is over.
pub(crate) struct Friend {
    stop: Arc<AtomicBool>,
    work: tokio::task::JoinHandle<(u32, Duration)>,
    term: u64,
}

impl Friend {
    pub(crate) async fn of(cluster: &Cluster) -> Self {
        let client = cluster.library("friend");
        let picture = protect(&client, "friend", vec![views("friend", QUOTA)])
            .await
            .picture;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = tokio::spawn(async move {
            let (mut count, mut longest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) || count < LEAST_VIEWS {
                let began = Instant::now();
                let left = remaining(&view(&client, &picture, "friend").await);
                longest = longest.max(began.elapsed());
                count += 1;
                // Each view was charged once.
                assert_eq!(left, QUOTA - count);
            }
            // And a picture can still be protected.
            let began = Instant::now();
            let object = protect(&client, "friend", vec![]).await.object;
            assert_eq!(
                client.object(&user("friend"), object).await.unwrap().owner,
                user("friend")
            );
            (count, longest.max(began.elapsed()))
        });
        Self {
            stop,
            work,
            term: term(cluster).await,
        }
    }

    /// Ends the work: views were answered all the time, none of them took long, and no election was needed.
    pub(crate) async fn was_served(self, cluster: &Cluster) {
        self.stop.store(true, Ordering::Relaxed);
        let (count, longest) = self.work.await.unwrap();
        eprintln!("the friend viewed {count} times; the longest view took {longest:?}");
        assert!(longest < Duration::from_secs(8), "{longest:?}");
        assert_eq!(term(cluster).await, self.term, "there was an election");
        for server in 0..cluster.ports.len() {
            let log = cluster.log(server);
            assert!(!log.contains("the disk failed"), "{log}");
        }
    }
}

async fn term(cluster: &Cluster) -> u64 {
    let reports = cluster.library("watcher").status().await;
    reports.iter().filter_map(|report| report.term).max().unwrap()
}
