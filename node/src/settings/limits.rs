//! How much of a server its clients may use, and what an operator may change of it.

use serde::Deserialize;

/// The largest value of any of these settings: more than a machine can serve.
const LARGEST: u32 = 1_000_000;

/// How much of a server its clients may use. `SECURITY.md` has a table of all limits, and of the answer at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// How many connections of clients are open at a time.
    pub connections: u32,
    /// How many requests a second one address may send that no enrolled device has signed; ten times as many at once.
    pub requests_per_second: u32,
    /// How many requests a second one device may sign; ten times as many at once.
    pub device_requests_per_second: u32,
    /// How many new names a minute one address may enrol, beyond the first [`FIRST_NAMES_OF_AN_ADDRESS`].
    pub enrolments_per_minute: u32,
    /// How many new names a minute all addresses may enrol, beyond the first [`FIRST_NAMES_OF_ALL`].
    pub cluster_enrolments_per_minute: u32,
    /// How many views a minute are recorded as denied to users who are not listed, beyond the first
    /// [`FIRST_DENIALS`]; others are refused without a record.
    pub denials_per_minute: u32,
}

/// How many names an address may enrol at once.
pub const FIRST_NAMES_OF_AN_ADDRESS: u32 = 200;
/// How many names all addresses may enrol at once.
pub const FIRST_NAMES_OF_ALL: u32 = 1000;
/// How many denials of views are recorded at once.
pub const FIRST_DENIALS: u32 = 600;

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            requests_per_second: 100,
            device_requests_per_second: 1000,
            enrolments_per_minute: 60,
            cluster_enrolments_per_minute: 120,
            denials_per_minute: 60,
        }
    }
}

/// The same as an operator writes it: flags, or the table `[limits]` of the TOML file.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LimitChoices {
    /// How many connections of clients are open at a time; fewer if the system allows too few files [default: 1024].
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    max_connections: Option<u32>,
    /// How many requests a second one address may send before an enrolled device has signed; ten times as many at once
    /// [default: 100].
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    requests_per_second: Option<u32>,
    /// How many requests a second one device may sign; ten times as many at once [default: 1000].
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    device_requests_per_second: Option<u32>,
    /// How many new names a minute one address may enrol, after its first 200 [default: 60].
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    enrolments_per_minute: Option<u32>,
    /// How many new names a minute all addresses may enrol, after the first 1000 [default: 120].
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    cluster_enrolments_per_minute: Option<u32>,
    /// How many denials a minute are recorded for users who are not listed, after the first 600 [default: 60].
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    denials_per_minute: Option<u32>,
}

/// A limit is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{name} is {value}; choose from 1 to {LARGEST}")]
pub struct LimitError {
    /// The flag.
    pub name: &'static str,
    /// The value.
    pub value: u32,
}

impl LimitChoices {
    /// Returns these choices, filled up with the other's where none was made here.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            max_connections: self.max_connections.or(other.max_connections),
            requests_per_second: self.requests_per_second.or(other.requests_per_second),
            device_requests_per_second: self
                .device_requests_per_second
                .or(other.device_requests_per_second),
            enrolments_per_minute: self.enrolments_per_minute.or(other.enrolments_per_minute),
            cluster_enrolments_per_minute: self
                .cluster_enrolments_per_minute
                .or(other.cluster_enrolments_per_minute),
            denials_per_minute: self.denials_per_minute.or(other.denials_per_minute),
        }
    }

    /// Checks the choices, and takes the defaults for the rest.
    pub(super) fn limits(&self) -> Result<ServiceLimits, LimitError> {
        let standard = ServiceLimits::default();
        let chosen = |name, value: Option<u32>, default| match value {
            None => Ok(default),
            Some(value) if (1..=LARGEST).contains(&value) => Ok(value),
            Some(value) => Err(LimitError { name, value }),
        };
        Ok(ServiceLimits {
            connections: chosen("max-connections", self.max_connections, standard.connections)?,
            requests_per_second: chosen(
                "requests-per-second",
                self.requests_per_second,
                standard.requests_per_second,
            )?,
            device_requests_per_second: chosen(
                "device-requests-per-second",
                self.device_requests_per_second,
                standard.device_requests_per_second,
            )?,
            enrolments_per_minute: chosen(
                "enrolments-per-minute",
                self.enrolments_per_minute,
                standard.enrolments_per_minute,
            )?,
            cluster_enrolments_per_minute: chosen(
                "cluster-enrolments-per-minute",
                self.cluster_enrolments_per_minute,
                standard.cluster_enrolments_per_minute,
            )?,
            denials_per_minute: chosen(
                "denials-per-minute",
                self.denials_per_minute,
                standard.denials_per_minute,
            )?,
        })
    }
}
