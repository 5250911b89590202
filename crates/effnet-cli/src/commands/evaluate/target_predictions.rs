//! Writes the file for `--predictions`, for networks with several labels per image and for those that predict numbers.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use effnet::{Failure, FailureKind, Labels, Prediction, Task};
use effnet_checkpoint::AtomicFile;
use serde::Serialize;

use crate::arguments::TableFormat;
use crate::destination::{file_or_stdout, named_file};
use crate::format;
use crate::printer::Printer;
use crate::sink::SCHEMA;

/// What the network says about an image.
pub(super) enum Answer<'a> {
    /// The labels that reach their thresholds, and the probability of every class.
    Labels(Vec<Prediction>, Vec<f64>),
    Values(&'a [f32]),
    Failed(&'a Failure),
}

#[derive(Serialize)]
struct Record<'a> {
    schema: u32,
    input: &'a str,
    #[serde(flatten)]
    truth: Truth<'a>,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

/// The true labels or values.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Truth<'a> {
    Labels(Vec<&'a str>),
    Values(&'a [f32]),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Labels {
        predictions: Vec<&'a str>,
        probabilities: &'a [f64],
    },
    Values {
        predictions: &'a [f32],
    },
    Failed {
        kind: FailureKind,
        error: &'a str,
    },
}

/// Writes one line per image.
pub(super) struct TargetPredictions {
    file: AtomicFile,
    format: TableFormat,
    shown: String,
    task: Task,
    names: Vec<String>,
}

impl TargetPredictions {
    /// Creates the file, in the format that its extension implies.
    pub(super) fn create(path: &Path, labels: &Labels, printer: &Printer) -> anyhow::Result<Self> {
        let format = format::choose(None, named_file(Some(path)), TableFormat::Csv, printer)?;
        let shown = format!("--predictions {}", path.display());
        let file = AtomicFile::create(file_or_stdout(path)).with_context(|| shown.clone())?;
        let names = labels.names().to_vec();
        let task = labels.task();
        let mut predictions = Self {
            file,
            format,
            shown,
            task,
            names,
        };
        if format == TableFormat::Csv {
            let names = predictions.names.clone();
            let header: Vec<String> = if task == Task::Regression {
                let predicted = names.iter().map(|name| format!("predicted {name}"));
                names.iter().cloned().chain(predicted).collect()
            } else {
                let fixed = ["labels", "predictions"].map(str::to_owned);
                let probabilities = names.iter().map(|name| format!("probability {name}"));
                fixed.into_iter().chain(probabilities).collect()
            };
            predictions.row("input", &header, "error")?;
        }
        Ok(predictions)
    }

    /// Writes the line for an image with these true labels (1 for those that apply) or values.
    pub(super) fn write(&mut self, input: &str, truths: &[f32], answer: &Answer<'_>) -> anyhow::Result<()> {
        let named = self.names.iter().zip(truths);
        let labels: Vec<&str> = named
            .filter(|(_, truth)| **truth == 1.0)
            .map(|(name, _)| name.as_str())
            .collect();
        if self.format == TableFormat::Json {
            let record = Record {
                schema: SCHEMA,
                input,
                truth: match self.task {
                    Task::Regression => Truth::Values(truths),
                    _ => Truth::Labels(labels),
                },
                outcome: match answer {
                    Answer::Labels(present, probabilities) => Outcome::Labels {
                        predictions: present.iter().map(|class| class.label.as_str()).collect(),
                        probabilities,
                    },
                    Answer::Values(predictions) => Outcome::Values { predictions },
                    Answer::Failed(failure) => Outcome::Failed {
                        kind: failure.kind,
                        error: &failure.reason,
                    },
                },
            };
            let mut line = serde_json::to_vec(&record)?;
            line.push(b'\n');
            return self.file.write_all(&line).with_context(|| self.shown.clone());
        }
        let mut fields: Vec<String> = match self.task {
            Task::Regression => truths.iter().map(ToString::to_string).collect(),
            _ => vec![labels.join(";")],
        };
        match answer {
            Answer::Labels(present, probabilities) => {
                let present: Vec<&str> = present.iter().map(|class| class.label.as_str()).collect();
                fields.push(present.join(";"));
                fields.extend(probabilities.iter().map(ToString::to_string));
            }
            Answer::Values(values) => fields.extend(values.iter().map(ToString::to_string)),
            Answer::Failed(failure) => {
                let missing = self.names.len() + usize::from(self.task != Task::Regression);
                fields.extend(std::iter::repeat_n(String::new(), missing));
                return self.row(input, &fields, &failure.reason);
            }
        }
        self.row(input, &fields, "")
    }

    /// Renames the complete file to its final name.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.file.commit().context(self.shown)
    }

    fn row(&mut self, input: &str, fields: &[String], error: &str) -> anyhow::Result<()> {
        let mut row = csv::Writer::from_writer(Vec::new());
        let fields = fields.iter().map(String::as_str);
        row.write_record(std::iter::once(input).chain(fields).chain([error]))?;
        self.file
            .write_all(&row.into_inner()?)
            .with_context(|| self.shown.clone())
    }
}
