//! Images on their way through a network: what `classify`, `features` and `evaluate` have in common.

use effnet::{BackendError, Output, Pipeline, Source};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::interrupt::Interrupt;
use crate::printer::Printer;

/// How far a pass came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// To the last output, or to the last that there was when Ctrl-C ended it.
    Through,
    /// Until an output could not be taken, since Ctrl-C had ended its reader too.
    Cut,
}

/// Gives all outputs to `take`, with whether the next has to be waited for, under a progress bar; `count` inputs
/// are on their way. Warns each time that memory makes batches smaller.
pub(crate) fn pass<T: Source>(
    mut outputs: Pipeline<T>,
    count: usize,
    interrupt: &Interrupt,
    printer: &Printer,
    mut take: impl FnMut(Output<T>, bool) -> anyhow::Result<()>,
) -> anyhow::Result<Passed> {
    let progress = printer.progress(count as u64);
    let mut reduced = None;
    while let Some(output) = outputs.next() {
        let output = output.map_err(explain)?;
        match take(output, outputs.ready() == 0) {
            Err(_) if interrupt.is_set() => return Ok(Passed::Cut),
            taken => taken?,
        }
        if let (Some(size), true) = (
            outputs.reduced_batch_size(),
            outputs.reduced_batch_size() != reduced,
        ) {
            reduced = Some(size);
            printer.warning(format!(
                "memory ran out, batches are of {size} images from here on"
            ));
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(Passed::Through)
}

fn explain(error: BackendError) -> anyhow::Error {
    let advice = if error.is_out_of_memory() {
        "the network cannot be run on one image; a smaller --image-size needs less memory"
    } else {
        "the network cannot be run"
    };
    anyhow::Error::new(error).context(advice)
}

/// How many inputs went how.
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

    /// How many inputs there were.
    pub(crate) fn inputs(&self) -> usize {
        self.done + self.failed
    }

    /// The outcome of a command for `count` inputs; says what an interrupt has left undone.
    pub(crate) fn outcome(&self, count: usize, interrupt: &Interrupt, printer: &Printer) -> Outcome {
        if interrupt.is_set() {
            printer.warning(format!(
                "interrupted: there are results of {} of {count} inputs",
                self.inputs()
            ));
            return Outcome::Interrupted;
        }
        self.as_outcome()
    }

    /// The outcome of a command that came to its end.
    pub(crate) fn as_outcome(&self) -> Outcome {
        match (self.done, self.failed) {
            (_, 0) => Outcome::Done,
            (0, _) => Outcome::NothingDone,
            _ => Outcome::SomeFailed,
        }
    }
}
