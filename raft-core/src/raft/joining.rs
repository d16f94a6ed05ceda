//! The first start, and how it is told from a lost disk.
//!
//! A server whose disk is wholly empty may be new, or it may have voted and acknowledged before its disk was lost. In
//! the second case, taking part again would break promises that others rely on. So it asks:
//!
//! * It goes ahead when a majority of the first configuration, itself included, says that its log is empty: a first
//!   start.
//! * Otherwise the cluster exists, and its leader decides. The leader binds every member that it hears from to its data
//!   folder by an entry in the log. When that entry is committed, the member is admitted. What an unbound folder that
//!   was lost may have promised before does no harm by then, except its vote in the leader's own term: an admitted
//!   member votes in later terms only. A member that is bound to another folder is fenced until it is removed and added
//!   again.
//!
//! A server that is added to a cluster later starts with an empty disk as well, and may know no other server. The
//! leader that added it, as a learner, sends it heartbeats. The server asks that leader where it stands, and is bound
//! and admitted like any other. So is a server whose disk was lost, once it was removed, which unbinds it, and added
//! again.
//!
//! What remains possible: a majority that lost its disks together looks like a first start. So does one that lost them
//! while the only other servers within reach had never received an entry.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::identity::ClusterId;
use crate::membership::Membership;
use crate::message::{Message, Standing};
use crate::outbox::Promise;
use crate::types::{NodeId, Term, Tick};

use super::server::Server;
use super::{Next, STAY, Sender, Transition};

#[derive(Debug)]
pub(super) struct Joining {
    /// The servers that answered this boot's Hello with an empty log. Seeing such a log filled later proves nothing
    /// against this server: whatever filled it happened after this server's disk was found empty.
    blank: BTreeSet<NodeId>,
    /// Whether some server's log was not empty at first sight.
    established: bool,
    /// Whether some server said that the cluster knows another data folder of this server.
    fenced: bool,
    hello_at: Tick,
}

impl Joining {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            blank: BTreeSet::from([server.me()]),
            established: false,
            fenced: false,
            hello_at: server.now,
        }
    }

    pub(super) fn deadline(&self) -> Tick {
        self.hello_at
    }

    pub(super) fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// Greets all members again with every heartbeat interval.
    pub(super) fn tick(&mut self, server: &mut Server) -> Next {
        if server.now < self.hello_at {
            return STAY;
        }
        self.hello_at = server.after(server.config.timing.heartbeat_ticks);
        let me = server.me();
        let others: Vec<NodeId> = server.log.membership().members().filter(|&n| n != me).collect();
        for other in others {
            server.send(other, None, Promise::Term, Message::Hello);
        }
        self.maybe_first_start(server)
    }

    /// A leader outside the configuration known here sends a heartbeat. It has added this server, which can now ask
    /// where it stands. A new server knows no other one until then.
    pub(super) fn on_heartbeat(&mut self, server: &mut Server, from: Sender) {
        server.send(from.node, None, Promise::Term, Message::Hello);
    }

    /// A member, or the leader that added this server, says where this server stands.
    pub(super) fn on_hello_reply(
        &mut self,
        server: &mut Server,
        from: Sender,
        cluster: ClusterId,
        term: Term,
        standing: Standing,
    ) -> Next {
        match standing {
            Standing::Blank => {
                // Only members are remembered, however many other servers answer.
                if server.log.membership().contains(from.node) {
                    self.blank.insert(from.node);
                }
            }
            Standing::Established => self.established |= !self.blank.contains(&from.node),
            Standing::Fenced { .. } => {
                self.established = true;
                self.fenced = true;
            }
            Standing::Admitted => {
                server.adopt_cluster(cluster);
                return Self::take_part_after(server, term);
            }
        }
        self.maybe_first_start(server)
    }

    /// Takes part, and votes only in terms after this one. The leader that bound this folder may have won its term with
    /// the vote of a folder that was lost before any entry bound it, and a second vote in that term could elect a
    /// second leader. In later terms a lost vote does no harm: its candidate does not hold the binding, which is
    /// committed.
    fn take_part_after(server: &mut Server, term: Term) -> Next {
        if term > server.out.term() {
            server.set_term(term);
        }
        server.out.set_admitted();
        server.out.set_vote(server.me(), server.sender().boot);
        Transition::FollowAfterStart.into()
    }

    fn maybe_first_start(&self, server: &Server) -> Next {
        let blank = |node| self.blank.contains(&node);
        if !self.established && server.is_voter() && server.log.membership().has_quorum(blank) {
            return Transition::Follow(None).into();
        }
        STAY
    }
}

impl Server {
    /// Tells a joining server its standing. A Hello proves nothing about its sender's log: it may have been in flight
    /// since long before this server's disk was found empty. A reply to this server's own Hello is younger than that.
    pub(super) fn on_hello(&mut self, from: Sender) -> Standing {
        let standing = self.standing_of(from);
        self.answer(from, Promise::Term, Message::HelloReply { standing });
        standing
    }

    /// The standing of the folder that asks, by what is committed here: an uncommitted binding may yet be truncated.
    fn standing_of(&self, from: Sender) -> Standing {
        let (_, committed) = self.log.membership_at(self.commit);
        match committed.incarnation(from.node) {
            Some(bound) if bound == from.incarnation => Standing::Admitted,
            Some(bound) => Standing::Fenced { bound },
            None if self.log.is_empty() => Standing::Blank,
            None => Standing::Established,
        }
    }

    /// Whether a committed entry binds this server to another data folder than this one.
    pub(super) fn is_bound_elsewhere(&self) -> bool {
        let (_, committed) = self.log.membership_at(self.commit);
        self.is_bound_elsewhere_by(committed)
    }

    /// Whether this configuration binds this server to another data folder than this one.
    pub(super) fn is_bound_elsewhere_by(&self, membership: &Membership) -> bool {
        let bound = membership.incarnation(self.me());
        bound.is_some_and(|bound| bound != self.incarnation())
    }
}
