//! Encodes and decodes the snapshot of sessions. The layout is drawn in `sessions.rs`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::command::number;
use super::{Session, SessionId, Sessions, Stored, StoredResponse};
use crate::replica::{SnapshotError, StateMachine};
use crate::types::{Index, LogId, Term};

/// The version that snapshots are written in; no other is understood.
pub const SNAPSHOT_VERSION: u8 = 2;

pub(super) fn write<M: StateMachine<Response: StoredResponse>>(sessions: &Sessions<M>) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.push(SNAPSHOT_VERSION);
    put(&mut bytes, sessions.now);
    put(&mut bytes, sessions.ended);
    put(&mut bytes, sessions.newest);
    put_count(&mut bytes, sessions.sessions.len());
    for (id, session) in &sessions.sessions {
        put(&mut bytes, id.opened().value());
        put(&mut bytes, session.used_at.value());
        put(&mut bytes, session.used);
        put(&mut bytes, session.first_unanswered);
        plant!(
            put_outcomes(&mut bytes, &session.outcomes),
            OUTCOMES_NOT_IN_SNAPSHOT => put_count(&mut bytes, 0)
        );
    }
    bytes.extend_from_slice(&sessions.machine.snapshot());
    bytes
}

fn put_outcomes<R: StoredResponse>(bytes: &mut Vec<u8>, outcomes: &BTreeMap<u64, Stored<R>>) {
    put_count(bytes, outcomes.len());
    for (sequence, Stored { at, response }) in outcomes {
        put(bytes, *sequence);
        put(bytes, at.term.value());
        put(bytes, at.index.value());
        let length_at = bytes.len();
        put_count(bytes, 0);
        let begin = bytes.len();
        response.encode(bytes);
        let length = length_of(bytes.len() - begin).to_be_bytes();
        if let Some(field) = bytes.get_mut(length_at..begin) {
            field.copy_from_slice(&length);
        }
    }
}

fn put(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_be_bytes());
}

/// Limits keep every count far below what four bytes can say.
fn length_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&length_of(count).to_be_bytes());
}

/// The sessions that the bytes describe, with `like`'s limits and around its machine restored.
pub(super) fn read<M: StateMachine<Response: StoredResponse>>(
    like: &Sessions<M>,
    bytes: &[u8],
) -> Result<Sessions<M>, SnapshotError> {
    let truncated = || SnapshotError("the sessions in it are truncated".into());
    let wrong = |what: &str| SnapshotError(what.into());
    let (&version, rest) = bytes.split_first().ok_or_else(truncated)?;
    if version != SNAPSHOT_VERSION {
        return Err(SnapshotError(alloc::format!(
            "its sessions are of version {version}, and this program understands version {SNAPSHOT_VERSION}"
        )));
    }
    let (now, rest) = number(rest).ok_or_else(truncated)?;
    let (ended, rest) = number(rest).ok_or_else(truncated)?;
    let (newest, rest) = number(rest).ok_or_else(truncated)?;
    let (count, mut rest) = count(rest).ok_or_else(truncated)?;
    let mut sessions = BTreeMap::new();
    let mut by_use = BTreeMap::new();
    for _ in 0..count {
        let (session, after) = read_session(rest).ok_or_else(truncated)?;
        rest = after;
        let (id, session) = session.ok_or_else(|| wrong("a session in it contradicts itself"))?;
        if sessions.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Err(wrong("its sessions are not in order"));
        }
        if by_use.insert(session.used_at, (id, session.used)).is_some() {
            return Err(wrong("two sessions in it were used at the same place"));
        }
        sessions.insert(id, session);
    }
    if sessions
        .last_key_value()
        .is_some_and(|(id, _)| id.opened().value() > newest)
    {
        return Err(wrong("a session in it is newer than the newest one"));
    }
    // A session used at a later index was used at a later time, and none was used after the snapshot's own time.
    let times = by_use.values().map(|(_, used)| *used).chain([now]);
    if !times.is_sorted() {
        return Err(wrong("its time runs backwards"));
    }
    let by_use = by_use.into_iter().map(|(at, (id, _))| (at, id)).collect();
    Ok(Sessions {
        machine: like.machine.restore(rest)?,
        limits: like.limits,
        now,
        ended,
        newest,
        sessions,
        by_use,
    })
}

/// A session, or none if it contradicts itself, and the bytes after it; `None` if the bytes end too early.
type Read<'a, R> = Option<(Option<(SessionId, Session<R>)>, &'a [u8])>;

fn read_session<R: StoredResponse>(bytes: &[u8]) -> Read<'_, R> {
    let (opened, rest) = number(bytes)?;
    let (used_at, rest) = number(rest)?;
    let (used, rest) = number(rest)?;
    let (first_unanswered, rest) = number(rest)?;
    let (count, mut rest) = count(rest)?;
    let mut outcomes = BTreeMap::new();
    let mut is_valid = true;
    for _ in 0..count {
        let (sequence, after) = number(rest)?;
        let (term, after) = number(after)?;
        let (index, after) = number(after)?;
        let (length, after) = self::count(after)?;
        let (response, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        let at = Index::new(index).map(|index| LogId::new(Term::new(term), index));
        let in_order = outcomes.last_key_value().is_none_or(|(last, _)| *last < sequence);
        match (at, R::decode(response)) {
            (Some(at), Some(response)) if in_order && sequence >= first_unanswered => {
                outcomes.insert(sequence, Stored { at, response });
            }
            _ => is_valid = false,
        }
    }
    let id = Index::new(opened).map(SessionId::new).filter(|_| is_valid);
    let used_at = Index::new(used_at);
    let session = id.zip(used_at).map(|(id, used_at)| {
        let session = Session {
            used_at,
            used,
            first_unanswered,
            outcomes,
        };
        (id, session)
    });
    Some((session, rest))
}

fn count(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (count, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*count), rest))
}
