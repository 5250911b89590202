//! [`Score`]: what epochs are compared by.

/// How good a network is on the validation images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The metric that counts, such as the accuracy: higher is better.
    pub value: f64,
    /// The loss, which decides between equal values.
    pub loss: f64,
}

impl Score {
    /// Returns whether this score is better than `other`: a higher value or, with equal values, a lower loss.
    pub fn is_better_than(self, other: Self) -> bool {
        self.value > other.value || (self.value == other.value && self.loss < other.loss)
    }
}
