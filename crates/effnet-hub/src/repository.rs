//! Repositories of the Hugging Face hub: `hf-hub:owner/name@revision`.
//!
//! The manifest lists weight files whose preprocessing is known. A repository of anyone else states its own in JSON
//! files, so these are kept together with the weights, in a folder that is read like any other hub folder.

mod name;
mod revision;

use std::fs;
use std::path::{Path, PathBuf};

use crate::transfer::{CacheFolder, download};
use crate::{Error, FileName, Hub, Progress, TransferError, Warning, WeightFile};
pub use name::{RepositoryName, RepositoryNameError};
use revision::Revision;

/// Folder of repositories within the hub's cache folder.
const FOLDER: &str = "hf-hub";
/// Files that a repository may have. They are downloaded before the weights, so that a folder with weights has them.
const SETTINGS: [&str; 2] = ["config.json", "preprocessor_config.json"];
/// Files with weights, the preferred one first.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// Download limits in bytes. The largest network, L2, has 1.9 GB.
const LARGEST_SETTINGS: u64 = 4 << 20;
const LARGEST_WEIGHTS: u64 = 8 << 30;
const NOT_FOUND: u16 = 404;

impl Hub {
    /// Returns a folder with the weights and the settings of a repository: the snapshot in Hugging Face's cache, or a
    /// folder in the hub's cache, to which the files are downloaded. A downloaded commit is not downloaded again. The
    /// commit of a branch or tag is looked up, unless offline mode is on; if it cannot be, a local copy is used.
    ///
    /// # Errors
    /// [`Error::RepositoryOffline`] if there is no local copy and offline mode is on; [`Error::Repository`] if a
    /// download failed or the repository has no weights; [`Error::Io`] if the cache folder is not writable.
    pub fn resolve_repository(
        &self,
        repository: &RepositoryName,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        let revision = self.look_up(repository)?;
        let pinned = match &revision {
            Revision::Commit(commit) => repository.at(commit),
            _ => repository.clone(),
        };
        if let Some(folder) = self.local_copy(repository, &revision) {
            if let Revision::Unreachable(reason) = revision {
                let repository = repository.to_string();
                progress.warned(&Warning::NotLookedUp { repository, reason });
            }
            self.remember_revision(repository, &pinned);
            return Ok(folder);
        }
        let own = self.repositories().join(pinned.folder());
        if self.config.offline {
            return Err(Error::RepositoryOffline {
                repository: repository.to_string(),
                folder: own,
            });
        }
        let folder = CacheFolder::open(&own)?;
        for name in SETTINGS {
            self.fetch_file(&pinned, (name, LARGEST_SETTINGS), &folder, progress)?;
        }
        for name in WEIGHTS {
            if self.fetch_file(&pinned, (name, LARGEST_WEIGHTS), &folder, progress)? {
                self.remember_revision(repository, &pinned);
                return Ok(own);
            }
        }
        Err(Error::Repository {
            repository: repository.to_string(),
            reason: format!("it has neither {} nor {}", WEIGHTS[0], WEIGHTS[1]),
        })
    }

    /// The hub's folder of repositories.
    pub(crate) fn repositories(&self) -> PathBuf {
        self.config.cache.join(FOLDER)
    }

    /// A folder with the weights of a revision, in the hub's cache or Hugging Face's.
    fn local_copy(&self, repository: &RepositoryName, revision: &Revision) -> Option<PathBuf> {
        let own = |revision: &RepositoryName| self.repositories().join(revision.folder());
        let mut folders = Vec::new();
        if let Revision::Commit(commit) = revision {
            let pinned = repository.at(commit);
            folders.extend([Some(own(&pinned)), self.snapshot(&pinned)]);
        } else {
            let remembered = self.remembered_revision(repository);
            folders.extend(remembered.map(|commit| Some(own(&repository.at(&commit)))));
            folders.extend([Some(own(repository)), self.snapshot(repository)]);
        }
        folders.into_iter().flatten().find(|path| has_weights(path))
    }

    /// Downloads a file; `false` if the repository does not have it.
    fn fetch_file(
        &self,
        repository: &RepositoryName,
        (name, largest): (&str, u64),
        folder: &CacheFolder,
        progress: &mut dyn Progress,
    ) -> Result<bool, Error> {
        let failed = |reason: String| Error::Repository {
            repository: repository.to_string(),
            reason,
        };
        let file = WeightFile {
            name: FileName::try_from(name.to_owned()).map_err(|error| failed(error.to_string()))?,
            former_names: Vec::new(),
            urls: vec![repository.url(name)],
            wheel: None,
            sha256: None,
            bytes: None,
            bundled: false,
        };
        let _lock = folder.lock(&file, progress)?;
        // Another process may have downloaded it while this one waited.
        if folder.path_of(&file, "").is_file() {
            return Ok(true);
        }
        let mut failures = Vec::new();
        let job = (&file, largest);
        let path = download(
            &self.client,
            &self.config,
            job,
            folder,
            &self.digests,
            progress,
            &mut failures,
        )?;
        match failures.pop() {
            None => Ok(path.is_some()),
            Some(TransferError::Status {
                status: NOT_FOUND, ..
            }) => Ok(false),
            Some(failure) => Err(failed(failure.to_string())),
        }
    }

    /// The folder of a revision in Hugging Face's cache.
    fn snapshot(&self, repository: &RepositoryName) -> Option<PathBuf> {
        let cache = self.search_path.hugging_face()?;
        let folder = cache.join(format!("models--{}--{}", repository.owner, repository.name));
        let revision = &repository.revision;
        let commit = fs::read_to_string(folder.join("refs").join(revision));
        let commit = commit.map_or_else(|_| revision.clone(), |commit| commit.trim().to_owned());
        let is_plain = !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_plain.then(|| folder.join("snapshots").join(commit))
    }
}

fn has_weights(folder: &Path) -> bool {
    WEIGHTS.iter().any(|name| folder.join(name).is_file())
}
