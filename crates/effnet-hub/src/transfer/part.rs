//! An incomplete file beside its final name, and what is needed to go on with it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::answer::{Answer, Resume};
use super::folder::{Folder, PART, SIDECAR, local, open_plain};
use crate::digest::{digits, hash_from};
use crate::{Digest, Error, WeightFile};

/// Bytes that are looked at to tell a web page from weights.
const START: usize = 256;
/// Bytes read from the connection at once.
const BLOCK: usize = 1 << 18;
/// Blocks that may wait to be hashed: hashing is no faster than a fast connection.
const BLOCKS: usize = 8;

/// Bytes between two flushes to the disk while a download runs: what is left to flush at its end is then little.
const FLUSHED: u64 = 1 << 24;

/// An incomplete file. Its digest is computed along with what is appended.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    sidecar: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
    notes: Notes,
    /// Whether it holds bytes of more than one connection, which may not belong together.
    mixed: bool,
}

/// The end of a part that is being written.
pub(super) struct Appender<'a> {
    path: &'a Path,
    file: &'a mut File,
    len: &'a mut u64,
    to_hash: SyncSender<(Vec<u8>, usize)>,
    spare: Receiver<Vec<u8>>,
    to_flush: SyncSender<()>,
}

impl Appender<'_> {
    /// A block to fill: one that has been hashed, if there is one.
    pub(super) fn block(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_else(|_| vec![0; BLOCK])
    }

    /// Appends the first `count` bytes of a block and returns the length of the part.
    pub(super) fn append(&mut self, block: Vec<u8>, count: usize) -> Result<u64, Error> {
        self.file
            .write_all(&block[..count])
            .map_err(|source| local("write to", self.path, source))?;
        let before = *self.len / FLUSHED;
        *self.len += count as u64;
        if *self.len / FLUSHED > before {
            // Full while the disk is still at work on the last request: the next one will do.
            let _ = self.to_flush.try_send(());
        }
        // Fails only when the other thread has panicked, which the scope passes on.
        let _ = self.to_hash.send((block, count));
        Ok(*self.len)
    }
}

/// What was said about the file when its first bytes came.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Notes {
    validator: Option<String>,
    total: Option<u64>,
    announced: Option<Digest>,
}

impl Part {
    /// Opens or creates the part of `file`, and hashes what is there.
    pub(super) fn open(folder: &Folder, file: &WeightFile) -> Result<Self, Error> {
        let (path, sidecar) = (folder.path_of(file, PART), folder.path_of(file, SIDECAR));
        let mut options = OpenOptions::new();
        let mut handle = open_plain(&path, options.read(true).write(true).create(true).truncate(false))?;
        let mut hasher = Sha256::new();
        let len = hash_from(&mut handle, &mut hasher).map_err(|source| local("read", &path, source))?;
        let notes: Notes = fs::read(&sidecar)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        let mut part = Self {
            path,
            sidecar,
            file: handle,
            hasher,
            len,
            notes,
            mixed: len > 0,
        };
        if part.notes.total.is_some_and(|total| total < len) {
            part.reset()?;
        }
        Ok(part)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.notes.total
    }

    pub(super) fn announced(&self) -> Option<&Digest> {
        self.notes.announced.as_ref()
    }

    pub(super) fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// Whether all bytes that the server promised are there.
    pub(super) fn is_whole(&self) -> bool {
        self.len > 0 && self.notes.total == Some(self.len)
    }

    /// What to ask for to go on. `None` when there is nothing to go on with, or nothing would tell whether the
    /// rest belongs to what is there.
    pub(super) fn resume(&self, digest_known: bool) -> Option<Resume<'_>> {
        let validator = self.notes.validator.as_deref();
        (self.len > 0 && (digest_known || validator.is_some())).then_some(Resume {
            from: self.len,
            validator,
        })
    }

    /// Whether the answer continues the same file. A 206 may leave out what the 200 said (RFC 9110, 15.3.7), so
    /// only what is there can contradict.
    pub(super) fn continues(&self, answer: &Answer) -> bool {
        fn agree<T: PartialEq>(ours: Option<&T>, theirs: Option<&T>) -> bool {
            ours.zip(theirs).is_none_or(|(ours, theirs)| ours == theirs)
        }
        answer.start == self.len
            && agree(self.notes.validator.as_ref(), answer.validator.as_ref())
            && agree(self.notes.total.as_ref(), answer.total.as_ref())
            && agree(self.notes.announced.as_ref(), answer.announced.as_ref())
    }

    /// Keeps what the answer says for a later process.
    pub(super) fn note(&mut self, answer: &Answer) -> Result<(), Error> {
        self.mixed = self.len > 0;
        let known = std::mem::take(&mut self.notes);
        self.notes = Notes {
            validator: answer.validator.clone().or(known.validator),
            total: answer.total.or(known.total),
            announced: answer.announced.clone().or(known.announced),
        };
        let failed = |source| local("write to", &self.sidecar, source);
        let json = serde_json::to_vec(&self.notes).map_err(|error| failed(error.into()))?;
        let mut options = OpenOptions::new();
        let mut file = open_plain(&self.sidecar, options.write(true).create(true).truncate(true))?;
        file.write_all(&json).map_err(failed)
    }

    /// Calls `transfer` with what appends blocks; beside it, on threads of their own, they are hashed and
    /// brought to the disk.
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
                    // The appender may be gone, and then needs no more blocks.
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
            // The system tells of a lost write once, here or when the file is sealed.
            match flusher.join() {
                Ok(flushed) => flushed.map_err(|source| local("flush to the disk", path, source))?,
                Err(panic) => resume_unwind(panic),
            }
            Ok(transferred)
        })
    }

    /// Throws away what is there.
    pub(super) fn reset(&mut self) -> Result<(), Error> {
        let emptied = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|source| local("empty", &self.path, source))?;
        let _ = fs::remove_file(&self.sidecar);
        self.hasher = Sha256::new();
        self.notes = Notes::default();
        (self.len, self.mixed) = (0, false);
        Ok(())
    }

    /// The digest of what is there.
    pub(super) fn digest(&self) -> String {
        digits(self.hasher.clone())
    }

    /// The first characters, if they look like a web page.
    pub(super) fn web_page(&mut self) -> Option<String> {
        let mut start = Vec::with_capacity(START);
        let mut reader = File::open(&self.path).ok()?.take(START as u64);
        reader.read_to_end(&mut start).ok()?;
        let text = String::from_utf8_lossy(&start);
        let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let line: String = text.chars().take(60).filter(|c| !c.is_control()).collect();
        text.starts_with('<').then_some(line)
    }

    /// Flushes the bytes to the disk and leaves the path to be renamed.
    pub(super) fn seal(self) -> Result<PathBuf, Error> {
        self.file
            .sync_all()
            .map_err(|source| local("flush to the disk", &self.path, source))?;
        let _ = fs::remove_file(&self.sidecar);
        Ok(self.path)
    }

    /// Removes the part and what is known about it.
    pub(super) fn discard(self) {
        remove(&self.sidecar);
        remove(&self.path);
    }

    /// Removes the part when it holds nothing, so that a failed connection leaves nothing behind.
    pub(super) fn discard_if_empty(self) {
        if self.len == 0 {
            self.discard();
        }
    }
}

fn remove(path: &Path) {
    // A part that stays costs disk space and no correctness; `cache prune` removes it.
    let _ = fs::remove_file(path);
}
