//! S20: leadership transfer (dissertation §3.10). The leader appends nothing until the transfer is over, tells only a
//! target that has its whole log to campaign, and gives up after an election timeout. A server campaigns at a leader's
//! request only if that leader told it to, and only in the term after that leader's.

use std::collections::BTreeSet;

use raft_core::{Envelope, LogId, Message, NodeId, RoleName, Term, TransferOutcome, Vitals};

use super::commit::covers;
use super::facts::Facts;
use super::{Judgement, Oracle, violated};
use crate::disk::Image;

/// A transfer that a leader has begun.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    /// The target, unless the leader was to choose.
    to: Option<NodeId>,
    term: Term,
    since_ticks: u64,
    /// Whether its leader has stepped down, and waits for the next one.
    is_left: bool,
}

/// What a server was asked for in a step, and what it reported about transfers.
pub(crate) struct Told<'a> {
    pub(crate) node: NodeId,
    /// It was asked to hand over, to this server if it was not to choose.
    pub(crate) asked: Option<Option<NodeId>>,
    /// How transfers ended in the step, in order.
    pub(crate) ended: &'a [(Option<NodeId>, TransferOutcome)],
    pub(crate) before: &'a Vitals,
    pub(crate) after: &'a Vitals,
    /// The ticks since its start, and the ticks after which a transfer must be given up.
    pub(crate) ticks: u64,
    pub(crate) patience_ticks: u64,
}

/// All transfers.
pub(crate) struct Transfers {
    under_way: Vec<Option<UnderWay>>,
    /// Which servers were told to campaign, and in which term: the one after the leader's.
    told: BTreeSet<(NodeId, Term)>,
}

impl Transfers {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            under_way: vec![None; servers],
            told: BTreeSet::new(),
        }
    }

    /// A server restarts: requests that it had accepted before are no longer answered.
    pub(crate) fn restarted(&mut self, place: usize) {
        if let Some(under_way) = self.under_way.get_mut(place) {
            *under_way = None;
        }
    }

    /// S20 for one step of one server.
    pub(crate) fn stepped(&mut self, place: usize, told: &Told<'_>) -> Judgement {
        let Some(slot) = self.under_way.get_mut(place) else {
            return Ok(());
        };
        if slot.is_none() && told.asked.is_none() && told.ended.is_empty() {
            return Ok(());
        }
        let node = told.node;
        let was = *slot;
        let mut asked = told.asked;
        for &(to, outcome) in told.ended {
            let is_refusal = matches!(outcome, TransferOutcome::Rejected(_)) && asked == Some(to);
            let ends = match is_refusal {
                true => asked.take(),
                false => slot.take().map(|under_way| under_way.to),
            };
            // Where it was to choose, the outcome names its choice.
            if ends.is_none_or(|asked| asked.is_some() && asked != to) {
                let to = name(to);
                let message = format!("server {node} ends a transfer to {to} that no one asked for");
                return violated(Oracle::S20, message);
            }
            let leads = to.is_some() && told.after.leader == to;
            let is_true = match outcome {
                TransferOutcome::Succeeded => leads,
                TransferOutcome::SteppedDown => !leads,
                // It led until then, and may have stepped down in the same step.
                TransferOutcome::TimedOut => told.before.role == RoleName::Leader,
                TransferOutcome::Rejected(_) => true,
            };
            if !is_true {
                let (to, leader) = (name(to), name(told.after.leader));
                let message =
                    format!("server {node} says of its transfer to {to}: {outcome:?}, and follows {leader}");
                return violated(Oracle::S20, message);
            }
        }
        if let Some(to) = asked {
            if let Some(other) = slot {
                let message = format!(
                    "server {node} hands over to {} while it hands over to {}",
                    name(to),
                    name(other.to)
                );
                return violated(Oracle::S20, message);
            }
            *slot = Some(UnderWay {
                to,
                term: told.after.term,
                since_ticks: told.ticks,
                is_left: false,
            });
        }
        let Some(is) = slot else { return Ok(()) };
        // Once it has stepped down, the next leader decides.
        is.is_left |= told.after.role != RoleName::Leader || told.after.term != is.term;
        if told.ticks.saturating_sub(is.since_ticks) >= told.patience_ticks {
            let message = format!(
                "server {node} still hands over to {} after {} ticks",
                name(is.to),
                told.ticks - is.since_ticks
            );
            return violated(Oracle::S20, message);
        }
        if !is.is_left && was.is_some() && told.asked.is_none() && told.before.last != told.after.last {
            let message = format!(
                "server {node} hands over to {}, but appends {:?} meanwhile",
                name(is.to),
                told.after.last
            );
            return violated(Oracle::S20, message);
        }
        Ok(())
    }

    /// S20: a server, whose log ends here, sends this. `image` is the durable image of a server; `is_excused` names the
    /// servers whose disk is known to be faulty.
    pub(crate) fn sent<'i>(
        &mut self,
        facts: &Facts,
        place: usize,
        last: Option<LogId>,
        envelope: &Envelope,
        image: impl Fn(NodeId) -> Option<&'i Image>,
        is_excused: impl Fn(NodeId) -> bool,
    ) -> Judgement {
        let (from, to, term) = (envelope.from, envelope.to, envelope.term);
        match envelope.message {
            Message::TimeoutNow => {
                self.told.insert((to, term.next()));
                let under_way = self.under_way.get(place).copied().flatten();
                // A leader that was removed, or whose disk stalls, steps down and names a successor.
                let Some(under_way) = under_way.filter(|under_way| !under_way.is_left) else {
                    return Ok(());
                };
                let holds = |image: &Image| {
                    image.hard_state.term > term || last.is_none_or(|last| covers(facts, image, last))
                };
                if under_way.to.is_none_or(|wanted| wanted == to)
                    && (is_excused(to) || image(to).is_some_and(holds))
                {
                    return Ok(());
                }
                let message = format!(
                    "server {from}, which hands over to {}, tells {to} to campaign before it holds {last:?}",
                    name(under_way.to)
                );
                violated(Oracle::S20, message)
            }
            Message::TransferVote { .. } if !self.told.contains(&(from, term)) => {
                let message = format!(
                    "server {from} campaigns for term {term} at a leader's request, but no leader of the term before told it to"
                );
                violated(Oracle::S20, message)
            }
            _ => Ok(()),
        }
    }
}

/// A server that may not be known.
fn name(node: Option<NodeId>) -> String {
    node.map_or("no known server".to_owned(), |node| format!("server {node}"))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{command, facts, id, node, persist, reports, vitals};
    use super::*;
    use raft_core::{GroupId, HardState, Incarnation, Rejection};

    const PATIENCE: u64 = 10;

    /// A step of server 1, leader of term 2 before it.
    struct Step {
        asked: Option<u64>,
        ended: Vec<(u64, TransferOutcome)>,
        role: RoleName,
        lasts: (u64, u64),
        ticks: u64,
    }

    const QUIET: Step = Step {
        asked: None,
        ended: Vec::new(),
        role: RoleName::Leader,
        lasts: (5, 5),
        ticks: 0,
    };

    fn judge(steps: &[Step]) -> Judgement {
        let mut transfers = Transfers::new(3);
        for step in steps {
            let ended: Vec<(Option<NodeId>, TransferOutcome)> = step
                .ended
                .iter()
                .map(|&(to, outcome)| (Some(node(to)), outcome))
                .collect();
            let told = Told {
                node: node(1),
                asked: step.asked.map(|to| Some(node(to))),
                ended: &ended,
                before: &vitals(RoleName::Leader, 2, Some(id(2, step.lasts.0)), 1),
                after: &vitals(step.role, 2, Some(id(2, step.lasts.1)), 1),
                ticks: step.ticks,
                patience_ticks: PATIENCE,
            };
            transfers.stepped(0, &told)?;
        }
        Ok(())
    }

    fn asked() -> Step {
        Step {
            asked: Some(2),
            ..QUIET
        }
    }

    fn ends(outcome: TransferOutcome, step: Step) -> Step {
        Step {
            ended: vec![(2, outcome)],
            ..step
        }
    }

    #[test]
    fn s20_reports_a_leader_that_appends_while_it_hands_over() {
        let appends = || Step {
            lasts: (5, 6),
            ..QUIET
        };
        assert_eq!(judge(&[appends()]), Ok(()));
        assert_eq!(judge(&[asked(), QUIET]), Ok(()));
        assert_eq!(
            judge(&[asked(), ends(TransferOutcome::TimedOut, appends())]),
            Ok(())
        );
        reports(Oracle::S20, judge(&[asked(), appends()]));
    }

    #[test]
    fn s20_reports_a_transfer_that_never_ends_or_ends_silently_or_twice() {
        let late = || Step {
            ticks: PATIENCE,
            ..QUIET
        };
        let deposed = || Step {
            role: RoleName::Follower,
            ..QUIET
        };
        assert_eq!(judge(&[asked(), ends(TransferOutcome::TimedOut, late())]), Ok(()));
        assert_eq!(
            judge(&[asked(), ends(TransferOutcome::SteppedDown, deposed())]),
            Ok(())
        );
        reports(Oracle::S20, judge(&[asked(), late()]));
        // Whether it has succeeded is known when the next leader is, and soon enough.
        assert_eq!(judge(&[asked(), deposed()]), Ok(()));
        let deposed_for_long = Step {
            ticks: PATIENCE,
            ..deposed()
        };
        reports(Oracle::S20, judge(&[asked(), deposed(), deposed_for_long]));
        reports(
            Oracle::S20,
            judge(&[asked(), ends(TransferOutcome::Succeeded, deposed())]),
        );
        reports(Oracle::S20, judge(&[ends(TransferOutcome::TimedOut, QUIET)]));
        // A second one is refused, and does not end the first.
        let refused = TransferOutcome::Rejected(Rejection::Transferring { to: node(2) });
        assert_eq!(judge(&[asked(), ends(refused, asked()), QUIET]), Ok(()));
        reports(Oracle::S20, judge(&[asked(), asked()]));
        reports(
            Oracle::S20,
            judge(&[
                asked(),
                ends(refused, asked()),
                Step {
                    lasts: (5, 6),
                    ..QUIET
                },
            ]),
        );
    }

    fn envelope(from: u64, to: u64, term: u64, message: Message) -> Envelope {
        Envelope {
            group: GroupId::new(1),
            cluster: raft_core::ClusterId::UNKNOWN,
            from_boot: raft_core::Boot::new(1, 1),
            from: node(from),
            from_incarnation: Incarnation::new(1),
            to: node(to),
            to_incarnation: None,
            term: Term::new(term),
            message,
        }
    }

    fn image(term: u64, entries: u64) -> Image {
        let mut write = persist((1..=entries).map(|index| command(1, index, "x")).collect());
        write.hard_state = Some(Box::new(HardState {
            term: Term::new(term),
            vote: None,
            ..HardState::default()
        }));
        let mut image = Image::default();
        image.write(&write, None, usize::MAX);
        image
    }

    #[test]
    fn s20_reports_a_target_that_is_told_to_campaign_before_it_has_everything() {
        let known = facts(&[command(1, 1, "x"), command(1, 2, "x")], 0);
        let tells = |to, image: &Image| {
            let mut transfers = Transfers::new(3);
            transfers.under_way[0] = Some(UnderWay {
                to: Some(node(2)),
                term: Term::new(2),
                since_ticks: 0,
                is_left: false,
            });
            let wish = envelope(1, to, 2, Message::TimeoutNow);
            transfers.sent(&known, 0, Some(id(1, 2)), &wish, |_| Some(image), |_| false)
        };
        assert_eq!(tells(2, &image(2, 2)), Ok(()));
        assert_eq!(
            tells(2, &image(3, 1)),
            Ok(()),
            "it has moved on, and may have lost it"
        );
        reports(Oracle::S20, tells(2, &image(2, 1)));
        reports(Oracle::S20, tells(3, &image(2, 2)));
    }

    #[test]
    fn s20_reports_a_campaign_that_no_leader_requested() {
        let known = facts(&[], 0);
        let mut transfers = Transfers::new(3);
        let mut sent = |from, to, term, message| {
            let envelope = envelope(from, to, term, message);
            transfers.sent(&known, 0, None, &envelope, |_| None, |_| false)
        };
        let campaign = || Message::TransferVote { last: None };
        reports(Oracle::S20, sent(2, 3, 3, campaign()));
        assert_eq!(sent(1, 2, 2, Message::TimeoutNow), Ok(()));
        assert_eq!(sent(2, 3, 3, campaign()), Ok(()));
        assert_eq!(sent(2, 1, 3, campaign()), Ok(()), "one campaign asks every peer");
        // That leader's request was for the next term, and for one server.
        reports(Oracle::S20, sent(2, 3, 4, campaign()));
        reports(Oracle::S20, sent(3, 2, 3, campaign()));
    }
}
