//! The hub's own folder: locks, and files that are never reached through a link.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

use crate::{Error, Progress, Warning, WeightFile};

/// Suffix of a file that is not complete.
pub(crate) const PART: &str = ".part";
/// Suffix of what is known about an incomplete file.
pub(crate) const SIDECAR: &str = ".part.json";
/// Folder of the locks.
const LOCKS: &str = ".locks";

/// The hub's own folder, which exists and can be written to as far as is known.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// Held until it is dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Option<File>,
}

impl Folder {
    /// Creates the folder if need be.
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

    /// The path of a file's own name, or of one of its suffixes.
    pub(crate) fn path_of(&self, file: &WeightFile, suffix: &str) -> PathBuf {
        self.path.join(format!("{}{suffix}", file.name))
    }

    /// Waits until no other process fetches `file`.
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
        // Some network file systems have no locks. The digest still guards the result.
        progress.warned(&Warning::NoLock {
            reason: failed.to_string(),
        });
        Ok(Lock { _file: None })
    }

    /// Puts `part` under the file's own name, so that it stands there whole even after a loss of power.
    pub(crate) fn publish(&self, part: &Path, file: &WeightFile) -> Result<PathBuf, Error> {
        let target = self.path_of(file, "");
        // A rename replaces a link that stands there and leaves its target alone.
        fs::rename(part, &target).map_err(|source| Error::Io {
            action: "put the download under its name",
            path: target.clone(),
            source,
        })?;
        // The rename is on the disk once its folder is. Not every file system can do this.
        #[cfg(unix)]
        let _ = File::open(&self.path).and_then(|folder| folder.sync_all());
        Ok(target)
    }
}

/// Whether a process is fetching the file of this name.
pub(crate) fn locked_elsewhere(cache: &Path, name: &str) -> bool {
    let handle = OpenOptions::new().write(true).open(lock_path(cache, name));
    handle.is_ok_and(|handle| matches!(FileExt::try_lock(&handle), Err(TryLockError::WouldBlock)))
}

fn lock_path(cache: &Path, name: &str) -> PathBuf {
    cache.join(LOCKS).join(format!("{name}.lock"))
}

/// Opens a file of the hub's own, refusing links and everything else that is no regular file.
pub(crate) fn open_plain(path: &Path, options: &mut OpenOptions) -> Result<File, Error> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        let kind = if metadata.is_symlink() {
            "a symbolic link"
        } else {
            "no regular file"
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
        // For a link that was put there after the look above.
        options.custom_flags(libc::O_NOFOLLOW);
    }
    options
        .open(path)
        .map_err(|source| local("write to", path, source))
}

/// An [`Error::Io`].
pub(crate) fn local(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
