//! Stratified train/validation split.

use rand::seq::SliceRandom as _;

use effnet_architecture::Task;

use super::random::{Purpose, stream};
use super::{Dataset, Subset};

/// Splits a data set into a training and a validation set, class by class.
///
/// Holds out `val_fraction` of each class, rounded, but at least one image and never all; the only image of a
/// class stays in the training set. The same seed and the same images give the same split. Both sets keep the
/// order of the images. Images with several labels are held out by their rarest label; images with values, at random.
///
/// # Panics
/// Panics unless `val_fraction` is above 0 and below 1.
pub fn stratified_split<D: Dataset + Clone>(
    dataset: D,
    val_fraction: f64,
    seed: u64,
) -> (Subset<D>, Subset<D>) {
    assert!(
        val_fraction > 0.0 && val_fraction < 1.0,
        "expected a validation fraction above 0 and below 1, found {val_fraction}"
    );
    let (mut train, mut val) = (Vec::new(), Vec::new());
    for (label, mut indices) in strata(&dataset).into_iter().enumerate() {
        indices.shuffle(&mut stream(Purpose::Split, seed, 0, label as u64));
        let wanted = (indices.len() as f64 * val_fraction).round() as usize;
        let taken = wanted.max(1).min(indices.len().saturating_sub(1));
        train.extend(indices.split_off(taken));
        val.extend(indices);
    }
    train.sort_unstable();
    val.sort_unstable();
    (Subset::new(dataset.clone(), train), Subset::new(dataset, val))
}

/// Returns the indices of the images of each class.
pub fn by_class(dataset: &(impl Dataset + ?Sized)) -> Vec<Vec<usize>> {
    let mut indices = vec![Vec::new(); dataset.classes().len()];
    for index in 0..dataset.len() {
        indices[dataset.label(index)].push(index);
    }
    indices
}

/// Returns the number of images of each class, or with each label; zeros for regression.
pub fn support(dataset: &(impl Dataset + ?Sized)) -> Vec<usize> {
    let mut support = vec![0; dataset.classes().len()];
    match dataset.task() {
        Task::Classify => (0..dataset.len()).for_each(|index| support[dataset.label(index)] += 1),
        Task::MultiLabel => {
            let mut row = vec![0.0; support.len()];
            for index in 0..dataset.len() {
                dataset.values(index, &mut row);
                let labels = support.iter_mut().zip(&row);
                labels.for_each(|(count, value)| *count += usize::from(*value > 0.0));
            }
        }
        Task::Regression => {}
    }
    support
}

/// Returns the indices of images of which the same fraction is held out.
fn strata(dataset: &impl Dataset) -> Vec<Vec<usize>> {
    match dataset.task() {
        Task::Classify => by_class(dataset),
        Task::Regression => vec![(0..dataset.len()).collect()],
        Task::MultiLabel => {
            let support = support(dataset);
            // The last are those without a label.
            let mut strata = vec![Vec::new(); support.len() + 1];
            let mut row = vec![0.0; support.len()];
            for index in 0..dataset.len() {
                dataset.values(index, &mut row);
                let labels = (0..support.len()).filter(|label| row[*label] > 0.0);
                let rarest = labels.min_by_key(|label| support[*label]);
                strata[rarest.unwrap_or(support.len())].push(index);
            }
            strata
        }
    }
}
