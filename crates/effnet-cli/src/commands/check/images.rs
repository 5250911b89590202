//! The images of all parts of a data set, which are fingerprinted while they are decoded for the network.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use effnet::{BoxError, Source};
use effnet_data::check::{Fingerprint, Part};
use effnet_data::{Dataset, Splits};
use effnet_image::{Image, ImageWarning};

/// An image of a data set.
pub(super) struct CheckedImage {
    dataset: Arc<dyn Dataset>,
    index: usize,
    pub(super) part: Part,
    /// Set once the image has been decoded.
    fingerprint: OnceLock<Fingerprint>,
    pub(super) warnings: Vec<ImageWarning>,
}

impl CheckedImage {
    /// Returns the images of all parts: first those for training, then those for validation, then those for tests.
    pub(super) fn all(splits: &Splits) -> Vec<Self> {
        let parts = Part::ALL.map(|part| {
            let dataset = match part {
                Part::Train => Some(&splits.train),
                Part::Val => splits.val.as_ref(),
                Part::Test => splits.test.as_ref(),
            };
            (dataset, part)
        });
        let of_part = |(dataset, part): (Option<&Arc<dyn Dataset>>, Part)| {
            let dataset = dataset.cloned();
            let count = dataset.as_ref().map_or(0, Dataset::len);
            let images = (0..count).zip(std::iter::repeat_n(dataset, count));
            images.filter_map(move |(index, dataset)| {
                Some(Self {
                    dataset: dataset?,
                    index,
                    part,
                    fingerprint: OnceLock::new(),
                    warnings: Vec::new(),
                })
            })
        };
        parts.into_iter().flat_map(of_part).collect()
    }

    pub(super) fn name(&self) -> String {
        self.dataset.name(self.index)
    }

    pub(super) fn label(&self) -> usize {
        self.dataset.label(self.index)
    }

    pub(super) fn fingerprint(&self) -> Option<&Fingerprint> {
        self.fingerprint.get()
    }

    /// Decodes the image once more, for a thumbnail.
    pub(super) fn decode(&self) -> Result<Image, BoxError> {
        self.dataset.image(self.index)
    }
}

impl Source for CheckedImage {
    fn image(&self) -> Result<Cow<'_, Image>, BoxError> {
        let image = self.decode()?;
        let fingerprint = Fingerprint::of(&image)?;
        // Set only once: the pipeline decodes each image once.
        self.fingerprint.get_or_init(|| fingerprint);
        Ok(Cow::Owned(image))
    }

    fn set_warnings(&mut self, warnings: Vec<ImageWarning>) {
        self.warnings = warnings;
    }
}
