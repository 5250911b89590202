//! How the hub behaves. The library reads no environment; [`HubConfig::from_environment`] is told it.

mod environment;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Folders, network and patience of a [`Hub`](crate::Hub).
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// The hub's own folder: the only one it writes to.
    pub cache: PathBuf,
    /// PyTorch's folder (`TORCH_HOME`), whose `hub/checkpoints` is looked in.
    pub torch_home: Option<PathBuf>,
    /// Hugging Face's folder (`HF_HOME`), whose `hub` is looked in.
    pub hf_home: Option<PathBuf>,
    /// Hugging Face's folder of repositories (`HF_HUB_CACHE`), looked in instead of `hub` in `hf_home`.
    pub hf_hub_cache: Option<PathBuf>,
    /// Fetch nothing.
    pub offline: bool,
    /// A URL whose scheme, host and port replace those of every published URL; a path in it is put before theirs.
    pub mirror: Option<String>,
    /// Proxies.
    pub proxies: Proxies,
    /// Certificates to trust instead of the system's and the built-in ones.
    pub certificates: Option<Certificates>,
    /// Weight files that the program carries in itself.
    pub bundled: Vec<Bundled>,
    /// Sent to `https://huggingface.co` and nowhere else.
    pub hf_token: Option<String>,
    /// The User-Agent header.
    pub user_agent: String,
    /// A connection on which nothing arrives for this long is given up.
    pub stall_timeout: Duration,
    /// Attempts after the first one for each URL, not counting those that brought at least 1 MiB.
    pub retries: u32,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// Longest pause that a server may ask for with Retry-After.
    pub longest_wait: Duration,
}

/// A weight file that the program carries in itself, for machines without a network.
#[derive(Clone, Copy)]
pub struct Bundled {
    /// The entry that it belongs to.
    pub id: &'static str,
    /// The file's name in the manifest.
    pub name: &'static str,
    /// All of the file.
    pub bytes: &'static [u8],
    /// Their SHA-256, 64 lower-case digits.
    pub sha256: &'static str,
}

impl fmt::Debug for Bundled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = format_args!("{} bytes", self.bytes.len());
        let mut shown = f.debug_struct("Bundled");
        shown.field("id", &self.id).field("name", &self.name);
        shown.field("sha256", &self.sha256);
        shown.field("bytes", &bytes).finish()
    }
}

/// URLs of proxies, as in `http://user:password@proxy:3128` or `socks5h://proxy:1080`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For http URLs.
    pub http: Option<String>,
    /// For https URLs.
    pub https: Option<String>,
    /// For both, where the two above say nothing.
    pub all: Option<String>,
    /// Hosts that are reached directly, separated by commas.
    pub no_proxy: Option<String>,
}

/// Certificate authorities in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// One file with any number of certificates.
    pub file: Option<PathBuf>,
    /// A folder of such files.
    pub folder: Option<PathBuf>,
}

/// Pauses that double from `first` up to `limit`, each shortened by a random part of up to a half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub limit: Duration,
}

impl Backoff {
    /// The pause after the given number of failures in a row, from 1.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        doubled.min(self.limit).mul_f64(1.0 - fastrand::f64() / 2.0)
    }
}

impl HubConfig {
    /// A configuration that looks in `cache` alone and reaches every server directly.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            torch_home: None,
            hf_home: None,
            hf_hub_cache: None,
            offline: false,
            mirror: None,
            proxies: Proxies::default(),
            certificates: None,
            bundled: Vec::new(),
            hf_token: None,
            user_agent: format!("effnet/{}", env!("CARGO_PKG_VERSION")),
            stall_timeout: Duration::from_secs(30),
            retries: 5,
            backoff: Backoff {
                first: Duration::from_millis(500),
                limit: Duration::from_secs(20),
            },
            longest_wait: Duration::from_secs(120),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_keep_at_least_half() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            limit: Duration::from_secs(5),
        };
        for (failures, full) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (40, 5.0)] {
            let pause = backoff.pause(failures).as_secs_f64();
            assert!((full / 2.0..=full).contains(&pause), "{failures}: {pause}");
        }
    }
}
