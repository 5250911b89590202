//! What a loader reads from.

use std::sync::Arc;

use effnet_image::Image;

use crate::BoxError;

/// Labelled images, numbered from 0. Images are read on several threads at a time.
pub trait Dataset: Send + Sync {
    /// The number of images.
    fn len(&self) -> usize;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the classes; a label is a position in this list.
    fn classes(&self) -> &[String];

    /// The class of a picture.
    ///
    /// # Panics
    /// When `index` is not below [`Dataset::len`]; so may the other methods.
    fn label(&self, index: usize) -> usize;

    /// What the picture is called in messages: a path, or an archive and a path.
    fn name(&self, index: usize) -> String;

    /// Reads and decodes a picture.
    ///
    /// # Errors
    /// Whatever is wrong with it. The message names it.
    fn image(&self, index: usize) -> Result<Image, BoxError>;
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
}

/// Some of the images of a data set, with all of its classes.
#[derive(Debug, Clone)]
pub struct Subset<D> {
    dataset: D,
    indices: Vec<usize>,
}

impl<D: Dataset> Subset<D> {
    /// The images `indices` of `dataset`, in this order.
    ///
    /// # Panics
    /// When an index is not below [`Dataset::len`].
    pub fn new(dataset: D, indices: Vec<usize>) -> Self {
        let length = dataset.len();
        assert!(
            indices.iter().all(|index| *index < length),
            "an index of a subset is not below {length}"
        );
        Self { dataset, indices }
    }

    /// All images but those in `left_out`.
    pub fn without(dataset: D, left_out: impl IntoIterator<Item = usize>) -> Self {
        let mut kept = vec![true; dataset.len()];
        for index in left_out {
            if let Some(kept) = kept.get_mut(index) {
                *kept = false;
            }
        }
        let indices = (0..kept.len()).filter(|index| kept[*index]).collect();
        Self { dataset, indices }
    }

    /// The images' numbers in the whole data set.
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
}
