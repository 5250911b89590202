//! Repositories of the Hugging Face hub: `hf-hub:owner/name@revision`.
//!
//! The manifest lists weight files whose preprocessing is known. A repository of anyone else states its own in JSON
//! files, so these are kept together with the weights, in a folder that is read like any other hub folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::transfer::{CacheFolder, download};
use crate::{Error, FileName, Hub, Progress, TransferError, WeightFile};

/// What a name of a repository begins with.
const PREFIX: &str = "hf-hub:";
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

/// The name of a repository: `hf-hub:owner/name`, and optionally `@` and a branch, tag or commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName {
    owner: String,
    name: String,
    revision: String,
}

/// The error for a text that is not the name of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid repository `{}`: expected hf-hub:OWNER/NAME or hf-hub:OWNER/NAME@REVISION, each of letters, digits, `.`, `_` and `-`", text.escape_debug())]
pub struct RepositoryNameError {
    text: String,
}

impl RepositoryName {
    /// Whether a text is meant as the name of a repository.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// `owner/name`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    fn url(&self, file: &str) -> String {
        let (owner, name, revision) = (&self.owner, &self.name, &self.revision);
        format!("https://huggingface.co/{owner}/{name}/resolve/{revision}/{file}")
    }
}

impl std::fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}/{}@{}", self.owner, self.name, self.revision)
    }
}

impl FromStr for RepositoryName {
    type Err = RepositoryNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || RepositoryNameError {
            text: text.to_owned(),
        };
        let rest = text.strip_prefix(PREFIX).ok_or_else(invalid)?;
        let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let (owner, name) = repository.split_once('/').ok_or_else(invalid)?;
        // These become folders and parts of a URL.
        let is_plain = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.bytes().all(allowed)
        };
        if ![owner, name, revision].into_iter().all(is_plain) {
            return Err(invalid());
        }
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    }
}

impl Hub {
    /// Returns a folder with the weights and the settings of a repository: the snapshot in Hugging Face's cache, or a
    /// folder in the hub's cache, to which the files are downloaded. A downloaded revision is not downloaded again.
    ///
    /// # Errors
    /// [`Error::RepositoryOffline`] if there is no local copy and offline mode is on; [`Error::Repository`] if a
    /// download failed or the repository has no weights; [`Error::Io`] if the cache folder is not writable.
    pub fn resolve_repository(
        &self,
        repository: &RepositoryName,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        let own = self.config.cache.join(FOLDER).join(format!(
            "{}--{}--{}",
            repository.owner, repository.name, repository.revision
        ));
        let snapshot = self.snapshot(repository);
        if let Some(folder) = [Some(own.clone()), snapshot]
            .into_iter()
            .flatten()
            .find(|path| has_weights(path))
        {
            return Ok(folder);
        }
        if self.config.offline {
            return Err(Error::RepositoryOffline {
                repository: repository.to_string(),
                folder: own,
            });
        }
        let folder = CacheFolder::open(&own)?;
        for name in SETTINGS {
            self.fetch_file(repository, (name, LARGEST_SETTINGS), &folder, progress)?;
        }
        for name in WEIGHTS {
            if self.fetch_file(repository, (name, LARGEST_WEIGHTS), &folder, progress)? {
                return Ok(own);
            }
        }
        Err(Error::Repository {
            repository: repository.to_string(),
            reason: format!("it has neither {} nor {}", WEIGHTS[0], WEIGHTS[1]),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_or_the_repository_are_refused() {
        for text in [
            "hf-hub:",
            "hf-hub:b0",
            "hf-hub:a/..",
            "hf-hub:../a",
            "hf-hub:a/b/c",
            "hf-hub:a/b@",
            "hf-hub:a/b@x/y",
            "hf-hub:a/b?x",
            "hf-hub:a b/c",
            "a/b",
        ] {
            assert!(text.parse::<RepositoryName>().is_err(), "{text}");
        }
        let name: RepositoryName = "hf-hub:timm/efficientnet_b0.ra_in1k@v1.0".parse().unwrap();
        assert_eq!(name.to_string(), "hf-hub:timm/efficientnet_b0.ra_in1k@v1.0");
        assert_eq!(
            name.url("config.json"),
            "https://huggingface.co/timm/efficientnet_b0.ra_in1k/resolve/v1.0/config.json"
        );
    }
}
