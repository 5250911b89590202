//! Writes the file for `--predictions`: the network's prediction for each image, to help find its mistakes.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use effnet::Prediction;
use effnet_checkpoint::AtomicFile;
use serde::Serialize;

use crate::arguments::TableFormat;
use crate::destination::{file_or_stdout, named_file};
use crate::failure::{Failure, FailureKind};
use crate::format;
use crate::printer::Printer;
use crate::sink::SCHEMA;

/// The result for one image, which is one line of JSON.
#[derive(Serialize)]
struct Record<'a> {
    schema: u32,
    input: &'a str,
    /// The name of the true class.
    label: &'a str,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Predicted { prediction: &'a str, probability: f64 },
    Failed { kind: FailureKind, error: &'a str },
}

/// Writes one line per image.
pub(super) struct Predictions {
    file: AtomicFile,
    format: TableFormat,
    shown: String,
}

impl Predictions {
    /// Creates the file, in the format that its extension implies.
    pub(super) fn create(path: &Path, printer: &Printer) -> anyhow::Result<Self> {
        let format = format::choose(None, named_file(Some(path)), TableFormat::Csv, printer)?;
        let shown = format!("--predictions {}", path.display());
        let file = AtomicFile::create(file_or_stdout(path)).with_context(|| shown.clone())?;
        let mut predictions = Self { file, format, shown };
        if format == TableFormat::Csv {
            predictions.row(["input", "label", "prediction", "probability", "error"])?;
        }
        Ok(predictions)
    }

    /// Writes the line for an image whose true class is `label`.
    pub(super) fn write(
        &mut self,
        input: &str,
        label: &str,
        result: Result<&Prediction, &Failure>,
    ) -> anyhow::Result<()> {
        match self.format {
            TableFormat::Csv => match result {
                Ok(Prediction {
                    label: prediction,
                    probability,
                    ..
                }) => self.row([input, label, prediction, &probability.to_string(), ""]),
                Err(failure) => self.row([input, label, "", "", &failure.reason]),
            },
            TableFormat::Json => {
                let outcome = match result {
                    Ok(prediction) => Outcome::Predicted {
                        prediction: &prediction.label,
                        probability: prediction.probability,
                    },
                    Err(failure) => Outcome::Failed {
                        kind: failure.kind,
                        error: &failure.reason,
                    },
                };
                let record = Record {
                    schema: SCHEMA,
                    input,
                    label,
                    outcome,
                };
                let mut line = serde_json::to_vec(&record)?;
                line.push(b'\n');
                self.file.write_all(&line).with_context(|| self.shown.clone())
            }
        }
    }

    /// Renames the complete file to its final name.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.file.commit().context(self.shown)
    }

    fn row(&mut self, fields: [&str; 5]) -> anyhow::Result<()> {
        let mut row = csv::Writer::from_writer(Vec::new());
        row.write_record(fields)?;
        self.file
            .write_all(&row.into_inner()?)
            .with_context(|| self.shown.clone())
    }
}
