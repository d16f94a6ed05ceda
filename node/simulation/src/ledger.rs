//! The service's ledger as a workload: people enrol, protect pictures, view them, repeat requests that were not
//! answered, and query the audit.
//!
//! It is [`node::ledger::Ledger`] itself, the state machine that the servers run. A model of the ledger's rules judges
//! every answer and the audit (oracle C9, and C6 for what is charged twice).
//!
//! The simulator plays clients and also the edge of a server, where a client's signature is verified, once, before the
//! request is proposed. Past the edge the signatures are not checked again. So commands carry a placeholder, and
//! signing does not slow a sweep down. `node/simulation/tests/ledger.rs` checks that the ledger really ignores them.

mod model;

use lsb_core::envelope::{Grant, Policy, UserName, Views};
use lsb_core::seal::{ExchangeKey, ExchangePublicKey, LedgerShare, SigningKey};
use lsb_core::{ClusterId, ObjectId, PublicKey, RequestId, Signature, UnixSeconds};
use node::cluster_key::{ClusterKey, WrappedShare};
use node::ledger::request::{AcknowledgeRequest, EnrolRequest, Signed, ViewRequest};
use node::ledger::{
    Action, Command, Denial, Genesis, Ledger as Machine, Outcome, Query, Registration, encode_command,
};
use sim::random::{Domain, Seed};
use sim::schedule::WorkloadPlan;
use sim::{Call, Concluded, Heard, Nanos, Retry, Sizes, Violation, Workload};

/// The number of users; each client is one of them.
const USERS: u64 = 8;
/// The number of pictures; each choice is one of them.
const OBJECTS: u64 = 8;
/// The clocks' reading when a run begins.
const BEGIN: u64 = 1_700_000_000;

/// A command has some hundred bytes, most of them a picture's grants. A snapshot has some thousands.
const SIZES: Sizes = Sizes {
    command_bytes: 1 << 10,
    response_bytes: 1 << 10,
    snapshot_bytes: 64 << 10,
};

/// The ledger, and people who use it.
///
/// Two seconds of the ledger's time pass in each simulated millisecond, so that requests and grants expire within a
/// run.
#[derive(Clone, Debug)]
pub struct Ledger {
    genesis: Genesis,
    users: Vec<UserName>,
    keys: Vec<PublicKey>,
    shares: Vec<WrappedShare>,
    /// By owner and object.
    policies: Vec<Policy>,
    reply_to: ExchangePublicKey,
}

/// What a request asks for; it follows from the call, and is the same in every attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Begin,
    Enrol,
    Protect,
    View {
        /// The number that makes the request's id. Now and then another request has used it.
        id: u64,
        expires: UnixSeconds,
        /// Whether the request is signed with another user's key.
        foreign: bool,
    },
    Acknowledge {
        id: u64,
    },
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Ledger {
    /// Returns the ledger of a cluster whose keys are fixed numbers.
    pub fn new() -> Self {
        let key = ClusterKey::from_bytes([9; 32]);
        let byte = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
        let name = |user: u64| UserName::parse(&format!("user-{user}")).expect("letters, a dash and a digit");
        let users: Vec<UserName> = (0..USERS).map(name).collect();
        let keys: Vec<PublicKey> = (0..USERS)
            .map(|user| SigningKey::from_bytes(&[byte(user) + 1; 32]).public())
            .collect();
        let shares = (0..OBJECTS)
            .map(|object| key.wrap_share(object_id(object), &LedgerShare::from_bytes([byte(object); 32])));
        let policy = |(owner, object): (u64, u64)| {
            let place = usize::try_from(owner).unwrap_or(0);
            let listed = (0..USERS)
                .zip(&users)
                .filter(|(user, _)| (user + object) % 3 != 0);
            let grants = listed
                .map(|(user, name)| grant(object, user, name.clone()))
                .collect();
            let (name, key) = users
                .get(place)
                .zip(keys.get(place))
                .expect("every owner is a user");
            Policy::new(name.clone(), *key, grants).expect("every user has one grant that can be valid")
        };
        Self {
            genesis: Genesis {
                cluster: key.cluster_id(),
                denied_picture_hash: [1; 32],
            },
            shares: shares.collect(),
            policies: (0..USERS)
                .flat_map(|owner| (0..OBJECTS).map(move |object| (owner, object)))
                .map(policy)
                .collect(),
            users,
            keys,
            reply_to: ExchangeKey::from_bytes([7; 32]).public(),
        }
    }

    fn ask(&self, call: &Call) -> Ask {
        let whom = u64::from(call.client) << 32 | call.choice;
        let draw = Seed(whom).quick(Domain::Workload, 1, 0, call.request);
        let earlier = |most: u64| call.request.saturating_sub(1 + draw.part(2).below(most));
        let begins = if call.request < 100 { 4 } else { 1 };
        match draw.below(32) {
            // The first leader fixes the cluster's constants before anything else, and every later one repeats it.
            _ if call.request < 5 => Ask::Begin,
            number if number < begins => Ask::Begin,
            1..=6 => Ask::Enrol,
            7..=9 => Ask::Protect,
            10..=12 => Ask::Acknowledge { id: earlier(12) },
            _ => Ask::View {
                id: match draw.part(3).chance(1_000) {
                    true => earlier(12),
                    false => call.request,
                },
                expires: UnixSeconds(clock(call.made).0 + draw.part(4).between(20, 650)),
                foreign: draw.part(5).chance(300),
            },
        }
    }

    fn user(&self, number: u64) -> (&UserName, PublicKey) {
        let place = usize::try_from(number % USERS).unwrap_or(0);
        let user = self.users.get(place).zip(self.keys.get(place));
        let (name, key) = user.expect("every number below the number of users has one");
        (name, *key)
    }

    fn policy(&self, owner: u64, object: u64) -> &Policy {
        let place = usize::try_from(owner % USERS * OBJECTS + object % OBJECTS).unwrap_or(0);
        self.policies
            .get(place)
            .expect("there is one for each owner and object")
    }

    fn share(&self, object: u64) -> WrappedShare {
        let place = usize::try_from(object % OBJECTS).unwrap_or(0);
        *self.shares.get(place).expect("there is one for each object")
    }

    fn cluster(&self) -> ClusterId {
        self.genesis.cluster
    }

    fn view(&self, call: &Call, id: u64, expires: UnixSeconds, foreign: bool) -> ViewRequest {
        let (user, key) = self.user(user_of(call));
        let device = match foreign {
            true => self.user(user_of(call) + 1).1,
            false => key,
        };
        ViewRequest {
            cluster: self.cluster(),
            object: object_id(object_of(call)),
            user: user.clone(),
            device,
            request: request_id(id),
            reply_to: self.reply_to,
            expires,
        }
    }

    fn action(&self, call: &Call) -> Action {
        let (user, key) = self.user(user_of(call));
        let (user, cluster) = (user.clone(), self.cluster());
        match self.ask(call) {
            Ask::Begin => Action::Genesis(self.genesis),
            Ask::Enrol => Action::Enrol(verified(EnrolRequest { cluster, user, key })),
            Ask::Protect => Action::Protect(Box::new(Registration {
                cluster,
                object: object_id(object_of(call)),
                policy: self.policy(user_of(call), object_of(call)).clone(),
                manifest_hash: [5; 32],
                sealed_share_hash: [6; 32],
                signature: PLACEHOLDER,
                share: self.share(object_of(call)),
            })),
            Ask::View { id, expires, foreign } => {
                Action::View(verified(self.view(call, id, expires, foreign)))
            }
            Ask::Acknowledge { id } => Action::Acknowledge(verified(AcknowledgeRequest {
                cluster,
                user,
                device: key,
                request: request_id(id),
            })),
        }
    }
}

/// Takes the place of a signature that the edge has verified.
const PLACEHOLDER: Signature = Signature::from_bytes([0; 64]);

fn verified<R>(request: R) -> Signed<R> {
    Signed {
        request,
        signature: PLACEHOLDER,
    }
}

fn user_of(call: &Call) -> u64 {
    u64::from(call.client) % USERS
}

const fn object_of(call: &Call) -> u64 {
    call.choice % OBJECTS
}

const fn object_id(object: u64) -> ObjectId {
    ObjectId::from_bytes([object as u8 + 1; 16])
}

fn request_id(number: u64) -> RequestId {
    let mut bytes = [0; 16];
    for (target, byte) in bytes.iter_mut().zip(number.to_be_bytes()) {
        *target = byte;
    }
    RequestId::from_bytes(bytes)
}

/// A grant: a number of views or any number. For some pictures it is valid only until, or only from, some time in the
/// run.
fn grant(object: u64, user: u64, name: UserName) -> Grant {
    let total = u32::try_from(1 + (object * 5 + user * 3) % 4).unwrap_or(1);
    let views = match user % 5 {
        4 => Views::Unlimited,
        _ => Views::Total(total),
    };
    Grant {
        not_before: (object % 4 == 2).then_some(UnixSeconds(BEGIN + 4_000)),
        expires: (object % 4 == 1).then_some(UnixSeconds(BEGIN + 8_000)),
        ..Grant::new(name, views)
    }
}

/// Returns the reading of a correct clock.
fn clock(at: Nanos) -> UnixSeconds {
    UnixSeconds(BEGIN + at.value() / 500_000)
}

/// Returns the reading of the clock of the server that is asked. Clocks of different servers may differ.
fn stamp(call: &Call) -> UnixSeconds {
    UnixSeconds(clock(call.at).0 - call.attempt % 3 * 30)
}

impl Workload for Ledger {
    type Machine = Machine;

    fn machine(&self, _plan: &WorkloadPlan) -> Machine {
        Machine::new()
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        let command = Command {
            time: stamp(call),
            action: self.action(call),
        };
        encode_command(&command).to_vec()
    }

    fn query(&self, choice: u64) -> Query {
        match choice % 3 {
            0 => Query::Object(object_id(choice % OBJECTS)),
            1 => Query::Overview,
            _ => Query::Audit { most: 5 },
        }
    }

    fn name(&self) -> &'static str {
        "ledger"
    }

    fn sizes(&self, _plan: &WorkloadPlan) -> Sizes {
        SIZES
    }

    /// The ledger knows a request by its id, and the client keeps it in a journal until it is answered.
    fn retry(&self, _plan: &WorkloadPlan) -> Retry {
        Retry::Same
    }

    fn heard(&self, outcome: &Outcome) -> Heard {
        match outcome {
            Outcome::Granted(view) => Heard::Done {
                first: view.repeated.then_some(view.index),
            },
            Outcome::Denied(Denial::TooManyOutcomes { .. }) => Heard::Again,
            _ => Heard::Done { first: None },
        }
    }

    fn check(&self, run: &Concluded<'_, Machine>) -> Result<(), Violation> {
        model::judge(self, run)
    }
}
