//! The images of a training: found, looked at, and parted.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail, ensure};
use effnet_train::data::{Dataset, Listed, Shard, Splits, Subset, by_class, survey};
use serde::{Deserialize, Serialize};

use super::ranks::Ranks;
use super::settings::Settings;
use crate::execution::threads;
use crate::interrupt::Interrupt;
use crate::printer::Printer;
use crate::sharding::digest;

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

/// The name of an image without the path of the data that it was found in: data may be moved, and a run goes
/// on with them.
pub(super) fn name_within(data: &Path, name: &str) -> String {
    // The paths of a list begin where the list is.
    let roots = [Some(data), data.parent()].into_iter().flatten();
    let roots = roots
        .map(|root| root.to_string_lossy())
        .filter(|root| !root.is_empty());
    let rest = roots
        .into_iter()
        .find_map(|root| Some(name.strip_prefix(&*root)?.to_owned()));
    rest.map_or(name.to_owned(), |rest| {
        rest.trim_start_matches(['/', ':', ' ']).to_owned()
    })
}

/// How the images were parted when a run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parted {
    pub(super) training: usize,
    /// Names of the images to validate with, in order.
    pub(super) validation: Vec<String>,
}

/// The file of a run that keeps this: the same rule would part other images otherwise.
pub(super) const PARTED: &str = "images.json";

/// The images that the training in the folder `run` kept back for validation, if it took them out of
/// `data`; `None` for a folder without a run, for other data, and for data that are parted already.
pub(crate) fn kept_back(
    run: &Path,
    data: &Path,
    printer: &Printer,
) -> anyhow::Result<Option<Arc<dyn Dataset>>> {
    let text = |name: &str| std::fs::read_to_string(run.join(name));
    // Weights from elsewhere may lie beside a config.json of another kind.
    let settings = text("config.json").map(|text| serde_json::from_str::<Settings>(&text));
    let Ok(Ok(settings)) = settings else {
        return Ok(None);
    };
    if settings.val_split == 0.0 {
        return Ok(None);
    }
    match same_file::is_same_file(&settings.data, data) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(_) => {
            printer.warning(format!(
                "the weights are of a training on {}, which is not there any more: if it was moved to {}, all \
                 images are measured, those that were trained on too",
                settings.data.display(),
                data.display()
            ));
            return Ok(None);
        }
    }
    let datasets = Datasets::open(&Settings {
        data: data.to_owned(),
        ..settings
    })?;
    if datasets.splits.val.is_some() {
        return Ok(None);
    }
    let parted = text(PARTED).map_err(anyhow::Error::from);
    let parted = parted.and_then(|text| Ok(serde_json::from_str::<Parted>(&text)?));
    let parted = parted.with_context(|| run.join(PARTED).display().to_string())?;
    if parted.validation.is_empty() {
        return Ok(None);
    }
    let names: HashSet<&str> = parted.validation.iter().map(String::as_str).collect();
    let images = datasets.splits.train;
    let is_kept = |index: &usize| names.contains(name_within(data, &images.name(*index)).as_str());
    let kept: Vec<usize> = (0..images.len()).filter(is_kept).collect();
    ensure!(
        kept.len() == names.len(),
        "{}: {} of the {} images that were not trained on are gone; --all measures all that are there",
        data.display(),
        names.len() - kept.len(),
        names.len()
    );
    Ok(Some(Arc::new(Subset::new(images, kept))))
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
