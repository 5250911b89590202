//! A data set that counts the images that decode with a warning.
//!
//! Training surveys its images once. Damaged images that can be decoded are used for training, as in Python,
//! but a user whose training images are half grey should be told. A single line with the number of such
//! images is enough.

use std::sync::atomic::{AtomicUsize, Ordering};

use effnet_data::{BoxError, Dataset};
use effnet_image::Image;

pub(super) struct Watched<D> {
    dataset: D,
    warned: AtomicUsize,
}

impl<D: Dataset> Watched<D> {
    pub(super) fn new(dataset: D) -> Self {
        Self {
            dataset,
            warned: AtomicUsize::new(0),
        }
    }

    /// The number of images read so far that decoded with a warning.
    pub(super) fn warned(&self) -> usize {
        self.warned.load(Ordering::Relaxed)
    }
}

impl<D: Dataset> Dataset for Watched<D> {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.dataset.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.dataset.name(index)
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        let image = self.dataset.image(index)?;
        if !image.warnings().is_empty() {
            self.warned.fetch_add(1, Ordering::Relaxed);
        }
        Ok(image)
    }
}
