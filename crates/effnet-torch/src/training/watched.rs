//! A data set that counts the images which decode with a warning.
//!
//! Training surveys its images once. Damaged ones that decode are trained on, as in Python, but a user who trains on
//! half-grey photographs should hear of it; one line with their number is enough for that.

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
