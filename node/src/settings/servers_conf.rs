//! `servers.conf`: the addresses of the servers, for clients.

use std::io;
use std::path::{Path, PathBuf};

use super::address::{Address, AddressError};

/// The largest file that is read.
pub const FILE_LIMIT_BYTES: u64 = 64 << 10;

/// The most servers that may be listed.
pub const SERVER_LIMIT: usize = 64;

/// Why a list of servers cannot be used. The author of the file is wrong, or the file does not exist.
#[derive(Debug, thiserror::Error)]
pub enum ServersConfError {
    /// The file cannot be read.
    #[error(
        "cannot read the list of servers, {}: {source}. Create a file `servers.conf` in the working directory with one host:port per line, \
         or name the file with --servers FILE",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is larger than any list of servers.
    #[error("{} is larger than {FILE_LIMIT_BYTES} bytes, the limit for a list of servers", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not text.
    #[error("{} is not a text file in UTF-8; write one host:port per line", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A line is not an address.
    #[error("{}, line {line}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: AddressError,
    },
    /// An address is listed twice.
    #[error("{}, line {line}: {address} is listed already, on line {first}", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The second line, counted from 1.
        line: usize,
        /// The line of the first, counted from 1.
        first: usize,
        /// The address.
        address: Address,
    },
    /// There are too many servers.
    #[error("{} lists more than {SERVER_LIMIT} servers, the limit", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
    },
    /// The list is empty.
    #[error("{} lists no server; write one host:port per line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a list of servers: one `host:port` per line; blank lines and everything after a `#` are skipped.
///
/// # Errors
///
/// The file cannot be read, is too large, lists nothing, or has a line that is not an address.
pub fn read(path: &Path) -> Result<Vec<Address>, ServersConfError> {
    use io::Read;
    let unreadable = |source| ServersConfError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LIMIT_BYTES {
        return Err(ServersConfError::TooLarge {
            path: path.to_owned(),
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| ServersConfError::NotText {
        path: path.to_owned(),
    })?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<Vec<Address>, ServersConfError> {
    let path = || path.to_owned();
    let mut servers: Vec<(usize, Address)> = Vec::new();
    // Some editors begin a file with a byte order mark.
    for (line, content) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line + 1;
        let content = content.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let address: Address = content.parse().map_err(|source| ServersConfError::Line {
            path: path(),
            line,
            source,
        })?;
        if let Some(&(first, _)) = servers.iter().find(|(_, known)| *known == address) {
            return Err(ServersConfError::Duplicate {
                path: path(),
                line,
                first,
                address,
            });
        }
        if servers.len() == SERVER_LIMIT {
            return Err(ServersConfError::TooMany { path: path() });
        }
        servers.push((line, address));
    }
    if servers.is_empty() {
        return Err(ServersConfError::Empty { path: path() });
    }
    Ok(servers.into_iter().map(|(_, address)| address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<String>, String> {
        parse(text, Path::new("servers.conf"))
            .map(|servers| servers.iter().map(ToString::to_string).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn comments_blank_lines_and_windows_line_ends_are_skipped() {
        let text =
            "\u{feff}# the cluster\r\n127.0.0.1:8080\r\n\r\n  127.0.0.1:8081  # the second\r\n[::1]:8082";
        assert_eq!(
            parsed(text),
            Ok(vec![
                "127.0.0.1:8080".into(),
                "127.0.0.1:8081".into(),
                "[::1]:8082".into()
            ])
        );
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let error = parsed("127.0.0.1:8080\n\n127.0.0.1\n").unwrap_err();
        assert!(
            error.starts_with("servers.conf, line 3: `127.0.0.1` has no port"),
            "{error}"
        );
        let error = parsed("127.0.0.1:8080\nlocalhost:8080\n").unwrap_err();
        assert_eq!(
            error,
            "servers.conf, line 2: 127.0.0.1:8080 is listed already, on line 1"
        );
        assert!(parsed("# no server\n").unwrap_err().contains("lists no server"));
        let many: String = (1..=65).map(|port| format!("127.0.0.1:{port}\n")).collect();
        assert!(parsed(&many).unwrap_err().contains("more than 64"));
    }
}
