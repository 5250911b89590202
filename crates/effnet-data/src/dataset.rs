//! The trait from which loaders read, and subsets.

use std::sync::Arc;

use effnet_architecture::Task;
use effnet_image::{Image, Needed, PartialImage};

use crate::BoxError;

/// A labelled image data set, indexed from 0. Several threads may read images at the same time.
pub trait Dataset: Send + Sync {
    /// The number of images.
    fn len(&self) -> usize;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the classes; a label is an index into this list.
    fn classes(&self) -> &[String];

    /// The label of an image.
    ///
    /// # Panics
    /// Panics if `index` is not below [`Dataset::len`]; this applies to the other methods too.
    fn label(&self, index: usize) -> usize;

    /// The name of an image in messages: a path, or an archive and a path in it.
    fn name(&self, index: usize) -> String;

    /// Reads and decodes an image.
    ///
    /// # Errors
    /// The image cannot be read or decoded. The message names it.
    fn image(&self, index: usize) -> Result<Image, BoxError>;

    /// Reads an image and decodes it as far as `needed` says, which gets its width and height: by default, all of it.
    ///
    /// # Errors
    /// Same as [`Dataset::image`].
    fn part(
        &self,
        index: usize,
        needed: &dyn Fn(usize, usize) -> Option<Needed>,
    ) -> Result<PartialImage, BoxError> {
        let _ = needed;
        self.image(index).map(PartialImage::from)
    }

    /// What the images are labelled for: by default, one class each.
    fn task(&self) -> Task {
        Task::Classify
    }

    /// Writes the targets of an image to `row`, one number per class: 1 for the classes that apply and 0 for the others
    /// or, for [`Task::Regression`], the values, which `classes` names.
    fn values(&self, index: usize, row: &mut [f32]) {
        row.fill(0.0);
        row[self.label(index)] = 1.0;
    }

    /// The number of the group of an image, such as a patient, if images are grouped: a split keeps the images of a
    /// group together. By default, none.
    fn group(&self, index: usize) -> Option<usize> {
        let _ = index;
        None
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn classes(&self) -> &[String] {
        (**self).classes()
    }

    fn label(&self, index: usize) -> usize {
        (**self).label(index)
    }

    fn name(&self, index: usize) -> String {
        (**self).name(index)
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        (**self).image(index)
    }

    fn part(
        &self,
        index: usize,
        needed: &dyn Fn(usize, usize) -> Option<Needed>,
    ) -> Result<PartialImage, BoxError> {
        (**self).part(index, needed)
    }

    fn task(&self) -> Task {
        (**self).task()
    }

    fn values(&self, index: usize, row: &mut [f32]) {
        (**self).values(index, row);
    }

    fn group(&self, index: usize) -> Option<usize> {
        (**self).group(index)
    }
}

/// A subset of the images of a data set, with all of its classes.
#[derive(Debug, Clone)]
pub struct Subset<D> {
    dataset: D,
    indices: Vec<usize>,
}

impl<D: Dataset> Subset<D> {
    /// Selects the images `indices` of `dataset`, in this order.
    ///
    /// # Panics
    /// Panics if an index is not below [`Dataset::len`].
    pub fn new(dataset: D, indices: Vec<usize>) -> Self {
        let length = dataset.len();
        assert!(
            indices.iter().all(|index| *index < length),
            "a subset index is out of range, expected it to be below {length}"
        );
        Self { dataset, indices }
    }

    /// Selects all images except those in `excluded`.
    pub fn without(dataset: D, excluded: impl IntoIterator<Item = usize>) -> Self {
        let mut kept = vec![true; dataset.len()];
        for index in excluded {
            if let Some(kept) = kept.get_mut(index) {
                *kept = false;
            }
        }
        let indices = (0..kept.len()).filter(|index| kept[*index]).collect();
        Self { dataset, indices }
    }

    /// Returns the indices of the images in the whole data set.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.dataset.label(self.indices[index])
    }

    fn name(&self, index: usize) -> String {
        self.dataset.name(self.indices[index])
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        self.dataset.image(self.indices[index])
    }

    fn part(
        &self,
        index: usize,
        needed: &dyn Fn(usize, usize) -> Option<Needed>,
    ) -> Result<PartialImage, BoxError> {
        self.dataset.part(self.indices[index], needed)
    }

    fn task(&self) -> Task {
        self.dataset.task()
    }

    fn values(&self, index: usize, row: &mut [f32]) {
        self.dataset.values(self.indices[index], row);
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.dataset.group(self.indices[index])
    }
}
