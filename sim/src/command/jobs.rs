//! Work that is shared among threads. The result must not depend on their number.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::output::Unwinding;

/// Does the work on as many threads as there are jobs, this one included, and waits for all of them.
pub(super) fn on_every_job(jobs: u64, work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(|| {
                let _printed = Unwinding;
                work();
            });
        }
        work();
    });
}

/// Does the same for every number of the range, on as many threads as there are jobs. `take` is given the results one
/// at a time, in whatever order they are ready.
pub(super) fn side_by_side<R>(
    numbers: Range<u64>,
    jobs: u64,
    work: impl Fn(u64) -> R + Sync,
    take: impl FnMut(u64, R) + Send,
) {
    let next = AtomicU64::new(numbers.start);
    let take = Mutex::new(take);
    on_every_job(jobs, || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if !numbers.contains(&number) {
                return;
            }
            let result = work(number);
            let mut take = take.lock().unwrap_or_else(PoisonError::into_inner);
            take(number, result);
        }
    });
}
