//! Results, in the three formats of `--format`, on standard output or into a file.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::arguments::Format;
use crate::prediction::Prediction;
use crate::sink::Sink;

/// The result for one input.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Record<'a> {
    Classified {
        input: &'a str,
        model: &'a str,
        weights: &'a str,
        predictions: &'a [Prediction],
    },
    Failed {
        input: &'a str,
        error: &'a str,
    },
}

/// Writes records one after the other.
pub(crate) struct Records {
    format: Format,
    sink: Sink,
    /// Inputs in the table so far: a blank line stands between two.
    written: usize,
}

impl Records {
    pub(crate) fn open(format: Format, output: Option<&Path>) -> anyhow::Result<Self> {
        let sink = Sink::open(output)?;
        let mut records = Self {
            format,
            sink,
            written: 0,
        };
        if format == Format::Csv {
            records.line(&["input", "rank", "class", "label", "logit", "probability", "error"])?;
        }
        Ok(records)
    }

    pub(crate) fn write(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.sink, record).map_err(std::io::Error::from)?;
                writeln!(self.sink)?;
            }
            Format::Csv => self.write_csv(record)?,
            Format::Text => self.write_text(record)?,
        }
        Ok(())
    }

    /// Lets everything written so far be seen.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.sink.flush()?)
    }

    /// Completes the output.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.sink.finish()
    }

    fn write_csv(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        match record {
            Record::Classified {
                input, predictions, ..
            } => {
                for (rank, prediction) in predictions.iter().enumerate() {
                    let number = |value: &dyn ToString| value.to_string();
                    self.line(&[
                        *input,
                        &number(&(rank + 1)),
                        &number(&prediction.class),
                        &prediction.label,
                        &number(&prediction.logit),
                        &number(&prediction.probability),
                        "",
                    ])?;
                }
                Ok(())
            }
            Record::Failed { input, error } => self.line(&[*input, "", "", "", "", "", *error]),
        }
    }

    fn line(&mut self, fields: &[&str]) -> anyhow::Result<()> {
        let mut writer = csv::Writer::from_writer(&mut self.sink);
        writer.write_record(fields).map_err(std::io::Error::from)?;
        Ok(writer.flush()?)
    }

    fn write_text(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        let bold = self.sink.heading();
        match record {
            Record::Classified {
                input, predictions, ..
            } => {
                if self.written > 0 {
                    writeln!(self.sink)?;
                }
                self.written += 1;
                writeln!(self.sink, "{bold}{input}{bold:#}")?;
                for prediction in *predictions {
                    let percent = 100.0 * prediction.probability;
                    writeln!(self.sink, "  {percent:6.2} %  {}", prediction.label)?;
                }
            }
            // Said on standard error, where people look for it.
            Record::Failed { .. } => {}
        }
        Ok(())
    }
}
