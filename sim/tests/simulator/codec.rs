//! The key-value workload with a codec: JSON after a checksum.

use raft_core::Envelope;
use raft_core::replica::StateMachine;
use sim::kv::KeyValue;
use sim::schedule::WorkloadPlan;
use sim::{Call, Codec, Concluded, Heard, Retry, Sizes, Undecodable, Violation, Workload};

/// How thoroughly the codec checks bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// It rejects bytes that do not match their checksum.
    Checksum,
    /// It accepts everything that can be parsed.
    Nothing,
}

/// The key-value workload whose messages are bytes.
pub(crate) struct Encoded(pub(crate) Checks);

/// FNV-1a (Fowler, Noll and Vo 1991) over 64 bits: enough to tell damaged bytes from sound ones.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Codec for Encoded {
    fn encode(&self, envelope: &Envelope) -> Vec<u8> {
        let body = serde_json::to_vec(envelope).expect("an envelope is plain data");
        let mut bytes = checksum(&body).to_be_bytes().to_vec();
        bytes.extend(body);
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Result<Envelope, Undecodable> {
        let (sum, body) = bytes
            .split_first_chunk()
            .ok_or_else(|| Undecodable("too short".into()))?;
        if self.0 == Checks::Checksum && u64::from_be_bytes(*sum) != checksum(body) {
            return Err(Undecodable("the checksum does not match".into()));
        }
        serde_json::from_slice(body).map_err(|error| Undecodable(error.to_string()))
    }
}

impl Workload for Encoded {
    type Machine = <KeyValue as Workload>::Machine;

    fn machine(&self, plan: &WorkloadPlan) -> Self::Machine {
        KeyValue.machine(plan)
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        KeyValue.command(call)
    }

    fn query(&self, choice: u64) -> <Self::Machine as StateMachine>::Query {
        KeyValue.query(choice)
    }

    fn sizes(&self, plan: &WorkloadPlan) -> Sizes {
        KeyValue.sizes(plan)
    }

    fn name(&self) -> &'static str {
        KeyValue.name()
    }

    fn retry(&self, plan: &WorkloadPlan) -> Retry {
        KeyValue.retry(plan)
    }

    fn heard(&self, response: &<Self::Machine as StateMachine>::Response) -> Heard {
        KeyValue.heard(response)
    }

    fn codec(&self) -> Option<&dyn Codec> {
        Some(self)
    }

    fn check(&self, run: &Concluded<'_, Self::Machine>) -> Result<(), Violation> {
        KeyValue.check(run)
    }
}
