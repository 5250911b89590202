//! Resolves an entry of the manifest to a verified local file.
//!
//! This module decides the order of the sources: caches first, then embedded weights, then the network unless
//! offline. It takes one lock per file, so that concurrent processes download the file only once.

use std::path::PathBuf;

use crate::digest_cache::DigestCache;
use crate::search_path::SearchPath;
use crate::transfer::{CacheFolder, Client, download};
use crate::{Entry, Error, HubConfig, Missing, Progress};

/// Finds weight files in local caches or downloads them. Can be shared between threads.
#[derive(Debug)]
pub struct Hub {
    pub(crate) config: HubConfig,
    pub(crate) digests: DigestCache,
    pub(crate) search_path: SearchPath,
    pub(crate) client: Client,
}

impl Hub {
    /// Creates a hub. Does not access the file system or the network yet.
    pub fn new(config: HubConfig) -> Self {
        Self {
            digests: DigestCache::new(&config.cache),
            search_path: SearchPath::new(&config),
            client: Client::new(&config),
            config,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    /// The folders searched, the hub's cache folder first.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.search_path.folders()
    }

    /// Returns a local file of `entry`, if one exists; its content is not verified.
    pub fn local_file(&self, entry: &Entry) -> Option<PathBuf> {
        self.search_path.present(entry)
    }

    /// Returns the path of a file with the weights of `entry`, verified against its SHA-256.
    ///
    /// Files in the cache folders of the hub, PyTorch and Hugging Face are used in place. Embedded weights are
    /// written to the hub's cache folder. Otherwise the entry's URLs are tried in order. If several processes
    /// resolve the same entry, one downloads it and the others wait.
    ///
    /// # Errors
    /// [`Error::Offline`] if no local file can be used and offline mode is on; [`Error::Download`] if all
    /// URLs failed; [`Error::Io`] if the cache folder is not writable; [`Error::Config`] if the mirror, a
    /// proxy or the certificates are invalid. An incomplete or wrong file never appears under the file's
    /// name.
    pub fn resolve(&self, entry: &Entry, progress: &mut dyn Progress) -> Result<PathBuf, Error> {
        self.resolve_with(&self.digests, entry, progress)
    }

    /// Like [`Hub::resolve`], but hashes a cached file even if a record says that it has already been hashed.
    ///
    /// # Errors
    /// Same as [`Hub::resolve`].
    pub fn resolve_hashed(&self, entry: &Entry, progress: &mut dyn Progress) -> Result<PathBuf, Error> {
        self.resolve_with(&self.digests.without_stamps(), entry, progress)
    }

    fn resolve_with(
        &self,
        digests: &DigestCache,
        entry: &Entry,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        let mut rejected = Vec::new();
        if let Some(path) = self.search_path.usable(entry, digests, progress, &mut rejected) {
            return Ok(path);
        }
        if let Some(path) = self.unpack(entry, progress, &mut rejected)? {
            return Ok(path);
        }
        if self.config.offline {
            return Err(Error::Offline(self.missing(entry, rejected)));
        }
        let mut failures = Vec::new();
        for file in &entry.files {
            let folder = CacheFolder::open(&self.config.cache)?;
            let _lock = folder.lock(file, progress)?;
            // Another process may have downloaded the file while this one waited.
            if let Some(path) = self.search_path.usable(entry, digests, progress, &mut rejected) {
                return Ok(path);
            }
            if let Some(path) = download(
                &self.client,
                &self.config,
                (file, entry.largest_file()),
                &folder,
                &self.digests,
                progress,
                &mut failures,
            )? {
                return Ok(path);
            }
        }
        Err(Error::Download {
            missing: self.missing(entry, rejected),
            failures,
        })
    }

    fn missing(&self, entry: &Entry, rejected: Vec<String>) -> Box<Missing> {
        // Prefer a file with a published digest: it can be verified wherever it comes from.
        let file = entry
            .files
            .iter()
            .find(|file| file.sha256.is_some())
            .or(entry.files.first());
        Box::new(Missing {
            id: entry.id.clone(),
            file: file.map(|file| file.name.to_string()).unwrap_or_default(),
            url: file
                .and_then(|file| file.urls.first())
                .cloned()
                .unwrap_or_default(),
            wheel: file
                .and_then(|file| file.wheel.as_ref())
                .map(|wheel| (wheel.requirement(), wheel.path.clone())),
            folders: self.folders(),
            rejected,
            packaged: self
                .config
                .packaged
                .clone()
                .filter(|_| entry.files.iter().all(|file| file.wheel.is_none())),
            bundled: self
                .config
                .bundled
                .iter()
                .map(|bundled| bundled.id.to_owned())
                .collect(),
        })
    }
}
