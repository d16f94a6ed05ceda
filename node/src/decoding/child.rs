//! The parent's side: starts a child, sends the files, and turns its end into a result.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;

use super::job::{Reply, Request};
use super::worker::{MOST_HEAD_BYTES, SUBCOMMAND};
use super::{DecodingError, ProcessLimits, Verdict, malformed};

/// The most bytes of a child's standard error that are kept.
const MOST_LAST_WORDS_BYTES: u64 = 4 << 10;

/// The most bytes that a child may send. The largest picture of any mode is well below.
const MOST_REPLY_BYTES: u64 = 1 << 30;

/// The standard library's message about a failed allocation, before it aborts.
const OUT_OF_MEMORY: &str = "memory allocation of";

/// Does the work in a child process.
pub(super) async fn run(
    program: &Path,
    request: &Request,
    limits: &ProcessLimits,
    blobs: mpsc::Receiver<Vec<u8>>,
) -> Result<Reply, DecodingError> {
    let work = converse(program, request, limits, blobs);
    // The child is killed when the future is dropped.
    let done = tokio::time::timeout(limits.wall, work).await;
    done.unwrap_or(Err(DecodingError::Time {
        limit_seconds: limits.wall.as_secs(),
        what: "time by the clock",
    }))
}

async fn converse(
    program: &Path,
    request: &Request,
    limits: &ProcessLimits,
    blobs: mpsc::Receiver<Vec<u8>>,
) -> Result<Reply, DecodingError> {
    let mut command = Command::new(program);
    command
        .arg(SUBCOMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // A decoder needs no environment. Windows programs do not start without theirs.
    if cfg!(unix) {
        command.env_clear().current_dir("/");
    }
    let mut child = command.spawn()?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(malformed("no pipes"));
    };
    let head = serde_json::to_vec(request).map_err(std::io::Error::other)?;
    let (fed, received, last_words) =
        tokio::join!(feed(stdin, &head, blobs), receive(stdout), last_words(stderr));
    let status = child.wait().await?;
    match received {
        Ok(reply) if status.success() => reply.map_err(DecodingError::Picture),
        Err(error) if status.success() => Err(malformed(&error.to_string())),
        _ => {
            // A child that ends early does not read all of its input; its exit status says more.
            drop(fed);
            Err(explain(status, &last_words, limits))
        }
    }
}

async fn feed(mut stdin: ChildStdin, head: &[u8], mut blobs: mpsc::Receiver<Vec<u8>>) -> std::io::Result<()> {
    let length = u32::try_from(head.len()).map_err(std::io::Error::other)?;
    stdin.write_all(&length.to_be_bytes()).await?;
    stdin.write_all(head).await?;
    while let Some(blob) = blobs.recv().await {
        stdin.write_all(&(blob.len() as u64).to_be_bytes()).await?;
        stdin.write_all(&blob).await?;
    }
    stdin.shutdown().await
}

async fn receive(mut stdout: impl AsyncRead + Unpin) -> std::io::Result<Result<Reply, Verdict>> {
    let length = stdout.read_u32().await? as usize;
    if length > MOST_HEAD_BYTES {
        return Err(std::io::Error::other("its head is too long"));
    }
    let mut head = vec![0; length];
    stdout.read_exact(&mut head).await?;
    let mut result: Result<Reply, Verdict> = serde_json::from_slice(&head)?;
    let length = stdout.read_u64().await?;
    if length > MOST_REPLY_BYTES {
        return Err(std::io::Error::other("it is too long"));
    }
    let mut bytes = Vec::new();
    stdout.take(length).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    if let Ok(reply) = &mut result {
        reply.bytes = bytes;
    }
    Ok(result)
}

async fn last_words(stderr: impl AsyncRead + Unpin) -> String {
    let mut words = Vec::new();
    let mut kept = stderr.take(MOST_LAST_WORDS_BYTES);
    let _ = kept.read_to_end(&mut words).await;
    // The rest is read too: a full pipe would block the child.
    let _ = tokio::io::copy(&mut kept.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&words).into_owned()
}

/// Returns the reason why a child ended without a reply.
fn explain(status: ExitStatus, last_words: &str, limits: &ProcessLimits) -> DecodingError {
    if last_words.contains(OUT_OF_MEMORY) || last_words.contains("out of memory") {
        return DecodingError::Memory {
            limit_bytes: limits.memory_bytes,
        };
    }
    let words = last_words
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        // The soft limit of processor time sends SIGXCPU, which nothing here catches.
        if signal == rustix::process::Signal::XCPU.as_raw() {
            return DecodingError::Time {
                limit_seconds: limits.cpu_seconds,
                what: "processor time",
            };
        }
    }
    DecodingError::Crashed {
        how: match words {
            "" => status.to_string(),
            words => format!("{status}, {words}"),
        },
    }
}
