//! Finds the images that a run held out for validation.
//!
//! `effnet evaluate my-photos --weights my-run` must not evaluate on training images, which would make the accuracy
//! look better than it is. So a run records the names of its validation images, and `evaluate` looks for them here.
//! Computing the split again would not work: images may have been added since.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use effnet_data::{DataError, Dataset, Splits, Subset};
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::label_column::of_label_column;
use crate::printer::{Printer, counted};

/// Reads the settings of the run in this folder.
///
/// # Errors
/// If there is no `config.json`, or if it does not hold training settings.
pub fn settings_of_run(run: &Path) -> anyhow::Result<Settings> {
    let path = run.join("config.json");
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(shown)?;
    serde_json::from_str(&text).with_context(shown)
}

/// Returns the name of an image relative to its data set, so that a run can be resumed after the data has moved.
pub fn name_within(data: &Path, name: &str) -> String {
    // The paths in a CSV file are relative to its folder.
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

/// The paths that the names of images may start with. A run made the path of its data absolute, so if a table lists absolute
/// paths, they start with that path, even where the data are named otherwise now.
struct Roots([PathBuf; 3]);

impl Roots {
    fn of(settings: &Settings, data: &Path) -> Self {
        let absolute = std::path::absolute(data).unwrap_or_default();
        Self([data.to_owned(), absolute, settings.data.clone()])
    }

    /// The names by which a run may have recorded the image `name`.
    fn names<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        self.0.iter().map(move |root| name_within(root, name))
    }
}

/// The split of the images at the start of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedSplit {
    /// Number of training images.
    pub training: usize,
    /// Names of the validation images, in order.
    pub validation: Vec<String>,
    /// A hash of the names and the labels of all images, in order; unknown for a run of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<String>,
}

impl RecordedSplit {
    /// Whether these are the same images, as far as both tell.
    pub fn is_same(&self, other: &Self) -> bool {
        let listings = self.listing.as_ref().zip(other.listing.as_ref());
        (self.training, &self.validation) == (other.training, &other.validation)
            && listings.is_none_or(|(one, other)| one == other)
    }

    /// Reads the split of the run in this folder; `None` if there is none that can be read.
    pub(crate) fn read(run: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(run.join(SPLIT_FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Returns whether two runs held out the same images.
    pub(crate) fn has_same_validation(&self, other: &Self) -> bool {
        let names = |split: &Self| split.validation.iter().cloned().collect::<HashSet<String>>();
        names(self) == names(other)
    }
}

/// The name of the file that records the split of a run.
pub const SPLIT_FILE: &str = "images.json";

/// Returns the images of `data` that the run in the folder `run` held out for validation. Returns `None` if the folder
/// does not contain a run, if the run used different data, if it validated with another data set (`--val`), or if the data
/// already has a validation set. Their labels are in the columns of the run, or in those that `label_column` names.
///
/// # Errors
/// If the run or the data cannot be read, or if held-out images are missing.
pub fn held_out(
    run: &Path,
    (data, label_column): (&Path, Option<&str>),
    printer: &Printer,
) -> anyhow::Result<Option<Arc<dyn Dataset>>> {
    // Weights from elsewhere may have a different kind of config.json next to them.
    let Ok(mut settings) = settings_of_run(run) else {
        return Ok(None);
    };
    if let Some(column) = label_column {
        column.clone_into(&mut settings.label_column);
    }
    if let Some(val) = settings.validation_data() {
        warn_of_training_images(&settings, val, data, printer);
        return Ok(None);
    }
    if settings.hold_out().is_none() {
        return Ok(None);
    }
    // If the data cannot be opened, that is the only error to report.
    if !data.exists() {
        return Ok(None);
    }
    match same_file::is_same_file(&settings.data, data) {
        Ok(true) => {}
        Ok(false) => {
            warn_of_copy(run, &settings, data, printer);
            return Ok(None);
        }
        Err(_) => {
            printer.warning(format!(
                "the weights were trained on {}, which no longer exists: if it was moved to {}, training images are \
                 evaluated too",
                settings.data.display(),
                data.display()
            ));
            return Ok(None);
        }
    }
    let opened = open(&settings, data);
    let splits = opened.map_err(|error| of_label_column(error, &settings.label_column))?;
    let split = std::fs::read_to_string(run.join(SPLIT_FILE)).map_err(anyhow::Error::from);
    let split = split.and_then(|text| Ok(serde_json::from_str::<RecordedSplit>(&text)?));
    if let Some(val) = &splits.val {
        if split.is_ok_and(|split| !is_among(&split.validation, &settings, data, &**val)) {
            printer.warning(format!(
                "{}: the run held out different images from those for validation here, so images that it was trained \
                 on are evaluated too",
                data.display()
            ));
        }
        return Ok(None);
    }
    let split = split.with_context(|| run.join(SPLIT_FILE).display().to_string())?;
    if split.validation.is_empty() {
        return Ok(None);
    }
    let names: HashSet<&str> = split.validation.iter().map(String::as_str).collect();
    let images = splits.train;
    let roots = Roots::of(&settings, data);
    // A table may list an image several times, with different labels.
    let mut found = HashSet::new();
    let mut is_held_out = |index: &usize| {
        let name = images.name(*index);
        let recorded = roots.names(&name).find(|name| names.contains(name.as_str()));
        let is_held_out = recorded.is_some();
        found.extend(recorded);
        is_held_out
    };
    let indices: Vec<usize> = (0..images.len()).filter(|index| is_held_out(index)).collect();
    let missing = names.iter().filter(|name| !found.contains(**name)).count();
    ensure!(
        missing == 0,
        "{}: cannot find {missing} of the {}; restore them, or pass --all to evaluate all remaining images",
        data.display(),
        counted(names.len(), "held-out image")
    );
    Ok(Some(Arc::new(Subset::new(images, indices))))
}

/// Opens `data` as the run did.
fn open(settings: &Settings, data: &Path) -> Result<Splits, DataError> {
    let task = settings.task.task().unwrap_or_default();
    Splits::open_with(data, &settings.data_options(Some(task)))
}

/// Warns if `data` is what a run was trained on that validated with the images of `val`.
fn warn_of_training_images(settings: &Settings, val: &Path, data: &Path, printer: &Printer) {
    let is = |path: &Path| same_file::is_same_file(path, data).unwrap_or(false);
    let is_trained_on = !is(val) && is(&settings.data);
    // A part of the data that was neither trained on nor validated with is a test set.
    if is_trained_on && open(settings, data).is_ok_and(|splits| splits.val.is_none()) {
        printer.warning(format!(
            "{}: the run was trained on all of these images, and validated with those of {}; evaluate the latter, unless \
             you want the accuracy on training images",
            data.display(),
            val.display()
        ));
    }
}

/// Warns if the images that the run held out are found by name in `data`, which is not what the run was trained on but may
/// be a copy of it. It may also be a test set whose files are numbered alike, so no image is left out.
fn warn_of_copy(run: &Path, settings: &Settings, data: &Path, printer: &Printer) {
    let Some(split) = RecordedSplit::read(run) else {
        return;
    };
    // A copy may be a table without the columns of the run, or folders. If the data cannot be opened, that is the only error
    // to report.
    let task = settings.task.task().unwrap_or_default();
    let Ok(splits) = open(settings, data).or_else(|_| Splits::open_for(data, Some(task))) else {
        return;
    };
    let names = &split.validation;
    if splits.val.is_none() && !names.is_empty() && is_among(names, settings, data, &*splits.train) {
        printer.warning(format!(
            "{} has images with the names of all those that the run held out: if it is a copy of {}, training images \
             are evaluated too",
            data.display(),
            settings.data.display()
        ));
    }
}

/// Returns whether a data set contains all images with these names. A run by an earlier version, which did not
/// recognise the parts of a data set, held out different images.
fn is_among(names: &[String], settings: &Settings, data: &Path, images: &dyn Dataset) -> bool {
    let roots = Roots::of(settings, data);
    let found: HashSet<String> = (0..images.len())
        .flat_map(|index| roots.names(&images.name(index)).collect::<Vec<_>>())
        .collect();
    names.iter().all(|name| found.contains(name))
}
