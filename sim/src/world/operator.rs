//! The operator: asks the current leader for changes of the configuration and for leadership transfers, and asks again
//! where the schedule says so.
//!
//! A wish comes from a fault of the schedule; an ask is one attempt to have it made. Every ask is a request of its own.
//! So an ask that was lost with its leader may still be made, and another one for the same wish as well.

use raft_core::replica::Input;
use raft_core::{
    Change, ChangeError, ChangeRejection, Event as CoreEvent, Expected, LogId, Membership, NodeId,
    ProposalId, RoleName, TransferOutcome,
};

use super::step::InputOf;
use super::targets::members;
use super::{Event, HostCommand, Phase, Simulation};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::oracle::{Judgement, Oracle, membership, violated};
use crate::places::{node_at, place_of};
use crate::random::Draws;
use crate::report::Place;
use crate::schedule::Reconfiguration;
use crate::workload::Workload;

/// How long an operator waits before it asks again.
const ASK_AGAIN_AFTER: Nanos = Nanos::from_millis(60);

/// The first number of an operator's attempts; clients' attempts are numbered from 0.
const FIRST_ID: u64 = 1 << 62;

/// Whether a proposal is an operator's.
pub(super) const fn is_operators(id: ProposalId) -> bool {
    id.value() >= FIRST_ID
}

/// The operator's wishes, and their progress.
#[derive(Debug, Default)]
pub(super) struct Operator {
    wishes: Vec<Wish>,
    asks: Vec<Ask>,
}

/// A change that the operator wants to have made.
#[derive(Clone, Debug)]
struct Wish {
    fault: u32,
    change: Change,
    expect: Expected,
    force: bool,
    until: Nanos,
    /// Whether it is made, or never can be.
    settled: bool,
}

/// One attempt to have a change made.
#[derive(Clone, Copy, Debug)]
struct Ask {
    wish: usize,
    has_outcome: bool,
}

impl<W: Workload> Simulation<'_, W> {
    /// Whether the server was there at the first start.
    pub(super) const fn is_founder(&self, place: usize) -> bool {
        place < self.founders
    }

    /// Returns the configuration that the leader of the latest term uses, or else the last committed one.
    pub(super) fn configuration_in_force(&self) -> &Membership {
        self.configuration_and_entry().1
    }

    fn configuration_and_entry(&self) -> (Option<LogId>, &Membership) {
        if let Some(replica) = self
            .latest_leader()
            .and_then(|place| self.servers.get(place)?.replica.as_ref())
        {
            let raft = replica.raft();
            return (raft.membership_id(), raft.membership());
        }
        let facts = &self.oracles.facts;
        let id = facts.configuration_id_at(facts.last_committed());
        let first = || facts.configuration(None);
        let membership = facts.configuration(id).or_else(first);
        (id, membership.expect("a cluster begins with a configuration"))
    }

    /// The running leader of the latest term.
    pub(super) fn latest_leader(&self) -> Option<usize> {
        let leaders = self
            .servers
            .iter()
            .enumerate()
            .filter(|(_, server)| server.leads());
        leaders
            .max_by_key(|(_, server)| server.vitals.term)
            .map(|(place, _)| place)
    }

    /// Makes a wish for a change.
    pub(super) fn wish_change(
        &mut self,
        fault: u32,
        servers: u8,
        change: &Reconfiguration,
        (compare, force): (bool, bool),
        insist: Nanos,
        draws: &mut Draws,
    ) {
        let (entry, now) = self.configuration_and_entry();
        // A replacement that comes late would bring back, as an ordinary server, a witness that another change has
        // removed.
        let may_bring_back = self.schedule.cluster.witnesses > 0 && !change.is_about_a_server();
        let expect = match compare || may_bring_back {
            true => Expected::This(entry),
            false => Expected::Any,
        };
        let about = members(servers).map(|place| Some(node_at(place)));
        let about: Vec<Option<NodeId>> = match change.is_about_a_server() {
            true => about.collect(),
            false => vec![None],
        };
        let changes: Vec<Change> = about
            .into_iter()
            .filter_map(|about| change.change(about, now, draws))
            .map(|change| self.with_its_kind(change, now))
            .collect();
        for change in changes {
            let wish = self.operator.wishes.len();
            self.operator.wishes.push(Wish {
                fault,
                change,
                expect,
                force,
                until: self.now + insist,
                settled: false,
            });
            self.ask_leader(wish);
        }
    }

    /// Keeps a change from bringing a witness back as another kind of server.
    fn with_its_kind(&self, change: Change, now: &Membership) -> Change {
        let is_witness = |node| self.schedule.cluster.is_witness(place_of(node));
        match change {
            Change::AddLearner(node) if is_witness(node) => Change::AddWitness(node),
            Change::Replace { voters, mut learners } => {
                learners.retain(|&node| now.contains(node) || !is_witness(node));
                Change::Replace { voters, learners }
            }
            change => change,
        }
    }

    /// Asks the leader, if there is one, and again after a while if the change is not made by then.
    pub(super) fn ask_leader(&mut self, wish: usize) {
        let leader = self.latest_leader();
        let Some(wanted) = self.operator.wishes.get(wish).filter(|wanted| !wanted.settled) else {
            return;
        };
        if self.phase != Phase::Faulty || self.now > wanted.until {
            return;
        }
        if self.now + ASK_AGAIN_AFTER <= wanted.until {
            self.push_after(ASK_AGAIN_AFTER, Event::Operate { wish });
        }
        let Some(server) = leader else { return };
        let command = HostCommand::ChangeMembership(self.operator.asks.len());
        self.operator.asks.push(Ask {
            wish,
            has_outcome: false,
        });
        self.push(self.now, Event::Command { server, command });
    }

    /// Returns the input for an ask, and whether it is forced.
    pub(super) fn change_asked(&mut self, ask: usize) -> Option<(InputOf<W>, bool)> {
        let wish = self.operator.wishes.get(self.operator.asks.get(ask)?.wish)?;
        self.hash.word(u64::from(wish.fault));
        let input = Input::Event(CoreEvent::ChangeMembership {
            id: ProposalId::new(FIRST_ID + ask as u64),
            expect: wish.expect,
            change: wish.change.clone(),
            force: wish.force,
        });
        Some((input, wish.force))
    }

    /// A server reports that a change is made.
    pub(super) fn change_made(&mut self, at: usize, id: ProposalId, log_id: LogId) -> Judgement {
        if !is_operators(id) {
            let message = format!(
                "attempt {}, which is a client's, is reported as a change of the configuration by {log_id}",
                id.value()
            );
            return self.ruled(violated(Oracle::C1, message));
        }
        self.change_ended(id)?;
        let Some(wish) = self.wish_of(id) else {
            return Ok(());
        };
        wish.settled = true;
        let expected = wish.expect;
        let detail = format!("{log_id}: {:?}", wish.change);
        let node = node_at(at);
        if self.tells() {
            self.tell(self.event, Place::Server(node), "changed", detail);
        }
        let judgement = membership::changed(&self.oracles.facts, node, log_id, expected);
        self.ruled(judgement)?;
        self.happened(Probe::ChangeMade, Some(at));
        Ok(())
    }

    /// A server rejects a change.
    pub(super) fn change_rejected(
        &mut self,
        at: usize,
        id: ProposalId,
        reason: &ChangeRejection,
    ) -> Judgement {
        self.change_ended(id)?;
        if let Some(wish) = self.wish_of(id) {
            // The other reasons may pass, or the change may become possible.
            wish.settled |= matches!(
                reason,
                ChangeRejection::Outdated { .. }
                    | ChangeRejection::Impossible(
                        ChangeError::AlreadyMember { .. }
                            | ChangeError::NoChange
                            | ChangeError::NoVoters
                            | ChangeError::VoterAndLearner { .. }
                    )
            );
        }
        if self.tells() {
            let node = node_at(at);
            self.tell(self.event, Place::Server(node), "refused", reason.to_string());
        }
        self.happened(Probe::ChangeRefused, Some(at));
        Ok(())
    }

    /// C7: every ask has one outcome.
    pub(super) fn change_ended(&mut self, id: ProposalId) -> Judgement {
        let place = usize::try_from(id.value().saturating_sub(FIRST_ID)).unwrap_or(usize::MAX);
        let ask = self.operator.asks.get_mut(place);
        let is_first = ask.is_some_and(|ask| !std::mem::replace(&mut ask.has_outcome, true));
        match is_first {
            true => Ok(()),
            false => self.ruled(violated(
                Oracle::C7,
                format!(
                    "a change of the configuration, the operator's attempt {place}, has a second outcome"
                ),
            )),
        }
    }

    fn wish_of(&mut self, id: ProposalId) -> Option<&mut Wish> {
        let place = usize::try_from(id.value().checked_sub(FIRST_ID)?).ok()?;
        let wish = self.operator.asks.get(place)?.wish;
        self.operator.wishes.get_mut(wish)
    }

    /// Asks the leader to hand over to each of these servers, one after the other.
    pub(super) fn wish_transfer(&mut self, servers: u8) {
        let Some(server) = self.latest_leader() else {
            return;
        };
        for place in members(servers) {
            let command = HostCommand::Transfer(node_at(place));
            self.push(self.now, Event::Command { server, command });
        }
    }

    pub(super) fn transfer_ended(&mut self, at: usize, to: NodeId, outcome: TransferOutcome) {
        if self.tells() {
            let node = node_at(at);
            self.tell(
                self.event,
                Place::Server(node),
                "transfer",
                format!("to {to}: {outcome:?}"),
            );
        }
        let is_down = self
            .servers
            .get(at)
            .is_some_and(|server| server.vitals.role != RoleName::Leader);
        let probe = match outcome {
            TransferOutcome::SteppedDown if is_down => Probe::TransferDone,
            TransferOutcome::TimedOut => Probe::TransferTimedOut,
            TransferOutcome::SteppedDown | TransferOutcome::Rejected(_) => Probe::TransferRefused,
        };
        self.happened(probe, Some(at));
    }
}
