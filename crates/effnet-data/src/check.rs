//! Finds what is wrong with a data set before a network is trained on it.
//!
//! A wrong label, a copy of a training image among the validation images or a file of another kind is not noticed
//! during training: the accuracy is only a little lower, or higher than it should be. Here are the comparisons; the
//! caller reads the images and computes their features.

mod cholesky;
mod duplicates;
mod features;
mod fingerprint;
mod labels;
mod noise;
mod outliers;
mod probe;
mod product;
mod sizes;
mod thumbnail;

pub use duplicates::DuplicateGroup;
pub use effnet_search::Neighbor;
pub use features::Features;
pub use fingerprint::Fingerprint;
pub use labels::DoubtfulLabel;
pub use outliers::Outlier;
pub use sizes::{OddSize, SizeOddity};
pub use thumbnail::thumbnail_png;

/// Number of neighbours of each image that are compared with it.
const NEIGHBORS: usize = 10;

/// The part of a data set to which an image belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The training images.
    Train,
    /// The validation images.
    Val,
    /// The test images.
    Test,
}

impl Part {
    /// All parts, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];
}

/// An image that could be read.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its part.
    pub part: Part,
    /// Its label.
    pub label: usize,
    /// What is known about its pixels.
    pub fingerprint: Fingerprint,
}

/// What looks wrong. Images are named by their index among the entries.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Findings {
    /// Images that show the same.
    pub duplicates: Vec<DuplicateGroup>,
    /// Images whose label is probably wrong, the most doubtful first; `None` if there are too few images or classes
    /// to tell.
    pub labels: Option<Vec<DoubtfulLabel>>,
    /// Images unlike all others, the most unusual first.
    pub outliers: Vec<Outlier>,
    /// Images of unusual sizes.
    pub sizes: Vec<OddSize>,
}

/// Compares the images of a data set with each other. `features` has a row per entry.
///
/// # Panics
/// Panics if the numbers of entries and features differ, or a label is not below `classes`.
pub fn find(entries: &[Entry], features: &Features, classes: usize, threads: usize) -> Findings {
    assert_eq!(
        entries.len(),
        features.len(),
        "the numbers of images and features differ"
    );
    let labels: Vec<usize> = entries.iter().map(|entry| entry.label).collect();
    assert!(
        labels.iter().all(|label| *label < classes),
        "a label is out of range"
    );
    let nearest = features.nearest(NEIGHBORS, threads);
    let duplicates = duplicates::find(entries, &nearest);
    let mut groups: Vec<usize> = (0..entries.len()).collect();
    for group in &duplicates {
        for image in &group.images {
            groups[*image] = group.images[0];
        }
    }
    let predictions = probe::predict(features, &labels, &groups, classes, threads);
    Findings {
        labels: predictions.map(|(predictions, noise)| labels::find(&predictions, &noise)),
        outliers: outliers::find(&nearest, &groups),
        sizes: sizes::find(entries),
        duplicates,
    }
}

#[cfg(test)]
mod tests;
