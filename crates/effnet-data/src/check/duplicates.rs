//! Groups of images that show the same.

use std::collections::{BTreeMap, HashMap};

use effnet_search::Neighbor;

use super::Entry;

/// The least similarity of the thumbnails of near duplicates.
const LEAST_SIMILARITY: f64 = 0.95;
/// The least cosine between the features of near duplicates. Thumbnails alone would confuse images with the same
/// sky.
const LEAST_COSINE: f32 = 0.8;

/// Images that show the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DuplicateGroup {
    /// The indices of the images, in order.
    pub images: Vec<usize>,
    /// Whether all images have the same pixels; otherwise some were saved again, resized or mirrored.
    pub exact: bool,
    /// Whether they are in several parts, so that a network is evaluated on images that it was trained on, or chosen by
    /// the images on which it is evaluated in the end.
    pub crosses_parts: bool,
    /// Whether the images have different labels.
    pub labels_differ: bool,
}

/// Finds groups of duplicates: images with the same pixels, and images among the `nearest` neighbours of each other
/// with similar thumbnails.
pub(super) fn find(entries: &[Entry], nearest: &[Vec<Neighbor>]) -> Vec<DuplicateGroup> {
    let mut sets = Sets((0..entries.len()).collect());
    let mut first = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let same = *first.entry(entry.fingerprint.digest).or_insert(index);
        sets.join(index, same);
    }
    for (index, neighbors) in nearest.iter().enumerate() {
        for neighbor in neighbors {
            let similarity = || {
                let other = &entries[neighbor.row].fingerprint;
                entries[index].fingerprint.similarity(other)
            };
            if neighbor.similarity >= LEAST_COSINE && similarity() >= LEAST_SIMILARITY {
                sets.join(index, neighbor.row);
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..entries.len() {
        groups.entry(sets.first(index)).or_default().push(index);
    }
    let groups = groups.into_values().filter(|images| images.len() > 1);
    groups.map(|images| describe(entries, images)).collect()
}

fn describe(entries: &[Entry], images: Vec<usize>) -> DuplicateGroup {
    let first = &entries[images[0]];
    let any = |differs: &dyn Fn(&Entry) -> bool| images.iter().any(|index| differs(&entries[*index]));
    DuplicateGroup {
        exact: !any(&|entry| entry.fingerprint.digest != first.fingerprint.digest),
        crosses_parts: any(&|entry| entry.part != first.part),
        labels_differ: any(&|entry| entry.label != first.label),
        images,
    }
}

/// Disjoint sets of images: for each image another image of its set, or itself if it is the first.
struct Sets(Vec<usize>);

impl Sets {
    fn first(&mut self, mut index: usize) -> usize {
        while self.0[index] != index {
            self.0[index] = self.0[self.0[index]];
            index = self.0[index];
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}
