//! The features of a data set.

use effnet_search::{Neighbor, nearest_rows, normalize};

/// Feature vectors of length 1, one per image.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    width: usize,
    values: Vec<f32>,
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
        let start = self.values.len();
        self.values.extend_from_slice(features);
        normalize(&mut self.values[start..]);
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

    /// Finds the `count` most similar other images of each image, most similar first. The search is exact.
    pub fn nearest(&self, count: usize, threads: usize) -> Vec<Vec<Neighbor>> {
        nearest_rows(&self.values, self.width, count, threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_length_1_unless_they_are_zero() {
        let mut features = Features::new(2);
        assert!(features.is_empty() && features.nearest(3, 2).is_empty());
        features.push(&[0.0, 0.0]);
        features.push(&[3.0, 4.0]);
        assert_eq!(
            (features.row(0), features.row(1)),
            ([0.0; 2].as_slice(), [0.6, 0.8].as_slice())
        );
        assert_eq!(features.nearest(3, 2)[0][0].row, 1);
    }
}
