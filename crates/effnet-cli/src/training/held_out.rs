//! Which images validate: a fraction of each class, or one fold of several, in both cases by groups if a column names them;
//! or a data set of their own.
//!
//! Each setting alone has a default and can come from the command line, a file or a run, but together they are one choice.
//! `--folds 5 --fold 1` must replace the `val_split` of a file, not contradict it, and the config.json of a run must be
//! accepted as it was written. So whoever chooses folds or a data set leaves `val_split` at 0.

use std::path::Path;

use anyhow::bail;
use effnet_data::HoldOut;

use super::settings::{PartialSettings, Settings};

/// Returns the settings of the command line and of a file, the former first. A choice of validation images on the command
/// line replaces that in the file.
pub(super) fn combine(flags: PartialSettings, mut file: PartialSettings) -> PartialSettings {
    let is_fold =
        |settings: &PartialSettings| settings.folds.or(settings.fold).is_some_and(|value| value > 0);
    let is_data = |settings: &PartialSettings| {
        let val = settings.val.as_ref();
        val.is_some_and(|val| !val.as_os_str().is_empty())
    };
    if flags.val_split.is_some() {
        (file.folds, file.fold, file.val) = (None, None, None);
    }
    if is_fold(&flags) {
        (file.val_split, file.val) = (None, None);
    }
    if is_data(&flags) {
        (file.val_split, file.folds, file.fold, file.group_column) = (None, None, None, None);
    }
    let mut settings = flags.or(file);
    if is_fold(&settings) || is_data(&settings) {
        settings.val_split.get_or_insert(0.0);
    }
    settings
}

impl Settings {
    /// Returns which images of the data to hold out; `None` for none.
    pub fn hold_out(&self) -> Option<HoldOut> {
        if self.folds > 0 {
            return Some(HoldOut::Fold {
                fold: self.fold as usize,
                folds: self.folds as usize,
            });
        }
        (self.val_split > 0.0).then_some(HoldOut::Fraction(self.val_split))
    }

    /// Returns the data set whose images validate, if it is another than the one that is trained on.
    pub fn validation_data(&self) -> Option<&Path> {
        Some(&*self.val).filter(|val| !val.as_os_str().is_empty())
    }

    /// Returns the data set that has the validation images: the one that is trained on, or another.
    pub fn data_of_validation(&self) -> &Path {
        self.validation_data().unwrap_or(&self.data)
    }

    /// Returns the column by which images are grouped, if there is one.
    pub fn grouping(&self) -> Option<&str> {
        Some(self.group_column.as_str()).filter(|column| !column.is_empty())
    }

    /// Returns the seed of the split into training and validation images.
    pub fn seed_of_split(&self) -> u64 {
        self.split_seed.value().unwrap_or(self.seed)
    }

    /// Returns the flag that chooses the held-out images, with its value, for messages.
    pub fn hold_out_flag(&self) -> String {
        match self.folds {
            0 => format!("--val-split {}", self.val_split),
            folds => format!("--folds {folds}"),
        }
    }

    /// Checks that the settings make one choice.
    pub(super) fn check_held_out(&self) -> anyhow::Result<()> {
        let Self {
            folds,
            fold,
            val_split,
            ..
        } = self;
        if let Some(val) = self.validation_data() {
            let others = [
                (*folds > 0, format!("--folds {folds}")),
                (*fold > 0, format!("--fold {fold}")),
                (*val_split > 0.0, format!("--val-split {val_split}")),
                (
                    self.grouping().is_some(),
                    format!("--group-column {}", self.group_column),
                ),
            ];
            if let Some((_, other)) = others.into_iter().find(|(is_set, _)| *is_set) {
                bail!(
                    "--val {}: no images of DATA are held out; expected no {other}, omit one of them",
                    val.display()
                );
            }
        }
        match (*folds, *fold) {
            (0, 0) => {}
            (0, _) => bail!("--fold {fold}: expected --folds too, the number of folds"),
            (1, _) => bail!("--folds 1: expected at least 2 folds"),
            (_, 0) => bail!("--folds {folds}: expected --fold too, the one to hold out, from 1 to {folds}"),
            (_, fold) if fold > *folds => bail!("--fold {fold}: expected a fold from 1 to {folds} (--folds)"),
            _ if *val_split > 0.0 => bail!(
                "--folds {folds}: a fold is held out, expected no --val-split, found {val_split}; omit one of them"
            ),
            _ => {}
        }
        if let (Some(column), None) = (self.grouping(), self.hold_out()) {
            bail!("--group-column {column}: no images are held out (--val-split 0); omit --group-column");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
