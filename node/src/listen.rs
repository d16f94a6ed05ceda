//! Opening the ports.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error(
        "Address already in use: {address} (the port for {purpose}). Another program holds it, most likely a server that was started \
         before: stop that one, or start this one with another port and list it so on the other servers and in servers.conf"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
        /// What the port is for.
        purpose: &'static str,
    },
    /// The operating system refuses.
    #[error("cannot listen on {address} (the port for {purpose}): {source}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What the port is for.
        purpose: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Listens on a port, without blocking, so that any runtime can adopt the listener. The address is reusable at once
/// after a restart, although connections of the previous server linger.
///
/// # Errors
///
/// The port is taken, or this user may not have it.
pub(crate) fn listen(ip: IpAddr, port: u16, purpose: &'static str) -> Result<TcpListener, ListenError> {
    let address = SocketAddr::new(ip, port);
    open(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address, purpose },
        _ => ListenError::Refused {
            address,
            purpose,
            source,
        },
    })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option would let two servers share a port; there, lingering connections do not block it anyway.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Sends small messages at once, and detects within a minute that the other machine has vanished.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    use std::time::Duration;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(10));
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
