//! Turns logits into ranked predictions.

use effnet_architecture::Task;
use serde::Serialize;

use crate::Labels;

/// A value in a network's output that is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "the network returned {number} for {what} {place}, expected a finite number; check the weights, or use a \
     higher precision"
)]
#[non_exhaustive]
pub struct NotFinite {
    /// Kind of output: `class` or `feature`.
    pub what: &'static str,
    /// Index of the class or feature.
    pub place: usize,
    /// The value.
    pub number: f32,
}

/// Checks that all values of an output are finite; `what` is `class` or `feature`.
///
/// # Errors
/// [`NotFinite`] for the first value that is not finite.
pub fn check_finite(numbers: &[f32], what: &'static str) -> Result<(), NotFinite> {
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(()),
        Some(place) => Err(NotFinite {
            what,
            place,
            number: numbers[place],
        }),
    }
}

/// A class with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Prediction {
    /// Index of the class, from 0.
    pub class: usize,
    /// Name of the class.
    pub label: String,
    /// Logit of the class.
    pub logit: f32,
    /// Probability, in `[0, 1]`: the softmax over all classes or, with several labels per image, the sigmoid of the
    /// logit.
    pub probability: f64,
}

/// A number that a network predicts, for [`Task::Regression`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// Index of the output, from 0.
    pub output: usize,
    /// Name of the output.
    pub label: String,
    /// The number.
    pub value: f32,
}

/// Returns the numbers that a network predicts.
///
/// # Errors
/// [`NotFinite`] when a number is not finite.
pub fn estimate(outputs: &[f32], labels: &Labels) -> Result<Vec<Estimate>, NotFinite> {
    check_finite(outputs, "class")?;
    let estimate = |(output, &value): (usize, &f32)| Estimate {
        output,
        label: labels.get(output).to_owned(),
        value,
    };
    Ok(outputs.iter().enumerate().map(estimate).collect())
}

/// Returns the classes whose probability is at least their threshold, most likely first, for [`Task::MultiLabel`]. `threshold`
/// replaces the thresholds.
///
/// # Errors
/// [`NotFinite`] when a logit is not finite.
pub fn above_threshold(
    logits: &[f32],
    labels: &Labels,
    threshold: Option<f64>,
) -> Result<Vec<Prediction>, NotFinite> {
    let mut ranked = rank(logits, labels, 0)?;
    ranked.retain(|class| class.probability >= threshold.unwrap_or_else(|| labels.threshold(class.class)));
    Ok(ranked)
}

/// Returns the `top_k` most likely classes, or all if `top_k` is 0, most likely first; ties are ordered by
/// class.
///
/// Probabilities are the softmax over all classes or, for [`Task::MultiLabel`], the sigmoid of each logit.
///
/// # Errors
/// [`NotFinite`] when a logit is not finite.
pub fn rank(logits: &[f32], labels: &Labels, top_k: usize) -> Result<Vec<Prediction>, NotFinite> {
    check_finite(logits, "class")?;
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |logit: f32| f64::from(logit - highest).exp();
    let total: f64 = logits.iter().map(|&logit| exponential(logit)).sum();
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    if top_k > 0 {
        classes.truncate(top_k);
    }
    let prediction = |class: usize| Prediction {
        class,
        label: labels.get(class).to_owned(),
        logit: logits[class],
        probability: match labels.task() {
            Task::MultiLabel => 1.0 / (1.0 + (-f64::from(logits[class])).exp()),
            Task::Classify | Task::Regression => exponential(logits[class]) / total,
        },
    };
    Ok(classes.into_iter().map(prediction).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels::from_json(r#"["a", "b", "c"]"#).unwrap()
    }

    #[test]
    fn probabilities_are_the_softmax_over_all_classes() {
        let ranked = rank(&[1.0, 3.0, 2.0], &labels(), 2).unwrap();
        let classes: Vec<_> = ranked.iter().map(|p| (p.class, p.label.as_str())).collect();
        assert_eq!(classes, [(1, "b"), (2, "c")]);
        let total = 1f64.exp() + 2f64.exp() + 3f64.exp();
        assert!((ranked[0].probability - 3f64.exp() / total).abs() < 1e-12);
    }

    #[test]
    fn several_labels_have_probabilities_and_thresholds_of_their_own() {
        let labels = labels().with_task(Task::MultiLabel);
        let classes = |labels: &Labels, least| {
            let present = above_threshold(&[0.0, 3.0, -2.0], labels, least).unwrap();
            present.iter().map(|class| class.class).collect::<Vec<_>>()
        };
        let ranked = rank(&[0.0, 3.0, -2.0], &labels, 0).unwrap();
        assert_eq!(ranked[1].probability, 0.5);
        assert!((ranked[2].probability - 1.0 / (1.0 + 2f64.exp())).abs() < 1e-15);
        assert_eq!(classes(&labels, None), [1, 0]);
        assert_eq!(classes(&labels, Some(0.6)), [1]);
        let labels = labels.with_thresholds(Some(vec![0.7, 0.5, 0.1]));
        assert_eq!(classes(&labels, None), [1, 2]);
    }

    #[test]
    fn zero_means_all_classes_and_large_logits_do_not_overflow() {
        let ranked = rank(&[1e30, -1e30, 0.0], &labels(), 0).unwrap();
        assert_eq!(ranked.len(), 3);
        assert_eq!(ranked[0].probability, 1.0);
    }

    #[test]
    fn a_logit_that_is_no_number_is_an_error() {
        assert!(
            rank(&[0.0, f32::NAN, 0.0], &labels(), 1)
                .unwrap_err()
                .to_string()
                .contains("class 1")
        );
    }
}
