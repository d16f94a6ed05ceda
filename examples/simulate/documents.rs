//! A store of documents, as somebody might have written it: named texts with versions, and conditional edits.

use std::collections::BTreeMap;

use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::{Halt, LogId};

/// A document, or what is left of a removed one: its version, so that no version ever comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) version: u64,
    /// `None` once it is removed.
    pub(crate) text: Option<String>,
}

/// The replicated machine.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    documents: BTreeMap<String, Document>,
    /// The planted bug: the snapshot leaves out removed documents.
    forgets_removed: bool,
}

impl Documents {
    pub(crate) fn new(forgets_removed: bool) -> Self {
        let documents = BTreeMap::new();
        Self {
            documents,
            forgets_removed,
        }
    }
}

/// What an edit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The document has this version now.
    Edited(u64),
    /// Nothing was changed, because the document has this version.
    Conflict(u64),
    Unreadable,
}

/// Writes a command: the name, the version that the document must have, and its new text, or nothing to remove it.
pub(crate) fn edit(name: &str, expected: u64, text: Option<&str>) -> Vec<u8> {
    let verb = if text.is_some() { "put" } else { "remove" };
    format!("{verb} {name} {expected}\n{}", text.unwrap_or_default()).into_bytes()
}

fn parse(command: &[u8]) -> Option<(&str, u64, Option<&str>)> {
    let (head, text) = std::str::from_utf8(command).ok()?.split_once('\n')?;
    let mut words = head.split(' ');
    let (verb, name, expected) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    Some((name, expected, (verb == "put").then_some(text)))
}

impl StateMachine for Documents {
    type Response = Outcome;
    type Query = String;
    type Answer = Option<Document>;

    fn apply(&mut self, _at: LogId, command: &[u8]) -> Result<Outcome, Halt> {
        let Some((name, expected, text)) = parse(command) else {
            return Ok(Outcome::Unreadable);
        };
        let version = self.documents.get(name).map_or(0, |document| document.version);
        if version != expected {
            return Ok(Outcome::Conflict(version));
        }
        let (version, text) = (version + 1, text.map(str::to_owned));
        self.documents.insert(name.to_owned(), Document { version, text });
        Ok(Outcome::Edited(version))
    }

    fn query(&self, name: String) -> Option<Document> {
        self.documents.get(&name).cloned()
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, Document { version, text }) in &self.documents {
            if text.is_none() && self.forgets_removed {
                continue;
            }
            let command = edit(name, *version, text.as_deref());
            bytes.extend((command.len() as u64).to_le_bytes());
            bytes.extend(command);
        }
        bytes
    }

    fn restore(&self, mut snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let mut restored = Self::new(self.forgets_removed);
        let malformed = || SnapshotError("it is not a list of documents".into());
        while let Some((length, rest)) = snapshot.split_first_chunk() {
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| malformed())?;
            let (command, rest) = rest.split_at_checked(length).ok_or_else(malformed)?;
            let (name, version, text) = parse(command).ok_or_else(malformed)?;
            let text = text.map(str::to_owned);
            restored
                .documents
                .insert(name.to_owned(), Document { version, text });
            snapshot = rest;
        }
        match snapshot.is_empty() {
            true => Ok(restored),
            false => Err(malformed()),
        }
    }
}
