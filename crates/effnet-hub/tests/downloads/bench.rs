//! Helpers shared by all download tests: a folder, a body, an entry, a watcher.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use effnet_hub::{Backoff, Entry, Error, Hub, HubConfig, Manifest, Progress, Transfer, Warning};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// Name of the file that tests download.
pub const NAME: &str = "weights-test.pth";
/// Its size: not a multiple of any buffer size.
pub const SIZE: usize = 2_000_003;

/// Random bytes, different for every seed.
pub fn body(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..SIZE).map(|_| random.u8(..)).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// An entry `b0.test` with these files: name, URLs, digest.
pub fn entry(files: &[(&str, &[&str], Option<&str>)]) -> Entry {
    let files: Vec<_> = files
        .iter()
        .map(|(name, urls, sha256)| serde_json::json!({"name": name, "urls": urls, "sha256": sha256}))
        .collect();
    let manifest = serde_json::json!({ "version": 1, "entries": [{
        "id": "b0.test", "variant": "b0", "scheme": "timm", "profile": "timm", "classes": 1000, "files": files,
        "preprocessing": { "image_size": 224, "crop_pct": 0.875, "crop_mode": "center",
            "interpolation": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5] },
        "licence": "MIT",
    }] });
    Manifest::parse(&manifest.to_string(), "test")
        .unwrap()
        .get("b0.test")
        .unwrap()
        .clone()
}

/// Records what downloads report.
#[derive(Debug, Default)]
pub struct Watcher {
    pub started: Vec<(u64, Option<u64>)>,
    pub advanced: u64,
    pub finished: usize,
    pub warnings: Vec<String>,
}

impl Progress for Watcher {
    fn started(&mut self, transfer: &Transfer<'_>) {
        self.started.push((transfer.from, transfer.total));
    }

    fn advanced(&mut self, bytes: u64) {
        self.advanced += bytes;
    }

    fn finished(&mut self) {
        self.finished += 1;
    }

    fn warned(&mut self, warning: &Warning) {
        self.warnings.push(warning.to_string());
    }
}

impl Watcher {
    pub fn warned_of(&self, text: &str) -> bool {
        self.warnings.iter().any(|warning| warning.contains(text))
    }
}

/// A temporary cache folder and an impatient configuration.
pub struct Bench {
    pub folder: TempDir,
    pub config: HubConfig,
    pub watcher: Watcher,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = impatient(&folder.path().join("cache"));
        Self {
            folder,
            config,
            watcher: Watcher::default(),
        }
    }

    pub fn resolve(&mut self, entry: &Entry) -> Result<PathBuf, Error> {
        Hub::new(self.config.clone()).resolve(entry, &mut self.watcher)
    }

    /// Resolves one file with a known digest.
    pub fn fetch(&mut self, url: &str, content: &[u8]) -> Result<PathBuf, Error> {
        self.resolve(&entry(&[(NAME, &[url], Some(&sha256(content)))]))
    }

    /// Resolves, expects success, and compares every byte.
    #[track_caller]
    pub fn expect(&mut self, url: &str, content: &[u8]) {
        let path = self.fetch(url, content).unwrap();
        assert_eq!(path, self.own(NAME));
        assert!(fs::read(&path).unwrap() == content, "the content differs");
        assert_eq!(self.watcher.finished, 1);
        assert_eq!(self.visible(), [NAME], "nothing but the file is left");
    }

    /// Resolves, expects an error with this text and no file under the final name.
    #[track_caller]
    pub fn expect_error(&mut self, url: &str, content: &[u8], text: &str) {
        let error = self.fetch(url, content).unwrap_err().to_string();
        assert!(error.contains(text), "expected `{text}` in: {error}");
        assert!(error.contains(url), "the URL is missing: {error}");
        assert_eq!(self.watcher.finished, 0);
        assert!(!self.own(NAME).exists(), "a file exists under the final name");
    }

    pub fn own(&self, name: &str) -> PathBuf {
        self.config.cache.join(name)
    }

    /// Names in the cache folder, except hidden ones.
    pub fn visible(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.config.cache).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }
}

pub fn impatient(cache: &Path) -> HubConfig {
    let backoff = Backoff::default()
        .with_first(Duration::from_millis(10))
        .with_limit(Duration::from_millis(40));
    HubConfig::new(cache)
        .with_backoff(backoff)
        // Long enough for a busy machine.
        .with_stall_timeout(Duration::from_secs(4))
        .with_retries(3)
}
