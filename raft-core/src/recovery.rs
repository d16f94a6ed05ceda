//! The last resort when a majority is lost for good: an operator makes one survivor the whole cluster.
//!
//! No server ever does this by itself. It cannot distinguish lost peers from unreachable ones, and two halves that both
//! continued would each acknowledge entries that the other never sees. So recovery is an operation on the disk of a
//! stopped server, and its operator vouches for what no server can know.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::Persist;
use crate::config::Setup;
use crate::entries::Entries;
use crate::identity::{ClusterId, Incarnation};
use crate::membership::Membership;
use crate::restore::{RestoreError, Restored, restore_log};
use crate::types::{Entry, EntryBody, HardState, Index, LogId, NodeId, Ticket};

/// The plan that makes one server the whole cluster.
///
/// # In this order
///
/// 1. Make sure that the lost servers **never start again** with their old folders. A majority of them would continue
///    as the old cluster.
/// 2. Stop all surviving servers and take the one with the highest [`Recovery::last`], the most up-to-date log. If any
///    survivor has everything that was acknowledged, this one has.
/// 3. Copy its folder. Then let its store perform [`Recovery::write`] like any other write, and start the server. It
///    elects itself.
/// 4. Empty the folders of all other servers, including the other survivors. Start each with an **empty**
///    [`Setup::bootstrap`], like any server that is to be added. Add them one by one as learners, and promote them.
///    With the old bootstrap configuration, a majority of empty servers that does not reach this one would take their
///    start for the cluster's first.
///
/// Give the cluster another [`GroupId`](crate::GroupId) if you can. Then messages of the old cluster are dropped,
/// should step 1 fail.
///
/// # What it costs
///
/// Entries that only lost servers held are gone, although clients may have been told that they are done, and reads may
/// have shown their effects. Entries that this server holds after its known commit index become committed
/// ([`Recovery::unconfirmed`]), although clients may have been told that they failed.
///
/// # Example
///
/// ```
/// use raft_core::{Boot, Config, Durable, GroupId, HardState, Identity, Incarnation, Membership, NodeId, Recovery, Setup, Term};
///
/// let setup = Setup {
///     identity: Identity { group: GroupId::new(1), node: NodeId::new(1), incarnation: Incarnation::new(7), boot: Boot::new(9, 41) },
///     config: Config::default(),
///     bootstrap: Membership::of_voters((1..=3).map(NodeId::new)),
///     // What the store of server 1 reads at a start.
///     durable: Durable { hard_state: HardState { term: Term::new(4), ..HardState::default() }, ..Durable::default() },
/// };
/// let recovery = Recovery::of(&setup)?;
/// assert_eq!(recovery.without, [NodeId::new(2), NodeId::new(3)]);
/// assert_eq!(recovery.write.entries.len(), 1, "the store writes it, and the next start reads it");
/// # Ok::<(), raft_core::RecoveryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The write for the server's store: a new term, and an entry of that term with a configuration of this server
    /// alone. No write of a running server has its ticket.
    pub write: Persist,
    /// The servers that the cluster loses: all other members of the configuration in force here, in the order of their
    /// ids.
    pub without: Vec<NodeId>,
    /// The last entry of this server's log. Compare it among the survivors, the term first.
    pub last: Option<LogId>,
    /// The first and the last entry that this server does not know to be committed. These entries become committed.
    pub unconfirmed: Option<(Index, Index)>,
}

/// Why a server cannot be made the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The content of the disk or the settings are invalid.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The data folder is empty.
    #[error("this data folder is empty; recover a server whose folder holds the cluster's log")]
    Empty,
    /// The server is a witness and holds no commands.
    #[error("this server is a witness and holds no commands; recover another server")]
    Witness,
    /// The server knows that its own removal is committed.
    #[error("this server was removed from the cluster and may lack later entries; recover a member")]
    NotMember,
    /// The server is fenced: the cluster binds its id to another data folder.
    #[error(
        "this server is fenced: the cluster binds it to data folder {bound}, and this folder ({found}) may lack what that one promised; recover another server"
    )]
    Fenced {
        /// The folder that the log binds the server to.
        bound: Incarnation,
        /// The folder of this server.
        found: Incarnation,
    },
    /// The server is the only member.
    #[error("this server is the whole cluster already; start it")]
    Alone,
}

impl Recovery {
    /// Returns the plan for a server, from what it would be started with. Changes nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the server could not start from its disk, or if its log cannot be the basis of a cluster.
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
        // A removal that this server does not know to be committed may never have been committed, and no other server
        // is left that could tell.
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
        // From here on it is another cluster: what is left of the old one refuses it, and is refused.
        let cluster = ClusterId::founded(alone.digest(), identity.boot.nonce);
        let entry = Entry {
            id,
            body: EntryBody::Membership(Arc::new(alone)),
        };
        let last = log.last();
        let unconfirmed = last.filter(|last| Some(last.index) > confirmed);
        Ok(Self {
            write: Persist {
                ticket: Ticket::new(0),
                hard_state: Some(Box::new(HardState {
                    term,
                    vote: None,
                    vote_boot: durable.hard_state.vote_boot,
                    admitted: durable.hard_state.admitted,
                    promise_micros: durable.hard_state.promise_micros,
                    // It is another cluster from here on, in which only this copy speaks.
                    silenced: false,
                    cluster,
                    level: durable.hard_state.level,
                })),
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
