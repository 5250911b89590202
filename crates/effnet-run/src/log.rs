//! [`Log`]: reads and writes `log.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::RunError;

/// A file of JSON objects, one per line. A line is in the file when [`append`](Self::append) returns.
///
/// A checkpoint saves the [`position`](Self::position), and resuming cuts off everything after it, so that
/// an interrupted run ends with the same log as an uninterrupted one.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
    position: u64,
}

impl Log {
    /// A new, empty log. An existing empty file, from a run that failed before it started, is reused.
    ///
    /// # Errors
    /// [`RunError::Io`], also if a log exists already.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, RunError> {
        let path = path.into();
        let open = || {
            // Append mode never overwrites an existing file.
            let file = OpenOptions::new().append(true).create(true).open(&path)?;
            match file.metadata()?.len() {
                0 => Ok(file),
                _ => Err(ErrorKind::AlreadyExists.into()),
            }
        };
        let file = open().map_err(RunError::io(&path, "created"))?;
        let position = 0;
        Ok(Self { file, path, position })
    }

    /// Opens a log and truncates it to its first `position` bytes.
    ///
    /// # Errors
    /// [`RunError::LogTooShort`], [`RunError::LogMismatch`], [`RunError::Io`].
    pub fn resume(path: impl Into<PathBuf>, position: u64) -> Result<Self, RunError> {
        let path = path.into();
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let mut file = file.map_err(RunError::io(&path, "opened"))?;
        let found = file.metadata().map_err(RunError::io(&path, "read"))?.len();
        if found < position {
            return Err(RunError::LogTooShort {
                path,
                expected: position,
                found,
            });
        }
        if let Some(before) = position.checked_sub(1) {
            let mut last = [0];
            let read = file
                .seek(SeekFrom::Start(before))
                .and_then(|_| file.read_exact(&mut last));
            read.map_err(RunError::io(&path, "read"))?;
            if last != *b"\n" {
                return Err(RunError::LogMismatch { path, position });
            }
        }
        let cut = file
            .set_len(position)
            .and_then(|()| file.seek(SeekFrom::Start(position)));
        cut.map_err(RunError::io(&path, "cut"))?;
        Ok(Self { file, path, position })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`RunError::Io`]; the partial line is then removed if possible.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), RunError> {
        let write = |file: &mut File| {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            file.write_all(&line)?;
            Ok(line.len() as u64)
        };
        match write(&mut self.file) {
            Ok(bytes) => {
                self.position += bytes;
                Ok(())
            }
            Err(error) => {
                let _ = self.file.set_len(self.position);
                let _ = self.file.seek(SeekFrom::Start(self.position));
                Err(RunError::io(&self.path, "written")(error))
            }
        }
    }

    /// The length in bytes, to be saved in a checkpoint.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Syncs all lines to the disk. Call it before saving a checkpoint with the position.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn sync(&self) -> Result<(), RunError> {
        self.file.sync_data().map_err(RunError::io(&self.path, "written"))
    }

    /// The records of a log, oldest first. An incomplete last line, from an interrupted write, is ignored.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Json`].
    pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, RunError> {
        let file = File::open(path).map_err(RunError::io(path, "opened"))?;
        let mut reader = BufReader::new(file);
        let mut records = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line);
            read.map_err(RunError::io(path, "read"))?;
            if line.pop() != Some(b'\n') {
                return Ok(records);
            }
            let record = serde_json::from_slice(&line).map_err(|source| RunError::Json {
                path: path.to_owned(),
                source,
            })?;
            records.push(record);
        }
    }
}
