//! Where a weight file may already be, and whether what is there may be used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::verified::Verified;
use crate::{Digest, Entry, HubConfig, Progress, Warning, WeightFile};

/// The folders that are looked in, in order.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    own: PathBuf,
    torch: Option<PathBuf>,
    hugging_face: Option<PathBuf>,
}

/// A path that may hold a file, and the digest that its place promises.
#[derive(Debug)]
struct Candidate {
    path: PathBuf,
    expected: Option<Digest>,
    /// Files of other programs are links in Hugging Face's cache. In the own folder a link needs a known digest.
    own: bool,
}

impl Places {
    pub(crate) fn new(config: &HubConfig) -> Self {
        Self {
            own: config.cache.clone(),
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

    /// The folders, the own one first.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        [Some(&self.own), self.torch.as_ref(), self.hugging_face.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The first file of `entry` that exists under one of its names, unverified.
    pub(crate) fn present(&self, entry: &Entry) -> Option<PathBuf> {
        self.candidates(entry)
            .into_iter()
            .map(|candidate| candidate.path)
            .find(|path| path.is_file())
    }

    /// The first file of `entry` that may be used. What may not is told to `progress` and added to `rejected`.
    pub(crate) fn usable(
        &self,
        entry: &Entry,
        verified: &Verified,
        progress: &mut dyn Progress,
        rejected: &mut Vec<String>,
    ) -> Option<PathBuf> {
        for candidate in self.candidates(entry) {
            match candidate.check(verified) {
                Ok(Finding::Absent) => {}
                Ok(Finding::Right) => return Some(candidate.path),
                Ok(Finding::Unknown) => {
                    progress.warned(&Warning::Unverified {
                        path: candidate.path.clone(),
                    });
                    return Some(candidate.path);
                }
                Ok(Finding::Wrong { expected, found }) => {
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
            all.extend(named(&self.own, file, true));
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
    // The same file is met again under the lock; it is told once.
    if !rejected.contains(&sentence) {
        progress.warned(warning);
        rejected.push(sentence);
    }
}

fn named(folder: &Path, file: &WeightFile, own: bool) -> Vec<Candidate> {
    file.names()
        .map(|name| Candidate {
            path: folder.join(name),
            expected: file.sha256.clone(),
            own,
        })
        .collect()
}

/// The file in every snapshot of its repository, the one that the revision points to first.
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
                own: false,
            }
        })
        .collect()
}

/// Hugging Face calls the blob that a snapshot links to by its SHA-256.
fn blob_digest(path: &Path) -> Option<Digest> {
    let name = fs::canonicalize(path).ok()?.file_name()?.to_str()?.to_owned();
    Digest::try_from(name).ok().filter(Digest::is_full)
}

enum Finding {
    Absent,
    Right,
    Unknown,
    Wrong { expected: Digest, found: String },
}

impl Candidate {
    fn check(&self, verified: &Verified) -> io::Result<Finding> {
        let Ok(metadata) = fs::symlink_metadata(&self.path) else {
            return Ok(Finding::Absent);
        };
        // A digest that was announced at the download, or found at the first use, is as good as a published one.
        let recorded = || Digest::try_from(verified.recorded(&self.path)?).ok();
        let expected = self.expected.clone().or_else(recorded);
        if self.own && metadata.is_symlink() && expected.is_none() {
            return Err(io::Error::other(
                "it is a symbolic link, and no digest is known for it",
            ));
        }
        if !fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let found = verified.digest(&self.path)?;
        match expected {
            Some(expected) if !expected.matches(&found) => Ok(Finding::Wrong { expected, found }),
            Some(_) => {
                verified.remember(&self.path, &found);
                Ok(Finding::Right)
            }
            None => {
                verified.remember(&self.path, &found);
                Ok(Finding::Unknown)
            }
        }
    }
}
