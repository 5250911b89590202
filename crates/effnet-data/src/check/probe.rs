//! Predicts each image's class from the other images' features.
//!
//! A network that was trained on a wrong label may have learnt it, and then agrees with it. The probe is a linear
//! classifier that never sees the image it judges: the images are divided into folds, and each fold is predicted by a
//! probe fitted to the others. Duplicates are in the same fold, because a copy would tell the probe the label.
//!
//! The classifier is linear discriminant analysis. It has a closed form, so the result neither depends on a learning
//! rate nor on the number of threads, and it fits a thousand classes as fast as ten. Its only setting is how far the
//! covariance is shrunk, on which everything depends if there are fewer images than features: the value is kept under
//! which the labels of the left-out images are most likely, some of them wrong (see [`noise`](super::noise)).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rand::seq::SliceRandom as _;

use super::Features;
use super::cholesky::Cholesky;
use super::noise::Noise;
use super::product::{View, add_product};
use crate::random::{Purpose, stream};

/// Number of folds.
const FOLDS: usize = 5;
/// Number of images that are predicted at a time.
const BLOCK: usize = 256;
/// How far the covariance may be shrunk towards a multiple of the identity, 1 being all the way.
const SHRINKAGES: [f64; 9] = [0.01, 0.03, 0.08, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9];
/// The shrinkage that is tried first: the best one for about a thousand images.
const START: usize = 6;
/// Factors of the logits among which the best calibrated one is chosen.
const SCALES: [f64; 14] = [
    0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.45, 0.65, 1.0, 1.5, 2.2, 3.3,
];

/// The probabilities that a probe assigns to the classes of an image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prediction {
    /// The probability of the label.
    pub(super) probability: f64,
    /// The most likely other class, and its probability.
    pub(super) suggested: (usize, f64),
}

/// A linear classifier: a row of weights and a bias per class.
struct Probe {
    weights: Vec<f32>,
    biases: Vec<f32>,
}

/// Predicts each image from the images of the other folds, and estimates how many labels are wrong. `None` if there are
/// too few images or classes.
pub(super) fn predict(
    features: &Features,
    labels: &[usize],
    groups: &[usize],
    classes: usize,
    threads: usize,
) -> Option<(Vec<Prediction>, Noise)> {
    let mut present = labels.to_vec();
    present.sort_unstable();
    present.dedup();
    if present.len() < 2 || features.len() < 2 * FOLDS || features.width() == 0 {
        return None;
    }
    let folds = assign_folds(labels, groups, classes);
    let members: Vec<Vec<usize>> = (0..FOLDS)
        .map(|fold| (0..folds.len()).filter(|index| folds[*index] == fold).collect())
        .collect();
    let mean = mean(features);
    let sums = each(FOLDS, threads, |fold| {
        Sums::of(features, &mean, labels, &members[fold], classes)
    });
    let moments = each(FOLDS, threads, |fold| Sums::without(&sums, fold).moments());
    drop(sums);
    let blocks: Vec<(usize, &[usize])> = members
        .iter()
        .enumerate()
        .flat_map(|(fold, members)| members.chunks(BLOCK).map(move |block| (fold, block)))
        .collect();
    let evaluate = |shrinkage: f64| -> Option<Candidate> {
        let probes = each(FOLDS, threads, |fold| moments[fold].fit(shrinkage));
        let probes: Vec<Probe> = probes.into_iter().collect::<Option<_>>()?;
        let probabilities = each(blocks.len(), threads, |block| {
            let (fold, images) = blocks[block];
            let rows = probes[fold].logits(features, &mean, images);
            let rows = rows.chunks_exact(classes).zip(images);
            rows.map(|(row, image)| SCALES.map(|scale| probability(row, labels[*image], scale)))
                .collect::<Vec<_>>()
        });
        let noises = each(SCALES.len(), threads, |scale| {
            let probabilities = probabilities.iter().flatten().map(|scales| scales[scale]);
            Noise::estimate(&probabilities.collect::<Vec<_>>(), present.len())
        });
        let noises = noises.into_iter().zip(SCALES);
        let (noise, scale) = noises.min_by(|(a, _), (b, _)| a.loss.total_cmp(&b.loss))?;
        Some(Candidate { probes, scale, noise })
    };
    let Candidate { probes, scale, noise } = climb(evaluate)?;
    let predicted = each(blocks.len(), threads, |block| {
        let (fold, images) = blocks[block];
        let rows = probes[fold].logits(features, &mean, images);
        let rows = rows.chunks_exact(classes).zip(images);
        rows.map(|(row, image)| (*image, describe(row, labels[*image], scale)))
            .collect::<Vec<_>>()
    });
    let mut predicted: Vec<_> = predicted.into_iter().flatten().collect();
    predicted.sort_by_key(|(image, _)| *image);
    let predictions = predicted.into_iter().map(|(_, prediction)| prediction);
    Some((predictions.collect(), noise))
}

/// The probes of all folds with one shrinkage, and the scale of their logits that suits them best.
struct Candidate {
    probes: Vec<Probe>,
    scale: f64,
    noise: Noise,
}

/// Finds the best shrinkage, starting at [`START`] and continuing in the direction that improves it.
fn climb(evaluate: impl Fn(f64) -> Option<Candidate>) -> Option<Candidate> {
    let mut best = evaluate(SHRINKAGES[START])?;
    for step in [-1, 1] {
        let mut place = START;
        while let Some(next) = place.checked_add_signed(step)
            && let Some(shrinkage) = SHRINKAGES.get(next)
        {
            let candidate = evaluate(*shrinkage)?;
            if candidate.noise.loss >= best.noise.loss {
                break;
            }
            (best, place) = (candidate, next);
        }
        if place != START {
            break;
        }
    }
    Some(best)
}

/// Divides the images of each class evenly among the folds. A group of duplicates goes where its first image goes.
fn assign_folds(labels: &[usize], groups: &[usize], classes: usize) -> Vec<usize> {
    let mut folds = vec![0; labels.len()];
    let mut next = 0;
    for class in 0..classes {
        let mut firsts: Vec<usize> = (0..labels.len())
            .filter(|index| labels[*index] == class && groups[*index] == *index)
            .collect();
        firsts.shuffle(&mut stream(Purpose::Split, 0, 0, class as u64));
        for index in firsts {
            folds[index] = next % FOLDS;
            next += 1;
        }
    }
    for index in 0..labels.len() {
        folds[index] = folds[groups[index]];
    }
    folds
}

fn mean(features: &Features) -> Vec<f32> {
    let mut sums = vec![0.0; features.width()];
    for index in 0..features.len() {
        for (sum, value) in sums.iter_mut().zip(features.row(index)) {
            *sum += f64::from(*value);
        }
    }
    let count = features.len() as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// Copies the features of some images, relative to the mean.
fn centered(features: &Features, mean: &[f32], images: &[usize]) -> Vec<f32> {
    let rows = images.iter().map(|image| features.row(*image));
    rows.flat_map(|row| row.iter().zip(mean).map(|(value, mean)| value - mean))
        .collect()
}

/// What a probe needs to know about a set of images.
struct Sums {
    width: usize,
    /// The number of images of each class.
    counts: Vec<usize>,
    /// The sum of the features of each class.
    classes: Vec<f64>,
    /// The sum of the products of all pairs of features.
    products: Vec<f64>,
}

impl Sums {
    fn of(features: &Features, mean: &[f32], labels: &[usize], images: &[usize], classes: usize) -> Self {
        let width = features.width();
        let mut sums = Self {
            width,
            counts: vec![0; classes],
            classes: vec![0.0; classes * width],
            products: Vec::new(),
        };
        let mut products = vec![0.0; width * width];
        for block in images.chunks(BLOCK) {
            let rows = centered(features, mean, block);
            for (row, image) in rows.chunks_exact(width).zip(block) {
                let class = labels[*image];
                sums.counts[class] += 1;
                let sum = &mut sums.classes[class * width..(class + 1) * width];
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += f64::from(*value);
                }
            }
            let rows = View::of_rows(&rows, width);
            add_product(1.0, rows.transposed(), rows, &mut products, width);
        }
        sums.products = products.into_iter().map(f64::from).collect();
        sums
    }

    /// Adds all sums but one.
    fn without(sums: &[Self], left_out: usize) -> Self {
        let others = || {
            let all = sums.iter().enumerate();
            all.filter(|(fold, _)| *fold != left_out).map(|(_, sums)| sums)
        };
        let add = |field: fn(&Self) -> &[f64]| {
            let mut total = vec![0.0; field(&sums[left_out]).len()];
            for other in others() {
                for (total, value) in total.iter_mut().zip(field(other)) {
                    *total += value;
                }
            }
            total
        };
        let mut counts = vec![0; sums[left_out].counts.len()];
        for other in others() {
            for (total, count) in counts.iter_mut().zip(&other.counts) {
                *total += count;
            }
        }
        Self {
            width: sums[left_out].width,
            counts,
            classes: add(|sums| &sums.classes),
            products: add(|sums| &sums.products),
        }
    }

    /// Turns the sums into means and a covariance.
    fn moments(self) -> Moments {
        let Self {
            width,
            counts,
            mut classes,
            products: mut covariance,
        } = self;
        let images: usize = counts.iter().sum();
        for (class, count) in classes.chunks_exact_mut(width).zip(&counts) {
            for sum in class {
                *sum /= (*count).max(1) as f64;
            }
        }
        // Each class's share of the products is subtracted, weighted by its images.
        let weighted: Vec<f64> = classes
            .chunks_exact(width)
            .zip(&counts)
            .flat_map(|(class, count)| class.iter().map(|mean| mean * (*count as f64).sqrt()))
            .collect();
        let weighted = View::of_rows(&weighted, width);
        super::product::add_product_f64(-1.0, weighted.transposed(), weighted, &mut covariance, width);
        for value in &mut covariance {
            *value /= images.max(1) as f64;
        }
        Moments {
            width,
            counts,
            means: classes,
            covariance,
        }
    }
}

/// The number of images and the mean of each class, and the covariance within classes.
struct Moments {
    width: usize,
    counts: Vec<usize>,
    means: Vec<f64>,
    covariance: Vec<f64>,
}

impl Moments {
    /// Fits a probe, with the covariance shrunk towards a multiple of the identity, which makes it well conditioned even
    /// if there are fewer images than features. `None` if all images of a class are equal in all classes, or the
    /// features are not finite.
    fn fit(&self, shrinkage: f64) -> Option<Probe> {
        let Self {
            width,
            counts,
            means,
            covariance,
        } = self;
        let diagonal = || (0..*width).map(|index| index * (width + 1));
        let trace: f64 = diagonal().map(|place| covariance[place]).sum();
        let mut shrunk: Vec<f64> = covariance.iter().map(|value| value * (1.0 - shrinkage)).collect();
        for place in diagonal() {
            shrunk[place] += shrinkage * trace / *width as f64;
        }
        let factored = Cholesky::of(shrunk, *width)?;
        let images: usize = counts.iter().sum();
        let mut probe = Probe {
            weights: Vec::with_capacity(means.len()),
            biases: Vec::with_capacity(counts.len()),
        };
        for (mean, count) in means.chunks_exact(*width).zip(counts) {
            let mut weights = mean.to_vec();
            factored.solve(&mut weights);
            let product: f64 = weights.iter().zip(mean).map(|(a, b)| a * b).sum();
            probe.weights.extend(weights.iter().map(|weight| *weight as f32));
            let prior = (*count as f64 / images as f64).ln();
            // Negative infinity for a class that is only in the fold that was left out.
            probe.biases.push((prior - product / 2.0) as f32);
        }
        Some(probe)
    }
}

impl Probe {
    /// Returns the logits of some images, one row of classes per image.
    fn logits(&self, features: &Features, mean: &[f32], images: &[usize]) -> Vec<f32> {
        let rows = centered(features, mean, images);
        let mut logits: Vec<f32> = images.iter().flat_map(|_| self.biases.iter().copied()).collect();
        let (rows, weights) = (
            View::of_rows(&rows, mean.len()),
            View::of_rows(&self.weights, mean.len()),
        );
        add_product(1.0, rows, weights.transposed(), &mut logits, self.biases.len());
        logits
    }
}

/// Returns the largest logit, and the sum of the exponentials of all logits relative to it.
fn normalizer(logits: &[f32], scale: f64) -> (f64, f64) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let largest = f64::from(largest);
    let powers = logits
        .iter()
        .map(|logit| (scale * (f64::from(*logit) - largest)).exp());
    (largest, powers.sum())
}

fn probability(logits: &[f32], class: usize, scale: f64) -> f64 {
    let (largest, sum) = normalizer(logits, scale);
    (scale * (f64::from(logits[class]) - largest)).exp() / sum
}

fn describe(logits: &[f32], label: usize, scale: f64) -> Prediction {
    let (largest, sum) = normalizer(logits, scale);
    let of = |class: usize| (scale * (f64::from(logits[class]) - largest)).exp() / sum;
    let others = (0..logits.len()).filter(|class| *class != label);
    let suggested = others.max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
    Prediction {
        probability: of(label),
        suggested: suggested.map_or((label, 0.0), |class| (class, of(class))),
    }
}

/// Computes `count` results on several threads, in order.
fn each<R: Send>(count: usize, threads: usize, compute: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let result = compute(index);
            results
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
