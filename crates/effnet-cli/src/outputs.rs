//! The loop over a pipeline's outputs, shared by `classify`, `features`, `similar` and `evaluate`.
//!
//! Progress, Ctrl-C and the reduction of batches after running out of memory are handled here, so that the three
//! commands behave the same and only have to decide what to do with an output.

use std::path::Path;
use std::time::Instant;

use effnet::{BackendError, Output, Pipeline, Source};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::inputs::Skipped;
use crate::interrupt::Interrupt;
use crate::printer::{Printer, counted};

/// How a loop over outputs ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopEnd {
    /// The loop ended after the last output or, if Ctrl-C stopped the pipeline, after the last output that was
    /// completed.
    Complete,
    /// `take` failed after Ctrl-C, which had also stopped the process that reads the results.
    Cut,
}

/// Calls `take` with each output and with a flag that is set if the next output is not ready yet, while a progress bar
/// counts the inputs. Warns whenever the batch size is reduced because memory ran out.
pub(crate) fn for_each_output<T: Source>(
    mut outputs: Pipeline<T>,
    progress: &ProgressBar,
    interrupt: &Interrupt,
    printer: &Printer,
    mut take: impl FnMut(Output<T>, bool) -> anyhow::Result<()>,
) -> anyhow::Result<LoopEnd> {
    let mut reduced = None;
    while let Some(output) = outputs.next() {
        let output = output.map_err(explain)?;
        match take(output, outputs.ready() == 0) {
            Err(_) if interrupt.is_set() => return Ok(LoopEnd::Cut),
            taken => taken?,
        }
        if let (Some(size), true) = (
            outputs.reduced_batch_size(),
            outputs.reduced_batch_size() != reduced,
        ) {
            reduced = Some(size);
            printer.warning(format!(
                "out of memory: reduced the batch size to {}",
                counted(size, "image")
            ));
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(LoopEnd::Complete)
}

fn explain(error: BackendError) -> anyhow::Error {
    let advice = if error.is_out_of_memory() {
        "out of memory with a single image; a smaller --image-size needs less memory"
    } else {
        "cannot run the network"
    };
    anyhow::Error::new(error).context(advice)
}

/// The contents of a command's closing line in addition to the number of images.
pub(crate) struct Closing {
    /// What was done with the images, such as `classified`.
    pub(crate) done: &'static str,
    /// When the command started.
    pub(crate) start: Instant,
    /// Files that were skipped in folders.
    pub(crate) skipped: Skipped,
}

impl Closing {
    /// Returns the closing line, such as `11 classified, 3 failed, 2 HEIC files skipped, 8.0 s (1.4 images/s) ->
    /// results.csv`.
    pub(crate) fn line(&self, tally: Tally, output: Option<&Path>) -> String {
        let mut parts = vec![format!("{} {}", tally.done, self.done)];
        if tally.failed > 0 {
            parts.push(format!("{} failed", tally.failed));
        }
        for (kind, count) in self.skipped.kinds() {
            parts.push(format!("{} skipped", counted(count, &format!("{kind} file"))));
        }
        let seconds = self.start.elapsed().as_secs_f64();
        let mut time = format!("{seconds:.1} s");
        if tally.done > 1 {
            let rate = tally.done as f64 / seconds.max(1e-3);
            let decimals = usize::from(rate < 9.95);
            time = format!("{time} ({rate:.decimals$} images/s)");
        }
        parts.push(time);
        let line = parts.join(", ");
        match output {
            Some(output) => format!("{line} -> {}", output.display()),
            None => line,
        }
    }
}

/// The numbers of inputs that succeeded and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) done: usize,
    pub(crate) failed: usize,
}

impl Tally {
    /// Counts an input.
    pub(crate) fn count(&mut self, is_done: bool) {
        if is_done {
            self.done += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Returns the number of inputs so far.
    pub(crate) fn inputs(&self) -> usize {
        self.done + self.failed
    }

    /// Returns the outcome of a command for `count` inputs. After an interrupt, warns that the results are incomplete;
    /// they are in `output`, unless they were printed.
    pub(crate) fn outcome(
        &self,
        count: usize,
        output: Option<&Path>,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> Outcome {
        if interrupt.is_set() {
            let place = output.map_or(String::new(), |path| {
                format!("; the results so far are in {}", path.display())
            });
            printer.warning(format!(
                "interrupted after {} of {}{place}",
                self.inputs(),
                counted(count, "image")
            ));
            return Outcome::Interrupted;
        }
        self.as_outcome()
    }

    /// Returns the outcome of a command that was not interrupted.
    pub(crate) fn as_outcome(&self) -> Outcome {
        match (self.done, self.failed) {
            (_, 0) => Outcome::Done,
            (0, _) => Outcome::NothingDone,
            _ => Outcome::SomeFailed,
        }
    }
}
