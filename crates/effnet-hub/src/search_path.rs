//! The search path: the cache folders of the hub, PyTorch and Hugging Face.
//!
//! PyTorch users often have the weights already, so these files are used in place instead of being downloaded
//! again. Candidates are verified first, if a digest is known: a damaged or renamed file would give wrong
//! predictions without an error.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest_cache::DigestCache;
use crate::{Digest, Entry, HubConfig, Progress, Warning, WeightFile};

/// The folders to search, in order.
#[derive(Debug, Clone)]
pub(crate) struct SearchPath {
    cache: PathBuf,
    torch: Option<PathBuf>,
    hugging_face: Option<PathBuf>,
}

/// A path where the file may be, and its expected digest, if known.
#[derive(Debug)]
struct Candidate {
    path: PathBuf,
    expected: Option<Digest>,
    /// Whether it is in the hub's cache folder, where a symbolic link is accepted only with a known digest.
    /// (In Hugging Face's cache, files are always links.)
    in_cache: bool,
}

impl SearchPath {
    pub(crate) fn new(config: &HubConfig) -> Self {
        Self {
            cache: config.cache.clone(),
            torch: config
                .torch_home
                .as_ref()
                .map(|home| home.join("hub").join("checkpoints")),
            hugging_face: config
                .hf_hub_cache
                .clone()
                .or_else(|| config.hf_home.as_ref().map(|home| home.join("hub"))),
        }
    }

    /// The folders, the hub's cache folder first.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        [Some(&self.cache), self.torch.as_ref(), self.hugging_face.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The folder of repositories in Hugging Face's cache.
    pub(crate) fn hugging_face(&self) -> Option<&Path> {
        self.hugging_face.as_deref()
    }

    /// Returns the first file of `entry` that exists under one of its names, unverified.
    pub(crate) fn present(&self, entry: &Entry) -> Option<PathBuf> {
        self.candidates(entry)
            .into_iter()
            .map(|candidate| candidate.path)
            .find(|path| path.is_file())
    }

    /// Returns the first usable file of `entry`. Unusable files are reported to `progress` and added to
    /// `rejected`.
    pub(crate) fn usable(
        &self,
        entry: &Entry,
        digests: &DigestCache,
        progress: &mut dyn Progress,
        rejected: &mut Vec<String>,
    ) -> Option<PathBuf> {
        for candidate in self.candidates(entry) {
            match candidate.check(digests) {
                Ok(Finding::Absent) => {}
                Ok(Finding::Valid) => return Some(candidate.path),
                Ok(Finding::NoDigest) => {
                    progress.warned(&Warning::Unverified {
                        path: candidate.path.clone(),
                    });
                    return Some(candidate.path);
                }
                Ok(Finding::Corrupt { expected, found }) => {
                    reject(
                        &Warning::Corrupt {
                            path: candidate.path,
                            expected,
                            found,
                        },
                        progress,
                        rejected,
                    );
                }
                Err(error) => {
                    let reason = error.to_string();
                    reject(
                        &Warning::Unreadable {
                            path: candidate.path,
                            reason,
                        },
                        progress,
                        rejected,
                    );
                }
            }
        }
        None
    }

    fn candidates(&self, entry: &Entry) -> Vec<Candidate> {
        let mut all = Vec::new();
        for file in &entry.files {
            all.extend(named(&self.cache, file, true));
        }
        if let Some(folder) = &self.torch {
            all.extend(entry.files.iter().flat_map(|file| named(folder, file, false)));
        }
        if let Some(folder) = &self.hugging_face {
            all.extend(entry.files.iter().flat_map(|file| snapshots(folder, file)));
        }
        all
    }
}

fn reject(warning: &Warning, progress: &mut dyn Progress, rejected: &mut Vec<String>) {
    let sentence = warning.to_string();
    // The search is repeated under the lock: warn only once.
    if !rejected.contains(&sentence) {
        progress.warned(warning);
        rejected.push(sentence);
    }
}

fn named(folder: &Path, file: &WeightFile, in_cache: bool) -> Vec<Candidate> {
    file.names()
        .map(|name| Candidate {
            path: folder.join(name),
            expected: file.sha256.clone(),
            in_cache,
        })
        .collect()
}

/// Returns the file in each snapshot of its repository, starting with the snapshot of the revision.
fn snapshots(folder: &Path, file: &WeightFile) -> Vec<Candidate> {
    let Some(source) = file.hugging_face() else {
        return Vec::new();
    };
    let repository = folder.join(format!("models--{}", source.repo.replace('/', "--")));
    let current = fs::read_to_string(repository.join("refs").join(source.revision)).unwrap_or_default();
    let snapshots = fs::read_dir(repository.join("snapshots"));
    let mut commits: Vec<_> = snapshots
        .into_iter()
        .flatten()
        .flatten()
        .map(|folder| folder.path())
        .collect();
    commits.sort_by_key(|path| {
        (
            path.file_name().is_none_or(|name| name != current.trim()),
            path.clone(),
        )
    });
    let paths = commits.into_iter().map(|commit| commit.join(source.path));
    paths
        .map(|path| {
            let expected = file.sha256.clone().or_else(|| blob_digest(&path));
            Candidate {
                path,
                expected,
                in_cache: false,
            }
        })
        .collect()
}

/// Returns the digest in the name of the blob that a snapshot links to: Hugging Face names blobs after their
/// SHA-256.
fn blob_digest(path: &Path) -> Option<Digest> {
    let name = fs::canonicalize(path).ok()?.file_name()?.to_str()?.to_owned();
    Digest::try_from(name).ok().filter(Digest::is_full)
}

enum Finding {
    Absent,
    Valid,
    NoDigest,
    Corrupt { expected: Digest, found: String },
}

impl Candidate {
    fn check(&self, digests: &DigestCache) -> io::Result<Finding> {
        let Ok(metadata) = fs::symlink_metadata(&self.path) else {
            return Ok(Finding::Absent);
        };
        // Without a published digest, expect the one announced during the download or found on first use.
        let recorded = || Digest::try_from(digests.recorded(&self.path)?).ok();
        let published = digests.expected(&self.path, self.expected.as_ref());
        let expected = published.or_else(recorded);
        if self.in_cache && metadata.is_symlink() && expected.is_none() {
            return Err(io::Error::other(
                "it is a symbolic link, and its digest is unknown",
            ));
        }
        if !fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let found = digests.digest(&self.path)?;
        match expected {
            Some(expected) if !expected.matches(&found) => Ok(Finding::Corrupt { expected, found }),
            Some(_) => {
                digests.remember(&self.path, &found);
                Ok(Finding::Valid)
            }
            None => {
                digests.remember(&self.path, &found);
                Ok(Finding::NoDigest)
            }
        }
    }
}
