//! Histories in Jepsen's form, read from the text alone: one operation per line, as `sim histories` writes them.

use std::collections::{BTreeMap, BTreeSet};

/// An operation on a register, and what it saw there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes a value. The value before is known if the answer contains it.
    Write {
        value: u64,
        previous: Option<Option<u64>>,
    },
    Read(Option<u64>),
}

/// One operation on one key. It may have happened at any time between its two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub action: Action,
    /// The line of its invocation.
    pub invoked: usize,
    /// The line of its answer; none if its outcome is unknown.
    pub returned: Option<usize>,
}

/// The operations on each key. Operations without an effect are left out, and so are reads without an answer.
pub type History = BTreeMap<u64, Vec<Operation>>;

/// Reads a history. The error names the malformed line.
pub fn parse(text: &str) -> Result<History, String> {
    let mut history = History::new();
    let mut open: BTreeMap<u64, (u64, Operation)> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let complain = |what| format!("line {}: {what}: {line}", number + 1);
        let line = Line::parse(line).ok_or_else(|| complain("not an operation"))?;
        if line.what == ":invoke" {
            let operation = Operation {
                action: line.action,
                invoked: number,
                returned: None,
            };
            if open.insert(line.process, (line.key, operation)).is_some() {
                return Err(complain("the process waits for something else"));
            }
            continue;
        }
        let (key, mut operation) = open
            .remove(&line.process)
            .filter(|(key, _)| *key == line.key)
            .ok_or_else(|| complain("an end without a beginning"))?;
        match (line.what, operation.action) {
            (":ok", _) => {
                operation.action = line.action;
                operation.returned = Some(number);
            }
            (":info", Action::Write { .. }) => {}
            (":info", Action::Read(_)) | (":fail", _) => continue,
            _ => return Err(complain("no end of an operation")),
        }
        history.entry(key).or_default().push(operation);
    }
    // An operation without an end is as unknown as one that ended so.
    for (key, operation) in open.into_values() {
        if let Action::Write { .. } = operation.action {
            history.entry(key).or_default().push(operation);
        }
    }
    history.values_mut().for_each(leave_out_the_unseen);
    history.retain(|_, operations| !operations.is_empty());
    Ok(history)
}

/// Leaves out writes of unknown outcome whose value no client saw, which the search would have to try in every place.
/// Any valid order stays valid without them: the operation after such a write did not see it.
fn leave_out_the_unseen(operations: &mut Vec<Operation>) {
    let saw = |operation: &Operation| match operation.action {
        Action::Read(saw) => saw,
        Action::Write { previous, .. } => previous.flatten(),
    };
    let seen: BTreeSet<u64> = operations.iter().filter_map(saw).collect();
    operations.retain(|operation| match operation.action {
        Action::Write { value, .. } => operation.returned.is_some() || seen.contains(&value),
        Action::Read(_) => true,
    });
}

struct Line<'a> {
    process: u64,
    what: &'a str,
    key: u64,
    action: Action,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let inner = line.strip_prefix('{')?.strip_suffix('}')?;
        let fields: BTreeMap<&str, &str> = inner
            .split(", ")
            .map(|field| field.split_once(' '))
            .collect::<Option<_>>()?;
        let (key, value) = fields
            .get(":value")?
            .strip_prefix('[')?
            .strip_suffix(']')?
            .split_once(' ')?;
        let action = match *fields.get(":f")? {
            ":write" => Action::Write {
                value: value.parse().ok()?,
                previous: match fields.get(":previous") {
                    Some(previous) => Some(or_nil(previous)?),
                    None => None,
                },
            },
            ":read" => Action::Read(or_nil(value)?),
            _ => return None,
        };
        Some(Self {
            process: fields.get(":process")?.parse().ok()?,
            what: fields.get(":type")?,
            key: key.parse().ok()?,
            action,
        })
    }
}

fn or_nil(text: &str) -> Option<Option<u64>> {
    match text {
        "nil" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

/// Makes the history wrong on purpose: the last answer that can be made stale returns a value that had certainly been
/// overwritten before it was asked for. Every value is written once, so no order explains that. Returns `None` if no
/// answer can be made stale.
pub fn forge(history: &History) -> Option<History> {
    let mut forged = history.clone();
    let (asked, stale) = forged.values_mut().find_map(|operations| {
        let writes: Vec<(u64, usize, usize)> = operations.iter().filter_map(completed_write).collect();
        let overwritten = |before: usize| {
            let later = writes.iter().filter(|(_, _, returned)| *returned < before);
            let (_, invoked, _) = later.max_by_key(|(_, invoked, _)| *invoked)?;
            let earlier = writes.iter().filter(|(_, _, returned)| returned < invoked);
            earlier.map(|(value, _, _)| *value).next_back()
        };
        let answered = operations
            .iter_mut()
            .rev()
            .filter(|operation| operation.returned.is_some());
        answered.into_iter().find_map(|operation| {
            let stale = overwritten(operation.invoked)?;
            Some((operation, stale))
        })
    })?;
    asked.action = match asked.action {
        Action::Read(_) => Action::Read(Some(stale)),
        Action::Write { value, .. } => Action::Write {
            value,
            previous: Some(Some(stale)),
        },
    };
    Some(forged)
}

/// Returns a write that was answered: its value, and the lines of its invocation and answer.
fn completed_write(operation: &Operation) -> Option<(u64, usize, usize)> {
    match operation.action {
        Action::Write { value, .. } => Some((value, operation.invoked, operation.returned?)),
        Action::Read(_) => None,
    }
}
