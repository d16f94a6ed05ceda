//! Work that is shared among threads. The result must not depend on their number.

use crate::output::Unwinding;

/// Does the work on as many threads as there are jobs, this one included, and waits for all of them.
pub(crate) fn on_every_job(jobs: u64, work: impl Fn() + Sync) {
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
