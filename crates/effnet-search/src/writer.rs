//! Writes an index while its rows are computed, in bounded memory.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crc32fast::Hasher;
use effnet_checkpoint::{AtomicFile, PairError, commit_pair};
use serde::Serialize;

use crate::index::BLOCK;
use crate::sidecar::{First, LONGEST_NAME, Named, Sum, path_of};
use crate::{FileStamp, IndexError, IndexSource, npy};

/// Writes rows to an NPY file and their names to the file next to it. Both appear under their names in
/// [`finish`](Self::finish) and not before.
#[derive(Debug)]
pub struct IndexWriter {
    path: PathBuf,
    sidecar_path: PathBuf,
    rows: AtomicFile,
    sidecar: AtomicFile,
    width: usize,
    count: u64,
    sum: Hasher,
    sums: Vec<u32>,
}

impl IndexWriter {
    /// Creates the files for rows of `width` features. Existing files are replaced in [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`IndexError::Write`], also if `path` is a pipe or a device: the number of rows, which is written last, is at
    /// the start of the file.
    pub fn create(path: impl AsRef<Path>, width: usize, source: &IndexSource) -> Result<Self, IndexError> {
        let path = path.as_ref();
        let sidecar_path = path_of(path);
        for path in [path, &sidecar_path] {
            if path.metadata().is_ok_and(|found| !found.is_file()) {
                let source = io::Error::other("not a regular file");
                return Err(failed(path)(source));
            }
        }
        let mut rows = AtomicFile::create(path).map_err(failed(path))?;
        rows.write_all(&npy::header(0, width)).map_err(failed(path))?;
        let mut sidecar = AtomicFile::create(&sidecar_path).map_err(failed(&sidecar_path))?;
        write_line(&mut sidecar, &First::new(source)).map_err(failed(&sidecar_path))?;
        Ok(Self {
            path: path.to_owned(),
            sidecar_path,
            rows,
            sidecar,
            width,
            count: 0,
            sum: Hasher::new(),
            sums: Vec::new(),
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`IndexError::Write`], [`IndexError::Width`], [`IndexError::Name`] for a name of more than 8192 bytes.
    pub fn push(&mut self, name: &str, features: &[f32]) -> Result<(), IndexError> {
        self.push_file(name, None, features)
    }

    /// Like [`push`](Self::push), and notes the state of the image's file.
    ///
    /// # Errors
    /// Same as [`push`](Self::push).
    pub fn push_file(
        &mut self,
        name: &str,
        file: Option<FileStamp>,
        features: &[f32],
    ) -> Result<(), IndexError> {
        if features.len() != self.width {
            return Err(IndexError::Width {
                path: self.path.clone(),
                expected: self.width,
                found: features.len(),
            });
        }
        if name.len() > LONGEST_NAME {
            return Err(IndexError::Name {
                path: self.path.clone(),
                found: name.len(),
                most: LONGEST_NAME,
            });
        }
        let mut bytes = Vec::with_capacity(features.len() * 4);
        bytes.extend(features.iter().flat_map(|value| value.to_le_bytes()));
        self.sum.update(&bytes);
        self.rows.write_all(&bytes).map_err(failed(&self.path))?;
        let input = name.into();
        let named = Named { input, file };
        write_line(&mut self.sidecar, &named).map_err(failed(&self.sidecar_path))?;
        self.count += 1;
        if self.count.is_multiple_of(BLOCK as u64) {
            self.end_block();
        }
        Ok(())
    }

    /// Returns the number of rows so far.
    pub fn rows(&self) -> usize {
        self.count as usize
    }

    /// Completes both files and gives them their names, or neither of them on an error. If the process ends between the
    /// two, the checksums reveal it.
    ///
    /// # Errors
    /// [`IndexError::Write`].
    pub fn finish(mut self) -> Result<(), IndexError> {
        if !self.count.is_multiple_of(BLOCK as u64) {
            self.end_block();
        }
        for &crc32 in &self.sums {
            write_line(&mut self.sidecar, &Sum { crc32 }).map_err(failed(&self.sidecar_path))?;
        }
        let header = npy::header(self.count, self.width);
        self.rows.overwrite_start(&header).map_err(failed(&self.path))?;
        commit_pair(self.rows, self.sidecar).map_err(|error| match error {
            PairError::First(source) => failed(&self.path)(source),
            PairError::Second(source) => failed(&self.sidecar_path)(source),
        })
    }

    fn end_block(&mut self) {
        self.sums.push(std::mem::take(&mut self.sum).finalize());
    }
}

fn write_line(file: &mut AtomicFile, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> IndexError + '_ {
    |source| IndexError::Write {
        path: path.to_owned(),
        source,
    }
}
