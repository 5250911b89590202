//! `--resume RUN` with more epochs or more patience: a run is trained beyond where it has ended.
//!
//! The steps that were taken stay as they are. A schedule is a function of the step and of the number of all steps, so
//! the remaining steps get the learning rates that a run of the new length has there: those rates differ from the ones
//! that a run of this length would have had before. Early stopping changes no step, so a run with more patience is the one
//! that it would have been with that patience from the start.

use std::path::Path;

use anyhow::bail;
use effnet_cli::counted;
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::FreezeName;

use super::facts::name_of;
use super::plan;

/// The settings that [`Continuation::of`] compares.
pub(super) const COMPARED: [&str; 3] = ["epochs", "patience", "head_epochs"];

/// What a resumed run has more of than it was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Continuation {
    /// The number of epochs before, if there are more now.
    epochs: Option<u32>,
    /// Whether early stopping waits longer, or is off now.
    patience: bool,
}

/// How the settings compare to those of the checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// There is nothing to change.
    Same,
    Continues(Continuation),
    /// A setting differs in a way that would change the steps that were taken.
    Differs,
}

impl Continuation {
    /// Compares the settings with those that are `saved` in the checkpoint of `run`. If the run continues, the epochs of the
    /// classifier become those that it was trained for, which its number of epochs may have limited.
    pub(super) fn of(settings: &mut Settings, saved: &Settings, run: &Path) -> anyhow::Result<Comparison> {
        if settings.epochs < saved.epochs {
            bail!(
                "--epochs {}: {} has {}; pass a larger number to train it further",
                settings.epochs,
                run.display(),
                counted(u64::from(saved.epochs), "epoch")
            );
        }
        let is_lower = settings.patience > 0 && settings.patience < saved.patience;
        if is_lower {
            bail!(
                "--patience {}: {} has {}; pass a larger number to train it further, or 0 to turn early stopping off",
                settings.patience,
                run.display(),
                saved.patience
            );
        }
        let epochs = (settings.epochs > saved.epochs).then_some(saved.epochs);
        let patience = settings.patience != saved.patience;
        if patience && saved.patience == 0 {
            return Ok(Comparison::Differs);
        }
        let of_head = match (epochs, saved.freeze) {
            (Some(_), FreezeName::Nothing) => plan::head_epochs(saved),
            _ => saved.head_epochs,
        };
        // A process that was killed may have written them to config.json, but not to the checkpoint.
        if ![saved.head_epochs, of_head].contains(&settings.head_epochs) {
            return Ok(Comparison::Differs);
        }
        settings.head_epochs = of_head;
        Ok(if epochs.is_some() || patience {
            Comparison::Continues(Self { epochs, patience })
        } else {
            Comparison::Same
        })
    }

    /// Returns the lines that say what changes, including the learning rates of the last step and of the next one.
    pub(super) fn lines(self, settings: &Settings, [last, next]: [f64; 2]) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(before) = self.epochs {
            lines.push(format!(
                "{} instead of {before}: from here on, the learning rate is that of a {} schedule of {} epochs \
                 (last step {last:.1e}, next step {next:.1e})",
                counted(u64::from(settings.epochs), "epoch"),
                name_of(settings.schedule),
                settings.epochs,
            ));
        }
        match (self.patience, settings.patience) {
            (true, 0) => lines.push("early stopping is off (--patience 0)".to_owned()),
            (true, patience) => lines.push(format!(
                "early stopping after {} without improvement (--patience {patience})",
                counted(u64::from(patience), "epoch")
            )),
            (false, _) => {}
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(
        change: impl FnOnce(&mut Settings),
        saved: &Settings,
    ) -> anyhow::Result<(Comparison, Settings)> {
        let mut settings = saved.clone();
        change(&mut settings);
        let comparison = Continuation::of(&mut settings, saved, Path::new("run"))?;
        Ok((comparison, settings))
    }

    fn saved(epochs: u32, head_epochs: u32) -> Settings {
        let mut settings = Settings::of_finetune();
        (settings.epochs, settings.head_epochs) = (epochs, head_epochs);
        settings
    }

    #[test]
    fn the_epochs_of_the_classifier_stay_those_that_were_trained() {
        // One epoch of two is the classifier's, and none of one, whatever was asked for.
        for (epochs, asked, trained) in [(1, 1, 0), (2, 5, 1), (10, 3, 3)] {
            let saved = saved(epochs, asked);
            let (comparison, settings) = compare(|settings| settings.epochs = 20, &saved).unwrap();
            assert!(matches!(comparison, Comparison::Continues(_)), "{comparison:?}");
            assert_eq!(settings.head_epochs, trained);
            // The process that wrote config.json was killed before it saved a checkpoint.
            let (again, _) = compare(|found| *found = settings.clone(), &saved).unwrap();
            assert_eq!(again, comparison);
        }
        assert_eq!(compare(|_| (), &saved(2, 5)).unwrap().0, Comparison::Same);
        let other = compare(
            |settings| (settings.epochs, settings.head_epochs) = (20, 2),
            &saved(10, 3),
        );
        assert_eq!(other.unwrap().0, Comparison::Differs);
    }

    #[test]
    fn only_more_epochs_and_more_patience_continue_a_run() {
        let refusal = |change: fn(&mut Settings)| compare(change, &saved(10, 1)).unwrap_err().to_string();
        let error = refusal(|settings| settings.epochs = 9);
        assert!(
            error.starts_with("--epochs 9: run has 10 epochs; pass a larger"),
            "{error}"
        );
        let error = refusal(|settings| settings.patience = 4);
        assert!(
            error.starts_with("--patience 4: run has 5; pass a larger"),
            "{error}"
        );
        for patience in [0, 6] {
            let (found, settings) = compare(|settings| settings.patience = patience, &saved(10, 1)).unwrap();
            let Comparison::Continues(continuation) = found else {
                panic!("{found:?}");
            };
            let line = continuation.lines(&settings, [0.0; 2]).concat();
            assert!(line.contains(&format!("--patience {patience}")), "{line}");
        }
        let mut off = saved(10, 1);
        off.patience = 0;
        let (found, _) = compare(|settings| settings.patience = 3, &off).unwrap();
        assert_eq!(found, Comparison::Differs);
    }

    #[test]
    fn what_the_learning_rate_will_be_is_said() {
        let (found, settings) = compare(|settings| settings.epochs = 20, &saved(10, 1)).unwrap();
        let Comparison::Continues(continuation) = found else {
            panic!("{found:?}");
        };
        assert_eq!(
            continuation.lines(&settings, [8e-9, 1.25e-3]),
            [
                "20 epochs instead of 10: from here on, the learning rate is that of a one-cycle schedule of 20 epochs (last \
              step 8.0e-9, next step 1.3e-3)"
            ]
        );
    }
}
