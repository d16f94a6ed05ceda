//! Bytes from a peer: decoding never panics, what decodes encodes to the same bytes, and no message breaks an invariant
//! of the server that receives it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raft_core::codec::{DecodeLimits, decode_envelope, encode_envelope};
use raft_core::{
    Action, Boot, Config, Durable, Event, GroupId, Identity, Incarnation, Input, Membership, NodeId, Payload,
    ProposalId, Raft, ReadId, Setup,
};

const LENGTH_BYTES: usize = 2;

fuzz_target!(|data: &[u8]| {
    let mut server = server();
    let mut rest = data;
    // Several frames, each after its length, so that one message can build on another.
    while let Some((length, after)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (frame, after) = after.split_at(length);
        rest = after;
        let Ok(mut envelope) = decode_envelope(frame, DecodeLimits::default()) else {
            continue;
        };
        assert_eq!(encode_envelope(&envelope), frame, "an envelope has one encoding");
        // With the right cluster and recipient, without which the checks after the first would never be reached.
        envelope.group = GroupId::new(1);
        envelope.cluster = server.status().cluster;
        envelope.to = NodeId::new(1);
        envelope.to_incarnation = None;
        server.step(Event::Receive(envelope));
        carry_out(&mut server);
    }
});

/// Makes a server in the middle of its life: it has voted, and holds a few entries.
fn server() -> Raft {
    let identity = Identity {
        group: GroupId::new(1),
        node: NodeId::new(1),
        incarnation: Incarnation::new(1),
        boot: Boot::new(1, 1),
    };
    let setup = Setup {
        identity,
        config: Config::default(),
        bootstrap: Membership::of_voters([NodeId::new(1)]),
        durable: Durable::default(),
    };
    let mut server = Raft::new(setup).expect("a new server is sound");
    server.step(Event::Tick(100));
    carry_out(&mut server);
    server.step(Event::Propose {
        id: ProposalId::new(1),
        payload: Payload::from(&b"command"[..]),
    });
    server.step(Input::Read {
        id: ReadId::new(1),
        mode: raft_core::ReadMode::Quorum,
    });
    carry_out(&mut server);
    server
}

/// Acts as a host whose disk is fast and whose state machine is ready at once.
fn carry_out(server: &mut Raft) {
    let mut actions = Vec::new();
    loop {
        server.drain(&mut actions);
        if actions.is_empty() {
            break;
        }
        for action in actions.drain(..) {
            match action {
                Action::Persist(persist) => server.step(Event::Persisted(persist.ticket)),
                Action::Apply { entries } => {
                    if let Some(last) = entries.last() {
                        server.step(Input::Applied(last.id.index));
                    }
                }
                Action::InstallSnapshot { meta } => server.step(Input::Applied(meta.last.index)),
                Action::SnapshotArrived { from, meta, .. } => {
                    server.step(Input::SnapshotReady { from, meta })
                }
                _ => {}
            }
        }
    }
    assert_eq!(server.check_invariants(), Ok(()));
}
