//! Writes the features of images as an index: the NPY file of `features --output FILE.npy` and of `similar`.
//!
//! Unlike the other formats it consists of two files, cannot be a pipe, and has no row for an image that failed.

use std::path::{Path, PathBuf};

use effnet::{FileStamp, IndexSource, IndexWriter};

use crate::Outcome;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::outputs::{Closing, Tally};
use crate::printer::Printer;

/// An index that is being written.
pub(crate) struct IndexFile {
    writer: IndexWriter,
    path: PathBuf,
    tally: Tally,
}

impl IndexFile {
    /// Creates the files of an index with rows of `width` features.
    pub(crate) fn create(path: &Path, width: usize, source: &IndexSource) -> anyhow::Result<Self> {
        Ok(Self {
            writer: IndexWriter::create(path, width, source)?,
            path: path.to_owned(),
            tally: Tally::default(),
        })
    }

    /// Adds the row of an image, unless the image failed, and counts it.
    pub(crate) fn push(&mut self, name: &str, features: &Result<Vec<f32>, Failure>) -> anyhow::Result<()> {
        let features = features.as_ref().map(Vec::as_slice);
        self.push_file(name, None, features)
    }

    /// Like [`push`](Self::push), and notes the state of the image's file.
    pub(crate) fn push_file(
        &mut self,
        name: &str,
        file: Option<FileStamp>,
        features: Result<&[f32], &Failure>,
    ) -> anyhow::Result<()> {
        if let Ok(features) = features {
            self.writer.push_file(name, file, features)?;
        }
        self.tally.count(features.is_ok());
        Ok(())
    }

    /// Returns the numbers of images so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Completes the files.
    pub(crate) fn commit(self) -> anyhow::Result<()> {
        Ok(self.writer.finish()?)
    }

    /// Completes the files, prints the closing line, and returns the outcome for the `count` images.
    pub(crate) fn finish(
        self,
        count: usize,
        closing: &Closing,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Outcome> {
        self.writer.finish()?;
        if !interrupt.is_set() {
            printer.note(closing.line(self.tally, Some(&self.path)));
        }
        Ok(self.tally.outcome(count, Some(&self.path), interrupt, printer))
    }
}
