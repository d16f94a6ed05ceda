//! Schedules as TOML, and the checks of what they say.

use super::{Class, FaultKind, MAX_OPERATIONS, MAX_SERVERS, Schedule, Target, When};
use crate::nanos::Nanos;

/// Why a schedule cannot be run. Its author is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// The text is not a schedule.
    #[error("not a schedule: {0}")]
    Format(#[from] toml::de::Error),
    /// A schedule cannot be written as TOML.
    #[error("the schedule has a number that TOML cannot hold (above 9223372036854775807): {0}")]
    Unwritable(#[from] toml::ser::Error),
    /// The cluster is empty or too large.
    #[error("the cluster has {servers} servers with its spares; 1 to {MAX_SERVERS} can be simulated")]
    Servers {
        /// The number asked for.
        servers: u8,
    },
    /// The clients' operations are too many.
    #[error(
        "the schedule has {operations} operations, by rule and listed; at most {MAX_OPERATIONS} can be simulated"
    )]
    Operations {
        /// The number asked for.
        operations: usize,
    },
    /// A fault strikes a server that does not exist.
    #[error("fault {id} strikes server {server}, but the cluster has servers 1 to {servers}")]
    UnknownServer {
        /// The fault.
        id: u32,
        /// The server it names.
        server: u64,
        /// How many there are.
        servers: u8,
    },
    /// A fault has a field that its kind does not know.
    #[error("fault {id} has no field \"{key}\"")]
    UnknownKey {
        /// The fault.
        id: i64,
        /// The field.
        key: String,
    },
    /// A step or a fault of a run of the store has a field that its kind does not know.
    #[error("no step or fault of this kind has a field \"{key}\"")]
    UnknownStoreKey {
        /// The field.
        key: String,
    },
    /// Two faults share an id, and with it their private draws.
    #[error("two faults have the id {id}; give each its own")]
    DuplicateFault {
        /// The id.
        id: u32,
    },
    /// `$subject` without an event.
    #[error("fault {id} strikes $subject, which needs an event: give the fault `on = {{ event = ... }}`")]
    NoSubject {
        /// The fault.
        id: u32,
    },
    /// The fault does what class A excludes.
    #[error(
        "fault {id} ({kind}) breaks what Raft assumes of disks; give the schedule class = \"B\" or \"C\""
    )]
    BeyondClass {
        /// The fault.
        id: u32,
        /// The fault's kind.
        kind: &'static str,
    },
    /// A fault waits for occurrence 0 of its event.
    #[error("fault {id} strikes on the 0th event; events are counted from 1")]
    ZerothEvent {
        /// The fault.
        id: u32,
    },
    /// An operation is made by a client that does not exist.
    #[error("an operation is made by client {client}, but there are clients 1 to {clients}")]
    UnknownClient {
        /// The client.
        client: u8,
        /// How many there are.
        clients: u8,
    },
    /// A value that cannot be simulated.
    #[error("{name} is {value}; it must be {must}")]
    Value {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// Too many witnesses.
    #[error("the cluster has {witnesses} witnesses; they must be fewer than half of its {servers} servers")]
    Witnesses {
        /// The number of witnesses.
        witnesses: u8,
        /// The number of servers.
        servers: u8,
    },
    /// The schedule was made for another state machine, and its operations mean something else to this one.
    #[error("the schedule is for the workload \"{wanted}\", but this one is \"{given}\"")]
    OtherWorkload {
        /// The workload that the schedule names.
        wanted: String,
        /// The workload that was to run it.
        given: &'static str,
    },
    /// The schedule encodes messages, and the workload has nothing to encode them with.
    #[error(
        "the schedule encodes messages (knobs.encode_messages), but the workload \"{workload}\" has no codec; give it one in Workload::codec, or set encode_messages to false, which is another run"
    )]
    NoCodec {
        /// The workload that was to run it.
        workload: &'static str,
    },
    /// The schedule's messages are too small for the workload's commands.
    #[error(
        "the workload's largest command has {command_bytes} bytes (Workload::sizes), but knobs.message_bytes is \
         {limit}; make the schedule of a seed by Profile::schedule_for, or state smaller sizes if they are"
    )]
    SmallMessages {
        /// The schedule's limit, in bytes.
        limit: u64,
        /// The largest command, in bytes.
        command_bytes: u64,
    },
    /// A command is larger than the workload says that any is.
    #[error(
        "the command of attempt {attempt} has {bytes} bytes, but Workload::sizes states {stated} as the largest; state \
         its true size, so that the schedule can be made to fit"
    )]
    LargeCommand {
        /// The number of the attempt.
        attempt: u64,
        /// The size of its command, in bytes.
        bytes: u64,
        /// The stated size, in bytes.
        stated: u64,
    },
    /// The library rejects the settings.
    #[error("the knobs are invalid: {0}")]
    Knobs(raft_core::ConfigError),
}

impl Schedule {
    /// Reads a schedule and checks it.
    pub fn from_toml(text: &str) -> Result<Self, ScheduleError> {
        let schedule: Self = toml::from_str(text)?;
        schedule.validate()?;
        schedule.reject_unknown_keys(text)?;
        Ok(schedule)
    }

    /// Writes the schedule so that [`Schedule::from_toml`] reads it back unchanged.
    pub fn to_toml(&self) -> Result<String, ScheduleError> {
        Ok(toml::to_string(self)?)
    }

    /// Checks what the types cannot: that everything named exists, and that the settings can be run.
    pub fn validate(&self) -> Result<(), ScheduleError> {
        let servers = self.cluster.all_servers();
        if self.cluster.servers == 0 || servers > MAX_SERVERS {
            return Err(ScheduleError::Servers { servers });
        }
        if self.cluster.witnesses > 0 && 2 * self.cluster.witnesses >= self.cluster.servers {
            let (witnesses, servers) = (self.cluster.witnesses, self.cluster.servers);
            return Err(ScheduleError::Witnesses { witnesses, servers });
        }
        self.knobs
            .config(self.seed, self.cluster.tick)
            .validate()
            .map_err(ScheduleError::Knobs)?;
        self.validate_values()?;
        self.validate_faults()?;
        let clients = self.workload.clients;
        match self
            .operations
            .iter()
            .find(|operation| operation.client == 0 || operation.client > clients)
        {
            Some(operation) => Err(ScheduleError::UnknownClient {
                client: operation.client,
                clients,
            }),
            None => Ok(()),
        }
    }

    /// Rejects unknown fields of faults. A fault's fields depend on its kind, and for such types serde skips fields
    /// that it does not know. A misspelt one would silently change the meaning of the schedule, so what was read is
    /// compared with what was understood.
    fn reject_unknown_keys(&self, text: &str) -> Result<(), ScheduleError> {
        let read: toml::Table = toml::from_str(text)?;
        let understood = toml::Table::try_from(self)?;
        let faults = |table: &toml::Table| table.get("fault").and_then(toml::Value::as_array).cloned();
        for (read, understood) in faults(&read)
            .unwrap_or_default()
            .iter()
            .zip(faults(&understood).unwrap_or_default())
        {
            let (Some(read), Some(understood)) = (read.as_table(), understood.as_table()) else {
                continue;
            };
            if let Some(key) = read.keys().find(|key| !understood.contains_key(*key)) {
                let id = read
                    .get("id")
                    .and_then(toml::Value::as_integer)
                    .unwrap_or_default();
                return Err(ScheduleError::UnknownKey { id, key: key.clone() });
            }
        }
        Ok(())
    }

    fn validate_values(&self) -> Result<(), ScheduleError> {
        let refuse = |name, value: String, must| Err(ScheduleError::Value { name, value, must });
        let network = &self.weather.network;
        let disk = &self.weather.disk;
        if self.cluster.tick < Nanos::from_micros(1) {
            return refuse("cluster.tick", self.cluster.tick.to_string(), "1us or more");
        }
        if self.weather.clock_drift_ppm > 500_000 {
            return refuse(
                "weather.clock_drift_ppm",
                self.weather.clock_drift_ppm.to_string(),
                "500000 or less",
            );
        }
        if network.delay_min > network.delay_max {
            return refuse(
                "weather.network.delay_min",
                network.delay_min.to_string(),
                "at most delay_max",
            );
        }
        if disk.sync_min > disk.sync_max {
            return refuse(
                "weather.disk.sync_min",
                disk.sync_min.to_string(),
                "at most sync_max",
            );
        }
        if self.workload.clients == 0 {
            return refuse("workload.clients", "0".to_owned(), "1 or more");
        }
        if self.workload.attempts == 0 {
            return refuse("workload.attempts", "0".to_owned(), "1 or more");
        }
        // All of them are in memory at once.
        let operations = (self.operations.len()).saturating_add(self.workload.operations as usize);
        if operations > MAX_OPERATIONS {
            return Err(ScheduleError::Operations { operations });
        }
        if self.heal.at > Nanos::from_secs(1_000_000) {
            return refuse("heal.at", self.heal.at.to_string(), "a million seconds or less");
        }
        Ok(())
    }

    fn validate_faults(&self) -> Result<(), ScheduleError> {
        let servers = self.cluster.all_servers();
        let mut ids: Vec<u32> = self.faults.iter().map(|fault| fault.id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(ScheduleError::DuplicateFault {
                id: pair.first().copied().unwrap_or_default(),
            });
        }
        for fault in &self.faults {
            let id = fault.id;
            if let FaultKind::Partition {
                flap_every: Some(Nanos::ZERO),
                ..
            } = fault.kind
            {
                return Err(ScheduleError::Value {
                    name: "flap_every",
                    value: Nanos::ZERO.to_string(),
                    must: "more than zero",
                });
            }
            if let FaultKind::ChangeMembership { change, .. } = &fault.kind
                && let Some(server) = change
                    .named()
                    .find(|server| !(1..=u64::from(servers)).contains(server))
            {
                return Err(ScheduleError::UnknownServer { id, server, servers });
            }
            match (fault.kind.target(), fault.when) {
                (Some(Target::Server(node)), _) if node.value() > u64::from(servers) => {
                    return Err(ScheduleError::UnknownServer {
                        id,
                        server: node.value(),
                        servers,
                    });
                }
                (Some(Target::Subject), When::At(_)) => return Err(ScheduleError::NoSubject { id }),
                _ if self.class == Class::A && fault.kind.breaks_assumptions() => {
                    return Err(ScheduleError::BeyondClass {
                        id,
                        kind: fault.kind.name(),
                    });
                }
                (_, When::On(trigger)) if trigger.nth == 0 => return Err(ScheduleError::ZerothEvent { id }),
                _ => {}
            }
        }
        Ok(())
    }
}
