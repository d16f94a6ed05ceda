//! Messages as bytes: what a codec promises, and how bytes are damaged to test that promise.

use raft_core::codec::{DecodeLimits, decode_envelope, encode_envelope};
use raft_core::{Entry, EntryBody, Envelope, Message};

use crate::random::Draws;

/// Encodes messages between servers as bytes, and decodes them.
///
/// A codec must decode what it encoded. It must reject bytes that it did not encode, as a checksum over all of them
/// does (oracle S23). A message that is rejected is lost; on a connection it breaks the connection.
pub trait Codec {
    /// Encodes the message.
    fn encode(&self, envelope: &Envelope) -> Vec<u8>;

    /// Decodes the message.
    ///
    /// # Errors
    ///
    /// The bytes are not what [`Codec::encode`] makes of a message.
    fn decode(&self, bytes: &[u8]) -> Result<Envelope, Undecodable>;
}

/// The codec of every workload that has none of its own: the versioned bytes that ship with the library,
/// [`raft_core::codec`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CoreCodec;

impl Codec for CoreCodec {
    fn encode(&self, envelope: &Envelope) -> Vec<u8> {
        encode_envelope(envelope)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Envelope, Undecodable> {
        // The bytes are in memory already, and a workload's commands may be of any size.
        let limits = DecodeLimits {
            bytes: usize::MAX,
            ..DecodeLimits::default()
        };
        decode_envelope(bytes, limits).map_err(|error| Undecodable(error.to_string()))
    }
}

/// Why bytes do not decode. The sender's encoder is wrong, or the bytes were damaged on the way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes do not decode to a message: {0}")]
pub struct Undecodable(pub String);

/// The approximate size of a message that is never encoded.
pub(crate) fn estimated_bytes(envelope: &Envelope) -> u64 {
    const ENVELOPE_BYTES: u64 = 64;
    let more = match &envelope.message {
        Message::Append { entries, .. } => entries.iter().map(cost_bytes).sum(),
        Message::SnapshotChunk { data, .. } => data.len() as u64,
        Message::Forward { commands, .. } => commands
            .iter()
            .map(|(_, command)| 16 + command.len() as u64)
            .sum(),
        _ => 0,
    };
    ENVELOPE_BYTES + more
}

fn cost_bytes(entry: &Entry) -> u64 {
    match &entry.body {
        EntryBody::Noop | EntryBody::Founding(_) | EntryBody::Withheld | EntryBody::Level(_) => 16,
        EntryBody::Command(payload) => 16 + payload.len() as u64,
        EntryBody::Forwarded(forwarded) => 48 + forwarded.command.len() as u64,
        EntryBody::Membership(membership) => 16 + 16 * membership.len() as u64,
    }
}

/// Damages bytes: flips some bits, truncates them, or puts a piece of an earlier message into them. The result is never
/// the whole earlier message, which no codec could tell from one that is late.
pub(crate) fn damage(bytes: &mut Vec<u8>, earlier: &[u8], draws: &mut Draws) {
    let below = |draws: &mut Draws, bound: usize| usize::try_from(draws.below(bound as u64)).unwrap_or(0);
    match draws.below(4) {
        0 => bytes.truncate(below(draws, bytes.len())),
        1 if !earlier.is_empty() => {
            let from = below(draws, earlier.len());
            let length = 1 + below(draws, earlier.len() - from);
            let piece = earlier.iter().skip(from).take(length).copied();
            let place = below(draws, bytes.len() + 1);
            let replaced = below(draws, bytes.len() - place + 1);
            bytes.splice(place..place + replaced, piece);
        }
        _ => {
            for _ in 0..draws.between(1, 8) {
                let place = below(draws, bytes.len());
                let bit = draws.below(8);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << bit;
                }
            }
        }
    }
    if bytes == earlier {
        bytes.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Domain, Seed};

    #[test]
    fn damage_never_makes_a_whole_earlier_message_of_another() {
        let mut draws = Seed(1).careful(Domain::Heal, 0, 0, 0);
        let (sound, earlier) = ([1, 1, 1], [1, 2]);
        let mut pieces = 0;
        for _ in 0..10_000 {
            let mut bytes = sound.to_vec();
            damage(&mut bytes, &earlier, &mut draws);
            assert_ne!(bytes, earlier);
            pieces += usize::from(bytes.ends_with(&earlier) || bytes.starts_with(&earlier));
        }
        assert!(pieces > 0, "some damage inserts a piece of the earlier message");
    }
}
