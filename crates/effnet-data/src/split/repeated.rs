//! Images that a table lists more than once, with different classes.
//!
//! If one of the rows were trained on and another validated, the network would be measured on an image that it knows.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use effnet_architecture::Task;

use crate::Dataset;

/// Returns a number for each image, the same for those of one name; `None` if all names differ. Only images with one class
/// each can be listed more than once.
pub(super) fn repeated(dataset: &impl Dataset) -> Option<Vec<usize>> {
    if dataset.task() != Task::Classify || !may_repeat(dataset) {
        return None;
    }
    let mut numbers = HashMap::new();
    let number = |index| {
        let next = numbers.len();
        *numbers.entry(dataset.name(index)).or_insert(next)
    };
    let images: Vec<usize> = (0..dataset.len()).map(number).collect();
    (numbers.len() < images.len()).then_some(images)
}

/// Returns whether two names may be equal. Nearly all data sets have none, and may have millions of names.
fn may_repeat(dataset: &impl Dataset) -> bool {
    let hasher = RandomState::new();
    let mut hashes = HashSet::with_capacity(dataset.len());
    (0..dataset.len()).any(|index| !hashes.insert(hasher.hash_one(dataset.name(index))))
}
