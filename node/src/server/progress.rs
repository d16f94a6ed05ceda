//! Whether the server makes progress: readiness is judged by what it does, and not by what it says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The longest time for which the consensus thread sleeps, so that its turns can be seen.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// When the consensus thread last turned, and since when it waits for the disk.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    /// In milliseconds since `began`.
    turned: AtomicU64,
    /// In milliseconds since `began`, plus one; 0 while nothing is waited for.
    waits_for_disk: AtomicU64,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            turned: AtomicU64::new(0),
            waits_for_disk: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes note of a turn of the consensus thread.
    pub(super) fn turn(&self) {
        self.turned.store(self.now(), Ordering::Relaxed);
    }

    /// Takes note that the disk was given work, or has completed some: whether any is left.
    pub(super) fn disk(&self, completed: bool, left: bool) {
        let since = self.waits_for_disk.load(Ordering::Relaxed);
        if completed || since == 0 {
            let since = if left { self.now() + 1 } else { 0 };
            self.waits_for_disk.store(since, Ordering::Relaxed);
        }
    }

    /// Returns what has been waited for longer than `patience`, if anything.
    pub(super) fn stalled(&self, patience: Duration) -> Option<String> {
        let now = self.now();
        let since = |then: u64| Duration::from_millis(now.saturating_sub(then));
        let turned = since(self.turned.load(Ordering::Relaxed));
        if turned > patience + LONGEST_SLEEP {
            return Some(format!(
                "the consensus thread has not turned for {} ms",
                turned.as_millis()
            ));
        }
        let waits = self.waits_for_disk.load(Ordering::Relaxed);
        let waited = since(waits.saturating_sub(1));
        (waits > 0 && waited > patience)
            .then(|| format!("the disk has not completed a write for {} ms", waited.as_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_turn_and_a_disk_that_does_not_write_are_stalled() {
        let patience = Duration::from_millis(20);
        let progress = Progress::new();
        progress.turn();
        assert_eq!(progress.stalled(patience), None);
        progress.disk(false, true);
        std::thread::sleep(Duration::from_millis(40));
        progress.turn();
        assert!(
            progress
                .stalled(patience)
                .is_some_and(|reason| reason.contains("disk"))
        );
        progress.disk(true, false);
        assert_eq!(progress.stalled(patience), None);
        std::thread::sleep(LONGEST_SLEEP + Duration::from_millis(40));
        assert!(
            progress
                .stalled(patience)
                .is_some_and(|reason| reason.contains("thread"))
        );
    }
}
