//! Describes a data set before it is used: which images are for training and validation, and the number of images per
//! class.
//!
//! A folder can be interpreted in more than one way. The accuracy alone does not reveal that `Testing` was mistaken for
//! a class, or that a column `split` was ignored.

use std::collections::BTreeSet;
use std::sync::Arc;

use effnet::Task;
use effnet_data::{Dataset, HoldOut, Reading, Splits, support};

use crate::printer::{Printer, counted};

/// The largest number of classes that are all listed.
const MOST_CLASSES: usize = 12;
/// The number of classes to list if there are more.
const FIRST_CLASSES: usize = 6;
/// The ratio of the largest to the smallest class from which class weights usually help.
const IMBALANCE: usize = 5;

/// The training and validation images of a run.
pub struct Overview<'a> {
    /// How the data set was read.
    pub reading: &'a Reading,
    /// The training images.
    pub train: &'a dyn Dataset,
    /// The validation images.
    pub val: Option<&'a dyn Dataset>,
    /// What was held out for validation, such as `20 % of each class`; `None` if the data set is already split.
    pub held_out: Option<&'a str>,
}

impl Overview<'_> {
    /// Returns the parts of the data set: `training: Training/ (480 images), validation: Testing/ (120 images), 2
    /// classes`.
    pub fn parts(&self) -> String {
        let of = |name: &Option<String>, images: usize| match name {
            Some(name) => format!("{name} ({})", counted(images, "image")),
            None => counted(images, "image"),
        };
        let val = match (self.val, self.held_out) {
            (None, _) => "none".to_owned(),
            (Some(val), None) => of(&self.reading.val, val.len()),
            (Some(val), Some(what)) => format!("{} ({what}, held out)", counted(val.len(), "image")),
        };
        format!(
            "training: {}, validation: {val}, {}",
            of(&self.reading.train, self.train.len()),
            counted_targets(self.train.classes().len(), self.train.task())
        )
    }

    /// Returns the number of images of each class, or with each label, for training and validation: `classes: cat 120/30,
    /// dog 120/30`.
    pub fn classes(&self) -> String {
        let counts = |dataset: &dyn Dataset| support(dataset);
        let train = counts(self.train);
        let val = self.val.map(counts);
        let class = |(label, name): (usize, &String)| match &val {
            Some(val) => format!("{name} {}/{}", train[label], val[label]),
            None => format!("{name} {}", train[label]),
        };
        let names = self.train.classes();
        let listed = if names.len() > MOST_CLASSES {
            FIRST_CLASSES
        } else {
            names.len()
        };
        let first: Vec<String> = names.iter().enumerate().take(listed).map(class).collect();
        let more = match (names.len() - listed, extremes(&train)) {
            (more @ 1.., Some((least, most))) if least == most => {
                format!(" and {more} more, each with {}", counted(most, "training image"))
            }
            (more @ 1.., Some((least, most))) => {
                format!(
                    " and {more} more, with {least} to {} each",
                    counted(most, "training image")
                )
            }
            _ => String::new(),
        };
        let nouns = match self.train.task() {
            Task::MultiLabel => "labels",
            Task::Classify | Task::Regression => "classes",
        };
        format!("{nouns}: {}{more}", first.join(", "))
    }

    /// Returns a hint if the class sizes differ widely.
    pub fn imbalance(&self) -> Option<String> {
        let sizes = support(self.train);
        let (least, most) = extremes(&sizes).filter(|(least, most)| *most >= IMBALANCE * (*least).max(1))?;
        Some(format!(
            "the classes have {least} to {}: see --class-weights balanced",
            counted(most, "training image")
        ))
    }
}

fn extremes(sizes: &[usize]) -> Option<(usize, usize)> {
    Some((*sizes.iter().min()?, *sizes.iter().max()?))
}

/// Counts what images are labelled with, or what a network outputs: `2 classes`, `1 label`, `3 values`.
pub(crate) fn counted_targets(count: usize, task: Task) -> String {
    let name = match task {
        Task::Classify => "class",
        Task::MultiLabel => "label",
        Task::Regression => "value",
    };
    counted(count, name)
}

/// Returns what is held out for validation: `20 % of each class`, `20 % of the images`, `fold 2 of 5`, each possibly with
/// the groups.
pub fn describe_hold_out(hold_out: HoldOut, splits: &Splits) -> String {
    let groups = |images: &Arc<dyn Dataset>| {
        let groups = (0..images.len()).map(|index| images.group(index));
        groups.collect::<Option<BTreeSet<usize>>>()
    };
    let train = groups(&splits.train);
    let val = splits.val.as_ref().and_then(groups);
    let groups = train
        .zip(val)
        .map(|(train, val)| format!("{} of {}", val.len(), counted(train.len() + val.len(), "group")));
    match (hold_out, groups) {
        (HoldOut::Fraction(fraction), None) => {
            let percent = (1000.0 * fraction).round() / 10.0;
            let whole = match splits.train.task() {
                Task::Regression => "the images",
                Task::MultiLabel => "each label",
                Task::Classify => "each class",
            };
            format!("{percent} % of {whole}")
        }
        (HoldOut::Fraction(_), Some(groups)) => groups,
        (HoldOut::Fold { fold, folds }, None) => format!("fold {fold} of {folds}"),
        (HoldOut::Fold { fold, folds }, Some(groups)) => format!("fold {fold} of {folds}, {groups}"),
    }
}

/// Prints which parts of a data set were not used, and what looks like a mistake.
pub fn print_notices(reading: &Reading, printer: &Printer) {
    for notice in &reading.notices {
        if notice.is_warning() {
            printer.warning(notice.to_string());
        } else {
            printer.note(notice.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use effnet_data::BoxError;
    use effnet_image::Image;

    use super::*;

    /// A data set with a certain number of images of each class.
    struct Counts {
        names: Vec<String>,
        labels: Vec<usize>,
        task: Task,
    }

    fn counts(sizes: &[usize]) -> Counts {
        Counts {
            names: (0..sizes.len()).map(|class| format!("c{class}")).collect(),
            labels: sizes
                .iter()
                .enumerate()
                .flat_map(|(class, size)| vec![class; *size])
                .collect(),
            task: Task::Classify,
        }
    }

    impl Dataset for Counts {
        fn len(&self) -> usize {
            self.labels.len()
        }

        fn classes(&self) -> &[String] {
            &self.names
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

        fn task(&self) -> Task {
            self.task
        }
    }

    fn reading(train: &str, val: &str) -> Reading {
        let mut reading = Reading::default();
        reading.train = Some(train.to_owned());
        reading.val = Some(val.to_owned());
        reading
    }

    #[test]
    fn the_parts_are_named_with_their_images() {
        let (train, val) = (counts(&[120, 1]), counts(&[30, 1]));
        let reading = reading("Training/", "Testing/");
        let mut overview = Overview {
            reading: &reading,
            train: &train,
            val: Some(&val),
            held_out: None,
        };
        assert_eq!(
            overview.parts(),
            "training: Training/ (121 images), validation: Testing/ (31 images), 2 classes"
        );
        assert_eq!(overview.classes(), "classes: c0 120/30, c1 1/1");
        let whole = Reading::default();
        (overview.reading, overview.held_out) = (&whole, Some("20 % of each class"));
        assert_eq!(
            overview.parts(),
            "training: 121 images, validation: 31 images (20 % of each class, held out), 2 classes"
        );
        overview.val = None;
        assert_eq!(
            overview.parts(),
            "training: 121 images, validation: none, 2 classes"
        );
        assert_eq!(overview.classes(), "classes: c0 120, c1 1");
    }

    #[test]
    fn labels_and_values_are_not_called_classes() {
        for (task, parts, held_out) in [
            (
                Task::Classify,
                "training: 3 images, validation: none, 2 classes",
                "20 % of each class",
            ),
            (
                Task::MultiLabel,
                "training: 3 images, validation: none, 2 labels",
                "20 % of each label",
            ),
            (
                Task::Regression,
                "training: 3 images, validation: none, 2 values",
                "20 % of the images",
            ),
        ] {
            let train = Counts {
                task,
                ..counts(&[2, 1])
            };
            let overview = Overview {
                reading: &Reading::default(),
                train: &train,
                val: None,
                held_out: None,
            };
            assert_eq!(overview.parts(), parts);
            if task == Task::MultiLabel {
                assert_eq!(overview.classes(), "labels: c0 2, c1 1");
            }
            let splits = Splits {
                train: Arc::new(train),
                val: None,
                test: None,
                reading: Reading::default(),
            };
            assert_eq!(describe_hold_out(HoldOut::Fraction(0.2), &splits), held_out);
        }
    }

    #[test]
    fn many_classes_are_summed_up() {
        let train = counts(&[&[7; 13][..], &[9, 3]].concat());
        let reading = Reading::default();
        let overview = Overview {
            reading: &reading,
            train: &train,
            val: None,
            held_out: None,
        };
        assert_eq!(
            overview.classes(),
            "classes: c0 7, c1 7, c2 7, c3 7, c4 7, c5 7 and 9 more, with 3 to 9 training images each"
        );
    }

    #[test]
    fn classes_of_very_different_sizes_are_hinted_at() {
        let reading = Reading::default();
        for (sizes, expected) in [
            (
                &[150, 12, 1][..],
                Some("1 to 150 training images: see --class-weights balanced"),
            ),
            (&[50, 10], Some("10 to 50 training images")),
            (&[49, 10], None),
            (&[3, 3], None),
        ] {
            let train = counts(sizes);
            let overview = Overview {
                reading: &reading,
                train: &train,
                val: None,
                held_out: None,
            };
            let hint = overview.imbalance();
            match expected {
                Some(expected) => assert!(hint.unwrap().contains(expected), "{sizes:?}"),
                None => assert_eq!(hint, None),
            }
        }
    }
}
