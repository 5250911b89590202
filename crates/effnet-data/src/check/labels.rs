//! Finds labels that are probably wrong, by confident learning (Northcutt et al., 2021).
//!
//! A low probability of the label alone says little: some classes are harder than others. So an image counts for a class
//! if the probe is as sure of it as it is, on average, of the images with that label. The counts say how many images
//! with each label are of another class; that many are reported, those with the largest difference between the two
//! probabilities.

use super::probe::Prediction;

/// An image whose label is probably wrong.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DoubtfulLabel {
    /// The index of the image.
    pub image: usize,
    /// The probability of its label, judged from the other images.
    pub probability: f64,
    /// The more likely class.
    pub suggested: usize,
    /// The probability of the more likely class.
    pub suggested_probability: f64,
}

/// Returns the doubtful labels, the most doubtful first.
pub(super) fn find(predictions: &[Prediction], labels: &[usize], classes: usize) -> Vec<DoubtfulLabel> {
    let mut candidates: Vec<Vec<DoubtfulLabel>> = vec![Vec::new(); classes];
    for (image, (prediction, label)) in predictions.iter().zip(labels).enumerate() {
        if let Some(&(suggested, suggested_probability)) = prediction.best.first()
            && suggested_probability > prediction.given
        {
            candidates[*label].push(DoubtfulLabel {
                image,
                probability: prediction.given,
                suggested,
                suggested_probability,
            });
        }
    }
    let counts = wrong_counts(predictions, labels, classes);
    let mut found = Vec::new();
    for (mut candidates, count) in candidates.into_iter().zip(counts) {
        let margin = |label: &DoubtfulLabel| label.suggested_probability - label.probability;
        candidates.sort_by(|a, b| margin(b).total_cmp(&margin(a)));
        found.extend(candidates.into_iter().take(count));
    }
    found.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    found
}

/// Estimates for each label how many images with this label are of another class.
fn wrong_counts(predictions: &[Prediction], labels: &[usize], classes: usize) -> Vec<usize> {
    let mut given = vec![(0.0, 0_usize); classes];
    for (prediction, label) in predictions.iter().zip(labels) {
        given[*label].0 += prediction.given;
        given[*label].1 += 1;
    }
    let threshold = |class: usize| match given[class] {
        (_, 0) => f64::INFINITY,
        (sum, count) => sum / count as f64,
    };
    // For each label, the images that count for a class, and those that count for another one.
    let mut confident = vec![(0_usize, 0_usize); classes];
    for (prediction, label) in predictions.iter().zip(labels) {
        let sure = |(class, probability): &&(usize, f64)| *probability >= threshold(*class);
        if let Some((class, _)) = prediction.best.iter().find(sure) {
            confident[*label].0 += 1;
            confident[*label].1 += usize::from(class != label);
        }
    }
    let counts = confident.into_iter().zip(given);
    counts
        .map(|((all, wrong), (_, images))| {
            // The images that count for no class are assumed to be like the others with their label. Rounded up,
            // because looking at an image too many costs less than missing a wrong label.
            (wrong * images).div_ceil(all.max(1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_labels_are_doubtful_as_the_surest_images_make_likely() {
        let prediction = |given: usize, cat: f64| {
            let mut best = vec![(0, cat), (1, 1.0 - cat)];
            best.sort_by(|a, b| b.1.total_cmp(&a.1));
            Prediction {
                given: if given == 0 { cat } else { 1.0 - cat },
                best,
            }
        };
        // The mean probability of class 0 for its images is 0.65, that of class 1 is 0.55.
        let labels = [0, 0, 0, 1, 1, 1, 1, 1];
        let cats = [0.9, 0.8, 0.25, 0.1, 0.1, 0.6, 0.9, 0.55];
        let predictions: Vec<_> = labels
            .iter()
            .zip(cats)
            .map(|(label, cat)| prediction(*label, cat))
            .collect();
        let found = find(&predictions, &labels, 2);
        // Of the images of class 1, two count for class 1 and one for class 0: of five, that makes up to two. The last
        // image is the least doubtful of three.
        let images: Vec<usize> = found.iter().map(|label| label.image).collect();
        assert_eq!(images, [6, 2, 5]);
        assert_eq!(found[0].suggested, 0);
        assert!((found[0].probability - 0.1).abs() < 1e-12);
    }
}
