//! Tables of quorums and of changes, for readers, each row checked against the slow and obvious version.
//!
//! etcd's tests of the same arithmetic are such tables (`quorum/testdata` and `confchange/testdata` of `etcd-io/raft`:
//! 127 and 58 cases). These have their shapes: one half or two, of one voter to five, apart, overlapping, or the same;
//! replies that arrive one after the other; changes that are made, that change nothing, and that are refused. The
//! values are our own, made by the obvious version. Where etcd gives another result, the row says why it is not ours.
//! What no table can show, that no case was forgotten, `every_order_of_positions_…` does.
//!
//! After a change that is meant to show, make the results anew and read the difference:
//!
//! ```text
//! UPDATE_TABLES=1 cargo test -p raft-core --lib tables
//! ```

extern crate std;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{Change, Membership};
use crate::types::{Index, NodeId};

/// A set of servers, as rows write it: `1 2 3`, or `-` for none.
type Servers = BTreeSet<u64>;

fn servers(text: &str) -> Servers {
    let words = text.split_whitespace().filter(|word| *word != "-");
    words
        .map(|word| word.parse().expect("a server's number"))
        .collect()
}

fn shown(servers: &Servers) -> String {
    let numbers: Vec<String> = servers.iter().map(u64::to_string).collect();
    if numbers.is_empty() {
        "-".into()
    } else {
        numbers.join(" ")
    }
}

fn nodes<S: FromIterator<NodeId>>(servers: &Servers) -> S {
    servers.iter().map(|&number| NodeId::new(number)).collect()
}

fn membership(voters: &Servers, outgoing: &Servers, learners: &Servers) -> Membership {
    Membership {
        voters: nodes(voters),
        outgoing: nodes(outgoing),
        learners: nodes(learners),
        ..Membership::default()
    }
}

/// Compares a table with what its rows give now, or writes that if it is asked for.
fn judge(file: &str, table: &str, now: &str) {
    if std::env::var_os("UPDATE_TABLES").is_some() {
        let path = format!("{}/src/membership/tables/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, now).expect("the table can be written");
        return;
    }
    for (line, now) in table.lines().zip(now.lines()) {
        assert_eq!(line, now, "in {file}");
    }
    assert_eq!(table.lines().count(), now.lines().count(), "rows of {file}");
}

/// The configurations of the tables: voters, and outgoing voters of a joint one.
const SHAPES: [(&str, &str); 16] = [
    ("-", "-"),
    ("1", "-"),
    ("1 2", "-"),
    ("1 2 3", "-"),
    ("1 2 3 4 5", "-"),
    ("1", "2"),
    ("1", "1"),
    ("1 3", "2"),
    ("1 2", "2"),
    ("1 2", "3 4"),
    ("1 2", "2 3"),
    ("1 2", "1 2"),
    ("1 2 3", "4 5 6"),
    ("1 2 3", "1 4 5"),
    ("1 2 3", "2 3 4"),
    ("1 2 3", "1 2 3"),
];

/// Slow and obvious: a majority of a half without voters is none, and a half that is not there need not agree.
fn has_quorum((voters, outgoing): (&Servers, &Servers), agrees: impl Fn(u64) -> bool) -> bool {
    let is_majority = |half: &Servers| 2 * half.iter().filter(|&&server| agrees(server)).count() > half.len();
    is_majority(voters) && (outgoing.is_empty() || is_majority(outgoing))
}

/// Slow and obvious: the highest position for which those that have reached it are a quorum.
fn committed(halves: (&Servers, &Servers), positions: &BTreeMap<u64, u64>) -> Option<u64> {
    let has_reached = |at: u64| move |server: u64| positions.get(&server).is_some_and(|&held| held >= at);
    let candidates = positions.values().copied();
    candidates.filter(|&at| has_quorum(halves, has_reached(at))).max()
}

fn quorum_index(membership: &Membership, positions: &BTreeMap<u64, u64>) -> Option<u64> {
    let reached = |node: NodeId| positions.get(&node.value()).copied().and_then(Index::new);
    membership.quorum_index(reached).map(Index::value)
}

/// The replies of this shape in the order in which they arrive: none, the first, the first two…
fn arrivals<'a, V: Copy + 'a>(
    all: &'a Servers,
    values: &'a [V],
) -> impl Iterator<Item = BTreeMap<u64, V>> + 'a {
    (0..=all.len()).map(move |count| {
        let known = all.iter().copied().zip(values.iter().copied());
        known.take(count).collect()
    })
}

/// A row's note, where etcd's result differs.
fn note_of(voters: &Servers) -> &'static str {
    match voters.is_empty() {
        true => {
            " | etcd: everything; here a server without a configuration decides nothing, and no half of a joint one is empty"
        }
        false => "",
    }
}

fn replies<V: ToString>(known: &BTreeMap<u64, V>) -> String {
    let replies: Vec<String> = known
        .iter()
        .map(|(server, value)| format!("{server}:{}", value.to_string()))
        .collect();
    if replies.is_empty() {
        "-".into()
    } else {
        replies.join(" ")
    }
}

#[test]
fn a_position_is_committed_when_a_quorum_of_each_half_has_reached_it() {
    let mut now = String::from("# voters | outgoing voters | what each voter holds | committed\n");
    for (voters, outgoing) in SHAPES {
        let (voters, outgoing) = (servers(voters), servers(outgoing));
        let all: Servers = voters.union(&outgoing).copied().collect();
        let membership = membership(&voters, &outgoing, &Servers::new());
        let orders: [&[u64]; 4] = [
            &[10, 20, 30, 40, 50, 60],
            &[60, 50, 40, 30, 20, 10],
            &[20, 20, 10, 30, 10, 30],
            &[92, 99, 90, 97, 95, 77],
        ];
        let mut rows = BTreeSet::new();
        for known in orders.iter().flat_map(|values| arrivals(&all, values)) {
            let expected = committed((&voters, &outgoing), &known);
            assert_eq!(
                quorum_index(&membership, &known),
                expected,
                "{voters:?} and {outgoing:?} of {known:?}"
            );
            rows.insert((known.len(), known.clone(), expected));
        }
        for (_, known, expected) in rows {
            let (voters_shown, outgoing) = (shown(&voters), shown(&outgoing));
            let committed = expected.map_or("-".into(), |at| at.to_string());
            let (replies, note) = (replies(&known), note_of(&voters));
            now.push_str(&format!(
                "{voters_shown} | {outgoing} | {replies} | {committed}{note}\n"
            ));
        }
    }
    assert!(now.lines().count() > 127, "{} rows", now.lines().count());
    judge("commitment.txt", include_str!("tables/commitment.txt"), &now);
}

#[test]
fn an_election_is_won_by_a_quorum_of_each_half_and_lost_when_none_is_left() {
    let mut now = String::from("# voters | outgoing voters | replies | the election\n");
    for (voters, outgoing) in SHAPES {
        let (voters, outgoing) = (servers(voters), servers(outgoing));
        let all: Servers = voters.union(&outgoing).copied().collect();
        let membership = membership(&voters, &outgoing, &Servers::new());
        let (yes, no) = ("yes", "no");
        let orders = [
            [yes; 6],
            [no; 6],
            [yes, no, yes, no, yes, no],
            [no, yes, yes, yes, no, yes],
        ];
        let mut rows = BTreeSet::new();
        for known in orders.iter().flat_map(|values| arrivals(&all, values)) {
            let grants = |server: u64| known.get(&server) == Some(&"yes");
            let may_grant = |server: u64| known.get(&server) != Some(&"no");
            let halves = (&voters, &outgoing);
            let expected = match (has_quorum(halves, grants), has_quorum(halves, may_grant)) {
                (true, _) => "won",
                (false, true) => "open",
                (false, false) => "lost",
            };
            let is_won = membership.has_quorum(|node| grants(node.value()));
            let is_lost = !membership.has_quorum(|node| may_grant(node.value()));
            assert_eq!(
                (is_won, is_lost),
                (expected == "won", expected == "lost"),
                "{voters:?} and {outgoing:?} of {known:?}"
            );
            rows.insert((known.len(), known.clone(), expected));
        }
        for (_, known, expected) in rows {
            let (voters_shown, outgoing) = (shown(&voters), shown(&outgoing));
            let (replies, note) = (replies(&known), note_of(&voters));
            now.push_str(&format!(
                "{voters_shown} | {outgoing} | {replies} | {expected}{note}\n"
            ));
        }
    }
    judge("elections.txt", include_str!("tables/elections.txt"), &now);
}

/// Only the order of positions matters, not their values. So with as many values as voters, and none, each case of any
/// table of these shapes is among these.
#[test]
fn every_order_of_positions_gives_what_the_obvious_version_gives() {
    let mut tried = 0;
    for (voters, outgoing) in SHAPES {
        let (voters, outgoing) = (servers(voters), servers(outgoing));
        let all: Vec<u64> = voters.union(&outgoing).copied().collect();
        let membership = membership(&voters, &outgoing, &Servers::new());
        let values = all.len() as u64 + 1;
        for number in 0..values.pow(all.len() as u32) {
            let digit = |place: usize| number / values.pow(place as u32) % values;
            let positions = all
                .iter()
                .enumerate()
                .map(|(place, &server)| (server, digit(place)));
            let positions = positions.filter(|(_, at)| *at > 0).collect();
            let expected = committed((&voters, &outgoing), &positions);
            assert_eq!(quorum_index(&membership, &positions), expected, "{positions:?}");
            tried += 1;
        }
    }
    assert!(tried > 7_u64.pow(6), "{tried} cases");
}

/// Voters, outgoing voters and learners, as rows write them: `1 2 & 3 / 4`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Sets {
    voters: Servers,
    outgoing: Servers,
    learners: Servers,
}

impl Sets {
    fn of(text: &str) -> Self {
        let (voters, learners) = text.split_once('/').expect("voters / learners");
        let (voters, outgoing) = voters.split_once('&').unwrap_or((voters, "-"));
        let [voters, outgoing, learners] = [voters, outgoing, learners].map(servers);
        Self {
            voters,
            outgoing,
            learners,
        }
    }

    fn shown(&self) -> String {
        let outgoing = match self.outgoing.is_empty() {
            true => String::new(),
            false => format!(" & {}", shown(&self.outgoing)),
        };
        format!("{}{outgoing} / {}", shown(&self.voters), shown(&self.learners))
    }

    fn membership(&self) -> Membership {
        membership(&self.voters, &self.outgoing, &self.learners)
    }
}

fn sets_of(membership: &Membership) -> Sets {
    let numbers = |nodes: Vec<NodeId>| nodes.into_iter().map(NodeId::value).collect();
    Sets {
        voters: numbers(membership.voters().collect()),
        outgoing: numbers(membership.outgoing().collect()),
        learners: numbers(membership.learners().collect()),
    }
}

/// A row's change.
fn change(text: &str) -> Change {
    let (verb, rest) = text.split_once(' ').expect("a verb and servers");
    let node = || NodeId::new(rest.trim().parse().expect("a server's number"));
    match verb {
        "add" => Change::AddLearner(node()),
        "promote" => Change::Promote(node()),
        "demote" => Change::Demote(node()),
        "remove" => Change::Remove(node()),
        "replace" => {
            let sets = Sets::of(rest);
            Change::Replace {
                voters: nodes(&sets.voters),
                learners: nodes(&sets.learners),
            }
        }
        _ => panic!("there is no such change: {text}"),
    }
}

/// Slow and obvious: what the sets are after the change, none if it is refused.
fn obvious(before: &Sets, change: &Change) -> Option<Sets> {
    let mut after = before.clone();
    let members: Servers = before.voters.union(&before.learners).copied().collect();
    match change {
        Change::AddLearner(node) | Change::AddWitness(node) => {
            if members.contains(&node.value()) {
                return None;
            }
            after.learners.insert(node.value());
        }
        Change::Promote(node) => {
            if !after.learners.remove(&node.value()) {
                return None;
            }
            after.voters.insert(node.value());
        }
        Change::Demote(node) => {
            if !after.voters.remove(&node.value()) {
                return None;
            }
            after.learners.insert(node.value());
        }
        Change::Remove(node) => {
            if !members.contains(&node.value()) {
                return None;
            }
            after.voters.remove(&node.value());
            after.learners.remove(&node.value());
        }
        Change::Replace { voters, learners } => {
            let numbers =
                |nodes: &BTreeSet<NodeId>| nodes.iter().map(|node| node.value()).collect::<Servers>();
            let (voters, learners) = (numbers(voters), numbers(learners));
            if !voters.is_disjoint(&learners) || !voters.is_subset(&members) {
                return None;
            }
            if voters != before.voters {
                after.outgoing = before.voters.clone();
            }
            (after.voters, after.learners) = (voters, learners);
        }
    }
    (!after.voters.is_empty() && after != *before).then_some(after)
}

/// What a change, or the step that leaves a joint configuration, makes of this one.
fn result(before: &Sets, step: &str) -> String {
    if step == "leave" {
        let left = sets_of(&before.membership().left());
        let expected = Sets {
            outgoing: Servers::new(),
            ..before.clone()
        };
        assert_eq!(left, expected, "leaving {}", before.shown());
        return left.shown();
    }
    let change = change(step);
    let made = before.membership().changed(&change);
    let after = made.as_ref().ok().map(sets_of);
    assert_eq!(after, obvious(before, &change), "{step} of {}", before.shown());
    match made {
        Ok(_) => after.map(|sets| sets.shown()).unwrap_or_default(),
        Err(error) => format!("refused: {error}"),
    }
}

#[test]
fn a_change_makes_of_a_configuration_what_its_row_says() {
    let table = include_str!("tables/changes.txt");
    let (mut now, mut rows) = (String::new(), 0);
    for line in table.lines() {
        if line.is_empty() || line.starts_with('#') {
            now.push_str(line);
        } else {
            let mut cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let result = result(&Sets::of(cells[0]), cells[1]);
            let note = cells.split_off(3.min(cells.len()));
            let row = vec![cells[0], cells[1], &result].into_iter().chain(note);
            now.push_str(&row.collect::<Vec<&str>>().join(" | "));
            rows += 1;
        }
        now.push('\n');
    }
    assert!(rows >= 58, "{rows} rows");
    judge("changes.txt", table, &now);
}
