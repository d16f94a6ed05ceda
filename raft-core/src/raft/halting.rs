//! A program that meets a committed entry which it does not understand: a newer program has proposed it, and may have
//! applied it on another server. Whatever this one did with it would be wrong, so it halts before it.
//!
//! * The state machine says so of a command ([`Input::Halted`](crate::Input::Halted)); the core sees by itself that an
//!   entry raises the level beyond this program's.
//! * The halt is not written down. A restart applies the same entries again and meets the same one, or does not: if the
//!   program is a newer one.
//! * A halted server stores, acknowledges and votes like any other. So a cluster loses no quorum to a halt, and what is
//!   committed stays so.
//! * It neither campaigns nor takes over. Its clients would wait for answers that it cannot give.
//! * It answers no reads: whatever a read may see is at the entry or after it, since the entry is committed.
//! * A leader that halts looks for a voter that did not (`leader/yielding.rs`).
//!
//! Every leadership that a halt ends leaves one more server halted for the rest of its boot. So there are no more of
//! them, one after the other, than there are servers.

use crate::action::{Notice, Rejection};
use crate::level::{Halted, Level};
use crate::message::Message;
use crate::types::{Index, PeerSession, Round, SnapshotMeta};

use super::server::Server;
use super::{Next, Raft, Role, STAY, Transition};

impl Raft {
    /// Where this server has halted, if it has.
    pub fn halted(&self) -> Option<Halted> {
        self.server.halted
    }

    /// The level of the log that is in force: clients may be given commands up to this level.
    pub fn level(&self) -> Level {
        self.server.level()
    }

    /// The state machine does not understand an entry that it was told to apply.
    pub(super) fn on_halted(&mut self, at: Index, needs: Option<Level>) {
        if !self.server.take_back_from(at) {
            return;
        }
        self.server.halt(Halted { at, needs });
        let next = self.stop_campaign();
        self.carry_out(next);
    }

    /// A server that halts while it campaigns must not win.
    fn stop_campaign(&self) -> Next {
        match self.role {
            Role::Candidate(_) if !self.server.may_campaign() => Transition::Follow(None).into(),
            _ => STAY,
        }
    }

    /// Returns the reason to reject whatever needs this server's state machine.
    pub(super) fn check_halted(&self) -> Result<(), Rejection> {
        self.server.halted.map_or(Ok(()), |halted| Err(halted.into()))
    }
}

impl Server {
    /// The level in force.
    pub(super) fn level(&self) -> Level {
        let in_force = self.log.level_at(self.commit);
        plant!(in_force, LEVEL_AT_APPEND => self.log.newest_level().1)
    }

    /// Takes note of what the commit index says about levels: a higher one is in force, and the folder belongs to
    /// programs of that level from here on. A program below it halts, and leaves the folder as it is.
    pub(super) fn learn_level(&mut self) {
        let program = self.config.level;
        let in_force = self.log.level_at(self.commit);
        if in_force <= program {
            self.out.raise_level(in_force);
            return;
        }
        if let Some((at, needs)) = self.log.first_above(program)
            && Some(at) > self.applied
        {
            let needs = Some(needs);
            unless_planted!(PASSES_HIGHER_LEVEL, self.halt(Halted { at, needs }));
        }
    }

    /// Undoes the handing out of this entry and later ones. Returns false, with nothing changed, if it was not handed
    /// out, or if a snapshot covers it.
    fn take_back_from(&mut self, at: Index) -> bool {
        let covered = self.log.snapshot().map(|meta| meta.last.index);
        let handed_out = if self.config.options.applies_at_once {
            Some(at) <= self.applied
        } else {
            Some(at) > self.applied && Some(at) <= self.applying
        };
        let handed_out = handed_out && Some(at) > covered;
        if handed_out {
            self.applied = at.previous();
            self.applying = None;
        }
        handed_out
    }

    /// Halts before this entry. A halt before an earlier one stands.
    fn halt(&mut self, halted: Halted) {
        if self.halted.is_some_and(|earlier| earlier.at <= halted.at) {
            return;
        }
        self.halted = Some(halted);
        self.out.push(Notice::Halted(halted));
        self.reject_clients_from(halted);
    }

    /// Ends the requests that need a state machine which has applied this entry.
    fn reject_clients_from(&mut self, halted: Halted) {
        let reason = Rejection::from(halted);
        for (id, _) in self.confirmed_reads.drain(..) {
            self.out.push(Notice::ReadRejected { id, reason });
        }
        let first = self
            .proposals
            .partition_point(|proposal| proposal.at.index < halted.at);
        let unanswered = self.proposals.drain(first..).chain(self.truncated.drain(..));
        for proposal in unanswered {
            self.out.push(Notice::Unknown { id: proposal.id });
        }
        self.give_up_all_forwarded();
        self.fail_forwarded_reads(reason);
    }

    /// The last entry that may be applied, of those up to `last`.
    pub(super) fn before_halt(&self, last: Option<Index>) -> Option<Index> {
        let Some(halted) = self.halted else { return last };
        last.min(halted.at.previous())
    }

    /// Up to where entries have been applied, or never will be in this boot: the state machine needs them no more.
    pub(super) fn no_more_needed(&self) -> Option<Index> {
        match self.halted {
            Some(halted) if self.applied == halted.at.previous() => self.log.last_index(),
            _ => self.applied,
        }
    }

    /// Whether a snapshot that a leader offers is one that this program can go on from. One of a higher level halts the
    /// server at the snapshot's end: it cannot apply what follows either.
    pub(super) fn may_take(&mut self, meta: &SnapshotMeta) -> bool {
        let (at, needs) = (meta.last.index, meta.level);
        if needs > self.config.level {
            let needs = Some(needs);
            unless_planted!(TAKES_HIGHER_SNAPSHOTS, self.halt(Halted { at, needs }));
        }
        self.halted.is_none_or(|halted| at < halted.at)
    }

    /// Whether so many entries may be stored up to `last`: see [`Limits::halted_entries`](crate::Limits::halted_entries).
    pub(super) fn may_store(&self, last: Option<Index>) -> bool {
        self.halted.is_none_or(|halted| {
            let beyond = Index::count(last).saturating_sub(halted.at.value());
            beyond <= self.config.limits.halted_entries
        })
    }

    /// A follower's answer, with what it says of its program and, if it answers a round, of its wall clock.
    pub(super) fn heartbeat_reply(&self, session: PeerSession, round: Round, promise_micros: u64) -> Message {
        Message::HeartbeatReply {
            session,
            round,
            promise_micros,
            level: self.config.level,
            halted: self.halted.is_some(),
            stalled: self.disk_stalls(),
            wall_time: self.wall_time().filter(|_| session != PeerSession::NONE),
        }
    }
}
