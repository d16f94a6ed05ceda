//! Who may win an election: paper §5.1, §5.2, §5.4.1 and Figure 2; dissertation §4.2.3, §6.2, §9.6.

mod support;

use std::collections::BTreeSet;

use raft_core::{
    Action, Boot, EntryBody, Event, Membership, Message, Notice, PeerSession, Rejection, RoleName, Term,
};
use support::Cluster;
use support::scene::{
    Scene, append, appends, at, entries, heartbeat, kinds, node, sent, sent_to, setup, writes,
};

const SHORTEST: u64 = 10;
const LONGEST: u64 = 20;

fn vote_reply(actions: &[Action]) -> Option<bool> {
    sent(actions).into_iter().find_map(|(_, message)| match message {
        Message::VoteReply { granted } => Some(granted),
        _ => None,
    })
}

fn pre_vote_reply(actions: &[Action]) -> Option<(u64, bool)> {
    sent(actions).into_iter().find_map(|(_, message)| match message {
        Message::PreVoteReply { ask, granted } => Some((ask.value(), granted)),
        _ => None,
    })
}

fn ask_vote(scene: &mut Scene, from: u64, term: u64, last: Option<raft_core::LogId>) -> Option<bool> {
    vote_reply(&scene.receive(from, term, Message::Vote { last }))
}

fn ask_pre_vote(
    scene: &mut Scene,
    from: u64,
    term: u64,
    last: Option<raft_core::LogId>,
) -> Option<(u64, bool)> {
    let ask = Term::new(term + 1);
    pre_vote_reply(&scene.receive(from, term, Message::PreVote { ask, last }))
}

// Figure 2, Followers: an election timeout without a leader or a vote given begins an election.
#[test]
fn a_follower_that_hears_no_leader_campaigns() {
    let mut scene = Scene::follower(3, 1, &[1]);
    scene.tick(SHORTEST - 1);
    assert_eq!(scene.role(), RoleName::Follower);
    let actions = scene.tick(LONGEST - SHORTEST + 1);
    assert_eq!(scene.role(), RoleName::PreCandidate);
    assert_eq!(kinds(&actions), [(2, "PreVote"), (3, "PreVote")]);
}

// §5.2: timeouts are drawn at random, so that split votes are rare: different on every server, all of the range used.
#[test]
fn election_timeouts_are_drawn_from_the_whole_range() {
    let mut drawn = BTreeSet::new();
    for boot in 1..=300 {
        let mut setup = setup(3, 1, &[]);
        setup.identity.boot = Boot::new(boot, boot);
        drawn.insert(
            Scene::new(setup)
                .expect("sound")
                .raft
                .next_deadline()
                .expect("a voter")
                .value(),
        );
    }
    assert_eq!(
        drawn.into_iter().collect::<Vec<_>>(),
        (SHORTEST..=LONGEST).collect::<Vec<_>>()
    );
}

/// How long this server waits from now on before it does something, in ticks.
fn waits(scene: &Scene) -> u64 {
    let deadline = scene.raft.next_deadline().expect("a voter waits for something");
    deadline.value() - scene.raft.now().value()
}

/// Every timeout was drawn at some time, and none much more often than by chance right after itself.
#[track_caller]
fn assert_drawn_anew(drawn: &[u64]) {
    let all: BTreeSet<u64> = drawn.iter().copied().collect();
    assert_eq!(
        all.into_iter().collect::<Vec<_>>(),
        (SHORTEST..=LONGEST).collect::<Vec<_>>()
    );
    // With eleven values, one in eleven repeats the one before it.
    let repeats = drawn.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((10..=80).contains(&repeats), "{repeats} of 400");
}

// §5.2: a server draws anew with every heartbeat, and not once for its life: two servers that drew the same would go on
// to split the vote.
#[test]
fn a_follower_draws_a_timeout_anew_whenever_it_hears_its_leader() {
    let mut scene = Scene::follower(3, 1, &[]);
    let mut drawn = Vec::new();
    for _ in 0..400 {
        scene.receive(2, 1, heartbeat(None));
        drawn.push(waits(&scene));
        scene.tick(1);
    }
    assert_drawn_anew(&drawn);
}

// §5.2: each candidate restarts its randomised election timeout at the start of an election.
#[test]
fn a_candidate_draws_a_timeout_anew_for_every_election() {
    let mut scene = Scene::follower(5, 1, &[]);
    let mut drawn = Vec::new();
    for _ in 0..400 {
        scene.tick(waits(&scene));
        assert_eq!(scene.role(), RoleName::PreCandidate);
        scene.grant(2);
        scene.grant(3);
        assert_eq!(scene.role(), RoleName::Candidate);
        drawn.push(waits(&scene));
    }
    assert_drawn_anew(&drawn);
}

// §5.2, §9.3: the first to time out is mostly alone. Of three servers with eleven timeouts to draw from, two share the
// shortest one in about one election of eight, as followers and as candidates.
#[test]
fn two_servers_rarely_time_out_first_at_once() {
    const ELECTIONS: u64 = 1_000;
    for as_candidates in [false, true] {
        let servers = (1..=3).map(|server| {
            let mut setup = setup(3, 1, &[]);
            setup.identity.boot = Boot::new(server, server);
            Scene::new(setup).expect("the disk is valid")
        });
        let mut servers: Vec<Scene> = servers.collect();
        let mut shared = 0;
        for _ in 0..ELECTIONS {
            let mut timeouts: Vec<u64> = servers.iter().map(waits).collect();
            timeouts.sort_unstable();
            shared += u64::from(timeouts[0] == timeouts[1]);
            for server in &mut servers {
                if as_candidates {
                    server.tick(waits(server));
                } else {
                    server.receive(2, 1, heartbeat(None));
                }
            }
        }
        assert!(
            (ELECTIONS / 20..ELECTIONS / 5).contains(&shared),
            "{shared} of {ELECTIONS}, as candidates: {as_candidates}"
        );
    }
}

// Figure 2, Candidates: increment the term, vote for self, ask all other servers.
#[test]
fn a_candidate_increments_its_term_votes_for_itself_and_asks_all_others() {
    let mut scene = Scene::follower(3, 4, &[1, 4]);
    scene.step(Event::Campaign);
    let actions = scene.grant(2);
    assert_eq!(
        (scene.role(), scene.term(), scene.vote()),
        (RoleName::Candidate, 5, Some(1))
    );
    let request = Message::Vote { last: at(4, 2) };
    assert_eq!(sent(&actions), [(2, request.clone()), (3, request)]);
    let hard_state = writes(&actions)[0]
        .hard_state
        .clone()
        .expect("the vote is written");
    assert_eq!((hard_state.term, hard_state.vote), (Term::new(5), Some(node(1))));
}

// §5.2: votes from a majority of the servers for the same term make a leader, and no fewer do.
#[test]
fn a_majority_elects_and_no_fewer() {
    let mut scene = Scene::follower(5, 1, &[]);
    scene.step(Event::Campaign);
    scene.grant(2);
    scene.grant(2);
    assert_eq!(scene.role(), RoleName::PreCandidate);
    scene.grant(3);
    assert_eq!(scene.role(), RoleName::Candidate);
    scene.grant(4);
    assert_eq!(scene.role(), RoleName::Candidate);
    scene.grant(5);
    assert_eq!(scene.role(), RoleName::Leader);
}

#[test]
fn denied_votes_are_not_votes() {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.step(Event::Campaign);
    scene.grant(2);
    let term = scene.term();
    for voter in [2, 3] {
        scene.receive(voter, term, Message::VoteReply { granted: false });
    }
    assert_eq!(scene.role(), RoleName::Candidate);
}

// A vote counts in its own term only: a late one elects no one.
#[test]
fn votes_of_an_earlier_term_are_not_counted() {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.step(Event::Campaign);
    scene.grant(2);
    scene.tick(LONGEST);
    scene.grant(3);
    assert_eq!((scene.role(), scene.term()), (RoleName::Candidate, 3));
    scene.receive(2, 2, Message::VoteReply { granted: true });
    assert_eq!(scene.role(), RoleName::Candidate);
}

#[test]
fn pre_votes_are_not_votes() {
    let mut scene = Scene::follower(5, 1, &[]);
    scene.step(Event::Campaign);
    scene.grant(2);
    scene.grant(3);
    let late = Message::PreVoteReply {
        ask: Term::new(2),
        granted: true,
    };
    for voter in [3, 4, 5] {
        scene.receive(voter, 1, late.clone());
    }
    assert_eq!(scene.role(), RoleName::Candidate);
}

// A pre-vote counts only for the term that the request named.
#[test]
fn pre_votes_for_an_earlier_term_are_not_counted() {
    let mut scene = Scene::follower(3, 5, &[]);
    scene.step(Event::Campaign);
    for ask in [5, 7] {
        let late = Message::PreVoteReply {
            ask: Term::new(ask),
            granted: true,
        };
        scene.receive(2, 4, late);
        assert_eq!(scene.role(), RoleName::PreCandidate, "{ask}");
    }
}

// §5.2: a leader establishes its authority at once; §8: and it writes a no-op of its term.
#[test]
fn a_new_leader_sends_heartbeats_at_once_and_appends_a_no_op() {
    let mut scene = Scene::follower(3, 1, &[1]);
    let actions = scene.win();
    let append = [(at(1, 1), vec![2])];
    for peer in [2, 3] {
        let first = sent_to(peer, &actions)
            .into_iter()
            .find(|message| message.name() != "Vote");
        assert!(matches!(first, Some(Message::Heartbeat { .. })), "{first:?}");
        assert_eq!(appends(peer, &actions), append);
    }
    assert_eq!(
        scene
            .raft
            .entry(support::scene::index(2))
            .map(|entry| &entry.body),
        Some(&EntryBody::Noop)
    );
}

// Figure 2, Leaders: heartbeats during idle periods prevent election timeouts.
#[test]
fn an_idle_leader_repeats_its_heartbeat() {
    let mut scene = Scene::leader(3, 2, &[]);
    scene.accept(2, at(2, 1));
    scene.accept(3, at(2, 1));
    assert_eq!(kinds(&scene.tick(1)), []);
    let actions = scene.tick(1);
    assert_eq!(kinds(&actions), [(2, "Heartbeat"), (3, "Heartbeat")]);
}

// Figure 2, Candidates: an append from the leader of the term makes a follower of a candidate.
#[test]
fn a_candidate_follows_the_leader_of_its_term() {
    for message in [append(None, entries(0, &[2]), 0), heartbeat(None)] {
        let mut scene = Scene::follower(3, 1, &[]);
        scene.step(Event::Campaign);
        scene.grant(2);
        let actions = scene.receive(3, 2, message);
        assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 2));
        assert_eq!(scene.raft.vitals().leader, Some(node(3)));
        let told = (actions.iter()).filter_map(|action| match action {
            Action::Notice(Notice::LeaderChanged { leader, .. }) => Some(*leader),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [Some(node(3))]);
        assert_eq!(scene.vote(), Some(1), "the vote of the term stays");
    }
}

// Figure 2, Candidates: if the election timeout elapses, a new election begins, with another timeout.
#[test]
fn a_split_vote_times_out_and_a_new_election_begins() {
    let mut scene = Scene::follower(5, 1, &[]);
    scene.step(Event::Campaign);
    scene.grant(2);
    scene.grant(3);
    let actions = scene.tick(LONGEST);
    assert_eq!((scene.role(), scene.term()), (RoleName::PreCandidate, 2));
    assert!(kinds(&actions).contains(&(5, "PreVote")));
    scene.grant(2);
    scene.grant(3);
    assert_eq!((scene.role(), scene.term()), (RoleName::Candidate, 3));
}

// §5.1: a server that learns of a later term adopts it and follows; so do candidates and leaders.
#[test]
fn every_role_follows_after_a_later_term() {
    let mut candidate = Scene::follower(3, 3, &[]);
    candidate.step(Event::Campaign);
    candidate.grant(2);
    for mut scene in [Scene::follower(3, 4, &[]), candidate, Scene::leader(3, 4, &[])] {
        let session = PeerSession::new(9);
        let round = raft_core::Round::new(0);
        scene.receive(
            2,
            7,
            Message::HeartbeatReply {
                session,
                round,
                promise_micros: 0,
                level: raft_core::Level::ZERO,
                halted: false,
                stalled: false,
                wall_time: None,
            },
        );
        assert_eq!(
            (scene.role(), scene.term(), scene.vote()),
            (RoleName::Follower, 7, None)
        );
    }
}

// §5.1: a request of an earlier term is rejected, and the reply carries the current term.
#[test]
fn a_request_of_an_earlier_term_is_rejected_with_the_later_one() {
    let mut scene = Scene::follower(3, 5, &[]);
    for message in [
        Message::Vote { last: None },
        Message::PreVote {
            ask: Term::new(5),
            last: None,
        },
        append(None, Vec::new(), 0),
        heartbeat(None),
    ] {
        let actions = scene.receive(2, 4, message.clone());
        let [Action::Send(envelope)] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        assert_eq!(envelope.term, Term::new(5));
        assert_eq!(scene.raft.vitals().leader, None, "{message:?} changes nothing");
    }
    assert_eq!(scene.vote(), None);
}

// Figure 2, RequestVote, receiver: a server votes for one candidate in a term, and answers it as often as it asks.
#[test]
fn a_server_votes_once_in_a_term() {
    let mut scene = Scene::follower(3, 1, &[]);
    assert_eq!(ask_vote(&mut scene, 2, 2, None), Some(true));
    assert_eq!(ask_vote(&mut scene, 3, 2, None), Some(false));
    assert_eq!(ask_vote(&mut scene, 2, 2, None), Some(true));
    assert_eq!(scene.vote(), Some(2));
    assert_eq!(ask_vote(&mut scene, 3, 3, None), Some(true));
}

#[test]
fn a_vote_is_remembered_across_a_restart() {
    let mut setup = setup(3, 2, &[]);
    setup.durable.hard_state.vote = Some(node(2));
    setup.durable.hard_state.vote_boot = Boot::new(1, 2);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    assert_eq!(ask_vote(&mut scene, 3, 2, None), Some(false));
    assert_eq!(ask_vote(&mut scene, 2, 2, None), Some(true));
}

// §5.4.1: a voter denies its vote to a log that is less up-to-date: by the last term first, then by length.
#[test]
fn a_vote_is_denied_to_a_less_up_to_date_log() {
    let log = [1, 1, 3];
    let cases = [
        (None, false),
        (at(1, 2), false),
        (at(2, 9), false),
        (at(3, 2), false),
        (at(3, 3), true),
        (at(3, 4), true),
        (at(4, 1), true),
    ];
    for (last, up_to_date) in cases {
        let mut scene = Scene::follower(3, 4, &log);
        assert_eq!(
            ask_pre_vote(&mut scene, 2, 4, last),
            Some((5, up_to_date)),
            "{last:?}"
        );
        assert_eq!(ask_vote(&mut scene, 2, 5, last), Some(up_to_date), "{last:?}");
    }
}

// Figure 2, Followers: a granted vote resets the election timer, a denied one does not.
#[test]
fn a_granted_vote_resets_the_election_timer() {
    let mut scene = Scene::follower(3, 2, &[2]);
    let due = scene.raft.next_deadline().expect("a voter").value();
    scene.tick(due - 1);
    assert_eq!(ask_vote(&mut scene, 2, 2, None), Some(false));
    assert_eq!(scene.raft.next_deadline().map(|tick| tick.value()), Some(due));
    assert_eq!(ask_vote(&mut scene, 3, 2, at(2, 1)), Some(true));
    assert!(scene.raft.next_deadline().expect("a voter").value() >= due - 1 + SHORTEST);
}

// Figure 2, Followers: so does a heartbeat.
#[test]
fn a_heartbeat_resets_the_election_timer() {
    let mut scene = Scene::follower(3, 2, &[2]);
    for _ in 0..10 {
        scene.tick(SHORTEST - 1);
        scene.receive(2, 2, heartbeat(None));
    }
    assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 2));
}

// Figure 2, RequestVote: a server that has not voted in the term may vote, and asking for pre-votes is not a vote.
#[test]
fn a_pre_candidate_still_votes() {
    let mut scene = Scene::follower(3, 2, &[2]);
    scene.step(Event::Campaign);
    assert_eq!(scene.role(), RoleName::PreCandidate);
    assert_eq!(ask_vote(&mut scene, 2, 2, at(2, 1)), Some(true));
    assert_eq!((scene.role(), scene.vote()), (RoleName::Follower, Some(2)));
    // A candidate has voted for itself.
    scene.step(Event::Campaign);
    scene.grant(3);
    assert_eq!(scene.role(), RoleName::Candidate);
    assert_eq!(ask_vote(&mut scene, 2, 3, at(2, 1)), Some(false));
}

// Dissertation §9.6: a pre-vote changes nothing, neither at the candidate nor at the voter.
#[test]
fn a_pre_vote_changes_nothing() {
    let mut scene = Scene::follower(3, 2, &[2]);
    let before = (scene.raft.hard_state(), scene.raft.next_deadline());
    assert_eq!(ask_pre_vote(&mut scene, 2, 2, at(2, 1)), Some((3, true)));
    assert_eq!(
        ask_pre_vote(&mut scene, 3, 2, at(2, 1)),
        Some((3, true)),
        "to all others"
    );
    assert_eq!(
        ask_pre_vote(&mut scene, 3, 6, at(2, 1)),
        Some((7, true)),
        "in any later term"
    );
    assert_eq!((scene.raft.hard_state(), scene.raft.next_deadline()), before);
    let actions = scene.step(Event::Campaign);
    assert_eq!((writes(&actions), scene.term(), scene.vote()), (vec![], 2, None));
}

// Dissertation §9.6: a pre-vote is denied while the voter hears heartbeats; so is, §4.2.3, a vote.
#[test]
fn no_server_campaigns_while_it_hears_heartbeats() {
    let mut follower = Scene::follower(3, 2, &[]);
    follower.receive(2, 2, heartbeat(None));
    follower.tick(SHORTEST - 1);
    let mut beaten = Scene::follower(3, 1, &[]);
    beaten.step(Event::Campaign);
    beaten.grant(3);
    beaten.receive(2, 2, heartbeat(None));
    for mut scene in [follower, beaten, Scene::leader(3, 2, &[])] {
        let (role, term) = (scene.role(), scene.term());
        assert_eq!(
            ask_pre_vote(&mut scene, 3, term, at(term, 9)),
            Some((term + 1, false))
        );
        assert_eq!(scene.receive(3, 8, Message::Vote { last: at(8, 9) }), []);
        assert_eq!((scene.role(), scene.term()), (role, term));
        assert_eq!(scene.raft.status().ignored.sticky, 1);
    }
}

#[test]
fn a_silent_leader_is_replaced() {
    let mut scene = Scene::follower(3, 2, &[]);
    scene.receive(2, 2, heartbeat(None));
    scene.tick(SHORTEST);
    assert_eq!(ask_pre_vote(&mut scene, 3, 2, None), Some((3, true)));
    assert_eq!(ask_vote(&mut scene, 3, 3, None), Some(true));
}

// Stickiness survives a change of term: a later term deposes the leader, and does not prove that it has failed.
#[test]
fn stickiness_survives_a_change_of_term() {
    let mut scene = Scene::follower(3, 2, &[]);
    scene.receive(2, 2, heartbeat(None));
    let refusal = Message::PreVoteReply {
        ask: Term::new(2),
        granted: false,
    };
    scene.receive(3, 4, refusal);
    assert_eq!(scene.term(), 4);
    assert_eq!(ask_pre_vote(&mut scene, 3, 4, None), Some((5, false)));
}

// A denied pre-vote carries the term, or a server in an earlier term could never win.
#[test]
fn a_denied_pre_vote_carries_the_term() {
    let mut scene = Scene::follower(3, 2, &[2]);
    scene.step(Event::Campaign);
    scene.receive(
        3,
        7,
        Message::PreVoteReply {
            ask: Term::new(3),
            granted: false,
        },
    );
    assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 7));
    let mut voter = Scene::follower(3, 7, &[]);
    assert_eq!(ask_pre_vote(&mut voter, 2, 2, at(2, 1)), Some((3, false)));
}

// Dissertation §6.2: a leader without an active quorum for an election timeout steps down.
#[test]
fn a_leader_without_an_active_quorum_steps_down() {
    let mut scene = Scene::leader(5, 2, &[]);
    for _ in 0..5 {
        scene.tick(SHORTEST / 2);
        scene.accept(2, None);
        scene.accept(3, None);
    }
    assert_eq!(scene.role(), RoleName::Leader);
    scene.accept(4, None);
    for _ in 0..3 {
        scene.tick(SHORTEST / 2);
        scene.accept(2, None);
    }
    assert_eq!((scene.role(), scene.term()), (RoleName::Follower, 2));
    assert_eq!(scene.raft.vitals().leader, None);
}

// Only voters campaign.
#[test]
fn a_server_outside_the_configuration_does_not_campaign() {
    let mut setup = setup(3, 1, &[1]);
    setup.bootstrap = Membership::of_voters([node(2), node(3)]);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    assert_eq!(scene.raft.next_deadline(), None);
    scene.tick(10 * LONGEST);
    scene.step(Event::Campaign);
    assert_eq!(scene.role(), RoleName::Follower);
}

// Dissertation §4.2.2: but it votes, as the candidate may know a later configuration.
#[test]
fn a_server_outside_the_configuration_votes() {
    let mut setup = setup(3, 1, &[1]);
    setup.bootstrap = Membership::of_voters([node(2), node(3)]);
    let mut scene = Scene::new(setup).expect("the disk is valid");
    assert_eq!(ask_vote(&mut scene, 9, 2, at(1, 1)), Some(true));
}

#[test]
fn a_single_server_elects_itself() {
    let mut scene = Scene::follower(1, 1, &[1]);
    scene.tick(LONGEST);
    assert_eq!(
        (scene.role(), scene.term(), scene.commit()),
        (RoleName::Leader, 2, 2)
    );
}

// The purpose of pre-votes and of answers to earlier terms: a partitioned server returns and disturbs no other.
#[test]
fn a_partitioned_server_does_not_disturb_the_cluster_at_its_return() {
    let mut cluster = Cluster::new(5);
    let leader = cluster.elect();
    let away = (1..=5).find(|&id| id != leader).expect("there are five");
    let term = cluster.server(leader).replica.raft().vitals().term;
    cluster.isolate(away);
    cluster.tick(200);
    cluster.heal();
    cluster.tick(30);
    assert_eq!(cluster.leader(), Some(leader));
    assert_eq!(cluster.server(away).replica.raft().vitals().term, term);
    assert_eq!(
        cluster.server(away).replica.raft().vitals().leader,
        Some(node(leader))
    );
}

// A server with a later term and a shorter log cannot win, and must not keep the others from winning.
#[test]
fn a_lagging_server_with_a_later_term_does_not_stop_the_cluster() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, b"one");
    cluster.tick(5);
    let lagging = (1..=3).find(|&id| id != leader).expect("there are three");
    cluster.crash(lagging);
    cluster.propose(leader, b"two");
    cluster.tick(5);
    let (mut disk, boot) = cluster.crashed.remove(&lagging).expect("it is down");
    disk.durable.hard_state.term = Term::new(50);
    disk.durable.hard_state.vote = None;
    cluster.crash(leader);
    cluster.start(lagging, disk, boot + 1, lagging);
    let new = cluster.elect();
    assert_ne!(new, lagging);
    assert!(cluster.server(new).replica.raft().vitals().term > Term::new(50));
}

// A leader in one half of a bridge: the server in the middle reaches all others, and there is a leader.
#[test]
fn a_bridge_keeps_a_leader_with_an_active_quorum() {
    let mut cluster = Cluster::new(5);
    cluster.elect();
    for left in [1, 2] {
        for right in [4, 5] {
            cluster.cut.insert((left, right));
            cluster.cut.insert((right, left));
        }
    }
    cluster.tick(200);
    let leader = cluster.leader().expect("there is a leader");
    let proposal = cluster.propose(leader, b"across the bridge");
    cluster.tick(10);
    assert!(cluster.server(leader).done.contains_key(&proposal));
}

// A link that works in one direction only: a follower that hears no other server, and that all others hear, deposes no
// leader.
#[test]
fn a_server_that_hears_no_other_deposes_no_leader() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let deaf = (1..=3).find(|&id| id != leader).expect("there are three");
    for other in (1..=3).filter(|&id| id != deaf) {
        cluster.cut.insert((other, deaf));
    }
    cluster.tick(200);
    assert_eq!(cluster.leader(), Some(leader));
}

// `next_deadline` is a promise: until then, ticks change nothing. A host that sleeps until it misses nothing.
#[test]
fn nothing_happens_before_the_next_deadline() {
    let mut cluster = Cluster::new(3);
    cluster.deliver();
    for round in 0..300 {
        let quiet = (1..=3).map(|id| {
            let raft = cluster.server(id).replica.raft();
            raft.next_deadline().expect("voters always have one").value() - raft.now().value()
        });
        let quiet = quiet.min().expect("there are three").saturating_sub(1);
        for id in 1..=3 {
            let before = cluster.server(id).replica.raft().vitals();
            cluster.step(id, ticks_of(quiet));
            assert_eq!(cluster.server(id).replica.raft().vitals(), before);
        }
        assert!(cluster.wire.is_empty(), "round {round}: {:?}", cluster.wire);
        for id in 1..=3 {
            cluster.step(id, ticks_of(1));
        }
        cluster.deliver();
        if round == 150 {
            let leader = cluster.leader().expect("there is a leader");
            cluster.isolate(leader);
        }
    }
    assert!(cluster.leader().is_some());
}

fn ticks_of(ticks: u64) -> raft_core::replica::Input<support::Journal> {
    raft_core::replica::Input::Event(Event::Tick(ticks))
}

// Ours: a priority that decays, so that a cluster without its preferred servers still gets a leader.
#[test]
fn a_server_of_lower_priority_waits_for_more_election_timeouts() {
    for yields in 0..4 {
        let mut setup = setup(3, 1, &[]);
        setup.config.options.yields = yields;
        let mut scene = Scene::new(setup).expect("the disk is valid");
        let mut passed = 0;
        while scene.role() == RoleName::Follower {
            let deadline = scene.raft.next_deadline().expect("it will campaign");
            scene.step(Event::Tick(deadline.value() - scene.raft.now().value()));
            passed += 1;
        }
        assert_eq!(passed, yields + 1, "and campaigns at the end of the last");
    }
}

#[test]
fn a_heartbeat_restores_the_priority() {
    let mut setup = setup(3, 1, &[]);
    setup.config.options.yields = 1;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    scene.tick(20);
    scene.receive(2, 1, heartbeat(None));
    scene.tick(20);
    assert_eq!(
        scene.role(),
        RoleName::Follower,
        "the first timeout since is yielded"
    );
    scene.tick(20);
    assert_eq!(scene.role(), RoleName::PreCandidate);
}

// §9.6: a pre-vote promises nothing, so a candidate's own counts while its writes are still pending.
#[test]
fn the_own_pre_vote_waits_for_no_disk() {
    let mut scene = Scene::follower(3, 1, &[]);
    scene.prompt = false;
    scene.step(Event::Campaign);
    scene.grant(2);
    assert_eq!((scene.role(), scene.term()), (RoleName::Candidate, 2));
    while scene.role() == RoleName::Candidate {
        scene.tick(1);
    }
    assert_eq!(scene.role(), RoleName::PreCandidate);
    scene.grant(2);
    assert_eq!((scene.role(), scene.term()), (RoleName::Candidate, 3));
}

// A candidate asks for pre-votes and then for votes, and a late reply counts for neither.
#[test]
fn a_late_vote_reply_does_not_count() {
    let mut scene = Scene::follower(3, 1, &[]);
    let agreed = Message::PreVoteReply {
        ask: Term::new(2),
        granted: true,
    };
    scene.receive(2, 1, agreed);
    assert_eq!(
        (scene.role(), scene.raft.status().ignored.stale),
        (RoleName::Follower, 1)
    );
    scene.step(Event::Campaign);
    scene.grant(2);
    assert_eq!((scene.role(), scene.term()), (RoleName::Candidate, 2));
    while scene.role() == RoleName::Candidate {
        scene.tick(1);
    }
    scene.receive(2, 2, Message::VoteReply { granted: true });
    assert_eq!(
        (scene.role(), scene.raft.status().ignored.stale),
        (RoleName::PreCandidate, 2)
    );
}

// A voter that hears no leader campaigns, and knows none from then on. A learner may not campaign, and must not send
// its clients to a dead leader either.
#[test]
fn a_learner_that_hears_no_leader_knows_none() {
    let mut setup = setup(3, 1, &[1]);
    setup.bootstrap = Membership::of_voters([node(2), node(3)]).with_learners([node(1)]);
    setup.config.options.forwarding = true;
    let mut scene = Scene::new(setup).expect("the disk is valid");
    assert_eq!(scene.raft.next_deadline(), None, "it waits for nothing");
    scene.receive(2, 1, heartbeat(None));
    assert_eq!(scene.raft.vitals().leader, Some(node(2)));
    scene.tick(SHORTEST - 1);
    assert_eq!(scene.raft.vitals().leader, Some(node(2)));
    let silence = scene.raft.next_deadline().expect("it waits for its leader");
    let term = Term::new(1);
    let actions = scene.step(Event::Tick(silence.value() - scene.raft.now().value()));
    assert_eq!(
        actions,
        [Action::Notice(Notice::LeaderChanged { leader: None, term })]
    );
    assert_eq!(scene.raft.next_deadline(), None);
    assert!(matches!(
        scene.propose(1, b"to whom?")[..],
        [Action::Notice(Notice::Rejected {
            reason: Rejection::NotLeader { leader: None },
            ..
        })]
    ));
    let actions = scene.receive(2, 1, heartbeat(None));
    let leader = Some(node(2));
    assert!(
        actions.contains(&Action::Notice(Notice::LeaderChanged { leader, term })),
        "{actions:?}"
    );
}

// §4.2.3: what a server has heard does not depend on what it wants. A candidate denies pre-votes for as long as it hears
// the leader, its own among them, and grants them afterwards.
#[test]
fn a_server_that_campaigns_still_hears_its_leader() {
    let mut scene = Scene::follower(3, 1, &[1]);
    scene.receive(3, 1, heartbeat(None));
    scene.step(Event::Campaign);
    assert_eq!(scene.role(), RoleName::PreCandidate);
    assert_eq!(ask_pre_vote(&mut scene, 2, 1, at(1, 1)), Some((2, false)));
    scene.grant(2);
    assert_eq!(
        scene.role(),
        RoleName::PreCandidate,
        "its own pre-vote is denied as well"
    );
    scene.tick(SHORTEST);
    assert_eq!(ask_pre_vote(&mut scene, 2, 1, at(1, 1)), Some((2, true)));
    scene.tick(LONGEST);
    scene.grant(2);
    assert_eq!((scene.role(), scene.term()), (RoleName::Candidate, 2));
}

// A leader that asks for a campaign releases its follower from it.
#[test]
fn a_server_that_was_asked_to_take_over_hears_no_leader() {
    let mut scene = Scene::follower(3, 1, &[1]);
    scene.receive(3, 1, heartbeat(None));
    scene.receive(3, 1, Message::TimeoutNow);
    assert_eq!((scene.role(), scene.term()), (RoleName::Candidate, 2));
    assert_eq!(ask_pre_vote(&mut scene, 2, 2, at(1, 1)), Some((3, true)));
}

// `Event::Campaign` promises that it fails while a quorum hears a leader, however many servers are told to campaign.
#[test]
fn servers_that_campaign_at_once_depose_no_leader_that_a_quorum_hears() {
    for servers in [3, 5] {
        let mut cluster = Cluster::new(servers);
        let leader = cluster.elect();
        cluster.tick(10);
        let term = cluster.server(leader).replica.raft().vitals().term;
        for other in (1..=servers).filter(|&other| other != leader) {
            cluster.step(other, Event::Campaign);
        }
        cluster.deliver();
        cluster.tick(5 * LONGEST);
        let vitals = cluster.server(leader).replica.raft().vitals();
        assert_eq!((vitals.role, vitals.term), (RoleName::Leader, term));
    }
}

// The server itself is one of that quorum: another one that hears no leader does not make up for it.
#[test]
fn a_campaign_fails_although_a_server_that_hears_no_leader_would_help() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.tick(10);
    let term = cluster.server(leader).replica.raft().vitals().term;
    let (hears, deaf) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.cut.insert((leader, deaf));
    cluster.tick(3 * LONGEST);
    cluster.step(hears, Event::Campaign);
    cluster.deliver();
    cluster.tick(3 * LONGEST);
    let vitals = cluster.server(leader).replica.raft().vitals();
    assert_eq!((vitals.role, vitals.term), (RoleName::Leader, term));
}
