//! Parting one data set into two.

use rand::seq::SliceRandom as _;

use super::random::{Purpose, stream};
use super::{Dataset, Subset};

/// Parts a data set into one to train on and one to check with, class by class.
///
/// `val_fraction` of each class goes into the second, rounded, but at least one picture and not all;
/// the only picture of a class stays in the first. The same seed and the same images give the same
/// parts. Both keep the order of the images.
///
/// # Panics
/// When `val_fraction` is not above 0 and below 1.
pub fn stratified_split<D: Dataset + Clone>(
    dataset: D,
    val_fraction: f64,
    seed: u64,
) -> (Subset<D>, Subset<D>) {
    assert!(
        val_fraction > 0.0 && val_fraction < 1.0,
        "a fraction of {val_fraction} cannot be split off"
    );
    let (mut train, mut val) = (Vec::new(), Vec::new());
    for (label, mut indices) in by_class(&dataset).into_iter().enumerate() {
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

/// The numbers of the images of each class.
pub fn by_class(dataset: &impl Dataset) -> Vec<Vec<usize>> {
    let mut indices = vec![Vec::new(); dataset.classes().len()];
    for index in 0..dataset.len() {
        indices[dataset.label(index)].push(index);
    }
    indices
}
