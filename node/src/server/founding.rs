//! The first command of a cluster: its id, and the picture that people without permission see.

use lsb_core::{ClusterId, UnixSeconds};
use raft_core::replica::StateMachine;
use raft_core::{Payload, RoleName, Term, Vitals};

use super::picture::UnifiedImage;
use crate::ledger::{Action, Answer, Command, Genesis, Ledger, Query, encode_command};

/// What this server would found a cluster with, and whether that agrees with the cluster that was founded.
pub(super) struct Founding {
    cluster: ClusterId,
    picture: [u8; 32],
    picture_name: String,
    proposed_in: Option<Term>,
    checked: bool,
}

impl Founding {
    pub(super) fn new(cluster: ClusterId, image: &UnifiedImage) -> Self {
        Self {
            cluster,
            picture: image.hash(),
            picture_name: image.name().to_owned(),
            proposed_in: None,
            checked: false,
        }
    }

    /// Returns the founding command, once per leadership, while the ledger has none. A second one changes nothing, so
    /// two leaders may propose it.
    pub(super) fn command(&mut self, vitals: &Vitals, ledger: &Ledger) -> Option<Payload> {
        let due = vitals.role == RoleName::Leader
            && self.proposed_in != Some(vitals.term)
            && agreed_picture(ledger).is_none();
        due.then(|| {
            self.proposed_in = Some(vitals.term);
            let genesis = Genesis {
                cluster: self.cluster,
                denied_picture_hash: self.picture,
            };
            // The ledger's time begins with the first command of a client.
            encode_command(&Command {
                time: UnixSeconds(0),
                action: Action::Genesis(genesis),
            })
        })
    }

    /// Reports once, as soon as it is known, that this server's picture is not the cluster's.
    pub(super) fn check_picture(&mut self, agreed: Option<[u8; 32]>) {
        let Some(agreed) = agreed else { return };
        if std::mem::replace(&mut self.checked, true) || agreed == self.picture {
            return;
        }
        tracing::error!(
            "{} is not the picture that this cluster was founded with. This server refuses to protect pictures until it is restarted with a copy of the \
             unified image of the other servers; everything else works",
            self.picture_name
        );
    }
}

/// Returns the hash of the picture that the cluster was founded with, once it is known.
pub(super) fn agreed_picture(ledger: &Ledger) -> Option<[u8; 32]> {
    match ledger.query(Query::Overview) {
        Answer::Overview(overview) => overview.genesis.map(|genesis| genesis.denied_picture_hash),
        _ => None,
    }
}
