//! The results of `classify` in the formats of `--format`.

use std::io::Write;

use effnet::Prediction;
use serde::Serialize;

use crate::Outcome;
use crate::arguments::Format;
use crate::frame::Frame;
use crate::interrupt::Interrupt;
use crate::printer::Printer;
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

/// The header and separator of this format.
pub(crate) fn frame(format: Format) -> Frame {
    match format {
        Format::Text => Frame {
            header: Vec::new(),
            separator: "\n",
        },
        Format::Json => Frame::default(),
        Format::Csv => Frame {
            header: b"input,rank,class,label,logit,probability,error\n".to_vec(),
            separator: "",
        },
    }
}

/// Writes one record per input.
pub(crate) struct Records {
    format: Format,
    sink: Sink,
}

impl Records {
    /// Writes to `sink`, which was opened with the [`frame`] of this format.
    pub(crate) fn new(format: Format, sink: Sink) -> Self {
        Self { format, sink }
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
        self.sink.end_input(matches!(record, Record::Classified { .. }))
    }

    /// Flushes everything written so far.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.sink.flush()?)
    }

    /// Completes the output, see [`Sink::finish`].
    pub(crate) fn finish(
        self,
        count: usize,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Outcome> {
        self.sink.finish(count, interrupt, printer)
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
                self.sink.separate()?;
                writeln!(self.sink, "{bold}{input}{bold:#}")?;
                for prediction in *predictions {
                    let percent = 100.0 * prediction.probability;
                    writeln!(self.sink, "  {percent:6.2} %  {}", prediction.label)?;
                }
            }
            // Printed on standard error, where people look for it.
            Record::Failed { .. } => {}
        }
        Ok(())
    }
}
