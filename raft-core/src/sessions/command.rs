//! The commands of a machine with sessions, and their bytes in the log.

use alloc::vec::Vec;

use super::SessionId;
use crate::types::Index;

/// The version that [`SessionCommand::encode`] writes. No other is understood; a machine halts before a later one
/// ([`Halt`](crate::Halt)).
pub const COMMAND_VERSION: u8 = 1;

const OPEN: u8 = 0;
const KEEP_ALIVE: u8 = 1;
const CLOSE: u8 = 2;
const APPLY: u8 = 3;

/// A command of a machine with sessions.
///
/// ```text
/// | version: 1 | kind: 1 | time: 8 |                                                             kind 0: open
/// | version: 1 | kind: 1 | time: 8 | session: 8 |                                                kinds 1, 2: keep alive, close
/// | version: 1 | kind: 1 | time: 8 | session: 8 | number: 8 | first unanswered: 8 | command      kind 3: apply
/// ```
///
/// All integers are big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCommand<'a> {
    /// The time at which the command was stamped, in a unit that the host chooses.
    pub time: u64,
    /// The request.
    pub request: SessionRequest<'a>,
}

/// A client's request to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRequest<'a> {
    /// Open a session.
    Open,
    /// Use a session, so that it does not end.
    KeepAlive {
        /// The session.
        session: SessionId,
    },
    /// End a session.
    Close {
        /// The session.
        session: SessionId,
    },
    /// Apply a command, unless it was applied before.
    Apply {
        /// The session of the client.
        session: SessionId,
        /// The number that the client gave it.
        sequence: u64,
        /// The lowest number whose answer the client does not have; not above `sequence`.
        first_unanswered: u64,
        /// The command for the inner machine.
        command: &'a [u8],
    },
}

impl<'a> SessionCommand<'a> {
    /// Returns the bytes to propose.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(34);
        bytes.push(COMMAND_VERSION);
        let (kind, session) = match self.request {
            SessionRequest::Open => (OPEN, None),
            SessionRequest::KeepAlive { session } => (KEEP_ALIVE, Some(session)),
            SessionRequest::Close { session } => (CLOSE, Some(session)),
            SessionRequest::Apply { session, .. } => (APPLY, Some(session)),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&self.time.to_be_bytes());
        if let Some(session) = session {
            bytes.extend_from_slice(&session.opened().value().to_be_bytes());
        }
        if let SessionRequest::Apply {
            sequence,
            first_unanswered,
            command,
            ..
        } = self.request
        {
            bytes.extend_from_slice(&sequence.to_be_bytes());
            bytes.extend_from_slice(&first_unanswered.to_be_bytes());
            bytes.extend_from_slice(command);
        }
        bytes
    }

    /// Whether only a newer program can have made these bytes.
    pub(super) fn is_newer(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|version| *version > COMMAND_VERSION)
    }

    /// Returns the command that exactly these bytes encode.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&[COMMAND_VERSION, kind], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (time, mut rest) = number(rest)?;
        let mut session = || {
            let (opened, after) = number(rest)?;
            rest = after;
            Index::new(opened).map(SessionId::new)
        };
        let request = match kind {
            OPEN => SessionRequest::Open,
            KEEP_ALIVE => SessionRequest::KeepAlive { session: session()? },
            CLOSE => SessionRequest::Close { session: session()? },
            APPLY => {
                let session = session()?;
                let (sequence, after) = number(rest)?;
                let (first_unanswered, command) = number(after)?;
                // A client does not send a request whose answer it has acknowledged.
                if first_unanswered > sequence {
                    return None;
                }
                rest = &[];
                SessionRequest::Apply {
                    session,
                    sequence,
                    first_unanswered,
                    command,
                }
            }
            _ => return None,
        };
        rest.is_empty().then_some(Self { time, request })
    }
}

/// Returns the number at the front, and the bytes after it.
pub(super) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}
