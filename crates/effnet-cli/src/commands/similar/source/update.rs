//! Brings the index of a folder up to date: the rows of unchanged images are kept, and only the others are computed.
//!
//! An image is unchanged if the index has a row with its name, and its file has the size and the time of the last change
//! that it had then. The new index has the rows in the order of the listing, like one that was made from scratch.

use std::collections::HashMap;
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail};
use effnet::{FeatureIndex, FileStamp, RowReader};

use crate::arguments::InputArguments;
use crate::failure::Failure;
use crate::index_file::IndexFile;
use crate::input::Input;
use crate::inputs;
use crate::printer::{Printer, counted};
use crate::sharding::digest;

/// The images of a folder.
pub(super) struct Listing {
    images: Vec<Listed>,
    /// A digest that changes if an image is added, removed or written.
    pub(super) digest: String,
}

struct Listed {
    input: Input,
    /// `None` if the size or the time cannot be found out.
    file: Option<FileStamp>,
    /// The path below the folder, if it is text.
    name: Option<String>,
}

/// Lists the images of a folder.
pub(super) fn list(folder: &Path, printer: &Printer) -> anyhow::Result<Listing> {
    let arguments = InputArguments {
        inputs: vec![folder.to_owned()],
        list: Vec::new(),
    };
    let images = inputs::expand(&arguments, true, printer)?.images;
    if let [input] = &images[..]
        && let Some(failure) = input.failure()
    {
        bail!("--index {}: {}", folder.display(), failure.reason);
    }
    let images = images.into_iter().map(|input| Listed::of(input, folder));
    let images: Vec<Listed> = images.collect();
    let digest = digest(images.iter().map(Listed::line));
    Ok(Listing { images, digest })
}

impl Listed {
    fn of(input: Input, folder: &Path) -> Self {
        let path = input.own_file();
        let relative = path.map(|path| path.strip_prefix(folder).unwrap_or(path));
        Self {
            file: path.and_then(stamp),
            name: relative.and_then(Path::to_str).map(str::to_owned),
            input,
        }
    }

    /// Describes the image for the digest of the listing.
    fn line(&self) -> String {
        let FileStamp { bytes, modified } = self.file.unwrap_or(FileStamp {
            bytes: 0,
            modified: 0,
        });
        let name = self.name.as_ref().unwrap_or(&self.input.name);
        format!("{name} {bytes} {modified}")
    }
}

/// Returns the size and the time of the last change of a file.
fn stamp(path: &Path) -> Option<FileStamp> {
    let metadata = path.metadata().ok()?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(FileStamp {
        bytes: metadata.len(),
        modified: u64::try_from(modified.as_nanos()).ok()?,
    })
}

/// The next row of the new index.
enum Step {
    /// A row of the old index.
    Keep(usize),
    /// The features of the next image, with the state that its file had before it was read.
    Compute(Option<FileStamp>),
}

/// An index that is being written.
pub(super) struct Update {
    file: IndexFile,
    old: Option<RowReader>,
    steps: std::vec::IntoIter<Step>,
}

impl Update {
    /// Returns an update that keeps the rows of unchanged images, and the images to compute.
    pub(super) fn new(file: IndexFile, old: Option<FeatureIndex>, listing: Listing) -> (Self, Vec<Input>) {
        let rows: HashMap<&str, usize> = old
            .iter()
            .flat_map(|old| (0..old.rows()).map(|row| (old.name(row), row)))
            .collect();
        let unchanged = |listed: &Listed| {
            let row = *rows.get(listed.name.as_deref()?)?;
            (listed.file.is_some() && old.as_ref()?.file(row) == listed.file).then_some(row)
        };
        let (mut steps, mut images) = (Vec::with_capacity(listing.images.len()), Vec::new());
        for listed in listing.images {
            if let Some(row) = unchanged(&listed) {
                steps.push(Step::Keep(row));
            } else {
                steps.push(Step::Compute(listed.file));
                images.push(listed.input);
            }
        }
        let update = Self {
            file,
            steps: steps.into_iter(),
            old: old.map(FeatureIndex::into_row_reader),
        };
        (update, images)
    }

    /// Says what is done to an index that exists.
    pub(super) fn announce(&self, path: &Path, images: usize, printer: &Printer) {
        let Some(old) = &self.old else { return };
        let kept = self.steps.len() - images;
        let removed = old.index().rows() - kept;
        printer.note(format!(
            "{}: the images of this folder have changed: {} unchanged, {images} to compute, {removed} removed or \
             outdated",
            path.display(),
            counted(kept, "image"),
        ));
    }

    /// Adds the features of the next computed image, after the kept rows before it.
    pub(super) fn push(&mut self, name: &str, features: Result<&[f32], &Failure>) -> anyhow::Result<()> {
        let file = self.keep()?;
        self.file.push_file(name, file, features)
    }

    /// Adds the remaining kept rows, and returns the file, which has all rows but is not committed.
    pub(super) fn finish(mut self) -> anyhow::Result<IndexFile> {
        self.keep()?;
        Ok(self.file)
    }

    /// Copies rows of the old index up to the next image to compute, and returns the state of its file.
    fn keep(&mut self) -> anyhow::Result<Option<FileStamp>> {
        for step in self.steps.by_ref() {
            match (step, &mut self.old) {
                (Step::Keep(row), Some(old)) => {
                    let name = old.index().name(row).to_owned();
                    let file = old.index().file(row);
                    let features = old.row(row).context("--index: pass --rebuild to make it again")?;
                    self.file.push_file(&name, file, Ok(features))?;
                }
                (Step::Compute(file), _) => return Ok(file),
                // Without an old index, no row is kept.
                (Step::Keep(_), None) => {}
            }
        }
        Ok(None)
    }
}
