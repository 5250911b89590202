//! Splits that keep groups of images together.
//!
//! Groups have different sizes and mixtures of classes, and the best distribution of them is as hard to find as that of a
//! knapsack. The largest are placed first, each where the shares of its classes are then closest to those wanted: what is
//! small comes last and evens out the rest.

use std::collections::BTreeMap;

use effnet_architecture::Task;
use rand::seq::SliceRandom as _;

use super::strata;
use crate::random::{Purpose, stream};
use crate::{DataError, Dataset};

/// The number of the random stream for groups; classes have those from 0.
const STREAM: u64 = u64::MAX;

/// The images of a data set by group.
pub(super) struct Grouped {
    groups: Vec<Group>,
    /// The number of images of each stratum.
    strata: Vec<usize>,
    images: usize,
    task: Task,
}

#[derive(Default)]
struct Group {
    images: Vec<usize>,
    /// The number of images of each stratum that occurs in the group.
    strata: BTreeMap<usize, usize>,
}

impl Grouped {
    /// Returns the groups of a data set; `None` if its images are not grouped.
    pub(super) fn of(dataset: &impl Dataset) -> Option<Self> {
        let numbers = (0..dataset.len()).map(|index| dataset.group(index));
        let numbers: Vec<usize> = numbers.collect::<Option<_>>()?;
        if numbers.is_empty() {
            return None;
        }
        Some(Self::new(dataset, &numbers))
    }

    /// Creates the groups from the number of the group of each image.
    pub(super) fn new(dataset: &impl Dataset, numbers: &[usize]) -> Self {
        let strata = strata(dataset);
        let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
        for (stratum, indices) in strata.iter().enumerate() {
            for index in indices {
                let group = groups.entry(numbers[*index]).or_default();
                group.images.push(*index);
                *group.strata.entry(stratum).or_default() += 1;
            }
        }
        Self {
            groups: groups.into_values().collect(),
            strata: strata.iter().map(Vec::len).collect(),
            images: numbers.len(),
            task: dataset.task(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns the fold of each image. There must be at least `count` groups.
    pub(super) fn folds(&self, count: usize, seed: u64) -> Vec<usize> {
        let mut bins = Bins::new(self, vec![1.0; count]);
        let mut folds = vec![0; self.images];
        let groups = self.largest_first(seed);
        for (place, group) in groups.iter().enumerate() {
            let empty = bins.sizes.iter().filter(|size| **size == 0).count();
            let must_fill = groups.len() - place <= empty;
            let allowed = (0..count).filter(|fold| !must_fill || bins.sizes[*fold] == 0);
            let costs = allowed.map(|fold| (bins.cost(fold, group), bins.sizes[fold], fold));
            let best = costs.min_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
            let fold = best.map_or(0, |(_, _, fold)| fold);
            bins.add(fold, group);
            group.images.iter().for_each(|image| folds[*image] = fold);
        }
        folds
    }

    /// Returns whether each image is held out. Every class keeps a training image.
    pub(super) fn hold_out(&self, fraction: f64, seed: u64) -> Result<Vec<bool>, DataError> {
        const TRAIN: usize = 0;
        const VAL: usize = 1;
        let mut bins = Bins::new(self, vec![1.0 - fraction, fraction]);
        let groups = self.largest_first(seed);
        let mut held_out = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            let is_spare = group
                .strata
                .keys()
                .all(|stratum| bins.counts[TRAIN][*stratum] > 0);
            if is_spare && bins.cost(VAL, group) < bins.cost(TRAIN, group) {
                bins.add(VAL, group);
                held_out.push(place);
            } else {
                bins.add(TRAIN, group);
            }
        }
        if held_out.is_empty() {
            // Only classes must be learned from an image each.
            let is_spare = |group: &Group| {
                let mut strata = group.strata.iter();
                self.task != Task::Classify
                    || strata.all(|(stratum, images)| bins.counts[TRAIN][*stratum] > *images)
            };
            let smallest = groups
                .iter()
                .rposition(|group| is_spare(group))
                .filter(|_| groups.len() > 1);
            held_out.push(smallest.ok_or_else(|| self.inseparable())?);
        }
        let mut is_held_out = vec![false; self.images];
        for place in held_out {
            groups[place]
                .images
                .iter()
                .for_each(|image| is_held_out[*image] = true);
        }
        Ok(is_held_out)
    }

    fn inseparable(&self) -> DataError {
        let (expected, found) = match self.len() {
            1 => (
                "two groups or more, to hold out one of them",
                "1 group".to_owned(),
            ),
            groups => (
                "a group that leaves training images of each class when it is held out",
                format!("{groups} groups, each with all images of a class"),
            ),
        };
        DataError::HoldOut {
            expected: expected.to_owned(),
            found,
        }
    }

    /// Returns the groups, the largest first, those of one size in random order.
    fn largest_first(&self, seed: u64) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.iter().collect();
        groups.shuffle(&mut stream(Purpose::Split, seed, 0, STREAM));
        groups.sort_by_key(|group| std::cmp::Reverse(group.images.len()));
        groups
    }
}

/// The parts over which groups are distributed.
struct Bins<'a> {
    grouped: &'a Grouped,
    /// The share of the images that each part should have, relative to the others.
    shares: Vec<f64>,
    /// The number of images of each stratum in each part.
    counts: Vec<Vec<usize>>,
    sizes: Vec<usize>,
}

impl<'a> Bins<'a> {
    fn new(grouped: &'a Grouped, shares: Vec<f64>) -> Self {
        Self {
            grouped,
            counts: vec![vec![0; grouped.strata.len()]; shares.len()],
            sizes: vec![0; shares.len()],
            shares,
        }
    }

    /// Returns how much adding a group to a part moves the shares of its strata, and of all images, away from those wanted:
    /// the increase of the sum of squares, which is the smallest when every part has its share.
    fn cost(&self, bin: usize, group: &Group) -> f64 {
        let increase = |present: usize, added: usize, all: usize| {
            let (present, added, all) = (present as f64, added as f64, all as f64);
            (2.0 * present * added + added * added) / (all * all)
        };
        let of_strata = group.strata.iter().map(|(stratum, added)| {
            let all = self.grouped.strata[*stratum];
            increase(self.counts[bin][*stratum], *added, all)
        });
        let of_all = increase(self.sizes[bin], group.images.len(), self.grouped.images);
        (of_strata.sum::<f64>() + of_all) / self.shares[bin]
    }

    fn add(&mut self, bin: usize, group: &Group) {
        self.sizes[bin] += group.images.len();
        for (stratum, images) in &group.strata {
            self.counts[bin][*stratum] += images;
        }
    }
}
