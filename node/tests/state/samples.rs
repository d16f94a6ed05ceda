//! One value of every kind that is encoded, made of fixed numbers and fixed keys.

use lsb_core::envelope::{Grant, Policy, UserName, Views};
use lsb_core::seal::{ExchangeKey, LedgerShare, ShareForCluster, SigningKey};
use lsb_core::{ClusterId, ObjectId, RequestId, UnixSeconds};
use node::cluster_key::ClusterKey;
use node::ledger::request::{
    AcknowledgeRequest, EnrolRequest, FirstViewRequest, ProtectRequest, Signed, ViewRequest,
};
use node::ledger::{Action, Command, Genesis, Registration};
use raft_core::Index;

/// Every kind of command, by name.
pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    let cluster = ClusterId::from_bytes([1; 16]);
    let object = ObjectId::from_bytes([2; 16]);
    let request = RequestId::from_bytes([3; 16]);
    let key = SigningKey::from_bytes(&[4; 32]);
    let alice = UserName::parse("alice").unwrap();
    let device = key.public();

    let grants = vec![
        Grant::new(alice.clone(), Views::Unlimited),
        Grant {
            not_before: Some(UnixSeconds(10)),
            expires: Some(UnixSeconds(20)),
            ..Grant::new(UserName::parse("bob").unwrap(), Views::Total(3))
        },
    ];
    let enrol = EnrolRequest {
        cluster,
        user: alice.clone(),
        key: device,
    };
    let protect = ProtectRequest {
        cluster,
        object,
        policy: Policy::new(alice.clone(), device, grants).unwrap(),
        manifest_hash: [5; 32],
        sealed_share: ShareForCluster::from_bytes([6; 80]),
    };
    let share = ClusterKey::from_bytes([7; 32]).wrap_share(object, &LedgerShare::from_bytes([8; 32]));
    let view = ViewRequest {
        cluster,
        object,
        user: alice.clone(),
        device,
        request,
        reply_to: ExchangeKey::from_bytes([9; 32]).public(),
        expires: UnixSeconds(1600),
    };
    let first_view = FirstViewRequest {
        view: view.clone(),
        after: Index::new(11),
        told: UnixSeconds(1300),
    };
    let acknowledge = AcknowledgeRequest {
        cluster,
        user: alice,
        device,
        request,
    };
    let actions = vec![
        (
            "Genesis",
            Action::Genesis(Genesis {
                cluster,
                denied_picture_hash: [10; 32],
            }),
        ),
        ("Enrol", Action::Enrol(Signed::sign(enrol, &key).unwrap())),
        (
            "Protect",
            Action::Protect(Box::new(Registration::new(
                Signed::sign(protect, &key).unwrap(),
                share,
            ))),
        ),
        ("View", Action::View(Signed::sign(view, &key).unwrap())),
        (
            "Acknowledge",
            Action::Acknowledge(Signed::sign(acknowledge, &key).unwrap()),
        ),
        (
            "FirstView",
            Action::FirstView(Signed::sign(first_view, &key).unwrap()),
        ),
    ];
    actions
        .into_iter()
        .map(|(name, action)| {
            (
                name,
                Command {
                    time: UnixSeconds(1000),
                    action,
                },
            )
        })
        .collect()
}
