//! The hub's own folder as a user sees it: what is there, is it right, what can go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::transfer::{PART, SIDECAR, locked_elsewhere};
use crate::{Digest, Error, Hub, Manifest};

/// A file in the hub's own folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedFile {
    /// The file.
    pub path: PathBuf,
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The id of the entry that it belongs to. `None` for files that the manifest does not know.
    pub entry: Option<String>,
    /// What is known about its content.
    pub verification: Verification,
}

/// What is known about a cached file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// It has the digest that belongs to it, and was not written to since that was found.
    Verified,
    /// It was not hashed since it was last written to.
    NotChecked,
    /// There is no digest to compare with.
    NoDigest,
    /// It has another digest.
    Corrupt {
        /// The digest that belongs to it.
        expected: Digest,
        /// The digest that it has.
        found: String,
    },
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It is an incomplete download.
    Partial,
}

/// What [`Hub::prune`] removes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prune {
    /// Incomplete downloads that nothing was added to for this long.
    pub partial_older_than: Option<Duration>,
    /// Files that the manifest does not know.
    pub unknown: bool,
    /// Change nothing, only report.
    pub dry_run: bool,
}

/// What [`Hub::prune`] removed, or would have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The files.
    pub removed: Vec<PathBuf>,
    /// Their size together.
    pub bytes: u64,
}

impl Hub {
    /// The files in the own folder, by name, without hashing any.
    ///
    /// # Errors
    /// When the folder cannot be read. One that does not exist is empty.
    pub fn cached_files(&self, manifest: &Manifest) -> Result<Vec<CachedFile>, Error> {
        let mut files = Vec::new();
        for path in regular_files(&self.config.cache)? {
            files.extend(self.describe(path, manifest, false));
        }
        Ok(files)
    }

    /// Hashes every file in the own folder and tells `each` about it as soon as it is known.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn verify_cached(
        &self,
        manifest: &Manifest,
        mut each: impl FnMut(&CachedFile),
    ) -> Result<Vec<CachedFile>, Error> {
        let mut files = Vec::new();
        for path in regular_files(&self.config.cache)? {
            if let Some(file) = self.describe(path, manifest, true) {
                each(&file);
                files.push(file);
            }
        }
        Ok(files)
    }

    /// Removes files from the own folder, never through a link and never one that is being fetched. Weights that
    /// the manifest knows always stay.
    ///
    /// # Errors
    /// When the folder cannot be read or a file cannot be removed.
    pub fn prune(&self, manifest: &Manifest, what: &Prune) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for path in regular_files(&self.config.cache)? {
            let (Some(name), Ok(metadata)) = (file_name(&path), fs::symlink_metadata(&path)) else {
                continue;
            };
            let stem = name.strip_suffix(SIDECAR).or_else(|| name.strip_suffix(PART));
            let goes = match stem {
                Some(stem) => {
                    let idle = metadata
                        .modified()
                        .ok()
                        .and_then(|time| SystemTime::now().duration_since(time).ok());
                    let old = what
                        .partial_older_than
                        .is_some_and(|age| idle.is_some_and(|idle| idle >= age));
                    old && !locked_elsewhere(&self.config.cache, stem)
                }
                None => what.unknown && manifest.entry_of_file(&name).is_none(),
            };
            if goes {
                if !what.dry_run {
                    fs::remove_file(&path).map_err(|source| failed("remove", &path, source))?;
                }
                pruned.bytes += metadata.len();
                pruned.removed.push(path);
            }
        }
        if !what.dry_run {
            self.verified.prune();
        }
        Ok(pruned)
    }

    fn describe(&self, path: PathBuf, manifest: &Manifest, hash: bool) -> Option<CachedFile> {
        let name = file_name(&path)?;
        if name.ends_with(SIDECAR) {
            return None;
        }
        let partial = name.strip_suffix(PART);
        let known = manifest.entry_of_file(partial.unwrap_or(&name));
        let published = known.and_then(|(_, file)| file.sha256.clone());
        let verification = if partial.is_some() {
            Verification::Partial
        } else {
            self.verification(&path, published, hash)
        };
        Some(CachedFile {
            bytes: fs::symlink_metadata(&path).ok()?.len(),
            entry: known.map(|(entry, _)| entry.id.clone()),
            path,
            name,
            verification,
        })
    }

    fn verification(&self, path: &Path, published: Option<Digest>, hash: bool) -> Verification {
        let recorded = || Digest::try_from(self.verified.recorded(path)?).ok();
        let Some(expected) = published.or_else(recorded) else {
            return Verification::NoDigest;
        };
        // A full verification hashes even what is remembered as right: the disk may have changed it silently.
        let found = if hash {
            match crate::sha256_of_file(path) {
                Ok(found) => Some(found),
                Err(error) => return Verification::Unreadable(error.to_string()),
            }
        } else {
            self.verified.fresh(path)
        };
        match found {
            None => Verification::NotChecked,
            Some(found) if expected.matches(&found) => {
                self.verified.remember(path, &found);
                Verification::Verified
            }
            Some(found) => {
                self.verified.distrust(path);
                Verification::Corrupt { expected, found }
            }
        }
    }
}

/// Regular files directly in `folder`, by name. Hidden folders of the hub and links are left out.
fn regular_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read the cache folder", folder, error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("read the cache folder", folder, error))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
