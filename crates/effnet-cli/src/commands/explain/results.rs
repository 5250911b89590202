//! What `explain` reports about each image on standard output.

use std::io::Write;
use std::path::Path;

use effnet::{ExplainedRecord, ModelFile, Prediction, Task};
use effnet_image::Region;

use crate::arguments::Format;
use crate::escape;
use crate::failure::Failure;
use crate::frame::Frame;
use crate::missing_inputs::FailureRecords;
use crate::records::{self, Record};
use crate::sink::Sink;

/// An image whose overlay was written.
pub(super) struct Explained<'a> {
    pub(super) input: &'a str,
    pub(super) file: &'a ModelFile,
    pub(super) method: &'a str,
    pub(super) overlay: &'a Path,
    pub(super) raw: Option<&'a Path>,
    pub(super) region: Region,
    pub(super) predictions: &'a [Prediction],
}

/// Returns the header and separator of this format.
fn frame(format: Format, top_k: usize) -> Frame {
    match format {
        Format::Text | Format::Json => records::frame(format, Task::Classify, top_k),
        Format::Csv => Frame {
            header: b"input,rank,class,label,logit,probability,image,error\n".to_vec(),
            separator: "",
        },
    }
}

/// Writes the results.
pub(super) struct Results {
    pub(super) sink: Sink,
    /// `None` if the overlay itself goes to standard output.
    pub(super) format: Option<Format>,
    /// Whether the text format has one line per input.
    pub(super) is_short: bool,
}

impl Results {
    /// Opens the results for standard output.
    pub(super) fn open(format: Option<Format>, top_k: usize) -> anyhow::Result<Self> {
        let frame = format.map_or_else(Frame::default, |format| frame(format, top_k));
        Ok(Self {
            sink: Sink::open(None, &frame)?,
            format,
            is_short: top_k == 1,
        })
    }

    pub(super) fn explained(&mut self, explained: &Explained<'_>) -> anyhow::Result<()> {
        match self.format {
            None => {}
            Some(Format::Json) => {
                let path = |path: &Path| path.display().to_string();
                let network = (
                    explained.file.variant.name(),
                    explained.file.weights().name.as_str(),
                );
                let record = ExplainedRecord::new(
                    explained.input,
                    network,
                    (explained.method, explained.region),
                    path(explained.overlay),
                    explained.predictions,
                );
                self.sink.json(&record.with_raw(explained.raw.map(path)))?;
            }
            Some(Format::Csv) => self.rows(explained)?,
            Some(Format::Text) => self.text(explained)?,
        }
        self.sink.end_input(true)
    }

    fn rows(&mut self, explained: &Explained<'_>) -> std::io::Result<()> {
        let overlay = explained.overlay.display().to_string();
        for (rank, prediction) in (1..).zip(explained.predictions) {
            self.sink.csv([
                explained.input,
                &i32::to_string(&rank),
                &prediction.class.to_string(),
                &prediction.label,
                &prediction.logit.to_string(),
                &prediction.probability.to_string(),
                &overlay,
                "",
            ])?;
        }
        Ok(())
    }

    fn text(&mut self, explained: &Explained<'_>) -> std::io::Result<()> {
        let bold = self.sink.heading();
        let input = escape::line(explained.input);
        let overlay = explained.overlay.display().to_string();
        let overlay = escape::line(&overlay);
        self.sink.separate()?;
        if let ([prediction], true) = (explained.predictions, self.is_short) {
            let (percent, label) = (100.0 * prediction.probability, escape::line(&prediction.label));
            return writeln!(
                self.sink,
                "{bold}{input}{bold:#}: {label} ({percent:.2} %) -> {overlay}"
            );
        }
        writeln!(self.sink, "{bold}{input}{bold:#} -> {overlay}")?;
        for prediction in explained.predictions {
            let (percent, label) = (100.0 * prediction.probability, escape::line(&prediction.label));
            writeln!(self.sink, "  {percent:6.2} %  {label}")?;
        }
        Ok(())
    }
}

impl FailureRecords for Results {
    fn failed(&mut self, input: &str, failure: &Failure) -> anyhow::Result<()> {
        let error = failure.reason.as_str();
        match self.format {
            // Failures are printed to standard error, where people look for them.
            None | Some(Format::Text) => {}
            Some(Format::Json) => self.sink.json(&Record::failed(input, failure))?,
            Some(Format::Csv) => self.sink.csv([input, "", "", "", "", "", "", error])?,
        }
        self.sink.end_input(false)
    }

    fn into_sink(self) -> Sink {
        self.sink
    }
}
