//! S20: handing leadership over (dissertation §3.10). The leader appends nothing until that is over, tells nobody to campaign but a
//! target that has its whole log, and gives up after an election timeout; and nobody campaigns at a leader's request but who was told to, in
//! the term behind that leader's.

use std::collections::BTreeSet;

use raft_core::{Envelope, LogId, Message, NodeId, RoleName, Term, TransferOutcome, Vitals};

use super::commit::covers;
use super::facts::Facts;
use super::{Judgement, Oracle, violated};
use crate::disk::Image;

/// A transfer that a leader has begun.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    to: NodeId,
    term: Term,
    since_ticks: u64,
}

/// What a server was asked for in a step, and what it said about transfers.
pub(crate) struct Told<'a> {
    pub(crate) node: NodeId,
    /// It was asked to hand over to this server.
    pub(crate) asked: Option<NodeId>,
    /// How transfers ended in the step, in order.
    pub(crate) ended: &'a [(NodeId, TransferOutcome)],
    pub(crate) before: &'a Vitals,
    pub(crate) after: &'a Vitals,
    /// How many ticks have passed since its start, and after how many a transfer must be given up.
    pub(crate) ticks: u64,
    pub(crate) patience_ticks: u64,
}

/// All transfers.
pub(crate) struct Transfers {
    under_way: Vec<Option<UnderWay>>,
    /// Who was told to campaign, and in which term: the one behind the leader's.
    told: BTreeSet<(NodeId, Term)>,
}

impl Transfers {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            under_way: vec![None; servers],
            told: BTreeSet::new(),
        }
    }

    /// A server starts anew: what it was asked for before, nobody hears of any more.
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
            if ends != Some(to) {
                let message = format!("server {node} ends a transfer to {to} that nobody asked for");
                return violated(Oracle::S20, message);
            }
        }
        if let Some(to) = asked {
            if let Some(other) = slot {
                let message = format!("server {node} hands over to {to}, and to {} as well", other.to);
                return violated(Oracle::S20, message);
            }
            *slot = Some(UnderWay {
                to,
                term: told.after.term,
                since_ticks: told.ticks,
            });
        }
        let Some(is) = *slot else { return Ok(()) };
        if told.after.role != RoleName::Leader || told.after.term != is.term {
            let message = format!("server {node} leads no more, and says nothing about its transfer to {}", is.to);
            return violated(Oracle::S20, message);
        }
        if told.ticks.saturating_sub(is.since_ticks) >= told.patience_ticks {
            let message = format!(
                "server {node} still hands over to {} after {} ticks",
                is.to,
                told.ticks - is.since_ticks
            );
            return violated(Oracle::S20, message);
        }
        if was.is_some() && told.asked.is_none() && told.before.last != told.after.last {
            let message = format!(
                "server {node} hands over to {}, and appends {:?} meanwhile",
                is.to, told.after.last
            );
            return violated(Oracle::S20, message);
        }
        Ok(())
    }

    /// S20: a server, whose log ends here, sends this. `image` is the durable image of a server; `is_excused` says whose disk is known to be
    /// faulty.
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
                let Some(under_way) = self.under_way.get(place).copied().flatten() else {
                    // A leader that was removed names a successor.
                    return Ok(());
                };
                let holds = |image: &Image| {
                    image.hard_state.term > term || last.is_none_or(|last| covers(facts, image, last))
                };
                if to == under_way.to && (is_excused(to) || image(to).is_some_and(holds)) {
                    return Ok(());
                }
                let message = format!(
                    "server {from}, which hands over to {}, tells {to} to campaign before it holds {last:?}",
                    under_way.to
                );
                violated(Oracle::S20, message)
            }
            Message::TransferVote { .. } if !self.told.contains(&(from, term)) => {
                let message =
                    format!("server {from} campaigns for term {term} by a leader's wish, and no leader of the term before told it to");
                violated(Oracle::S20, message)
            }
            _ => Ok(()),
        }
    }
}
