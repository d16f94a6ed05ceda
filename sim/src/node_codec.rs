//! The frames that servers send each other, as the simulator's codec.

use raft_core::Envelope;

use crate::codec::{Codec, Undecodable};

/// The shipping codec, [`node::codec`].
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeCodec;

impl Codec for NodeCodec {
    fn encode(&self, envelope: &Envelope) -> Vec<u8> {
        node::codec::encode_envelope(envelope)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Envelope, Undecodable> {
        node::codec::decode_envelope(bytes).map_err(|error| Undecodable(error.to_string()))
    }
}
