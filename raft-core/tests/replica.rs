//! The core with a state machine: nothing is lost between the two, in whatever order things happen.

mod support;

use raft_core::replica::{Input, Output, Replica, StateMachine};
use raft_core::{
    Boot, Config, Envelope, Event, GroupId, Incarnation, Index, LogId, Message, Options, Payload,
    PeerSession, ProposalId, Snapshots, Term, Ticket,
};
use support::scene::{append, entries, id, node, setup, snapshot};
use support::{Cluster, Journal};

type Server = Replica<Journal>;

/// A follower in term 1 with an empty log.
fn follower() -> Server {
    with_options(Options::default())
}

fn with_options(options: Options) -> Server {
    let mut setup = setup(3, 1, &[]);
    setup.config = Config {
        snapshots: Snapshots {
            chunk_bytes: 4,
            ..Snapshots::default()
        },
        options,
        ..Config::default()
    };
    Replica::new(setup, Journal::default(), None).expect("the disk is valid")
}

fn receive(server: &mut Server, from: u64, message: Message) {
    let cluster = server.raft().status().cluster;
    server.step(Event::Receive(Envelope {
        group: GroupId::new(1),
        cluster,
        from_boot: Boot::new(1, 1),
        from: node(from),
        from_incarnation: Incarnation::new(from),
        to: node(1),
        to_incarnation: None,
        term: Term::new(1),
        message,
    }));
}

/// Drains, with a disk that writes snapshots at once.
fn drain(server: &mut Server) -> Vec<Output<Journal>> {
    let mut outputs = Vec::new();
    let mut looked_at = 0;
    loop {
        server.drain(&mut outputs);
        let written = snapshots(&outputs[looked_at..]);
        looked_at = outputs.len();
        if written.is_empty() {
            return outputs;
        }
        for last in written {
            server.step(Input::SnapshotWritten { last });
        }
    }
}

/// Drains, and leaves the snapshots to be written to the test.
fn drain_once(server: &mut Server) -> Vec<Output<Journal>> {
    let mut outputs = Vec::new();
    server.drain(&mut outputs);
    outputs
}

fn tickets(outputs: &[Output<Journal>]) -> Vec<Ticket> {
    let tickets = outputs.iter().filter_map(|output| match output {
        Output::Persist(persist) => Some(persist.ticket),
        _ => None,
    });
    tickets.collect()
}

/// The ends of the snapshots whose write is asked for.
fn snapshots(outputs: &[Output<Journal>]) -> Vec<LogId> {
    let asked = outputs.iter().filter_map(|output| match output {
        Output::WriteSnapshot { last, .. } => Some(*last),
        _ => None,
    });
    asked.collect()
}

/// The state after so many commands.
fn state(commands: u64) -> Journal {
    Journal((0..commands).map(|number| vec![number as u8]).collect(), false)
}

/// A piece of the snapshot of `state(commands)`, which stands for as many entries.
fn chunk(commands: u64, offset: usize, length: usize) -> Message {
    let bytes = state(commands).snapshot();
    Message::SnapshotChunk {
        session: PeerSession::new(1),
        meta: snapshot(1, commands, 3).into(),
        total_bytes: bytes.len() as u64,
        checksum: crc32fast::hash(&bytes),
        offset: offset as u64,
        data: Payload::from(&bytes[offset..bytes.len().min(offset + length)]),
    }
}

fn whole(commands: u64) -> Message {
    chunk(commands, 0, usize::MAX >> 1)
}

/// How many bytes of the snapshot have arrived, as reported to the leader.
fn stored(outputs: &[Output<Journal>]) -> Vec<u64> {
    let replies = outputs.iter().filter_map(|output| match output {
        Output::Send(envelope) => match envelope.message {
            Message::SnapshotReply { received_bytes, .. } => Some(received_bytes),
            _ => None,
        },
        _ => None,
    });
    replies.collect()
}

#[test]
fn a_newer_snapshot_that_arrives_before_the_last_one_is_installed_is_installed_after_it() {
    let mut server = follower();
    receive(&mut server, 2, whole(3));
    let tickets_of_first = tickets(&drain(&mut server));
    // The newer one arrives, and the older one becomes durable, before anything is carried out.
    receive(&mut server, 2, whole(7));
    server.step(Event::Persisted(tickets_of_first[0]));
    let outputs = drain(&mut server);
    assert_eq!(server.machine(), &state(3));
    server.step(Event::Persisted(
        *tickets(&outputs).last().expect("the newer one is written"),
    ));
    drain(&mut server);
    assert_eq!(server.machine(), &state(7));
    assert_eq!(server.raft().vitals().applied, Index::new(7));
}

#[test]
fn of_two_snapshots_that_arrive_before_either_is_durable_only_the_newer_is_installed() {
    let mut server = follower();
    receive(&mut server, 2, whole(3));
    let mut written = tickets(&drain(&mut server));
    receive(&mut server, 2, whole(7));
    written.extend(tickets(&drain(&mut server)));
    for ticket in written {
        server.step(Event::Persisted(ticket));
        drain(&mut server);
    }
    assert_eq!(server.machine(), &state(7));
    assert_eq!(server.raft().vitals().applied, Index::new(7));
}

#[test]
fn a_snapshot_that_arrives_twice_at_once_is_installed_once() {
    let mut server = follower();
    receive(&mut server, 2, whole(3));
    receive(&mut server, 2, whole(3));
    let mut outputs = drain(&mut server);
    for ticket in tickets(&outputs) {
        server.step(Event::Persisted(ticket));
        outputs.extend(drain(&mut server));
    }
    let installed = outputs
        .iter()
        .filter(|output| matches!(output, Output::SnapshotInstalled { .. }));
    assert_eq!(installed.count(), 1);
    assert_eq!(server.machine(), &state(3));
}

// The old state stands until then, and nothing is acknowledged.
#[test]
fn a_snapshot_that_arrives_is_named_and_installed_only_when_its_bytes_are_durable() {
    let mut server = follower();
    receive(&mut server, 2, whole(3));
    let outputs = drain_once(&mut server);
    assert_eq!(snapshots(&outputs), [id(1, 3)]);
    assert_eq!(server.raft().snapshot(), None);
    assert_eq!(server.raft().vitals().commit, None);
    server.step(Input::SnapshotWritten { last: id(1, 3) });
    let named = tickets(&drain_once(&mut server));
    assert_eq!(server.raft().snapshot().map(|meta| meta.last), Some(id(1, 3)));
    assert_eq!(server.machine(), &state(0), "the name is not durable yet");
    server.step(Event::Persisted(named[0]));
    drain_once(&mut server);
    assert_eq!(server.machine(), &state(3));
}

#[test]
fn a_leader_that_sends_again_while_the_snapshot_is_written_hears_that_all_of_it_is_here() {
    let mut server = follower();
    receive(&mut server, 2, whole(3));
    drain_once(&mut server);
    receive(&mut server, 2, chunk(3, 0, 4));
    let outputs = drain_once(&mut server);
    assert_eq!(stored(&outputs), [state(3).snapshot().len() as u64]);
    assert_eq!(snapshots(&outputs), [], "it is written once");
}

#[test]
fn a_newer_snapshot_that_arrives_while_one_is_written_is_written_after_it() {
    let mut server = follower();
    receive(&mut server, 2, whole(3));
    drain_once(&mut server);
    receive(&mut server, 2, whole(7));
    assert_eq!(snapshots(&drain_once(&mut server)), [], "one at a time");
    server.step(Input::SnapshotWritten { last: id(1, 3) });
    assert_eq!(snapshots(&drain_once(&mut server)), [id(1, 7)]);
}

#[test]
fn a_snapshot_that_the_log_has_overtaken_while_it_was_written_is_discarded() {
    let mut server = follower();
    receive(&mut server, 2, whole(2));
    drain_once(&mut server);
    receive(&mut server, 2, append(None, entries(0, &[1, 1, 1]), 3));
    for ticket in tickets(&drain_once(&mut server)) {
        server.step(Event::Persisted(ticket));
    }
    server.step(Input::SnapshotWritten { last: id(1, 2) });
    let outputs = drain_once(&mut server);
    let discarded =
        |output: &Output<Journal>| matches!(output, Output::DiscardSnapshot { last } if *last == id(1, 2));
    assert!(outputs.iter().any(discarded));
    assert_eq!(server.machine().0.len(), 3);
}

#[test]
fn a_snapshot_that_cannot_be_written_is_forgotten_and_the_next_one_is_accepted() {
    let mut server = follower();
    receive(&mut server, 2, whole(3));
    drain_once(&mut server);
    server.step(Input::SnapshotNotWritten { last: id(1, 3) });
    drain_once(&mut server);
    server.step(Input::SnapshotWritten { last: id(1, 3) });
    drain_once(&mut server);
    assert_eq!(server.raft().snapshot(), None, "a late report changes nothing");
    receive(&mut server, 2, whole(3));
    for ticket in tickets(&drain(&mut server)) {
        server.step(Event::Persisted(ticket));
    }
    drain(&mut server);
    assert_eq!(server.machine(), &state(3));
}

#[test]
fn late_or_repeated_pieces_keep_what_has_arrived() {
    let mut server = follower();
    receive(&mut server, 2, chunk(2, 0, 4));
    receive(&mut server, 2, chunk(7, 0, 4));
    receive(&mut server, 2, chunk(7, 4, 4));
    assert_eq!(stored(&drain(&mut server)), [4, 4, 8]);
    // A late piece of the older snapshot, and a repeated one of the newer.
    receive(&mut server, 2, chunk(2, 4, 4));
    receive(&mut server, 2, chunk(7, 0, 4));
    drain(&mut server);
    receive(&mut server, 2, chunk(7, 8, 4));
    assert_eq!(stored(&drain(&mut server)), [12]);
}

#[test]
fn an_older_snapshot_of_another_leader_may_replace_what_has_arrived() {
    let mut server = follower();
    receive(&mut server, 2, chunk(7, 0, 4));
    let cluster = server.raft().status().cluster;
    server.step(Event::Receive(Envelope {
        group: GroupId::new(1),
        cluster,
        from_boot: Boot::new(1, 1),
        from: node(3),
        from_incarnation: Incarnation::new(3),
        to: node(1),
        to_incarnation: None,
        term: Term::new(2),
        message: chunk(3, 0, 8),
    }));
    let mut outputs = drain(&mut server);
    server.step(Event::Persisted(tickets(&outputs)[0]));
    outputs.extend(drain(&mut server));
    assert_eq!(stored(&outputs), [8]);
}

#[test]
fn a_snapshot_with_a_wrong_checksum_is_refused_and_the_next_one_is_accepted() {
    let mut server = follower();
    let mut broken = whole(3);
    if let Message::SnapshotChunk { checksum, .. } = &mut broken {
        *checksum ^= 1;
    }
    receive(&mut server, 2, broken);
    let outputs = drain(&mut server);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::SnapshotRefused { .. }))
    );
    receive(&mut server, 2, whole(3));
    let written = tickets(&drain(&mut server));
    server.step(Event::Persisted(
        *written.last().expect("the sound one is written"),
    ));
    drain(&mut server);
    assert_eq!(server.machine(), &state(3));
}

#[test]
fn what_a_failed_disk_was_asked_to_keep_is_not_kept_in_memory() {
    let mut server = follower();
    receive(&mut server, 2, append(None, entries(0, &[1, 1]), 2));
    let written = tickets(&drain(&mut server));
    server.step(Event::Persisted(
        *written.last().expect("the entries are written"),
    ));
    drain(&mut server);
    assert_eq!(server.machine().0.len(), 2);
    server.step(Event::PersistFailed);
    server.step(Input::TakeSnapshot);
    assert!(tickets(&drain(&mut server)).is_empty());
    assert_eq!(server.raft().snapshot(), None);
}

#[test]
fn a_snapshot_on_request_lets_the_log_be_compacted() {
    let mut cluster = Cluster::with_snapshots(1, 1_000, 2);
    let leader = cluster.elect();
    for number in 0..10 {
        cluster.propose(leader, &[number]);
    }
    cluster.step(leader, Input::TakeSnapshot);
    let raft = cluster.server(leader).replica.raft();
    let last = raft.vitals().last.expect("there are entries").index.value();
    assert_eq!(raft.snapshot().expect("one was taken").last.index.value(), last);
    assert_eq!(raft.first_index().value(), last - 1, "two entries are kept");
    // Nothing was applied since: there is nothing to take.
    cluster.step(leader, Input::TakeSnapshot);
    assert_eq!(
        cluster.server(leader).replica.raft().first_index().value(),
        last - 1
    );
}

// A host prints these while it looks for a mistake: they show what happened, and no client's payload.
#[test]
fn inputs_and_actions_can_be_printed() {
    let event = Event::Propose {
        id: ProposalId::new(7),
        payload: Payload::from(&b"secret"[..]),
    };
    assert_eq!(
        format!("{event:?}"),
        "Propose { id: ProposalId(7), payload: Payload(6 bytes) }"
    );
    let mut server = follower();
    drain(&mut server);
    server.step(event);
    let rejected = "[Notice(Rejected { id: ProposalId(7), reason: NotLeader { leader: None }, payload: Payload(6 bytes) })]";
    assert_eq!(format!("{:?}", drain(&mut server)), rejected);
    assert!(format!("{server:?}").starts_with("Replica { raft: Raft {"));
}

#[test]
fn a_snapshot_needs_its_bytes_and_bytes_need_their_snapshot() {
    let mut described = setup(3, 1, &[]);
    described.durable.snapshot = Some(snapshot(1, 3, 3));
    assert!(Replica::new(described.clone(), Journal::default(), None).is_err());
    let garbage = Payload::from(&b"\xff\xff\xff\xff"[..]);
    assert!(Replica::new(described.clone(), Journal::default(), Some(garbage.clone())).is_err());
    assert!(Replica::new(setup(3, 1, &[]), Journal::default(), Some(garbage)).is_err());
    let bytes = Payload::from(state(3).snapshot());
    let server = Replica::new(described, Journal::default(), Some(bytes)).expect("both are there");
    assert_eq!(server.machine(), &state(3));
    assert_eq!(server.raft().snapshot().map(|meta| meta.last), Some(id(1, 3)));
}

// Entries are applied, and a snapshot is installed, after the write that they wait for, without a report that it was
// made.
#[test]
fn a_host_that_writes_at_once_finds_every_consequence_after_its_write() {
    let mut server = with_options(Options {
        persists_at_once: true,
        ..Options::default()
    });
    receive(&mut server, 2, append(None, entries(0, &[1, 1]), 2));
    assert_eq!(tickets(&drain(&mut server)).len(), 1);
    assert_eq!(server.machine().0.len(), 2);
    receive(&mut server, 2, whole(7));
    assert_eq!(snapshots(&drain_once(&mut server)), [id(1, 7)]);
    server.step(Input::SnapshotWritten { last: id(1, 7) });
    let outputs = drain(&mut server);
    let named =
        |output: &Output<Journal>| matches!(output, Output::Persist(persist) if persist.snapshot.is_some());
    let named = outputs.iter().position(named);
    let installed = |output: &Output<Journal>| matches!(output, Output::SnapshotInstalled { .. });
    assert!(named.is_some() && outputs.iter().position(installed) > named);
    assert_eq!(server.machine(), &state(7));
    assert_eq!(server.raft().vitals().applied, Index::new(7));
}

// Most entries of a follower's log were proposed elsewhere. What its state machine says to them is of use to no client.
#[test]
fn a_follower_keeps_no_responses() {
    let mut server = follower();
    for position in 1..=3_u64 {
        let prev = (position > 1).then(|| id(1, position - 1));
        let message = append(prev, entries(position - 1, &[1]), position);
        receive(&mut server, 2, message);
        while let [ticket, ..] = tickets(&drain(&mut server))[..] {
            server.step(Event::Persisted(ticket));
        }
        assert_eq!(server.raft().vitals().applied, Index::new(position));
        assert_eq!(server.check_invariants(), Ok(()));
    }
}

// A query is kept until its read has an outcome, and no longer: here the read is refused at once.
#[test]
fn a_refused_read_leaves_no_query() {
    let mut server = follower();
    drain(&mut server);
    for number in 0..3 {
        server.step(Input::Read {
            id: raft_core::ReadId::new(number),
            mode: raft_core::ReadMode::Quorum,
            query: (),
        });
        assert_eq!(drain(&mut server).len(), 1);
        assert_eq!(server.check_invariants(), Ok(()));
    }
}
