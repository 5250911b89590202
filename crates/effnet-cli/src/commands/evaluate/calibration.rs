//! The temperature of `--calibrate`.

use std::path::Path;

use anyhow::Context;
use effnet::{DerivedWeights, ModelFile};
use effnet_checkpoint::{Checkpoint, write_safetensors};
use effnet_data::metrics::TemperatureScaling;
use serde::Serialize;

use super::local_weights;
use crate::Printer;
use crate::arguments::{EvaluateArguments, TestTimeAugmentation};
use crate::commands::average::AVERAGED;
use crate::written_file::{check_kind, check_overwriting, check_safetensors};

/// The temperature with the lowest loss, and the metrics at it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Calibration {
    pub(super) temperature: f64,
    pub(super) loss: f64,
    pub(super) ece: f64,
}

/// The metadata entry with the temperature.
const TEMPERATURE: &str = "temperature";

/// Refuses an output that cannot be written, before anything is evaluated. A calibrated file is replaced by a new one, so
/// that a command can be repeated; the weights of a run are not.
pub(super) fn check_output(arguments: &EvaluateArguments, printer: &Printer) -> anyhow::Result<()> {
    if let Some(output) = &arguments.calibrate {
        check_safetensors("--calibrate", output)?;
        check_kind(output)?;
        let input = local_weights(arguments).unwrap_or(Path::new(""));
        check_overwriting(output, input, arguments.force || is_calibrated(output))?;
        if arguments.inference.tta != TestTimeAugmentation::None {
            printer.warning(
                "--calibrate with --tta flip: the temperature is the one for answers with --tta flip; without it, omit it here",
            );
        }
    }
    Ok(())
}

fn is_calibrated(path: &Path) -> bool {
    Checkpoint::open(path).is_ok_and(|file| file.metadata().contains_key(TEMPERATURE))
}

impl Calibration {
    /// Returns `None` if no temperature is the best one.
    pub(super) fn find(scaling: &TemperatureScaling) -> anyhow::Result<Option<Self>> {
        let Some(temperature) = scaling.temperature() else {
            return Ok(None);
        };
        let summary = scaling.metrics(temperature)?.summary();
        Ok(summary.map(|summary| Self {
            temperature,
            loss: summary.loss,
            ece: summary.ece,
        }))
    }

    /// Writes the weights of `file` with a classifier divided by the temperature.
    pub(super) fn write(self, output: &Path, file: &ModelFile, printer: &Printer) -> anyhow::Result<()> {
        check_overwriting(output, file.path(), true)?;
        let calibrated = DerivedWeights::calibrated(file, self.temperature)?;
        let mut entries = calibrated.metadata.to_entries();
        entries.insert(TEMPERATURE.to_owned(), self.temperature.to_string());
        // Without one of them, `evaluate` would not know that the weights were trained on some of the images.
        let of_run = ["step", AVERAGED].into_iter();
        let of_run = of_run.filter_map(|key| file.checkpoint().metadata().get_key_value(key));
        entries.extend(of_run.map(|(key, value)| (key.clone(), value.clone())));
        write_safetensors(output, &calibrated.state_dict, &entries).context("--calibrate")?;
        printer.note(format!(
            "{}: the weights with a classifier divided by {:.4}",
            output.display(),
            self.temperature
        ));
        Ok(())
    }
}
