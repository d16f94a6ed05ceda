//! `host:port`, as people write it on a command line and in `servers.conf`, normalised to one spelling.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The distance from a server's port for clients to its port for other servers.
pub const CONSENSUS_PORT_OFFSET: u16 = 1000;

/// The largest port for clients: the consensus port above it must exist.
pub const LARGEST_PORT: u16 = u16::MAX - CONSENSUS_PORT_OFFSET;

/// The longest host name (RFC 1035 §2.3.4, in its textual form).
const HOST_NAME_LIMIT_BYTES: usize = 253;

/// The address where a server serves its clients. Its consensus port follows from it.
///
/// Two spellings of the same address are equal: host names are folded to lower case, numeric addresses are parsed, and
/// `localhost` is 127.0.0.1. A server's id derives from this spelling, so it must not depend on how people write it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: Host,
    port: u16,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// Why text is not the address of a server. The author of the text is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The colon or the port after it is missing.
    #[error("`{text}` has no port; write host:port, such as 127.0.0.1:8080")]
    NoPort {
        /// The text.
        text: String,
    },
    /// The host is empty, too long, or has characters that no host name has.
    #[error(
        "`{text}` does not begin with a host name or an IP address; write host:port, such as 127.0.0.1:8080 or [::1]:8080"
    )]
    Host {
        /// The text.
        text: String,
    },
    /// The host can be listened on, but not dialled.
    #[error(
        "{host} means \"every address of this machine\", which cannot be dialled; write the address by which others reach this server"
    )]
    Unspecified {
        /// The host.
        host: IpAddr,
    },
    /// The port is not a number, or is 0, or leaves no room for the consensus port.
    #[error(
        "`{text}` is not a usable port; choose one from 1 to {LARGEST_PORT}, because servers talk to each other on the port \
         {CONSENSUS_PORT_OFFSET} above it"
    )]
    Port {
        /// The text of the port.
        text: String,
    },
}

impl Address {
    /// Makes the address of a server on this machine, for this machine.
    ///
    /// # Errors
    ///
    /// The port leaves no room for the consensus port.
    pub fn loopback(port: u16) -> Result<Self, AddressError> {
        Ok(Self {
            host: Host::Ip(Ipv4Addr::LOCALHOST.into()),
            port: check_port(port)?,
        })
    }

    /// Returns the host as it is written before the port: an IPv6 address is in brackets.
    pub fn host(&self) -> String {
        self.host.to_string()
    }

    /// Returns the host without brackets, as certificates and resolvers need it.
    pub fn bare_host(&self) -> String {
        match &self.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// Returns the IP address, if the host is one; a name has to be resolved.
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        }
    }

    /// Returns the port for clients.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the port for other servers.
    pub fn consensus_port(&self) -> u16 {
        // Construction rejects ports above LARGEST_PORT, so this never saturates.
        self.port.saturating_add(CONSENSUS_PORT_OFFSET)
    }

    /// Returns `host:port` of the consensus port, ready to be dialled.
    pub fn consensus(&self) -> String {
        format!("{}:{}", self.host, self.consensus_port())
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        matches!(self.host, Host::Ip(ip) if ip.is_loopback())
    }

    /// Whether both are on the same host, as far as their spelling shows.
    pub fn shares_host_with(&self, other: &Self) -> bool {
        self.host == other.host
    }

    /// Makes an address of a host and a port.
    pub(super) fn from_parts(host: &str, port: u16) -> Result<Self, AddressError> {
        Ok(Self {
            host: parse_host(host, host)?,
            port: check_port(port)?,
        })
    }
}

fn check_port(port: u16) -> Result<u16, AddressError> {
    if port == 0 || port > LARGEST_PORT {
        return Err(AddressError::Port {
            text: port.to_string(),
        });
    }
    Ok(port)
}

/// Parses a port as it is written on a command line.
///
/// # Errors
///
/// The text is not a decimal number from 1 to [`LARGEST_PORT`].
pub fn parse_port(text: &str) -> Result<u16, AddressError> {
    let number = text
        .parse::<u16>()
        .map_err(|_| AddressError::Port { text: shorten(text) })?;
    check_port(number)
}

fn parse_host(host: &str, whole: &str) -> Result<Host, AddressError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bare {
        Some(bracketed) => bracketed.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        None => host.parse::<IpAddr>().ok(),
    };
    if let Some(ip) = ip {
        return if ip.is_unspecified() {
            Err(AddressError::Unspecified { host: ip })
        } else {
            Ok(Host::Ip(ip))
        };
    }
    let name = host.to_ascii_lowercase();
    if name == "localhost" {
        return Ok(Host::Ip(Ipv4Addr::LOCALHOST.into()));
    }
    let is_name = !name.is_empty()
        && name.len() <= HOST_NAME_LIMIT_BYTES
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        });
    // Resolvers would take a name whose last label is a number for a malformed IPv4 address (WHATWG URL §3.5).
    let ends_in_number = name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if is_name && !ends_in_number {
        Ok(Host::Name(name))
    } else {
        Err(AddressError::Host { text: shorten(whole) })
    }
}

/// Keeps hostile or accidental megabytes out of messages, and control characters off the terminal.
fn shorten(text: &str) -> String {
    const SHOWN_CHARACTERS: usize = 80;
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARACTERS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = match text.rsplit_once(':') {
            // Without brackets, the last group of an IPv6 address would be taken for a port.
            Some((host, _)) if host.contains(':') && !host.starts_with('[') => {
                return Err(AddressError::Host { text: shorten(text) });
            }
            Some(parts) => parts,
            None => return Err(AddressError::NoPort { text: shorten(text) }),
        };
        Ok(Self {
            host: parse_host(host, text)?,
            port: parse_port(port)?,
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> Result<String, AddressError> {
        text.parse::<Address>().map(|address| address.to_string())
    }

    #[test]
    fn spellings_of_one_address_are_equal() {
        for (text, canonical) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LocalHost:08080", "127.0.0.1:8080"),
            ("[0:0::1]:8080", "[::1]:8080"),
            ("Server-1.Example.org:1", "server-1.example.org:1"),
            ("10.0.0.7:64535", "10.0.0.7:64535"),
        ] {
            assert_eq!(spelled(text).as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_an_address_says_what_is_wrong() {
        for text in ["", "8080", "localhost", "::1", "127.0.0.1"] {
            assert!(spelled(text).is_err(), "{text}");
        }
        for port in ["0", "64536", "65535", "65536", "http", "-1", "", "+ 1"] {
            let error = spelled(&format!("127.0.0.1:{port}"));
            assert!(
                matches!(error, Err(AddressError::Port { .. })),
                "{port}: {error:?}"
            );
        }
        for host in [
            "a b",
            "a/b",
            "",
            "a..b",
            "-a",
            "300.1.1.1",
            "1.2.3",
            "ä.org",
            "::1",
            "a\nb",
        ] {
            let error = spelled(&format!("{host}:8080"));
            assert!(
                matches!(error, Err(AddressError::Host { .. })),
                "{host}: {error:?}"
            );
        }
        assert!(matches!(
            spelled("0.0.0.0:80"),
            Err(AddressError::Unspecified { .. })
        ));
    }

    #[test]
    fn the_consensus_port_is_a_thousand_above() {
        let address: Address = "[::1]:8080".parse().unwrap();
        assert_eq!(address.consensus(), "[::1]:9080");
        assert!(address.is_loopback());
        assert!(!"10.0.0.1:80".parse::<Address>().unwrap().is_loopback());
    }
}
