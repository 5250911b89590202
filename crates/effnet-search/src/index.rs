//! An index on disk. Opening it checks every size before memory is allocated, and reads the names but no rows.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::npy::{self, PREFIX};
use crate::sidecar::{First, Lines, Named, Sum, check_version, path_of};
use crate::{FileStamp, IndexError, IndexSource};

/// The number of rows that share a checksum, and that a thread searches at a time.
pub(crate) const BLOCK: usize = 1024;

/// The widest row, in features: 16 times the widest network's.
const WIDEST: u64 = 1 << 16;

/// Feature vectors of many images in a file, with the name of each.
#[derive(Debug)]
pub struct FeatureIndex {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// The place of the first row.
    pub(crate) start: u64,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) sums: Vec<u32>,
    source: IndexSource,
    /// All names, one after the other.
    names: String,
    /// The end of each name.
    ends: Vec<usize>,
    /// The state of each file, up to the last that is known.
    files: Vec<Option<FileStamp>>,
}

impl FeatureIndex {
    /// Opens the NPY file at `path` and the file next to it.
    ///
    /// # Errors
    /// [`IndexError::Read`], [`IndexError::NoSidecar`], [`IndexError::NotAnIndex`], and [`IndexError::Damaged`] if the
    /// sizes of the files do not match what they say.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, IndexError> {
        let path = path.as_ref();
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| IndexError::Read { path, source }
        };
        let file = File::open(path).map_err(unreadable(path))?;
        let metadata = file.metadata().map_err(unreadable(path))?;
        let not_an_index = |found: String| IndexError::NotAnIndex {
            path: path.to_owned(),
            found,
        };
        if !metadata.is_file() {
            return Err(not_an_index("not a regular file".to_owned()));
        }
        let mut prefix = Vec::new();
        (&file)
            .take(PREFIX as u64)
            .read_to_end(&mut prefix)
            .map_err(unreadable(path))?;
        let shape = npy::parse(&prefix).map_err(not_an_index)?;
        check_size(shape, metadata.len()).map_err(|found| IndexError::Damaged {
            path: path.to_owned(),
            found,
        })?;
        let sidecar_path = path_of(path);
        let sidecar = match File::open(&sidecar_path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(IndexError::NoSidecar {
                    path: path.to_owned(),
                    sidecar: sidecar_path,
                });
            }
            opened => opened.map_err(unreadable(&sidecar_path))?,
        };
        let (rows, width) = (shape.rows as usize, shape.width as usize);
        let mut index = Self {
            path: path.to_owned(),
            file,
            start: shape.start,
            rows,
            width,
            sums: Vec::new(),
            source: IndexSource::default(),
            names: String::new(),
            ends: Vec::new(),
            files: Vec::new(),
        };
        index.describe(sidecar).map_err(|found| IndexError::Damaged {
            path: sidecar_path,
            found,
        })?;
        Ok(index)
    }

    /// Reads the file next to the rows.
    fn describe(&mut self, sidecar: File) -> Result<(), String> {
        let mut lines = Lines::new(BufReader::new(sidecar));
        let first: First = lines.next("the description of the network")?;
        check_version(&first)?;
        self.source = first.source;
        for row in 0..self.rows {
            let named: Named<'_> = lines.next(&format!("the name of row {row}"))?;
            self.names.push_str(&named.input);
            self.ends.push(self.names.len());
            if named.file.is_some() {
                self.files.resize(row, None);
                self.files.push(named.file);
            }
        }
        for block in 0..self.rows.div_ceil(BLOCK) {
            let sum: Sum = lines.next(&format!("checksum {block}"))?;
            self.sums.push(sum.crc32);
        }
        if lines.is_at_end() {
            Ok(())
        } else {
            Err(format!("it has more lines than {} rows need", self.rows))
        }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of features of each row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the name of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn name(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.names[start..self.ends[row]]
    }

    /// Returns the state of a row's file when its features were computed, if the index knows it.
    pub fn file(&self, row: usize) -> Option<FileStamp> {
        self.files.get(row).copied().flatten()
    }

    /// Returns what the rows were computed with.
    pub fn source(&self) -> &IndexSource {
        &self.source
    }

    /// Checks that vectors of `wanted` can be compared with the rows.
    ///
    /// # Errors
    /// [`IndexError::OtherNetwork`].
    pub fn check_source(&self, wanted: &IndexSource) -> Result<(), IndexError> {
        let differences = self.source.differences(wanted);
        if differences.is_empty() {
            return Ok(());
        }
        Err(IndexError::OtherNetwork {
            path: self.path.clone(),
            differences,
        })
    }

    pub(crate) fn damaged(&self, found: impl Into<String>) -> IndexError {
        IndexError::Damaged {
            path: self.path.clone(),
            found: found.into(),
        }
    }
}

/// Checks that a file of `length` bytes has exactly the rows that its header states.
fn check_size(shape: npy::Shape, length: u64) -> Result<(), String> {
    let npy::Shape { rows, width, start } = shape;
    if width > WIDEST {
        return Err(format!("its rows have {width} features, more than {WIDEST}"));
    }
    let expected = width
        .checked_mul(4)
        .and_then(|bytes| bytes.checked_mul(rows))
        .and_then(|bytes| bytes.checked_add(start));
    match expected {
        Some(expected) if expected == length && usize::try_from(expected).is_ok() => Ok(()),
        Some(expected) => Err(format!(
            "{rows} rows of {width} features need {expected} bytes, found {length}"
        )),
        None => Err(format!("{rows} rows of {width} features do not fit in any file")),
    }
}
