//! Feeds labelled images to the pipeline.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use effnet::{BoxError, Source};
use effnet_data::{Dataset, Evaluation};
use effnet_image::{Image, ImageWarning};

use crate::overview::{counted_targets, print_notices};
use crate::printer::{Printer, counted};

/// Prints which images of a data set are evaluated.
pub(super) fn describe(data: &Path, Evaluation { images, reading }: &Evaluation, printer: &Printer) {
    let part = [&reading.test, &reading.val, &reading.train]
        .into_iter()
        .flatten()
        .next();
    let part = part.map_or_else(|| data.display().to_string(), Clone::clone);
    printer.note(format!(
        "evaluating {part} ({}, {})",
        counted(images.len(), "image"),
        counted_targets(images.classes().len(), images.task())
    ));
    print_notices(reading, printer);
}

/// An image of a data set.
pub(crate) struct Labelled {
    dataset: Arc<dyn Dataset>,
    index: usize,
    /// Warnings from decoding the image.
    warnings: Vec<ImageWarning>,
}

impl Labelled {
    /// Returns all images of a data set.
    pub(crate) fn all(dataset: Arc<dyn Dataset>) -> impl ExactSizeIterator<Item = Self> + Send {
        (0..dataset.len()).map(move |index| Self {
            dataset: Arc::clone(&dataset),
            index,
            warnings: Vec::new(),
        })
    }

    pub(crate) fn name(&self) -> String {
        self.dataset.name(self.index)
    }

    pub(super) fn warnings(&self) -> &[ImageWarning] {
        &self.warnings
    }

    /// Writes the targets of the image to `row`; see [`Dataset::values`].
    pub(crate) fn values(&self, row: &mut [f32]) {
        self.dataset.values(self.index, row);
    }

    /// Returns the index of the image in the data set.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Returns the class as an index into the classes of the data set.
    pub(crate) fn label(&self) -> usize {
        self.dataset.label(self.index)
    }
}

impl Source for Labelled {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        self.dataset.image(self.index).map(Cow::Owned)
    }

    fn set_warnings(&mut self, warnings: Vec<ImageWarning>) {
        self.warnings = warnings;
    }
}
