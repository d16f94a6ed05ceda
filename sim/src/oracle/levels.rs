//! S26: two programs that run side by side. What the newer one added is used when the log says so and not before, and
//! the older one halts before it.

use raft_core::{Index, NodeId, RoleName, SnapshotMeta, Vitals};

use super::facts::Facts;
use super::{Judgement, Oracle, violated};

/// S26: a server has applied only what its program understands. A witness holds no commands, so it need not understand
/// any.
pub(crate) fn understands(
    facts: &Facts,
    node: NodeId,
    applied: Option<Index>,
    program: u32,
    is_witness: bool,
) -> Judgement {
    let Some(committed) = applied.and_then(|applied| facts.committed(applied)) else {
        return Ok(());
    };
    let needs = if is_witness {
        committed.level
    } else {
        committed.needs
    };
    if needs <= program {
        return Ok(());
    }
    let message = format!(
        "server {node} has applied {}, for which it needs program {needs}, and runs program {program}",
        committed.id
    );
    violated(Oracle::S26, message)
}

/// S26: a server takes the level for in force that the log has at its commit index.
pub(crate) fn says_level(facts: &Facts, node: NodeId, commit: Option<Index>, says: u32) -> Judgement {
    let committed = commit.and_then(|commit| facts.committed(commit));
    let in_force = committed.map_or(0, |committed| committed.level);
    if says == in_force {
        return Ok(());
    }
    let message = format!(
        "server {node} takes level {says} for in force, and the log is at level {in_force} at {commit:?}"
    );
    violated(Oracle::S26, message)
}

/// Whether a server with this program can apply nothing more: the next entry is committed and durable here, and is for
/// another program.
pub(crate) fn cannot_go_on(facts: &Facts, vitals: &Vitals, program: u32, is_witness: bool) -> bool {
    let next = Index::after(vitals.applied);
    let is_due = Some(next) <= vitals.commit.min(vitals.durable);
    is_due
        && facts.committed(next).is_some_and(|committed| match is_witness {
            true => committed.level > program,
            false => committed.needs > program,
        })
}

/// S26: a server that cannot go on does not campaign, and does not lead for long, by its own clock.
pub(crate) fn keeps_quiet(
    node: NodeId,
    role: RoleName,
    (stuck_since, ticks): (u64, u64),
    longest_timeout: u64,
) -> Judgement {
    let message = match role {
        RoleName::PreCandidate | RoleName::Candidate => "campaigns",
        // Four timeouts to look for another leader, and a heartbeat until it looks at its clock.
        RoleName::Leader if ticks.saturating_sub(stuck_since) > 6 * longest_timeout => "still leads",
        _ => return Ok(()),
    };
    let message =
        format!("server {node} {message}, although its program does not understand what is committed");
    violated(Oracle::S26, message)
}

/// S26: a leader raises the level to one that every member's program understands, or did at some time of its
/// leadership.
pub(crate) fn is_raised_by_all(
    leader: NodeId,
    level: u32,
    mut members: impl Iterator<Item = (NodeId, u32)>,
) -> Judgement {
    match members.find(|(_, program)| *program < level) {
        None => Ok(()),
        Some((node, program)) => {
            let message = format!(
                "server {leader} raises the level to {level}, but server {node} has run no more than program {program} since it leads"
            );
            violated(Oracle::S26, message)
        }
    }
}

/// S17: a snapshot names the level that is in force at its end.
pub(crate) fn names_level(facts: &Facts, node: NodeId, meta: &SnapshotMeta) -> Judgement {
    let Some(committed) = facts.committed(meta.last.index) else {
        return Ok(());
    };
    if committed.level == meta.level.value() {
        return Ok(());
    }
    let message = format!(
        "the snapshot up to {} of server {node} is of level {}, and the log is at level {} there",
        meta.last, meta.level, committed.level
    );
    violated(Oracle::S17, message)
}

#[cfg(test)]
mod tests {
    use raft_core::{Entry, EntryBody, Level, Payload, Term};

    use super::super::fixture::{at, id, node, reports, three, vitals};
    use super::*;
    use crate::schedule::Programs;
    use crate::witness::for_program;

    fn entry(index: u64, body: EntryBody) -> Entry {
        let id = id(1, index);
        Entry { id, body }
    }

    fn command(index: u64, program: u32) -> Entry {
        entry(
            index,
            EntryBody::Command(Payload::from(for_program(program, b"a"))),
        )
    }

    fn committed(entries: &[Entry], programs: Programs) -> Result<Facts, super::super::Violation> {
        let mut facts = Facts::new(three()).with_programs(Some(programs));
        let mut before = None;
        for entry in entries {
            facts.learn(entry, Some(before))?;
            facts.commit(node(1), entry.id, Term::new(1))?;
            before = Some(entry.id.term);
        }
        Ok(facts)
    }

    #[test]
    fn s26_reports_a_command_before_its_level_and_a_level_that_does_not_rise() {
        let level = |index, level| entry(index, EntryBody::Level(Level::new(level)));
        let judge = |entries: &[Entry], programs| committed(entries, programs).map(drop);
        let early = [command(1, 1), command(2, 2)];
        reports(Oracle::S26, judge(&early, Programs::Levelled));
        assert_eq!(judge(&early, Programs::Unlevelled), Ok(()));
        let raised = [level(1, 2), command(2, 2)];
        assert_eq!(judge(&raised, Programs::Levelled), Ok(()));
        reports(
            Oracle::S26,
            judge(&[level(1, 2), level(2, 2)], Programs::Levelled),
        );
    }

    #[test]
    fn s26_reports_a_server_that_applies_what_its_program_does_not_understand() {
        let entries = [
            command(1, 1),
            entry(2, EntryBody::Level(Level::new(2))),
            command(3, 1),
        ];
        let facts = committed(&entries, Programs::Levelled).unwrap();
        let judge = |applied, program| understands(&facts, node(1), Some(at(applied)), program, false);
        assert_eq!(judge(1, 1), Ok(()));
        reports(Oracle::S26, judge(2, 1));
        reports(Oracle::S26, judge(3, 1));
        assert_eq!(says_level(&facts, node(1), Some(at(1)), 0), Ok(()));
        assert_eq!(says_level(&facts, node(1), Some(at(2)), 2), Ok(()));
        reports(Oracle::S26, says_level(&facts, node(1), Some(at(1)), 2));
        assert_eq!(judge(3, 2), Ok(()));
        let stuck = Vitals {
            applied: Some(at(1)),
            ..vitals(RoleName::Follower, 1, Some(id(1, 3)), 3)
        };
        let stuck = Vitals {
            durable: Some(at(3)),
            ..stuck
        };
        assert!(cannot_go_on(&facts, &stuck, 1, false));
        assert!(!cannot_go_on(&facts, &stuck, 2, false));
    }

    #[test]
    fn s26_reports_a_halted_server_that_campaigns_or_leads_on() {
        let judge = |role, ticks| keeps_quiet(node(1), role, (100, ticks), 20);
        assert_eq!(judge(RoleName::Follower, 900), Ok(()));
        reports(Oracle::S26, judge(RoleName::PreCandidate, 100));
        reports(Oracle::S26, judge(RoleName::Candidate, 100));
        assert_eq!(judge(RoleName::Leader, 220), Ok(()));
        reports(Oracle::S26, judge(RoleName::Leader, 221));
    }

    #[test]
    fn s26_reports_a_level_that_some_member_does_not_understand() {
        let judge = |programs: [u32; 2]| is_raised_by_all(node(1), 2, (2..).map(node).zip(programs));
        assert_eq!(judge([2, 2]), Ok(()));
        reports(Oracle::S26, judge([2, 1]));
    }

    #[test]
    fn s17_reports_a_snapshot_of_another_level() {
        let entries = [entry(1, EntryBody::Level(Level::new(2)))];
        let facts = committed(&entries, Programs::Levelled).unwrap();
        let meta = |level| SnapshotMeta {
            cluster: raft_core::ClusterId::UNKNOWN,
            last: id(1, 1),
            membership: three().into(),
            membership_id: None,
            withheld: false,
            level: Level::new(level),
        };
        assert_eq!(names_level(&facts, node(1), &meta(2)), Ok(()));
        reports(Oracle::S17, names_level(&facts, node(1), &meta(0)));
    }
}
