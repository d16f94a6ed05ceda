//! The child's side: reads one request from standard input, and writes the reply to standard output.
//!
//! ```text
//!   stdin    u32 length ‖ request (JSON) ‖ for each file: u64 length ‖ bytes
//!   stdout   u32 length ‖ reply or verdict (JSON) ‖ u64 length ‖ bytes
//! ```

use std::io::{self, Read, Write};
use std::process::ExitCode;

use super::job::{self, Reply, Request};
use super::{DecodingError, Verdict};

/// The first argument of a child.
pub(super) const SUBCOMMAND: &str = "decode-picture";

/// The most bytes of a request or a reply, without the files.
pub(super) const MOST_HEAD_BYTES: usize = 1 << 20;

/// Does a child's work if this process was started as one. Call it before anything else in `main`.
#[must_use]
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != SUBCOMMAND || arguments.next().is_some() {
        return None;
    }
    // One line for the parent to quote, without paths of the build machine.
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("for an unknown reason");
        let _ = writeln!(io::stderr(), "it panicked: {message}");
    }));
    Some(match serve(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    })
}

fn serve(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MOST_HEAD_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut head = vec![0; length];
    input.read_exact(&mut head)?;
    let request: Request = serde_json::from_slice(&head)?;
    limit(&request)?;
    let mut next = || {
        let mut length = [0; 8];
        input.read_exact(&mut length)?;
        let length = u64::from_be_bytes(length);
        let mut blob = Vec::new();
        let reserved = blob.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX));
        reserved.map_err(|_| io::ErrorKind::OutOfMemory)?;
        input.take(length).read_to_end(&mut blob)?;
        match blob.len() as u64 == length {
            true => Ok(blob),
            // The parent has ended.
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    let (head, bytes) = match job::run(&request, &mut next) {
        Ok(reply) => head_of(Ok(reply))?,
        Err(DecodingError::Picture(verdict)) => head_of(Err(verdict))?,
        Err(DecodingError::System(error)) => return Err(error),
        Err(other) => return Err(io::Error::other(other.to_string())),
    };
    output.write_all(&u32::try_from(head.len()).map_err(io::Error::other)?.to_be_bytes())?;
    output.write_all(&head)?;
    output.write_all(&(bytes.len() as u64).to_be_bytes())?;
    output.write_all(&bytes)?;
    output.flush()
}

fn head_of(mut result: Result<Reply, Verdict>) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let bytes = result
        .as_mut()
        .map(|reply| std::mem::take(&mut reply.bytes))
        .unwrap_or_default();
    Ok((serde_json::to_vec(&result)?, bytes))
}

/// Limits this process, before anything is decoded.
#[cfg(unix)]
fn limit(request: &Request) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let between = |resource, current, maximum| {
        let (current, maximum) = (Some(current), Some(maximum));
        setrlimit(resource, Rlimit { current, maximum })
    };
    let at_most = |resource, value| between(resource, value, value);
    // A lower limit that the user has set cannot be raised, and holds anyway.
    let _ = at_most(Resource::As, request.memory_bytes);
    // The soft limit comes first, with a signal of its own (SIGXCPU).
    let _ = between(
        Resource::Cpu,
        request.cpu_seconds,
        request.cpu_seconds.saturating_add(1),
    );
    // No core file, no other file, no socket: three descriptors are enough.
    at_most(Resource::Core, 0)?;
    at_most(Resource::Fsize, 0)?;
    at_most(Resource::Nofile, 3)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// Elsewhere only the parent's clock limits a child.
#[cfg(not(unix))]
fn limit(_: &Request) -> io::Result<()> {
    Ok(())
}
