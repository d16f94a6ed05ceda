//! Which start of a data folder counts ([`Boot`]). Starts of one folder follow one another: each counts on from the one
//! before, and begins after that one has ended. A folder that was copied, or put back from a backup, counts a second time,
//! and has forgotten what its twin, or it itself, has promised since.
//!
//! * A later start silences the earlier ones: what still arrives from them is dropped. It may have been on its way for
//!   long, or come from a folder that went back.
//! * Of two starts with the same count, one at least speaks from a copy. A server that has heard both counts neither.
//! * A start holds what earlier starts of its folder acknowledged. If it denies that to the leader that counted it, the
//!   folder went back, and the leader drops what it says from then on.
//! * A start that is dropped is told why. A server that is told of a start of its own folder that is not before its own,
//!   and that is not its own, knows that there is another copy: its own start has not ended. One that is told what it
//!   lacks knows that its folder went back. Either notes that on its disk and keeps silent, in this start and in every
//!   later one, until its folder is replaced.
//!
//! Every message names its sender's start, so each is judged by itself and none waits for a greeting. Starts are
//! remembered for the members of the configuration, one folder each, and not beyond this server's own start.
//!
//! What no server notices: two quorums, each of which has heard one of two copies; a vote that a folder gave and forgot
//! when it went back; an acknowledgement that it forgot, once the leader that counted it leads no more, if every server that
//! had heard a later start was itself restarted since, or if the folder has been started so often that it counts beyond.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::identity::{Boot, Incarnation};
use crate::message::{Envelope, Message};
use crate::outbox::Promise;
use crate::status::Greeted;
use crate::types::{LogId, NodeId, Tick};

use super::server::Server;
use super::{Raft, Role, Sender, Transition};

/// The starts that were heard, one folder for each member.
#[derive(Debug, Default)]
pub(super) struct Boots(BTreeMap<NodeId, Known>);

#[derive(Debug)]
struct Known {
    incarnation: Incarnation,
    boot: Boot,
    /// Another start of the same count.
    twin: Option<Boot>,
    /// What earlier starts acknowledged and the latest one lacks.
    lacks: Option<LogId>,
    /// What this start has said about itself: the length of its ticks in microseconds, and its host's settings.
    said: Option<(u64, u64)>,
    /// When it was last sent a greeting.
    greeted_at: Option<Tick>,
}

impl Known {
    fn new(incarnation: Incarnation, boot: Boot) -> Self {
        Self {
            incarnation,
            boot,
            twin: None,
            lacks: None,
            said: None,
            greeted_at: None,
        }
    }

    /// The other start that this one cannot stand beside, if it does not count.
    fn instead_of(&self, boot: Boot) -> Option<Boot> {
        match self.twin {
            Some(twin) if boot == self.boot => Some(twin),
            _ => (boot != self.boot).then_some(self.boot),
        }
    }
}

/// What becomes of a message, by the start that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Counts,
    /// It counts, and an earlier start of the folder is over.
    Begins,
    /// It is dropped.
    Dropped,
    /// It is dropped, and so is whatever counted until now: the folder speaks twice.
    Doubled,
}

impl Boots {
    fn judge(&mut self, from: Sender) -> Judgement {
        let fresh = || Known::new(from.incarnation, from.boot);
        let known = self.0.entry(from.node).or_insert_with(fresh);
        let is_of_other_folder = known.incarnation != from.incarnation;
        if is_of_other_folder || from.boot.counter > known.boot.counter {
            let lacks = known.lacks.filter(|_| !is_of_other_folder);
            *known = Known { lacks, ..fresh() };
            if lacks.is_none() {
                return Judgement::Begins;
            }
        }
        let is_twin = from.boot.counter == known.boot.counter && from.boot != known.boot;
        if is_twin && known.twin.is_none() {
            known.twin = Some(from.boot);
            Judgement::Doubled
        } else if known.lacks.is_some() || known.instead_of(from.boot).is_some() {
            Judgement::Dropped
        } else {
            Judgement::Counts
        }
    }

    /// Whether this start counts and has greeted: nothing more is to be found out about it. So it is with nearly every
    /// message.
    fn is_settled(&self, from: Sender) -> bool {
        self.0.get(&from.node).is_some_and(|known| {
            let is_known = known.incarnation == from.incarnation && known.boot == from.boot;
            is_known && known.twin.is_none() && known.lacks.is_none() && known.said.is_some()
        })
    }

    /// What the members have said about themselves, in the order of their ids.
    pub(super) fn greeted(&self) -> Vec<Greeted> {
        let greeted = |(&node, known): (&NodeId, &Known)| Greeted {
            node,
            boot: known.boot,
            twin: known.twin,
            lacks: known.lacks,
            tick_micros: known.said.map(|(tick_micros, _)| tick_micros),
            settings: known.said.map(|(_, settings)| settings),
        };
        self.0.iter().map(greeted).collect()
    }
}

impl Server {
    /// Judges the start that a message comes from. Servers that are no members are not remembered: strangers must not
    /// fill the memory.
    fn judge_boot(&mut self, from: Sender, message: &Message) -> Judgement {
        let asks_where_it_stands = matches!(
            message,
            Message::Hello | Message::HelloReply { .. } | Message::OtherCluster
        );
        let (_, committed) = self.log.membership_at(self.commit);
        let in_force = self.log.membership();
        let is_member = |node| in_force.contains(node) || committed.contains(node);
        if asks_where_it_stands || from.node == self.me() || !is_member(from.node) {
            return Judgement::Counts;
        }
        if !self.boots.0.contains_key(&from.node) {
            self.boots.0.retain(|&node, _| is_member(node));
        }
        let judgement = self.boots.judge(from);
        plant!(judgement, HEARS_EARLIER_STARTS => Judgement::Counts)
    }

    /// A start denies what an earlier one of its folder acknowledged.
    pub(super) fn went_back(&mut self, node: NodeId, lacks: LogId) {
        if let Some(known) = self.boots.0.get_mut(&node) {
            known.lacks = Some(lacks);
            known.greeted_at = None;
        }
    }

    /// Greets a start that is new here or that asks for it, and one that is dropped, once in a heartbeat interval.
    fn greet(&mut self, to: Sender, message: &Message) {
        // A server that only asks where it stands may speak from another folder than the one that is remembered.
        let known = self.boots.0.get_mut(&to.node);
        let Some(known) = known.filter(|known| known.incarnation == to.incarnation) else {
            return;
        };
        let is_asked = matches!(message, Message::Greeting { is_answer: false, .. });
        let has_said = known.said.is_some() || matches!(message, Message::Greeting { .. });
        let interval = self.config.timing.heartbeat_ticks;
        let is_due = known
            .greeted_at
            .is_none_or(|then| self.now.value() - then.value() >= interval);
        let (heard, lacks) = (known.instead_of(to.boot), known.lacks);
        if is_due && (heard.is_some() || lacks.is_some() || is_asked || !has_said) {
            known.greeted_at = Some(self.now);
            let greeting = Message::Greeting {
                heard,
                lacks,
                is_answer: has_said,
                tick_micros: self.config.tick_micros,
                settings: self.config.settings,
            };
            self.answer(to, Promise::Term, greeting);
        }
    }
}

impl Raft {
    /// Whether the message comes from a start that counts. If a folder is found to speak twice, what it said before is
    /// forgotten: a leader asks it anew what it holds, which no answer will tell, and a campaign that counted its vote is
    /// given up.
    pub(super) fn boot_counts(&mut self, envelope: &Envelope) -> bool {
        let from = Sender::of(envelope);
        let greets = matches!(envelope.message, Message::Greeting { .. });
        if !greets && self.server.boots.is_settled(from) {
            return true;
        }
        let judgement = self.server.judge_boot(from, &envelope.message);
        // A server that waits to be admitted says hello, and nothing else.
        if !matches!(self.role, Role::Joining(_)) {
            self.server.greet(from, &envelope.message);
        }
        match judgement {
            Judgement::Counts => return true,
            Judgement::Begins => {
                // What was on its way is lost with the start before. Does this one hold what that one acknowledged?
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_unreachable(from.node);
                }
                return true;
            }
            Judgement::Dropped => {}
            Judgement::Doubled => match &mut self.role {
                Role::Leader(leader) => leader.forget_peer(&mut self.server, from.node),
                Role::Candidate(_) => self.carry_out(Transition::Follow(None).into()),
                Role::Follower(_) if self.server.leader() == Some(from.node) => {
                    self.carry_out(Transition::Follow(None).into());
                }
                Role::Follower(_) | Role::Joining(_) => {}
            },
        }
        self.server.ignored.other_boot += 1;
        false
    }

    /// A start says what it is, and why it drops what comes from this server, if it does.
    pub(super) fn on_greeting(
        &mut self,
        from: Sender,
        addressed_as: Option<Incarnation>,
        (heard, lacks): (Option<Boot>, Option<LogId>),
        said: (u64, u64),
    ) {
        let server = &mut self.server;
        if let Some(known) = server.boots.0.get_mut(&from.node) {
            known.said = Some(said);
        }
        let mine = server.sender();
        let is_another = |boot: Boot| boot.counter >= mine.boot.counter && boot != mine.boot;
        let is_over = heard.is_some_and(is_another) || lacks.is_some();
        if addressed_as == Some(mine.incarnation) && is_over {
            server.out.silence();
            if let Role::Leader(_) | Role::Candidate(_) = self.role {
                self.carry_out(Transition::Follow(None).into());
            }
        }
    }
}
