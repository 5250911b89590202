//! Writes the results of `classify` in the formats of `--format`.

use std::io::Write;

pub(crate) use effnet::Record;
use effnet::{Estimate, Prediction, Task};
use indicatif::ProgressBar;

use crate::Outcome;
use crate::arguments::Format;
use crate::escape;
use crate::failure::Failure;
use crate::frame::Frame;
use crate::interrupt::Interrupt;
use crate::missing_inputs::FailureRecords;
use crate::outputs::Closing;
use crate::printer::Printer;
use crate::sink::Sink;

/// Returns the header and separator of this format, for results with `top_k` classes or with numbers.
pub(crate) fn frame(format: Format, task: Task, top_k: usize) -> Frame {
    match format {
        Format::Csv if task == Task::Regression => Frame {
            header: b"input,output,label,value,error\n".to_vec(),
            separator: "",
        },
        Format::Text if task == Task::Regression => Frame::default(),
        Format::Text if top_k == 1 => Frame::default(),
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
    /// Whether the text format has one line per input.
    is_short: bool,
    task: Task,
    sink: Sink,
}

impl Records {
    /// Creates a writer to `sink`, which was opened with the [`frame`] of this format.
    pub(crate) fn new(format: Format, task: Task, top_k: usize, sink: Sink) -> Self {
        Self {
            format,
            task,
            is_short: top_k == 1,
            sink,
        }
    }

    pub(crate) fn write(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        match self.format {
            Format::Json => self.sink.json(record)?,
            Format::Csv => self.write_csv(record)?,
            Format::Text => self.write_text(record)?,
        }
        self.sink.end_input(!matches!(record, Record::Failed { .. }))
    }

    /// Returns a progress bar for `count` inputs; see [`Sink::progress`].
    pub(crate) fn progress(&self, count: usize, printer: &Printer) -> ProgressBar {
        self.sink.progress(count, printer)
    }

    /// Flushes everything written so far.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.sink.flush()?)
    }

    /// Completes the output; see [`Sink::finish`].
    pub(crate) fn finish(
        self,
        count: usize,
        closing: &Closing,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Outcome> {
        self.sink.finish(count, closing, interrupt, printer)
    }

    fn write_csv(&mut self, record: &Record<'_>) -> std::io::Result<()> {
        match record {
            // Each input has a row, even if no class is likely enough.
            Record::Classified {
                input,
                predictions: [],
                ..
            } => self.sink.csv([*input, "", "", "", "", "", ""]),
            Record::Classified {
                input, predictions, ..
            } => {
                for (rank, prediction) in predictions.iter().enumerate() {
                    let number = |value: &dyn ToString| value.to_string();
                    self.sink.csv([
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
            Record::Estimated { input, values, .. } => {
                for estimate in *values {
                    let (output, value) = (estimate.output.to_string(), estimate.value.to_string());
                    self.sink.csv([*input, &output, &estimate.label, &value, ""])?;
                }
                Ok(())
            }
            Record::Failed { input, error, .. } if self.task == Task::Regression => {
                self.sink.csv([*input, "", "", "", *error])
            }
            Record::Failed { input, error, .. } => self.sink.csv([*input, "", "", "", "", "", *error]),
        }
    }

    fn write_text(&mut self, record: &Record<'_>) -> std::io::Result<()> {
        if let Record::Estimated { input, values, .. } = record {
            let bold = self.sink.heading();
            let value = |estimate: &Estimate| format!("{} {}", escape::line(&estimate.label), estimate.value);
            let values = values.iter().map(value).collect::<Vec<_>>().join(", ");
            self.sink.separate()?;
            return writeln!(self.sink, "{bold}{}{bold:#}: {values}", escape::line(input));
        }
        // Failures are printed to standard error, where people look for them.
        let Record::Classified {
            input, predictions, ..
        } = record
        else {
            return Ok(());
        };
        let bold = self.sink.heading();
        let input = escape::line(input);
        self.sink.separate()?;
        if self.is_short {
            return match predictions.first() {
                Some(Prediction {
                    label, probability, ..
                }) => {
                    let (percent, label) = (100.0 * probability, escape::line(label));
                    writeln!(self.sink, "{bold}{input}{bold:#}: {label} ({percent:.2} %)")
                }
                None => writeln!(self.sink, "{bold}{input}{bold:#}: -"),
            };
        }
        writeln!(self.sink, "{bold}{input}{bold:#}")?;
        for prediction in *predictions {
            let percent = 100.0 * prediction.probability;
            writeln!(
                self.sink,
                "  {percent:6.2} %  {}",
                escape::line(&prediction.label)
            )?;
        }
        if predictions.is_empty() {
            let reason = match self.task {
                Task::MultiLabel => "no label reaches its threshold",
                _ => "no class is likely enough (--min-probability)",
            };
            writeln!(self.sink, "  {reason}")?;
        }
        Ok(())
    }
}

impl FailureRecords for Records {
    fn failed(&mut self, input: &str, failure: &Failure) -> anyhow::Result<()> {
        self.write(&Record::failed(input, failure))
    }

    fn into_sink(self) -> Sink {
        self.sink
    }
}
