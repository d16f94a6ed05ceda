//! Which cluster, and so which log, a server belongs to ([`ClusterId`]). Two clusters that meet on one network must not
//! take each other's messages for their own: an entry of one and an entry of the other may have the same term and index.
//!
//! * A server of a cluster's first start goes by the first configuration until it knows the first entry to be committed,
//!   and by that entry from then on.
//! * A server that waits to be added believes the server that says it is admitted.
//! * Whatever comes from another cluster is dropped and counted, before any other rule looks at it, and answered once, so
//!   that both sides know.

use crate::identity::ClusterId;
use crate::message::{Envelope, Message};
use crate::outbox::Promise;
use crate::types::{EntryBody, Index};

use super::server::Server;
use super::{Raft, Sender};

impl Server {
    pub(super) fn cluster(&self) -> ClusterId {
        self.out.hard_state().cluster
    }

    /// The identity of the cluster whose first entry this server appends: it draws the number, at the start of the boot
    /// in which it was elected.
    pub(super) fn founded_cluster(&self) -> ClusterId {
        let known = self.cluster();
        if known.is_bound() {
            return known;
        }
        ClusterId::founded(known.founding, self.out.identity().boot.nonce)
    }

    /// Takes the identity from the snapshot or from the first entry, once that is committed: another leader may have
    /// written another one before.
    pub(super) fn learn_cluster(&mut self) {
        if self.cluster().is_bound() {
            return;
        }
        let of_snapshot = self.log.snapshot().map(|meta| meta.cluster);
        let of_log = || match &self.log.entry(Index::FIRST)?.body {
            EntryBody::Founding(cluster) if self.commit.is_some() => Some(*cluster),
            _ => None,
        };
        if let Some(cluster) = of_snapshot.filter(|cluster| cluster.is_bound()).or_else(of_log) {
            self.out.set_cluster(cluster);
        }
    }

    /// Takes the identity from the server that says that this one is admitted.
    pub(super) fn adopt_cluster(&mut self, cluster: ClusterId) {
        if !self.cluster().is_bound() && !cluster.is_unknown() {
            self.out.set_cluster(cluster);
        }
    }

    /// Whether the message comes from this server's cluster, as far as both sides know. A server that waits to be added
    /// knows no cluster and hears any; it has nothing to say but to ask and to tell where it stands.
    fn is_of_my_cluster(&self, envelope: &Envelope) -> bool {
        let (mine, theirs) = (self.cluster(), envelope.cluster);
        if mine.is_unknown() {
            true
        } else if theirs.is_unknown() {
            matches!(envelope.message, Message::Hello | Message::HelloReply { .. })
        } else {
            plant!(mine.agrees_with(theirs), COMPARES_FOUNDINGS_ALONE => mine.founding == theirs.founding)
        }
    }
}

impl Raft {
    /// Drops and answers what comes from another cluster. Returns whether it was.
    pub(super) fn refuses_other_cluster(&mut self, envelope: &Envelope) -> bool {
        let server = &mut self.server;
        if server.is_of_my_cluster(envelope) {
            return false;
        }
        server.ignored.other_cluster += 1;
        server.stranger = Some((envelope.from, envelope.cluster));
        if !matches!(envelope.message, Message::OtherCluster) {
            server.answer(Sender::of(envelope), Promise::Term, Message::OtherCluster);
        }
        true
    }
}
