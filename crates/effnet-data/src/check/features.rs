//! The features of a data set, and each image's nearest neighbours among them.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::product::{View, add_product};

/// Number of images whose similarities are computed at a time, and number that they are compared with.
const BLOCK: [usize; 2] = [128, 1024];

/// Feature vectors of length 1, one per image.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    width: usize,
    values: Vec<f32>,
}

/// An image that is similar to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// The index of the image.
    pub index: usize,
    /// The cosine of the angle between the feature vectors.
    pub cosine: f32,
}

impl Features {
    /// Creates an empty list of vectors with `width` values.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            values: Vec::new(),
        }
    }

    /// Adds an image, scaled to length 1. A vector of zeros stays as it is.
    ///
    /// # Panics
    /// Panics if the vector does not have as many values as the others.
    pub fn push(&mut self, features: &[f32]) {
        assert_eq!(features.len(), self.width, "the widths of feature vectors differ");
        let square: f64 = features.iter().map(|value| f64::from(*value).powi(2)).sum();
        let factor = if square > 0.0 { square.sqrt().recip() } else { 0.0 };
        let scaled = features.iter().map(|value| (f64::from(*value) * factor) as f32);
        self.values.extend(scaled);
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of values per vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The vector of an image.
    ///
    /// # Panics
    /// Panics if `index` is not below [`Features::len`].
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    /// The vectors of consecutive images.
    fn rows(&self, first: usize, count: usize) -> &[f32] {
        let last = (first + count).min(self.len());
        &self.values[first * self.width..last * self.width]
    }

    /// Finds the `count` most similar other images of each image, most similar first. The search is exact.
    pub fn nearest(&self, count: usize, threads: usize) -> Vec<Vec<Neighbor>> {
        let blocks = self.len().div_ceil(BLOCK[0]);
        let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let search = || loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks {
                return;
            }
            let nearest = self.nearest_of_block(block * BLOCK[0], count);
            found
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((block, nearest));
        };
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, blocks.max(1)) {
                scope.spawn(search);
            }
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(block, _)| *block);
        found.into_iter().flat_map(|(_, nearest)| nearest).collect()
    }

    fn nearest_of_block(&self, first: usize, count: usize) -> Vec<Vec<Neighbor>> {
        let queries = View::of_rows(self.rows(first, BLOCK[0]), self.width);
        let rows = BLOCK[0].min(self.len() - first);
        let mut nearest = vec![Vec::with_capacity(count + 1); rows];
        let mut cosines = Vec::new();
        for start in (0..self.len()).step_by(BLOCK[1]) {
            let others = self.rows(start, BLOCK[1]);
            let columns = others.len() / self.width;
            cosines.clear();
            cosines.resize(rows * columns, 0.0);
            let others = View::of_rows(others, self.width).transposed();
            add_product(1.0, queries, others, &mut cosines, columns);
            for (row, (nearest, cosines)) in nearest.iter_mut().zip(cosines.chunks_exact(columns)).enumerate()
            {
                for (column, &cosine) in cosines.iter().enumerate() {
                    if start + column != first + row {
                        insert(nearest, count, start + column, cosine);
                    }
                }
            }
        }
        nearest
    }
}

/// Keeps the `count` most similar images in order. Of equally similar images, the first ones are kept.
fn insert(nearest: &mut Vec<Neighbor>, count: usize, index: usize, cosine: f32) {
    if nearest.len() == count && nearest.last().is_none_or(|last| cosine <= last.cosine) {
        return;
    }
    let place = nearest.partition_point(|other| other.cosine >= cosine);
    nearest.insert(place, Neighbor { index, cosine });
    nearest.truncate(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_equal_those_of_a_search_in_double_precision() {
        let mut random = crate::stream(crate::Purpose::Split, 1, 0, 0);
        let mut features = Features::new(37);
        for _ in 0..1500 {
            let vector: Vec<f32> = (0..37)
                .map(|_| rand::RngExt::random_range(&mut random, -1.0..1.0))
                .collect();
            features.push(&vector);
        }
        let found = features.nearest(5, 3);
        for index in (0..features.len()).step_by(71) {
            let dot = |other: usize| -> f64 {
                let pairs = features.row(index).iter().zip(features.row(other));
                pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let mut others: Vec<usize> = (0..features.len()).filter(|other| *other != index).collect();
            others.sort_by(|a, b| dot(*b).total_cmp(&dot(*a)));
            let expected: Vec<usize> = others[..5].to_vec();
            let indices: Vec<usize> = found[index].iter().map(|neighbor| neighbor.index).collect();
            assert_eq!(indices, expected, "image {index}");
            assert!((f64::from(found[index][0].cosine) - dot(expected[0])).abs() < 1e-5);
        }
    }

    #[test]
    fn few_images_have_few_neighbors() {
        let mut features = Features::new(2);
        assert!(features.nearest(3, 2).is_empty());
        features.push(&[0.0, 0.0]);
        features.push(&[3.0, 4.0]);
        assert_eq!(features.row(1), [0.6, 0.8]);
        let found = features.nearest(3, 2);
        assert_eq!(
            found[0],
            [Neighbor {
                index: 1,
                cosine: 0.0
            }]
        );
    }
}
