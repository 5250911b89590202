//! Stratified train/validation split: a fraction of each class, or one fold of several.
//!
//! A split depends only on the images and the seed, so that a run can be resumed, and so that the folds of a
//! cross-validation, which are trained by different runs, partition the images.

mod groups;
mod repeated;

use rand::seq::SliceRandom as _;

use effnet_architecture::Task;

use super::random::{Purpose, stream};
use super::{DataError, Dataset, Subset};
use groups::Grouped;
use repeated::repeated;

/// Which images to hold out for validation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HoldOut {
    /// This fraction of each class, above 0 and below 1.
    Fraction(f64),
    /// One of several [`folds`].
    Fold {
        /// The fold to hold out, from 1 to `folds`.
        fold: usize,
        /// The number of folds.
        folds: usize,
    },
}

/// Splits a data set into a training and a validation set. Images of one [group](Dataset::group) stay together; otherwise,
/// a fraction is held out by [`stratified_split`].
///
/// Of images with groups, about the fraction of each class is held out, but at least one group, and never all images of a
/// class. The same seed and the same images give the same split. Both sets keep the order of the images.
///
/// # Errors
/// [`DataError::HoldOut`]: the errors of [`folds`], a fold that is not one of them, or groups none of which can be held out.
///
/// # Panics
/// Panics if a fraction is not above 0 and below 1.
pub fn split<D: Dataset + Clone>(
    dataset: D,
    hold_out: HoldOut,
    seed: u64,
) -> Result<(Subset<D>, Subset<D>), DataError> {
    let is_held_out: Vec<bool> = match (hold_out, Grouped::of(&dataset)) {
        (HoldOut::Fraction(fraction), None) => return Ok(stratified_split(dataset, fraction, seed)),
        (HoldOut::Fraction(fraction), Some(groups)) => {
            check_fraction(fraction);
            groups.hold_out(fraction, seed)?
        }
        (HoldOut::Fold { fold, folds: count }, _) => {
            if fold < 1 || fold > count {
                return Err(DataError::HoldOut {
                    expected: format!("a fold from 1 to {count}"),
                    found: fold.to_string(),
                });
            }
            let folds = folds(&dataset, count, seed)?;
            folds.into_iter().map(|found| found + 1 == fold).collect()
        }
    };
    let (val, train) = (0..dataset.len()).partition(|index| is_held_out[*index]);
    Ok((Subset::new(dataset.clone(), train), Subset::new(dataset, val)))
}

/// Returns the fold of each image, from 0 to `count` - 1, for cross-validation.
///
/// The folds partition the images. Those of each class are spread evenly: the folds differ by at most one image per class
/// and in total. With [groups](Dataset::group), each group is in one fold, and classes are spread as evenly as that allows.
/// An image that is listed with several classes is in one fold, too. No fold is empty. The folds depend only on the images,
/// `count` and the seed.
///
/// # Errors
/// [`DataError::HoldOut`]: fewer than two folds, or more than there are images or groups.
pub fn folds(dataset: &impl Dataset, count: usize, seed: u64) -> Result<Vec<usize>, DataError> {
    let (groups, unit) = match Grouped::of(dataset) {
        Some(groups) => (Some(groups), "group"),
        None => (
            repeated(dataset).map(|numbers| Grouped::new(dataset, &numbers)),
            "image",
        ),
    };
    let most = groups.as_ref().map_or(dataset.len(), Grouped::len);
    if count < 2 || count > most {
        return Err(DataError::HoldOut {
            expected: format!("from 2 to {most} folds, one per {unit} at most"),
            found: count.to_string(),
        });
    }
    if let Some(groups) = groups {
        return Ok(groups.folds(count, seed));
    }
    let mut folds = vec![0; dataset.len()];
    // Dealing goes on from class to class, so that the folds are also of one size.
    let mut dealt = 0;
    for (label, mut indices) in strata(dataset).into_iter().enumerate() {
        indices.shuffle(&mut stream(Purpose::Split, seed, 0, label as u64));
        for index in indices {
            folds[index] = dealt % count;
            dealt += 1;
        }
    }
    Ok(folds)
}

fn check_fraction(fraction: f64) {
    assert!(
        fraction > 0.0 && fraction < 1.0,
        "expected a validation fraction above 0 and below 1, found {fraction}"
    );
}

/// Splits a data set into a training and a validation set, class by class.
///
/// Holds out `val_fraction` of each class, rounded, but at least one image and never all; the only image of a
/// class stays in the training set. The same seed and the same images give the same split. Both sets keep the
/// order of the images. An image that is listed with several classes, with one name, is in one of the sets, and about the
/// fraction of each class is then held out. Images with several labels are held out by their rarest label; images with
/// values, at random.
/// [Groups](Dataset::group) are not kept together; see [`split`].
///
/// # Panics
/// Panics unless `val_fraction` is above 0 and below 1.
pub fn stratified_split<D: Dataset + Clone>(
    dataset: D,
    val_fraction: f64,
    seed: u64,
) -> (Subset<D>, Subset<D>) {
    check_fraction(val_fraction);
    let repeated = repeated(&dataset).map(|numbers| Grouped::new(&dataset, &numbers));
    // If none can be held out whole, as when all names are equal, the rows are split like different images.
    if let Some(Ok(is_held_out)) = repeated.map(|images| images.hold_out(val_fraction, seed)) {
        let (val, train) = (0..dataset.len()).partition(|index| is_held_out[*index]);
        return (Subset::new(dataset.clone(), train), Subset::new(dataset, val));
    }
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

#[cfg(test)]
mod tests;
