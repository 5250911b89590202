//! Which images a training kept back for validation, as its run folder has it.
//!
//! `effnet evaluate my-photos --weights my-run` must not measure the images that were trained on, so a run
//! keeps the names of the others.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use effnet_data::{Dataset, Splits, Subset};
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::printer::Printer;

/// The settings of the training in this folder.
///
/// # Errors
/// When there is no `config.json`, or not one of a training.
pub fn settings_of_run(run: &Path) -> anyhow::Result<Settings> {
    let path = run.join("config.json");
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(shown)?;
    serde_json::from_str(&text).with_context(shown)
}

/// The name of an image without the path of the data that it was found in: data may be moved, and a run goes
/// on with them.
pub fn name_within(data: &Path, name: &str) -> String {
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
pub struct Parted {
    /// How many images are trained on.
    pub training: usize,
    /// Names of the images to validate with, in order.
    pub validation: Vec<String>,
}

/// The file of a run that keeps this: the same rule would part other images otherwise.
pub const PARTED: &str = "images.json";

/// The images that the training in the folder `run` kept back for validation, if it took them out of
/// `data`; `None` for a folder without a run, for other data, and for data that are parted already.
///
/// # Errors
/// When the run or the data cannot be read, and when images that were kept back are gone.
pub fn kept_back(run: &Path, data: &Path, printer: &Printer) -> anyhow::Result<Option<Arc<dyn Dataset>>> {
    // Weights from elsewhere may lie beside a config.json of another kind.
    let Ok(settings) = settings_of_run(run) else {
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
    let splits = Splits::open(data)?;
    if splits.val.is_some() {
        return Ok(None);
    }
    let parted = std::fs::read_to_string(run.join(PARTED)).map_err(anyhow::Error::from);
    let parted = parted.and_then(|text| Ok(serde_json::from_str::<Parted>(&text)?));
    let parted = parted.with_context(|| run.join(PARTED).display().to_string())?;
    if parted.validation.is_empty() {
        return Ok(None);
    }
    let names: HashSet<&str> = parted.validation.iter().map(String::as_str).collect();
    let images = splits.train;
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
