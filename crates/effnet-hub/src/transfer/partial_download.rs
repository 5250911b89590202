//! A partial download: `NAME.part`, and `NAME.part.json` with the data needed to resume it.
//!
//! Appended blocks are hashed and flushed on two separate threads: hashing is about as slow as a fast
//! connection, and flushing everything at the end would delay completion.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::cache_folder::{CacheFolder, PART, SIDECAR, local, open_plain};
use super::response::{FileResponse, Resume};
use crate::digest::{digits, hash_from};
use crate::{Digest, Error, WeightFile};

/// Bytes inspected to distinguish a web page from weights.
const START: usize = 256;
/// Size of a block read from the connection, in bytes.
const BLOCK: usize = 1 << 18;
/// Maximum number of blocks waiting to be hashed.
const BLOCKS: usize = 8;
/// Bytes between two flushes to disk during a download, so that little remains to flush at the end.
const FLUSHED: u64 = 1 << 24;

/// An incomplete file. Its digest is updated as data is appended.
#[derive(Debug)]
pub(super) struct PartialDownload {
    path: PathBuf,
    sidecar: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
    info: ResponseInfo,
    /// Whether it has data from more than one connection, which may not belong together.
    mixed: bool,
}

/// Appends blocks to a partial download.
pub(super) struct Appender<'a> {
    path: &'a Path,
    file: &'a mut File,
    len: &'a mut u64,
    to_hash: SyncSender<(Vec<u8>, usize)>,
    spare: Receiver<Vec<u8>>,
    to_flush: SyncSender<()>,
}

impl Appender<'_> {
    /// Returns a block to fill, recycled if possible.
    pub(super) fn block(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_else(|_| vec![0; BLOCK])
    }

    /// Appends the first `count` bytes of a block and returns the total length.
    pub(super) fn append(&mut self, block: Vec<u8>, count: usize) -> Result<u64, Error> {
        self.file
            .write_all(&block[..count])
            .map_err(|source| local("write to", self.path, source))?;
        let before = *self.len / FLUSHED;
        *self.len += count as u64;
        if *self.len / FLUSHED > before {
            // Fails if the previous flush is still running; the next one covers this data.
            let _ = self.to_flush.try_send(());
        }
        // Fails only if the other thread panicked, which the scope propagates.
        let _ = self.to_hash.send((block, count));
        Ok(*self.len)
    }
}

/// Headers of the first response, stored in `NAME.part.json`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ResponseInfo {
    validator: Option<String>,
    total: Option<u64>,
    announced: Option<Digest>,
}

impl PartialDownload {
    /// Opens or creates the partial download of `file` and hashes its content.
    pub(super) fn open(folder: &CacheFolder, file: &WeightFile) -> Result<Self, Error> {
        let (path, sidecar) = (folder.path_of(file, PART), folder.path_of(file, SIDECAR));
        let mut options = OpenOptions::new();
        let mut handle = open_plain(&path, options.read(true).write(true).create(true).truncate(false))?;
        let mut hasher = Sha256::new();
        let len = hash_from(&mut handle, &mut hasher).map_err(|source| local("read", &path, source))?;
        let info: ResponseInfo = fs::read(&sidecar)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        let mut part = Self {
            path,
            sidecar,
            file: handle,
            hasher,
            len,
            info,
            mixed: len > 0,
        };
        if part.info.total.is_some_and(|total| total < len) {
            part.reset()?;
        }
        Ok(part)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.info.total
    }

    pub(super) fn announced(&self) -> Option<&Digest> {
        self.info.announced.as_ref()
    }

    pub(super) fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// Whether it has all bytes that the server announced.
    pub(super) fn is_whole(&self) -> bool {
        self.len > 0 && self.info.total == Some(self.len)
    }

    /// Returns the range request with which to resume; `None` if there is nothing to resume, or no way to
    /// tell whether the rest belongs to the same file.
    pub(super) fn resume(&self, digest_known: bool) -> Option<Resume<'_>> {
        let validator = self.info.validator.as_deref();
        (self.len > 0 && (digest_known || validator.is_some())).then_some(Resume {
            from: self.len,
            validator,
        })
    }

    /// Whether the response continues the same file. A 206 may omit headers of the 200 (RFC 9110, 15.3.7), so
    /// only headers that both have can contradict each other.
    pub(super) fn continues(&self, response: &FileResponse) -> bool {
        fn agree<T: PartialEq>(ours: Option<&T>, theirs: Option<&T>) -> bool {
            ours.zip(theirs).is_none_or(|(ours, theirs)| ours == theirs)
        }
        response.start == self.len
            && agree(self.info.validator.as_ref(), response.validator.as_ref())
            && agree(self.info.total.as_ref(), response.total.as_ref())
            && agree(self.info.announced.as_ref(), response.announced.as_ref())
    }

    /// Stores the headers of the response for a later process.
    pub(super) fn record(&mut self, response: &FileResponse) -> Result<(), Error> {
        self.mixed = self.len > 0;
        let known = std::mem::take(&mut self.info);
        self.info = ResponseInfo {
            validator: response.validator.clone().or(known.validator),
            total: response.total.or(known.total),
            announced: response.announced.clone().or(known.announced),
        };
        let failed = |source| local("write to", &self.sidecar, source);
        let json = serde_json::to_vec(&self.info).map_err(|error| failed(error.into()))?;
        let mut options = OpenOptions::new();
        let mut file = open_plain(&self.sidecar, options.write(true).create(true).truncate(true))?;
        file.write_all(&json).map_err(failed)
    }

    /// Calls `transfer` with an appender. Meanwhile, two threads hash the appended blocks and flush them to
    /// disk.
    pub(super) fn appending<T>(&mut self, transfer: impl FnOnce(&mut Appender<'_>) -> T) -> Result<T, Error> {
        let (to_hash, blocks) = sync_channel::<(Vec<u8>, usize)>(BLOCKS);
        let (hashed, spare) = channel();
        let (to_flush, flushes) = sync_channel(1);
        let Self {
            path,
            file,
            hasher,
            len,
            ..
        } = self;
        thread::scope(|scope| {
            let hashing = move || {
                for (block, count) in blocks {
                    hasher.update(&block[..count]);
                    // The appender may be gone; then it needs no more blocks.
                    let _ = hashed.send(block);
                }
            };
            let handle = file
                .try_clone()
                .map_err(|source| local("write to", path, source))?;
            let flushing = move || flushes.iter().try_for_each(|()| handle.sync_data());
            thread::Builder::new()
                .name(String::from("sha256"))
                .spawn_scoped(scope, hashing)
                .map_err(|source| local("hash", path, source))?;
            let flusher = thread::Builder::new()
                .name(String::from("flush"))
                .spawn_scoped(scope, flushing)
                .map_err(|source| local("write to", path, source))?;
            let mut appender = Appender {
                path,
                file,
                len,
                to_hash,
                spare,
                to_flush,
            };
            let transferred = transfer(&mut appender);
            drop(appender);
            // The system reports a failed write only once, here or in `seal`.
            match flusher.join() {
                Ok(flushed) => flushed.map_err(|source| local("flush", path, source))?,
                Err(panic) => resume_unwind(panic),
            }
            Ok(transferred)
        })
    }

    /// Discards the content.
    pub(super) fn reset(&mut self) -> Result<(), Error> {
        let emptied = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|source| local("truncate", &self.path, source))?;
        let _ = fs::remove_file(&self.sidecar);
        self.hasher = Sha256::new();
        self.info = ResponseInfo::default();
        (self.len, self.mixed) = (0, false);
        Ok(())
    }

    /// The digest of the content so far.
    pub(super) fn digest(&self) -> String {
        digits(self.hasher.clone())
    }

    /// The first characters, if the file looks like a web page.
    pub(super) fn web_page(&mut self) -> Option<String> {
        let mut start = Vec::with_capacity(START);
        let mut reader = File::open(&self.path).ok()?.take(START as u64);
        reader.read_to_end(&mut start).ok()?;
        let text = String::from_utf8_lossy(&start);
        let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let line: String = text.chars().take(60).filter(|c| !c.is_control()).collect();
        text.starts_with('<').then_some(line)
    }

    /// Flushes the file to disk and returns its path, ready to be renamed.
    pub(super) fn seal(self) -> Result<PathBuf, Error> {
        self.file
            .sync_all()
            .map_err(|source| local("flush", &self.path, source))?;
        let _ = fs::remove_file(&self.sidecar);
        Ok(self.path)
    }

    /// Removes the file and its metadata.
    pub(super) fn discard(self) {
        remove(&self.sidecar);
        remove(&self.path);
    }

    /// Removes the file if it is empty, so that a failed connection leaves nothing behind.
    pub(super) fn discard_if_empty(self) {
        if self.len == 0 {
            self.discard();
        }
    }
}

fn remove(path: &Path) {
    // A leftover only costs disk space; `effnet cache prune` removes it.
    let _ = fs::remove_file(path);
}
