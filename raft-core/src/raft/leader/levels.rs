//! Raising the level of the log. The leader does it by an entry of its own, as soon as every member, learners and
//! witnesses too, has said in its present boot that its program goes that far.
//!
//! That every member has said so is a courtesy to them: none of them will halt. Safety does not rest on it, because a
//! member may return to its former program right after it has said so. It rests on the entry itself. A program below it
//! does not get past it (`halting`), and commands of the new level come after it in every log.

use alloc::vec::Vec;

use crate::identity::Boot;
use crate::level::Level;
use crate::types::{Entry, EntryBody, LogId, NodeId};

use super::progress::Progress;
use super::{Leader, Server};

/// What a peer has said of its program, and of its disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    /// The boot in which it said so.
    boot: Boot,
    level: Level,
    is_halted: bool,
    is_stalled: bool,
}

impl Progress {
    /// Notes what the peer says of its program, and whether it has halted and its disk stalls. An earlier boot says
    /// nothing about the present one. Returns whether its level is news.
    fn note_program(&mut self, boot: Boot, said: (Level, bool, bool)) -> bool {
        let (level, is_halted, is_stalled) = said;
        if self
            .program
            .is_some_and(|known| boot.counter < known.boot.counter)
        {
            return false;
        }
        let is_news = self.level() != Some(level);
        self.program = Some(Program {
            boot,
            level,
            is_halted,
            is_stalled,
        });
        is_news
    }

    /// Forgets what an earlier boot said, once a later one is heard.
    pub(super) fn note_boot(&mut self, boot: Boot) {
        self.program
            .take_if(|known| boot != known.boot && boot.counter >= known.boot.counter);
    }

    /// Up to which level the peer's program goes, as it has said in its present boot.
    pub(super) fn level(&self) -> Option<Level> {
        self.program.map(|program| program.level)
    }

    /// Whether the peer has said, in its present boot, that its disk stalls.
    pub(super) fn is_stalled(&self) -> bool {
        self.program.is_some_and(|program| program.is_stalled)
    }

    /// Whether the peer has said, in its present boot, that it halted.
    pub(super) fn is_halted(&self) -> bool {
        self.program.is_some_and(|program| program.is_halted)
    }
}

impl Leader {
    /// Notes what a peer says of its program.
    pub(super) fn note_program(&mut self, from: NodeId, boot: Boot, said: (Level, bool, bool)) {
        if let Some(peer) = self.peers.get_mut(&from) {
            self.to_raise |= peer.note_program(boot, said);
        }
    }

    /// Up to which level a member's program goes, as far as it has said so in its present boot.
    fn announced_level(&self, server: &Server, node: NodeId) -> Option<Level> {
        if node == server.me() {
            return Some(server.config.level);
        }
        self.peer(node)?.level()
    }

    /// Once per drain: raises the level of the log to what every member's program understands, if that is higher. One
    /// entry at a time, and none before this leader knows which earlier ones are committed.
    pub(super) fn maybe_raise_level(&mut self, server: &mut Server) {
        if !self.to_raise {
            return;
        }
        let (set_by, newest) = server.log.newest_level();
        let is_settled = set_by.map(|id| id.index) <= server.commit && self.own_term_is_committed(server);
        if !is_settled || self.handover.is_some() || server.halted.is_some() {
            return;
        }
        self.to_raise = false;
        if let Some(level) = self.level_of_all(server).filter(|&level| level > newest) {
            let id = LogId::new(server.out.term(), server.log.next_index());
            let body = EntryBody::Level(level);
            self.append(server, Entry { id, body });
        }
    }

    /// The level up to which every member's program goes, if all of them have said so.
    fn level_of_all(&self, server: &Server) -> Option<Level> {
        let members = server.log.membership().members();
        let mut announced = members.map(|node| self.announced_level(server, node));
        if planted!(RAISES_WITHOUT_SILENT) {
            return announced.flatten().min();
        }
        announced.try_fold(server.config.level, |lowest, level| Some(lowest.min(level?)))
    }

    /// The members that keep the leader from raising the level to that of its own program.
    pub(in crate::raft) fn level_held_back_by(&self, server: &Server) -> Vec<NodeId> {
        let wanted = server.config.level;
        if server.log.newest_level().1 >= wanted {
            return Vec::new();
        }
        let members = server.log.membership().members();
        members
            .filter(|&node| self.announced_level(server, node) < Some(wanted))
            .collect()
    }
}
