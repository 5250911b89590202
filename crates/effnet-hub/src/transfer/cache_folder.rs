//! The hub's cache folder: locks files, and opens them without following links.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

use crate::{Error, Progress, Warning, WeightFile};

/// Suffix of an incomplete download.
pub(crate) const PART: &str = ".part";
/// Suffix of the metadata of an incomplete download.
pub(crate) const SIDECAR: &str = ".part.json";
/// Folder of the locks.
pub(crate) const LOCKS: &str = ".locks";

/// The hub's cache folder, which is known to exist.
#[derive(Debug)]
pub(crate) struct CacheFolder {
    path: PathBuf,
}

/// A lock, held until it is dropped or the process ends, even if it is killed.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Option<File>,
}

impl CacheFolder {
    /// Opens the folder, creating it if necessary.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path.join(LOCKS)).map_err(|source| Error::Io {
            action: "write to the cache folder",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The path of a file, with a suffix added to its name.
    pub(crate) fn path_of(&self, file: &WeightFile, suffix: &str) -> PathBuf {
        self.path.join(format!("{}{suffix}", file.name))
    }

    /// Locks `file`, waiting while another process downloads it.
    pub(crate) fn lock(&self, file: &WeightFile, progress: &mut dyn Progress) -> Result<Lock, Error> {
        let path = lock_path(&self.path, file.name.as_str());
        let handle = open_plain(&path, OpenOptions::new().write(true).create(true).truncate(false))?;
        let failed = match FileExt::try_lock(&handle) {
            Ok(()) => return Ok(Lock { _file: Some(handle) }),
            Err(TryLockError::WouldBlock) => {
                progress.warned(&Warning::Waiting {
                    file: file.name.to_string(),
                });
                match FileExt::lock(&handle) {
                    Ok(()) => return Ok(Lock { _file: Some(handle) }),
                    Err(error) => error,
                }
            }
            Err(TryLockError::Error(error)) => error,
        };
        // Some network file systems do not support locks. The digest still protects the result.
        progress.warned(&Warning::NoLock {
            reason: failed.to_string(),
        });
        Ok(Lock { _file: None })
    }

    /// Renames `part` to the file's name, durably: the file is complete even after a power failure.
    pub(crate) fn publish(&self, part: &Path, file: &WeightFile) -> Result<PathBuf, Error> {
        let target = self.path_of(file, "");
        // A rename replaces an existing link and does not touch its target.
        fs::rename(part, &target).map_err(|source| Error::Io {
            action: "rename the download to",
            path: target.clone(),
            source,
        })?;
        // Syncing the folder makes the rename durable. Not every file system supports this.
        #[cfg(unix)]
        let _ = File::open(&self.path).and_then(|folder| folder.sync_all());
        Ok(target)
    }
}

/// Whether a process is downloading the file with this name.
pub(crate) fn locked_elsewhere(cache: &Path, name: &str) -> bool {
    let handle = OpenOptions::new().write(true).open(lock_path(cache, name));
    handle.is_ok_and(|handle| matches!(FileExt::try_lock(&handle), Err(TryLockError::WouldBlock)))
}

fn lock_path(cache: &Path, name: &str) -> PathBuf {
    cache.join(LOCKS).join(format!("{name}.lock"))
}

/// Opens a file in the cache folder. Rejects links and anything else that is not a regular file.
pub(crate) fn open_plain(path: &Path, options: &mut OpenOptions) -> Result<File, Error> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        let kind = if metadata.is_symlink() {
            "a symbolic link"
        } else {
            "not a regular file"
        };
        if !metadata.is_file() {
            return Err(Error::NotAFile {
                path: path.to_owned(),
                kind,
            });
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // In case a link was created after the check above.
        options.custom_flags(libc::O_NOFOLLOW);
    }
    options
        .open(path)
        .map_err(|source| local("write to", path, source))
}

/// Creates an [`Error::Io`].
pub(crate) fn local(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
