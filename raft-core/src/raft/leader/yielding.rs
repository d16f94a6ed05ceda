//! A leader that has halted (`halting`) looks for another server to lead. It cannot answer its clients, and does not
//! know whether its followers can: they learn what is committed after it.
//!
//! * It waits for one heartbeat and its answers, which say who has halted as well.
//! * Then it hands leadership over (`transfer`) to the voter that holds most, of those that answer and have not said
//!   that they halted. It goes on to feed that voter until it is up to date: a newer program may be the one that lags.
//! * It tries the next one if that takes too long, and steps down when no other voter may lead, or after four of the
//!   longest election timeouts. From then on no server leads that needs a newer program. If every server that is up to date
//!   needs one, no server leads until it is started.

use crate::types::{NodeId, Tick};

use super::transfer::Handover;
use super::{Leader, Next, STAY, Server, Transition};

/// For how many of the longest election timeouts a halted leader looks for another one.
const PATIENCE_TIMEOUTS: u64 = 4;

impl Leader {
    /// With every heartbeat: looks for another leader if this one has halted.
    pub(super) fn maybe_yield_after_halt(&mut self, server: &mut Server) -> Next {
        let stays = server.halted.is_none();
        if plant!(stays, HALTED_LEADER_STAYS => true) {
            return STAY;
        }
        let since: Tick = *self.halted_at.get_or_insert(server.now);
        let waited = server.ticks_since(since);
        if waited < server.config.timing.heartbeat_ticks {
            return STAY;
        }
        let longest = server.config.timing.election_timeout_max_ticks;
        if waited >= longest.saturating_mul(PATIENCE_TIMEOUTS) || !self.has_heirs(server) {
            return Transition::Follow(None).into();
        }
        self.give_up_halted_heir();
        if self.handover.is_none()
            && let Some(to) = self.heir(server)
        {
            self.handover = Some(Handover::unasked(server, to));
        }
        STAY
    }

    /// Ends the handover to a server that has halted meanwhile, unless an operator asked for it.
    fn give_up_halted_heir(&mut self) {
        let peers = &self.peers;
        self.handover.take_if(|handover| {
            !handover.is_asked() && peers.get(&handover.to()).is_some_and(|to| to.is_halted())
        });
    }

    /// Whether another voter may yet lead.
    fn has_heirs(&self, server: &Server) -> bool {
        let membership = server.log.membership();
        let mut voters = membership.voters().filter(|&node| node != server.me());
        voters
            .any(|node| !membership.is_witness(node) && self.peer(node).is_some_and(|peer| !peer.is_halted()))
    }

    /// The voter that holds most, of those that answer and have not halted.
    fn heir(&self, server: &Server) -> Option<NodeId> {
        let membership = server.log.membership();
        self.best_voter(server, |node, _| membership.is_incoming_voter(node))
    }
}
