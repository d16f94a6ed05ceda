//! A new cluster that begins with a state from elsewhere: a backup that is restored, or a copy of a cluster that goes on.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::action::Persist;
use crate::entries::Entries;
use crate::identity::ClusterId;
use crate::level::Level;
use crate::membership::Membership;
use crate::types::{HardState, Index, LogId, NodeId, SnapshotMeta, Term, Ticket};

impl Persist {
    /// The first write into the empty folder of a founder of a new cluster that begins with a snapshot of another one's
    /// state. The snapshot's bytes go with it.
    ///
    /// # In this order
    ///
    /// 1. Restore the state from the bytes that you have, and change what must not be carried over. Client sessions must
    ///    not be: [`Sessions::into_new_log`](crate::sessions::Sessions::into_new_log) drops them, so that no client of
    ///    the other cluster is answered with a response of this one. Take the bytes of what comes out.
    /// 2. Draw a number at random, once for the new cluster, and give it to all founders.
    /// 3. For each founder, make a folder with a new [`Incarnation`](crate::Incarnation), and let its store make
    ///    these bytes durable and then perform this write, which names them. A witness gets the write without the bytes.
    /// 4. Start all founders with [`Setup::bootstrap`](crate::Setup::bootstrap) as here.
    ///
    /// `level` is the level of the log that the state comes from ([`SnapshotMeta::level`]): the state may hold what only
    /// programs of that level understand.
    ///
    /// The new cluster has an identity of its own ([`ClusterId`]). Servers of the cluster that the state comes from
    /// refuse it, and are refused: both may go on side by side.
    #[must_use]
    pub fn founding(node: NodeId, founders: &Membership, level: Level, nonce: u32) -> Self {
        let cluster = ClusterId::founded(founders.digest(), nonce);
        let (term, last) = (Term::new(1), Index::FIRST);
        Self {
            ticket: Ticket::new(0),
            hard_state: Some(Box::new(HardState {
                term,
                cluster,
                level,
                ..HardState::default()
            })),
            snapshot: Some(Box::new(SnapshotMeta {
                last: LogId::new(term, last),
                membership: Arc::new(founders.clone()),
                membership_id: None,
                withheld: founders.is_witness(node),
                cluster,
                level,
            })),
            truncate_from: None,
            entries: Entries::default(),
            commit: Some(last),
            compact_to: None,
            sync: true,
        }
    }
}
