//! Which voters are healthy, so that a change of the configuration does not leave the cluster without a quorum.
//!
//! A configuration is in force from its append on, and what it takes away is no help any more. So an operator who
//! removes the wrong one of two servers, the one that runs, would be left with none that can decide. The leader knows
//! better: it hears each peer, or does not. It refuses a change unless a quorum of its voters is healthy, in both halves
//! of a joint configuration, of which the incoming one is also the configuration that follows.
//!
//! * A voter is healthy if it has answered this leader within the shortest election timeout, its disk is not stalled,
//!   and it has not halted. A leader whose quorum falls silent steps down after the same time.
//! * What earlier leaders heard does not count. A new leader knows of no peer yet, and says so
//!   ([`NotReady`](ChangeRejection::NotReady)): it will know in a moment.
//! * Who knows more than the leader can force the change.
//! * What is not asked for is not refused either: a joint configuration is left, and folders are bound, as soon as the
//!   configuration before is committed. Staying would help no server.

use crate::action::{Ailment, ChangeRejection};
use crate::membership::Membership;
use crate::types::NodeId;

use super::{Leader, Server};

impl Leader {
    /// What keeps the server from counting as healthy, as far as this leader knows.
    pub(super) fn ailment(&self, server: &Server, node: NodeId) -> Option<Ailment> {
        if node == server.me() {
            return server.disk_stalls().then_some(Ailment::Stalled);
        }
        let patience = server.config.timing.election_timeout_min_ticks;
        let peer = self.peer(node);
        let heard_at = peer.and_then(|peer| peer.heard_at);
        let ticks = server.ticks_since(heard_at.unwrap_or(self.elected_at));
        match heard_at {
            _ if ticks > patience => Some(Ailment::Silent { ticks }),
            None => plant!(Some(Ailment::Unheard), COUNTS_UNHEARD_AS_HEALTHY => None),
            Some(_) if peer.is_some_and(|peer| peer.is_halted()) => Some(Ailment::Halted),
            Some(_) if peer.is_some_and(|peer| peer.is_stalled()) => Some(Ailment::Stalled),
            Some(_) => None,
        }
    }

    /// Checks that a quorum of the configuration's voters is healthy.
    pub(super) fn check_health(
        &self,
        server: &Server,
        membership: &Membership,
    ) -> Result<(), ChangeRejection> {
        let is_healthy = |node| self.ailment(server, node).is_none();
        let has_quorum = membership.has_quorum(is_healthy);
        if plant!(has_quorum, CHANGES_WITHOUT_HEALTH => true) {
            return Ok(());
        }
        let may_be = |node| matches!(self.ailment(server, node), None | Some(Ailment::Unheard));
        if membership.has_quorum(may_be) {
            return Err(ChangeRejection::NotReady);
        }
        let (healthy, voters) = membership.scarcest_half(is_healthy);
        // One that is known to be ill says more than one that may yet be heard.
        let both = || membership.voters().chain(membership.outgoing());
        let known = both().find(|&node| !may_be(node));
        let node = known.or(both().next()).unwrap_or(server.me());
        Err(ChangeRejection::NoHealthyQuorum {
            node,
            ailment: self.ailment(server, node).unwrap_or(Ailment::Unheard),
            healthy,
            voters,
        })
    }
}
