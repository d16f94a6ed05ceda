//! The last resort when a majority is gone for good: one survivor goes on alone, because somebody says so.
//!
//! No server ever does this by itself. It cannot tell peers that are lost from peers that it does not reach, and two
//! halves that both went on would each acknowledge what the other never sees. So it is an operation on the disk of a
//! server that does not run, and whoever orders it answers for what no server can know.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::Persist;
use crate::config::Setup;
use crate::entries::Entries;
use crate::membership::Membership;
use crate::restore::{RestoreError, Restored, restore_log};
use crate::types::{Entry, EntryBody, HardState, Incarnation, Index, LogId, NodeId, Ticket};

/// How one server is made the whole cluster.
///
/// # In this order
///
/// 1. See to it that the lost servers **never start again** with their old folders. A majority of them would go on as
///    the old cluster.
/// 2. Of the servers that are left, stop all and take the one whose log ends last: the highest [`Recovery::last`]. If
///    any of them has everything that was acknowledged, it has.
/// 3. Copy its folder. Then have its store carry out [`Recovery::write`], as it would any other, and start it. It
///    elects itself.
/// 4. Empty the folders of the others, the other survivors' among them. Start each with an **empty**
///    [`Setup::bootstrap`], as any server that is to be added, and add them one by one, as learners that are promoted.
///    With the bootstrap configuration of old, a majority of empty servers that does not reach this one would take its
///    start for the cluster's first.
///
/// Give the cluster another [`GroupId`](crate::GroupId) if you can: then nobody of the old one is heard, should step 1
/// fail.
///
/// # What it costs
///
/// What only lost servers held is gone, although clients may have been told that it is done, and reads may have shown
/// it. And what this server holds beyond the commit index that it knows becomes committed ([`Recovery::unconfirmed`]),
/// although clients may have been told that it is not.
///
/// # Example
///
/// ```
/// use raft_core::{Config, Durable, GroupId, HardState, Identity, Incarnation, Membership, NodeId, Recovery, Setup, Term};
///
/// let setup = Setup {
///     identity: Identity { group: GroupId::new(1), node: NodeId::new(1), incarnation: Incarnation::new(7), boot: 9 },
///     config: Config::default(),
///     bootstrap: Membership::of_voters((1..=3).map(NodeId::new)),
///     // What the store of server 1 reads at a start.
///     durable: Durable { hard_state: HardState { term: Term::new(4), vote: None }, ..Durable::default() },
/// };
/// let recovery = Recovery::of(&setup)?;
/// assert_eq!(recovery.without, [NodeId::new(2), NodeId::new(3)]);
/// assert_eq!(recovery.write.entries.len(), 1, "the store writes it, and the next start reads it");
/// # Ok::<(), raft_core::RecoveryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// What the server's store is to write: a term of its own, and in it a configuration of this server alone. Its
    /// ticket is no write's of a running server.
    pub write: Persist,
    /// Whom the cluster goes on without: every other member of the configuration that was in force here, in the order
    /// of their ids.
    pub without: Vec<NodeId>,
    /// Where this server's log ends: compare it among the survivors, the term first.
    pub last: Option<LogId>,
    /// The first entry that this server does not know to be committed, and the last: they become so.
    pub unconfirmed: Option<(Index, Index)>,
}

/// Why a server cannot be made the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// What the disk holds makes no sense.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// There is nothing to go on with.
    #[error("this data folder is empty: recover a server that has one of the cluster's")]
    Empty,
    /// It has no commands.
    #[error("this server is a witness and holds no commands: recover another one")]
    Witness,
    /// It knows that its own removal is committed.
    #[error("this server was removed from the cluster, and may miss what came after: recover a member")]
    NotMember,
    /// The cluster knows this server by another folder, which this one came after.
    #[error(
        "the cluster knows this server by another data folder ({bound}), and this one ({found}) may have lost what that promised: recover another server"
    )]
    Fenced {
        /// The folder that the cluster knows.
        bound: Incarnation,
        /// This one.
        found: Incarnation,
    },
    /// It needs nobody else.
    #[error("this server is the whole cluster already: start it")]
    Alone,
}

impl Recovery {
    /// The plan for a server, from what it would be started with.
    ///
    /// # Errors
    ///
    /// A disk that could not be started from, or that is no basis for a cluster. Nothing is changed in any case.
    pub fn of(setup: &Setup) -> Result<Self, RecoveryError> {
        let Setup {
            identity, durable, ..
        } = setup;
        if durable.is_empty() {
            return Err(RecoveryError::Empty);
        }
        let Restored { log, discarded } = restore_log(setup)?;
        let (me, folder) = (identity.node, identity.incarnation);
        let membership = log.membership();
        if setup.config.options.witness || membership.is_witness(me) {
            return Err(RecoveryError::Witness);
        }
        let confirmed = durable.commit.max(log.snapshot().map(|meta| meta.last.index));
        // A removal that this server does not know to be committed may never have been, and there is nobody left to
        // ask.
        let (_, committed) = log.membership_at(confirmed);
        if !membership.contains(me) && !committed.contains(me) {
            return Err(RecoveryError::NotMember);
        }
        let bound = membership.incarnation(me).or(committed.incarnation(me));
        if let Some(bound) = bound.filter(|&bound| bound != folder) {
            return Err(RecoveryError::Fenced { bound, found: folder });
        }
        let without: Vec<NodeId> = membership.members().filter(|&node| node != me).collect();
        if without.is_empty() && membership.contains(me) {
            return Err(RecoveryError::Alone);
        }
        let term = durable.hard_state.term.next();
        let id = LogId::new(term, log.next_index());
        let out_of_range = match (term.is_malformed(), id.index.is_malformed()) {
            (true, _) => Some(term.value()),
            (false, true) => Some(id.index.value()),
            (false, false) => None,
        };
        if let Some(number) = out_of_range {
            return Err(RestoreError::OutOfRange { number }.into());
        }
        let alone = Membership::of_voters([me]).bind([(me, folder)]);
        let entry = Entry {
            id,
            body: EntryBody::Membership(Arc::new(alone)),
        };
        let last = log.last();
        let unconfirmed = last.filter(|last| Some(last.index) > confirmed);
        Ok(Self {
            write: Persist {
                ticket: Ticket::new(0),
                hard_state: Some(HardState { term, vote: None }),
                snapshot: None,
                truncate_from: discarded.then_some(Index::FIRST),
                entries: Entries::from(alloc::vec![entry]),
                commit: None,
                compact_to: None,
                sync: true,
            },
            without,
            last,
            unconfirmed: unconfirmed.map(|last| (Index::after(confirmed), last.index)),
        })
    }
}
