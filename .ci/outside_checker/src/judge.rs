//! The opinion of the checker of todc-utils on a history. Linearizability is local (Herlihy and Wing 1990), so each key
//! is judged by itself.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{self, Action as Half};
use todc_utils::specifications::Specification;

use crate::history::{Action, History, Operation};

/// A checker's opinion on a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    Linearizable,
    NotLinearizable,
    /// The search took too many steps.
    Unknown,
}

/// How many steps the search may take, per key. Each may use some hundred bytes of memory.
const STEPS: u64 = 2_000_000;

thread_local! {
    static STEPS_LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Unwinds out of a search that takes too long: the checker itself has no limit.
struct TooLong;

/// A register that is empty at first.
struct Register;

impl Specification for Register {
    type State = Option<u64>;
    type Operation = Action;

    fn init() -> Self::State {
        None
    }

    fn apply(operation: &Action, state: &Self::State) -> (bool, Self::State) {
        let left = STEPS_LEFT.get();
        if left == 0 {
            resume_unwind(Box::new(TooLong));
        }
        STEPS_LEFT.set(left - 1);
        match *operation {
            Action::Read(saw) => (saw == *state, *state),
            Action::Write { value, previous } => (previous.is_none_or(|saw| saw == *state), Some(value)),
        }
    }
}

pub fn judge(history: &History) -> Opinion {
    let opinions: Vec<Opinion> = history.values().map(|operations| judge_key(operations)).collect();
    let any = |wanted| opinions.contains(&wanted).then_some(wanted);
    any(Opinion::NotLinearizable)
        .or(any(Opinion::Unknown))
        .unwrap_or(Opinion::Linearizable)
}

fn judge_key(operations: &[Operation]) -> Opinion {
    let mut halves: Vec<(usize, usize, Half<Action>)> = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        // An operation of unknown outcome may come after everything, which is as good as never.
        let returned = operation.returned.unwrap_or(usize::MAX);
        halves.push((operation.invoked, number, Half::Call(operation.action)));
        halves.push((returned, number, Half::Response(operation.action)));
    }
    halves.sort_by_key(|(line, _, _)| *line);
    let halves = halves.into_iter().map(|(_, number, half)| (number, half));
    let history = history::History::from_actions(halves.collect());
    STEPS_LEFT.set(STEPS);
    match catch_unwind(AssertUnwindSafe(|| {
        WGLChecker::<Register>::is_linearizable(history)
    })) {
        Ok(true) => Opinion::Linearizable,
        Ok(false) => Opinion::NotLinearizable,
        Err(cause) if cause.is::<TooLong>() => Opinion::Unknown,
        Err(panic) => resume_unwind(panic),
    }
}
