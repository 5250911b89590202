//! The images that the network gets most wrong.

/// The largest number of mistakes that are kept, which bounds the size of `mistakes.html` to about 10 MB.
pub(super) const MOST: usize = 200;

/// An image that is taken for something else, or whose value is missed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mistake {
    /// The index of the image in the data set.
    pub(super) index: usize,
    /// How wrong the network is; the most wrong come first.
    pub(super) severity: f64,
    /// The label or value of the image.
    pub(super) truth: String,
    /// What the network says.
    pub(super) guess: String,
    /// Probabilities or the error, in HTML.
    pub(super) detail: String,
}

/// The worst mistakes, and the number of all.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    worst: Vec<Mistake>,
    pub(super) count: usize,
}

impl Mistakes {
    pub(super) fn add(&mut self, mistake: Mistake) {
        self.count += 1;
        self.worst.push(mistake);
        if self.worst.len() >= 2 * MOST {
            self.sort();
        }
    }

    fn sort(&mut self) {
        self.worst
            .sort_by(|a, b| b.severity.total_cmp(&a.severity).then(a.index.cmp(&b.index)));
        self.worst.truncate(MOST);
    }

    /// Returns the worst mistakes, the worst first.
    pub(super) fn into_sorted(mut self) -> Self {
        self.sort();
        self
    }

    pub(super) fn worst(&self) -> &[Mistake] {
        &self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_are_kept_in_order_whenever_they_come() {
        let mut mistakes = Mistakes::default();
        for index in 0..1000 {
            mistakes.add(Mistake {
                index,
                severity: f64::from((index * 7919 % 1000) as u32),
                truth: String::new(),
                guess: String::new(),
                detail: String::new(),
            });
        }
        let mistakes = mistakes.into_sorted();
        let found: Vec<f64> = mistakes.worst().iter().map(|mistake| mistake.severity).collect();
        let expected: Vec<f64> = (0..MOST).map(|place| 999.0 - place as f64).collect();
        assert_eq!((mistakes.count, found), (1000, expected));
    }
}
