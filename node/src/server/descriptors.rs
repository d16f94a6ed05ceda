//! The files and sockets that the process may have open, and who gets how many.
//!
//! The store, the links to other servers and the decoders come first, and clients get what is left. So clients can
//! never take the last descriptor, whose lack would look to the store like a failed disk.

use crate::transport::MOST_ACCEPTED_STRANGERS;

/// What the store and the runtime have open, and what they open now and then: segments, snapshots, folders.
const RESERVED: u64 = 128;

/// What each decoder of a picture takes: two ends of three pipes, and two ends of one that tells how it began.
const PER_DECODER: u64 = 8;

/// The connections of another server: the two that it dialled, the one that was dialled to it, and one that replaces it.
const PER_PEER: u64 = 4;

/// Fewer clients than these are of no use: the operator has to allow more files.
const FEWEST_CLIENTS: u64 = 16;

/// Why a server cannot start: the system allows too few open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system allows this process {allowed} open files, and it needs {needed}: raise the limit (`ulimit -n`, or \
     LimitNOFILE= of a service)"
)]
pub struct TooFewFiles {
    /// How many are allowed.
    pub allowed: u64,
    /// How many are needed.
    pub needed: u64,
}

/// Raises the number of open files to what the system allows, and returns how many clients may connect: at most
/// `wanted`.
///
/// # Errors
///
/// There is no room for a few clients beside the store and the links.
pub(super) fn places_for_clients(wanted: u32, peers: usize, decoders: usize) -> Result<usize, TooFewFiles> {
    let places = share(allowed_files(), wanted, peers, decoders)?;
    if places < wanted as usize {
        tracing::warn!(
            "the system's limit of open files leaves room for {places} connections of clients; {wanted} are wanted. Raise it \
             with `ulimit -n`, or LimitNOFILE= of a service"
        );
    }
    Ok(places)
}

fn share(allowed: Option<u64>, wanted: u32, peers: usize, decoders: usize) -> Result<usize, TooFewFiles> {
    let ours = RESERVED + MOST_ACCEPTED_STRANGERS + PER_PEER * peers as u64 + PER_DECODER * decoders as u64;
    // One more that is accepted before the oldest is dropped.
    let wanted = u64::from(wanted);
    let left = allowed.map_or(wanted, |allowed| allowed.saturating_sub(ours + 1).min(wanted));
    if left < wanted.min(FEWEST_CLIENTS) {
        return Err(TooFewFiles {
            allowed: allowed.unwrap_or(0),
            needed: ours + 1 + wanted.min(FEWEST_CLIENTS),
        });
    }
    Ok(usize::try_from(left).unwrap_or(usize::MAX))
}

/// Returns how many files may be open after the limit was raised as far as it may be; `None` for no limit.
#[cfg(unix)]
fn allowed_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Some systems name a limit that they then refuse; the old one stays in force.
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

#[cfg(not(unix))]
fn allowed_files() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_and_the_links_come_first_and_clients_get_what_is_left() {
        assert_eq!(share(None, 1024, 2, 1), Ok(1024));
        assert_eq!(share(Some(20_000), 1024, 2, 1), Ok(1024));
        let ours = RESERVED + MOST_ACCEPTED_STRANGERS + PER_PEER * 2 + PER_DECODER + 1;
        assert_eq!(share(Some(ours + 100), 1024, 2, 1), Ok(100));
        let error = share(Some(ours + 15), 1024, 2, 1).unwrap_err();
        assert_eq!(error.needed, ours + 16);
        assert!(error.to_string().contains("ulimit -n"), "{error}");
    }
}
