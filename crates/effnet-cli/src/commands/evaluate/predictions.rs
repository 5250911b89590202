//! Writes the file for `--predictions`: the network's prediction for each image, to help find its mistakes.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use effnet::{Labels, Prediction};
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
    Predicted {
        prediction: &'a str,
        probability: f64,
        /// Of all classes, in their order.
        probabilities: &'a [f64],
    },
    Failed {
        kind: FailureKind,
        error: &'a str,
    },
}

/// Writes one line per image.
pub(super) struct Predictions {
    file: AtomicFile,
    format: TableFormat,
    shown: String,
    classes: usize,
}

impl Predictions {
    /// Creates the file, in the format that its extension implies.
    pub(super) fn create(path: &Path, labels: &Labels, printer: &Printer) -> anyhow::Result<Self> {
        let format = format::choose(None, named_file(Some(path)), TableFormat::Csv, printer)?;
        let shown = format!("--predictions {}", path.display());
        let file = AtomicFile::create(file_or_stdout(path)).with_context(|| shown.clone())?;
        let mut predictions = Self {
            file,
            format,
            shown,
            classes: labels.len(),
        };
        if format == TableFormat::Csv {
            let names = labels.names().iter().map(|name| format!("probability {name}"));
            predictions.row(["input", "label", "prediction", "probability", "error"], names)?;
        }
        Ok(predictions)
    }

    /// Writes the line for an image whose true class is `label`, with all classes, the most likely first.
    pub(super) fn write(
        &mut self,
        input: &str,
        label: &str,
        result: Result<&[Prediction], &Failure>,
    ) -> anyhow::Result<()> {
        let mut probabilities = vec![0.0; self.classes];
        let result = result.map(|ranked| {
            for class in ranked {
                probabilities[class.class] = class.probability;
            }
            ranked
                .first()
                .map_or(("", 0.0), |best| (&*best.label, best.probability))
        });
        match self.format {
            TableFormat::Csv => match result {
                Ok((prediction, probability)) => {
                    let probability = probability.to_string();
                    let all = probabilities.iter().map(f64::to_string);
                    self.row([input, label, prediction, &probability, ""], all)
                }
                Err(failure) => {
                    let none = std::iter::repeat_n(String::new(), self.classes);
                    self.row([input, label, "", "", &failure.reason], none)
                }
            },
            TableFormat::Json => {
                let outcome = match result {
                    Ok((prediction, probability)) => Outcome::Predicted {
                        prediction,
                        probability,
                        probabilities: &probabilities,
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

    /// Writes a row: the first columns, and one column per class.
    fn row(&mut self, first: [&str; 5], classes: impl Iterator<Item = String>) -> anyhow::Result<()> {
        let mut row = csv::Writer::from_writer(Vec::new());
        for field in first {
            row.write_field(field)?;
        }
        for field in classes {
            row.write_field(field)?;
        }
        row.write_record(None::<&[u8]>)?;
        self.file
            .write_all(&row.into_inner()?)
            .with_context(|| self.shown.clone())
    }
}
