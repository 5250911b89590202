//! Lists, verifies and prunes the hub's cache folder.

use std::fs::{self, FileType, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::transfer::{LOCKS, PART, SIDECAR, locked_elsewhere};
use crate::{Digest, Error, Hub, Manifest, RepositoryName};

/// A file in the hub's cache folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachedFile {
    /// Its path.
    pub path: PathBuf,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The id of its entry; `None` if the manifest does not list the file.
    pub entry: Option<String>,
    /// The repository of the Hugging Face hub from which it was downloaded: `hf-hub:owner/name@commit`.
    pub repository: Option<String>,
    /// Whether its content has been verified.
    pub verification: Verification,
    /// Number of published hex digits of its digest: 64, fewer, or 0. Fewer than 64 detect damage, but a
    /// different file can be made to match them; the first verified download supplies the rest.
    pub published_digits: usize,
}

/// The verification status of a cached file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// It has the expected digest and has not been modified since it was hashed.
    Verified,
    /// It has not been hashed since it was last modified.
    NotChecked,
    /// Its expected digest is unknown.
    NoDigest,
    /// It has a different digest.
    Corrupt {
        /// The expected digest.
        expected: Digest,
        /// The digest of the file.
        found: String,
    },
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It is an incomplete download.
    Partial,
}

/// Selects the files that [`Hub::prune`] removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Remove incomplete downloads that have not been modified for this long.
    pub partial_older_than: Option<Duration>,
    /// Remove files that the manifest does not list, and repositories of the Hugging Face hub.
    pub unknown: bool,
    /// Only report what would be removed.
    pub dry_run: bool,
}

impl PruneOptions {
    /// Sets [`partial_older_than`](Self::partial_older_than).
    #[must_use]
    pub fn with_partial_older_than(mut self, partial_older_than: impl Into<Option<Duration>>) -> Self {
        self.partial_older_than = partial_older_than.into();
        self
    }

    /// Sets [`unknown`](Self::unknown).
    #[must_use]
    pub fn with_unknown(mut self, unknown: bool) -> Self {
        self.unknown = unknown;
        self
    }

    /// Sets [`dry_run`](Self::dry_run).
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// The files that [`Hub::prune`] removed, or would remove in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The files.
    pub removed: Vec<PathBuf>,
    /// Their total size in bytes.
    pub bytes: u64,
}

impl Hub {
    /// Lists the files in the cache folder, sorted by name, without hashing them.
    ///
    /// # Errors
    /// When the folder cannot be read. If it does not exist, the result is empty.
    pub fn cached_files(&self, manifest: &Manifest) -> Result<Vec<CachedFile>, Error> {
        let mut files = Vec::new();
        for path in self.all_files()? {
            files.extend(self.describe(path, manifest, false));
        }
        Ok(files)
    }

    /// Hashes every file in the cache folder and passes it to `each` as soon as it is verified.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn verify_cached(
        &self,
        manifest: &Manifest,
        mut each: impl FnMut(&CachedFile),
    ) -> Result<Vec<CachedFile>, Error> {
        let mut files = Vec::new();
        for path in self.all_files()? {
            if let Some(file) = self.describe(path, manifest, true) {
                each(&file);
                files.push(file);
            }
        }
        Ok(files)
    }

    /// Removes files from the cache folder. Does not follow links, and keeps downloads in progress and all
    /// weights that the manifest lists.
    ///
    /// # Errors
    /// When the folder cannot be read, or a file cannot be removed.
    pub fn prune(&self, manifest: &Manifest, what: &PruneOptions) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for path in regular_files(&self.config.cache)? {
            let (Some(name), Ok(metadata)) = (file_name(&path), fs::symlink_metadata(&path)) else {
                continue;
            };
            let is_removed = match stem_of_partial(&name) {
                Some(stem) => is_abandoned(&self.config.cache, stem, &metadata, what),
                None => what.unknown && manifest.entry_of_file(&name).is_none(),
            };
            if is_removed {
                pruned.remove(path, &metadata, what)?;
            }
        }
        for folder in folders(&self.repositories())? {
            prune_repository(&folder, what, &mut pruned)?;
        }
        if !what.dry_run {
            self.digests.prune();
        }
        Ok(pruned)
    }

    /// The files in the cache folder, then those of each repository.
    fn all_files(&self) -> Result<Vec<PathBuf>, Error> {
        let mut files = regular_files(&self.config.cache)?;
        for folder in folders(&self.repositories())? {
            files.extend(regular_files(&folder)?);
        }
        Ok(files)
    }

    fn describe(&self, path: PathBuf, manifest: &Manifest, hash: bool) -> Option<CachedFile> {
        let name = file_name(&path)?;
        if name.ends_with(SIDECAR) {
            return None;
        }
        let partial = name.strip_suffix(PART);
        let repository = self.repository_of(&path);
        // A repository's `model.safetensors` is not a file of the manifest, whatever its name.
        let known = manifest
            .entry_of_file(partial.unwrap_or(&name))
            .filter(|_| repository.is_none());
        let published = known.and_then(|(_, file)| file.sha256.clone());
        let published_digits = published.as_ref().map_or(0, |digest| digest.as_str().len());
        let verification = if partial.is_some() {
            Verification::Partial
        } else {
            self.verification(&path, published.as_ref(), hash)
        };
        Some(CachedFile {
            bytes: fs::symlink_metadata(&path).ok()?.len(),
            entry: known.map(|(entry, _)| entry.id.clone()),
            repository,
            path,
            name,
            verification,
            published_digits,
        })
    }

    /// The repository in whose folder a file is.
    fn repository_of(&self, path: &Path) -> Option<String> {
        let folder = path.parent()?;
        let name = (folder.parent()? == self.repositories()).then(|| file_name(folder))??;
        RepositoryName::of_folder(&name).map(|repository| repository.to_string())
    }

    fn verification(&self, path: &Path, published: Option<&Digest>, hash: bool) -> Verification {
        let recorded = || Digest::try_from(self.digests.recorded(path)?).ok();
        let published = self.digests.expected(path, published);
        let Some(expected) = published.or_else(recorded) else {
            return Verification::NoDigest;
        };
        // A full verification ignores the digest cache: the disk may have corrupted the file silently.
        let found = if hash {
            match crate::sha256_of_file(path) {
                Ok(found) => Some(found),
                Err(error) => return Verification::Unreadable(error.to_string()),
            }
        } else {
            self.digests.fresh(path)
        };
        match found {
            None => Verification::NotChecked,
            Some(found) if expected.matches(&found) => {
                self.digests.remember(path, &found);
                Verification::Verified
            }
            Some(found) => {
                self.digests.distrust(path);
                Verification::Corrupt { expected, found }
            }
        }
    }
}

impl Pruned {
    fn remove(&mut self, path: PathBuf, metadata: &Metadata, what: &PruneOptions) -> Result<(), Error> {
        if !what.dry_run {
            fs::remove_file(&path).map_err(|source| failed("remove", &path, source))?;
        }
        self.bytes += metadata.len();
        self.removed.push(path);
        Ok(())
    }
}

/// Removes incomplete downloads of a repository, or all of it. A repository that is being downloaded is kept whole.
fn prune_repository(folder: &Path, what: &PruneOptions, pruned: &mut Pruned) -> Result<(), Error> {
    let files = regular_files(folder)?;
    let names = || files.iter().filter_map(|path| file_name(path));
    let is_in_use = names().any(|name| {
        let stem = stem_of_partial(&name).unwrap_or(&name);
        locked_elsewhere(folder, stem)
    });
    if is_in_use {
        return Ok(());
    }
    for path in &files {
        let (Some(name), Ok(metadata)) = (file_name(path), fs::symlink_metadata(path)) else {
            continue;
        };
        let is_old = stem_of_partial(&name).is_some_and(|stem| is_abandoned(folder, stem, &metadata, what));
        if what.unknown || is_old {
            pruned.remove(path.clone(), &metadata, what)?;
        }
    }
    if what.unknown && !what.dry_run {
        // Only locks are left. Where anything else is, so is the folder.
        let _ = fs::remove_dir_all(folder.join(LOCKS));
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// The name of the file to which an incomplete download belongs.
fn stem_of_partial(name: &str) -> Option<&str> {
    name.strip_suffix(SIDECAR).or_else(|| name.strip_suffix(PART))
}

/// Whether an incomplete download has not been modified for long enough, and no process is downloading it.
fn is_abandoned(folder: &Path, stem: &str, metadata: &Metadata, what: &PruneOptions) -> bool {
    let modified = metadata.modified().ok();
    let idle = modified.and_then(|time| SystemTime::now().duration_since(time).ok());
    let is_old = what
        .partial_older_than
        .is_some_and(|age| idle.is_some_and(|idle| idle >= age));
    is_old && !locked_elsewhere(folder, stem)
}

/// Lists the regular files directly in `folder`, sorted by name. Skips links and the hub's hidden folders.
fn regular_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let is_file = |kind: FileType, _: &str| kind.is_file();
    entries_of(folder, is_file)
}

/// Lists the folders directly in `folder`, sorted by name. Skips links and hidden folders.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let is_folder = |kind: FileType, name: &str| kind.is_dir() && !name.starts_with('.');
    entries_of(folder, is_folder)
}

fn entries_of(folder: &Path, is_listed: impl Fn(FileType, &str) -> bool) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read the cache folder", folder, error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("read the cache folder", folder, error))?;
        let name = entry.file_name();
        if entry
            .file_type()
            .is_ok_and(|kind| is_listed(kind, &name.to_string_lossy()))
        {
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
