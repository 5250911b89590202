//! Caches the digests of verified files, so that 266 MB are not hashed at every start.
//!
//! The folder `.verified` in the hub's cache folder has one small JSON file per weight file, including weight
//! files in other folders. It stores the digest together with the size, inode and times of the file; a file
//! modified since is hashed again. If the folder is not writable, nothing is cached.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Digest;
use crate::digest::{digits, sha256_of_file};

/// Folder of the records.
pub(crate) const FOLDER: &str = ".verified";

/// The digest cache of one hub.
#[derive(Debug, Clone)]
pub(crate) struct DigestCache {
    folder: PathBuf,
    /// Whether to skip hashing a file if its size and times match its record.
    trusts_stamps: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    path: PathBuf,
    stamp: Stamp,
    sha256: String,
}

/// Metadata that changes when a file is modified. Unlike the modification time, the change time cannot be set
/// back by programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    modified_ns: u128,
    changed_s: i64,
    changed_ns: i64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (changed_s, changed_ns, inode) = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.ctime(), metadata.ctime_nsec(), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed_s, changed_ns, inode) = (0, 0, 0);
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ns = modified.map_or(0, |since| since.as_nanos());
        Self {
            size: metadata.len(),
            modified_ns,
            changed_s,
            changed_ns,
            inode,
        }
    }
}

impl DigestCache {
    pub(crate) fn new(cache: &Path) -> Self {
        Self {
            folder: cache.join(FOLDER),
            trusts_stamps: true,
        }
    }

    /// Returns a cache that has the same records but hashes every file.
    pub(crate) fn without_stamps(&self) -> Self {
        Self {
            trusts_stamps: false,
            ..self.clone()
        }
    }

    /// Returns the digest that a file must have: the published one. If fewer digits were published, which a
    /// different file could be made to match, the record of the first verified download supplies the rest.
    pub(crate) fn expected(&self, path: &Path, published: Option<&Digest>) -> Option<Digest> {
        let published = published?;
        if !published.is_full()
            && let Some(recorded) = self.recorded(path)
            && published.matches(&recorded)
        {
            return Digest::try_from(recorded).ok();
        }
        Some(published.clone())
    }

    /// Returns the cached digest of a file, if the file has not been modified since it was hashed.
    pub(crate) fn fresh(&self, path: &Path) -> Option<String> {
        if !self.trusts_stamps {
            return None;
        }
        let record = self.read(path)?;
        (record.stamp == Stamp::of(&fs::metadata(path).ok()?)).then_some(record.sha256)
    }

    /// Returns the cached digest of a path, even if the file has been modified since.
    pub(crate) fn recorded(&self, path: &Path) -> Option<String> {
        Some(self.read(path)?.sha256)
    }

    /// Returns the digest of a file, hashing it unless the cached digest is fresh.
    pub(crate) fn digest(&self, path: &Path) -> io::Result<String> {
        match self.fresh(path) {
            Some(sha256) => Ok(sha256),
            None => sha256_of_file(path),
        }
    }

    /// Caches the digest of a verified file. Errors are ignored: they only cost time later.
    pub(crate) fn remember(&self, path: &Path, sha256: &str) {
        if self.fresh(path).is_some_and(|known| known == sha256) {
            return;
        }
        let Ok(metadata) = fs::metadata(path) else { return };
        let record = Record {
            path: absolute(path),
            stamp: Stamp::of(&metadata),
            sha256: sha256.to_owned(),
        };
        let target = self.record_path(path);
        let temporary = target.with_extension(format!("{}.{:x}", std::process::id(), fastrand::u32(..)));
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| protect(&self.folder, 0o755))
            .and_then(|()| serde_json::to_vec(&record).map_err(io::Error::other))
            .and_then(|json| fs::write(&temporary, json))
            .and_then(|()| protect(&temporary, 0o644))
            .and_then(|()| fs::rename(&temporary, &target));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }

    /// Marks the cached digest as stale, so that the file is hashed again, because its content changed but
    /// its metadata did not. The digest remains available as the expected one.
    pub(crate) fn distrust(&self, path: &Path) {
        let Some(mut record) = self.read(path) else { return };
        record.stamp.size = u64::MAX;
        let json = serde_json::to_vec(&record).map_err(io::Error::other);
        // A record that cannot be marked must be removed.
        if json
            .and_then(|json| fs::write(self.record_path(path), json))
            .is_err()
        {
            let _ = fs::remove_file(self.record_path(path));
        }
    }

    /// Removes the records of files that no longer exist.
    pub(crate) fn prune(&self) {
        for record in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let known = fs::read(record.path())
                .ok()
                .and_then(|json| serde_json::from_slice::<Record>(&json).ok());
            if known.is_none_or(|known| !known.path.exists()) {
                let _ = fs::remove_file(record.path());
            }
        }
    }

    fn read(&self, path: &Path) -> Option<Record> {
        let file = self.record_path(path);
        if !is_trusted(&self.folder) || !is_trusted(&file) {
            return None;
        }
        let record: Record = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        (record.path == absolute(path)).then_some(record)
    }

    fn record_path(&self, path: &Path) -> PathBuf {
        let mut hasher = Sha256::new();
        hasher.update(absolute(path).as_os_str().as_encoded_bytes());
        self.folder.join(format!("{}.json", &digits(hasher)[..24]))
    }
}

/// Removes write permission for everyone but the owner.
fn protect(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if fs::metadata(path)?.permissions().mode() & 0o022 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

/// Whether only this user and root can write a record. In a shared cache, another user could otherwise vouch for a
/// wrong file.
fn is_trusted(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        // SAFETY: `geteuid` takes no arguments and cannot fail.
        #[allow(unsafe_code)]
        let user = unsafe { libc::geteuid() };
        fs::symlink_metadata(path).is_ok_and(|metadata| {
            !metadata.is_symlink()
                && (metadata.uid() == user || metadata.uid() == 0)
                && metadata.mode() & 0o022 == 0
        })
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        true
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_fresh_until_the_file_is_modified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.pth");
        fs::write(&path, b"abc").unwrap();
        let digests = DigestCache::new(folder.path());
        let digest = digests.digest(&path).unwrap();
        digests.remember(&path, &digest);
        assert_eq!(digests.fresh(&path), Some(digest.clone()));

        // The size is the same and the modification time is set back, but the change time still reveals the
        // change.
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&path, b"abd").unwrap();
        fs::File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(before)
            .unwrap();
        assert_eq!(digests.fresh(&path), None);
        assert_eq!(digests.recorded(&path), Some(digest));
    }
}
