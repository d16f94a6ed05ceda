//! Peers that the configuration in force does not name any more. They are fed until they know that their removal is
//! committed (dissertation §4.2.2): a removed server that does not know it would campaign in vain for ever.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::action::Action;
use crate::identity::Incarnation;
use crate::types::{Index, NodeId, Round, Tick};

use super::progress::Progress;
use super::{Leader, Server};

/// For how many of the longest election timeouts a removed server is fed, if it does not confirm that it knows.
const PATIENCE_TIMEOUTS: u64 = 10;

/// The removal of a peer.
#[derive(Clone, Debug)]
pub(super) struct Removal {
    /// The entry that removes it.
    at: Option<Index>,
    gives_up_at: Tick,
    /// The read round in which it was told that its removal is committed.
    told: Option<Round>,
}

impl Removal {
    /// The removal by the configuration in force.
    pub(super) fn new(server: &Server) -> Self {
        let longest = server.config.timing.election_timeout_max_ticks;
        Self {
            at: server.log.membership_id().map(|id| id.index),
            gives_up_at: server.after(longest.saturating_mul(PATIENCE_TIMEOUTS)),
            told: None,
        }
    }
}

impl Leader {
    /// A new leader feeds the servers as well that its predecessors removed, as far as its log remembers them. The
    /// leader that removed them may have been gone before they knew, not least because it was removed with them.
    pub(super) fn feed_former_members(&mut self, server: &Server) {
        let me = server.me();
        let membership = server.log.membership();
        let former: BTreeMap<NodeId, (Option<Incarnation>, bool)> = (server.log.memberships())
            .flat_map(|former| {
                let known = |node| (former.incarnation(node), former.is_witness(node));
                former.members().map(move |node| (node, known(node)))
            })
            .filter(|(node, _)| *node != me && !membership.contains(*node))
            .collect();
        let removal = Removal::new(server);
        let (now, next) = (server.now, server.log.next_index());
        for (node, (folder, is_witness)) in former {
            let mut peer = Progress::new(self.next_session(), folder, next, now);
            peer.is_witness = is_witness;
            peer.removal = Some(removal.clone());
            self.peers.insert(node, peer);
        }
    }

    /// With every heartbeat, before it leaves: tells the peers that hold their removal that it is committed, in a round
    /// of its own. Drops those that have confirmed that round, or that have not answered for too long.
    pub(super) fn retire_removed_peers(&mut self, server: &mut Server) {
        let (now, commit) = (server.now, server.commit);
        let base = server.log.base().map(|base| base.index);
        let telling = Round::new(self.round.value() + 1);
        let mut tells = false;
        let mut ended = Vec::new();
        self.peers.retain(|_, peer: &mut Progress| {
            let (matched, confirmed) = (peer.matched(), peer.round);
            let Some(removal) = &mut peer.removal else {
                return true;
            };
            // The heartbeat names the entry that it says is committed, so the log must know that entry's term.
            let named = removal.at.max(base);
            if removal.told.is_none() && matched.min(commit) >= named {
                removal.told = Some(telling);
                tells = true;
            }
            let stays = now < removal.gives_up_at && removal.told.is_none_or(|told| confirmed < told);
            if !stays {
                ended.extend(peer.transfer().map(|transfer| transfer.ticket));
            }
            stays
        });
        if tells {
            self.round = telling;
        }
        for ticket in ended {
            server.out.push(Action::SnapshotEnded { ticket });
        }
    }
}
