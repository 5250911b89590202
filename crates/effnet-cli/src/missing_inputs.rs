//! Reports inputs of which none was found, before weights are looked for.
//!
//! A gigabyte of weights is not downloaded just to report a misspelt name. Every command that takes INPUT... asks here
//! first, and reports the failures as it reports those of images that cannot be read.

use crate::Outcome;
use crate::failure::Failure;
use crate::input::Input;
use crate::interrupt::Interrupt;
use crate::outputs::Closing;
use crate::printer::Printer;
use crate::sink::Sink;

/// The results of a command, as far as failed inputs are concerned.
pub(crate) trait FailureRecords {
    /// Writes the result of an input that failed.
    fn failed(&mut self, input: &str, failure: &Failure) -> anyhow::Result<()>;

    /// Returns where the results go.
    fn into_sink(self) -> Sink;
}

/// Reports the inputs if none of them was found, and returns the outcome of the command. `open` opens its results.
pub(crate) fn report<R: FailureRecords>(
    inputs: &[Input],
    closing: &Closing,
    interrupt: &Interrupt,
    printer: &Printer,
    open: impl FnOnce() -> anyhow::Result<R>,
) -> anyhow::Result<Option<Outcome>> {
    let failures: Option<Vec<&Failure>> = inputs.iter().map(Input::failure).collect();
    let Some(failures) = failures else {
        return Ok(None);
    };
    let mut results = open()?;
    for (input, failure) in inputs.iter().zip(failures) {
        printer.failure(&input.name, &failure.reason);
        results.failed(&input.name, failure)?;
    }
    let sink = results.into_sink();
    sink.finish(inputs.len(), closing, interrupt, printer).map(Some)
}
