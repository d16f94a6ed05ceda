//! What is simulated: somebody's state machine, and what clients say to it.

use std::fmt::Debug;

use raft_core::replica::StateMachine;

/// A state machine under simulation.
///
/// The simulator decides when clients act and on which of the things that there are (`choice`); the workload says
/// what that means. Everything here must be deterministic.
pub trait Workload {
    /// The machine that is replicated.
    type Machine: StateMachine<Response: Clone + PartialEq + Debug, Answer: Clone + PartialEq + Debug>;

    /// A machine that has seen nothing.
    fn machine(&self) -> Self::Machine;

    /// The command of one attempt. It must contain `attempt`, which is unique in a run, so that no two commands are equal and
    /// every effect can be traced to the attempt that caused it.
    fn command(&self, choice: u64, attempt: u64) -> Vec<u8>;

    /// A query. Asked again of an equal machine, it must get an equal answer.
    fn query(&self, choice: u64) -> <Self::Machine as StateMachine>::Query;
}

/// What the workload's machine answers to a command.
pub(crate) type ResponseOf<W> = <<W as Workload>::Machine as StateMachine>::Response;
/// What the workload's machine answers to a query.
pub(crate) type AnswerOf<W> = <<W as Workload>::Machine as StateMachine>::Answer;
