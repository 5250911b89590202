use effnet_image::Image;
use proptest::prelude::*;

use super::*;
use crate::BoxError;

/// Images with a class each and, unless there are none, a group each.
#[derive(Debug, Clone)]
struct Listing {
    classes: Vec<String>,
    labels: Vec<usize>,
    groups: Vec<usize>,
}

impl Listing {
    fn new(labels: Vec<usize>, groups: Vec<usize>) -> Self {
        let classes = labels.iter().max().map_or(0, |most| most + 1);
        Self {
            classes: (0..classes).map(|class| class.to_string()).collect(),
            labels,
            groups,
        }
    }

    /// The number of images of each class in each fold.
    fn counts(&self, folds: &[usize], count: usize) -> Vec<Vec<usize>> {
        let mut counts = vec![vec![0; self.classes.len()]; count];
        for (fold, label) in folds.iter().zip(&self.labels) {
            counts[*fold][*label] += 1;
        }
        counts
    }
}

impl Dataset for Listing {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index]
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn image(&self, _: usize) -> Result<Image, BoxError> {
        Err("not an image".into())
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.groups.get(index).copied()
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, DataError>) -> String {
    result.unwrap_err().to_string()
}

/// Images of up to four classes, with groups or without, and a number of folds that is possible.
fn images_and_folds() -> impl Strategy<Value = (Listing, usize)> {
    let image = (0..4_usize, 0..12_usize);
    (
        prop::collection::vec(image, 2..80),
        any::<bool>(),
        any::<prop::sample::Index>(),
    )
        .prop_filter_map("one group", |(images, is_grouped, folds)| {
            let (labels, mut groups): (Vec<_>, Vec<_>) = images.into_iter().unzip();
            let mut distinct = groups.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let mut most = distinct.len();
            if !is_grouped {
                (groups, most) = (Vec::new(), labels.len());
            }
            (most > 1).then(|| (Listing::new(labels, groups), 2 + folds.index(most - 1)))
        })
}

proptest! {
    #[test]
    fn folds_partition_the_images_and_keep_groups_together(
        (images, count) in images_and_folds(),
        seed in any::<u64>(),
    ) {
        let of_image = folds(&images, count, seed).unwrap();
        prop_assert_eq!(&of_image, &folds(&images, count, seed).unwrap());
        let mut held_out = vec![0; images.len()];
        for fold in 1..=count {
            let (train, val) = split(images.clone(), HoldOut::Fold { fold, folds: count }, seed).unwrap();
            prop_assert!(!val.is_empty() && !train.is_empty());
            let mut all = [train.indices(), val.indices()].concat();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..images.len()));
            for index in val.indices() {
                held_out[*index] += 1;
                prop_assert_eq!(of_image[*index], fold - 1);
            }
        }
        prop_assert!(held_out.iter().all(|times| *times == 1), "{:?}", held_out);
        let counts = images.counts(&of_image, count);
        if images.groups.is_empty() {
            let spread = |sizes: &[usize]| sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
            for class in 0..images.classes.len() {
                let of_class: Vec<usize> = counts.iter().map(|counts| counts[class]).collect();
                prop_assert!(spread(&of_class) <= 1, "{:?}", counts);
            }
            let sizes: Vec<usize> = counts.iter().map(|counts| counts.iter().sum()).collect();
            prop_assert!(spread(&sizes) <= 1, "{:?}", counts);
        } else {
            for (index, group) in images.groups.iter().enumerate() {
                let first = images.groups.iter().position(|other| other == group).unwrap();
                prop_assert_eq!(of_image[index], of_image[first]);
            }
        }
    }

    #[test]
    fn a_held_out_fraction_keeps_groups_together_and_classes_in_training(
        (images, _) in images_and_folds(),
        fraction in 0.05..0.95_f64,
        seed in any::<u64>(),
    ) {
        let Ok((train, val)) = split(images.clone(), HoldOut::Fraction(fraction), seed) else {
            // Then each group has all images of a class.
            for group in &images.groups {
                let is_in = |index: &usize| images.groups[*index] == *group;
                let whole = (0..images.classes.len()).any(|class| {
                    let mut of_class = (0..images.len()).filter(|index| images.labels[*index] == class).peekable();
                    of_class.peek().is_some() && of_class.all(|index| is_in(&index))
                });
                prop_assert!(whole, "group {}", group);
            }
            return Ok(());
        };
        prop_assert_eq!(train.len() + val.len(), images.len());
        if !images.groups.is_empty() {
            prop_assert!(!val.is_empty());
            let group = |index: &usize| images.groups[*index];
            let is_trained = |held_out| train.indices().iter().any(|trained| group(trained) == group(held_out));
            prop_assert!(!val.indices().iter().any(is_trained));
        }
        let found = by_class(&train);
        let all = by_class(&images);
        prop_assert!(found.iter().zip(&all).all(|(train, all)| all.is_empty() || !train.is_empty()));
    }
}

/// 60 patients with 1 to 12 images each, the classes of which are mixed.
fn patients() -> Listing {
    let patients = (0..60).flat_map(|patient| std::iter::repeat_n(patient, 1 + patient % 12));
    let groups: Vec<usize> = patients.collect();
    let labels = groups
        .iter()
        .enumerate()
        .map(|(index, patient)| (index * patient + patient) % 3);
    Listing::new(labels.collect(), groups)
}

#[test]
fn groups_are_spread_so_that_each_class_has_about_its_share() {
    let patients = patients();
    let all: Vec<usize> = by_class(&patients).iter().map(Vec::len).collect();
    for seed in 0..5 {
        let counts = patients.counts(&folds(&patients, 5, seed).unwrap(), 5);
        for counts in &counts {
            for (found, all) in counts.iter().zip(&all) {
                let share = *found as f64 / *all as f64;
                assert!((0.17..0.23).contains(&share), "seed {seed}: {counts:?} of {all}");
            }
        }
        let (_, val) = split(patients.clone(), HoldOut::Fraction(0.2), seed).unwrap();
        for (found, all) in by_class(&val).iter().zip(&all) {
            let share = found.len() as f64 / *all as f64;
            assert!(
                (0.15..0.25).contains(&share),
                "seed {seed}: {} of {all}",
                found.len()
            );
        }
    }
}

#[test]
fn folds_and_groups_follow_from_the_seed() {
    let plain = Listing::new((0..40).map(|index| index % 3).collect(), Vec::new());
    let patients = patients();
    assert_ne!(folds(&plain, 4, 1).unwrap(), folds(&plain, 4, 2).unwrap());
    assert_ne!(folds(&patients, 4, 1).unwrap(), folds(&patients, 4, 2).unwrap());
    // A later build must be able to resume a run with the same split.
    let found = folds(&plain, 4, 1).unwrap();
    assert_eq!(found[..12], [1, 3, 0, 1, 0, 2, 0, 2, 3, 0, 0, 3]);
    let mut found = folds(&patients, 4, 1).unwrap();
    found.dedup();
    let (_, val) = split(patients, HoldOut::Fraction(0.1), 1).unwrap();
    assert_eq!(found[..8], [3, 0, 1, 2, 1, 2, 0, 1]);
    assert_eq!(val.indices()[..8], [1, 2, 88, 89, 90, 91, 92, 162]);
}

#[test]
fn splits_that_are_not_possible_are_refused_with_what_is() {
    let plain = Listing::new(vec![0, 1, 0, 1, 0], Vec::new());
    assert_eq!(
        refusal(folds(&plain, 6, 0)),
        "expected from 2 to 5 folds, one per image at most, found 6"
    );
    assert!(refusal(folds(&plain, 1, 0)).contains("found 1"));
    for fold in [0, 4] {
        let found = split(plain.clone(), HoldOut::Fold { fold, folds: 3 }, 0);
        assert_eq!(
            refusal(found),
            format!("expected a fold from 1 to 3, found {fold}")
        );
    }
    let grouped = |groups: [usize; 5]| Listing::new(plain.labels.clone(), groups.to_vec());
    assert_eq!(
        refusal(folds(&grouped([0, 1, 1, 0, 0]), 3, 0)),
        "expected from 2 to 2 folds, one per group at most, found 3"
    );
    let half = HoldOut::Fraction(0.5);
    assert!(refusal(split(grouped([7; 5]), half, 0)).contains("found 1 group"));
    // One group per class.
    let error = refusal(split(grouped([0, 1, 0, 1, 0]), half, 0));
    assert!(
        error.contains("2 groups, each with all images of a class"),
        "{error}"
    );
}
