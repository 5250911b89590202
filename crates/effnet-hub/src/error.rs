//! Everything that can go wrong, said to the person who has to act on it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::Digest;

/// A failure of the hub.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A manifest is no JSON of the expected form.
    #[error("cannot read the manifest {origin}: {source}")]
    ManifestSyntax {
        /// The file, or `built in`.
        origin: String,
        /// What the parser found, with line and column.
        source: serde_json::Error,
    },
    /// An entry of a manifest breaks a rule.
    #[error("entry `{id}` of the manifest {origin}: {problem}")]
    ManifestEntry {
        /// The file, or `built in`.
        origin: String,
        /// The entry's id.
        id: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// No entry has this id.
    #[error("no weights are called `{id}`{}", nearest_hint(nearest))]
    UnknownId {
        /// What was asked for.
        id: String,
        /// The nearest ids, best first.
        nearest: Vec<String>,
    },
    /// The configuration cannot be used.
    #[error("{setting}: `{value}` cannot be used: {problem}")]
    Config {
        /// The setting, as in `mirror` or `https proxy`.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file system refused something.
    #[error("cannot {action} `{}`: {source}{}", path.display(), io_hint(source))]
    Io {
        /// What was tried, as in `write to`.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that is no regular file stands where the hub would write.
    #[error("`{}` is {kind}; the hub writes through no link: remove it, or choose another cache folder", path.display())]
    NotAFile {
        /// The path in the cache folder.
        path: PathBuf,
        /// What stands there.
        kind: &'static str,
    },
    /// Offline mode, and the file is in none of the folders.
    #[error("`{}` is not on this machine, and offline mode is on{}", .0.id, .0)]
    Offline(Box<Missing>),
    /// None of the entry's URLs gave the file.
    #[error("`{}` is not on this machine and cannot be fetched{}{missing}", missing.id, lines(failures))]
    Download {
        /// The weights, and what to do without the network.
        missing: Box<Missing>,
        /// One failure for each URL that was tried, in order.
        failures: Vec<TransferError>,
    },
}

/// Weights that are not on this machine, and what a person can do about it.
///
/// Shown, it is the lines that follow the first one of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The entry's id.
    pub id: String,
    /// The file's name to put into one of the folders.
    pub file: String,
    /// Where it can be fetched by hand.
    pub url: String,
    /// The folders that were looked in; the first is the hub's own cache.
    pub folders: Vec<PathBuf>,
    /// What was found and not used, in sentences.
    pub rejected: Vec<String>,
    /// Ids of weights that the program carries in itself.
    pub bundled: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lines(&self.rejected))?;
        f.write_str("\n  looked in:")?;
        for folder in &self.folders {
            write!(f, "\n    {}", folder.display())?;
        }
        let own = self.folders.first().map(|folder| folder.display().to_string());
        let (file, own) = (&self.file, own.unwrap_or_default());
        if !self.url.is_empty() {
            write!(f, "\n  fetch {}\n  and save it as `{file}` in {own}", self.url)?;
        }
        if !self.bundled.is_empty() {
            let ids = self.bundled.join("` or `");
            write!(
                f,
                "\n  without a network, try the weights `{ids}`, which are built in"
            )?;
        }
        Ok(())
    }
}

/// Each on a line of its own, indented.
fn lines<T: fmt::Display>(sentences: &[T]) -> String {
    let lines = sentences.iter().map(|sentence| format!("\n  {sentence}"));
    lines.collect()
}

/// Why one URL did not give its file.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The URL cannot be requested.
    #[error("{url}: {problem}")]
    Address {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No connection: the name does not resolve, the port is closed, the proxy refuses.
    #[error("{url}: no connection: {reason}; check the network, the proxy settings and the mirror")]
    Connect {
        /// The URL.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The server's certificate is not trusted.
    #[error("{url}: {reason}; if a company proxy opens TLS, name its certificate file (SSL_CERT_FILE)")]
    Certificate {
        /// The URL.
        url: String,
        /// What TLS found.
        reason: String,
    },
    /// The server answered with something other than the file.
    #[error("{url}: the server answered {status}{}", status_hint(*status))]
    Status {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The pause that the server asked for.
        retry_after: Option<Duration>,
    },
    /// The server asks for a longer pause than the configuration allows.
    #[error(
        "{url}: the server answered {status} and asks to wait {} s, longer than the limit of {} s; try again later",
        asked.as_secs(), limit.as_secs()
    )]
    Busy {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The pause that the server asked for.
        asked: Duration,
        /// The longest pause that is waited out.
        limit: Duration,
    },
    /// No byte arrived for the stall timeout.
    #[error("{url}: nothing arrived for {:.1} s", seconds.as_secs_f64())]
    Stalled {
        /// The URL.
        url: String,
        /// The stall timeout.
        seconds: Duration,
    },
    /// The connection ended before the body did.
    #[error("{url}: the connection ended after {received}{} bytes: {reason}", of_total(*expected))]
    Cut {
        /// The URL.
        url: String,
        /// Bytes that are kept for the next attempt.
        received: u64,
        /// Bytes of the whole file, when the server said so.
        expected: Option<u64>,
        /// What the connection said.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("{url}: redirect to {to} is not followed: {problem}")]
    Redirect {
        /// The URL that was asked first.
        url: String,
        /// The target.
        to: String,
        /// Why not.
        problem: &'static str,
    },
    /// The server sent a range that was not asked for.
    #[error("{url}: the server sent another range than the one asked for: `{content_range}`")]
    Range {
        /// The URL.
        url: String,
        /// The Content-Range header, or the status line.
        content_range: String,
    },
    /// The file has another size or digest than the published one.
    #[error(
        "{url}: wrong content: SHA-256 {found} of {size} bytes, expected {expected}; the file is not kept"
    )]
    Digest {
        /// The URL.
        url: String,
        /// The published digest.
        expected: Digest,
        /// The digest of what came.
        found: String,
        /// Bytes that came.
        size: u64,
    },
    /// The file has another size than the published one.
    #[error("{url}: wrong content: {found} bytes, expected {expected}; the file is not kept")]
    Size {
        /// The URL.
        url: String,
        /// The published size.
        expected: u64,
        /// The announced or received size.
        found: u64,
    },
    /// A web page came instead of the file.
    #[error(
        "{url}: a web page came instead of the file, starting `{start}`; a login page or a proxy's notice? \
         Open the URL in a browser, or fetch the file there"
    )]
    WebPage {
        /// The URL.
        url: String,
        /// The first characters of the page.
        start: String,
    },
}

impl TransferError {
    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Stalled { .. } | Self::Cut { .. } | Self::Range { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

fn nearest_hint(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    let names: Vec<_> = nearest.iter().map(|id| format!("`{id}`")).collect();
    format!("; the nearest are {}", names.join(", "))
}

fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space and try again, the download goes on where it stopped"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a cache folder that can be written to (EFFNET_CACHE)"
        }
        _ => "",
    }
}

fn status_hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; access is refused: a token, a proxy or a mirror may be needed",
        404 | 410 => "; the file is not there any more, or the mirror does not have it",
        407 => "; the proxy wants a user and a password",
        429 => "; too many requests, try again later",
        500.. => "; the server has a fault, try again later",
        _ => "",
    }
}

fn of_total(expected: Option<u64>) -> String {
    expected.map(|total| format!(" of {total}")).unwrap_or_default()
}
