//! The map of a class: its values, their scale, and how they are spread over the image.

/// How much each place of an image supports a class, row by row over the image as the network saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMap {
    values: Vec<f32>,
    height: usize,
    width: usize,
}

impl ClassMap {
    /// Wraps values `[height, width]`.
    pub(super) fn new(values: Vec<f32>, [height, width]: [usize; 2]) -> Self {
        debug_assert_eq!(values.len(), height * width);
        Self {
            values,
            height,
            width,
        }
    }

    /// Adds up activations `[C, height, width]` times one weight per channel, in 64 bits.
    pub(super) fn combined(activations: &[f32], weights: &[f32], size: [usize; 2]) -> Self {
        let pixels = size[0] * size[1];
        let mut sums = vec![0.0_f64; pixels];
        for (plane, &weight) in activations.chunks_exact(pixels.max(1)).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(plane) {
                *sum += f64::from(weight) * f64::from(value);
            }
        }
        Self::new(sums.into_iter().map(|sum| sum as f32).collect(), size)
    }

    /// The values as they were computed: below 0 where the image contradicts the class. Those of
    /// [`ExplainMethod::Cam`](crate::ExplainMethod::Cam) have the logit of the class, without its bias, as their mean.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The largest value, or 0 if nothing supports the class.
    pub fn peak(&self) -> f32 {
        self.values.iter().copied().fold(0.0, f32::max)
    }

    /// The values from 0 to 1: those below 0 become 0, and the largest becomes 1. Each map is scaled by itself, so
    /// that maps of different images or classes cannot be compared. All values are 0 if nothing supports the class.
    #[must_use]
    pub fn scaled(&self) -> Vec<f32> {
        let peak = self.peak();
        let scale = if peak > 0.0 { 1.0 / f64::from(peak) } else { 0.0 };
        let scaled = |&value: &f32| (f64::from(value.max(0.0)) * scale) as f32;
        self.values.iter().map(scaled).collect()
    }
}

/// Returns the value of a plane `[height, width]` at a point, where 0 is the upper left border and 1 the lower right
/// one: bilinear between the centres of its cells, constant beyond the outer ones.
pub(super) fn bilinear(plane: &[f32], [height, width]: [usize; 2], down: f64, across: f64) -> f32 {
    let place = |at: f64, cells: usize| {
        let last = cells - 1;
        let at = (at * cells as f64 - 0.5).clamp(0.0, last as f64);
        let low = (at.floor() as usize).min(last);
        (low, (low + 1).min(last), (at - low as f64) as f32)
    };
    let (top, bottom, below) = place(down, height);
    let (left, right, beside) = place(across, width);
    let row = |row: usize| {
        let (a, b) = (plane[row * width + left], plane[row * width + right]);
        a + (b - a) * beside
    };
    let (above, under) = (row(top), row(bottom));
    above + (under - above) * below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_one_and_starts_at_zero() {
        let map = ClassMap::new(vec![-2.0, 0.0, 1.0, 4.0], [2, 2]);
        assert_eq!(map.scaled(), [0.0, 0.0, 0.25, 1.0]);
        let against = ClassMap::new(vec![-2.0, -1.0], [1, 2]);
        assert_eq!((against.scaled(), against.peak()), (vec![0.0, 0.0], 0.0));
        let tiny = ClassMap::new(vec![f32::MIN_POSITIVE / 8.0], [1, 1]);
        assert_eq!(tiny.scaled(), [1.0]);
    }

    #[test]
    fn points_between_the_centres_are_mixed_and_the_border_is_constant() {
        let plane = [0.0, 1.0, 2.0, 3.0];
        let at = |down, across| bilinear(&plane, [2, 2], down, across);
        assert_eq!([at(0.0, 0.0), at(0.25, 0.25), at(1.0, 1.0)], [0.0, 0.0, 3.0]);
        assert_eq!([at(0.5, 0.5), at(0.5, 0.0), at(0.0, 0.5)], [1.5, 1.0, 0.5]);
        assert_eq!(bilinear(&[7.0], [1, 1], 0.3, 0.9), 7.0);
    }
}
