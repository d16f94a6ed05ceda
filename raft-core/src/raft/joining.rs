//! The first start, and how a lost disk is told from it.
//!
//! A server whose disk is wholly empty may be new, or it may have voted and acknowledged before its disk was lost. In
//! the second case, taking part again would break promises that others rely on. So it asks:
//!
//! * Goes ahead when a majority of the first configuration, itself included, says that its log is empty: a first start.
//! * Otherwise the cluster exists, and its leader decides. The leader binds every member that it meets to its data
//!   folder by an entry in the log, and when that is committed the member is admitted. What an unbound folder that was
//!   lost may have promised before does no harm by then, except its vote in the leader's own term: an admitted member
//!   votes in later terms only. A member that is bound to another folder is fenced until it is removed
//!   and added again.
//!
//! A server that is added to a cluster later comes with an empty disk as well, and may know nobody. The leader that
//! added it, as a learner, makes itself heard; the server asks it where it stands, and is bound and admitted like any
//! other. So is a server whose disk was lost, once it was removed, which unbinds it, and added again.
//!
//! What remains possible: a majority that lost its disks together, or lost them while the only others that could be
//! reached had never received an entry, looks like a first start.

use alloc::collections::BTreeSet;

use crate::message::{Message, Standing};
use crate::outbox::Promise;
use crate::types::{Incarnation, NodeId, Term, Tick};

use super::{Raft, Role};

#[derive(Debug)]
pub(super) struct Joining {
    /// Who answered our greeting with an empty log since this boot. Seeing it filled later proves nothing against us:
    /// whatever filled it happened after our disk was found empty.
    blank: BTreeSet<NodeId>,
    /// Whether somebody's log was not empty at first sight.
    established: bool,
    fenced: bool,
    hello_at: Tick,
}

impl Joining {
    pub(super) fn hello_at(&self) -> Tick {
        self.hello_at
    }
}

impl Raft {
    pub(super) fn begin_joining(&mut self) {
        self.role = Role::Joining(Joining {
            blank: BTreeSet::from([self.me()]),
            established: false,
            fenced: false,
            hello_at: self.now,
        });
        self.role_changed();
        self.joining_tick();
    }

    pub(super) fn joining_tick(&mut self) {
        let again = self.after(self.config.timing.heartbeat_ticks);
        let now = self.now;
        let Role::Joining(joining) = &mut self.role else {
            return;
        };
        if now < joining.hello_at {
            return;
        }
        joining.hello_at = again;
        let me = self.me();
        let others: alloc::vec::Vec<NodeId> = self.log.membership().members().filter(|&n| n != me).collect();
        for other in others {
            self.send(other, Promise::Term, Message::Hello);
        }
        self.maybe_first_start();
    }

    /// A leader that this server has not heard of makes itself heard: it has added this server, which can now ask where
    /// it stands. A new server knows nobody until then.
    pub(super) fn on_called(&mut self, from: NodeId) {
        self.send(from, Promise::Term, Message::Hello);
    }

    pub(super) fn on_hello(&mut self, from: NodeId, incarnation: Incarnation) {
        // A greeting proves nothing about its sender's log: it may have been on its way since long before our disk was
        // found empty. An answer to our own greeting is younger than that.
        let standing = self.standing_of(from, incarnation);
        // The one that asks may be another folder than the one we know, so the reply names the folder that asked.
        let reply = Message::HelloReply { standing };
        self.out.send(from, Some(incarnation), Promise::Term, reply);
        if standing == Standing::Established {
            self.meet(from, incarnation);
        }
    }

    /// Only members are remembered, however many others greet.
    fn saw_blank(&mut self, from: NodeId) {
        let is_member = self.log.membership().contains(from);
        if let Role::Joining(joining) = &mut self.role
            && is_member
        {
            joining.blank.insert(from);
        }
    }

    /// Where the asking server stands, by what is committed here: an uncommitted binding may yet be taken back.
    fn standing_of(&self, node: NodeId, incarnation: Incarnation) -> Standing {
        let (_, committed) = self.log.membership_at(self.commit);
        match committed.incarnation(node) {
            Some(bound) if bound == incarnation => Standing::Admitted,
            Some(bound) => Standing::Fenced { bound },
            None if self.log.is_empty() => Standing::Blank,
            None => Standing::Established,
        }
    }

    pub(super) fn on_hello_reply(&mut self, from: NodeId, term: Term, standing: Standing) {
        let Role::Joining(joining) = &mut self.role else {
            self.ignored.stale += 1;
            return;
        };
        match standing {
            Standing::Blank => self.saw_blank(from),
            Standing::Established => joining.established |= !joining.blank.contains(&from),
            Standing::Fenced { .. } => {
                joining.established = true;
                joining.fenced = true;
            }
            Standing::Admitted => {
                self.take_part_after(term);
                return;
            }
        }
        self.maybe_first_start();
    }

    /// Takes part, and votes only in terms after this one. The leader that bound this folder may have won its term with
    /// the vote of a folder that was lost before anybody bound it, and a second vote in that term could elect a second
    /// leader. In later terms a lost vote does no harm: its candidate does not hold the binding, which is committed.
    fn take_part_after(&mut self, term: Term) {
        if term > self.out.term() {
            self.set_term(term);
        }
        self.out.set_vote(self.me());
        self.become_follower(None);
        self.wait_out_forgotten_leases();
    }

    /// Whether others take this server's data folder for another one than the cluster knows.
    pub(super) fn is_fenced(&self) -> bool {
        let identity = self.out.identity();
        let (_, committed) = self.log.membership_at(self.commit);
        let bound = committed.incarnation(identity.node);
        let was_told = matches!(&self.role, Role::Joining(joining) if joining.fenced);
        was_told || bound.is_some_and(|bound| bound != identity.incarnation)
    }

    fn maybe_first_start(&mut self) {
        let Role::Joining(joining) = &self.role else {
            return;
        };
        let blank = |node| joining.blank.contains(&node);
        if !joining.established && self.is_voter() && self.log.membership().has_quorum(blank) {
            self.become_follower(None);
        }
    }
}
