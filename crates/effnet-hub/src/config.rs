//! Configuration of the hub. The library itself reads no environment variables; see
//! [`HubConfig::from_environment`].

mod environment;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Configuration of a [`Hub`](crate::Hub): folders, network, timeouts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HubConfig {
    /// The hub's cache folder, the only one it writes to.
    pub cache: PathBuf,
    /// PyTorch's cache folder (`TORCH_HOME`); its `hub/checkpoints` is searched.
    pub torch_home: Option<PathBuf>,
    /// Hugging Face's cache folder (`HF_HOME`); its `hub` is searched.
    pub hf_home: Option<PathBuf>,
    /// Hugging Face's folder of repositories (`HF_HUB_CACHE`), searched instead of `hub` in `hf_home`.
    pub hf_hub_cache: Option<PathBuf>,
    /// Never access the network.
    pub offline: bool,
    /// A URL whose scheme, host and port replace those of every published URL; its path is prepended to theirs.
    pub mirror: Option<String>,
    /// Proxies.
    pub proxies: Proxies,
    /// Certificates to trust instead of the system's and the built-in ones.
    pub certificates: Option<Certificates>,
    /// Weight files embedded in the program.
    pub bundled: Vec<Bundled>,
    /// A model whose weights pip can download; suggested when other weights cannot be downloaded.
    pub packaged: Option<String>,
    /// Access token, sent only to `https://huggingface.co`.
    pub hf_token: Option<String>,
    /// The User-Agent header.
    pub user_agent: String,
    /// Timeout for a connection that receives no data.
    pub stall_timeout: Duration,
    /// Slowest accepted transfer rate in bytes per second, averaged over each `stall_timeout`.
    pub slowest_rate: u64,
    /// Retries per URL; attempts that receive at least 1 MiB do not count.
    pub retries: u32,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Longest accepted delay in a Retry-After header.
    pub longest_wait: Duration,
}

/// A weight file embedded in the program, for machines without a network connection.
#[derive(Clone, Copy)]
pub struct Bundled {
    /// Id of the entry.
    pub id: &'static str,
    /// The file's name in the manifest.
    pub name: &'static str,
    /// Content of the file.
    pub bytes: &'static [u8],
    /// SHA-256 of the content, 64 lower-case hex digits.
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

/// URLs of proxies, such as `http://user:password@proxy:3128` or `socks5h://proxy:1080`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proxies {
    /// Proxy for http URLs.
    pub http: Option<String>,
    /// Proxy for https URLs.
    pub https: Option<String>,
    /// Proxy for both, unless set above.
    pub all: Option<String>,
    /// Hosts to connect to directly, separated by commas.
    pub no_proxy: Option<String>,
}

impl Proxies {
    /// Sets [`http`](Self::http).
    #[must_use]
    pub fn with_http(mut self, http: impl Into<String>) -> Self {
        self.http = Some(http.into());
        self
    }

    /// Sets [`https`](Self::https).
    #[must_use]
    pub fn with_https(mut self, https: impl Into<String>) -> Self {
        self.https = Some(https.into());
        self
    }

    /// Sets [`all`](Self::all).
    #[must_use]
    pub fn with_all(mut self, all: impl Into<String>) -> Self {
        self.all = Some(all.into());
        self
    }

    /// Sets [`no_proxy`](Self::no_proxy).
    #[must_use]
    pub fn with_no_proxy(mut self, no_proxy: impl Into<String>) -> Self {
        self.no_proxy = Some(no_proxy.into());
        self
    }
}

/// Certificate authorities in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificates {
    /// One file with any number of certificates.
    pub file: Option<PathBuf>,
    /// A folder of such files.
    pub folder: Option<PathBuf>,
}

impl Certificates {
    /// Sets [`file`](Self::file).
    #[must_use]
    pub fn with_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Sets [`folder`](Self::folder).
    #[must_use]
    pub fn with_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }
}

/// Exponential backoff: delays double from `first` up to `limit`, each shortened by a random jitter of up to
/// half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// First delay.
    pub first: Duration,
    /// Maximum delay.
    pub limit: Duration,
}

impl Default for Backoff {
    /// Delays from half a second to 20 seconds.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            limit: Duration::from_secs(20),
        }
    }
}

impl Backoff {
    /// Sets [`first`](Self::first).
    #[must_use]
    pub fn with_first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// Sets [`limit`](Self::limit).
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Returns the delay after this number of consecutive failures, counted from 1.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        doubled.min(self.limit).mul_f64(1.0 - fastrand::f64() / 2.0)
    }
}

impl HubConfig {
    /// Creates a configuration that searches only `cache` and connects to all servers directly.
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
            packaged: None,
            hf_token: None,
            user_agent: format!("effnet/{}", env!("CARGO_PKG_VERSION")),
            stall_timeout: Duration::from_secs(30),
            slowest_rate: 1024,
            retries: 5,
            backoff: Backoff::default(),
            longest_wait: Duration::from_secs(120),
        }
    }

    /// Sets [`cache`](Self::cache).
    #[must_use]
    pub fn with_cache(mut self, cache: impl Into<PathBuf>) -> Self {
        self.cache = cache.into();
        self
    }

    /// Sets [`torch_home`](Self::torch_home).
    #[must_use]
    pub fn with_torch_home(mut self, torch_home: impl Into<PathBuf>) -> Self {
        self.torch_home = Some(torch_home.into());
        self
    }

    /// Sets [`hf_home`](Self::hf_home).
    #[must_use]
    pub fn with_hf_home(mut self, hf_home: impl Into<PathBuf>) -> Self {
        self.hf_home = Some(hf_home.into());
        self
    }

    /// Sets [`hf_hub_cache`](Self::hf_hub_cache).
    #[must_use]
    pub fn with_hf_hub_cache(mut self, hf_hub_cache: impl Into<PathBuf>) -> Self {
        self.hf_hub_cache = Some(hf_hub_cache.into());
        self
    }

    /// Sets [`offline`](Self::offline).
    #[must_use]
    pub fn with_offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Sets [`mirror`](Self::mirror).
    #[must_use]
    pub fn with_mirror(mut self, mirror: impl Into<String>) -> Self {
        self.mirror = Some(mirror.into());
        self
    }

    /// Sets [`proxies`](Self::proxies).
    #[must_use]
    pub fn with_proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Sets [`certificates`](Self::certificates).
    #[must_use]
    pub fn with_certificates(mut self, certificates: impl Into<Option<Certificates>>) -> Self {
        self.certificates = certificates.into();
        self
    }

    /// Sets [`packaged`](Self::packaged).
    #[must_use]
    pub fn with_packaged(mut self, packaged: impl Into<Option<String>>) -> Self {
        self.packaged = packaged.into();
        self
    }

    /// Sets [`bundled`](Self::bundled).
    #[must_use]
    pub fn with_bundled(mut self, bundled: Vec<Bundled>) -> Self {
        self.bundled = bundled;
        self
    }

    /// Sets [`hf_token`](Self::hf_token).
    #[must_use]
    pub fn with_hf_token(mut self, hf_token: impl Into<String>) -> Self {
        self.hf_token = Some(hf_token.into());
        self
    }

    /// Sets [`user_agent`](Self::user_agent).
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Sets [`slowest_rate`](Self::slowest_rate).
    #[must_use]
    pub fn with_slowest_rate(mut self, slowest_rate: u64) -> Self {
        self.slowest_rate = slowest_rate;
        self
    }

    /// Sets [`stall_timeout`](Self::stall_timeout).
    #[must_use]
    pub fn with_stall_timeout(mut self, stall_timeout: Duration) -> Self {
        self.stall_timeout = stall_timeout;
        self
    }

    /// Sets [`retries`](Self::retries).
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets [`backoff`](Self::backoff).
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets [`longest_wait`](Self::longest_wait).
    #[must_use]
    pub fn with_longest_wait(mut self, longest_wait: Duration) -> Self {
        self.longest_wait = longest_wait;
        self
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
