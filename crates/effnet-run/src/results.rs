//! `results.csv`: a row per epoch, for spreadsheets and data frames.
//!
//! The whole file is written after each epoch, from the records of the log, so that a run which was killed and resumed has
//! neither missing nor repeated rows.

use std::fmt::Write as _;

use crate::record::{EpochRecord, Validation};
use crate::{EpochTime, RunError, RunFolder};

/// The name of the file in the run folder.
const RESULTS: &str = "results.csv";

/// Returns the text of `results.csv`. The columns of the validation metrics depend on the task, and are missing without
/// validation images; a value that is not known is empty.
pub fn results_csv(epochs: &[EpochRecord], times: &[EpochTime]) -> String {
    let names: Vec<&str> = epochs
        .iter()
        .find_map(|epoch| epoch.validation.as_ref())
        .map_or(Vec::new(), |validation| {
            metrics(validation).into_iter().map(|(name, _)| name).collect()
        });
    let mut text = String::from("epoch,step,train_loss");
    for name in &names {
        let _ = write!(text, ",{name}");
    }
    text.push_str(",lr,seconds,images_per_second\n");
    for epoch in epochs {
        let _ = write!(text, "{},{},{}", epoch.epoch, epoch.step, epoch.train_loss);
        let found = epoch.validation.as_ref().map(metrics).unwrap_or_default();
        for name in &names {
            let value = found.iter().find(|(found, _)| found == name);
            text.push(',');
            push(&mut text, value.and_then(|(_, value)| *value));
        }
        let _ = write!(text, ",{},", epoch.lr);
        let time = times.iter().find(|time| time.epoch == epoch.epoch);
        push(&mut text, time.map(|time| time.seconds));
        text.push(',');
        push(&mut text, time.map(|time| time.images_per_second));
        text.push('\n');
    }
    text
}

/// Writes a number with all its digits, or nothing.
fn push(text: &mut String, value: Option<f64>) {
    if let Some(value) = value {
        let _ = write!(text, "{value}");
    }
}

fn metrics(validation: &Validation) -> Vec<(&'static str, Option<f64>)> {
    match validation {
        Validation::Classes(summary) => vec![
            ("val_loss", Some(summary.loss)),
            ("val_top1", Some(summary.top1)),
            ("val_top5", Some(summary.top5)),
            ("val_ece", Some(summary.ece)),
        ],
        Validation::Labels(summary) => vec![
            ("val_loss", Some(summary.loss)),
            ("val_map", summary.mean_average_precision),
            ("val_micro_f1", summary.micro_f1),
            ("val_macro_f1", summary.macro_f1),
        ],
        Validation::Values(summary) => vec![
            ("val_mse", Some(summary.mse)),
            ("val_mae", Some(summary.mae)),
            ("val_r2", summary.r2),
        ],
    }
}

impl RunFolder {
    /// Writes `results.csv`.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Plot`].
    pub fn write_results(&self, epochs: &[EpochRecord], times: &[EpochTime]) -> Result<(), RunError> {
        self.write_file(RESULTS, results_csv(epochs, times).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use effnet_data::metrics::Summary;

    use super::*;

    #[test]
    fn a_row_has_the_numbers_of_its_epoch() {
        let epoch = |epoch: u64, validation| EpochRecord {
            epoch,
            step: 10 * epoch,
            lr: 1e-3,
            train_loss: 0.1 + 0.2,
            validation,
            best: false,
        };
        let summary = Summary {
            images: 7,
            top1: 0.5,
            top5: 1.0,
            loss: 0.25,
            ece: 0.0,
        };
        let time = EpochTime {
            epoch: 2,
            seconds: 1.5,
            images_per_second: 80.0,
        };
        let validation = Some(Validation::Classes(summary));
        // The time of the first epoch is not known.
        assert_eq!(
            results_csv(&[epoch(1, validation), epoch(2, None)], &[time]),
            "epoch,step,train_loss,val_loss,val_top1,val_top5,val_ece,lr,seconds,images_per_second\n\
             1,10,0.30000000000000004,0.25,0.5,1,0,0.001,,\n\
             2,20,0.30000000000000004,,,,,0.001,1.5,80\n"
        );
        assert_eq!(
            results_csv(&[epoch(1, None)], &[]),
            "epoch,step,train_loss,lr,seconds,images_per_second\n1,10,0.30000000000000004,0.001,,\n"
        );
    }
}
