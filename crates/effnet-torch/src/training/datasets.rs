//! The images of a training: found, looked at, and parted.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail, ensure};
use effnet_cli::training::run_images::name_within;
use effnet_data::{Dataset, Listed, Shard, Splits, Subset, by_class, survey};
use serde::{Deserialize, Serialize};

use super::ranks::Ranks;
use effnet_cli::Interrupt;
use effnet_cli::Printer;
use effnet_cli::digest;
use effnet_cli::threads;
use effnet_cli::training::settings::Settings;

/// Images to train on and to validate with.
#[derive(Clone)]
pub(super) struct Datasets {
    splits: Splits,
    /// Where they were found.
    data: PathBuf,
}

/// An image that cannot be read, as a run keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unreadable {
    pub(super) name: String,
    pub(super) reason: String,
}

/// The file of a run with the images that are left out, so that whoever goes on leaves out the same.
pub(super) const UNREADABLE: &str = "unreadable.json";

impl Datasets {
    /// Lists the images that `settings` name.
    pub(super) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let splits = Splits::open(&settings.data)?;
        let data = settings.data.clone();
        Ok(Self { splits, data })
    }

    pub(super) fn classes(&self) -> &[String] {
        self.splits.train.classes()
    }

    /// What tells these images from others: their number, and a hash of their names, in order, and labels.
    pub(super) fn fingerprint(&self) -> String {
        let datasets = [Some(&self.splits.train), self.splits.val.as_ref()];
        let (mut texts, mut images) = (Vec::new(), 0);
        for dataset in datasets.into_iter().flatten() {
            texts.push((dataset.len() as u64).to_le_bytes().to_vec());
            for index in 0..dataset.len() {
                texts.push(name_within(&self.data, &dataset.name(index)).into_bytes());
                texts.push((dataset.label(index) as u64).to_le_bytes().to_vec());
            }
            images += dataset.len();
        }
        format!("{images} images, listing {:.16}", digest(texts))
    }

    /// Decodes all images, each process those of its part, and lists those that cannot be; with `strict`,
    /// one is an error.
    pub(super) fn find_unreadable(
        &self,
        settings: &Settings,
        ranks: &Ranks,
        printer: &Printer,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Vec<Unreadable>> {
        let parts = [Some(&self.splits.train), self.splits.val.as_ref()];
        let stop = interrupt.flag();
        let mut found = Vec::new();
        for dataset in parts.into_iter().flatten() {
            let parts = ranks.gather(look_through(dataset, ranks.shard(), printer, &stop)?)?;
            found.extend(parts.into_iter().flatten());
        }
        if ranks.count() > 1 {
            found.sort_by(|left, right| left.name.cmp(&right.name));
        }
        if ranks.is_first() {
            for Unreadable { name, reason } in &found {
                printer.failure(name, reason);
            }
        }
        if let (Some(first), true) = (found.first(), settings.strict) {
            bail!("{}: {} (--strict)", first.name, first.reason);
        }
        if !found.is_empty() {
            printer.warning(format!("{} images cannot be read and are left out", found.len()));
        }
        for image in &mut found {
            image.name = name_within(&self.data, &image.name);
        }
        Ok(found)
    }

    /// Goes on without these images.
    pub(super) fn leave_out(&mut self, unreadable: &[Unreadable]) {
        if unreadable.is_empty() {
            return;
        }
        let names: HashSet<&str> = unreadable.iter().map(|image| image.name.as_str()).collect();
        let without = |dataset: &Arc<dyn Dataset>| -> Arc<dyn Dataset> {
            let name = |index: usize| name_within(&self.data, &dataset.name(index));
            let is_left_out = |index: &usize| names.contains(name(*index).as_str());
            let left_out: Vec<usize> = (0..dataset.len()).filter(is_left_out).collect();
            Arc::new(Subset::without(Arc::clone(dataset), left_out))
        };
        self.splits = Splits {
            train: without(&self.splits.train),
            val: self.splits.val.as_ref().map(&without),
        };
    }

    /// The images to train on and to validate with, once those that cannot be read are left out.
    pub(super) fn part(self, settings: &Settings, printer: &Printer) -> anyhow::Result<Splits> {
        let classes = self.classes().to_vec();
        let images = by_class(&self.splits.train);
        let of_size = |wanted: usize| {
            let sized = classes
                .iter()
                .zip(&images)
                .filter(|(_, images)| images.len() == wanted);
            sized.map(|(class, _)| class.clone()).collect::<Listed>()
        };
        let empty = of_size(0);
        ensure!(
            empty.names().is_empty(),
            "{}: no image that can be read of {empty}; add some or remove the class",
            settings.data.display()
        );
        let is_split = self.splits.val.is_none() && settings.val_split > 0.0;
        let single = of_size(1);
        if is_split && !single.names().is_empty() {
            printer.warning(format!(
                "one image only of {single}: it is trained on, and nothing is there to validate with"
            ));
        }
        let splits = if is_split {
            self.splits.or_split(settings.val_split, settings.seed)
        } else {
            self.splits
        };
        let val = splits.val.clone().filter(|val| !val.is_empty());
        if val.is_none() {
            printer.warning("no images to validate with: the last epoch will count as the best");
        }
        Ok(Splits { val, ..splits })
    }
}

fn look_through(
    dataset: &Arc<dyn Dataset>,
    shard: Shard,
    printer: &Printer,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<Unreadable>> {
    let own: Vec<usize> = (shard.rank..dataset.len()).step_by(shard.world_size).collect();
    let progress = printer.progress(own.len() as u64);
    let threads = NonZeroUsize::new(threads(None));
    let found = survey(&Subset::new(Arc::clone(dataset), own), threads, stop, &|_| {
        progress.inc(1);
    });
    progress.finish_and_clear();
    let found = found.context("no training without images")?;
    let found = found.into_iter().map(|image| Unreadable {
        name: image.name,
        reason: image.reason,
    });
    Ok(found.collect())
}
