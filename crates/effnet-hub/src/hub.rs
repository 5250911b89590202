//! From an entry to a verified file on this machine.

use std::path::PathBuf;

use crate::places::Places;
use crate::transfer::{Client, Folder, download};
use crate::verified::Verified;
use crate::{Entry, Error, HubConfig, Missing, Progress};

/// Finds weight files in the caches of this machine, or fetches them. May be shared between threads.
#[derive(Debug)]
pub struct Hub {
    pub(crate) config: HubConfig,
    pub(crate) verified: Verified,
    pub(crate) places: Places,
    client: Client,
}

impl Hub {
    /// A hub. Nothing is read, created or connected to before it is asked for something.
    pub fn new(config: HubConfig) -> Self {
        Self {
            verified: Verified::new(&config.cache),
            places: Places::new(&config),
            client: Client::new(&config),
            config,
        }
    }

    /// What the hub was made with.
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    /// The folders that are looked in, the own one first.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.places.folders()
    }

    /// A file of `entry` that exists on this machine, without a look at its content.
    pub fn present(&self, entry: &Entry) -> Option<PathBuf> {
        self.places.present(entry)
    }

    /// The path of a file with the weights of `entry`, verified against its SHA-256.
    ///
    /// Files that are there are used where they are: in the own folder, PyTorch's or Hugging Face's. One that the
    /// program carries in itself is put into the own folder. Otherwise the entry's URLs are tried in order. Several processes may ask for the same entry: one fetches, the others wait.
    ///
    /// # Errors
    /// [`Error::Offline`], [`Error::Download`] when no URL gave the file, [`Error::Io`] when the own folder cannot
    /// be written to, [`Error::Config`] when mirror, proxies or certificates cannot be used. Nothing that is
    /// incomplete or wrong is ever left under a file's own name.
    pub fn resolve(&self, entry: &Entry, progress: &mut dyn Progress) -> Result<PathBuf, Error> {
        let mut rejected = Vec::new();
        if let Some(path) = self.places.usable(entry, &self.verified, progress, &mut rejected) {
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
            let folder = Folder::open(&self.config.cache)?;
            let _lock = folder.lock(file, progress)?;
            // Another process may have fetched it while this one waited.
            if let Some(path) = self.places.usable(entry, &self.verified, progress, &mut rejected) {
                return Ok(path);
            }
            if let Some(path) = download(
                &self.client,
                &self.config,
                file,
                &folder,
                &self.verified,
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
        // A file with a published digest can be verified wherever it comes from.
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
            folders: self.folders(),
            rejected,
            bundled: self
                .config
                .bundled
                .iter()
                .map(|bundled| bundled.id.to_owned())
                .collect(),
        })
    }
}
