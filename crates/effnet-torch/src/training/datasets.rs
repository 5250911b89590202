//! The images of a training run: lists them, finds unreadable images and splits off validation images.
//!
//! All images are decoded once before training. An unreadable image discovered in the middle of an epoch
//! would stop the run, or would change its steps if it were skipped. The list of unreadable images is saved,
//! so that a resumed run skips the same images.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail, ensure};
use effnet::Task;
use effnet_cli::training::recorded_split::name_within;
use effnet_data::{DataError, Dataset, NameList, Reading, Shard, Splits, Subset, support, survey};
use serde::{Deserialize, Serialize};

use super::ranks::Ranks;
use super::watched::Watched;
use effnet_cli::Interrupt;
use effnet_cli::Printer;
use effnet_cli::counted;
use effnet_cli::digest;
use effnet_cli::label_column::of_label_column;
use effnet_cli::threads;
use effnet_cli::training::settings::Settings;

/// Training and validation images.
#[derive(Clone)]
pub(super) struct Datasets {
    splits: Splits,
    /// The folder or file that the training images come from.
    data: PathBuf,
    /// The folder or file that the validation images come from.
    data_of_validation: PathBuf,
}

/// An unreadable image, as saved in the run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unreadable {
    pub(super) name: String,
    pub(super) reason: String,
    /// Whether it is one of the validation images, which have names of their own if they come from another data set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    validation: bool,
}

/// The file in the run folder that lists the skipped images.
pub(super) const UNREADABLE: &str = "unreadable.json";

impl Datasets {
    /// Lists the images named by `settings`, for this task or for the one that their labels tell.
    pub(super) fn open(settings: &Settings, task: Option<Task>) -> anyhow::Result<Self> {
        let options = settings.data_options(task);
        let opened = Splits::open_with(&settings.data, &options);
        let splits = opened.map_err(|error| match error {
            error @ DataError::Task { .. } => anyhow::Error::from(error).context("--task"),
            error @ DataError::GroupColumn { .. } => {
                anyhow::Error::from(error).context(format!("--group-column {}", settings.group_column))
            }
            error => of_label_column(error, &settings.label_column),
        })?;
        if let (1.., Some(_), Some(name)) = (settings.folds, &splits.val, &splits.reading.val) {
            bail!(
                "--folds {}: {} is split already ({name}); omit --folds to use that split, or pass only the images to split",
                settings.folds,
                settings.data.display()
            );
        }
        let splits = match settings.validation_data() {
            Some(val) => {
                let opened = splits.with_validation(val, &options.label_columns);
                opened.context("--val")?
            }
            None => splits,
        };
        let opened = Self {
            splits,
            data: settings.data.clone(),
            data_of_validation: settings.data_of_validation().to_owned(),
        };
        // What cannot be split is refused before all images are decoded.
        opened.clone().held_out(settings)?;
        Ok(opened)
    }

    /// Holds out images for validation, unless the data set has its own or none are to be held out.
    fn held_out(self, settings: &Settings) -> anyhow::Result<Splits> {
        match settings.hold_out() {
            Some(hold_out) if self.splits.val.is_none() => {
                let split = self.splits.hold_out(hold_out, settings.seed_of_split());
                split.with_context(|| match settings.grouping() {
                    Some(column) => format!("{} --group-column {column}", settings.hold_out_flag()),
                    None => settings.hold_out_flag(),
                })
            }
            _ => Ok(self.splits),
        }
    }

    pub(super) fn classes(&self) -> &[String] {
        self.splits.train.classes()
    }

    pub(super) fn task(&self) -> Task {
        self.splits.train.task()
    }

    /// Returns the line about the task that is printed before training, unless it is the usual one.
    pub(super) fn describe_task(&self) -> Option<String> {
        let Reading {
            task, task_reason, ..
        } = &self.splits.reading;
        match (task, task_reason) {
            (task, Some(reason)) => Some(format!(
                "task: {task} ({reason}); --task classify trains on classes instead"
            )),
            (Task::Classify, None) => None,
            (task, None) => Some(format!("task: {task} (--task)")),
        }
    }

    /// Returns whether the data set has its own validation images.
    pub(super) fn has_validation(&self) -> bool {
        self.splits.val.is_some()
    }

    /// Returns the training and the validation images, each with where they come from.
    fn parts(&self) -> impl Iterator<Item = (&Path, &Arc<dyn Dataset>)> {
        let train = (&*self.data, &self.splits.train);
        let val = self.splits.val.as_ref();
        let val = val.map(|val| (&*self.data_of_validation, val));
        std::iter::once(train).chain(val)
    }

    /// Returns whether the validation images come from another data set.
    fn has_other_validation(&self) -> bool {
        self.data != self.data_of_validation
    }

    /// Identifies the images by their number and by a hash of their names and labels, in order.
    pub(super) fn fingerprint(&self) -> String {
        let images: usize = self.parts().map(|(_, dataset)| dataset.len()).sum();
        format!("{images} images, listing {}", listing(self.parts()))
    }

    /// Decodes all images, split among the processes, and lists those that cannot be read. With `strict`, an
    /// unreadable image is an error.
    pub(super) fn find_unreadable(
        &self,
        settings: &Settings,
        ranks: &Ranks,
        printer: &Printer,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Vec<Unreadable>> {
        let stop = interrupt.flag();
        let (mut found, mut warned) = (Vec::new(), 0);
        for (place, (_, dataset)) in self.parts().enumerate() {
            let parts = ranks.gather(decode_all(dataset, ranks.shard(), printer, &stop)?)?;
            for (mut unreadable, count) in parts {
                let is_other = place == 1 && self.has_other_validation();
                for image in &mut unreadable {
                    image.validation = is_other;
                }
                found.extend(unreadable);
                warned += count;
            }
        }
        if ranks.count() > 1 {
            found.sort_by(|left, right| left.name.cmp(&right.name));
        }
        if ranks.is_first() {
            for Unreadable { name, reason, .. } in &found {
                printer.failure(name, reason);
            }
        }
        if let (Some(first), true) = (found.first(), settings.strict) {
            bail!("{}: {} (--strict)", first.name, first.reason);
        }
        if warned > 0 {
            printer.warning(format!(
                "{} decoded with warnings, for example about damage; run `effnet classify` to see the warning for each",
                counted(warned, "image")
            ));
        }
        if !found.is_empty() {
            let skipped = match found.len() {
                1 => "1 image cannot be read and is skipped".to_owned(),
                images => format!("{images} images cannot be read and are skipped"),
            };
            printer.warning(format!("{skipped}; see {UNREADABLE} in the run folder"));
        }
        for image in &mut found {
            let data = if image.validation {
                &self.data_of_validation
            } else {
                &self.data
            };
            image.name = name_within(data, &image.name);
        }
        Ok(found)
    }

    /// Excludes these images.
    pub(super) fn skip(&mut self, unreadable: &[Unreadable]) {
        if unreadable.is_empty() {
            return;
        }
        let names = |validation: bool| {
            let images = unreadable
                .iter()
                .filter(move |image| image.validation == validation);
            images.map(|image| image.name.as_str()).collect::<HashSet<&str>>()
        };
        let without = |dataset: &Arc<dyn Dataset>, data: &Path, validation: bool| -> Arc<dyn Dataset> {
            let names = names(validation);
            let name = |index: usize| name_within(data, &dataset.name(index));
            let is_skipped = |index: &usize| names.contains(name(*index).as_str());
            let skipped: Vec<usize> = (0..dataset.len()).filter(is_skipped).collect();
            Arc::new(Subset::without(Arc::clone(dataset), skipped))
        };
        let is_other = self.has_other_validation();
        let val = self.splits.val.as_ref();
        self.splits.val = val.map(|val| without(val, &self.data_of_validation, is_other));
        self.splits.train = without(&self.splits.train, &self.data, false);
    }

    /// Splits the images into training and validation images. Call it after [`skip`](Self::skip).
    pub(super) fn split(self, settings: &Settings, printer: &Printer) -> anyhow::Result<Splits> {
        let classes = self.classes().to_vec();
        let images = support(&self.splits.train);
        let task = self.task();
        let of_size = |wanted: usize| {
            let sized = classes
                .iter()
                .zip(&images)
                .filter(|(_, images)| **images == wanted);
            let names = sized.map(|(class, _)| class.clone());
            names.filter(|_| task != Task::Regression).collect::<NameList>()
        };
        let empty = of_size(0);
        if task == Task::MultiLabel && !empty.names().is_empty() {
            printer.warning(format!(
                "no training images with these labels, which cannot be learned: {empty}"
            ));
        }
        ensure!(
            !self.splits.train.is_empty(),
            "{}: no readable images",
            settings.data.display()
        );
        ensure!(
            task == Task::MultiLabel || empty.names().is_empty(),
            "{}: no readable images of {empty}; add some or remove the class",
            settings.data.display()
        );
        let is_split = self.splits.val.is_none() && settings.hold_out().is_some();
        let single = of_size(1);
        let is_fraction = settings.folds == 0 && settings.grouping().is_none();
        if is_split && is_fraction && !single.names().is_empty() {
            printer.warning(format!(
                "these classes have only one image each, which is used for training, so they are missing from validation: {single}"
            ));
        }
        let splits = self.held_out(settings)?;
        if is_split && !is_fraction && task != Task::Regression {
            warn_of_missing(&splits, printer);
        }
        let val = splits.val.clone().filter(|val| !val.is_empty());
        if val.is_none() {
            printer.warning("no validation images: the last epoch counts as the best");
        }
        Ok(Splits { val, ..splits })
    }
}

/// A hash of the names and the labels of all images, in order. Each part comes with the folder or file that its names are
/// relative to.
pub(super) fn listing<'a>(parts: impl Iterator<Item = (&'a Path, &'a Arc<dyn Dataset>)>) -> String {
    let texts = parts.flat_map(|(data, dataset)| {
        let images = (0..dataset.len()).map(move |index| {
            let mut text = name_within(data, &dataset.name(index)).into_bytes();
            text.push(0);
            text.extend((dataset.label(index) as u64).to_le_bytes());
            if dataset.task() != Task::Classify {
                let mut row = vec![0.0; dataset.classes().len()];
                dataset.values(index, &mut row);
                text.extend(row.into_iter().flat_map(f32::to_le_bytes));
            }
            text
        });
        std::iter::once((dataset.len() as u64).to_le_bytes().to_vec()).chain(images)
    });
    format!("{:.16}", digest(texts))
}

/// Warns of classes without any training or validation images, which folds and groups may cause.
fn warn_of_missing(splits: &Splits, printer: &Printer) {
    let missing = |images: &dyn Dataset| -> NameList {
        let classes = images.classes().iter().zip(support(images));
        classes
            .filter(|(_, images)| *images == 0)
            .map(|(class, _)| class.clone())
            .collect()
    };
    let train = missing(&*splits.train);
    if !train.names().is_empty() {
        printer.warning(format!(
            "no training images of these classes, all of whose images are held out, so they cannot be learned: {train}"
        ));
    }
    let val = splits.val.as_deref().map(missing);
    if let Some(val) = val.filter(|val| !val.names().is_empty()) {
        printer.warning(format!("no validation images of these classes: {val}"));
    }
}

/// Decodes this process's images. Returns those that cannot be read, and the number of images that decoded
/// with a warning.
fn decode_all(
    dataset: &Arc<dyn Dataset>,
    shard: Shard,
    printer: &Printer,
    stop: &AtomicBool,
) -> anyhow::Result<(Vec<Unreadable>, usize)> {
    let own: Vec<usize> = (shard.rank..dataset.len()).step_by(shard.world_size).collect();
    let progress = printer.progress(own.len() as u64);
    let threads = NonZeroUsize::new(threads(None));
    let images = Watched::new(Subset::new(Arc::clone(dataset), own));
    let found = survey(&images, threads, stop, &|_| progress.inc(1));
    progress.finish_and_clear();
    let found = found.context("cannot train without readable images")?;
    let found = found.into_iter().map(|image| Unreadable {
        name: image.name,
        reason: image.reason,
        validation: false,
    });
    Ok((found.collect(), images.warned()))
}
